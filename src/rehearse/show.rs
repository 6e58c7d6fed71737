//! Plans and test runs as people and programs read them.
//!
//! Lives here: the text and JSON of [`Outlook`], [`Tally`] and test runs. Apart because the command line and the console print the same. No secret can be in
//! it: headers that carry one are marked where they are made, and print as a variable of the shell.

use super::app::{Call, MADE_ID};
use super::coverage::Covered;
use super::expect::said;
use super::perform::NO_PASSWORD;
use super::plan::{Outlook, Tally};
use super::test::Ran;
use crate::connector::model::Effect;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A person's plan in plain text; `curl`: calls as commands.
pub fn plan(outlook: &Outlook, curl: bool) -> String {
    let policy = &outlook.policy;
    let who = outlook.identity.email.as_deref().unwrap_or(&outlook.identity.subject.subject);
    let mut out = format!("{}     {who} via {}      {}\n\n", policy.host, outlook.identity.idp, policy.file);
    if let Some((because, place)) = &outlook.refused {
        return out
            + &format!("They do not enter: {because}, {place}\n\nPlan: nothing. No account is made or changed for somebody who may not enter.\n");
    }
    if outlook.performance.is_none() {
        return out + "Plan: nothing. This policy makes no accounts.\n";
    }
    let reads = told(outlook);
    for call in &reads {
        let status = if call.sent { call.status.to_string() } else { "imagined".to_owned() };
        push(&mut out, &format!("read   {}{status}", padded(&target(call), 46)));
    }
    if !reads.is_empty() {
        out.push('\n');
    }
    let lines = outlook.lines();
    for line in &lines {
        let (indent, width) = if line.inner { ("    ", 15) } else { ("", 19) };
        let whole = format!("{indent}{} {}{}{}", line.sign, padded(&line.what, width), padded(&line.value, 33), line.why);
        push(&mut out, whole.trim_end());
    }
    if lines.is_empty() {
        push(&mut out, "= nothing to do");
    }
    let writes: Vec<&Call> = outlook.writes().collect();
    if !writes.is_empty() {
        out.push_str("\ncalls, in order\n");
        for (at, call) in writes.iter().enumerate() {
            push(&mut out, &format!("  {}  {}{}", at + 1, padded(&target(call), 35), purpose(call)));
        }
    }
    if curl {
        out.push_str("\nas commands\n");
        for call in told(outlook).into_iter().chain(outlook.writes()) {
            push(&mut out, &as_curl(call));
        }
    }
    out + "\n" + &closing(outlook)
}

fn closing(outlook: &Outlook) -> String {
    let count = outlook.count();
    let roles = |number: usize| if number == 1 { "1 membership".to_owned() } else { format!("{number} memberships") };
    let mut out = match outlook.failure() {
        Some((because, _)) => format!("Plan: not possible: {}.\n", because.words()),
        None if count.is_nothing() => "Plan: no changes.\n".to_owned(),
        None => format!(
            "Plan: {} to create, {} to change, {} to add, {} to remove.   + create   ~ change   - remove\n",
            count.create,
            count.change,
            roles(count.add),
            count.remove
        ),
    };
    let sent = outlook.reads().filter(|call| call.sent).count();
    out.push_str(match (outlook.real, sent) {
        (true, 0) => "Nothing was sent.",
        (true, 1) => "Nothing but the read above was sent.",
        (true, _) => "Nothing but the reads above was sent.",
        (false, _) => unsent(std::slice::from_ref(outlook)),
    });
    out.push_str(match (count.is_nothing(), outlook.real) {
        (true, _) => "\n",
        (false, true) => " A sign-in now would make these calls.\n",
        (false, false) => " If it is so, a sign-in now would make these calls.\n",
    });
    out
}

/// Of plans for which nothing was sent: what the application was taken to have.
pub fn unsent(outlooks: &[Outlook]) -> &'static str {
    if outlooks.iter().all(|outlook| outlook.recorded) {
        "Nothing was sent: the application was taken to have what is on record (--online looks at the real one)."
    } else {
        "Nothing was sent: this application was imagined (--online looks at the real one)."
    }
}

/// Reads worth telling: all that were sent; of those that were imagined, what looks for the account, once. What would look whether the account has come about
/// finds only what was imagined.
fn told(outlook: &Outlook) -> Vec<&Call> {
    if outlook.real {
        return outlook.reads().filter(|call| call.sent).collect();
    }
    let calls = outlook.performance.iter().flat_map(|performance| &performance.calls);
    let mut told: Vec<&Call> = Vec::new();
    for call in calls.take_while(|call| call.effect == Effect::Read) {
        if !told.iter().any(|before| target(before) == target(call)) {
            told.push(call);
        }
    }
    told
}

/// At least two blanks after the text, and as many as it takes to `width`.
fn padded(text: &str, width: usize) -> String {
    let text = clean(text);
    let short = width.saturating_sub(text.chars().count()).max(2);
    text + &" ".repeat(short)
}

/// What a call is for: a policy's own steps have a name that says it.
fn purpose(call: &Call) -> String {
    let kind = call.verb.split('.').nth(1).unwrap_or_default();
    match call.verb.split('.').next().unwrap_or_default() {
        _ if call.own => call.name.clone(),
        "create" => "create the account".to_owned(),
        "update" => "change attributes".to_owned(),
        "enable" => "switch the account on".to_owned(),
        "resolve" => format!("make the {kind}"),
        "members" if call.verb.ends_with(".remove") => format!("take out of the {kind}"),
        "members" => format!("add to the {kind}"),
        _ => call.name.clone(),
    }
}

/// Method and path with query, the id of an account that is not there yet as `{id}`.
fn target(call: &Call) -> String {
    // Decoded: this is for people; programs and --curl have it as it is sent.
    let query = call.query.as_ref().map(|query| format!("?{}", percent_decode_str(query).decode_utf8_lossy())).unwrap_or_default();
    unmade(&format!("{} {}{query}", call.method, call.path))
}

fn unmade(text: &str) -> String {
    text.replace(&MADE_ID.to_string(), "{id}").replace(NO_PASSWORD, "{random}")
}

/// The call as a command; a secret header is a variable that whoever runs it sets.
pub fn as_curl(call: &Call) -> String {
    let mut out = format!("curl -sS -X {} {}", call.method, quoted(&unmade(call.url.as_str())));
    for (name, value) in &call.headers {
        if value.is_sensitive() {
            let variable: String = name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
            let _infallible = write!(out, " -H \"{name}: ${variable}\"");
        } else {
            let _infallible = write!(out, " -H {}", quoted(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))));
        }
    }
    if !call.body.is_empty() {
        let _infallible = write!(out, " --data {}", quoted(&unmade(&String::from_utf8_lossy(&call.body))));
    }
    out
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A person's plan for programs.
pub fn plan_json(outlook: &Outlook) -> Value {
    let count = outlook.count();
    let lines: Vec<Value> = outlook
        .lines()
        .iter()
        .map(|line| json!({ "sign": line.sign.to_string(), "part": line.inner, "what": line.what, "value": line.value, "why": line.why }))
        .collect();
    let call = |call: &Call| {
        json!({ "method": call.method.as_str(), "path": unmade(&call.path), "query": call.query, "step": call.name, "sent": call.sent,
            "status": call.sent.then_some(call.status) })
    };
    json!({
        "host": outlook.policy.host,
        "policy": outlook.policy.file,
        "person": { "email": outlook.identity.email, "idp": outlook.identity.idp, "issuer": outlook.identity.subject.issuer, "subject": outlook.identity.subject.subject },
        "refused": outlook.refused.as_ref().map(|(because, place)| json!({ "because": because, "place": place })),
        "failure": outlook.failure().map(|(because, why)| json!({ "because": because.word(), "why": why })),
        "reads": outlook.reads().map(call).collect::<Vec<_>>(),
        "changes": lines,
        "calls": outlook.writes().map(call).collect::<Vec<_>>(),
        "create": count.create, "change": count.change, "add": count.add, "remove": count.remove,
        "real": outlook.real, "recorded": outlook.recorded,
    })
}

/// Everybody's plan in one line: `+3 Editor, 41 lose Admin, 2 conflicts`.
pub fn tally(tally: &Tally) -> String {
    let mut parts = Vec::new();
    for ((kind, member), (more, fewer)) in &tally.members {
        let name = if kind == "org" { format!("{kind} {member}") } else { member.clone() };
        if *more > 0 {
            parts.push(format!("+{more} {name}"));
        }
        if *fewer > 0 {
            parts.push(if *fewer == 1 { format!("1 loses {name}") } else { format!("{fewer} lose {name}") });
        }
    }
    let mut counted = |number: usize, one: &str, many: &str| {
        if number > 0 {
            parts.push(format!("{number} {}", if number == 1 { one } else { many }));
        }
    };
    counted(tally.create, "account to create", "accounts to create");
    counted(tally.change, "change of attributes", "changes of attributes");
    counted(tally.conflicts, "conflict", "conflicts");
    counted(tally.failed, "account that cannot be brought up to date", "accounts that cannot be brought up to date");
    counted(tally.refused, "does not enter", "do not enter");
    if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") }
}

/// Everybody's plan for programs.
pub fn tally_json(tally: &Tally) -> Value {
    let members: Vec<Value> =
        tally.members.iter().map(|((kind, member), (more, fewer))| json!({ "kind": kind, "member": member, "add": more, "remove": fewer })).collect();
    json!({ "people": tally.people, "changed": tally.changed, "create": tally.create, "change": tally.change, "members": members,
        "conflicts": tally.conflicts, "failed": tally.failed, "refused": tally.refused })
}

/// A file's tests, one a line; `verbose` adds times, decisions and calls. Failures follow their line.
pub fn tests(file: &str, ran: &[Ran], verbose: bool) -> String {
    let mut out = format!("{file}\n");
    for ran in ran {
        let mark = if ran.problems.is_empty() { "ok  " } else { "FAIL" };
        let time = if verbose { format!("   {:.1} ms", ran.took.as_secs_f64() * 1000.0) } else { String::new() };
        push(&mut out, &format!("  {mark}  {}{time}", clean(&ran.name)));
        if verbose {
            let (access, because) = said(&ran.came.verdict);
            let because = because.map(|because| format!(" because of {because}")).unwrap_or_default();
            push(&mut out, &format!("          {access}{because}"));
            for call in ran.came.calls() {
                push(&mut out, &format!("          {}", unmade(&call)));
            }
        }
        for problem in &ran.problems {
            out.push('\n');
            out.push_str(&problem.render());
            out.push('\n');
        }
    }
    out
}

/// A file's tests for programs.
pub fn tests_json(file: &str, ran: &[Ran]) -> Vec<Value> {
    let one = |ran: &Ran| {
        let (access, because) = said(&ran.came.verdict);
        let problems: Vec<Value> = ran
            .problems
            .iter()
            .map(|problem| {
                let (line, column) = problem.line_column();
                json!({ "line": line, "column": column, "message": problem.message, "help": problem.helps })
            })
            .collect();
        json!({ "file": file, "name": ran.name, "place": ran.place, "passed": ran.problems.is_empty(), "access": access, "because": because,
            "calls": ran.came.calls().iter().map(|call| unmade(call)).collect::<Vec<_>>(), "problems": problems,
            "took_us": u64::try_from(ran.took.as_micros()).unwrap_or(u64::MAX) })
    };
    ran.iter().map(one).collect()
}

/// What no test reaches, and how much that is.
pub fn coverage(rules: &[Covered]) -> String {
    let reached = rules.iter().filter(|rule| rule.reached).count();
    let mut out = String::new();
    for rule in rules.iter().filter(|rule| !rule.reached) {
        push(&mut out, &format!("  not reached    {:<32}  {}", rule.place, clean(&rule.what)));
    }
    for rule in rules.iter().filter(|rule| rule.reached && rule.refused == Some(false)) {
        push(&mut out, &format!("  never refuses  {:<32}  {}", rule.place, clean(&rule.what)));
    }
    push(&mut out, &format!("  {reached} of {} rules are reached by a test", rules.len()));
    out
}

/// As [`coverage`], for programs.
pub fn coverage_json(rules: &[Covered]) -> Vec<Value> {
    rules.iter().map(|rule| json!({ "rule": rule.what, "place": rule.place, "reached": rule.reached, "refused": rule.refused })).collect()
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// Names come from files, and must not steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
