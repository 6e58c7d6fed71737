//! `[provision.leavers]` and how far apart an account and its record may drift: what becomes of accounts over time.
//!
//! Lives here: [`Leavers`], [`has_left`], [`Freshness`] and [`Drift`]. Apart from `switches.rs` because those say who gets an account, and these who keeps one. Pure; `provision/leaving.rs`
//! carries it out.

use super::evaluate::{Facts, Names, domains_hold, groups_hold, not_denied, when_holds};
use super::{CanonicalPath, Policy};
use crate::fault::DenyReason;
use crate::identity::{Groups, Identity};
use core::net::{IpAddr, Ipv4Addr};

/// `[provision.leavers]`: the accounts of people whom `[access]` does not let in any more, and of those who do not come any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leavers {
    /// `account = "disable"`: the account is switched off at the app.
    pub disable: bool,
    /// `account = "delete"`, for an app that cannot switch an account off: one that the gateway made is removed there. With neither, only the gateway's own door is shut.
    pub delete: bool,
    /// Milliseconds between leaving and being switched off, or removed, at the app. The door is shut at once.
    pub after_ms: i64,
    /// Whoever has not come for so many milliseconds has left.
    pub idle_ms: Option<i64>,
    /// An account that the gateway made is removed so many milliseconds after it was switched off.
    pub delete_after_ms: Option<i64>,
    /// When more than so many leave within an hour, a human is asked first.
    pub max: u64,
    /// As `max`, in percent of the app's accounts.
    pub percent_max: u64,
}

impl Default for Leavers {
    fn default() -> Self {
        Self { disable: false, delete: false, after_ms: 0, idle_ms: None, delete_after_ms: None, max: 5, percent_max: 10 }
    }
}

/// A share of a handful says nothing: two may always leave.
const HANDFUL: u64 = 2;

impl Leavers {
    /// Whether anything is done at the app about who has left.
    pub const fn acts(&self) -> bool {
        self.disable || self.delete
    }

    /// How many may leave within an hour without a human, of `accounts` that there are.
    pub fn guard(&self, accounts: u64) -> u64 {
        self.max.min((accounts.saturating_mul(self.percent_max) / 100).max(HANDFUL))
    }
}

/// Why `[access]` does not let this person in, as far as that is certain and rests on who they are alone. Less than a refusal: what a provider did not say (groups,
/// an address, a claim) refuses at the door, and takes nothing away.
pub fn has_left(policy: &Policy, identity: &Identity) -> Option<DenyReason> {
    let gate = &policy.access;
    let says_groups = matches!(identity.groups, Groups::Known(_));
    if says_groups && let Err(reason) = not_denied(gate, &identity.groups) {
        return Some(reason);
    }
    if identity.email.is_some() && domains_hold(gate, identity) == Err(DenyReason::Domains) {
        return Some(DenyReason::Domains);
    }
    if says_groups && let Err(reason) = groups_hold(gate, &identity.groups) {
        return Some(reason);
    }
    let when = gate.when.as_ref().filter(|when| !when.names().iter().any(|name| name == "request" || name.starts_with("request.")))?;
    let path = CanonicalPath::parse("/").ok()?;
    let facts = Facts { method: "GET", path: &path, peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED), host: &policy.host };
    (when_holds(when, &Names::new(identity, &facts)) == Ok(false)).then_some(DenyReason::When)
}

/// How long it is believed that an account is as it was last seen, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// `fresh`: not looked at again for so long, give or take a fifth.
    pub soft_ms: i64,
    /// `verify`: after that it is looked at before anything is forwarded; in between, beside it.
    pub hard_ms: i64,
    /// `grace`: beyond `verify`, while the admin API does not answer.
    pub grace_ms: i64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { soft_ms: 3_600_000, hard_ms: 24 * 3_600_000, grace_ms: 12 * 3_600_000 }
    }
}

impl Freshness {
    /// `soft_ms` for one person: between four and six fifths of it, by `mark`, so that passes which were issued together do not end together.
    pub fn soft_ms_of(&self, mark: u64) -> i64 {
        let fifth = self.soft_ms / 5;
        self.soft_ms - fifth + i64::try_from(mark % 1_024).unwrap_or_default().saturating_mul(fifth.saturating_mul(2)) / 1_023
    }
}

/// `drift`: what becomes of something that the gateway has set and somebody has changed at the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drift {
    /// It is set again.
    #[default]
    Correct,
    /// It stays, and is told.
    Report,
}

#[cfg(test)]
mod tests {
    use super::{Freshness, Leavers};

    #[test]
    fn the_guard_is_a_number_and_a_share_and_a_handful_may_always_go() {
        let check = |max, percent_max, accounts, expected| {
            let leavers = Leavers { max, percent_max, ..Leavers::default() };
            assert_eq!(leavers.guard(accounts), expected, "{max} {percent_max}% of {accounts}");
        };
        check(5, 10, 0, 2);
        check(5, 10, 19, 2);
        check(5, 10, 40, 4);
        check(5, 10, 5_000, 5);
        check(100, 10, 500, 50);
        check(1, 10, 500, 1);
        check(0, 100, 500, 0);
        check(u64::MAX, 100, u64::MAX, u64::MAX / 100);
    }

    #[test]
    fn passes_that_were_issued_together_do_not_end_together() {
        let fresh = Freshness { soft_ms: 1_000_000, ..Freshness::default() };
        assert_eq!((fresh.soft_ms_of(0), fresh.soft_ms_of(1_023)), (800_000, 1_200_000));
        let all: Vec<i64> = (0..10_000_u64).map(|n| fresh.soft_ms_of(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)).collect();
        assert!(all.iter().all(|ms| (800_000..=1_200_000).contains(ms)));
        let early = all.iter().filter(|ms| **ms < 900_000).count();
        assert!((2_000..3_000).contains(&early), "{early} of 10,000 in the first quarter");
        // "Never fresh" stays so.
        assert!(Freshness { soft_ms: -1, ..fresh }.soft_ms_of(77) < 0);
    }
}
