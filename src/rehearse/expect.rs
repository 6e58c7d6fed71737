//! What a test expects, held against what came.
//!
//! Lives here: [`compare`]. Apart from `test.rs` because it plays nothing: it only compares and says what differs, where in the file that stands, what decided
//! and how it would be written if it were meant.

use super::app::MADE_ID;
use super::perform::Performance;
use super::test::{Came, Verdict, path_of};
use crate::connector::model::Effect;
use crate::policy::{CanonicalPath, Policy, PolicyTest, Rule};
use crate::source::{Problem, SourceFile, Span};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Keys of `expect` about the decision; all others ask about a person who enters.
const DECISION: [&str; 2] = ["access", "because"];

/// Every difference; none: the test passes.
pub(super) fn compare(file: &SourceFile, policy: &Policy, test: &PolicyTest, came: &Came) -> Vec<Problem> {
    let mut look = Look { file, policy, test, came, problems: Vec::new() };
    if let Verdict::Unplayable(why) = &came.verdict {
        let span = test.spans.user.clone().filter(|_| came.identity.is_none() && !why.contains("400")).or_else(|| test.spans.get.clone());
        look.report(span.as_ref(), "cannot be played", why, &[]);
        return look.problems;
    }
    look.decision();
    // What else is expected of somebody who was meant to enter and did not is no further news.
    if look.problems.is_empty() {
        look.person();
        look.calls();
    }
    look.problems
}

struct Look<'a> {
    file: &'a SourceFile,
    policy: &'a Policy,
    test: &'a PolicyTest,
    came: &'a Came,
    problems: Vec<Problem>,
}

impl Look<'_> {
    fn report(&mut self, span: Option<&Span>, message: &str, label: &str, helps: &[String]) {
        let at = span.unwrap_or(&self.test.spans.name).clone();
        let problem = Problem::error("test-failed", self.file, at, format!("test \"{}\": {message}", self.test.name)).label(label);
        let decided = decided_by(self.policy, &self.came.verdict);
        self.problems.push(helps.iter().cloned().chain(decided).fold(problem, Problem::help));
    }

    fn span(&self, key: &str) -> Option<Span> {
        self.test.spans.expect.iter().find(|(known, _)| known == key).map(|(_, span)| span.clone())
    }

    /// `access` and `because`.
    fn decision(&mut self) {
        let (access, because) = said(&self.came.verdict);
        let text = |key: &str| self.test.expect.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(expected) = text("access").filter(|expected| expected != access) {
            let mut helps = Vec::new();
            if expected == "deny" && because == Some("max_age") {
                helps.push("a sign-in that is too old is repeated: access = \"login\", because = \"max_age\"".to_owned());
            }
            let why = because.map(|because| format!(" because of `{because}`")).unwrap_or_default();
            self.report(
                self.span("access").as_ref(),
                &format!("access is \"{access}\"{why}, not \"{expected}\""),
                &format!("it is \"{access}\""),
                &helps,
            );
            return;
        }
        if let Some(expected) = text("because").filter(|expected| Some(expected.as_str()) != because) {
            let came = because.map_or_else(|| "nothing refuses".to_owned(), |because| format!("`{because}` refuses"));
            self.report(self.span("because").as_ref(), &format!("{came}, not `{expected}`"), &came, &[]);
            return;
        }
        // An expectation about the person is one that they enter.
        let about = self.test.expect.keys().find(|key| !DECISION.contains(&key.as_str())).cloned();
        if let (Some(key), false) = (about, matches!(self.came.verdict, Verdict::Allow(_))) {
            let why = because.map(|because| format!(" because of `{because}`")).unwrap_or_default();
            self.report(self.span(&key).as_ref(), &format!("nobody gets so far: access is \"{access}\"{why}"), "only who may enter has this", &[]);
        }
    }

    /// Everything about who enters.
    fn person(&mut self) {
        let Some(mapped) = &self.came.mapped else { return };
        let scope = &mapped.scope;
        let user = |name: &str| scope.get("user").and_then(|user| user.get(name)).cloned();
        for (key, expected) in &self.test.expect {
            let none = || Value::Null;
            match key.as_str() {
                "name" => self.same(key, expected, &Value::from(mapped.desired.login.as_str())),
                "email" => self.same(key, expected, &user("email").unwrap_or_else(none)),
                "display" => self.same(key, expected, &user("display").unwrap_or_else(none)),
                "role" => self.same(key, expected, &scope.get("role").cloned().unwrap_or_else(none)),
                "roles" => self.same_set(key, expected, scope.get("roles"), &[]),
                "orgs" => {
                    let helps = self.unknown_orgs(expected);
                    self.same_set(key, expected, scope.get("orgs"), &helps);
                }
                "extra" => self.same_table(key, expected, user("extra").as_ref().and_then(Value::as_object), "user.extra"),
                "landing" => {
                    let landing = self.performance().and_then(|done| done.ensured.as_ref().ok()).and_then(|pass| pass.landing.clone());
                    self.same(key, expected, &Value::from(landing.unwrap_or_else(|| self.test.get.clone())));
                }
                "headers" => {
                    let headers = self.headers();
                    let folded: Value =
                        expected.as_object().into_iter().flatten().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
                    self.same_table(key, &folded, Some(&headers), "headers");
                }
                "jwt" => {
                    let claims = self.performance().and_then(|done| done.claims.clone());
                    self.same_table(key, expected, claims.as_ref(), "jwt.claims");
                }
                _ => {}
            }
        }
    }

    fn performance(&self) -> Option<&Performance> {
        self.came.performance.as_ref()
    }

    /// What the app is told at this path: `[headers]`, and those of the sections that give them here.
    fn headers(&self) -> Map<String, Value> {
        let Some(pass) = self.performance().and_then(|done| done.ensured.as_ref().ok()) else { return Map::new() };
        let path = CanonicalPath::parse_as(path_of(self.test), self.policy.encoded_slashes).ok();
        let given = self.policy.paths.iter().zip(&pass.path_headers).filter(|(section, _)| path.as_ref().is_some_and(|path| section.gives(path)));
        let all = pass.headers.iter().chain(given.flat_map(|(_, headers)| headers));
        all.map(|(name, value)| (name.as_str().to_owned(), Value::from(String::from_utf8_lossy(value.as_bytes())))).collect()
    }

    fn same(&mut self, key: &str, expected: &Value, came: &Value) {
        if !alike(expected, came) {
            self.report(self.span(key).as_ref(), &format!("{key} is {}, not {expected}", shown(came)), &format!("it is {}", shown(came)), &[]);
        }
    }

    fn same_set(&mut self, key: &str, expected: &Value, came: Option<&Value>, helps: &[String]) {
        let listed = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        // One that is not known is not an empty one.
        let (wanted, found) = (listed(Some(expected)), listed(came));
        let within = |inner: &[Value], outer: &[Value]| inner.iter().all(|one| outer.iter().any(|other| alike(one, other)));
        if !expected.is_array() || came.is_none() || !within(&wanted, &found) || !within(&found, &wanted) {
            let is = came.map_or_else(|| "not known".to_owned(), shown);
            self.report(self.span(key).as_ref(), &format!("{key} is {is}, not {expected}"), &format!("it is {is}"), helps);
        }
    }

    fn same_table(&mut self, key: &str, expected: &Value, came: Option<&Map<String, Value>>, place: &str) {
        let Some(expected) = expected.as_object() else {
            self.report(self.span(key).as_ref(), &format!("expect.{key} takes a table"), "this is none", &[]);
            return;
        };
        for (name, wanted) in expected {
            let found = came.and_then(|came| came.get(name)).unwrap_or(&Value::Null);
            if !alike(wanted, found) {
                let message = format!("{place}.{name} is {}, not {wanted}", shown(found));
                self.report(self.span(key).as_ref(), &message, &format!("{name} is {}", shown(found)), &[]);
            }
        }
    }

    /// An organisation that no section names can never come.
    fn unknown_orgs(&self, expected: &Value) -> Vec<String> {
        let known = |id: &&Value| !self.policy.orgs.iter().any(|org| alike(&org.id, id));
        expected.as_array().into_iter().flatten().filter(known).map(|id| format!("no [[org]] of this policy has the id {id}")).collect()
    }

    /// All calls in order; a read that repeats an earlier one may be left out.
    fn calls(&mut self) {
        let Some(expected) = &self.test.calls else { return };
        let done = self.performance().map(|done| done.calls.as_slice()).unwrap_or_default();
        let id = self.performance().and_then(|done| done.record.as_ref()?.account_id.clone()).unwrap_or_else(|| MADE_ID.to_string());
        let mut wanted = expected.iter().map(|call| call.replace("{id}", &id)).peekable();
        let mut earlier: Vec<String> = Vec::new();
        let mut all_came = true;
        for call in done {
            let came = format!("{} {}", call.method, call.path);
            if wanted.next_if(|call| is_call(call, &came)).is_none() && !(call.effect == Effect::Read && earlier.contains(&came)) {
                all_came = false;
            }
            earlier.push(came);
        }
        if all_came && wanted.peek().is_none() {
            return;
        }
        let mut shown_calls: Vec<String> = Vec::new();
        for (call, came) in done.iter().zip(&earlier) {
            if call.effect != Effect::Read || !shown_calls.contains(came) {
                shown_calls.push(came.clone());
            }
        }
        let made = format!("/{MADE_ID}");
        let list = Value::from(shown_calls.iter().map(|call| call.replace(&made, "/{id}")).collect::<Vec<_>>());
        let why = self.performance().and_then(Performance::why).map(|why| format!("it ended with: {why}"));
        let helps: Vec<String> = std::iter::once(format!("these came: calls = {list}")).chain(why).collect();
        self.report(self.test.spans.calls.as_ref(), "other calls to the admin API came, or in another order", "not these", &helps);
    }
}

/// `access` and `because`, as `expect` says them.
pub(super) fn said(verdict: &Verdict) -> (&'static str, Option<&'static str>) {
    match verdict {
        Verdict::Allow(_) => ("allow", None),
        Verdict::Public(_) => ("public", None),
        Verdict::Login => ("login", None),
        Verdict::Again => ("login", Some("max_age")),
        Verdict::Deny { because, .. } => ("deny", Some(because)),
        Verdict::Unplayable(_) => ("none", None),
    }
}

/// Which section decided, or why nothing did.
fn decided_by(policy: &Policy, verdict: &Verdict) -> Vec<String> {
    let section = |rule: Rule| match rule {
        Rule::Login => format!("decided by [login], {}", policy.place(rule)),
        Rule::Access => format!("decided by [access], {}", policy.place(rule)),
        Rule::Path(_) => format!("decided by [[path]], {}", policy.place(rule)),
    };
    match verdict {
        Verdict::Allow(rule) | Verdict::Public(rule) => vec![section(*rule)],
        Verdict::Deny { rule, why, .. } => rule.map(section).into_iter().chain(why.clone()).collect(),
        Verdict::Login | Verdict::Again | Verdict::Unplayable(_) => Vec::new(),
    }
}

/// `METHOD /path`, in whatever spelling of the path.
fn is_call(expected: &str, came: &str) -> bool {
    let decoded = |call: &str| percent_decode_str(call).decode_utf8_lossy().into_owned();
    expected == came || decoded(expected) == decoded(came)
}

/// `14` and `"14"` are the same to an application that stores text.
fn alike(a: &Value, b: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    a == b || matches!((text(a), text(b)), (Some(a), Some(b)) if a == b)
}

fn shown(value: &Value) -> String {
    if value.is_null() { "not set".to_owned() } else { value.to_string() }
}
