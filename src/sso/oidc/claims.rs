//! From verified claims to an [`Identity`]. Pure.
//!
//! The rules that matter: the ID token wins over userinfo; an address and its verification come from the same source; groups that were not
//! listed are unknown, never empty. From here on all text is in one form of Unicode, and what is blank is absent.

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
    pub(super) groups: &'a str,
    pub(super) trust_email: bool,
}

/// The person, from the claims of the ID token and, when its `sub` agreed, of userinfo.
pub(super) fn identity(sub: String, id_token: Map<String, Value>, userinfo: Option<Map<String, Value>>, reading: &Reading<'_>) -> Identity {
    let mut claims = merged(id_token, userinfo, reading.groups);
    claims.retain(|name, _| !PLUMBING.contains(&name.as_str()));
    // Before blank claims go: an empty list of groups is known to be empty.
    let groups = groups(&claims, reading.groups);
    let claims = tidy_claims(claims);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let address = text("email").filter(|address| email::domain(address).is_some());
    let verified = match claims.get("email_verified") {
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

/// What userinfo adds. Nothing that the ID token says is replaced.
fn merged(mut claims: Map<String, Value>, userinfo: Option<Map<String, Value>>, groups: &str) -> Map<String, Value> {
    // Overage in the ID token: the list in userinfo would be the one the provider could fit, not the one that holds.
    let overage = is_overage(&claims, groups);
    // An address and "verified" belong together: one from each source would verify an address that nobody did.
    let has_address = claims.contains_key("email") || claims.contains_key("email_verified");
    for (name, value) in userinfo.into_iter().flatten() {
        let refused =
            PROTOCOL.contains(&name.as_str()) || (has_address && matches!(name.as_str(), "email" | "email_verified")) || (overage && name == groups);
        if !refused && !claims.contains_key(&name) {
            claims.insert(name, value);
        }
    }
    claims
}

/// OIDC Core 5.6.2 and Entra: the groups are somewhere else. That place is never asked (attacks.md O34).
fn is_overage(claims: &Map<String, Value>, name: &str) -> bool {
    let elsewhere = claims.get("_claim_names").and_then(Value::as_object).is_some_and(|names| names.contains_key(name));
    let flagged = claims.get("hasgroups").is_some_and(|flag| matches!(flag, Value::Bool(true)) || flag.as_str() == Some("true"));
    elsewhere || flagged
}

fn groups(claims: &Map<String, Value>, name: &str) -> Groups {
    if is_overage(claims, name) {
        return Groups::Unknown;
    }
    let Some(found) = claims.get(name).or_else(|| nested(claims, name)) else { return Groups::Unknown };
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
        let reading = Reading { idp: "corp", issuer: "https://op", groups: "groups", trust_email };
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
}
