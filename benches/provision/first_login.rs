//! The first sign-in of somebody whom nobody knows: from opening the app to its page, with an account made on the way. Goal: the gateway's own part of it is at most
//! 10 ms at the 95th percentile.
//!
//! The own part is the time that the browser waits for the gateway, over all hops, less the time in which provider or app were at work. Each person comes with a
//! browser that knows nobody: all connections, and with TLS all handshakes, are made anew and count.

use crate::house::{House, Wires};
use crate::report::{Cores, Sample, goal, load_now, ms};
use crate::servers::App;
use std::time::{Duration, Instant};

const PEOPLE: usize = 500;
/// Those who come before: keys of the provider, ids of groups and connections are there for everybody after them.
const WARM: usize = 60;

pub fn run(wires: Wires) {
    let house = House::start(wires, App::new(0, false), async |_, _, _| {});
    let (mut own, mut total, mut theirs): (Sample, Sample, Sample) = Default::default();
    let mut of_hops: Vec<(String, Sample)> = Vec::new();
    let mut cores = Cores::now();
    for number in 0..WARM + PEOPLE {
        if number == WARM {
            cores = Cores::now();
        }
        let mut browser = house.browser();
        house.first_login(&mut browser, number);
        let at_work = united(house.diary.take());
        if number == 0 {
            println!("  {:44}     {:8.3}", "the very first, all in all", ms(browser.hops.iter().map(|hop| hop.ended - hop.begun).sum()));
        }
        if number < WARM {
            continue;
        }
        let waits = browser.hops.iter().map(|hop| (hop.ended - hop.begun, within(&at_work, hop.begun, hop.ended)));
        let (waited, elsewhere): (Vec<Duration>, Vec<Duration>) = waits.unzip();
        for (at, hop) in browser.hops.iter().enumerate() {
            if of_hops.len() <= at {
                of_hops.push((hop.place.clone(), Sample::default()));
            }
            of_hops[at].1.0.push(waited[at].saturating_sub(elsewhere[at]));
        }
        total.0.push(waited.iter().sum());
        theirs.0.push(elsewhere.iter().sum());
        own.0.push(waited.iter().sum::<Duration>().saturating_sub(elsewhere.iter().sum()));
    }
    total.line("waiting for the gateway");
    theirs.line("while provider or app were at work");
    own.line("the gateway's own");
    for (place, sample) in &of_hops {
        sample.line(&format!("  of it at {place}"));
    }
    cores.since(PEOPLE);
    goal("p95 of the gateway's own part", ms(own.at(0.95)), 10.0, "ms");
    load_now();
    house.runtime.block_on(house.running.stop());
}

/// The same times without overlaps, in order.
fn united(mut rows: Vec<(Instant, Instant)>) -> Vec<(Instant, Instant)> {
    rows.sort_unstable();
    let mut out: Vec<(Instant, Instant)> = Vec::new();
    for row in rows {
        match out.last_mut() {
            Some(last) if row.0 <= last.1 => last.1 = last.1.max(row.1),
            _ => out.push(row),
        }
    }
    out
}

/// How much of `rows` lies between two moments.
fn within(rows: &[(Instant, Instant)], from: Instant, to: Instant) -> Duration {
    rows.iter().map(|row| row.1.min(to).saturating_duration_since(row.0.max(from))).sum()
}
