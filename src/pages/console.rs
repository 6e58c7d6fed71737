//! The operators' console as a page: what is on it, as data, and how that is written down.
//!
//! Lives here: [`Page`], a list of [`Part`]s, and [`ConsoleLook`], which renders one. Apart from the pages of people because it says other things to other readers,
//! in one language, and wider; the style sheet begins with theirs. Whatever comes from providers, apps and people is a value in here and is escaped where it is
//! written: there is no other way for text to get onto a page. No script; a form is the only thing that acts.

use super::html::security_policy;
use crate::fault::Incident;
use askama::Template;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

/// The style sheet of people's pages, and what the console adds.
const STYLE: &str = concat!(include_str!("style.css"), include_str!("console.css"));

/// A page of the console.
#[derive(Debug, Default)]
pub struct Page {
    /// Heading and title.
    pub title: String,
    /// One of [`PLACES`] that it belongs to.
    pub place: &'static str,
    /// Said at the top: what was done, or why not.
    pub said: Option<Said>,
    /// What is on it.
    pub parts: Vec<Part>,
}

/// Where the links at the head lead.
pub const PLACES: [(&str, &str); 4] = [("/", "Overview"), ("/people", "People"), ("/sessions", "Sessions"), ("/incidents", "Incidents")];

/// What came of something.
#[derive(Debug)]
pub struct Said {
    /// Whether it is what was wanted.
    pub good: bool,
    /// In words.
    pub text: String,
}

/// Who looks, and at what.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// What the audit log calls them.
    pub name: &'a str,
    /// Whether they may act: forms are left out where they may not.
    pub may_act: bool,
    /// What every form carries.
    pub form_token: &'a str,
    /// Of this request.
    pub incident: Incident,
}

/// Something on a page.
#[derive(Debug)]
pub enum Part {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// Rows of values; the text stands for none.
    Table {
        /// Names of the columns; one that begins with `#` holds numbers.
        head: Vec<&'static str>,
        /// The rows.
        rows: Vec<Vec<Cell>>,
        /// What is said when there is none.
        empty: &'static str,
    },
    /// Names and values.
    Facts(Vec<(&'static str, Cell)>),
    /// Lines as they were written.
    Lines(String),
    /// Things that can be done.
    Deeds(Vec<Deed>),
    /// What narrows a list down.
    Filter {
        /// Where the list is.
        path: &'static str,
        /// Its fields.
        fields: Vec<Field>,
    },
    /// A link to more.
    More {
        /// Where to.
        href: String,
        /// In words.
        text: &'static str,
    },
}

/// A field of a filter.
#[derive(Debug)]
pub enum Field {
    /// One of several values: each with its words.
    Choice {
        /// Its label.
        label: &'static str,
        /// Its name.
        name: &'static str,
        /// The values and their words.
        options: Vec<(String, String)>,
        /// The one that is chosen.
        chosen: String,
    },
    /// Any text.
    Text {
        /// Its label.
        label: &'static str,
        /// Its name.
        name: &'static str,
        /// What it holds.
        value: String,
    },
}

/// A value in a table.
#[derive(Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub href: Option<String>,
    /// Set off from the others; `true`: something is wrong with it.
    pub mark: Option<bool>,
    /// Whether it is to be copied: a command, a code.
    pub code: bool,
    /// What can be done from here.
    pub deeds: Vec<Deed>,
}

/// A form with one button.
#[derive(Debug)]
pub struct Deed {
    /// Where it is sent.
    pub path: &'static str,
    /// What goes along.
    pub fields: Vec<(&'static str, String)>,
    /// What the button says.
    pub button: &'static str,
    /// Whether a reason has to be given; `None`: none is asked for.
    pub why: Option<bool>,
}

impl Cell {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Text that leads somewhere.
    pub fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { text: text.into(), href: Some(href.into()), ..Self::default() }
    }

    /// A word of state; `bad` where somebody should look.
    pub fn mark(text: impl Into<String>, bad: bool) -> Self {
        Self { text: text.into(), mark: Some(bad), ..Self::default() }
    }

    /// Something to copy.
    pub fn code(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: true, ..Self::default() }
    }

    /// With something to do.
    #[must_use]
    pub fn with(mut self, deed: Deed) -> Self {
        self.deeds.push(deed);
        self
    }
}

/// Writes pages of the console.
#[derive(Debug)]
pub struct ConsoleLook {
    security_policy: HeaderValue,
    /// Whether it is reached by TLS.
    secure: bool,
}

impl ConsoleLook {
    /// `secure`: browsers are to come back by TLS only.
    pub fn new(secure: bool) -> Self {
        Self { security_policy: security_policy(&[STYLE]), secure }
    }

    /// The page.
    pub fn page(&self, status: StatusCode, page: &Page, reader: Reader<'_>) -> Response<Bytes> {
        let layout = Layout { page, reader, style: STYLE, places: &PLACES };
        // Writing to a String cannot fail; were it to, an empty page with the right status and headers is the safe answer.
        let mut response = Response::new(Bytes::from(layout.render().unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        self.dress(response, reader.incident)
    }

    /// 303 to `to`, a path of the console.
    pub fn see_other(&self, to: &str, incident: Incident) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().extend(HeaderValue::from_str(to).ok().map(|to| (LOCATION, to)));
        self.dress(response, incident)
    }

    /// The headers of every answer (operators.md 5.6). The referrer stays on the console: without one, browsers send `Origin: null` with its own forms.
    fn dress(&self, mut response: Response<Bytes>, incident: Incident) -> Response<Bytes> {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, self.security_policy.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
        if self.secure {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        if let Ok(code) = HeaderValue::from_bytes(&incident.ascii()) {
            headers.insert(super::INCIDENT_HEADER, code);
        }
        response
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    whitespace = "minimize",
    source = r##"
{%- macro deed(deed) -%}
<form method="post" action="{{ deed.path }}"><input type="hidden" name="token" value="{{ reader.form_token }}">
{%- for (name, value) in deed.fields -%}<input type="hidden" name="{{ name }}" value="{{ value }}">{%- endfor -%}
{%- if let Some(required) = deed.why -%}<label>Why <input name="why" maxlength="200" autocomplete="off"{% if *required %} required{% endif %}></label>{%- endif -%}
<button class="button">{{ deed.button }}</button></form>
{%- endmacro -%}
{%- macro cell(cell) -%}
{%- if let Some(href) = cell.href -%}<a href="{{ href }}"><bdi>{{ cell.text }}</bdi></a>
{%- else if let Some(bad) = cell.mark -%}<span class="tag {% if *bad %}bad{% else %}good{% endif %}">{{ cell.text }}</span>
{%- else if cell.code -%}<code>{{ cell.text }}</code>
{%- else -%}<bdi>{{ cell.text }}</bdi>{%- endif -%}
{%- if reader.may_act -%}{%- for one in cell.deeds -%}{%~ call deed(one) -%}{%- endcall -%}{%- endfor -%}{%- endif -%}
{%- endmacro -%}
<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{{ page.title }}</title>
<link rel="icon" href="data:,">
<style>{{ style|safe }}</style>
</head>
<body class="console">
<header><b><svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path class="arch" d="M3 21V11a9 9 0 0 1 18 0v10"/><path class="door" d="M8 21V11.5a4 4 0 0 1 8 0V21z"/></svg>Vestibule</b>
<nav aria-label="Console">{% for (path, text) in places %}<a href="{{ path }}"{% if *path == page.place %} aria-current="page"{% endif %}>{{ text }}</a>{% endfor %}</nav>
<form action="/search" role="search"><input type="search" name="q" aria-label="Person, app or incident code" placeholder="Person, app or incident code" maxlength="200"><button class="button slim">Search</button></form>
<span class="who"><bdi>{{ reader.name }}</bdi>{% if !reader.may_act %}, who may look{% endif %} · <a href="/.vestibule/logout">Sign out</a></span></header>
<main>
<h1>{{ page.title }}</h1>
{% if let Some(said) = page.said -%}<p class="say{% if !said.good %} bad{% endif %}" role="status">{{ said.text }}</p>
{% endif -%}
{% for part in page.parts -%}
{%- match part -%}
{%- when Part::Heading(text) -%}<h2>{{ text }}</h2>
{% when Part::Text(text) -%}<p class="lead">{{ text }}</p>
{% when Part::Lines(text) -%}<pre tabindex="0">{{ text }}</pre>
{% when Part::Facts(rows) -%}<dl>{% for (name, value) in rows %}<div><dt>{{ name }}</dt><dd>{% call cell(value) %}{% endcall %}</dd></div>{% endfor %}</dl>
{% when Part::Deeds(deeds) -%}{% if reader.may_act %}{% for one in deeds %}{% call deed(one) %}{% endcall %}{% endfor %}{% endif %}
{% when Part::More { href, text } -%}<p><a class="button" href="{{ href }}">{{ text }}</a></p>
{% when Part::Filter { path, fields } -%}<form action="{{ path }}">{% for field in fields %}{% match field %}
{%- when Field::Choice { label, name, options, chosen } -%}<label>{{ label }} <select name="{{ name }}">{% for (value, words) in options %}<option value="{{ value }}"{% if value == chosen %} selected{% endif %}>{{ words }}</option>{% endfor %}</select></label>
{%- when Field::Text { label, name, value } -%}<label>{{ label }} <input name="{{ name }}" value="{{ value }}" maxlength="200"></label>
{%- endmatch -%}{% endfor %}<button class="button">Show</button></form>
{% when Part::Table { head, rows, empty } -%}{% if rows.is_empty() %}<p class="lead">{{ empty }}</p>{% else %}<div class="wide" tabindex="0"><table><thead><tr>
{%- for name in head %}<th scope="col"{% if name.starts_with('#') %} class="n"{% endif %}>{{ name.trim_start_matches('#') }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for (one, name) in row.iter().zip(head.iter()) %}<td{% if name.starts_with('#') %} class="n"{% endif %}>{% call cell(one) %}{% endcall %}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% endmatch -%}
{%- endfor -%}
<p class="code">Incident code of this page: <code>{{ reader.incident }}</code></p>
</main>
</body>
</html>
"##
)]
struct Layout<'a> {
    page: &'a Page,
    reader: Reader<'a>,
    style: &'static str,
    places: &'static [(&'static str, &'static str)],
}

#[cfg(test)]
mod tests {
    use super::{Cell, ConsoleLook, Deed, Field, Page, Part, Reader, Said};
    use crate::fault::Incident;
    use http::StatusCode;

    const EVIL: &str = "<script>alert(1)</script>\"'&";

    fn full() -> Page {
        let deed = || Deed { path: "/retry", fields: vec![("subject", EVIL.to_owned())], button: "Retry", why: Some(true) };
        Page {
            title: EVIL.to_owned(),
            place: "/people",
            said: Some(Said { good: false, text: EVIL.to_owned() }),
            parts: vec![
                Part::Heading(EVIL.to_owned()),
                Part::Text(EVIL.to_owned()),
                Part::Lines(EVIL.to_owned()),
                Part::Facts(vec![("Name", Cell::text(EVIL)), ("Code", Cell::code(EVIL)), ("State", Cell::mark(EVIL, true))]),
                Part::Deeds(vec![deed()]),
                Part::Table { head: vec!["Who", "#Count"], rows: vec![vec![Cell::link(EVIL, format!("/person?s={EVIL}")), Cell::text("7").with(deed())]], empty: "Nobody" },
                Part::Table { head: vec!["Who"], rows: Vec::new(), empty: "Nobody at all." },
                Part::Filter {
                    path: "/people",
                    fields: vec![
                        Field::Choice { label: "App", name: "app", options: vec![(EVIL.to_owned(), EVIL.to_owned())], chosen: EVIL.to_owned() },
                        Field::Text { label: "Called", name: "q", value: EVIL.to_owned() },
                    ],
                },
                Part::More { href: format!("/people?after={EVIL}"), text: "More" },
            ],
        }
    }

    fn rendered(may_act: bool) -> (String, http::HeaderMap) {
        let reader = Reader { name: EVIL, may_act, form_token: "t0ken", incident: Incident::from_number(1) };
        let (head, body) = ConsoleLook::new(true).page(StatusCode::OK, &full(), reader).into_parts();
        (String::from_utf8(body.to_vec()).unwrap(), head.headers)
    }

    #[test]
    fn nothing_that_others_chose_is_markup() {
        let (html, headers) = rendered(true);
        assert!(!html.contains("<script") && !html.contains("alert(1)</"), "{html}");
        // Title, heading, said, heading, text, lines, three facts, two deeds, link and its address, option twice, field, more, reader.
        assert!(html.matches("&#60;script&#62;").count() >= 17, "{html}");
        assert!(!html.contains("\"'&\""), "an attribute that a value closes: {html}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!((&headers["cache-control"], &headers["referrer-policy"]), (&"no-store".parse().unwrap(), &"same-origin".parse().unwrap()));
        assert!(!html.contains("style=") && !html.contains("onclick") && !html.contains("onload"), "no inline styles and no handlers");
        assert!(html.contains("Nobody at all.") && html.contains("<th scope=\"col\" class=\"n\">Count</th>"), "{html}");
        assert!(html.contains("<a href=\"/people\" aria-current=\"page\">People</a>"), "{html}");
    }

    #[test]
    fn whoever_may_look_is_shown_no_button() {
        let (html, _) = rendered(true);
        assert!(html.matches("method=\"post\"").count() == 2 && html.matches("value=\"t0ken\"").count() == 2, "{html}");
        let (html, _) = rendered(false);
        assert!(!html.contains("method=\"post\"") && !html.contains("t0ken") && html.contains("who may look"), "{html}");
    }
}
