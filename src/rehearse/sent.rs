//! What calls send.
//!
//! Lives here: [`Sent`], which says whether a value goes to an application in any of the calls that would be made. It looks at the calls themselves, as they would go
//! over the wire: whatever a connector or a policy's own steps make of an attribute, a plan must not promise what nobody sends.

use super::app::Call;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Everything that some calls send, as text.
#[derive(Debug)]
pub(super) struct Sent(Vec<String>);

impl Sent {
    /// Of these calls.
    pub(super) fn in_calls<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let texts = |call: &Call| {
            let body = String::from_utf8_lossy(&call.body).into_owned();
            let address = format!("{}?{}", call.path, call.query.as_deref().unwrap_or_default());
            // A form is decoded like an address; JSON holds its texts escaped.
            [decoded(&body), body, decoded(&address)]
        };
        Self(calls.flat_map(texts).collect())
    }

    /// Whether `value` is somewhere in them, by itself or within something that is made of it.
    pub(super) fn has(&self, value: &Value) -> bool {
        match value {
            Value::Array(values) => values.iter().all(|value| self.has(value)),
            Value::Object(fields) => fields.values().all(|value| self.has(value)),
            Value::Null => true,
            Value::String(text) => {
                let escaped = value.to_string();
                let escaped = escaped.trim_matches('"');
                self.0.iter().any(|sent| sent.contains(text.as_str()) || sent.contains(escaped))
            }
            Value::Bool(_) | Value::Number(_) => {
                let text = value.to_string();
                self.0.iter().any(|sent| sent.contains(&text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sent;
    use serde_json::json;

    #[test]
    fn a_value_is_sent_however_it_is_written() {
        let sent = Sent(vec![r#"{"firstname":"Ada","note":"say \"hi\"","id":7}"#.to_owned(), "/users/ada lovelace?x=é".to_owned()]);
        let check = |value: serde_json::Value, expected: bool| assert_eq!(sent.has(&value), expected, "{value}");
        check(json!("Lovelace"), false);
        check(json!("Ada"), true);
        check(json!("say \"hi\""), true);
        check(json!("ada lovelace"), true);
        check(json!("é"), true);
        check(json!(7), true);
        check(json!(8), false);
        check(json!(["Ada", "Bob"]), false);
        check(json!(["Ada", 7]), true);
        check(json!({"a": "Bob"}), false);
    }
}
