//! What files refer to, read: secrets and certificates, and what is made of them.
//!
//! Lives here: [`Builder`], which makes the parts of the house that a reload may swap, without touching the house. What has not changed is handed back as
//! it was, so that an app whose neighbour is changed loses no connection, no token of its admin API and no key of its provider.

use super::admin_tls;
use super::connectors::{self, Read};
use super::{Environment, StartError, secret};
use crate::clock::Clock;
#[cfg(feature = "saml")]
use crate::config::MetadataPlace;
use crate::config::{Gateway, Idp, SecretRef};
use crate::connector::Connector;
use crate::entropy::OsEntropy;
use crate::outbound::Transport;
use crate::policy::sign_in::Password;
use crate::policy::{Policy, SecretHeader};
use crate::provision::{ClockedShared, TokenSigner};
use crate::proxy::tls::Certificates;
use crate::request::{AppCookies, SharedSecrets};
use crate::secrets::OpenToOthers;
use crate::session::CookieKey;
use crate::signer::SharedSigner;
use crate::sso::Provider;
use crate::sso::bearer::AccessTokens;
use crate::sso::oidc::OidcProvider;
#[cfg(feature = "saml")]
use crate::sso::saml::{SamlProvider, SpKey};
use crate::state::SecretHash;
use crate::state::seal::Sealer;
use crate::trace::Traced;
use secrecy::{ExposeSecret as _, SecretString};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Reads and makes.
pub(super) struct Builder {
    /// To admin APIs.
    transport: Arc<dyn Transport>,
    /// To providers.
    idp_transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) environment: Environment,
    /// What browsers call the auth host; a reload does not change it.
    auth_origin: String,
    /// For keys that are made of `[state] key`; absent until the store is open.
    pub(super) sealer: Option<Sealer>,
    /// Files of which it was said that others can read them: once is enough.
    warned: Mutex<HashSet<PathBuf>>,
}

/// What serves an app besides its policy.
#[derive(Clone)]
pub(super) struct AppParts {
    pub(super) shared: SharedSecrets,
    pub(super) connector: Option<Arc<dyn Connector>>,
    /// Signs its tokens under `[jwt] secret`.
    pub(super) signer: Option<Arc<dyn TokenSigner>>,
    /// Of all its secrets, to see whether one has changed.
    pub(super) secrets: SecretHash,
}

/// A provider, and what it was made of.
#[derive(Clone)]
pub(super) struct KnownIdp {
    pub(super) idp: Idp,
    secrets: SecretHash,
    pub(super) provider: Arc<dyn Provider>,
    /// The same, where it knows access tokens.
    pub(super) tokens: Option<Arc<dyn AccessTokens>>,
}

/// Certificates that have changed; what they were read from is their name.
pub(super) struct NewCertificates {
    pub(super) certificates: Certificates,
    pub(super) digest: SecretHash,
}

impl Builder {
    /// `traced`: what is sent is recorded.
    pub(super) fn new(transport: &Arc<dyn Transport>, traced: bool, clock: Arc<dyn Clock>, environment: Environment, auth_origin: String) -> Self {
        let of = |purpose, passed_on| -> Arc<dyn Transport> {
            let transport = Arc::clone(transport);
            if traced { Arc::new(Traced::new(transport, purpose, passed_on)) } else { transport }
        };
        let (transport, idp_transport) = (of("admin_api", true), of("idp", false));
        Self { transport, idp_transport, clock, environment, auth_origin, sealer: None, warned: Mutex::default() }
    }

    /// The secret for the key that is named.
    pub(super) fn secret(&self, place: &dyn Display, reference: &SecretRef) -> Result<SecretString, StartError> {
        self.recording(|read| read(place, reference)).map(|(secret, _)| secret)
    }

    /// What serves `policy`. `before` is what served its file so far: handed back when neither text nor secrets have changed.
    pub(super) fn app(&self, policy: &Policy, before: Option<(&Policy, &AppParts)>) -> Result<AppParts, StartError> {
        let files = admin_tls::Files::read(policy)?;
        let ((mut shared, credential, key, signer), secrets) = self.recording(|read| {
            let (credential, key) = (connectors::credential(policy, read)?, connectors::client_key(policy, read)?);
            Ok((shared_secrets(policy, read)?, credential, key, self.signer(policy, read)?))
        })?;
        let secrets = with_files(secrets, &files);
        if policy.sign_in.keeps_sessions() {
            shared.cookies = self.sealer.as_ref().map(|sealer| AppCookies::new(CookieKey::new(sealer, &policy.name, &policy.upstream.origin())));
        }
        let same = |(known, parts): &(&Policy, &AppParts)| {
            // Its text names the connector; what that says may stand in a file of its own.
            let model =
                |policy: &Policy| policy.provision.as_ref().map(|provision| (provision.connector.name.clone(), provision.connector.revision.clone()));
            let accounts = model(known) == model(policy);
            known.name == policy.name && known.revision == policy.revision && parts.secrets == secrets && accounts
        };
        if let Some((_, parts)) = before.filter(same) {
            return Ok(parts.clone());
        }
        let transport = files.transport(policy, key.as_ref(), &self.transport)?;
        Ok(AppParts { shared, connector: connectors::engine(policy, credential, transport, &self.clock), signer, secrets })
    }

    /// The signer of `[jwt] secret`.
    fn signer(&self, policy: &Policy, read: &Read<'_>) -> Result<Option<Arc<dyn TokenSigner>>, StartError> {
        let Some(reference) = policy.jwt.as_ref().and_then(|jwt| jwt.secret.as_ref()) else { return Ok(None) };
        let secret = read(&format_args!("{}: jwt.secret", policy.file), reference)?;
        let signer = SharedSigner::new(&secret, &self.auth_origin, Arc::new(OsEntropy::default()));
        let signer = signer.map_err(|cause| StartError::JwtSecret { file: policy.file.clone(), cause })?;
        Ok(Some(Arc::new(ClockedShared { signer: Arc::new(signer), clock: Arc::clone(&self.clock) })))
    }

    /// The provider of `idp`; that of `before` when nothing about it has changed: it knows the provider's keys.
    pub(super) fn idp(&self, idp: &Idp, before: &[KnownIdp]) -> Result<KnownIdp, StartError> {
        if idp.saml.is_some() {
            return self.saml(idp, before);
        }
        let place = format!("[[idp]] {}: client_secret", idp.id);
        let lookup_place = format!("[[idp]] {}: groups_lookup.client_secret", idp.id);
        let lookup = idp.groups_lookup.as_ref().and_then(|lookup| lookup.client_secret.as_ref());
        let ((secret, lookup_secret), secrets) = self.recording(|read| {
            let secret = idp.client_secret.as_ref().map(|secret| read(&place, secret)).transpose()?;
            Ok((secret, lookup.map(|secret| read(&lookup_place, secret)).transpose()?))
        })?;
        if let Some(known) = before.iter().find(|known| known.idp == *idp && known.secrets == secrets) {
            return Ok(known.clone());
        }
        let provider = OidcProvider::new(idp.clone(), secret, Arc::clone(&self.idp_transport), Arc::clone(&self.clock));
        let provider = Arc::new(provider.with_lookup_secret(lookup_secret));
        let tokens = Some(Arc::clone(&provider) as Arc<dyn AccessTokens>);
        Ok(KnownIdp { idp: idp.clone(), secrets, provider, tokens })
    }

    /// As [`Self::idp`], for one of type `saml`: its files count as its secrets do.
    #[cfg(feature = "saml")]
    fn saml(&self, idp: &Idp, before: &[KnownIdp]) -> Result<KnownIdp, StartError> {
        let place = |key: &str| format!("[[idp]] {}: {key}", idp.id);
        let wrong = |key: &str, why: &dyn Display| StartError::Idp { place: place(key), why: why.to_string() };
        let pair = idp.saml.as_ref().and_then(|saml| saml.key.as_ref());
        let (pair, keys) = self.recording(|read| {
            let Some((path, key)) = pair else { return Ok(None) };
            let certificate = std::fs::read(path).map_err(|error| wrong("cert", &format_args!("{} cannot be read: {error}", path.display())))?;
            Ok(Some((certificate, read(&place("key"), key)?)))
        })?;
        let mut all = Zeroizing::new(keys.0.to_vec());
        append(&mut all, pair.as_ref().map(|(certificate, _)| certificate.as_slice()).unwrap_or_default());
        if let Some(MetadataPlace::File(path)) = idp.saml.as_ref().map(|saml| &saml.metadata) {
            // Not there: the provider says so when somebody signs in, and looks again.
            append(&mut all, &std::fs::read(path).unwrap_or_default());
        }
        let secrets = SecretHash::of(&all);
        if let Some(known) = before.iter().find(|known| known.idp == *idp && known.secrets == secrets) {
            return Ok(known.clone());
        }
        let key = pair.map(|(certificate, key)| SpKey::read(&certificate, key.expose_secret().as_bytes())).transpose();
        let key = key.map_err(|error| wrong("key", &error))?;
        let provider = SamlProvider::new(idp.clone(), key, &self.auth_origin, Arc::clone(&self.idp_transport), Arc::clone(&self.clock));
        let provider = Arc::new(provider.ok_or_else(|| wrong("type", &"not of SAML"))?);
        Ok(KnownIdp { idp: idp.clone(), secrets, provider, tokens: None })
    }

    /// The compiler of the gateway file has refused it.
    #[cfg(not(feature = "saml"))]
    #[expect(clippy::unused_self, reason = "called as the other is")]
    fn saml(&self, idp: &Idp, _before: &[KnownIdp]) -> Result<KnownIdp, StartError> {
        Err(StartError::Idp { place: format!("[[idp]] {}: type", idp.id), why: "built without SAML".to_owned() })
    }

    /// The certificates of `[tls]`; `None` when their files say what they said `before`.
    pub(super) fn certificates(&self, gateway: &Gateway, before: Option<SecretHash>) -> Result<Option<NewCertificates>, StartError> {
        let pairs = |read: &Read<'_>| {
            let pair = |certificate: &crate::config::Certificate| {
                // The compiler of the gateway file has resolved relative paths.
                let path = certificate.chain.clone();
                let chain = std::fs::read(&path).map_err(|cause| StartError::File { path: path.clone(), cause })?;
                Ok((path, chain, read(&"[tls] key", &certificate.key)?))
            };
            gateway.certificates.iter().map(pair).collect::<Result<Vec<_>, StartError>>()
        };
        let (pairs, keys) = self.recording(pairs)?;
        let mut all = Zeroizing::new(keys.0.to_vec());
        for (_, chain, _) in &pairs {
            append(&mut all, chain);
        }
        let digest = SecretHash::of(&all);
        if before == Some(digest) {
            return Ok(None);
        }
        let mut certificates = Certificates::default();
        for (path, chain, key) in pairs {
            let place = || format!("[tls] cert {}", path.display());
            certificates.add(&chain, key.expose_secret().as_bytes()).map_err(|cause| StartError::Tls { place: place(), cause })?;
        }
        Ok(Some(NewCertificates { certificates, digest }))
    }

    /// What `work` comes to, and one hash of all the secrets that it read. Files that others can read are told of.
    fn recording<T>(&self, work: impl FnOnce(&Read<'_>) -> Result<T, StartError>) -> Result<(T, SecretHash), StartError> {
        let seen = RefCell::new(Zeroizing::new(Vec::new()));
        let read = |place: &dyn Display, reference: &SecretRef| {
            let secret = secret::read_saying(place, reference, self.environment.as_ref(), &|warning| self.warn(&warning))?;
            append(&mut seen.borrow_mut(), secret.expose_secret().as_bytes());
            Ok(secret)
        };
        let made = work(&read)?;
        let digest = SecretHash::of(&seen.borrow());
        Ok((made, digest))
    }

    fn warn(&self, warning: &OpenToOthers) {
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(warning.path.clone()) {
            secret::tell(warning);
        }
    }
}

/// The certificates of an admin API are no secrets, and a change of them is a change all the same.
fn with_files(secrets: SecretHash, files: &admin_tls::Files) -> SecretHash {
    let mut all = Zeroizing::new(secrets.0.to_vec());
    for bytes in files.bytes() {
        append(&mut all, bytes);
    }
    SecretHash::of(&all)
}

/// With its length, so that no two lists of secrets read the same.
fn append(to: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    to.extend_from_slice(&bytes.len().to_be_bytes());
    to.extend_from_slice(bytes);
}

/// The secret headers of an app, ready to be sent.
fn shared_secrets(policy: &Policy, read: &Read<'_>) -> Result<SharedSecrets, StartError> {
    let header = |header: &SecretHeader| {
        let mut value = http::HeaderValue::from_str(read(&format_args!("{}: headers.{}", policy.file, header.name), &header.secret)?.expose_secret())
            .map_err(|_shows_the_value| StartError::SecretHeader { file: policy.file.clone(), name: header.name.to_string() })?;
        value.set_sensitive(true);
        Ok((header.name.clone(), value))
    };
    let of = |headers: &[SecretHeader]| headers.iter().map(header).collect::<Result<Vec<_>, StartError>>();
    let mut paths = Vec::new();
    if policy.paths.iter().any(|section| !section.secret_headers.is_empty()) {
        paths = policy.paths.iter().map(|section| of(&section.secret_headers)).collect::<Result<_, _>>()?;
    }
    let password = match &policy.sign_in.password {
        None => None,
        Some(Password::Unchecked(any)) => Some(SecretString::from(any.as_str())),
        Some(Password::Secret(reference)) => Some(read(&format_args!("{}: sign_in.password", policy.file), reference)?),
    };
    Ok(SharedSecrets { everywhere: of(&policy.secret_headers)?, paths, cookies: None, password })
}
