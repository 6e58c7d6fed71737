//! What an answer shows: which element is meant, and the account in it.

use super::members::Member;
use crate::connector::model::{AccountShape, Extract, Filter, IdentityFacts, MemberShape, Model, Place, Pointer, SameAs, Select, same_email};
use crate::connector::model::{Over, plain};
use crate::expr::{EvalError, Lookup};
use crate::plan::{Account, Shown};
use http::HeaderMap;
use serde_json::Value;

/// The elements that are exactly what was asked for.
pub(super) fn select(select: &Select, candidates: Vec<Value>, names: &dyn Lookup, identity: &IdentityFacts) -> Result<Vec<Value>, EvalError> {
    let mut out = Vec::new();
    for candidate in candidates {
        let fits = match &select.filter {
            Filter::When(condition) => match condition.holds(&Over { base: names, name: "item", value: &candidate }) {
                Ok(fits) => fits,
                // What the sign-in lacks is lacking for every element: nobody has been looked for.
                Err(EvalError::Absent(name)) if !name.starts_with("item") => return Err(EvalError::Absent(name)),
                // An element that lacks what the condition reads is another one.
                Err(EvalError::Absent(_) | EvalError::Type(_)) => false,
            },
            Filter::Equal(all, same) => {
                let mut fits = true;
                for (pointer, template) in all {
                    let wanted = plain(&template.render(names)?)?;
                    fits &= pointer.all(&candidate).iter().any(|found| plain(found).is_ok_and(|found| is_same(*same, identity, &found, &wanted)));
                }
                fits
            }
        };
        if fits {
            out.push(candidate);
        }
    }
    Ok(out)
}

fn is_same(same: SameAs, identity: &IdentityFacts, a: &str, b: &str) -> bool {
    match same {
        SameAs::Folded(fold) => fold.same(a, b),
        SameAs::Login => identity.fold.same(a, b),
        SameAs::Email => same_email(a, b),
    }
}

/// The first place that shows something, through the map.
pub(super) fn extract(extract: &Extract, element: &Value, headers: &HeaderMap) -> Option<Value> {
    let found = extract.from.iter().find_map(|place| match place {
        Place::Json(pointer) => shown(extract, pointer, element).cloned(),
        Place::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()).map(Value::from),
        Place::LocationSegment => location_segment(headers).map(Value::from),
        // Only pre-steps read these, from the whole answer: `session.rs`.
        Place::Html(_) | Place::Cookie(_) => None,
    })?;
    mapped(extract, found)
}

/// What stands there; of several (`*`) the first that `match` and `map` know.
fn shown<'v>(extract: &Extract, pointer: &Pointer, element: &'v Value) -> Option<&'v Value> {
    let all = pointer.all(element);
    let known = all.iter().find(|value| all.len() > 1 && crate::expr::is_set(value) && mapped(extract, (**value).clone()).is_some());
    known.or_else(|| all.first()).copied().filter(|value| crate::expr::is_set(value))
}

/// Through `match` and `map`.
pub(super) fn mapped(extract: &Extract, found: Value) -> Option<Value> {
    let found = match &extract.part {
        None => found,
        Some(part) => Value::from(part.captures(&plain(&found).ok()?)?.get(1)?.as_str()),
    };
    if extract.map.is_empty() {
        return Some(found);
    }
    let key = plain(&found).ok()?;
    extract.map.iter().find(|(from, _)| *from == key).map(|(_, to)| to.clone())
}

/// The last segment of the path in `Location`, decoded (RFC 9110 §10.2.2: a whole address, or one relative to the request's).
fn location_segment(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(http::header::LOCATION)?.to_str().ok()?;
    let path = text.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let segment = path.rsplit('/').next().filter(|segment| !segment.is_empty() && path.contains('/'))?;
    percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn text(place: Option<&Extract>, element: &Value, headers: &HeaderMap) -> Option<String> {
    plain(&extract(place?, element, headers)?).ok().filter(|text| !text.is_empty())
}

fn is_true(place: Option<&Extract>, element: &Value, headers: &HeaderMap) -> bool {
    says_yes(place.and_then(|place| extract(place, element, headers)))
}

/// Of several places, and of several elements in one, any: whoever is no superuser may still be staff.
fn is_true_anywhere(place: Option<&Extract>, element: &Value, headers: &HeaderMap) -> bool {
    let Some(place) = place else { return false };
    place.from.iter().any(|from| match from {
        Place::Json(pointer) => pointer.all(element).iter().any(|found| says_yes(mapped(place, (*found).clone()))),
        Place::Header(_) | Place::LocationSegment | Place::Html(_) | Place::Cookie(_) => is_true(Some(place), element, headers),
    })
}

fn says_yes(value: Option<Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "1"),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// The account in an element; parts that the answer does not show are empty.
pub(super) fn account(model: &Model, shape: &AccountShape, element: &Value, headers: &HeaderMap) -> Account {
    let login = text(shape.login.as_ref(), element, headers).unwrap_or_default();
    let mut account = Account {
        id: text(shape.id.as_ref(), element, headers).unwrap_or_default(),
        external_id: text(shape.external_id.as_ref(), element, headers),
        email: text(shape.email.as_ref(), element, headers),
        // A reserved login is the administrator's or the system's, whatever the answer shows.
        admin: is_true_anywhere(shape.admin.as_ref(), element, headers) || model.identity.is_reserved(&login),
        disabled: is_true(shape.disabled.as_ref(), element, headers),
        login,
        shown: Shown(element.as_object().cloned().unwrap_or_default()),
        ..Account::default()
    };
    for attribute in &model.attributes {
        if let Some(value) = attribute.read.as_ref().and_then(|read| extract(read, element, headers)) {
            account.attributes.insert(attribute.name.clone(), value);
        }
    }
    for (kind, shape) in &shape.members {
        // A list that is not there says nothing about memberships.
        let Some(members) = members(shape, element) else { continue };
        let key = |member: &Member| match (&member.id, member.name.is_empty()) {
            (Some(id), true) => format!("{BY_ID}{id}"),
            _ => member.name.clone(),
        };
        account.memberships.insert(kind.clone(), members.iter().map(|member| (key(member), member.role.clone())).collect());
    }
    account
}

/// Before the id of a membership that is shown without its name, until `members.rs` has asked for it. No name has a control character.
pub(super) const BY_ID: &str = "\u{0}";

/// The memberships in an element; `None` when it does not show them. What is shown as one thing instead of a list is one.
pub(super) fn members(shape: &MemberShape, element: &Value) -> Option<Vec<Member>> {
    let list = match shape.each.first(element)? {
        Value::Array(list) => list.as_slice(),
        Value::Null => return None,
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => std::slice::from_ref(one),
    };
    let read = |pointer: &Pointer, one: &Value| pointer.first(one).and_then(|value| plain(value).ok());
    let member = |one: &Value| {
        let (name, id) = (read(&shape.name, one), shape.id.as_ref().and_then(|id| read(id, one)));
        let role = shape.role.as_ref().and_then(|role| read(role, one));
        (name.is_some() || id.is_some()).then(|| Member { name: name.unwrap_or_default(), id, role })
    };
    Some(list.iter().filter_map(member).collect())
}

/// The `ETag` that stands in or with an element.
pub(super) fn etag(shape: &AccountShape, element: &Value, headers: &HeaderMap) -> Option<String> {
    text(shape.etag.as_ref(), element, headers)
}
