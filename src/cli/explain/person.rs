//! Who is meant: somebody who has signed in, or somebody made up in a file.

use super::answer::ago;
use crate::cli::vouched::{Vouched, words};
use crate::clock::Timestamp;
use crate::config::{Gateway, Idp};
use crate::identity::{Identity, Way};
use crate::policy::Policy;
use crate::policy::schema::SIGN_IN_NAMES;
use crate::rehearse;
use crate::state::{AccountKey, AccountRecord, RecordedSignIn, Store, newest_of_each};

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

/// Somebody made up, in any of the forms that `plan --user` takes: just signed in.
pub(super) fn from_file(path: &str, gateway: &Gateway, policy: &Policy, way: Way, now: Timestamp) -> Result<Who, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--user {path}: {error}"))?;
    let identity = rehearse::person::read_by(&text, &gateway.idps, policy, way).map_err(|problem| format!("--user {path}: {problem}"))?;
    Ok(Who { person: Some(Person { identity, auth_time: now, known: "as if just now".to_owned(), note: "(made up in a file)", account: None }) })
}

/// Somebody who has signed in, the last time they did: whoever is `called` so, by e-mail address or by the subject that `by` says. `idps` are those of the gateway.
pub(super) async fn recorded(
    store: &dyn Store,
    called: &str,
    (by, idps): (&Vouched, &[Idp]),
    policy: &Policy,
    now: Timestamp,
) -> Result<Who, String> {
    let unread = |error: crate::state::StoreError| format!("the state file cannot be read: {error}");
    let by_email = by.subject.as_deref() != Some(called);
    let mut found =
        if by_email { store.last_by_email(called).await } else { store.last_by_subject(by.issuer.as_deref(), called).await }.map_err(unread)?;
    found.retain(|sign_in| by.takes(&sign_in.identity));
    // The same person at two providers that vouch under one issuer: the later one counts.
    let mut people = newest_of_each(found);
    if people.len() > 1 {
        return Err(several(called, &people, now));
    }
    if let (true, Some(why)) = (people.is_empty(), by.no_such_idp(idps)) {
        return Err(why);
    }
    let Some(sign_in) = people.pop() else {
        return Err(format!(
            "nobody called {called} has signed in lately: sign-ins are kept for [state] sign_ins_keep\n  --user FILE explains for somebody who has not: a JSON file with {}",
            SIGN_IN_NAMES.join(", ")
        ));
    };
    let key = AccountKey { upstream: policy.name.clone(), subject: sign_in.identity.subject.clone() };
    let account = store.account(&key).await.map_err(unread)?;
    let known = ago(now.since_ms(sign_in.at));
    let note = "(as of the last sign-in; --user FILE for another)";
    Ok(Who { person: Some(Person { identity: sign_in.identity, auth_time: sign_in.auth_time, known, note, account }) })
}

fn several(called: &str, people: &[RecordedSignIn], now: Timestamp) -> String {
    let line = |sign_in: &RecordedSignIn| {
        let identity = &sign_in.identity;
        let name = identity.name.as_deref().or(identity.email.as_deref()).unwrap_or_default();
        format!("\n  {}   {name} via {}, {}", words(identity), identity.idp, ago(now.since_ms(sign_in.at)))
    };
    format!("{called} is {} people; for exactly one of them add:{}", people.len(), people.iter().map(line).collect::<String>())
}
