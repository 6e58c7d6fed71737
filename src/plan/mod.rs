//! What an account should be, what it is, and the steps between. Pure and total.
//!
//! Lives here: [`Desired`], [`Account`] (as observed), [`Applied`] (what this gateway last put there), [`Plan`] of [`Step`]s, and [`diff`]. Three-way: what the
//! gateway never granted, it never takes back; what was granted by hand stays. Applying a plan and looking again gives an
//! empty plan.
//!
//! `diff.rs` is the arithmetic; this file is the nouns. It never knows how an app is spoken to (`connector/`), where records are kept
//! (`state/`) or how a sign-in becomes a [`Desired`] (`policy/mapping.rs`).

mod diff;

pub use diff::{Blocked, DiffRules, Kept, Plan, diff};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Members of one kind (`group`, `role`, `org`): name or id, and the role held in it, if that kind has roles.
pub type Members = BTreeMap<String, Option<String>>;

/// What is wanted of one kind of membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// The provider did not say which groups there are: grant nothing, revoke nothing.
    Unknown,
    /// Exactly these, as far as the gateway grants them.
    Known(Members),
}

/// The account as the policy wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// Login name.
    pub login: String,
    /// Attributes by the connector's names, absent ones left out: what is absent from a sign-in clears nothing.
    pub attributes: BTreeMap<String, Value>,
    /// Memberships by kind.
    pub memberships: BTreeMap<String, Wanted>,
}

/// The account as the app shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Account {
    /// The app's immutable id.
    pub id: String,
    /// Login name.
    pub login: String,
    /// The id that this gateway wrote there.
    pub external_id: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// An administrator's account: never taken over.
    pub admin: bool,
    /// Disabled, locked, deactivated.
    pub disabled: bool,
    /// Attributes by the connector's names.
    pub attributes: BTreeMap<String, Value>,
    /// Memberships by kind; a kind the connector cannot list is not there.
    pub memberships: BTreeMap<String, Members>,
    /// The same in the app's own words, for conditions of a policy.
    pub shown: Shown,
}

/// The fields of an account as an app names them. Some apps show keys and hashes there: only counted when printed.
#[derive(Clone, PartialEq, Default)]
pub struct Shown(pub Map<String, Value>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shown({} fields)", self.0.len())
    }
}

/// What this gateway last put there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Attributes it set.
    pub attributes: BTreeMap<String, Value>,
    /// Memberships it granted.
    pub memberships: BTreeMap<String, Members>,
}

/// One thing to do at the app.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make the account.
    Create(Desired),
    /// Set these attributes.
    Update(BTreeMap<String, Value>),
    /// Switch a disabled account on again.
    Enable,
    /// Grant a membership.
    Add {
        /// Kind.
        kind: String,
        /// Name or id.
        member: String,
        /// Role in it.
        role: Option<String>,
    },
    /// Take back a membership that this gateway granted.
    Remove {
        /// Kind.
        kind: String,
        /// Name or id.
        member: String,
    },
}

impl Account {
    /// What `account` means in a condition of a policy: the app's own fields; where it has none of that name, `id login email external_id admin disabled`
    /// and the connector's attributes.
    pub fn names(&self) -> Value {
        let mut names = self.shown.0.clone();
        let texts =
            [("id", Some(&self.id)), ("login", Some(&self.login)), ("email", self.email.as_ref()), ("external_id", self.external_id.as_ref())];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text.filter(|text| !text.is_empty())?.as_str()))));
        let flags = [("admin", Value::from(self.admin)), ("disabled", Value::from(self.disabled))];
        for (name, value) in texts.chain(flags) {
            names.entry(name).or_insert(value);
        }
        for (name, value) in &self.attributes {
            names.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(names)
    }
}

impl Applied {
    /// Notes that `step` has worked.
    pub fn note(&mut self, step: &Step) {
        match step {
            // Which memberships a create carried along is up to the connector: the next look tells.
            Step::Create(desired) => self.attributes.clone_from(&desired.attributes),
            Step::Update(attributes) => self.attributes.extend(attributes.iter().map(|(name, value)| (name.clone(), value.clone()))),
            Step::Enable => {}
            Step::Add { kind, member, role } => {
                self.memberships.entry(kind.clone()).or_default().insert(member.clone(), role.clone());
            }
            Step::Remove { kind, member } => {
                if let Some(members) = self.memberships.get_mut(kind) {
                    members.remove(member);
                }
            }
        }
    }

    /// For a record.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

impl Step {
    /// Short and stable, for logs and `plan`: `create`, `update`, `add group devs`.
    pub fn label(&self) -> String {
        match self {
            Self::Create(_) => "create".to_owned(),
            Self::Update(_) => "update".to_owned(),
            Self::Enable => "enable".to_owned(),
            Self::Add { kind, member, .. } => format!("add {kind} {member}"),
            Self::Remove { kind, member } => format!("remove {kind} {member}"),
        }
    }
}

impl Desired {
    /// One text for one desired state, whatever order things were asserted in: the input of the fingerprint that says whether a record is
    /// up to date. A JSON array delimits the parts, so that no two inputs run together.
    pub fn canonical(&self, connector: &str, policy_revision: &str) -> String {
        let whole = serde_json::json!([connector, policy_revision, self.login, self.attributes, self.memberships]);
        canonical(&whole).to_string()
    }
}

/// The same JSON with the keys of every object in order (the map keeps insertion order otherwise).
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> = fields.iter().map(|(name, field)| (name, canonical(field))).collect();
            Value::Object(sorted.into_iter().map(|(name, field)| (name.clone(), field)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
