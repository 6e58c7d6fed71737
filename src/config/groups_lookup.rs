//! `[idp.groups_lookup]`: what it means, how it is made of what is written, and which policies would not know its answers ([`against`]). Pure.

use super::compile::secret;
use super::{Idp, SecretRef};
use crate::policy::{Glob, Policy};
use crate::source::{Problem, Reader, SourceFile, Table, parse};
use std::path::Path;
use url::{Host, Url};

/// Where the groups of somebody are asked for who is in too many for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsLookup {
    /// `url`: what is asked is below it, and nothing else is.
    pub url: Url,
    /// `token_url`; `None`: the provider's own token endpoint.
    pub token_url: Option<Url>,
    /// `scope` of the token that the gateway asks with.
    pub scope: String,
    /// `client_id`; `None`: the provider's.
    pub client_id: Option<String>,
    /// `client_secret`; `None`: the provider's.
    pub client_secret: Option<SecretRef>,
    /// `security_only`: distribution lists are left out, as they are in tokens.
    pub security_only: bool,
    /// `timeout`: all of it, the token and every page included.
    pub timeout_ms: u64,
}

/// Microsoft Graph, outside the national clouds.
const GRAPH: &str = "https://graph.microsoft.com/v1.0";
const TIMEOUT_MS: u64 = 5_000;

/// `[idp.groups_lookup]` of `idp`, a provider of type `oidc`.
pub(super) fn groups_lookup(reader: &mut Reader<'_>, idp: &Table, folder: &Path) -> Option<GroupsLookup> {
    let table = idp.table("groups_lookup")?;
    let mut address = |key: &str| {
        let url = Url::parse(table.text(key)?).ok()?;
        if let Some(node) = table.node(key).filter(|_| !may_carry_a_token(&url)) {
            let what = format!("idp.groups_lookup.{key} is where a credential is sent: https, without user, query and fragment");
            reader.error("bad-value", &node.span, what, "plain http is accepted on loopback only");
        }
        Some(url)
    };
    let (url, token_url) = (address("url").or_else(|| Url::parse(GRAPH).ok())?, address("token_url"));
    if idp.get("client_secret").is_none()
        && table.get("client_secret").is_none()
        && let Some(entry) = idp.get("groups_lookup")
    {
        let help = "client_secret of the provider, or one of [idp.groups_lookup]: the gateway asks in its own name";
        reader.error("missing-key", &entry.key_span, "a public client cannot ask a directory: there is no `client_secret`", help);
    }
    let scope = table.text("scope").map_or_else(|| format!("{}/.default", url.origin().ascii_serialization()), str::to_owned);
    Some(GroupsLookup {
        url,
        token_url,
        scope,
        client_id: table.text("client_id").map(str::to_owned),
        client_secret: secret(table, "client_secret", folder),
        security_only: table.flag("security_only").unwrap_or(true),
        timeout_ms: table.duration_ms("timeout").and_then(|ms| u64::try_from(ms).ok()).unwrap_or(TIMEOUT_MS),
    })
}

/// Policies that write groups by name, where a directory answers with object ids: whoever is in too many groups for a token would be in none of them. Nothing is said
/// of a provider whose groups are read from several claims: a name may be that of a role.
pub fn against<'p>(idps: &[Idp], policies: impl IntoIterator<Item = (&'p SourceFile, &'p Policy)>) -> Vec<Problem> {
    let asked = |idp: &&Idp| {
        let sources = idp.attributes.iter().find(|(name, _)| name == "groups").map_or(1, |(_, sources)| sources.len());
        idp.groups_lookup.is_some() && sources == 1
    };
    let asking: Vec<&Idp> = idps.iter().filter(asked).collect();
    let mut problems = Vec::new();
    for (file, policy) in policies {
        let Some(idp) = asking.iter().find(|idp| policy.login.idp.contains(&idp.id)) else { continue };
        let Some(name) = patterns(policy).map(Glob::as_str).find(|pattern| !may_be_an_object_id(pattern)) else { continue };
        let message = format!("the group `{name}` is no object id, and those are what [idp.groups_lookup] of `{}` answers with", idp.id);
        let tree = parse(file).0;
        let section = ["access", "roles"].into_iter().find_map(|section| tree.get(section)).map(|entry| entry.key_span.clone());
        let mut problem = Problem::warning("group-name", file, section.clone().unwrap_or(0..0), message);
        problem.span = section;
        let help = "write object ids, and have tokens carry them: whoever is in too many groups for a token is in none that is written by its name";
        problems.push(problem.help(help));
    }
    problems
}

/// Every pattern of groups in a policy.
fn patterns(policy: &Policy) -> impl Iterator<Item = &Glob> {
    let gates = std::iter::once(&policy.access).chain(policy.paths.iter().map(|section| &section.gate));
    let of_gates = gates.flat_map(|gate| gate.groups.iter().chain(&gate.deny_groups));
    let of_roles = policy.roles.iter().flat_map(|roles| roles.map.iter().map(|(pattern, _)| pattern));
    of_gates.chain(of_roles).chain(policy.orgs.iter().flat_map(|org| &org.groups))
}

/// 8-4-4-4-12 hexadecimal digits, or a pattern that fits something of that kind.
fn may_be_an_object_id(pattern: &str) -> bool {
    let is_well_made = pattern.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | '*'));
    is_well_made && (pattern.contains('*') || pattern.split('-').map(str::len).eq([8, 4, 4, 4, 12]))
}

fn may_carry_a_token(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_proper = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    is_proper && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback))
}

#[cfg(test)]
mod tests {
    use super::may_be_an_object_id;

    #[test]
    fn a_name_is_no_object_id() {
        let check = |pattern: &str, expected: bool| assert_eq!(may_be_an_object_id(pattern), expected, "{pattern}");
        check("staff", false);
        check("g-*", false);
        check("beef", false);
        check("0e3f9a1c-1111-4222-8333-abcdefabcde", false);
        check("0e3f9a1c-1111-4222-8333-abcdefabcdeg", false);
        check("{0e3f9a1c-1111-4222-8333-abcdefabcdef}", false);
        check("0E3F9A1C-1111-4222-8333-abcdefabcdef", true);
        check("0e3f9a1c-*", true);
        check("*", true);
    }
}
