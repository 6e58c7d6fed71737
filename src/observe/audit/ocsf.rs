//! Audit events as the Open Cybersecurity Schema Framework has them.
//!
//! Apart because the names are that schema's and change with its versions. What it has no place for goes to `unmapped` under our own names.

use super::fields::{Fields, object};
use super::meaning::{Activity, Class, Meaning, Status};
use crate::clock::Timestamp;
use serde_json::{Map, Value, json};

/// The version that the names are of.
const VERSION: &str = "1.3.0";

/// One event.
pub(super) fn shape(mut event: Fields, meaning: &Meaning, at: Timestamp) -> Value {
    let Meaning { class, activity, status, severity, .. } = *meaning;
    let action = event.take("action").unwrap_or_default();
    let (activity_id, activity_name) = match activity {
        Activity::Is(id, name) => (id, Value::from(name)),
        Activity::Method => method(event.text("http.method")),
        Activity::Other => (99, action.clone()),
    };
    let (status_id, status) = match status {
        Status::Success => (1, "Success"),
        Status::Failure => (2, "Failure"),
        Status::Other(word) => (99, word),
    };
    let (class_name, category_name) = class.names();
    let metadata = object([
        ("version", Some(VERSION.into())),
        ("product", Some(json!({ "name": "Vestibule", "vendor_name": "Vestibule", "version": env!("CARGO_PKG_VERSION") }))),
        ("event_code", Some(action.clone())),
        ("correlation_uid", event.take("incident")),
        ("profiles", (class == Class::HttpActivity).then(|| json!(["host", "security_control"]))),
    ]);
    let mut out = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    set("time", Some(at.millis().into()));
    set("metadata", metadata);
    set("category_uid", Some((class.uid() / 1000).into()));
    set("category_name", Some(category_name.into()));
    set("class_uid", Some(class.uid().into()));
    set("class_name", Some(class_name.into()));
    set("activity_id", Some(activity_id.into()));
    set("activity_name", Some(activity_name));
    set("type_uid", Some((class.uid() * 100 + activity_id).into()));
    set("severity_id", Some(severity.id().into()));
    set("severity", Some(severity.name().into()));
    set("status_id", Some(status_id.into()));
    set("status", Some(status.into()));
    set("status_detail", event.take("reason"));
    set("message", Some(action));
    match class {
        Class::Base => {}
        Class::Authentication => {
            set("user", Some(person(&mut event).unwrap_or_else(nobody)));
            // A sign-in that belongs to no app is at the gateway itself. One of `service` and `dst_endpoint` is required.
            set("service", Some(json!({ "name": event.take("app").unwrap_or_else(|| "vestibule".into()) })));
            set("actor", object([("idp", named(event.take("idp")))]));
        }
        Class::AccountChange => {
            set("user", Some(person(&mut event).unwrap_or_else(nobody)));
            set("actor", actor(&mut event));
        }
        Class::EntityManagement => {
            let kind = if event.0.contains_key("policy") { "policy" } else { "gateway" };
            let name = event.take("app").unwrap_or_else(|| "vestibule".into());
            set("entity", object([("name", Some(name)), ("type", Some(kind.into())), ("uid", event.take("policy.revision"))]));
            set("actor", actor(&mut event));
        }
        Class::HttpActivity => {
            set("actor", object([("user", person(&mut event)), ("idp", named(event.take("idp")))]));
            let url = object([("path", event.take("url.path"))]);
            set("http_request", Some(object([("http_method", event.take("http.method")), ("url", url)]).unwrap_or_else(|| json!({}))));
            set("dst_endpoint", object([("svc_name", event.take("app"))]));
            set("policy", object([("name", event.take("rule")), ("uid", event.take("policy.revision"))]));
            for (name, value) in
                [("action_id", json!(2)), ("action", json!("Denied")), ("disposition_id", json!(2)), ("disposition", json!("Blocked"))]
            {
                set(name, Some(value));
            }
        }
    }
    set("src_endpoint", object([("ip", event.take("src.ip"))]));
    let rest = event.rest();
    set("unmapped", (!rest.is_empty()).then_some(Value::Object(rest)));
    Value::Object(out)
}

/// `user`: by the provider's subject, and what they are at the app.
fn person(event: &mut Fields) -> Option<Value> {
    let login = event.take("account.login");
    let account = object([("name", login.clone()), ("uid", event.take("account.id"))]);
    object([
        ("uid", event.take("user.sub")),
        ("domain", event.take("user.iss")),
        ("email_addr", event.take("user.email")),
        ("full_name", event.take("user.name")),
        ("name", login),
        ("account", account),
    ])
}

/// `user` is required where nobody is known yet.
fn nobody() -> Value {
    json!({ "name": "unknown", "type_id": 0, "type": "Unknown" })
}

/// An operator, or the gateway by itself.
fn actor(event: &mut Fields) -> Option<Value> {
    object([("app_name", Some("vestibule".into())), ("user", named(event.take("actor"))), ("idp", named(event.take("idp")))])
}

fn named(name: Option<Value>) -> Option<Value> {
    object([("name", name)])
}

/// `activity_id` of 4002 in this version: PATCH came later.
fn method(method: &str) -> (u32, Value) {
    let (id, name) = match method {
        "" => (0, "Unknown"),
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        other => (99, other),
    };
    (id, name.into())
}

#[cfg(test)]
mod tests {
    use super::shape;
    use crate::clock::Timestamp;
    use crate::observe::audit::fields::fields;
    use crate::observe::audit::meaning::{UNKNOWN, meaning};
    use serde_json::{Value, json};

    fn shaped(pairs: &[(&str, &str)]) -> Value {
        let event = fields(pairs);
        let meaning = meaning(event.text("action"), event.text("attempt")).unwrap_or(UNKNOWN);
        shape(event, &meaning, Timestamp::from_millis(1_795_299_617_123))
    }

    /// What is at these pointers.
    fn check(pairs: &[(&str, &str)], expected: &[(&str, Value)]) {
        let event = shaped(pairs);
        for (pointer, value) in expected {
            assert_eq!(event.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer}: {event}");
        }
        let uid = |name: &str| event[name].as_u64().unwrap();
        assert_eq!(uid("type_uid"), uid("class_uid") * 100 + uid("activity_id"), "{event}");
        assert_eq!((uid("category_uid"), event["time"].as_i64()), (uid("class_uid") / 1000, Some(1_795_299_617_123)));
        assert_eq!(event["metadata"]["version"], "1.3.0");
    }

    #[test]
    fn an_action_without_a_class_keeps_everything_under_unmapped() {
        check(
            &[("action", "moon.full"), ("user.sub", "u1"), ("app", "")],
            &[("/class_uid", json!(0)), ("/activity_name", json!("moon.full")), ("/unmapped", json!({ "user": { "sub": "u1" } }))],
        );
    }

    #[test]
    fn sign_ins_are_authentications() {
        check(
            &[("action", "login.failed"), ("incident", "7KQ4-M2XD"), ("idp", ""), ("app", ""), ("reason", "state_unknown"), ("src.ip", "192.0.2.7")],
            &[
                ("/type_uid", json!(300_201)),
                ("/user", json!({ "name": "unknown", "type_id": 0, "type": "Unknown" })),
                ("/service/name", json!("vestibule")),
                ("/status_id", json!(2)),
                ("/status_detail", json!("state_unknown")),
                ("/severity_id", json!(2)),
                ("/src_endpoint/ip", json!("192.0.2.7")),
                ("/metadata/correlation_uid", json!("7KQ4-M2XD")),
                ("/metadata/event_code", json!("login.failed")),
                ("/actor", Value::Null),
                ("/unmapped", Value::Null),
            ],
        );
        check(
            &[("action", "logout"), ("idp", "corp"), ("app", "wiki"), ("user.iss", "https://idp.example"), ("user.sub", "u1")],
            &[
                ("/type_uid", json!(300_202)),
                ("/user", json!({ "uid": "u1", "domain": "https://idp.example" })),
                ("/actor/idp/name", json!("corp")),
                ("/service/name", json!("wiki")),
                ("/status_id", json!(1)),
            ],
        );
    }

    #[test]
    fn a_refusal_is_a_blocked_request() {
        let event = [
            ("action", "access.denied"),
            ("app", "wiki"),
            ("user.sub", "u1"),
            ("user.email", "ada@example.com"),
            ("url.path", "/admin"),
            ("http.method", "POST"),
            ("rule", "wiki.toml:12"),
            ("policy.revision", "0123"),
            ("reason", "groups"),
        ];
        let expected = [
            ("/type_uid", json!(400_206)),
            ("/actor/user", json!({ "uid": "u1", "email_addr": "ada@example.com" })),
            ("/http_request", json!({ "http_method": "POST", "url": { "path": "/admin" } })),
            ("/dst_endpoint/svc_name", json!("wiki")),
            ("/policy", json!({ "name": "wiki.toml:12", "uid": "0123" })),
            ("/disposition_id", json!(2)),
            ("/action_id", json!(2)),
            ("/unmapped", Value::Null),
        ];
        check(&event, &expected);
        for (method, activity) in [("GET", 3), ("PATCH", 99), ("", 0)] {
            check(&[("action", "access.denied"), ("http.method", method)], &[("/activity_id", json!(activity))]);
        }
    }

    #[test]
    fn accounts_are_changed_by_operators_or_by_the_gateway() {
        check(
            &[
                ("action", "account.failed"),
                ("attempt", "create"),
                ("app", "wiki"),
                ("user.sub", "u1"),
                ("policy.file", "wiki.toml"),
                ("reason", "no"),
            ],
            &[
                ("/type_uid", json!(300_101)),
                ("/status", json!("Failure")),
                ("/actor", json!({ "app_name": "vestibule" })),
                ("/unmapped", json!({ "attempt": "create", "app": "wiki", "policy": { "file": "wiki.toml" } })),
            ],
        );
        check(
            &[("action", "approval.granted"), ("actor", "root"), ("user.sub", "u1"), ("account.login", "ada"), ("account.id", "7")],
            &[
                ("/type_uid", json!(300_199)),
                ("/activity_name", json!("approval.granted")),
                ("/actor/user/name", json!("root")),
                ("/user", json!({ "uid": "u1", "name": "ada", "account": { "name": "ada", "uid": "7" } })),
            ],
        );
        check(&[("action", "account.degraded")], &[("/status_id", json!(99)), ("/status", json!("Partial"))]);
    }

    #[test]
    fn a_policy_is_an_entity() {
        check(
            &[("action", "config.rejected"), ("app", "wiki"), ("policy.file", "wiki.toml"), ("reason", "unknown-key")],
            &[
                ("/type_uid", json!(300_403)),
                ("/entity", json!({ "name": "wiki", "type": "policy" })),
                ("/status_id", json!(2)),
                ("/severity_id", json!(3)),
                ("/unmapped/policy/file", json!("wiki.toml")),
            ],
        );
        check(&[("action", "key.rotated")], &[("/entity", json!({ "name": "vestibule", "type": "gateway" }))]);
    }
}
