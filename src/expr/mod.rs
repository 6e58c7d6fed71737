//! The one expression language of policies: a statically typed subset of CEL.
//!
//! `when = "…"` is a [`Condition`]; `"{…}"` inside a string is a [`Template`]; a list of templates is [`FirstOf`]: the first that is set.
//! Parsed, checked against the names an [`Env`] offers, and compiled at load, in linear time and bounded depth; evaluation cannot
//! loop. Pure. It never knows where values come from: a [`Lookup`] answers for the top-level names.
//!
//! The way of a text: `lex.rs` (tokens) → `parse.rs` (tree with places) → `check.rs` (types, problems, compiled code) → `evaluate.rs`.
//! `functions.rs` is the list of what can be called, `env.rs` the names and their types, `template.rs` what `{…}` in a string means.
//! Where the `cel` crate and this module both have an answer it is the same one (`oracle_tests.rs`). Differences by design: a type
//! mistake is found at load; every function may be called as `f(x)` and as `x.f()`; `has(name)` also takes a top-level name.

mod check;
mod env;
mod evaluate;
mod functions;
mod guards;
mod lex;
mod parse;
mod place;
mod template;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

pub use env::{Env, Type};
pub use template::{FirstOf, Template, is_set};

use serde_json::Value;
use std::ops::Range;

/// Longest expression, in bytes: a `when`, or what stands between two braces.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// Longest template, in bytes, literal text included.
pub const TEMPLATE_BYTES_MAX: usize = 65_536;

/// Deepest nesting of an expression, in levels. Chains of `&&`, `||` and `+` are one level however long.
pub const DEPTH_MAX: usize = 32;

/// What is wrong with an expression, with byte offsets into the text that was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprProblem {
    /// `unknown-name`, `unknown-function`, `wrong-type`, `claim-may-be-absent`, `expression`…
    pub code: &'static str,
    /// Whether the text still compiles (a warning).
    pub warning: bool,
    /// One sentence without a full stop.
    pub message: String,
    /// Where, in the compiled text. Always within the text and on character boundaries; may be empty at its end.
    pub span: Range<usize>,
    /// Beside the carets.
    pub label: String,
    /// Ways out.
    pub helps: Vec<String>,
}

impl ExprProblem {
    fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, warning: false, message: message.into(), span, label: String::new(), helps: Vec::new() }
    }

    fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(code, span, message) }
    }

    /// The text cannot be read at all.
    fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::error("expression", span, message)
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }
}

/// Answers for top-level names (`email`, `groups`, `claims`, `user`, `item`, …). A name that is known to the [`Env`] but absent at run time
/// is `None`.
pub trait Lookup {
    /// The value of `name`.
    fn name(&self, name: &str) -> Option<&Value>;
}

impl Lookup for serde_json::Map<String, Value> {
    fn name(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

/// Why an expression has no value now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An attribute or field that is absent from this sign-in.
    #[error("`{0}` is absent")]
    Absent(String),
    /// A value of a type that only shows at run time (claims). Says the kinds, never the value.
    #[error("{0}")]
    Type(String),
}

/// A boolean expression.
#[derive(Debug, Clone)]
pub struct Condition {
    text: Box<str>,
    code: evaluate::Code,
    names: Vec<String>,
}

impl Condition {
    /// Compiles `text`, which must be boolean.
    ///
    /// # Errors
    /// Everything wrong with it, in order of place, warnings included.
    pub fn compile(text: &str, env: &Env) -> Result<(Self, Vec<ExprProblem>), Vec<ExprProblem>> {
        let mut problems = Vec::new();
        let (code, names) = Self::checked(text, env, &mut problems);
        match (code, template::in_order_of_place(problems)) {
            (Some(code), problems) if problems.iter().all(|problem| problem.warning) => Ok((Self { text: text.into(), code, names }, problems)),
            (_, problems) => Err(problems),
        }
    }

    fn checked(text: &str, env: &Env, problems: &mut Vec<ExprProblem>) -> (Option<evaluate::Code>, Vec<String>) {
        let tokens = lex::whole(text);
        let Some(tree) = parse::tree(text, &tokens, problems) else { return (None, Vec::new()) };
        let mut checker = check::Checker::new(text, env, true);
        let typed = checker.expression(&tree);
        let (mut found, names) = checker.finish();
        problems.append(&mut found);
        if !matches!(typed.of, Type::Bool | Type::Dynamic) {
            let message = format!("a condition must be true or false, and this is {}", typed.of.described());
            problems.push(ExprProblem::error("wrong-type", tree.span.clone(), message).label("not true or false"));
        }
        (Some(typed.code), names)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// As [`Template::render`]; the caller decides what absence means (in `when`: denied).
    pub fn holds(&self, names: &dyn Lookup) -> Result<bool, EvalError> {
        evaluate::truth(&self.code, names)
    }

    /// Dotted names it reads (`groups`, `claims.status`), each once, in order of appearance.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }
}

/// How the function `name` is called, what it does, and an example with its value; for the manual.
pub fn function_help(name: &str) -> Option<[&'static str; 4]> {
    if name == "has" {
        let does = "whether a name or a field is there in this sign-in; in a condition, say with it what absence means";
        return Some(["has(claims.department)", does, "has(email) || true", "true"]);
    }
    let function = functions::Function::named(name)?;
    let (does, example, value) = function.explained();
    Some([function.usage(), does, example, value])
}

/// The names of the functions, for the manual; `has` is not among them: it asks about its argument, not about the argument's value.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    functions::Function::ALL.into_iter().map(functions::Function::name)
}
