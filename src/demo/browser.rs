//! A browser without a window: cookies per host, redirects, zero-delay refreshes, links and forms by hand.

use super::http::{ClientError, send};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::collections::BTreeMap;
use url::Url;

/// A sign-in with hand-over takes about eight steps, a wait page some more.
const STEPS_MAX: usize = 40;

/// Somebody's browser.
#[derive(Debug, Clone, Default)]
pub(super) struct Browser {
    /// Host to name to value. Ports do not separate cookies (RFC 6265 8.5), hosts do.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Sent with every request.
    extra: Vec<(&'static str, &'static str)>,
}

/// A page at the end of its redirects.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Hosts that were passed on the way, in order.
    pub(super) hosts: Vec<String>,
    /// Pages shown meanwhile: headings of those that refreshed on.
    pub(super) passed: Vec<String>,
}

impl Page {
    /// The heading.
    pub(super) fn heading(&self) -> &str {
        heading(&self.text)
    }

    /// Where a link with this text in or around it goes; `part` may be part of the address, too.
    pub(super) fn link(&self, part: &str) -> Option<Url> {
        let anchors = self.text.split("<a ").skip(1).filter_map(|rest| rest.split_once("</a>")).map(|(anchor, _)| anchor);
        let href = anchors.filter(|anchor| anchor.contains(part)).find_map(|anchor| anchor.split_once("href=\"")?.1.split('"').next())?;
        self.url.join(&unescape(href)).ok()
    }

    /// Action and hidden fields of the first form.
    pub(super) fn form(&self) -> Option<(Url, Vec<(String, String)>)> {
        let (_, rest) = self.text.split_once("<form")?;
        let (form, _) = rest.split_once("</form>")?;
        let value = |text: &str, name: &str| text.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next()).map(unescape);
        let action = self.url.join(&value(form, "action")?).ok()?;
        let inputs = form.split("<input").skip(1);
        Some((action, inputs.filter_map(|input| Some((value(input, "name")?, value(input, "value")?))).collect()))
    }
}

impl Browser {
    /// A copy that sends more headers with every request, as an attacker would.
    pub(super) fn with_headers(&self, extra: &[(&'static str, &'static str)]) -> Self {
        Self { cookies: self.cookies.clone(), extra: extra.to_vec() }
    }

    /// Opens an address as a person would.
    pub(super) async fn open(&mut self, url: &Url) -> Result<Page, ClientError> {
        self.navigate(Method::GET, url, Bytes::new(), |_| false).await
    }

    /// As [`Self::open`], but stops before an address that `stop` knows.
    pub(super) async fn open_until(&mut self, url: &Url, stop: impl Fn(&Url) -> bool) -> Result<Page, ClientError> {
        self.navigate(Method::GET, url, Bytes::new(), stop).await
    }

    /// Sends a form.
    pub(super) async fn submit(&mut self, url: &Url, fields: &[(String, String)]) -> Result<Page, ClientError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.navigate(Method::POST, url, Bytes::from(body), |_| false).await
    }

    /// Asks as a script on the page would: no redirect is followed.
    pub(super) async fn fetch(&mut self, url: &Url) -> Result<Response<Bytes>, ClientError> {
        let mut headers = self.headers(url);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("sec-fetch-mode"), HeaderValue::from_static("cors"));
        let response = send(Method::GET, url, headers, Bytes::new()).await?;
        self.keep(url, response.headers());
        Ok(response)
    }

    async fn navigate(&mut self, method: Method, url: &Url, body: Bytes, stop: impl Fn(&Url) -> bool) -> Result<Page, ClientError> {
        let (mut method, mut url, mut body) = (method, url.clone(), body);
        let (mut hosts, mut passed): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for _ in 0..STEPS_MAX {
            let mut headers = self.headers(&url);
            headers.insert(ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml"));
            headers.insert(HeaderName::from_static("sec-fetch-mode"), HeaderValue::from_static("navigate"));
            if method == Method::POST {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                headers.insert(HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static("same-origin"));
                if let Ok(origin) = HeaderValue::try_from(url.origin().ascii_serialization()) {
                    headers.insert(http::header::ORIGIN, origin);
                }
            }
            let response = send(method.clone(), &url, headers, body.clone()).await?;
            self.keep(&url, response.headers());
            if hosts.last().map(String::as_str) != url.host_str() {
                hosts.extend(url.host_str().map(str::to_owned));
            }
            let text = String::from_utf8_lossy(response.body()).into_owned();
            let page = Page { status: response.status(), text, url: url.clone(), hosts: Vec::new(), passed: Vec::new() };
            let Some(next) = onward(&response, &page) else { return Ok(Page { hosts, passed, ..page }) };
            if !response.status().is_redirection() {
                passed.push(page.heading().to_owned());
            }
            if stop(&next) {
                return Ok(Page { url: next, hosts, passed, ..page });
            }
            if matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                url = next;
                continue;
            }
            (method, url, body) = (Method::GET, next, Bytes::new());
        }
        Err(ClientError::Circles(url))
    }

    fn headers(&self, url: &Url) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let jar = url.host_str().and_then(|host| self.cookies.get(host)).into_iter().flatten();
        let line = jar.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::try_from(line)) {
            headers.insert(COOKIE, value);
        }
        for (name, value) in &self.extra {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        headers
    }

    fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        let jar = self.cookies.entry(url.host_str().unwrap_or_default().to_owned()).or_default();
        for line in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = line.split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let gone = parts.any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0")) || value.is_empty();
            if gone {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

/// Where a redirect or a zero-delay refresh goes.
fn onward(response: &Response<Bytes>, page: &Page) -> Option<Url> {
    if response.status().is_redirection() {
        return page.url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok();
    }
    let (_, rest) = page.text.split_once("http-equiv=\"refresh\" content=\"0; url=")?;
    page.url.join(&unescape(rest.split('"').next()?)).ok()
}

fn heading(text: &str) -> &str {
    text.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>")).map_or("", |(heading, _)| heading)
}

fn unescape(text: &str) -> String {
    text.replace("&#38;", "&").replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", "\"").replace("&#34;", "\"")
}
