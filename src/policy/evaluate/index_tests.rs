//! The index over `[[path]]` sections, held against trying every pattern of every section.

use super::tests::{ada, policy, section};
use super::{Facts, Matches, SignedIn, decide, evaluate};
use crate::clock::Timestamp;
use crate::identity::Way;
use crate::policy::path::{CanonicalPath, EncodedSlashes, PathPattern};
use crate::policy::sections::MARKED_MAX;
use crate::policy::{Gate, Glob, PathSection, Policy, Ways};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// The sections that match, by trying all.
fn tried(policy: &Policy, path: &CanonicalPath<'_>) -> Vec<usize> {
    let applies =
        |section: &PathSection| section.patterns.iter().any(|pattern| if section.public { pattern.opens(path) } else { pattern.restricts(path) });
    policy.paths.iter().enumerate().filter(|(_, section)| applies(section)).map(|(index, _)| index).collect()
}

fn found(policy: &Policy, path: &CanonicalPath<'_>) -> Vec<usize> {
    Matches::of(policy, path).sections().map(|(index, _)| index).collect()
}

/// What is decided over the index, and what over the sections that are found by trying all: for somebody, and for nobody.
fn decisions(policy: &Policy, path: &CanonicalPath<'_>) -> [[String; 2]; 2] {
    let facts = Facts { method: "GET", path, peer: "10.0.0.1".parse().unwrap(), host: "p.example.com" };
    let person = ada();
    [Some(SignedIn { identity: &person, auth_time: NOW }), None].map(|signed_in| {
        let plain = decide(policy, &Matches::tried(policy, path), signed_in, Way::Session, &facts, NOW);
        [format!("{:?}", evaluate(policy, signed_in, &facts, NOW)), format!("{plain:?}")]
    })
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let piece = prop_oneof![
        4 => "[/*]([a-cA.*%é]|/){0,7}",
        2 => "/(a|b|ab|admin|A)(/[a-c]{1,2})?(/\\*|\\*)?",
        1 => Just("/".to_owned()),
        1 => Just("*".to_owned()),
    ];
    prop::collection::vec(piece, 1..4)
}

fn sections() -> impl Strategy<Value = Vec<(Vec<String>, bool, bool)>> {
    prop::collection::vec((patterns(), prop::bool::weighted(0.4), any::<bool>()), 0..24)
}

fn raw_path() -> impl Strategy<Value = String> {
    prop_oneof![
        "/([a-cA.;]|%2[fF5eE03]|%3[bBfF]|%C3%A9|%41|/){0,14}",
        "/(a|b|ab|admin|A|ADMIN)(/[a-cA]{0,2})?/?",
        "/[a-c]{0,3}(;x=1|%3Fx|%2500|%252Fb)?",
    ]
}

fn built(sections: &[(Vec<String>, bool, bool)]) -> Vec<PathSection> {
    let keep = |written: &String| PathPattern::parse_as(written, EncodedSlashes::Keep).ok();
    let of = |(written, public, staff): &(Vec<String>, bool, bool)| PathSection {
        patterns: written.iter().filter_map(keep).collect(),
        gate: if *public { Gate::default() } else { Gate { groups: vec![Glob::new(if *staff { "staff" } else { "nobody" })], ..Gate::default() } },
        auth: Ways::SESSION,
        ..section(&[], *public, Gate::default())
    };
    sections.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_all_finds(sections in sections(), raw in raw_path()) {
        if let Ok(path) = CanonicalPath::parse_as(&raw, EncodedSlashes::Keep) {
            let whole = policy(Gate { everyone: true, ..Gate::default() }, built(&sections));
            prop_assert_eq!(found(&whole, &path), tried(&whole, &path));
            for [indexed, plain] in decisions(&whole, &path) {
                prop_assert_eq!(indexed, plain);
            }
        }
    }
}

#[test]
fn every_form_that_restricts_is_found() {
    let sections = || vec![section(&["/admin", "/x*"], false, Gate::default()), section(&["*.json"], false, Gate::default())];
    let policy = policy(Gate::default(), sections());
    let check = |raw: &str, expected: &[usize]| {
        let path = CanonicalPath::parse(raw).unwrap();
        assert_eq!((found(&policy, &path), tried(&policy, &path)), (expected.to_vec(), expected.to_vec()), "{raw}");
    };
    check("/", &[]);
    check("/adminx", &[]);
    check("/admi", &[]);
    for raw in ["/admin", "/ADMIN/", "/%61dmin", "/admin;x", "/admin%3Fx", "/admin%2500.css", "/%EF%BD%81dmin", "/x", "/X/y"] {
        check(raw, &[0]);
    }
    check("/x/y.JSON/", &[0, 1]);
    check("/y.json", &[1]);
}

/// A policy may have any number of sections; those that the index does not hold are tried.
#[test]
fn sections_beyond_the_index_count_too() {
    let of = |number: usize| section(&[&format!("/{number}"), "*.x"], false, Gate::default());
    let policy = policy(Gate::default(), (0..MARKED_MAX + 2).map(of).collect());
    let last = MARKED_MAX + 1;
    let raw = format!("/{last}");
    assert_eq!(found(&policy, &CanonicalPath::parse(&raw).unwrap()), [last]);
    let every = CanonicalPath::parse("/a.x").unwrap();
    assert_eq!(found(&policy, &every).len(), MARKED_MAX + 2);
    assert_eq!(found(&policy, &every), tried(&policy, &every));
}
