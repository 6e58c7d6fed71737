//! Who is meant: somebody who has signed in, or somebody made up in a file.

use super::answer::ago;
use crate::clock::Timestamp;
use crate::config::Gateway;
use crate::identity::{Groups, Identity, SubjectId};
use crate::policy::Policy;
use crate::source::value::nearest;
use crate::state::{AccountKey, AccountRecord, RecordedSignIn, Store, newest_of_each};
use serde_json::{Map, Value};

/// A person, or nobody.
#[derive(Debug)]
pub(super) struct Who {
    /// Who it is; `None`: nobody is signed in.
    pub(super) person: Option<Person>,
}

/// A person, and what is known of them.
#[derive(Debug)]
pub(super) struct Person {
    /// As asserted.
    pub(super) identity: Identity,
    /// When they signed in at the provider.
    pub(super) auth_time: Timestamp,
    /// How we know: `14 minutes ago`, `from ada.json`.
    pub(super) known: String,
    /// Beside it.
    pub(super) note: &'static str,
    /// Their account at the app, as recorded.
    pub(super) account: Option<AccountRecord>,
}

impl Who {
    pub(super) const fn nobody() -> Self {
        Self { person: None }
    }
}

/// Somebody made up: the keys of `[[test]] user`, just signed in.
pub(super) fn from_file(path: &str, gateway: &Gateway, policy: &Policy, now: Timestamp) -> Result<Who, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--user {path}: {error}"))?;
    let fields: Map<String, Value> = serde_json::from_str(&text).map_err(|error| format!("--user {path}: this is not a JSON object: {error}"))?;
    let fallback = policy.login.idp.first().map_or("", String::as_str);
    let mut identity = read(fields, fallback).map_err(|problem| format!("--user {path}: {problem}"))?;
    let Some(idp) = gateway.idps.iter().find(|idp| idp.id == identity.idp) else {
        return Err(format!("--user {path}: there is no [[idp]] called {}", identity.idp));
    };
    identity.subject.issuer.clone_from(&idp.issuer);
    Ok(Who { person: Some(Person { identity, auth_time: now, known: "as if just now".to_owned(), note: "(made up in a file)", account: None }) })
}

/// The keys that a person in a file may have.
const KEYS: [&str; 10] = ["email", "email_verified", "name", "given_name", "family_name", "username", "groups", "idp", "sub", "claims"];

/// A person of these keys; all may be left out.
fn read(mut fields: Map<String, Value>, idp: &str) -> Result<Identity, String> {
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let meant = nearest(unknown, KEYS)
            .map_or_else(|| format!("claims are written {{\"claims\": {{\"{unknown}\": …}}}}"), |key| format!("did you mean `{key}`?"));
        return Err(format!("`{unknown}` is not a key of a person; {meant}"));
    }
    let mut text = |key: &str| match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` takes a text")),
    };
    let (email, name, given_name) = (text("email")?, text("name")?, text("given_name")?);
    let (family_name, username) = (text("family_name")?, text("username")?);
    let (asserted_by, subject) = (text("idp")?, text("sub")?);
    let email_verified = match fields.remove("email_verified") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(yes)) => yes,
        Some(_) => return Err("`email_verified` takes true or false".to_owned()),
    };
    let groups = match fields.remove("groups") {
        None => Groups::Known(Vec::new()),
        // What a provider that leaves them out says.
        Some(Value::Null) => Groups::Unknown,
        Some(listed) => Groups::Known(
            serde_json::from_value(listed).map_err(|_not_texts| "`groups` takes a list of texts, or null for \"the provider did not say\"")?,
        ),
    };
    let claims = match fields.remove("claims") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(claims)) => claims,
        Some(_) => return Err("`claims` takes an object".to_owned()),
    };
    let subject = SubjectId { issuer: String::new(), subject: subject.or_else(|| email.clone()).unwrap_or_else(|| "somebody".to_owned()) };
    let idp = asserted_by.unwrap_or_else(|| idp.to_owned());
    Ok(Identity { subject, idp, email, email_verified, name, given_name, family_name, username, groups, claims })
}

/// Somebody who has signed in: the last time they did.
pub(super) async fn recorded(store: &dyn Store, email: Option<&str>, subject: Option<&str>, policy: &Policy, now: Timestamp) -> Result<Who, String> {
    let unread = |error: crate::state::StoreError| format!("the state file cannot be read: {error}");
    let mut found = match (email, subject) {
        (Some(email), _) => store.last_by_email(email).await.map_err(unread)?,
        (None, Some(subject)) => store.last_by_subject(None, subject).await.map_err(unread)?,
        (None, None) => Vec::new(),
    };
    found.retain(|sign_in| subject.is_none_or(|subject| sign_in.identity.subject.subject == subject));
    let called = email.or(subject).unwrap_or_default();
    // The same person at two providers that vouch under one issuer: the later one counts.
    let mut people = newest_of_each(found);
    if people.len() > 1 {
        return Err(several(called, subject.is_some(), &people, now));
    }
    let Some(sign_in) = people.pop() else {
        return Err(format!(
            "nobody called {called} has signed in lately: sign-ins are kept for [state] sign_ins_keep\n  --user FILE explains for somebody who has not: a JSON file with {}",
            KEYS.join(", ")
        ));
    };
    let key = AccountKey { upstream: policy.name.clone(), subject: sign_in.identity.subject.clone() };
    let account = store.account(&key).await.map_err(unread)?;
    let known = ago(now.since_ms(sign_in.at));
    let note = "(as of the last sign-in; --user FILE for another)";
    Ok(Who { person: Some(Person { identity: sign_in.identity, auth_time: sign_in.auth_time, known, note, account }) })
}

fn several(called: &str, by_subject: bool, people: &[RecordedSignIn], now: Timestamp) -> String {
    let line = |sign_in: &RecordedSignIn| {
        let identity = &sign_in.identity;
        let name = identity.name.as_deref().or(identity.email.as_deref()).unwrap_or_default();
        format!(
            "\n  --subject {}   {name} via {} ({}), {}",
            identity.subject.subject,
            identity.idp,
            identity.subject.issuer,
            ago(now.since_ms(sign_in.at))
        )
    };
    let way_out = if by_subject { "--user EMAIL says which" } else { "--subject says which" };
    format!("{called} is {} people; {way_out}:{}", people.len(), people.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::identity::Groups;
    use serde_json::json;

    #[test]
    fn a_person_in_a_file_is_read_strictly() {
        let check = |fields: serde_json::Value, problem: &str| {
            let found = read(fields.as_object().unwrap().clone(), "corp").unwrap_err();
            assert!(found.contains(problem), "{found}");
        };
        check(json!({ "group": ["x"] }), "did you mean `groups`?");
        check(json!({ "department": "x" }), "claims are written {\"claims\": {\"department\": …}}");
        check(json!({ "email": 5 }), "`email` takes a text");
        check(json!({ "groups": "x" }), "`groups` takes a list");
        check(json!({ "email_verified": "yes" }), "true or false");
        check(json!({ "claims": [] }), "an object");
        let person = read(json!({ "email": "ada@example.com", "groups": ["x"] }).as_object().unwrap().clone(), "corp").unwrap();
        assert_eq!((person.idp.as_str(), person.subject.subject.as_str(), person.email_verified), ("corp", "ada@example.com", true));
        assert_eq!(person.groups, Groups::Known(vec!["x".to_owned()]));
        assert_eq!(read(json!({ "groups": null }).as_object().unwrap().clone(), "corp").unwrap().groups, Groups::Unknown);
    }
}
