//! What an account should be, what it is, and the steps between. Pure and total.
//!
//! Lives here: [`Desired`], [`Account`] (as observed), [`Applied`] (what this gateway last put there), [`Plan`] of [`Step`]s, and [`diff`]. Three-way: what the
//! gateway never granted, it never takes back; what was granted by hand stays. Applying a plan and looking again gives an
//! empty plan.

use serde::{Deserialize, Serialize};
use serde_json::Value;
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
