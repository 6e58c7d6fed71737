//! `[bearer]`: whose access tokens are accepted.

use super::known_idp;
use crate::policy::Bearer;
use crate::source::{Reader, Table};

/// `[bearer]`.
pub(super) fn bearer(reader: &mut Reader<'_>, tree: &Table, idps: Option<&[String]>) -> Option<Bearer> {
    let entry = tree.get("bearer")?;
    let table = entry.node.as_table()?;
    if let Some(node) = table.node("idp") {
        known_idp(reader, node, idps);
    }
    if let Some(node) = table.node("scopes")
        && node.as_list().is_some_and(<[_]>::is_empty)
    {
        reader.error("empty-list", &node.span, "bearer.scopes is an empty list", "leave the key out, or name at least one");
    }
    for node in table.text_nodes("scopes") {
        let written = node.as_text().unwrap_or_default();
        // RFC 6749 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
        if !written.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
            reader.error(
                "bad-value",
                &node.span,
                format!("`{written}` is not a value of bearer.scopes"),
                "one scope a text, without blanks and quotes",
            );
        }
    }
    let accepted = tree.sections("path").iter().any(|(_, path)| path.texts("auth").iter().any(|way| way == "bearer"));
    if !accepted {
        let help = "write auth = [\"bearer\", \"session\"] into the [[path]] sections that scripts may reach";
        reader.warning("no-effect", &entry.node.span, "no [[path]] accepts tokens, so [bearer] has no effect", help);
    }
    Some(Bearer {
        idp: table.text("idp")?.to_owned(),
        audience: table.text("audience")?.to_owned(),
        scopes: table.texts("scopes"),
        provision: table.flag("provision") == Some(true),
    })
}
