//! Against the `cel` crate, which nobody here wrote: the same answer on the subset, or an error on both sides.
//!
//! What our checker refuses at load is left out: there the oracle may well have an answer (`groups == 'sre'` is false to it). The
//! generator therefore builds expressions of a wanted type, with claims of every type among them, so that nearly all compile and
//! run-time mistakes are met too. Depth is small: the oracle's parser goes exponential on nesting.

use super::{Condition, Env, Template, Type};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

fn env() -> Env {
    Env::sign_in().with("level", Type::Int, false).with("user", super::tests::any_user(), false).with_roles()
}

fn names() -> Map<String, Value> {
    let names = json!({
        "email": "ada@example.com", "email_verified": true, "given_name": "Zoë", "groups": ["sre", "dev", "ada@example.com"], "level": 3,
        "claims": { "status": "sre", "level": 3, "big": i64::MAX, "admin": false, "nothing": null, "list": ["sre", 3, true], "table": { "sre": 1 } },
        "user": { "name": "ada", "extra": { "team": "sre" } }
    });
    names.as_object().cloned().unwrap()
}

/// What the oracle says; `None` for any error.
fn oracle(text: &str) -> Option<Value> {
    let program = cel::Program::compile(text).ok()?;
    let mut context = cel::Context::default();
    for (name, value) in names() {
        context.add_variable_from_value(name, cel_of(&value));
    }
    program.execute(&context).ok().and_then(|value| json_of(&value))
}

/// Whole numbers become `int`: by itself the crate reads JSON's as `uint`, which adds to no `int`.
fn cel_of(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => number.as_i64().unwrap().into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => elements.iter().map(cel_of).collect::<Vec<_>>().into(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), cel_of(value))).collect::<HashMap<_, _>>().into(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the subset has no other kinds, and the oracle may get new ones")]
/// Only what the subset can make; anything else counts as an error and shows as a difference.
fn json_of(value: &cel::Value) -> Option<Value> {
    Some(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(yes) => json!(yes),
        cel::Value::Int(number) => json!(number),
        cel::Value::String(text) => json!(text.as_str()),
        cel::Value::List(elements) => Value::Array(elements.iter().map(json_of).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// `None` when it is refused at load.
fn compiled(text: &str) -> Option<Template> {
    Template::compile(&format!("{{{text}}}"), &env()).ok().map(|(template, _)| template)
}

fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "'sre'",
        "''",
        "\"ada\"",
        "'a'",
        "'Zoë'",
        "email",
        "given_name",
        "name",
        "user.name",
        "user.extra.team",
        "claims.status",
        "claims.level",
        "claims.nothing",
        "claims.x",
        r"'\u00eb'",
        r"r'\d'",
    ]);
    let leaf = leaf.prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    prop_oneof![
        3 => leaf,
        1 => (text(depth - 1), text(depth - 1)).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => (condition(depth - 1), text(depth - 1), text(depth - 1)).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        1 => (texts(depth - 1), int(depth - 1)).prop_map(|(list, at)| format!("{list}[{at}]")),
        1 => text(depth - 1).prop_map(|key| format!("claims[{key}]")),
    ]
    .boxed()
}

fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "0",
        "1",
        "-1",
        "3",
        "0x1F",
        "9223372036854775807",
        "-9223372036854775808",
        "level",
        "claims.level",
        "claims.big",
        "claims.status",
        "claims.y",
    ]);
    let leaf = leaf.prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    prop_oneof![
        3 => leaf,
        1 => (int(depth - 1), int(depth - 1)).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => prop_oneof![text(depth - 1), texts(depth - 1)].prop_map(|of| format!("size({of})")),
        1 => (condition(depth - 1), int(depth - 1), int(depth - 1)).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn texts(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec!["groups", "[]", "['sre', 'a']", "claims.list", "claims.status", "claims.z"]).prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    prop_oneof![2 => leaf, 1 => prop::collection::vec(text(depth - 1), 0..3).prop_map(|parts| format!("[{}]", parts.join(", ")))].boxed()
}

fn condition(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "true",
        "false",
        "email_verified",
        "claims.admin",
        "claims.status",
        "claims.w",
        "has(claims.x)",
        "has(claims.status)",
        "has(claims.nothing)",
        "has(claims.x.y)",
        "has(claims.status.y)",
        "has(user.extra.x)",
    ]);
    let leaf = leaf.prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let relation = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let equality = prop::sample::select(vec!["==", "!="]);
    let method = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
    let logic = prop::sample::select(vec!["&&", "||"]);
    prop_oneof![
        1 => leaf,
        2 => (text(depth - 1), relation.clone(), text(depth - 1)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        2 => (int(depth - 1), relation.clone(), int(depth - 1)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        1 => (condition(depth - 1), relation, condition(depth - 1)).prop_map(|(a, sign, b)| format!("({a}) {sign} ({b})")),
        1 => (texts(depth - 1), equality, texts(depth - 1)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        2 => (text(depth - 1), texts(depth - 1)).prop_map(|(a, b)| format!("{a} in {b}")),
        1 => (text(depth - 1), prop::sample::select(vec!["claims", "claims.table", "user.extra"])).prop_map(|(a, b)| format!("{a} in {b}")),
        1 => (text(depth - 1), method, text(depth - 1)).prop_map(|(a, method, b)| format!("{a}.{method}({b})")),
        3 => (prop::collection::vec(condition(depth - 1), 2..4), logic).prop_map(|(parts, sign)| format!("({})", parts.join(&format!(" {sign} ")))),
        2 => (condition(depth - 1), condition(depth - 1), condition(depth - 1)).prop_map(|(a, b, c)| format!("{a} && {b} || {c}")),
        2 => condition(depth - 1).prop_map(|of| format!("!({of})")),
        1 => (condition(depth - 1), condition(depth - 1), condition(depth - 1)).prop_map(|(c, a, b)| format!("({c}) ? ({a}) : ({b})")),
    ]
    .boxed()
}

fn agree(text: &str) {
    if let Some(template) = compiled(text) {
        assert_eq!(template.render(&names()).ok(), oracle(text), "ours against cel's: {text}");
    }
}

#[test]
fn the_generator_makes_expressions_that_compile() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let made: Vec<String> = (0..400).map(|_| condition(2).new_tree(&mut runner).unwrap().current()).collect();
    let accepted: Vec<Template> = made.iter().filter_map(|text| compiled(text)).collect();
    let valued = accepted.iter().filter(|template| template.render(&names()).is_ok()).count();
    let compiled = accepted.len();
    assert!(compiled > 200 && valued > 100, "{compiled} of 400 compile, {valued} have a value");
}

/// Row 35 of the behaviours: dates of an account are compared as text, as CEL compares text.
#[test]
fn conditions_over_an_account_have_cels_answer() {
    let account =
        json!({ "created_at": "2023-12-31T23:59:59Z", "count": 3, "is_admin": false, "meta": { "created": "2024-01-01" }, "nothing": null });
    let (account, origin) = (account, Value::from("adopted"));
    let env = Env::sign_in().with("account", Type::Dynamic, false).with("origin", Type::Text, false);
    let lookup = Map::from_iter([("account".to_owned(), account.clone()), ("origin".to_owned(), origin.clone())]);
    let places = ["account.created_at", "account.meta.created", "account.count", "account.is_admin", "account.nothing", "account.absent", "origin"];
    let mut valued = 0;
    for (place, relation, other) in places.iter().flat_map(|place| {
        let others = ["'2024-01-01'", "'2023-12-31T23:59:59Z'", "'adopted'", "3", "false", "account.meta.created"];
        others.into_iter().flat_map(move |value| ["==", "!=", "<", "<=", ">", ">="].map(|relation| (*place, relation, value)))
    }) {
        let text = format!("{place} {relation} {other}");
        let Ok((ours, _)) = Condition::compile(&text, &env) else { continue };
        let program = cel::Program::compile(&text).expect("the oracle reads it");
        let mut context = cel::Context::default();
        context.add_variable_from_value("account", cel_of(&account));
        context.add_variable_from_value("origin", cel_of(&origin));
        let theirs = program.execute(&context).ok().and_then(|value| json_of(&value)).and_then(|value| value.as_bool());
        assert_eq!(ours.holds(&lookup).ok(), theirs, "ours against cel's: {text}");
        valued += usize::from(theirs.is_some());
    }
    assert!(valued > 80, "{valued}");
}

proptest! {
    #[test]
    fn conditions_have_cels_answer(text in condition(3)) {
        agree(&text);
    }

    #[test]
    fn texts_and_numbers_have_cels_answer(text in prop_oneof![text(2), int(2), texts(2)]) {
        agree(&text);
    }
}
