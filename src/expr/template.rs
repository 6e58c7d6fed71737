//! Strings with `{expressions}` in them, and lists of them.

use super::check::Checker;
use super::evaluate::{self, Code};
use super::{Env, EvalError, ExprProblem, Lookup, TEMPLATE_BYTES_MAX, Type, lex, parse};
use serde_json::Value;
use std::borrow::Cow;

/// A string with `{expressions}` in it; `{{` and `}}` are literal braces.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    of: Type,
    may_be_absent: bool,
    names: Vec<String>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Expression {
        code: Code,
        /// As written between the braces, for messages.
        written: String,
    },
}

impl Template {
    /// Compiles `text`. Warnings come with the template, errors instead of it.
    ///
    /// # Errors
    /// Everything wrong with it, in order of place, warnings included.
    pub fn compile(text: &str, env: &Env) -> Result<(Self, Vec<ExprProblem>), Vec<ExprProblem>> {
        let mut compiler = Compiler { text, env, at: 0, literal: String::new(), parts: Vec::new(), names: Vec::new(), problems: Vec::new() };
        compiler.run();
        let (template, problems) = compiler.finish();
        if problems.iter().all(|problem| problem.warning) { Ok((template, problems)) } else { Err(problems) }
    }

    /// The value: of the expression's own type when the text is exactly one `{expr}`, else text.
    ///
    /// # Errors
    /// [`EvalError::Absent`]: a name or field is absent; [`EvalError::Type`]: a claim is of an unexpected type.
    pub fn render(&self, names: &dyn Lookup) -> Result<Value, EvalError> {
        if let [Part::Expression { code, .. }] = self.parts.as_slice() {
            return evaluate::value(code, names).map(Cow::into_owned);
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Expression { code, written } => out.push_str(&as_text(&*evaluate::value(code, names)?, written)?),
            }
        }
        Ok(Value::String(out))
    }

    /// The text, every interpolated value passed through `escape` first; literal parts are left as they are. For URL paths, queries,
    /// headers and other text sinks.
    ///
    /// # Errors
    /// As [`Self::render`], a null is absent; `escape` may refuse a value with [`EvalError::Type`].
    pub fn render_escaped(&self, names: &dyn Lookup, escape: &dyn Fn(&Value) -> Result<String, EvalError>) -> Result<String, EvalError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Expression { code, written } => {
                    let value = evaluate::value(code, names)?;
                    if value.is_null() {
                        return Err(EvalError::Absent(written.clone()));
                    }
                    out.push_str(&escape(&value)?);
                }
            }
        }
        Ok(out)
    }

    /// The text with `stand_in` in place of every expression: what its literal parts alone make of it.
    pub fn shape(&self, stand_in: &str) -> String {
        let part = |part: &'_ Part| match part {
            Part::Literal(literal) => literal.clone(),
            Part::Expression { .. } => stand_in.to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Dotted names it reads (`given_name`, `claims.department`, `user.name`), each once, in order of appearance.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The type of its value: text, unless it is exactly one `{expr}`.
    pub const fn result_type(&self) -> &Type {
        &self.of
    }

    /// Whether something it reads may be absent at run time, so that [`Self::render`] may say [`EvalError::Absent`].
    pub const fn may_be_absent(&self) -> bool {
        self.may_be_absent
    }
}

/// Candidates in order: the first that is set counts. "Set" means present and not blank.
#[derive(Debug, Clone)]
pub struct FirstOf(pub Vec<Template>);

impl FirstOf {
    /// The first candidate that is set; an evaluation error moves on to the next.
    pub fn render(&self, names: &dyn Lookup) -> Option<Value> {
        self.chosen(names).map(|(_, value)| value)
    }

    /// The type that all candidates have, else [`Type::Dynamic`].
    pub fn result_type(&self) -> Type {
        Type::common(self.0.iter().map(|template| template.of.clone()))
    }

    /// As [`Self::render`], with the candidate that it was.
    pub fn chosen(&self, names: &dyn Lookup) -> Option<(&Template, Value)> {
        self.0.iter().find_map(|template| Some((template, template.render(names).ok().filter(is_set)?)))
    }
}

/// Present and not blank.
pub fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value inside a longer text. A null is an attribute without a value: absent.
fn as_text<'v>(value: &'v Value, written: &str) -> Result<Cow<'v, str>, EvalError> {
    evaluate::scalar(value).ok_or_else(|| {
        if value.is_null() {
            EvalError::Absent(written.to_owned())
        } else {
            EvalError::Type(format!("`{written}` is {}, which cannot stand inside text", evaluate::described(value)))
        }
    })
}

/// Problems as people read them: from left to right.
pub(super) fn in_order_of_place(mut problems: Vec<ExprProblem>) -> Vec<ExprProblem> {
    problems.sort_by_key(|problem| problem.span.start);
    problems
}

struct Compiler<'t> {
    text: &'t str,
    env: &'t Env,
    at: usize,
    literal: String,
    /// Parts with what is known of expressions; place for problems.
    parts: Vec<(Part, Option<Found>)>,
    names: Vec<String>,
    problems: Vec<ExprProblem>,
}

struct Found {
    of: Type,
    may_be_absent: bool,
    span: std::ops::Range<usize>,
}

impl Compiler<'_> {
    fn run(&mut self) {
        if self.text.len() > TEMPLATE_BYTES_MAX {
            let message = format!("this text is too long: {} bytes of at most {TEMPLATE_BYTES_MAX}", self.text.len());
            self.problems.push(ExprProblem::syntax(0..self.text.len(), message).label("too long"));
            return;
        }
        while let Some(rest) = self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.find(['{', '}']).unwrap_or(rest.len());
            let (before, behind) = rest.split_at(plain);
            self.literal.push_str(before);
            self.at += plain;
            if behind.starts_with("{{") || behind.starts_with("}}") {
                self.literal.push(if behind.starts_with('{') { '{' } else { '}' });
                self.at += 2;
            } else if behind.starts_with('}') {
                let problem = ExprProblem::syntax(self.at..self.at + 1, "there is no `{` for this `}`");
                self.problems.push(problem.label("nothing to close").help("for a literal brace, write }}"));
                self.at += 1;
            } else if behind.starts_with('{') {
                self.braces();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push((Part::Literal(std::mem::take(&mut self.literal)), None));
        }
    }

    /// One `{expr}`; `at` is on its opening brace.
    fn braces(&mut self) {
        self.flush();
        let open = self.at..self.at + 1;
        let tokens = lex::braced(self.text, open.end);
        self.at = tokens.span.end + usize::from(tokens.closed);
        if !tokens.closed {
            let problem = ExprProblem::syntax(open, "this `{` is never closed").label("the closing } is missing");
            self.problems.push(problem.help("for a literal brace, write {{"));
            // What stands behind is an expression only by guess; one problem says enough.
            return;
        }
        if tokens.list.is_empty() && tokens.problems.is_empty() {
            let problem = ExprProblem::syntax(open.start..self.at, "there is no expression between these braces").label("empty");
            self.problems.push(problem.help("for literal braces, write {{ and }}"));
            return;
        }
        let span = tokens.span.clone();
        let Some(tree) = parse::tree(self.text, &tokens, &mut self.problems) else {
            // `{"a": 1}` is somebody's JSON.
            let is_json = self.text.get(span).is_some_and(|written| written.trim_start().starts_with('"'));
            if let Some(problem) = self.problems.last_mut().filter(|_| is_json) {
                problem.helps.push("for a literal brace, write {{".to_owned());
            }
            return;
        };
        let mut checker = Checker::new(self.text, self.env, false);
        let typed = checker.expression(&tree);
        let (mut problems, names) = checker.finish();
        self.problems.append(&mut problems);
        for name in names {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        let written = self.text.get(span).unwrap_or_default().trim().to_owned();
        let found = Found { of: typed.of, may_be_absent: typed.may_be_absent, span: tree.span };
        self.parts.push((Part::Expression { code: typed.code, written }, Some(found)));
    }

    fn finish(mut self) -> (Template, Vec<ExprProblem>) {
        let may_be_absent = self.parts.iter().any(|(_, found)| found.as_ref().is_some_and(|found| found.may_be_absent));
        let of = match self.parts.as_slice() {
            [(_, Some(only))] => only.of.clone(),
            parts => {
                let written = |span: &std::ops::Range<usize>| self.text.get(span.clone()).unwrap_or_default();
                self.problems
                    .extend(parts.iter().filter_map(|(_, found)| found.as_ref()).filter_map(|found| inside_text(found, written(&found.span))));
                Type::Text
            }
        };
        let parts = self.parts.into_iter().map(|(part, _)| part).collect();
        (Template { parts, of, may_be_absent, names: self.names }, in_order_of_place(self.problems))
    }
}

/// Why a value of this type cannot stand beside other text.
fn inside_text(found: &Found, written: &str) -> Option<ExprProblem> {
    let problem =
        |message: &str, help: String| Some(ExprProblem::error("wrong-type", found.span.clone(), message).label(found.of.described()).help(help));
    match &found.of {
        Type::List(_) => {
            problem("a list cannot stand inside text", format!("write {{join({written}, ', ')}}, or leave the expression alone in its string"))
        }
        Type::Record(_) => problem("a table cannot stand inside text", format!("name one of its fields: {{{written}.…}}")),
        Type::Text | Type::Bool | Type::Int | Type::Dynamic => None,
    }
}
