//! Runs a connector's steps over HTTP.
use secrecy::SecretString;
/// Credentials of admin calls, read from where the policy says.
#[derive(Debug, Clone, Default)]
pub struct ResolvedCredential {
    /// `Authorization: Bearer …` (or as the connector says).
    pub token: Option<SecretString>,
    /// `Authorization: Basic …`.
    pub basic: Option<(String, SecretString)>,
    /// Further headers.
    pub headers: Vec<(String, SecretString)>,
}
/// What one admin call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One exchange.
    pub timeout_ms: u64,
    /// Largest response body.
    pub response_bytes_max: usize,
}
/// Runs a [`Model`](super::model::Model) and a policy's [`Steps`](super::model::Steps). `Engine::new(model: Arc<Model>, steps: Option<Steps>, base: Url,
/// credential: ResolvedCredential, settings: Map, limits: Limits, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>)`.
#[derive(Debug)]
pub struct Engine {}
