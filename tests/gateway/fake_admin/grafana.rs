//! Grafana's admin API in its own manners: one lookup for login and e-mail, 412 for a duplicate, a default organisation for everybody new.
//!
//! Written after its sources (`pkg/api/{user,admin_users,org_users}.go`). An organisation is a [`Group`](super::Group) whose members are `id role`.

use super::{Flavour, Reply, State, User};
use serde_json::{Value, json};

/// `[users] auto_assign_org_id` and `auto_assign_org_role`.
const DEFAULT_ORG: (&str, &str) = ("1", "Viewer");
const ROLES: [&str; 4] = ["None", "Viewer", "Editor", "Admin"];

fn says(status: u16, message: &str) -> Reply {
    (status, json!({ "message": message }), None)
}

fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| json!(id), Value::from)
}

fn member(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

impl State {
    pub(super) fn org(&self, id: &str) -> Vec<(String, String)> {
        let login = |id: &str| self.users.iter().find(|user| user.id == id).map(|user| user.login.clone()).unwrap_or_default();
        let group = self.groups.iter().find(|group| group.id == id);
        group.iter().flat_map(|group| &group.members).map(|text| (login(member(text).0), member(text).1.to_owned())).collect()
    }

    pub(super) fn set_org(&mut self, id: &str, login: &str, role: &str) {
        let Some(user) = self.users.iter().find(|user| user.login == login).map(|user| user.id.clone()) else { return };
        let Some(group) = self.groups.iter_mut().find(|group| group.id == id) else { return };
        group.members.retain(|text| member(text).0 != user);
        if !role.is_empty() {
            group.members.push(format!("{user} {role}"));
        }
    }

    pub(super) fn grafana(&mut self, method: &str, path: &[&str], query: &[(String, String)], body: &Value) -> Reply {
        match (method, path) {
            ("GET", ["api", "admin", "stats"]) => (200, json!({ "orgs": self.groups.len(), "users": self.users.len() }), None),
            ("GET", ["api", "users", "lookup"]) => {
                let wanted = query.iter().find(|(key, _)| key == "loginOrEmail").map(|(_, value)| value.as_str()).unwrap_or_default();
                let found = self.by_login_or_email(wanted);
                // It never says that somebody is disabled.
                found.map_or_else(|| says(404, "user not found"), |user| (200, profile(user, false), None))
            }
            ("GET", ["api", "users", id]) => {
                let found = self.users.iter().find(|user| user.id == *id);
                found.map_or_else(|| says(404, "user not found"), |user| (200, profile(user, user.disabled), None))
            }
            ("GET", ["api", "users", id, "orgs"]) => {
                let orgs = self.groups.iter().filter_map(|group| {
                    let (_, role) = group.members.iter().map(|text| member(text)).find(|(user, _)| user == id)?;
                    Some(json!({ "orgId": number(&group.id), "name": group.name, "role": role }))
                });
                (200, orgs.collect(), None)
            }
            ("POST", ["api", "admin", "users"]) => self.create_at_grafana(body),
            ("PUT", ["api", "users", id]) => {
                let email = body["email"].as_str().unwrap_or_default();
                if self.users.iter().any(|user| user.id != *id && user.email.as_deref().is_some_and(|has| has.eq_ignore_ascii_case(email))) {
                    return says(409, "User with the given email already exists");
                }
                let Some(user) = self.users.iter_mut().find(|user| user.id == *id) else { return says(404, "user not found") };
                if user.record["external"] == json!(true) {
                    return says(403, "User info cannot be updated for external Users");
                }
                // What is left out stays as it is.
                if !email.is_empty() {
                    user.email = Some(email.to_owned());
                }
                if let Some(name) = body["name"].as_str() {
                    user.record["name"] = json!(name);
                }
                says(200, "User updated")
            }
            ("POST", ["api", "admin", "users", id, verb @ ("disable" | "enable" | "logout")]) => {
                let Some(user) = self.users.iter_mut().find(|user| user.id == *id) else { return says(404, "user not found") };
                // Whoever has ever come in by a header or a token.
                if *verb != "logout" && user.record["external"] == json!(true) {
                    return says(500, &format!("Could not {verb} external user"));
                }
                user.disabled = *verb == "disable" || user.disabled && *verb == "logout";
                says(200, "done")
            }
            ("DELETE", ["api", "admin", "users", id]) => {
                let Some(at) = self.users.iter().position(|user| user.id == *id) else { return says(404, "user not found") };
                self.users.remove(at);
                self.groups.iter_mut().for_each(|group| group.members.retain(|text| member(text).0 != *id));
                says(200, "User deleted")
            }
            ("GET", ["api", "orgs", id]) => match self.groups.iter().find(|group| group.id == *id) {
                Some(group) => (200, json!({ "id": number(&group.id), "name": group.name }), None),
                None => says(404, "Organization not found"),
            },
            ("POST", ["api", "orgs", id, "users"]) => {
                let role = body["role"].as_str().unwrap_or_default();
                let user = self.by_login_or_email(body["loginOrEmail"].as_str().unwrap_or_default()).map(|user| user.id.clone());
                let Some(user) = user else { return says(404, "User not found") };
                if !ROLES.contains(&role) {
                    return says(400, "Invalid role specified");
                }
                let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else { return says(500, "Could not add user") };
                if group.members.iter().any(|text| member(text).0 == user) {
                    return says(409, "User is already member of this organization");
                }
                group.members.push(format!("{user} {role}"));
                (200, json!({ "message": "User added to organization", "userId": number(&user) }), None)
            }
            ("PATCH" | "DELETE", ["api", "orgs", id, "users", user]) => {
                let role = body["role"].as_str().unwrap_or_default();
                let external = self.users.iter().any(|known| known.id == *user && known.record["synced"] == json!(true));
                let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else { return says(404, "Organization not found") };
                let others = |text: &&String| member(text).1 == "Admin" && member(text).0 != *user;
                let is_admin = group.members.contains(&format!("{user} Admin"));
                if is_admin && role != "Admin" && !group.members.iter().any(|text| others(&text)) {
                    return says(400, "Cannot remove last organization admin");
                }
                if method == "PATCH" && external {
                    return says(403, "Cannot change role for externally synced user");
                }
                let Some(at) = group.members.iter().position(|text| member(text).0 == *user) else { return says(404, "User not found") };
                if method == "DELETE" {
                    group.members.remove(at);
                    return says(200, "User removed from organization");
                }
                group.members[at] = format!("{user} {role}");
                says(200, "Organization user updated")
            }
            _ => says(404, "Not found"),
        }
    }

    fn create_at_grafana(&mut self, body: &Value) -> Reply {
        let text = |name: &str| body[name].as_str().unwrap_or_default().trim().to_owned();
        let (login, email) = (text("login"), text("email"));
        if text("password").len() < 4 {
            return says(400, "Password is missing or too short");
        }
        let is = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        if self.users.iter().any(|user| is(&user.login, &login) || user.email.as_deref().is_some_and(|has| is(has, &email))) {
            return says(412, &format!("User with email '{email}' or username '{login}' already exists"));
        }
        let id = self.fresh(Flavour::Grafana, &login);
        self.users.push(User { id: id.clone(), login, email: Some(email), record: body.clone(), ..User::default() });
        if let Some(group) = self.groups.iter_mut().find(|group| group.id == DEFAULT_ORG.0) {
            group.members.push(format!("{id} {}", DEFAULT_ORG.1));
        }
        (200, json!({ "id": number(&id), "message": "User created" }), None)
    }

    /// E-mail first when there is an @ in it, as Grafana does.
    fn by_login_or_email(&self, wanted: &str) -> Option<&User> {
        let by_email = || self.users.iter().find(|user| user.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(wanted)));
        let by_login = || self.users.iter().find(|user| user.login.eq_ignore_ascii_case(wanted));
        if wanted.contains('@') { by_email().or_else(by_login) } else { by_login().or_else(by_email) }
    }
}

fn profile(user: &User, disabled: bool) -> Value {
    json!({
        "id": number(&user.id), "email": user.email, "name": user.record["name"], "login": user.login, "theme": "", "orgId": 1,
        "isGrafanaAdmin": user.admin, "isDisabled": disabled, "isExternal": user.record["external"] == json!(true),
    })
}
