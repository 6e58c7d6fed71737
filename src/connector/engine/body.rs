//! Bodies, encoded: each value by the encoder of its place.

use super::request::Authority;
use crate::connector::model::{Body, Call, Http, PageStyle, Pointer, Tree, plain};
use crate::expr::{EvalError, Lookup};
use aws_lc_rs::hmac;
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// The body of `call` and its `Content-Type`; `extra` is the place in a list, where that goes into the body.
pub(super) fn encode(
    call: &Call,
    names: &dyn Lookup,
    http: &Http,
    authority: &Authority<'_>,
    extra: &[(String, String)],
) -> Result<(Bytes, Option<String>), EvalError> {
    let paged = |mut value: Value| {
        lay(&mut value, place(call, extra));
        value
    };
    let json = |value: &Value| (Bytes::from(value.to_string()), Some(http.content_type.clone()));
    Ok(match &call.body {
        Body::Empty => (Bytes::new(), None),
        Body::Json(tree) => json(&paged(laid_over(call, tree.render(names)?, names))),
        Body::Form(fields) => {
            let mut out = form_urlencoded::Serializer::new(form(fields, names)?);
            out.extend_pairs(extra.iter().filter(|_| is_paged_here(call)));
            (Bytes::from(out.finish()), Some(FORM.to_owned()))
        }
        Body::JsonRpc { method, params } => {
            let mut request = json!({ "jsonrpc": "2.0", "method": method, "id": authority.id });
            let params = match params {
                Some(tree) => Some(tree.render(names)?.unwrap_or_else(|| Value::Object(Map::new()))),
                None => is_paged_here(call).then(|| Value::Object(Map::new())),
            };
            if let (Some(params), Some(request)) = (params, request.as_object_mut()) {
                request.insert("params".to_owned(), if is_paged_here(call) { paged(params) } else { params });
            }
            if let (Some((name, token)), Some(request)) = (member(http, names, authority)?, request.as_object_mut()) {
                request.insert(name.to_owned(), Value::from(token.expose_secret()));
            }
            json(&request)
        }
        Body::GraphQl { query, variables } => {
            let variables = match variables {
                Some(tree) => tree.render(names)?,
                None => None,
            };
            json(&json!({ "query": query, "variables": paged(variables.unwrap_or_else(|| Value::Object(Map::new()))) }))
        }
        Body::Text(template) => (Bytes::from(plain(&template.render(names)?)?), Some("text/plain; charset=utf-8".to_owned())),
        Body::Signed { payload, signature, key, fields } => {
            use base64::Engine as _;
            let secret = authority.credential.settings.iter().find(|(name, _)| name == key).map(|(_, secret)| secret);
            let secret = secret.ok_or_else(|| EvalError::Absent(format!("settings.{key}")))?;
            let signed = base64::engine::general_purpose::STANDARD.encode(form(fields, names)?);
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
            let tag = hmac::sign(&key, signed.as_bytes());
            let mut out = form_urlencoded::Serializer::new(String::new());
            out.append_pair(payload, &signed).append_pair(signature, &hex::encode(tag));
            (Bytes::from(out.finish()), Some(FORM.to_owned()))
        }
    })
}

/// The token, where it goes into a member of the request.
pub(super) fn member<'a>(http: &'a Http, names: &dyn Lookup, authority: &'a Authority<'_>) -> Result<Option<(&'a str, &'a SecretString)>, EvalError> {
    let Some(member) = http.auth.member.as_ref().filter(|_| !authority.is_pre_step) else { return Ok(None) };
    let applies = member.condition.as_ref().map_or(Ok(true), |condition| condition.holds(names))?;
    Ok(authority.token.or(authority.credential.token.as_ref()).filter(|_| applies).map(|token| (member.name.as_str(), token)))
}

fn is_paged_here(call: &Call) -> bool {
    call.paginate.as_ref().is_some_and(|paginate| paginate.in_body)
}

/// The place in a list as a table: counts as numbers, a cursor as the text that it is. A name that begins with `/` is a pointer to where it goes.
fn place(call: &Call, extra: &[(String, String)]) -> Value {
    let mut out = Value::Object(Map::new());
    let Some(paginate) = call.paginate.as_ref().filter(|paginate| paginate.in_body) else { return out };
    let cursor = match &paginate.style {
        PageStyle::Cursor { parameter, .. } => Some(parameter),
        PageStyle::Offset { .. } | PageStyle::Page { .. } | PageStyle::Link => None,
    };
    for (name, value) in extra {
        let value = match value.parse::<u64>() {
            Ok(number) if cursor != Some(name) => Value::from(number),
            Ok(_) | Err(_) => Value::from(value.as_str()),
        };
        let path = if name.starts_with('/') { Pointer::parse(name).0 } else { vec![name.clone()] };
        lay(&mut out, path.into_iter().rev().fold(value, |value, part| json!({ part: value })));
    }
    out
}

fn form(fields: &[(String, Tree)], names: &dyn Lookup) -> Result<String, EvalError> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, tree) in fields {
        match tree.render(names)? {
            None => {}
            Some(Value::Array(list)) => {
                for value in &list {
                    out.append_pair(name, &plain(value)?);
                }
            }
            Some(value) => {
                out.append_pair(name, &plain(&value)?);
            }
        }
    }
    Ok(out.finish())
}

/// The changes over what was read just before (`base = "get"`, name `base`), so that what the connector does not know survives a PUT.
fn laid_over(call: &Call, changes: Option<Value>, names: &dyn Lookup) -> Value {
    let changes = changes.unwrap_or_else(|| Value::Object(Map::new()));
    let (Some(base), Some(read)) = (&call.base, names.name("base")) else { return changes };
    let mut whole = if base.keep.is_empty() { read.clone() } else { kept(read, &base.keep) };
    for pointer in &base.drop {
        remove(&mut whole, &pointer.0);
    }
    lay(&mut whole, changes);
    whole
}

/// Tables are laid over tables, entry by entry; everything else replaces what is there.
fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(slot) => lay(slot, value),
                    None => drop(under.insert(key, value)),
                }
            }
        }
        (slot, over) => *slot = over,
    }
}

/// Only the fields that are named, where they stood.
fn kept(read: &Value, keep: &[Pointer]) -> Value {
    let mut out = Value::Object(Map::new());
    for pointer in keep {
        let Some(value) = pointer.first(read) else { continue };
        let nested = pointer.0.iter().rev().fold(value.clone(), |value, part| json!({ part: value }));
        lay(&mut out, nested);
    }
    out
}

fn remove(whole: &mut Value, path: &[String]) {
    match (path, whole) {
        ([last], Value::Object(fields)) => drop(fields.shift_remove(last)),
        ([first, rest @ ..], Value::Object(fields)) => {
            if let Some(next) = fields.get_mut(first) {
                remove(next, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{kept, lay, remove};
    use crate::connector::model::Pointer;
    use serde_json::{Value, json};

    #[test]
    fn changes_replace_what_they_name_and_nothing_else() {
        let check = |under: Value, over: Value, expected: Value| {
            let mut whole = under;
            lay(&mut whole, over);
            assert_eq!(whole, expected);
        };
        check(json!({ "a": [1, 2], "b": 1 }), json!({ "a": [3] }), json!({ "a": [3], "b": 1 }));
        check(json!({ "a": { "x": 1, "y": 2 } }), json!({ "a": { "y": 3 } }), json!({ "a": { "x": 1, "y": 3 } }));
        check(json!({ "a": null }), json!({ "a": { "y": 3 }, "c": false }), json!({ "a": { "y": 3 }, "c": false }));
    }

    #[test]
    fn what_is_dropped_is_gone_and_what_is_not_kept_does_not_go_back() {
        let mut whole = json!({ "meta": { "links": 1, "version": 2 }, "secret": "x" });
        remove(&mut whole, &["meta".to_owned(), "links".to_owned()]);
        remove(&mut whole, &["absent".to_owned(), "deep".to_owned()]);
        assert_eq!(whole, json!({ "meta": { "version": 2 }, "secret": "x" }));
        assert_eq!(kept(&whole, &[Pointer::parse("/meta/version"), Pointer::parse("/none")]), json!({ "meta": { "version": 2 } }));
    }
}
