//! The names that an expression may use, and their types.

use serde_json::{Map, Value};

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
    List(Box<Self>),
    /// Fields known by name; a bool says whether the field may be absent at run time.
    Record(Vec<(String, Self, bool)>),
    /// Fields or elements unknown until run time (`claims`): any access may be absent.
    Dynamic,
}

impl Type {
    /// List of text.
    pub fn texts() -> Self {
        Self::List(Box::new(Self::Text))
    }

    /// The type of a value that is written in a file (`[vars]`): its fields are known, so a misspelt one is found at load.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::Text,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Null | Value::Number(_) => Self::Dynamic,
            Value::Array(elements) => Self::List(Box::new(Self::common(elements.iter().map(Self::of)))),
            Value::Object(fields) => Self::record(fields),
        }
    }

    fn record(fields: &Map<String, Value>) -> Self {
        Self::Record(fields.iter().map(|(name, value)| (name.clone(), Self::of(value), false)).collect())
    }

    /// The one type that all have, else [`Type::Dynamic`].
    pub(super) fn common(types: impl IntoIterator<Item = Self>) -> Self {
        let mut types = types.into_iter();
        let Some(first) = types.next() else { return Self::Dynamic };
        if types.all(|other| other == first) { first } else { Self::Dynamic }
    }

    /// Whether a value of this type and one of the other can ever be equal.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dynamic, _)
            | (_, Self::Dynamic)
            | (Self::Text, Self::Text)
            | (Self::Bool, Self::Bool)
            | (Self::Int, Self::Int)
            | (Self::Record(_), Self::Record(_)) => true,
            (Self::List(one), Self::List(another)) => one.comparable(another),
            (Self::Text | Self::Bool | Self::Int | Self::List(_) | Self::Record(_), _) => false,
        }
    }

    /// In the words of a message: "text", "a list"…
    pub(super) const fn described(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::List(_) => "a list",
            Self::Record(_) => "a table",
            Self::Dynamic => "known only at sign-in",
        }
    }
}

/// The names an expression may use, with their types, and whether they may be absent at run time.
#[derive(Debug, Clone, Default)]
pub struct Env {
    names: Vec<(String, Type, bool)>,
    elsewhere: Vec<(&'static str, &'static str)>,
}

impl Env {
    /// No names at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of a sign-in: `email email_verified given_name family_name name username groups claims idp`.
    pub fn sign_in() -> Self {
        Self::new()
            .with("email", Type::Text, true)
            .with("email_verified", Type::Bool, false)
            .with("given_name", Type::Text, true)
            .with("family_name", Type::Text, true)
            .with("name", Type::Text, true)
            .with("username", Type::Text, true)
            .with("groups", Type::texts(), false)
            .with("claims", Type::Dynamic, false)
            .with("idp", Type::Text, false)
    }

    /// With one more name; a name that is there already gets the new type.
    #[must_use]
    pub fn with(mut self, name: &str, of: Type, may_be_absent: bool) -> Self {
        if let Some(known) = self.names.iter_mut().find(|(known, ..)| known == name) {
            *known = (name.to_owned(), of, may_be_absent);
        } else {
            self.names.push((name.to_owned(), of, may_be_absent));
        }
        self
    }

    /// With `user`, what `[user]` makes of a sign-in: `name email display` and `extra`, whose fields are exactly `extra`: a misspelt one is found at load.
    #[must_use]
    pub fn with_user<'k>(self, extra: impl IntoIterator<Item = (&'k str, Type)>) -> Self {
        let extra = extra.into_iter().map(|(key, of)| (key.to_owned(), of, true)).collect();
        let text = |name: &str, may_be_absent| (name.to_owned(), Type::Text, may_be_absent);
        let fields = vec![text("name", false), text("email", true), text("display", true), ("extra".to_owned(), Type::Record(extra), false)];
        self.with("user", Type::Record(fields), false)
    }

    /// With `role`, `roles` (list of text) and `orgs` (list of ids: text or numbers).
    #[must_use]
    pub fn with_roles(self) -> Self {
        self.with("role", Type::Text, true).with("roles", Type::texts(), false).with("orgs", Type::List(Box::new(Type::Dynamic)), false)
    }

    /// With `vars`, typed by the values that `[vars]` has.
    #[must_use]
    pub fn with_vars(self, vars: &Map<String, Value>) -> Self {
        self.with("vars", Type::record(vars), false)
    }

    /// With `request`: `method path host ip`, all text.
    #[must_use]
    pub fn with_request(self) -> Self {
        let fields = ["method", "path", "host", "ip"].map(|field| (field.to_owned(), Type::Text, false));
        self.with("request", Type::Record(fields.into()), false)
    }

    /// `names` are not here but elsewhere; `help` says where. Somebody who writes one has made no slip.
    #[must_use]
    pub fn but_not(mut self, names: &'static [&'static str], help: &'static str) -> Self {
        self.elsewhere.extend(names.iter().map(|name| (*name, help)));
        self
    }

    /// The names, in the order they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, ..)| name.as_str())
    }

    /// Where `name` is known, when that is not here.
    pub(super) fn elsewhere(&self, name: &str) -> Option<&'static str> {
        self.elsewhere.iter().find(|(known, _)| *known == name).map(|(_, help)| *help)
    }

    /// Type of `name`, and whether it may be absent.
    pub(super) fn get(&self, name: &str) -> Option<(&Type, bool)> {
        self.names.iter().find(|(known, ..)| known == name).map(|(_, of, may_be_absent)| (of, *may_be_absent))
    }
}
