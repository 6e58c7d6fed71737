//! A sheet as HTML: one template, one style sheet, nothing else to load.

use super::sheet::{Block, Piece, Sheet};
use crate::fault::Incident;
use askama::Template;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The built-in page as text.
pub(super) fn render(sheet: &Sheet, name: &str, logo: Option<&str>, incident: Incident) -> String {
    render_around(sheet, name, logo, &content(sheet, incident))
}

/// The built-in page around this content, which is markup.
pub(super) fn render_around(sheet: &Sheet, name: &str, logo: Option<&str>, content: &str) -> String {
    let refresh = refresh(sheet);
    let layout = Layout { sheet, name, logo, content, refresh: &refresh, style: STYLE };
    // Writing to a String cannot fail; were it to, an empty page with the right status and headers is the safe answer.
    layout.render().unwrap_or_default()
}

/// What stands below the heading, as markup.
pub(super) fn content(sheet: &Sheet, incident: Incident) -> String {
    Content { sheet, incident }.render().unwrap_or_default()
}

/// The element that goes on by itself; empty where nothing does.
pub(super) fn refresh(sheet: &Sheet) -> String {
    sheet.refresh.as_deref().and_then(|url| Refresh { url }.render().ok()).unwrap_or_default()
}

/// The logo as an element; the name stands beside it.
pub(super) fn logo(address: &str) -> String {
    Logo { address }.render().unwrap_or_default()
}

/// The policy of pages with these style sheets: each by its hash, nothing else from anywhere.
pub(super) fn security_policy<S: AsRef<str>>(styles: &[S]) -> HeaderValue {
    let hash = |style: &S| format!("'sha256-{}'", STANDARD.encode(digest::digest(&digest::SHA256, style.as_ref().as_bytes())));
    let hashes: Vec<String> = styles.iter().map(hash).collect();
    let styles = if hashes.is_empty() { "'none'".to_owned() } else { hashes.join(" ") };
    let policy = format!("default-src 'none'; style-src {styles}; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'"))
}

/// The base layout of every page. `source`, not `path`: askama looks for files in `templates/` beside Cargo.toml only, unless its own
/// configuration file is compiled in.
#[derive(Template)]
#[template(
    ext = "html",
    whitespace = "minimize",
    source = r#"<!doctype html>
<html lang="{{ sheet.words.tag }}" dir="{{ sheet.words.direction }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{ sheet.title }}</title>
{{ refresh|safe -}}
<link rel="icon" href="data:,">
<style>{{ style|safe }}</style>
</head>
<body>
<header>{% if let Some(address) = logo %}<img src="{{ address }}" alt="">{% else %}<svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path class="arch" d="M3 21V11a9 9 0 0 1 18 0v10"/><path class="door" d="M8 21V11.5a4 4 0 0 1 8 0V21z"/></svg>{% endif %}{{ name }}</header>
<main>
<h1>{{ sheet.title }}</h1>
{{ content|safe }}</main>
</body>
</html>
"#
)]
struct Layout<'a> {
    sheet: &'a Sheet,
    name: &'a str,
    logo: Option<&'a str>,
    content: &'a str,
    refresh: &'a str,
    style: &'static str,
}

#[derive(Template)]
#[template(ext = "html", source = "<meta http-equiv=\"refresh\" content=\"0; url={{ url }}\">\n")]
struct Refresh<'a> {
    url: &'a str,
}

#[derive(Template)]
#[template(ext = "html", source = "<img src=\"{{ address }}\" alt=\"\">")]
struct Logo<'a> {
    address: &'a str,
}

/// The blocks of a sheet.
#[derive(Template)]
#[template(
    ext = "html",
    whitespace = "minimize",
    source = r#"
{%- macro line(pieces) -%}
{%- for piece in pieces -%}
{%- match piece -%}
{%- when Piece::Text(text) -%}{{ text }}
{%- when Piece::Name(text) -%}<bdi>{{ text }}</bdi>
{%- when Piece::Code(text) -%}<code>{{ text }}</code>
{%- when Piece::Link { href, text, new_tab } -%}<a href="{{ href }}"{% if *new_tab %} target="_blank" rel="noopener"{% endif %}>{{ text }}</a>
{%- endmatch -%}
{%- endfor -%}
{%- endmacro -%}
{% for block in sheet.blocks -%}
{%- match block -%}
{%- when Block::Text(pieces) -%}<p>{% call line(pieces) %}{% endcall %}</p>
{% when Block::Why(pieces) -%}<p>{% call line(pieces) %}{% endcall %}</p>
{% when Block::Status(pieces) -%}<p role="status">{% call line(pieces) %}{% endcall %}</p>
{% when Block::Small(pieces) -%}<p class="small">{% call line(pieces) %}{% endcall %}</p>
{% when Block::Progress(label) -%}<progress aria-label="{{ label }}"></progress>
{% when Block::Steps(steps) -%}<ol>
{% for step in steps %}<li>{% call line(step) %}{% endcall %}</li>
{% endfor %}</ol>
{% when Block::Actions(actions) -%}<p class="actions">
{%- for action in actions -%}<a class="button{% if action.primary %} primary{% endif %}" href="{{ action.href }}">{{ action.text }}</a>{% endfor %}</p>
{% when Block::Choices(offers) -%}<ul class="choices">
{% for offer in offers %}<li><a href="{{ offer.href }}"><bdi>{{ offer.name }}</bdi>{% if let Some(note) = offer.note %} <span class="note">{{ note }}</span>{% endif %}</a></li>
{% endfor %}</ul>
{% when Block::Facts(rows) -%}<dl>
{% for (label, value) in rows %}<div><dt>{{ label }}</dt><dd>{% call line(value) %}{% endcall %}</dd></div>
{% endfor %}</dl>
{% when Block::Form { action, token, button, stay } -%}<form method="post" action="{{ action }}"><input type="hidden" name="token" value="{{ token }}"><button class="button primary">{{ button }}</button><a class="button" href="/">{{ stay }}</a></form>
{% endmatch -%}
{%- endfor -%}
{%- if sheet.code -%}<p class="code">{{ sheet.words.code }} <code>{{ incident }}</code></p>
{% endif -%}
"#
)]
struct Content<'a> {
    sheet: &'a Sheet,
    incident: Incident,
}

/// Text on its ground: at least 4.5:1 in both schemes (the test computes it). No colour means anything by itself.
pub(super) const STYLE: &str = include_str!("style.css");
