//! How the connection to one admin API is made: the house's own, or one with an authority or a certificate of its own.
//!
//! Apart because it reads files that are not secrets, and a change of them is a change of the app's parts (`build.rs`).

use super::StartError;
use crate::outbound::{HyperTransport, Transport};
use crate::policy::{AdminTls, Policy};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;
use std::sync::Arc;

/// What the files of `[provision] ca` and `client_cert` say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Files {
    ca: Option<Vec<u8>>,
    chain: Option<Vec<u8>>,
}

impl Files {
    /// Reads them; nothing for a policy that makes no accounts, or has none.
    pub(super) fn read(policy: &Policy) -> Result<Self, StartError> {
        let Some(tls) = tls(policy) else { return Ok(Self::default()) };
        let read = |key: &'static str, path: &Path| {
            std::fs::read(path).map_err(|cause| StartError::AdminTls {
                file: policy.file.clone(),
                why: format!("{key}: {} cannot be read: {cause}", path.display()),
            })
        };
        let ca = tls.ca.as_deref().map(|path| read("ca", path)).transpose()?;
        let chain = tls.client.as_ref().map(|(path, _)| read("client_cert", path)).transpose()?;
        Ok(Self { ca, chain })
    }

    /// Of both, for whoever compares.
    pub(super) fn bytes(&self) -> [&[u8]; 2] {
        [self.ca.as_deref().unwrap_or_default(), self.chain.as_deref().unwrap_or_default()]
    }

    /// The connection that calls of `policy` go through: `usual`, unless it says otherwise. `key` is the private key of `client_key`.
    pub(super) fn transport(
        &self,
        policy: &Policy,
        key: Option<&SecretString>,
        usual: &Arc<dyn Transport>,
    ) -> Result<Arc<dyn Transport>, StartError> {
        if self.ca.is_none() && self.chain.is_none() {
            return Ok(Arc::clone(usual));
        }
        let client = self.chain.as_deref().zip(key.map(|key| key.expose_secret().as_bytes()));
        let made = HyperTransport::with_tls(self.ca.as_deref(), client);
        let made = made.map_err(|error| StartError::AdminTls { file: policy.file.clone(), why: error.to_string() })?;
        Ok(Arc::new(made))
    }
}

/// The part of a policy that says so.
pub(super) fn tls(policy: &Policy) -> Option<&AdminTls> {
    policy.provision.as_ref().filter(|provision| provision.switches.enabled).and_then(|provision| provision.tls.as_ref())
}
