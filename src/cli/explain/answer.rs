//! The answer, as data: asked of the same functions that live traffic asks.

use super::person::{Person, Who};
use super::place::{Lines, Place};
use crate::clock::Timestamp;
use crate::config::Gateway;
use crate::fault::{DenyReason, Incident, PublicMessage};
use crate::identity::{Groups, Identity, Way};
use crate::pages::{PageContext, Pages, RequestKind, Wish};
use crate::policy::evaluate::{Facts, Refusal, Rule, SignedIn};
use crate::policy::explain::{Check, Explanation, Outcome, explain};
use crate::policy::mapping::{Mapped, MappingError, desire, recognise};
use crate::policy::sign_in::Mode;
use crate::policy::switches::WhenDisabled;
use crate::policy::{Arrival, CanonicalPath, Glob, Policy};
use crate::provision::{is_between_names, preview};
use crate::source::value::duration_text;
use crate::state::{AccountRecord, AccountState, Origin};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use url::Url;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) url: &'a Url,
    /// Its path, as it would be sent.
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    pub(super) ip: Option<IpAddr>,
    /// How the person shows who they are.
    pub(super) way: Way,
    pub(super) now: Timestamp,
}

/// The verdict, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Public,
    Deny,
    SignIn,
    /// Recorded: the account was being made.
    Waiting,
    /// Recorded: something broke, or was not accepted at the door.
    Failed,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Public => "PUBLIC",
            Self::Deny => "DENY",
            Self::SignIn => "SIGN-IN",
            Self::Waiting => "WAITING",
            Self::Failed => "FAILED",
        }
    }
}

/// Everything that is said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// The key that refused, or the section that admitted.
    pub(super) why: String,
    pub(super) place: Option<Place>,
    pub(super) incident: Option<Recorded>,
    pub(super) sign_in: Option<SignIn>,
    /// Sections, with their places.
    pub(super) matched: Vec<(String, String)>,
    pub(super) checks: Vec<Line>,
    pub(super) gets: Option<Gets>,
    pub(super) sees: Option<Sees>,
    pub(super) fix: Option<String>,
    /// What has changed since an incident.
    pub(super) today: Vec<String>,
}

/// Of an incident: what was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) code: Incident,
    pub(super) ago: String,
    pub(super) request: Option<String>,
    pub(super) log: Option<String>,
}

#[derive(Debug)]
pub(super) struct SignIn {
    pub(super) who: String,
    pub(super) subject: String,
    pub(super) idp: String,
    pub(super) known: String,
    pub(super) note: &'static str,
    /// `None`: the provider did not say.
    pub(super) groups: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Fail,
    Open,
}

/// One check.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) state: State,
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) place: String,
    pub(super) says: String,
}

/// What the person gets at the app.
#[derive(Debug, Default)]
pub(super) struct Gets {
    pub(super) login: Option<String>,
    pub(super) account: String,
    pub(super) roles: Option<String>,
    pub(super) orgs: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    /// How the gateway signs them in at the app itself, where it does.
    pub(super) enters: Option<String>,
    pub(super) lands: Option<String>,
}

#[derive(Debug)]
pub(super) struct Sees {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) contact: Option<String>,
}

impl Answer {
    /// Whether the request gets to the app.
    pub(super) const fn passes(&self) -> bool {
        matches!(self.verdict, Verdict::Allow | Verdict::Public)
    }
}

/// Asks.
pub(super) fn ask(gateway: &Gateway, policy: &Policy, who: &Who, question: Question<'_>) -> Result<Answer, String> {
    let Question { url, path, method, ip, way, now } = question;
    let path = CanonicalPath::parse_as(path, policy.encoded_slashes)
        .map_err(|problem| format!("{path}: {problem}: the gateway answers 400, whoever asks"))?;
    if path.as_str() == "/.vestibule" || path.as_str().starts_with("/.vestibule/") {
        return Err(format!("{url}: everything under /.vestibule/ is answered by the gateway itself: no policy decides there"));
    }
    // An address that is in no network, for questions that do not name one.
    let facts = Facts { method, path: &path, peer: ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), host: &policy.host };
    let signed_in = who.person.as_ref().map(|person| SignedIn { identity: &person.identity, auth_time: person.auth_time });
    let found = explain(policy, signed_in, way, &facts, now);
    Ok(Asked { gateway, policy, path: &path, way, person: who.person.as_ref(), lines: Lines::of(policy), found }.answer())
}

/// What the engine said, to be put into words.
struct Asked<'a> {
    gateway: &'a Gateway,
    policy: &'a Policy,
    path: &'a CanonicalPath<'a>,
    way: Way,
    person: Option<&'a Person>,
    lines: Lines,
    found: Explanation,
}

impl Asked<'_> {
    fn answer(&self) -> Answer {
        let Self { policy, person, lines, found, .. } = self;
        let mut answer = Answer {
            verdict: Verdict::Allow,
            why: String::new(),
            place: None,
            incident: None,
            sign_in: person.map(sign_in),
            matched: found.matched.iter().map(|rule| (titled(policy, *rule), policy.place(*rule).to_owned())).collect(),
            checks: found.checks.iter().map(|check| self.line(check)).collect(),
            gets: None,
            sees: None,
            fix: None,
            today: Vec::new(),
        };
        match found.verdict {
            Ok(admitted) => {
                (answer.why, answer.place) = (titled(policy, admitted.rule), Some(Place::of(policy.place(admitted.rule))));
                if admitted.public {
                    answer.verdict = Verdict::Public;
                    answer.gets = Some(Gets { headers: shared(policy, self.path), account: String::new(), ..Gets::default() });
                } else if let Some(person) = person
                    && let Some(login) = self.let_in(person, &mut answer)
                {
                    self.mapped(person, login.as_deref(), &mut answer);
                }
            }
            Err(Refusal::Denied { reason, rule }) => {
                let of_bearer = reason == DenyReason::Idp && self.way == Way::Bearer;
                let place = if of_bearer { lines.of_section(policy, "bearer", "idp") } else { lines.of_key(policy, rule, reason.key()) };
                answer.verdict = Verdict::Deny;
                reason.key().clone_into(&mut answer.why);
                answer.fix = Some(self.fix(reason, rule, &place));
                answer.place = Some(place);
                answer.sees = Some(self.sees(PublicMessage::Denied(reason)));
            }
            Err(Refusal::FreshLogin { max_age_ms }) => {
                answer.verdict = Verdict::SignIn;
                answer.why = format!("max_age {}", duration_text(max_age_ms));
                answer.place = found.deciding().map(|check| lines.of_key(policy, check.rule, check.key));
                let token = self.way == Way::Bearer;
                answer.sees = Some(self.sees(if token { PublicMessage::TokenTooOld } else { PublicMessage::FreshSignInRequired }));
                let fix = if token {
                    "a newer token is all it takes"
                } else {
                    "a new sign-in is all it takes: navigations are sent to the provider by themselves"
                };
                answer.fix = Some(fix.to_owned());
            }
            Err(Refusal::TokenRequired) => {
                answer.verdict = Verdict::Deny;
                "auth".clone_into(&mut answer.why);
                let closed = found
                    .matched
                    .iter()
                    .find(|rule| matches!(rule, Rule::Path(index) if policy.paths.get(*index).is_some_and(|section| !section.auth.session)));
                answer.place = closed.map(|rule| lines.of_key(policy, *rule, "auth"));
                answer.sees = Some(self.sees(PublicMessage::TokenRequired));
                answer.fix = Some("only access tokens are accepted here: let `auth` name \"session\" too, or send a token".to_owned());
            }
            Err(Refusal::LoginRequired) => {
                answer.verdict = Verdict::SignIn;
                let why = if person.is_none() { "nobody is signed in" } else { "no access token is accepted here" };
                why.clone_into(&mut answer.why);
                answer.place = Some(Place::of(&policy.login_place));
                answer.sees = Some(self.sees(PublicMessage::SignInRequired));
            }
        }
        answer
    }

    /// Whether tokens make no accounts here: then only what is recorded counts.
    fn only_recorded(&self) -> bool {
        self.way == Way::Bearer && !self.policy.bearer.as_ref().is_some_and(|bearer| bearer.provision)
    }

    /// Admitted by `[access]`: whether `[provision]` lets the person in, as the desk of live traffic would say it (`provision/switched_off.rs`, `recorded.rs`). The
    /// recorded login, where there is one; `None`: they are not let in, and the answer says why.
    #[expect(clippy::option_option, reason = "let in or not, and then with a recorded login or without one")]
    fn let_in(&self, person: &Person, answer: &mut Answer) -> Option<Option<String>> {
        let record = person.account.as_ref();
        let login = |record: &AccountRecord| record.login.clone();
        let there = record.filter(|record| record.account_id.is_some());
        let Some(switches) = self.policy.provision.as_ref().map(|provision| &provision.switches) else { return Some(there.and_then(login)) };
        let linked = record.filter(|record| record.is_linked());
        let off = |says: &str| Some(("enabled", format!("false, and {says}")));
        let between = linked.is_some_and(is_between_names);
        let refused = match (switches.enabled, switches.when_disabled) {
            (false, WhenDisabled::DenyAll) => off("when_disabled = \"deny_all\": nobody is let in").map(|line| (line, PublicMessage::AppClosed)),
            (enabled, _) if between && (self.only_recorded() || !enabled) => {
                let says = "a new login was sent to the app, and it is not known yet what came of it".to_owned();
                Some(((if enabled { "provision" } else { "enabled" }, says), PublicMessage::AccountUnavailable))
            }
            _ if self.only_recorded() => {
                let none = ("provision", "false in [bearer], and no account of this person is linked".to_owned());
                linked.is_none().then_some((none, PublicMessage::TokenWithoutAccount))
            }
            (false, WhenDisabled::AllowLinked) if linked.is_none() => {
                off("no account of this person is linked (when_disabled = \"allow_linked\")").map(|line| (line, PublicMessage::AccountsOff))
            }
            (false, _) if linked.is_none() && record.is_some_and(|record| record.state == AccountState::Conflict) => {
                off("the account is a conflict").map(|line| (line, PublicMessage::AccountExists))
            }
            (true | false, WhenDisabled::AllowLinked | WhenDisabled::Passthrough | WhenDisabled::DenyAll) => None,
        };
        let Some(((key, says), message)) = refused else {
            let known = if switches.enabled && !self.only_recorded() { there } else { linked };
            return Some(known.and_then(login));
        };
        let (section, name) = if key == "enabled" { ("[provision]", "provision") } else { ("[bearer]", "bearer") };
        let place = self.lines.of_section(self.policy, name, key);
        answer.verdict = Verdict::Deny;
        answer.why = message.words();
        answer.checks.push(Line { state: State::Fail, section, key, place: place.text.clone(), says });
        let line = place.line.map_or_else(|| place.text.clone(), |line| format!("line {line}"));
        answer.fix = Some(if message == PublicMessage::TokenWithoutAccount {
            "let the person sign in once in a browser, or set provision = true in [bearer]".to_owned()
        } else if message == PublicMessage::AccountUnavailable {
            "let the person sign in once in a browser while accounts are switched on: what came of it is looked at then".to_owned()
        } else if message == PublicMessage::AccountExists {
            "look at the account: `vestibule users show` says what is wrong".to_owned()
        } else {
            format!("switch accounts on again ({line}), or change when_disabled")
        });
        answer.place = Some(place);
        answer.sees = Some(self.sees(message));
        None
    }

    /// Admitted: what comes of the sign-in at the app, or why nothing can.
    fn mapped(&self, person: &Person, recorded: Option<&str>, answer: &mut Answer) {
        let wanted = match recorded {
            Some(login) if self.only_recorded() => recognise(self.policy, &person.identity, login),
            recorded => desire(self.policy, &person.identity, recorded),
        };
        let (key, why, fix) = match wanted {
            Ok(mapped) => match preview(self.policy, &mapped, self.path) {
                Ok(headers) => {
                    answer.gets = Some(self.gets(person, &mapped, headers));
                    return;
                }
                Err(why) => ("", why, "the app cannot be told this; change the value at the provider, or the header in the policy".to_owned()),
            },
            Err(error) => {
                let fix = match &error {
                    MappingError::Missing(missing) => {
                        format!("have the provider send {}, or give the policy another source for it", missing.wanted())
                    }
                    MappingError::Unusable { attribute, .. } => format!("correct {attribute} at the provider"),
                    MappingError::UnknownRole(_) => "correct the role in [[org]]: it must be one that the app has".to_owned(),
                    MappingError::Login(_) => "make [user] name from something else".to_owned(),
                };
                (if matches!(error, MappingError::Missing(_)) { "required" } else { "" }, error.to_string(), fix)
            }
        };
        answer.verdict = Verdict::Deny;
        DenyReason::Required.key().clone_into(&mut answer.why);
        let place = self.lines.of_user(self.policy, key);
        answer.checks.push(Line { state: State::Fail, section: "[user]", key, place: place.text.clone(), says: why });
        answer.place = Some(place);
        answer.sees = Some(self.sees(if key.is_empty() { PublicMessage::UnusableSignIn } else { PublicMessage::IncompleteSignIn }));
        answer.fix = Some(fix);
    }

    fn gets(&self, person: &Person, mapped: &Mapped, headers: Vec<(String, String)>) -> Gets {
        let policy = self.policy;
        let listed = |name: &str| mapped.scope.get(name).and_then(Value::as_array);
        let unknown = "not known: a group would decide, and the provider did not say which groups there are";
        let joined = |values: Vec<String>| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
        let roles = policy.roles.as_ref().map(|_| listed("roles").map_or(unknown.to_owned(), |roles| joined(roles.iter().map(plain).collect())));
        let org = |id: &Value| match role_in(policy, mapped, id) {
            Some(role) => format!("{} as {role}", plain(id)),
            None => plain(id),
        };
        let orgs = (!policy.orgs.is_empty()).then(|| listed("orgs").map_or(unknown.to_owned(), |orgs| joined(orgs.iter().map(org).collect())));
        Gets {
            login: Some(mapped.desired.login.clone()),
            account: account(policy, person),
            roles,
            orgs,
            headers: headers.into_iter().chain(shared(policy, self.path)).collect(),
            enters: enters(policy),
            lands: lands(policy, mapped, person),
        }
    }

    fn line(&self, check: &Check) -> Line {
        let state = match check.outcome {
            Outcome::Holds => State::Ok,
            Outcome::Fails(_) | Outcome::OtherWay => State::Fail,
            Outcome::Open => State::Open,
        };
        // What the policy says of tokens stands in sections of its own.
        let (section, place) = match (check.rule, check.key) {
            (Rule::Login, "idp") if self.way == Way::Bearer => ("[bearer]", self.lines.of_section(self.policy, "bearer", "idp")),
            (Rule::Login, "auth") => ("[[path]]", Place::of(&self.policy.file)),
            (rule, key) => (named(rule), self.lines.of_key(self.policy, rule, key)),
        };
        Line { state, section, key: check.key, place: place.text, says: check.says.clone() }
    }

    /// The page, as it is made for everybody.
    fn sees(&self, message: PublicMessage) -> Sees {
        sees(self.gateway, message, Some(self.policy), self.person.map(|person| &person.identity))
    }

    /// The way out, for ops.
    fn fix(&self, reason: DenyReason, rule: Rule, place: &Place) -> String {
        let policy = self.policy;
        let line = place.line.map_or_else(|| place.text.clone(), |line| format!("line {line}"));
        let gate = match rule {
            Rule::Login | Rule::Access => &policy.access,
            Rule::Path(index) => policy.paths.get(index).map_or(&policy.access, |section| &section.gate),
        };
        let any = |globs: &[Glob]| globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(" or ");
        match reason {
            DenyReason::Groups => format!("add the person to {} at the provider, or widen {line}", any(&gate.groups)),
            DenyReason::DenyGroups => format!("take the person out of {} at the provider, or narrow {line}", any(&gate.deny_groups)),
            DenyReason::Domains => format!("if people of that domain may enter, add it to {line}"),
            DenyReason::EmailUnverified => {
                "have the address verified at the provider; trust_email = true at its [[idp]], if it only has verified addresses".to_owned()
            }
            DenyReason::Networks => format!("come from one of the networks of {line}, or widen it"),
            DenyReason::When => format!("the condition of {line} decides"),
            DenyReason::MaxAge => "a new sign-in is all it takes".to_owned(),
            DenyReason::Required => format!("have the provider send what {line} asks for"),
            DenyReason::Methods => format!("widen {line}, if this method may be used here"),
            DenyReason::Idp if self.way == Way::Bearer => {
                let issuer = policy.bearer.as_ref().map(|bearer| bearer.idp.as_str()).unwrap_or_default();
                format!("use a token of {issuer}, or change {line}")
            }
            DenyReason::Idp => format!("sign in with {}, or widen {line}", policy.login.idp.join(" or ")),
            DenyReason::Origin => "open it from a page of the app itself".to_owned(),
            DenyReason::LocalSignIn => {
                "signing in happens at the gateway; break_glass lets a group use the app's own sign-in, block_paths = [] opens it to everybody"
                    .to_owned()
            }
        }
    }
}

/// The page that belongs to a message, as it is made for everybody.
pub(super) fn sees(gateway: &Gateway, message: PublicMessage, app: Option<&Policy>, person: Option<&Identity>) -> Sees {
    let pages = Pages::new(gateway.pages.clone(), &format!("https://{}", gateway.server.auth_host));
    let context =
        PageContext { kind: RequestKind::Page, incident: Incident::from_number(0), app, person, continue_to: None, language: Wish::default() };
    let (status, title, first) = pages.headline(message, context);
    let text = if first.is_empty() { title } else { format!("{title}. {first}") };
    // Whoever runs sign-in can help with what a sign-in lacks; the app's people with everything else.
    let of_app =
        app.and_then(|app| app.contact.clone()).filter(|_| !matches!(message, PublicMessage::IncompleteSignIn | PublicMessage::UnusableSignIn));
    let contact = of_app.or_else(|| gateway.pages.contact.clone());
    Sees { status: status.as_u16(), text, contact }
}

/// How a section is called in a list of them.
pub(super) fn titled(policy: &Policy, rule: Rule) -> String {
    match rule {
        Rule::Login | Rule::Access => named(rule).to_owned(),
        Rule::Path(index) => {
            let patterns = policy.paths.get(index).map_or(&[] as &[_], |section| section.patterns.as_slice());
            format!("[[path]] {}", patterns.iter().map(crate::policy::PathPattern::as_str).collect::<Vec<_>>().join(", "))
        }
    }
}

const fn named(rule: Rule) -> &'static str {
    match rule {
        Rule::Login => "[login]",
        Rule::Access => "[access]",
        Rule::Path(_) => "[[path]]",
    }
}

/// Who it is, and how that is known.
pub(super) fn sign_in(person: &Person) -> SignIn {
    let identity = &person.identity;
    let who = identity.email.as_ref().or(identity.username.as_ref()).unwrap_or(&identity.subject.subject).clone();
    let groups = match &identity.groups {
        Groups::Known(names) => Some(names.clone()),
        Groups::Unknown => None,
    };
    let subject = identity.subject.subject.clone();
    SignIn { who, subject, idp: identity.idp.clone(), known: person.known.clone(), note: person.note, groups }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The role in an organisation: what the connector would be asked for.
fn role_in(policy: &Policy, mapped: &Mapped, id: &Value) -> Option<String> {
    let org = policy.orgs.iter().find(|org| org.id == *id)?;
    org.role.render(&mapped.scope).as_ref().map(plain)
}

/// Headers with a secret, without it.
fn shared(policy: &Policy, path: &CanonicalPath<'_>) -> Vec<(String, String)> {
    let of_sections = policy.paths.iter().filter(|section| section.gives(path)).flat_map(|section| &section.secret_headers);
    policy.secret_headers.iter().chain(of_sections).map(|header| (header.name.to_string(), "[redacted]".to_owned())).collect()
}

fn account(policy: &Policy, person: &Person) -> String {
    let Some(record) = &person.account else {
        return if policy.provision.is_some() { "(no account is recorded: found or made on the way)".to_owned() } else { String::new() };
    };
    let state = match record.state {
        AccountState::Active => "active",
        AccountState::Degraded => "active, something optional is missing",
        AccountState::LinkedUnmanaged => "was there before, left alone",
        AccountState::Provisioning => "being made",
        AccountState::AwaitingApproval => "waits for approval",
        AccountState::Pending => "not ready, will be tried again",
        AccountState::Conflict => "a conflict: somebody has to look",
        AccountState::Suspending if policy.provision.as_ref().is_some_and(|provision| provision.leavers.delete) => "left, to be removed at the app",
        AccountState::Suspending => "left, to be switched off at the app",
        AccountState::Suspended => "left, switched off",
        AccountState::Deprovisioned => "left, removed at the app",
    };
    let origin = match record.origin {
        Some(Origin::Created) => ", made by the gateway",
        Some(Origin::Adopted) => ", taken over",
        Some(Origin::Preexisting) | None => "",
    };
    let error = record.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("({state}{origin}{error})")
}

/// How the gateway itself signs people in at the app.
fn enters(policy: &Policy) -> Option<String> {
    match policy.sign_in.mode {
        Mode::SessionBridge => {
            Some("by the app's own form, with a password that the gateway keeps for them: lower assurance than a header".to_owned())
        }
        Mode::TokenExchange => Some("by a token that the app gives for the gateway's".to_owned()),
        Mode::Header | Mode::Basic => None,
    }
}

/// Where the first page of a session leads, where the policy says so.
fn lands(policy: &Policy, mapped: &Mapped, person: &Person) -> Option<String> {
    let at = |arrival| policy.login.landing_of(arrival, &mapped.scope);
    match person.account.as_ref().map(|record| record.origin) {
        Some(Some(Origin::Adopted | Origin::Preexisting)) => at(Arrival::Existing),
        None if policy.provision.is_some() && at(Arrival::New) != at(Arrival::Known) => {
            let asked = || "the page asked for".to_owned();
            let (new, known) = (at(Arrival::New).unwrap_or_else(asked), at(Arrival::Known).unwrap_or_else(asked));
            Some(format!("{new} when the account is made, else {known}"))
        }
        Some(Some(Origin::Created) | None) | None => at(Arrival::Known),
    }
}

/// `14 minutes ago`.
pub(super) fn ago(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second")];
    let Some((count, name)) = UNITS.iter().find(|(unit, _)| ms >= *unit).map(|(unit, name)| (ms / unit, name)) else {
        return "just now".to_owned();
    };
    format!("{count} {name}{} ago", if count == 1 { "" } else { "s" })
}
