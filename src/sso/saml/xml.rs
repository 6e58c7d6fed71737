//! A strict reading of XML into a small tree, and the tree written anew. Pure.
//!
//! Lives here: [`parse`], with its bounds, and [`Element`]. What is refused here is what two parsers could see differently: document types, processing
//! instructions, CDATA, entities of one's own, names outside of ASCII, namespaces that are no absolute address. Comments are dropped, so that text is whole
//! (attacks.md S11, S12, S25, S26). It must never know SAML: `guard.rs` does.

use super::Refused;
use quick_xml::NsReader;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, ResolveResult};
use std::fmt::Write as _;

/// Bounds of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) depth: usize,
    pub(super) elements: usize,
    /// Of one element, namespace declarations among them.
    pub(super) attributes: usize,
}

impl Limits {
    /// For what a browser brings.
    pub(super) const fn message(bytes: usize) -> Self {
        Self { bytes, depth: 40, elements: 20_000, attributes: 64 }
    }
}

/// Namespaces declared in one document: SAML messages have about ten.
const DECLARATIONS_MAX: usize = 2000;
/// Longest name of an element or attribute.
const NAME_BYTES_MAX: usize = 128;

pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// An element, its namespace resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// Namespace; empty: none.
    pub(super) ns: String,
    /// Local name.
    pub(super) name: String,
    /// As written, prefix and all: signatures are over prefixes too.
    written: String,
    /// `xmlns` and `xmlns:p`, as written.
    declarations: Vec<(String, String)>,
    /// Everything else.
    pub(super) attributes: Vec<Attribute>,
    /// In document order.
    pub(super) children: Vec<Node>,
}

/// An attribute, its value unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Namespace; empty: none.
    pub(super) ns: String,
    /// Local name.
    pub(super) name: String,
    written: String,
    /// Value.
    pub(super) value: String,
}

/// What an element holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Another element.
    Element(Element),
    /// Text, unescaped and in one piece.
    Text(String),
}

impl Element {
    /// Whether this is the element `name` of `ns`.
    pub(super) fn is(&self, ns: &str, name: &str) -> bool {
        self.ns == ns && self.name == name
    }

    /// An attribute without a namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.ns.is_empty() && attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// The elements directly in it.
    pub(super) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements `name` of `ns` directly in it.
    pub(super) fn all<'e>(&'e self, ns: &'e str, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.elements().filter(move |element| element.is(ns, name))
    }

    /// The first element `name` of `ns` directly in it.
    pub(super) fn child(&self, ns: &str, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.is(ns, name))
    }

    /// Its text; that of elements in it is not part of it.
    pub(super) fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|child| match child {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Itself and everything in it, in document order.
    pub(super) fn walk(&self, visit: &mut dyn FnMut(&Self) -> Result<(), Refused>) -> Result<(), Refused> {
        visit(self)?;
        self.elements().try_for_each(|element| element.walk(visit))
    }

    /// Written anew: well-formed, whatever it was read from.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.written);
        let attributes = self.attributes.iter().map(|attribute| (&attribute.written, &attribute.value));
        for (name, value) in self.declarations.iter().map(|(name, value)| (name, value)).chain(attributes) {
            let _infallible = write!(out, " {name}=\"");
            escape(value, true, out);
            out.push('"');
        }
        out.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write_to(out),
                Node::Text(text) => escape(text, false, out),
            }
        }
        let _infallible = write!(out, "</{}>", self.written);
    }
}

/// Escapes so that reading gives back exactly `text`: line ends and tabs that were written as references stay what they are.
pub(super) fn escape(text: &str, in_attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\n' if in_attribute => out.push_str("&#xA;"),
            '\t' if in_attribute => out.push_str("&#x9;"),
            other => out.push(other),
        }
    }
}

/// Reads a document.
///
/// # Errors
/// [`Refused`]: the rule that it breaks.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Element, Refused> {
    if bytes.len() > limits.bytes {
        return Err(Refused::new("document size", format!("{} bytes", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_no_utf8| Refused::new("encoding", "not UTF-8"))?;
    if let Some(odd) = text.chars().find(|c| !is_xml_char(*c)) {
        return Err(Refused::new("characters", format!("U+{:04X}", u32::from(odd))));
    }
    let mut reader = NsReader::from_str(text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.check_end_names = true;
    reader.resolver_mut().set_max_namespace_bindings(limits.depth * 8);
    let mut growing = Growing { limits, open: Vec::new(), root: None, elements: 0, declarations: 0, begun: false };
    loop {
        let event = reader.read_event().map_err(|error| Refused::new("well-formed", error.to_string()))?;
        match event {
            Event::Start(start) => {
                let element = growing.element(&start, &reader)?;
                growing.open.push(element);
            }
            Event::Empty(start) => {
                let element = growing.element(&start, &reader)?;
                growing.close(element)?;
            }
            Event::End(_) => {
                let element = growing.open.pop().ok_or_else(|| Refused::new("well-formed", "an end without a start"))?;
                growing.close(element)?;
            }
            Event::Text(text) => growing.text(&one_line_end(&text))?,
            Event::GeneralRef(reference) => {
                let meant = meant_by(&reference)?;
                growing.text(meant.encode_utf8(&mut [0; 4]))?;
            }
            Event::Comment(_) => growing.comment()?,
            Event::Decl(decl) => growing.declaration(&decl)?,
            Event::CData(_) => return Err(Refused::new("CDATA", "a CDATA section")),
            Event::PI(_) => return Err(Refused::new("processing instruction", "a processing instruction")),
            Event::DocType(_) => return Err(Refused::new("document type", "a DOCTYPE")),
            Event::Eof => break,
        }
        growing.begun = true;
    }
    if !growing.open.is_empty() {
        return Err(Refused::new("well-formed", "it ends in the middle"));
    }
    growing.root.ok_or_else(|| Refused::new("well-formed", "nothing in it"))
}

/// A tree being read.
struct Growing<'l> {
    limits: &'l Limits,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    declarations: usize,
    /// Whether anything came before.
    begun: bool,
}

impl Growing<'_> {
    fn element(&mut self, start: &BytesStart<'_>, reader: &NsReader<&[u8]>) -> Result<Element, Refused> {
        self.elements += 1;
        if self.open.len() >= self.limits.depth || self.elements > self.limits.elements {
            return Err(Refused::new("document size", "too deep, or too many elements"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(Refused::new("well-formed", "two roots"));
        }
        let written = qualified(start.name().into_inner())?;
        let (resolved, local) = reader.resolver().resolve_element(start.name());
        let mut element = Element {
            ns: namespace(&resolved)?,
            name: local.into_inner().to_owned(),
            written,
            declarations: Vec::new(),
            attributes: Vec::new(),
            children: Vec::new(),
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| Refused::new("well-formed", error.to_string()))?;
            let value = attribute_value(&attribute.value)?;
            let written = qualified(attribute.key.into_inner())?;
            if let Some(declared) = attribute.key.as_namespace_binding() {
                self.declarations += 1;
                element.declarations.push((written, declaration(&declared, value)?));
            } else {
                let (resolved, local) = reader.resolver().resolve_attribute(attribute.key);
                let (ns, name) = (namespace(&resolved)?, local.into_inner().to_owned());
                if element.attributes.iter().any(|other| other.ns == ns && other.name == name) {
                    return Err(Refused::new("well-formed", "an attribute twice"));
                }
                element.attributes.push(Attribute { ns, name, written, value });
            }
            if element.attributes.len() + element.declarations.len() > self.limits.attributes || self.declarations > DECLARATIONS_MAX {
                return Err(Refused::new("document size", "too many attributes or namespaces"));
            }
        }
        Ok(element)
    }

    fn close(&mut self, element: Element) -> Result<(), Refused> {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None if self.root.is_none() => self.root = Some(element),
            None => return Err(Refused::new("well-formed", "two roots")),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refused> {
        // XML 1.0 2.4: ]]> does not stand in text.
        if text.contains("]]>") {
            return Err(Refused::new("well-formed", "]]> in text"));
        }
        match self.open.last_mut() {
            Some(parent) => {
                if let Some(Node::Text(before)) = parent.children.last_mut() {
                    before.push_str(text);
                } else if !text.is_empty() {
                    parent.children.push(Node::Text(text.to_owned()));
                }
                Ok(())
            }
            None if text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) => Ok(()),
            None => Err(Refused::new("well-formed", "text outside of the root")),
        }
    }

    /// Dropped: canonicalisation leaves comments out as well, and text on both sides becomes one. None in a signature's own values
    /// (CVE-2025-29775).
    fn comment(&self) -> Result<(), Refused> {
        let in_signature = self.open.iter().any(|element| element.ns == DSIG);
        if in_signature { Err(Refused::new("comment", "a comment in a signature")) } else { Ok(()) }
    }

    fn declaration(&self, decl: &BytesDecl<'_>) -> Result<(), Refused> {
        let version = decl.version().map_err(|error| Refused::new("well-formed", error.to_string()))?;
        let encoding = decl.encoding().transpose().map_err(|error| Refused::new("well-formed", error.to_string()))?;
        if self.begun || version != "1.0" {
            return Err(Refused::new("XML declaration", "not XML 1.0, or not at the beginning"));
        }
        match encoding {
            Some(other) if !other.eq_ignore_ascii_case("utf-8") => Err(Refused::new("encoding", "it says that it is not UTF-8")),
            _ => Ok(()),
        }
    }
}

/// A name as written, when it is one of the plain ones that every parser reads the same.
fn qualified(name: &str) -> Result<String, Refused> {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let whole = name.len() <= NAME_BYTES_MAX && name.split_once(':').map_or_else(|| plain(name), |(prefix, local)| plain(prefix) && plain(local));
    if whole { Ok(name.to_owned()) } else { Err(Refused::new("name", "a name that is not plain ASCII")) }
}

fn namespace(resolved: &ResolveResult<'_>) -> Result<String, Refused> {
    match resolved {
        ResolveResult::Bound(namespace) => Ok(namespace.into_inner().to_owned()),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(_) => Err(Refused::new("namespace", "a prefix that is not declared")),
    }
}

/// The value of a declaration. Relative addresses have made canonicalisers fail and signatures hold over nothing (attacks.md S10).
fn declaration(declared: &PrefixDeclaration<'_>, value: String) -> Result<String, Refused> {
    if let PrefixDeclaration::Named(prefix) = declared
        && matches!(*prefix, "xml" | "xmlns")
    {
        return Err(Refused::new("namespace", "xml or xmlns declared anew"));
    }
    let absolute = value.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !rest.is_empty()
    });
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\''));
    if !absolute || !plain || value == XML || value == XMLNS {
        return Err(Refused::new("namespace", "a namespace that is no absolute address"));
    }
    Ok(value)
}

/// XML 1.0 3.3.3: what stands there as a space, a tab or a line end is a space; what is written as a reference is what it says.
fn attribute_value(raw: &str) -> Result<String, Refused> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<', '\t', '\n', '\r']) {
        let (before, from) = rest.split_at(at);
        value.push_str(before);
        if let Some(reference) = from.strip_prefix('&') {
            let (name, after) = reference.split_once(';').ok_or_else(|| Refused::new("well-formed", "& without ;"))?;
            value.push(meant_by(name)?);
            rest = after;
        } else if from.starts_with('<') {
            return Err(Refused::new("well-formed", "< in an attribute"));
        } else {
            value.push(' ');
            rest = from.strip_prefix("\r\n").or_else(|| from.get(1..)).unwrap_or_default();
        }
    }
    value.push_str(rest);
    Ok(value)
}

/// The five entities that need no document type, and numbers.
fn meant_by(reference: &str) -> Result<char, Refused> {
    let number = |digits: &str, radix| {
        // `from_str_radix` takes a sign.
        let plain = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)).flatten().filter(|c| is_xml_char(*c))
    };
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        other => match other.strip_prefix("#x") {
            Some(digits) => number(digits, 16),
            None => other.strip_prefix('#').and_then(|digits| number(digits, 10)),
        },
    }
    .ok_or_else(|| Refused::new("entity", "an entity that XML does not have by itself"))
}

/// XML 1.0 2.2.
const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// XML 1.0 2.11: every line end is a line feed.
fn one_line_end(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::{Limits, parse};

    fn read(text: &[u8]) -> Result<String, &'static str> {
        parse(text, &Limits { bytes: 100_000, depth: 5, elements: 50, attributes: 8 }).map(|element| element.write()).map_err(|refused| refused.check)
    }

    #[test]
    fn s11_s25_s26_what_parsers_disagree_on_is_refused() {
        let check = |text: &str, expected: &'static str| assert_eq!(read(text.as_bytes()), Err(expected), "{text:?}");
        check("", "well-formed");
        check("  ", "well-formed");
        check("text", "well-formed");
        check("<a>", "well-formed");
        check("<a></b>", "well-formed");
        check("</a>", "well-formed");
        check("<a/><b/>", "well-formed");
        check("<a/>text", "well-formed");
        check("text<a/>", "well-formed");
        check("<a b='1' b='2'/>", "well-formed");
        check("<a b=1/>", "well-formed");
        check("<a b='<'/>", "well-formed");
        check("<a b='&amp'/>", "well-formed");
        check("<a>]]></a>", "well-formed");
        check("<a><!-- -- --></a>", "well-formed");
        check("<a xmlns:p='urn:x:y' xmlns:q='urn:x:y' p:b='1' q:b='2'/>", "well-formed");
        check("<!DOCTYPE a><a/>", "document type");
        check("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "document type");
        check("<a><?php x?></a>", "processing instruction");
        check("<?xml-stylesheet href='x'?><a/>", "processing instruction");
        check("<a><![CDATA[x]]></a>", "CDATA");
        check("<a>&x;</a>", "entity");
        check("<a b='&x;'/>", "entity");
        check("<a>&#0;</a>", "entity");
        check("<a>&#x1F;</a>", "entity");
        check("<a>&#xD800;</a>", "entity");
        check("<a>&#+65;</a>", "entity");
        check("<a>&#99999999999;</a>", "entity");
        check("<a>\u{0}</a>", "characters");
        check("<a>\u{b}</a>", "characters");
        check("<a>\u{ffff}</a>", "characters");
        check("<p:a/>", "namespace");
        check("<a p:b='1'/>", "namespace");
        check("<a xmlns='relative'/>", "namespace");
        check("<a xmlns='../x'/>", "namespace");
        check("<a xmlns=''/>", "namespace");
        check("<a xmlns:p=''/>", "namespace");
        check("<a xmlns:p='urn:a b'/>", "namespace");
        check("<a xmlns:xml='urn:a:b'/>", "well-formed");
        check("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "well-formed");
        check("<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", "well-formed");
        check("<a xmlns='http://www.w3.org/2000/xmlns/'/>", "namespace");
        check("<ä/>", "name");
        check("<a:b:c xmlns:a='urn:x:y'/>", "name");
        check("<a><b><c><d><e><f/></e></d></c></b></a>", "document size");
        check("<a b1='' b2='' b3='' b4='' b5='' b6='' b7='' b8='' b9=''/>", "document size");
        check(&format!("<a>{}</a>", "<b/>".repeat(50)), "document size");
        check("<?xml version='1.1'?><a/>", "XML declaration");
        check("<!-- x --><?xml version='1.0'?><a/>", "XML declaration");
        check("<?xml version='1.0' encoding='UTF-16'?><a/>", "encoding");
        check("<?xml version='1.0' encoding='UTF-7'?><a/>", "encoding");
        assert_eq!(read(b"<a>\xff</a>"), Err("encoding"));
        assert_eq!(read("\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>().as_slice()), Err("encoding"));
        assert_eq!(read(&[b' '; 100_001]), Err("document size"));
        check("<s:Signature xmlns:s='http://www.w3.org/2000/09/xmldsig#'><s:DigestValue>a<!-- -->b</s:DigestValue></s:Signature>", "comment");
    }

    #[test]
    fn s12_text_is_whole_and_what_is_written_reads_back_the_same() {
        let check = |text: &str, expected: &str| {
            let written = read(text.as_bytes()).unwrap();
            assert_eq!(written, expected, "{text:?}");
            assert_eq!(read(written.as_bytes()).unwrap(), expected, "read back");
        };
        check("<?xml version='1.0' encoding='utf-8'?>\n<a/>\n", "<a></a>");
        check("<a>admin@x.test<!-- -->.evil.test</a>", "<a>admin@x.test.evil.test</a>");
        check("<a b=' &#10;&#9;&#13;\n\t\r\n&quot;&lt;&amp;'/>", "<a b=\" &#xA;&#x9;&#xD;   &quot;&lt;&amp;\"></a>");
        check("<a>1\r\n2\r3&#13;4 &gt; &apos;</a>", "<a>1\n2\n3&#xD;4 &gt; '</a>");
        check(
            "<p:a xmlns:p='urn:x:y' xmlns='urn:z:z' p:c='1' c='2'><b/></p:a>",
            "<p:a xmlns:p=\"urn:x:y\" xmlns=\"urn:z:z\" p:c=\"1\" c=\"2\"><b></b></p:a>",
        );
        check("<a xml:lang='en'/>", "<a xml:lang=\"en\"></a>");
    }
}
