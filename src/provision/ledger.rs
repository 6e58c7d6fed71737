//! What a record keeps beside its columns.
//!
//! Lives here: [`Ledger`], the base of the three-way merge and what was last seen; [`Doubt`], what was sent and may not have worked; the fingerprint of what is wanted, and the
//! mark that an account carries. Apart from the job because operators, leavers and listings read them too. No IO: a record in, a record out.

use super::leaving::Left;
use crate::clock::Timestamp;
use crate::connector::model::Model;
use crate::identity::Identity;
use crate::plan::{Account, Applied, Desired, Step};
use crate::policy::mapping::{Mapped, desire};
use crate::policy::{Policy, Sync};
use crate::state::{AccountKey, AccountRecord, AccountState, Origin, SecretHash};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long an account without a mark may be taken for what a create in doubt has made; later it may well be somebody else's work.
const DOUBT_MS: u64 = 15 * 60_000;

/// What was sent and is not known to have worked, as the record keeps it: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doubt {
    /// A create with this login.
    Create {
        /// The login.
        login: String,
        /// When it was sent, milliseconds since the epoch.
        at_ms: i64,
    },
    /// Another login.
    Rename {
        /// Which.
        to: String,
        /// When it was sent, milliseconds since the epoch.
        at_ms: i64,
        /// The app has said that it did it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken: bool,
    },
    /// A membership: kind, member, role.
    Add(String, String, Option<String>),
    /// Anything that is harmless to do again; its label.
    Step(String),
}

impl Doubt {
    pub(super) fn of(step: &Step, now: Timestamp) -> Self {
        match step {
            Step::Create(desired) => Self::Create { login: desired.login.clone(), at_ms: now.millis() },
            Step::Add { kind, member, role } => Self::Add(kind.clone(), member.clone(), role.clone()),
            Step::Update(_) | Step::Enable | Step::Remove { .. } => Self::Step(step.label()),
        }
    }

    /// Whether what was sent at `at_ms` (milliseconds since the epoch), and never answered, is still a claim to what is there.
    pub(super) fn is_recent(at_ms: i64, now: Timestamp) -> bool {
        now.since_ms(Timestamp::from_millis(at_ms)).unsigned_abs() <= DOUBT_MS
    }

    pub(super) fn read(record: &AccountRecord) -> Option<Self> {
        record.in_doubt.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    pub(super) fn write(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// For people: `create ada`, `add group devs`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Create { login, .. } => format!("create {login}"),
            Self::Rename { to, .. } => format!("rename to {to}"),
            Self::Add(kind, member, _) => format!("add {kind} {member}"),
            Self::Step(label) => label.clone(),
        }
    }
}

/// What a record's `applied` holds: the base of the three-way merge, and as of which sign-in. An older sign-in of the same person, still open in
/// another browser, must not bring back what a newer one took away.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    #[serde(flatten)]
    pub(super) applied: Applied,
    #[serde(default)]
    pub(super) as_of_ms: i64,
    /// The address under which the app was last seen to know the account.
    #[serde(default)]
    pub(super) email: Option<String>,
    /// What operators call the person: address, else user name, of the last sign-in.
    #[serde(default)]
    pub(super) who: Option<String>,
    /// When the person left, and what came of it at the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<Left>,
    /// What somebody changed at the app, as last seen there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) drift: Vec<String>,
    /// An operator has said that this account is the person's, and it has not been looked at yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) relinked: bool,
    /// The account's login is what the policy makes of the person's sign-in, or was when it was last looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) named: bool,
    /// Why it keeps a login that is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unnamed: Option<String>,
    /// A login that the app took and did not show in all the time it had: not sent again, and known for the person's should it show yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unseen: Option<String>,
    /// When the account was last looked at with all its memberships, seconds since the epoch.
    #[serde(default)]
    pub(super) whole_s: i64,
}

impl Ledger {
    pub(super) fn of(record: &AccountRecord) -> Self {
        Self::deserialize(&record.applied).unwrap_or_default()
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Memberships that the app gives every new account (Grafana's default organisation) came with our create: they are ours to take back.
    pub(super) fn claim_joined(&mut self, connector: &Model, account: &Account) {
        for (kind, roles) in &connector.joined_on_create {
            for (member, role) in account.memberships.get(kind).into_iter().flatten() {
                if roles.is_empty() || role.as_ref().is_some_and(|role| roles.contains(role)) {
                    self.applied.note(&Step::Add { kind: kind.clone(), member: member.clone(), role: role.clone() });
                }
            }
        }
    }
}

/// Fingerprint of what is wanted: 64 hex digits.
pub(super) fn fingerprint(policy: &Policy, mapped: &Mapped) -> String {
    let connector = policy.provision.as_ref().map(|provision| format!("{}{}", provision.connector.name, provision.connector.revision));
    let SecretHash(digest) = SecretHash::of(mapped.desired.canonical(&connector.unwrap_or_default(), &policy.revision).as_bytes());
    hex::encode(digest)
}

/// What the app had by a record, beside what this gateway put there, when it was last seen to be as `policy`, the one in force, wants it of `identity`: `None` when the
/// record does not say that. Somebody may have had a membership or an attribute before, and nothing was to be done about it.
pub fn as_wanted(policy: &Policy, identity: &Identity, record: &AccountRecord) -> Option<Desired> {
    let taken_over = record.state == AccountState::LinkedUnmanaged && record.origin == Some(Origin::Adopted);
    if !(record.state == AccountState::Active || taken_over) || record.in_doubt.is_some() {
        return None;
    }
    let mapped = desire(policy, identity, record.login.as_deref()).ok()?;
    if record.desired_fp.as_deref() != Some(&*fingerprint(policy, &mapped)) {
        return None;
    }
    let mut desired = mapped.desired;
    // What is given once, or never, may have gone since, or never have come.
    desired.memberships.retain(|kind, _| !taken_over && mapped.sync.get(kind).copied().unwrap_or_default() == Sync::Login);
    Some(desired)
}

/// What this gateway writes into an app to know the person's account again: 128 bits of a hash over issuer and subject, which are delimited by their
/// lengths. The same at every app, after a loss of all records, and no e-mail address.
pub(super) fn external_id(key: &AccountKey) -> String {
    let input = format!("{}:{}{}:{}", key.subject.issuer.len(), key.subject.issuer, key.subject.subject.len(), key.subject.subject);
    let SecretHash(digest) = SecretHash::of(input.as_bytes());
    format!("{}{}", super::linking::MARK, hex::encode(digest.get(..16).unwrap_or_default()))
}
