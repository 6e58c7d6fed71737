use super::{Check, Explanation, Outcome, explain};
use crate::clock::Timestamp;
use crate::expr::{Condition, Env, Type};
use crate::fault::DenyReason;
use crate::identity::{Groups, Identity, SubjectId, Way};
use crate::policy::evaluate::{Admitted, Facts, Refusal, Rule, SignedIn, evaluate_by};
use crate::policy::{Bearer, CanonicalPath, Gate, Glob, PathPattern, PathSection, Policy, RequestPattern, Surroundings, Ways, compile};
use crate::source::SourceFile;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
const MINUTE: i64 = 60_000;

/// A policy whose access and paths are then replaced.
fn policy(access: Gate, paths: Vec<PathSection>, idp: &str, max_age_ms: Option<i64>) -> Policy {
    let text = format!("host = \"p.example.com\"\nupstream = \"http://127.0.0.1:9\"\n[login]\nidp = [\"{idp}\"]\n[access]\neveryone = true\n");
    let around = Surroundings { idps: None, connectors: crate::connector::builtin::builtin() };
    let (policy, problems) = compile(&SourceFile::new("p.toml", text), around);
    let mut policy = policy.unwrap_or_else(|| panic!("{problems:?}"));
    (policy.access, policy.paths, policy.login.max_age_ms) = (access, paths.into(), max_age_ms);
    policy
}

fn person(groups: Groups, email: Option<&str>, email_verified: bool, idp: &str) -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://idp.example".into(), subject: "1".into() },
        idp: idp.into(),
        email: email.map(str::to_owned),
        email_verified,
        name: None,
        given_name: None,
        family_name: None,
        username: None,
        groups,
        claims: serde_json::Map::new(),
    }
}

fn when(text: &str) -> Condition {
    let request = Type::Record(vec![("method".to_owned(), Type::Text, false)]);
    Condition::compile(text, &Env::sign_in().with("request", request, false)).unwrap().0
}

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(*pattern)).collect()
}

// ---- the same as evaluate --------------------------------------------------------------------------------------------------------

/// The verdict that follows from the checks alone, by the rules as they are documented.
fn concluded(policy: &Policy, found: &Explanation, signed_in: bool) -> Result<Admitted, Refusal> {
    let public = policy.paths.iter().enumerate().find(|(index, _)| found.matched.first() == Some(&Rule::Path(*index)));
    let failed = |check: &&Check| matches!(check.outcome, Outcome::Fails(_));
    let refusal = |check: &Check| match check.outcome {
        Outcome::Fails(reason) => Refusal::Denied { reason, rule: check.rule },
        Outcome::Holds | Outcome::Open | Outcome::OtherWay => unreachable!(),
    };
    if let Some(check) = found.checks.iter().filter(|check| check.key == "block_paths").find(failed) {
        return Err(refusal(check));
    }
    if let Some((index, _)) = public {
        return match found.checks.iter().find(failed) {
            Some(check) => Err(refusal(check)),
            None => Ok(Admitted { rule: Rule::Path(index), public: true }),
        };
    }
    if !signed_in || found.checks.iter().any(|check| check.outcome == Outcome::OtherWay) {
        let tokens_only = policy.bearer.is_some()
            && found
                .matched
                .iter()
                .any(|rule| matches!(rule, Rule::Path(index) if !policy.paths[*index].public && !policy.paths[*index].auth.session));
        return Err(if tokens_only { Refusal::TokenRequired } else { Refusal::LoginRequired });
    }
    let order = |check: &Check| match check.key {
        "idp" => 0,
        "deny_groups" => 1,
        "max_age" => 3,
        _ => 2,
    };
    let mut checks: Vec<&Check> = found.checks.iter().filter(failed).collect();
    checks.sort_by_key(|check| order(check));
    match checks.first() {
        Some(check) if check.key == "max_age" => {
            let gates = found.matched.iter().filter_map(|rule| match rule {
                Rule::Access => policy.access.max_age_ms,
                Rule::Path(index) => policy.paths[*index].gate.max_age_ms,
                Rule::Login => None,
            });
            Err(Refusal::FreshLogin { max_age_ms: gates.chain(policy.login.max_age_ms).min().unwrap() })
        }
        Some(check) => Err(refusal(check)),
        None => Ok(Admitted { rule: *found.matched.last().unwrap(), public: false }),
    }
}

fn any_gate(personal: bool) -> impl Strategy<Value = Gate> {
    let networks: Vec<ipnet::IpNet> = ["10.0.0.0/8", "192.0.2.0/24", "::/0"].iter().map(|network| network.parse().unwrap()).collect();
    let conditions = ["email_verified", "'staff' in groups", "has(claims.x)", "claims.x == 'y'", "request.method == 'GET'"];
    let who = (
        prop::option::weighted(0.3, subsequence(vec!["staff", "dev-*", "*"], 1..=2)),
        prop::option::weighted(0.2, select(vec!["suspended", "STAFF", "x"])),
        prop::option::weighted(0.3, select(vec!["example.com", "example.org"])),
        prop::option::weighted(0.3, select(conditions.to_vec())),
        prop::option::weighted(0.3, select(vec![MINUTE, 15 * MINUTE])),
    );
    let what = (
        prop::option::weighted(0.3, subsequence(networks, 1..=2)),
        prop::option::weighted(0.3, subsequence(vec!["GET".to_owned(), "POST".to_owned()], 1..=2)),
        any::<bool>(),
    );
    (who, what).prop_map(move |((groups, denied, domain, condition, max_age_ms), (networks, methods, everyone))| {
        let asked = Gate { networks: networks.unwrap_or_default(), methods: methods.unwrap_or_default(), ..Gate::default() };
        if !personal {
            return asked;
        }
        Gate {
            everyone,
            groups: groups.map(|patterns| globs(&patterns)).unwrap_or_default(),
            deny_groups: denied.map(|pattern| globs(&[pattern])).unwrap_or_default(),
            domains: domain.map(str::to_owned).into_iter().collect(),
            when: condition.map(when),
            max_age_ms,
            ..asked
        }
    })
}

fn any_section() -> impl Strategy<Value = PathSection> {
    let patterns = select(vec!["/", "/a", "/a/*", "*.json", "/b*", "*"]);
    prop::bool::weighted(0.4).prop_flat_map(move |public| {
        let ways = select(vec![(true, false), (true, true), (false, true)]);
        (patterns.clone(), any_gate(!public), ways).prop_map(move |(pattern, gate, (session, bearer))| PathSection {
            place: "p.toml:9".into(),
            patterns: vec![PathPattern::parse(pattern).unwrap()],
            public,
            gate,
            auth: Ways { session, bearer },
            headers: Vec::new(),
            secret_headers: Vec::new(),
        })
    })
}

fn any_person() -> impl Strategy<Value = Option<(Identity, i64)>> {
    let groups = prop_oneof![
        4 => subsequence(vec!["staff", "dev-data", "suspended", ""], 0..=3)
            .prop_map(|names| Groups::Known(names.into_iter().map(str::to_owned).collect())),
        1 => Just(Groups::Unknown),
    ];
    let email = select(vec![Some("ada@example.com"), Some("eve@evil.example"), Some("a@b@example.com"), None]);
    let ages = select(vec![-120_000, -30_000, 0, 30_000, 5 * MINUTE, 60 * MINUTE, NOW.millis()]);
    prop::option::weighted(
        0.85,
        (groups, email, any::<bool>(), prop::bool::weighted(0.1), ages)
            .prop_map(|(groups, email, verified, elsewhere, age)| (person(groups, email, verified, if elsewhere { "adfs" } else { "corp" }), age)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_is_that_of_evaluate_and_follows_from_the_checks(
        access in any_gate(true),
        paths in prop::collection::vec(any_section(), 0..4),
        who in any_person(),
        (path, method, peer) in (
            select(vec!["/", "/a", "/A/b.json", "/a/b;x", "/b%25", "/c"]),
            select(vec!["GET", "POST", "DELETE"]),
            select(vec!["10.1.2.3", "192.0.2.1", "203.0.113.9", "::ffff:10.0.0.1", "2001:db8::1"]),
        ),
        login_max_age in prop::option::of(Just(30 * MINUTE)),
        (blocked, glass) in (prop::option::weighted(0.3, select(vec!["/a/*", "/b*", "POST /c"])), prop::option::of(Just("staff"))),
        (tokens, way) in (any::<bool>(), select(vec![Way::Session, Way::Session, Way::Bearer])),
    ) {
        let mut policy = policy(access, paths, "corp", login_max_age);
        policy.login.block_paths = blocked.map(|pattern| RequestPattern::parse(pattern).unwrap()).into_iter().collect();
        policy.login.break_glass = glass.map(Glob::new).into_iter().collect();
        policy.bearer = tokens.then(|| Bearer { idp: "corp".into(), audience: "a".into(), scopes: Vec::new(), provision: false });
        let path = CanonicalPath::parse(path).unwrap();
        let facts = Facts { method, path: &path, peer: peer.parse().unwrap(), host: "p.example.com" };
        let signed_in = who.as_ref().map(|(identity, age_ms)| SignedIn { identity, auth_time: NOW.plus_ms(-age_ms) });
        let decided = evaluate_by(&policy, signed_in, way, &facts, NOW);
        let found = explain(&policy, signed_in, way, &facts, NOW);
        prop_assert_eq!(found.verdict, decided);
        prop_assert_eq!(concluded(&policy, &found, signed_in.is_some()), decided, "{:#?}", found.checks);
        match decided {
            Err(Refusal::Denied { reason, rule }) => {
                let check = found.deciding().unwrap();
                prop_assert_eq!((check.rule, check.outcome), (rule, Outcome::Fails(reason)));
                prop_assert_eq!(check.key, reason.key());
            }
            Err(Refusal::FreshLogin { .. }) => prop_assert_eq!(found.deciding().unwrap().key, "max_age"),
            Err(Refusal::LoginRequired | Refusal::TokenRequired) => prop_assert_eq!(found.deciding().is_some(), signed_in.is_some()),
            Ok(_) => prop_assert!(found.deciding().is_none()),
        }
    }
}

// ---- words -----------------------------------------------------------------------------------------------------------------------

/// Checks of one gate at `[access]`, as `key outcome: words`.
fn said(gate: Gate, identity: Option<&Identity>, request: &str, peer: &str) -> Vec<String> {
    let policy = policy(gate, Vec::new(), "corp", None);
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    let facts = Facts { method, path: &path, peer: peer.parse().unwrap(), host: "p.example.com" };
    let signed_in = identity.map(|identity| SignedIn { identity, auth_time: NOW.plus_ms(-14 * MINUTE) });
    let found = explain(&policy, signed_in, Way::Session, &facts, NOW);
    let line = |check: &Check| format!("{} {:?}: {}", check.key, check.outcome, check.says);
    found.checks.iter().filter(|check| check.rule == Rule::Access).map(line).collect()
}

#[test]
fn every_key_says_in_words_what_was_compared() {
    let ada = person(Groups::Known(vec!["redmine-devs".into()]), Some("ada@example.com"), true, "corp");
    let check = |gate: Gate, who: &Identity, expected: &str| {
        assert_eq!(said(gate, Some(who), "GET /", "192.0.2.1"), [expected]);
    };
    let groups = |pattern: &str| Gate { groups: globs(&[pattern]), ..Gate::default() };
    let denied = |pattern: &str| Gate { deny_groups: globs(&[pattern]), ..Gate::default() };
    let domains = || Gate { domains: vec!["example.com".into()], ..Gate::default() };
    let unknown = Identity { groups: Groups::Unknown, ..ada.clone() };

    check(groups("redmine-admins"), &ada, "groups Fails(Groups): none of the person's groups fits [\"redmine-admins\"]");
    check(groups("*"), &unknown, "groups Fails(Groups): the provider did not say which groups there are, so none fits [\"*\"]");
    check(groups("redmine-*"), &ada, "groups Holds: redmine-devs fits \"redmine-*\"");
    check(denied("REDMINE-*"), &ada, "deny_groups Fails(DenyGroups): redmine-devs fits \"REDMINE-*\"");
    check(denied("x"), &unknown, "deny_groups Fails(DenyGroups): the provider did not say which groups there are, so this denies");
    check(denied("x"), &ada, "deny_groups Holds: none of the person's groups fits [\"x\"]");
    let with_email = |email: Option<&str>| Identity { email: email.map(str::to_owned), ..ada.clone() };
    check(domains(), &with_email(None), "domains Fails(Domains): no e-mail address was asserted");
    check(domains(), &with_email(Some("a@b@example.com")), "domains Fails(Domains): the e-mail address is not one address");
    check(domains(), &with_email(Some("a@evil.example")), "domains Fails(Domains): evil.example is none of [\"example.com\"]");
    let unverified = Identity { email_verified: false, ..ada.clone() };
    check(domains(), &unverified, "email_unverified Fails(EmailUnverified): the provider does not vouch for ada@example.com");
    check(domains(), &ada, "domains Holds: ada@example.com, verified");
    let from = |network: &str| Gate { networks: vec![network.parse().unwrap()], ..Gate::default() };
    check(from("10.0.0.0/8"), &ada, "networks Fails(Networks): 192.0.2.1 is in none of [\"10.0.0.0/8\"]");
    check(from("192.0.2.0/24"), &ada, "networks Holds: 192.0.2.1 is in 192.0.2.0/24");
    assert_eq!(
        said(from("10.0.0.0/8"), Some(&ada), "GET /", "0.0.0.0"),
        ["networks Fails(Networks): no address is known, and it must be in one of [\"10.0.0.0/8\"]"]
    );
    let methods = |method: &str| Gate { methods: vec![method.to_owned()], ..Gate::default() };
    check(methods("POST"), &ada, "methods Fails(Methods): GET is none of [\"POST\"]");
    check(methods("GET"), &ada, "methods Holds: GET");
    let condition = |text: &str| Gate { when: Some(when(text)), ..Gate::default() };
    check(condition("!email_verified"), &ada, "when Fails(When): does not hold: !email_verified");
    check(condition("claims.x == 'y'"), &ada, "when Fails(When): `claims.x` is absent, so this denies: claims.x == 'y'");
    check(condition("email_verified"), &ada, "when Holds: email_verified");
    let recent = |max_age_ms: i64| Gate { max_age_ms: Some(max_age_ms), ..Gate::default() };
    check(recent(10 * MINUTE), &ada, "max_age Fails(MaxAge): 14m, more than 10m");
    check(recent(15 * MINUTE), &ada, "max_age Holds: 14m of 15m");
    check(Gate { everyone: true, ..Gate::default() }, &ada, "everyone Holds: any signed-in person");
}

#[test]
fn what_nobody_can_tell_without_a_sign_in_is_open_and_the_rest_is_not() {
    let gate = Gate { groups: globs(&["x"]), methods: vec!["POST".into()], ..Gate::default() };
    assert_eq!(said(gate, None, "GET /", "10.0.0.1"), ["groups Open: nobody is signed in", "methods Fails(Methods): GET is none of [\"POST\"]"]);
}

#[test]
fn a_public_path_lists_only_what_is_asked_there() {
    let open = PathSection {
        place: "p.toml:9".into(),
        patterns: vec![PathPattern::parse("/a").unwrap()],
        public: true,
        gate: Gate::default(),
        auth: Ways::SESSION,
        headers: Vec::new(),
        secret_headers: Vec::new(),
    };
    let policy = policy(Gate { groups: globs(&["x"]), ..Gate::default() }, vec![open], "corp", None);
    let path = CanonicalPath::parse("/a").unwrap();
    let facts = Facts { method: "GET", path: &path, peer: "10.0.0.1".parse().unwrap(), host: "p.example.com" };
    let found = explain(&policy, None, Way::Session, &facts, NOW);
    assert_eq!(found.verdict, Ok(Admitted { rule: Rule::Path(0), public: true }));
    assert_eq!(found.matched, [Rule::Path(0)]);
    let [check] = found.checks.as_slice() else { panic!("{:?}", found.checks) };
    assert_eq!((check.key, check.says.as_str(), check.outcome), ("public", "no sign-in needed", Outcome::Holds));
    assert_eq!(DenyReason::Groups.key(), "groups");
}
