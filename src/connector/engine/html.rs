//! One attribute of one element of a page: the token that a sign-in form carries.
//!
//! Apart because it is the only HTML this gateway reads, and pages are written by others: a scanner of tags (WHATWG HTML §13.2.5 in small), linear, without a
//! tree. Used by pre-steps only.

use crate::connector::model::HtmlPlace;

/// Elements whose content is text, whatever it looks like.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Attributes of one tag that are looked at: no form has as many. Those behind them are passed over.
const ATTRIBUTES_MAX: usize = 64;
/// The longest name of an entity with its `;`: `#x10FFFF;`.
const ENTITY_BYTES_MAX: usize = 9;

/// The attribute of the first element that fits. Linear, whatever the page is: nothing behind a place is looked at twice.
pub(super) fn attribute(page: &str, place: &HtmlPlace) -> Option<String> {
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at + 1..)?;
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
            continue;
        }
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            // No tag begins here.
            continue;
        }
        // One that never ends takes the rest of the page with it, further `<` included (§13.2.5.33): there is no other tag in there.
        let (tag, behind) = tag(rest)?;
        rest = behind;
        if tag.name.eq_ignore_ascii_case(&place.element)
            && place.with.as_ref().is_none_or(|(name, value)| tag.get(name).as_ref() == Some(value))
            && let Some(found) = tag.get(&place.attribute)
        {
            return Some(found);
        }
        if RAW.iter().any(|raw| tag.name.eq_ignore_ascii_case(raw)) {
            rest = after_closing(rest, tag.name)?;
        }
    }
    None
}

/// As written.
struct Tag<'p> {
    name: &'p str,
    attributes: Vec<(&'p str, &'p str)>,
}

impl Tag<'_> {
    /// The first of that name counts (§13.2.5.33).
    fn get(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| decoded(value))
    }
}

/// The tag that begins here, behind its `<`, and what comes after its `>`; `None`: the page ends within it.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
    let (name, mut rest) = text.split_at_checked(end)?;
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(behind) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes }, behind));
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=')).map(|(at, _)| at)?;
        let (key, behind) = rest.split_at_checked(end)?;
        rest = behind.trim_start();
        let mut value = "";
        if let Some(behind) = rest.strip_prefix('=') {
            (value, rest) = quoted(behind.trim_start())?;
        }
        if attributes.len() < ATTRIBUTES_MAX {
            attributes.push((key, value));
        }
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote);
        }
    }
    text.split_at_checked(text.find(|c: char| c.is_ascii_whitespace() || c == '>')?)
}

fn after_closing<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find("</")? + 2;
        let word = text.get(at..at + name.len());
        if word.is_some_and(|word| word.eq_ignore_ascii_case(name)) {
            return text.get(at..);
        }
        from = at;
    }
}

/// The five named entities that serialisers write, and numbers.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        // Only a few characters on: a `&` that begins none must not be paid for with the rest of the page.
        let end = behind.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';');
        let named = end.and_then(|end| Some((entity(behind.get(..end)?)?, behind.get(end + 1..)?)));
        rest = if let Some((c, after)) = named {
            out.push(c);
            after
        } else {
            out.push('&');
            behind
        };
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::attribute;
    use crate::connector::model::HtmlPlace;

    fn token() -> HtmlPlace {
        let with = Some(("name".to_owned(), "authenticity_token".to_owned()));
        HtmlPlace { element: "input".to_owned(), with, attribute: "value".to_owned() }
    }

    #[test]
    fn only_a_tag_shows_a_token() {
        let check = |page: &str, expected: Option<&str>| assert_eq!(attribute(page, &token()).as_deref(), expected, "{page}");
        check("", None);
        check("<input", None);
        check("<input name=authenticity_token", None);
        check("<input name=\"authenticity_token\" value=\"abc", None);
        check("<!-- <input name=authenticity_token value=no> -->", None);
        check("<script>\"<input name=authenticity_token value=no>\"</script>", None);
        check("<textarea><input name=authenticity_token value=no></textarea>", None);
        check("<input name=other value=no>", None);
        check("<input data-x='name=authenticity_token' value=no>", None);
        check("< input name=authenticity_token value=no>", None);
        check("<input name=authenticity_token>", None);
    }

    #[test]
    fn the_first_that_fits_is_read_as_a_browser_reads_it() {
        let check = |page: &str, expected: &str| assert_eq!(attribute(page, &token()).as_deref(), Some(expected), "{page}");
        check("<form><input type='hidden' name='authenticity_token' value='a+b/c==' /></form>", "a+b/c==");
        check("<INPUT NAME=authenticity_token VALUE=abc>", "abc");
        check("<input value=\"x&amp;y&#39;&#x2F;&bogus;\" name=\"authenticity_token\">", "x&y'/&bogus;");
        check("<title>a < b</title><br/><input disabled name=authenticity_token value=\"1\" value=\"2\">", "1");
        check("<p>1 < 2 <input name=authenticity_token value=3><input name=authenticity_token value=4>", "3");
        check(&format!("<p{}><input name=authenticity_token value=5>", " a=b".repeat(100)), "5");
    }

    /// Pages of a mebibyte that an application may send. Were a place looked at again for each `<`, `&` or quote behind it, one of these would be looked at for minutes.
    #[test]
    fn a_page_that_is_written_to_be_slow_is_read_once() {
        const PAGE_BYTES: usize = 1 << 20;
        let page = |before: &str, piece: &str, behind: &str| format!("{before}{}{behind}", piece.repeat(PAGE_BYTES / piece.len()));
        let none = [
            page("", "<a ", ""),
            page("", "<a b=\"", ""),
            page("", "<a b='c", ""),
            page("<a ", "b ", ""),
            page("", "<", ""),
            page("", "<a", ""),
            page("", "<!--", ""),
            page("", "<title></", ""),
            page("", "<title></titl", ""),
            page("", "<input name=authenticity_token ", ""),
            page("<input name=\"", "&", "\">"),
            page("<input ", "name=\"&amp\" ", ">"),
        ];
        for page in &none {
            assert_eq!(attribute(page, &token()), None, "{}", page.get(..40).unwrap_or_default());
        }
        let last = "<input name=authenticity_token value=x>";
        for piece in ["<a>", "< ", "<p a=b c='d'>", "<title></title>", "<1 ", "<!---->"] {
            assert_eq!(attribute(&page("", piece, last), &token()).as_deref(), Some("x"), "{piece}");
        }
        let value = "&".repeat(PAGE_BYTES);
        assert_eq!(attribute(&format!("<input name=authenticity_token value=\"{value}\">"), &token()), Some(value));
    }
}
