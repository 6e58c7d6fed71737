//! What people are told when the answer is not the app's, and the code that joins page, log and audit.
//!
//! Lives here: [`Incident`], [`PublicMessage`] (a closed enum without free text, so that nothing from a library, a header or an
//! upstream can reach a page: there is nowhere to put it) and [`Fault`] (a message for the person, a source for the log). Three words
//! kept apart: a *refusal* is a correct no, a *fault* broke, a *problem* is a configuration mistake (`source/`).

use crate::entropy::Entropy;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

/// Crockford base32: no I, L, O, U, so that it survives being read over the phone.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Eight characters that name one request: minted here, never taken from a client. Printed as `7KQ4-M2XD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incident(u64);

impl Incident {
    /// From 40 random bits.
    pub fn mint(entropy: &dyn Entropy) -> Self {
        Self::from_bytes(entropy.bytes::<5>())
    }

    /// From five random bytes.
    pub fn from_bytes(bytes: [u8; 5]) -> Self {
        Self(bytes.into_iter().fold(0, |number, byte| (number << 8) | u64::from(byte)))
    }

    /// As a number of forty bits: what a store keeps it by.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// From [`Self::number`]; further bits are dropped.
    pub const fn from_number(number: u64) -> Self {
        Self(number & 0xff_ffff_ffff)
    }

    /// As somebody writes it down: any letter case, with or without the dash, and `O`, `I`, `L` for what they were taken for (Crockford). `None`: not a code.
    pub fn parse(written: &str) -> Option<Self> {
        let mut number = 0;
        let mut letters = 0;
        for letter in written.trim().chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = CROCKFORD.iter().position(|known| char::from(*known) == letter)?;
            number = number << 5 | u64::try_from(value).ok()?;
            letters += 1;
            if letters > 8 {
                return None;
            }
        }
        (letters == 8).then_some(Self(number))
    }

    /// `7KQ4-M2XD` as bytes, without allocating.
    pub fn ascii(self) -> [u8; 9] {
        let mut out = [b'-'; 9];
        for (at, place) in [0_usize, 1, 2, 3, 5, 6, 7, 8].into_iter().enumerate() {
            let index = usize::try_from((self.0 >> (35 - 5 * at)) & 31).unwrap_or(0);
            if let (Some(slot), Some(letter)) = (out.get_mut(place), CROCKFORD.get(index)) {
                *slot = *letter;
            }
        }
        out
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ascii().iter().try_for_each(|&letter| fmt::Write::write_char(f, char::from(letter)))
    }
}

impl fmt::Debug for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incident({self})")
    }
}

/// Why a signed-in person may not pass: a few fixed reasons. Group names, expressions and file names stay with ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// Not in a group with access.
    Groups,
    /// In a group that is always refused.
    DenyGroups,
    /// E-mail domain not accepted.
    Domains,
    /// E-mail address not verified.
    EmailUnverified,
    /// Not from this network.
    Networks,
    /// A condition on time or attributes.
    When,
    /// The sign-in is too old, and cannot be repeated for this kind of request.
    MaxAge,
    /// Data missing from the sign-in.
    Required,
    /// Method not allowed here.
    Methods,
    /// Signed in at a provider that this app does not accept.
    Idp,
    /// A WebSocket that a page of another origin opened.
    Origin,
    /// The app's own sign-in: signing in happens at the gateway.
    LocalSignIn,
}

impl DenyReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Groups,
        Self::DenyGroups,
        Self::Domains,
        Self::EmailUnverified,
        Self::Networks,
        Self::When,
        Self::MaxAge,
        Self::Required,
        Self::Methods,
        Self::Idp,
        Self::Origin,
        Self::LocalSignIn,
    ];

    /// The key of the policy that refused: what `expect.because` and the audit log say.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::DenyGroups => "deny_groups",
            Self::Domains => "domains",
            Self::EmailUnverified => "email_unverified",
            Self::Networks => "networks",
            Self::When => "when",
            Self::MaxAge => "max_age",
            Self::Required => "required",
            Self::Methods => "methods",
            Self::Idp => "idp",
            Self::Origin => "origin",
            Self::LocalSignIn => "block_paths",
        }
    }
}

/// Everything a person can be told that is not the app's own answer. No free text by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicMessage {
    /// 400: not HTTP as we accept it, or an ambiguous path.
    BadRequest,
    /// 413.
    BodyTooLarge,
    /// 431.
    HeadersTooLarge,
    /// 405/501: a method that is never forwarded (CONNECT, TRACE).
    MethodRefused,
    /// 404: no policy for this host.
    NoSuchHost,
    /// 421: host differs from the name the TLS connection was opened for.
    Misdirected,
    /// 404: nothing at this address under `/.vestibule/`.
    NoSuchPage,
    /// 401: sign-in required (API kinds), or the page for a form whose session ended.
    SignInRequired,
    /// 401: the session ended while a form was being filled in.
    SessionEnded,
    /// 401/403: this part asks for a recent sign-in.
    FreshSignInRequired,
    /// 403 with one of the fixed reasons.
    Denied(DenyReason),
    /// 401 with `Bearer`: sign-in required, and an access token would do as well.
    SignInOrTokenRequired,
    /// 401 with `Bearer`: only an access token will do.
    TokenRequired,
    /// 401 with `invalid_token` (RFC 6750 3.1).
    TokenInvalid,
    /// 403 with `insufficient_scope` (RFC 6750 3.1).
    TokenScope,
    /// 401 with `insufficient_user_authentication` (RFC 9470 3): the sign-in behind the token is too old, or of unknown age.
    TokenTooOld,
    /// 403: the token holds, and the person has no account here yet.
    TokenWithoutAccount,
    /// 400: sign-in link unknown, used or too old.
    LinkExpired,
    /// 403: the provider's answer did not hold.
    SignInFailed,
    /// 403: the provider said no (`access_denied`), or the person cancelled.
    SignInDeclined,
    /// 503: the provider is not answering.
    ProviderDown,
    /// 503: session or account store is not answering; nobody is let in.
    StoreDown,
    /// 200: the account is being made.
    Waiting,
    /// 503: the account could not be prepared; trying again is safe.
    AccountFailed,
    /// 503: the admin API is not answering.
    AccountUnavailable,
    /// 409: an account exists that may not be taken over.
    AccountExists,
    /// 403: an attribute that the account needs is missing from the sign-in.
    IncompleteSignIn,
    /// 403: an attribute of the sign-in cannot be used for an account.
    UnusableSignIn,
    /// 403: no account, and none is made by signing in.
    AccountsOff,
    /// 403: no account, because as many as the policy allows are there.
    AccountsFull,
    /// 403: a human has to approve the account first.
    AwaitingApproval,
    /// 403: no account yet; only a page opened in a browser begins one.
    OpenInBrowser,
    /// 403: the app is switched off for everybody.
    AppClosed,
    /// 502.
    AppUnreachable,
    /// 504.
    AppTimeout,
    /// 503: more connections than may be open.
    TooManyConnections,
    /// 502: the app does not know somebody whose account is there.
    AppRejected,
    /// 503: the policy never loaded.
    AppUnavailable,
    /// 200: signed out.
    SignedOut,
    /// 200: signed in, nowhere to go on to.
    SignedIn,
    /// 500: a broken invariant of ours.
    Internal,
}

impl PublicMessage {
    /// For operators: `AccountExists` as `account exists`.
    pub fn words(self) -> String {
        let mut out = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !out.is_empty() {
                out.push(' ');
            }
            out.extend(letter.to_lowercase());
        }
        out
    }
}

/// Something broke. The person sees `public` and an incident code; the log gets `source` in full, once.
#[derive(Debug)]
pub struct Fault {
    /// What the person sees.
    pub public: PublicMessage,
    /// What the log gets.
    pub source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    /// A fault with its cause.
    pub fn new(public: PublicMessage, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { public, source: source.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.public, self.source)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::Incident;

    #[test]
    fn an_incident_reads_as_two_groups_of_four_without_look_alikes() {
        assert_eq!(Incident::from_bytes([0; 5]).to_string(), "0000-0000");
        assert_eq!(Incident::from_bytes([0xff; 5]).to_string(), "ZZZZ-ZZZZ");
        assert_eq!(Incident::from_bytes([0b0000_0000, 0b0100_0100, 0, 0, 1]).to_string(), "0120-0001");
    }

    #[test]
    fn a_code_is_understood_as_people_write_it_and_nothing_else_is() {
        for no in ["", "7KQ4-M2X", "7KQ4-M2XDD", "7KQ4-M2XU", "7KQ4_M2XD", "ada@example.com", "https://a", "--------", "7KQ4M2X\u{664}"] {
            assert_eq!(Incident::parse(no), None, "{no:?}");
        }
        let code = Incident::from_bytes([0x3d, 0x2e, 0x4a, 0x0b, 0xad]);
        let written = code.to_string();
        for as_written in [written.clone(), written.to_lowercase(), written.replace('-', ""), format!(" {} ", written.replace('-', " "))] {
            assert_eq!(Incident::parse(&as_written), Some(code), "{as_written:?}");
        }
        assert_eq!(Incident::parse("oiL0-0000").map(|code| code.to_string()).as_deref(), Some("0110-0000"));
        assert_eq!(Incident::from_number(code.number()), code);
    }
}
