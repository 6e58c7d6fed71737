//! How the gateway is: what `vestibule status` prints.
//!
//! Lives here: the answer to [`Statuses`], put together from what is in force, what the cores have counted and what the store has; and [`Recent`], the counts of
//! the last minute. Nothing is asked of an application or a provider for it.

use super::force::Swap;
use super::rounds::again;
use crate::admin::commands::{AppStatus, Overview, PolicyState, ProviderStatus, Status, Statuses, UpstreamState};
use crate::clock::Timestamp;
use crate::connector::BreakerState;
use crate::observe::Counted;
use crate::observe::audit::rfc3339;
use crate::sso::Provider;
use crate::state::{AccountState, Census};
use async_trait::async_trait;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the counts are noted.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Notes kept: the oldest is a minute old.
const SAMPLES_MAX: usize = 7;
/// An application that takes longer than this for its slowest requests is slow.
const SLOW_S: f64 = 1.0;

/// Counts of the last minute.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Instant, HashMap<String, Counted>)>>);

impl Recent {
    fn note(&self, counts: HashMap<String, Counted>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == SAMPLES_MAX {
            notes.pop_front();
        }
        notes.push_back((Instant::now(), counts));
    }

    /// What was counted since the oldest note, and in how many seconds.
    fn of(&self, now: &HashMap<String, Counted>, app: &str) -> (Counted, f64) {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = now.get(app).copied().unwrap_or_default();
        let Some((at, oldest)) = notes.front() else { return (Counted::default(), 1.0) };
        let before = oldest.get(app).copied().unwrap_or_default();
        (counted.since(&before), at.elapsed().as_secs_f64().max(1.0))
    }
}

impl Swap {
    /// Notes the counts until told to stop.
    pub(super) async fn sample(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.recent.note(self.handles.metrics.by_app());
            self.note_admin_apis();
            if !again(SAMPLE_EVERY, &stop).await {
                return;
            }
        }
    }

    fn note_admin_apis(&self) {
        let force = self.force();
        let states = force.apps.iter().filter_map(|served| Some((served.policy.name.as_str(), served.admin_api()?.number())));
        self.handles.metrics.admin_apis(states);
    }

    fn apps(&self, accounts: &HashMap<String, (u64, u64)>) -> Vec<AppStatus> {
        let counts = self.handles.metrics.by_app();
        let force = self.force();
        let wrong: HashMap<&str, usize> = force.refused.iter().map(|refused| (refused.file.as_str(), refused.errors)).collect();
        let mut apps = Vec::new();
        for served in &force.apps {
            let (policy, errors) = (&served.policy, wrong.get(&*served.policy.file).copied());
            let (recent, seconds) = self.recent.of(&counts, &policy.name);
            let (accounts, failed) = accounts.get(&policy.name).copied().unwrap_or_default();
            apps.push(AppStatus {
                app: policy.name.clone(),
                host: policy.host.clone(),
                upstream: format!("{}:{}", policy.upstream.host, policy.upstream.port),
                upstream_state: upstream_state(&recent),
                policy: if errors.is_some() { PolicyState::Stale } else { PolicyState::Ok },
                since: Some(rfc3339(served.since)),
                errors: errors.unwrap_or(0),
                accounts,
                failed,
                requests_per_s: rounded(recent.requests(), seconds),
                p95_ms: recent
                    .p95_s()
                    .map(|s| u64::try_from(Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX).as_millis()).unwrap_or(u64::MAX)),
                admin_api: served.admin_api().filter(|state| *state != BreakerState::Closed).map(|state| state.word().to_owned()),
            });
        }
        for refused in force.refused.iter().filter(|refused| !force.apps.iter().any(|app| app.policy.file == refused.file)) {
            let (accounts, failed) = accounts.get(&refused.app).copied().unwrap_or_default();
            apps.push(AppStatus {
                app: refused.app.clone(),
                host: refused.host.clone().unwrap_or_default(),
                upstream: String::new(),
                upstream_state: UpstreamState::Idle,
                policy: PolicyState::NotLoaded,
                since: None,
                errors: refused.errors,
                accounts,
                failed,
                requests_per_s: 0.0,
                p95_ms: None,
                admin_api: None,
            });
        }
        drop(force);
        apps.sort_by(|a, b| a.app.cmp(&b.app));
        apps
    }

    fn providers(&self, now: Timestamp) -> Vec<ProviderStatus> {
        let age_s = |at: Timestamp| now.since_ms(at).max(0) / 1000;
        let force = self.force();
        let status = |provider: &dyn Provider| ProviderStatus {
            id: provider.id().to_owned(),
            issuer: provider.issuer(),
            keys_age_s: provider.keys_fetched_at().map(age_s),
        };
        force.idps.iter().map(|known| status(known.provider.as_ref())).collect()
    }
}

#[async_trait]
impl Statuses for Swap {
    async fn status(&self) -> Status {
        let counted = self.handles.store.census().await;
        if let Err(error) = &counted {
            tracing::warn!(%error, "the store does not say how many accounts there are");
        }
        let store_ok = counted.is_ok();
        let mut accounts: HashMap<String, (u64, u64)> = HashMap::new();
        for Census { upstream, state, count, .. } in counted.unwrap_or_default() {
            let (all, failed) = accounts.entry(upstream).or_default();
            match state {
                AccountState::Active | AccountState::LinkedUnmanaged => *all += count,
                // There, and yet not as wanted.
                AccountState::Degraded => (*all, *failed) = (*all + count, *failed + count),
                AccountState::Pending | AccountState::Conflict | AccountState::AwaitingApproval => *failed += count,
                AccountState::Provisioning | AccountState::Suspending | AccountState::Suspended | AccountState::Deprovisioned => {}
            }
        }
        let now = self.handles.clock.now();
        let overview = {
            let force = self.force();
            Overview {
                up_s: now.since_ms(self.started_at).max(0) / 1000,
                sessions: self.handles.live.count(),
                last_reload_ok: force.last_ok,
                last_reload_at: rfc3339(force.last_at),
                restart: force.restart.iter().map(ToString::to_string).collect(),
                store_ok,
            }
        };
        Status { version: env!("CARGO_PKG_VERSION").to_owned(), overview, apps: self.apps(&accounts), providers: self.providers(now) }
    }
}

fn upstream_state(recent: &Counted) -> UpstreamState {
    if recent.forwarded == 0 {
        UpstreamState::Idle
    } else if recent.failed * 2 > recent.forwarded {
        UpstreamState::Down
    } else if recent.p95_s().is_some_and(|p95_s| p95_s > SLOW_S) {
        UpstreamState::Slow
    } else {
        UpstreamState::Up
    }
}

/// A rate to one decimal.
fn rounded(requests: u64, seconds: f64) -> f64 {
    // Exact below 2^53 requests.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let requests = requests as f64;
    (requests / seconds * 10.0).round() / 10.0
}
