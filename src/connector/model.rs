//! A connector as data: what `policies/connectors/APP.toml` says, and a policy's own `[provision.find]` and `[[provision.step]]`.
//!
//! Lives here: [`Model`], [`Steps`] and the one type of step, [`Call`], that both are compiled into, so that there is one engine. `read.rs` reads
//! keys with spans, `tree.rs` compiles values, `file.rs` is the connector file, `own.rs` a policy's own steps, `fold.rs` says when two names are
//! the same. Pure: no IO, no clock. It never knows what a response looks like on the wire (`engine/`).
//!
//! Whatever comes out of here is safe to run: a lookup cannot be without an exact filter, 401 and 403 cannot mean "absent", an outcome fits the
//! declared effect of its step, and every value has a place in a tree or a typed escape.

mod body;
mod call;
mod capability;
mod defaults;
mod disable;
mod file;
mod fold;
mod names;
mod own;
mod paging;
mod read;
mod tree;

pub use fold::{Fold, same_email, skeleton};
pub use tree::Tree;
pub(super) use tree::{FOR_SHOW, Over, plain};

use crate::config::SecretRef;
use crate::connector::Outcome;
use crate::expr::{Condition, Env, FirstOf, Lookup, Template};
use crate::policy::MatchBy;
use crate::policy::sign_in::Mode;
use crate::source::{Node, Problem, SourceFile, Table};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How admin calls authenticate.
#[derive(Debug, Clone, Default)]
pub struct Credential {
    /// `token`: `Authorization: Bearer …` (or as the connector says).
    pub token: Option<SecretRef>,
    /// `username` and `password`: `Authorization: Basic …`.
    pub basic: Option<(String, SecretRef)>,
    /// `headers = { X-Key = { secret = "…" } }`.
    pub headers: Vec<(String, SecretRef)>,
    /// Settings that are secrets (`[settings.NAME] secret = true`), by name.
    pub settings: Vec<(String, SecretRef)>,
}

/// A connector, parsed and checked.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name, e.g. `scim`.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// `app version` pairs it was proven against.
    pub tested_with: Vec<String>,
    /// How requests look.
    pub http: Http,
    /// Settings that a policy may give in `[provision.settings]`.
    pub settings: Vec<Setting>,
    /// What a login and an id are there.
    pub identity: IdentityFacts,
    /// Where an account's parts stand in an answer.
    pub account: AccountShape,
    /// Attributes an account has, by the connector's names.
    pub attributes: Vec<Attribute>,
    /// The kind of membership that a policy's roles become (`role`, `group`).
    pub roles_as: String,
    /// The kind of membership that a policy's `[[org]]` sections become.
    pub orgs_as: String,
    /// Roles from lowest to highest, for `pick = "highest"`; empty: the order of the policy's map.
    pub role_order: Vec<String>,
    /// Every role the app knows (`roles`, else `role_order`); empty: roles are the app's own affair, and it is asked.
    pub roles: Vec<String>,
    /// The role of a membership whose `[[org]]` names none.
    pub default_role: Option<String>,
    /// Whether the app knows organisations by number only (`orgs_by = "number"`).
    pub orgs_by_number: bool,
    /// Memberships that a new account has without being asked for, by kind, and the roles they come with; no role listed: any. They are the gateway's to
    /// take back, since the account is.
    pub joined_on_create: Vec<(String, Vec<String>)>,
    /// What may be done about a password when an account is made, the usual first; empty: whatever the policy's own steps do.
    pub initial_password: Vec<InitialPassword>,
    /// The file it was read from, as printed; `None`: built in.
    pub file: Option<Arc<str>>,
    /// First 12 hex digits of the SHA-256 of that file; empty: built in. Accounts are looked at again when it changes.
    pub revision: String,
    /// How an account is switched off, the usual first; what comes to `unsupported` makes room for the next.
    pub disable_by: Vec<DisableBy>,
    /// Kinds of which an account has exactly one (Zabbix: its role), with what it becomes when that is taken back; over `settings`.
    pub single: Vec<(String, Option<Template>)>,
    /// What it can do; a verb that is missing is a thing the app cannot do.
    pub verbs: BTreeMap<Verb, Vec<Call>>,
    /// What is known of signing in to the app.
    pub sign_in: SignIn,
}

/// What becomes of the password of a new account. People sign in through the gateway; nobody is ever told one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InitialPassword {
    /// One that nobody knows: random, sent with the create as `{random}`, and forgotten.
    Random,
    /// None is set.
    None,
}

/// The fixed verbs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// A pre-step that fetches a short-lived admin token; saves `token`, and perhaps `expires_in`.
    Token,
    /// A pre-step that signs in by cookies: its cookies go with every later request, what it saves is `session.NAME`.
    Session,
    /// Is the admin API there, and is the credential good?
    Probe,
    /// Look for an account, in one way.
    Lookup(Way),
    /// Read the account of a known id.
    Get,
    /// Make an account.
    Create,
    /// Change attributes.
    Update,
    /// Change the login.
    Rename,
    /// Switch on again.
    Enable,
    /// Switch off.
    Disable,
    /// Remove for good.
    Delete,
    /// All accounts.
    List,
    /// Memberships of a kind.
    Members(String, MemberVerb),
    /// Name of a group, role or organisation to the app's id of it.
    Resolve(String),
    /// End the person's sessions in the app.
    RevokeSessions,
    /// Give the account the password `{secret}`, through the admin API.
    SetPassword,
    /// Sign a person in at the app itself, by `{secret}`; what the steps save as `token`, and the cookies of their answers, are the person's.
    Enter,
    /// Give back what [`Verb::Enter`] saved as `token`, which is `{secret}` here, at the app itself.
    Leave,
}

/// In which way an account is looked for: [`MatchBy`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// By the id this gateway wrote there.
    ExternalId,
    /// By login.
    Login,
    /// By e-mail address.
    Email,
}

impl From<MatchBy> for Way {
    fn from(by: MatchBy) -> Self {
        match by {
            MatchBy::ExternalId => Self::ExternalId,
            MatchBy::Login => Self::Login,
            MatchBy::Email => Self::Email,
        }
    }
}

impl From<Way> for MatchBy {
    fn from(way: Way) -> Self {
        match way {
            Way::ExternalId => Self::ExternalId,
            Way::Login => Self::Login,
            Way::Email => Self::Email,
        }
    }
}

/// What can be done with memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberVerb {
    /// Which ones there are.
    List,
    /// Grant one.
    Add,
    /// Take one back.
    Remove,
    /// Replace all.
    Set,
    /// The name of one whose id is known, for an app that lists ids only.
    Name,
}

/// `[http]`.
#[derive(Debug, Clone)]
pub struct Http {
    /// How `token` of the policy, or the token of a pre-step, is presented.
    pub auth: Auth,
    /// `Accept`.
    pub accept: String,
    /// `Content-Type` of JSON bodies.
    pub content_type: String,
    /// Headers that every request carries, over `settings` and `session`; one whose value is absent is left out.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// How long a session of `[[session]]` is used before a new one is begun.
    pub session_ttl_ms: u64,
    /// How long a token of `[[token]]` is used, unless its answer says `expires_in`; `None`: until it is refused.
    pub token_ttl_ms: Option<u64>,
}

/// `auth`: how the policy's credential is presented.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Header of the token: `Authorization`.
    pub header: http::HeaderName,
    /// Before the token, its space included: `Bearer `.
    pub prefix: String,
    /// When the credential goes with a request.
    pub presented: Presented,
    /// JSON-RPC of before the header: a member of the request that carries the token instead.
    pub member: Option<AuthMember>,
}

/// `auth = { jsonrpc = "auth", if = "settings.token_in_body" }`.
#[derive(Debug, Clone)]
pub struct AuthMember {
    /// Its name.
    pub name: String,
    /// Over `settings`; left out: always.
    pub condition: Option<Condition>,
}

/// When the policy's credential goes with a request. Headers of `[provision.headers]` always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// The token, or user and password where there is no pre-step: with a pre-step those are for it alone.
    Usual,
    /// `auth = "basic"`: user and password with every request, a pre-step's included.
    Basic,
    /// `auth = "none"`: with none. Only the pre-steps have it, as `credential`.
    Nowhere,
}

/// One way to switch an account off.
#[derive(Debug, Clone)]
pub enum DisableBy {
    /// `flag`: the steps of `[[disable]]`.
    Flag,
    /// `group`: exactly one membership is left, that of a group for which the app lets nobody in.
    Group {
        /// Kind of membership.
        kind: String,
        /// Its name, over `settings`.
        name: Template,
    },
    /// `members_removed`: every membership that can be listed is taken away.
    MembersRemoved,
    /// `delete`: the steps of `[[delete]]`; only for whoever allows it.
    Delete,
    /// `none`: the app cannot; the gateway lets the person no longer through, and that is all.
    Nothing,
}

/// `[settings.NAME]`.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// When the policy says nothing.
    pub default: Value,
    /// What it may be; empty: anything of the default's type.
    pub allowed: Vec<Value>,
    /// Its value is a reference to a secret (`cred: file: env:`), which only `signed` bodies and pre-steps see.
    pub secret: bool,
}

/// `[identity]`.
#[derive(Debug, Clone)]
pub struct IdentityFacts {
    /// When two logins are one.
    pub fold: Fold,
    /// The app keeps logins in lower case when people sign in, whatever its admin API takes: they are made and looked for in lower case.
    pub lower: bool,
    /// Logins that fit may be created; absent: any.
    pub charset: Option<regex::Regex>,
    /// Longest login, in characters.
    pub chars_max: usize,
    /// Logins that the gateway never creates and never takes over, in any spelling.
    pub reserved: Vec<String>,
}

/// Why a login may not be used at this app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginProblem {
    /// Nothing there.
    #[error("the login is empty")]
    Empty,
    /// Longer than the app takes.
    #[error("the login is longer than the app takes")]
    TooLong,
    /// Characters the app does not take, control characters, or white space at an end.
    #[error("the login has characters that the app does not take")]
    Charset,
    /// Reserved at the app (`admin`), in whatever spelling.
    #[error("the login is reserved at the app")]
    Reserved,
}

/// `[account]`: where the parts of an account stand in an answer.
#[derive(Debug, Clone, Default)]
pub struct AccountShape {
    /// The app's immutable id.
    pub id: Option<Extract>,
    /// Login.
    pub login: Option<Extract>,
    /// What the gateway wrote there to know it again.
    pub external_id: Option<Extract>,
    /// E-mail address.
    pub email: Option<Extract>,
    /// True for administrators.
    pub admin: Option<Extract>,
    /// Whether apps that the connector speaks to may leave that out.
    pub admin_optional: bool,
    /// True when disabled.
    pub disabled: Option<Extract>,
    /// For `If-Match`.
    pub etag: Option<Extract>,
    /// Memberships that stand in the account itself, by kind.
    pub members: Vec<(String, MemberShape)>,
}

/// Memberships in an answer.
#[derive(Debug, Clone)]
pub struct MemberShape {
    /// The list.
    pub each: Pointer,
    /// Name of one, from its element; empty: the element is the name.
    pub name: Pointer,
    /// Role in it.
    pub role: Option<Pointer>,
    /// The app's id of it, for an app that replaces whole lists of ids.
    pub id: Option<Pointer>,
}

/// Where a value is read from, and what it means.
#[derive(Debug, Clone)]
pub struct Extract {
    /// Candidates in order: the first that is set counts.
    pub from: Vec<Place>,
    /// Values of the app to ours, by their text (`true`, `3`); empty: as it is. A value that is not in the map counts as absent.
    pub map: Vec<(String, Value)>,
    /// Of a text only what the pattern's first group matches; one that does not match counts as absent.
    pub part: Option<regex::Regex>,
}

/// A place in a response.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the JSON body (or the selected element).
    Json(Pointer),
    /// In a header.
    Header(http::HeaderName),
    /// The last segment of the path in `Location`: `https://app/users/42` shows `42`.
    LocationSegment,
    /// An attribute of an element of an HTML page; only in pre-steps.
    Html(HtmlPlace),
    /// The value of a cookie that the answer sets; only in pre-steps.
    Cookie(String),
}

/// `input[name=authenticity_token]` and `value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtmlPlace {
    /// Element name, lower case.
    pub element: String,
    /// An attribute that it must have, and its value.
    pub with: Option<(String, String)>,
    /// The attribute that is read.
    pub attribute: String,
}

/// RFC 6901, with `*` for "any element". Empty: the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(pub Vec<String>);

impl Pointer {
    /// `/users/0/id`, or dotted as in policies: `users.0.id`.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self(Vec::new());
        }
        match text.strip_prefix('/') {
            Some(rest) => Self(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()),
            None => Self(text.split('.').map(str::to_owned).collect()),
        }
    }

    /// Everything it points at: at most one value without `*`.
    pub fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut here = vec![value];
        for part in &self.0 {
            here = here.into_iter().flat_map(|value| step(value, part)).collect();
        }
        here
    }

    /// The first it points at.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.all(value).into_iter().next()
    }
}

fn step<'v>(value: &'v Value, part: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(list) if part == "*" => list.iter().collect(),
        Value::Array(list) => part.parse::<usize>().ok().and_then(|at| list.get(at)).into_iter().collect(),
        Value::Object(map) => map.get(part).into_iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// `[attributes.NAME]`.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// The name that policies use in `[user.extra]`; `email` and `display` come from `[user]` itself.
    pub name: String,
    /// An account cannot be without it.
    pub required: bool,
    /// A policy may not leave it out.
    pub locked: bool,
    /// Where it comes from when the policy does not say.
    pub default: FirstOf,
    /// Where it stands in an answer.
    pub read: Option<Extract>,
    /// Its name in a change (`item.path`).
    pub path: String,
    /// Its value in a change, when it is not simply the value (`item.value`).
    pub write: Option<Tree>,
}

/// What a step does to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing: a dry run does it too.
    Read,
    /// Makes or changes.
    Write,
    /// Takes away.
    Destroy,
}

/// One request and what becomes of its answer: a step of a connector's verb or a policy's own.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name, e.g. `by_login`.
    pub name: String,
    /// What it does to the app.
    pub effect: Effect,
    /// Skipped unless this holds.
    pub condition: Option<Condition>,
    /// Done once for each element, as `item`.
    pub each: Option<Each>,
    /// Method.
    pub method: http::Method,
    /// Path below the admin base URL, without query. Every value in it is percent-encoded whole.
    pub path: Template,
    /// Query, names as written, values encoded.
    pub query: Vec<(String, Tree)>,
    /// Headers; one whose value is absent is left out.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// Body.
    pub body: Body,
    /// First match wins.
    pub classify: Vec<Rule>,
    /// Outcomes that do not end the verb although they are no success.
    pub go_on: Vec<Outcome>,
    /// Which element of the answer is meant.
    pub select: Option<Select>,
    /// Where the account (or the element that is saved from) stands in the answer, when it is not the whole.
    pub at: Pointer,
    /// Names for later steps.
    pub save: Vec<(String, Extract)>,
    /// How lists go on.
    pub paginate: Option<Paginate>,
    /// Whether any body goes with a 2xx (`response = "any"`); else a body that is not JSON is nobody's answer.
    pub any_body: bool,
    /// `response = "xml"`: answers are documents, read as trees; the names of elements in them that are lists (`lists`).
    pub xml: Option<Vec<String>>,
    /// `then = "get"`: whom a lookup has found is read again by id, because its own answer leaves parts out.
    pub then_get: bool,
    /// Whether the body has `{random}` in it.
    pub random: bool,
    /// `base = "get"`: the account is read just before, and the body is laid over it.
    pub base: Option<Base>,
    /// How long what a `resolve` step has found is believed.
    pub cache_ms: Option<u64>,
}

/// `base`, `keep`, `drop`: which of the fields that were read go back with a change.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// Only these; empty: all.
    pub keep: Vec<Pointer>,
    /// Not these.
    pub drop: Vec<Pointer>,
}

/// `each`.
#[derive(Debug, Clone)]
pub enum Each {
    /// Elements of a list.
    List(Template),
    /// One run for each membership granted; the kind as the policy says it: `roles`, `orgs`.
    Added(String),
    /// One run for each membership taken back.
    Removed(String),
}

/// Body of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body {
    /// None.
    Empty,
    /// `application/json`, or as `[http] content_type` says.
    Json(Tree),
    /// `application/x-www-form-urlencoded`; a list is a field several times.
    Form(Vec<(String, Tree)>),
    /// JSON-RPC 2.0: `method` as written, `params` a tree.
    JsonRpc {
        /// Method.
        method: String,
        /// Parameters.
        params: Option<Tree>,
    },
    /// GraphQL: a constant text, and variables.
    GraphQl {
        /// The document, without any value in it.
        query: String,
        /// Where values go.
        variables: Option<Tree>,
    },
    /// `text/plain`: the whole of it one value.
    Text(Template),
    /// A form of two fields: base64 of a form of `fields`, and its HMAC-SHA256 in hexadecimal under a secret setting (`DiscourseConnect`).
    Signed {
        /// Name of the field with the payload.
        payload: String,
        /// Name of the field with the signature.
        signature: String,
        /// Name of the setting with the secret.
        key: String,
        /// What is signed.
        fields: Vec<(String, Tree)>,
    },
}

/// One line of `classify`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Statuses; empty: 2xx and 4xx, but never 401, 403 or 429.
    pub status: Vec<u16>,
    /// All must hold on the JSON body.
    pub json: Vec<(Pointer, Test)>,
    /// Must match the body as text.
    pub body: Option<regex::Regex>,
    /// Headers that must be there and match.
    pub headers: Vec<(http::HeaderName, regex::Regex)>,
    /// What it then is.
    pub outcome: Outcome,
    /// In our own words, for the log.
    pub reason: Option<String>,
}

/// A test on a JSON value.
#[derive(Debug, Clone)]
pub enum Test {
    /// Is there, or is not.
    Exists(bool),
    /// Is exactly this.
    Equals(Value),
    /// Is a text (or number) that matches.
    Matches(regex::Regex),
}

/// `select`: which element, exactly.
#[derive(Debug, Clone)]
pub struct Select {
    /// The list; `None`: the answer itself is the one candidate.
    pub items: Option<Pointer>,
    /// What it must be.
    pub filter: Filter,
}

/// What makes an element the one that was asked for.
#[derive(Debug, Clone)]
pub enum Filter {
    /// All pointers show these values after folding; with `*` in the pointer, one of the values does.
    Equal(Vec<(Pointer, Template)>, SameAs),
    /// A policy's own condition over `item`.
    When(Condition),
}

/// When two values are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameAs {
    /// After this folding.
    Folded(Fold),
    /// As logins are, by `[identity]`.
    Login,
    /// As e-mail addresses are: the domain without case, the local part without ASCII case.
    Email,
}

/// `paginate`.
#[derive(Debug, Clone)]
pub struct Paginate {
    /// How the next page is asked for.
    pub style: PageStyle,
    /// The list.
    pub items: Pointer,
    /// Number of elements on all pages.
    pub total: Option<Pointer>,
    /// A list that is not at its end by then is not looked through: no answer rather than a wrong one.
    pub pages_max: u32,
    /// Whether the place in the list goes into the body (the table, the variables, the params, the form) and not into the query.
    pub in_body: bool,
    /// The query parameter, an object of Rison, of which the page's parameters are members; `None`: they are parameters of their own.
    pub rison: Option<String>,
}

/// How the next page is asked for.
#[derive(Debug, Clone)]
pub enum PageStyle {
    /// A parameter counts elements.
    Offset {
        /// Its name.
        parameter: String,
        /// Its first value.
        first: u64,
        /// Name of the parameter that limits a page.
        size: String,
        /// Page size.
        limit: u64,
    },
    /// A parameter counts pages.
    Page {
        /// Its name.
        parameter: String,
        /// Its first value.
        first: u64,
        /// Name of the parameter that limits a page.
        size: String,
        /// Page size.
        limit: u64,
    },
    /// `Link: <…>; rel="next"` (RFC 8288), below the admin base URL or not at all.
    Link,
    /// The answer says what to ask for next.
    Cursor {
        /// Name of the parameter.
        parameter: String,
        /// Where the answer shows it; absent or empty: the end.
        from: Pointer,
        /// Name of the parameter that limits a page.
        size: String,
        /// Page size.
        limit: u64,
    },
}

/// `[sign_in]`: facts for `doctor`, forwarding and sniffing.
#[derive(Debug, Clone, Default)]
pub struct SignIn {
    /// Header in which the app expects the login by default.
    pub header: Option<String>,
    /// The ways in which the app can be told who it is, the usual first; empty: nothing is known.
    pub modes: Vec<Mode>,
    /// The one path at which the app reads who it is, over `settings`: it may differ from one version of the app to another.
    pub login_url: Option<Template>,
    /// Whether the app keeps a session of its own, in a cookie, that outlives what it is told.
    pub own_session: bool,
    /// Where the app signs people out: paths, or a method and a path (`DELETE /session/*`).
    pub logout_paths: Vec<String>,
    /// A password for `Authorization: Basic` that the app does not look at.
    pub basic_password: Option<String>,
    /// What a rejected identity looks like.
    pub rejected_when: Vec<Rejected>,
    /// The app's own sign-in and sign-up pages, and what they call: as `logout_paths`.
    pub block_paths: Vec<String>,
    /// What to do about the app making accounts by itself.
    pub native_jit: Option<NativeJit>,
    /// Further advice.
    pub advice: Vec<String>,
}

impl SignIn {
    /// The one path at which the app reads who it is, with the settings of a policy; `None`: it reads that on every request, or settings are missing.
    pub fn login_url(&self, settings: &Map<String, Value>) -> Option<String> {
        let names = Map::from_iter([("settings".to_owned(), Value::Object(settings.clone()))]);
        plain(&self.login_url.as_ref()?.render(&names).ok()?).ok()
    }
}

/// `native_jit`: the app can make accounts by itself, which would make them twice, and not as the policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeJit {
    /// Settings of the app, as its manual writes them, e.g. `[auth.jwt] auto_sign_up`; empty when `text` says it all.
    pub settings: Vec<String>,
    /// What they should be, e.g. `off`.
    pub want: String,
    /// In words.
    pub text: String,
}

impl std::fmt::Display for NativeJit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.settings.is_empty() {
            return f.write_str(&self.text);
        }
        write!(f, "{} should be {}", self.settings.join(", "), self.want)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// One sign of a rejected identity.
#[derive(Debug, Clone)]
pub enum Rejected {
    /// This status.
    Status(u16),
    /// A redirect to a place that matches.
    Redirect(regex::Regex),
    /// An answer with this status whose text, as far as it is looked at, matches.
    Body {
        /// The status.
        status: u16,
        /// The text.
        text: regex::Regex,
    },
}

/// `rejected_when` of a policy, as of a connector.
pub fn rejected_when(file: &SourceFile, node: &Node) -> (Vec<Rejected>, Vec<Problem>) {
    file::rejected_when(file, node)
}

/// A policy's own find and steps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steps(pub(super) Arc<OwnSteps>);

/// What [`Steps`] holds.
#[derive(Debug)]
pub(super) struct OwnSteps {
    /// `[provision.find]`.
    pub(super) find: Option<OwnFind>,
    /// `[[provision.step]]`, in order.
    pub(super) steps: Vec<OwnStep>,
}

/// `[provision.find]`.
#[derive(Debug)]
pub(super) struct OwnFind {
    /// In which way it looks.
    pub(super) by: Way,
    /// The request.
    pub(super) call: Call,
    /// Where the account's parts stand.
    pub(super) shape: AccountShape,
    /// Whether `where` decides; without it the answer's own login, id or address must be the one asked for.
    pub(super) exact: bool,
}

/// `[[provision.step]]`.
#[derive(Debug)]
pub(super) struct OwnStep {
    /// Taken when the account is made.
    pub(super) on_create: bool,
    /// Taken when it is changed.
    pub(super) on_update: bool,
    /// The request.
    pub(super) call: Call,
}

impl Model {
    /// Parses a connector file. The model comes even with warnings, never with an error.
    pub fn parse(file: &SourceFile) -> (Option<Self>, Vec<Problem>) {
        file::parse(file)
    }

    /// The model behind `connector = "rest"`: nothing but the policy's own steps.
    pub fn rest() -> Self {
        file::rest()
    }

    /// The settings that are secrets, as the policy refers to them. Relative files begin beside `file`.
    pub fn secret_settings(&self, file: &SourceFile, given: Option<&Table>) -> Vec<(String, SecretRef)> {
        file::secret_settings(self, file, given)
    }

    /// Whether requests need a pre-step of cookies.
    pub fn has_session(&self) -> bool {
        self.can(&Verb::Session)
    }

    /// Settings with the policy's values in place: `given` is `[provision.settings]`.
    pub fn settings(&self, file: &SourceFile, given: Option<&Table>) -> (Map<String, Value>, Vec<Problem>) {
        file::settings(self, file, given)
    }

    /// The attributes that have a value, from their defaults; `scope` as in [`Context::scope`](super::Context). A policy's own values go over these.
    pub fn defaults(&self, scope: &dyn Lookup) -> BTreeMap<String, Value> {
        self.attributes.iter().filter_map(|attribute| Some((attribute.name.clone(), attribute.default.render(scope)?))).collect()
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Whether it knows `verb`.
    pub fn can(&self, verb: &Verb) -> bool {
        self.verbs.contains_key(verb)
    }
}

impl IdentityFacts {
    /// The login as the app writes it.
    pub fn canonical(&self, login: &str) -> String {
        if self.lower { login.to_lowercase() } else { login.to_owned() }
    }

    /// Whether an account with this login may be made.
    ///
    /// # Errors
    /// The first [`LoginProblem`].
    pub fn accepts(&self, login: &str) -> Result<(), LoginProblem> {
        if login.is_empty() {
            return Err(LoginProblem::Empty);
        }
        if login.chars().count() > self.chars_max {
            return Err(LoginProblem::TooLong);
        }
        if self.is_reserved(login) {
            return Err(LoginProblem::Reserved);
        }
        let unclean = login.trim() != login || login.chars().any(|c| c.is_control() || fold::is_invisible(c));
        if unclean || self.charset.as_ref().is_some_and(|charset| !charset.is_match(login)) {
            return Err(LoginProblem::Charset);
        }
        Ok(())
    }

    /// Whether `login` is a reserved one in any spelling: case, white space, width, invisible characters (CVE-2019-19844 class).
    pub fn is_reserved(&self, login: &str) -> bool {
        let bare = skeleton(login);
        self.reserved.iter().any(|reserved| skeleton(reserved) == bare)
    }
}

impl Steps {
    /// Compiles `[provision.find]` and `[[provision.step]]` of a policy. `env` has the names of the sign-in and `user role roles orgs vars`; `id`,
    /// `item` and saved names are added here.
    pub fn parse(file: &SourceFile, find: Option<&Node>, steps: &[Node], env: &Env) -> (Option<Self>, Vec<Problem>) {
        own::parse(file, find, steps, env)
    }

    /// Whether a step runs for each role (`roles`) or organisation (`orgs`) granted or taken back.
    pub fn has_each(&self, kind: &str) -> bool {
        self.0.steps.iter().any(|step| matches!(&step.call.each, Some(Each::Added(of) | Each::Removed(of)) if of == kind))
    }
}
