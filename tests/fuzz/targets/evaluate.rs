//! The decision: any path, groups and address against a policy with any `[[path]]` sections. Each section's patterns are held against the path by themselves, one by
//! one, so that whatever finds the sections that match must find all of them: a restriction that matches is never passed by, a path is public exactly when all that
//! match say so, and whoever is in a denied group is never admitted to what is not public.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use vestibule::clock::Timestamp;
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::policy::evaluate::{Facts, Refusal, SignedIn, evaluate};
use vestibule::policy::path::{CanonicalPath, PathPattern};
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::source::SourceFile;

const POLICY: &str = r#"
host = "a.example.com"
upstream = "http://127.0.0.1:1"
[access]
groups = ["staff", "dev-*"]
deny_groups = ["out"]
when = "!has(claims.status) || claims.status != 'leaver'"
"#;

/// What a section asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Group,
    Network,
}

impl From<u8> for Asks {
    fn from(byte: u8) -> Self {
        match byte % 3 {
            0 => Self::Nothing,
            1 => Self::Group,
            _ => Self::Network,
        }
    }
}

fn policy(sections: &[(Vec<String>, Asks)]) -> Option<Policy> {
    let mut text = POLICY.to_owned();
    for (patterns, asks) in sections {
        let patterns = serde_json::to_string(patterns).ok()?;
        let asks = match asks {
            Asks::Nothing => "public = true",
            Asks::Group => "groups = [\"dev-admin\"]",
            Asks::Network => "networks = [\"10.0.0.0/8\"]",
        };
        write!(text, "[[path]]\nmatch = {patterns}\n{asks}\n").ok()?;
    }
    let idps = ["corp".to_owned()];
    compile(&SourceFile::new("a.toml", text), Surroundings { idps: Some(&idps), connectors: &[] }).0
}

fuzz_target!(|input: (&str, Vec<String>, [u8; 4], Option<String>, Vec<(Vec<String>, u8)>)| {
    let (path, groups, address, status, sections) = input;
    let sections: Vec<(Vec<String>, Asks)> = sections.into_iter().map(|(patterns, asks)| (patterns, asks.into())).collect();
    let Ok(path) = CanonicalPath::parse(path) else { return };
    // Patterns that no path could fit, and sections that open what others close, are refused before anything is decided.
    let Some(policy) = policy(&sections) else { return };
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
    let peer = IpAddr::V4(Ipv4Addr::from(address));
    let facts = Facts { method: "GET", path: &path, peer, host: "a.example.com" };
    let anonymous = evaluate(&policy, None, &facts, now);
    let person = evaluate(&policy, Some(SignedIn { identity: &identity, auth_time: now }), &facts, now);

    let applies = |(patterns, asks): &(Vec<String>, Asks)| {
        let fits = |pattern: PathPattern| if *asks == Asks::Nothing { pattern.opens(&path) } else { pattern.restricts(&path) };
        patterns.iter().filter_map(|pattern| PathPattern::parse(pattern).ok()).any(fits).then_some(*asks)
    };
    let matching: Vec<Asks> = sections.iter().filter_map(applies).collect();
    let is_public = !matching.is_empty() && matching.iter().all(|asks| *asks == Asks::Nothing);
    match anonymous {
        Ok(admitted) => assert!(is_public && admitted.public && person == anonymous),
        Err(refusal) => assert!(!is_public && refusal == Refusal::LoginRequired),
    }
    if let Ok(admitted) = person
        && !is_public
    {
        assert!(!admitted.public && !groups.iter().any(|group| group.eq_ignore_ascii_case("out")));
        assert!(groups.iter().any(|group| group == "staff" || group.starts_with("dev-")));
        assert!(!matching.contains(&Asks::Group) || groups.iter().any(|group| group == "dev-admin"));
        assert!(!matching.contains(&Asks::Network) || address[0] == 10);
    }
});
