//! From verified claims to an [`Identity`]. Pure.
//!
//! The rules that matter: the ID token wins over userinfo; an address and its verification come from the same source; groups that were not
//! listed are unknown, never empty. From here on all text is in one form of Unicode, and what is blank is absent.

use crate::config;
use crate::identity::text::{tidy, tidy_claims};
use crate::identity::{Groups, Identity, SubjectId, email};
use serde_json::{Map, Value};

/// A list longer than this is not read: unknown, as on overage.
const GROUPS_MAX: usize = 10_000;
/// Claims of the protocol, which only the ID token may make.
const PROTOCOL: [&str; 14] = ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "c_hash", "auth_time", "acr", "amr", "sid"];
/// Claims of the protocol that say nothing about the person.
const PLUMBING: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// How a provider's claims are read.
pub(super) struct Reading<'a> {
    pub(super) idp: &'a str,
    pub(super) issuer: &'a str,
    pub(super) groups: &'a String,
    pub(super) trust_email: bool,
    /// Names of policies, and the claims that they are read from.
    pub(super) attributes: &'a [(String, Vec<String>)],
}

impl<'a> Reading<'a> {
    /// As configured.
    pub(super) fn of(settings: &'a config::Idp) -> Self {
        let config::Idp { id, issuer, groups, trust_email, attributes, .. } = settings;
        Self { idp: id, issuer, groups, trust_email: *trust_email, attributes }
    }
}

/// The person, from the claims of the ID token and, when its `sub` agreed, of userinfo.
pub(super) fn identity(sub: String, id_token: Map<String, Value>, userinfo: Option<Map<String, Value>>, reading: &Reading<'_>) -> Identity {
    let group_claims = reading.sources("groups").unwrap_or(std::slice::from_ref(reading.groups));
    let mut claims = merged(id_token, userinfo, group_claims);
    claims.retain(|name, _| !PLUMBING.contains(&name.as_str()));
    // Before blank claims go: an empty list of groups is known to be empty.
    let groups = groups(&claims, group_claims);
    let mut claims = tidy_claims(claims);
    let vouches = vouches_for_mapped_email(&claims, reading);
    map(&mut claims, reading.attributes);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let address = text("email").filter(|address| email::domain(address).is_some());
    let verified = match claims.get("email_verified").filter(|_| vouches) {
        // Strict: "true" as a string has meant "unverified, but the column is a string" at more than one provider.
        Some(value) => *value == Value::Bool(true),
        None => reading.trust_email,
    };
    Identity {
        subject: SubjectId { issuer: reading.issuer.to_owned(), subject: sub },
        idp: reading.idp.to_owned(),
        email_verified: verified && address.is_some(),
        email: address,
        name: text("name"),
        given_name: text("given_name"),
        family_name: text("family_name"),
        username: text("preferred_username"),
        groups,
        claims,
    }
}

/// Gives every configured name the first of its claims that is set. A name that is configured is read from nowhere else: `email` from `work_email` is never the
/// `email` that people may choose themselves.
fn map(claims: &mut Map<String, Value>, attributes: &[(String, Vec<String>)]) {
    let found: Vec<(&str, Option<Value>)> = attributes
        .iter()
        .filter(|(name, _)| name != "groups")
        .map(|(name, sources)| {
            let first = sources.iter().find_map(|source| lookup(claims, source).filter(|value| is_set(value)).cloned());
            (if name == "username" { "preferred_username" } else { name.as_str() }, first)
        })
        .collect();
    for (name, value) in found {
        match value {
            Some(value) => drop(claims.insert(name.to_owned(), value)),
            None => drop(claims.remove(name)),
        }
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

/// Whether `email_verified` is about the address that policies will see: it is about the provider's own `email`, unless it is configured itself.
fn vouches_for_mapped_email(claims: &Map<String, Value>, reading: &Reading<'_>) -> bool {
    let Some(sources) = reading.sources("email") else { return true };
    let mapped = sources.iter().find_map(|source| lookup(claims, source).filter(|value| is_set(value)));
    reading.sources("email_verified").is_some() || mapped == claims.get("email")
}

impl Reading<'_> {
    /// Whether the groups of a token, read where they would be read first, are more than it lists.
    pub(super) fn is_overage(&self, claims: &Map<String, Value>) -> bool {
        first(claims, self.sources("groups").unwrap_or(std::slice::from_ref(self.groups))) == Some(Place::Elsewhere)
    }

    /// The claims that a name of policies is read from, where that is configured.
    fn sources(&self, name: &str) -> Option<&[String]> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, sources)| sources.as_slice())
    }
}

/// What userinfo adds. Nothing that the ID token says is replaced.
fn merged(mut claims: Map<String, Value>, userinfo: Option<Map<String, Value>>, groups: &[String]) -> Map<String, Value> {
    // Overage in the ID token: the list in userinfo would be the one the provider could fit, not the one that holds.
    let overage = has_groups(&claims) || groups.iter().any(|name| is_elsewhere(&claims, name));
    // An address and "verified" belong together: one from each source would verify an address that nobody did.
    let has_address = claims.contains_key("email") || claims.contains_key("email_verified");
    for (name, value) in userinfo.into_iter().flatten() {
        let refused = PROTOCOL.contains(&name.as_str())
            || (has_address && matches!(name.as_str(), "email" | "email_verified"))
            || (overage && groups.contains(&name));
        if !refused && !claims.contains_key(&name) {
            claims.insert(name, value);
        }
    }
    claims
}

/// OIDC Core 5.6.2 and Entra: this claim is somewhere else. That place is never asked (attacks.md O34).
fn is_elsewhere(claims: &Map<String, Value>, name: &str) -> bool {
    claims.get("_claim_names").and_then(Value::as_object).is_some_and(|names| names.contains_key(name))
}

/// Entra, where a token comes by way of the browser: there are groups, and too many.
fn has_groups(claims: &Map<String, Value>) -> bool {
    claims.get("hasgroups").is_some_and(|flag| matches!(flag, Value::Bool(true)) || flag.as_str() == Some("true"))
}

/// Where somebody's groups are.
#[derive(Debug, PartialEq)]
enum Place<'a> {
    Here(&'a Value),
    /// Not in the token: there are too many.
    Elsewhere,
}

/// The first of these claims that is there, listed or not: an empty list is an answer, and says "none". One that would be read later has nothing to say.
fn first<'a>(claims: &'a Map<String, Value>, names: &[String]) -> Option<Place<'a>> {
    let flagged = has_groups(claims);
    let place = |name: &String| {
        if is_elsewhere(claims, name) || flagged && name == "groups" {
            return Some(Place::Elsewhere);
        }
        lookup(claims, name).filter(|value| !value.is_null()).map(Place::Here)
    };
    names.iter().find_map(place).or_else(|| flagged.then_some(Place::Elsewhere))
}

fn groups(claims: &Map<String, Value>, names: &[String]) -> Groups {
    let Some(Place::Here(found)) = first(claims, names) else { return Groups::Unknown };
    match found {
        // One name, whatever is in it: a comma does not make two (attacks.md I5).
        Value::String(one) => Groups::Known(tidy(one).into_iter().collect()),
        Value::Array(list) if list.len() <= GROUPS_MAX => {
            let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            // A list of something else is a list nobody here can read: that revokes nothing.
            names.map_or(Groups::Unknown, |names| Groups::Known(names.into_iter().filter_map(tidy).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Groups::Unknown,
    }
}

/// A claim by its name, dots and all (`http://schemas.example/claims/x`, `urn:oid:2.5.4.42`), else by its path.
fn lookup<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| nested(claims, name))
}

/// `realm_access.roles`, as Keycloak nests them.
fn nested<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let (first, rest) = name.split_once('.')?;
    let inner = claims.get(first)?.as_object()?;
    inner.get(rest).or_else(|| nested(inner, rest))
}

#[cfg(test)]
mod tests {
    use super::{Reading, identity};
    use crate::identity::{Groups, Identity};
    use serde_json::{Value, json};

    fn read(id_token: &Value, userinfo: Option<Value>, trust_email: bool) -> Identity {
        read_with(id_token, userinfo, trust_email, &[])
    }

    fn read_with(id_token: &Value, userinfo: Option<Value>, trust_email: bool, attributes: &[(&str, &[&str])]) -> Identity {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let attributes: Vec<(String, Vec<String>)> = attributes.iter().map(|(name, sources)| ((*name).to_owned(), words(sources))).collect();
        let groups = "groups".to_owned();
        let reading = Reading { idp: "corp", issuer: "https://op", groups: &groups, trust_email, attributes: &attributes };
        identity("s".into(), id_token.as_object().unwrap().clone(), userinfo.map(|value| value.as_object().unwrap().clone()), &reading)
    }

    #[test]
    fn groups_that_were_not_listed_are_unknown_and_a_comma_splits_nothing() {
        let check = |claims: Value, expected: Option<&[&str]>| {
            let expected = expected.map_or(Groups::Unknown, |names| Groups::Known(names.iter().map(|name| (*name).to_owned()).collect()));
            assert_eq!(read(&claims, None, false).groups, expected, "{claims}");
        };
        check(json!({}), None);
        check(json!({"groups": null}), None);
        check(json!({"groups": {"a": 1}}), None);
        check(json!({"groups": 7}), None);
        check(json!({"groups": ["a", 7]}), None);
        check(json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "http://127.0.0.1:1/"}}}), None);
        check(json!({"hasgroups": true, "groups": ["a"]}), None);
        check(json!({"hasgroups": "true"}), None);
        check(json!({"groups": vec!["g"; 10_001]}), None);
        check(json!({"groups": []}), Some(&[]));
        check(json!({"groups": ""}), Some(&[]));
        check(json!({"groups": "users,admins"}), Some(&["users,admins"]));
        check(json!({"groups": ["a,b", "", "c"]}), Some(&["a,b", "c"]));
    }

    #[test]
    fn o35_an_address_is_verified_by_true_alone_and_by_the_source_it_came_from() {
        let check = |claims: Value, userinfo: Option<Value>, trust: bool, address: Option<&str>, verified: bool| {
            let found = read(&claims, userinfo.clone(), trust);
            assert_eq!((found.email.as_deref(), found.email_verified), (address, verified), "{claims} {userinfo:?}");
        };
        check(json!({"email": "a@evil@good.com", "email_verified": true}), None, true, None, false);
        check(json!({"email": ["a@good.com"], "email_verified": true}), None, true, None, false);
        check(json!({"email": "a@good.com\r\nX: y", "email_verified": true}), None, true, None, false);
        check(json!({"email": "a@good.com"}), None, false, Some("a@good.com"), false);
        check(json!({"email": "a@good.com", "email_verified": "true"}), None, true, Some("a@good.com"), false);
        check(json!({"email": "a@good.com", "email_verified": 1}), None, true, Some("a@good.com"), false);
        check(json!({"email": "a@good.com", "email_verified": false}), None, true, Some("a@good.com"), false);
        check(json!({"email": "a@good.com", "email_verified": null}), None, true, Some("a@good.com"), false);
        check(json!({"email": "a@good.com"}), Some(json!({"email": "b@good.com", "email_verified": true})), false, Some("a@good.com"), false);
        check(json!({}), Some(json!({"email": "b@good.com", "email_verified": true})), false, Some("b@good.com"), true);
        check(json!({"email": "a@good.com", "email_verified": true}), None, false, Some("a@good.com"), true);
        check(json!({"email": "a@good.com"}), None, true, Some("a@good.com"), true);
    }

    #[test]
    fn row_53_text_has_one_form_and_what_is_blank_is_absent() {
        let found = read(
            &json!({
                "name": "  ", "given_name": "Zoe\u{308}", "family_name": "", "preferred_username": "\u{a0}", "office": " ",
                "groups": ["Zu\u{308}rich", " "], "sub": "Zoe\u{308}",
            }),
            None,
            false,
        );
        assert_eq!((found.name, found.given_name.as_deref(), found.family_name, found.username), (None, Some("Zoë"), None, None));
        assert_eq!(
            (found.groups, found.claims.get("office"), &found.claims["sub"]),
            (Groups::Known(vec!["Zürich".into()]), None, &json!("Zoe\u{308}"))
        );
        // What no policy uses is kept, whatever is in it: nobody is locked out by it here.
        let found = read(&json!({"nickname": "a\u{202e}\u{fffd}\n", "groups": ["x\u{0}"]}), None, false);
        assert_eq!((&found.claims["nickname"], found.groups), (&json!("a\u{202e}\u{fffd}\n"), Groups::Known(vec!["x\u{0}".into()])));
    }

    #[test]
    fn userinfo_adds_and_never_replaces() {
        let userinfo = json!({"sub": "other", "iss": "https://evil", "acr": "high", "name": "Evil", "family_name": "Lovelace", "groups": ["a"]});
        let found = read(&json!({"sub": "s", "name": "Ada", "nonce": "n"}), Some(userinfo), false);
        assert_eq!((found.name.as_deref(), found.family_name.as_deref()), (Some("Ada"), Some("Lovelace")));
        assert_eq!(found.groups, Groups::Known(vec!["a".into()]));
        assert_eq!(found.claims.keys().map(String::as_str).collect::<Vec<_>>(), ["sub", "name", "family_name", "groups"]);
    }

    #[test]
    fn configured_names_are_read_from_their_claims_and_nowhere_else() {
        let attributes: &[(&str, &[&str])] = &[
            ("given_name", &["urn:oid:2.5.4.42"]),
            ("family_name", &["http://schemas.example/claims/surname", "sn"]),
            ("username", &["profile.login", "uid"]),
            ("employee_id", &["employeeNumber", "empid"]),
            ("groups", &["realm_access.roles", "roles"]),
        ];
        let check = |claims: Value, expected: [Option<&str>; 4]| {
            let found = read_with(&claims, None, false, attributes);
            let id = found.claims.get("employee_id").and_then(Value::as_str);
            assert_eq!([found.given_name.as_deref(), found.family_name.as_deref(), found.username.as_deref(), id], expected, "{claims}");
        };
        // What people may call themselves is not what the policy was told to read.
        check(json!({"given_name": "Evil", "family_name": "Evil", "preferred_username": "admin", "employee_id": "1"}), [None; 4]);
        check(json!({"urn:oid:2.5.4.42": " ", "sn": null, "profile": "x", "empid": []}), [None; 4]);
        check(
            json!({"urn:oid:2.5.4.42": "Ada", "sn": "Second", "http://schemas.example/claims/surname": "", "uid": "x", "profile": {"login": "ada"}, "empid": "7"}),
            [Some("Ada"), Some("Second"), Some("ada"), Some("7")],
        );
        let groups = |claims: Value| read_with(&claims, None, false, attributes).groups;
        assert_eq!(groups(json!({"groups": ["evil"]})), Groups::Unknown);
        assert_eq!(groups(json!({"realm_access": {"roles": []}, "roles": ["a"]})), Groups::Known(Vec::new()));
        assert_eq!(groups(json!({"roles": ["a"]})), Groups::Known(vec!["a".into()]));
        assert_eq!(groups(json!({"roles": ["a"], "_claim_names": {"roles": "src1"}})), Groups::Unknown);
    }

    #[test]
    fn too_many_groups_in_a_claim_that_is_read_later_replace_nothing() {
        let check = |claims: Value, overage: bool, known: Option<&[&str]>| {
            let attributes: Vec<(String, Vec<String>)> = vec![("groups".into(), vec!["roles".into(), "groups".into()])];
            let groups = "groups".to_owned();
            let reading = Reading { idp: "corp", issuer: "https://op", groups: &groups, trust_email: false, attributes: &attributes };
            let found = identity("s".into(), claims.as_object().unwrap().clone(), None, &reading);
            let known = known.map_or(Groups::Unknown, |names| Groups::Known(names.iter().map(|name| (*name).to_owned()).collect()));
            assert_eq!((reading.is_overage(claims.as_object().unwrap()), found.groups), (overage, known), "{claims}");
        };
        let elsewhere = json!({"groups": "src1"});
        check(json!({"roles": ["staff"], "_claim_names": elsewhere}), false, Some(&["staff"]));
        check(json!({"roles": [], "_claim_names": elsewhere}), false, Some(&[]));
        check(json!({"roles": ["staff"], "hasgroups": true}), false, Some(&["staff"]));
        check(json!({"roles": null, "_claim_names": elsewhere}), true, None);
        check(json!({"_claim_names": elsewhere}), true, None);
        check(json!({"hasgroups": "true"}), true, None);
        check(json!({"groups": ["a"], "hasgroups": true}), true, None);
        check(json!({"groups": ["a"], "_claim_names": {"roles": "src1"}}), true, None);
        check(json!({"groups": ["a"]}), false, Some(&["a"]));
        check(json!({}), false, None);
    }

    #[test]
    fn email_verified_does_not_vouch_for_an_address_from_another_claim() {
        let attributes: &[(&str, &[&str])] = &[("email", &["upn", "email"])];
        let check = |claims: Value, trust: bool, attributes, expected: (Option<&str>, bool)| {
            let found = read_with(&claims, None, trust, attributes);
            assert_eq!((found.email.as_deref(), found.email_verified), expected, "{claims}");
        };
        let both = json!({"email": "ada@example.com", "email_verified": true, "upn": "root@example.com"});
        check(both.clone(), false, attributes, (Some("root@example.com"), false));
        check(both, true, attributes, (Some("root@example.com"), true));
        check(json!({"email": "ada@example.com", "email_verified": true}), false, attributes, (Some("ada@example.com"), true));
        check(json!({"email": "a@b.example", "upn": "a@b.example", "email_verified": true}), false, attributes, (Some("a@b.example"), true));
        let with_flag: &[(&str, &[&str])] = &[("email", &["upn"]), ("email_verified", &["upn_verified"])];
        check(json!({"upn": "a@b.example", "upn_verified": true, "email_verified": false}), false, with_flag, (Some("a@b.example"), true));
        check(json!({"upn": "a@b.example", "email_verified": true}), false, with_flag, (Some("a@b.example"), false));
    }
}
