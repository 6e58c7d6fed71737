//! An engine for a policy that provisions.

use super::StartError;
use crate::clock::Clock;
use crate::config::SecretRef;
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::{Credential, InitialPassword};
use crate::connector::{Bounds, Connector};
use crate::entropy::OsEntropy;
use crate::outbound::Transport;
use crate::policy::Policy;
use secrecy::SecretString;
use std::sync::Arc;

/// Reads a secret for the key that is named.
pub(super) type Read<'a> = dyn Fn(&dyn std::fmt::Display, &SecretRef) -> Result<SecretString, StartError> + 'a;

/// What the engine of one policy shows to the app; `None` when it makes no accounts.
pub(super) fn credential(policy: &Policy, read: &Read<'_>) -> Result<Option<ResolvedCredential>, StartError> {
    // Switched off, no admin call is made: not even its credential has to be there.
    let provision = policy.provision.as_ref().filter(|provision| provision.switches.enabled);
    provision.map(|provision| resolve(&policy.file, &provision.credential, read)).transpose()
}

/// The private key of `[provision] client_cert`.
pub(super) fn client_key(policy: &Policy, read: &Read<'_>) -> Result<Option<SecretString>, StartError> {
    let client = super::admin_tls::tls(policy).and_then(|tls| tls.client.as_ref());
    client.map(|(_, key)| read(&format_args!("{}: provision.client_key", policy.file), key)).transpose()
}

/// The engine of one policy; `None` when it makes no accounts.
pub(super) fn engine(
    policy: &Policy,
    credential: Option<ResolvedCredential>,
    transport: Arc<dyn Transport>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let provision = policy.provision.as_ref()?;
    let engine = Engine::new(
        Arc::clone(&provision.connector),
        provision.steps.clone(),
        provision.url.clone(),
        credential?,
        provision.settings.clone(),
        Limits {
            timeout_ms: provision.timeout_ms,
            bounds: Bounds { concurrency: provision.concurrency, per_second: provision.rate },
            ..Limits::default()
        },
        transport,
        Arc::clone(clock),
    );
    let engine = match provision.initial_password {
        InitialPassword::Random => engine.with_passwords(Arc::new(OsEntropy::default())),
        InitialPassword::None => engine,
    };
    Some(Arc::new(engine))
}

/// The credential of an admin API, read from where the policy says.
pub(super) fn resolve(file: &str, credential: &Credential, read: &Read<'_>) -> Result<ResolvedCredential, StartError> {
    let read = |key: &str, reference: &SecretRef| read(&format_args!("{file}: provision.{key}"), reference);
    let token = credential.token.as_ref().map(|token| read("token", token)).transpose()?;
    let basic = match &credential.basic {
        Some((user, password)) => Some((user.clone(), read("password", password)?)),
        None => None,
    };
    let header = |(name, value): &(String, SecretRef)| Ok((name.clone(), read(&format!("headers.{name}"), value)?));
    let headers = credential.headers.iter().map(header).collect::<Result<_, StartError>>()?;
    let setting = |(name, value): &(String, SecretRef)| Ok((name.clone(), read(&format!("settings.{name}"), value)?));
    let settings = credential.settings.iter().map(setting).collect::<Result<_, StartError>>()?;
    Ok(ResolvedCredential { token, basic, headers, settings })
}
