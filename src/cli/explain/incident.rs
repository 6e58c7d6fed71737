//! The same for a recorded refusal: what was decided then, for whom, and whether it would be decided the same way today.

use super::answer::{Answer, Question, Recorded, Verdict, ago, ask, sees, sign_in};
use super::person::{Person, Who};
use super::place::Place;
use crate::clock::Timestamp;
use crate::fault::{Incident, PublicMessage};
use crate::identity::Way;
use crate::load::Loaded;
use crate::policy::Policy;
use crate::source::value::duration_text;
use crate::state::{AccountKey, IncidentFacts, IncidentRecord, OF_ONE_PERSON_MAX, Store, StoreError, newest_of_each};
use url::Url;

/// Explains the incident with this code.
pub(super) async fn explain(code: Incident, loaded: &Loaded, store: &dyn Store, now: Timestamp) -> Result<Answer, String> {
    let unread = |error: StoreError| format!("the state file cannot be read: {error}");
    let Some(IncidentRecord { at, facts, .. }) = store.incident(code).await.map_err(unread)? else {
        return Err(format!(
            "no incident {code} is recorded in {}: they are kept for {} ([state] incidents_keep), the last {OF_ONE_PERSON_MAX} of a person\n  is it of another gateway (--config)? The audit log has the code as well",
            loaded.gateway.state.url,
            duration_text(loaded.gateway.state.incidents_keep_ms)
        ));
    };
    let policy = facts.app.as_deref().and_then(|app| loaded.policies.iter().map(AsRef::as_ref).find(|policy: &&Policy| policy.name == app));
    let mut who = Who::nobody();
    if let (Some(identity), Some(app)) = (&facts.person, &facts.app) {
        let account = store.account(&AccountKey { upstream: app.clone(), subject: identity.subject.clone() }).await.map_err(unread)?;
        let auth_time = facts.auth_time_ms.map_or(at, Timestamp::from_millis);
        let known = if facts.cut { "as asserted then, shortened" } else { "as asserted then" }.to_owned();
        who.person = Some(Person { identity: identity.clone(), auth_time, known, note: "", account });
    }
    let mut answer = then(loaded, policy, &facts, &who, at)?;
    answer.incident =
        Some(Recorded { code, ago: ago(now.since_ms(at)), request: request(&facts), log: facts.detail.clone().or_else(|| reason(&facts)) });
    if let (Some(policy), Some(person)) = (policy, &who.person) {
        let found = store.last_by_subject(Some(&person.identity.subject.issuer), &person.identity.subject.subject).await.map_err(unread)?;
        if let Some(newer) = newest_of_each(found).pop().filter(|newer| newer.at > at) {
            let since =
                Person { identity: newer.identity, auth_time: newer.auth_time, known: String::new(), note: "", account: person.account.clone() };
            let asked = asked_again(loaded, policy, &facts, &Who { person: Some(since) }, newer.at)?;
            if let Some(asked) = asked.filter(|asked| (asked.verdict, &asked.why) != (answer.verdict, &answer.why)) {
                let when = ago(now.since_ms(newer.at));
                answer.today.push(format!("with the sign-in of {when}: {}{}", asked.verdict.word(), because(&asked)));
            }
        }
    }
    Ok(answer)
}

/// What was recorded, with the checks of the policy as it is today.
fn then(loaded: &Loaded, policy: Option<&Policy>, facts: &IncidentFacts, who: &Who, at: Timestamp) -> Result<Answer, String> {
    let page = sees(&loaded.gateway, facts.message, policy, facts.person.as_ref());
    let (verdict, why) = recorded(facts);
    let today = match policy {
        Some(policy) => asked_again(loaded, policy, facts, who, at)?,
        None => None,
    };
    let mut answer = Answer {
        verdict,
        why,
        place: facts.rule.as_deref().map(Place::of),
        incident: None,
        sign_in: who.person.as_ref().map(sign_in),
        matched: Vec::new(),
        checks: Vec::new(),
        gets: None,
        sees: Some(page),
        fix: None,
        today: Vec::new(),
    };
    let changed = policy.is_some_and(|policy| facts.policy_revision.as_ref().is_some_and(|revision| *revision != policy.revision));
    if let Some(app) = facts.app.as_ref().filter(|_| policy.is_none()) {
        answer.today.push(format!("there is no policy called {app} any more, or it has errors (vestibule check)"));
    }
    let Some(today) = today else { return Ok(answer) };
    // `max_age` was recorded, and is `max_age 15m` when asked again.
    let same = today.verdict == answer.verdict && today.why.starts_with(&answer.why);
    if same {
        // The line of the key, where the log has that of the section.
        answer.place = today.place.or(answer.place);
        answer.fix = today.fix;
    } else if matches!(verdict, Verdict::Deny | Verdict::SignIn) {
        answer.today.push(format!(
            "with today's policy: {}{}",
            today.verdict.word(),
            if today.passes() { String::new() } else { format!(" {}", today.why) }
        ));
    }
    if changed {
        answer.today.push("the policy has changed since: sections and checks above are those of today".to_owned());
    }
    (answer.matched, answer.checks, answer.gets) = (today.matched, today.checks, today.gets);
    Ok(answer)
}

/// The same request of the same person, asked of the policy as it is today; `None`: what was recorded is no request for a page.
fn asked_again(loaded: &Loaded, policy: &Policy, facts: &IncidentFacts, who: &Who, at: Timestamp) -> Result<Option<Answer>, String> {
    let (Some(method), Some(path)) = (&facts.method, &facts.path) else { return Ok(None) };
    // One that was cut is another path.
    if path.ends_with('…') || path.starts_with("/.vestibule") || facts.host.as_ref().is_some_and(|host| *host == loaded.gateway.server.auth_host) {
        return Ok(None);
    }
    let url = Url::parse(&format!("https://{}{path}", policy.host)).map_err(|error| format!("{path}: {error}"))?;
    ask(
        &loaded.gateway,
        policy,
        who,
        Question { url: &url, path: url.path(), method, ip: facts.peer, way: if facts.bearer { Way::Bearer } else { Way::Session }, now: at },
    )
    .map(Some)
}

/// Verdict and reason, from what the person was told.
fn recorded(facts: &IncidentFacts) -> (Verdict, String) {
    match facts.message {
        PublicMessage::Denied(reason) => (Verdict::Deny, reason.key().to_owned()),
        PublicMessage::IncompleteSignIn => (Verdict::Deny, "required".to_owned()),
        PublicMessage::UnusableSignIn => (Verdict::Deny, "unusable".to_owned()),
        PublicMessage::SignInRequired | PublicMessage::SessionEnded | PublicMessage::SignInOrTokenRequired => {
            (Verdict::SignIn, "nobody is signed in".to_owned())
        }
        PublicMessage::TokenRequired => (Verdict::Deny, "auth".to_owned()),
        PublicMessage::TokenInvalid
        | PublicMessage::TokenScope
        | PublicMessage::TokenWithoutAccount
        | PublicMessage::AccountsOff
        | PublicMessage::AccountsFull
        | PublicMessage::AwaitingApproval
        | PublicMessage::OpenInBrowser
        | PublicMessage::AppClosed => (Verdict::Deny, facts.message.words()),
        PublicMessage::FreshSignInRequired | PublicMessage::TokenTooOld => (Verdict::SignIn, "max_age".to_owned()),
        PublicMessage::Waiting => (Verdict::Waiting, "the account is being made".to_owned()),
        failed @ (PublicMessage::BadRequest
        | PublicMessage::BodyTooLarge
        | PublicMessage::HeadersTooLarge
        | PublicMessage::MethodRefused
        | PublicMessage::NoSuchHost
        | PublicMessage::Misdirected
        | PublicMessage::NoSuchPage
        | PublicMessage::LinkExpired
        | PublicMessage::SignInFailed
        | PublicMessage::SignInDeclined
        | PublicMessage::ProviderDown
        | PublicMessage::StoreDown
        | PublicMessage::AccountFailed
        | PublicMessage::AccountUnavailable
        | PublicMessage::AccountExists
        | PublicMessage::AppUnreachable
        | PublicMessage::AppTimeout
        | PublicMessage::TooManyConnections
        | PublicMessage::AppRejected
        | PublicMessage::AppUnavailable
        | PublicMessage::SignedOut
        | PublicMessage::SignedIn
        | PublicMessage::Internal) => (Verdict::Failed, failed.words()),
    }
}

fn request(facts: &IncidentFacts) -> Option<String> {
    let method = facts.method.as_deref()?;
    let path = facts.path.as_deref().unwrap_or_default();
    let host = facts.host.as_deref().or(facts.app.as_deref()).unwrap_or_default();
    let from = facts.peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
    Some(format!("{method} https://{host}{path}{from}"))
}

/// Why a sign-in failed, where the log has no more than that.
fn reason(facts: &IncidentFacts) -> Option<String> {
    let told = !facts.reason.is_empty() && !matches!(facts.message, PublicMessage::Denied(_));
    told.then(|| match &facts.idp {
        Some(idp) => format!("{} ({idp})", facts.reason),
        None => facts.reason.clone(),
    })
}

fn because(answer: &Answer) -> String {
    if answer.passes() { String::new() } else { format!(" {}", answer.why) }
}
