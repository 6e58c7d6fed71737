//! The operators' console, put together; and what operators are shown of what is in force.
//!
//! Lives here: [`Site`], what has to be known of the console before there is a desk that sends people back to it, and the ports of `admin/` that [`Swap`] stands
//! behind.

use super::StartError;
use super::force::Swap;
use super::lines;
use super::rounds::again;
use crate::admin::Gauges;
use crate::admin::commands::Statuses;
use crate::admin::console::{APP, Console, InForce, Looking, Parts, Served};
use crate::config::{self, Admin, TlsVersion};
use crate::entropy::Entropy;
use crate::login::{self, Elsewhere};
use crate::observe::Metrics;
use crate::policy::{Policy, Surroundings, compile};
use crate::proxy::tls::{Acceptor, Certificates, Resolver};
use crate::source::SourceFile;
use crate::sso::Provider;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The cookie of the console; without TLS it loses the prefix that browsers keep for it.
const COOKIE: &str = "__Host-vestibule-admin";
/// How often it is asked whether providers answer.
const PROVIDERS_EVERY: Duration = Duration::from_mins(1);

/// The console before it is one.
pub(super) struct Site {
    settings: config::Console,
    /// As browsers know it, without a slash at the end.
    origin: String,
    /// What the login desks take it for: an app that nobody is proxied to.
    pub(super) policy: Arc<Policy>,
}

impl Site {
    /// What `[admin]` says of a console that is served at `at`.
    pub(super) fn of(admin: Option<&Admin>, at: Option<SocketAddr>) -> Option<Self> {
        let (admin, port) = (admin?, at?.port());
        let settings = admin.console.clone()?;
        let host = &settings.host;
        let origin = match (admin.is_plain(), port) {
            (false, 443) => format!("https://{host}"),
            (true, 80) => format!("http://{host}"),
            (false, port) => format!("https://{host}:{port}"),
            (true, port) => format!("http://{host}:{port}"),
        };
        // Host names and provider ids need no escaping: the compiler of the gateway file has seen to that. Groups are the console's own affair: whoever looks is
        // told that it is not open to them rather than sent round.
        let text = format!(
            "title = \"Operators' console\"\nhost = \"{host}\"\nupstream = \"http://127.0.0.1:9\"\n[login]\nidp = [\"{}\"]\n[access]\neveryone = true\n",
            settings.idp
        );
        let (policy, problems) = compile(&SourceFile::new("console.toml", text), Surroundings { idps: None, connectors: &[] });
        let Some(mut policy) = policy else {
            tracing::error!(?problems, "there is no console: please report this");
            return None;
        };
        APP.clone_into(&mut policy.name);
        Some(Self { settings, origin, policy: Arc::new(policy) })
    }

    pub(super) fn elsewhere(&self) -> Elsewhere {
        Elsewhere { host: self.settings.host.clone(), origin: self.origin.clone() }
    }

    /// Behind it: what `swap` has in force.
    pub(super) fn console(self, swap: &Arc<Swap>, desk: Arc<login::Desk>, entropy: Arc<dyn Entropy>) -> Console {
        let handles = &swap.handles;
        Console::new(Parts {
            settings: self.settings,
            origin: self.origin,
            policy: self.policy,
            desk,
            sessions: handles.sessions.clone(),
            store: Arc::clone(&handles.store),
            pages: Arc::clone(&handles.pages),
            people: swap.people(),
            statuses: Arc::clone(swap) as Arc<dyn Statuses>,
            looking: Arc::clone(swap) as Arc<dyn Looking>,
            clock: Arc::clone(&handles.clock),
            entropy,
        })
    }
}

/// `[session]` for the console: its own cookie, never sent along from another site. How long is the sign-on's affair; that it ends sooner, the console's.
pub(super) fn session(session: &config::Session) -> config::Session {
    config::Session { cookie: COOKIE.to_owned(), same_site: "Strict", ..session.clone() }
}

/// TLS of the operators' listener: on every address that can be reached from elsewhere.
pub(super) fn acceptor(admin: Option<&Admin>, resolver: Option<&Arc<Resolver>>, oldest: TlsVersion) -> Result<Option<Arc<Acceptor>>, StartError> {
    let Some(admin) = admin.filter(|admin| !admin.is_plain()) else { return Ok(None) };
    let resolver = resolver.ok_or(StartError::AdminPlain(admin.listen))?;
    let acceptor = Acceptor::http1(Arc::clone(resolver), oldest).map_err(|cause| StartError::Tls { place: "[tls]".to_owned(), cause })?;
    Ok(Some(Arc::new(acceptor)))
}

/// What these certificates are, and until when.
pub(super) fn served(certificates: &Certificates) -> Vec<Served> {
    certificates.ends().iter().map(|(names, until)| Served { names: names.clone(), until: *until }).collect()
}

impl Looking for Swap {
    fn in_force(&self) -> Vec<InForce> {
        let force = self.force();
        let mut apps: Vec<InForce> = Vec::new();
        for served in &force.apps {
            let policy = &served.policy;
            let wrong = force.refused.iter().find(|refused| refused.file == policy.file);
            apps.push(InForce {
                app: policy.name.clone(),
                title: policy.title.clone(),
                file: policy.file.clone(),
                revision: Some(policy.revision.clone()),
                tests: policy.tests.len(),
                line: lines::app(policy).split("   ").map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · "),
                why: wrong.map(|refused| refused.why.clone()).unwrap_or_default(),
            });
        }
        for refused in force.refused.iter().filter(|refused| !force.apps.iter().any(|app| app.policy.file == refused.file)) {
            apps.push(InForce {
                app: refused.app.clone(),
                title: refused.app.clone(),
                file: refused.file.clone(),
                revision: None,
                tests: 0,
                line: "nothing".to_owned(),
                why: if refused.why.is_empty() { "its policy has errors".to_owned() } else { refused.why.clone() },
            });
        }
        drop(force);
        apps.sort_by(|a, b| a.app.cmp(&b.app));
        apps
    }

    fn provider_of(&self, issuer: &str) -> Option<String> {
        let force = self.force();
        let known = force.idps.iter().find(|known| known.provider.issuer().as_deref() == Some(issuer));
        known.map(|known| known.provider.id().to_owned())
    }

    fn certificates(&self) -> Vec<Served> {
        self.handles.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gauges for Swap {
    fn set(&self, metrics: &Metrics) {
        let now = self.handles.clock.now();
        metrics.sessions(&self.handles.live.count_by_idp());
        let up = self.answering.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let idps: Vec<(String, Option<bool>, Option<i64>)> = {
            let force = self.force();
            let of = |provider: &dyn Provider| {
                let age_s = provider.keys_fetched_at().map(|at| now.since_ms(at).max(0) / 1000);
                (provider.id().to_owned(), up.get(provider.id()).copied(), age_s)
            };
            force.idps.iter().map(|known| of(known.provider.as_ref())).collect()
        };
        metrics.providers(&idps);
        let ends: Vec<(String, i64)> =
            self.certificates().into_iter().map(|served| (served.names.first().cloned().unwrap_or_default(), served.until.seconds())).collect();
        metrics.certificates(&ends);
    }
}

impl Swap {
    /// Asks the providers once a minute whether they answer, until told to stop.
    pub(super) async fn look_at_providers(self: Arc<Self>, stop: CancellationToken) {
        while again(PROVIDERS_EVERY, &stop).await {
            self.ask_providers().await;
        }
    }

    /// Asks every provider whether it answers, for `vestibule_idp_up`.
    pub async fn ask_providers(&self) {
        let providers: Vec<Arc<dyn Provider>> = self.force().idps.iter().map(|known| Arc::clone(&known.provider)).collect();
        let mut found = std::collections::HashMap::new();
        for provider in providers {
            let Some(answers) = provider.answers().await else { continue };
            if !answers && self.answering.lock().unwrap_or_else(PoisonError::into_inner).get(provider.id()) != Some(&false) {
                tracing::warn!(idp = provider.id(), "the identity provider does not answer");
            }
            found.insert(provider.id().to_owned(), answers);
        }
        *self.answering.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}
