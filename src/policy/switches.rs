//! The switches of `[provision]`: who gets an account, when, and what may be done with one that is there.
//!
//! Lives here: [`Switches`] and its words. Apart from the nouns of `policy/mod.rs` because these say nothing about how an app is spoken to: whoever reviews
//! who may get in reads this file. It never knows an account record (`state/`) or an app (`connector/`).

use super::{Glob, OnExisting};
use crate::expr::Condition;

/// The switches of `[provision]`.
#[derive(Debug)]
pub struct Switches {
    /// `enabled`: whether accounts are made, linked and kept in step at all.
    pub enabled: bool,
    /// What happens to whom while it is switched off.
    pub when_disabled: WhenDisabled,
    /// What is made and what is changed.
    pub mode: Mode,
    /// What may begin the making of an account.
    pub trigger: Trigger,
    /// Most accounts that this gateway has made or adopted at the app; `None`: as many as come.
    pub max_accounts: Option<u64>,
    /// What happens to the one after the last.
    pub on_exceed: OnExceed,
    /// Which accounts get memberships and roles.
    pub join: Join,
    /// Which of those: over `account`, `origin` and the sign-in. False, or without a value: not this one.
    pub join_when: Option<Condition>,
    /// Logins of accounts that are never taken for anybody's; compared without ASCII case.
    pub protect: Vec<Glob>,
    /// Which other accounts are never taken for anybody's: over `account` and the sign-in. Without a value: this one as well.
    pub protect_when: Option<Condition>,
    /// What becomes of the login of somebody whom their provider calls otherwise by now.
    pub rename: Rename,
    /// A first sign-in should have its account within so many milliseconds.
    pub slo_ms: i64,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            enabled: true,
            when_disabled: WhenDisabled::default(),
            mode: Mode::default(),
            trigger: Trigger::default(),
            max_accounts: None,
            on_exceed: OnExceed::default(),
            join: Join::default(),
            join_when: None,
            protect: Vec::new(),
            protect_when: None,
            rename: Rename::default(),
            slo_ms: 3_000,
        }
    }
}

/// `when_disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenDisabled {
    /// People with a linked account go on with it; nobody new.
    #[default]
    AllowLinked,
    /// Nobody.
    DenyAll,
    /// Everybody, under the name that the mapping gives them; nothing is looked up at the app.
    Passthrough,
}

/// `mode`: Nextcloud's four scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Accounts are made, and kept in step.
    #[default]
    CreateAndUpdate,
    /// Accounts are made; one that was there before is a conflict.
    CreateOnly,
    /// Accounts that are there are taken over and kept in step; none is made.
    UpdateOnly,
    /// Accounts that are there are let in as they are; none is made, none is changed.
    Passthrough,
}

impl Mode {
    /// Whether an account may be made.
    pub const fn creates(self) -> bool {
        matches!(self, Self::CreateAndUpdate | Self::CreateOnly)
    }

    /// Whether an account may be changed.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Passthrough)
    }

    /// What becomes of an account that was there before.
    pub const fn on_existing(self) -> OnExisting {
        match self {
            Self::CreateAndUpdate | Self::UpdateOnly => OnExisting::Adopt,
            Self::CreateOnly => OnExisting::Refuse,
            Self::Passthrough => OnExisting::Leave,
        }
    }

    /// As written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CreateAndUpdate => "create_and_update",
            Self::CreateOnly => "create_only",
            Self::UpdateOnly => "update_only",
            Self::Passthrough => "passthrough",
        }
    }
}

/// `rename`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rename {
    /// It stays.
    #[default]
    Never,
    /// It changes with it, where the new one is nobody's.
    Follow,
}

/// `trigger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// A page that somebody opens in a browser.
    #[default]
    SignIn,
    /// Any request with a session.
    FirstRequest,
}

/// `on_exceed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExceed {
    /// No account.
    #[default]
    Refuse,
    /// An account once a human has said yes.
    Approve,
}

/// `join`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// Every account that is kept in step.
    #[default]
    Always,
    /// Those that this gateway has made.
    Created,
    /// Those, and others once a human has said yes.
    Approval,
}

impl Switches {
    /// Whether `login` is one of those that are never taken for anybody's, nor made.
    pub fn protects_login(&self, login: &str) -> bool {
        self.protect.iter().any(|pattern| pattern.fits_any_case(login))
    }
}
