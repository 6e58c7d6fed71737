//! Speaking to an application's own admin API, as a port.
//!
//! Lives here: [`Connector`] (observe, apply one step), the closed set of [`Outcome`]s, and [`Trouble`]. `model.rs` is a connector as data (core:
//! pure), `engine.rs` runs that data over HTTP, `gate.rs` says how often and whether at all, `builtin.rs` embeds `policies/connectors/*.toml`. It never knows why a step is
//! taken (`plan/`) nor who asked (`provision/`).

pub mod builtin;
pub mod engine;
mod gate;
pub mod model;

pub use engine::{Engine, Limits, ResolvedCredential, Standing};
pub use gate::{Bounds, BreakerState, Health, Lane};

use self::model::Verb;
use crate::plan::{Account, Step};
use crate::policy::MatchBy;
use async_trait::async_trait;
use http::HeaderValue;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use url::Url;

/// Everything an admin call can come to. Closed: a connector maps every response into it, an unmatched write is [`Outcome::InDoubt`], an
/// unmatched read is [`Outcome::Retry`], and 401/403 is never "absent".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A read found it.
    Found,
    /// A read says, in so many words, that there is none.
    Absent,
    /// More than one exact match.
    Ambiguous,
    /// A write made it.
    Created,
    /// A write was refused because it is there already.
    Exists,
    /// A write changed it.
    Updated,
    /// There was nothing to change.
    Unchanged,
    /// A write without a more exact word for success.
    Done,
    /// What was to be changed is no longer there.
    Gone,
    /// It clashes with something that is not ours (an e-mail address in use, for one).
    Conflict,
    /// The app refuses, and will refuse again.
    Denied,
    /// The app does not accept the values.
    Invalid,
    /// Transient; safe to do again.
    Retry,
    /// The admin credential is not accepted.
    Reauth,
    /// Sent, and nobody knows: look before anything is sent again.
    InDoubt,
    /// The app cannot do this.
    Unsupported,
}

impl Outcome {
    /// Every outcome with its [`Self::word`].
    pub const WORDS: [(&'static str, Self); 16] = {
        use Outcome::{
            Absent, Ambiguous, Conflict, Created, Denied, Done, Exists, Found, Gone, InDoubt, Invalid, Reauth, Retry, Unchanged, Unsupported, Updated,
        };
        [
            (Found.word(), Found),
            (Absent.word(), Absent),
            (Ambiguous.word(), Ambiguous),
            (Created.word(), Created),
            (Exists.word(), Exists),
            (Updated.word(), Updated),
            (Unchanged.word(), Unchanged),
            (Done.word(), Done),
            (Gone.word(), Gone),
            (Conflict.word(), Conflict),
            (Denied.word(), Denied),
            (Invalid.word(), Invalid),
            (Retry.word(), Retry),
            (Reauth.word(), Reauth),
            (InDoubt.word(), InDoubt),
            (Unsupported.word(), Unsupported),
        ]
    };

    /// As connector files write it, as their conditions read it (`outcome.STEP`), and as figures are labelled.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Absent => "absent",
            Self::Ambiguous => "ambiguous",
            Self::Created => "created",
            Self::Exists => "exists",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Retry => "retry",
            Self::Reauth => "reauth",
            Self::InDoubt => "in_doubt",
            Self::Unsupported => "unsupported",
        }
    }
}

/// For operators: the word, as one reads it aloud.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::InDoubt { "in doubt" } else { self.word() })
    }
}

/// Why a verb did not end well. `detail` is in our own words: never a body, a header or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {outcome}: {detail}")]
pub struct Trouble {
    /// The step it was, e.g. `create/post`.
    pub step: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The app's own wish for the next try (`Retry-After`), milliseconds.
    pub retry_after_ms: Option<u64>,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// For the log.
    pub detail: String,
}

impl Trouble {
    /// `step` cannot be done.
    pub fn unsupported(step: &str, detail: &str) -> Self {
        Self { step: step.to_owned(), outcome: Outcome::Unsupported, retry_after_ms: None, status: None, detail: detail.to_owned() }
    }

    /// Whether nothing can have happened at the app: no connection came about before anything was written, or the app served nothing (RFC 6585 §4).
    pub fn is_unsent(&self) -> bool {
        self.outcome == Outcome::Retry && self.status.is_none_or(|status| status == 429)
    }
}

/// What a connector knows of the person while it works.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Names for templates: the sign-in's attributes, `user`, `role`, `roles`, `orgs`, `vars`.
    pub scope: &'a Map<String, Value>,
    /// Written into the app where it has a place for it (`externalId`): stable for (issuer, subject), unique, not an e-mail address.
    pub external_id: &'a str,
    /// The login the account has or should have.
    pub login: &'a str,
    /// E-mail address the account should have.
    pub email: Option<&'a str>,
    /// The app's id of the account, once known.
    pub account_id: Option<&'a str>,
}

/// How an account was switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchedOff {
    /// A flag of the account.
    Flag,
    /// It is only in the group for which the app lets nobody in.
    Group,
    /// It has no membership left. [`Connector::get`] will not show it as disabled.
    MembersRemoved,
    /// It was removed for good.
    Deleted,
    /// It was not there (any more).
    Gone,
    /// The app has no such thing: the gateway alone keeps the person out.
    NotAtTheApp,
}

/// For operators.
impl std::fmt::Display for SwitchedOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Group => "group",
            Self::MembersRemoved => "memberships removed",
            Self::Deleted => "deleted",
            Self::Gone => "gone",
            Self::NotAtTheApp => "not at the app",
        })
    }
}

/// A page of all accounts.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The accounts on it; memberships only as far as the list itself shows them, an id or login that it does not show is empty.
    pub accounts: Vec<Account>,
    /// Where the next page is; `None`: this was the last.
    pub next: Option<PageMark>,
}

/// A place in the list of all accounts, as text that may be kept and come back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark(pub String);

/// What looking came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// Exactly one account, and by what it was recognised.
    Found(Box<Account>, MatchBy),
    /// None.
    Absent,
    /// Several fit: nobody is taken for anybody.
    Ambiguous,
}

/// What a person is signed in with at an app.
#[derive(Debug, Clone, Copy)]
pub struct DoorKey<'a> {
    /// Their password, or a token that says who they are.
    pub secret: &'a SecretString,
    /// A name of the gateway's session, the same every time; no secret.
    pub device: &'a str,
}

/// What signing in at an app gave a person. Secrets: nothing of it is printed.
#[derive(Clone, Default)]
pub struct Entered {
    /// `Set-Cookie`, as the app wrote them.
    pub cookies: Vec<HeaderValue>,
    /// A token of the app's own.
    pub token: Option<SecretString>,
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entered({} cookies, {} token)", self.cookies.len(), if self.token.is_some() { "a" } else { "no" })
    }
}

/// An application's admin API.
#[async_trait]
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// The ways in which [`Connector::find`] can look, in the order it prefers. Looking in all of them says whether there is an account; whether it may be
    /// taken over is the policy's business.
    fn ways(&self) -> Vec<MatchBy>;
    /// Whether the admin API answers and accepts the credential.
    async fn probe(&self) -> Result<(), Trouble>;
    /// Looks for the account by each way in `by`, in order, all states of accounts included, exact after folding; memberships included. A way that the
    /// app does not have is passed over, and so is e-mail without `context.email`. An account whose login is reserved counts as an administrator's.
    async fn find(&self, context: Context<'_>, by: &[MatchBy]) -> Result<Observation, Trouble>;
    /// The account with `context.account_id`; [`Observation::Absent`] when it is gone.
    async fn get(&self, context: Context<'_>) -> Result<Observation, Trouble>;
    /// As [`Connector::get`], in one call where an app shows memberships only when asked for them: those kinds are then absent, which is not empty.
    async fn glance(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        self.get(context).await
    }
    /// Does one step. `Ok` carries a success outcome (`Created Updated Unchanged Done Gone`), and for a create the new account, whose memberships are
    /// those that the answer showed. A create that comes to `Exists` or `InDoubt` is an error: look before anything is sent again.
    async fn apply(&self, context: Context<'_>, step: &Step) -> Result<(Outcome, Option<Account>), Trouble>;
    /// The same for work that nobody waits for: it has a lane of its own, and never stands before a person. `None`: there are no lanes.
    fn background(&self) -> Option<Arc<dyn Connector>> {
        None
    }
    /// Whether the admin API is asked at present, and since when not.
    fn health(&self) -> Health {
        Health::default()
    }
    /// Whether no work is to be begun: the admin credential was refused, and whether it is good again is not to be asked yet, or is being asked. No once that may be asked:
    /// whoever begins then asks it.
    fn is_shut(&self) -> bool {
        false
    }
    /// Asked before anything is done again after transient trouble: no when more than one call in ten would be a repetition. A yes is counted.
    fn may_retry(&self) -> bool {
        true
    }
    /// Whether the app can do `verb`, as [`model::Model::can`]. One that it does not have comes to [`Outcome::Unsupported`] when it is asked for all the same.
    fn can(&self, _verb: &Verb) -> bool {
        false
    }
    /// Grants and takes back several memberships of one kind at once, serialised per account. An app that replaces whole lists gets one list: what is there
    /// now, read just before, without `remove` and with `add` (name, role); for the others each is a call of its own. Names in neither stay as they are.
    ///
    /// # Errors
    /// As for [`Connector::apply`]; [`Outcome::Gone`]: the account is; [`Outcome::Absent`]: the app lacks one that is to be granted.
    async fn change_members(&self, _context: Context<'_>, kind: &str, _add: &[(&str, Option<&str>)], _remove: &[&str]) -> Result<Outcome, Trouble> {
        Err(unsupported(&format!("members.{kind}")))
    }
    /// Switches the account of `context.account_id` off, by the first of the connector's ways that the app does not call unsupported; it is removed for good
    /// only with `may_delete`. Doing it twice is doing it once. To switch on again: [`Step::Enable`].
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: no way works; [`Outcome::Denied`]: the app refuses (its last administrator, for one).
    async fn disable(&self, _context: Context<'_>, _may_delete: bool) -> Result<SwitchedOff, Trouble> {
        Err(unsupported("disable"))
    }
    /// Removes the account for good. One that is not there is [`Outcome::Done`] or [`Outcome::Gone`].
    ///
    /// # Errors
    /// As for [`Connector::apply`].
    async fn delete(&self, _context: Context<'_>) -> Result<Outcome, Trouble> {
        Err(unsupported("delete"))
    }
    /// Changes the login from `context.login` to `to`. The id of an app whose ids are logins changes with it: look by login afterwards.
    ///
    /// # Errors
    /// [`Outcome::Conflict`] or [`Outcome::Exists`]: somebody else has that login; [`Outcome::Invalid`]: the app takes no such login.
    async fn rename(&self, _context: Context<'_>, _to: &str) -> Result<Outcome, Trouble> {
        Err(unsupported("rename"))
    }
    /// Ends the person's sessions in the app.
    ///
    /// # Errors
    /// As for [`Connector::apply`].
    async fn revoke_sessions(&self, _context: Context<'_>) -> Result<Outcome, Trouble> {
        Err(unsupported("revoke_sessions"))
    }
    /// A page of all accounts, in all states, from `from` (the [`Listing::next`] of the page before) or the beginning. A list with more pages than the
    /// connector allows ends in trouble, never early.
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: the app cannot be listed, or has too many pages; [`Outcome::Invalid`]: `from` is no place in this list.
    async fn list(&self, _from: Option<&PageMark>) -> Result<Listing, Trouble> {
        Err(unsupported("list"))
    }
    /// Gives the account the password `password`.
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: the admin API cannot.
    async fn set_password(&self, _context: Context<'_>, _password: &SecretString) -> Result<Outcome, Trouble> {
        Err(unsupported("set_password"))
    }
    /// Signs the person in at the app itself, which is at `at`, by `secret`: the password that [`Connector::set_password`] has set, or a token that says who they are.
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: it is not known how; [`Outcome::Denied`]: the app does not let them in.
    async fn enter(&self, _context: Context<'_>, _at: &Url, _key: DoorKey<'_>) -> Result<Entered, Trouble> {
        Err(unsupported("enter"))
    }
    /// Gives a token of [`Connector::enter`] back to the app, which is at `at`. One that the app does not know any more is given back as well.
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: it is not known how; anything else: the token may still be good.
    async fn leave(&self, _context: Context<'_>, _at: &Url, _token: &SecretString) -> Result<Outcome, Trouble> {
        Err(unsupported("leave"))
    }
    /// Whether a role of a policy is one that the app has, or that the connector would make there. Only reads.
    ///
    /// # Errors
    /// [`Outcome::Unsupported`]: the app cannot be asked; anything else as for [`Connector::probe`].
    async fn knows_role(&self, _role: &str) -> Result<bool, Trouble> {
        Err(unsupported("resolve"))
    }
}

fn unsupported(verb: &str) -> Trouble {
    let detail = "the connector cannot do this".to_owned();
    Trouble { step: verb.to_owned(), outcome: Outcome::Unsupported, retry_after_ms: None, status: None, detail }
}
