use super::{Admitted, Facts, Refusal, Rule, SignedIn, evaluate};
use crate::clock::Timestamp;
use crate::expr::FirstOf;
use crate::fault::DenyReason;
use crate::identity::{Groups, Identity, SubjectId};
use crate::policy::{
    CanonicalPath, Gate, Glob, Login, OnCollision, OnSuspect, PathPattern, PathSection, Policy, RequestPattern, Upstream, UserMapping, Ways,
};
use serde_json::Map;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(*pattern)).collect()
}

pub(super) fn section(patterns: &[&str], public: bool, gate: Gate) -> PathSection {
    let patterns = patterns.iter().map(|pattern| PathPattern::parse(pattern).unwrap()).collect();
    PathSection { place: "p.toml:9".into(), patterns, public, gate, auth: Ways::SESSION, headers: Vec::new(), secret_headers: Vec::new() }
}

pub(super) fn policy(access: Gate, paths: Vec<PathSection>) -> Policy {
    let nothing = || FirstOf(Vec::new());
    Policy {
        name: "p".into(),
        file: "p.toml".into(),
        revision: "0".into(),
        title: "P".into(),
        host: "p.example.com".into(),
        upstream: Upstream { tls: false, host: "127.0.0.1".into(), port: 1, connect_timeout_ms: 1, response_timeout_ms: 1 },
        login: Login { idp: vec!["corp".into()], max_age_ms: Some(3_600_000), ..Login::default() },
        access,
        login_place: "p.toml:1".into(),
        access_place: "p.toml:4".into(),
        contact: None,
        help: None,
        paths: paths.into(),
        messages: crate::policy::messages::Messages::default(),
        encoded_slashes: crate::policy::EncodedSlashes::Refuse,
        bearer: None,
        user: UserMapping {
            name: nothing(),
            email: nothing(),
            display: nothing(),
            extra: Vec::new(),
            required: Vec::new(),
            name_max: None,
            omit: Vec::new(),
            on_collision: OnCollision::Refuse,
            on_suspect: OnSuspect::Refuse,
        },
        roles: None,
        orgs: Vec::new(),
        vars: Map::new(),
        provision: None,
        headers: Vec::new(),
        secret_headers: Vec::new(),
        jwt: None,
        sign_in: crate::policy::SignIn::default(),
        tests: Vec::new(),
    }
}

pub(super) fn ada() -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://idp.example".into(), subject: "1".into() },
        idp: "corp".into(),
        email: Some("Ada@Example.com".into()),
        email_verified: true,
        name: None,
        given_name: None,
        family_name: None,
        username: None,
        groups: Groups::Known(vec!["staff".into(), "dev-data".into()]),
        claims: Map::new(),
    }
}

/// Decides for `identity`, signed in `age_s` seconds ago.
fn decide(policy: &Policy, identity: Option<&Identity>, age_s: i64, request: &str, peer: &str) -> Result<Admitted, Refusal> {
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    let facts = Facts { method, path: &path, peer: peer.parse().unwrap(), host: "p.example.com" };
    let signed_in = identity.map(|identity| SignedIn { identity, auth_time: NOW.plus_ms(-age_s * 1000) });
    evaluate(policy, signed_in, &facts, NOW)
}

fn denied(reason: DenyReason, rule: Rule) -> Result<Admitted, Refusal> {
    Err(Refusal::Denied { reason, rule })
}

#[test]
fn each_key_of_access_refuses_on_its_own() {
    let check = |gate: Gate, identity: Identity, expected: Result<Admitted, Refusal>| {
        let policy = policy(gate, Vec::new());
        assert_eq!(decide(&policy, Some(&identity), 60, "GET /", "10.0.0.1"), expected, "{:?} {identity:?}", policy.access);
    };
    let no = |reason| denied(reason, Rule::Access);
    let yes = Ok(Admitted { rule: Rule::Access, public: false });
    let groups = |patterns: &[&str]| Gate { groups: globs(patterns), ..Gate::default() };
    let domains = |domain: &str| Gate { domains: vec![domain.into()], ..Gate::default() };
    let with_email = |email: Option<&str>| Identity { email: email.map(str::to_owned), ..ada() };

    check(groups(&["admins"]), ada(), no(DenyReason::Groups));
    check(groups(&["Staff"]), ada(), no(DenyReason::Groups));
    check(groups(&[""]), Identity { groups: Groups::Known(vec![String::new()]), ..ada() }, no(DenyReason::Groups));
    check(groups(&["*"]), Identity { groups: Groups::Known(vec![String::new()]), ..ada() }, no(DenyReason::Groups));
    check(groups(&["*"]), Identity { groups: Groups::Unknown, ..ada() }, no(DenyReason::Groups));
    check(groups(&["*"]), Identity { groups: Groups::Known(Vec::new()), ..ada() }, no(DenyReason::Groups));
    check(groups(&["dev-*"]), ada(), yes);

    let deny = |pattern: &str| Gate { everyone: true, deny_groups: globs(&[pattern]), ..groups(&["staff"]) };
    check(deny("staff"), ada(), no(DenyReason::DenyGroups));
    check(deny("STAFF"), ada(), no(DenyReason::DenyGroups));
    check(deny("x"), Identity { groups: Groups::Unknown, ..ada() }, no(DenyReason::DenyGroups));
    check(deny("x"), ada(), yes);

    check(domains("example.org"), ada(), no(DenyReason::Domains));
    check(domains("ample.com"), ada(), no(DenyReason::Domains));
    check(domains("example.com"), with_email(Some("a@sub.example.com")), no(DenyReason::Domains));
    check(domains("example.com"), with_email(Some("a@evil.com@example.com")), no(DenyReason::Domains));
    check(domains("example.com"), with_email(Some("@example.com")), no(DenyReason::Domains));
    check(domains("example.com"), with_email(Some("example.com")), no(DenyReason::Domains));
    check(domains("example.com"), with_email(None), no(DenyReason::Domains));
    check(domains(""), with_email(Some("a@")), no(DenyReason::Domains));
    check(domains("example.com"), Identity { email_verified: false, ..ada() }, no(DenyReason::EmailUnverified));
    check(domains("example.com"), ada(), yes);

    let networks = |network: &str| Gate { everyone: true, networks: vec![network.parse().unwrap()], ..Gate::default() };
    check(networks("192.0.2.0/24"), ada(), no(DenyReason::Networks));
    check(networks("10.0.0.0/8"), ada(), yes);
    let methods = Gate { everyone: true, methods: vec!["POST".into()], ..Gate::default() };
    check(methods, ada(), no(DenyReason::Methods));
    let everyone = || Gate { everyone: true, ..Gate::default() };
    check(everyone(), Identity { idp: "other".into(), ..ada() }, denied(DenyReason::Idp, Rule::Login));
    check(everyone(), ada(), yes);
}

#[test]
fn every_matching_section_must_hold() {
    let everyone = || Gate { everyone: true, ..Gate::default() };
    let groups = |pattern: &str| Gate { groups: globs(&[pattern]), ..Gate::default() };
    let policy = policy(
        everyone(),
        vec![
            section(&["/api/*"], false, groups("staff")),
            section(&["*.json"], false, groups("admins")),
            section(&["/office/*"], false, Gate { networks: vec!["10.0.0.0/8".parse().unwrap()], ..Gate::default() }),
            section(&["/late"], false, Gate { deny_groups: globs(&["staff"]), ..groups("nobody") }),
        ],
    );
    let check = |request: &str, peer: &str, expected| assert_eq!(decide(&policy, Some(&ada()), 60, request, peer), expected, "{request} {peer}");
    check("GET /api/x.json", "10.0.0.1", denied(DenyReason::Groups, Rule::Path(1)));
    check("GET /API/x.JSON;v=1", "10.0.0.1", denied(DenyReason::Groups, Rule::Path(1)));
    check("GET /office/x", "192.0.2.1", denied(DenyReason::Networks, Rule::Path(2)));
    check("GET /late", "10.0.0.1", denied(DenyReason::DenyGroups, Rule::Path(3)));
    check("GET /api/x", "10.0.0.1", Ok(Admitted { rule: Rule::Path(0), public: false }));
    check("GET /office/x", "::ffff:10.0.0.1", Ok(Admitted { rule: Rule::Path(2), public: false }));
    check("GET /elsewhere", "192.0.2.1", Ok(Admitted { rule: Rule::Access, public: false }));
}

#[test]
fn public_is_public_only_when_all_that_match_say_so() {
    let everyone = Gate { everyone: true, ..Gate::default() };
    let office = Gate { networks: vec!["10.0.0.0/8".parse().unwrap()], methods: vec!["GET".into()], ..Gate::default() };
    let policy = policy(
        everyone,
        vec![
            section(&["/public/*", "/health"], true, Gate::default()),
            section(&["/public/office/*"], true, office),
            section(&["*.json"], false, Gate::default()),
        ],
    );
    let check = |request: &str, peer: &str, expected| assert_eq!(decide(&policy, None, 0, request, peer), expected, "{request} {peer}");
    check("GET /", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /public/x.json", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /public/x.JSON", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /public/x;y", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /Public/x", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /health/", "10.0.0.1", Err(Refusal::LoginRequired));
    check("GET /public/office/x", "192.0.2.1", denied(DenyReason::Networks, Rule::Path(1)));
    check("POST /public/office/x", "10.0.0.1", denied(DenyReason::Methods, Rule::Path(1)));
    let public = Ok(Admitted { rule: Rule::Path(0), public: true });
    check("GET /public/office/x", "10.0.0.1", public);
    check("GET /public/x", "192.0.2.1", public);
    check("GET /%70ublic/x", "192.0.2.1", public);
    let nobody = Identity { idp: "other".into(), ..ada() };
    assert_eq!(decide(&policy, Some(&nobody), 0, "GET /health", "10.0.0.1"), public, "a sign-in takes nothing away from a public path");
}

#[test]
fn the_smallest_max_age_counts_and_comes_last() {
    let policy = policy(
        Gate { groups: globs(&["staff"]), ..Gate::default() },
        vec![
            section(&["/admin/*"], false, Gate { max_age_ms: Some(900_000), ..Gate::default() }),
            section(&["/keep/*"], false, Gate { groups: globs(&["root"]), max_age_ms: Some(1000), ..Gate::default() }),
        ],
    );
    let check =
        |request: &str, age_s: i64, expected| assert_eq!(decide(&policy, Some(&ada()), age_s, request, "10.0.0.1"), expected, "{request} {age_s}");
    check("GET /", 3601, Err(Refusal::FreshLogin { max_age_ms: 3_600_000 }));
    check("GET /admin/x", 901, Err(Refusal::FreshLogin { max_age_ms: 900_000 }));
    check("GET /", -61, Err(Refusal::FreshLogin { max_age_ms: 3_600_000 }));
    check("GET /keep/x", 3601, denied(DenyReason::Groups, Rule::Path(1)));
    check("GET /", 3600, Ok(Admitted { rule: Rule::Access, public: false }));
    check("GET /admin/x", 900, Ok(Admitted { rule: Rule::Path(0), public: false }));
}

#[test]
fn a_place_is_told_for_every_rule() {
    let policy = policy(Gate::default(), vec![section(&["/x"], true, Gate::default())]);
    let places: Vec<&str> = [Rule::Login, Rule::Access, Rule::Path(0), Rule::Path(9)].into_iter().map(|rule| policy.place(rule)).collect();
    assert_eq!(places, ["p.toml:1", "p.toml:4", "p.toml:9", "p.toml"]);
}

#[test]
fn sections_beyond_the_first_hundred_count_too() {
    let mut paths: Vec<PathSection> =
        (0..200).map(|number| section(&[&format!("/{number}")], false, Gate { groups: globs(&["nobody"]), ..Gate::default() })).collect();
    paths.push(section(&["/199", "/open"], true, Gate::default()));
    let policy = policy(Gate { everyone: true, ..Gate::default() }, paths);
    assert_eq!(decide(&policy, Some(&ada()), 0, "GET /199", "10.0.0.1"), denied(DenyReason::Groups, Rule::Path(199)));
    assert_eq!(decide(&policy, None, 0, "GET /open", "10.0.0.1"), Ok(Admitted { rule: Rule::Path(200), public: true }));
    assert_eq!(decide(&policy, Some(&ada()), 0, "GET /200", "10.0.0.1"), Ok(Admitted { rule: Rule::Access, public: false }));
}

#[test]
fn row_26_the_apps_own_sign_in_is_shut_for_all_but_those_who_may_break_the_glass() {
    let everyone = Gate { everyone: true, ..Gate::default() };
    let mut policy = policy(everyone, vec![section(&["/login", "/public/*"], true, Gate::default())]);
    policy.login.block_paths = ["/login", "/public/signup*", "POST /session"].map(|path| RequestPattern::parse(path).unwrap()).to_vec();
    policy.login.break_glass = globs(&["sso-*"]);
    let refused = denied(DenyReason::LocalSignIn, Rule::Login);
    let operator = Identity { groups: Groups::Known(vec!["sso-operators".into()]), ..ada() };
    let elsewhere = Identity { idp: "other".into(), ..operator.clone() };
    let unlisted = Identity { groups: Groups::Unknown, ..ada() };
    // As generously as anything that restricts, and whether or not a section opens it.
    for request in [
        "GET /login",
        "POST /login",
        "GET /LOGIN",
        "GET /login/",
        "GET /login;x=1",
        "GET /%6Cogin",
        "GET /log%2569n",
        "GET /public/signup2",
        "DELETE /login.",
        "POST /Session/",
    ] {
        for identity in [None, Some(&ada()), Some(&elsewhere), Some(&unlisted)] {
            assert_eq!(decide(&policy, identity, 0, request, "10.0.0.1"), refused, "{request} {identity:?}");
        }
        assert!(decide(&policy, Some(&operator), 0, request, "10.0.0.1").is_ok(), "{request}");
    }
    for request in ["GET /", "GET /login2", "GET /public/x", "GET /session", "DELETE /session"] {
        assert!(decide(&policy, Some(&ada()), 0, request, "10.0.0.1").is_ok(), "{request}");
    }
    // Nobody may, when nobody is named.
    policy.login.break_glass = Vec::new();
    assert_eq!(decide(&policy, Some(&operator), 0, "GET /login", "10.0.0.1"), refused);
}

#[test]
fn row_37_only_what_the_sign_in_said_is_worth_asking_for_again() {
    use crate::expr::{Condition, Env};
    let when = |text: &str| Condition::compile(text, &Env::sign_in().with_request()).unwrap().0;
    let gate = |text: &str| Gate { when: Some(when(text)), ..Gate::default() };
    let policy =
        policy(gate("'x' in groups"), vec![section(&["/a"], false, gate("request.method == 'PUT'")), section(&["/b"], false, gate("false"))]);
    let check = |reason: DenyReason, rule: Rule, expected: bool| {
        assert_eq!(Refusal::Denied { reason, rule }.rests_on_sign_in(&policy), expected, "{reason:?} {rule:?}");
    };
    for reason in [
        DenyReason::Networks,
        DenyReason::Methods,
        DenyReason::MaxAge,
        DenyReason::Required,
        DenyReason::Idp,
        DenyReason::Origin,
        DenyReason::LocalSignIn,
    ] {
        check(reason, Rule::Access, false);
    }
    check(DenyReason::When, Rule::Path(0), false);
    check(DenyReason::When, Rule::Path(1), false);
    check(DenyReason::When, Rule::Access, true);
    for reason in [DenyReason::Groups, DenyReason::DenyGroups, DenyReason::Domains, DenyReason::EmailUnverified] {
        check(reason, Rule::Path(0), true);
    }
    assert!(!Refusal::LoginRequired.rests_on_sign_in(&policy) && !Refusal::FreshLogin { max_age_ms: 1 }.rests_on_sign_in(&policy));
}
