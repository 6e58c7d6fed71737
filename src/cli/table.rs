//! Columns of text, and moments in them, as every listing prints them.

use crate::clock::Timestamp;
use crate::observe::audit::rfc3339;

/// Rows whose cells stand under each other.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// One more row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// The text; no blanks at the end of a line.
    pub(super) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.0 {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
            cells.collect::<String>().trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

/// Without control characters: what a file is called must not steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A moment (RFC 3339) as people read it today: `09:12 UTC`, `2026-11-20 09:12 UTC`.
pub(super) fn moment(at: &str, now: Timestamp) -> String {
    let (Some(day), Some(time)) = (at.get(..10), at.get(11..16)) else { return at.to_owned() };
    if rfc3339(now).starts_with(day) { format!("{time} UTC") } else { format!("{day} {time} UTC") }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn cells_stand_under_each_other_whatever_is_in_them() {
        let mut table = Table::default();
        table.row(["a", "bb", ""].map(str::to_owned));
        table.row(["ééé", "\u{1b}[2J", "c"].map(str::to_owned));
        assert_eq!(table.render(), "a     bb\nééé   \u{fffd}[2J   c\n");
        assert_eq!(Table::default().render(), "");
    }
}
