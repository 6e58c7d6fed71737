//! An answer in XML as the tree that everything else here reads.
//!
//! Lives here: [`parse`], which makes of a document what JSON would have said, and [`write`], its inverse for answers that are made up for show. Apart because XML has
//! ways to be huge and ambiguous that a tree has not. What comes from the app is bounded in depth, elements and attributes, read once from front to back, and has no
//! document type: there is nothing to expand and nothing to fetch.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;

const DEPTH_MAX: usize = 64;
const ELEMENTS_MAX: usize = 50_000;
/// Of one element.
const ATTRIBUTES_MAX: usize = 64;
/// Before the name of an attribute.
const ATTRIBUTE: char = '@';
/// The text of an element that has attributes or children too.
const TEXT: &str = "#text";

/// An element being read.
struct Open {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<(String, Value)>,
    text: String,
}

/// The document as a tree: `{ "ocs": { "meta": { "statuscode": "100" } } }`. Names are without their prefixes; an element with nothing but text is that text; an attribute
/// is a member `@name`, text beside it `#text`; children of one name are a list when there are several. An element whose name is one of `lists` is the list of its
/// children, however few there are. `None`: it is no such document, has a document type, is too deep or too large, or a page for people (`html`).
pub(super) fn parse(body: &[u8], lists: &[String]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().check_end_names = true;
    let (mut open, mut root, mut elements): (Vec<Open>, Option<(String, Value)>, usize) = (Vec::new(), None, 0);
    loop {
        let ended = match reader.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                open.push(begun(&start)?);
                None
            }
            Event::Empty(start) => {
                elements += 1;
                Some(begun(&start)?)
            }
            Event::End(_) => Some(open.pop()?),
            Event::Text(text) => {
                told(&mut open, &text)?;
                None
            }
            Event::CData(text) => {
                told(&mut open, &text)?;
                None
            }
            Event::GeneralRef(name) => {
                match name.resolve_char_ref().ok()? {
                    Some(c) => told(&mut open, c.encode_utf8(&mut [0; 4]))?,
                    None => told(&mut open, resolve_predefined_entity(&name)?)?,
                }
                None
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::DocType(_) => return None,
            Event::Eof => break,
        };
        if open.len() > DEPTH_MAX || elements > ELEMENTS_MAX {
            return None;
        }
        let Some(ended) = ended else { continue };
        let (name, value) = closed(ended, lists);
        match open.last_mut() {
            Some(parent) => parent.children.push((name, value)),
            None if root.is_none() => root = Some((name, value)),
            // Two roots.
            None => return None,
        }
    }
    let (name, value) = root.filter(|(name, _)| open.is_empty() && !name.eq_ignore_ascii_case("html"))?;
    Some(Value::Object(Map::from_iter([(name, value)])))
}

fn begun(start: &BytesStart<'_>) -> Option<Open> {
    let mut attributes = Vec::new();
    // Which are there twice is not looked for: it costs the square of their number.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        if attributes.len() == ATTRIBUTES_MAX {
            return None;
        }
        if attribute.key.as_namespace_binding().is_none() {
            let name = format!("{ATTRIBUTE}{}", attribute.key.local_name().into_inner());
            attributes.push((name, unescape(&attribute.value).ok()?.into_owned()));
        }
    }
    Some(Open { name: start.local_name().into_inner().to_owned(), attributes, children: Vec::new(), text: String::new() })
}

/// Text outside of the root is nothing but space.
fn told(open: &mut [Open], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) => {
            element.text.push_str(text);
            Some(())
        }
        None => text.trim().is_empty().then_some(()),
    }
}

fn closed(element: Open, lists: &[String]) -> (String, Value) {
    let text = element.text.trim();
    if lists.contains(&element.name) {
        return (element.name, element.children.into_iter().map(|(_, child)| child).collect());
    }
    if element.children.is_empty() && element.attributes.is_empty() {
        return (element.name, Value::from(text));
    }
    let mut members: Map<String, Value> = element.attributes.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    if !text.is_empty() {
        members.insert(TEXT.to_owned(), Value::from(text));
    }
    let mut of_name: HashMap<String, usize> = HashMap::new();
    for (name, _) in &element.children {
        *of_name.entry(name.clone()).or_default() += 1;
    }
    for (name, child) in element.children {
        if of_name.get(&name) == Some(&1) {
            members.insert(name, child);
        } else if let Value::Array(list) = members.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(child);
        }
    }
    (element.name, Value::Object(members))
}

/// A tree as a document that [`parse`] reads back, but that all values are text then.
pub(super) fn write(whole: &Value, lists: &[String]) -> String {
    let mut out = String::new();
    match whole.as_object().and_then(|members| members.iter().next()) {
        Some((name, value)) => element(&mut out, name, value, lists),
        None => element(&mut out, "answer", whole, lists),
    }
    out
}

fn element(out: &mut String, name: &str, value: &Value, lists: &[String]) {
    let is_list = lists.iter().any(|list| list == name);
    if let (Value::Array(list), false) = (value, is_list) {
        return list.iter().for_each(|one| element(out, name, one, lists));
    }
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    if value.is_null() || !plain(name) {
        return;
    }
    let _infallible = write!(out, "<{name}");
    let members = value.as_object();
    for (key, attribute) in members.into_iter().flatten() {
        if let Some(key) = key.strip_prefix(ATTRIBUTE).filter(|key| plain(key)) {
            let _infallible = write!(out, " {key}=\"{}\"", quick_xml::escape::escape(text_of(attribute).as_str()));
        }
    }
    out.push('>');
    match value {
        Value::Array(list) => list.iter().for_each(|one| element(out, "element", one, lists)),
        Value::Object(members) => {
            for (key, child) in members.iter().filter(|(key, _)| !key.starts_with(ATTRIBUTE)) {
                if key == TEXT {
                    out.push_str(&quick_xml::escape::escape(text_of(child).as_str()));
                } else {
                    element(out, key, child, lists);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&quick_xml::escape::escape(text_of(value).as_str())),
    }
    let _infallible = write!(out, "</{name}>");
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{parse, write};
    use serde_json::{Value, json};

    fn lists() -> Vec<String> {
        vec!["groups".to_owned()]
    }

    #[test]
    fn what_is_no_plain_document_is_no_answer() {
        let check = |text: &str| assert_eq!(parse(text.as_bytes(), &[]), None, "{}", text.get(..60).unwrap_or(text));
        check("");
        check("  ");
        check("{\"a\":1}");
        check("<a>");
        check("<a></b>");
        check("<a/><b/>");
        check("<a/>text");
        check("<a>&unknown;</a>");
        check("<a b='&unknown;'/>");
        check("<!DOCTYPE a><a/>");
        check("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>");
        check("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>");
        check("<html><body>log in</body></html>");
        check("<HTML/>");
        assert_eq!(parse(b"<a>\xff</a>", &[]), None);
        check(&format!("{}{}", "<a>".repeat(65), "</a>".repeat(65)));
        check(&format!("<a>{}</a>", "<b/>".repeat(50_000)));
        check(&format!("<a{}/>", (0..65).map(|n| format!(" b{n}='c'")).collect::<Vec<_>>().concat()));
    }

    #[test]
    fn a_document_is_what_json_would_have_said() {
        let check = |text: &str, expected: Value| assert_eq!(parse(text.as_bytes(), &lists()), Some(expected), "{text}");
        check("<a/>", json!({ "a": "" }));
        check("\u{feff}<?xml version=\"1.0\"?>\n<!-- x --><a> 1 &lt;<![CDATA[&2]]>&#x33; </a>\n", json!({ "a": "1 <&23" }));
        check("<d:a xmlns:d='x'><d:b>1</d:b><c>2</c></d:a>", json!({ "a": { "b": "1", "c": "2" } }));
        check("<a><b>1</b><c/><b>2</b></a>", json!({ "a": { "b": ["1", "2"], "c": "" } }));
        check("<a><b id='7&amp;8' id='9'>x</b></a>", json!({ "a": { "b": { "@id": "9", "#text": "x" } } }));
        check("<a><groups/></a>", json!({ "a": { "groups": [] } }));
        check("<a><groups><element>x</element></groups></a>", json!({ "a": { "groups": ["x"] } }));
        check("<a><groups><b>x</b><c>y</c></groups><groups/></a>", json!({ "a": { "groups": [["x", "y"], []] } }));
        check(&format!("{}{}", "<a>".repeat(2), "</a>".repeat(2)), json!({ "a": { "a": "" } }));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let check = |whole: Value| assert_eq!(parse(write(&whole, &lists()).as_bytes(), &lists()), Some(whole.clone()), "{whole}");
        check(json!({ "ocs": { "meta": { "statuscode": "100" }, "data": { "id": "a<&>\"'", "groups": ["admin"] } } }));
        check(json!({ "a": { "@id": "1\"", "#text": "x", "b": ["1", "2"], "groups": [] } }));
        assert_eq!(write(&json!({ "a": { "b": 1, "c": null, "d e": "x", "/": 1 } }), &[]), "<a><b>1</b></a>");
    }

    /// Answers of a mebibyte that an application may send: each is read once.
    #[test]
    fn an_answer_that_is_written_to_be_slow_is_read_once() {
        const BYTES: usize = 1 << 20;
        for piece in ["<a>", "<a ", "<a b='", "&", "&amp;", "<!--", "<![CDATA[", "<a b='c' ", "b='c' "] {
            for before in ["", "<a ", "<a>"] {
                assert_eq!(parse(format!("{before}{}", piece.repeat(BYTES / piece.len())).as_bytes(), &[]), None, "{before}{piece}");
            }
        }
        let names = (0..40_000).map(|n| format!("<n{n}>1</n{n}>")).collect::<Vec<_>>().concat();
        let read = parse(format!("<a>{names}</a>").as_bytes(), &[]).unwrap_or_default();
        assert_eq!(read.pointer("/a").and_then(Value::as_object).map(serde_json::Map::len), Some(40_000));
        let text = "&amp;".repeat(BYTES / 5);
        let read = parse(format!("<a b='{text}'>{text}</a>").as_bytes(), &[]).unwrap_or_default();
        assert_eq!(read.pointer("/a/#text").and_then(Value::as_str).map(str::len), Some(BYTES / 5));
    }
}
