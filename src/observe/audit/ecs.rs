//! Audit events as the Elastic Common Schema has them.
//!
//! Apart because the names are that schema's and change with its versions. What it has no place for goes to `labels`, flat: `policy.file` is `policy_file`.

use super::fields::{Fields, object};
use super::meaning::{Meaning, Status};
use super::rfc3339;
use crate::clock::Timestamp;
use serde_json::{Map, Value, json};

/// The version that the names are of.
const VERSION: &str = "8.17.0";

/// One event.
pub(super) fn shape(mut event: Fields, meaning: &Meaning, at: Timestamp) -> Value {
    let outcome = match meaning.status {
        Status::Success => "success",
        Status::Failure => "failure",
        Status::Other(_) => "unknown",
    };
    let action = event.take("action");
    let told = object([
        ("kind", Some("event".into())),
        ("action", action.clone()),
        ("category", Some(json!(meaning.categories))),
        ("type", Some(json!(meaning.types))),
        ("outcome", Some(outcome.into())),
        ("reason", event.take("reason")),
        ("severity", Some(meaning.severity.id().into())),
        ("dataset", Some("vestibule.audit".into())),
        ("provider", Some("vestibule".into())),
    ]);
    let person = object([
        ("id", event.take("user.sub")),
        ("email", event.take("user.email")),
        ("full_name", event.take("user.name")),
        ("name", event.take("account.login")),
    ]);
    // `user` is who did it: where that is an operator, the person is the target.
    let user = match event.take("actor") {
        Some(operator) => object([("name", Some(operator)), ("target", person)]),
        None => person,
    };
    let shaped = object([
        ("@timestamp", Some(rfc3339(at).into())),
        ("ecs", Some(json!({ "version": VERSION }))),
        ("message", action),
        ("event", told),
        ("user", user),
        ("source", object([("ip", event.take("src.ip"))])),
        ("url", object([("path", event.take("url.path"))])),
        ("http", object([("request", object([("method", event.take("http.method"))]))])),
        ("rule", object([("name", event.take("rule"))])),
        ("service", Some(json!({ "name": "vestibule", "version": env!("CARGO_PKG_VERSION") }))),
        ("labels", labels(event)),
    ]);
    shaped.unwrap_or_default()
}

/// Flat texts: that is what `labels` may hold.
fn labels(event: Fields) -> Option<Value> {
    let mut out = Map::new();
    for (name, value) in event.rest() {
        if let Value::Object(group) = value {
            out.extend(group.into_iter().map(|(key, value)| (format!("{name}_{key}"), text(value))));
        } else {
            out.insert(name, text(value));
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

fn text(value: Value) -> Value {
    if value.is_string() { value } else { value.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::shape;
    use crate::clock::Timestamp;
    use crate::observe::audit::fields::fields;
    use crate::observe::audit::meaning::{UNKNOWN, meaning};
    use serde_json::{Value, json};

    fn check(pairs: &[(&str, &str)], expected: &[(&str, Value)]) {
        let event = fields(pairs);
        let meaning = meaning(event.text("action"), event.text("attempt")).unwrap_or(UNKNOWN);
        let event = shape(event, &meaning, Timestamp::from_millis(1_795_299_617_123));
        for (pointer, value) in expected {
            assert_eq!(event.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer}: {event}");
        }
        assert_eq!((&event["@timestamp"], &event["ecs"]["version"]), (&json!("2026-11-21T22:20:17.123Z"), &json!("8.17.0")));
        assert_eq!(event["event"]["action"], pairs[0].1);
    }

    #[test]
    fn events_have_the_names_of_ecs() {
        check(&[("action", "moon.full"), ("phase", "4")], &[("/event/category", json!([])), ("/labels/phase", json!("4"))]);
        check(
            &[
                ("action", "access.denied"),
                ("incident", "7KQ4-M2XD"),
                ("app", "wiki"),
                ("user.sub", "u1"),
                ("user.email", "ada@example.com"),
                ("src.ip", "192.0.2.7"),
                ("url.path", "/admin"),
                ("http.method", "GET"),
                ("reason", "groups"),
                ("rule", "wiki.toml:12"),
                ("policy.revision", "0123"),
            ],
            &[
                ("/event/category", json!(["web"])),
                ("/event/type", json!(["denied"])),
                ("/event/outcome", json!("failure")),
                ("/event/reason", json!("groups")),
                ("/user", json!({ "id": "u1", "email": "ada@example.com" })),
                ("/source/ip", json!("192.0.2.7")),
                ("/url/path", json!("/admin")),
                ("/http/request/method", json!("GET")),
                ("/rule/name", json!("wiki.toml:12")),
                ("/labels", json!({ "incident": "7KQ4-M2XD", "app": "wiki", "policy_revision": "0123" })),
            ],
        );
        check(
            &[("action", "approval.granted"), ("actor", "root"), ("user.sub", "u1"), ("account.login", "ada"), ("account.id", "7")],
            &[("/user", json!({ "name": "root", "target": { "id": "u1", "name": "ada" } })), ("/labels/account_id", json!("7"))],
        );
        check(
            &[("action", "approval.requested"), ("app", "")],
            &[("/event/outcome", json!("unknown")), ("/labels", Value::Null), ("/user", Value::Null)],
        );
        check(&[("action", "session.expired")], &[("/event/category", json!(["authentication", "session"])), ("/event/type", json!(["end"]))]);
    }
}
