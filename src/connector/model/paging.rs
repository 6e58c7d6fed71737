//! `paginate`, as written.

use super::read::Reader;
use super::{Body, PageStyle, Paginate};
use crate::source::{Node, Table};

pub(super) fn paginate(reader: &mut Reader<'_>, node: &Node, body: &Body) -> Option<Paginate> {
    let table = reader.table(node)?;
    reader.keys(table, "`paginate`", &["style", "items", "total", "parameter", "first", "size", "limit", "max_pages", "from", "in", "rison"]);
    let Some(style) = table.get("style") else {
        reader.error_help("missing-key", &node.span, "`paginate` needs a `style`", "offset, page, cursor or link");
        return None;
    };
    let style = reader.choice(&style.node, &[("offset", 0), ("page", 1), ("link", 2), ("cursor", 3)])?;
    let Some(items) = reader.pointer_at(table, "items") else {
        reader.error("missing-key", &node.span, "`paginate` needs `items`: where the list stands");
        return None;
    };
    let total = reader.pointer_at(table, "total");
    let pages_max = u32::try_from(reader.number_at(table, "max_pages", 20, 1, 1000)).unwrap_or(20);
    let limit = reader.number_at(table, "limit", 100, 1, 10_000);
    let style = match style {
        0 => PageStyle::Offset {
            parameter: named(reader, table, "parameter", "offset"),
            first: reader.number_at(table, "first", 0, 0, 1),
            size: named(reader, table, "size", "limit"),
            limit,
        },
        1 => PageStyle::Page {
            parameter: named(reader, table, "parameter", "page"),
            first: reader.number_at(table, "first", 1, 0, 1),
            size: named(reader, table, "size", "per_page"),
            limit,
        },
        2 => PageStyle::Link,
        _ => {
            let Some(from) = reader.pointer_at(table, "from") else {
                reader.error_help("missing-key", &node.span, "a cursor needs `from`: where the answer shows the next one", "from = \"/nextCursor\"");
                return None;
            };
            PageStyle::Cursor { parameter: named(reader, table, "parameter", "cursor"), from, size: named(reader, table, "size", "limit"), limit }
        }
    };
    let in_body = in_body(reader, table, body, &style);
    let rison = reader.text_at(table, "rison");
    if let Some(entry) = table.get("rison").filter(|_| in_body) {
        reader.error_help(
            "contradiction",
            &entry.node.span,
            "the place in the list cannot go into the query and into the body",
            "leave `in` or `rison` out",
        );
    }
    Some(Paginate { style, items, total, pages_max, in_body, rison })
}

/// `in = "body"`: for apps whose lists are asked for by POST.
fn in_body(reader: &mut Reader<'_>, table: &Table, body: &Body, style: &PageStyle) -> bool {
    let Some(entry) = table.get("in") else { return false };
    let in_body = reader.choice(&entry.node, &[("query", false), ("body", true)]).unwrap_or_default();
    let has_places = matches!(body, Body::Json(_) | Body::Form(_) | Body::JsonRpc { .. } | Body::GraphQl { .. });
    if in_body && matches!(style, PageStyle::Link) {
        reader.error_help("contradiction", &entry.node.span, "a link is an address: nothing of it goes into a body", "leave `in` out");
    } else if in_body && !has_places {
        let help = "body = {}, form, jsonrpc or graphql in this step; or leave `in` out";
        reader.error_help("missing-key", &entry.node.span, "there is no body that the place in the list could go into", help);
    }
    in_body
}

fn named(reader: &mut Reader<'_>, table: &Table, key: &str, usual: &str) -> String {
    reader.text_at(table, key).unwrap_or_else(|| usual.to_owned())
}
