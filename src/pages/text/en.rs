//! English.

use super::{Said, Words};
use crate::fault::{DenyReason, PublicMessage};

pub(in crate::pages) static EN: Words = Words {
    tag: "en",
    direction: "ltr",
    message: english,
    reason: english_reason,
    attribute: english_attribute,
    this_app: "this app",
    somebody: "an account without a name",
    list: ", ",
    signed_in_as: "You are signed in as {person}.",
    ask: "Questions? Ask {contact}.",
    help: "How to get access",
    code: "Incident code",
    form_again: "What you typed is not lost: reload this page in a moment, and the browser will ask to send the form again.",
    try_again: "Try again",
    start_again: "Start again",
    sign_in: "Sign in",
    sign_in_new_tab: "Sign in (opens a new tab)",
    other_account: "Use another account",
    sign_out: "Sign out",
    go_to_app: "Go to {app}",
    still_waiting: "Still working. You can leave this page; we will finish anyway.",
    progress: "Setting up",
    continue_if_nothing: "{continue} if nothing happens.",
    continue_link: "Continue",
    session_ended_step_sign_in: "{sign_in}.",
    session_ended_step_reload: "Come back here and press Reload. The browser will ask to send the form again.",
    recorded: "The details have been recorded for the team. You can try again; nothing will be made twice.",
    recorded_contact: "The details have been recorded for the team ({contact}). You can try again; nothing will be made twice.",
    made_by: "New accounts are made by {contact}.",
    made_by_others: "New accounts are made by the people who run {app}.",
    approval_by: "Your account is waiting for approval by {contact}.",
    approval_by_others: "Your account is waiting for approval by the people who run {app}.",
    not_sent: "Your organisation's sign-in did not send: {missing}.",
    not_sent_unknown: "Your organisation's sign-in did not send everything that {app} needs.",
    unusable: "Your organisation's sign-in sent something that cannot be used for an account: {attribute}.",
    unusable_unknown: "Your organisation's sign-in sent something that cannot be used for an account at {app}.",
    picker_title: "Sign in to {app}",
    picker_title_here: "Sign in",
    picker_text: "Choose the account you want to use.",
    last_used: "last used",
    launcher_title: "Your apps",
    launcher_none: "No app is open to your account yet.",
    whoami_title: "What {app} knows about you",
    whoami_text: "This is what is passed on with every page you open.",
    whoami_name: "Name",
    whoami_email: "E-mail",
    whoami_login: "Login",
    whoami_roles: "Roles",
    whoami_no_roles: "none",
    whoami_provider: "Signed in at",
    whoami_since: "Signed in since",
    whoami_headers: "Sent as",
    whoami_not_sent: "not sent by your sign-in",
    logout_title: "Sign out?",
    logout_text: "This signs you out of {app} and of every other app you opened with the same sign-in.",
    stay: "Stay signed in",
    onward_title: "One moment",
    onward_text: "You are being sent on.",
    signed_out_of: "You are signed out of {apps}.",
    signed_out_of_more: "You are signed out of {apps} and {count} other apps.",
    and: "and",
    still_at_provider: "You may still be signed in at {provider}.",
    provider_sign_out: "Sign out there too",
};

fn english(message: PublicMessage) -> Said {
    let (heading, text): (_, &[_]) = match message {
        PublicMessage::BadRequest => {
            ("This request could not be understood", &["The address or the request is malformed. Check the link you followed."])
        }
        PublicMessage::BodyTooLarge => ("This is too large to send", &["{app} accepts smaller uploads only. Nothing was stored."]),
        PublicMessage::HeadersTooLarge => (
            "This request carries too much",
            &["Your browser sent more header data than is accepted. Deleting the cookies of this site usually helps."],
        ),
        PublicMessage::MethodRefused => ("This kind of request is not accepted", &["Requests of this kind are never passed on to apps."]),
        PublicMessage::NoSuchHost => {
            ("There is nothing at this address", &["No app is set up under this name. Check the address for typing mistakes."])
        }
        PublicMessage::Misdirected => ("This connection is for another address", &["Open the address again in a new tab."]),
        PublicMessage::NoSuchPage => ("There is no such page", &["The address may be mistyped or out of date."]),
        PublicMessage::SignInRequired => ("Please sign in", &["{app} asks you to sign in first."]),
        PublicMessage::SignInOrTokenRequired => {
            ("Please sign in", &["{app} asks you to sign in, or to send an access token that was issued for it."])
        }
        PublicMessage::TokenRequired => ("An access token is needed", &["This part of {app} is for scripts: it takes access tokens only."]),
        PublicMessage::TokenInvalid => {
            ("This access token is not accepted", &["It has expired, was not issued for {app}, or is not an access token. Get a new one."])
        }
        PublicMessage::TokenScope => ("This access token is not enough", &["It does not have every scope that {app} asks for."]),
        PublicMessage::TokenTooOld => {
            ("A recent sign-in is needed", &["This part of {app} asks for a recent sign-in, and this access token does not show one."])
        }
        PublicMessage::TokenWithoutAccount => (
            "You don't have a {app} account yet",
            &["Access tokens do not make accounts. Sign in to {app} once in a browser; afterwards this token works."],
        ),
        PublicMessage::SessionEnded => ("Your session has ended", &["Your text is not lost:"]),
        PublicMessage::FreshSignInRequired => ("Please sign in again", &["This part of {app} asks for a recent sign-in."]),
        PublicMessage::Denied(DenyReason::Required) | PublicMessage::IncompleteSignIn => ("Your sign-in is incomplete", &[]),
        PublicMessage::UnusableSignIn => ("Your sign-in cannot be used here", &[]),
        PublicMessage::Denied(DenyReason::LocalSignIn) => ("Signing in happens at the gateway", &[]),
        PublicMessage::Denied(DenyReason::MaxAge) => ("Please sign in again", &[]),
        PublicMessage::Denied(
            DenyReason::Groups
            | DenyReason::DenyGroups
            | DenyReason::Domains
            | DenyReason::EmailUnverified
            | DenyReason::Networks
            | DenyReason::When
            | DenyReason::Methods
            | DenyReason::Idp
            | DenyReason::Origin,
        ) => ("You don't have access to {app}", &[]),
        PublicMessage::LinkExpired => ("This sign-in link has expired", &["It was used already, or is too old. Starting again takes a moment only."]),
        PublicMessage::SignInFailed => {
            ("Sign-in could not be completed", &["The answer of the sign-in service did not pass our checks, so it was not used."])
        }
        PublicMessage::SignInDeclined => ("You are not signed in", &["Sign-in was cancelled, or your account may not sign in here."]),
        PublicMessage::ProviderDown => ("Sign-in is not available right now", &["Apps you already have open keep working."]),
        PublicMessage::StoreDown => (
            "Sign-in is not available right now",
            &["Who you are cannot be checked at the moment, so nobody is let in. This usually passes quickly."],
        ),
        PublicMessage::Waiting => ("Setting up your {app} account", &["This happens once and usually takes a few seconds."]),
        PublicMessage::AccountFailed => ("Your {app} account could not be set up", &[]),
        PublicMessage::AccountUnavailable => ("Your {app} account could not be set up", &["{app} does not take new accounts at the moment."]),
        PublicMessage::AccountExists => (
            "An account with this address already exists",
            &["{app} has an account that looks like yours, but nobody has confirmed that it is. It can be linked for you."],
        ),
        PublicMessage::AccountsOff => ("You don't have a {app} account yet", &[]),
        PublicMessage::AccountsFull => {
            ("You don't have a {app} account yet", &["{app} has as many accounts as it may have, so none was made for you."])
        }
        PublicMessage::AwaitingApproval => ("Your {app} account is not ready yet", &[]),
        PublicMessage::OpenInBrowser => {
            ("You don't have a {app} account yet", &["Open {app} in the browser once: your account is made then, and this works afterwards."])
        }
        PublicMessage::AppClosed => ("{app} is closed at the moment", &["Nobody is let in. Your account is not affected."]),
        PublicMessage::AppUnreachable => ("{app} is not answering", &["Your sign-in works; it is the app behind it that cannot be reached."]),
        PublicMessage::AppTimeout => ("{app} is not answering", &["Your sign-in works; it is the app behind it that takes too long."]),
        PublicMessage::TooManyConnections => ("Too many connections", &["More are open from where you are, or in all, than may be. Try again in a moment."]),
        PublicMessage::AppRejected => (
            "{app} did not accept your sign-in",
            &["Your sign-in and your account are in order; it is the app behind them that does not know you. Try again in a minute."],
        ),
        PublicMessage::AppUnavailable => ("{app} is not available", &["It has not been set up completely yet."]),
        PublicMessage::SignedOut => ("You are signed out", &["Close this window if others use this computer."]),
        PublicMessage::SignedIn => ("You are signed in", &["You can close this tab and go back to where you were."]),
        PublicMessage::Internal => ("Something went wrong here", &["It is our fault, not yours."]),
    };
    Said { heading, text }
}

const fn english_reason(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::Groups => "Your account is not in a group that has access.",
        DenyReason::DenyGroups => "Access is suspended for your account.",
        DenyReason::Domains => "E-mail addresses of your organisation are not accepted here.",
        DenyReason::EmailUnverified => "Your e-mail address has not been verified by your sign-in.",
        DenyReason::Networks => "This is not available from the network you are on.",
        DenyReason::When => "A condition for access does not hold at the moment.",
        DenyReason::MaxAge => "Your sign-in is too old for this part of {app}.",
        DenyReason::Required => "",
        DenyReason::Methods => "This kind of action is not allowed here.",
        DenyReason::Idp => "{app} does not accept the sign-in that you used.",
        DenyReason::Origin => "The page that asked belongs to another site.",
        DenyReason::LocalSignIn => {
            "This page of {app} is for passwords of its own. Everybody signs in before they get to {app}, with the account of their organisation."
        }
    }
}

fn english_attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "email" => "e-mail address",
        "name" | "display" => "name",
        "given_name" => "given name",
        "family_name" => "family name",
        "username" => "user name",
        "groups" => "groups",
        _ => return None,
    })
}
