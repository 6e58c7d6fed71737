//! A connector as data: what `policies/connectors/APP.toml` says.

use crate::config::SecretRef;

/// How admin calls authenticate.
#[derive(Debug, Clone, Default)]
pub struct Credential {
    /// `token`: `Authorization: Bearer …` (or as the connector says).
    pub token: Option<SecretRef>,
    /// `username` and `password`: `Authorization: Basic …`.
    pub basic: Option<(String, SecretRef)>,
    /// `headers = { X-Key = { secret = "…" } }`.
    pub headers: Vec<(String, SecretRef)>,
}

/// A connector, parsed and checked.
#[derive(Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
}

/// A policy's own find and steps.
#[derive(Debug)]
pub struct Steps {}
