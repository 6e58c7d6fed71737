//! A Redmine-like admin API, with Redmine's habits: a fuzzy search, 422 with `errors` for whatever is wrong, 204 for changes.

#![expect(clippy::indexing_slicing, reason = "JSON values only: a key that is not there reads as null, and is added when written to an object")]

use super::app::App;
use super::http::{Body, Call, answer as plain, json};
use super::table::{Account, Taken};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// Answers an admin call whose key was accepted.
pub(super) async fn answer(app: &App, call: &Call) -> Response<Body> {
    let path = call.path.trim_start_matches('/').trim_end_matches(".json");
    let parts: Vec<&str> = path.split('/').collect();
    let id = |text: &str| text.parse::<u32>().ok();
    match (&call.method, parts.as_slice()) {
        (&Method::GET, ["users", "current"]) => json(StatusCode::OK, &json!({ "user": { "id": 1, "login": "admin", "admin": true } })),
        (&Method::GET, ["users"]) => list(app, call),
        (&Method::POST, ["users"]) => create(app, call).await,
        (&Method::GET, ["users", user]) => {
            let table = app.table();
            match id(user).and_then(|id| table.account(id)) {
                Some(account) => {
                    let groups: Vec<Value> = table.groups_of(account.id).into_iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
                    let mut user = resource(account);
                    user["groups"] = Value::Array(groups);
                    json(StatusCode::OK, &json!({ "user": user }))
                }
                None => nothing(StatusCode::NOT_FOUND),
            }
        }
        (&Method::PUT, ["users", user]) => update(app, call, id(user)),
        (&Method::GET, ["groups"]) => {
            let groups: Vec<Value> = app.table().groups.iter().map(|group| json!({ "id": group.id, "name": group.name })).collect();
            json(StatusCode::OK, &json!({ "groups": groups }))
        }
        (&Method::POST, ["groups", group, "users"]) => join(app, call, id(group)),
        (&Method::DELETE, ["groups", group, "users", user]) => {
            let user = id(user).unwrap_or(0);
            let left = id(group).and_then(|id| app.table().group(id).map(|group| group.members.remove(&user)));
            nothing(if left == Some(true) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
        }
        _ => nothing(StatusCode::NOT_FOUND),
    }
}

/// `?name=` finds what contains it in any field, as Redmine does: a connector has to look twice.
fn list(app: &App, call: &Call) -> Response<Body> {
    let sought = call.param("name").unwrap_or("").to_lowercase();
    let fits = |account: &Account| {
        [&account.login, &account.given, &account.family, &account.email].iter().any(|text| text.to_lowercase().contains(&sought))
    };
    let table = app.table();
    // Locked accounts are left out unless asked for: `status=` (empty) lists all.
    let all = call.param("status").is_some_and(|status| status.is_empty() || status == "*");
    let users: Vec<Value> = table.accounts.iter().filter(|account| (all || account.active) && fits(account)).map(resource).collect();
    json(StatusCode::OK, &json!({ "users": users, "total_count": users.len(), "offset": 0, "limit": 25 }))
}

async fn create(app: &App, call: &Call) -> Response<Body> {
    if let Some(failure) = app.before_create().await {
        return failure;
    }
    let Some(user) = user_of(call) else { return nothing(StatusCode::BAD_REQUEST) };
    let mut account = Account { active: true, origin: "made by the gateway just now", ..Account::default() };
    fill(&mut account, &user);
    let missing: Vec<String> = [("Login", &account.login), ("First name", &account.given), ("Last name", &account.family), ("Email", &account.email)]
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| format!("{name} cannot be blank"))
        .collect();
    if !missing.is_empty() {
        return errors(&missing);
    }
    match app.table().add(account) {
        Ok(account) => json(StatusCode::CREATED, &json!({ "user": resource(&account) })),
        Err(taken) => errors(&[message(taken)]),
    }
}

fn update(app: &App, call: &Call, id: Option<u32>) -> Response<Body> {
    let Some(user) = user_of(call) else { return nothing(StatusCode::BAD_REQUEST) };
    let mut table = app.table();
    let Some(mut account) = id.and_then(|id| table.account(id)).cloned() else { return nothing(StatusCode::NOT_FOUND) };
    fill(&mut account, &user);
    match table.put(account) {
        Ok(()) => nothing(StatusCode::NO_CONTENT),
        Err(taken) => errors(&[message(taken)]),
    }
}

fn join(app: &App, call: &Call, group: Option<u32>) -> Response<Body> {
    let sent: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    // Redmine takes the number as text as well.
    let user = sent["user_id"].as_u64().or_else(|| sent["user_id"].as_str().and_then(|text| text.parse().ok())).and_then(|id| u32::try_from(id).ok());
    let mut table = app.table();
    let known = user.filter(|id| table.account(*id).is_some());
    match (group.and_then(|id| table.group(id)), known) {
        (None, _) => nothing(StatusCode::NOT_FOUND),
        (Some(_), None) => errors(&["User is invalid".to_owned()]),
        (Some(group), Some(user)) => {
            if group.members.insert(user) {
                nothing(StatusCode::NO_CONTENT)
            } else {
                errors(&["User is already in the group".to_owned()])
            }
        }
    }
}

fn user_of(call: &Call) -> Option<Value> {
    let sent: Value = serde_json::from_slice(&call.body).ok()?;
    sent.get("user").filter(|user| user.is_object()).cloned()
}

fn fill(account: &mut Account, user: &Value) {
    let text = |name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
    for (field, name) in
        [(&mut account.login, "login"), (&mut account.given, "firstname"), (&mut account.family, "lastname"), (&mut account.email, "mail")]
    {
        if let Some(value) = text(name) {
            *field = value;
        }
    }
    if let Some(status) = user.get("status").and_then(Value::as_u64) {
        account.active = status == 1;
    }
    format!("{} {}", account.given, account.family).trim().clone_into(&mut account.display);
}

fn resource(account: &Account) -> Value {
    json!({
        "id": account.id, "login": account.login, "admin": account.id == 1, "firstname": account.given, "lastname": account.family,
        "mail": account.email, "status": if account.active { 1 } else { 3 },
    })
}

fn message(taken: Taken) -> String {
    match taken {
        Taken::Login | Taken::ExternalId => "Login has already been taken".to_owned(),
        Taken::Email => "Email has already been taken".to_owned(),
    }
}

fn errors(list: &[String]) -> Response<Body> {
    json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": list }))
}

fn nothing(status: StatusCode) -> Response<Body> {
    plain(status, "application/json", "")
}
