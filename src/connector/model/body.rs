//! Bodies of requests, as written.
//!
//! Apart because this is where a connector says what goes into an app, and each kind has its own place for values: a tree, a field, a variable. What is text
//! (a GraphQL document, the name of a method) is constant.

use super::read::Reader;
use super::{Body, Tree};
use crate::connector::model::call::pairs;
use crate::expr::{Env, Type};
use crate::source::{Entry, Node, Table, Written};

/// The kinds, as keys of a step.
pub(super) const BODIES: [&str; 6] = ["body", "form", "jsonrpc", "graphql", "text", "signed"];

/// Name of the generated password, in bodies that make an account and nowhere else.
pub(super) const RANDOM: &str = "random";

/// The names of a body that makes an account.
pub(super) fn with_random(env: &Env) -> Env {
    env.clone().with(RANDOM, Type::Text, true)
}

/// The body of a step; at most one kind.
pub(super) fn parse(reader: &mut Reader<'_>, table: &Table, env: &Env) -> Body {
    let mut given = BODIES.iter().filter_map(|kind| table.get(kind));
    let Some(entry) = given.next() else { return Body::Empty };
    if let Some(second) = given.next() {
        reader.error("one-body", &second.key_span, format!("`{}` or `{}`, not both: a request has one body", entry.key, second.key));
        return Body::Empty;
    }
    drop(given);
    let body = match entry.key.as_str() {
        "body" => json(reader, entry, env),
        "form" => Some(Body::Form(pairs(reader, table, "form", env))),
        "jsonrpc" => json_rpc(reader, &entry.node, env),
        "graphql" => graphql(reader, &entry.node, env),
        "text" => text(reader, &entry.node, env),
        _ => signed(reader, &entry.node, env),
    };
    body.unwrap_or(Body::Empty)
}

fn json(reader: &mut Reader<'_>, entry: &Entry, env: &Env) -> Option<Body> {
    if let Written::Text(_) = entry.node.value {
        reader.error_help("wrong-type", &entry.node.span, "a body is a table, never a string", "values then cannot become structure");
        return None;
    }
    reader.tree(&entry.node, env).map(Body::Json)
}

/// `{ method = "user.get", params = { … } }`. The id is the engine's, and an answer with another one is no answer (JSON-RPC 2.0 §5).
fn json_rpc(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Body> {
    let table = reader.table(node)?;
    reader.keys(table, "`jsonrpc`", &["method", "params"]);
    let method = reader.text_at(table, "method").unwrap_or_default();
    if method.is_empty() || method.contains(['{', '}']) {
        reader.error_help("missing-key", &node.span, "`jsonrpc` needs a `method`, as written", "jsonrpc = { method = \"user.get\", params = { … } }");
        return None;
    }
    let params = tree_at(reader, table, "params", env);
    Some(Body::JsonRpc { method, params })
}

/// `{ query = "…", variables = { … } }`. The document is constant: a value in it would be structure.
fn graphql(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Body> {
    let table = reader.table(node)?;
    reader.keys(table, "`graphql`", &["query", "variables"]);
    let query = reader.text_at(table, "query").unwrap_or_default();
    if query.trim().is_empty() {
        let help = "graphql = { query = \"query($q: String!) { … }\", variables = { q = \"{want.email}\" } }";
        reader.error_help("missing-key", &node.span, "`graphql` needs a `query`", help);
        return None;
    }
    let names = ["want", "account", "member", "members", "item", "settings", "saved", "session", "user", "claims"];
    if let Some(entry) = table.get("query")
        && names.iter().any(|name| query.contains(&format!("{{{name}.")))
    {
        reader.error_help("wrong-type", &entry.node.span, "a GraphQL document is constant: no template in it", "a value goes into `variables`");
        return None;
    }
    let variables = tree_at(reader, table, "variables", env);
    Some(Body::GraphQl { query, variables })
}

/// One value, or a text without any: beside other text a value could say more than it should.
fn text(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Body> {
    let template = reader.template(node, env)?;
    let shape = template.shape("\u{0}");
    if shape.contains('\u{0}') && shape != "\u{0}" {
        reader.error_help("wrong-type", &node.span, "a `text` body with a value in it is that value and nothing else", "text = \"{random}\"");
        return None;
    }
    Some(Body::Text(template))
}

/// `{ payload = "sso", signature = "sig", key = "sso_secret", fields = { … } }`.
fn signed(reader: &mut Reader<'_>, node: &Node, env: &Env) -> Option<Body> {
    let table = reader.table(node)?;
    reader.keys(table, "`signed`", &["payload", "signature", "key", "fields"]);
    for key in ["payload", "signature", "key", "fields"] {
        if table.get(key).is_none() {
            let help = "signed = { payload = \"sso\", signature = \"sig\", key = \"a secret setting\", fields = { … } }";
            reader.error_help("missing-key", &node.span, format!("`signed` needs `{key}`"), help);
        }
    }
    let fields = pairs(reader, table, "fields", env);
    Some(Body::Signed {
        payload: reader.text_at(table, "payload")?,
        signature: reader.text_at(table, "signature")?,
        key: reader.text_at(table, "key")?,
        fields,
    })
}

/// `None` when nothing is there, or what cannot be read: that is a problem by then.
fn tree_at(reader: &mut Reader<'_>, table: &Table, key: &str, env: &Env) -> Option<Tree> {
    table.get(key).and_then(|entry| reader.tree(&entry.node, env))
}

impl Body {
    /// Whether a value in it is made of `name`.
    pub(in crate::connector) fn reads(&self, name: &str) -> bool {
        let fields = |fields: &[(String, Tree)]| fields.iter().any(|(_, tree)| tree.reads(name));
        match self {
            Self::Empty => false,
            Self::Json(tree) => tree.reads(name),
            Self::Form(all) | Self::Signed { fields: all, .. } => fields(all),
            Self::JsonRpc { params: tree, .. } | Self::GraphQl { variables: tree, .. } => tree.as_ref().is_some_and(|tree| tree.reads(name)),
            Self::Text(template) => template.names().iter().any(|read| read.split(['.', '[']).next() == Some(name)),
        }
    }
}
