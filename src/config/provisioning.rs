//! `[provisioning]`: which policies may make accounts, and which must.
//!
//! Lives here: [`Provisioning`], and [`against`], which holds the policies against it. A switch above the policies' own: whoever may write a policy need not be
//! the one who says that an app gets accounts, or that nobody switches that off.

use crate::policy::Policy;
use crate::source::{Problem, Reader, SourceFile, Table, parse};

/// `[provisioning]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioning {
    /// Policies, by name, that may have `[provision]`; `None`: all.
    pub allow: Option<Vec<String>>,
    /// Policies, by name, that must make accounts.
    pub locked: Vec<String>,
}

/// `[provisioning]` as written.
pub(super) fn compile(reader: &mut Reader<'_>, tree: &Table) -> Provisioning {
    let Some(table) = tree.table("provisioning") else { return Provisioning::default() };
    let allow = table.node("allow").map(|_| table.texts("allow"));
    if let Some(node) = table.node("locked")
        && node.as_list().is_some_and(<[_]>::is_empty)
    {
        reader.error("empty-list", &node.span, "provisioning.locked is an empty list", "leave the key out, or name at least one policy");
    }
    for node in table.text_nodes("locked") {
        let name = node.as_text().unwrap_or_default();
        if allow.as_ref().is_some_and(|allowed| !allowed.iter().any(|known| known == name)) {
            let message = format!("`{name}` must make accounts (provisioning.locked) and may not (provisioning.allow)");
            reader.error(
                "contradiction",
                &node.span,
                message,
                &format!("add \"{name}\" to provisioning.allow, or take it out of provisioning.locked"),
            );
        }
    }
    Provisioning { allow, locked: table.texts("locked") }
}

/// What policies do that the gateway file does not let them, and names in it that no policy has. `names` are those of all policy files, broken ones included.
pub fn against<'p>(
    gateway: &SourceFile,
    settings: &Provisioning,
    names: &[String],
    policies: impl IntoIterator<Item = (&'p SourceFile, &'p Policy)>,
) -> Vec<Problem> {
    let mut problems = unknown_names(gateway, names);
    for (file, policy) in policies {
        let name = &policy.name;
        let at = |code, message: String| {
            let section = parse(file).0.get("provision").map(|entry| entry.key_span.clone());
            let mut problem = Problem::error(code, file, section.clone().unwrap_or(0..0), message);
            problem.span = section;
            problem
        };
        if policy.provision.is_some() && settings.allow.as_ref().is_some_and(|allowed| !allowed.contains(name)) {
            let message = format!("[provision] is not available to `{name}`: provisioning.allow in {} does not list it", gateway.name);
            let problem = at("provisioning-not-available", message);
            problems
                .push(problem.help(format!("add \"{name}\" to provisioning.allow in {}, or leave [provision] out of {}", gateway.name, file.name)));
        }
        if settings.locked.contains(name) && !makes_accounts(policy) {
            let message =
                format!("`{name}` must make accounts: provisioning.locked in {} lists it, and here is no [provision] that does", gateway.name);
            let problem = at("provisioning-locked", message);
            problems
                .push(problem.help(format!("write [provision] in {}, or take \"{name}\" out of provisioning.locked in {}", file.name, gateway.name)));
        }
    }
    problems
}

/// Whether the gateway file lets a policy be as it is: [`against`] says what is wrong where it does not.
pub fn lets(settings: &Provisioning, policy: &Policy) -> bool {
    let available = policy.provision.is_none() || settings.allow.as_ref().is_none_or(|allowed| allowed.contains(&policy.name));
    available && (makes_accounts(policy) || !settings.locked.contains(&policy.name))
}

/// Whether accounts are made, as far as the policy says.
fn makes_accounts(policy: &Policy) -> bool {
    policy.provision.as_ref().is_some_and(|provision| provision.switches.enabled)
}

fn unknown_names(gateway: &SourceFile, names: &[String]) -> Vec<Problem> {
    let tree = parse(gateway).0;
    let Some(table) = tree.table("provisioning") else { return Vec::new() };
    let mut problems = Vec::new();
    for key in ["allow", "locked"] {
        for node in table.text_nodes(key) {
            let written = node.as_text().unwrap_or_default();
            if names.iter().any(|name| name == written) {
                continue;
            }
            let problem = Problem::warning(
                "unknown-policy",
                gateway,
                node.span.clone(),
                format!("there is no policy `{written}`, which provisioning.{key} names"),
            );
            let near = crate::source::value::nearest(written, names.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
            problems.push(problem.help(near.unwrap_or_else(|| "a policy's name is that of its file, without .toml".to_owned())));
        }
    }
    problems
}
