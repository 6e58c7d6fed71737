//! A step and the names it may use, made into one request below the admin base URL.
//!
//! Apart because this is the only place where a value from a sign-in meets the wire: each goes through the encoder of its place, and a request whose
//! shape a value could change is refused before anything is sent.

use super::body;
use crate::connector::model::{Auth, Body, Call, Http, Presented, plain};
use crate::connector::{Outcome, Trouble};
use crate::expr::{EvalError, Lookup};
use crate::outbound::OutboundRequest;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;

/// `Accept` of steps whose answers are XML.
const XML: &str = "application/xml, text/xml;q=0.9";

/// Everything but RFC 3986 §2.3 unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names for the expressions of a step: those of the verb, over those of the sign-in for a policy's own steps.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub(super) scope: Option<&'a Map<String, Value>>,
    pub(super) own: Map<String, Value>,
}

impl Lookup for Names<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        self.own.get(name).or_else(|| self.scope?.get(name))
    }
}

impl Names<'_> {
    /// Sets `own[record][field]`.
    pub(super) fn set(&mut self, record: &str, field: &str, value: Value) {
        let slot = self.own.entry(record).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(fields) = slot {
            fields.insert(field.to_owned(), value);
        }
    }
}

/// How a request authenticates.
pub(super) struct Authority<'a> {
    /// The policy's.
    pub(super) credential: &'a super::ResolvedCredential,
    /// The token of a pre-step.
    pub(super) token: Option<&'a SecretString>,
    /// `Cookie`, of the pre-steps.
    pub(super) cookies: Option<String>,
    /// It is a pre-step itself: it shows only what every request shows.
    pub(super) is_pre_step: bool,
    /// The connector has pre-steps: what they take is for them.
    pub(super) has_pre_steps: bool,
    /// Of the request, for an app that numbers them.
    pub(super) id: u64,
}

/// A request for `call`, `extra` parameters (paging) included: in the query, or in the body where the call says so. `in_body` are the names of the body: those of the rest, and perhaps a password.
#[expect(clippy::too_many_arguments, reason = "each is a different thing: a step, its names, and what of the engine it takes")]
pub(super) fn build(
    step: &str,
    call: &Call,
    names: &dyn Lookup,
    in_body: &dyn Lookup,
    http: &Http,
    base: &Url,
    authority: &Authority<'_>,
    extra: &[(String, String)],
) -> Result<OutboundRequest, Trouble> {
    let refuse = |why: String| Trouble { step: step.to_owned(), outcome: Outcome::Invalid, retry_after_ms: None, status: None, detail: why };
    let wrong = |place: &str, error: &EvalError| refuse(format!("{place}: {error}"));
    let path = call.path.render_escaped(names, &segment).map_err(|error| wrong("path", &error))?;
    let mut query: Vec<(String, String)> = Vec::new();
    for (name, tree) in &call.query {
        // A filter that is left out finds everybody: absence is an error here.
        let value = tree.render(names).map_err(|error| wrong("query", &error))?;
        let value = value.ok_or_else(|| refuse(format!("query: `{name}` would be made of something that is absent")))?;
        // A list is a parameter several times.
        let values = if let Value::Array(list) = &value { list.as_slice() } else { std::slice::from_ref(&value) };
        for value in values {
            query.push((name.clone(), plain(value).map_err(|error| wrong("query", &error))?));
        }
    }
    let in_body_paged = call.paginate.as_ref().is_some_and(|paginate| paginate.in_body);
    match call.paginate.as_ref().and_then(|paginate| paginate.rison.as_deref()) {
        Some(object) => within_rison(&mut query, object, extra).map_err(&refuse)?,
        None => query.extend(extra.iter().filter(|_| !in_body_paged).cloned()),
    }
    let url = below(base, &path, &query).ok_or_else(|| refuse("the address would leave its place".to_owned()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, if call.xml.is_some() { HeaderValue::from_static(XML) } else { value(&http.accept).map_err(&refuse)? });
    let in_body_already = matches!(call.body, Body::JsonRpc { .. }) && body::member(http, names, authority).is_ok_and(|member| member.is_some());
    authorize(&mut headers, authority, &http.auth, in_body_already).map_err(&refuse)?;
    for (name, template) in http.headers.iter().chain(&call.headers) {
        match template.render(names) {
            Ok(Value::Null) | Err(EvalError::Absent(_)) => {}
            Ok(found) => {
                headers.insert(name.clone(), value(&plain(&found).map_err(|error| wrong("header", &error))?).map_err(&refuse)?);
            }
            Err(error) => return Err(wrong("header", &error)),
        }
    }
    let (body, kind) = body::encode(call, in_body, http, authority, extra).map_err(|error| wrong("body", &error))?;
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, value(&kind).map_err(&refuse)?);
    }
    Ok(OutboundRequest { method: call.method.clone(), url, headers, body, timeout_ms: 0, response_bytes_max: 0 })
}

fn authorize(headers: &mut HeaderMap, authority: &Authority<'_>, auth: &Auth, in_body_already: bool) -> Result<(), String> {
    let credential = authority.credential;
    let secret = |text: String| {
        // The message must not show what could not be sent.
        let mut value = HeaderValue::from_str(&text).map_err(|_hidden| "a credential has characters that no header takes".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let (shows_basic, shows_token) = match auth.presented {
        Presented::Usual => (!authority.has_pre_steps, !authority.is_pre_step),
        Presented::Basic => (true, !authority.is_pre_step),
        // The token of a pre-step is no credential of the policy's.
        Presented::Nowhere => (false, authority.token.is_some()),
    };
    if let (Some((user, password)), true) = (&credential.basic, shows_basic) {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        headers.insert(header::AUTHORIZATION, secret(format!("Basic {pair}"))?);
    }
    for (name, hidden) in &credential.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.insert(name, secret(hidden.expose_secret().to_owned())?);
    }
    if let (Some(token), true) = (authority.token.or(credential.token.as_ref()), shows_token && !in_body_already) {
        headers.insert(auth.header.clone(), secret(format!("{}{}", auth.prefix, token.expose_secret()))?);
    }
    if let Some(cookies) = &authority.cookies {
        headers.insert(header::COOKIE, secret(cookies.clone())?);
    }
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_error| "a header value has control characters".to_owned())
}

/// A value as one path segment or a part of one.
fn segment(value: &Value) -> Result<String, EvalError> {
    let text = plain(value)?;
    if text.is_empty() {
        return Err(EvalError::Type("an empty value would change the path".to_owned()));
    }
    Ok(utf8_percent_encode(&text, VALUE).to_string())
}

/// Puts the parameters of a page into the Rison object that is the value of `name`.
fn within_rison(query: &mut Vec<(String, String)>, name: &str, extra: &[(String, String)]) -> Result<(), String> {
    // A mark of a page may come from a record: numbers and nothing else.
    if extra.iter().any(|(_, value)| value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("the place in the list is none".to_owned());
    }
    let at = query.iter().position(|(known, _)| known == name);
    let known = at.map_or_else(|| "()".to_owned(), |at| query.remove(at).1);
    let inner = known.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(|| format!("query: `{name}` is no object of Rison"))?;
    let members = std::iter::once(inner.to_owned()).chain(extra.iter().map(|(key, value)| format!("{key}:{value}")));
    let members: Vec<String> = members.filter(|member| !member.is_empty()).collect();
    query.push((name.to_owned(), format!("({})", members.join(","))));
    Ok(())
}

/// `path` below `base`; `None` when it would come out elsewhere (`..` as a value) or not as written.
pub(super) fn below(base: &Url, path: &str, query: &[(String, String)]) -> Option<Url> {
    let climbs = |part: &str| matches!(percent_decode_str(part).collect::<Vec<u8>>().as_slice(), b"." | b"..");
    if path.split('/').any(climbs) {
        return None;
    }
    let whole = format!("{}{path}", base.path().trim_end_matches('/'));
    let mut url = base.clone();
    url.set_path(&whole);
    url.set_fragment(None);
    let encode = |text: &str| utf8_percent_encode(text, VALUE).to_string();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
    (url.path() == whole && url.origin() == base.origin()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::{below, within_rison};
    use url::Url;

    #[test]
    fn a_page_is_asked_for_within_the_object_and_changes_nothing_else_of_it() {
        let check = |written: Option<&str>, size: &str, expected: Option<&str>| {
            let mut query: Vec<(String, String)> = written.map(|text| ("q".to_owned(), text.to_owned())).into_iter().collect();
            let extra = [("page".to_owned(), "2".to_owned()), ("page_size".to_owned(), size.to_owned())];
            let done = within_rison(&mut query, "q", &extra);
            assert_eq!(done.ok().map(|()| query), expected.map(|text| vec![("q".to_owned(), text.to_owned())]), "{written:?} {size}");
        };
        check(Some("!(a)"), "100", None);
        check(Some("(a:b)"), "1),x:!t,(", None);
        check(Some("(a:b)"), "", None);
        check(None, "100", Some("(page:2,page_size:100)"));
        check(Some("(a:'x)')"), "100", Some("(a:'x)',page:2,page_size:100)"));
    }

    #[test]
    fn an_address_never_leaves_the_admin_base() {
        let base: Url = "http://app:8000/hub/api/".parse().expect("url");
        let check = |path: &str, expected: Option<&str>| assert_eq!(below(&base, path, &[]).as_ref().map(Url::as_str), expected, "{path}");
        check("/users/..", None);
        check("/users/%2e%2E/x", None);
        check("/users/./x", None);
        check("/users/a\\..\\b", None);
        check("/users/a b", None);
        check("/users/a\tb", None);
        check("/users/a%2Fb", Some("http://app:8000/hub/api/users/a%2Fb"));
        check("/users/...", Some("http://app:8000/hub/api/users/..."));
    }
}
