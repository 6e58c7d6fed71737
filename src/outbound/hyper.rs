//! The adapter over hyper and rustls: the system's trust store plus the roots it was given, TLS 1.2 and 1.3, HTTP/1.1 with a small pool.

use super::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// A connection that is not up by then will not come up: the person waiting should hear about it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const POOL_IDLE_PER_HOST: usize = 8;

/// Certificates could not be verified at all: nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// No root at all is usable, or key and certificate do not fit.
    #[error("outgoing TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// A file that is not what it should be; never what is in it.
    #[error("{0}")]
    Pem(&'static str),
}

/// [`Transport`] over hyper. Its pool belongs to the runtime that first sends on it.
#[derive(Debug, Clone)]
pub struct HyperTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HyperTransport {
    /// Trusts what the system trusts, and `extra_roots` (a private CA) besides. There is no way to switch verification off.
    ///
    /// # Errors
    /// [`TlsSetupError`]: no root at all is usable, on the system or among `extra_roots`.
    pub fn new(extra_roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, TlsSetupError> {
        Self::build(extra_roots, None)
    }

    /// The same from PEM: further authorities, and the chain and private key that are shown to a server that asks who calls.
    ///
    /// # Errors
    /// [`TlsSetupError::Pem`]: no certificate, or no key, where one should be; [`TlsSetupError::Setup`]: they do not fit each other.
    pub fn with_tls(authorities: Option<&[u8]>, client: Option<(&[u8], &[u8])>) -> Result<Self, TlsSetupError> {
        let chain = |pem: &[u8], what: &'static str| {
            let read: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
            read.ok().filter(|chain| !chain.is_empty()).ok_or(TlsSetupError::Pem(what))
        };
        let roots = authorities.map(|pem| chain(pem, "ca: there is no certificate in it (PEM)")).transpose()?.unwrap_or_default();
        let client = match client {
            None => None,
            Some((pem, key)) => {
                let key =
                    PrivateKeyDer::from_pem_slice(key).map_err(|_hidden| TlsSetupError::Pem("client_key: there is no private key in it (PEM)"))?;
                Some((chain(pem, "client_cert: there is no certificate in it (PEM)")?, key))
            }
        };
        Self::build(roots, client)
    }

    fn build(
        extra_roots: impl IntoIterator<Item = CertificateDer<'static>>,
        client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, TlsSetupError> {
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots, Arc::clone(&crypto))?;
        let tls = rustls::ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls' word for "a verifier of our own"; ours is the platform's
            .with_custom_certificate_verifier(Arc::new(verifier));
        let tls = match client {
            Some((chain, key)) => tls.with_client_auth_cert(chain, key)?,
            None => tls.with_no_client_auth(),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .build(connector);
        Ok(Self { client })
    }

    async fn exchange(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let body_bytes_max = request.response_bytes_max;
        let response = self.client.request(build(request)?).await.map_err(|error| {
            let cause = causes(&error);
            if error.is_connect() { OutboundError::Connect(cause) } else { OutboundError::Interrupted(cause) }
        })?;
        let (head, body) = response.into_parts();
        if declared_length(&head.headers).is_some_and(|length| length > body_bytes_max as u64) {
            return Err(OutboundError::TooLarge(body_bytes_max));
        }
        let body = Limited::new(body, body_bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { OutboundError::TooLarge(body_bytes_max) } else { OutboundError::Interrupted(causes(error.as_ref())) }
        })?;
        Ok(OutboundResponse { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

#[async_trait]
impl Transport for HyperTransport {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let timeout_ms = request.timeout_ms;
        let exchange = Box::pin(self.exchange(request));
        match tokio::time::timeout(Duration::from_millis(timeout_ms), exchange).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(OutboundError::Timeout(timeout_ms)),
        }
    }
}

/// The request as hyper wants it. Framing and routing headers are hyper's to set; a caller's copy would only be a second opinion.
fn build(request: OutboundRequest) -> Result<http::Request<Full<Bytes>>, OutboundError> {
    let url = &request.url;
    let refuse = |why: &str| Err(OutboundError::Connect(why.to_owned()));
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("only http and https are spoken");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("an address must not carry credentials");
    }
    let Some(host) = url.host_str() else { return refuse("the address has no host") };
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = http::Uri::builder().scheme(url.scheme()).authority(authority).path_and_query(format!("{}{query}", url.path())).build();
    let uri = uri.map_err(|error| OutboundError::Connect(error.to_string()))?;
    let mut out = http::Request::new(Full::new(request.body));
    *out.method_mut() = request.method;
    *out.uri_mut() = uri;
    *out.headers_mut() = request.headers;
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        out.headers_mut().remove(name);
    }
    Ok(out)
}

fn declared_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The error and what is under it, in one line; hyper's own text stops at "client error (Connect)".
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut under = error.source();
    while let Some(error) = under {
        line = format!("{line}: {error}");
        under = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{HyperTransport, OutboundError, OutboundRequest, Transport as _};
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers every connection with `answer`, after having read the request head; hangs afterwards when `hang`.
    async fn serve(answer: &'static [u8], hang: bool) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let _read = stream.read(&mut head).await;
                    let _written = stream.write_all(answer).await;
                    if hang {
                        std::future::pending::<()>().await;
                    }
                }));
            }
        }));
        address
    }

    fn request(url: &str, timeout_ms: u64) -> OutboundRequest {
        OutboundRequest {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout_ms,
            response_bytes_max: 16,
        }
    }

    async fn send(url: &str, timeout_ms: u64) -> Result<super::OutboundResponse, OutboundError> {
        HyperTransport::new([]).unwrap().send(request(url, timeout_ms)).await
    }

    #[tokio::test]
    async fn a_refused_connection_and_a_foreign_scheme_are_known_to_have_sent_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for url in [format!("http://{closed}/"), "file:///etc/passwd".into(), "gopher://127.0.0.1/".into(), "http://user:pw@127.0.0.1/".into()] {
            assert!(matches!(send(&url, 2000).await, Err(OutboundError::Connect(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_interrupted_and_one_that_never_ends_times_out() {
        let cut = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", false).await;
        assert!(matches!(send(&format!("http://{cut}/"), 2000).await, Err(OutboundError::Interrupted(_))));
        let stalled = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true).await;
        assert!(matches!(send(&format!("http://{stalled}/"), 50).await, Err(OutboundError::Timeout(50))));
    }

    /// O29: the time is for the whole answer, however busily a drop at a time comes.
    #[tokio::test]
    async fn an_answer_that_drips_times_out_as_a_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dripping = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let _read = stream.read(&mut head).await;
            let _written = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n").await;
            // Every drop comes well within the time, the last one long after it.
            for _ in 0..16 {
                let _written = stream.write_all(b" ").await;
                tokio::time::sleep(std::time::Duration::from_millis(40)).await;
            }
            std::future::pending::<()>().await;
        };
        let url = format!("http://{address}/");
        let sent = tokio::select! {
            () = dripping => unreachable!("it drips for ever"),
            sent = send(&url, 100) => sent,
        };
        assert!(matches!(sent, Err(OutboundError::Timeout(100))), "{sent:?}");
    }

    #[tokio::test]
    async fn a_large_answer_is_refused_whether_it_says_its_length_or_not() {
        let declared = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", true).await;
        assert!(matches!(send(&format!("http://{declared}/"), 2000).await, Err(OutboundError::TooLarge(16))));
        let chunked = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n01234567890123456\r\n", true).await;
        assert!(matches!(send(&format!("http://{chunked}/"), 2000).await, Err(OutboundError::TooLarge(16))));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let server = serve(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false).await;
        assert_eq!(send(&format!("http://{server}/"), 2000).await.unwrap().status, 307);
    }

    #[test]
    fn what_is_printed_of_a_request_has_no_credential_in_it() {
        let mut request = request("http://127.0.0.1/path?code=secret", 1);
        drop(request.headers.insert("authorization", "Basic secret".parse().unwrap()));
        request.body = Bytes::from_static(b"client_secret=secret");
        assert!(!format!("{request:?}").contains("secret"));
    }
}
