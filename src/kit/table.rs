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
    /// Whether it was taken back, and still stands in lists.
    pub(super) is_over: bool,
}

/// A group: its id, its name, its other fields.
pub(super) type Group = (Value, String, Map<String, Value>);

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) users: Vec<User>,
    pub(super) groups: BTreeMap<String, Vec<Group>>,
    pub(super) members: Vec<Membership>,
    /// Kind and id of the groups that switch off whoever is in them.
    off: Vec<(String, String)>,
    /// And of those that make an administrator of them.
    admins: Vec<(String, String)>,
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
        let named = |is_meant: fn(&super::dialect::Group) -> bool| {
            let of_kind = |(kind, groups): (&String, &Vec<super::dialect::Group>)| {
                groups.iter().filter(|group| is_meant(group)).map(|group| (kind.clone(), text(&group.id))).collect::<Vec<_>>()
            };
            dialect.groups.iter().flat_map(of_kind).collect()
        };
        Self { groups: groups.collect(), off: named(|group| group.off), admins: named(|group| group.admin), next: 100, ..Self::default() }
    }

    /// An id for whoever comes next.
    pub(super) fn fresh(&mut self, dialect: &Dialect, login: &str) -> Value {
        self.next += 1;
        match dialect.ids {
            Ids::Login if dialect.id.is_some() => {
                let names = Map::from_iter([("login".to_owned(), Value::from(login))]);
                super::server::render(&json!(dialect.id), &names)
            }
            Ids::Number => Value::from(self.next),
            Ids::Text => Value::from(format!("7f3a{:04x}-id", self.next)),
            Ids::Login => Value::from(login),
        }
    }

    pub(super) fn add(&mut self, dialect: &Dialect, mut user: User) -> String {
        if user.id.is_null() {
            user.id = self.fresh(dialect, &user.login);
        }
        for (field, value) in &dialect.fields {
            user.fields.entry(field.clone()).or_insert_with(|| value.clone());
        }
        let id = text(&user.id);
        if let (true, Some((kind, group))) = (user.disabled, self.off.first().cloned()) {
            user.disabled = false;
            self.join(&kind, &group, &id, None);
        }
        if let (true, Some((kind, group))) = (user.admin, self.admins.first().cloned()) {
            user.admin = false;
            self.join(&kind, &group, &id, None);
        }
        self.users.push(user);
        id
    }

    /// Whether somebody cannot come in: by a mark of the account, or by a group.
    pub(super) fn is_off(&self, user: &User) -> bool {
        let id = text(&user.id);
        user.disabled || self.off.iter().any(|(kind, group)| self.is_member(kind, group, &id))
    }

    /// Whether somebody is an administrator: by a mark of the account, or by a group.
    pub(super) fn is_admin(&self, user: &User) -> bool {
        let id = text(&user.id);
        user.admin || self.admins.iter().any(|(kind, group)| self.is_member(kind, group, &id))
    }

    /// Whether nobody else in the group has the role that this one has.
    pub(super) fn is_last_as(&self, role: &str, kind: &str, group: &str, user: &str) -> bool {
        let has = |one: &&Membership| one.kind == kind && one.group == group && one.role.as_deref() == Some(role) && !one.is_over;
        let mut holders = self.members.iter().filter(has).map(|one| one.user.as_str());
        holders.next() == Some(user) && holders.next().is_none()
    }

    /// Whether a group switches off whoever is in it.
    pub(super) fn switches_off(&self, kind: &str, group: &str) -> bool {
        self.off.iter().any(|(known, id)| known == kind && id == group)
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
        self.users.iter().filter(|user| fits(user, by, how, wanted) && !(hides_disabled && self.is_off(user))).cloned().collect()
    }

    /// Name and id of a group.
    pub(super) fn group(&self, kind: &str, wanted: &str, named: bool) -> Option<(Value, String, Map<String, Value>)> {
        let is_it = |group: &&(Value, String, Map<String, Value>)| if named { group.1 == wanted } else { text(&group.0) == wanted };
        self.groups.get(kind)?.iter().find(is_it).cloned()
    }

    /// As [`Self::group`], by an app that may not look at letter case.
    pub(super) fn group_like(&self, kind: &str, wanted: &str, named: bool, how: How) -> Option<Group> {
        let like = |group: &&Group| named && how == How::Fold && group.1.to_lowercase() == wanted.to_lowercase();
        self.group(kind, wanted, named).or_else(|| self.groups.get(kind)?.iter().find(like).cloned())
    }

    pub(super) fn is_member(&self, kind: &str, group: &str, user: &str) -> bool {
        self.members.iter().any(|one| one.kind == kind && one.group == group && one.user == user && !one.is_over)
    }

    pub(super) fn join(&mut self, kind: &str, group: &str, user: &str, role: Option<String>) {
        self.leave(kind, group, user, None);
        self.members.push(Membership { kind: kind.to_owned(), group: group.to_owned(), user: user.to_owned(), role, is_over: false });
    }

    /// `as_what`: it still stands in lists, as that.
    pub(super) fn leave(&mut self, kind: &str, group: &str, user: &str, as_what: Option<&String>) {
        let was_in = self.members.iter().any(|one| one.kind == kind && one.group == group && one.user == user);
        self.members.retain(|one| !(one.kind == kind && one.group == group && one.user == user));
        if let (true, Some(role)) = (was_in, as_what) {
            let (kind, group, user) = (kind.to_owned(), group.to_owned(), user.to_owned());
            self.members.push(Membership { kind, group, user, role: Some(role.clone()), is_over: true });
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        let user = self.users.remove(at);
        let id = text(&user.id);
        self.members.retain(|one| one.user != id);
    }

    /// Whether nobody else is an administrator who can sign in.
    pub(super) fn is_last_admin(&self, user: &User) -> bool {
        self.is_admin(user) && !self.users.iter().any(|other| other.id != user.id && self.is_admin(other) && !self.is_off(other))
    }

    /// Names for the template of an account.
    pub(super) fn names(&self, dialect: &Dialect, user: &User) -> Map<String, Value> {
        let mut names = user.fields.clone();
        let (on, off) = &dialect.status;
        let is_off = self.is_off(user);
        let status = if is_off { off } else { on };
        let is_admin = self.is_admin(user);
        let (common, admin) = &dialect.rank;
        let rank = if is_admin { admin } else { common };
        let pairs = [
            ("id", user.id.clone()),
            ("login", json!(user.login)),
            ("email", json!(user.email)),
            ("external_id", json!(user.external_id)),
            ("admin", json!(is_admin)),
            ("rank", rank.clone()),
            ("disabled", json!(is_off)),
            ("active", json!(!is_off)),
            ("status", status.clone()),
        ];
        for (name, value) in pairs {
            names.insert(name.to_owned(), value);
        }
        let id = text(&user.id);
        let (mut shown, mut listed, mut ids) = (Map::new(), Map::new(), Map::new());
        for kind in dialect.groups.keys() {
            let mine: Vec<(Group, Option<String>)> = self
                .members
                .iter()
                .filter(|one| one.kind == *kind && one.user == id)
                .filter_map(|one| Some((self.group(kind, &one.group, false)?, one.role.clone())))
                .collect();
            let one = |((id, name, more), role): &(Group, Option<String>)| {
                let mut names = more.clone();
                let known = [("id", id.clone()), ("name", json!(name)), ("role", json!(role)), ("user_id", user.id.clone())];
                names.extend(known.map(|(key, value)| (key.to_owned(), value)));
                dialect.membership.get(kind).map_or_else(|| json!(name), |template| super::server::render(template, &names))
            };
            shown.insert(kind.clone(), mine.iter().map(one).collect());
            listed.insert(kind.clone(), mine.iter().map(|((_, name, _), _)| json!(name)).collect());
            ids.insert(kind.clone(), mine.iter().map(|((id, ..), _)| id.clone()).collect());
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
        How::Short => short(&shown.to_lowercase(), &wanted_low),
    })
}

/// A filter in short, as Redmine's lists read theirs: the value says the operator.
fn short(shown: &str, wanted: &str) -> bool {
    match (wanted, wanted.strip_prefix('~'), wanted.strip_prefix('!')) {
        ("*", ..) => true,
        (_, Some(part), _) => shown.contains(part),
        (_, _, Some(other)) => shown != other,
        _ => wanted.split('|').any(|one| one == shown),
    }
}
