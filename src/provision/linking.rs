//! Which account may be taken for whose.
//!
//! Lives here: [`judge`], the one place that decides whether an account that is already at the app is this person's. Pure, so that every
//! takeover that was ever reported can be a line of a table in its tests. Linking is never implicit: what does not match in a way that the policy names is
//! somebody else's. Apart from `ensure.rs` because reviewers should read it alone.
//!
//! Lessons: Grafana CVE-2023-3128 and CVE-2022-31107 (lookup by e-mail), nOAuth (unverified e-mail), Django CVE-2019-19844 (case mapping).

use crate::connector::model::{IdentityFacts, same_email};
use crate::plan::Account;
use crate::policy::{MatchBy, OnExisting};

/// What a person can show for an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// What this gateway writes into the app for this person.
    pub(super) external_id: &'a str,
    /// The login that the policy gives them.
    pub(super) login: &'a str,
    /// The e-mail address that the policy gives them.
    pub(super) email: Option<&'a str>,
    /// Whether their provider vouches for exactly this address.
    pub(super) email_verified: bool,
    /// Ways of recognition that the policy allows.
    pub(super) match_by: &'a [MatchBy],
    /// What the policy wants done with an account that was there before.
    pub(super) on_existing: OnExisting,
    /// Logins and when two of them are one.
    pub(super) facts: &'a IdentityFacts,
    /// Whether this gateway was making an account with this login for this person.
    pub(super) making: Making,
    /// Whether the policy's own words protect this account (`protect`, `protect_when`).
    pub(super) protected: bool,
    /// Whether the app keeps and shows what this gateway writes there, so that an account of ours is known by it.
    pub(super) marks: bool,
}

/// What is known of a create by this gateway, with exactly this login, for exactly this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// There was none.
    No,
    /// It was sent, and nobody knows how it ended (a lost answer, a crash). The login had been looked for, and was free.
    Doubtful,
    /// The app has just said that it made the account.
    Done,
}

/// Whose an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This gateway made it, for this person.
    Ours,
    /// It was there before, is theirs by a way that the policy names, and is to be kept in step.
    Adopt,
    /// As [`Verdict::Adopt`], but left as it is.
    Leave,
    /// Somebody else has the login: another login may be tried.
    Taken,
    /// A human has to decide.
    Refused(Why),
    /// The app showed an account that is not the one asked for (attacks.md J5): nothing it says now is believed.
    Wrong,
}

/// Why a human has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// An administrator's account is never taken over.
    Administrator,
    /// Somebody disabled it.
    Disabled,
    /// It carries another person's external id.
    AnotherPerson,
    /// There is an account, and the policy does not say that it may be taken for this person's.
    Existing,
    /// It was found by an address that the provider does not vouch for.
    Unverified,
    /// The app does not show its login: headers might name somebody else.
    Nameless,
    /// A reserved name, in whatever spelling.
    Reserved,
    /// One that the policy protects.
    Protected,
}

impl Why {
    /// For log and record.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Administrator => "an administrator's account is never taken over",
            Self::Disabled => "the account is disabled",
            Self::AnotherPerson => "the account carries another person's id",
            Self::Existing => "an account was there before, and neither match nor on_existing says that it may be taken over",
            Self::Unverified => "an account has this e-mail address, which the provider does not vouch for",
            Self::Nameless => "an account has this e-mail address, and the app does not show its login",
            Self::Reserved => "the account has a reserved name",
            Self::Protected => "the account is protected by the policy",
        }
    }
}

/// Whose `account` is, which the app found `by` for the person of `claim`.
pub(super) fn judge(account: &Account, by: MatchBy, claim: &Claim<'_>) -> Verdict {
    // An app that does not show a login is taken at its connector's word, which has compared it already.
    let login_fits = account.login.is_empty() || claim.facts.fold.same(&account.login, claim.login);
    // First of all: is it what was asked for?
    let as_asked = match by {
        MatchBy::ExternalId => account.external_id.as_deref() == Some(claim.external_id),
        MatchBy::Login => login_fits,
        MatchBy::Email => claim.email.is_some_and(|asked| account.email.as_deref().is_none_or(|has| same_email(has, asked))),
    };
    if !as_asked || account.id.is_empty() {
        return Verdict::Wrong;
    }
    match account.external_id.as_deref() {
        Some(id) if id == claim.external_id => return Verdict::Ours,
        // Another subject's, by our own mark. Only a clash of logins is harmless.
        Some(id) if id.starts_with(MARK) => return if by == MatchBy::Login { Verdict::Taken } else { Verdict::Refused(Why::AnotherPerson) },
        Some(_) | None => {}
    }
    // Made this very moment, with the rights that the policy gave.
    if claim.making == Making::Done && login_fits {
        return Verdict::Ours;
    }
    if account.admin {
        return Verdict::Refused(Why::Administrator);
    }
    if claim.protected {
        return Verdict::Refused(Why::Protected);
    }
    // J15: killed between the create at the app and our record. An address that nobody vouches for is no evidence even then.
    let evident = match by {
        MatchBy::ExternalId | MatchBy::Login => true,
        MatchBy::Email => claim.email_verified || !account.login.is_empty(),
    };
    // What we sent carried our mark: an account with another one, or with none where the app keeps it, was made by somebody else since.
    let unmarked = account.external_id.is_none() && !claim.marks;
    if claim.making == Making::Doubtful && login_fits && evident && unmarked {
        return Verdict::Ours;
    }
    if !claim.match_by.contains(&by) {
        return if by == MatchBy::Login { Verdict::Taken } else { Verdict::Refused(Why::Existing) };
    }
    if account.disabled {
        return Verdict::Refused(Why::Disabled);
    }
    if claim.facts.is_reserved(&account.login) {
        return Verdict::Refused(Why::Reserved);
    }
    if by == MatchBy::Email && !claim.email_verified {
        return Verdict::Refused(Why::Unverified);
    }
    if by == MatchBy::Email && account.login.is_empty() {
        return Verdict::Refused(Why::Nameless);
    }
    match claim.on_existing {
        OnExisting::Adopt => Verdict::Adopt,
        OnExisting::Leave => Verdict::Leave,
        OnExisting::Refuse => Verdict::Refused(Why::Existing),
    }
}

/// What every external id of this gateway begins with.
pub(super) const MARK: &str = "vestibule-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::model::Fold;

    const MINE: &str = "vestibule-1";

    fn facts() -> IdentityFacts {
        IdentityFacts { fold: Fold::AsciiLower, charset: None, chars_max: 60, lower: false, reserved: vec!["admin".to_owned()] }
    }

    fn ada() -> Account {
        Account { id: "7".into(), login: "ada".into(), email: Some("ada@example.com".into()), ..Account::default() }
    }

    fn check(account: &Account, by: MatchBy, change: impl FnOnce(&mut Claim<'_>), expected: Verdict) {
        let facts = facts();
        let mut claim = Claim {
            external_id: MINE,
            login: "ada",
            email: Some("ada@example.com"),
            email_verified: true,
            match_by: &[],
            on_existing: OnExisting::Adopt,
            facts: &facts,
            making: Making::No,
            protected: false,
            marks: false,
        };
        change(&mut claim);
        assert_eq!(judge(account, by, &claim), expected, "{account:?} by {by:?} for {claim:?}");
    }

    #[test]
    fn an_account_that_was_not_asked_for_is_believed_in_nothing() {
        use MatchBy::{Email, ExternalId, Login};
        let all: &[MatchBy] = &[ExternalId, Login, Email];
        check(&Account { login: "anna".into(), ..ada() }, Login, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { login: "\u{ff41}da".into(), ..ada() }, Login, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { login: "ada ".into(), ..ada() }, Login, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { external_id: Some("vestibule-2".into()), ..ada() }, ExternalId, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { external_id: None, ..ada() }, ExternalId, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { email: Some("eve@example.com".into()), ..ada() }, Email, |c| c.match_by = all, Verdict::Wrong);
        check(&Account { id: String::new(), ..ada() }, Login, |c| c.match_by = all, Verdict::Wrong);
        check(&ada(), Email, |c| (c.match_by, c.email) = (all, None), Verdict::Wrong);
    }

    #[test]
    fn without_a_way_that_the_policy_names_an_account_is_somebody_elses() {
        check(&ada(), MatchBy::Login, |_| {}, Verdict::Taken);
        check(&ada(), MatchBy::Login, |c| c.match_by = &[MatchBy::Email], Verdict::Taken);
        check(&ada(), MatchBy::Email, |c| c.match_by = &[MatchBy::Login], Verdict::Refused(Why::Existing));
    }

    #[test]
    fn some_accounts_are_never_taken_over() {
        let by_login = |c: &mut Claim<'_>| c.match_by = &[MatchBy::Login];
        let by_email = |c: &mut Claim<'_>| c.match_by = &[MatchBy::Email];
        check(&Account { admin: true, ..ada() }, MatchBy::Login, by_login, Verdict::Refused(Why::Administrator));
        check(&Account { admin: true, ..ada() }, MatchBy::Login, |c| c.making = Making::Doubtful, Verdict::Refused(Why::Administrator));
        let protected = |c: &mut Claim<'_>| (c.match_by, c.protected) = (&[MatchBy::Login], true);
        check(&ada(), MatchBy::Login, protected, Verdict::Refused(Why::Protected));
        check(&ada(), MatchBy::Login, |c| (c.making, c.protected) = (Making::Doubtful, true), Verdict::Refused(Why::Protected));
        check(
            &ada(),
            MatchBy::Login,
            |c| (c.match_by, c.protected, c.on_existing) = (&[MatchBy::Login], true, OnExisting::Leave),
            Verdict::Refused(Why::Protected),
        );
        check(&Account { disabled: true, ..ada() }, MatchBy::Login, by_login, Verdict::Refused(Why::Disabled));
        check(&Account { external_id: Some("vestibule-2".into()), ..ada() }, MatchBy::Login, by_login, Verdict::Taken);
        check(&Account { external_id: Some("vestibule-2".into()), ..ada() }, MatchBy::Email, by_email, Verdict::Refused(Why::AnotherPerson));
        check(&Account { external_id: Some("vestibule-2".into()), ..ada() }, MatchBy::Login, |c| c.making = Making::Doubtful, Verdict::Taken);
        check(&Account { login: "ADMIN".into(), ..ada() }, MatchBy::Email, by_email, Verdict::Refused(Why::Reserved));
        check(&ada(), MatchBy::Login, |c| (c.match_by, c.on_existing) = (&[MatchBy::Login], OnExisting::Refuse), Verdict::Refused(Why::Existing));
    }

    /// The create never got there, and somebody has made an account of that name since.
    #[test]
    fn a_create_in_doubt_is_no_claim_to_an_account_without_our_mark() {
        let doubtful = |c: &mut Claim<'_>| (c.making, c.marks) = (Making::Doubtful, true);
        let foreign = || Account { external_id: Some("hr-17".into()), ..ada() };
        check(&foreign(), MatchBy::Login, doubtful, Verdict::Taken);
        check(&foreign(), MatchBy::Email, doubtful, Verdict::Refused(Why::Existing));
        check(&foreign(), MatchBy::Login, |c| c.making = Making::Doubtful, Verdict::Taken);
        check(&ada(), MatchBy::Login, doubtful, Verdict::Taken);
        check(&ada(), MatchBy::Email, doubtful, Verdict::Refused(Why::Existing));
        check(&Account { external_id: Some(MINE.into()), ..ada() }, MatchBy::Login, doubtful, Verdict::Ours);
    }

    #[test]
    fn an_address_that_nobody_vouches_for_is_no_evidence() {
        let unverified = |c: &mut Claim<'_>| (c.match_by, c.email_verified) = (&[MatchBy::Email], false);
        check(&ada(), MatchBy::Email, unverified, Verdict::Refused(Why::Unverified));
        let nameless = || Account { login: String::new(), ..ada() };
        check(&nameless(), MatchBy::Email, |c| (c.making, c.email_verified) = (Making::Doubtful, false), Verdict::Refused(Why::Existing));
        check(&nameless(), MatchBy::Email, |c| c.making = Making::Doubtful, Verdict::Ours);
        check(&nameless(), MatchBy::Email, |c| c.match_by = &[MatchBy::Email], Verdict::Refused(Why::Nameless));
    }

    #[test]
    fn what_the_policy_names_is_recognised() {
        check(&Account { external_id: Some(MINE.into()), ..ada() }, MatchBy::ExternalId, |_| {}, Verdict::Ours);
        check(&Account { external_id: Some(MINE.into()), ..ada() }, MatchBy::Login, |_| {}, Verdict::Ours);
        check(&ada(), MatchBy::Login, |c| c.making = Making::Doubtful, Verdict::Ours);
        check(&Account { login: "Ada".into(), ..ada() }, MatchBy::Login, |c| c.match_by = &[MatchBy::Login], Verdict::Adopt);
        check(&ada(), MatchBy::Email, |c| c.match_by = &[MatchBy::Email], Verdict::Adopt);
        check(&ada(), MatchBy::Email, |c| (c.match_by, c.on_existing) = (&[MatchBy::Email], OnExisting::Leave), Verdict::Leave);
        // An external id from elsewhere (an import, another system) is no claim of ours.
        check(&Account { external_id: Some("hr-1".into()), ..ada() }, MatchBy::Login, |c| c.match_by = &[MatchBy::Login], Verdict::Adopt);
    }
}
