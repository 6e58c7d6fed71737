//! `vestibule.toml` as written, made into a [`Gateway`] as meant.
//!
//! Lives here: [`compile`], one function a section, and [`together`], what several files may not say at once. What does not work yet is an
//! error where doing nothing would weaken security or lose data. Pure: paths are resolved, not opened.

use super::environment::{self, Overlaid};
use super::schema::GATEWAY;
use super::{
    Admin, Audit, AuditFormat, AuditSink, Bounds, Certificate, Console, Gateway, Idp, Language, PageFiles, Pages, SecretRef, Server, Session, State,
    Telemetry, TlsVersion,
};
use crate::policy::Policy;
use crate::policy::compile::{known_idp, parse_network, with_syntax};
use crate::source::value::size_bytes;
use crate::source::{Problem, Reader, Severity, SourceFile, Span, Table, in_order, in_words_of_the_file, parse, schema};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Compiles the gateway file. `folder` is where it lies: relative paths start there. The gateway comes even with warnings, never with an error.
pub fn compile(file: &SourceFile, folder: &Path) -> (Option<Gateway>, Vec<Problem>) {
    compile_over(&environment::overlay(file, &[]), folder)
}

/// As [`compile`], with the environment over the file.
pub fn compile_over(over: &Overlaid, folder: &Path) -> (Option<Gateway>, Vec<Problem>) {
    let (file, tree) = (&over.file, &over.tree);
    let mut found = schema::check(file, tree, &GATEWAY);
    found.extend(over.problems.iter().cloned());
    if !over.syntax.is_empty() {
        return (None, over.named(with_syntax(over.syntax.clone(), found)));
    }
    let mut reader = Reader::new(file, found);
    let gateway = gateway(&mut reader, tree, folder);
    let mut problems = reader.problems;
    in_order(&mut problems);
    in_words_of_the_file(file, &mut problems);
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    (gateway.filter(|_| !broken), over.named(problems))
}

/// Where the policies are, and which providers there are, as far as the file says it: so that policies can be checked even when the gateway file is
/// not in order.
pub fn outline(over: &Overlaid, folder: &Path) -> (PathBuf, Option<Vec<String>>) {
    let tree = &over.tree;
    let policies = tree.table("server").and_then(|server| server.text("policies")).unwrap_or("policies");
    let idps: Vec<String> = tree.sections("idp").iter().filter_map(|(_, idp)| idp.text("id")).map(str::to_owned).collect();
    (folder.join(policies), (!idps.is_empty()).then_some(idps))
}

/// `[admin] socket`, as far as the file says it: for the command line, which asks a gateway that runs, whatever the file has come to since.
pub fn socket(over: &Overlaid, folder: &Path) -> Option<PathBuf> {
    over.tree.table("admin")?.text("socket").map(|path| folder.join(path))
}

/// What files may not say at once: one host, one app; none of those in `own` ([`Gateway::own_hosts`]). The first file in the list keeps the host, and the
/// name where two of one folder differ in their ending only.
pub fn together<'p>(own: &[(&str, &'static str)], policies: impl IntoIterator<Item = (&'p SourceFile, &'p Policy)>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, &str> = own.iter().copied().collect();
    let mut names: HashMap<PathBuf, &str> = HashMap::new();
    for (file, policy) in policies {
        // Sessions and accounts go by the name: two of one name would be one app.
        match names.entry(Path::new(&policy.file).with_extension("")) {
            Entry::Occupied(owner) => {
                let mut problem = Problem::error("duplicate-app", file, 0..0, format!("there is an app `{}` already: {}", policy.name, owner.get()));
                problem.span = None;
                problems.push(problem.help("the file's name without its ending is the app's name: rename one of them"));
                continue;
            }
            Entry::Vacant(free) => {
                free.insert(&policy.file);
            }
        }
        match seen.entry(&policy.host) {
            Entry::Occupied(owner) => {
                let span = parse(file).0.node("host").map_or(0..0, |node| node.span.clone());
                let problem = Problem::error("duplicate-host", file, span, format!("`{}` is taken by {}", policy.host, owner.get()));
                problems.push(problem.help("one host, one application"));
            }
            Entry::Vacant(free) => {
                free.insert(&policy.file);
            }
        }
    }
    problems
}

fn gateway(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Option<Gateway> {
    let server = server(reader, tree, folder);
    let certificates = certificates(reader, tree, folder);
    let admin = admin(reader, tree, folder);
    let state = state(reader, tree, folder);
    let session = session(reader, tree);
    let provisioning = super::provisioning::compile(reader, tree);
    let audit = audit(tree, folder);
    let telemetry = telemetry(reader, tree);
    let pages = pages(reader, tree, folder);
    let idps = idps(reader, tree, folder);
    let min_tls = section(tree, "tls").and_then(|(table, _)| table.text("min_version")).map_or(TlsVersion::V1_2, |version| match version {
        "1.3" => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    });
    Some(Gateway { server: server?, certificates, min_tls, admin, state: state?, session, provisioning, audit, telemetry, pages, idps })
}

fn section<'t>(tree: &'t Table, key: &str) -> Option<(&'t Table, &'t Span)> {
    let node = tree.node(key)?;
    Some((node.as_table()?, &node.span))
}

fn server(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Option<Server> {
    let (table, _) = section(tree, "server")?;
    let addresses = |key: &str| -> Vec<SocketAddr> { table.texts(key).iter().filter_map(|written| written.parse().ok()).collect() };
    let listen = addresses("listen");
    if let Some(node) = table.node("listen")
        && node.as_list().is_some_and(<[_]>::is_empty)
    {
        reader.error("empty-list", &node.span, "server.listen is an empty list", "name at least one address");
    }
    let redirect = addresses("redirect");
    if let Some(node) = table.node("redirect")
        && redirect.iter().any(|address| listen.contains(address))
    {
        reader.error("contradiction", &node.span, "server.redirect and server.listen share an address", "");
    }
    let number = |key: &str| table.integer(key);
    Some(Server {
        listen,
        redirect,
        auth_host: table.text("auth_host")?.to_ascii_lowercase(),
        public_port: number("public_port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
        policies: folder.join(table.text("policies").unwrap_or("policies")),
        trusted_proxies: table.texts("trusted_proxies").iter().filter_map(|network| parse_network(network)).collect(),
        body_bytes_max: table.text("max_body").and_then(size_bytes).unwrap_or(100 << 20),
        drain_ms: table.duration_ms("drain").and_then(|ms| u64::try_from(ms).ok()).unwrap_or(30_000),
        workers: number("workers").and_then(|workers| usize::try_from(workers).ok()).unwrap_or(0),
        bounds: bounds(table),
    })
}

fn certificates(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Vec<Certificate> {
    let Some((table, span)) = section(tree, "tls") else { return Vec::new() };
    let pair = |table: &Table| {
        let key = secret(table, "key", folder)?;
        Some(Certificate { chain: folder.join(table.text("cert")?), key })
    };
    for (key, other) in [("cert", "key"), ("key", "cert")] {
        if let Some(entry) = table.get(key).filter(|_| table.get(other).is_none()) {
            reader.error("missing-key", &entry.key_span, format!("`tls.{other}` is missing"), "cert and key go together");
        }
    }
    let certificates: Vec<Certificate> =
        pair(table).into_iter().chain(table.sections("certificate").iter().filter_map(|(_, table)| pair(table))).collect();
    if table.get("cert").is_none() && table.get("key").is_none() && table.get("certificate").is_none() {
        reader.error("missing-key", span, "[tls] names no certificate", "write cert and key, or [[tls.certificate]] sections");
    }
    certificates
}

fn admin(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Option<Admin> {
    let (table, _) = section(tree, "admin")?;
    let console = console(reader, tree, table);
    let listen = match table.node("listen").map(|node| (node, table.texts("listen"))) {
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)),
        Some((node, written)) => {
            let [one] = written.as_slice() else {
                reader.error("bad-value", &node.span, "admin.listen takes exactly one address", "such as \"127.0.0.1:9443\"");
                return None;
            };
            one.parse().ok()?
        }
    };
    if let Some(node) = table.node("listen")
        && !is_loopback(listen.ip())
    {
        let help = "it speaks TLS there; /metrics, /healthz and /readyz ask nobody to sign in: let only those reach it who may see them";
        reader.warning("admin-exposed", &node.span, "admin.listen is not a loopback address", help);
    }
    Some(Admin {
        listen,
        console,
        socket: table.text("socket").map(|path| folder.join(path)),
        socket_group: table.text("socket_group").map(str::to_owned),
        socket_viewers: table.text("socket_viewers").map(str::to_owned),
    })
}

/// Each key by itself, else its default.
fn bounds(table: &Table) -> Bounds {
    let usual = Bounds::default();
    let number = |key: &str, usual: usize| table.integer(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(usual);
    let span = |key: &str, usual: u64| table.duration_ms(key).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(usual);
    Bounds {
        connections_max: number("max_connections", usual.connections_max),
        connections_per_client_max: number("max_connections_per_client", usual.connections_per_client_max),
        response_idle_ms: span("response_idle", usual.response_idle_ms),
        stream_idle_ms: span("stream_idle", usual.stream_idle_ms),
    }
}

/// `[admin] host` and who may use what is there. A console without a provider and without operators would be one that anybody may use, or nobody: neither is
/// guessed.
fn console(reader: &mut Reader<'_>, tree: &Table, table: &Table) -> Option<Console> {
    let Some(host) = table.get("host") else {
        for key in ["idp", "groups", "viewers"] {
            if let Some(entry) = table.get(key) {
                let message = format!("admin.{key} has no effect: without admin.host there is no console");
                reader.warning("no-effect", &entry.key_span, message, "such as `host = \"vestibule-admin.example.com\"`");
            }
        }
        return None;
    };
    let (span, written) = (host.node.span.clone(), host.node.as_text()?.to_ascii_lowercase());
    for (key, help) in [("idp", "`idp`: the [[idp]] id of the provider that operators sign in with"), ("groups", "`groups`: whose members may act")] {
        if table.get(key).is_none() {
            reader.error("missing-key", &host.key_span, format!("the console needs `admin.{key}`"), help);
        }
    }
    for key in ["groups", "viewers"] {
        if let Some(node) = table.node(key)
            && node.as_list().is_some_and(<[_]>::is_empty)
        {
            reader.error("empty-list", &node.span, format!("admin.{key} is an empty list"), "name at least one group");
        }
    }
    if let Some(node) = table.node("idp") {
        let idps: Vec<String> = tree.sections("idp").iter().filter_map(|(_, idp)| idp.text("id")).map(str::to_owned).collect();
        known_idp(reader, node, Some(&idps));
    }
    let auth_host = tree.table("server").and_then(|server| server.text("auth_host"));
    if auth_host.is_some_and(|auth_host| auth_host.eq_ignore_ascii_case(&written)) {
        let help = "the console has a host of its own: its cookies must not be those of the sign-in";
        reader.error("duplicate-host", &span, format!("`{written}` is taken by [server] auth_host"), help);
    }
    let idp = table.text("idp")?.to_owned();
    Some(Console { host: written, idp, groups: table.texts("groups"), viewers: table.texts("viewers") })
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// `[state] sign_ins_keep`: 90 days.
const SIGN_INS_KEEP_MS: i64 = 90 * 86_400_000;
/// `[state] incidents_keep`: 30 days.
const INCIDENTS_KEEP_MS: i64 = 30 * 86_400_000;

fn state(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Option<State> {
    let (table, _) = section(tree, "state")?;
    let node = table.node("url")?;
    let written = node.as_text()?;
    let url = match written.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with("//") => format!("sqlite:{}", folder.join(path).display()),
        Some(("postgres" | "postgresql", _)) => {
            reader.error(
                "not-yet",
                &node.span,
                "PostgreSQL is not supported yet",
                "one gateway with \"sqlite:/var/lib/vestibule/vestibule.db\" works",
            );
            return None;
        }
        _ => {
            reader.error("bad-value", &node.span, "state.url takes sqlite:PATH", "such as \"sqlite:/var/lib/vestibule/vestibule.db\"");
            return None;
        }
    };
    let backup_keep = table.integer("backup_keep").and_then(|keep| usize::try_from(keep).ok()).unwrap_or(7);
    let sign_ins_keep_ms = table.duration_ms("sign_ins_keep").unwrap_or(SIGN_INS_KEEP_MS);
    // Whoever keeps sign-ins for a week does not keep people for a month because they were refused.
    let incidents_keep_ms = table.duration_ms("incidents_keep").unwrap_or_else(|| INCIDENTS_KEEP_MS.min(sign_ins_keep_ms));
    Some(State { url, key: secret(table, "key", folder)?, backup_keep, sign_ins_keep_ms, incidents_keep_ms })
}

fn session(reader: &mut Reader<'_>, tree: &Table) -> Session {
    let nothing = Table::default();
    let (table, _) = section(tree, "session").unwrap_or((&nothing, &(0..0)));
    let idle_ms = table.duration_ms("idle").unwrap_or(30 * 60_000);
    let max_ms = table.duration_ms("max").unwrap_or(12 * 3_600_000);
    if let Some(node) = table.node("idle").filter(|_| idle_ms > max_ms) {
        reader.warning("no-effect", &node.span, "session.idle is longer than session.max, so it has no effect", "");
    }
    let cookie = table.text("cookie").unwrap_or("__Host-vestibule").to_owned();
    if let Some(node) = table.node("cookie") {
        let token = cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !token || !cookie.starts_with("__Host-") {
            let help = "__Host- and letters, digits, - or _: the prefix keeps other hosts and plain HTTP from setting it";
            reader.error("bad-value", &node.span, format!("`{cookie}` is not a value of session.cookie"), help);
        }
    }
    Session { idle_ms, max_ms, cookie, same_site: if table.text("same_site") == Some("strict") { "Strict" } else { "Lax" } }
}

/// Where syslog daemons listen.
const SYSLOG: &str = "/dev/log";
/// Where journald listens for its native protocol.
const JOURNALD: &str = "/run/systemd/journal/socket";

fn audit(tree: &Table, folder: &Path) -> Audit {
    let nothing = Table::default();
    let (table, _) = section(tree, "audit").unwrap_or((&nothing, &(0..0)));
    let format = match table.text("format") {
        Some("ocsf") => AuditFormat::Ocsf,
        Some("ecs") => AuditFormat::Ecs,
        _ => AuditFormat::Plain,
    };
    let sink = match table.text("file") {
        None | Some("stdout") => AuditSink::Stdout,
        Some("syslog") => AuditSink::Syslog(SYSLOG.into()),
        Some("journald") => AuditSink::Journald(JOURNALD.into()),
        Some(path) => AuditSink::File(folder.join(path)),
    };
    Audit { sink, format, hash: table.text("pii") == Some("hash") }
}

fn telemetry(reader: &mut Reader<'_>, tree: &Table) -> Telemetry {
    let nothing = Table::default();
    let (table, _) = section(tree, "telemetry").unwrap_or((&nothing, &(0..0)));
    let otlp = table.text("otlp").and_then(|written| url::Url::parse(written).ok());
    if let (Some(node), Some(url)) = (table.node("otlp"), &otlp) {
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            reader.error(
                "bad-value",
                &node.span,
                "telemetry.otlp is an address without credentials, query and fragment",
                "such as \"http://127.0.0.1:4318\"",
            );
        } else if url.path().ends_with("/v1/traces") {
            reader.error("bad-value", &node.span, "telemetry.otlp ends with /v1/traces", "leave that out: it is added");
        }
    }
    Telemetry {
        log: table.text("log").unwrap_or("info").to_owned(),
        format: table.text("format").unwrap_or("auto").to_owned(),
        metrics: table.flag("metrics").unwrap_or(true),
        otlp,
    }
}

fn pages(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Pages {
    let nothing = Table::default();
    let (table, _) = section(tree, "pages").unwrap_or((&nothing, &(0..0)));
    let written = table.texts("languages");
    let languages: Vec<Language> = written.iter().filter_map(|tag| Language::parse(tag)).collect();
    if let Some(node) = table.node("languages") {
        if node.as_list().is_some_and(<[_]>::is_empty) {
            reader.error(
                "empty-list",
                &node.span,
                "pages.languages is an empty list",
                "name at least one; the first is for readers who ask for none of them",
            );
        }
        for (at, node) in table.text_nodes("languages").into_iter().enumerate() {
            if written.iter().take(at).any(|before| Some(before.as_str()) == node.as_text()) {
                reader.warning("no-effect", &node.span, "this language is in the list already", "the first place counts");
            }
        }
    }
    Pages {
        name: table.text("name").unwrap_or("Sign-in").to_owned(),
        contact: table.text("contact").map(str::to_owned),
        languages: if languages.is_empty() { vec![Language::En] } else { languages },
        logo: table.text("logo").map(|path| folder.join(path)),
        templates: table.text("templates").map(|path| folder.join(path)),
        files: PageFiles::default(),
    }
}

fn idps(reader: &mut Reader<'_>, tree: &Table, folder: &Path) -> Vec<Idp> {
    let mut idps: Vec<Idp> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (span, table) in tree.sections("idp") {
        let id = table.text("id").unwrap_or_default();
        if let Some(node) = table.node("id") {
            if seen.contains(&id) {
                reader.error("duplicate-idp", &node.span, format!("there is an identity provider `{id}` already"), "ids must differ");
            }
            if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
                reader.error("bad-value", &node.span, format!("`{id}` is not a value of idp.id"), "letters, digits, - _ .");
            }
            seen.push(id);
        }
        if table.text("type") == Some("saml") {
            idps.extend(super::saml::saml(reader, span, table, id, folder));
            continue;
        }
        idps.extend(oidc(reader, span, table, id, folder));
    }
    idps
}

fn oidc(reader: &mut Reader<'_>, span: &Span, table: &Table, id: &str, folder: &Path) -> Option<Idp> {
    for (key, doc) in [("issuer", "issuer identifier, exactly as the provider writes it"), ("client_id", "our client id there")] {
        if table.get(key).is_none() {
            reader.error("missing-key", span, format!("`idp.{key}` is missing"), &format!("`{key}`: {doc}"));
        }
    }
    for key in ["metadata", "pin", "subject", "entity_id", "max_response", "cert", "key"] {
        if let Some(entry) = table.get(key) {
            reader.error("contradiction", &entry.key_span, format!("idp.{key} belongs to SAML, and this is OpenID Connect"), "leave it out");
        }
    }
    let issuer = table.text("issuer")?;
    if let (Some(node), Ok(url)) = (table.node("issuer"), url::Url::parse(issuer)) {
        let loopback = url.host_str().is_some_and(|host| host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback));
        // OIDC Core 2: the issuer is an https URL without query and fragment.
        if url.scheme() != "https" && !loopback {
            reader.error("bad-value", &node.span, "an issuer is an https address", "plain http is accepted on loopback only");
        }
        if url.query().is_some() || url.fragment().is_some() {
            reader.error("bad-value", &node.span, "an issuer has no query and no fragment", "");
        }
    }
    for key in ["scopes", "algorithms"] {
        if let Some(node) = table.node(key)
            && node.as_list().is_some_and(<[_]>::is_empty)
        {
            reader.error("empty-list", &node.span, format!("idp.{key} is an empty list"), "leave the key out, or name at least one");
        }
    }
    let listed = |key: &str, default: &[&str]| {
        let given = table.texts(key);
        if given.is_empty() { default.iter().map(|&word| word.to_owned()).collect() } else { given }
    };
    let mut scopes = listed("scopes", &["openid", "profile", "email", "groups"]);
    if !scopes.iter().any(|scope| scope == "openid") {
        // OIDC Core 3.1.2.1: without it there is no ID token.
        scopes.insert(0, "openid".to_owned());
    }
    Some(Idp {
        id: id.to_owned(),
        name: table.text("name").unwrap_or(id).to_owned(),
        issuer: issuer.to_owned(),
        client_id: table.text("client_id")?.to_owned(),
        client_secret: secret(table, "client_secret", folder),
        scopes,
        groups: table.text("groups").unwrap_or("groups").to_owned(),
        trust_email: table.flag("trust_email") == Some(true),
        algorithms: listed("algorithms", &["RS256", "PS256", "ES256", "EdDSA"]),
        attributes: attributes(reader, table),
        userinfo: table.flag("userinfo").unwrap_or(true),
        groups_lookup: super::groups_lookup::groups_lookup(reader, table, folder),
        saml: None,
    })
}

/// `[idp.attributes]`. What names a person or a token to the gateway itself is no policy's to choose.
pub(super) fn attributes(reader: &mut Reader<'_>, table: &Table) -> Vec<(String, Vec<String>)> {
    const PROTOCOL: [&str; 10] = ["sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "auth_time", "sid", "idp"];
    let mut attributes: Vec<(String, Vec<String>)> = Vec::new();
    for entry in table.table("attributes").map(|attributes| attributes.entries.as_slice()).unwrap_or_default() {
        let name = entry.key.strip_prefix("claims.").unwrap_or(&entry.key);
        if PROTOCOL.contains(&name) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let help = "a name of policies: email, given_name, family_name, name, username, groups, or one of your own, which becomes claims.NAME";
            reader.error("bad-value", &entry.key_span, format!("idp.attributes cannot set `{name}`"), help);
        }
        if entry.node.as_list().is_some_and(<[_]>::is_empty) {
            reader.error("empty-list", &entry.node.span, format!("idp.attributes.{name} is an empty list"), "name at least one claim");
        }
        if name == "groups" && table.get("groups").is_some() {
            reader.error("contradiction", &entry.key_span, "idp.groups and idp.attributes.groups contradict each other", "leave one of them out");
        }
        let nodes = entry.node.as_list().unwrap_or(std::slice::from_ref(&entry.node));
        attributes.push((name.to_owned(), nodes.iter().filter_map(|node| node.as_text().map(str::to_owned)).collect()));
    }
    attributes
}

/// A secret; a relative `file:` starts in the folder of the gateway file.
pub(super) fn secret(table: &Table, key: &str, folder: &Path) -> Option<SecretRef> {
    let node = table.node(key)?;
    let text = node.as_text().or_else(|| node.as_table().and_then(|table| table.text("secret")))?;
    SecretRef::parse(text).map(|reference| reference.beside(folder))
}

#[cfg(test)]
mod tests;
