//! The reference pages, made from the tables and from the connector files: they cannot drift, for a test compares them with what is committed.

use super::help::{capital, sections, sentence};
use super::words::{inner, takes, when_left_out};
use crate::connector::builtin::builtin;
use crate::connector::model::{DisableBy, MemberVerb, Model, Verb, Way};
use crate::source::schema::Section;
use std::fmt::Write as _;

/// The reference of a file.
pub fn reference(title: &str, root: &'static Section) -> String {
    let mut out = format!("# {title}\n\n{}\n\n{GENERATED}\n", sentence(root.doc));
    table(&mut out, "Above the first section", root);
    for section in sections(root) {
        table(&mut out, &format!("`{}`", section.title), section);
    }
    out
}

const GENERATED: &str = "This page is made from the table that `vestibule check` uses; `vestibule help KEY` prints a part of it.";

fn table(out: &mut String, heading: &str, section: &Section) {
    // Writing to a String cannot fail.
    let _infallible = write!(out, "\n## {heading}\n\n");
    if !section.title.is_empty() {
        let _infallible = write!(out, "{}\n\n", sentence(section.doc));
    }
    out.push_str("| Key | What it does | Takes |\n|---|---|---|\n");
    for key in section.keys {
        let what = if inner(key.kind).is_some() { "see below".to_owned() } else { takes(key.kind) };
        let left_out = when_left_out(key).map(|text| format!("; {text}")).unwrap_or_default();
        let _infallible = writeln!(out, "| `{}` | {} | {} |", key.name, cell(&sentence(key.doc)), cell(&format!("{what}{left_out}")));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The reference of the built-in connectors.
pub fn connectors() -> String {
    let mut out = String::from(
        "# Connectors\n\nWhat `[provision] connector = \"…\"` may name.\n\nThis page is made from `policies/connectors/`; `vestibule connectors show NAME` prints a part of it.\n",
    );
    for model in builtin() {
        out.push('\n');
        out.push_str(&connector(model));
    }
    out
}

/// What one connector needs and can do.
pub fn connector(model: &Model) -> String {
    let mut out = String::new();
    describe(&mut out, model);
    out
}

fn describe(out: &mut String, model: &Model) {
    let _infallible = write!(out, "## `{}`\n\n{}\n\n", model.name, sentence(&model.summary));
    if !model.tested_with.is_empty() {
        let _infallible = write!(out, "Proven with {}.\n\n", model.tested_with.join(", "));
    } else if crate::kit::dialects().contains(&model.name.as_str()) {
        let _infallible = write!(out, "Proven against a scripted app: `vestibule connectors test {}`.\n\n", model.name);
    }
    if model.name == "rest" {
        out.push_str("Nothing is built in: `[provision.find]` says how an account is looked for, `[[provision.step]]` what is called.\n");
        return;
    }
    let _infallible = write!(out, "Can: {}.\n\n", capabilities(model).join(", "));
    if !model.role_order.is_empty() {
        let _infallible = write!(out, "Roles, from the lowest: {}.\n\n", code_list(&model.role_order));
    }
    if !model.attributes.is_empty() {
        out.push_str("| Attribute | | \n|---|---|\n");
        for attribute in &model.attributes {
            let words = [(attribute.required, "required"), (attribute.locked, "locked: its source may be changed, it cannot be left out")];
            let said: Vec<&str> = words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
            let _infallible = writeln!(out, "| `{}` | {} |", attribute.name, if said.is_empty() { "optional".to_owned() } else { said.join("; ") });
        }
        out.push('\n');
    }
    if !model.settings.is_empty() {
        out.push_str("| Setting | What it does | Default |\n|---|---|---|\n");
        for setting in &model.settings {
            let allowed: Vec<String> = setting.allowed.iter().map(|value| format!("`{value}`")).collect();
            let allowed = if allowed.is_empty() { String::new() } else { format!(" (one of {})", allowed.join(", ")) };
            let default = if setting.secret { "a secret: `cred:`, `file:` or `env:`".to_owned() } else { format!("`{}`", setting.default) };
            let _infallible = writeln!(out, "| `{}` | {}{} | {default} |", setting.name, cell(&sentence(&setting.summary)), cell(&allowed));
        }
        out.push('\n');
    }
    advice(out, model);
}

fn advice(out: &mut String, model: &Model) {
    let shows = match (&model.account.admin, model.account.admin_optional) {
        (None, _) => Some("Shows no administrators"),
        (Some(_), true) => Some("Not every app that speaks it shows administrators"),
        (Some(_), false) => None,
    };
    if let Some(shows) = shows {
        let _infallible = writeln!(out, "* {shows}: where accounts are adopted, say `protect` or `protect_when`.");
    }
    if let Some(header) = &model.sign_in.header {
        let _infallible = writeln!(out, "* The app expects the login in `{header}`.");
    }
    if !model.sign_in.block_paths.is_empty() {
        let _infallible = writeln!(out, "* Its own sign-in pages are not reachable through the gateway: {}.", code_list(&model.sign_in.block_paths));
    }
    if let Some(native) = &model.sign_in.native_jit {
        let _infallible = writeln!(out, "* Accounts that the app makes by itself: {native}.");
    }
    for line in &model.sign_in.advice {
        let _infallible = writeln!(out, "* {}.", capital(line));
    }
}

fn code_list(of: &[String]) -> String {
    of.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
}

/// What a connector can do, in the words that `connectors list --supports` takes.
pub fn capabilities(model: &Model) -> Vec<String> {
    let (before, after): (Vec<&Verb>, Vec<&Verb>) =
        model.verbs.keys().filter(|verb| **verb != Verb::Disable).partition(|verb| **verb < Verb::Disable);
    let mut said: Vec<String> = before.into_iter().filter_map(capability).collect();
    // Where the steps of `[[disable]]` would stand: an app may have another way, and none of those steps.
    said.extend(model.disable_by.iter().filter_map(disabling));
    said.extend(after.into_iter().filter_map(capability));
    said.dedup();
    said
}

/// How an account is switched off, where the app can.
fn disabling(way: &DisableBy) -> Option<String> {
    Some(match way {
        DisableBy::Flag => "disable".to_owned(),
        DisableBy::Group { .. } => "disable (group)".to_owned(),
        DisableBy::MembersRemoved => "disable (memberships taken away)".to_owned(),
        DisableBy::Delete => "disable (account removed)".to_owned(),
        DisableBy::Nothing => return None,
    })
}

fn capability(verb: &Verb) -> Option<String> {
    Some(match verb {
        Verb::Token | Verb::Session | Verb::Resolve(_) | Verb::Members(_, MemberVerb::List | MemberVerb::Remove | MemberVerb::Name) => return None,
        Verb::Probe => "probe".to_owned(),
        Verb::Lookup(Way::ExternalId) => "lookup by external id".to_owned(),
        Verb::Lookup(Way::Login) => "lookup by login".to_owned(),
        Verb::Lookup(Way::Email) => "lookup by email".to_owned(),
        Verb::Get => "get".to_owned(),
        Verb::Create => "create".to_owned(),
        Verb::Update => "update".to_owned(),
        Verb::Rename => "rename".to_owned(),
        Verb::Enable => "enable".to_owned(),
        Verb::Disable => "disable".to_owned(),
        Verb::Delete => "delete".to_owned(),
        Verb::List => "list".to_owned(),
        Verb::Members(kind, MemberVerb::Add | MemberVerb::Set) => format!("membership ({kind})"),
        Verb::RevokeSessions => "revoke sessions".to_owned(),
        Verb::SetPassword => "set passwords".to_owned(),
        Verb::Enter => "sign people in".to_owned(),
        Verb::Leave => "sign people out".to_owned(),
    })
}
