//! What keeps somebody from their account, as a closed list.
//!
//! Apart because three places decide by it (a test's `expect.because`, the tally of a plan, an exit code), and a word that is compared is a word that can be misspelt.

use crate::fault::{DenyReason, PublicMessage};

/// Why a person has no account to enter with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// They may not enter at all.
    Denied(DenyReason),
    /// An account is there that may not be taken over.
    Conflict,
    /// The sign-in lacks what the account needs.
    Required,
    /// The sign-in has something that no account can be made of.
    Unusable,
    /// Accounts are switched off, or not made.
    Enabled,
    /// As many as the policy allows are there.
    MaxAccounts,
    /// A human has to approve it.
    Approval,
    /// The app's admin API does not do what it takes.
    Account,
}

impl Because {
    /// What only the account can answer.
    const OF_THE_ACCOUNT: [Self; 5] = [Self::Conflict, Self::Account, Self::Enabled, Self::MaxAccounts, Self::Approval];

    /// By what the person is told.
    pub const fn of(message: PublicMessage) -> Self {
        if let PublicMessage::Denied(reason) = message {
            return Self::Denied(reason);
        }
        if matches!(message, PublicMessage::AccountExists) {
            Self::Conflict
        } else if matches!(message, PublicMessage::IncompleteSignIn) {
            Self::Required
        } else if matches!(message, PublicMessage::UnusableSignIn) {
            Self::Unusable
        } else if matches!(message, PublicMessage::AccountsOff | PublicMessage::AppClosed) {
            Self::Enabled
        } else if matches!(message, PublicMessage::AccountsFull) {
            Self::MaxAccounts
        } else if matches!(message, PublicMessage::AwaitingApproval) {
            Self::Approval
        } else {
            Self::Account
        }
    }

    /// As `expect.because` has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied(reason) => reason.key(),
            Self::Conflict => "conflict",
            Self::Required => "required",
            Self::Unusable => "unusable",
            Self::Enabled => "enabled",
            Self::MaxAccounts => "max_accounts",
            Self::Approval => "approval",
            Self::Account => "account",
        }
    }

    /// For operators, after "not possible:".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Denied(_) => "they do not enter",
            Self::Conflict => "an account is there that may not be taken over",
            Self::Required => "the sign-in lacks what the account needs",
            Self::Unusable => "the sign-in has something that no account can be made of",
            Self::Enabled => "accounts are switched off, or not made, here",
            Self::MaxAccounts => "as many accounts as `max_accounts` allows are there",
            Self::Approval => "a human has to approve the account first",
            Self::Account => "the admin API does not do what it takes",
        }
    }

    /// Whether `written`, an `expect.because`, asks about what only the account can answer.
    pub(super) fn asks_the_account(written: &str) -> bool {
        Self::OF_THE_ACCOUNT.iter().any(|because| because.word() == written)
    }
}

#[cfg(test)]
mod tests {
    use super::Because;
    use crate::fault::{DenyReason, PublicMessage};

    #[test]
    fn every_message_has_its_word() {
        let check = |message: PublicMessage, word: &str| assert_eq!(Because::of(message).word(), word, "{message:?}");
        check(PublicMessage::AccountFailed, "account");
        check(PublicMessage::AccountUnavailable, "account");
        check(PublicMessage::AccountExists, "conflict");
        check(PublicMessage::IncompleteSignIn, "required");
        check(PublicMessage::UnusableSignIn, "unusable");
        check(PublicMessage::AppClosed, "enabled");
        check(PublicMessage::AccountsOff, "enabled");
        check(PublicMessage::AccountsFull, "max_accounts");
        check(PublicMessage::AwaitingApproval, "approval");
        check(PublicMessage::Denied(DenyReason::Groups), "groups");
        assert!(!Because::asks_the_account("groups") && Because::asks_the_account("conflict"));
    }
}
