//! Markdown for a GitHub step summary: what did not come out as expected first, all cells folded below.

use super::words::{closing, count, cut, not_run, short, tame, verdict_words};
use crate::run::CellRecord;
use crate::store::Record;

/// Cells that are told one by one; GitHub takes no summary above 1 MiB.
const CELLS_MAX: usize = 1000;
const TITLE_CHARS_MAX: usize = 200;

pub(super) fn github(record: &Record) -> String {
    let mut out = format!("## Patchproof: {}\n\n", text(closing(record)));
    let cells: Vec<&CellRecord> = record.results().map(|(_, cell)| cell).collect();
    let pages: u64 = cells.iter().map(|c| c.pages_verified).sum();
    let trips: u64 = cells.iter().map(|c| c.round_trips).sum();
    let guest_s: f64 = cells.iter().map(|c| c.guest_s).sum();
    out.push_str(&format!(
        "{}, {} pages verified, {} round trips, {:.1} minutes of pressure. Run `{}`.\n",
        count(cells.len(), "cell"),
        super::table::grouped(pages),
        super::table::grouped(trips),
        guest_s / 60.0,
        record.run.replace('`', "'"),
    ));
    for note in &record.notes {
        out.push_str(&format!("\n> {}\n", text(note)));
    }
    if !record.not_run.is_empty() {
        let left_out = count(record.not_run.len(), "cell");
        out.push_str(&format!("\n**{left_out} {}**\n", text(&not_run(record))));
    }
    let wrong: Vec<&&CellRecord> = cells.iter().filter(|c| !c.as_expected).collect();
    if !wrong.is_empty() {
        out.push_str("\n### Not as expected\n\n");
        for cell in wrong.iter().take(CELLS_MAX) {
            out.push_str(&format!("- **{}**: {}", text(&cell.id), title(cell)));
            out.push_str(&format!("<br>`{}`\n", tame(&cell.repeat).replace('`', "'")));
        }
        more(&mut out, wrong.len());
    }
    out.push_str("\n<details><summary>All cells</summary>\n\n");
    out.push_str("| cell | verdict | finding | found after | round trips |\n|---|---|---|---:|---:|\n");
    for cell in cells.iter().take(CELLS_MAX) {
        let after = cell.detect_s.map_or_else(String::new, |s| format!("{s:.1} s"));
        let trips = super::table::grouped(cell.round_trips);
        out.push_str(&format!(
            "| {} | {} | {} | {after} | {trips} |\n",
            text(&cell.id),
            verdict_words(cell),
            if cell.findings.is_empty() && cell.reason.is_empty() {
                String::new()
            } else {
                title(cell)
            }
        ));
    }
    more(&mut out, cells.len());
    for id in record.not_run.iter().take(CELLS_MAX) {
        out.push_str(&format!("| {} | not run | | | |\n", text(id)));
    }
    out.push_str("\n</details>\n");
    out
}

fn title(cell: &CellRecord) -> String {
    text(cut(&short(cell), TITLE_CHARS_MAX))
}

fn more(out: &mut String, all: usize) {
    if all > CELLS_MAX {
        out.push_str(&format!("\n{} more are in the run's folder.\n", all - CELLS_MAX));
    }
}

/// Text of anybody as text: nothing of it is markup, a link, or a new cell.
fn text(of: &str) -> String {
    let mut out = String::with_capacity(of.len());
    for c in tame(of).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' => out.push_str("&#124;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // A bare address would become a link.
            ':' => out.push_str("&#58;"),
            c => out.push(c),
        }
    }
    out
}
