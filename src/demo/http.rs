//! The little HTTP that the demo's servers and its headless browser need: plain, on loopback, bodies in memory.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Largest body that is read into memory.
const BODY_BYTES_MAX: usize = 4 << 20;
/// A whole exchange of the client; the wait page holds for 20 s.
const EXCHANGE_S: u64 = 40;

/// A response body.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// Something that answers requests.
#[async_trait]
pub(super) trait Site: Send + Sync + 'static {
    /// The answer. Streams are read by the site itself.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body>;
}

/// Serves `site` on `listener` until the task is dropped or aborted.
pub(super) async fn serve(listener: TcpListener, site: Arc<dyn Site>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // A failed accept (too many files, a peer gone already) concerns one connection only.
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let site = Arc::clone(&site);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
            if let Err(problem) = connection.await {
                tracing::debug!(%problem, "demo connection ended");
            }
        });
    }
}

/// A request whose body has been read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// Reads the body; `None` when it is too large or breaks off.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.ok()?.to_bytes();
        let query = pairs(parts.uri.query().unwrap_or("").as_bytes());
        Some(Self { method: parts.method, path: parts.uri.path().to_owned(), query, headers: parts.headers, body })
    }

    /// The value of `name` in the query, when it is there exactly once.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        only(&self.query, name)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A cookie's value.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Query or form pairs.
pub(super) fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// The value of `name`, when it is there exactly once (RFC 6749 3.1: parameters must not be repeated).
pub(super) fn only<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Bytes as a body.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// An answer of `media_type`.
pub(super) fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page.
pub(super) fn html(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/html; charset=utf-8", body)
}

/// JSON.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    answer(status, "application/json", value.to_string())
}

/// 303.
pub(super) fn see_other(to: &str) -> Response<Body> {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "");
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// Why the client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one of a loopback host with a port.
    #[error("{0} is not an address of this demo")]
    Address(String),
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    /// The exchange broke off.
    #[error("the exchange with {0} broke off: {1}")]
    Exchange(SocketAddr, hyper::Error),
    /// The answer is too large or broke off.
    #[error("no whole answer from {0}")]
    Body(SocketAddr),
    /// No answer in time.
    #[error("no answer from {0} within {EXCHANGE_S} s")]
    Timeout(SocketAddr),
    /// More redirects than a sign-in needs.
    #[error("redirected in circles, last to {0}")]
    Circles(url::Url),
}

/// Sends one request over a connection of its own. `*.localhost` and `127.0.0.1` are this machine, whatever its resolver thinks
/// (RFC 6761 6.3); every other host is refused.
pub(super) async fn send(method: Method, url: &url::Url, mut headers: HeaderMap, body: Bytes) -> Result<Response<Bytes>, ClientError> {
    let addr = loopback(url)?;
    let host = url.host_str().unwrap_or_default();
    if let Ok(value) = HeaderValue::try_from(format!("{host}:{}", addr.port())) {
        headers.insert(HOST, value);
    }
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse::<Uri>().or(Err(ClientError::Address(url.to_string())))?;
    *request.headers_mut() = headers;
    tokio::time::timeout(Duration::from_secs(EXCHANGE_S), exchange(addr, request)).await.unwrap_or(Err(ClientError::Timeout(addr)))
}

async fn exchange(addr: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
    let stream = TcpStream::connect(addr).await.map_err(|problem| ClientError::Connect(addr, problem))?;
    let broke = |problem| ClientError::Exchange(addr, problem);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broke)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.or(Err(ClientError::Body(addr)))?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(parts, body))
}

fn loopback(url: &url::Url) -> Result<SocketAddr, ClientError> {
    let refused = || ClientError::Address(url.to_string());
    let host = url.host_str().ok_or_else(refused)?;
    let ours = host == "127.0.0.1" || host == "localhost" || host.ends_with(".localhost");
    match url.port() {
        Some(port) if ours && url.scheme() == "http" => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        _ => Err(refused()),
    }
}

/// Text for HTML, quotes included.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
