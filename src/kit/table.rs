//! What a scripted app has: accounts, groups, and who is in which.

use super::dialect::{By, Dialect, How, Ids, SameLogin};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An account.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct User {
    pub(super) id: Value,
    pub(super) login: String,
    pub(super) email: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) admin: bool,
    pub(super) disabled: bool,
    pub(super) fields: Map<String, Value>,
}

/// Who is in what, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) kind: String,
    pub(super) group: String,
    pub(super) user: String,
    pub(super) role: Option<String>,
}

/// A group: its id, its name, its other fields.
pub(super) type Group = (Value, String, Map<String, Value>);

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) users: Vec<User>,
    pub(super) groups: BTreeMap<String, Vec<Group>>,
    pub(super) members: Vec<Membership>,
    next: u64,
}

/// A value as text, for comparing.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// As lenient as apps are.
pub(super) fn is_true(value: &Value) -> bool {
    matches!(text(value).to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

impl Table {
    pub(super) fn new(dialect: &Dialect) -> Self {
        let groups = dialect
            .groups
            .iter()
            .map(|(kind, groups)| (kind.clone(), groups.iter().map(|group| (group.id.clone(), group.name.clone(), group.more.clone())).collect()));
        Self { groups: groups.collect(), next: 100, ..Self::default() }
    }

    /// An id for whoever comes next.
    pub(super) fn fresh(&mut self, ids: Ids, login: &str) -> Value {
        self.next += 1;
        match ids {
            Ids::Number => Value::from(self.next),
            Ids::Text => Value::from(format!("7f3a{:04x}-id", self.next)),
            Ids::Login => Value::from(login),
        }
    }

    pub(super) fn add(&mut self, dialect: &Dialect, mut user: User) -> String {
        if user.id.is_null() {
            user.id = self.fresh(dialect.ids, &user.login);
        }
        let id = text(&user.id);
        self.users.push(user);
        id
    }

    pub(super) fn has_login(&self, dialect: &Dialect, login: &str) -> bool {
        self.users.iter().any(|user| match dialect.same_login {
            SameLogin::Exact => user.login == login,
            SameLogin::AsciiLower => user.login.eq_ignore_ascii_case(login),
        })
    }

    /// Where the account is that a request names.
    pub(super) fn at(&self, dialect: &Dialect, by: By, wanted: &str) -> Option<usize> {
        let how = if dialect.same_login == SameLogin::AsciiLower && by != By::Id && by != By::ExternalId { How::Fold } else { How::Exact };
        self.users.iter().position(|user| fits(user, by, how, wanted))
    }

    pub(super) fn found(&self, by: By, how: How, wanted: &str, hides_disabled: bool) -> Vec<User> {
        self.users.iter().filter(|user| fits(user, by, how, wanted) && !(hides_disabled && user.disabled)).cloned().collect()
    }

    /// Name and id of a group.
    pub(super) fn group(&self, kind: &str, wanted: &str, named: bool) -> Option<(Value, String, Map<String, Value>)> {
        let is_it = |group: &&(Value, String, Map<String, Value>)| if named { group.1 == wanted } else { text(&group.0) == wanted };
        self.groups.get(kind)?.iter().find(is_it).cloned()
    }

    pub(super) fn is_member(&self, kind: &str, group: &str, user: &str) -> bool {
        self.members.iter().any(|one| one.kind == kind && one.group == group && one.user == user)
    }

    pub(super) fn join(&mut self, kind: &str, group: &str, user: &str, role: Option<String>) {
        self.leave(kind, group, user);
        self.members.push(Membership { kind: kind.to_owned(), group: group.to_owned(), user: user.to_owned(), role });
    }

    pub(super) fn leave(&mut self, kind: &str, group: &str, user: &str) {
        self.members.retain(|one| !(one.kind == kind && one.group == group && one.user == user));
    }

    pub(super) fn remove(&mut self, at: usize) {
        let user = self.users.remove(at);
        let id = text(&user.id);
        self.members.retain(|one| one.user != id);
    }

    /// Whether nobody else is an administrator who can sign in.
    pub(super) fn is_last_admin(&self, user: &User) -> bool {
        user.admin && !self.users.iter().any(|other| other.id != user.id && other.admin && !other.disabled)
    }

    /// Names for the template of an account.
    pub(super) fn names(&self, dialect: &Dialect, user: &User) -> Map<String, Value> {
        let mut names = user.fields.clone();
        let (on, off) = &dialect.status;
        let status = if user.disabled { off } else { on };
        let pairs = [
            ("id", user.id.clone()),
            ("login", json!(user.login)),
            ("email", json!(user.email)),
            ("external_id", json!(user.external_id)),
            ("admin", json!(user.admin)),
            ("disabled", json!(user.disabled)),
            ("active", json!(!user.disabled)),
            ("status", json!(status)),
        ];
        for (name, value) in pairs {
            names.insert(name.to_owned(), value);
        }
        let id = text(&user.id);
        let (mut shown, mut listed, mut ids) = (Map::new(), Map::new(), Map::new());
        for kind in dialect.groups.keys() {
            let mine: Vec<(Value, String, Option<String>)> = self
                .members
                .iter()
                .filter(|one| one.kind == *kind && one.user == id)
                .filter_map(|one| self.group(kind, &one.group, false).map(|(group, name, _)| (group, name, one.role.clone())))
                .collect();
            let one = |(id, name, role): &(Value, String, Option<String>)| {
                let names = Map::from_iter([
                    ("id".to_owned(), id.clone()),
                    ("name".to_owned(), json!(name)),
                    ("role".to_owned(), json!(role)),
                    ("user_id".to_owned(), user.id.clone()),
                ]);
                dialect.membership.get(kind).map_or_else(|| json!(name), |template| super::server::render(template, &names))
            };
            shown.insert(kind.clone(), mine.iter().map(one).collect());
            listed.insert(kind.clone(), mine.iter().map(|(_, name, _)| json!(name)).collect());
            ids.insert(kind.clone(), mine.iter().map(|(id, _, _)| id.clone()).collect());
        }
        names.insert("members".to_owned(), Value::Object(shown));
        names.insert("names".to_owned(), Value::Object(listed));
        names.insert("ids".to_owned(), Value::Object(ids));
        names
    }
}

fn fits(user: &User, by: By, how: How, wanted: &str) -> bool {
    let email = user.email.clone().unwrap_or_default();
    let shown = match by {
        By::Id => vec![text(&user.id)],
        By::Login => vec![user.login.clone()],
        By::Email => vec![email],
        By::ExternalId => vec![user.external_id.clone().unwrap_or_default()],
        By::Either => vec![user.login.clone(), email],
        By::Any => vec![user.login.clone(), email, user.fields.get("name").map(text).unwrap_or_default()],
    };
    let wanted_low = wanted.to_lowercase();
    shown.iter().any(|shown| match how {
        How::Exact => *shown == wanted,
        How::Fold => shown.to_lowercase() == wanted_low,
        How::Prefix => shown.to_lowercase().starts_with(&wanted_low),
        How::Contains => shown.to_lowercase().contains(&wanted_low),
    })
}
