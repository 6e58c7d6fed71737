//! What the gateway reads in the demo: policies and secrets in a folder, and its configuration.

use super::{AUTH_HOST, CLIENT_ID, DemoError, DemoServers, TICKETS_HOST, WIKI_HOST};
use crate::config::{Audit, AuditSink, Bounds, Gateway, Idp, Pages, Provisioning, SecretRef, Server, Session, State, Telemetry, TlsVersion};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What was written, and what to start the gateway with.
#[derive(Debug)]
pub struct DemoFiles {
    /// Folder of the policies: `wiki.toml`, `tickets.toml`.
    pub policies: PathBuf,
    /// The gateway's configuration. A value, not a file: a file without `[tls]` does not compile, and rightly so.
    pub gateway: Gateway,
}

/// Writes policies and secrets into `dir`, which has to exist and to be ours alone.
///
/// # Errors
/// [`DemoError::File`] with the path that could not be written.
pub fn write_files(dir: &Path, servers: &DemoServers) -> Result<DemoFiles, DemoError> {
    let write = |path: PathBuf, text: &str| match fs::write(&path, text) {
        Ok(()) => Ok(path),
        Err(problem) => Err(DemoError::File(path, problem)),
    };
    let policies = dir.join("policies");
    fs::create_dir_all(&policies).map_err(|problem| DemoError::File(policies.clone(), problem))?;
    let keep = |name: &str, text: &str| {
        let path = write(dir.join(name), text)?;
        // For their owner only, as the gateway asks of every secret.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|problem| DemoError::File(path.clone(), problem))?;
        Ok::<_, DemoError>(path)
    };
    let client = keep("client-secret", &servers.secrets.client)?;
    let wiki = keep("wiki-token", &servers.secrets.wiki)?;
    let tickets = keep("tickets-key", &servers.secrets.tickets)?;
    let state = keep("state-key", &servers.secrets.state)?;
    write(policies.join("wiki.toml"), &wiki_policy(servers, &wiki))?;
    write(policies.join("tickets.toml"), &tickets_policy(servers, &tickets))?;
    let gateway = gateway(dir, servers, policies.clone(), client, state);
    Ok(DemoFiles { policies, gateway })
}

fn gateway(dir: &Path, servers: &DemoServers, policies: PathBuf, client_secret: PathBuf, state_key: PathBuf) -> Gateway {
    let port = servers.ports.gateway;
    Gateway {
        server: Server {
            listen: vec![([127, 0, 0, 1], port).into()],
            redirect: Vec::new(),
            auth_host: AUTH_HOST.to_owned(),
            public_port: port,
            policies,
            trusted_proxies: Vec::new(),
            body_bytes_max: 100 << 20,
            drain_ms: 2_000,
            workers: 2,
            bounds: Bounds::default(),
        },
        certificates: Vec::new(),
        min_tls: TlsVersion::V1_2,
        admin: None,
        state: State {
            url: format!("sqlite:{}", dir.join("vestibule.db").display()),
            key: SecretRef::File(state_key),
            backup_keep: 0,
            sign_ins_keep_ms: 90 * 86_400_000,
            incidents_keep_ms: 30 * 86_400_000,
        },
        // Without TLS there is no `__Host-` and no `Secure`: the demo only.
        session: Session { idle_ms: 30 * 60_000, max_ms: 12 * 3_600_000, cookie: "vestibule".to_owned(), same_site: "Lax" },
        provisioning: Provisioning::default(),
        audit: Audit::to(AuditSink::File(dir.join("audit.jsonl"))),
        telemetry: Telemetry { log: "warn".to_owned(), format: "auto".to_owned(), metrics: false, otlp: None },
        pages: Pages { name: "Vestibule demo".to_owned(), contact: Some("identity-team@example.com".to_owned()), ..Pages::default() },
        idps: vec![Idp {
            name: "Demo provider".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(SecretRef::File(client_secret)),
            scopes: ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec(),
            algorithms: vec!["RS256".to_owned()],
            userinfo: true,
            ..Idp::bare("demo", format!("http://{}", servers.idp_addr))
        }],
    }
}

/// The ten-line policy, with the app's own SCIM API behind it.
fn wiki_policy(servers: &DemoServers, token: &Path) -> String {
    let wiki = servers.wiki_addr;
    format!(
        r#"# The Wiki knows people by the X-Remote-User header, and takes new accounts over SCIM.
title    = "Wiki"
host     = "{WIKI_HOST}"
upstream = "http://{wiki}"

[access]
groups  = ["staff"]
contact = "it-apps@example.com"

[[path]]                             # the demo's switches
match  = ["/_demo", "/_demo/*"]
public = true

[user]
name     = "{{slug(given_name)}}-{{slug(family_name)}}"
required = ["given_name", "family_name", "email"]

[roles]
map = {{ staff = "editors" }}

[provision]
connector   = "scim"
url         = "http://{wiki}/scim/v2"
token       = {token}
on_existing = "adopt"                # Bob keeps his old account
match       = ["email"]

[headers]
X-Remote-User = "{{user.name}}"

[jwt]
header   = "X-Vestibule-JWT"
audience = "wiki"
"#,
        token = secret(token)
    )
}

/// An app without a connector of its own: its calls are in the policy.
fn tickets_policy(servers: &DemoServers, key: &Path) -> String {
    let tickets = servers.tickets_addr;
    format!(
        r#"# Tickets has an admin API of its own making (Redmine's): the steps are written out here.
title    = "Tickets"
host     = "{TICKETS_HOST}"
upstream = "http://{tickets}"

[access]
groups  = ["staff", "contractors"]
contact = "it-apps@example.com"

[[path]]                             # the demo's switches
match  = ["/_demo", "/_demo/*"]
public = true

[user]
name     = "{{slug(given_name)}}-{{slug(family_name)}}"
required = ["given_name", "family_name", "email"]

[roles]
map  = {{ staff = "Developer", contractors = "Reporter" }}
pick = "all"

[vars]
group_id = {{ Manager = 12, Developer = 14, Reporter = 15 }}

[provision]
connector   = "rest"
url         = "http://{tickets}"
headers     = {{ X-Redmine-API-Key = {{ secret = {key} }} }}
on_existing = "adopt"
match       = ["email"]

[provision.find]                     # the search is fuzzy: `where` makes it exact
get   = "/users.json?name={{user.email}}"
list  = "users"
where = "lower(item.mail) == user.email"
id    = "id"

[[provision.step]]
name = "create the account"
on   = "create"
post = "/users.json"
save = {{ id = "user.id" }}
[provision.step.body.user]
login     = "{{user.name}}"
firstname = "{{given_name}}"
lastname  = "{{family_name}}"
mail      = "{{user.email}}"

[[provision.step]]
name = "join groups"
on   = ["create", "update"]
each = "roles.added"
post = "/groups/{{vars.group_id[item]}}/users.json"
body = {{ user_id = "{{id}}" }}
ok   = [204, 422]                    # 422: already a member

[[provision.step]]
name   = "leave groups"
on     = "update"
each   = "roles.removed"
delete = "/groups/{{vars.group_id[item]}}/users/{{id}}.json"
ok     = [204, 404]

[headers]
X-Remote-User = "{{user.name}}"

[jwt]
header   = "X-Vestibule-JWT"
audience = "tickets"
"#,
        key = secret(key)
    )
}

/// `"file:PATH"` as a TOML string.
fn secret(path: &Path) -> String {
    serde_json::Value::String(format!("file:{}", path.display())).to_string()
}
