//! As much of SCIM 2.0 (RFC 7643, RFC 7644) as provisioning needs: users by filter, create, patch, replace, delete; groups and their members.

#![expect(clippy::indexing_slicing, reason = "JSON values only: a key that is not there reads as null, and is added when written to an object")]

use super::app::App;
use super::http::{Body, Call, answer as plain};
use super::table::{Account, Group, Table, Taken};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// A refusal: status, `scimType`, `detail`.
type Refusal = (StatusCode, Option<&'static str>, String);

/// Answers an admin call whose token was accepted.
pub(super) async fn answer(app: &App, call: &Call) -> Response<Body> {
    let path = call.path.strip_prefix("/scim/v2").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if call.method == Method::POST
        && parts == ["Users"]
        && let Some(failure) = app.before_create().await
    {
        return failure;
    }
    match dispatch(&mut app.table(), call, &parts) {
        Ok((status, Value::Null)) => plain(status, "application/scim+json", ""),
        Ok((status, value)) => plain(status, "application/scim+json", value.to_string()),
        Err((status, scim_type, detail)) => {
            let mut error =
                json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.as_u16().to_string(), "detail": detail });
            if let Some(scim_type) = scim_type {
                error["scimType"] = scim_type.into();
            }
            plain(status, "application/scim+json", error.to_string())
        }
    }
}

/// One look at the table for the whole call: locking it twice would wait for itself.
fn dispatch(table: &mut Table, call: &Call, parts: &[&str]) -> Result<(StatusCode, Value), Refusal> {
    match (&call.method, parts) {
        (&Method::GET, ["ServiceProviderConfig"]) => Ok((StatusCode::OK, provider_config())),
        (&Method::GET, ["Users"]) => users(table, call),
        (&Method::POST, ["Users"]) => create(table, call),
        (&Method::GET, ["Users", id]) => find(table, id).map(|account| (StatusCode::OK, user(table, &account))),
        (&Method::PATCH, ["Users", id]) => patch_user(table, id, call),
        (&Method::PUT, ["Users", id]) => replace_user(table, id, call),
        (&Method::DELETE, ["Users", id]) => {
            let account = find(table, id)?;
            table.remove(account.id);
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        (&Method::GET, ["Groups"]) => groups(table, call),
        (&Method::GET, ["Groups", id]) => group_of(table, id).map(|group| (StatusCode::OK, group_json(&group, true))),
        (&Method::PATCH, ["Groups", id]) => patch_group(table, id, call),
        _ => Err((StatusCode::NOT_FOUND, None, "There is no such resource.".to_owned())),
    }
}

fn users(table: &Table, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let filter = call.param("filter").map(parse_filter).transpose()?;
    let fits = |account: &Account| match &filter {
        None => true,
        Some((attribute, value)) => match attribute.as_str() {
            "id" => account.id.to_string() == *value,
            // RFC 7643 8.7.1: externalId is case-exact, userName and e-mail are not.
            "externalid" => account.external_id.as_ref() == Some(value),
            "username" => account.login.eq_ignore_ascii_case(value),
            "displayname" => account.display.eq_ignore_ascii_case(value),
            _ => account.email.eq_ignore_ascii_case(value),
        },
    };
    if let Some((attribute, _)) = &filter
        && !["id", "externalid", "username", "displayname", "emails", "emails.value"].contains(&attribute.as_str())
    {
        return Err(invalid_filter());
    }
    let found: Vec<Value> = table.accounts.iter().filter(|account| fits(account)).map(|account| user(table, account)).collect();
    Ok((StatusCode::OK, page(found, call)))
}

/// `attribute eq "value"`, the one filter we know (RFC 7644 3.4.2.2): lower-cased attribute, unescaped value.
fn parse_filter(text: &str) -> Result<(String, String), Refusal> {
    let mut parts = text.trim().splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(attribute), Some(operator), Some(value)) if operator.eq_ignore_ascii_case("eq") => {
            let value = serde_json::from_str::<String>(value.trim()).or(Err(invalid_filter()))?;
            let attribute = attribute.rsplit_once(':').map_or(attribute, |(_, name)| name);
            Ok((attribute.to_lowercase(), value))
        }
        _ => Err(invalid_filter()),
    }
}

fn invalid_filter() -> Refusal {
    (StatusCode::BAD_REQUEST, Some("invalidFilter"), "Only `attribute eq \"value\"` is understood.".to_owned())
}

/// A list response from `startIndex` (1-based), at most `count`.
fn page(all: Vec<Value>, call: &Call) -> Value {
    let number = |name: &str, or: usize| call.param(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(or);
    let (start, count, total) = (number("startIndex", 1).max(1), number("count", 100), all.len());
    let shown: Vec<Value> = all.into_iter().skip(start - 1).take(count).collect();
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total, "startIndex": start, "itemsPerPage": shown.len(), "Resources": shown,
    })
}

fn find(table: &Table, id: &str) -> Result<Account, Refusal> {
    let account = id.parse().ok().and_then(|id| table.account(id)).cloned();
    account.ok_or_else(|| (StatusCode::NOT_FOUND, None, format!("User {id} is not here.")))
}

fn create(table: &mut Table, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let mut account = Account { active: true, origin: "made by the gateway just now", ..Account::default() };
    for (name, value) in body(call)?.as_object().into_iter().flatten() {
        set(&mut account, name, value)?;
    }
    if account.login.is_empty() {
        return Err((StatusCode::BAD_REQUEST, Some("invalidValue"), "userName is required.".to_owned()));
    }
    let account = table.add(account).map_err(taken)?;
    Ok((StatusCode::CREATED, user(table, &account)))
}

fn replace_user(table: &mut Table, id: &str, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let old = find(table, id)?;
    let mut account = Account { id: old.id, login: old.login, origin: old.origin, active: true, ..Account::default() };
    for (name, value) in body(call)?.as_object().into_iter().flatten() {
        set(&mut account, name, value)?;
    }
    table.put(account.clone()).map_err(taken)?;
    Ok((StatusCode::OK, user(table, &account)))
}

/// RFC 7644 3.5.2. Operation names in any case: Entra writes `Replace`.
fn patch_user(table: &mut Table, id: &str, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let mut account = find(table, id)?;
    for operation in operations(&body(call)?)? {
        let (verb, path, value) = operation;
        match (verb.as_str(), path) {
            ("remove", Some(path)) => set(&mut account, &path, &Value::Null)?,
            ("add" | "replace", Some(path)) => set(&mut account, &path, &value)?,
            ("add" | "replace", None) => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    set(&mut account, name, value)?;
                }
            }
            _ => return Err((StatusCode::BAD_REQUEST, Some("invalidSyntax"), "The operation is not one of add, replace, remove.".to_owned())),
        }
    }
    table.put(account.clone()).map_err(taken)?;
    Ok((StatusCode::OK, user(table, &account)))
}

/// Operations as lower-cased verb, path, value.
fn operations(body: &Value) -> Result<Vec<(String, Option<String>, Value)>, Refusal> {
    let list = body.get("Operations").and_then(Value::as_array);
    let list = list.ok_or_else(|| (StatusCode::BAD_REQUEST, Some("invalidSyntax"), "Operations are missing.".to_owned()))?;
    let text = |operation: &Value, name: &str| operation.get(name).and_then(Value::as_str).map(str::to_owned);
    let one = |operation: &Value| {
        (text(operation, "op").unwrap_or_default().to_lowercase(), text(operation, "path"), operation.get("value").cloned().unwrap_or_default())
    };
    Ok(list.iter().map(one).collect())
}

/// Sets an attribute by its path; unknown ones are taken and forgotten, as many servers do. `null` clears.
fn set(account: &mut Account, path: &str, value: &Value) -> Result<(), Refusal> {
    let path = path.strip_prefix(USER).map_or(path, |rest| rest.trim_start_matches(':'));
    let text = || value.as_str().unwrap_or_default().to_owned();
    let first_value = |value: &Value| match value {
        Value::Array(items) => {
            let primary = items.iter().find(|item| item["primary"] == true).or(items.first());
            primary.and_then(|item| item["value"].as_str()).unwrap_or_default().to_owned()
        }
        Value::Object(item) => item.get("value").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    };
    match path.split('[').next().unwrap_or(path).to_lowercase().as_str() {
        "username" if value.as_str().is_some_and(|name| !name.is_empty()) => account.login = text(),
        "username" => return Err((StatusCode::BAD_REQUEST, Some("invalidValue"), "userName cannot be empty.".to_owned())),
        "externalid" => account.external_id = value.as_str().filter(|id| !id.is_empty()).map(str::to_owned),
        "displayname" => account.display = text(),
        "active" => account.active = value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))),
        "name.givenname" => account.given = text(),
        "name.familyname" => account.family = text(),
        "name" => {
            for (part, value) in value.as_object().into_iter().flatten() {
                set(account, &format!("name.{part}"), value)?;
            }
        }
        "emails" | "emails.value" => account.email = first_value(value),
        "phonenumbers" => account.phone = first_value(value),
        "id" | "groups" | "meta" => return Err((StatusCode::BAD_REQUEST, Some("mutability"), format!("{path} is read-only."))),
        _ => {}
    }
    Ok(())
}

fn groups(table: &Table, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let filter = call.param("filter").map(parse_filter).transpose()?;
    if filter.as_ref().is_some_and(|(attribute, _)| !["displayname", "members", "members.value"].contains(&attribute.as_str())) {
        return Err(invalid_filter());
    }
    let with_members = !call.param("excludedAttributes").unwrap_or("").split(',').any(|name| name == "members");
    let fits = |group: &&Group| match &filter {
        None => true,
        Some((attribute, name)) if attribute == "displayname" => group.name.eq_ignore_ascii_case(name),
        Some((_, member)) => member.parse().is_ok_and(|id| group.members.contains(&id)),
    };
    let found: Vec<Value> = table.groups.iter().filter(fits).map(|group| group_json(group, with_members)).collect();
    Ok((StatusCode::OK, page(found, call)))
}

fn group_of(table: &mut Table, id: &str) -> Result<Group, Refusal> {
    let group = id.parse().ok().and_then(|id| table.group(id).cloned());
    group.ok_or_else(|| (StatusCode::NOT_FOUND, None, format!("Group {id} is not here.")))
}

fn patch_group(table: &mut Table, id: &str, call: &Call) -> Result<(StatusCode, Value), Refusal> {
    let mut group = group_of(table, id)?;
    for (verb, path, value) in operations(&body(call)?)? {
        let path = path.unwrap_or_else(|| "members".to_owned());
        let named: Vec<u32> = match (path.split_once('['), &value) {
            // `members[value eq "7"]`
            (Some((_, filter)), _) => parse_filter(filter.trim_end_matches(']')).map(|(_, id)| id.parse().into_iter().collect())?,
            (None, Value::Array(items)) => items.iter().filter_map(|item| item["value"].as_str()?.parse().ok()).collect(),
            (None, Value::Object(item)) => {
                let items = item.get("members").and_then(Value::as_array).map_or(std::slice::from_ref(&value), Vec::as_slice);
                items.iter().filter_map(|item| item["value"].as_str()?.parse().ok()).collect()
            }
            (None, _) => Vec::new(),
        };
        if let Some(unknown) = named.iter().find(|id| table.account(**id).is_none()) {
            return Err((StatusCode::BAD_REQUEST, Some("invalidValue"), format!("There is no user {unknown}.")));
        }
        match verb.as_str() {
            "add" => group.members.extend(named),
            "replace" => group.members = named.into_iter().collect(),
            "remove" if named.is_empty() => group.members.clear(),
            "remove" => group.members.retain(|id| !named.contains(id)),
            _ => return Err((StatusCode::BAD_REQUEST, Some("invalidSyntax"), "The operation is not one of add, replace, remove.".to_owned())),
        }
    }
    if let Some(old) = table.group(group.id) {
        *old = group;
    }
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

fn body(call: &Call) -> Result<Value, Refusal> {
    serde_json::from_slice(&call.body)
        .map_err(|problem| (StatusCode::BAD_REQUEST, Some("invalidSyntax"), format!("The body is not JSON: {problem}.")))
}

fn taken(which: Taken) -> Refusal {
    let name = match which {
        Taken::Login => "userName",
        Taken::Email => "emails.value",
        Taken::ExternalId => "externalId",
    };
    (StatusCode::CONFLICT, Some("uniqueness"), format!("{name} is taken."))
}

fn user(table: &Table, account: &Account) -> Value {
    let groups: Vec<Value> = table.groups_of(account.id).into_iter().map(|(id, name)| json!({ "value": id.to_string(), "display": name })).collect();
    let mut value = json!({
        "schemas": [USER], "id": account.id.to_string(), "userName": account.login, "displayName": account.display, "active": account.active,
        "name": { "givenName": account.given, "familyName": account.family }, "groups": groups,
        "meta": { "resourceType": "User", "location": format!("/scim/v2/Users/{}", account.id) },
    });
    if let Some(external_id) = &account.external_id {
        value["externalId"] = external_id.as_str().into();
    }
    if !account.email.is_empty() {
        value["emails"] = json!([{ "value": account.email, "type": "work", "primary": true }]);
    }
    if !account.phone.is_empty() {
        value["phoneNumbers"] = json!([{ "value": account.phone, "type": "work" }]);
    }
    value
}

fn group_json(group: &Group, with_members: bool) -> Value {
    let mut value = json!({ "schemas": [GROUP], "id": group.id.to_string(), "displayName": group.name, "meta": { "resourceType": "Group" } });
    if with_members {
        value["members"] = group.members.iter().map(|id| json!({ "value": id.to_string(), "type": "User" })).collect();
    }
    value
}

fn provider_config() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true }, "bulk": { "supported": false }, "filter": { "supported": true, "maxResults": 100 },
        "changePassword": { "supported": false }, "sort": { "supported": false }, "etag": { "supported": false },
        "authenticationSchemes": [{ "type": "oauthbearertoken", "name": "Bearer", "description": "A fixed token" }],
    })
}
