//! Which host belongs to which policy. Swapped whole at reload.

use super::reserved::Reserved;
use crate::policy::Policy;
use crate::session::{Binding, CookieKey};
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One app, as requests meet it.
#[derive(Debug)]
pub struct Route {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Names no client may send, because some policy injects them. The same for every route: what app A trusts must not be
    /// settable through app B either, should both look at the same backend.
    pub reserved: Arc<Reserved>,
    /// Index into the per-app metrics.
    pub metrics: usize,
    /// Headers with a shared secret, read. Those of `[headers]` are sent with every request, so that the app can refuse what came around the gateway (attacks.md I9).
    pub shared: SharedSecrets,
}

/// Names and values of headers with a shared secret, marked sensitive.
#[derive(Debug, Clone, Default)]
pub struct SharedSecrets {
    /// Those of `[headers]`.
    pub everywhere: Vec<(HeaderName, HeaderValue)>,
    /// Those of the nth `[[path]]` section at place n; empty when no section has any.
    pub paths: Vec<Vec<(HeaderName, HeaderValue)>>,
    /// What the app's cookies are bound with, where they are.
    pub cookies: Option<AppCookies>,
    /// What stands behind the login for `[sign_in] mode = "basic"`.
    pub password: Option<SecretString>,
}

/// What an app's cookies are bound with.
#[derive(Debug, Clone)]
pub struct AppCookies {
    /// For sessions.
    pub key: CookieKey,
    /// For whoever is on a public path without a session.
    pub nobody: Arc<Binding>,
}

impl AppCookies {
    /// With this key.
    pub fn new(key: CookieKey) -> Self {
        let nobody = Arc::new(key.of_nobody());
        Self { key, nobody }
    }
}

/// No client can add to it: a fast hash will do.
type ByText = HashMap<String, Arc<Route>, foldhash::fast::FixedState>;

/// All apps.
#[derive(Debug, Default)]
pub struct Routes {
    by_host: ByText,
    by_name: ByText,
    unavailable: HashSet<String>,
    auth_host: String,
}

impl Routes {
    /// From compiled policies; `unavailable` are hosts whose policy never loaded, or is here (for what it reserves) and
    /// lacks a secret; `shared` has the secret headers of the nth policy at place n.
    pub fn new(auth_host: &str, policies: &[Arc<Policy>], unavailable: impl IntoIterator<Item = String>, shared: Vec<SharedSecrets>) -> Self {
        let numbers: Vec<usize> = (0..policies.len()).collect();
        Self::numbered(auth_host, policies, unavailable, shared, &numbers)
    }

    /// As [`Self::new`]; `numbers` has the index into the per-app metrics of the nth policy at place n, which outlives this table.
    pub fn numbered(
        auth_host: &str,
        policies: &[Arc<Policy>],
        unavailable: impl IntoIterator<Item = String>,
        shared: Vec<SharedSecrets>,
        numbers: &[usize],
    ) -> Self {
        let unavailable: HashSet<String> = unavailable.into_iter().collect();
        let shared = shared.into_iter().chain(std::iter::repeat_with(SharedSecrets::default));
        let reserved = Arc::new(Reserved::of(policies.iter().map(AsRef::as_ref)));
        let route = |((policy, &metrics), shared): ((&Arc<Policy>, &usize), SharedSecrets)| {
            let route = Route { policy: Arc::clone(policy), reserved: Arc::clone(&reserved), metrics, shared };
            (policy.host.clone(), Arc::new(route))
        };
        let by_host: ByText = policies.iter().zip(numbers).zip(shared).map(route).filter(|(host, _)| !unavailable.contains(host)).collect();
        Self {
            by_name: by_host.values().map(|route| (route.policy.name.clone(), Arc::clone(route))).collect(),
            by_host,
            unavailable,
            auth_host: auth_host.to_owned(),
        }
    }

    /// The app behind `host` (lower case, no port).
    pub fn find(&self, host: &str) -> Option<&Arc<Route>> {
        self.by_host.get(host)
    }

    /// The app with this policy name.
    pub fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.by_name.get(name)
    }

    /// Whether `host` is the auth host.
    pub fn is_auth_host(&self, host: &str) -> bool {
        self.auth_host == host
    }

    /// Whether `host` has a policy that never loaded, or that lacks a secret.
    pub fn is_unavailable(&self, host: &str) -> bool {
        self.unavailable.contains(host)
    }

    /// Every host that is answered, for the redirect listener and certificate checks.
    pub fn knows(&self, host: &str) -> bool {
        self.is_auth_host(host) || self.by_host.contains_key(host) || self.is_unavailable(host)
    }

    /// All apps.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_host.values()
    }
}
