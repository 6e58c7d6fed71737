//! Answers as an application would write them, made from what its connector says of them.
//!
//! Lives here: [`good`], [`absent`] and [`listing`], which turn a step's own `classify`, `at`, `items` and `save` into a response that the step then reads back, and
//! [`put`], which sets a value at a pointer. Apart from `app.rs` because it knows no account: only where things stand. What a step does not declare is
//! not made up.

use crate::connector::Outcome;
use crate::connector::engine::Cue;
use crate::connector::model::{Call, Extract, Place, Pointer, Rule, Test};
use crate::outbound::OutboundResponse;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use regex::Regex;
use serde_json::{Map, Value, json};
use std::iter::Peekable;
use std::str::Chars;

/// The answer with which the step ends well, showing `element` where the step looks for it.
pub(super) fn good(cue: &Cue<'_>, element: &Value) -> OutboundResponse {
    by_rule(cue, is_good, |_| wrapped(&cue.call.at, element.clone())).unwrap_or_else(|| respond(cue, 200, element))
}

/// The answer that says: there is none.
pub(super) fn absent(cue: &Cue<'_>) -> OutboundResponse {
    if list_of(cue.call).is_some() {
        return listing(cue, &[]);
    }
    by_rule(cue, |outcome| matches!(outcome, Outcome::Absent | Outcome::Gone), |_| json!({})).unwrap_or_else(|| respond(cue, 404, &json!({})))
}

/// The answer to a search: `elements`, all on one page.
pub(super) fn listing(cue: &Cue<'_>, elements: &[Value]) -> OutboundResponse {
    let call = cue.call;
    let count = elements.len();
    let whole = || {
        let at = list_of(call).filter(|at| !at.0.is_empty());
        let Some(at) = at else { return Value::Array(elements.to_vec()) };
        let mut whole = wrapped(&at, Value::Array(elements.to_vec()));
        if let Some(total) = call.paginate.as_ref().and_then(|paginate| paginate.total.as_ref()) {
            put(&mut whole, total, Value::from(count));
        }
        whole
    };
    by_rule(cue, is_good, |_| whole()).unwrap_or_else(|| respond(cue, 200, &whole()))
}

/// Where the list of a search stands in the whole answer; `None` when the step shows one element.
pub(super) fn list_of(call: &Call) -> Option<Pointer> {
    if let Some(paginate) = &call.paginate {
        return Some(paginate.items.clone());
    }
    let items = call.select.as_ref()?.items.as_ref()?;
    Some(Pointer([call.at.0.clone(), items.0.clone()].concat()))
}

/// Sets the value at `pointer`, making what is missing on the way; `*` and numbers make lists. What is in the way is replaced.
pub(super) fn put(whole: &mut Value, pointer: &Pointer, value: Value) {
    let mut here = whole;
    for part in &pointer.0 {
        let index = if part == "*" { Some(0) } else { part.parse::<usize>().ok().filter(|_| !here.is_object()) };
        here = if let Some(index) = index {
            if !here.is_array() {
                *here = json!([]);
            }
            let Value::Array(list) = here else { return };
            // A pointer of a connector names one of the first few; anything else is not worth the memory.
            while list.len() <= index.min(16) {
                list.push(Value::Null);
            }
            let Some(slot) = list.get_mut(index) else { return };
            slot
        } else {
            if !here.is_object() {
                *here = Value::Object(Map::new());
            }
            let Value::Object(fields) = here else { return };
            fields.entry(part.as_str()).or_insert(Value::Null)
        };
    }
    *here = value;
}

/// The first place in a body from which an extractor reads.
pub(super) fn place(extract: &Extract) -> Option<&Pointer> {
    extract.from.iter().find_map(|place| if let Place::Json(pointer) = place { Some(pointer) } else { None })
}

/// How the application writes what an extractor reads as `value`.
pub(super) fn written(extract: &Extract, value: Value) -> Value {
    match extract.map.iter().find(|(_, ours)| *ours == value) {
        Some((theirs, _)) => {
            serde_json::from_str(theirs).ok().filter(|value: &Value| !value.is_object()).unwrap_or_else(|| Value::from(theirs.as_str()))
        }
        None => value,
    }
}

fn wrapped(at: &Pointer, element: Value) -> Value {
    let mut whole = json!({});
    put(&mut whole, at, element);
    whole
}

fn is_good(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Found | Outcome::Created | Outcome::Updated | Outcome::Unchanged | Outcome::Done)
}

/// The answer by the first line of `classify` that comes to what is wanted, and is understood so when the step reads it.
fn by_rule(cue: &Cue<'_>, wanted: impl Fn(Outcome) -> bool, body: impl Fn(&Rule) -> Value) -> Option<OutboundResponse> {
    let fits = |rule: &&Rule| wanted(rule.outcome);
    cue.call.classify.iter().filter(fits).find_map(|rule| {
        let status = rule.status.first().copied().unwrap_or(if rule.outcome == Outcome::Absent { 404 } else { 200 });
        let mut whole = body(rule);
        for (pointer, test) in &rule.json {
            satisfy(&mut whole, pointer, test);
        }
        if let (Some(regex), true) = (&rule.body, whole.is_object()) {
            put(&mut whole, &Pointer(vec!["message".to_owned()]), Value::from(example(regex)));
        }
        let mut response = respond(cue, status, &whole);
        for (name, regex) in &rule.headers {
            if let Ok(value) = http::HeaderValue::from_str(example(regex).trim_start_matches('^')) {
                response.headers.insert(name.clone(), value);
            }
        }
        wanted(cue.means(&response)).then_some(response)
    })
}

fn satisfy(whole: &mut Value, pointer: &Pointer, test: &Test) {
    match test {
        Test::Exists(true) if pointer.first(whole).is_none_or(Value::is_null) => put(whole, pointer, Value::from(0)),
        Test::Exists(_) => {}
        Test::Equals(value) => put(whole, pointer, value.clone()),
        Test::Matches(regex) => put(whole, pointer, Value::from(example(regex))),
    }
}

/// A text that the pattern matches: the pattern read literally, first alternatives first. Patterns of connectors are words that an app says; what is cleverer
/// than that comes out as a text that does not match, and the step is then not understood, which is said.
fn example(regex: &Regex) -> String {
    let pattern = regex.as_str();
    let bare = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    literal(&mut bare.chars().peekable())
}

/// The first alternative up to a closing parenthesis or the end, which is consumed.
fn literal(rest: &mut Peekable<Chars<'_>>) -> String {
    let (mut out, mut first) = (String::new(), true);
    while let Some(c) = rest.next() {
        let piece = match c {
            ')' => break,
            '(' => {
                // `(?:…)` and `(?i:…)` group like any other.
                if rest.next_if_eq(&'?').is_some() {
                    while rest.next_if(|c| *c != ':').is_some() {}
                    rest.next();
                }
                literal(rest)
            }
            '[' => {
                let class: Vec<char> = rest.by_ref().take_while(|c| *c != ']').collect();
                class.first().filter(|c| **c != '^').map(ToString::to_string).unwrap_or_default()
            }
            '|' => {
                first = false;
                String::new()
            }
            '\\' => match rest.next() {
                Some('d') => "0".to_owned(),
                Some('s') => " ".to_owned(),
                Some('w') => "x".to_owned(),
                Some('b') | None => String::new(),
                Some(escaped) => escaped.to_string(),
            },
            '.' => "x".to_owned(),
            '^' | '$' | '*' | '+' | '?' => String::new(),
            other => other.to_string(),
        };
        if first {
            out.push_str(&piece);
        }
    }
    out
}

fn respond(cue: &Cue<'_>, status: u16, whole: &Value) -> OutboundResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let empty = matches!(status.as_u16(), 204 | 205 | 304);
    OutboundResponse { status, headers: HeaderMap::new(), body: if empty { Bytes::new() } else { Bytes::from(cue.written(whole)) } }
}

#[cfg(test)]
mod tests {
    use super::{example, put};
    use crate::connector::model::Pointer;
    use serde_json::{Value, json};

    #[test]
    fn a_value_lands_where_its_pointer_reads() {
        let check = |mut whole: Value, pointer: &str, expected: &Value| {
            let pointer = Pointer::parse(pointer);
            put(&mut whole, &pointer, Value::from("x"));
            assert_eq!(whole, *expected);
            assert_eq!(pointer.first(&whole), Some(&Value::from("x")), "{pointer:?}");
        };
        check(json!("scalar"), "/a", &json!({"a": "x"}));
        check(json!({"a": 1}), "/a/b", &json!({"a": {"b": "x"}}));
        check(json!({"0": 1}), "/0", &json!({"0": "x"}));
        check(json!({}), "/emails/0/value", &json!({"emails": [{"value": "x"}]}));
        check(json!({"emails": [{"type": "work"}]}), "/emails/*/value", &json!({"emails": [{"type": "work", "value": "x"}]}));
        check(json!({}), "", &json!("x"));
    }

    #[test]
    fn a_pattern_of_words_has_an_example() {
        for pattern in [
            "(?i)user not found",
            "(?i)organi[sz]ation not found",
            "(?i)external|sync",
            "^/hub/login",
            r"status: \d+ \(gone\)",
            "a (big|small) (?:one|two).*$",
            "",
        ] {
            let regex = regex::Regex::new(pattern).unwrap();
            assert!(regex.is_match(&example(&regex)), "{pattern}: {:?}", example(&regex));
        }
    }
}
