//! What an answer shows: which element is meant, and the account in it.

use crate::connector::model::{AccountShape, Extract, Filter, IdentityFacts, Model, Place, SameAs, Select, same_email};
use crate::connector::model::{Over, plain};
use crate::expr::{EvalError, Lookup};
use crate::plan::{Account, Members, Shown};
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
        Place::Json(pointer) => pointer.first(element).filter(|value| crate::expr::is_set(value)).cloned(),
        Place::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()).map(Value::from),
    })?;
    if extract.map.is_empty() {
        return Some(found);
    }
    let key = plain(&found).ok()?;
    extract.map.iter().find(|(from, _)| *from == key).map(|(_, to)| to.clone())
}

fn text(place: Option<&Extract>, element: &Value, headers: &HeaderMap) -> Option<String> {
    plain(&extract(place?, element, headers)?).ok().filter(|text| !text.is_empty())
}

fn is_true(place: Option<&Extract>, element: &Value, headers: &HeaderMap) -> bool {
    match place.and_then(|place| extract(place, element, headers)) {
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
        admin: is_true(shape.admin.as_ref(), element, headers) || model.identity.is_reserved(&login),
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
        let Some(Value::Array(list)) = shape.each.first(element) else { continue };
        let mut members = Members::new();
        for one in list {
            if let Some(name) = shape.name.first(one).and_then(|name| plain(name).ok()) {
                members.insert(name, shape.role.as_ref().and_then(|role| role.first(one)).and_then(|role| plain(role).ok()));
            }
        }
        account.memberships.insert(kind.clone(), members);
    }
    account
}

/// The `ETag` that stands in or with an element.
pub(super) fn etag(shape: &AccountShape, element: &Value, headers: &HeaderMap) -> Option<String> {
    text(shape.etag.as_ref(), element, headers)
}
