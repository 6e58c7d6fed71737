//! Reading values out of a tree that was held against its table.
//!
//! Lives here: [`Reader`], which the compilers of the gateway file and of policies share. What has the wrong type was reported by
//! [`super::schema::check`] and reads as absent here, so that nothing is reported twice.

use super::value::duration_ms;
use super::{Node, Problem, SourceFile, Span, Table, Written};
use crate::config::SecretRef;
use crate::expr::{Condition, Env, ExprProblem, FirstOf, Template};
use std::path::Path;

/// A file being read, and what was wrong with it so far.
#[derive(Debug)]
pub struct Reader<'f> {
    /// The file.
    pub file: &'f SourceFile,
    /// Found so far, in no order.
    pub problems: Vec<Problem>,
}

impl<'f> Reader<'f> {
    /// A reader of `file`, going on from `problems`.
    pub const fn new(file: &'f SourceFile, problems: Vec<Problem>) -> Self {
        Self { file, problems }
    }

    /// Notes an error.
    pub fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: &str) {
        let problem = Problem::error(code, self.file, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Notes a warning.
    pub fn warning(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: &str) {
        let problem = Problem::warning(code, self.file, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Whether anything within `span` (from a section's header on) was reported already.
    pub fn reported_within(&self, span: &Span) -> bool {
        self.problems.iter().any(|problem| problem.span.as_ref().is_some_and(|at| span.contains(&at.start)))
    }

    /// A reference to a secret; a relative `file:` starts in the folder of this file. `None` when it is none, which the schema has reported.
    pub fn secret(&self, written: &str) -> Option<SecretRef> {
        let folder = Path::new(&*self.file.name).parent().unwrap_or(Path::new(""));
        SecretRef::parse(written).map(|reference| reference.beside(folder))
    }

    /// Compiles a condition, problems mapped to places in the file.
    pub fn condition(&mut self, node: &Node, env: &Env) -> Option<Condition> {
        // A blank one was reported by the schema.
        let text = node.as_text().filter(|text| !text.trim().is_empty())?;
        let compiled = Condition::compile(text, env);
        self.expression(node, text, compiled)
    }

    /// Compiles one template.
    pub fn template(&mut self, node: &Node, env: &Env) -> Option<Template> {
        let text = node.as_text()?;
        let compiled = Template::compile(text, env);
        self.expression(node, text, compiled)
    }

    /// Compiles one template or a list of candidates; those with errors are left out (the file is then not loaded).
    pub fn first_of(&mut self, node: &Node, env: &Env) -> FirstOf {
        let one = std::slice::from_ref(node);
        FirstOf(node.as_list().unwrap_or(one).iter().filter_map(|node| self.template(node, env)).collect())
    }

    fn expression<T>(&mut self, node: &Node, text: &str, compiled: Result<(T, Vec<ExprProblem>), Vec<ExprProblem>>) -> Option<T> {
        let (value, found) = match compiled {
            Ok((value, warnings)) => (Some(value), warnings),
            Err(errors) => (None, errors),
        };
        for one in found {
            let span = self.file.inside_string(&node.span, text, &one.span);
            let of = if one.warning { Problem::warning } else { Problem::error };
            let problem = of(one.code, self.file, span, one.message).label(one.label);
            self.problems.push(one.helps.into_iter().fold(problem, Problem::help));
        }
        value
    }
}

impl Table {
    /// The value of `key`.
    pub fn node(&self, key: &str) -> Option<&Node> {
        self.get(key).map(|entry| &entry.node)
    }

    /// The text of `key`, unless blank.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.node(key)?.as_text().filter(|text| !text.trim().is_empty())
    }

    /// The table of `key`.
    pub fn table(&self, key: &str) -> Option<&Self> {
        self.node(key)?.as_table()
    }

    /// The texts of the list `key` (or its one text), blank ones left out.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.text_nodes(key).into_iter().filter_map(|node| node.as_text().map(str::to_owned)).collect()
    }

    /// As [`Self::texts`], with their places.
    pub fn text_nodes(&self, key: &str) -> Vec<&Node> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
        nodes.iter().filter(|node| node.as_text().is_some_and(|text| !text.trim().is_empty())).collect()
    }

    /// The elements of `[[key]]`.
    pub fn sections(&self, key: &str) -> Vec<(&Span, &Self)> {
        let elements = self.node(key).and_then(Node::as_list).unwrap_or_default();
        elements.iter().filter_map(|element| Some((&element.span, element.as_table()?))).collect()
    }

    /// The flag `key`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        if let Written::Bool(yes) = self.node(key)?.value { Some(yes) } else { None }
    }

    /// The whole number `key`.
    pub fn integer(&self, key: &str) -> Option<i64> {
        if let Written::Integer(number) = self.node(key)?.value { Some(number) } else { None }
    }

    /// The duration `key`, in milliseconds.
    pub fn duration_ms(&self, key: &str) -> Option<i64> {
        duration_ms(self.text(key)?)
    }
}

impl Node {
    /// The value as JSON; a date as text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Written::Text(text) | Written::Date(text) => Value::String(text.clone()),
            Written::Integer(number) => Value::from(*number),
            Written::Float(number) => Value::from(*number),
            Written::Bool(yes) => Value::Bool(*yes),
            Written::List(elements) => Value::Array(elements.iter().map(Self::to_json).collect()),
            Written::Table(table) => Value::Object(table.to_json()),
        }
    }
}

impl Table {
    /// The entries as JSON.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect()
    }
}
