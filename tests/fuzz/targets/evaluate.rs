//! The decision: any path, groups and address against a policy that has a rule of every kind. A public answer never needs a person, an anonymous request is
//! never admitted to what is not public, and whoever is in a denied group is never admitted to it either.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use vestibule::clock::Timestamp;
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::policy::evaluate::{Facts, Refusal, SignedIn, evaluate};
use vestibule::policy::path::CanonicalPath;
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;

const POLICY: &str = r#"
host = "a.example.com"
upstream = "http://127.0.0.1:1"
[access]
groups = ["staff", "dev-*"]
deny_groups = ["out"]
when = "!has(claims.status) || claims.status != 'leaver'"
[[path]]
match = ["/public/*", "/health"]
public = true
[[path]]
match = ["/admin", "/admin/*", "*.json"]
groups = ["dev-admin"]
[[path]]
match = ["/office/*"]
networks = ["10.0.0.0/8"]
methods = ["GET"]
"#;

fn policy() -> &'static Policy {
    static POLICY_COMPILED: OnceLock<Policy> = OnceLock::new();
    POLICY_COMPILED.get_or_init(|| {
        let idps = ["corp".to_owned()];
        let (policy, problems) = compile(&SourceFile::new("a.toml", POLICY), Surroundings { idps: Some(&idps), connectors: &[] });
        policy.unwrap_or_else(|| panic!("{problems:?}"))
    })
}

fuzz_target!(|input: (&str, Vec<String>, [u8; 4], Option<String>)| {
    let (path, groups, address, status) = input;
    let Ok(path) = CanonicalPath::parse(path) else { return };
    let mut claims = serde_json::Map::new();
    if let Some(status) = status {
        claims.insert("status".to_owned(), status.into());
    }
    let identity = Identity {
        subject: SubjectId { issuer: "https://idp.example".to_owned(), subject: "s".to_owned() },
        idp: "corp".to_owned(),
        email: None,
        email_verified: false,
        name: None,
        given_name: None,
        family_name: None,
        username: None,
        groups: Groups::Known(groups.clone()),
        claims,
    };
    let now = Timestamp::from_seconds(1_795_000_000);
    let facts = Facts { method: "GET", path: &path, peer: IpAddr::V4(Ipv4Addr::from(address)), host: "a.example.com" };
    let anonymous = evaluate(policy(), None, &facts, now);
    let person = evaluate(policy(), Some(SignedIn { identity: &identity, auth_time: now }), &facts, now);
    match anonymous {
        Ok(admitted) => assert!(admitted.public && person.is_ok_and(|admitted| admitted.public)),
        Err(refusal) => assert!(matches!(refusal, Refusal::LoginRequired | Refusal::Denied { .. })),
    }
    if let Ok(admitted) = person
        && !admitted.public
    {
        assert!(!groups.iter().any(|group| group == "out"));
        assert!(groups.iter().any(|group| group == "staff" || group.starts_with("dev-")));
    }
});
