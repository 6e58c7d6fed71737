//! Where our own pages are, and the addresses of app and auth hosts as browsers know them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Starts a sign-in. `?to=PATH` is where it ends; `&fresh=1` asks the provider for a recent sign-in; `&other=1` for another account.
/// `to=/.vestibule/signed-in` ends on the page that says to go back to the other tab.
pub const LOGIN_PATH: &str = "/.vestibule/login";
/// Asks whether to sign out (GET), signs out (POST).
pub const LOGOUT_PATH: &str = "/.vestibule/logout";
/// Holds its answer while the account is being made; `?to=PATH` is where it ends.
pub const WAIT_PATH: &str = "/.vestibule/wait";
/// Shows people what the app is told.
pub const WHOAMI_PATH: &str = "/.vestibule/whoami";

/// A value in a query string: everything but RFC 3986's unreserved characters and `/`, which keeps addresses readable.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The gateway's own addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    auth_origin: String,
    /// A host that is served at an origin of its own.
    elsewhere: Option<(String, String)>,
}

impl Addresses {
    pub(super) fn new(auth_origin: &str) -> Self {
        Self { auth_origin: auth_origin.trim_end_matches('/').to_owned(), elsewhere: None }
    }

    pub(super) fn is_https(&self) -> bool {
        self.auth_origin.starts_with("https://")
    }

    /// Address that names a problem type (RFC 9457 3.1.1).
    pub(super) fn problem_type(&self, slug: &str) -> String {
        format!("{}/problems/{slug}", self.auth_origin)
    }

    pub(super) fn place(&mut self, host: &str, origin: &str) {
        self.elsewhere = Some((host.to_owned(), origin.to_owned()));
    }

    /// `https://HOST[:PORT]`, scheme and port as on the auth host.
    pub(super) fn origin_of(&self, host: &str) -> String {
        if let Some((_, origin)) = self.elsewhere.as_ref().filter(|(elsewhere, _)| elsewhere == host) {
            return origin.clone();
        }
        let (scheme, rest) = self.auth_origin.split_once("://").unwrap_or(("https", &self.auth_origin));
        match rest.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }
}

/// `to` if it is a path on this host as browsers read it, else `/`. Callers have checked already; a link is the wrong place to find out
/// that one did not (oauth2-proxy GHSA-qqxw-m5fj-f7gv: browsers read `/\` as `//`).
pub(super) fn local(to: &str) -> &str {
    let odd = to.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') || to.starts_with("//") || !to.starts_with('/');
    if odd { "/" } else { to }
}

/// An address of one of our hosts, as the login desk made it; were it anything else, there is no place to go to.
pub(super) fn absolute(href: &str) -> &str {
    let web = url::Url::parse(href).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
    if web { href } else { "/" }
}

/// Sign in, then go to `to`.
pub(super) fn login(to: &str) -> String {
    with_to(LOGIN_PATH, to)
}

/// Sign in again although signed in, then go to `to`.
pub(super) fn login_fresh(to: &str) -> String {
    format!("{}&fresh=1", with_to(LOGIN_PATH, to))
}

/// Sign in as somebody else, then go to `to`.
pub(super) fn login_other(to: &str) -> String {
    format!("{}&other=1", with_to(LOGIN_PATH, to))
}

/// Sign in in a tab of its own: it ends on the page that says so.
pub(super) fn login_in_a_new_tab() -> String {
    with_to(LOGIN_PATH, "/.vestibule/signed-in")
}

/// Wait for the account, then go to `to`.
pub(super) fn wait(to: &str) -> String {
    with_to(WAIT_PATH, to)
}

fn with_to(path: &str, to: &str) -> String {
    format!("{path}?to={}", utf8_percent_encode(local(to), QUERY_VALUE))
}
