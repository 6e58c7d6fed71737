//! `[idp.groups_lookup]`: what it means, and how it is made of what is written. Pure.

use super::SecretRef;
use super::compile::secret;
use crate::source::{Reader, Table};
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
