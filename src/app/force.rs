//! What is in force, and putting something else into force while the gateway runs.
//!
//! Lives here: [`Swap`]. [`Swap::take`] is what every reload comes to: it reads what the files refer to, decides with `load/settle.rs` what is served, and
//! hands each room its new part; nothing in any room waits for it, and a request sees the old or the new, never a mixture. What does not change keeps its
//! connections, passes and refusals: a pass is good for as long as its policy says the same.

use super::build::{AppParts, Builder, KnownIdp};
use super::reconcile::Rounds;
use super::{Rejected, StartError, limits, lines};
use crate::admin::commands::{Change, Entry, Reconciles, Reloaded};
use crate::admin::console::Served as Certificate;
use crate::clock::{Clock, Timestamp};
use crate::config::change::keep;
use crate::config::provisioning::lets;
use crate::config::{Gateway, MetadataPlace, SecretRef};
use crate::connector::Connector;
use crate::load::{Candidate, Choice, Found, app_of, settle, unavailable};
use crate::login;
use crate::observe::audit::rfc3339;
use crate::observe::{Level, Metrics};
use crate::pages::Pages;
use crate::policy::Policy;
use crate::policy::sign_in::Password;
use crate::provision::{self, seat};
use crate::proxy::tls::Resolver;
use crate::request::{Limits, Routes};
use crate::secrets;
use crate::session::LiveSessions;
use crate::session::operators::Sessions;
use crate::signer::KeyRing;
use crate::source::{Problem, Report, Severity};
use crate::state::{SecretHash, SignInStore, Store};
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Code of the problem of a policy whose secret is not to be had.
const SECRET: &str = "secret";

/// What is in force, and the way to put something else into force.
pub struct Swap {
    builder: Builder,
    pub(super) handles: Handles,
    force: Mutex<Force>,
    pub(super) recent: super::status::Recent,
    /// Which providers answered when they were last asked.
    pub(super) answering: Mutex<HashMap<String, bool>>,
    pub(super) started_at: Timestamp,
}

impl std::fmt::Debug for Swap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swap").field("started_at", &self.started_at).finish_non_exhaustive()
    }
}

/// The rooms that a reload reaches into.
pub(super) struct Handles {
    pub(super) keys: KeyRing,
    pub(super) sessions: Sessions,
    pub(super) routes: Arc<ArcSwap<Routes>>,
    pub(super) provision: Arc<provision::Desk>,
    pub(super) login: Arc<login::Desk>,
    pub(super) tokens: Arc<login::TokenDesk>,
    pub(super) pages: Arc<Pages>,
    pub(super) live: Arc<LiveSessions>,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<dyn Store>,
    /// Absent where somebody else has set up logging.
    pub(super) level: Option<Level>,
    /// Absent without TLS.
    pub(super) resolver: Option<Arc<Resolver>>,
    /// What it serves.
    pub(super) served: Mutex<Vec<Certificate>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) scheme: &'static str,
}

/// What a gateway starts with.
pub(super) struct First {
    pub(super) gateway: Gateway,
    pub(super) text: Option<Arc<str>>,
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) unavailable: Vec<String>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) idps: Vec<KnownIdp>,
    pub(super) certificates: Option<SecretHash>,
}

/// Why the configuration is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The gateway starts.
    Start,
    /// A file has changed.
    Watch,
    /// SIGHUP.
    Signal,
    /// An operator asked through the socket.
    Socket,
    /// An operator asked at the console.
    Console,
}

/// On whose behalf, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Why.
    pub source: Source,
    /// Who asked, where the gateway knows.
    pub operator: Option<String>,
}

impl Source {
    /// As audit events say it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Watch => "watch",
            Self::Signal => "signal",
            Self::Socket => "socket",
            Self::Console => "console",
        }
    }
}

impl By {
    /// Nobody in particular.
    pub const fn source(source: Source) -> Self {
        Self { source, operator: None }
    }
}

pub(super) struct Force {
    pub(super) gateway: Gateway,
    /// The gateway file as it was taken over; unknown of a gateway that was started without one.
    text: Option<Arc<str>>,
    pub(super) apps: Vec<Served>,
    pub(super) refused: Vec<Refused>,
    /// Connectors of the apps as they were before the last reload: requests that began under those find them.
    retired: HashMap<String, Arc<dyn Connector>>,
    pub(super) idps: Vec<KnownIdp>,
    certificates: Option<SecretHash>,
    pub(super) restart: Vec<&'static str>,
    pub(super) last_ok: bool,
    pub(super) last_at: Timestamp,
}

/// An app that is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) policy: Arc<Policy>,
    parts: AppParts,
    /// Since when this version has been.
    pub(super) since: Timestamp,
}

/// A policy file that is not served as it is now.
pub(super) struct Refused {
    pub(super) file: String,
    pub(super) app: String,
    pub(super) host: Option<String>,
    pub(super) errors: usize,
    /// Code of the first error.
    reason: &'static str,
    pub(super) why: String,
    text: Option<Arc<str>>,
    /// What it would inject is reserved, where it is only a secret that is missing.
    reserves: Option<Arc<Policy>>,
}

/// What one reload has to say.
struct Told<'a> {
    by: &'a By,
    entries: Vec<Entry>,
    unchanged: usize,
    /// What is wrong beside policies, in whole lines.
    others: String,
}

impl Swap {
    /// With what a gateway starts with; from the return on it is served.
    pub(super) fn begin(builder: Builder, handles: Handles, first: First) -> Self {
        let First { gateway, text, policies, unavailable, rejected, idps, certificates } = first;
        let now = handles.clock.now();
        let (mut apps, mut refused) = (Vec::new(), Vec::new());
        for Rejected { app, file, reason } in rejected {
            refused.push(Refused { file, app, host: None, errors: 1, reason, why: String::new(), text: None, reserves: None });
        }
        for policy in policies {
            // An app whose secrets are not to be had is unavailable, like one whose policy is broken; all others are served.
            match builder.app(&policy, None) {
                Ok(parts) => apps.push(Served { policy, parts, since: now }),
                Err(error) => {
                    tracing::error!(app = policy.name, host = policy.host, %error, "this app is unavailable until its secret is there");
                    refused.push(Refused::lacking(policy, &error));
                }
            }
        }
        let last_ok = refused.is_empty();
        let force = Force { gateway, text, apps, refused, retired: HashMap::new(), idps, certificates, restart: Vec::new(), last_ok, last_at: now };
        let swap = Self {
            builder,
            handles,
            force: Mutex::new(force),
            recent: super::status::Recent::default(),
            answering: Mutex::default(),
            started_at: now,
        };
        let force = swap.force();
        let by = By::source(Source::Start);
        force.apps.iter().for_each(|app| audit_loaded(&app.policy, &by));
        force.refused.iter().for_each(|refused| audit_rejected(Some(&refused.app), &refused.file, refused.reason, &by));
        swap.publish(&force, unavailable);
        drop(force);
        swap
    }

    /// Puts into force what the files say now. Blocks: it reads every secret and certificate.
    pub fn take(&self, found: Found, by: &By) -> Reloaded {
        let mut force = self.force();
        let now = self.handles.clock.now();
        let Found { gateway, file, mut candidates, problems, files } = found;
        let (gateway, restart) = keep(&force.gateway, gateway);
        let (mut parts, mut lacking) = self.parts(&force, &mut candidates);
        // What was in order before is no way around what the gateway file says now.
        let may_stay = force.apps.iter().filter(|app| lets(&gateway.provisioning, &app.policy));
        let before: HashMap<&str, &Policy> = may_stay.map(|app| (app.policy.file.as_str(), &*app.policy)).collect();
        let (choices, clashes) = settle(&gateway.own_hosts(), &candidates, &before);
        let mut told = Told { by, entries: Vec::new(), unchanged: 0, others: String::new() };

        if force.text.as_ref().is_some_and(|text| *text != file.text) {
            told.gateway(&file.name, &restart);
        }
        if gateway.pages.files != force.gateway.pages.files {
            told.other("[pages]", Change::Changed, Ok(()), None);
        }
        let idps = self.idps(&force, &gateway, &mut told);
        let certificates = self.certificates(&force, &gateway, &mut told);
        self.level(&force, &gateway, &mut told);

        let known: HashMap<String, Served> = force.apps.drain(..).map(|app| (app.policy.file.clone(), app)).collect();
        let wrong: HashMap<String, Refused> = force.refused.drain(..).map(|refused| (refused.file.clone(), refused)).collect();
        force.retired = known.values().filter_map(Served::seated).collect();
        for (candidate, choice) in candidates.iter().zip(&choices) {
            let name = &*candidate.file.name;
            let (served, was_wrong) = (known.get(name), wrong.get(name));
            if let (Choice::Now, Some(policy), Some(parts)) = (choice, &candidate.policy, parts.remove(name)) {
                force.apps.push(told.served(candidate, policy, parts, served, was_wrong, now));
            } else {
                let served = served.filter(|_| *choice == Choice::Before);
                let clash = clashes.iter().find(|problem| *problem.file.name == *name);
                let refused = Refused::of(candidate, clash, lacking.remove(name).filter(|_| served.is_none()));
                told.refused(&refused, served, was_wrong);
                force.refused.push(refused);
                force.apps.extend(served.cloned());
            }
        }
        let there: HashSet<&str> = candidates.iter().map(|candidate| &*candidate.file.name).collect();
        known.values().filter(|app| !there.contains(&*app.policy.file)).for_each(|app| told.removed(app));

        let hosts = force.apps.iter().map(|app| app.policy.host.as_str());
        let unavailable = unavailable(&gateway.server.auth_host, &candidates, &choices, hosts);
        force.idps = idps;
        force.certificates = certificates;
        force.text = Some(file.text);
        force.restart.clone_from(&restart);
        force.gateway = gateway;
        force.last_ok = told.entries.iter().all(|entry| entry.loaded);
        force.last_at = now;
        self.publish(&force, unavailable);

        let all = problems.into_iter().chain(candidates.into_iter().flat_map(|candidate| candidate.problems)).chain(clashes);
        told.reloaded(force.last_ok, &restart, all.collect(), files)
    }

    /// Keeps everything as it is: the gateway file is not in order.
    pub fn refuse(&self, config: &Path, report: &Report, by: &By) -> Reloaded {
        let mut force = self.force();
        let error = report.problems.iter().find(|problem| problem.severity == Severity::Error);
        let file = error.map_or_else(|| config.display().to_string(), |problem| problem.file.name.to_string());
        let entry = Entry {
            file: file.clone(),
            app: None,
            change: Change::Changed,
            errors: report.errors(),
            tests: 0,
            loaded: false,
            serving_since: Some(rfc3339(force.last_at)),
            why: error.map(|problem| problem.message.clone()).unwrap_or_default(),
        };
        force.last_ok = false;
        self.handles.metrics.loaded(false, 0);
        audit_rejected(None, &file, error.map_or("unreadable", |problem| problem.code), by);
        tracing::error!(file, errors = report.errors(), why = entry.why, "the gateway file is not in order: nothing is changed");
        Reloaded {
            ok: false,
            entries: vec![entry],
            unchanged: force.apps.len(),
            restart: force.restart.iter().map(ToString::to_string).collect(),
            problems: report.render_with("Nothing was changed."),
        }
    }

    /// What was loaded at the start, one line for each app.
    pub(super) fn lines(&self) -> Vec<String> {
        let force = self.force();
        let lacking = force.refused.iter().filter(|refused| refused.reserves.is_some()).map(|refused| {
            let host = refused.host.as_deref().unwrap_or_default();
            format!("error: {}\n  {host:<24} is unavailable until its secret is there\n", refused.why)
        });
        lacking.chain(force.apps.iter().map(|app| format!("  {}\n", lines::app(&app.policy)))).collect()
    }

    /// Goes through everybody who has an account, for operators. Must be called on the control runtime.
    pub fn rounds(&self) -> Arc<dyn Reconciles> {
        Arc::new(Rounds {
            desk: Arc::clone(&self.handles.provision),
            routes: Arc::clone(&self.handles.routes),
            sign_ins: Arc::clone(&self.handles.store) as Arc<dyn SignInStore>,
            runtime: tokio::runtime::Handle::current(),
            progress: Arc::default(),
        })
    }

    /// What applications' tokens are signed with, for operators.
    pub fn keys(&self) -> KeyRing {
        self.handles.keys.clone()
    }

    /// Who is signed in, for operators.
    pub fn sessions(&self) -> Sessions {
        self.handles.sessions.clone()
    }

    /// The people with accounts, for operators.
    pub fn people(&self) -> provision::People {
        self.handles.provision.people()
    }

    /// Files beside the gateway file and the policies that the configuration refers to, whether or not they are there.
    pub fn references(&self) -> Vec<PathBuf> {
        let force = self.force();
        let mut secrets: Vec<&SecretRef> = force.gateway.idps.iter().filter_map(|idp| idp.client_secret.as_ref()).collect();
        secrets.extend(force.gateway.idps.iter().filter_map(|idp| idp.groups_lookup.as_ref()?.client_secret.as_ref()));
        secrets.extend(force.gateway.idps.iter().filter_map(|idp| Some(&idp.saml.as_ref()?.key.as_ref()?.1)));
        secrets.extend(force.gateway.certificates.iter().map(|certificate| &certificate.key));
        let mut files: Vec<PathBuf> = Vec::new();
        let policies = force.apps.iter().map(|app| &app.policy).chain(force.refused.iter().filter_map(|refused| refused.reserves.as_ref()));
        for policy in policies {
            if let Some(Password::Secret(password)) = &policy.sign_in.password {
                secrets.push(password);
            }
            let of_paths = policy.paths.iter().flat_map(|section| &section.secret_headers);
            secrets.extend(policy.jwt.as_ref().and_then(|jwt| jwt.secret.as_ref()));
            secrets.extend(policy.secret_headers.iter().chain(of_paths).map(|header| &header.secret));
            if let Some(provision) = &policy.provision {
                let credential = &provision.credential;
                secrets.extend(credential.token.iter().chain(credential.basic.iter().map(|(_, password)| password)));
                secrets.extend(credential.headers.iter().chain(&credential.settings).map(|(_, value)| value));
            }
            if let Some(tls) = super::admin_tls::tls(policy) {
                files.extend(tls.ca.clone());
                files.extend(tls.client.as_ref().map(|(chain, _)| chain.clone()));
                secrets.extend(tls.client.as_ref().map(|(_, key)| key));
            }
        }
        let environment = self.builder.environment.as_ref();
        files.extend(secrets.into_iter().filter_map(|secret| secrets::location(secret, environment)));
        files.extend(force.gateway.certificates.iter().map(|certificate| certificate.chain.clone()));
        for saml in force.gateway.idps.iter().filter_map(|idp| idp.saml.as_ref()) {
            files.extend(saml.key.as_ref().map(|(certificate, _)| certificate.clone()));
            if let MetadataPlace::File(path) = &saml.metadata {
                files.push(path.clone());
            }
        }
        let pages = &force.gateway.pages;
        files.extend(pages.logo.clone());
        files.extend(pages.templates.iter().flat_map(|folder| crate::pages::template_files().map(|name| folder.join(name))));
        files.sort();
        files.dedup();
        files
    }

    /// The folder of policies.
    pub fn policies(&self) -> PathBuf {
        self.force().gateway.server.policies.clone()
    }

    pub(super) fn force(&self) -> MutexGuard<'_, Force> {
        // What a reload that panicked has left is put right by the next one.
        self.force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What serves each candidate that compiles; one whose secret is not to be had becomes one with an error.
    fn parts(&self, force: &Force, candidates: &mut [Candidate]) -> (HashMap<String, AppParts>, HashMap<String, Arc<Policy>>) {
        let known: HashMap<&str, &Served> = force.apps.iter().map(|app| (app.policy.file.as_str(), app)).collect();
        let (mut parts, mut lacking) = (HashMap::new(), HashMap::new());
        for candidate in candidates {
            let Some(policy) = candidate.policy.take() else { continue };
            let before = known.get(&*candidate.file.name).map(|app| (&*app.policy, &app.parts));
            match self.builder.app(&policy, before) {
                Ok(made) => {
                    parts.insert(candidate.file.name.to_string(), made);
                    candidate.policy = Some(policy);
                }
                Err(error) => {
                    let mut problem = Problem::error(SECRET, &candidate.file, 0..0, error.to_string());
                    problem.span = None;
                    candidate.problems.push(problem);
                    lacking.insert(candidate.file.name.to_string(), policy);
                }
            }
        }
        (parts, lacking)
    }

    /// The providers from now on: one whose secret is not to be had stays as it was, if it was.
    fn idps(&self, force: &Force, gateway: &Gateway, told: &mut Told<'_>) -> Vec<KnownIdp> {
        let mut idps = Vec::new();
        for idp in &gateway.idps {
            let before = force.idps.iter().find(|known| known.idp.id == idp.id);
            let place = format!("[[idp]] {}", idp.id);
            match self.builder.idp(idp, &force.idps) {
                Ok(known) => {
                    if !before.is_some_and(|before| Arc::ptr_eq(&before.provider, &known.provider)) {
                        told.other(&place, if before.is_some() { Change::Changed } else { Change::Added }, Ok(()), None);
                    }
                    idps.push(known);
                }
                Err(error) => {
                    told.other(&place, Change::Secret, Err(&error), before.map(|_| force.last_at));
                    idps.extend(before.cloned());
                }
            }
        }
        let same = |(known, before): (&KnownIdp, &KnownIdp)| Arc::ptr_eq(&known.provider, &before.provider);
        if idps.len() != force.idps.len() || !idps.iter().zip(&force.idps).all(same) {
            self.handles.login.change_providers(idps.iter().map(|known| Arc::clone(&known.provider)).collect());
            self.handles.tokens.change_issuers(idps.iter().filter_map(|known| known.tokens.clone()).collect());
        }
        idps
    }

    fn certificates(&self, force: &Force, gateway: &Gateway, told: &mut Told<'_>) -> Option<SecretHash> {
        let resolver = self.handles.resolver.as_ref()?;
        match self.builder.certificates(gateway, force.certificates) {
            Ok(None) => force.certificates,
            Ok(Some(new)) => {
                *self.handles.served.lock().unwrap_or_else(PoisonError::into_inner) = super::console::served(&new.certificates);
                resolver.swap(new.certificates);
                told.other("[tls]", Change::Secret, Ok(()), None);
                Some(new.digest)
            }
            Err(error) => {
                told.other("[tls]", Change::Secret, Err(&error), Some(force.last_at));
                force.certificates
            }
        }
    }

    fn level(&self, force: &Force, gateway: &Gateway, told: &mut Told<'_>) {
        let written = &gateway.telemetry.log;
        if let Some(level) = self.handles.level.as_ref().filter(|_| *written != force.gateway.telemetry.log)
            && let Err(error) = level.change(written)
        {
            told.other("[telemetry] log", Change::Changed, Err(&StartError::Observe(error)), Some(force.last_at));
        }
    }

    /// Hands the rooms what is in `force`. Connectors and providers first, the routes last: who comes by a new route finds everything there.
    fn publish(&self, force: &Force, mut unavailable: Vec<String>) {
        let Handles { routes, provision, tokens, pages, live, limits: bounds, metrics, scheme, .. } = &self.handles;
        let mut connectors = force.retired.clone();
        connectors.extend(force.apps.iter().filter_map(Served::seated));
        provision.install(connectors);
        provision.share(force.apps.iter().filter_map(|app| Some((app.policy.name.clone(), app.parts.signer.clone()?))).collect());
        pages.change(force.gateway.pages.clone());
        tokens.limit(force.gateway.session.idle_ms);
        live.limit(force.gateway.session.idle_ms, force.gateway.session.max_ms);
        bounds.store(Arc::new(limits(&force.gateway, scheme)));
        let served: HashSet<&str> = force.apps.iter().map(|app| app.policy.host.as_str()).collect();
        let reserving: Vec<&Arc<Policy>> =
            force.refused.iter().filter_map(|refused| refused.reserves.as_ref()).filter(|policy| !served.contains(&*policy.host)).collect();
        unavailable.extend(reserving.iter().map(|policy| policy.host.clone()));
        let policies: Vec<Arc<Policy>> = force.apps.iter().map(|app| &app.policy).chain(reserving).cloned().collect();
        let shared = force.apps.iter().map(|app| app.parts.shared.clone()).collect();
        let names: Vec<(&str, &str)> = policies.iter().map(|policy| (policy.name.as_str(), policy.host.as_str())).collect();
        let numbers = metrics.name_apps(&names);
        routes.store(Arc::new(Routes::numbered(&force.gateway.server.auth_host, &policies, unavailable, shared, &numbers)));

        let stale: HashSet<&str> = force.refused.iter().map(|refused| refused.file.as_str()).collect();
        let loaded = force.apps.iter().map(|app| (app.policy.name.as_str(), true, stale.contains(&*app.policy.file)));
        let files: HashSet<&str> = force.apps.iter().map(|app| app.policy.file.as_str()).collect();
        let not = force.refused.iter().filter(|refused| !files.contains(&*refused.file)).map(|refused| (refused.app.as_str(), false, false));
        metrics.policies(loaded.chain(not));
        metrics.loaded(force.last_ok, force.last_at.seconds());
    }
}

impl Served {
    /// How its admin API is; `None` when it makes no accounts.
    pub(super) fn admin_api(&self) -> Option<crate::connector::BreakerState> {
        self.parts.connector.as_ref().map(|connector| connector.health().state)
    }

    fn seated(&self) -> Option<(String, Arc<dyn Connector>)> {
        self.parts.connector.as_ref().map(|connector| (seat(&self.policy), Arc::clone(connector)))
    }
}

impl Refused {
    /// In order but for a secret.
    fn lacking(policy: Arc<Policy>, error: &StartError) -> Self {
        Self {
            file: policy.file.clone(),
            app: policy.name.clone(),
            host: Some(policy.host.clone()),
            errors: 1,
            reason: SECRET,
            why: error.to_string(),
            text: None,
            reserves: Some(policy),
        }
    }

    fn of(candidate: &Candidate, clash: Option<&Problem>, reserves: Option<Arc<Policy>>) -> Self {
        let own = candidate.problems.iter().find(|problem| problem.severity == Severity::Error);
        let first = own.or(clash);
        Self {
            file: candidate.file.name.to_string(),
            app: app_of(&candidate.file),
            host: candidate.host(),
            errors: candidate.errors() + usize::from(clash.is_some()),
            reason: first.map_or("unknown", |problem| problem.code),
            why: first.map(|problem| problem.message.clone()).unwrap_or_default(),
            text: Some(Arc::clone(&candidate.file.text)),
            reserves,
        }
    }

    fn is_news(&self, before: Option<&Self>) -> bool {
        !before.is_some_and(|before| before.reason == self.reason && before.text.as_ref().is_none_or(|text| Some(text) == self.text.as_ref()))
    }
}

impl Told<'_> {
    fn gateway(&mut self, file: &str, restart: &[&'static str]) {
        let why = if restart.is_empty() { String::new() } else { format!("only a restart changes {}", restart.join(", ")) };
        self.entries.push(Entry { why, ..entry(file, None, Change::Changed) });
        tracing::info!(target: "audit", action = "config.loaded", policy.file = file, operator = self.by.operator, source = self.by.source.key());
        if restart.is_empty() {
            tracing::info!(file, "loaded: the gateway file");
        } else {
            tracing::warn!(file, restart = restart.join(", "), "loaded: the gateway file, but for what only a restart changes");
        }
    }

    /// A policy is served as its file says.
    fn served(
        &mut self,
        candidate: &Candidate,
        policy: &Arc<Policy>,
        parts: AppParts,
        known: Option<&Served>,
        wrong: Option<&Refused>,
        now: Timestamp,
    ) -> Served {
        let same = known.filter(|known| known.policy.revision == policy.revision);
        let lacked = |wrong: &Refused| wrong.reserves.as_ref().is_some_and(|lacking| lacking.revision == policy.revision);
        let change = match (known, same, wrong) {
            (None, _, None) => Some(Change::Added),
            (None, _, Some(wrong)) if lacked(wrong) => Some(Change::Secret),
            (None, _, Some(wrong)) if wrong.text.as_ref() == Some(&candidate.file.text) => Some(Change::Unchanged),
            (_, None, _) => Some(Change::Changed),
            (_, Some(known), _) if known.parts.secrets != parts.secrets => Some(Change::Secret),
            (_, Some(_), wrong) => wrong.map(|_| Change::Unchanged),
        };
        let served = Served { policy: Arc::clone(policy), parts, since: same.map_or(now, |known| known.since) };
        let Some(change) = change else {
            self.unchanged += 1;
            return served;
        };
        self.entries.push(Entry { tests: policy.tests.len(), ..entry(&policy.file, Some(&policy.name), change) });
        audit_loaded(policy, self.by);
        tracing::info!(app = policy.name, "loaded: {}", lines::app(policy));
        served
    }

    /// A policy is not served as its file says.
    fn refused(&mut self, refused: &Refused, known: Option<&Served>, wrong: Option<&Refused>) {
        let news = refused.is_news(wrong);
        let change = match (news, known.is_some() || wrong.is_some()) {
            (false, _) => Change::Unchanged,
            (true, true) => Change::Changed,
            (true, false) => Change::Added,
        };
        self.entries.push(Entry {
            errors: refused.errors,
            loaded: false,
            serving_since: known.map(|known| rfc3339(known.since)),
            why: refused.why.clone(),
            ..entry(&refused.file, Some(&refused.app), change)
        });
        if news {
            audit_rejected(Some(&refused.app), &refused.file, refused.reason, self.by);
            let Refused { app, file, errors, why, .. } = refused;
            if known.is_some() {
                tracing::error!(app, file, errors, why, "NOT loaded: the version before keeps serving");
            } else {
                tracing::error!(app, file, errors, why, "NOT loaded: this app is unavailable");
            }
        }
    }

    fn removed(&mut self, app: &Served) {
        let Policy { file, name, host, .. } = &*app.policy;
        self.entries.push(entry(file, Some(name), Change::Removed));
        let (operator, source) = (self.by.operator.as_deref(), self.by.source.key());
        tracing::info!(target: "audit", action = "config.removed", app = name, policy.file = file, operator, source);
        tracing::info!(app = name, host, file, "unloaded: its file is gone");
    }

    /// A part of the gateway file: its providers, its certificates.
    fn other(&mut self, place: &str, change: Change, came: Result<(), &StartError>, since: Option<Timestamp>) {
        let mut entry = entry(place, None, change);
        let (operator, source) = (self.by.operator.as_deref(), self.by.source.key());
        match came {
            Ok(()) => {
                tracing::info!(target: "audit", action = "config.loaded", policy.file = place, operator, source);
                tracing::info!(place, "loaded");
            }
            Err(error) => {
                entry.loaded = false;
                entry.errors = 1;
                entry.serving_since = since.map(rfc3339);
                entry.why = error.to_string();
                self.others.extend(["error: ", &error.to_string(), "\n\n"]);
                audit_rejected(None, place, SECRET, self.by);
                tracing::error!(place, %error, "NOT loaded: what was there before stays");
            }
        }
        self.entries.push(entry);
    }

    fn reloaded(self, ok: bool, restart: &[&str], problems: Vec<Problem>, files: usize) -> Reloaded {
        let named: HashSet<&str> = self.entries.iter().map(|entry| entry.file.as_str()).collect();
        // Warnings of files that nobody touched have been read before.
        let problems = problems.into_iter().filter(|problem| problem.severity == Severity::Error || named.contains(&*problem.file.name)).collect();
        let report = Report { problems, files };
        let text = if report.problems.is_empty() { String::new() } else { report.render_with("") };
        // What was wrong before is not news to those who watch.
        let news = |entry: &Entry| entry.loaded || entry.change != Change::Unchanged || self.by.source != Source::Watch;
        if self.entries.iter().any(news) {
            let not = self.entries.iter().filter(|entry| !entry.loaded).count();
            let (loaded, unchanged) = (self.entries.len() - not, self.unchanged);
            tracing::info!(source = self.by.source.key(), operator = self.by.operator, loaded, not_loaded = not, unchanged, "reloaded");
        }
        Reloaded {
            ok,
            entries: self.entries,
            unchanged: self.unchanged,
            restart: restart.iter().map(ToString::to_string).collect(),
            problems: self.others + &text,
        }
    }
}

/// Something that is in force as it is written.
fn entry(file: &str, app: Option<&str>, change: Change) -> Entry {
    Entry { file: file.to_owned(), app: app.map(str::to_owned), change, errors: 0, tests: 0, loaded: true, serving_since: None, why: String::new() }
}

fn audit_loaded(policy: &Policy, by: &By) {
    tracing::info!(
        target: "audit",
        action = "config.loaded",
        app = policy.name,
        policy.file = policy.file,
        policy.revision = policy.revision,
        operator = by.operator,
        source = by.source.key(),
    );
}

fn audit_rejected(app: Option<&str>, file: &str, reason: &'static str, by: &By) {
    tracing::info!(
        target: "audit",
        action = "config.rejected",
        app,
        policy.file = file,
        reason,
        operator = by.operator,
        source = by.source.key(),
    );
}
