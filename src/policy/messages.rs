//! `[messages]`: a policy's own words for a refusal.
//!
//! Lives here: [`Messages`], and [`key`], which says under what name a policy may speak for a message. Apart because the message that travels stays
//! closed ([`PublicMessage`]): nothing that refuses can bring a text along; the texts are those of the file, and the page looks them up.

use super::schema::MESSAGES;
use crate::config::Language;
use crate::fault::PublicMessage;
use crate::source::{Node, Table};

/// A policy's own words. Empty: the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages(Vec<Own>);

/// What is said for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    reason: &'static str,
    /// By language; `None`: every language that has no text of its own here.
    texts: Vec<(Option<Language>, String)>,
}

impl Messages {
    /// The text for `message` in `language`; `None`: the built-in explanation. A text in another language is never given: a page speaks one.
    pub fn text(&self, message: PublicMessage, language: Language) -> Option<&str> {
        let reason = key(message)?;
        let own = self.0.iter().find(|own| own.reason == reason)?;
        let in_it = own.texts.iter().find(|(of, _)| *of == Some(language));
        in_it.or_else(|| own.texts.iter().find(|(of, _)| of.is_none())).map(|(_, text)| text.as_str())
    }

    /// As the section is written; what the check refuses is left out.
    pub(crate) fn read(section: &Table) -> Self {
        let own = MESSAGES.keys.iter().filter_map(|key| Some(Own { reason: key.name, texts: texts(section.node(key.name)?) }));
        Self(own.collect())
    }
}

fn texts(node: &Node) -> Vec<(Option<Language>, String)> {
    let of_language = |entry: &crate::source::Entry| Some((Some(Language::parse(&entry.key)?), entry.node.as_text()?.to_owned()));
    match (node.as_text(), node.as_table()) {
        (Some(text), _) => vec![(None, text.to_owned())],
        (None, Some(table)) => table.entries.iter().filter_map(of_language).collect(),
        (None, None) => Vec::new(),
    }
}

/// The key of `[messages]` that speaks for a message: the reason that audit log and tests use too. `None`: what is said is not the policy's affair.
pub const fn key(message: PublicMessage) -> Option<&'static str> {
    Some(match message {
        PublicMessage::Denied(reason) => reason.key(),
        PublicMessage::FreshSignInRequired => "max_age",
        PublicMessage::IncompleteSignIn => "required",
        PublicMessage::UnusableSignIn => "unusable",
        PublicMessage::AccountExists => "conflict",
        PublicMessage::AccountsOff => "accounts_off",
        PublicMessage::AccountsFull => "accounts_full",
        PublicMessage::AwaitingApproval => "awaiting_approval",
        PublicMessage::OpenInBrowser => "open_in_browser",
        PublicMessage::AccountFailed => "account_failed",
        PublicMessage::AccountUnavailable => "account_unavailable",
        PublicMessage::AppClosed => "app_closed",
        PublicMessage::BadRequest
        | PublicMessage::BodyTooLarge
        | PublicMessage::HeadersTooLarge
        | PublicMessage::MethodRefused
        | PublicMessage::NoSuchHost
        | PublicMessage::Misdirected
        | PublicMessage::NoSuchPage
        | PublicMessage::SignInRequired
        | PublicMessage::SessionEnded
        | PublicMessage::SignInOrTokenRequired
        | PublicMessage::TokenRequired
        | PublicMessage::TokenInvalid
        | PublicMessage::TokenScope
        | PublicMessage::TokenTooOld
        | PublicMessage::TokenWithoutAccount
        | PublicMessage::LinkExpired
        | PublicMessage::SignInFailed
        | PublicMessage::SignInDeclined
        | PublicMessage::ProviderDown
        | PublicMessage::StoreDown
        | PublicMessage::Waiting
        | PublicMessage::AppUnreachable
        | PublicMessage::AppTimeout
        | PublicMessage::TooManyConnections
        | PublicMessage::AppRejected
        | PublicMessage::AppUnavailable
        | PublicMessage::SignedOut
        | PublicMessage::SignedIn
        | PublicMessage::Internal => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Messages, key};
    use crate::config::Language;
    use crate::fault::{DenyReason, PublicMessage};
    use crate::policy::schema::MESSAGES;
    use crate::source::{SourceFile, parse};

    fn read(text: &str) -> Messages {
        Messages::read(&parse(&SourceFile::new("x.toml", text)).0)
    }

    #[test]
    fn a_text_is_given_for_its_reason_and_language_only() {
        let messages =
            read("groups = { en = \"Ask Mia.\", de = \"Fragen Sie Mia.\" }\nnetworks = \"VPN!\"\nnonsense = \"x\"\ndomains = { it = \"x\" }");
        let check = |reason, language, expected: Option<&str>| {
            assert_eq!(messages.text(PublicMessage::Denied(reason), language), expected, "{reason:?} {language:?}");
        };
        check(DenyReason::Groups, Language::Fr, None);
        check(DenyReason::When, Language::En, None);
        check(DenyReason::Domains, Language::En, None);
        check(DenyReason::Groups, Language::En, Some("Ask Mia."));
        check(DenyReason::Groups, Language::De, Some("Fragen Sie Mia."));
        check(DenyReason::Networks, Language::Ja, Some("VPN!"));
        assert_eq!(messages.text(PublicMessage::Internal, Language::En), None);
    }

    #[test]
    fn every_key_of_the_section_speaks_for_something() {
        use PublicMessage as M;
        let of_reasons = DenyReason::ALL.map(M::Denied);
        let of_accounts = [
            M::UnusableSignIn,
            M::AccountExists,
            M::AccountsOff,
            M::AccountsFull,
            M::AwaitingApproval,
            M::OpenInBrowser,
            M::AccountFailed,
            M::AccountUnavailable,
            M::AppClosed,
        ];
        let keys: Vec<&str> = of_reasons.into_iter().chain(of_accounts).filter_map(key).collect();
        assert!(MESSAGES.keys.iter().all(|known| keys.contains(&known.name)), "{keys:?}");
        assert!(keys.iter().all(|key| MESSAGES.key(key).is_some()), "{keys:?}");
    }
}
