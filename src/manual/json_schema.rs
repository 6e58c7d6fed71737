//! JSON Schema for editors, made from the table that `check` uses.
//!
//! Draft 4 features only: that is where the TOML editors' support ends. What a schema cannot say (which keys exclude each other, whether an expression is
//! right) `vestibule check` says.

use super::words::{takes, when_left_out, written_default};
use crate::config::language::TAGS;
use crate::source::schema::{Key, Kind, Section};
use serde_json::{Map, Value, json};

/// The schema of a file whose root is `root`.
pub fn json_schema(title: &str, root: &'static Section) -> Value {
    let mut schema = section(root);
    if let Value::Object(fields) = &mut schema {
        fields.shift_insert(0, "$schema".to_owned(), "http://json-schema.org/draft-04/schema#".into());
        fields.shift_insert(1, "title".to_owned(), title.into());
    }
    schema
}

fn section(of: &'static Section) -> Value {
    let properties: Map<String, Value> = of.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = of.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({ "description": of.doc, "type": "object", "properties": properties, "additionalProperties": false });
    // Draft 4: an empty `required` is not allowed.
    if let (Value::Object(fields), false) = (&mut schema, required.is_empty()) {
        fields.insert("required".to_owned(), required.into());
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = value(key.kind);
    if let Value::Object(fields) = &mut schema {
        let left_out = when_left_out(key).filter(|_| !key.required).map(|text| format!(" ({text})")).unwrap_or_default();
        fields.insert("description".to_owned(), format!("{}{}. Takes {}.", key.doc, left_out, takes(key.kind)).into());
        if let Some(default) = written_default(key) {
            fields.insert("default".to_owned(), default);
        }
    }
    schema
}

fn value(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Expression => text(),
        Kind::TextList => listed(&text()),
        Kind::TextOrList => either([text(), listed(&text())]),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Duration | Kind::DurationOrZero => pattern(r"^[0-9]+\s*(ms|s|m|h|d)$"),
        Kind::Size => pattern(r"^[0-9]+\s*(B|KiB|MiB|GiB|kB|MB|GB)?$"),
        Kind::Secret => pattern("^(cred|file|env):.+$"),
        Kind::Enum(words) => json!({ "type": "string", "enum": words }),
        Kind::EnumList(words) => listed(&json!({ "type": "string", "enum": words })),
        Kind::Templates => either([json!({ "type": "string" }), listed(&json!({ "type": "string" }))]),
        Kind::Header => either([
            json!({ "type": "string" }),
            listed(&json!({ "type": "string" })),
            secret(),
            json!({
                "type": "object",
                "properties": { "value": value(Kind::Templates), "encoding": { "type": "string", "enum": ["utf-8", "rfc2047", "percent"] } },
                "required": ["value"],
                "additionalProperties": false
            }),
        ]),
        Kind::Message => {
            let texts: Map<String, Value> = TAGS.iter().map(|tag| ((*tag).to_owned(), text())).collect();
            either([text(), json!({ "type": "object", "properties": texts, "additionalProperties": false })])
        }
        Kind::Url => pattern("^https?://.+$"),
        Kind::Host => pattern(r"^[^\s/:]+$"),
        Kind::Networks => listed(&pattern(r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")),
        Kind::Addresses => either([pattern(r"^.+:[0-9]+$"), listed(&pattern(r"^.+:[0-9]+$"))]),
        // Among headers, a secret is a header that is one: `{ secret = "…" }`.
        Kind::Map(Kind::Secret) => json!({ "type": "object", "additionalProperties": either([value(Kind::Secret), secret()]) }),
        Kind::Map(of) => json!({ "type": "object", "additionalProperties": value(*of) }),
        Kind::Table(inner) | Kind::OwnTable(inner) => section(inner),
        Kind::Tables(inner) | Kind::OwnTables(inner) => json!({ "type": "array", "minItems": 1, "items": section(inner) }),
        // Editors in strict mode want it said that anything goes.
        Kind::Free => json!({ "additionalProperties": true }),
    }
}

fn secret() -> Value {
    json!({ "type": "object", "properties": { "secret": value(Kind::Secret) }, "required": ["secret"], "additionalProperties": false })
}

fn text() -> Value {
    pattern(r"\S")
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn listed(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn either<const N: usize>(of: [Value; N]) -> Value {
    json!({ "anyOf": Vec::from(of) })
}

#[cfg(test)]
mod tests {
    use super::json_schema;
    use crate::policy::schema::POLICY;

    #[test]
    fn keys_carry_what_the_manual_says_and_nothing_else_is_allowed() {
        let schema = json_schema("policy", &POLICY);
        assert_eq!(schema["additionalProperties"], false);
        let access = &schema["properties"]["access"];
        assert_eq!((&access["additionalProperties"], &access["properties"]["everyone"]["default"]), (&false.into(), &false.into()));
        assert!(access["properties"]["groups"]["description"].as_str().is_some_and(|text| text.contains("any of")), "{access}");
        assert_eq!(schema["required"], serde_json::json!(["host", "upstream", "access"]));
        assert!(schema["properties"]["user"].get("required").is_none(), "draft 4 forbids an empty list");
    }

    #[test]
    fn no_feature_is_younger_than_draft_4() {
        fn keywords(schema: &serde_json::Value, met: &mut Vec<String>) {
            let Some(fields) = schema.as_object() else { return };
            for (keyword, value) in fields {
                met.push(keyword.clone());
                match keyword.as_str() {
                    "properties" => value.as_object().into_iter().flatten().for_each(|(_, inner)| keywords(inner, met)),
                    "anyOf" => value.as_array().into_iter().flatten().for_each(|inner| keywords(inner, met)),
                    "items" | "additionalProperties" => keywords(value, met),
                    _ => {}
                }
            }
        }
        let mut met = Vec::new();
        keywords(&json_schema("policy", &POLICY), &mut met);
        met.sort();
        met.dedup();
        let known = ["$schema", "additionalProperties", "anyOf", "default", "description", "enum", "items", "maximum", "minItems", "minimum"];
        let known = [&known[..], &["pattern", "properties", "required", "title", "type"]].concat();
        assert_eq!(met, known);
    }
}
