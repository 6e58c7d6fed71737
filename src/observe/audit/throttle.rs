//! Lines that people can cause at will, and how many of them are written.
//!
//! Lives here: [`Throttle`]. Whoever shows a wrong token ten thousand times a second must not fill the audit log with it, nor whoever is signed in and asks again and again
//! for what they may not have: of each action, reason and address, or of each action, reason, app and person, ten lines a minute are written, and the next one that is
//! written says how many were left out (`left_out`). Apart because it goes before every shape. Lines about what the gateway or an operator did, and about what became of
//! somebody, are never left out: it goes by what an action means.

use super::fields::Fields;
use super::meaning::{Class, LOGOFF, Meaning, Status};
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Lines a minute, of one kind and address or person.
const LINES_MAX: u32 = 10;
/// …which is so long.
const MINUTE_MS: i64 = 60_000;
/// The first line from each of so many addresses is written beyond that.
const PLACES_MAX: usize = 8;
/// Kinds and addresses that are told apart at a time, and as many kinds and people; beyond that, all others of an action share ten lines.
const TOLD_APART_MAX: usize = 4096;

/// Counts. Strangers, of whom there may be any number, take no place of those who are known.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    strangers: Counts,
    known: Counts,
}

#[derive(Debug, Default)]
struct Counts(Mutex<HashMap<Kind, Seen>>);

/// What is alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    action: String,
    reason: String,
    /// Empty for strangers.
    app: String,
    /// An address, or a person.
    who: String,
}

#[derive(Debug)]
struct Seen {
    since: Timestamp,
    lines: u32,
    left_out: u64,
    /// From where, the first of them.
    from: Vec<String>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is written, and says how many like it were not.
    Written {
        /// Lines like it since the last one.
        left_out: u64,
    },
    /// It is counted.
    LeftOut,
}

impl Throttle {
    /// Whether the event is written.
    pub(super) fn admit(&self, event: &Fields, meaning: &Meaning, now: Timestamp) -> Admitted {
        if !is_refusal(event, meaning) {
            return Admitted::Written { left_out: 0 };
        }
        let text = |name: &str| event.text(name).to_owned();
        let (counts, app, who) = match event.text("user.sub") {
            "" => (&self.strangers, String::new(), source(event)),
            // One subject at two providers is two people.
            subject => (&self.known, text("app"), format!("{} {subject}", event.text("idp"))),
        };
        counts.admit(Kind { action: text("action"), reason: text("reason"), app, who }, source(event), now)
    }
}

impl Counts {
    fn admit(&self, mut kind: Kind, from: String, now: Timestamp) -> Admitted {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains_key(&kind) && seen.len() >= TOLD_APART_MAX {
            let mut over = HashMap::new();
            seen.retain(|kind, one| {
                if one.is_over(now) && one.left_out > 0 {
                    *over.entry(kind.action.clone()).or_insert(0) += one.left_out;
                }
                !one.is_over(now)
            });
            // What was left out of theirs is told with the next line of its action.
            for (action, left_out) in over {
                let shared = Kind { action, reason: String::new(), app: String::new(), who: String::new() };
                seen.entry(shared).or_insert_with(|| Seen::new(now)).left_out += left_out;
            }
            if seen.len() >= TOLD_APART_MAX {
                (kind.reason, kind.app, kind.who) = (String::new(), String::new(), String::new());
            }
        }
        let one = seen.entry(kind).or_insert_with(|| Seen::new(now));
        if one.is_over(now) {
            (one.since, one.lines) = (now, 0);
            one.from.clear();
        }
        // Whoever has stolen somebody's session comes from elsewhere: that is seen, however often the person themselves is refused.
        let is_elsewhere = one.from.len() < PLACES_MAX && !one.from.contains(&from);
        if is_elsewhere {
            one.from.push(from);
        }
        if one.lines >= LINES_MAX && !is_elsewhere {
            one.left_out += 1;
            return Admitted::LeftOut;
        }
        one.lines = one.lines.saturating_add(1);
        Admitted::Written { left_out: std::mem::take(&mut one.left_out) }
    }
}

impl Seen {
    const fn new(now: Timestamp) -> Self {
        Self { since: now, lines: 0, left_out: 0, from: Vec::new() }
    }

    /// A clock that was set back ends a minute too.
    fn is_over(&self, now: Timestamp) -> bool {
        !(0..MINUTE_MS).contains(&now.since_ms(self.since))
    }
}

/// A no to somebody: what can be asked for as often as anybody likes.
pub(super) fn is_refusal(event: &Fields, meaning: &Meaning) -> bool {
    // That a sign-out did not reach an app is the gateway's own failure.
    let refusal =
        meaning.status == Status::Failure && meaning.activity != LOGOFF && matches!(meaning.class, Class::Authentication | Class::HttpActivity);
    refusal || event.text("action") == "admin.refused"
}

/// The address; of IPv6 the first 64 bits, for the others are the stranger's to choose. At the operators' socket, the user.
fn source(event: &Fields) -> String {
    let written = event.text("src.ip");
    match written.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}:")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_not_one) => event.text("operator").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Admitted, LINES_MAX, TOLD_APART_MAX, Throttle};
    use crate::clock::Timestamp;
    use crate::observe::audit::fields::fields;
    use crate::observe::audit::meaning::{UNKNOWN, meaning};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_299_617 + seconds)
    }

    fn told(throttle: &Throttle, event: &[(&str, &str)], seconds: i64) -> Option<u64> {
        let event = fields(event);
        let means = meaning(event.text("action"), "").unwrap_or(UNKNOWN);
        match throttle.admit(&event, &means, at(seconds)) {
            Admitted::Written { left_out } => Some(left_out),
            Admitted::LeftOut => None,
        }
    }

    #[test]
    fn of_a_flood_ten_lines_a_minute_are_written_and_the_next_says_how_many_were_not() {
        let check = |flood: &[(&str, &str)]| {
            let throttle = Throttle::default();
            let written: Vec<_> = (0..1000).map(|_| told(&throttle, flood, 0)).collect();
            assert_eq!(written.iter().filter(|line| **line == Some(0)).count(), 10, "{flood:?}");
            assert_eq!(written.iter().filter(|line| line.is_none()).count(), 990, "{flood:?}");
            assert_eq!(told(&throttle, flood, 59), None);
            assert_eq!(told(&throttle, flood, 60), Some(991));
            assert_eq!(told(&throttle, flood, 61), Some(0), "said once");
        };
        check(&[("action", "token.refused"), ("reason", "signature"), ("src.ip", "192.0.2.7")]);
        check(&[("action", "token.refused")]);
        check(&[("action", "login.failed"), ("reason", "state_unknown"), ("src.ip", "192.0.2.7")]);
        check(&[("action", "access.denied"), ("reason", "networks"), ("src.ip", "192.0.2.7")]);
        check(&[("action", "admin.refused"), ("operator", "eve")]);
    }

    #[test]
    fn one_stranger_takes_nobody_elses_lines() {
        let throttle = Throttle::default();
        let one = |reason: &str, ip: &str, seconds| told(&throttle, &[("action", "token.refused"), ("reason", reason), ("src.ip", ip)], seconds);
        for _ in 0..50 {
            one("signature", "192.0.2.7", 0);
            one("signature", "2001:db8::1", 0);
        }
        assert_eq!(one("signature", "192.0.2.7", 0), None);
        assert_eq!(one("signature", "2001:db8::ffff:2", 0), None, "the same network is the same stranger");
        assert_eq!(one("signature", "192.0.2.8", 0), Some(0));
        assert_eq!(one("signature", "2001:db8:0:1::1", 0), Some(0));
        assert_eq!(one("expired", "192.0.2.7", 0), Some(0));
        assert_eq!(one("signature", "192.0.2.7", -10), Some(41), "a clock that was set back leaves nothing out for long");
    }

    #[test]
    fn somebody_known_who_is_refused_again_and_again_takes_ten_lines_a_minute_of_each_app_and_reason_and_nobody_else_s() {
        let throttle = Throttle::default();
        let one = |app: &str, reason: &str, subject: &str, ip: &str, seconds| {
            let event = [("action", "access.denied"), ("app", app), ("reason", reason), ("idp", "corp"), ("user.sub", subject), ("src.ip", ip)];
            told(&throttle, &event, seconds)
        };
        let written: Vec<_> = (0..1000).map(|n| one("wiki", "groups", "s-1", &format!("192.0.2.{}", n % 250), 0)).collect();
        assert_eq!((written.iter().flatten().count(), written.iter().position(Option::is_none)), (10, Some(10)), "wherever they come from");
        for (app, reason, subject) in [("crm", "groups", "s-1"), ("wiki", "path", "s-1"), ("wiki", "groups", "s-2")] {
            assert_eq!(one(app, reason, subject, "192.0.2.7", 0), Some(0));
        }
        assert_eq!(one("wiki", "groups", "s-1", "192.0.2.7", 60), Some(990), "and the next one says how many were not");
        // Whoever has stolen their session is seen once at least, however often they themselves are refused.
        let own: Vec<_> = (0..50).map(|_| one("wiki", "stolen", "s-1", "192.0.2.7", 0)).collect();
        assert_eq!(own.iter().flatten().count(), 10);
        assert_eq!((one("wiki", "stolen", "s-1", "198.51.100.9", 0), one("wiki", "stolen", "s-1", "198.51.100.9", 0)), (Some(40), None));
        // Any number of people has bounded room.
        let many = (0..20_000).filter(|n| one("wiki", "networks", &format!("p-{n}"), "192.0.2.7", 0).is_some()).count();
        assert!(many <= TOLD_APART_MAX + 10 && throttle.known.0.lock().unwrap().len() <= TOLD_APART_MAX + 1, "{many}");
    }

    #[test]
    fn what_the_gateway_does_and_what_becomes_of_people_is_always_written() {
        let throttle = Throttle::default();
        for event in [
            &[("action", "login.succeeded"), ("user.sub", "s-1"), ("src.ip", "192.0.2.7")][..],
            &[("action", "session.revoked"), ("user.sub", "s-1")],
            &[("action", "signout.failed"), ("user.sub", "s-1"), ("app", "wiki")],
            &[("action", "role.granted"), ("user.sub", "s-1")],
            &[("action", "config.rejected")],
            &[("action", "account.failed"), ("user.sub", "s-1")],
            &[("action", "admin.command"), ("operator", "root")],
            &[("action", "something.new")],
        ] {
            assert!((0..100).all(|_| told(&throttle, event, 0) == Some(0)), "{event:?}");
        }
    }

    #[test]
    fn any_number_of_addresses_has_bounded_room_and_bounded_lines() {
        let throttle = Throttle::default();
        let flood = |seconds| {
            let one = |n: u32| {
                let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
                usize::from(told(&throttle, &[("action", "token.refused"), ("src.ip", &ip)], seconds).is_some())
            };
            (0..20_000).map(one).sum::<usize>()
        };
        let most = TOLD_APART_MAX + usize::try_from(LINES_MAX).unwrap();
        assert_eq!(flood(0), most);
        assert!(throttle.strangers.0.lock().unwrap().len() <= TOLD_APART_MAX + 1);
        // They take nothing from whoever is known.
        assert_eq!(told(&throttle, &[("action", "access.denied"), ("user.sub", "s-1")], 0), Some(0));
        assert!(flood(61) <= most);
    }
}
