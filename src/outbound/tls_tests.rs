//! T7: whom the client believes, and what it shows of itself.

use super::{HyperTransport, OutboundError, OutboundRequest, OutboundResponse, TlsSetupError, Transport as _};
use bytes::Bytes;
use http::{HeaderMap, Method};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain and its key, PEM.
struct Pair {
    chain: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn signs(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let chain = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap().pem();
        Pair { chain, key: key.serialize_pem() }
    }
}

/// An admin API for `name` that answers only whoever shows a certificate of `clients`.
async fn serve(authority: &Authority, name: &str, clients: &Authority) -> u16 {
    let pair = authority.signs(name);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 4096];
            let _read = stream.read(&mut head).await;
            let _written = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            let _closed = stream.shutdown().await;
        }
    }));
    port
}

async fn send(transport: &HyperTransport, port: u16) -> Result<OutboundResponse, OutboundError> {
    let url = format!("https://localhost:{port}/").parse().unwrap();
    let request =
        OutboundRequest { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), timeout_ms: 5_000, response_bytes_max: 16 };
    transport.send(request).await
}

#[tokio::test]
async fn an_admin_api_of_another_authority_or_name_is_not_spoken_to() {
    let (ours, theirs, clients) = (Authority::new(), Authority::new(), Authority::new());
    let me = clients.signs("gateway");
    let shown = Some((me.chain.as_bytes(), me.key.as_bytes()));
    let trusting = HyperTransport::with_tls(Some(ours.pem.as_bytes()), shown).unwrap();
    let elsewhere = serve(&theirs, "localhost", &clients).await;
    assert!(matches!(send(&trusting, elsewhere).await, Err(OutboundError::Connect(_))), "another authority");
    let misnamed = serve(&ours, "app.example", &clients).await;
    assert!(matches!(send(&trusting, misnamed).await, Err(OutboundError::Connect(_))), "another name");
    let right = serve(&ours, "localhost", &clients).await;
    assert_eq!(send(&trusting, right).await.unwrap().status, 204);
}

#[tokio::test]
async fn an_admin_api_that_asks_who_calls_is_shown_the_certificate() {
    let (ours, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let port = serve(&ours, "localhost", &clients).await;
    let nobody = HyperTransport::with_tls(Some(ours.pem.as_bytes()), None).unwrap();
    assert!(send(&nobody, port).await.is_err(), "without a certificate");
    let stranger = strangers.signs("gateway");
    let stranger = HyperTransport::with_tls(Some(ours.pem.as_bytes()), Some((stranger.chain.as_bytes(), stranger.key.as_bytes()))).unwrap();
    assert!(send(&stranger, port).await.is_err(), "with somebody else's");
    let me = clients.signs("gateway");
    let me = HyperTransport::with_tls(Some(ours.pem.as_bytes()), Some((me.chain.as_bytes(), me.key.as_bytes()))).unwrap();
    assert_eq!(send(&me, port).await.unwrap().status, 204);
}

#[test]
fn a_file_that_is_no_certificate_is_told_and_not_shown() {
    let authority = Authority::new();
    let (one, other) = (authority.signs("a"), authority.signs("b"));
    let check = |ca: Option<&str>, client: Option<(&str, &str)>, expected: &str| {
        let made = HyperTransport::with_tls(ca.map(str::as_bytes), client.map(|(chain, key)| (chain.as_bytes(), key.as_bytes())));
        let error = made.err().map(|error: TlsSetupError| error.to_string()).unwrap_or_default();
        assert!(error.starts_with(expected) && !error.contains("swordfish"), "{error}");
    };
    check(Some("swordfish"), None, "ca: there is no certificate");
    check(Some(""), None, "ca: there is no certificate");
    check(Some(&one.key), None, "ca: there is no certificate");
    check(Some(&authority.pem), Some(("swordfish", &one.key)), "client_cert: there is no certificate");
    check(Some(&authority.pem), Some((&one.chain, "swordfish")), "client_key: there is no private key");
    check(Some(&authority.pem), Some((&one.chain, &other.key)), "outgoing TLS cannot be set up");
    assert!(HyperTransport::with_tls(Some(&authority.pem.as_bytes()), Some((one.chain.as_bytes(), one.key.as_bytes()))).is_ok());
}
