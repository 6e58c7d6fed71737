//! Reading keys: every wrong key, kind and expression becomes a [`Problem`] where it stands, and reading goes on.

use super::{Extract, HtmlPlace, Place, Pointer, Tree, tree};
use crate::expr::{Condition, Env, ExprProblem, FirstOf, Template};
use crate::source::value::nearest;
use crate::source::{Entry, Node, Problem, Severity, SourceFile, Span, Table, Written};
use serde_json::Value;

/// A file, and what was found wrong with it so far.
pub(super) struct Reader<'f> {
    pub(super) file: &'f SourceFile,
    pub(super) problems: Vec<Problem>,
}

impl<'f> Reader<'f> {
    pub(super) const fn new(file: &'f SourceFile) -> Self {
        Self { file, problems: Vec::new() }
    }

    /// Whether the file may be used.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity != Severity::Error)
    }

    pub(super) fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>) {
        self.problems.push(Problem::error(code, self.file, span.clone(), message));
    }

    pub(super) fn error_help(&mut self, code: &'static str, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::error(code, self.file, span.clone(), message).help(help));
    }

    /// Every key of `table` must be one of `known`.
    pub(super) fn keys(&mut self, table: &Table, place: &str, known: &[&str]) {
        for entry in &table.entries {
            if !known.contains(&entry.key.as_str()) {
                let problem = Problem::error("unknown-key", self.file, entry.key_span.clone(), format!("unknown key `{}` in {place}", entry.key));
                self.problems.push(match nearest(&entry.key, known.iter().copied()) {
                    Some(near) => problem.label(format!("did you mean `{near}`?")),
                    None => problem.help(format!("known keys: {}", known.join(", "))),
                });
            }
        }
    }

    fn kind(&mut self, node: &Node, wanted: &str) {
        self.error("wrong-type", &node.span, format!("{wanted} is expected here, not {}", node.kind()));
    }

    pub(super) fn table<'n>(&mut self, node: &'n Node) -> Option<&'n Table> {
        let table = node.as_table();
        if table.is_none() {
            self.kind(node, "a table");
        }
        table
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        if let Some(list) = node.as_list() {
            list
        } else {
            self.kind(node, "a list");
            &[]
        }
    }

    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.as_text().map(str::to_owned);
        if text.is_none() {
            self.kind(node, "a string");
        }
        text
    }

    pub(super) fn text_at(&mut self, table: &Table, key: &str) -> Option<String> {
        table.get(key).and_then(|entry| self.text(&entry.node))
    }

    pub(super) fn bool_at(&mut self, table: &Table, key: &str, default: bool) -> bool {
        match table.get(key).map(|entry| &entry.node) {
            None => default,
            Some(Node { value: Written::Bool(yes), .. }) => *yes,
            Some(node) => {
                self.kind(node, "true or false");
                default
            }
        }
    }

    /// A whole number between `min` and `max`.
    pub(super) fn number_at(&mut self, table: &Table, key: &str, default: u64, min: u64, max: u64) -> u64 {
        let Some(entry) = table.get(key) else { return default };
        let Written::Integer(number) = entry.node.value else {
            self.kind(&entry.node, "a whole number");
            return default;
        };
        if let Some(number) = u64::try_from(number).ok().filter(|number| (min..=max).contains(number)) {
            number
        } else {
            self.error("out-of-range", &entry.node.span, format!("`{key}` must be between {min} and {max}"));
            default
        }
    }

    /// A string or a list of strings.
    pub(super) fn texts(&mut self, node: &Node) -> Vec<String> {
        match &node.value {
            Written::Text(text) => vec![text.clone()],
            Written::List(list) => list.iter().filter_map(|one| self.text(one)).collect(),
            Written::Integer(_) | Written::Float(_) | Written::Bool(_) | Written::Date(_) | Written::Table(_) => {
                self.kind(node, "a string or a list of strings");
                Vec::new()
            }
        }
    }

    pub(super) fn texts_at(&mut self, table: &Table, key: &str) -> Vec<String> {
        table.get(key).map(|entry| self.texts(&entry.node)).unwrap_or_default()
    }

    /// Statuses: one or a list.
    pub(super) fn statuses(&mut self, node: &Node) -> Vec<u16> {
        let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
        let mut out = Vec::new();
        for one in nodes {
            match one.value {
                Written::Integer(status @ 100..=599) => out.extend(u16::try_from(status)),
                Written::Integer(_)
                | Written::Text(_)
                | Written::Float(_)
                | Written::Bool(_)
                | Written::Date(_)
                | Written::List(_)
                | Written::Table(_) => self.error("wrong-type", &one.span, "an HTTP status is expected here, such as 204"),
            }
        }
        out
    }

    pub(super) fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        if let Some((_, found)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*found);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let help =
            nearest(&text, names.iter().copied()).map_or_else(|| format!("one of {}", names.join(", ")), |near| format!("did you mean \"{near}\"?"));
        self.error_help("unknown-value", &node.span, format!("`{text}` is not known here"), help);
        None
    }

    pub(super) fn regex(&mut self, node: &Node) -> Option<regex::Regex> {
        let text = self.text(node)?;
        match regex::RegexBuilder::new(&text).size_limit(1 << 18).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.error("bad-regex", &node.span, format!("not a regular expression: {}", error.to_string().lines().last().unwrap_or_default()));
                None
            }
        }
    }

    pub(super) fn header_name(&mut self, entry: &Entry) -> Option<http::HeaderName> {
        let name = http::HeaderName::from_bytes(entry.key.as_bytes()).ok();
        if name.is_none() {
            self.error("bad-header", &entry.key_span, format!("`{}` is not a header name", entry.key));
        }
        name
    }

    pub(super) fn pointer(&mut self, node: &Node) -> Option<Pointer> {
        self.text(node).map(|text| Pointer::parse(&text))
    }

    pub(super) fn pointer_at(&mut self, table: &Table, key: &str) -> Option<Pointer> {
        table.get(key).and_then(|entry| self.pointer(&entry.node))
    }

    /// `"/id"`, `["/a", "/b"]`, `{ header = "ETag" }`, `{ location = "segment" }`, `{ at = "/status", map = { "3" = true } }`, `{ at = "/dn", match = "^uid=([^,]+)" }`;
    /// in a pre-step also `{ html = "input[name=csrf]", attribute = "value" }` and `{ cookie = "csrftoken" }`.
    pub(super) fn extract(&mut self, node: &Node) -> Option<Extract> {
        let Some(table) = node.as_table() else {
            let from = self.texts(node).iter().map(|text| Place::Json(Pointer::parse(text))).collect::<Vec<_>>();
            return (!from.is_empty()).then_some(Extract { from, map: Vec::new(), part: None });
        };
        self.keys(table, "an extractor", &["at", "header", "location", "html", "attribute", "cookie", "map", "match"]);
        let mut from: Vec<Place> = self.texts_at(table, "at").iter().map(|text| Place::Json(Pointer::parse(text))).collect();
        if let Some(entry) = table.get("header") {
            let name = self.text(&entry.node).and_then(|text| http::HeaderName::from_bytes(text.as_bytes()).ok());
            match name {
                Some(name) => from.push(Place::Header(name)),
                None => self.error("bad-header", &entry.node.span, "not a header name"),
            }
        }
        if let Some(entry) = table.get("location") {
            from.extend(self.choice(&entry.node, &[("segment", ())]).map(|()| Place::LocationSegment));
        }
        from.extend(self.html_place(table).map(Place::Html));
        from.extend(self.text_at(table, "cookie").map(Place::Cookie));
        if from.is_empty() {
            self.error("missing-key", &node.span, "an extractor needs `at`, `header` or `location`");
        }
        let map = table.get("map").and_then(|entry| self.table(&entry.node));
        let map = map.map(|map| map.entries.iter().map(|entry| (entry.key.clone(), literal(&entry.node))).collect()).unwrap_or_default();
        let part = table.get("match").and_then(|entry| self.regex(&entry.node));
        if let (Some(entry), Some(1)) = (table.get("match"), part.as_ref().map(regex::Regex::captures_len)) {
            self.error_help("bad-regex", &entry.node.span, "`match` needs a group: what it matches is the value", "match = \"^uid=([^,]+)\"");
        }
        Some(Extract { from, map, part })
    }

    /// `html = "input[name=authenticity_token]", attribute = "value"`: one element name, and one attribute that it must have.
    fn html_place(&mut self, table: &Table) -> Option<HtmlPlace> {
        let entry = table.get("html")?;
        let text = self.text(&entry.node)?;
        let (element, with) = match text.split_once('[') {
            None => (text.as_str(), None),
            Some((element, rest)) => {
                let pair = rest.strip_suffix(']').and_then(|pair| pair.split_once('='));
                (element, pair.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches(['"', '\'']).to_owned())))
            }
        };
        let is_name = !element.is_empty() && element.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_name || (text.contains('[') && with.is_none()) {
            self.error_help("unknown-value", &entry.node.span, "not understood", "html = \"input[name=authenticity_token]\"");
            return None;
        }
        let attribute = self.text_at(table, "attribute").unwrap_or_else(|| "value".to_owned()).to_ascii_lowercase();
        Some(HtmlPlace { element: element.to_ascii_lowercase(), with, attribute })
    }

    pub(super) fn extract_at(&mut self, table: &Table, key: &str) -> Option<Extract> {
        table.get(key).and_then(|entry| self.extract(&entry.node))
    }

    pub(super) fn template(&mut self, node: &Node, env: &Env) -> Option<Template> {
        let text = self.text(node)?;
        self.compile(node, &text, Template::compile(&text, env))
    }

    /// A part of a string that stands in `node`.
    pub(super) fn template_part(&mut self, node: &Node, part: &str, env: &Env) -> Option<Template> {
        self.compile(node, part, Template::compile(part, env))
    }

    pub(super) fn condition(&mut self, node: &Node, env: &Env) -> Option<Condition> {
        let text = self.text(node)?;
        self.compile(node, &text, Condition::compile(&text, env))
    }

    pub(super) fn first_of(&mut self, node: &Node, env: &Env) -> FirstOf {
        let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
        FirstOf(nodes.iter().filter_map(|one| self.template(one, env)).collect())
    }

    pub(super) fn tree(&mut self, node: &Node, env: &Env) -> Option<Tree> {
        tree::compile(self, node, env)
    }

    fn compile<T>(&mut self, node: &Node, text: &str, result: Result<(T, Vec<ExprProblem>), Vec<ExprProblem>>) -> Option<T> {
        let (compiled, problems) = match result {
            Ok((compiled, warnings)) => (Some(compiled), warnings),
            Err(problems) => (None, problems),
        };
        for problem in problems {
            let whole = node.as_text().unwrap_or_default();
            let span = whole.find(text).map_or_else(
                || node.span.clone(),
                |at| self.file.inside_string(&node.span, whole, &(at + problem.span.start..at + problem.span.end)),
            );
            let make = if problem.warning { Problem::warning } else { Problem::error };
            let mut out = make(problem.code, self.file, span, problem.message).label(problem.label);
            out.helps = problem.helps;
            self.problems.push(out);
        }
        compiled
    }
}

/// A value without templates.
pub(super) fn literal(node: &Node) -> Value {
    match &node.value {
        Written::Text(text) | Written::Date(text) => Value::String(text.clone()),
        Written::Integer(number) => Value::from(*number),
        Written::Float(number) => Value::from(*number),
        Written::Bool(yes) => Value::Bool(*yes),
        Written::List(list) => Value::Array(list.iter().map(literal).collect()),
        Written::Table(table) => Value::Object(table.entries.iter().map(|entry| (entry.key.clone(), literal(&entry.node))).collect()),
    }
}
