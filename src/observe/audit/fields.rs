//! The fields of one audit event.
//!
//! Lives here: [`Fields`], collected from a `tracing` event, a dot in a name nesting. Apart because the shapes (`ocsf.rs`, `ecs.rs`) take what they have a place
//! for and hand on the rest. It knows the name of no field.

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// Collects an event's fields, nesting at dots.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// The text at `path` (`user.sub`); empty when there is none.
    pub(super) fn text(&self, path: &str) -> &str {
        let at = match path.split_once('.') {
            None => self.0.get(path),
            Some((group, key)) => self.0.get(group).and_then(|group| group.get(key)),
        };
        at.and_then(Value::as_str).unwrap_or_default()
    }

    /// Takes the value at `path` out. An empty text is how events say "none".
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        let value = match path.split_once('.') {
            None => self.0.shift_remove(path),
            Some((group, key)) => self.0.get_mut(group)?.as_object_mut()?.shift_remove(key),
        };
        value.filter(|value| value.as_str() != Some(""))
    }

    /// What nobody took, groups that became empty and empty texts left out.
    pub(super) fn rest(mut self) -> Map<String, Value> {
        for value in self.0.values_mut() {
            if let Value::Object(group) = value {
                group.retain(|_, value| value.as_str() != Some(""));
            }
        }
        self.0.retain(|_, value| value.as_str() != Some("") && value.as_object().is_none_or(|group| !group.is_empty()));
        self.0
    }

    fn set(&mut self, name: &str, value: Value) {
        let mut into = &mut self.0;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                into.insert(part.to_owned(), value);
                return;
            }
            let next = into.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            match next.as_object_mut() {
                Some(object) => into = object,
                // A plain value where a group was expected: two fields of one name, a mistake in the code that emits them.
                None => return,
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::String(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field.name(), Value::String(format!("{value:?}")));
    }
}

/// An object of those values that are there; `None` when none is.
pub(super) fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Option<Value> {
    let object: Map<String, Value> = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

/// From name-value pairs, as `tracing` would record them.
#[cfg(test)]
pub(super) fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        fields.set(name, Value::from(*value));
    }
    fields
}
