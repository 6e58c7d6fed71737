//! Looking at a gateway's state from outside, for commands that answer questions.
//!
//! Lives here: [`look`]. Works whether or not the gateway runs, and changes nothing.

use super::{Environment, StartError, read_secret};
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
    let key = read_secret(&"[state] key", &gateway.state.key, environment.as_ref())?;
    let sealer = Sealer::new(&key, Arc::new(OsEntropy::default()))?;
    Ok(Arc::new(sqlite::Store::open_to_read(&gateway.state.url, sealer).await?))
}
