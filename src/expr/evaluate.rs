//! Compiled expressions and their values.
//!
//! [`Code`] comes from the checker only: names exist, functions have the right number of arguments, patterns are compiled. What can
//! still go wrong is absence and, behind a [`super::Type::Dynamic`], a value of another kind. Values are borrowed from the [`Lookup`] or
//! from the code where they can be.

use super::functions::{Function, bounded};
use super::parse::Relation;
use super::{EvalError, Lookup};
use regex::Regex;
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// An expression, ready to evaluate.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Constant(Value),
    Name(String),
    Field(Box<Self>, Step),
    Index(Box<Self>, Box<Self>),
    /// `has(name)`
    HasName(String),
    /// `has(of.field)`
    HasField(Box<Self>, Step),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Sum(Vec<Self>),
    Compare(Relation, Box<Self>, Box<Self>),
    In(Box<Self>, Box<Self>),
    Choose(Box<[Self; 3]>),
    List(Vec<Self>),
    Call(Function, Vec<Self>),
    Matches(Box<Self>, Regex),
}

/// A step into a value: the field's name, and the way from the top for messages (`claims.department`).
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) key: String,
    pub(super) path: String,
}

type Evaluated<'a> = Result<Cow<'a, Value>, EvalError>;

/// The value of `code`. Recursion is bounded by the depth that the parser lets through.
pub(super) fn value<'a>(code: &'a Code, names: &'a dyn Lookup) -> Evaluated<'a> {
    match code {
        Code::Constant(constant) => Ok(Cow::Borrowed(constant)),
        Code::Name(name) => names.name(name).map(Cow::Borrowed).ok_or_else(|| EvalError::Absent(name.clone())),
        Code::Field(of, step) => field(value(of, names)?, step),
        Code::Index(of, key) => index(value(of, names)?, &*value(key, names)?, of),
        Code::Choose(parts) => {
            let [condition, first, second] = parts.as_ref();
            value(if truth(condition, names)? { first } else { second }, names)
        }
        Code::List(elements) => {
            let elements: Result<Vec<Value>, EvalError> = elements.iter().map(|element| Ok(value(element, names)?.into_owned())).collect();
            Ok(Cow::Owned(Value::Array(elements?)))
        }
        Code::Call(function, arguments) => {
            let arguments: Result<Vec<_>, EvalError> = arguments.iter().map(|argument| value(argument, names)).collect();
            function.apply(&arguments?).map(Cow::Owned)
        }
        Code::Sum(parts) => sum(parts, names).map(Cow::Owned),
        Code::HasName(_) | Code::HasField(..) | Code::Not(_) | Code::All(_) | Code::Any(_) | Code::Compare(..) | Code::In(..) | Code::Matches(..) => {
            Ok(Cow::Owned(Value::Bool(truth(code, names)?)))
        }
    }
}

/// The value of `code`, which must be true or false.
pub(super) fn truth(code: &Code, names: &dyn Lookup) -> Result<bool, EvalError> {
    match code {
        Code::HasName(name) => Ok(names.name(name).is_some_and(|value| !value.is_null())),
        Code::HasField(of, step) => has_field(&*value(of, names)?, step),
        Code::Not(of) => Ok(!truth(of, names)?),
        Code::All(parts) => absorbing(parts, false, names),
        Code::Any(parts) => absorbing(parts, true, names),
        Code::Compare(relation, left, right) => compare(*relation, &*value(left, names)?, &*value(right, names)?),
        Code::In(element, container) => is_in(&*value(element, names)?, &*value(container, names)?),
        Code::Matches(of, pattern) => {
            let of = value(of, names)?;
            let text = of.as_str().ok_or_else(|| EvalError::Type(format!("`matches` takes text, and this is {}", described(&of))))?;
            Ok(pattern.is_match(text))
        }
        Code::Constant(_) | Code::Name(_) | Code::Field(..) | Code::Index(..) | Code::Sum(_) | Code::Choose(_) | Code::List(_) | Code::Call(..) => {
            let found = value(code, names)?;
            found.as_bool().ok_or_else(|| EvalError::Type(format!("{} is {}, and must be true or false", code.spelled(), described(&found))))
        }
    }
}

impl Code {
    /// What this is called in a message.
    fn spelled(&self) -> String {
        self.path().map_or_else(|| "this".to_owned(), |path| format!("`{path}`"))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only these two have a path, whatever else there will be")]
    fn path(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Field(_, step) => Some(&step.path),
            _ => None,
        }
    }
}

/// `&&` and `||`: one part that decides outweighs errors in the others, wherever it stands (langdef.md, "Logical Operators").
fn absorbing(parts: &[Code], decisive: bool, names: &dyn Lookup) -> Result<bool, EvalError> {
    let mut failed = None;
    for part in parts {
        match truth(part, names) {
            Ok(holds) if holds == decisive => return Ok(decisive),
            Ok(_undecided) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(!decisive), Err)
}

fn field<'a>(of: Cow<'a, Value>, step: &Step) -> Evaluated<'a> {
    let absent = || EvalError::Absent(step.path.clone());
    match of {
        Cow::Borrowed(Value::Object(fields)) => fields.get(&step.key).map(Cow::Borrowed).ok_or_else(absent),
        Cow::Owned(Value::Object(mut fields)) => fields.swap_remove(&step.key).map(Cow::Owned).ok_or_else(absent),
        Cow::Borrowed(_) | Cow::Owned(_) => Err(no_fields(&of, step)),
    }
}

fn has_field(of: &Value, step: &Step) -> Result<bool, EvalError> {
    of.as_object().map(|fields| fields.contains_key(&step.key)).ok_or_else(|| no_fields(of, step))
}

fn no_fields(of: &Value, step: &Step) -> EvalError {
    EvalError::Type(format!("there is no `{}`: {} has no fields", step.path, described(of)))
}

fn index<'a>(of: Cow<'a, Value>, key: &Value, code: &Code) -> Evaluated<'a> {
    let path = |key: &str| format!("{}{}", code.path().unwrap_or("(…)"), super::guards::bracketed(key));
    match (&*of, key) {
        (Value::Object(_), Value::String(name)) => field(of, &Step { key: name.clone(), path: path(name) }),
        (Value::Array(_), Value::Number(number)) => {
            let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
            let found = match (at, of) {
                (Some(at), Cow::Borrowed(Value::Array(elements))) => elements.get(at).map(Cow::Borrowed),
                (Some(at), Cow::Owned(Value::Array(elements))) => elements.into_iter().nth(at).map(Cow::Owned),
                _ => None,
            };
            found.ok_or_else(|| EvalError::Absent(format!("{}[{number}]", code.path().unwrap_or("(…)"))))
        }
        (other, key) => Err(EvalError::Type(format!("{} cannot be indexed by {}", described(other), described(key)))),
    }
}

fn sum(parts: &[Code], names: &dyn Lookup) -> Result<Value, EvalError> {
    let mut parts = parts.iter();
    let mut total = parts.next().map_or(Ok(Value::Null), |part| value(part, names).map(Cow::into_owned))?;
    for part in parts {
        let part = value(part, names)?;
        total = match (total, &*part) {
            (Value::String(mut text), Value::String(more)) => {
                bounded("+", text.len() + more.len())?;
                text.push_str(more);
                Value::String(text)
            }
            (Value::Number(one), Value::Number(another)) => add(&one, another)?,
            (one, another) => return Err(EvalError::Type(format!("{} and {} cannot be added", described(&one), described(another)))),
        };
    }
    Ok(total)
}

fn add(one: &Number, another: &Number) -> Result<Value, EvalError> {
    let (Some(one), Some(another)) = (one.as_i64(), another.as_i64()) else {
        return Err(EvalError::Type("only whole numbers can be added".to_owned()));
    };
    one.checked_add(another).map(Value::from).ok_or_else(|| EvalError::Type("the sum does not fit in 64 bits".to_owned()))
}

fn compare(relation: Relation, left: &Value, right: &Value) -> Result<bool, EvalError> {
    let ordered = |wanted: fn(Ordering) -> bool| {
        let incomparable = || EvalError::Type(format!("{} and {} have no order", described(left), described(right)));
        order(left, right).map(wanted).ok_or_else(incomparable)
    };
    match relation {
        Relation::Equal => Ok(equal(left, right)),
        Relation::NotEqual => Ok(!equal(left, right)),
        Relation::Less => ordered(Ordering::is_lt),
        Relation::LessOrEqual => ordered(Ordering::is_le),
        Relation::Greater => ordered(Ordering::is_gt),
        Relation::GreaterOrEqual => ordered(Ordering::is_ge),
    }
}

/// Equality across kinds is false, not an error; numbers are equal by value (langdef.md, "Equality"). Values come from bounded JSON,
/// whose reader limits how deep they nest.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(another)) => numbers(one, another) == Some(Ordering::Equal),
        (Value::Array(one), Value::Array(another)) => one.len() == another.len() && one.iter().zip(another).all(|(one, another)| equal(one, another)),
        (Value::Object(one), Value::Object(another)) => {
            one.len() == another.len() && one.iter().all(|(key, value)| another.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(one), Value::String(another)) => Some(one.cmp(another)),
        (Value::Number(one), Value::Number(another)) => numbers(one, another),
        (Value::Bool(one), Value::Bool(another)) => Some(one.cmp(another)),
        _ => None,
    }
}

fn numbers(one: &Number, another: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(one), whole(another)) {
        (Some(one), Some(another)) => Some(one.cmp(&another)),
        _ => one.as_f64()?.partial_cmp(&another.as_f64()?),
    }
}

fn is_in(element: &Value, container: &Value) -> Result<bool, EvalError> {
    match (element, container) {
        (_, Value::Array(elements)) => Ok(elements.iter().any(|other| equal(element, other))),
        (Value::String(key), Value::Object(fields)) => Ok(fields.contains_key(key)),
        // These are keys in CEL, and never equal to one that is text.
        (Value::Number(_) | Value::Bool(_), Value::Object(_)) => Ok(false),
        _ => Err(EvalError::Type(format!("{} cannot be in {}", described(element), described(container)))),
    }
}

/// A single value as text; `None` for null, lists and tables.
pub(super) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(yes) => Some(Cow::Borrowed(if *yes { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The kind of a value in the words of a message.
pub(super) const fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
