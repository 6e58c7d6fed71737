//! `paginate`, as written.

use super::read::Reader;
use super::{PageStyle, Paginate};
use crate::source::{Node, Table};

pub(super) fn paginate(reader: &mut Reader<'_>, node: &Node) -> Option<Paginate> {
    let table = reader.table(node)?;
    reader.keys(table, "`paginate`", &["style", "items", "total", "parameter", "first", "size", "limit", "max_pages", "from", "rison"]);
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
    let rison = reader.text_at(table, "rison");
    Some(Paginate { style, items, total, pages_max, rison })
}

fn named(reader: &mut Reader<'_>, table: &Table, key: &str, usual: &str) -> String {
    reader.text_at(table, key).unwrap_or_else(|| usual.to_owned())
}
