//! An engine for every policy that provisions.

use super::StartError;
use crate::clock::Clock;
use crate::config::SecretRef;
use crate::connector::Connector;
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::Credential;
use crate::outbound::Transport;
use crate::policy::Policy;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;

type Read<'a> = dyn Fn(&SecretRef) -> Result<SecretString, StartError> + 'a;

/// By policy name.
pub(super) fn engines(
    policies: &[Arc<Policy>],
    transport: &Arc<dyn Transport>,
    clock: &Arc<dyn Clock>,
    read: &Read<'_>,
) -> Result<HashMap<String, Arc<dyn Connector>>, StartError> {
    let mut engines: HashMap<String, Arc<dyn Connector>> = HashMap::new();
    for policy in policies {
        let Some(provision) = &policy.provision else { continue };
        let engine = Engine::new(
            Arc::clone(&provision.connector),
            provision.steps.clone(),
            provision.url.clone(),
            resolve(&provision.credential, read)?,
            provision.settings.clone(),
            Limits { timeout_ms: provision.timeout_ms, ..Limits::default() },
            Arc::clone(transport),
            Arc::clone(clock),
        );
        engines.insert(policy.name.clone(), Arc::new(engine));
    }
    Ok(engines)
}

fn resolve(credential: &Credential, read: &Read<'_>) -> Result<ResolvedCredential, StartError> {
    let token = credential.token.as_ref().map(read).transpose()?;
    let basic = match &credential.basic {
        Some((user, password)) => Some((user.clone(), read(password)?)),
        None => None,
    };
    let headers = credential.headers.iter().map(|(name, value)| Ok((name.clone(), read(value)?))).collect::<Result<_, StartError>>()?;
    Ok(ResolvedCredential { token, basic, headers })
}
