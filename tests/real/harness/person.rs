//! An HTTP client that behaves as a browser does: cookies, redirects, zero-delay refreshes, the headers of a navigation.
//!
//! It reaches 127.0.0.1 whatever the host is called, and trusts the test CA alone.

use super::{PATIENCE, repository};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

const HOPS_MAX: usize = 30;

/// A browser with one person in front of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Person {
    cookies: Vec<Cookie>,
    /// Every hop of the last navigation: method, address, status.
    pub(crate) trail: Vec<Hop>,
}

/// One request of a navigation.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    /// Where it went.
    pub(crate) url: Url,
    /// What came back.
    pub(crate) status: u16,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Where it came from.
    pub(crate) url: Url,
    /// Status.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body as text.
    pub(crate) body: String,
}

#[derive(Debug, Clone)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
    secure: bool,
}

impl Person {
    /// With an empty cookie jar.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Navigates there, as a click on a bookmark does, and on through redirects and zero-delay refreshes to a page that stays.
    pub(crate) async fn open(&mut self, url: &str) -> Reply {
        self.trail.clear();
        self.navigate("GET", url.parse().expect("an address"), None).await
    }

    /// Opens `url` and, where the provider asks, signs in there as `sub`.
    pub(crate) async fn sign_in(&mut self, url: &str, sub: &str) -> Reply {
        let page = self.open(url).await;
        if page.is_provider_form() { self.answer_provider(&page, sub).await } else { page }
    }

    /// Fills in the provider's own form.
    pub(crate) async fn answer_provider(&mut self, page: &Reply, sub: &str) -> Reply {
        assert!(page.is_provider_form(), "expected the provider's form at {}, found {}: {}", page.url, page.status, page.body);
        self.submit(page, &[("prompt", "login"), ("login", sub), ("password", "any")]).await
    }

    /// Submits the page's form with these fields on top of its hidden ones.
    pub(crate) async fn submit(&mut self, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let action = page.attribute("<form", "action").expect("a form with an action");
        let target = page.url.join(&action).expect("an address");
        let mut all: Vec<(String, String)> = page.hidden_fields();
        all.retain(|(name, _)| fields.iter().all(|(given, _)| given != name));
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        self.navigate_from(&page.url, "POST", target, Some(body)).await
    }

    /// As a script on a page of the same origin does.
    pub(crate) async fn fetch(&mut self, url: &str) -> Reply {
        self.send("GET", url, &[("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")], None).await
    }

    /// One request with the cookies that belong to it, nothing followed.
    pub(crate) async fn send(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
        self.exchange(method, &url.parse().expect("an address"), headers, body).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// Whether something answers there with this status.
    pub(crate) async fn gets(&mut self, status: u16, url: &str) -> bool {
        self.exchange("GET", &url.parse().expect("an address"), &[], None).await.is_ok_and(|reply| reply.status == status)
    }

    /// Cookies for a host, as `name=value` in the order they were set.
    pub(crate) fn cookies_of(&self, host: &str) -> Vec<String> {
        self.cookies.iter().filter(|cookie| cookie.host == host).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect()
    }

    /// Walks away from the browser: nobody is signed in at the gateway or the provider any more, and what the app at `host` has set is still there.
    pub(crate) fn walk_away_from(&mut self, host: &str) {
        self.cookies.retain(|cookie| cookie.host == host && !cookie.name.starts_with("__Host-vestibule"));
    }

    /// Addresses of the last navigation that contain `part`.
    pub(crate) fn went_through(&self, part: &str) -> Vec<&Hop> {
        self.trail.iter().filter(|hop| hop.url.as_str().contains(part)).collect()
    }

    async fn navigate(&mut self, method: &str, url: Url, body: Option<String>) -> Reply {
        let from = url.clone();
        self.navigate_from(&from, method, url, body).await
    }

    async fn navigate_from(&mut self, page: &Url, method: &str, url: Url, body: Option<String>) -> Reply {
        let (mut method, mut url, mut body) = (method.to_owned(), url, body);
        let origin = page.origin().ascii_serialization();
        for _ in 0..HOPS_MAX {
            let mut headers = vec![
                ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("user-agent", "Mozilla/5.0 (tests)"),
            ];
            if body.is_some() {
                headers.push(("content-type", "application/x-www-form-urlencoded"));
                headers.push(("origin", &origin));
                headers.push(("sec-fetch-site", "same-origin"));
            }
            let reply = self.exchange(&method, &url, &headers, body.clone()).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
            self.trail.push(Hop { url: url.clone(), status: reply.status });
            let Some(next) = reply.next() else { return reply };
            if reply.status != 307 && reply.status != 308 {
                method = "GET".to_owned();
                body = None;
            }
            url = next;
        }
        panic!("more than {HOPS_MAX} hops: {:#?}", self.trail)
    }

    async fn exchange(&mut self, method: &str, url: &Url, headers: &[(&str, &str)], body: Option<String>) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(&url[url::Position::BeforePath..url::Position::AfterQuery]);
        request = request.header("host", &url[url::Position::BeforeHost..url::Position::AfterPort]);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.cookie_header(url);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).expect("a request");
        let answer = tokio::time::timeout(PATIENCE, speak(url, request)).await.map_err(|elapsed| format!("no answer: {elapsed}"))??;
        let (head, body) = answer.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.map_err(|elapsed| format!("no end of the answer: {elapsed}"))?;
        let body = String::from_utf8_lossy(&body.map_err(|error| error.to_string())?.to_bytes()).into_owned();
        for line in head.headers.get_all("set-cookie") {
            self.take_cookie(url, line.to_str().expect("a cookie in ASCII"));
        }
        Ok(Reply { url: url.clone(), status: head.status.as_u16(), headers: head.headers, body })
    }

    fn cookie_header(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let fits = |cookie: &&Cookie| {
            let below = url.path() == cookie.path
                || url.path().strip_prefix(&cookie.path).is_some_and(|rest| cookie.path.ends_with('/') || rest.starts_with('/'));
            cookie.host == host && below && (!cookie.secure || url.scheme() == "https")
        };
        self.cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    fn take_cookie(&mut self, url: &Url, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name and a value");
        let mut cookie = Cookie {
            host: url.host_str().unwrap_or_default().to_owned(),
            path: url.path().rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder }).to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            secure: false,
        };
        let mut gone = false;
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.to_ascii_lowercase().as_str() {
                "path" => value.clone_into(&mut cookie.path),
                "secure" => cookie.secure = true,
                "domain" => panic!("a cookie with a Domain goes to other hosts too: {line}"),
                "max-age" => gone |= value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
                "expires" => gone |= httpdate::parse_http_date(value).is_ok_and(|end| end == SystemTime::UNIX_EPOCH),
                _ => {}
            }
        }
        if cookie.name.starts_with("__Host-") {
            assert!(cookie.secure && cookie.path == "/" && url.scheme() == "https", "a browser would drop this cookie: {line}");
        }
        self.cookies.retain(|old| (&old.host, &old.path, &old.name) != (&cookie.host, &cookie.path, &cookie.name));
        if !gone {
            self.cookies.push(cookie);
        }
    }
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{} does not answer with JSON ({error}): {} {}", self.url, self.status, self.body))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it is the provider's sign-in form.
    pub(crate) fn is_provider_form(&self) -> bool {
        self.url.path().starts_with("/interaction/") && self.body.contains(r#"name="login""#)
    }

    /// The page's first heading.
    pub(crate) fn heading(&self) -> &str {
        let inner = self.body.split_once("<h1").and_then(|(_, rest)| rest.split_once('>')).and_then(|(_, rest)| rest.split_once("</h1>"));
        inner.map_or("", |(heading, _)| heading.trim())
    }

    /// The page's form: where it goes, and its hidden fields as a body.
    pub(crate) fn form(&self) -> (String, String) {
        let action = self.attribute("<form", "action").expect("a form with an action");
        (action, form_urlencoded::Serializer::new(String::new()).extend_pairs(self.hidden_fields()).finish())
    }

    /// Where a browser goes on to by itself: `Location`, or a refresh with no delay.
    fn next(&self) -> Option<Url> {
        let there = match self.status {
            301 | 302 | 303 | 307 | 308 => self.header("location").to_owned(),
            _ => self.attribute(r#"<meta http-equiv="refresh""#, "content")?.split_once("0; url=")?.1.to_owned(),
        };
        Some(self.url.join(&there).unwrap_or_else(|error| panic!("{} sends to {there:?}: {error}", self.url)))
    }

    /// An attribute of the first element that begins with `element`.
    fn attribute(&self, element: &str, name: &str) -> Option<String> {
        let tag = self.body.split_once(element)?.1.split_once('>')?.0;
        Some(unescape(tag.split_once(&format!(r#"{name}=""#))?.1.split_once('"')?.0))
    }

    fn hidden_fields(&self) -> Vec<(String, String)> {
        let inputs = self.body.split(r#"<input type="hidden""#).skip(1);
        let field = |rest: &str| {
            let tag = rest.split_once('>')?.0;
            let of = |name: &str| Some(unescape(tag.split_once(&format!(r#"{name}=""#))?.1.split_once('"')?.0));
            Some((of("name")?, of("value")?))
        };
        inputs.filter_map(field).collect()
    }
}

/// The five characters that HTML escapes, by name or number.
fn unescape(text: &str) -> String {
    let escapes = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#x27;", "'")];
    let text = escapes.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain));
    text.replace("&#38;", "&").replace("&amp;", "&")
}

async fn speak(url: &Url, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
    let port = url.port_or_known_default().ok_or("no port")?;
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    if url.scheme() != "https" {
        return over(stream, request).await;
    }
    let name = ServerName::try_from(url.host_str().unwrap_or_default().to_owned()).map_err(|error| error.to_string())?;
    over(TlsConnector::from(trust()).connect(name, stream).await.map_err(|error| error.to_string())?, request).await
}

async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// The test CA and nothing else.
fn trust() -> Arc<ClientConfig> {
    static TRUST: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(repository().join("certs/ca.pem")).expect("the test CA")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS versions");
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    };
    Arc::clone(TRUST.get_or_init(make))
}
