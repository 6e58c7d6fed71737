//! The scenarios as a table, and for programs.

use super::{Row, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A table: scenario, verdict, what was seen.
pub fn table(name: &str, rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.scenario.chars().count()).max().unwrap_or_default();
    let mut out = format!("{name}\n\n");
    for row in rows {
        let (word, seen) = words(&row.verdict);
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "  {:width$}  {word:<6}  {seen}", row.scenario);
    }
    let count = |wanted: &str| rows.iter().filter(|row| words(&row.verdict).0 == wanted).count();
    let _infallible = writeln!(out, "\n{} ok, {} not applicable, {} failed", count("ok"), count("-"), count("FAILED"));
    out
}

/// The same for programs.
pub fn json(name: &str, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let (word, seen) = words(&row.verdict);
        let word = if word == "-" { "not applicable" } else { word };
        json!({ "scenario": row.scenario, "verdict": word.to_lowercase(), "seen": seen })
    };
    json!({ "connector": name, "scenarios": rows.iter().map(row).collect::<Vec<_>>() })
}

const fn words(verdict: &Verdict) -> (&'static str, &String) {
    match verdict {
        Verdict::Held(seen) => ("ok", seen),
        Verdict::NotApplicable(why) => ("-", why),
        Verdict::Failed(seen) => ("FAILED", seen),
    }
}

/// Whether nothing failed.
pub fn is_good(rows: &[Row]) -> bool {
    !rows.iter().any(|row| matches!(row.verdict, Verdict::Failed(_)))
}
