//! A report for machines: JSON, SARIF 2.1.0, and the annotations of GitHub.
//!
//! Lives here: [`Format`] and [`Report::format`]. Apart from `problem.rs`, which prints for people. Every format says the same: code, place, message, way out;
//! the source line itself is left out, for it may hold what should not be in a build log.

use super::{Problem, Report, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object.
    Json,
    /// SARIF 2.1.0, which code hosts and editors read.
    Sarif,
    /// Workflow commands: annotations at the lines of a pull request.
    Github,
}

impl Format {
    /// Their names on the command line.
    pub const NAMES: [&'static str; 4] = ["text", "json", "sarif", "github"];

    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "sarif" => Some(Self::Sarif),
            "github" => Some(Self::Github),
            _ => None,
        }
    }
}

impl Report {
    /// The whole report. `ok`, when more than files was looked at, are lines about what is in order there; SARIF and GitHub have no place for them.
    pub fn format(&self, format: Format, ok: Option<&[String]>) -> String {
        match format {
            Format::Text => self.text(ok),
            Format::Json => self.json(ok.unwrap_or_default()).to_string() + "\n",
            Format::Sarif => self.sarif().to_string() + "\n",
            Format::Github => self.problems.iter().map(github).collect(),
        }
    }

    fn text(&self, ok: Option<&[String]>) -> String {
        let mut out = String::new();
        for line in ok.unwrap_or_default() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(out, "ok   {line}");
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out + &match (self.problems.is_empty(), ok) {
            (true, _) if self.files == 1 => "1 file in order.\n".to_owned(),
            (true, _) => format!("{} files in order.\n", self.files),
            (false, None) => self.render(),
            (false, Some(_)) => self.render_with(""),
        }
    }

    fn json(&self, ok: &[String]) -> Value {
        let problems: Vec<Value> = self.problems.iter().map(problem).collect();
        let errors = self.errors();
        json!({ "problems": problems, "ok": ok, "errors": errors, "warnings": self.problems.len() - errors, "files": self.files })
    }

    fn sarif(&self) -> Value {
        let mut codes: Vec<&str> = Vec::new();
        for problem in &self.problems {
            if !codes.contains(&problem.code) {
                codes.push(problem.code);
            }
        }
        let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code, "shortDescription": { "text": in_words(code) } })).collect();
        let results: Vec<Value> = self.problems.iter().map(|problem| sarif_result(problem, &codes)).collect();
        let driver = json!({ "name": "vestibule", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
        })
    }
}

const fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn problem(problem: &Problem) -> Value {
    let mut out = json!({ "code": problem.code, "severity": severity(problem), "file": &*problem.file.name });
    let (start, end) = (problem.line_column(), problem.end_line_column());
    // What is about a whole file has no line.
    let place = |number: usize| if problem.span.is_some() { Value::from(number) } else { Value::Null };
    if let Some(map) = out.as_object_mut() {
        map.insert("line".to_owned(), place(start.0));
        map.insert("column".to_owned(), place(start.1));
        map.insert("end".to_owned(), if problem.span.is_some() { json!({ "line": end.0, "column": end.1 }) } else { Value::Null });
        map.insert("message".to_owned(), Value::from(problem.message.as_str()));
        map.insert("label".to_owned(), Value::from(problem.label.as_str()));
        map.insert("help".to_owned(), Value::from(problem.helps.clone()));
    }
    out
}

fn sarif_result(problem: &Problem, codes: &[&str]) -> Value {
    let mut place = json!({ "artifactLocation": { "uri": uri(&problem.file.name) } });
    if problem.span.is_some() {
        let ((line, column), (end_line, end_column)) = (problem.line_column(), problem.end_line_column());
        if let Some(map) = place.as_object_mut() {
            let region = json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column });
            map.insert("region".to_owned(), region);
        }
    }
    let index = codes.iter().position(|code| *code == problem.code);
    json!({
        "ruleId": problem.code,
        "ruleIndex": index,
        "level": severity(problem),
        "message": { "text": whole_message(problem, "\n") },
        "locations": [{ "physicalLocation": place }],
    })
}

/// `::error file=…,line=…,col=…,title=…::message`.
fn github(problem: &Problem) -> String {
    let mut out = format!("::{} file={}", severity(problem), escape_property(&problem.file.name));
    if problem.span.is_some() {
        let (line, column) = problem.line_column();
        // Writing to a String cannot fail.
        let _infallible = write!(out, ",line={line},col={column}");
    }
    let _infallible = writeln!(out, ",title={}::{}", escape_property(problem.code), escape_data(&whole_message(problem, "\n")));
    out
}

fn whole_message(problem: &Problem, newline: &str) -> String {
    let mut out = problem.message.clone();
    if !problem.label.is_empty() {
        let _infallible = write!(out, ": {}", problem.label);
    }
    for help in &problem.helps {
        let _infallible = write!(out, "{newline}help: {help}");
    }
    out
}

/// As the runner's own toolkit does (`@actions/core`, command.ts).
fn escape_data(text: &str) -> String {
    // Nothing in a file steers the terminal that shows the log.
    let text: String = text.chars().map(|c| if c.is_control() && !matches!(c, '\r' | '\n' | '\t') { '\u{fffd}' } else { c }).collect();
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A file's name as a URI reference (RFC 3986): absolute paths with a scheme, others relative to where the command was run.
fn uri(name: &str) -> String {
    let path: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    if path.starts_with('/') { format!("file://{path}") } else { path }
}

/// `unknown-key` as `Unknown key`.
fn in_words(code: &str) -> String {
    let words = code.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Format;
    use crate::source::{Problem, Report, SourceFile};
    use serde_json::{Value, json};

    fn report() -> Report {
        let file = SourceFile::new("policies/a b,é:%.toml", "host = 'é'\nkey = [\n1]\n");
        let mut whole = Problem::error("unreadable", &SourceFile::new("/etc/x.toml", ""), 0..0, "cannot be read");
        whole.span = None;
        let problems = vec![
            Problem::error("bad-value", &file, 8..10, "100 % wrong\nor so").label("this").help("write: a, b").help("or c"),
            Problem::warning("no-effect", &file, 18..22, "nothing"),
            Problem::error("bad-value", &file, 12..15, "again"),
            whole,
        ];
        Report { problems, files: 2 }
    }

    #[test]
    fn annotations_escape_what_would_end_them() {
        let said = report().format(Format::Github, Some(&["nothing to see".to_owned()]));
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "::error file=policies/a b%2Cé%3A%25.toml,line=1,col=9,title=bad-value::100 %25 wrong%0Aor so: this%0Ahelp: write: a, b%0Ahelp: or c",
                "::warning file=policies/a b%2Cé%3A%25.toml,line=2,col=7,title=no-effect::nothing",
                "::error file=policies/a b%2Cé%3A%25.toml,line=2,col=1,title=bad-value::again",
                "::error file=/etc/x.toml,title=unreadable::cannot be read",
            ]
        );
        assert_eq!(Report::default().format(Format::Github, None), "");
    }

    #[test]
    fn one_object_says_everything() {
        let said: Value = serde_json::from_str(&report().format(Format::Json, Some(&["x".to_owned()]))).unwrap();
        assert_eq!((&said["errors"], &said["warnings"], &said["files"], &said["ok"]), (&json!(3), &json!(1), &json!(2), &json!(["x"])));
        let first = json!({
            "code": "bad-value", "severity": "error", "file": "policies/a b,é:%.toml", "line": 1, "column": 9, "end": { "line": 1, "column": 10 },
            "message": "100 % wrong\nor so", "label": "this", "help": ["write: a, b", "or c"],
        });
        assert_eq!(said["problems"][0], first);
        assert_eq!(said["problems"][1]["end"], json!({ "line": 3, "column": 3 }));
        assert_eq!((&said["problems"][3]["line"], &said["problems"][3]["end"]), (&Value::Null, &Value::Null));
    }

    /// What SARIF 2.1.0 requires (sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.30).
    #[test]
    fn sarif_has_every_part_that_its_standard_requires() {
        let said: Value = serde_json::from_str(&report().format(Format::Sarif, None)).unwrap();
        assert_eq!(said["version"], "2.1.0");
        assert_eq!(said["$schema"], "https://json.schemastore.org/sarif-2.1.0.json");
        let run = &said["runs"][0];
        assert_eq!((said["runs"].as_array().unwrap().len(), &run["columnKind"]), (1, &json!("unicodeCodePoints")));
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "vestibule");
        let rules: Vec<&str> = driver["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!(rules, ["bad-value", "no-effect", "unreadable"], "every code that was met, once");
        assert!(
            driver["rules"].as_array().unwrap().iter().all(|rule| rule["shortDescription"]["text"].as_str().is_some_and(|text| !text.is_empty()))
        );
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index], result["ruleId"]);
            assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            let place = &result["locations"][0]["physicalLocation"];
            assert!(url::Url::parse("file:///x/").unwrap().join(place["artifactLocation"]["uri"].as_str().unwrap()).is_ok());
            if let Some(region) = place.get("region") {
                let number = |key: &str| region[key].as_u64().unwrap();
                assert!(number("startLine") >= 1 && number("startColumn") >= 1 && number("endColumn") >= 1);
                assert!((number("startLine"), number("startColumn")) <= (number("endLine"), number("endColumn")));
            }
        }
        assert_eq!(results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "policies/a%20b%2C%C3%A9%3A%25.toml");
        let whole = &results[3]["locations"][0]["physicalLocation"];
        assert_eq!(whole, &json!({ "artifactLocation": { "uri": "file:///etc/x.toml" } }));
    }

    #[test]
    fn what_is_in_order_comes_first_for_people() {
        let check = |report: Report, ok: Option<&[String]>, start: &str, end: &str| {
            let said = report.format(Format::Text, ok);
            assert!(said.starts_with(start) && said.ends_with(end), "{said}");
        };
        let lines = ["a".to_owned(), "b".to_owned()];
        check(report(), None, "error[bad-value]: 100", "\n3 errors, 1 warning in 2 files. Nothing was loaded.\n");
        check(report(), Some(&lines), "ok   a\nok   b\n\nerror[bad-value]: 100", "\n3 errors, 1 warning in 2 files.\n");
        check(Report { problems: Vec::new(), files: 1 }, Some(&lines), "ok   a\nok   b\n\n1 file in order.\n", "");
        check(Report { problems: Vec::new(), files: 3 }, None, "3 files in order.\n", "");
    }

    #[test]
    fn every_format_has_its_name() {
        assert!(Format::NAMES.iter().all(|name| Format::parse(name).is_some()));
        assert_eq!(Format::parse("xml"), None);
    }
}
