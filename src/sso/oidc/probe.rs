//! Is the provider there, and is it fit to sign people in? For `check --online`; no person and no secret takes part.

use super::OidcProvider;
use crate::sso::SsoFault;

impl OidcProvider {
    /// Whether the metadata are to be had now, whatever is known from before.
    pub(super) async fn is_up(&self) -> bool {
        let issuer = self.settings.issuer.strip_suffix('/').unwrap_or(&self.settings.issuer);
        let Ok(url) = url::Url::parse(&format!("{issuer}/.well-known/openid-configuration")) else { return false };
        super::http::get(self.transport.as_ref(), url, None).await.is_ok()
    }

    /// Fetches metadata (whose issuer must be equal, byte for byte) and keys; the number of keys that could verify an ID token.
    ///
    /// # Errors
    /// [`SsoFault::Unavailable`]: either of the two is not to be had; [`SsoFault::Check`]: no key fits the algorithms that are allowed.
    pub async fn probe(&self) -> Result<usize, SsoFault> {
        let metadata = self.metadata().await?;
        let mut fitting = Vec::new();
        for algorithm in &self.settings.algorithms {
            for key in self.keys.candidates(&metadata.jwks_uri, None, algorithm).await.map_err(|why| self.unavailable("jwks", why))? {
                if !fitting.contains(&key) {
                    fitting.push(key);
                }
            }
        }
        if fitting.is_empty() {
            return Err(self.check("jwks", &format!("a key for {}", self.settings.algorithms.join(", ")), "none"));
        }
        Ok(fitting.len())
    }
}
