//! Which accounts get memberships and roles, and which are nobody's to take.
//!
//! Lives here: [`joins`] and [`protected`], the readers of `[provision] join join_when protect protect_when`. Pure; `plan` and tests may ask them too. Apart from
//! `linking.rs` because they say what a policy adds to the rules that hold everywhere.

use crate::expr::Lookup;
use crate::plan::Account;
use crate::policy::Switches;
use crate::policy::switches::Join;
use crate::state::Origin;
use serde_json::{Map, Value};

/// Whether memberships are applied to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// They are.
    Yes,
    /// They are not, for this reason.
    No(String),
    /// Not before a human has approved.
    Waits,
}

/// Whether memberships are applied to `account`, which came about as `origin` says; `scope` has the names of the sign-in.
pub fn joins(switches: &Switches, origin: Origin, approved: bool, scope: &Map<String, Value>, account: &Account) -> Joined {
    match (origin, switches.join) {
        (Origin::Preexisting, _) => return Joined::No("the account was there before and is left as it is".to_owned()),
        (Origin::Adopted, Join::Created) => return Joined::No("join = \"created\", and the account was there before".to_owned()),
        (Origin::Created, _) | (Origin::Adopted, Join::Always | Join::Approval) => {}
    }
    if let Some(condition) = &switches.join_when {
        let (account, word) = (account.names(), Value::from(word(origin)));
        match condition.holds(&Names { scope, account: &account, origin: Some(&word) }) {
            Ok(true) => {}
            Ok(false) => return Joined::No("join_when is false".to_owned()),
            Err(error) => return Joined::No(format!("join_when has no value: {error}")),
        }
    }
    if origin == Origin::Adopted && switches.join == Join::Approval && !approved { Joined::Waits } else { Joined::Yes }
}

/// Why `account` is never taken for anybody's; `None`: by these rules it may be.
pub fn protected(switches: &Switches, scope: &Map<String, Value>, account: &Account) -> Option<String> {
    if switches.protects_login(&account.login) {
        return Some("the login is protected by the policy".to_owned());
    }
    let account = account.names();
    match switches.protect_when.as_ref()?.holds(&Names { scope, account: &account, origin: None }) {
        Ok(false) => None,
        Ok(true) => Some("the account is protected by the policy: protect_when is true".to_owned()),
        // What cannot be said is not taken for "no".
        Err(error) => Some(format!("whether the account is protected cannot be said: protect_when has no value: {error}")),
    }
}

/// As `join_when` says it.
const fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Created => "created",
        Origin::Adopted => "adopted",
        Origin::Preexisting => "preexisting",
    }
}

struct Names<'a> {
    scope: &'a Map<String, Value>,
    account: &'a Value,
    origin: Option<&'a Value>,
}

impl Lookup for Names<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        match name {
            "account" => Some(self.account),
            "origin" => self.origin,
            _ => self.scope.get(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Joined, joins, protected};
    use crate::expr::{Condition, Env, Type};
    use crate::plan::{Account, Shown};
    use crate::policy::Glob;
    use crate::policy::switches::{Join, Switches};
    use crate::state::Origin;
    use serde_json::{Map, Value, json};

    fn when(text: &str) -> Condition {
        let env = Env::sign_in().with("account", Type::Dynamic, false).with("origin", Type::Text, false);
        Condition::compile(text, &env).unwrap().0
    }

    fn account(shown: &Value) -> Account {
        Account { id: "7".into(), login: "Ada".into(), admin: false, shown: Shown(shown.as_object().unwrap().clone()), ..Account::default() }
    }

    fn scope() -> Map<String, Value> {
        json!({"email": "ada@example.com", "groups": ["staff"]}).as_object().unwrap().clone()
    }

    #[test]
    fn what_cannot_be_said_protects_and_does_not_join() {
        let check = |text: &str, shown: Value, is_protected: bool, joined: bool| {
            let switches = Switches { join_when: Some(when(text)), protect_when: Some(when(text)), ..Switches::default() };
            assert_eq!(protected(&switches, &scope(), &account(&shown)).is_some(), is_protected, "{text} {shown}");
            assert_eq!(joins(&switches, Origin::Adopted, false, &scope(), &account(&shown)) == Joined::Yes, joined, "{text} {shown}");
        };
        check("account.is_admin == true", json!({}), true, false);
        check("account.is_admin == true", json!({"is_admin": "yes"}), false, false);
        check("account.is_admin == true", json!({"is_admin": true}), true, true);
        check("account.is_admin == true", json!({"is_admin": false}), false, false);
        check("has(account.is_admin) && account.is_admin == true", json!({}), false, false);
        check("account.created_at >= '2024-01-01'", json!({"created_at": 1_700_000_000}), true, false);
        check("account.created_at >= '2024-01-01'", json!({"created_at": "2023-12-31T23:59:59Z"}), false, false);
        check("account.created_at >= '2024-01-01'", json!({"created_at": "2024-01-01T00:00:00Z"}), true, true);
        check("'staff' in groups && account.login == 'Ada'", json!({}), true, true);
        // The app's own word for it wins over ours.
        check("account.login == 'Ada'", json!({"login": "root"}), false, false);
    }

    #[test]
    fn who_is_joined() {
        let check = |join: Join, origin: Origin, approved: bool, expected: &str| {
            let switches = Switches { join, ..Switches::default() };
            let joined = joins(&switches, origin, approved, &scope(), &account(&json!({})));
            let word = match joined {
                Joined::Yes => "yes",
                Joined::No(_) => "no",
                Joined::Waits => "waits",
            };
            assert_eq!(word, expected, "{join:?} {origin:?} {approved}");
        };
        check(Join::Always, Origin::Preexisting, true, "no");
        check(Join::Created, Origin::Adopted, true, "no");
        check(Join::Approval, Origin::Adopted, false, "waits");
        check(Join::Approval, Origin::Adopted, true, "yes");
        check(Join::Approval, Origin::Created, false, "yes");
        check(Join::Created, Origin::Created, false, "yes");
        check(Join::Always, Origin::Adopted, false, "yes");
        let switches = Switches { join: Join::Approval, join_when: Some(when("origin == 'created'")), ..Switches::default() };
        // Nobody is asked about what would not happen anyway.
        assert!(matches!(joins(&switches, Origin::Adopted, false, &scope(), &account(&json!({}))), Joined::No(_)));
    }

    #[test]
    fn protected_logins_are_protected_in_any_case() {
        let switches = Switches { protect: vec![Glob::new("svc-*"), Glob::new("ADA")], ..Switches::default() };
        assert!(protected(&switches, &scope(), &account(&json!({}))).is_some());
        for (login, is) in [("SVC-backup", true), ("svc-", true), ("mysvc-x", false), ("", false), ("adam", false)] {
            assert_eq!(switches.protects_login(login), is, "{login}");
        }
    }
}
