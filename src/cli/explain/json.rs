//! An answer for programs.

use super::answer::{Answer, State};
use serde_json::{Map, Value, json};

/// The whole answer; what is not known is null.
pub(super) fn render(answer: &Answer) -> Value {
    let state = |state| match state {
        State::Ok => "ok",
        State::Fail => "fail",
        State::Open => "open",
    };
    let incident = answer
        .incident
        .as_ref()
        .map(|incident| json!({ "code": incident.code.to_string(), "ago": incident.ago, "request": incident.request, "log": incident.log }));
    let sign_in = answer.sign_in.as_ref().map(
        |sign_in| json!({ "who": sign_in.who, "subject": sign_in.subject, "idp": sign_in.idp, "known": sign_in.known, "groups": sign_in.groups }),
    );
    let matched: Vec<Value> = answer.matched.iter().map(|(section, place)| json!({ "section": section, "place": place })).collect();
    let checks: Vec<Value> = answer
        .checks
        .iter()
        .map(|line| json!({ "outcome": state(line.state), "section": line.section, "key": line.key, "place": line.place, "says": line.says }))
        .collect();
    let gets = answer.gets.as_ref().map(|gets| {
        let headers: Map<String, Value> = gets.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        json!({ "login": gets.login, "account": gets.account, "roles": gets.roles, "orgs": gets.orgs, "headers": headers, "enters": gets.enters, "lands": gets.lands })
    });
    let sees = answer.sees.as_ref().map(|sees| json!({ "status": sees.status, "text": sees.text, "contact": sees.contact }));
    json!({
        "verdict": answer.verdict.word(),
        "why": answer.why,
        "place": answer.place.as_ref().map(|place| &place.text),
        "incident": incident,
        "sign_in": sign_in,
        "matched": matched,
        "checks": checks,
        "gets": gets,
        "sees": sees,
        "fix": answer.fix,
        "today": answer.today,
    })
}
