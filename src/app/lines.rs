//! One line for each app: what was loaded (operators.md 1.2: say it).

use crate::policy::{Gate, Policy};

/// Groups or domains named in a line, at most.
const NAMED_MAX: usize = 3;

/// Host, upstream, file, who may enter, how accounts are made, tests.
pub(super) fn app(policy: &Policy) -> String {
    let upstream = &policy.upstream;
    let scheme = if upstream.tls { "https" } else { "http" };
    let accounts = policy.provision.as_ref().map_or("no accounts made", |provision| provision.connector.name.as_str());
    let tests = match policy.tests.len() {
        0 => "no tests".to_owned(),
        1 => "1 test".to_owned(),
        tests => format!("{tests} tests"),
    };
    let (host, file, who) = (&policy.host, &policy.file, who(&policy.access));
    format!("{host:<24} -> {scheme}://{}:{}   {file}   {who}   accounts: {accounts}   {tests}", upstream.host, upstream.port)
}

/// Who may enter, in a few words.
fn who(access: &Gate) -> String {
    let list = |what: &str, names: &[String]| {
        let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        format!("{what} {shown}{}", if names.len() > NAMED_MAX { ", …" } else { "" })
    };
    let mut all = Vec::new();
    if access.everyone {
        all.push("everyone".to_owned());
    }
    if !access.groups.is_empty() {
        all.push(list("groups", &access.groups.iter().map(|group| group.as_str().to_owned()).collect::<Vec<_>>()));
    }
    if !access.domains.is_empty() {
        all.push(list("domains", &access.domains));
    }
    if !access.networks.is_empty() {
        all.push(list("networks", &access.networks.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
    if access.when.is_some() {
        all.push("when …".to_owned());
    }
    if all.is_empty() { "people by path".to_owned() } else { all.join(" and ") }
}
