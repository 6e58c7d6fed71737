//! A form that is sent by itself: the way to a SAML provider that takes requests by POST only.
//!
//! The one page of ours with a script, which is fixed and allowed by its hash; without scripts a button does the same. It may send to that provider and nowhere else. Own pages of
//! operators have no part in it.

use super::{PageContext, Pages, html, sheet};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, Response, StatusCode};
use url::Url;

const SCRIPT: &str = "document.forms[0].submit()";

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<form method="post" action="{{ action }}">{% for (name, value) in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">{% endfor %}<button class="button primary">{{ button }}</button></form>
<script>{{ script|safe }}</script>
"#
)]
struct Form<'a> {
    action: &'a str,
    fields: &'a [(&'static str, String)],
    button: &'a str,
    script: &'static str,
}

impl Pages {
    /// Sends a browser on by POST. `to` must be an address of a configured provider.
    pub fn post_onward(&self, context: PageContext<'_>, to: &Url, fields: &[(&'static str, String)]) -> Response<Bytes> {
        let look = self.look.load();
        let context = look.settled(context);
        let words = context.words();
        let form = Form { action: to.as_str(), fields, button: words.continue_link, script: SCRIPT }.render().unwrap_or_default();
        let page = sheet::Sheet { words, title: words.onward_title.to_owned(), refresh: None, code: false, blocks: Vec::new() };
        let body = html::render_around(&page, &sheet::site_name(context, &look.settings), look.settings.files.logo.as_deref(), &form);
        let mut response = self.dress(StatusCode::OK, context, "text/html; charset=utf-8", body);
        let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src 'self' data:; form-action {}; base-uri 'none'; frame-ancestors 'none'",
            hash(html::STYLE),
            hash(SCRIPT),
            to.origin().ascii_serialization(),
        );
        if let Ok(policy) = HeaderValue::try_from(policy) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}
