//! What people and programs read of a hunt: text, JSON, one self-contained HTML page, the mail, git's log. All of
//! them are pure functions of what is kept: beliefs are found by searching again, trial by trial.
//!
//! Not here: what is told while it goes on (that is the command's).

mod html;
mod live;
mod mail;
mod text;
mod view;
pub mod words;

pub use live::Live;
pub use view::View;

use super::folder::{Folder, Kept};
use super::range::Range;
use crate::bisect::gitlog;
use crate::host::fs::write_atomic;
use std::path::Path;

/// A format that a report can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
    /// One self-contained page.
    Html,
    /// A mail to those whom it concerns.
    Mail,
    /// What `git bisect replay` takes.
    Log,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Text, Self::Json, Self::Html, Self::Mail, Self::Log];

    /// The word by which it is asked for.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Html => "html",
            Self::Mail => "mail",
            Self::Log => "log",
        }
    }

    /// The file of the hunt's folder that holds it.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Text => "report.txt",
            Self::Json => "report.json",
            Self::Html => "report.html",
            Self::Mail => "mail.txt",
            Self::Log => "bisect.log",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.word() == word)
            .ok_or_else(|| {
                let words: Vec<&str> = Self::ALL.iter().map(|f| f.word()).collect();
                format!("a search's report is one of {}", words.join(", "))
            })
    }
}

/// Writes a report in a format; empty where there is nothing to say in it (a mail without an
/// answer, git's log of what is not in git).
///
/// # Errors
/// In the template's words.
pub fn render(view: &View, kept: &Kept, format: Format) -> Result<String, String> {
    Ok(match format {
        Format::Text => text::text(view),
        Format::Json => serde_json::to_string_pretty(&view.object()).map_err(|e| e.to_string())? + "\n",
        Format::Html => html::html(view).map_err(|e| e.to_string())?,
        Format::Mail => mail::mail(view).unwrap_or_default(),
        Format::Log if !matches!(kept.header.range, Range::Git { .. }) => String::new(),
        Format::Log => gitlog::write(&kept.search, |c| words::plain(&kept.subject(c))),
    })
}

/// Writes every report into the hunt's folder.
///
/// # Errors
/// Which one could not be written, and why.
pub fn write_all(folder: &Folder, kept: &Kept) -> Result<(), String> {
    let view = View::of(&folder.id(), kept);
    for format in Format::ALL {
        let text = render(&view, kept, format)?;
        if !text.is_empty() {
            folder
                .write(format.file(), text.as_bytes())
                .map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Writes the report of a hunt's folder to a file, whole or not at all.
///
/// # Errors
/// Why not.
pub fn write_to(dir: &Path, format: Format, file: &Path) -> Result<(), String> {
    let kept = Kept::read(dir).map_err(|e| e.to_string())?;
    let id = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let text = render(&View::of(&id, &kept), &kept, format)?;
    write_atomic(file, text.as_bytes()).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests;
