//! The one expression language of policies: a statically typed subset of CEL.
//!
//! `when = "…"` is a [`Condition`]; `"{…}"` inside a string is a [`Template`]; a list of templates is [`FirstOf`]: the first that is set.
//! Parsed, checked against the names an [`Env`] offers, and compiled at load, in linear time and bounded depth; evaluation cannot
//! loop. Pure. It never knows where values come from: a [`Lookup`] answers for the top-level names.

use serde_json::Value;
use std::ops::Range;

/// What is wrong with an expression, with byte offsets into the text that was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprProblem {
    /// `unknown-name`, `unknown-function`, `wrong-type`, `claim-may-be-absent`, `expression`…
    pub code: &'static str,
    /// Whether the text still compiles (a warning).
    pub warning: bool,
    /// One sentence.
    pub message: String,
    /// Where, in the compiled text.
    pub span: Range<usize>,
    /// Beside the carets.
    pub label: String,
    /// Ways out.
    pub helps: Vec<String>,
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
    /// A value of a type that only shows at run time (claims).
    #[error("{0}")]
    Type(String),
}

/// Static type of a name or expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Text.
    Text,
    /// true or false.
    Bool,
    /// Whole number.
    Int,
    /// List of elements of one type.
    List(Box<Type>),
    /// Fields known by name; a bool says whether the field may be absent at run time.
    Record(Vec<(String, Type, bool)>),
    /// Fields or elements unknown until run time (`claims`): any access may be absent.
    Dynamic,
}

/// The names an expression may use, with their types, and whether they may be absent at run time.
#[derive(Debug, Clone, Default)]
pub struct Env {
    names: Vec<(String, Type, bool)>,
}

impl Env {
    /// No names at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of a sign-in: `email email_verified name given_name family_name username groups idp claims`.
    pub fn sign_in() -> Self {
        Self::new()
    }

    /// With one more name.
    #[must_use]
    pub fn with(mut self, name: &str, of: Type, may_be_absent: bool) -> Self {
        self.names.push((name.to_owned(), of, may_be_absent));
        self
    }
}

/// A string with `{expressions}` in it; `{{` is a literal brace.
#[derive(Debug, Clone)]
pub struct Template {
    _private: (),
}

impl Template {
    /// Compiles `text`. Warnings come with the template, errors instead of it.
    ///
    /// # Errors
    /// Everything wrong with it, in order of place.
    pub fn compile(text: &str, env: &Env) -> Result<(Self, Vec<ExprProblem>), Vec<ExprProblem>> {
        let _ = (text, env);
        Ok((Self { _private: () }, Vec::new()))
    }

    /// The value: of the expression's own type when the text is exactly one `{expr}`, else text.
    ///
    /// # Errors
    /// [`EvalError::Absent`]: a name or field is absent; [`EvalError::Type`]: a claim is of an unexpected type.
    pub fn render(&self, names: &dyn Lookup) -> Result<Value, EvalError> {
        let _ = names;
        Ok(Value::Null)
    }

    /// The text, every interpolated value passed through `escape` first; literal parts are left as they are. For URL paths, queries,
    /// headers and other text sinks.
    ///
    /// # Errors
    /// As [`Self::render`]; `escape` may refuse a value with [`EvalError::Type`].
    pub fn render_escaped(&self, names: &dyn Lookup, escape: &dyn Fn(&Value) -> Result<String, EvalError>) -> Result<String, EvalError> {
        let _ = (names, escape);
        Ok(String::new())
    }

    /// Dotted names it reads (`given_name`, `claims.department`, `user.name`).
    pub fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Candidates in order: the first that is set counts. "Set" means present and not blank.
#[derive(Debug, Clone)]
pub struct FirstOf(pub Vec<Template>);

impl FirstOf {
    /// The first candidate that is set; an evaluation error moves on to the next.
    pub fn render(&self, names: &dyn Lookup) -> Option<Value> {
        self.0.iter().find_map(|template| template.render(names).ok().filter(is_set))
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

/// A boolean expression.
#[derive(Debug, Clone)]
pub struct Condition {
    _private: (),
}

impl Condition {
    /// Compiles `text`, which must be boolean.
    ///
    /// # Errors
    /// Everything wrong with it, in order of place.
    pub fn compile(text: &str, env: &Env) -> Result<(Self, Vec<ExprProblem>), Vec<ExprProblem>> {
        let _ = (text, env);
        Ok((Self { _private: () }, Vec::new()))
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// As [`Template::render`]; the caller decides what absence means (in `when`: denied).
    pub fn holds(&self, names: &dyn Lookup) -> Result<bool, EvalError> {
        let _ = names;
        Ok(false)
    }
}
