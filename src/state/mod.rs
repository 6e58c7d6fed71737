//! What the gateway remembers, as ports.
//!
//! Lives here: one trait for each kind of thing that is kept ([`SessionStore`], [`LoginStore`], [`AccountStore`], [`KeyStore`], [`SignInStore`],
//! [`IncidentStore`], [`PersonSecretStore`]), their rows, and [`StoreError`]. Adapters: `sqlite/` (one file, WAL; later `postgres.rs` with the same schema); `seal.rs` is the
//! AEAD that both use. A bearer secret never arrives here: callers hash it first ([`SecretHash`]).
//!
//! To add a store: implement the traits, run `tests/gateway/state.rs` against it.

mod incidents;
mod person_secrets;
pub mod seal;
mod sign_ins;
pub mod sqlite;

pub use incidents::{IncidentBounds, IncidentFacts, IncidentRecord, IncidentStore, OF_ONE_PERSON_MAX, ROW_BYTES_MAX};
pub use person_secrets::{PersonSecret, PersonSecretStore};
pub use sign_ins::{RecordedSignIn, SignInStore, newest_of_each};

use crate::clock::Timestamp;
use crate::identity::{Identity, SubjectId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not answering, or answering nonsense; callers fail closed with 503.
    #[error("the state store is not available: {0}")]
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// A sealed value does not open with the configured key.
    #[error("a sealed value does not open with [state] key")]
    Sealed,
    /// Another replica took the lease; whoever holds this fence must stop writing.
    #[error("the lease on this record was taken over")]
    Fenced,
    /// Another person's record already owns this account id or login at this upstream.
    #[error("another person's record already owns this account")]
    OwnedByAnother,
}

/// SHA-256 of a bearer secret (session id, ticket, code, `state`): all the store ever sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Of `secret`'s bytes.
    pub fn of(secret: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret);
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(out)
    }

    /// Of several values in a row, each delimited by its length.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut whole = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            whole.update(&part.len().to_be_bytes());
            whole.update(part);
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(whole.finish().as_ref()) {
            *to = *from;
        }
        Self(out)
    }
}

/// Names a sign-on without being a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignOnId(pub [u8; 16]);

impl SignOnId {
    /// As operators read and write it: 32 hex digits.
    pub fn name(self) -> String {
        hex::encode(self.0)
    }

    /// The one of this name; `None` for what is no name.
    pub fn of_name(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(name, &mut bytes).ok().map(|()| Self(bytes))
    }
}

/// A person's sign-on: one browser, one provider, every app.
#[derive(Clone, PartialEq)]
pub struct SignOn {
    /// Its name.
    pub id: SignOnId,
    /// Who they are.
    pub identity: Identity,
    /// When they proved it at the provider (`auth_time`). The epoch when it did not say, which OIDC Core 2 allows unless `max_age` was asked for:
    /// a sign-in of unknown age is not recent enough for any `max_age`, and is repeated with one. Pages show `created_at` then.
    pub auth_time: Timestamp,
    /// When this sign-on began.
    pub created_at: Timestamp,
    /// Last request in any app, as last flushed.
    pub last_seen: Timestamp,
    /// Ends at this moment, whatever happens.
    pub expires_at: Timestamp,
    /// ID token, kept sealed for `id_token_hint` at RP-initiated logout.
    pub id_token: Option<String>,
    /// The provider's session (`sid`).
    pub idp_session: Option<String>,
}

impl fmt::Debug for SignOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the ID token, which some providers take as proof, and without claims.
        f.debug_struct("SignOn").field("id", &self.id).field("subject", &self.identity.subject).finish_non_exhaustive()
    }
}

/// Sign-ons and the app sessions that hang from them.
#[async_trait]
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// Keeps a new sign-on under the hash of its cookie on the auth host.
    async fn create_sign_on(&self, cookie: SecretHash, sign_on: &SignOn) -> Result<(), StoreError>;
    /// The live sign-on with this cookie on the auth host.
    async fn sign_on_by_cookie(&self, cookie: SecretHash) -> Result<Option<SignOn>, StoreError>;
    /// The live sign-on with this id.
    async fn sign_on(&self, id: SignOnId) -> Result<Option<SignOn>, StoreError>;
    /// Keeps a new session of `app` (policy name) under the hash of its cookie on the app's host. Does nothing when the sign-on has ended: read it back.
    async fn create_app_session(&self, cookie: SecretHash, sign_on: SignOnId, app: &str, at: Timestamp) -> Result<(), StoreError>;
    /// The app session with this cookie: app name and its sign-on, when neither has ended.
    async fn app_session(&self, cookie: SecretHash) -> Result<Option<(String, SignOn)>, StoreError>;
    /// Sign-ons that have not ended, in the order of their ids: at most `limit` of those after `after`. Whether one has run out is told by its times.
    async fn sign_ons_after(&self, after: Option<SignOnId>, limit: u32) -> Result<Vec<SignOn>, StoreError>;
    /// Names of the apps this sign-on has sessions in.
    async fn apps_of(&self, id: SignOnId) -> Result<Vec<String>, StoreError>;
    /// Ends a sign-on and all its app sessions; false when it had ended already. An ended one never comes back.
    async fn end_sign_on(&self, id: SignOnId, at: Timestamp) -> Result<bool, StoreError>;
    /// Writes down when sign-ons were last used.
    async fn touch(&self, seen: &[(SignOnId, Timestamp)]) -> Result<(), StoreError>;
    /// Deletes what expired by `now` (absolute), ended or not, and what has not ended and was last seen before `idle_before`; returns how many
    /// sign-ons. Ended ones stay until their absolute expiry.
    async fn sweep(&self, now: Timestamp, idle_before: Timestamp) -> Result<u64, StoreError>;
}

/// A sign-in under way, from the first redirect to the callback.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLogin {
    /// App (policy name) it was begun for; `None` for a sign-in at the auth host itself.
    pub app: Option<String>,
    /// Path and query to return to on the app's host; begins with one `/`.
    pub return_to: String,
    /// Hash of the binding cookie on the app's host.
    pub app_binding: Option<[u8; 32]>,
    /// Hash of the binding cookie on the auth host; set when the browser reaches it.
    pub auth_binding: Option<[u8; 32]>,
    /// `[[idp]] id`, once chosen.
    pub idp: Option<String>,
    /// `nonce`, once sent.
    pub nonce: Option<String>,
    /// PKCE `code_verifier`, once made; sealed at rest.
    pub code_verifier: Option<String>,
    /// Whether the provider was asked to authenticate afresh (`max_age`).
    pub max_age_s: Option<i64>,
    /// When it began, in milliseconds since the epoch.
    pub begun_at_ms: i64,
    /// Whether only a sign-on will do that was made after it began: what an earlier one said is in doubt.
    #[serde(default)]
    pub reread: bool,
    /// Whether it ends at the app's landing page rather than at `return_to`, where the policy has one.
    #[serde(default)]
    pub lands: bool,
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `nonce`, `code_verifier` and the query of `return_to`.
        f.debug_struct("PendingLogin").field("app", &self.app).field("idp", &self.idp).field("begun_at_ms", &self.begun_at_ms).finish_non_exhaustive()
    }
}

/// How much of the room for sign-ins under way may be whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRoom {
    /// Key of the ticket that it came by, and how many may have come by it.
    pub ticket: Option<(SecretHash, u32)>,
    /// Whoever begins it, as clients are counted ([`Bounds::client`](crate::config::Bounds::client)).
    pub client: IpAddr,
    /// How many the client may have; `None`: there is room for everybody.
    pub of_client: Option<u32>,
}

/// A sign-on on its way from the auth host to an app's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The sign-on to hand over.
    pub sign_on: SignOnId,
    /// The app it is for.
    pub app: String,
    /// Hash of the binding cookie that the browser must show on the app's host.
    pub app_binding: SecretHash,
    /// Where to go then.
    pub return_to: String,
    /// See [`PendingLogin::lands`].
    pub lands: bool,
}

/// What became of a single-use thing that was asked for.
#[derive(Debug, Clone)]
pub enum Taken<T> {
    /// It was there and is now used up.
    Fresh(T),
    /// It was there once and has been used; its content, for going home.
    Used(T),
    /// Never there, or too old.
    Unknown,
}

/// What a provider's page has posted, on its way to the browser's own request.
#[derive(Clone)]
pub struct KeptAnswer {
    /// Key of the pending login that it answers.
    pub state: SecretHash,
    /// What the browser comes for it with.
    pub code: SecretHash,
    /// As posted; sealed at rest.
    pub document: Vec<u8>,
    /// Not to be had any more from then on.
    pub expires_at: Timestamp,
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswer").field("bytes", &self.document.len()).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How much of what is posted is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerRoom {
    /// For one sign-in.
    pub of_state: u32,
    /// Of all together.
    pub all: u32,
    /// Bytes of all together, as sealed; the newest stays whatever it has.
    pub bytes: u64,
}

/// Single-use things with a life of minutes: tickets, pending logins, hand-overs, replay keys.
#[async_trait]
pub trait LoginStore: Send + Sync + fmt::Debug {
    /// Keeps a pending login under the hash of its ticket or `state` until `expires_at`. Replaces nothing: the key is fresh.
    async fn put_pending(&self, key: SecretHash, login: &PendingLogin, expires_at: Timestamp) -> Result<(), StoreError>;
    /// As [`LoginStore::put_pending`], within `room`: this one is kept, and what of its ticket or its client goes beyond that makes way, the oldest first. Returns how many
    /// of the client's did.
    async fn put_pending_within(
        &self,
        key: SecretHash,
        login: &PendingLogin,
        expires_at: Timestamp,
        room: PendingRoom,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Reads a pending login without using it up; `None` once it is used.
    async fn pending(&self, key: SecretHash, now: Timestamp) -> Result<Option<PendingLogin>, StoreError>;
    /// Uses a pending login up: exactly one caller ever gets [`Taken::Fresh`]. It is known as used for five minutes more, or until it would have expired.
    async fn take_pending(&self, key: SecretHash, now: Timestamp) -> Result<Taken<PendingLogin>, StoreError>;
    /// Keeps a hand-over under the hash of its code.
    async fn put_handover(&self, code: SecretHash, handover: &Handover, expires_at: Timestamp) -> Result<(), StoreError>;
    /// Uses a hand-over up: exactly one caller ever gets it.
    async fn take_handover(&self, code: SecretHash, now: Timestamp) -> Result<Taken<Handover>, StoreError>;
    /// Remembers `key` until `expires_at`; false when it was remembered already (a replay).
    async fn once(&self, key: SecretHash, expires_at: Timestamp) -> Result<bool, StoreError>;
    /// Deletes what expired before `now`; returns how many.
    async fn sweep_logins(&self, now: Timestamp) -> Result<u64, StoreError>;
    /// How many pending logins are kept, used ones and not yet swept ones included, for the cap against login floods.
    async fn pending_count(&self) -> Result<u64, StoreError>;
    /// Keeps what a provider's page has posted, until the browser comes for it itself. The newest stays: what is kept under the same sign-in and code is
    /// replaced, and whatever goes beyond `room` makes way, the oldest first.
    async fn keep_answer(&self, answer: &KeptAnswer, room: AnswerRoom, now: Timestamp) -> Result<(), StoreError>;
    /// What was kept for the sign-in `state` under `code`, and has neither expired nor made way.
    async fn kept_answer(&self, state: SecretHash, code: SecretHash, now: Timestamp) -> Result<Option<Vec<u8>>, StoreError>;
}

/// One person at one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    /// Policy name.
    pub upstream: String,
    /// The person.
    pub subject: SubjectId,
}

/// States of an account record (`reference/provisioning.md` 4.1, those that exist by now).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Lease held, steps running or left half-way by a crash.
    Provisioning,
    /// Exists and is as the policy wants it.
    Active,
    /// Exists; something optional is missing.
    Degraded,
    /// Was there before; linked, and left alone or without memberships of ours.
    LinkedUnmanaged,
    /// A transient failure; try again.
    Pending,
    /// Nothing is made before a human has said yes.
    AwaitingApproval,
    /// Needs a human.
    Conflict,
    /// Whose it is may not come any more: the gateway's door is shut, and the account is to be switched off, or removed.
    Suspending,
    /// Switched off at the app, as far as the app can.
    Suspended,
    /// Removed at the app by this gateway; the login stays theirs.
    Deprovisioned,
}

impl AccountState {
    /// Whether the person has left.
    pub const fn has_left(self) -> bool {
        matches!(self, Self::Suspending | Self::Suspended | Self::Deprovisioned)
    }
}

/// What a human is asked to say yes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaiting {
    /// An account, beyond `max_accounts`.
    Account,
    /// Memberships for an account that was there before; the person is let in meanwhile.
    Join,
    /// The account is switched off, or removed: more people left at once than the policy allows without a human.
    Leave,
}

/// Where an account came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Made by this gateway.
    Created,
    /// Found, recognised, taken over.
    Adopted,
    /// Found, recognised, left alone.
    Preexisting,
}

/// The record of an [`AccountKey`].
#[derive(Debug, Clone, PartialEq)]
pub struct AccountRecord {
    /// Whose, and where.
    pub key: AccountKey,
    /// State.
    pub state: AccountState,
    /// Where the account came from; `None` until there is one.
    pub origin: Option<Origin>,
    /// The app's immutable id of the account.
    pub account_id: Option<String>,
    /// Login at the app. Once recorded it is what headers carry, whatever a later claim says.
    pub login: Option<String>,
    /// What was last applied: attributes and granted memberships (`plan::Applied` as JSON). The base of the three-way merge.
    pub applied: Value,
    /// Fingerprint of the desired state that `applied` satisfies.
    pub desired_fp: Option<String>,
    /// Revision of the policy that was applied.
    pub policy_revision: String,
    /// The step that was sent and not yet known to have worked; looked up before anything is sent again.
    pub in_doubt: Option<String>,
    /// Tries since the last success.
    pub attempts: u32,
    /// Last error in our own words: step and outcome, never a body.
    pub last_error: Option<String>,
    /// When the account was last seen to be as wanted.
    pub verified_at: Option<Timestamp>,
    /// What a human is asked to approve.
    pub awaiting: Option<Awaiting>,
    /// When a human has approved an account beyond `max_accounts`; for good.
    pub seat_approved_at: Option<Timestamp>,
    /// When a human has approved memberships for an account that was there before; for good. Another yes than the one above: neither stands for the other.
    pub join_approved_at: Option<Timestamp>,
    /// Since when nothing has worked; `None` after a success.
    pub failed_at: Option<Timestamp>,
}

impl AccountRecord {
    /// Of somebody of whom nothing is known yet, under this revision of the policy.
    pub fn empty(key: AccountKey, policy_revision: &str) -> Self {
        Self {
            key,
            state: AccountState::Provisioning,
            origin: None,
            account_id: None,
            login: None,
            applied: Value::Null,
            desired_fp: None,
            policy_revision: policy_revision.to_owned(),
            in_doubt: None,
            attempts: 0,
            last_error: None,
            verified_at: None,
            awaiting: None,
            seat_approved_at: None,
            join_approved_at: None,
            failed_at: None,
        }
    }

    /// Whether it takes one of the seats that `max_accounts` counts: an account that this gateway made or took over, or is about to make.
    pub fn takes_a_seat(&self) -> bool {
        match (&self.account_id, self.origin) {
            (Some(_), Some(Origin::Created | Origin::Adopted)) => true,
            (Some(_), Some(Origin::Preexisting) | None) => false,
            // Without an account only a create is ever in doubt.
            (None, _) => self.in_doubt.is_some(),
        }
    }

    /// Whether there is an account that was once as wanted, and that no human has to look at.
    pub fn is_linked(&self) -> bool {
        self.account_id.is_some()
            && self.login.is_some()
            && self.verified_at.is_some()
            && !matches!(self.state, AccountState::Conflict | AccountState::AwaitingApproval)
            && !self.state.has_left()
    }
}

/// How many records of an upstream are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Policy name.
    pub upstream: String,
    /// State.
    pub state: AccountState,
    /// How many.
    pub count: u64,
    /// Since when the one that has failed longest has.
    pub oldest_failed_at: Option<Timestamp>,
}

/// A right to write a record, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub i64);

/// Answer to a request for a lease.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way from the store")]
pub enum Lease {
    /// Ours until the stated moment; the record as it is, `None` when there is none yet.
    Held(Fence, Option<AccountRecord>),
    /// Somebody else's until then.
    Busy(Timestamp),
}

/// Account records.
#[async_trait]
pub trait AccountStore: Send + Sync + fmt::Debug {
    /// The record, if any.
    async fn account(&self, key: &AccountKey) -> Result<Option<AccountRecord>, StoreError>;
    /// Takes the lease on a record, making an empty one when there is none. Whoever holds it may ask again under the same `owner`: it then runs until
    /// the new `until` under a new fence, and the old fence is worthless (a renewal, or a gateway that was killed and is back).
    async fn lease(&self, key: &AccountKey, owner: &str, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError>;
    /// Writes the record; [`StoreError::Fenced`] when the lease has moved on, [`StoreError::OwnedByAnother`] when the account id or login
    /// belongs to another person's record at the same upstream (unique indexes, so that no race can pass).
    async fn save(&self, record: &AccountRecord, fence: Fence) -> Result<(), StoreError>;
    /// As [`Self::save`] for a record that takes a seat ([`AccountRecord::takes_a_seat`]); false, and nothing written, when `seats` other records of its
    /// upstream take one already. Counted and written at once: any number of callers together do not exceed `seats`.
    async fn save_within(&self, record: &AccountRecord, fence: Fence, seats: u64) -> Result<bool, StoreError>;
    /// Empties the record but for its lease, as if the person had never been here; [`StoreError::Fenced`] when the lease has moved on. The fence stays, so
    /// that nobody who wrote under an older one can write again.
    async fn forget(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError>;
    /// Whose record at `upstream` has this login, letter case and composition of accents aside.
    async fn owner_of_login(&self, upstream: &str, login: &str) -> Result<Option<AccountKey>, StoreError>;
    /// Records of `upstream`, or of all, in the order of their keys: at most `limit` of those that come after `after`.
    async fn accounts_after(&self, upstream: Option<&str>, after: Option<&AccountKey>, limit: u32) -> Result<Vec<AccountRecord>, StoreError>;
    /// How many records are in which state.
    async fn census(&self) -> Result<Vec<Census>, StoreError>;
    /// Gives the lease back; the fence is worthless from then on. [`StoreError::Fenced`] when the lease has moved on.
    async fn release(&self, key: &AccountKey, fence: Fence) -> Result<(), StoreError>;
    /// Records of an upstream in `state` that wait for nobody's yes, in the order of their keys: at most `limit` of those that come after `after`; with `since`, only those
    /// that were leased then or later.
    async fn accounts_in(
        &self,
        upstream: &str,
        state: AccountState,
        since: Option<Timestamp>,
        after: Option<&AccountKey>,
        limit: u32,
    ) -> Result<Vec<AccountRecord>, StoreError>;
    /// Writes down when people were here by a token, which changes no record. Moves forwards only.
    async fn note_uses(&self, uses: &[(AccountKey, Timestamp)]) -> Result<(), StoreError>;
    /// When a person was here by a token last, as far as it was written down.
    async fn last_use(&self, key: &AccountKey) -> Result<Option<Timestamp>, StoreError>;
    /// Since when uses at `upstream` are written down: since the first time that this was asked, which is `now` then.
    async fn uses_since(&self, upstream: &str, now: Timestamp) -> Result<Timestamp, StoreError>;
}

/// A signing key of the gateway.
#[derive(Clone)]
pub struct SigningKey {
    /// `kid`.
    pub kid: String,
    /// PKCS#8 DER of the P-256 private key; sealed at rest.
    pub pkcs8: zeroize::Zeroizing<Vec<u8>>,
    /// Uncompressed public point, 65 bytes.
    pub public: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Signing keys, newest first.
#[async_trait]
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// All keys that are still published.
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;
    /// Keeps a new key; false when another replica was first, that is, made one within an hour of this one (callers read again).
    async fn add_signing_key(&self, key: &SigningKey) -> Result<bool, StoreError>;
    /// Removes a key, its private half with it; nothing when it is not there.
    async fn remove_signing_key(&self, kid: &str) -> Result<(), StoreError>;
}

/// Everything a store does, for `app/` to hand out in parts.
pub trait Store: SessionStore + LoginStore + AccountStore + KeyStore + SignInStore + IncidentStore + PersonSecretStore {}
impl<T: SessionStore + LoginStore + AccountStore + KeyStore + SignInStore + IncidentStore + PersonSecretStore> Store for T {}

#[cfg(test)]
mod tests {
    use super::{PendingLogin, SecretHash, SignOn, SignOnId, SigningKey};
    use crate::clock::Timestamp;
    use crate::identity::Identity;

    #[test]
    fn nothing_secret_is_printed() {
        let at = Timestamp::from_seconds(1);
        let sign_on = SignOn {
            id: SignOnId([1; 16]),
            identity: Identity::bare("corp", "https://idp.example", "ada"),
            auth_time: at,
            created_at: at,
            last_seen: at,
            expires_at: at,
            id_token: Some("SECRET".to_owned()),
            idp_session: Some("SECRET".to_owned()),
        };
        let pending = PendingLogin {
            app: None,
            return_to: "/?token=SECRET".to_owned(),
            app_binding: None,
            auth_binding: None,
            idp: None,
            nonce: Some("SECRET".to_owned()),
            code_verifier: Some("SECRET".to_owned()),
            max_age_s: None,
            begun_at_ms: 0,
            reread: false,
            lands: false,
        };
        let key = SigningKey { kid: "k".to_owned(), pkcs8: vec![222; 9].into(), public: Vec::new(), created_at: at };
        let printed = format!("{sign_on:?} {pending:?} {key:?}");
        assert!(!printed.contains("SECRET") && !printed.contains("222"), "{printed}");
    }

    #[test]
    fn a_name_reads_back_and_nothing_else_does() {
        let id = SignOnId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 250, 251, 252, 253, 255]);
        assert_eq!((id.name().as_str(), SignOnId::of_name(&id.name())), ("000102030405060708090afafbfcfdff", Some(id)));
        for no in ["", "0", "zz", &"0".repeat(31), &"0".repeat(33), &"+".repeat(32), "é".repeat(16).as_str()] {
            assert_eq!(SignOnId::of_name(no), None, "{no}");
        }
    }

    #[test]
    fn a_hash_is_sha_256() {
        // FIPS 180-4, the example "abc".
        assert_eq!(SecretHash::of(b"abc").0[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
