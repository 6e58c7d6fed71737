//! Everything that a start and the first request would need, looked at without starting: `check --online`.
//!
//! Lives here: [`look`], which asks each provider for its metadata and keys, connects to each application, probes each admin API with the real credential, and reads
//! certificates and secrets, all at once and each within [`PATIENCE`]. Nothing is changed anywhere and nothing is kept; of a secret it tells the length.
//! Beside [`super::start`], for it takes the same adapters; `reach.rs` connects, `local.rs` reads files.

mod local;
mod reach;
#[cfg(feature = "saml")]
mod saml;

use super::{Environment, connectors};
use crate::clock::{Clock, Timestamp};
use crate::config::environment::Overlaid;
use crate::config::schema::GATEWAY;
use crate::config::{AuditSink, Certificate, Gateway, Idp, SecretRef};
use crate::connector::model::Verb;
use crate::connector::{Connector, Outcome, Trouble};
use crate::outbound::{HyperTransport, Transport};
use crate::policy::schema::POLICY;
use crate::policy::sign_in::Mode;
use crate::policy::{Policy, written_roles};
use crate::proxy::tls;
use crate::source::{Node, Problem, SourceFile, Span, Table, parse, schema};
use crate::sso::oidc::OidcProvider;
use std::fmt::Display;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longest wait for any one answer.
const PATIENCE: Duration = Duration::from_secs(12);
/// Answers waited for at the same time.
const AT_ONCE: usize = 128;

/// What to look at.
pub struct Look {
    /// The gateway file with the environment over it.
    pub file: Overlaid,
    /// What it means.
    pub gateway: Gateway,
    /// The policies that are in order, with their files.
    pub policies: Vec<(SourceFile, Arc<Policy>)>,
    /// One policy was asked for: its switches and what it needs of a person are told as well, and of the gateway only what concerns it.
    pub narrow: bool,
    /// The environment that `env:` and `cred:` look at.
    pub environment: Environment,
    /// For the days that certificates have left.
    pub clock: Arc<dyn Clock>,
}

/// What was found, in the order of the files.
#[derive(Debug, Default)]
pub struct Found {
    /// What is in order, one line each.
    pub ok: Vec<String>,
    /// What is not.
    pub problems: Vec<Problem>,
}

/// One answer.
enum Finding {
    Ok(String),
    Problem(Problem),
}

/// A place that an answer is about.
#[derive(Debug, Clone)]
struct Place {
    file: SourceFile,
    span: Option<Span>,
    /// As printed before what is in order.
    origin: String,
}

type Job = Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;

/// Looks at everything at once.
pub async fn look(look: Look) -> Found {
    let jobs = match tools() {
        Ok(tools) => jobs(&look, &tools),
        Err(why) => {
            let place = Place { file: look.file.file.clone(), span: None, origin: String::new() };
            vec![(place.clone(), Box::pin(async move { vec![place.error("outgoing-tls", why, "install the system's certificates")] }) as Job)]
        }
    };
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, (place, job)) in jobs.into_iter().enumerate() {
        let at_once = Arc::clone(&at_once);
        drop(running.spawn(async move {
            // Never closed; without a permit it would merely run sooner.
            let _permit = at_once.acquire_owned().await;
            let late = |_elapsed| vec![place.error("timeout", format!("no answer within {} s", PATIENCE.as_secs()), "")];
            (number, tokio::time::timeout(PATIENCE, job).await.unwrap_or_else(late))
        }));
    }
    let mut answers = running.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    let mut found = Found::default();
    for finding in answers.into_iter().flat_map(|(_, findings)| findings) {
        match finding {
            Finding::Ok(line) => found.ok.push(line),
            Finding::Problem(problem) => found.problems.push(problem),
        }
    }
    let of_gateway = |problem: &Problem| problem.file.name == look.file.file.name;
    let (own, others): (Vec<Problem>, Vec<Problem>) = found.problems.into_iter().partition(of_gateway);
    Found { ok: found.ok, problems: look.file.named(own).into_iter().chain(others).collect() }
}

/// What the answers are fetched with.
struct Tools {
    transport: Arc<dyn Transport>,
    upstream_tls: Arc<rustls::ClientConfig>,
}

fn tools() -> Result<Tools, String> {
    let transport = HyperTransport::new([]).map_err(|error| error.to_string())?;
    let upstream_tls = tls::client_config(None).map_err(|error| error.to_string())?;
    Ok(Tools { transport: Arc::new(transport), upstream_tls: Arc::new(upstream_tls) })
}

fn jobs(look: &Look, tools: &Tools) -> Vec<(Place, Job)> {
    let mut jobs = Vec::new();
    let wanted = |idp: &Idp| {
        !look.narrow
            || look
                .policies
                .iter()
                .any(|(_, policy)| policy.login.idp.contains(&idp.id) || policy.bearer.as_ref().is_some_and(|bearer| bearer.idp == idp.id))
    };
    if !look.narrow {
        jobs.extend(secrets(look, &look.file.file, &look.file.tree, &GATEWAY, &|span| look.file.origin(span)));
        jobs.push(store(look));
        jobs.extend(audit_file(look));
    }
    jobs.push(certificates(look));
    for (idp, (span, table)) in look.gateway.idps.iter().zip(look.file.tree.sections("idp")).filter(|(idp, _)| wanted(idp)) {
        let key = if idp.saml.is_some() { "metadata" } else { "issuer" };
        let span = table.node(key).map_or(span, |node| &node.span).clone();
        let place = Place { file: look.file.file.clone(), origin: look.file.origin(&span), span: Some(span) };
        jobs.push(provider(place, idp.clone(), tools, &look.clock));
    }
    for (file, policy) in &look.policies {
        let tree = parse(file).0;
        let at = |path: &[&str]| Place::in_file(file, node_at(&tree, path).map(|node| node.span.clone()));
        jobs.push(upstream(at(&["upstream"]), Arc::clone(policy), tools));
        jobs.extend(secrets(look, file, &tree, &POLICY, &|span| file.place(span)));
        jobs.extend(admin_api(at(&["provision", "url"]), written_roles_of(file, &tree), policy, tools, look));
        let (place, advice) = (at(&["provision", "connector"]), advice(&at(&["provision", "connector"]), policy));
        jobs.push((place, Box::pin(async move { advice })));
        if look.narrow {
            jobs.push(as_far_as_known(file, &tree, policy));
        }
    }
    jobs
}

fn node_at<'t>(tree: &'t Table, path: &[&str]) -> Option<&'t Node> {
    let (last, sections) = path.split_last()?;
    let table = sections.iter().try_fold(tree, |table, section| table.table(section))?;
    table.node(last)
}

impl Place {
    fn in_file(file: &SourceFile, span: Option<Span>) -> Self {
        let origin = span.as_ref().map_or_else(|| file.name.to_string(), |span| file.place(span));
        Self { file: file.clone(), span, origin }
    }

    fn ok(&self, text: impl Display) -> Finding {
        Finding::Ok(format!("{:<32} {text}", self.origin))
    }

    fn error(&self, code: &'static str, message: impl Into<String>, help: &str) -> Finding {
        let mut problem = Problem::error(code, &self.file, self.span.clone().unwrap_or_default(), message);
        problem.span.clone_from(&self.span);
        Finding::Problem(if help.is_empty() { problem } else { problem.help(help) })
    }

    fn warning(&self, code: &'static str, message: impl Into<String>, help: &str) -> Finding {
        let mut problem = Problem::warning(code, &self.file, self.span.clone().unwrap_or_default(), message);
        problem.span.clone_from(&self.span);
        Finding::Problem(if help.is_empty() { problem } else { problem.help(help) })
    }
}

fn provider(place: Place, idp: Idp, tools: &Tools, clock: &Arc<dyn Clock>) -> (Place, Job) {
    let (transport, clock, about) = (Arc::clone(&tools.transport), Arc::clone(clock), place.clone());
    #[cfg(feature = "saml")]
    if idp.saml.is_some() {
        return (about, Box::pin(saml::provider(place, idp, transport, clock)));
    }
    let job = async move {
        let (id, issuer) = (idp.id.clone(), idp.issuer.clone());
        // The secret takes no part in what is asked.
        vec![match OidcProvider::new(idp, None, transport, clock).probe().await {
            Ok(1) => place.ok(format_args!("provider {id}: {issuer}, 1 key")),
            Ok(keys) => place.ok(format_args!("provider {id}: {issuer}, {keys} keys")),
            Err(fault) => place.error("provider", fault.to_string(), "the issuer must be exactly what the provider's own metadata says"),
        }]
    };
    (about, Box::pin(job))
}

fn upstream(place: Place, policy: Arc<Policy>, tools: &Tools) -> (Place, Job) {
    let (tls, about) = (Arc::clone(&tools.upstream_tls), place.clone());
    let job = async move {
        let upstream = &policy.upstream;
        let name = format!("{}://{}:{}", if upstream.tls { "https" } else { "http" }, upstream.host, upstream.port);
        vec![match reach::reach(upstream, tls).await {
            Ok(address) => place.ok(format_args!("upstream {name}: connected to {address}")),
            Err(why) => {
                place.error("unreachable", format!("the application does not answer at {name}: {why}"), "is it running, and is this its address?")
            }
        }]
    };
    (about, Box::pin(job))
}

/// The connector's own read-only question, with the real credential; then whether the app has the roles that the policy names.
fn admin_api(place: Place, roles: Vec<(String, Place)>, policy: &Arc<Policy>, tools: &Tools, look: &Look) -> Option<(Place, Job)> {
    let provision = policy.provision.as_ref()?;
    let (name, base) = (provision.connector.name.clone(), provision.url.to_string());
    if !provision.connector.can(&Verb::Probe) {
        let line = place.ok(format_args!("admin API {base}: connector \"{name}\" has no question that only looks"));
        return Some((place, Box::pin(async move { vec![line] })));
    }
    let environment = Arc::clone(&look.environment);
    let read = move |key: &dyn Display, reference: &SecretRef| super::secret::read(key, reference, environment.as_ref());
    // A secret that is not to be had is told where it is referred to.
    let credential = connectors::credential(policy, &read).ok()?;
    let files = super::admin_tls::Files::read(policy);
    let key = connectors::client_key(policy, &read).ok()?;
    let transport = match files.and_then(|files| files.transport(policy, key.as_ref(), &tools.transport)) {
        Ok(transport) => transport,
        Err(error) => {
            let finding = place.error("admin-api", error.to_string(), "");
            return Some((place, Box::pin(async move { vec![finding] })));
        }
    };
    let engine = connectors::engine(policy, credential, transport, &look.clock)?;
    let about = place.clone();
    let job = async move {
        if let Err(trouble) = engine.probe().await {
            let message = format!("the admin API at {base} does not answer as \"{name}\" should: {trouble}");
            return vec![place.error("admin-api", message, way_out(&trouble))];
        }
        let mut findings = vec![place.ok(format_args!("admin API {base}: \"{name}\" answers and accepts the credential"))];
        for (role, place) in roles {
            findings.extend(known_role(engine.as_ref(), &name, &role, &place).await);
        }
        findings
    };
    Some((about, Box::pin(job)))
}

/// Whether the app has a role that the policy writes out; nothing when it cannot be asked.
async fn known_role(engine: &dyn Connector, name: &str, role: &str, place: &Place) -> Option<Finding> {
    match engine.knows_role(role).await {
        Ok(true) => None,
        Ok(false) => {
            let help = "make it there, or correct it here: whoever should get it gets no account as the policy wants it";
            Some(place.error("unknown-role", format!("the application has no role `{role}`"), help))
        }
        Err(trouble) if matches!(trouble.outcome, Outcome::Unsupported) => None,
        Err(trouble) => {
            Some(place.warning("admin-api", format!("whether \"{name}\" has the role `{role}` cannot be told: {trouble}"), way_out(&trouble)))
        }
    }
}

/// Roles that the policy writes out, each once, with the place of the first.
fn written_roles_of(file: &SourceFile, tree: &Table) -> Vec<(String, Place)> {
    let mut found: Vec<(String, Place)> = Vec::new();
    for node in written_roles(tree) {
        let Some(role) = node.as_text().filter(|role| !role.trim().is_empty() && !found.iter().any(|(known, _)| known == role)) else { continue };
        found.push((role.to_owned(), Place::in_file(file, Some(node.span.clone()))));
    }
    found
}

/// What the app should not do by itself, and what else its connector advises: whether that is so, no admin API tells.
fn advice(place: &Place, policy: &Policy) -> Vec<Finding> {
    let Some(provision) = &policy.provision else { return Vec::new() };
    let sign_in = &provision.connector.sign_in;
    let native =
        sign_in.native_jit.iter().map(|native| place.ok(format_args!("see to it in the application that it makes no accounts by itself: {native}")));
    let bridged = (policy.sign_in.mode == Mode::SessionBridge).then(|| {
        let days = policy.sign_in.rotate_ms / 86_400_000;
        place.ok(format_args!(
            "people are signed in by the application's own form: a password for each, kept sealed for {days} days, of lower assurance than a header"
        ))
    });
    native.chain(bridged).collect()
}

const fn way_out(trouble: &Trouble) -> &'static str {
    if matches!(trouble.outcome, Outcome::Reauth) {
        "the credential is not accepted: is it the right one, and has it not ended?"
    } else if matches!(trouble.outcome, Outcome::Denied) {
        "the credential is accepted and may not look: give its user the rights of an administrator of accounts"
    } else if trouble.status.is_none() {
        "is the application running, and is this the address of its admin API?"
    } else {
        "is this the base address of the admin API, and is this the right connector?"
    }
}

/// Every reference to a secret in a file.
fn secrets(look: &Look, file: &SourceFile, tree: &Table, root: &'static schema::Section, origin: &dyn Fn(&Span) -> String) -> Vec<(Place, Job)> {
    let folder = Path::new(&*file.name).parent().unwrap_or(Path::new(""));
    let of = |(key, node): (String, &Node)| {
        let reference = SecretRef::parse(node.as_text()?)?.beside(folder);
        let place = Place { file: file.clone(), span: Some(node.span.clone()), origin: origin(&node.span) };
        let (about, environment) = (place.clone(), Arc::clone(&look.environment));
        let job: Job = Box::pin(async move { local::secret(&place, &key, &reference, environment.as_ref()) });
        Some((about, job))
    };
    schema::secrets(tree, root).into_iter().filter_map(of).collect()
}

/// Where a key of the gateway file stands.
fn at_key(look: &Look, path: &[&str]) -> Place {
    let span = node_at(&look.file.tree, path).map(|node| node.span.clone());
    let origin = span.as_ref().map_or_else(|| look.file.file.name.to_string(), |span| look.file.origin(span));
    Place { file: look.file.file.clone(), span, origin }
}

/// The store: there and whole, or a place to make it in.
fn store(look: &Look) -> (Place, Job) {
    let (place, state, environment) = (at_key(look, &["state", "url"]), &look.gateway.state, Arc::clone(&look.environment));
    let (url, key) = (state.url.clone(), state.key.clone());
    (place.clone(), Box::pin(async move { local::store(&place, &url, &key, environment.as_ref()).await }))
}

/// The folder of the audit file.
fn audit_file(look: &Look) -> Option<(Place, Job)> {
    let AuditSink::File(path) = look.gateway.audit.sink.clone() else { return None };
    let place = at_key(look, &["audit", "file"]);
    Some((place.clone(), Box::pin(async move { local::folder_of(&place, "[audit] file", &path).into_iter().collect() })))
}

/// The certificates, and whether they name every host that is served.
fn certificates(look: &Look) -> (Place, Job) {
    let tree = &look.file.tree;
    let place = |span: Option<&Span>| {
        let file = look.file.file.clone();
        let origin = span.map_or_else(|| file.name.to_string(), |span| look.file.origin(span));
        Place { file, span: span.cloned(), origin }
    };
    let pairs = look.gateway.certificates.iter().cloned().zip(written_certificates(tree).map(|node| place(Some(&node.span)))).collect();
    let mut hosts = Vec::new();
    if !look.narrow {
        hosts.push((look.gateway.server.auth_host.clone(), place(node_at(tree, &["server", "auth_host"]).map(|node| &node.span))));
    }
    let console = look.gateway.admin.as_ref().filter(|admin| !look.narrow && !admin.is_plain()).and_then(|admin| admin.console.as_ref());
    if let Some(console) = console {
        hosts.push((console.host.clone(), place(node_at(tree, &["admin", "host"]).map(|node| &node.span))));
    }
    for (file, policy) in &look.policies {
        let span = parse(file).0.node("host").map(|node| node.span.clone());
        hosts.push((policy.host.clone(), Place::in_file(file, span)));
    }
    let (environment, now, quiet) = (Arc::clone(&look.environment), look.clock.now(), look.narrow);
    let about = place(node_at(tree, &["tls", "cert"]).map(|node| &node.span));
    (about, Box::pin(async move { local::certificates(pairs, hosts, environment.as_ref(), now, quiet) }))
}

/// Where the certificates are named, in the order of [`Gateway::certificates`].
fn written_certificates(tree: &Table) -> impl Iterator<Item = &Node> {
    let section = tree.table("tls");
    let further = section.map(|section| section.sections("certificate")).unwrap_or_default();
    section.into_iter().chain(further.into_iter().map(|(_, table)| table)).filter_map(|table| table.node("cert"))
}

/// What `check` says of certificates without `--online`: those that have ended or soon will, where they can be read.
pub fn ending(gateway: &Gateway, over: &Overlaid, now: Timestamp) -> Vec<Problem> {
    let of = |(certificate, node): (&Certificate, &Node)| {
        let place = Place::in_file(&over.file, Some(node.span.clone()));
        match local::ending(certificate, &place, now)? {
            Finding::Problem(problem) => Some(problem),
            Finding::Ok(_) => None,
        }
    };
    over.named(gateway.certificates.iter().zip(written_certificates(&over.tree)).filter_map(of).collect())
}

/// What must hold at the provider's and at the application's side for an account to be made, as far as the files say it.
fn as_far_as_known(file: &SourceFile, tree: &Table, policy: &Arc<Policy>) -> (Place, Job) {
    let at = |path: &[&str]| Place::in_file(file, node_at(tree, path).map(|node| node.span.clone()));
    let whole = at(&["provision"]);
    let mut lines = Vec::new();
    let on = node_at(tree, &["provision", "enabled"]);
    match (&policy.provision, on) {
        (None, _) => lines.push(whole.ok("accounts: none are made ([provision] is left out, or its connector is \"none\")")),
        (Some(_), Some(Node { value: crate::source::Written::Bool(false), .. })) => {
            lines.push(at(&["provision", "enabled"]).ok("accounts: switched off (enabled = false)"));
        }
        (Some(provision), _) => {
            lines.push(whole.ok(format_args!("accounts: switched on, made by \"{}\" at the first sign-in", provision.connector.name)));
        }
    }
    let providers = policy.login.idp.join(", ");
    lines.push(at(&["login", "idp"]).ok(format_args!("sign-in: by {providers}")));
    if !policy.user.required.is_empty() {
        let names = policy.user.required.join(", ");
        lines.push(at(&["user", "required"]).ok(format_args!("the provider must send: {names}")));
    }
    for attribute in policy.provision.iter().flat_map(|provision| &provision.connector.attributes) {
        if !attribute.required && !attribute.locked {
            continue;
        }
        let name = attribute.name.as_str();
        let (plain, extra) = (["user", name], ["user", "extra", name]);
        let own = [plain.as_slice(), &extra].into_iter().find(|path| node_at(tree, path).is_some());
        let from = if own.is_some() { "as this policy says" } else { "by default" };
        lines.push(own.map_or_else(|| whole.clone(), &at).ok(format_args!("the application needs: {name} ({from})")));
    }
    (whole, Box::pin(async move { lines }))
}
