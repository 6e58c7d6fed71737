//! What is on a page, as data: title, blocks, where links go. Knows messages and kinds; knows no HTML.

use super::links::{self, Addresses};
use super::shown;
use super::template::Hole;
use super::text::Words;
use super::{Choice, PageContext, RequestKind, WhoAmI};
use crate::config;
use crate::config::Language;
use crate::fault::{DenyReason, PublicMessage};
use crate::identity::{Groups, Identity, email};
use crate::policy::mapping::desire;
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::{Duration, SystemTime};

/// What an address keeps in a `mailto:` link; `?` and `&` would add header fields (RFC 6068 2).
const MAIL_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'@').remove(b'.').remove(b'-').remove(b'_').remove(b'+');

/// A page, before it is written as HTML or JSON.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) words: &'static Words,
    /// The `<title>` and the one `<h1>`.
    pub(super) title: String,
    /// Where a zero-delay refresh goes.
    pub(super) refresh: Option<String>,
    /// Whether the incident code is printed.
    pub(super) code: bool,
    pub(super) blocks: Vec<Block>,
}

/// A part of a page.
#[derive(Debug)]
pub(super) enum Block {
    Text(Vec<Piece>),
    /// A paragraph that explains: a policy's own words take its place.
    Why(Vec<Piece>),
    /// `role="status"`.
    Status(Vec<Piece>),
    Progress(&'static str),
    Steps(Vec<Vec<Piece>>),
    Actions(Vec<Action>),
    Small(Vec<Piece>),
    Choices(Vec<Offer>),
    Facts(Vec<(String, Vec<Piece>)>),
    Form {
        action: String,
        token: String,
        button: &'static str,
        stay: &'static str,
    },
}

/// A run of text.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Our words, or an operator's.
    Text(String),
    /// Chosen by others: isolated from the direction of its neighbours.
    Name(String),
    /// Typed as it is sent.
    Code(String),
    Link {
        href: String,
        text: String,
        new_tab: bool,
    },
}

/// A link that looks like a button.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) href: String,
    pub(super) text: String,
    pub(super) primary: bool,
}

/// A provider to choose.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) href: String,
    pub(super) name: String,
    pub(super) note: Option<&'static str>,
}

/// What the gateway knows about itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) settings: &'a config::Pages,
    pub(super) addresses: &'a Addresses,
}

/// The status of an answer.
pub(super) const fn status(message: PublicMessage, kind: RequestKind) -> StatusCode {
    match message {
        PublicMessage::BadRequest | PublicMessage::LinkExpired => StatusCode::BAD_REQUEST,
        PublicMessage::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        PublicMessage::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        PublicMessage::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
        PublicMessage::NoSuchHost | PublicMessage::NoSuchPage => StatusCode::NOT_FOUND,
        PublicMessage::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        // RFC 9470 3: a sign-in that is too old is a 401 like a missing one, because signing in helps.
        PublicMessage::SignInRequired
        | PublicMessage::SessionEnded
        | PublicMessage::FreshSignInRequired
        | PublicMessage::SignInOrTokenRequired
        | PublicMessage::TokenRequired
        | PublicMessage::TokenInvalid
        | PublicMessage::TokenTooOld => StatusCode::UNAUTHORIZED,
        PublicMessage::Denied(_)
        | PublicMessage::TokenScope
        | PublicMessage::TokenWithoutAccount
        | PublicMessage::SignInFailed
        | PublicMessage::SignInDeclined
        | PublicMessage::IncompleteSignIn
        | PublicMessage::UnusableSignIn
        | PublicMessage::AccountsOff
        | PublicMessage::AccountsFull
        | PublicMessage::AwaitingApproval
        | PublicMessage::OpenInBrowser
        | PublicMessage::AppClosed => StatusCode::FORBIDDEN,
        PublicMessage::ProviderDown
        | PublicMessage::StoreDown
        | PublicMessage::AccountFailed
        | PublicMessage::AccountUnavailable
        | PublicMessage::TooManyConnections
        | PublicMessage::AppUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        PublicMessage::AccountExists => StatusCode::CONFLICT,
        // Only a page can wait in place; everybody else has to come again.
        PublicMessage::Waiting => match kind {
            RequestKind::Page => StatusCode::OK,
            RequestKind::Form | RequestKind::Socket | RequestKind::Api => StatusCode::SERVICE_UNAVAILABLE,
        },
        PublicMessage::AppUnreachable | PublicMessage::AppRejected => StatusCode::BAD_GATEWAY,
        PublicMessage::AppTimeout => StatusCode::GATEWAY_TIMEOUT,
        PublicMessage::SignedOut | PublicMessage::SignedIn => StatusCode::OK,
        PublicMessage::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Seconds after which trying again makes sense; `None` where time does not help.
pub(super) const fn retry_after_s(message: PublicMessage) -> Option<u16> {
    match message {
        PublicMessage::Waiting => Some(2),
        PublicMessage::StoreDown | PublicMessage::AppUnreachable | PublicMessage::TooManyConnections => Some(10),
        PublicMessage::ProviderDown | PublicMessage::AccountFailed | PublicMessage::AccountUnavailable | PublicMessage::AppTimeout => Some(30),
        PublicMessage::AppUnavailable | PublicMessage::AppRejected => Some(60),
        PublicMessage::BadRequest
        | PublicMessage::BodyTooLarge
        | PublicMessage::HeadersTooLarge
        | PublicMessage::MethodRefused
        | PublicMessage::NoSuchHost
        | PublicMessage::Misdirected
        | PublicMessage::NoSuchPage
        | PublicMessage::SignInRequired
        | PublicMessage::SessionEnded
        | PublicMessage::FreshSignInRequired
        | PublicMessage::SignInOrTokenRequired
        | PublicMessage::TokenRequired
        | PublicMessage::TokenInvalid
        | PublicMessage::TokenScope
        | PublicMessage::TokenTooOld
        | PublicMessage::TokenWithoutAccount
        | PublicMessage::Denied(_)
        | PublicMessage::LinkExpired
        | PublicMessage::SignInFailed
        | PublicMessage::SignInDeclined
        | PublicMessage::AccountExists
        | PublicMessage::IncompleteSignIn
        | PublicMessage::UnusableSignIn
        | PublicMessage::AccountsOff
        | PublicMessage::AccountsFull
        | PublicMessage::AwaitingApproval
        | PublicMessage::OpenInBrowser
        | PublicMessage::AppClosed
        | PublicMessage::SignedOut
        | PublicMessage::SignedIn
        | PublicMessage::Internal => None,
    }
}

/// Whether signing in (again) changes the answer.
pub(super) const fn sign_in_helps(message: PublicMessage) -> bool {
    matches!(
        message,
        PublicMessage::SignInRequired
            | PublicMessage::SessionEnded
            | PublicMessage::FreshSignInRequired
            | PublicMessage::SignInOrTokenRequired
            | PublicMessage::TokenWithoutAccount
            | PublicMessage::Denied(DenyReason::MaxAge)
    )
}

/// Who can help.
#[derive(Clone, Copy)]
enum Contact {
    /// `[access] contact` of the app, else the sign-in's.
    App,
    /// `[pages] contact`: the team that runs sign-in.
    SignIn,
}

/// The page of a message. `held_before`: a waiting page that follows another.
pub(super) fn of_message(message: PublicMessage, context: PageContext<'_>, names: Names<'_>, held_before: bool) -> Sheet {
    // A form whose session ended gets the page that saves what was typed, whichever of the two words the caller had for it.
    let message = match (message, context.kind) {
        (PublicMessage::SignInRequired, RequestKind::Form) => PublicMessage::SessionEnded,
        (message, _) => message,
    };
    let words = context.words();
    let said = (words.message)(message);
    let mut blocks: Vec<Block> = Vec::new();
    let mut say = |template: &str| blocks.push(Block::Why(fill(template, context, &[])));
    said.text.iter().for_each(|template| say(template));
    let mut sheet = Sheet { words, title: title(said.heading, context), refresh: None, code: true, blocks };
    match message {
        PublicMessage::Waiting => waiting(&mut sheet, context, held_before),
        PublicMessage::SessionEnded => session_ended(&mut sheet, context),
        PublicMessage::FreshSignInRequired => sheet.act(&[(links::login_fresh(to(context)), words.sign_in)]),
        PublicMessage::SignInRequired | PublicMessage::SignInOrTokenRequired | PublicMessage::TokenWithoutAccount => {
            sheet.act(&[(links::login(to(context)), words.sign_in)]);
        }
        PublicMessage::Denied(reason) => denied(&mut sheet, reason, context, names),
        PublicMessage::IncompleteSignIn => incomplete(&mut sheet, context, names),
        PublicMessage::UnusableSignIn => unusable(&mut sheet, context, names),
        PublicMessage::AccountExists => {
            signed_in_as(&mut sheet, context);
            sheet.act(&[(links::login_other(to(context)), words.other_account)]);
            ask(&mut sheet, context, names, Contact::App);
        }
        PublicMessage::AccountsOff | PublicMessage::AccountsFull => {
            whoever(&mut sheet, context, names, words.made_by, words.made_by_others);
            signed_in_as(&mut sheet, context);
            sheet.act(&[(links::login_other(to(context)), words.other_account)]);
        }
        PublicMessage::AwaitingApproval => {
            whoever(&mut sheet, context, names, words.approval_by, words.approval_by_others);
            signed_in_as(&mut sheet, context);
            again(&mut sheet, context, names, words.try_again);
        }
        PublicMessage::AccountFailed | PublicMessage::AccountUnavailable => {
            match contact(context, names, Contact::App) {
                Some(who) => sheet.blocks.push(Block::Why(fill(words.recorded_contact, context, &[("contact", who)]))),
                None => sheet.blocks.push(Block::Why(fill(words.recorded, context, &[]))),
            }
            again(&mut sheet, context, names, words.try_again);
        }
        PublicMessage::LinkExpired | PublicMessage::SignInDeclined | PublicMessage::SignInFailed => {
            again(&mut sheet, context, names, words.start_again);
            ask(&mut sheet, context, names, Contact::SignIn);
        }
        PublicMessage::ProviderDown | PublicMessage::StoreDown | PublicMessage::TooManyConnections => {
            again(&mut sheet, context, names, words.try_again);
            ask(&mut sheet, context, names, Contact::SignIn);
        }
        PublicMessage::AppUnreachable
        | PublicMessage::AppTimeout
        | PublicMessage::AppRejected
        | PublicMessage::AppUnavailable
        | PublicMessage::OpenInBrowser
        | PublicMessage::AppClosed
        | PublicMessage::Internal => {
            again(&mut sheet, context, names, words.try_again);
            ask(&mut sheet, context, names, Contact::App);
        }
        PublicMessage::SignedIn | PublicMessage::SignedOut => {
            sheet.code = false;
            if let Some(href) = front_door(context, names) {
                sheet.blocks.push(Block::Actions(vec![Action { href, text: plain(&fill(words.go_to_app, context, &[])), primary: false }]));
            }
        }
        PublicMessage::BadRequest
        | PublicMessage::BodyTooLarge
        | PublicMessage::HeadersTooLarge
        | PublicMessage::MethodRefused
        | PublicMessage::NoSuchHost
        | PublicMessage::Misdirected
        | PublicMessage::TokenRequired
        | PublicMessage::TokenInvalid
        | PublicMessage::TokenScope
        | PublicMessage::TokenTooOld
        | PublicMessage::NoSuchPage => ask(&mut sheet, context, names, Contact::App),
    }
    own_words(&mut sheet, message, context, names);
    sheet
}

/// `[messages]` of the policy in place of the explanation. Whom to ask stands in some explanations: it is not lost with them.
fn own_words(sheet: &mut Sheet, message: PublicMessage, context: PageContext<'_>, names: Names<'_>) {
    let Some(text) = context.app.and_then(|app| app.messages.text(message, context.chosen())) else { return };
    let at = sheet.blocks.iter().position(|block| matches!(block, Block::Why(_))).unwrap_or(0);
    sheet.blocks.retain(|block| !matches!(block, Block::Why(_)));
    sheet.blocks.insert(at, Block::Why(vec![Piece::Text(shown::paragraph(text))]));
    if !sheet.blocks.iter().any(|block| matches!(block, Block::Small(_))) {
        ask(sheet, context, names, Contact::App);
    }
}

/// WCAG 2.2.1 forbids a timed refresh; one of zero seconds to an address that holds its answer keeps this page on screen until the
/// account is there, without script, flicker or polling.
fn waiting(sheet: &mut Sheet, context: PageContext<'_>, held_before: bool) {
    let words = sheet.words;
    let text = sheet.blocks.pop();
    sheet.code = false;
    if context.kind == RequestKind::Form {
        // A refresh would be a GET: the form would be gone.
        sheet.blocks.extend(text);
        sheet.blocks.push(Block::Text(fill(words.form_again, context, &[])));
        return;
    }
    let status = match text {
        Some(Block::Why(pieces)) if !held_before => pieces,
        _ => fill(words.still_waiting, context, &[]),
    };
    let href = links::wait(to(context));
    sheet.refresh = Some(href.clone());
    sheet.blocks.push(Block::Progress(words.progress));
    sheet.blocks.push(Block::Status(status));
    let link = Piece::Link { href, text: words.continue_link.to_owned(), new_tab: false };
    sheet.blocks.push(Block::Small(fill(words.continue_if_nothing, context, &[("continue", link)])));
}

/// Redirecting a POST would lose what was typed; Reload sends it again, and we never store a body.
fn session_ended(sheet: &mut Sheet, context: PageContext<'_>) {
    let words = sheet.words;
    let link = Piece::Link { href: links::login_in_a_new_tab(), text: words.sign_in_new_tab.to_owned(), new_tab: true };
    sheet.blocks.push(Block::Steps(vec![
        fill(words.session_ended_step_sign_in, context, &[("sign_in", link)]),
        fill(words.session_ended_step_reload, context, &[]),
    ]));
}

fn denied(sheet: &mut Sheet, reason: DenyReason, context: PageContext<'_>, names: Names<'_>) {
    let words = sheet.words;
    if reason == DenyReason::Required {
        return incomplete(sheet, context, names);
    }
    if reason == DenyReason::LocalSignIn {
        return local_sign_in(sheet, context, names);
    }
    sheet.blocks.push(Block::Why(fill((words.reason)(reason), context, &[])));
    signed_in_as(sheet, context);
    match reason {
        DenyReason::MaxAge => sheet.act(&[(links::login_fresh(to(context)), words.sign_in)]),
        DenyReason::Networks => again(sheet, context, names, words.try_again),
        DenyReason::Methods | DenyReason::Origin => {}
        DenyReason::Groups
        | DenyReason::DenyGroups
        | DenyReason::Domains
        | DenyReason::EmailUnverified
        | DenyReason::When
        | DenyReason::Required
        | DenyReason::LocalSignIn
        | DenyReason::Idp => sheet.act(&[(links::login_other(to(context)), words.other_account)]),
    }
    ask(sheet, context, names, Contact::App);
}

/// The identity team can help here, not the app's.
fn incomplete(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>) {
    let words = sheet.words;
    let missing = missing(context, words);
    let text = if missing.is_empty() {
        fill(words.not_sent_unknown, context, &[])
    } else {
        fill(words.not_sent, context, &[("missing", Piece::Text(missing.join(words.list)))])
    };
    sheet.blocks.push(Block::Why(text));
    signed_in_as(sheet, context);
    sheet.act(&[(links::login_other(to(context)), words.other_account)]);
    ask(sheet, context, names, Contact::SignIn);
}

/// The app's own sign-in is shut; the way in is ours, or lies behind them already.
fn local_sign_in(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>) {
    let words = sheet.words;
    sheet.blocks.push(Block::Why(fill((words.reason)(DenyReason::LocalSignIn), context, &[])));
    signed_in_as(sheet, context);
    if context.person.is_none() {
        sheet.act(&[(links::login("/"), words.sign_in)]);
    } else if let Some(href) = front_door(context, names) {
        sheet.act(&[(href, &plain(&fill(words.go_to_app, context, &[])))]);
    }
    ask(sheet, context, names, Contact::App);
}

/// The identity team can help here as well: what they sent is there, and is of no use.
fn unusable(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>) {
    let words = sheet.words;
    let text = match unusable_attribute(context, words) {
        Some(attribute) => fill(words.unusable, context, &[("attribute", Piece::Text(attribute))]),
        None => fill(words.unusable_unknown, context, &[]),
    };
    sheet.blocks.push(Block::Why(text));
    signed_in_as(sheet, context);
    sheet.act(&[(links::login_other(to(context)), words.other_account)]);
    ask(sheet, context, names, Contact::SignIn);
}

/// What the policy cannot make an account of, in words: read off the identity by the function that refused, so that no text has to travel with the message.
fn unusable_attribute(context: PageContext<'_>, words: &Words) -> Option<String> {
    let (app, person) = (context.app?, context.person?);
    // Somebody whose login is recorded is not asked for another: what stands in their way is the rest.
    let errors = [Some("recorded"), None].map(|login| desire(app, person, login).err());
    let error = errors.into_iter().flatten().find(|error| error.public() == PublicMessage::UnusableSignIn)?;
    let key = error.attribute();
    let name = key.strip_prefix("user.extra.").or_else(|| key.strip_prefix("user.")).unwrap_or(key);
    let name = if key == "user.name" { "username" } else { name };
    Some((words.attribute)(name).map_or_else(|| shown::name(name), str::to_owned))
}

/// Which of the policy's `[user] required` attributes the sign-in did not send, in words: read off the identity, so that no text
/// has to travel with the message.
fn missing(context: PageContext<'_>, words: &Words) -> Vec<String> {
    let (Some(app), Some(person)) = (context.app, context.person) else { return Vec::new() };
    let absent = app.user.required.iter().filter(|name| !has(person, name));
    absent.map(|name| (words.attribute)(name).map_or_else(|| shown::name(name.strip_prefix("claims.").unwrap_or(name)), str::to_owned)).collect()
}

fn has(person: &Identity, name: &str) -> bool {
    let set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    match name {
        "email" => set(&person.email),
        "name" => set(&person.name),
        "given_name" => set(&person.given_name),
        "family_name" => set(&person.family_name),
        "username" => set(&person.username),
        "groups" => person.groups != Groups::Unknown,
        _ => {
            let value = person.claims.get(name.strip_prefix("claims.").unwrap_or(name));
            value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
        }
    }
}

/// The picker.
pub(super) fn picker(context: PageContext<'_>, choices: &[Choice<'_>]) -> Sheet {
    let words = context.words();
    let options = choices.iter().map(|choice| Offer {
        href: links::local(choice.href).to_owned(),
        name: shown::name(choice.name),
        note: choice.last_used.then_some(words.last_used),
    });
    let blocks = vec![Block::Text(fill(words.picker_text, context, &[])), Block::Choices(options.collect())];
    let heading = if context.app.is_some() { words.picker_title } else { words.picker_title_here };
    Sheet { words, title: title(heading, context), refresh: None, code: false, blocks }
}

/// The apps of a person.
pub(super) fn launcher(context: PageContext<'_>, names: Names<'_>, apps: &[Choice<'_>]) -> Sheet {
    let words = context.words();
    let mut sheet = Sheet { words, title: title(words.launcher_title, context), refresh: None, code: false, blocks: Vec::new() };
    if apps.is_empty() {
        sheet.blocks.push(Block::Text(fill(words.launcher_none, context, &[])));
    }
    signed_in_as(&mut sheet, context);
    if !apps.is_empty() {
        let offers = apps.iter().map(|app| Offer { href: links::absolute(app.href).to_owned(), name: shown::name(app.name), note: None });
        sheet.blocks.push(Block::Choices(offers.collect()));
    }
    sheet.blocks.push(Block::Actions(vec![
        Action { href: links::login_other("/"), text: words.other_account.to_owned(), primary: false },
        Action { href: links::LOGOUT_PATH.to_owned(), text: words.sign_out.to_owned(), primary: false },
    ]));
    ask(&mut sheet, context, names, Contact::SignIn);
    sheet
}

/// What the app is told.
pub(super) fn whoami(context: PageContext<'_>, person: &Identity, facts: WhoAmI<'_>) -> Sheet {
    let words = context.words();
    let or_not_sent = |value: Option<&str>| match value.map(shown::value).filter(|value| !value.is_empty()) {
        Some(value) => vec![Piece::Name(value)],
        None => vec![Piece::Text(words.whoami_not_sent.to_owned())],
    };
    let mut rows = vec![
        (words.whoami_name.to_owned(), or_not_sent(person.name.as_deref())),
        (words.whoami_email.to_owned(), or_not_sent(person.email.as_deref())),
    ];
    if let Some(login) = facts.login {
        rows.push((words.whoami_login.to_owned(), vec![Piece::Name(shown::value(login))]));
    }
    let roles = match facts.roles {
        [] => Piece::Text(words.whoami_no_roles.to_owned()),
        roles => Piece::Name(shown::value(&roles.join(", "))),
    };
    rows.push((words.whoami_roles.to_owned(), vec![roles]));
    rows.push((words.whoami_provider.to_owned(), vec![Piece::Name(shown::name(facts.provider))]));
    rows.push((words.whoami_since.to_owned(), vec![Piece::Text(date(facts.signed_in_at.seconds(), context.chosen()))]));
    // The table is for people with a question; a policy with hundreds of headers must not make a page that does not end.
    for (name, value) in facts.headers.iter().take(20) {
        let value = Piece::Code(format!("{}: {}", shown::name(name), shown::value(value)));
        rows.push((words.whoami_headers.to_owned(), vec![value]));
    }
    let mut sheet = Sheet {
        words,
        title: title(words.whoami_title, context),
        refresh: None,
        code: false,
        blocks: vec![Block::Text(fill(words.whoami_text, context, &[])), Block::Facts(rows)],
    };
    sheet.blocks.push(Block::Actions(vec![
        Action { href: links::login_other(to(context)), text: words.other_account.to_owned(), primary: false },
        Action { href: links::LOGOUT_PATH.to_owned(), text: words.sign_out.to_owned(), primary: false },
    ]));
    sheet
}

/// Sign out?
pub(super) fn logout_confirm(context: PageContext<'_>, action: &str, token: &str) -> Sheet {
    let words = context.words();
    let mut sheet = Sheet {
        words,
        title: title(words.logout_title, context),
        refresh: None,
        code: false,
        blocks: vec![Block::Text(fill(words.logout_text, context, &[]))],
    };
    signed_in_as(&mut sheet, context);
    let (action, token) = (links::local(action).to_owned(), token.to_owned());
    sheet.blocks.push(Block::Form { action, token, button: words.sign_out, stay: words.stay });
    sheet
}

/// On to an address of ours or of a provider.
pub(super) fn onward(context: PageContext<'_>, address: &url::Url) -> Sheet {
    let words = context.words();
    // Other schemes would run what they name.
    let href = if matches!(address.scheme(), "https" | "http") { address.as_str().to_owned() } else { "/".to_owned() };
    let link = Piece::Link { href: href.clone(), text: words.continue_link.to_owned(), new_tab: false };
    let blocks = vec![
        Block::Progress(words.onward_title),
        Block::Status(vec![Piece::Text(words.onward_text.to_owned())]),
        Block::Small(fill(words.continue_if_nothing, context, &[("continue", link)])),
    ];
    Sheet { words, title: words.onward_title.to_owned(), refresh: Some(href), code: false, blocks }
}

/// Signed out, of what exactly.
pub(super) fn signed_out(context: PageContext<'_>, apps: &[&str], provider: Option<(&str, Option<&url::Url>)>) -> Sheet {
    let words = context.words();
    let mut blocks = Vec::new();
    let named = |names: &[&str]| Piece::Name(names.iter().map(|name| shown::name(name)).collect::<Vec<_>>().join(&format!(" {} ", words.and)));
    match apps {
        [] => {}
        [_] | [_, _] => blocks.push(Block::Text(fill(words.signed_out_of, context, &[("apps", named(apps))]))),
        [first, _, _, rest @ ..] => {
            let count = Piece::Text((rest.len() + 2).to_string());
            blocks.push(Block::Text(fill(words.signed_out_of_more, context, &[("apps", named(&[first])), ("count", count)])));
        }
    }
    if let Some((name, sign_out)) = provider {
        blocks.push(Block::Text(fill(words.still_at_provider, context, &[("provider", Piece::Name(shown::name(name)))])));
        if let Some(address) = sign_out.filter(|address| matches!(address.scheme(), "https" | "http")) {
            blocks.push(Block::Actions(vec![Action { href: address.to_string(), text: words.provider_sign_out.to_owned(), primary: false }]));
        }
    }
    let said = (words.message)(PublicMessage::SignedOut);
    blocks.extend(said.text.iter().map(|template| Block::Small(fill(template, context, &[]))));
    Sheet { words, title: title(said.heading, context), refresh: None, code: false, blocks }
}

impl Sheet {
    /// Adds buttons; the first is the one most people want.
    fn act(&mut self, actions: &[(String, &str)]) {
        let actions = actions.iter().enumerate();
        let actions = actions.map(|(at, (href, text))| Action { href: href.clone(), text: (*text).to_owned(), primary: at == 0 });
        self.blocks.push(Block::Actions(actions.collect()));
    }

    /// Paragraphs as plain text: `detail` of a problem document.
    pub(super) fn detail(&self) -> String {
        let said = self.blocks.iter().filter_map(|block| match block {
            Block::Text(pieces) | Block::Why(pieces) | Block::Status(pieces) => Some(plain(pieces)),
            Block::Progress(_) | Block::Steps(_) | Block::Actions(_) | Block::Small(_) | Block::Choices(_) | Block::Facts(_) | Block::Form { .. } => {
                None
            }
        });
        said.collect::<Vec<_>>().join(" ")
    }

    /// The first paragraph.
    pub(super) fn first_words(&self) -> String {
        let texts = self.blocks.iter().filter_map(|block| {
            if let Block::Text(pieces) | Block::Why(pieces) | Block::Status(pieces) = block { Some(plain(pieces)) } else { None }
        });
        texts.into_iter().next().unwrap_or_default()
    }
}

/// A button back to what was asked for. A form cannot be repeated by a link: the words say to reload.
fn again(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>, label: &str) {
    if context.kind == RequestKind::Form {
        sheet.blocks.push(Block::Text(fill(sheet.words.form_again, context, &[])));
    } else if let Some(href) = context.continue_to.map(|to| links::local(to).to_owned()).or_else(|| front_door(context, names)) {
        sheet.act(&[(href, label)]);
    }
}

fn front_door(context: PageContext<'_>, names: Names<'_>) -> Option<String> {
    context.app.map(|app| format!("{}/", names.addresses.origin_of(&app.host)))
}

fn to(context: PageContext<'_>) -> &str {
    links::local(context.continue_to.unwrap_or("/"))
}

fn signed_in_as(sheet: &mut Sheet, context: PageContext<'_>) {
    if context.person.is_some() {
        sheet.blocks.push(Block::Text(fill(sheet.words.signed_in_as, context, &[])));
    }
}

/// A sentence about the people who can do something: with their contact, or without.
fn whoever(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>, with: &str, without: &str) {
    let text = match contact(context, names, Contact::App) {
        Some(who) => fill(with, context, &[("contact", who)]),
        None => fill(without, context, &[]),
    };
    sheet.blocks.push(Block::Why(text));
}

/// Whom to ask, and the policy's help link.
fn ask(sheet: &mut Sheet, context: PageContext<'_>, names: Names<'_>, which: Contact) {
    let words = sheet.words;
    let mut pieces = Vec::new();
    if let Some(who) = contact(context, names, which) {
        pieces.extend(fill(words.ask, context, &[("contact", who)]));
    }
    let help = context.app.and_then(|app| app.help.as_deref()).filter(|_| matches!(which, Contact::App));
    if let Some(href) = help.filter(|href| is_web_address(href)) {
        if !pieces.is_empty() {
            pieces.push(Piece::Text(" ".to_owned()));
        }
        pieces.push(Piece::Link { href: href.to_owned(), text: words.help.to_owned(), new_tab: false });
    }
    if !pieces.is_empty() {
        sheet.blocks.push(Block::Small(pieces));
    }
}

/// What a template may say about the request, as text.
pub(super) fn about(hole: Hole, context: PageContext<'_>, names: Names<'_>) -> String {
    match hole {
        Hole::App => context.app.map(|app| shown::name(&app.title)).unwrap_or_default(),
        Hole::Person => context.person.map(|_| person_name(context)).unwrap_or_default(),
        Hole::Contact => contact(context, names, Contact::App).map(|who| plain(&[who])).unwrap_or_default(),
        Hole::Name => site_name(context, names.settings),
        Hole::Incident => context.incident.to_string(),
        Hole::Lang | Hole::Dir | Hole::Title | Hole::Content | Hole::Refresh | Hole::Logo => String::new(),
    }
}

/// `[pages] name`, fit to be read.
pub(super) fn site_name(context: PageContext<'_>, settings: &config::Pages) -> String {
    Some(shown::name(&settings.name)).filter(|name| !name.is_empty()).unwrap_or_else(|| context.words().picker_title_here.to_owned())
}

fn contact(context: PageContext<'_>, names: Names<'_>, which: Contact) -> Option<Piece> {
    let of_app = context.app.and_then(|app| app.contact.as_deref());
    let of_sign_in = names.settings.contact.as_deref();
    let written = match which {
        Contact::App => of_app.or(of_sign_in),
        Contact::SignIn => of_sign_in.or(of_app),
    }?;
    let text = shown::name(written);
    Some(if is_web_address(written) {
        Piece::Link { href: written.to_owned(), text, new_tab: false }
    } else if email::domain(written).is_some() {
        Piece::Link { href: format!("mailto:{}", utf8_percent_encode(written, MAIL_ADDRESS)), text, new_tab: false }
    } else {
        Piece::Text(text)
    })
}

fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

fn title(template: &str, context: PageContext<'_>) -> String {
    plain(&fill(template, context, &[]))
}

/// The template with its holes filled: `{app}` and `{person}` from the context, the others from `holes`.
fn fill(template: &str, context: PageContext<'_>, holes: &[(&str, Piece)]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some((before, (hole, after))) = rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?))) {
        if !before.is_empty() {
            out.push(Piece::Text(before.to_owned()));
        }
        let given = holes.iter().find(|(name, _)| *name == hole).map(|(_, piece)| piece.clone());
        let piece = given.or_else(|| match hole {
            "app" => Some(Piece::Text(app_name(context, out.is_empty()))),
            "person" => Some(Piece::Name(person_name(context))),
            _ => None,
        });
        out.extend(piece);
        rest = after;
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest.to_owned()));
    }
    out
}

/// The app's title as its owner writes it; our own words for "this app" get a capital where they begin a sentence.
fn app_name(context: PageContext<'_>, begins: bool) -> String {
    let title = context.app.map(|app| shown::name(&app.title)).filter(|title| !title.is_empty());
    title.unwrap_or_else(|| {
        let mut letters = context.words().this_app.chars();
        match letters.next() {
            Some(first) if begins => first.to_uppercase().chain(letters).collect(),
            _ => context.words().this_app.to_owned(),
        }
    })
}

fn person_name(context: PageContext<'_>) -> String {
    let person = context.person;
    let names = [person.and_then(|p| p.email.as_deref()), person.and_then(|p| p.username.as_deref()), person.and_then(|p| p.name.as_deref())];
    let mut names = names.into_iter().flatten().map(shown::name).filter(|name| !name.is_empty());
    names.next().unwrap_or_else(|| context.words().somebody.to_owned())
}

fn plain(pieces: &[Piece]) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text(text) | Piece::Name(text) | Piece::Code(text) | Piece::Link { text, .. } => text.as_str(),
    });
    texts.collect()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; in other languages `1994-11-06 08:49 UTC`, which is read alike in all of them.
fn date(seconds: i64, language: Language) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since_epoch = Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(253_402_300_799));
    let written = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch);
    if language == Language::En {
        return written;
    }
    let parts: Vec<&str> = written.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, ..] = parts.as_slice() else { return written };
    let month = MONTHS.iter().position(|name| name == month).map_or(0, |at| at + 1);
    format!("{year}-{month:02}-{day} {hour}:{minute} UTC")
}
