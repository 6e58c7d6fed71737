//! `VESTIBULE__SERVER__LISTEN`: single values of the gateway file, given by the environment.
//!
//! Lives here: [`overlay`], which lays variables over the tree before anything is checked, so that they are held against the same table as the file. Apart from
//! `compile.rs`, which must not mind where a value stands: to it, a variable is a line after the end of the file; [`Overlaid::named`] says
//! afterwards what it was. Policies take no environment: what is reviewed is what runs. Pure: whoever loads hands the variables over.

use super::SecretRef;
use super::schema::GATEWAY;
use crate::source::schema::{Kind, Section};
use crate::source::value::nearest;
use crate::source::{Entry, Node, Problem, SourceFile, Span, Table, Written, parse};
use std::fmt;

/// How they begin. Two underscores: a Kubernetes service called `vestibule` injects `VESTIBULE_PORT` and its like by itself.
pub const PREFIX: &str = "VESTIBULE__";

/// An environment variable that begins with [`PREFIX`]. Its `Debug` does not show the value, which may be a secret put there by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// The whole name.
    pub name: String,
    /// The value; `None` when it is not UTF-8.
    pub value: Option<String>,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A gateway file with the environment over it.
#[derive(Debug, Clone)]
pub struct Overlaid {
    /// The file, and after its end one line for each variable: what spans of the tree refer to.
    pub file: SourceFile,
    /// The tree that holds.
    pub tree: Table,
    /// What could not be parsed in the file.
    pub syntax: Vec<Problem>,
    /// What is wrong with the variables themselves.
    pub problems: Vec<Problem>,
    /// Where the file itself ends.
    own_bytes: usize,
}

/// What a variable may set: its name, the keys on the way, the kind of the last.
struct Target {
    name: String,
    path: Vec<&'static str>,
    kind: Kind,
}

/// Parses `file` and lays `variables` over it.
pub fn overlay(file: &SourceFile, variables: &[Variable]) -> Overlaid {
    let (mut tree, syntax) = parse(file);
    let own_bytes = file.text.len();
    if variables.is_empty() {
        return Overlaid { file: file.clone(), tree, syntax, problems: Vec::new(), own_bytes };
    }
    let targets = targets(&GATEWAY, "", &[]);
    let mut text = file.text.to_string() + "\n";
    let mut places = Vec::new();
    for variable in variables {
        let target = targets.iter().find(|target| target.name == variable.name);
        let start = text.len();
        text.push_str(&variable.name);
        let name = start..text.len();
        let value = match (target, &variable.value) {
            (Some(target), Some(value)) => {
                text.push_str(" = ");
                let start = text.len();
                // A secret that was put here by mistake is not shown.
                let secret = matches!(target.kind, Kind::Secret) && SecretRef::parse(value).is_none();
                text.push_str(&serde_json::Value::from(if secret { "[not shown]" } else { value.as_str() }).to_string());
                Some(start..text.len())
            }
            _ => None,
        };
        text.push('\n');
        places.push((variable, target, name, value));
    }
    let long = SourceFile::new(file.name.clone(), text);
    let mut problems = Vec::new();
    for (variable, target, name, value) in places {
        match (target, &variable.value, value) {
            (Some(target), Some(written), Some(span)) => {
                let node = Node { span, value: typed(written, target.kind) };
                put(&mut tree, &target.path, &name, node);
            }
            (Some(_), ..) => problems.push(Problem::error("bad-value", &long, name, "the value is not UTF-8 text")),
            (None, ..) => problems.push(unknown(&long, &variable.name, name, &targets)),
        }
    }
    Overlaid { file: long, tree, syntax, problems, own_bytes }
}

impl Overlaid {
    /// `problems`, those about the environment moved from after the end of the file to where they belong.
    pub fn named(&self, problems: Vec<Problem>) -> Vec<Problem> {
        problems.into_iter().map(|problem| self.name_of(problem)).collect()
    }

    fn name_of(&self, mut problem: Problem) -> Problem {
        let Some(span) = problem.span.clone().filter(|span| span.start > self.own_bytes) else { return problem };
        let (line, start) = self.line(&span);
        let variable = line.split(' ').next().unwrap_or_default();
        if !problem.message.contains(variable) {
            problem.message = format!("{variable}: {}", problem.message);
        }
        problem.file = SourceFile::new("environment", line);
        problem.span = Some(span.start - start..span.end.saturating_sub(start));
        problem
    }

    /// The line of a place, and where it starts.
    fn line(&self, span: &Span) -> (&str, usize) {
        let before = self.file.text.get(..span.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (self.file.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default(), start)
    }

    /// Where a value comes from: `vestibule.toml:3`, or `environment: VESTIBULE__SERVER__LISTEN`.
    pub fn origin(&self, span: &Span) -> String {
        if span.start > self.own_bytes {
            return format!("environment: {}", self.line(span).0.split(' ').next().unwrap_or_default());
        }
        self.file.place(span)
    }
}

/// Every single value of the file, by the name of its variable. Sections that may stand several times have no names.
fn targets(section: &'static Section, prefix: &str, path: &[&'static str]) -> Vec<Target> {
    let mut found = Vec::new();
    for key in section.keys {
        let name = if prefix.is_empty() { format!("{PREFIX}{}", key.name.to_uppercase()) } else { format!("{prefix}__{}", key.name.to_uppercase()) };
        let path: Vec<&'static str> = path.iter().copied().chain([key.name]).collect();
        if let Kind::Table(inner) = key.kind {
            found.extend(targets(inner, &name, &path));
        } else {
            found.push(Target { name, path, kind: key.kind });
        }
    }
    found.retain(|target| target.kind.is_scalar());
    found
}

fn unknown(file: &SourceFile, name: &str, span: Span, targets: &[Target]) -> Problem {
    let problem = Problem::error("unknown-variable", file, span, format!("there is no `{name}`"));
    let keys: Vec<String> = name.strip_prefix(PREFIX).unwrap_or(name).split("__").map(str::to_lowercase).collect();
    if let Some(why) = not_single(&GATEWAY, &keys) {
        return problem.help(format!("{why}: write it into the file; the environment gives single values"));
    }
    match nearest(name, targets.iter().map(|target| target.name.as_str())) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!("a key of the file, in capitals, with two underscores for each level, such as {PREFIX}SERVER__AUTH_HOST")),
    }
}

/// Why a key that is there cannot be set by a variable.
fn not_single(section: &'static Section, keys: &[String]) -> Option<String> {
    let (first, rest) = keys.split_first()?;
    let key = section.key(first)?;
    if let Kind::Table(inner) = key.kind
        && !rest.is_empty()
    {
        return not_single(inner, rest);
    }
    let dotted = if section.name.is_empty() { first.clone() } else { format!("{}.{first}", section.name) };
    (!key.kind.is_scalar()).then(|| format!("`{dotted}` is not a single value"))
}

/// What the text of a variable is for a key of this kind. What does not fit stays text, and the table says what is wrong with it.
fn typed(written: &str, kind: Kind) -> Written {
    let number = || written.parse().ok().map(Written::Integer);
    let value = match (kind, written) {
        (Kind::Bool, "true") => Some(Written::Bool(true)),
        (Kind::Bool, "false") => Some(Written::Bool(false)),
        (Kind::Int(..), _) => number(),
        _ => None,
    };
    value.unwrap_or_else(|| Written::Text(written.to_owned()))
}

/// Puts `node` at `path`, making the sections on the way; what the file says there is replaced.
fn put(table: &mut Table, path: &[&str], name: &Span, node: Node) {
    let Some((first, rest)) = path.split_first() else { return };
    let at = table.entries.iter().position(|entry| entry.key == *first);
    if rest.is_empty() {
        table.entries.retain(|entry| entry.key != *first);
        return table.entries.push(Entry { key: (*first).to_owned(), key_span: name.clone(), node });
    }
    if at.is_none() {
        let section = Node { span: name.clone(), value: Written::Table(Table::default()) };
        table.entries.push(Entry { key: (*first).to_owned(), key_span: name.clone(), node: section });
    }
    // A section that is written as something else is the table's to report.
    if let Some(Written::Table(inner)) = table.entries.iter_mut().find(|entry| entry.key == *first).map(|entry| &mut entry.node.value) {
        put(inner, rest, name, node);
    }
}

#[cfg(test)]
mod tests {
    use super::{Variable, overlay};
    use crate::config::compile::compile_over;
    use crate::config::{Gateway, SecretRef};
    use crate::source::{Problem, SourceFile};
    use std::path::Path;

    const FILE: &str = "[server]\nlisten = \"0.0.0.0:443\"\nauth_host = \"auth.example.com\"\n[tls]\ncert = \"c.pem\"\nkey = \"file:c.key\"\n\
        [state]\nurl = \"sqlite:x.db\"\nkey = \"cred:k\"\n[[idp]]\nid = \"corp\"\nissuer = \"https://idp.example.com\"\nclient_id = \"v\"";

    fn with(variables: &[(&str, &str)]) -> (Option<Gateway>, Vec<Problem>) {
        let variables: Vec<Variable> =
            variables.iter().map(|(name, value)| Variable { name: format!("VESTIBULE__{name}"), value: Some((*value).to_owned()) }).collect();
        compile_over(&overlay(&SourceFile::new("v.toml", FILE), &variables), Path::new("/etc/v"))
    }

    #[test]
    fn what_a_variable_cannot_say_is_refused_by_its_name_and_without_its_secret() {
        let check = |name: &str, value: &str, code: &str, expected: &[&str]| {
            let (gateway, problems) = with(&[(name, value)]);
            assert!(gateway.is_none(), "{name}");
            let [problem] = problems.as_slice() else { panic!("{name}: {problems:?}") };
            let said = problem.render();
            assert_eq!((problem.code, &*problem.file.name), (code, "environment"), "{said}");
            for part in expected.iter().chain(&[format!("VESTIBULE__{name}").as_str()]) {
                assert!(said.contains(part), "{said} lacks {part}");
            }
            assert!(!said.contains("hunter2"), "{said}");
        };
        check("SERVER__LSTEN", "hunter2", "unknown-variable", &["did you mean `VESTIBULE__SERVER__LISTEN`?"]);
        check("server__listen", "hunter2", "unknown-variable", &["did you mean `VESTIBULE__SERVER__LISTEN`?"]);
        check("SERVER", "hunter2", "unknown-variable", &["`server` is not a single value"]);
        check(
            "SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8",
            "unknown-variable",
            &["`server.trusted_proxies` is not a single value", "write it into the file"],
        );
        check("IDP__CLIENT_SECRET", "hunter2", "unknown-variable", &["`idp` is not a single value"]);
        check("NONSENSE__ALTOGETHER", "hunter2", "unknown-variable", &["VESTIBULE__SERVER__AUTH_HOST"]);
        check("SERVER__WORKERS", "many", "wrong-type", &["server.workers takes a whole number", "\"many\"", "this is a string"]);
        check("SERVER__WORKERS", "-1", "bad-value", &["from 0 to 1024"]);
        check("TELEMETRY__METRICS", "yes", "wrong-type", &["takes true or false"]);
        check("SERVER__LISTEN", "443", "bad-value", &["environment:1:29", "an address and a port"]);
        check("SERVER__LISTEN", "", "empty-value", &["server.listen is empty"]);
        check("STATE__KEY", "hunter2", "literal-secret", &["state.key holds the secret itself", "[not shown]"]);
        let not_text = Variable { name: "VESTIBULE__STATE__URL".into(), value: None };
        let (gateway, problems) = compile_over(&overlay(&SourceFile::new("v.toml", FILE), &[not_text]), Path::new("/etc/v"));
        assert!(
            gateway.is_none() && problems.iter().any(|problem| problem.message == "VESTIBULE__STATE__URL: the value is not UTF-8 text"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_variable_goes_over_the_file_and_makes_what_is_not_there() {
        let (gateway, problems) = with(&[
            ("SERVER__LISTEN", "127.0.0.1:8443"),
            ("SERVER__WORKERS", "3"),
            ("ADMIN__LISTEN", "[::1]:9443"),
            ("TELEMETRY__METRICS", "false"),
            ("STATE__KEY", "file:state.key"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let gateway = gateway.unwrap();
        assert_eq!(gateway.server.listen, ["127.0.0.1:8443".parse().unwrap()]);
        assert_eq!((gateway.server.workers, gateway.telemetry.metrics), (3, false));
        assert_eq!(gateway.admin.unwrap().listen, "[::1]:9443".parse().unwrap());
        assert_eq!(gateway.state.key, SecretRef::File("/etc/v/state.key".into()), "beside the file, as if written there");
    }

    #[test]
    fn problems_of_the_file_stay_in_the_file() {
        let variables = [Variable { name: "VESTIBULE__SERVER__WORKERS".into(), value: Some("2".into()) }];
        let (_, problems) = compile_over(&overlay(&SourceFile::new("v.toml", FILE.to_owned() + "\nx = 1"), &variables), Path::new("/etc/v"));
        assert_eq!((problems[0].code, &*problems[0].file.name, problems[0].line_column()), ("unknown-key", "v.toml", (14, 1)));
        assert!(!format!("{:?}", Variable { name: "N".into(), value: Some("hunter2".into()) }).contains("hunter2"));
    }
}
