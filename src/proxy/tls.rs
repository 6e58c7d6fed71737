//! Certificates and TLS settings. rustls stops here.

use crate::clock::Timestamp;
use crate::config::TlsVersion;
use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_platform_verifier::ConfigVerifierExt as _;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text has no certificate, no key, or is not PEM.
    #[error("{what}: {cause}")]
    Pem {
        /// Which of the two.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Certificate and key do not belong together, or rustls takes neither.
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
    /// No names in the certificate.
    #[error("the certificate names no host (subjectAltName): {0}")]
    Names(String),
}

/// Chooses a certificate by the name the client asks for.
#[derive(Debug, Default)]
pub struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
    /// Names and end of each, in the order of the file.
    ends: Vec<(Vec<String>, Timestamp)>,
}

impl Certificates {
    /// Adds a PEM chain (leaf first) and its PEM key.
    ///
    /// # Errors
    /// [`TlsError`] by what is wrong with the pair.
    pub fn add(&mut self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let pem = |what, cause: rustls::pki_types::pem::Error| TlsError::Pem { what, cause: cause.to_string() };
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(|cause| pem("certificate", cause))?;
        let leaf = chain.first().cloned().ok_or_else(|| TlsError::Pem { what: "certificate", cause: "no certificate in the file".to_owned() })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|cause| pem("key", cause))?;
        let pair = Arc::new(CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?);
        let names = names(&leaf)?;
        if let Some((_, until)) = super::certificate::validity(&leaf) {
            self.ends.push((names.clone(), until));
        }
        for name in names {
            self.by_name.insert(name, Arc::clone(&pair));
        }
        self.first.get_or_insert(pair);
        Ok(())
    }

    /// What is served, and until when.
    pub fn ends(&self) -> &[(Vec<String>, Timestamp)] {
        &self.ends
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        // RFC 6125 6.4.3: a wildcard stands for exactly one label.
        let wildcard = || name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard()?))
    }
}

pub(super) fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
    let parsed = webpki::EndEntityCert::try_from(leaf).map_err(|error| TlsError::Names(error.to_string()))?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// The certificates in force; swapped whole when their files change.
#[derive(Debug)]
pub struct Resolver(ArcSwap<Certificates>);

impl Resolver {
    /// Serving `certificates`.
    pub fn new(certificates: Certificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    /// From now on, for new connections, `certificates`.
    pub fn swap(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        // No name, or a name we have no certificate for: the first one. The host is checked against the name later (421).
        hello.server_name().and_then(|name| certificates.find(name)).or(certificates.first.as_ref()).cloned()
    }
}

/// Accepts TLS connections.
pub struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// TLS from `oldest` on, HTTP/2 and HTTP/1.1 by ALPN, no client certificates, no early data (T8).
    ///
    /// # Errors
    /// rustls's, should its defaults not fit the provider.
    pub fn new(resolver: Arc<Resolver>, oldest: TlsVersion) -> Result<Self, TlsError> {
        Self::speaking(&[b"h2", b"http/1.1"], resolver, oldest)
    }

    /// The same for a listener that speaks HTTP/1.1 only.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn http1(resolver: Arc<Resolver>, oldest: TlsVersion) -> Result<Self, TlsError> {
        Self::speaking(&[b"http/1.1"], resolver, oldest)
    }

    fn speaking(protocols: &[&[u8]], resolver: Arc<Resolver>, oldest: TlsVersion) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[&rustls::SupportedProtocolVersion] = match oldest {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.max_early_data_size = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Does the handshake: the stream, the name it was opened for, and whether HTTP/2 was agreed on.
    ///
    /// # Errors
    /// The client's or the network's.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Arc<str>>, bool)> {
        let stream = self.0.accept(tcp).await?;
        let (_, connection) = stream.get_ref();
        let sni = connection.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
        let h2 = connection.alpn_protocol() == Some(b"h2");
        Ok((stream, sni, h2))
    }
}

/// How certificates of applications, providers and admin APIs are checked: the system's trust store, and the PEM certificates in `extra` beside it.
///
/// # Errors
/// [`TlsError::Pem`] for an unreadable extra certificate; rustls's otherwise.
pub fn client_config(extra: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let Some(extra) = extra else {
        return Ok(ClientConfig::with_platform_verifier()?);
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(extra) {
        let certificate = certificate.map_err(|cause| TlsError::Pem { what: "ca", cause: cause.to_string() })?;
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|cause| TlsError::Pem { what: "ca", cause: cause.to_string() })?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_webpki_verifier(verifier).with_no_client_auth())
}
