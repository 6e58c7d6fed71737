//! Values of bodies and queries: a tree whose leaves may be templates.
//!
//! Apart because this is where data could become structure, and does not: a value replaces a leaf and nothing else. Where an app insists on a
//! text language of its own (SCIM filters), the tree says so with a key that begins with `$`, and every value in that text is escaped for it.

use super::names;
use super::read::{Reader, literal};
use crate::expr::{Env, EvalError, Lookup, Template};
use crate::source::{Entry, Node, Table, Written};
use serde_json::{Map, Value};

/// A value as a tree.
#[derive(Debug, Clone)]
pub enum Tree {
    /// As written.
    Literal(Value),
    /// A string with `{expressions}`; exactly one expression keeps its type.
    Template(Template),
    /// `{ "$scim" = "userName eq {want.login}" }`: values become quoted strings of a SCIM filter (RFC 7644 §3.4.2.2).
    Scim(Template),
    /// `{ "$rison" = "(filters:!((col:username,opr:eq,value:{want.login})))" }`: values become quoted strings of Rison.
    Rison(Template),
    /// `{ "$influxql" = "DROP USER \"{account.id}\"" }`: values become the inside of a quoted name or string of `InfluxQL`.
    InfluxQl(Template),
    /// `{ "$json" = { … } }`: the tree as one text, for an app that takes JSON in a parameter.
    Json(Box<Self>),
    /// `{ "$number" = "{account.id}" }`: a text of digits as a number, for an app whose ids are numbers.
    Number(Template),
    /// Elements; one with an absent value is left out whole.
    List(Vec<Self>),
    /// Entries; one with an absent value is left out.
    Table(Vec<(String, Self)>),
    /// `{ "$each" = "changes", … }`: one table for each element, as `item`.
    Each(Template, Vec<(String, Self)>),
    /// `{ "$each" = "members.group", "$item" = "{item.id}" }`: one value for each element.
    EachValue(Template, Box<Self>),
}

/// A name that no expression can have: set in a dry run.
pub(in crate::connector) const FOR_SHOW: &str = "(for show)";

/// Names that must be there: leaving out their key would change whom a request is about.
const NEEDED: [&str; 8] = ["id", "item", "account", "member", "members", "vars", "want.login", "want.external_id"];

pub(super) fn compile(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Tree> {
    match &node.value {
        Written::Text(text) if text.contains(['{', '}']) => reader.template(node, env).map(Tree::Template),
        Written::List(list) => {
            let compiled: Vec<Tree> = list.iter().filter_map(|one| compile(reader, one, env)).collect();
            (compiled.len() == list.len()).then_some(Tree::List(compiled))
        }
        Written::Table(table) => compile_table(reader, table, env),
        Written::Text(_) | Written::Integer(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) => Some(Tree::Literal(literal(node))),
    }
}

fn compile_table(reader: &mut Reader<'_>, table: &Table, env: &Env) -> Option<Tree> {
    if let ([sink], true) = (table.entries.as_slice(), table.entries.iter().all(|entry| entry.key.starts_with('$'))) {
        return match sink.key.as_str() {
            "$scim" => reader.template(&sink.node, env).map(Tree::Scim),
            "$rison" => reader.template(&sink.node, env).map(Tree::Rison),
            "$influxql" => influxql(reader, &sink.node, env),
            "$number" => reader.template(&sink.node, env).map(Tree::Number),
            "$json" => compile(reader, &sink.node, env).map(|tree| Tree::Json(Box::new(tree))),
            _ => unknown(reader, sink),
        };
    }
    let over = match table.get("$each") {
        Some(entry) => {
            let text = reader.text(&entry.node)?;
            Some(reader.template_part(&entry.node, &format!("{{{text}}}"), env)?)
        }
        None => None,
    };
    let over_item = over.as_ref().map(|over| env.clone().with("item", names::item(over.result_type()), false));
    let env = over_item.as_ref().unwrap_or(env);
    if let (Some(over), Some(value), 2) = (&over, table.get("$item"), table.entries.len()) {
        return compile(reader, &value.node, env).map(|tree| Tree::EachValue(over.clone(), Box::new(tree)));
    }
    let mut entries = Vec::new();
    for entry in table.entries.iter().filter(|entry| entry.key != "$each") {
        if entry.key.starts_with('$') {
            return unknown(reader, entry);
        }
        entries.push((entry.key.clone(), compile(reader, &entry.node, env)?));
    }
    Some(match over {
        Some(over) => Tree::Each(over, entries),
        None => Tree::Table(entries),
    })
}

fn unknown(reader: &mut Reader<'_>, entry: &Entry) -> Option<Tree> {
    let help = "known: $scim, $rison, $influxql, $number, $json (each alone), $each, $item (with $each, instead of fields)";
    reader.error_help("unknown-key", &entry.key_span, format!("`{}` is not known here", entry.key), help);
    None
}

/// Names with more names over them.
pub(in crate::connector) struct Over<'a> {
    pub(in crate::connector) base: &'a dyn Lookup,
    pub(in crate::connector) name: &'a str,
    pub(in crate::connector) value: &'a Value,
}

impl Lookup for Over<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        if name == self.name { Some(self.value) } else { self.base.name(name) }
    }
}

impl Tree {
    /// Whether a value in it is made of the top-level name `name`.
    pub(super) fn reads(&self, name: &str) -> bool {
        let reads = |template: &Template| template.names().iter().any(|read| read.split(['.', '[']).next() == Some(name));
        match self {
            Self::Literal(_) => false,
            Self::Template(template) | Self::Scim(template) | Self::Rison(template) | Self::InfluxQl(template) | Self::Number(template) => {
                reads(template)
            }
            Self::Json(tree) => tree.reads(name),
            Self::EachValue(over, tree) => reads(over) || tree.reads(name),
            Self::List(items) => items.iter().any(|item| item.reads(name)),
            Self::Table(entries) => entries.iter().any(|(_, entry)| entry.reads(name)),
            Self::Each(over, entries) => reads(over) || entries.iter().any(|(_, entry)| entry.reads(name)),
        }
    }

    /// The value; `None` when what it would be made of is absent from the sign-in.
    ///
    /// # Errors
    /// [`EvalError`]: a name that must be there is not, or a value has the wrong type.
    pub fn render(&self, names: &dyn Lookup) -> Result<Option<Value>, EvalError> {
        match self {
            Self::Literal(value) => Ok(Some(value.clone())),
            Self::Template(template) => optional(template.render(names)),
            Self::Scim(template) => optional(template.render_escaped(names, &scim_string).map(Value::String)),
            Self::Rison(template) => optional(template.render_escaped(names, &rison_string).map(Value::String)),
            Self::InfluxQl(template) => optional(template.render_escaped(names, &influxql_inside).map(Value::String)),
            Self::Json(tree) => Ok(tree.render(names)?.map(|value| Value::String(value.to_string()))),
            Self::Number(template) => optional(template.render(names).and_then(|value| {
                // What stands in for an id in a dry run is the name of what is meant.
                if names.name(FOR_SHOW).is_some() { number(&value).or(Ok(value)) } else { number(&value) }
            })),
            Self::EachValue(over, tree) => {
                let mut out = Vec::new();
                for item in each_of(over, names)? {
                    out.extend(tree.render(&Over { base: names, name: "item", value: &item })?);
                }
                Ok(Some(Value::Array(out)))
            }
            Self::List(items) => {
                let mut out = Vec::new();
                for item in items {
                    match (item, item.render(names)?) {
                        (Self::Each(..) | Self::EachValue(..), Some(Value::Array(more))) => out.extend(more),
                        (Self::Table(entries), Some(value)) if is_whole(entries, &value) => out.push(value),
                        (Self::Table(_), _) | (_, None) => {}
                        (_, Some(value)) => out.push(value),
                    }
                }
                // A list as written empty stays; one that became empty says nothing.
                Ok((items.is_empty() || !out.is_empty()).then_some(Value::Array(out)))
            }
            Self::Table(entries) => table(entries, names),
            Self::Each(over, entries) => {
                let mut out = Vec::new();
                for item in each_of(over, names)? {
                    out.extend(table(entries, &Over { base: names, name: "item", value: &item })?);
                }
                Ok(Some(Value::Array(out)))
            }
        }
    }
}

fn each_of(over: &Template, names: &dyn Lookup) -> Result<Vec<Value>, EvalError> {
    match over.render(names)? {
        Value::Array(list) => Ok(list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(EvalError::Type("`$each` needs a list".to_owned()))
        }
    }
}

fn table(entries: &[(String, Tree)], names: &dyn Lookup) -> Result<Option<Value>, EvalError> {
    let mut out = Map::new();
    for (key, tree) in entries {
        if let Some(value) = tree.render(names)? {
            out.insert(key.clone(), value);
        }
    }
    Ok((entries.is_empty() || !out.is_empty()).then_some(Value::Object(out)))
}

fn is_whole(entries: &[(String, Tree)], value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == entries.len())
}

fn optional(result: Result<Value, EvalError>) -> Result<Option<Value>, EvalError> {
    match result {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(EvalError::Absent(name)) if !is_needed(&name) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_needed(name: &str) -> bool {
    NEEDED.iter().any(|needed| name == *needed || name.strip_prefix(needed).is_some_and(|rest| rest.starts_with(['.', '['])))
}

/// A value as a string literal of a SCIM filter: JSON's own quoting (RFC 7644 §3.4.2.2, `compValue`).
fn scim_string(value: &Value) -> Result<String, EvalError> {
    match value {
        Value::String(text) => Ok(Value::String(text.clone()).to_string()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(EvalError::Type("a SCIM filter takes a text, number or boolean".to_owned())),
    }
}

/// A value as a string of Rison: between single quotes, with `!` before `!` and `'` (rison.org, "Strings").
fn rison_string(value: &Value) -> Result<String, EvalError> {
    match value {
        Value::String(text) => Ok(format!("'{}'", text.replace('!', "!!").replace('\'', "!'"))),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(if *yes { "!t" } else { "!f" }.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(EvalError::Type("Rison takes a text, number or boolean here".to_owned())),
    }
}

/// Every value stands in quotes, so that it is a name or a string and never a word of the language.
fn influxql(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Tree> {
    let template = reader.template(node, env)?;
    let shape = template.shape("\u{0}");
    let bare = shape.replace("\"\u{0}\"", "").replace("'\u{0}'", "");
    if bare.contains('\u{0}') {
        reader.error_help(
            "wrong-type",
            &node.span,
            "every value in InfluxQL stands in quotes of its own",
            "\"{want.login}\" for a name, '{random}' for a string",
        );
        return None;
    }
    Some(Tree::InfluxQl(template))
}

/// A value between quotes of `InfluxQL`, where `\` escapes itself, both quotes and the line break (`InfluxQL` specification, "Strings").
fn influxql_inside(value: &Value) -> Result<String, EvalError> {
    let text = plain(value)?;
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(EvalError::Type("InfluxQL takes no control characters here".to_owned()));
    }
    Ok(text.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'").replace('\n', "\\n"))
}

/// A whole number, also from its text.
fn number(value: &Value) -> Result<Value, EvalError> {
    let number = match value {
        Value::Null => return Ok(Value::Null),
        Value::Number(number) => Some(Value::Number(number.clone())),
        // As it is written and nothing else: `007` and `+7` are other ids than `7`.
        Value::String(text) => text.parse::<i64>().ok().filter(|number| number.to_string() == *text).map(Value::from),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or_else(|| EvalError::Type("`$number` needs a whole number".to_owned()))
}

/// A value as plain text, for queries, headers and forms.
pub(in crate::connector) fn plain(value: &Value) -> Result<String, EvalError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(EvalError::Type("a text, number or boolean is needed here".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use crate::connector::model::{Body, Model, Verb};
    use crate::source::SourceFile;
    use serde_json::{Map, Value, json};

    const MINE: &str = r#"
connector = "mine"
version   = 1
[account]
id    = "/0"
login = "/0"
[[create]]
name     = "create"
effect   = "write"
post     = "/query"
form     = { q = { "$influxql" = '''STATEMENT''' } }
classify = [{ status = 200, outcome = "created" }]
"#;

    fn parsed(statement: &str) -> (Option<Model>, Vec<&'static str>) {
        let text = MINE.replace("STATEMENT", statement);
        let (model, problems) = Model::parse(&SourceFile { name: "mine.toml".into(), text: text.into() });
        (model, problems.iter().map(|problem| problem.code).collect())
    }

    #[test]
    fn a_value_in_influxql_is_never_a_word_of_the_language() {
        let check = |statement: &str, expected: &[&str]| assert_eq!(parsed(statement).1, expected, "{statement}");
        check("DROP USER {want.login}", &["wrong-type"]);
        check("DROP USER \"my {want.login}\"", &["wrong-type"]);
        check("DROP USER \"{want.login}'", &["wrong-type"]);
        check("DROP USER \"{want.login}\"", &[]);
        check("SHOW USERS", &[]);
    }

    #[test]
    fn a_value_in_influxql_does_not_end_its_quotes() {
        let model = parsed("CREATE USER \"{want.login}\" WITH PASSWORD '{random}'").0.unwrap();
        let Body::Form(fields) = &model.verbs[&Verb::Create][0].body else { panic!("a form") };
        let render = |login: &str, random: &str| {
            let names = Map::from_iter([("want".to_owned(), json!({ "login": login })), ("random".to_owned(), Value::from(random))]);
            fields[0].1.render(&names)
        };
        assert!(render("a\u{0}b", "x").is_err(), "control characters");
        let said = |login: &str, random: &str| render(login, random).unwrap().unwrap();
        assert_eq!(said(r#"a" WITH ALL PRIVILEGES --"#, "x"), r#"CREATE USER "a\" WITH ALL PRIVILEGES --" WITH PASSWORD 'x'"#);
        assert_eq!(said(r"a\", "it's\n"), r#"CREATE USER "a\\" WITH PASSWORD 'it\'s\n'"#);
        assert_eq!(said("ada", "x"), r#"CREATE USER "ada" WITH PASSWORD 'x'"#);
    }
}
