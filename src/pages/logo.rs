//! The operator's logo, as a `data:` address.
//!
//! Lives here: [`data_address`], which refuses what would run or load anything. A browser runs no script in an `<img>` and the pages' policy allows none
//! either; the file is looked at all the same, because people save images from pages, and because a logo that needs other files would be an empty square.

use super::markup::{Tag, Token, tokens};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Largest file, bytes: it is part of every page.
pub const LOGO_BYTES_MAX: usize = 64 << 10;

/// Why an image is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Larger than [`LOGO_BYTES_MAX`].
    #[error("the image has {0} bytes, and {LOGO_BYTES_MAX} are allowed: it is part of every page")]
    TooLarge(usize),
    /// Neither of the two formats.
    #[error("this is neither an SVG nor a PNG image")]
    UnknownFormat,
    /// A tag or comment that does not end.
    #[error("the SVG is broken: a {0} does not end")]
    Broken(&'static str),
    /// Something that runs.
    #[error("the SVG carries <{0}>, which no logo needs")]
    Element(String),
    /// An event handler.
    #[error("the SVG carries the event handler {0}")]
    Handler(String),
    /// A reference to another file.
    #[error("the SVG refers to something outside itself: {0}")]
    External(String),
    /// A document type, which can define entities.
    #[error("the SVG carries {0}")]
    Declaration(String),
}

/// `data:image/…;base64,…` of an SVG or PNG file.
///
/// # Errors
/// [`LogoError`], by variant.
pub fn data_address(bytes: &[u8]) -> Result<String, LogoError> {
    if bytes.len() > LOGO_BYTES_MAX {
        return Err(LogoError::TooLarge(bytes.len()));
    }
    let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "png"
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_not_text| LogoError::UnknownFormat)?;
        harmless(text.trim_start_matches('\u{feff}'))?;
        "svg+xml"
    };
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

fn harmless(text: &str) -> Result<(), LogoError> {
    let tokens = tokens(text).map_err(|error| LogoError::Broken(error.what))?;
    let root = tokens.iter().find_map(|token| if let Token::Tag(tag) = token { Some(tag) } else { None });
    if root.is_none_or(|root| root.name != "svg") {
        return Err(LogoError::UnknownFormat);
    }
    for token in &tokens {
        match token {
            Token::Tag(tag) => harmless_tag(text, tag)?,
            Token::Style(range) => harmless_style(text.get(range.clone()).unwrap_or_default())?,
            Token::Declaration(range) => {
                let written = text.get(range.clone()).unwrap_or_default().to_ascii_lowercase();
                let harmless = written.starts_with("<?xml ") || written.starts_with("<!doctype svg") && !written.contains('[');
                if !harmless {
                    return Err(LogoError::Declaration(super::shown::name(&written)));
                }
            }
            Token::Text { .. } | Token::Comment(_) => {}
        }
    }
    Ok(())
}

fn harmless_tag(text: &str, tag: &Tag) -> Result<(), LogoError> {
    // A namespace prefix changes the name, not the element.
    let name = local(&tag.name);
    if matches!(name, "script" | "foreignobject" | "iframe" | "object" | "embed" | "audio" | "video" | "handler" | "listener") {
        return Err(LogoError::Element(super::shown::name(&tag.name)));
    }
    for attribute in &tag.attributes {
        let value = text.get(attribute.value.clone()).unwrap_or_default();
        if local(&attribute.name).starts_with("on") {
            return Err(LogoError::Handler(super::shown::name(&attribute.name)));
        }
        // Anything but a part of this file or a bitmap inside it; entities that hide a scheme are "anything".
        let inside = value.starts_with('#') || ["data:image/png;", "data:image/jpeg;"].iter().any(|start| value.starts_with(start));
        if matches!(local(&attribute.name), "href" | "src") && !inside {
            return Err(LogoError::External(super::shown::name(value)));
        }
        // SMIL can set a link after the fact.
        if attribute.name == "attributename" && local(&value.to_ascii_lowercase()) == "href" {
            return Err(LogoError::External(super::shown::name(value)));
        }
        harmless_style(value)?;
    }
    Ok(())
}

/// `url(#gradient)` is a part of the file; every other `url(…)`, `@import` and an escape that could spell one is not.
fn harmless_style(style: &str) -> Result<(), LogoError> {
    let lower = style.to_ascii_lowercase();
    let outside = lower.split("url(").skip(1).any(|rest| !rest.trim_start_matches([' ', '"', '\'']).starts_with('#'));
    if outside || lower.contains("@import") || lower.contains("image-set(") || lower.contains('\\') {
        return Err(LogoError::External(super::shown::name(style)));
    }
    Ok(())
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests {
    use super::{LOGO_BYTES_MAX, data_address};

    #[test]
    fn an_image_that_runs_or_loads_anything_is_refused() {
        let check = |bytes: &[u8], expected: &str| {
            let error = data_address(bytes).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let svg = |inner: &str, expected: &str| check(format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{inner}</svg>").as_bytes(), expected);
        check(&vec![b' '; LOGO_BYTES_MAX + 1], "65537 bytes");
        check(b"GIF89a", "neither");
        check(b"\xff\xfe<svg/>", "neither");
        check(b"", "neither");
        check(b"<html><svg/></html>", "neither");
        check(b"<svg", "a tag does not end");
        check(b"<!DOCTYPE svg [<!ENTITY x \"y\">]><svg/>", "<!doctype svg [");
        check(b"<?xml-stylesheet href=\"https://evil.example/x.css\"?><svg/>", "<?xml-stylesheet");
        svg("<script>alert(1)</script>", "<script>");
        svg("<SCRIPT/>", "<script>");
        svg("<x:script/>", "<x:script>");
        svg("<foreignObject/>", "<foreignobject>");
        svg("<g onload=\"alert(1)\"/>", "onload");
        svg("<g ONclick=alert(1)>", "onclick");
        svg("<image href=\"https://evil.example/x.png\"/>", "https://evil.example/x.png");
        svg("<use xlink:href=\"other.svg#x\"/>", "other.svg#x");
        svg("<a href=\"javascript:alert(1)\"/>", "javascript:");
        svg("<a href=\"&#106;avascript:alert(1)\"/>", "&#106;");
        svg("<image href=\"data:image/svg+xml,x\"/>", "data:image/svg+xml");
        svg("<rect fill=\"url(https://evil.example/#x)\"/>", "evil.example");
        svg("<rect style=\"background:url('//evil.example')\"/>", "evil.example");
        svg("<style>@import 'x.css';</style>", "@import");
        svg("<style>a{b:u\\72l(x)}</style>", "u\\72l");
        svg("<set attributeName=\"xlink:href\" to=\"x\"/>", "xlink:href");
    }

    #[test]
    fn a_harmless_image_is_part_of_the_page() {
        let check = |bytes: &[u8], expected: &str| assert!(data_address(bytes).expect("accepted").starts_with(expected));
        check(b"\x89PNG\r\n\x1a\nrest", "data:image/png;base64,iVBORw0KGgpyZXN0");
        check(b"<svg/>", "data:image/svg+xml;base64,PHN2Zy8+");
        let svg = "<?xml version=\"1.0\"?><!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x.dtd\"><!-- made by hand -->\
                   <svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"><style>a{fill:url(#g)}</style>\
                   <g fill=\"url( '#g')\"><use xlink:href=\"#x\"/><image href=\"data:image/png;base64,AA==\"/></g></svg>";
        check(svg.as_bytes(), "data:image/svg+xml;base64,");
    }
}
