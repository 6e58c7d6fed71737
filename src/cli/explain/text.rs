//! An answer as operators read it (operators.md 4.3).

use super::answer::{Answer, Gets, State};
use std::fmt::Write as _;

/// Where what is said begins.
const SAID: usize = 10;
/// Where places and remarks begin, when there is room.
const BESIDE: usize = 59;

/// The whole answer.
pub(super) fn render(answer: &Answer) -> String {
    let mut out = beside(&format!("{:<6} {}", answer.verdict.word(), answer.why), answer.place.as_ref().map_or("", |place| &place.text));
    out.push('\n');
    let mut parts: Vec<(&str, Vec<String>)> = Vec::new();
    if let Some(incident) = &answer.incident {
        let mut lines = vec![beside(&indented(&format!("{}, {}", incident.code, incident.ago)), "(as recorded)")];
        lines.extend(incident.request.iter().map(|request| format!("{request}\n")));
        lines.extend(incident.log.iter().map(|log| format!("log: {log}\n")));
        parts.push(("incident", lines));
    }
    if let Some(sign_in) = &answer.sign_in {
        let first = beside(&indented(&format!("{} via {}, {}", sign_in.who, sign_in.idp, sign_in.known)), sign_in.note);
        let groups = sign_in.groups.as_ref().map_or("the provider did not say which".to_owned(), |groups| none_or(groups));
        parts.push(("sign-in", vec![first, format!("groups: {groups}\n")]));
    }
    let matched = answer.matched.iter().map(|(section, place)| beside(&indented(section), place)).collect();
    parts.push(("matched", matched));
    parts.push(("checks", checks(answer)));
    if let Some(gets) = &answer.gets {
        parts.extend(given(gets));
    }
    if let Some(sees) = &answer.sees {
        let contact = sees.contact.as_ref().map(|contact| format!("  contact {contact}")).unwrap_or_default();
        parts.push(("sees", vec![format!("\"{}\"{contact}\n", sees.text)]));
    }
    parts.push(("fix", answer.fix.iter().map(|fix| format!("{fix}\n")).collect()));
    parts.push(("today", answer.today.iter().map(|today| format!("{today}\n")).collect()));
    for (name, lines) in parts {
        for (index, line) in lines.iter().enumerate() {
            let line = line.strip_prefix(&" ".repeat(SAID)).unwrap_or(line);
            let _infallible = write!(out, "{:<SAID$}{line}", if index == 0 { name } else { "" });
        }
    }
    out
}

fn checks(answer: &Answer) -> Vec<String> {
    let column = |width: fn(&super::answer::Line) -> usize| answer.checks.iter().map(width).max().unwrap_or(0);
    let (section, key) = (column(|line| line.section.chars().count()), column(|line| line.key.chars().count()));
    let word = |state| match state {
        State::Ok => "ok",
        State::Fail => "FAIL",
        State::Open => "?",
    };
    answer.checks.iter().map(|line| format!("{:<4}  {:<section$} {:<key$}    {}\n", word(line.state), line.section, line.key, line.says)).collect()
}

fn given(gets: &Gets) -> Vec<(&'static str, Vec<String>)> {
    let one = |line: &str| vec![format!("{line}\n")];
    let mut parts = Vec::new();
    if let Some(login) = &gets.login {
        parts.push(("account", vec![beside(&indented(login), &gets.account)]));
    }
    if let Some(roles) = &gets.roles {
        parts.push(("roles", one(roles)));
    }
    if let Some(orgs) = &gets.orgs {
        parts.push(("orgs", one(orgs)));
    }
    parts.push(("headers", gets.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()));
    parts.extend(gets.enters.as_ref().map(|enters| ("enters", one(enters))));
    parts.extend(gets.lands.as_ref().map(|lands| ("lands", one(lands))));
    parts
}

fn none_or(values: &[String]) -> String {
    if values.is_empty() { "none".to_owned() } else { values.join(", ") }
}

fn indented(text: &str) -> String {
    format!("{:SAID$}{text}", "")
}

/// `left`, and `right` in its column or two blanks after.
fn beside(left: &str, right: &str) -> String {
    if right.is_empty() {
        return format!("{}\n", left.trim_end());
    }
    let width = left.chars().count();
    let gap = if width + 2 > BESIDE { 2 } else { BESIDE - width };
    format!("{left}{:gap$}{right}\n", "")
}
