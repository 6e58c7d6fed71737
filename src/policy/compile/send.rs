//! `[headers]`, `[[path]] headers` and `[jwt]`: what the app is told.

use crate::expr::{Env, Template};
use crate::identity::text::clean;
use crate::policy::{Encoding, Header, Jwt, PathSection, SecretHeader};
use crate::source::{Entry, Node, Reader, Span, Table};
use http::HeaderName;

/// Headers that the gateway or HTTP itself sets: a policy never does. RFC 9110 7.6.1, and what decides where a message ends or goes.
const NEVER: [&str; 21] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "expect",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "via",
];

/// Claims that the gateway sets.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Longest lifetime of an injected token.
const TTL_MS_MAX: i64 = 5 * 60 * 1000;

/// `[headers]`, in the order of the file: those made from the sign-in, and those that are a shared secret.
pub(super) fn headers(reader: &mut Reader<'_>, tree: &Table, env: &Env) -> (Vec<Header>, Vec<SecretHeader>) {
    tree.table("headers").map(|table| read(reader, table, "[headers]", env)).unwrap_or_default()
}

/// `[[path]] headers`, into their sections.
pub(super) fn path_headers(reader: &mut Reader<'_>, tree: &Table, env: &Env, paths: &mut [PathSection]) {
    for (section, (_, written)) in paths.iter_mut().zip(tree.sections("path")) {
        let Some(table) = written.table("headers") else { continue };
        (section.headers, section.secret_headers) = read(reader, table, "path.headers", env);
        if section.public
            && let Some(entry) = table.entries.iter().find(|entry| entry.node.as_table().is_none_or(|inner| inner.get("secret").is_none()))
        {
            let help = "nobody is announced on a public path: only { secret = … } can be sent there";
            reader.error("contradiction", &entry.key_span, format!("path.public and the header `{}` contradict each other", entry.key), help);
        }
    }
}

fn read(reader: &mut Reader<'_>, table: &Table, place: &str, env: &Env) -> (Vec<Header>, Vec<SecretHeader>) {
    let (mut headers, mut secrets) = (Vec::new(), Vec::new());
    for entry in &table.entries {
        let name = header_name(reader, &entry.key, &entry.key_span, place);
        let value = match entry.node.as_table() {
            None => Some(&entry.node),
            Some(inner) => {
                // What is no reference has been reported by the schema.
                if let (Some(name), Some(secret)) = (&name, inner.text("secret").and_then(|written| reader.secret(written))) {
                    secrets.push(SecretHeader { name: name.clone(), secret });
                }
                if let Some(encoding) = inner.get("encoding").filter(|_| inner.get("secret").is_some()) {
                    reader.warning("no-effect", &encoding.key_span, "a secret is sent as it is: encoding has no effect", "leave it out");
                }
                inner.node("value")
            }
        };
        let encoding = match entry.node.as_table().and_then(|inner| inner.text("encoding")) {
            Some("rfc2047") => Encoding::Rfc2047,
            Some("percent") => Encoding::Percent,
            _ => Encoding::Utf8,
        };
        let Some(value) = value else { continue };
        literal_holds(reader, value, env, &entry.key);
        let value = reader.first_of(value, env);
        if let Some(name) = name {
            headers.push(Header { name, written: entry.key.clone(), value, encoding });
        }
    }
    (headers, secrets)
}

/// What stands between the expressions is sent as it is: a line break in it would make every request of everybody fail.
fn literal_holds(reader: &mut Reader<'_>, value: &Node, env: &Env, header: &str) {
    for node in value.as_list().unwrap_or(std::slice::from_ref(value)) {
        let template = node.as_text().and_then(|text| Template::compile(text, env).ok());
        if let Some(Err(problem)) = template.map(|(template, _)| clean(&template.shape(""))) {
            let help = "a header is one line of text; \\n, \\t and their kind in double quotes are such characters";
            reader.error("bad-value", &node.span, format!("the header `{header}` {problem}"), help);
        }
    }
}

/// `[jwt]`.
pub(super) fn jwt(reader: &mut Reader<'_>, tree: &Table, env: &Env, host: &str) -> Option<Jwt> {
    let node = tree.node("jwt")?;
    let table = node.as_table()?;
    let written = table.text("header").unwrap_or("X-JWT-Assertion");
    let span = table.node("header").map_or(&node.span, |node| &node.span);
    let header = header_name(reader, written, span, "jwt.header")?;
    let ttl_ms = table.duration_ms("ttl").unwrap_or(TTL_MS_MAX);
    if let Some(ttl) = table.node("ttl")
        && ttl_ms != 0 // reported by the schema
        && !(1000..=TTL_MS_MAX).contains(&ttl_ms)
    {
        reader.error("bad-value", &ttl.span, "jwt.ttl is from 1s to 5m", "a new token is made in time; a stolen one should die soon");
    }
    let prefix = table.text("prefix").unwrap_or_default().to_owned();
    if let Some(node) = table.node("prefix").filter(|_| !prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || prefix.starts_with(' ')) {
        reader.error("bad-value", &node.span, "jwt.prefix is visible ASCII before the token", "such as \"Bearer \", with the space");
    }
    let secret = table.node("secret").and_then(|node| node.as_text()).and_then(|written| reader.secret(written));
    let mut claims = Vec::new();
    for entry in table.table("claims").map(|claims| claims.entries.as_slice()).unwrap_or_default() {
        if REGISTERED.contains(&entry.key.as_str()) {
            reader.error("reserved-claim", &entry.key_span, format!("`{}` is set by the gateway", entry.key), "leave it out");
        }
        claims.push((entry.key.clone(), reader.first_of(&entry.node, env)));
    }
    Some(Jwt { header, prefix, secret, audience: table.text("audience").unwrap_or(host).to_owned(), ttl_ms, claims })
}

/// Names that are one name to apps behind CGI or WSGI, where `X-User` and `X_User` both become `HTTP_X_USER`.
pub(super) fn distinct(reader: &mut Reader<'_>, tree: &Table, jwt: Option<&Jwt>) {
    let entries = |table: &'_ Table| table.table("headers").map(|headers| headers.entries.as_slice()).unwrap_or_default().to_vec();
    let mut everywhere: Vec<(String, Option<Entry>)> = jwt.map(|jwt| (fold(jwt.header.as_str()), None)).into_iter().collect();
    for entry in entries(tree) {
        let folded = fold(&entry.key);
        if everywhere.iter().any(|(name, _)| *name == folded) {
            let message = format!("`{}` is set twice: letter case, `-` and `_` make no difference to many applications", entry.key);
            reader.error("duplicate-header", &entry.key_span, message, "leave one of them out");
        }
        everywhere.push((folded, Some(entry)));
    }
    // Several sections may match one request and none comes first, so that a name has one value in the whole file.
    for (_, section) in tree.sections("path") {
        let mut here: Vec<String> = Vec::new();
        for entry in entries(section) {
            let folded = fold(&entry.key);
            let other = everywhere
                .iter()
                .find(|(name, there)| *name == folded && there.as_ref().is_none_or(|there| there.node.to_json() != entry.node.to_json()));
            if here.contains(&folded) || other.is_some() {
                let message = format!("`{}` is set twice, and sections have no order: which value would the application get?", entry.key);
                let help = "a header has one value, in [headers] or in every section that names it; letter case, - and _ make no difference";
                reader.error("duplicate-header", &entry.key_span, message, help);
            }
            here.push(folded.clone());
            if other.is_none() {
                everywhere.push((folded, Some(entry)));
            }
        }
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn header_name(reader: &mut Reader<'_>, written: &str, span: &Span, place: &str) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
        reader.error("bad-header", span, format!("`{written}` is not a header name"), "letters, digits and -");
        return None;
    };
    let folded = name.as_str().replace('_', "-");
    if NEVER.contains(&folded.as_str()) || folded.starts_with("sec-websocket-") {
        reader.error("bad-header", span, format!("{place} cannot set `{written}`"), "HTTP or the gateway itself sets it");
        return None;
    }
    Some(name)
}
