//! What people and programs read of a run, all from its one stream of events.
//!
//! Not here: any decision. A report never changes what it reports.

mod detection;
mod json;
mod markdown;
mod plain;
mod table;
mod terminal;

pub use detection::detection;
pub use json::Json;
pub use plain::Plain;
pub use table::table;
pub use terminal::Terminal;

use crate::run::{CellRecord, Event};

/// Something that shows events as they come.
pub trait Reporter: Send {
    /// Shows one event. A reader that went away (a closed pipe) is no reason to stop the run.
    fn event(&mut self, event: &Event);
}

/// The reporter for where output goes: `--json`, a terminal, or anything else.
#[must_use]
pub fn for_output(json: bool, terminal: bool) -> Box<dyn Reporter> {
    match (json, terminal) {
        (true, _) => Box::new(Json::new(std::io::stdout())),
        (false, true) => Box::new(Terminal::new()),
        (false, false) => Box::new(Plain::new(std::io::stdout())),
    }
}

/// `PASS`, `FAIL` …, and whether that was expected, as tables show it.
fn verdict_words(cell: &CellRecord) -> String {
    let word = cell.verdict.to_uppercase();
    match (cell.as_expected, cell.verdict.as_str()) {
        (true, "pass") => word,
        (true, _) => format!("{word} (as expected)"),
        (false, _) => format!("{word} (not expected)"),
    }
}

/// One line for a cell that is done: also what a log shows.
fn cell_line(cell: &CellRecord) -> String {
    let mut line = format!("{}: {}", cell.id, verdict_words(cell));
    if !cell.reason.is_empty() {
        line.push_str(&format!(": {}", cell.reason));
    }
    if let Some(detect_s) = cell.detect_s {
        line.push_str(&format!(", after {detect_s:.1} s"));
    }
    line
}
