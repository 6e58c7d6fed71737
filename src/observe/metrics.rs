//! Counters (operators.md 7.1). No person, path or e-mail address in a label.

use crate::clock::Timestamp;
use crate::provision::Meter;
use crate::state::{AccountState, Census};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the duration histograms, seconds.
const BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// One line of `http_server_request_duration_seconds` and `vestibule_access_decisions_total` together: few values each, so few lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    app: usize,
    method: &'static str,
    status: u16,
    decision: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Durations {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum_s: f64,
}

impl Durations {
    fn observe(&mut self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        if let Some((_, bucket)) = BOUNDS.iter().zip(&mut self.buckets).find(|(bound, _)| seconds <= **bound) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_s += seconds;
    }

    /// Above the last bound.
    fn over(&self) -> u64 {
        self.count - self.buckets.iter().sum::<u64>()
    }

    fn add(&mut self, other: &Self) {
        for (to, from) in self.buckets.iter_mut().zip(other.buckets) {
            *to += from;
        }
        self.count += other.count;
        self.sum_s += other.sum_s;
    }
}

/// Upper bounds of the histogram of provisioning jobs, seconds: from an account that is only looked at to one that an app takes its time over.
const JOB_BOUNDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];

type ByKey = HashMap<Key, Durations, foldhash::fast::FixedState>;

/// Requests of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    by_bound: [u64; BOUNDS.len() + 1],
    /// Requests that went on to the application.
    pub forwarded: u64,
    /// Those of them that it did not answer.
    pub failed: u64,
}

impl Counted {
    /// Those since `earlier`.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (to, from) in self.by_bound.iter_mut().zip(earlier.by_bound) {
            *to = to.saturating_sub(from);
        }
        self.forwarded = self.forwarded.saturating_sub(earlier.forwarded);
        self.failed = self.failed.saturating_sub(earlier.failed);
        self
    }

    /// How many.
    pub fn requests(&self) -> u64 {
        self.by_bound.iter().sum()
    }

    /// Seconds within which 95 of 100 were answered: the upper bound of the bucket, as histograms know no better; `None` without requests.
    pub fn p95_s(&self) -> Option<f64> {
        let mut rest = self.requests().checked_sub(1)? * 95 / 100 + 1;
        for (bound, count) in BOUNDS.iter().zip(self.by_bound) {
            if rest <= count {
                return Some(*bound);
            }
            rest -= count;
        }
        Some(f64::INFINITY)
    }
}

/// One core's counts since the last flush.
#[derive(Debug, Default)]
pub struct Tally(ByKey);

impl Tally {
    /// Counts a request. `app` is the index of its route, `usize::MAX` for none.
    pub fn count(&mut self, app: usize, method: &'static str, status: u16, elapsed: Duration, decision: &'static str, reason: &'static str) {
        self.0.entry(Key { app, method, status, decision, reason }).or_default().observe(elapsed);
    }

    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtAppLabels {
    app: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    idp: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    idp: String,
    result: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProvisioningLabels {
    app: String,
    action: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    app: String,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    app: String,
    step: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    app: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    sink: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdpLabels {
    idp: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    subject: String,
}

/// What is looked up when somebody asks.
#[derive(Debug, Default)]
struct LookedUp {
    sessions: Family<IdpLabels, Gauge>,
    idp_up: Family<IdpLabels, Gauge>,
    idp_age_s: Family<IdpLabels, Gauge>,
    certificates: Family<CertificateLabels, Gauge>,
    spans_dropped: Counter,
}

impl LookedUp {
    fn register(registry: &mut Registry) -> Self {
        let looked_up = Self::default();
        registry.register("vestibule_sessions", "Sign-ons in memory, by the provider that vouched", looked_up.sessions.clone());
        registry.register(
            "vestibule_idp_up",
            "1 when the provider answered when it was last asked, which is once a minute",
            looked_up.idp_up.clone(),
        );
        registry.register("vestibule_idp_metadata_age_seconds", "Age of the provider's keys", looked_up.idp_age_s.clone());
        let text = "When a certificate that is served ends, by its first name";
        registry.register("vestibule_certificate_expiry_timestamp_seconds", text, looked_up.certificates.clone());
        registry.register("vestibule_spans_dropped", "Spans that did not get to the collector", looked_up.spans_dropped.clone());
        looked_up
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppLabels {
    app: String,
}

/// What is counted of accounts.
#[derive(Debug)]
struct Accounts {
    durations: Family<JobLabels, Histogram, fn() -> Histogram>,
    step_failures: Family<StepLabels, Counter>,
    slo_missed: Family<AppLabels, Counter>,
    pending: Family<AppLabels, Gauge>,
    waiting: Family<AppLabels, Gauge>,
    leaving: Family<AppLabels, Gauge>,
    failed: Family<AppLabels, Gauge>,
    oldest_failed: Family<AppLabels, Gauge>,
}

impl Accounts {
    fn register(registry: &mut Registry) -> Self {
        let accounts = Self {
            durations: Family::new_with_constructor(|| Histogram::new(JOB_BOUNDS)),
            step_failures: Family::default(),
            slo_missed: Family::default(),
            pending: Family::default(),
            waiting: Family::default(),
            leaving: Family::default(),
            failed: Family::default(),
            oldest_failed: Family::default(),
        };
        registry.register("vestibule_provisioning_duration_seconds", "How long jobs took, waiting included", accounts.durations.clone());
        registry.register("vestibule_provisioning_step_failures", "Steps that did not go well, by outcome", accounts.step_failures.clone());
        registry.register("vestibule_provisioning_slo_missed", "First sign-ins whose account took longer than slo", accounts.slo_missed.clone());
        registry.register("vestibule_provisioning_pending", "People whose account is being made or will be tried again", accounts.pending.clone());
        registry.register("vestibule_provisioning_awaiting_approval", "People whose account a human has to approve", accounts.waiting.clone());
        registry.register(
            "vestibule_provisioning_leaving",
            "People who have left and whose account is still to be switched off",
            accounts.leaving.clone(),
        );
        registry.register("vestibule_provisioning_failed", "People whose account needs a human", accounts.failed.clone());
        registry.register(
            "vestibule_provisioning_oldest_failed_seconds",
            "How long the oldest of those has needed one",
            accounts.oldest_failed.clone(),
        );
        accounts
    }
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Arc<Requests>,
    logins: Family<LoginLabels, Counter>,
    group_lookups: Family<LookupLabels, Counter>,
    provisioning: Family<ProvisioningLabels, Counter>,
    audit_events: Family<AuditLabels, Counter>,
    audit_dropped: Family<AuditLabels, Counter>,
    audit_left_out: Counter,
    turned_away: Counter,
    log_dropped: Counter,
    incidents_dropped: Counter,
    policy_loaded: Family<AppLabels, Gauge>,
    policy_stale: Family<AppLabels, Gauge>,
    breaker_state: Family<AppLabels, Gauge>,
    at_app: Family<AtAppLabels, Gauge>,
    reload_successful: Gauge,
    reload_success_timestamp_s: Gauge,
    accounts: Accounts,
    looked_up: LookedUp,
    sign_in_rejected: Family<RejectedLabels, Counter>,
}

/// What the cores have flushed.
#[derive(Debug, Default)]
struct Requests {
    apps: Mutex<Vec<(String, String)>>,
    by_key: Mutex<ByKey>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Arc::new(Requests::default());
        let (logins, provisioning) = (Family::default(), Family::default());
        let group_lookups = Family::default();
        let (audit_events, audit_dropped) = (Family::default(), Family::default());
        let (policy_loaded, policy_stale) = (Family::default(), Family::default());
        let (reload_successful, reload_success_timestamp_s) = (Gauge::default(), Gauge::default());
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("vestibule_build_info", "Version that runs", build);
        registry.register("vestibule_logins", "Sign-ins by provider and result", Family::clone(&logins));
        let help = "Questions to a provider's directory for groups that do not fit into a token; result: known, or why they are unknown";
        registry.register("vestibule_group_lookups", help, Family::clone(&group_lookups));
        registry.register("vestibule_provisioning", "Accounts made, adopted, updated, or not", Family::clone(&provisioning));
        registry.register("vestibule_audit_events", "Audit events written", Family::clone(&audit_events));
        let audit_left_out = Counter::default();
        registry.register(
            "vestibule_audit_left_out",
            "Audit lines of refusals beyond ten a minute of a kind and address or person",
            audit_left_out.clone(),
        );
        let turned_away = Counter::default();
        registry.register(
            "vestibule_connections_turned_away",
            "Connections beyond [server] max_connections and max_connections_per_client",
            turned_away.clone(),
        );
        registry.register("vestibule_audit_dropped", "Audit events that could not be written", Family::clone(&audit_dropped));
        let log_dropped = Counter::default();
        registry.register("vestibule_log_dropped", "Log lines that could not be written", log_dropped.clone());
        let incidents_dropped = Counter::default();
        registry.register("vestibule_incidents_dropped", "Incidents that explain will not know of", incidents_dropped.clone());
        registry.register("vestibule_policy_loaded", "1 for every policy in force, 0 for one with errors", Family::clone(&policy_loaded));
        let text = "1 for every policy of which an older version is in force, because what the file says now is not in order";
        registry.register("vestibule_policy_stale", text, Family::clone(&policy_stale));
        let breaker_state = Family::<AppLabels, Gauge>::default();
        let at_app = Family::<AtAppLabels, Gauge>::default();
        let help = "Accounts in the application's own list, as `vestibule reconcile` last saw it: all; unmanaged, on no record; privileged and orphaned among those; vanished, on record and not there";
        registry.register("vestibule_listed_accounts", help, Family::clone(&at_app));
        let text = "How the admin API is: 0 asked, 1 about to be probed, 2 left alone for a while, 3 left alone because it refuses the credential";
        registry.register("vestibule_admin_api_breaker_state", text, Family::clone(&breaker_state));
        let text = "1 when all that was loaded last was in order";
        registry.register("vestibule_config_last_reload_successful", text, reload_successful.clone());
        let text = "When all that was loaded was in order for the last time";
        registry.register("vestibule_config_last_reload_success_timestamp_seconds", text, reload_success_timestamp_s.clone());
        registry.register_collector(Box::new(Collected(Arc::clone(&requests))));
        let accounts = Accounts::register(&mut registry);
        let looked_up = LookedUp::register(&mut registry);
        let sign_in_rejected = Family::default();
        let text = "Answers by which an app did not know the person: looked at, limited, working, refused; then healed or still";
        registry.register("vestibule_sign_in_rejected", text, Family::clone(&sign_in_rejected));
        Self {
            registry: Mutex::new(registry),
            requests,
            logins,
            group_lookups,
            provisioning,
            audit_events,
            audit_dropped,
            audit_left_out,
            turned_away,
            log_dropped,
            incidents_dropped,
            policy_loaded,
            policy_stale,
            breaker_state,
            at_app,
            reload_successful,
            reload_success_timestamp_s,
            accounts,
            looked_up,
            sign_in_rejected,
        }
    }
}

impl Metrics {
    /// Takes over how many sign-ons there are, by provider.
    pub fn sessions(&self, by_idp: &BTreeMap<String, usize>) {
        self.looked_up.sessions.clear();
        for (idp, count) in by_idp {
            self.looked_up.sessions.get_or_create(&IdpLabels { idp: idp.clone() }).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// Takes over of each provider whether it answered when it was last asked, and the age of its keys in seconds, where either is known.
    pub fn providers(&self, idps: &[(String, Option<bool>, Option<i64>)]) {
        self.looked_up.idp_up.clear();
        self.looked_up.idp_age_s.clear();
        for (idp, up, age_s) in idps {
            let labels = IdpLabels { idp: idp.clone() };
            if let Some(up) = up {
                self.looked_up.idp_up.get_or_create(&labels).set((*up).into());
            }
            if let Some(age_s) = age_s {
                self.looked_up.idp_age_s.get_or_create(&labels).set(*age_s);
            }
        }
    }

    /// Takes over when the certificates that are served end, seconds since the epoch, by their first names.
    pub fn certificates(&self, ends: &[(String, i64)]) {
        self.looked_up.certificates.clear();
        for (name, until_s) in ends {
            self.looked_up.certificates.get_or_create(&CertificateLabels { subject: format!("tls:{name}") }).set(*until_s);
        }
    }

    /// Counts spans that were lost.
    pub(super) fn spans_dropped(&self, count: usize) {
        self.looked_up.spans_dropped.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Names apps, by policy name and host; returns the `metrics` index of the route of each. An index is an app's for as long as the process runs: what
    /// cores have counted before a reload is not given to another app after it.
    pub fn name_apps(&self, apps: &[(&str, &str)]) -> Vec<usize> {
        let mut known = self.requests.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: HashMap<(String, String), usize> = known.iter().cloned().enumerate().map(|(number, app)| (app, number)).collect();
        let number = |(app, host): &(&str, &str)| {
            let app = ((*app).to_owned(), (*host).to_owned());
            numbers.get(&app).copied().unwrap_or_else(|| {
                known.push(app);
                known.len() - 1
            })
        };
        apps.iter().map(number).collect()
    }

    /// What is in force from now on: of each app whether a policy is, and whether that is an older version than the file's.
    pub fn policies<'a>(&self, apps: impl IntoIterator<Item = (&'a str, bool, bool)>) {
        // So that nobody reads the numbers half-way.
        let _registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.policy_loaded.clear();
        self.policy_stale.clear();
        for (app, loaded, stale) in apps {
            let labels = AppLabels { app: app.to_owned() };
            self.policy_loaded.get_or_create(&labels).set(loaded.into());
            self.policy_stale.get_or_create(&labels).set(stale.into());
        }
    }

    /// Counts that `app` did not know a person, or what came of looking at it.
    pub fn sign_in_rejected(&self, app: &str, result: &'static str) {
        self.sign_in_rejected.get_or_create(&RejectedLabels { app: app.to_owned(), result }).inc();
    }

    /// Notes that the configuration was loaded, at `at_s` seconds since the epoch, and whether all of it was in order.
    pub fn loaded(&self, successful: bool, at_s: i64) {
        self.reload_successful.set(successful.into());
        if successful {
            self.reload_success_timestamp_s.set(at_s);
        }
    }

    /// Requests of every app since the process began, by policy name.
    pub fn by_app(&self) -> HashMap<String, Counted> {
        let apps = self.requests.apps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let by_key = self.requests.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted: HashMap<String, Counted> = HashMap::new();
        for (key, durations) in by_key.iter() {
            if let Some((app, _)) = apps.get(key.app) {
                let app = counted.entry(app.clone()).or_default();
                for (to, from) in app.by_bound.iter_mut().zip(durations.buckets.iter().chain([&durations.over()])) {
                    *to += from;
                }
                let forwarded = matches!(key.decision, "allowed" | "public");
                app.forwarded += if forwarded { durations.count } else { 0 };
                app.failed += if forwarded && key.reason == "upstream" { durations.count } else { 0 };
            }
        }
        counted
    }

    /// Takes over a core's counts.
    pub fn flush(&self, tally: &mut Tally) {
        let mut all = self.requests.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, durations) in tally.0.drain() {
            all.entry(key).or_default().add(&durations);
        }
    }

    /// Counts what an audit event tells.
    pub(super) fn audited(&self, event: &Map<String, Value>) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        self.audit_events.get_or_create(&AuditLabels { sink: "lines" }).inc();
        let login = |result| LoginLabels { idp: text("idp").to_owned(), result, reason: text("reason").to_owned() };
        let account = |action, result| ProvisioningLabels { app: text("app").to_owned(), action, result };
        match text("action") {
            "login.succeeded" => drop(self.logins.get_or_create(&login("ok")).inc()),
            "accounts.listed" => {
                for kind in ["accounts", "unmanaged", "privileged", "orphaned", "vanished"] {
                    let labels = AtAppLabels { app: text("app").to_owned(), kind };
                    let count = event.get(kind).and_then(Value::as_i64).unwrap_or_default();
                    self.at_app.get_or_create(&labels).set(count);
                }
            }
            "groups.looked_up" => {
                let labels = LookupLabels { idp: text("idp").to_owned(), result: text("reason").to_owned() };
                self.group_lookups.get_or_create(&labels).inc();
            }
            "login.failed" => drop(self.logins.get_or_create(&login("failed")).inc()),
            "account.created" => drop(self.provisioning.get_or_create(&account("create", "ok")).inc()),
            "account.adopted" => drop(self.provisioning.get_or_create(&account("adopt", "ok")).inc()),
            "account.updated" => drop(self.provisioning.get_or_create(&account("update", "ok")).inc()),
            "account.refused" => drop(self.provisioning.get_or_create(&account(attempt(text("attempt")), "refused")).inc()),
            "approval.requested" => drop(self.provisioning.get_or_create(&account(attempt(text("attempt")), "waiting")).inc()),
            "account.degraded" => drop(self.provisioning.get_or_create(&account(attempt(text("attempt")), "partial")).inc()),
            "account.failed" => drop(self.provisioning.get_or_create(&account(attempt(text("attempt")), "failed")).inc()),
            _ => {}
        }
    }

    /// Takes over how many account records are in which state, as counted at `now`.
    pub fn take_census(&self, census: &[Census], now: Timestamp) {
        let accounts = &self.accounts;
        let gauges = [&accounts.pending, &accounts.waiting, &accounts.leaving, &accounts.failed, &accounts.oldest_failed];
        // An app without records of a state has none of them, rather than as many as last time.
        for gauge in gauges {
            gauge.clear();
        }
        for Census { upstream, state, count, oldest_failed_at } in census {
            let labels = AppLabels { app: upstream.clone() };
            for gauge in gauges {
                drop(gauge.get_or_create(&labels));
            }
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            match state {
                AccountState::Provisioning | AccountState::Pending => drop(accounts.pending.get_or_create(&labels).inc_by(count)),
                AccountState::AwaitingApproval => drop(accounts.waiting.get_or_create(&labels).inc_by(count)),
                AccountState::Conflict => {
                    accounts.failed.get_or_create(&labels).inc_by(count);
                    let age_ms = oldest_failed_at.map_or(0, |at| now.since_ms(at).max(0));
                    accounts.oldest_failed.get_or_create(&labels).set(age_ms / 1000);
                }
                AccountState::Suspending => drop(accounts.leaving.get_or_create(&labels).inc_by(count)),
                AccountState::Active
                | AccountState::Degraded
                | AccountState::LinkedUnmanaged
                | AccountState::Suspended
                | AccountState::Deprovisioned => {}
            }
        }
    }

    /// How the admin API of each app is.
    pub fn admin_apis<'a>(&self, states: impl IntoIterator<Item = (&'a str, i64)>) {
        self.breaker_state.clear();
        for (app, state) in states {
            self.breaker_state.get_or_create(&AppLabels { app: app.to_owned() }).set(state);
        }
    }

    /// Counts a connection that was one too many.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// Counts an audit line that was one too many of its kind.
    pub(super) fn audit_left_out(&self) {
        self.audit_left_out.inc();
    }

    /// Counts an audit event that could not be written.
    pub(super) fn audit_dropped(&self) {
        self.audit_dropped.get_or_create(&AuditLabels { sink: "lines" }).inc();
    }

    /// Counts a log line that could not be written.
    pub(super) fn log_dropped(&self) {
        self.log_dropped.inc();
    }

    /// Counts incidents that were not kept.
    pub(super) fn incidents_dropped(&self, count: usize) {
        self.incidents_dropped.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// The text of `/metrics` (`OpenMetrics`).
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

impl Meter for Metrics {
    fn ended(&self, app: &str, action: &'static str, elapsed_ms: i64) {
        let elapsed = Duration::from_millis(u64::try_from(elapsed_ms).unwrap_or_default());
        self.accounts.durations.get_or_create(&JobLabels { app: app.to_owned(), action }).observe(elapsed.as_secs_f64());
    }

    fn step_failed(&self, app: &str, step: &'static str, code: &'static str) {
        self.accounts.step_failures.get_or_create(&StepLabels { app: app.to_owned(), step, code }).inc();
    }

    fn slo_missed(&self, app: &str) {
        self.accounts.slo_missed.get_or_create(&AppLabels { app: app.to_owned() }).inc();
    }
}

/// What was being done when it failed, as a label; `ensure` when it did not come to anything in particular.
fn attempt(written: &str) -> &'static str {
    match written {
        "create" => "create",
        "adopt" => "adopt",
        "update" => "update",
        _ => "ensure",
    }
}

#[derive(Debug)]
struct Collected(Arc<Requests>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let apps = self.0.apps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let by_key = self.0.by_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = |app: usize| apps.get(app).map_or(("", ""), |(app, host)| (app.as_str(), host.as_str()));
        let mut durations: HashMap<(&str, u16, &str), Durations> = HashMap::new();
        let mut decisions: HashMap<(&str, &str, &str), u64> = HashMap::new();
        for (key, observed) in &by_key {
            let (app, host) = name(key.app);
            durations.entry((key.method, key.status, host)).or_default().add(observed);
            *decisions.entry((app, key.decision, key.reason)).or_default() += observed.count;
        }
        let mut family =
            encoder.encode_descriptor("http_server_request_duration_seconds", "Requests by method, status and host", None, MetricType::Histogram)?;
        for ((method, status, host), observed) in durations {
            let labels =
                [("http_request_method", method.to_owned()), ("http_response_status_code", status.to_string()), ("server_address", host.to_owned())];
            let mut buckets: Vec<(f64, u64)> = BOUNDS.iter().copied().zip(observed.buckets).collect();
            buckets.push((f64::MAX, observed.over()));
            family.encode_family(&labels)?.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
                observed.sum_s,
                observed.count,
                &buckets,
                None,
            )?;
        }
        let mut family = encoder.encode_descriptor("vestibule_access_decisions", "Decisions by app and reason", None, MetricType::Counter)?;
        for ((app, decision, reason), count) in decisions {
            let labels = [("app", app.to_owned()), ("decision", decision.to_owned()), ("reason", reason.to_owned())];
            prometheus_client::metrics::counter::ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Tally};
    use crate::clock::Timestamp;
    use crate::provision::Meter as _;
    use crate::state::{AccountState, Census};
    use std::time::Duration;

    #[test]
    fn a_flushed_tally_is_in_the_text_with_its_names() {
        let metrics = Metrics::default();
        assert_eq!(metrics.name_apps(&[("wiki", "wiki.example.com")]), [0]);
        metrics.policies([("wiki", true, false)]);
        let mut tally = Tally::default();
        tally.count(0, "GET", 200, Duration::from_millis(3), "allowed", "");
        tally.count(0, "GET", 200, Duration::from_mins(1), "allowed", "");
        tally.count(0, "GET", 403, Duration::from_millis(1), "denied", "groups");
        metrics.flush(&mut tally);
        assert!(tally.is_empty());
        let text = metrics.text();
        let durations = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",server_address="wiki.example.com"} 2"#;
        assert!(text.contains(durations), "{text}");
        assert!(
            text.contains(r#"le="0.005",http_request_method="GET",http_response_status_code="200",server_address="wiki.example.com"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"vestibule_access_decisions_total{app="wiki",decision="denied",reason="groups"} 1"#), "{text}");
        assert!(text.contains("vestibule_policy_loaded{app=\"wiki\"} 1"), "{text}");
        assert!(text.contains("vestibule_policy_stale{app=\"wiki\"} 0"), "{text}");
    }

    #[test]
    fn what_was_counted_stays_its_apps_however_often_is_reloaded() {
        let metrics = Metrics::default();
        let (wiki, crm) = (("wiki", "wiki.example.com"), ("crm", "crm.example.com"));
        assert_eq!(metrics.name_apps(&[crm, wiki]), [0, 1]);
        let mut tally = Tally::default();
        tally.count(1, "GET", 200, Duration::from_millis(3), "allowed", "");
        metrics.flush(&mut tally);
        // `crm` is gone, and another one comes first.
        assert_eq!(metrics.name_apps(&[("a", "a.example.com"), wiki]), [2, 1]);
        metrics.policies([("crm", false, false), ("wiki", true, true)]);
        metrics.policies([("a", true, false), ("wiki", true, true)]);
        let text = metrics.text();
        assert!(text.contains(r#"vestibule_access_decisions_total{app="wiki",decision="allowed",reason=""} 1"#), "{text}");
        assert!(text.contains(r#"vestibule_policy_stale{app="wiki"} 1"#) && !text.contains("crm"), "{text}");
        metrics.loaded(true, 17);
        metrics.loaded(false, 18);
        let text = metrics.text();
        assert!(text.contains("vestibule_config_last_reload_successful 0"), "{text}");
        assert!(text.contains("vestibule_config_last_reload_success_timestamp_seconds 17"), "{text}");
    }

    #[test]
    fn the_last_minute_of_an_app_is_a_difference() {
        let metrics = Metrics::default();
        metrics.name_apps(&[("wiki", "wiki.example.com")]);
        let count = |times: usize, ms: u64, reason: &'static str| {
            let mut tally = Tally::default();
            for _ in 0..times {
                tally.count(0, "GET", 200, Duration::from_millis(ms), "allowed", reason);
            }
            metrics.flush(&mut tally);
            metrics.by_app()["wiki"]
        };
        let before = count(100, 900, "upstream");
        assert_eq!((before.requests(), before.forwarded, before.failed, before.p95_s()), (100, 100, 100, Some(1.0)));
        let after = count(19, 4, "").since(&before);
        assert_eq!((after.requests(), after.failed, after.p95_s()), (19, 0, Some(0.005)));
        let slow = count(2, 900, "").since(&before);
        assert_eq!((slow.requests(), slow.p95_s()), (21, Some(1.0)));
        assert_eq!(slow.since(&slow).p95_s(), None);
        assert_eq!(count(1, 40_000, "").since(&before).since(&slow).p95_s(), Some(f64::INFINITY));
    }

    #[test]
    fn row_57_a_census_replaces_the_one_before_and_jobs_add_up() {
        use AccountState::{Active, AwaitingApproval, Conflict, Pending, Provisioning};
        let metrics = Metrics::default();
        let now = Timestamp::from_seconds(1_000);
        let of = |upstream: &str, state, count, at: Option<i64>| Census {
            upstream: upstream.to_owned(),
            state,
            count,
            oldest_failed_at: at.map(Timestamp::from_seconds),
        };
        let first =
            [of("wiki", Conflict, 3, Some(900)), of("wiki", Pending, 2, Some(1)), of("wiki", Provisioning, 1, None), of("crm", Active, 9, None)];
        metrics.take_census(&first, now);
        metrics.slo_missed("wiki");
        metrics.step_failed("wiki", "create", "in_doubt");
        metrics.ended("wiki", "create", 2_500);
        metrics.ended("wiki", "create", -1);
        let text = metrics.text();
        for line in [
            r#"vestibule_provisioning_failed{app="wiki"} 3"#,
            r#"vestibule_provisioning_oldest_failed_seconds{app="wiki"} 100"#,
            r#"vestibule_provisioning_pending{app="wiki"} 3"#,
            r#"vestibule_provisioning_failed{app="crm"} 0"#,
            r#"vestibule_provisioning_slo_missed_total{app="wiki"} 1"#,
            r#"vestibule_provisioning_step_failures_total{app="wiki",step="create",code="in_doubt"} 1"#,
            r#"vestibule_provisioning_duration_seconds_bucket{le="3.0",app="wiki",action="create"} 2"#,
            r#"vestibule_provisioning_duration_seconds_bucket{le="2.0",app="wiki",action="create"} 1"#,
            r#"vestibule_provisioning_duration_seconds_sum{app="wiki",action="create"} 2.5"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        metrics.take_census(&[of("wiki", AwaitingApproval, 1, None)], now);
        let text = metrics.text();
        for line in [r#"vestibule_provisioning_failed{app="wiki"} 0"#, r#"vestibule_provisioning_awaiting_approval{app="wiki"} 1"#] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("vestibule_provisioning_failed{app=\"crm\"}"), "{text}");
    }

    #[test]
    fn what_an_app_has_that_nobody_answers_for_is_a_gauge() {
        let metrics = Metrics::default();
        for (unmanaged, privileged) in [(4, 2), (3, 0)] {
            let event =
                serde_json::json!({ "action": "accounts.listed", "app": "wiki", "accounts": 12, "unmanaged": unmanaged, "privileged": privileged });
            metrics.audited(event.as_object().unwrap());
        }
        let text = metrics.text();
        for (kind, count) in [("accounts", 12), ("unmanaged", 3), ("privileged", 0), ("orphaned", 0), ("vanished", 0)] {
            let line = format!(r#"vestibule_listed_accounts{{app="wiki",kind="{kind}"}} {count}"#);
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_came_of_asking_a_directory_is_a_label() {
        let metrics = Metrics::default();
        for reason in ["known", "timeout", "known"] {
            metrics.audited(serde_json::json!({ "action": "groups.looked_up", "idp": "corp", "reason": reason }).as_object().unwrap());
        }
        let text = metrics.text();
        for line in
            [r#"vestibule_group_lookups_total{idp="corp",result="known"} 2"#, r#"vestibule_group_lookups_total{idp="corp",result="timeout"} 1"#]
        {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_was_tried_when_an_account_failed_is_a_label() {
        let metrics = Metrics::default();
        for (action, attempt) in [
            ("account.failed", "adopt"),
            ("account.failed", "ensure"),
            ("account.failed", "x\"y"),
            ("account.degraded", "update"),
            ("account.refused", "create"),
            ("approval.requested", "create"),
        ] {
            let event = serde_json::json!({ "action": action, "app": "wiki", "attempt": attempt });
            metrics.audited(event.as_object().unwrap());
        }
        let text = metrics.text();
        for line in [
            r#"vestibule_provisioning_total{app="wiki",action="adopt",result="failed"} 1"#,
            r#"vestibule_provisioning_total{app="wiki",action="ensure",result="failed"} 2"#,
            r#"vestibule_provisioning_total{app="wiki",action="update",result="partial"} 1"#,
            r#"vestibule_provisioning_total{app="wiki",action="create",result="refused"} 1"#,
            r#"vestibule_provisioning_total{app="wiki",action="create",result="waiting"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
