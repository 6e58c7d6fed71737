//! Looking at a gateway's state from outside, for commands that answer questions.
//!
//! Lives here: [`look`]. Works whether or not the gateway runs, and changes nothing.

use super::{Environment, StartError, secret};
use crate::config::Gateway;
use crate::entropy::OsEntropy;
use crate::state::seal::Sealer;
use crate::state::{Store, sqlite};
use std::sync::Arc;

/// Opens the store of `gateway` to be read only.
///
/// # Errors
/// [`StartError::Secret`] and [`StartError::Seal`] for `[state] key`, [`StartError::Store`] for the file: each names the key, the file and the way out.
pub async fn look(gateway: &Gateway, environment: &Environment) -> Result<Arc<dyn Store>, StartError> {
    Ok(Arc::new(sqlite::Store::open_to_read(&gateway.state.url, key(gateway, environment)?).await?))
}

/// What opens what `gateway` seals, and checks what it writes down.
///
/// # Errors
/// [`StartError::Secret`] and [`StartError::Seal`] for `[state] key`.
pub fn key(gateway: &Gateway, environment: &Environment) -> Result<Sealer, StartError> {
    let key = secret::read(&"[state] key", &gateway.state.key, environment.as_ref())?;
    Ok(Sealer::new(&key, Arc::new(OsEntropy::default()))?)
}
