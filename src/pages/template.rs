//! Own pages: `[pages] templates`.
//!
//! Lives here: [`Template`], a page of an operator's with holes (`{title}`, `{content}`), compiled and checked before it is used, and [`NAMES`], which pages
//! there are. A template has no logic: what is on a page is decided by `sheet.rs`, in every language, and a template says where it stands. That is also what
//! keeps it safe: values are escaped, they stand only where text can stand, and the policy of the page allows its own style sheets by their hash and nothing else.

use super::html;
use super::markup::{Attribute, Tag, Token, Unfinished, tokens};
use crate::source::value::nearest;
use crate::source::{Problem, SourceFile};
use http::HeaderValue;
use std::ops::Range;

/// Stands for every page that has no file of its own.
pub(super) const EVERY_PAGE: &str = "page";
/// Largest file, bytes.
const BYTES_MAX: usize = 64 << 10;

/// Pages that are no [`crate::fault::PublicMessage`].
pub(super) const PICKER: &str = "picker";
pub(super) const LAUNCHER: &str = "launcher";
pub(super) const WHOAMI: &str = "whoami";
pub(super) const LOGOUT: &str = "logout";
pub(super) const ONWARD: &str = "onward";

/// Names of the files, without `.html`: the last part of a message's problem type, or the page's own name.
pub(super) const NAMES: &[&str] = &[
    EVERY_PAGE,
    PICKER,
    LAUNCHER,
    WHOAMI,
    LOGOUT,
    ONWARD,
    "bad-request",
    "too-many-connections",
    "body-too-large",
    "headers-too-large",
    "method-refused",
    "no-such-host",
    "misdirected",
    "no-such-page",
    "sign-in-required",
    "token-required",
    "invalid-token",
    "insufficient-scope",
    "token-too-old",
    "no-account-yet",
    "session-ended",
    "fresh-sign-in-required",
    "incomplete-sign-in",
    "unusable-sign-in",
    "local-sign-in",
    "denied",
    "link-expired",
    "sign-in-failed",
    "sign-in-declined",
    "provider-down",
    "store-down",
    "account-in-progress",
    "account-failed",
    "account-unavailable",
    "account-exists",
    "accounts-off",
    "accounts-full",
    "awaiting-approval",
    "open-in-browser",
    "app-closed",
    "app-unreachable",
    "app-timeout",
    "app-rejected",
    "app-unavailable",
    "signed-out",
    "signed-in",
    "internal",
];

/// Pages that go on by themselves: without `{refresh}` people would wait for ever.
const REFRESHING: [&str; 3] = [EVERY_PAGE, ONWARD, "account-in-progress"];

/// What a hole is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hole {
    /// `lang`: tag of the language.
    Lang,
    /// `ltr` or `rtl`.
    Dir,
    /// The heading.
    Title,
    /// What the page says, and what can be done: paragraphs, links, the incident code.
    Content,
    /// The element that goes on by itself; empty on pages that do not.
    Refresh,
    /// The logo as an image; empty when there is none.
    Logo,
    /// `[pages] name`.
    Name,
    /// The app's title; empty when there is none.
    App,
    /// Who is signed in; empty when nobody is.
    Person,
    /// Whom to ask; empty when the files do not say.
    Contact,
    /// The incident code.
    Incident,
}

const HOLES: [(&str, Hole); 11] = [
    ("lang", Hole::Lang),
    ("dir", Hole::Dir),
    ("title", Hole::Title),
    ("content", Hole::Content),
    ("refresh", Hole::Refresh),
    ("logo", Hole::Logo),
    ("name", Hole::Name),
    ("app", Hole::App),
    ("person", Hole::Person),
    ("contact", Hole::Contact),
    ("incident", Hole::Incident),
];

impl Hole {
    /// Whether it is markup of ours rather than text.
    const fn is_markup(self) -> bool {
        matches!(self, Self::Content | Self::Refresh | Self::Logo)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Written(String),
    Hole(Hole),
}

/// A page of an operator's.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// Its own style sheets by their hashes, nothing else from anywhere.
    pub(super) security_policy: HeaderValue,
}

impl Template {
    /// The page with its holes filled by `value`: markup as it is, text escaped.
    pub(super) fn render(&self, value: impl Fn(Hole) -> String) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Written(text) => out.push_str(text),
                Part::Hole(hole) if hole.is_markup() => out.push_str(&value(*hole)),
                Part::Hole(hole) => escape(&value(*hole), &mut out),
            }
        }
        out
    }

    /// Compiles the file of the page called `name`.
    ///
    /// # Errors
    /// Every problem of the file, in its order: an unknown page or placeholder, one that is missing, markup that would not work on a page.
    pub(super) fn compile(name: &str, file: &SourceFile) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler { file, parts: Vec::new(), styles: Vec::new(), problems: Vec::new() };
        if !NAMES.contains(&name) {
            compiler.unknown_page(name);
        } else if file.text.len() > BYTES_MAX {
            compiler.error(&(0..0), format!("a page has at most {} KiB", BYTES_MAX >> 10), "");
        } else {
            match tokens(&file.text) {
                Err(Unfinished { at, what }) => compiler.error(&at, format!("this {what} does not end"), ""),
                Ok(tokens) => tokens.iter().for_each(|token| compiler.token(token)),
            }
            if compiler.problems.is_empty() {
                compiler.required(name);
            }
        }
        let Compiler { parts, styles, problems, .. } = compiler;
        if problems.is_empty() { Ok(Self { parts, security_policy: html::security_policy(&styles) }) } else { Err(problems) }
    }
}

struct Compiler<'f> {
    file: &'f SourceFile,
    parts: Vec<Part>,
    styles: Vec<String>,
    problems: Vec<Problem>,
}

impl Compiler<'_> {
    fn error(&mut self, span: &Range<usize>, message: impl Into<String>, help: &str) {
        let problem = Problem::error("bad-template", self.file, span.clone(), message);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    fn unknown_page(&mut self, name: &str) {
        let mut problem = Problem::error("unknown-page", self.file, 0..0, format!("there is no page `{name}`, so this file would never be used"));
        problem.span = None;
        let near = nearest(name, NAMES.iter().copied()).map(|near| format!("did you mean {near}.html?"));
        self.problems.push(problem.help(near.unwrap_or_else(|| format!("one of: {}", NAMES.join(", ")))));
    }

    fn required(&mut self, name: &str) {
        let needs = |hole| hole == Hole::Title || hole == Hole::Content || hole == Hole::Refresh && REFRESHING.contains(&name);
        for (written, hole) in HOLES.into_iter().filter(|(_, hole)| needs(*hole)) {
            if !self.parts.contains(&Part::Hole(hole)) {
                let mut problem = Problem::error("bad-template", self.file, 0..0, format!("the placeholder {{{written}}} is missing"));
                problem.span = None;
                let why = match hole {
                    Hole::Refresh => "put it into <head>: this page goes on by itself, and people would wait for ever",
                    Hole::Title => "put it into <title> and <h1>: it says what has happened",
                    Hole::Content | Hole::Lang | Hole::Dir | Hole::Logo | Hole::Name | Hole::App | Hole::Person | Hole::Contact | Hole::Incident => {
                        "put it where the text of the page belongs: what can be done stands in it"
                    }
                };
                self.problems.push(problem.help(why));
            }
        }
    }

    fn token(&mut self, token: &Token) {
        match token {
            // Comments are for whoever edits the file.
            Token::Comment(_) => {}
            Token::Declaration(range) => self.written(range.clone()),
            Token::Text { range, plain } => self.holes(range.clone(), if *plain { Where::Plain } else { Where::Text }),
            Token::Style(range) => self.style(range.clone()),
            Token::Tag(tag) => self.tag(tag),
        }
    }

    fn written(&mut self, range: Range<usize>) {
        let text = self.file.text.get(range).unwrap_or_default();
        match self.parts.last_mut() {
            Some(Part::Written(before)) => before.push_str(text),
            _ => self.parts.push(Part::Written(text.to_owned())),
        }
    }

    /// Braces are CSS here; only `{style}` means anything.
    fn style(&mut self, range: Range<usize>) {
        let text = self.file.text.get(range.clone()).unwrap_or_default();
        let lower = text.to_ascii_lowercase();
        if lower.contains("@import") || lower.split("url(").skip(1).any(|rest| !rest.trim_start_matches(['"', '\'', ' ']).starts_with("data:")) {
            self.error(&range, "a page loads nothing from elsewhere", "only data: addresses can stand in url(…)");
        }
        let style = text.replace("{style}", html::STYLE);
        self.parts.push(Part::Written(style.clone()));
        self.styles.push(style);
    }

    fn tag(&mut self, tag: &Tag) {
        const NEVER: [&str; 13] =
            ["script", "iframe", "frame", "object", "embed", "base", "link", "noscript", "plaintext", "xmp", "template", "math", "foreignobject"];
        if NEVER.contains(&tag.name.as_str()) {
            let help = if tag.name == "link" { "write the style sheet into <style>; {style} in it is the built-in one" } else { "" };
            if tag.closing {
                return;
            }
            self.error(&tag.range, format!("<{}> does not work on these pages: they run nothing and load nothing", tag.name), help);
            return;
        }
        let mut at = tag.range.start;
        for attribute in &tag.attributes {
            self.written(at..attribute.value.start);
            self.attribute(tag, attribute);
            at = attribute.value.end;
        }
        self.written(at..tag.range.end);
    }

    fn attribute(&mut self, tag: &Tag, attribute: &Attribute) {
        let value = self.file.text.get(attribute.value.clone()).unwrap_or_default().trim();
        let lower = value.to_ascii_lowercase();
        let address = matches!(
            attribute.name.as_str(),
            "href" | "xlink:href" | "src" | "srcset" | "action" | "formaction" | "poster" | "data" | "background" | "ping"
        );
        if attribute.name.contains('{') {
            self.error(&attribute.range, "a placeholder cannot be the name of an attribute", "");
        } else if attribute.name.starts_with("on") {
            self.error(&attribute.range, format!("the event handler {} does not work on these pages: they run nothing", attribute.name), "");
        } else if attribute.name == "style" {
            self.error(
                &attribute.range,
                "a style attribute does not work on these pages",
                "give the element a class, and write the rule into <style>",
            );
        } else if attribute.name == "http-equiv" && lower != "x-ua-compatible" && lower != "content-type" {
            self.error(&attribute.range, "http-equiv does not work on these pages", "{refresh} is the element that goes on by itself");
        } else if address && tag.name != "a" && !lower.starts_with("data:image/") && !value.starts_with('#') && tag.name != "form" {
            self.error(
                &attribute.range,
                "a page loads nothing from elsewhere",
                "write an image as a data: address; [pages] logo does it for the logo",
            );
        } else if address
            && lower.bytes().filter(|byte| !byte.is_ascii_whitespace() && !byte.is_ascii_control()).collect::<Vec<_>>().starts_with(b"javascript:")
        {
            self.error(&attribute.range, "an address that runs something does not work on these pages", "");
        }
        let spot = if address || attribute.name == "srcdoc" {
            Where::Address
        } else if attribute.quoted {
            Where::Quoted
        } else {
            Where::Unquoted
        };
        self.holes(attribute.value.clone(), spot);
    }

    /// `{name}`: letters between braces. Other braces are text.
    fn holes(&mut self, range: Range<usize>, spot: Where) {
        let mut from = range.start;
        let mut at = range.start;
        while let Some(open) = self.file.text.get(at..range.end).and_then(|rest| rest.find('{')).map(|found| at + found) {
            let rest = self.file.text.get(open + 1..range.end).unwrap_or_default();
            let length = rest.bytes().take_while(|byte| byte.is_ascii_alphabetic() || *byte == b'_').count();
            at = open + 1;
            if length == 0 || rest.as_bytes().get(length) != Some(&b'}') {
                continue;
            }
            let name = rest.get(..length).unwrap_or_default().to_owned();
            let span = open..open + length + 2;
            at = span.end;
            self.written(from..span.start);
            from = span.end;
            self.hole(&name, &span, spot);
        }
        self.written(from..range.end);
    }

    fn hole(&mut self, name: &str, span: &Range<usize>, spot: Where) {
        let Some((_, hole)) = HOLES.into_iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = HOLES.iter().map(|(known, _)| *known).collect();
            let help = match nearest(name, known.iter().copied()) {
                _ if name == "style" => "{style} stands in <style>".to_owned(),
                Some(near) => format!("did you mean {{{near}}}?"),
                None => format!("one of: {}", known.join(", ")),
            };
            return self.error(span, format!("there is no placeholder {{{name}}}"), &help);
        };
        match spot {
            Where::Text => {}
            Where::Plain | Where::Quoted if !hole.is_markup() => {}
            Where::Plain | Where::Quoted => {
                self.error(span, format!("{{{name}}} is markup, and cannot stand here"), "put it between the tags of <body>");
            }
            Where::Unquoted => self.error(span, "a placeholder in an attribute needs quotes around it", "such as lang=\"{lang}\""),
            Where::Address => self.error(span, "a placeholder cannot be part of an address", "the links that a page needs are in {content}"),
        }
        self.parts.push(Part::Hole(hole));
    }
}

/// Where a hole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Text,
    /// `<title>`: text only.
    Plain,
    Quoted,
    Unquoted,
    Address,
}

fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HOLES, NAMES, Template};
    use crate::config::schema::TEMPLATES;
    use crate::source::SourceFile;

    const WHOLE: &str = "<title>{title}</title>{refresh}<h1>{title}</h1>{content}";

    fn problems(name: &str, text: &str) -> Vec<String> {
        let file = SourceFile::new(format!("pages/{name}.html"), text);
        let shown = |problem: &crate::source::Problem| {
            let at = problem.span.as_ref().map_or("", |span| text.get(span.clone()).unwrap_or_default());
            format!("{} [{at}]", problem.message)
        };
        Template::compile(name, &file).map_or_else(|problems| problems.iter().map(shown).collect(), |_| Vec::new())
    }

    #[test]
    fn what_would_not_work_on_a_page_is_refused() {
        let check = |text: &str, expected: &str| {
            let found = problems("denied", &format!("{WHOLE}{text}"));
            assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
        };
        check("{titel}", "there is no placeholder {titel} [{titel}]");
        check("{style}", "there is no placeholder {style}");
        check("<script>alert(1)</script>", "<script> does not work");
        check("<link rel=stylesheet href=/x.css>", "<link> does not work");
        check("<base href=/>", "<base>");
        check("<p onclick=\"x()\">", "the event handler onclick");
        check("<p style=\"color:red\">", "a style attribute");
        check("<p title={app}>", "needs quotes");
        check("<p {app}>", "cannot be the name of an attribute");
        check("<p title=\"{content}\">", "{content} is markup");
        check("<title>{content}</title>", "{content} is markup");
        check("<a href=\"{person}\">", "cannot be part of an address");
        check("<a href=\"/x?{app}\">", "cannot be part of an address");
        check("<a href=\" java\tscript:alert(1)\">", "an address that runs");
        check("<img src=\"https://evil.example/x.png\">", "loads nothing from elsewhere");
        check("<img src=/logo.png>", "loads nothing from elsewhere");
        check("<meta http-equiv=refresh content=\"5\">", "http-equiv");
        check("<style>@import 'x';</style>", "loads nothing");
        check("<style>a{b:url(x.png)}</style>", "loads nothing");
        check("<style>a{", "this element does not end");
        check("<p", "this tag does not end");
    }

    #[test]
    fn what_a_page_cannot_do_without_is_asked_for() {
        let check = |name: &str, text: &str, expected: &[&str]| assert_eq!(problems(name, text), expected, "{name}: {text}");
        let missing = |hole: &str| format!("the placeholder {{{hole}}} is missing []");
        let (title, content, refresh) = (missing("title"), missing("content"), missing("refresh"));
        check("denied", "", &[&title, &content]);
        check("denied", "<!-- {title} {content} -->", &[&title, &content]);
        check("page", "{title}{content}", &[&refresh]);
        check("onward", "{title}{content}", &[&refresh]);
        check("account-in-progress", "{title}{content}", &[&refresh]);
        check("denied", "{title}{content}", &[]);
        assert!(problems("denid", WHOLE)[0].contains("there is no page `denid`"));
        assert!(problems("denied", &format!("{WHOLE}{}", " ".repeat(70_000)))[0].contains("at most 64 KiB"));
    }

    #[test]
    fn values_are_text_and_content_is_markup() {
        let text = "<!doctype html><!-- ours --><html lang=\"{lang}\"><style>a{color:red}{style}</style>{ {x-y} {} <h1 title='{name}'>{title}</h1>{content}</html>";
        let template = Template::compile("denied", &SourceFile::new("denied.html", text)).expect("in order");
        let page = template.render(|hole| format!("<{hole:?}'\">"));
        let (head, rest) = page.split_once("a{color:red}").expect("style");
        assert_eq!(head, "<!doctype html><html lang=\"&lt;Lang&#39;&quot;&gt;\"><style>");
        let rest = rest.strip_prefix(super::html::STYLE).expect("the built-in style sheet");
        assert_eq!(rest, "</style>{ {x-y} {} <h1 title='&lt;Name&#39;&quot;&gt;'>&lt;Title&#39;&quot;&gt;</h1><Content'\"></html>");
    }

    #[test]
    fn the_manual_names_every_placeholder() {
        for (name, _) in HOLES {
            assert!(TEMPLATES.contains(&format!("{{{name}}}")), "{name}");
        }
        for name in NAMES.iter().take(6) {
            assert!(TEMPLATES.contains(name), "{name}");
        }
    }
}
