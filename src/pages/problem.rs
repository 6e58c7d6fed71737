//! A sheet as JSON, for requests that no person looks at (RFC 9457).

use super::links::{self, Addresses};
use super::sheet::{self, Sheet};
use super::{Choice, PageContext, WhoAmI};
use crate::fault::{DenyReason, PublicMessage};
use crate::identity::Identity;
use http::StatusCode;
use serde_json::{Value, json};

/// A problem document: `type`, `title`, `status`, `detail`, `incident`; `instance` is the incident as a URN; `login` where signing in helps.
pub(super) fn problem(message: PublicMessage, status: StatusCode, context: PageContext<'_>, sheet: &Sheet, addresses: &Addresses) -> Value {
    let incident = context.incident.to_string();
    let mut document = json!({
        "type": addresses.problem_type(slug(message)),
        "title": sheet.title,
        "status": status.as_u16(),
        "detail": sheet.detail(),
        "instance": format!("urn:vestibule:incident:{incident}"),
        "incident": incident,
    });
    if let (Some(app), true, Some(members)) = (context.app, sheet::sign_in_helps(message), document.as_object_mut()) {
        members.insert("login".to_owned(), format!("{}{}", addresses.origin_of(&app.host), links::LOGIN_PATH).into());
    }
    document
}

/// The answer where nothing is wrong: `state` and its words.
pub(super) fn state(message: PublicMessage, sheet: &Sheet) -> Value {
    json!({ "state": slug(message), "title": sheet.title, "detail": sheet.detail() })
}

/// What the app is told about a person.
pub(super) fn whoami(person: &Identity, facts: WhoAmI<'_>) -> Value {
    let headers: serde_json::Map<_, _> = facts.headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    json!({
        "name": person.name,
        "email": person.email,
        "login": facts.login,
        "roles": facts.roles,
        "provider": facts.provider,
        "signed_in_at": facts.signed_in_at.seconds(),
        "headers": headers,
    })
}

/// The apps that let a person in.
pub(super) fn launcher(apps: &[Choice<'_>]) -> Value {
    let apps: Vec<Value> = apps.iter().map(|app| json!({ "name": app.id, "title": app.name, "href": links::absolute(app.href) })).collect();
    json!({ "apps": apps })
}

/// What to send to sign out.
pub(super) fn logout_form(action: &str, token: &str) -> Value {
    json!({ "method": "POST", "action": links::local(action), "token": token })
}

/// The last segment of a problem type: stable, so that scripts may compare it.
pub(super) const fn slug(message: PublicMessage) -> &'static str {
    match message {
        PublicMessage::BadRequest => "bad-request",
        PublicMessage::BodyTooLarge => "body-too-large",
        PublicMessage::HeadersTooLarge => "headers-too-large",
        PublicMessage::MethodRefused => "method-refused",
        PublicMessage::NoSuchHost => "no-such-host",
        PublicMessage::Misdirected => "misdirected",
        PublicMessage::NoSuchPage => "no-such-page",
        PublicMessage::SignInRequired | PublicMessage::SignInOrTokenRequired => "sign-in-required",
        PublicMessage::TokenRequired => "token-required",
        PublicMessage::TokenInvalid => "invalid-token",
        PublicMessage::TokenScope => "insufficient-scope",
        PublicMessage::TokenTooOld => "token-too-old",
        PublicMessage::TokenWithoutAccount => "no-account-yet",
        PublicMessage::SessionEnded => "session-ended",
        PublicMessage::FreshSignInRequired | PublicMessage::Denied(DenyReason::MaxAge) => "fresh-sign-in-required",
        PublicMessage::Denied(DenyReason::Required) | PublicMessage::IncompleteSignIn => "incomplete-sign-in",
        PublicMessage::UnusableSignIn => "unusable-sign-in",
        PublicMessage::Denied(DenyReason::LocalSignIn) => "local-sign-in",
        PublicMessage::Denied(_) => "denied",
        PublicMessage::LinkExpired => "link-expired",
        PublicMessage::SignInFailed => "sign-in-failed",
        PublicMessage::SignInDeclined => "sign-in-declined",
        PublicMessage::ProviderDown => "provider-down",
        PublicMessage::StoreDown => "store-down",
        PublicMessage::Waiting => "account-in-progress",
        PublicMessage::AccountFailed => "account-failed",
        PublicMessage::AccountUnavailable => "account-unavailable",
        PublicMessage::AccountExists => "account-exists",
        PublicMessage::AccountsOff => "accounts-off",
        PublicMessage::AccountsFull => "accounts-full",
        PublicMessage::AwaitingApproval => "awaiting-approval",
        PublicMessage::OpenInBrowser => "open-in-browser",
        PublicMessage::AppClosed => "app-closed",
        PublicMessage::AppUnreachable => "app-unreachable",
        PublicMessage::AppTimeout => "app-timeout",
        PublicMessage::TooManyConnections => "too-many-connections",
        PublicMessage::AppRejected => "app-rejected",
        PublicMessage::AppUnavailable => "app-unavailable",
        PublicMessage::SignedOut => "signed-out",
        PublicMessage::SignedIn => "signed-in",
        PublicMessage::Internal => "internal",
    }
}
