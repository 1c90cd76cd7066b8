//! What people and programs read of a run, all from its one stream of events.
//!
//! Not here: any decision. A report never changes what it reports.

mod annotations;
mod detection;
mod format;
mod github;
mod groups;
mod history;
mod html;
mod json;
mod junit;
mod kcidb;
mod ktap;
mod markdown;
mod plain;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub use detection::detection;
pub use format::{Format, ReportError, render, write};
pub use history::history_table;
pub(crate) use html::hides;
pub use json::Json;
pub use plain::Plain;
pub use table::table;
pub use terminal::Terminal;

use crate::run::Event;
use words::{closing, verdict_words};

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
