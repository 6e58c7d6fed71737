//! What a connector can do, in words: for listings, for `connectors show`, and for whoever asks before a policy is written.
//!
//! Apart because it only reads a [`Model`]; nothing at sign-in depends on it. It never knows how a listing looks.

use super::{DisableBy, MemberVerb, Model, Verb, Way};
use std::fmt;

impl Model {
    /// What it can do, one word a verb, in a fixed order: `lookup.login`, `create`, `members.org.add`… A verb that is not here is a thing the app cannot do.
    pub fn capabilities(&self) -> Vec<String> {
        self.verbs.keys().map(ToString::to_string).collect()
    }

    /// Whether it can do `what`: a word of [`Self::capabilities`], or the first parts of one (`members`, `members.org`, `lookup`).
    pub fn supports(&self, what: &str) -> bool {
        self.capabilities().iter().any(|can| can.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether an account can be switched off and stays there.
    pub fn can_switch_off(&self) -> bool {
        self.disable_by.iter().any(|way| !matches!(way, DisableBy::Delete | DisableBy::Nothing))
    }

    /// Whether somebody can be kept out at the app only by having their account removed: there is no switch that leaves it there.
    pub fn can_only_remove(&self) -> bool {
        !self.can_switch_off() && self.disable_by.iter().any(|way| matches!(way, DisableBy::Delete))
    }

    /// Whether it can be seen of an account that it is switched off, in whichever of its ways it was.
    pub fn shows_who_is_off(&self) -> bool {
        self.account.disabled.is_some() || !self.disable_by.iter().any(|way| matches!(way, DisableBy::Flag))
    }

    /// Whether switching an account off in this `way` takes its memberships of `kind` away, all but that of the group that switches off.
    pub fn takes_away(&self, way: &DisableBy, kind: &str) -> bool {
        let can = |verb| self.can(&Verb::Members(kind.to_owned(), verb));
        match way {
            DisableBy::Group { kind: of, .. } => of == kind,
            // What is not shown cannot be taken away one by one.
            DisableBy::MembersRemoved => {
                let is_shown = can(MemberVerb::List) || self.account.members.iter().any(|(shown, _)| shown == kind);
                is_shown && (can(MemberVerb::Remove) || can(MemberVerb::Set))
            }
            DisableBy::Flag | DisableBy::Delete | DisableBy::Nothing => false,
        }
    }

    /// Whether an account shows that it is an administrator's, whichever app it is.
    pub const fn shows_admins(&self) -> bool {
        self.account.admin.is_some() && !self.account.admin_optional
    }

    /// Whether `role` is one the app may have: any, unless the connector has a closed list.
    pub fn may_have_role(&self, role: &str) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|known| known == role)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("token"),
            Self::Session => f.write_str("session"),
            Self::Probe => f.write_str("probe"),
            Self::Lookup(Way::ExternalId) => f.write_str("lookup.external_id"),
            Self::Lookup(Way::Login) => f.write_str("lookup.login"),
            Self::Lookup(Way::Email) => f.write_str("lookup.email"),
            Self::Get => f.write_str("get"),
            Self::Create => f.write_str("create"),
            Self::Update => f.write_str("update"),
            Self::Rename => f.write_str("rename"),
            Self::Enable => f.write_str("enable"),
            Self::Disable => f.write_str("disable"),
            Self::Delete => f.write_str("delete"),
            Self::List => f.write_str("list"),
            Self::Members(kind, MemberVerb::List) => write!(f, "members.{kind}.list"),
            Self::Members(kind, MemberVerb::Add) => write!(f, "members.{kind}.add"),
            Self::Members(kind, MemberVerb::Remove) => write!(f, "members.{kind}.remove"),
            Self::Members(kind, MemberVerb::Set) => write!(f, "members.{kind}.set"),
            Self::Members(kind, MemberVerb::Name) => write!(f, "members.{kind}.name"),
            Self::Resolve(kind) => write!(f, "resolve.{kind}"),
            Self::RevokeSessions => f.write_str("revoke_sessions"),
            Self::SetPassword => f.write_str("set_password"),
            Self::Enter => f.write_str("enter"),
            Self::Leave => f.write_str("leave"),
        }
    }
}
