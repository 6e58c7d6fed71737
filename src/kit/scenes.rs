//! The scenarios about one call: looking, making, granting, switching off, and what an app may answer instead.

use super::Verdict::{Failed, Held, NotApplicable};
use super::backstage::{Backstage, Person, Set, html, outcome, words};
use super::dialect::{Act, Route, Say};
use super::server::{When, Wrong};
use super::table::{User, text};
use super::{Row, Verdict};
use crate::connector::model::{DisableBy, Verb, Way};
use crate::connector::{Connector as _, Engine, Observation, Outcome, SwitchedOff, Trouble};
use crate::plan::{Account, Step};
use crate::policy::MatchBy;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What went wrong with a scenario itself is a failure too.
type Played = Result<Verdict, String>;

pub(super) async fn play(stage: &Backstage) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |scenario: &'static str, played: Played| rows.push(Row { scenario, verdict: played.unwrap_or_else(Failed) });
    add("probe", probe(stage).await);
    add("probe, bad credential", bad_credential(stage).await);
    add("lookup, absent", absent(stage).await);
    add("lookup, exact", exact(stage).await);
    add("lookup, prefix neighbour", prefix_neighbour(stage).await);
    add("lookup, case neighbour", case_neighbour(stage).await);
    add("lookup, switched-off account", switched_off(stage).await);
    add("lookup, administrator", administrator(stage).await);
    add("lookup, somebody else's e-mail", elses_email(stage).await);
    add("lookup, operator characters", operators(stage).await);
    add("list", list(stage).await);
    add("create", create(stage).await);
    add("create, exists", exists(stage).await);
    add("create, e-mail taken", email_taken(stage).await);
    add("create, invalid name", invalid_name(stage).await);
    add("update", update(stage).await);
    add("membership, granted twice", granted_twice(stage).await);
    add("membership, taken back twice", taken_back_twice(stage).await);
    add("membership, unknown group", unknown_group(stage).await);
    add("membership, other letter case", other_case(stage).await);
    add("membership, given by hand", by_hand(stage).await);
    add("disable", disable(stage, 1).await);
    add("disable, twice", disable(stage, 2).await);
    add("disable, last administrator", last_admin(stage).await);
    add("enable", enable(stage).await);
    add("gone out of band", gone(stage).await);
    let later = Say { status: 429, headers: BTreeMap::from([("Retry-After".to_owned(), "7".to_owned())]), ..Say::default() };
    add("429 with Retry-After", instead(stage, &later, Some(7_000)).await);
    add("500 with HTML", instead(stage, &html(500), None).await);
    add("200 that is no JSON", instead(stage, &html(200), None).await);
    rows
}

#[expect(clippy::unnecessary_wraps, reason = "what a scene ends with")]
fn no(what: &str) -> Played {
    Ok(NotApplicable(what.to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "what a scene ends with")]
fn held(what: impl Into<String>) -> Played {
    Ok(Held(what.into()))
}

#[expect(clippy::unnecessary_wraps, reason = "what a scene ends with")]
fn failed(what: impl Into<String>) -> Played {
    Ok(Failed(what.into()))
}

fn makes(stage: &Backstage) -> bool {
    stage.model.can(&Verb::Create)
}

/// Whether and how somebody is found.
pub(super) fn seen(observed: &Result<Observation, Trouble>) -> String {
    match observed {
        Ok(Observation::Found(account, by)) => format!("found {} by {by:?}", account.login),
        Ok(Observation::Absent) => "absent".to_owned(),
        Ok(Observation::Ambiguous) => "ambiguous".to_owned(),
        Err(trouble) => words(trouble),
    }
}

async fn look(set: &Set, person: &Person) -> Result<Observation, Trouble> {
    set.engine.find(person.context(None), &set.engine.ways()).await
}

async fn probe(stage: &Backstage) -> Played {
    if !stage.model.can(&Verb::Probe) {
        return no("the connector has no probe");
    }
    match stage.set().engine.probe().await {
        Ok(()) => held("answers"),
        Err(trouble) => failed(words(&trouble)),
    }
}

async fn bad_credential(stage: &Backstage) -> Played {
    let set = stage.set_with_bad_credential();
    let probed = if stage.model.can(&Verb::Probe) { set.engine.probe().await } else { Ok(()) };
    let observed = look(&set, &stage.person("ann", &[])?).await;
    match (&probed, &observed) {
        (Err(trouble), Err(other)) if trouble.outcome == Outcome::Reauth && other.outcome == Outcome::Reauth => held("the credential is refused"),
        (Ok(()), Err(other)) if other.outcome == Outcome::Reauth && !stage.model.can(&Verb::Probe) => held("the credential is refused"),
        (probed, _) => failed(format!("probe: {}; lookup: {}", probed.as_ref().map_or_else(words, |()| "answers".to_owned()), seen(&observed))),
    }
}

async fn absent(stage: &Backstage) -> Played {
    let set = stage.set();
    set.put(&stage.dialect, stage.person("bob", &[])?.user());
    let observed = look(&set, &stage.person("ann", &[])?).await;
    if matches!(observed, Ok(Observation::Absent)) { held("absent") } else { failed(seen(&observed)) }
}

async fn exact(stage: &Backstage) -> Played {
    let (ann, bob) = (stage.person("ann", &[])?, stage.person("bob", &[])?);
    let mut found = Vec::new();
    for by in stage.set().engine.ways() {
        let set = stage.set();
        set.put(&stage.dialect, User { external_id: Some(bob.external_id.clone()), ..bob.user() });
        let id = set.put(&stage.dialect, User { external_id: Some(ann.external_id.clone()), ..ann.user() });
        let observed = set.engine.find(ann.context(None), &[by]).await;
        match &observed {
            Ok(Observation::Found(account, said)) if account.id == id && *said == by && account.login == ann.login() => found.push(match by {
                MatchBy::ExternalId => "external id",
                MatchBy::Login => "login",
                MatchBy::Email => "e-mail",
            }),
            _ => return failed(format!("{by:?}: {}", seen(&observed))),
        }
    }
    if found.is_empty() { no("the connector cannot look for anybody") } else { held(format!("by {}", found.join(", "))) }
}

async fn prefix_neighbour(stage: &Backstage) -> Played {
    let ann = stage.person("ann", &[])?;
    let set = stage.set();
    for neighbour in ["anna", "joann", "ann2", "ann.lee"] {
        set.put(&stage.dialect, stage.person(neighbour, &[])?.user());
    }
    let observed = look(&set, &ann).await;
    if !matches!(observed, Ok(Observation::Absent)) {
        return failed(format!("without ann: {}", seen(&observed)));
    }
    let id = set.put(&stage.dialect, ann.user());
    match look(&set, &ann).await {
        Ok(Observation::Found(account, _)) if account.id == id => held("anna and joann are nobody's ann"),
        other => failed(format!("among neighbours: {}", seen(&other))),
    }
}

async fn case_neighbour(stage: &Backstage) -> Played {
    let ann = stage.person("ann", &[])?;
    let set = stage.set();
    if stage.model.identity.lower {
        // Nobody is in capitals there, whoever comes in capitals.
        let id = set.put(&stage.dialect, ann.user());
        let observed = set.engine.find(stage.called(&ann.login().to_uppercase())?.context(None), &[MatchBy::Login]).await;
        let is_found = matches!(&observed, Ok(Observation::Found(account, _)) if account.id == id);
        return if is_found { held("logins are in lower case there") } else { failed(seen(&observed)) };
    }
    let other = User { login: ann.login().to_uppercase(), email: Some("capital@example.com".to_owned()), ..ann.user() };
    set.put(&stage.dialect, other.clone());
    let observed = set.engine.find(ann.context(None), &[MatchBy::Login]).await;
    let same = stage.model.identity.fold.same(&other.login, ann.login());
    match (&observed, same) {
        (Ok(Observation::Found(..)), true) => held(format!("{} is {}: the app says so", other.login, ann.login())),
        (Ok(Observation::Absent), false) => held(format!("{} is somebody else: the app says so", other.login)),
        _ => failed(seen(&observed)),
    }
}

async fn switched_off(stage: &Backstage) -> Played {
    let shows = stage.model.account.disabled.is_some() || stage.model.disable_by.iter().any(|way| matches!(way, DisableBy::Group { .. }));
    let ann = stage.person("ann", &[])?;
    let set = stage.set();
    set.put(&stage.dialect, User { disabled: true, ..ann.user() });
    let observed = look(&set, &ann).await;
    match &observed {
        Ok(Observation::Found(account, _)) if account.disabled => held("found, and seen to be switched off"),
        Ok(Observation::Found(..)) if !shows => no("the app shows no such thing"),
        _ => failed(seen(&observed)),
    }
}

/// An administrator is told from everybody else, however they are looked for: nobody takes their account over.
async fn administrator(stage: &Backstage) -> Played {
    if stage.model.account.admin.is_none() {
        return no("the connector shows no administrators");
    }
    let (ann, bob) = (stage.person("ann", &[])?, stage.person("bob", &[])?);
    let set = stage.set();
    let id = set.put(&stage.dialect, User { admin: true, external_id: Some(ann.external_id.clone()), ..ann.user() });
    let other = set.put(&stage.dialect, User { external_id: Some(bob.external_id.clone()), ..bob.user() });
    for (person, id, is_admin) in [(&ann, &id, true), (&bob, &other, false)] {
        let mut looks = vec![("read".to_owned(), set.engine.get(person.context(Some(id))).await)];
        for by in set.engine.ways() {
            looks.push((format!("{by:?}"), set.engine.find(person.context(None), &[by]).await));
        }
        for (how, observed) in looks {
            match &observed {
                Ok(Observation::Found(account, _)) if account.id == *id && account.admin == is_admin => {}
                _ => return failed(format!("{how}: {}, administrator: {}", seen(&observed), !is_admin)),
            }
        }
    }
    if stage.model.can(&Verb::List) {
        let all = accounts(&set.engine).await.map_err(|trouble| words(&trouble))?;
        let admins: Vec<&String> = all.iter().filter(|account| account.admin).map(|account| &account.id).collect();
        if admins != [&id] {
            return failed(format!("listed as administrators: {admins:?}, and it is {id}"));
        }
    }
    held("told from somebody who is none")
}

async fn elses_email(stage: &Backstage) -> Played {
    if stage.is_login_an_address() {
        return no("logins are addresses there");
    }
    let (mut ann, bob) = (stage.called("bob@example.com")?, stage.person("bob", &[])?);
    ann.mapped.email = Some("ann@example.com".to_owned());
    let set = stage.set();
    set.put(&stage.dialect, bob.user());
    let observed = look(&set, &ann).await;
    match &observed {
        Ok(Observation::Absent) => held("absent"),
        Err(trouble) if matches!(trouble.outcome, Outcome::Invalid | Outcome::Conflict) => held(words(trouble)),
        _ => failed(seen(&observed)),
    }
}

/// Logins that a search might read as more than a name.
pub(super) const OPERATORS: [&str; 14] =
    ["*", "~a", "a|b", "ann|bob", "\"", "ann\"", ")", "ann)", "%2F", "ann%2Fgroups", "../ann", "ann' or '1'='1", "ann&x=1", "a_n"];

/// Nobody was found, or the name was refused; an app that stumbles over it is neither.
pub(super) fn is_nobody(observed: &Result<Observation, Trouble>) -> bool {
    match observed {
        Ok(Observation::Absent) => true,
        Err(trouble) => matches!(trouble.outcome, Outcome::Invalid | Outcome::Denied | Outcome::Unsupported),
        Ok(Observation::Found(..) | Observation::Ambiguous) => false,
    }
}

async fn operators(stage: &Backstage) -> Played {
    let set = stage.set();
    for name in ["ann", "bob", "anna"] {
        set.put(&stage.dialect, stage.person(name, &[])?.user());
    }
    for login in OPERATORS {
        let mut person = stage.called(login)?;
        person.mapped.email = None;
        person.external_id = login.to_owned();
        let observed = look(&set, &person).await;
        if !is_nobody(&observed) {
            return failed(format!("{login}: {}", seen(&observed)));
        }
    }
    held(format!("{} of them find nobody", OPERATORS.len()))
}

/// Every account that the app lists, page by page.
async fn accounts(engine: &Engine) -> Result<Vec<Account>, Trouble> {
    let mut all = Vec::new();
    let mut at = None;
    loop {
        let page = engine.list(at.as_ref()).await?;
        all.extend(page.accounts);
        match page.next {
            Some(next) => at = Some(next),
            None => return Ok(all),
        }
    }
}

/// Their ids.
pub(super) async fn listed(engine: &Engine) -> Result<Vec<String>, Trouble> {
    Ok(accounts(engine).await?.into_iter().map(|account| account.id).collect())
}

async fn list(stage: &Backstage) -> Played {
    if !stage.model.can(&Verb::List) {
        return no("the connector lists nobody");
    }
    let set = stage.set();
    let mut there = Vec::new();
    for name in ["ann", "bob", "anna", "joann"] {
        there.push(set.put(&stage.dialect, User { disabled: name == "bob", ..stage.person(name, &[])?.user() }));
    }
    match listed(&set.engine).await {
        Ok(mut ids) => {
            ids.sort();
            there.sort();
            if ids == there { held(format!("all {}, also who is switched off", ids.len())) } else { failed(format!("{ids:?} of {there:?}")) }
        }
        Err(trouble) => failed(words(&trouble)),
    }
}

async fn made(set: &Set, person: &Person) -> Result<(Outcome, Option<Account>), Trouble> {
    set.engine.apply(person.context(None), &Step::Create(person.desired().clone())).await
}

async fn create(stage: &Backstage) -> Played {
    if !makes(stage) {
        return no("the connector makes no accounts");
    }
    let (set, ann) = (stage.set(), stage.person("ann", &[])?);
    let (came, account) = match made(&set, &ann).await {
        Ok((came, Some(account))) => (came, account),
        Ok((came, None)) => return failed(format!("{} without an account", outcome(came))),
        Err(trouble) => return failed(words(&trouble)),
    };
    let there = set.app.table().users.clone();
    let [user] = there.as_slice() else { return failed(format!("{} accounts", there.len())) };
    if text(&user.id) != account.id || user.login != ann.login() || (user.email.is_some() && user.email != ann.mapped.email) {
        return failed(format!("made {} {:?} ({:?}), said {}", user.login, user.email, user.id, account.id));
    }
    match set.engine.get(ann.context(Some(&account.id))).await {
        Ok(Observation::Found(read, _)) if read.id == account.id => {}
        other => return failed(format!("made, and then {}", seen(&other))),
    }
    match look(&set, &ann).await {
        Ok(Observation::Found(read, _)) if read.id == account.id => held(outcome(came)),
        other => failed(format!("made, and then {}", seen(&other))),
    }
}

/// A create that must not work; `taken` makes the reason.
async fn refused(stage: &Backstage, person: &Person, taken: Option<User>, allowed: &[Outcome]) -> Played {
    let set = stage.set();
    if let Some(user) = taken {
        set.put(&stage.dialect, user);
    }
    let before = set.count();
    let came = made(&set, person).await;
    match (&came, set.count() == before) {
        (Err(trouble), true) if allowed.contains(&trouble.outcome) => held(outcome(trouble.outcome)),
        (Err(trouble), _) => failed(words(trouble)),
        (Ok((came, _)), _) => failed(format!("{}, {} accounts", outcome(*came), set.count())),
    }
}

/// What the scripted app does with a request that makes an account.
fn creates(stage: &Backstage) -> impl Iterator<Item = &Route> {
    stage.dialect.route.iter().filter(|route| matches!(route.act, Act::Create | Act::Upsert))
}

async fn exists(stage: &Backstage) -> Played {
    if !makes(stage) {
        return no("the connector makes no accounts");
    }
    let ann = stage.person("ann", &[])?;
    let there = User { email: Some("other@example.com".to_owned()), ..ann.user() };
    // In doubt is as good where the app answers as if it had crashed: whoever is in doubt looks.
    let crashes = creates(stage).any(|route| route.exists.as_ref().is_some_and(|say| say.status >= 500));
    let allowed: &[Outcome] = if crashes { &[Outcome::InDoubt] } else { &[Outcome::Exists] };
    refused(stage, &ann, Some(there), allowed).await
}

async fn email_taken(stage: &Backstage) -> Played {
    if !makes(stage) {
        return no("the connector makes no accounts");
    }
    let (ann, bob) = (stage.person("ann", &[])?, stage.person("bob", &[])?);
    if stage.is_login_an_address() {
        return no("the address is the login: see `create, exists`");
    }
    // Only what is written there can be taken there.
    if !ann.desired().attributes.values().any(|value| value.as_str().is_some() && value.as_str() == ann.mapped.email.as_deref()) {
        return no("no address is written there");
    }
    if !stage.dialect.unique_email {
        return no("two accounts may have one address there");
    }
    let there = User { email: ann.mapped.email.clone(), ..bob.user() };
    // An app that answers a login and an address that is taken alike leaves it to the lookup after it to tell them apart.
    let alike = creates(stage).any(|route| route.taken.is_some() && route.taken == route.exists);
    let allowed: &[Outcome] = if alike { &[Outcome::Exists] } else { &[Outcome::Conflict, Outcome::Invalid] };
    refused(stage, &ann, Some(there), allowed).await
}

async fn invalid_name(stage: &Backstage) -> Played {
    if !makes(stage) {
        return no("the connector makes no accounts");
    }
    let person = stage.called(&stage.dialect.bad_login)?;
    refused(stage, &person, None, &[Outcome::Invalid]).await
}

/// Somebody with an account, and its id.
fn with_account(stage: &Backstage, set: &Set) -> Result<(Person, String), String> {
    let ann = stage.person("ann", &[])?;
    let id = set.put(&stage.dialect, User { external_id: Some(ann.external_id.clone()), ..ann.user() });
    Ok((ann, id))
}

fn grant(stage: &Backstage, name: Option<&str>) -> Option<Step> {
    let member = stage.member()?;
    let name = name.unwrap_or(&member.name).to_owned();
    Some(Step::Add { kind: member.kind.clone(), member: name, role: member.role.clone() })
}

/// Names of the groups that the account is in, as the app knows it.
fn groups(stage: &Backstage, set: &Set, id: &str) -> Vec<String> {
    let table = set.app.table();
    let Some(member) = stage.member() else { return Vec::new() };
    let mine = table.members.iter().filter(|one| one.kind == member.kind && one.user == id && !one.is_over);
    mine.filter_map(|one| table.group(&member.kind, &one.group, false)).map(|(_, name, _)| name).collect()
}

/// What the app calls a group of the policy.
fn shown(stage: &Backstage, set: &Set, name: &str) -> String {
    let table = set.app.table();
    let Some(member) = stage.member() else { return name.to_owned() };
    table.group(&member.kind, name, true).or_else(|| table.group(&member.kind, name, false)).map_or_else(|| name.to_owned(), |(_, name, _)| name)
}

const NO_MEMBERS: &str = "the connector grants no memberships";

async fn granted_twice(stage: &Backstage) -> Played {
    let Some(step) = grant(stage, None) else { return no(NO_MEMBERS) };
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    let mut came = Vec::new();
    for _ in 0..2 {
        match set.engine.apply(ann.context(Some(&id)), &step).await {
            Ok((is, _)) => came.push(outcome(is)),
            Err(trouble) => return failed(format!("{} then {}", came.join(", "), words(&trouble))),
        }
    }
    let groups = groups(stage, &set, &id);
    if groups.len() == 1 { held(came.join(", then ")) } else { failed(format!("is in {groups:?}")) }
}

async fn taken_back_twice(stage: &Backstage) -> Played {
    let (Some(step), Some(member)) = (grant(stage, None), stage.member()) else { return no(NO_MEMBERS) };
    if stage.model.single.iter().any(|(kind, _)| *kind == member.kind) {
        return no("an account has exactly one of them");
    }
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    set.engine.apply(ann.context(Some(&id)), &step).await.map_err(|trouble| words(&trouble))?;
    let back = Step::Remove { kind: member.kind.clone(), member: member.name.clone() };
    let mut came = Vec::new();
    for _ in 0..2 {
        match set.engine.apply(ann.context(Some(&id)), &back).await {
            Ok((is, _)) => came.push(outcome(is)),
            Err(trouble) => return failed(format!("{} then {}", came.join(", "), words(&trouble))),
        }
    }
    // In another perhaps: some apps keep nobody in none.
    let groups = groups(stage, &set, &id);
    let is_in = groups.contains(&shown(stage, &set, &member.name));
    if is_in { failed(format!("still in {groups:?}")) } else { held(came.join(", then ")) }
}

async fn unknown_group(stage: &Backstage) -> Played {
    let Some(step) = grant(stage, Some("no-such-group")) else { return no(NO_MEMBERS) };
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    let came = set.engine.apply(ann.context(Some(&id)), &step).await;
    match came {
        Err(trouble) if !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth) => held(words(&trouble)),
        Err(trouble) => failed(words(&trouble)),
        Ok(_) if !groups(stage, &set, &id).is_empty() => no("a group that is missing is made"),
        Ok((came, _)) => failed(format!("{}, and is in no group", outcome(came))),
    }
}

/// A name in other letters: capitals for small ones and small ones for capitals.
pub(super) fn in_other_case(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }).collect()
}

/// Whether asking again would come to the same.
pub(super) fn is_for_good(trouble: &Trouble) -> bool {
    !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth)
}

/// What is granted under one name and shown under another would never be taken back: either there is no such group, or it is shown as it was asked for.
async fn other_case(stage: &Backstage) -> Played {
    let Some(member) = stage.member() else { return no(NO_MEMBERS) };
    let other = in_other_case(&member.name);
    let Some(step) = grant(stage, Some(&other)).filter(|_| other != member.name) else { return no("groups are numbers there") };
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    match set.engine.apply(ann.context(Some(&id)), &step).await {
        Err(trouble) if is_for_good(&trouble) && groups(stage, &set, &id).is_empty() => return held(words(&trouble)),
        Err(trouble) => return failed(format!("{}, and is in {:?}", words(&trouble), groups(stage, &set, &id))),
        Ok(_) => {}
    }
    let shown = match set.engine.get(ann.context(Some(&id))).await {
        Ok(Observation::Found(account, _)) => account.memberships.get(&member.kind).cloned().unwrap_or_default(),
        observed => return failed(seen(&observed)),
    };
    let names: Vec<&String> = shown.keys().collect();
    if shown.contains_key(&other) { held(format!("`{other}` is another one")) } else { failed(format!("asked for `{other}`, is in {names:?}")) }
}

async fn by_hand(stage: &Backstage) -> Played {
    let (Some(step), Some(member)) = (grant(stage, None), stage.member()) else { return no(NO_MEMBERS) };
    if stage.model.single.iter().any(|(kind, _)| *kind == member.kind) {
        return no("an account has exactly one of them");
    }
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    {
        let mut table = set.app.table();
        let Some((other, ..)) = table.group(&member.kind, &member.other, true).or_else(|| table.group(&member.kind, &member.other, false)) else {
            return Err(format!("the scripted app has no {} `{}`", member.kind, member.other));
        };
        table.join(&member.kind, &text(&other), &id, member.role.clone());
    }
    let other = shown(stage, &set, &member.other);
    set.engine.apply(ann.context(Some(&id)), &step).await.map_err(|trouble| words(&trouble))?;
    let both = groups(stage, &set, &id);
    let back = Step::Remove { kind: member.kind.clone(), member: member.name.clone() };
    set.engine.apply(ann.context(Some(&id)), &back).await.map_err(|trouble| words(&trouble))?;
    let left = groups(stage, &set, &id);
    if both.len() == 2 && left == [other] { held("stays") } else { failed(format!("{both:?}, then {left:?}")) }
}

/// What the app shows of an account, where it differs from what was wanted.
pub(super) fn unlike(account: &Account, wanted: &BTreeMap<String, Value>) -> Vec<String> {
    let differs = |(name, value): &(&String, &Value)| account.attributes.get(*name).is_some_and(|shown| shown != *value);
    wanted.iter().filter(differs).map(|(name, value)| format!("{name} is {:?}, not {value}", account.attributes.get(name))).collect()
}

async fn update(stage: &Backstage) -> Played {
    if !stage.model.can(&Verb::Update) {
        return no("the connector changes no attributes");
    }
    let (set, ann) = (stage.set(), stage.person("ann", &[])?);
    let external_id = Some(ann.external_id.clone());
    let email = Some("old@example.com".to_owned()).filter(|_| !stage.is_login_an_address()).or_else(|| ann.mapped.email.clone());
    let id = set.put(&stage.dialect, User { login: ann.login().to_owned(), email, external_id, ..stage.person("bob", &[])?.user() });
    // An app whose change is the whole object keeps what is not its business.
    if let Some(step) = grant(stage, None) {
        set.engine.apply(ann.context(Some(&id)), &step).await.map_err(|trouble| words(&trouble))?;
    }
    let before = groups(stage, &set, &id);
    let wanted = &ann.desired().attributes;
    let changes: BTreeMap<String, Value> = match set.engine.get(ann.context(Some(&id))).await {
        Ok(Observation::Found(account, _)) => wanted
            .iter()
            .filter(|(name, value)| account.attributes.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        other => return failed(seen(&other)),
    };
    if changes.is_empty() {
        return failed("nothing differs from what the account shows: there is nothing to change");
    }
    let came = match set.engine.apply(ann.context(Some(&id)), &Step::Update(changes.clone())).await {
        Ok((came, _)) => outcome(came),
        Err(trouble) => return failed(format!("{:?}: {}", changes.keys(), words(&trouble))),
    };
    let shown = match set.engine.get(ann.context(Some(&id))).await {
        Ok(Observation::Found(account, _)) => account,
        other => return failed(seen(&other)),
    };
    let (mut unlike, after) = (unlike(&shown, wanted), groups(stage, &set, &id));
    unlike.extend(unlike_new(stage, &set, &ann, &id).await?);
    // An address that the connector reads nowhere is one that it does not change.
    let is_address_right = !shown.attributes.contains_key("email") || shown.email == ann.mapped.email;
    if !unlike.is_empty() || !is_address_right || shown.disabled || shown.login != ann.login() || after != before {
        return failed(format!("{}; {} {:?}, disabled: {}, in {after:?}", unlike.join(", "), shown.login, shown.email, shown.disabled));
    }
    held(format!("{came}: {}", changes.into_keys().collect::<Vec<_>>().join(", ")))
}

/// Where the app's own table has something else of an account that was changed than of one that is made for the same person: fields that a change writes.
async fn unlike_new(stage: &Backstage, set: &Set, ann: &Person, id: &str) -> Result<Vec<String>, String> {
    let fresh = stage.set();
    made(&fresh, ann).await.map_err(|trouble| format!("an account to compare with: {}", words(&trouble)))?;
    let new = fresh.app.table().users.first().cloned().ok_or("no account to compare with")?;
    let table = set.app.table();
    let changed = table.users.iter().find(|user| text(&user.id) == id).ok_or("the account is gone")?;
    let writing = stage.dialect.route.iter().filter(|route| matches!(route.act, Act::Update | Act::Upsert));
    let written: BTreeSet<&String> = writing.flat_map(|route| route.read.keys()).collect();
    let differs = |field: &&String| new.fields.get(*field).is_some_and(|wanted| changed.fields.get(*field) != Some(wanted));
    let mut out: Vec<String> =
        written.iter().copied().filter(differs).map(|field| format!("{field} is {:?} at the app", changed.fields.get(field))).collect();
    if written.iter().any(|field| *field == "email") && new.email.is_some() && changed.email != new.email {
        out.push(format!("email is {:?} at the app", changed.email));
    }
    Ok(out)
}

async fn enable(stage: &Backstage) -> Played {
    let (set, ann) = (stage.set(), stage.person("ann", &[])?);
    let by_group = stage.model.disable_by.iter().any(|way| matches!(way, DisableBy::Group { .. }));
    if !stage.model.can(&Verb::Enable) && !by_group {
        return no("the app cannot: memberships are granted again, or the account is made again");
    }
    let id = set.put(&stage.dialect, User { disabled: true, external_id: Some(ann.external_id.clone()), ..ann.user() });
    let mut came = Vec::new();
    for _ in 0..2 {
        match set.engine.apply(ann.context(Some(&id)), &Step::Enable).await {
            Ok((is, _)) => came.push(outcome(is)),
            Err(trouble) => return failed(format!("{} then {}", came.join(", "), words(&trouble))),
        }
    }
    match set.engine.get(ann.context(Some(&id))).await {
        Ok(Observation::Found(account, _)) if !account.disabled => held(came.join(", then ")),
        other => failed(format!("still off: {}", seen(&other))),
    }
}

async fn disable(stage: &Backstage, times: u32) -> Played {
    if stage.model.disable_by.iter().all(|way| matches!(way, DisableBy::Nothing)) {
        return no("the app cannot: the gateway keeps the person out");
    }
    // As live traffic does it: `[provision.leavers] account` is "disable" where the app can, and only else "delete".
    let may_delete = stage.model.can_only_remove();
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    if let Some(step) = grant(stage, None) {
        set.engine.apply(ann.context(Some(&id)), &step).await.map_err(|trouble| words(&trouble))?;
    }
    let mut came = None;
    for _ in 0..times {
        match set.engine.disable(ann.context(Some(&id)), may_delete).await {
            Ok(off) => came = came.or(Some(off)),
            Err(trouble) => return failed(words(&trouble)),
        }
    }
    let shown = set.engine.get(ann.context(Some(&id))).await;
    let table = set.app.table();
    let is_off = match came {
        Some(SwitchedOff::Flag | SwitchedOff::Group) => {
            table.users.iter().all(|user| table.is_off(user)) && matches!(&shown, Ok(Observation::Found(account, _)) if account.disabled)
        }
        Some(SwitchedOff::Deleted) => table.users.is_empty() && matches!(shown, Ok(Observation::Absent)),
        Some(SwitchedOff::MembersRemoved) => {
            table.members.iter().all(|one| one.is_over)
                && matches!(&shown, Ok(Observation::Found(account, _)) if account.memberships.values().all(BTreeMap::is_empty))
        }
        Some(SwitchedOff::Gone | SwitchedOff::NotAtTheApp) | None => false,
    };
    drop(table);
    let how = match came {
        Some(SwitchedOff::Deleted) => "deleted, where the policy says account = \"delete\"".to_owned(),
        came => came.map(|came| format!("{came:?}")).unwrap_or_default().to_lowercase(),
    };
    if is_off { held(how) } else { failed(format!("{how}, and then {}", seen(&shown))) }
}

/// What the app keeps its last administrator from, each refused and without effect: being switched off, being removed, leaving a group that they alone run.
async fn last_admin(stage: &Backstage) -> Played {
    let mut said = Vec::new();
    for route in stage.dialect.route.iter().filter(|route| route.last_admin.is_some()) {
        let set = stage.set();
        let ann = stage.person("ann", &[])?;
        let id = set.put(&stage.dialect, User { admin: true, external_id: Some(ann.external_id.clone()), ..ann.user() });
        let (what, came) = match (route.act, stage.member()) {
            (Act::Leave, Some(member)) => {
                let group = {
                    let mut table = set.app.table();
                    let known = table.group(&member.kind, &member.name, true).or_else(|| table.group(&member.kind, &member.name, false));
                    let (group, ..) = known.ok_or_else(|| format!("the scripted app has no {} `{}`", member.kind, member.name))?;
                    table.join(&member.kind, &text(&group), &id, route.admins.clone());
                    group
                };
                let back = Step::Remove { kind: member.kind.clone(), member: member.name.clone() };
                let came = set.engine.apply(ann.context(Some(&id)), &back).await.map(|(came, _)| outcome(came));
                let stays = set.app.table().is_member(&member.kind, &text(&group), &id);
                (if stays { "a membership" } else { "a membership, which is gone" }, came)
            }
            (Act::Delete, _) => ("removed", set.engine.delete(ann.context(Some(&id))).await.map(outcome)),
            (Act::Update | Act::Upsert, _) => {
                ("switched off", set.engine.disable(ann.context(Some(&id)), false).await.map(|off| format!("{off:?}").to_lowercase()))
            }
            _ => return failed(format!("`last_admin` says nothing of {}", route.on)),
        };
        let is_on = {
            let table = set.app.table();
            table.users.iter().any(|user| !table.is_off(user))
        };
        match came {
            Err(trouble) if trouble.outcome == Outcome::Denied && is_on && !what.ends_with("gone") => {
                said.push(format!("{what}: {}", words(&trouble)));
            }
            Err(trouble) => return failed(format!("{what}: {}", words(&trouble))),
            Ok(came) => return failed(format!("{what}: {came}")),
        }
    }
    if said.is_empty() { no("the app does not mind, as far as is known") } else { held(said.join("; ")) }
}

async fn gone(stage: &Backstage) -> Played {
    let set = stage.set();
    let (ann, id) = with_account(stage, &set)?;
    set.app.table().remove(0);
    let read = set.engine.get(ann.context(Some(&id))).await;
    if !matches!(read, Ok(Observation::Absent)) {
        return failed(format!("read: {}", seen(&read)));
    }
    let Some(step) = grant(stage, None) else { return held("absent") };
    match set.engine.apply(ann.context(Some(&id)), &step).await {
        Err(trouble) if !matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt | Outcome::Reauth) => {
            held(format!("absent; a membership: {}", outcome(trouble.outcome)))
        }
        Err(trouble) => failed(format!("a membership: {}", words(&trouble))),
        Ok((came, _)) => failed(format!("a membership: {}", outcome(came))),
    }
}

/// Something that is not the app's answer, to a lookup and to a create.
async fn instead(stage: &Backstage, say: &Say, after_ms: Option<u64>) -> Played {
    let (set, ann) = (stage.set(), stage.person("ann", &[])?);
    set.put(&stage.dialect, ann.user());
    let way = set.engine.ways().into_iter().find(|by| stage.model.can(&Verb::Lookup(Way::from(*by))));
    set.app.fail(When::Next, Wrong::Says(say.clone()));
    let looked = set.engine.find(ann.context(None), way.as_slice()).await;
    let read = match &looked {
        Err(trouble) if trouble.outcome == Outcome::Retry && trouble.retry_after_ms == after_ms => outcome(trouble.outcome),
        other => return failed(format!("lookup: {}", seen(other))),
    };
    if !makes(stage) {
        return held(format!("lookup: {read}"));
    }
    let set = stage.set();
    set.app.fail(When::Create, Wrong::Says(say.clone()));
    match made(&set, &ann).await {
        // RFC 6585 §4: nothing was served; anything else leaves doubt.
        Err(trouble) if say.status == 429 && trouble.is_unsent() && trouble.retry_after_ms == after_ms => {
            held(format!("lookup: {read}; create: {}", outcome(trouble.outcome)))
        }
        Err(trouble) if say.status != 429 && trouble.outcome == Outcome::InDoubt => held(format!("lookup: {read}; create: in doubt")),
        Err(trouble) => failed(format!("create: {}", words(&trouble))),
        Ok((came, _)) => failed(format!("create: {}", outcome(came))),
    }
}
