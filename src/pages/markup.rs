//! Markup as a list of tokens: enough of HTML and SVG to say what a file of an operator's would load, run or break.
//!
//! Lives here: [`tokens`]. Apart because two readers share it: own pages (`template.rs`) and the logo (`logo.rs`). It judges nothing. Everything is
//! kept as ranges of the text, so that a problem can say where it stands.

use std::ops::Range;

/// A piece of markup; together they cover the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that people read. `plain`: inside `<title>` or `<textarea>`, where tags are not tags.
    Text { range: Range<usize>, plain: bool },
    /// What stands in `<style>`.
    Style(Range<usize>),
    /// `<!-- … -->`.
    Comment(Range<usize>),
    /// `<!doctype …>`, `<?xml … ?>`.
    Declaration(Range<usize>),
    /// A tag.
    Tag(Tag),
}

/// A tag and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) range: Range<usize>,
    /// Lower case, without `/`.
    pub(super) name: String,
    pub(super) closing: bool,
    pub(super) attributes: Vec<Attribute>,
}

/// `name="value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Lower case.
    pub(super) name: String,
    pub(super) range: Range<usize>,
    /// Without quotes.
    pub(super) value: Range<usize>,
    pub(super) quoted: bool,
}

/// What begins here does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) at: Range<usize>,
    pub(super) what: &'static str,
}

/// The tokens of `text`.
///
/// # Errors
/// [`Unfinished`] for a tag, comment, quotation or raw element that does not end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Unfinished> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let token = if rest.starts_with("<!--") {
            let end = rest.get(4..).and_then(|inner| inner.find("-->")).ok_or(Unfinished { at: at..at + 4, what: "comment" })?;
            Token::Comment(at..at + 4 + end + 3)
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            let end = rest.find('>').ok_or(Unfinished { at: at..at + 2, what: "declaration" })?;
            Token::Declaration(at..at + end + 1)
        } else if is_tag(rest) {
            Token::Tag(tag(text, at)?)
        } else {
            let end = rest.match_indices('<').map(|(found, _)| found).find(|&found| found > 0 && opens(rest.get(found..).unwrap_or_default()));
            Token::Text { range: at..end.map_or(text.len(), |end| at + end), plain: false }
        };
        at = token.range().end;
        let raw = if let Token::Tag(tag) = &token { raw_element(tag) } else { None };
        out.push(token);
        if let Some(name) = raw {
            let rest = text.get(at..).unwrap_or_default().to_ascii_lowercase();
            let end = rest.find(&format!("</{name}")).ok_or(Unfinished { at: at..at, what: "element" })?;
            let range = at..at + end;
            out.push(if name == "style" { Token::Style(range.clone()) } else { Token::Text { range: range.clone(), plain: true } });
            at = range.end;
        }
    }
    Ok(out)
}

impl Token {
    /// Where it stands.
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Self::Text { range, .. } | Self::Style(range) | Self::Comment(range) | Self::Declaration(range) => range.clone(),
            Self::Tag(tag) => tag.range.clone(),
        }
    }
}

fn opens(rest: &str) -> bool {
    rest.starts_with("<!") || rest.starts_with("<?") || is_tag(rest)
}

/// `<a` or `</a`: a `<` before anything else is text.
fn is_tag(rest: &str) -> bool {
    let mut bytes = rest.bytes();
    let second = if bytes.next() == Some(b'<') { bytes.next() } else { None };
    match second {
        Some(b'/') => bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()),
        Some(byte) => byte.is_ascii_alphabetic(),
        None => false,
    }
}

/// Elements whose content is not markup.
fn raw_element(tag: &Tag) -> Option<&'static str> {
    let raw = ["style", "title", "textarea"].into_iter().find(|name| *name == tag.name);
    raw.filter(|_| !tag.closing)
}

fn tag(text: &str, start: usize) -> Result<Tag, Unfinished> {
    let unfinished = || Unfinished { at: start..start + 1, what: "tag" };
    let closing = text.get(start + 1..).is_some_and(|rest| rest.starts_with('/'));
    let mut at = start + 1 + usize::from(closing);
    let name = word(text, at, |byte| byte == b'/');
    at = name.end;
    let mut attributes = Vec::new();
    loop {
        at = past(text, at, |byte| byte.is_ascii_whitespace() || byte == b'/');
        match text.as_bytes().get(at) {
            None => return Err(unfinished()),
            Some(b'>') => break,
            Some(_) => {
                let attribute = attribute(text, at).ok_or_else(unfinished)?;
                at = attribute.range.end;
                attributes.push(attribute);
            }
        }
    }
    let name = text.get(name).unwrap_or_default().to_ascii_lowercase();
    Ok(Tag { range: start..at + 1, name, closing, attributes })
}

fn attribute(text: &str, start: usize) -> Option<Attribute> {
    // A `=` that begins a name is part of it (HTML 13.2.5.32).
    let mut name = word(text, start + 1, |byte| byte == b'=' || byte == b'/');
    name.start = start;
    let lower = text.get(name.clone())?.to_ascii_lowercase();
    let sign = past(text, name.end, |byte| byte.is_ascii_whitespace());
    if text.as_bytes().get(sign) != Some(&b'=') {
        let end = name.end;
        return Some(Attribute { name: lower, range: name, value: end..end, quoted: true });
    }
    let from = past(text, sign + 1, |byte| byte.is_ascii_whitespace());
    let quote = text.as_bytes().get(from).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let Some(quote) = quote else {
        let value = word(text, from, |_| false);
        return Some(Attribute { name: lower, range: start..value.end, value, quoted: false });
    };
    let end = from + 1 + text.get(from + 1..)?.find(char::from(quote))?;
    Some(Attribute { name: lower, range: start..end + 1, value: from + 1..end, quoted: true })
}

/// From `at` to white space, `>` or where `stop` says so.
fn word(text: &str, at: usize, stop: impl Fn(u8) -> bool) -> Range<usize> {
    at..past(text, at, |byte| !byte.is_ascii_whitespace() && byte != b'>' && !stop(byte))
}

fn past(text: &str, at: usize, skip: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| skip(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    fn shown(text: &str) -> Vec<String> {
        let shown = |token: &Token| {
            let at = &text[token.range()];
            match token {
                Token::Text { plain: false, .. } => format!("text {at}"),
                Token::Text { plain: true, .. } => format!("plain {at}"),
                Token::Style(_) => format!("style {at}"),
                Token::Comment(_) => format!("comment {at}"),
                Token::Declaration(_) => format!("declaration {at}"),
                Token::Tag(tag) => {
                    let attributes: Vec<String> =
                        tag.attributes.iter().map(|a| format!("{}={}{}", a.name, &text[a.value.clone()], if a.quoted { "" } else { "!" })).collect();
                    format!("{}{} {}", if tag.closing { "/" } else { "" }, tag.name, attributes.join(" ")).trim_end().to_owned()
                }
            }
        };
        tokens(text).map_or_else(|e| vec![format!("unfinished {} at {}", e.what, e.at.start)], |tokens| tokens.iter().map(shown).collect())
    }

    #[test]
    fn markup_is_read_as_browsers_read_it() {
        let check = |text: &str, expected: &[&str]| assert_eq!(shown(text), expected, "{text}");
        check("<p class=\"x", &["unfinished tag at 0"]);
        check("a <!-- b", &["unfinished comment at 2"]);
        check("<style>a{}", &["unfinished element at 7"]);
        check("<p", &["unfinished tag at 0"]);
        check("", &[]);
        check("1 < 2 <3 <é", &["text 1 < 2 <3 <é"]);
        check("<!doctype html><p>é</p>", &["declaration <!doctype html>", "p", "text é", "/p"]);
        check("<A HREF='x>y' b c=d/e f = \"g\"/>", &["a href=x>y b= c=d/e! f=g"]);
        check("<style>a>b{}</style><title><b></title>", &["style", "style a>b{}", "/style", "title", "plain <b>", "/title"]);
        check("x<!-- <p> -->y", &["text x", "comment <!-- <p> -->", "text y"]);
        check("<p =x =y>", &["p =x=y!"]);
    }
}
