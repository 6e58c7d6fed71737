//! Conditions and templates of any text against a rich set of names: checked and, when they pass, evaluated. Nothing may panic, and what was checked
//! evaluates to the type that was promised, or to an error that can be said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use vestibule::expr::{Condition, Env, Template, Type};

fuzz_target!(|text: &str| {
    let vars: Map<String, Value> = json!({ "ids": { "a": 1, "b": 2 }, "list": ["x", "y"] }).as_object().cloned().unwrap_or_default();
    let env = Env::sign_in().with_user([("office", Type::Dynamic)]).with_roles().with_vars(&vars).with_request();
    let env = env.with("item", Type::Dynamic, true).with("id", Type::Dynamic, true);
    let full = json!({
        "email": "Ada@Example.com", "email_verified": true, "given_name": "Ada", "family_name": "Brontë-Núñez", "name": "Ada B", "username": "ada",
        "groups": ["staff", "dev"], "claims": { "n": 1, "s": "x", "l": [1, "a", null], "o": { "k": true } }, "idp": "corp",
        "user": { "name": "ada", "email": "ada@example.com", "display": "Ada", "extra": {} }, "role": "Admin", "roles": ["Admin"], "orgs": [1, "two"],
        "vars": vars, "request": { "method": "GET", "path": "/", "host": "h", "ip": "10.0.0.1" }, "item": { "id": 7 }, "id": "9",
    });
    let full = full.as_object().cloned().unwrap_or_default();
    let empty = Map::new();
    if let Ok((condition, _)) = Condition::compile(text, &env) {
        let _holds = condition.holds(&full);
        let _holds = condition.holds(&empty);
    }
    if let Ok((template, _)) = Template::compile(text, &env) {
        let _value = template.render(&full);
        let _value = template.render(&empty);
    }
});
