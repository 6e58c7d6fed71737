//! A sheet as HTML: one template, one style sheet, nothing else to load.

use super::sheet::{Block, Piece, Sheet};
use crate::fault::Incident;
use askama::Template;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The page as text.
pub(super) fn render(sheet: &Sheet, name: &str, incident: Incident) -> String {
    let layout = Layout { sheet, name: super::shown::name(name), incident, style: STYLE };
    // Writing to a String cannot fail; were it to, an empty page with the right status and headers is the safe answer.
    layout.render().unwrap_or_default()
}

/// The policy of all pages: the one style sheet by its hash, nothing else from anywhere.
pub(super) fn security_policy() -> HeaderValue {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'none'"))
}

/// The base layout of every page. `source`, not `path`: askama looks for files in `templates/` beside Cargo.toml only, unless its own
/// configuration file is compiled in.
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
<!doctype html>
<html lang="{{ sheet.words.tag }}" dir="{{ sheet.words.direction }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{ sheet.title }}</title>
{% if let Some(url) = sheet.refresh %}<meta http-equiv="refresh" content="0; url={{ url }}">
{% endif -%}
<link rel="icon" href="data:,">
<style>{{ style|safe }}</style>
</head>
<body>
<header><svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path class="arch" d="M3 21V11a9 9 0 0 1 18 0v10"/><path class="door" d="M8 21V11.5a4 4 0 0 1 8 0V21z"/></svg>{% if name.is_empty() %}Sign-in{% else %}{{ name }}{% endif %}</header>
<main>
<h1>{{ sheet.title }}</h1>
{% for block in sheet.blocks -%}
{%- match block -%}
{%- when Block::Text(pieces) -%}<p>{% call line(pieces) %}{% endcall %}</p>
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
</main>
</body>
</html>
"#
)]
struct Layout<'a> {
    sheet: &'a Sheet,
    name: String,
    incident: Incident,
    style: &'static str,
}

/// Text on its ground: at least 4.5:1 in both schemes (the test computes it). No colour means anything by itself.
pub(super) const STYLE: &str = include_str!("style.css");
