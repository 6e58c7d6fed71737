//! The scenarios about a sign-in: the real desk, the real engine, and an app that fails half-way.

use super::Verdict::{Failed, Held, NotApplicable};
use super::backstage::{Backstage, html};
use super::counter::{Counter, announced};
use super::server::{When, Wrong};
use super::table::text;
use super::{Row, Verdict};
use crate::connector::model::Verb;
use std::sync::Arc;

pub(super) async fn play(stage: &Backstage) -> Vec<Row> {
    let lost = reply_lost(stage).await.unwrap_or_else(Failed);
    let half = half_made(stage).await.unwrap_or_else(Failed);
    vec![Row { scenario: "create, reply lost after commit", verdict: lost }, Row { scenario: "create, then a membership fails", verdict: half }]
}

/// One account, whatever became of the answer, and it is theirs.
async fn reply_lost(stage: &Backstage) -> Result<Verdict, String> {
    if !stage.model.can(&Verb::Create) {
        return Ok(NotApplicable("the connector makes no accounts".to_owned()));
    }
    let (set, ann) = (stage.set(), stage.person("ann", &[])?);
    let counter = Counter::new(&stage.policy, Arc::clone(&set.engine), &set.clock);
    set.app.fail(When::Create, Wrong::Lost);
    let login = counter.enters(&ann).await?;
    let logins: Vec<String> = set.app.table().users.iter().map(|user| user.login.clone()).collect();
    if set.app.is_spent() && login == ann.login() && logins == [ann.login()] {
        Ok(Held("found again, one account".to_owned()))
    } else {
        Ok(Failed(format!("announced as {login}; accounts: {}", if logins.is_empty() { "none".to_owned() } else { logins.join(", ") })))
    }
}

/// The account is made, the membership is not; the next time goes on from there.
async fn half_made(stage: &Backstage) -> Result<Verdict, String> {
    if !stage.model.can(&Verb::Create) {
        return Ok(NotApplicable("the connector makes no accounts".to_owned()));
    }
    let Some(member) = stage.member() else { return Ok(NotApplicable("the connector grants no memberships".to_owned())) };
    let (set, ann) = (stage.set(), stage.person("ann", &[&member.from])?);
    let counter = Counter::new(&stage.policy, Arc::clone(&set.engine), &set.clock);
    for _ in 0..3 {
        set.app.fail(When::Membership, Wrong::Says(html(503)));
    }
    let login = counter.enters_again(&ann).await;
    let table = set.app.table();
    let is_it = |group: &str| table.group(&member.kind, group, false).is_some_and(|(id, name, _)| name == member.name || text(&id) == member.name);
    let joined = table.members.iter().filter(|one| one.kind == member.kind && !one.is_over && is_it(&one.group)).count();
    let users = table.users.len();
    drop(table);
    if users != 1 || joined != 1 || login.as_deref() != Ok(ann.login()) {
        let seen = set.app.take_seen();
        return Ok(Failed(format!("{}; {users} accounts, {joined} memberships; {}", announced(&login), seen.join("; "))));
    }
    Ok(if set.app.is_spent() {
        Held("gone on with, one account".to_owned())
    } else {
        NotApplicable("an account is made with its memberships".to_owned())
    })
}
