//! `[sign_in]`: how the application learns who it is, and what becomes of the session that it keeps itself.
//!
//! Lives here: [`SignIn`], compiled from the policy's section and what the connector knows of its app. Apart from `[login]`, which is about people signing in to the
//! gateway. Pure; nothing here knows what a request or an answer looks like on the wire beyond status, place and text.

use super::{CanonicalPath, Glob, RequestPattern};
use crate::config::SecretRef;
use crate::connector::model::Rejected;

/// `[sign_in] mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// By the headers of the policy (`[headers]`, `[jwt]`).
    #[default]
    Header,
    /// By `Authorization: Basic`, with the recorded login and one password for all.
    Basic,
    /// The gateway signs the person in by the app's own form, with a password that it has just set, and their browser goes on with the app's cookies.
    SessionBridge,
    /// The gateway exchanges its token (`[jwt]`) for one of the app's own, which goes with every request as `Authorization: Bearer`.
    TokenExchange,
}

impl Mode {
    /// As policies and connectors write it.
    pub const WORDS: [(&'static str, Self); 4] =
        [("header", Self::Header), ("basic", Self::Basic), ("session_bridge", Self::SessionBridge), ("token_exchange", Self::TokenExchange)];

    /// Whether the gateway itself signs people in at the app, once for a session.
    pub const fn enters(self) -> bool {
        matches!(self, Self::SessionBridge | Self::TokenExchange)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

/// `[sign_in]`, with the connector's own where the policy says nothing.
#[derive(Debug, Default)]
pub struct SignIn {
    /// How the app learns who it is.
    pub mode: Mode,
    /// The one path, canonical, at which the app reads it; `None`: on every request.
    pub login_url: Option<String>,
    /// What stands behind the login for [`Mode::Basic`].
    pub password: Option<Password>,
    /// How old the password becomes that the gateway sets for a person, milliseconds ([`Mode::SessionBridge`]).
    pub rotate_ms: i64,
    /// Whether the app's cookies are bound to the session of the person they were set for.
    pub bound: bool,
    /// Names of cookies that scripts in the browser set and that pass all the same.
    pub script_cookies: Vec<Glob>,
    /// Where the app signs people out.
    pub logout_paths: Vec<RequestPattern>,
    /// What the app answers to somebody it does not know.
    pub rejected_when: Vec<Rejected>,
}

/// `[sign_in] rotate` where the policy says nothing, milliseconds.
pub const ROTATE_MS: i64 = 90 * 86_400_000;

/// A password that is the same for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// One that the app does not look at.
    Unchecked(String),
    /// A secret that gateway and app share.
    Secret(SecretRef),
}

impl SignIn {
    /// Whether the app is told who it is at `path`, a canonical one.
    pub fn announces_at(&self, path: &str) -> bool {
        self.login_url.as_deref().is_none_or(|login| login == path)
    }

    /// Whether the app signs people out by a request with this method at `path`.
    pub fn signs_out_at(&self, method: &str, path: &CanonicalPath<'_>) -> bool {
        self.logout_paths.iter().any(|pattern| pattern.restricts(method, path))
    }

    /// Whether anything is to be remembered of how a session got into the app.
    pub const fn keeps_sessions(&self) -> bool {
        self.bound || self.login_url.is_some() || self.mode.enters()
    }

    /// Whether an answer with this status that leads to `place` (path and query; nothing when it leads nowhere) says that the app does not know the person.
    pub fn is_rejection(&self, status: u16, place: Option<&str>) -> bool {
        self.rejected_when.iter().any(|sign| match sign {
            Rejected::Status(rejected) => *rejected == status,
            // To where the app is told who it is: that is not a no, it is how one gets in.
            Rejected::Redirect(to) => (300..400).contains(&status) && place.is_some_and(|place| to.is_match(place) && !self.leads_in(place)),
            Rejected::Body { .. } => false,
        })
    }

    /// Whether the text of an answer with this status has to be looked at.
    pub fn reads(&self, status: u16) -> bool {
        self.rejected_when.iter().any(|sign| matches!(sign, Rejected::Body { status: read, .. } if *read == status))
    }

    /// Whether any answer's text has to be looked at: then it must not come compressed.
    pub fn reads_any(&self) -> bool {
        self.rejected_when.iter().any(|sign| matches!(sign, Rejected::Body { .. }))
    }

    /// Whether the text with which an answer begins says that the app does not know the person.
    pub fn is_rejection_in_words(&self, status: u16, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        self.rejected_when
            .iter()
            .any(|sign| matches!(sign, Rejected::Body { status: read, text: pattern } if *read == status && pattern.is_match(&text)))
    }

    /// Whether `place`, path and query, is where the app learns who it is.
    pub fn leads_in(&self, place: &str) -> bool {
        self.login_url.as_deref().is_some_and(|login| place.split(['?', '#']).next() == Some(login))
    }
}

#[cfg(test)]
mod tests {
    use super::SignIn;
    use crate::connector::model::Rejected;
    use regex::Regex;

    #[test]
    fn a_rejection_is_what_the_connector_says_and_the_way_in_is_none() {
        let regex = |text: &str| Regex::new(text).unwrap();
        let sign_in = SignIn {
            login_url: Some("/hub/login".to_owned()),
            rejected_when: vec![
                Rejected::Status(401),
                Rejected::Redirect(regex("^/hub/login|^/denied")),
                Rejected::Body { status: 200, text: regex("not logged in") },
            ],
            ..SignIn::default()
        };
        let check =
            |status: u16, place: Option<&str>, expected: bool| assert_eq!(sign_in.is_rejection(status, place), expected, "{status} {place:?}");
        check(200, None, false);
        check(403, None, false);
        check(302, Some("/hub/home"), false);
        check(302, None, false);
        check(302, Some("/hub/login?next=%2F"), false);
        check(200, Some("/denied"), false);
        check(401, None, true);
        check(302, Some("/denied"), true);
        check(303, Some("/hub/login-failed"), true);
        assert!(sign_in.reads(200) && !sign_in.reads(404) && sign_in.reads_any());
        assert!(sign_in.is_rejection_in_words(200, b"<p>You are not logged in\xff") && !sign_in.is_rejection_in_words(404, b"not logged in"));
        assert!(sign_in.announces_at("/hub/login") && !sign_in.announces_at("/hub/login/x") && SignIn::default().announces_at("/"));
    }
}
