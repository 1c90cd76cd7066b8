//! The formats that a run's record can be written in, and writing them.

use super::{annotations, detection, github, html, junit, kcidb, ktap, table};
use crate::host;
use crate::store::Record;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A format of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The tables that `run` ends with.
    Text,
    /// KTAP 1, as the kernel's own tests write it.
    Ktap,
    /// JUnit XML, as GitLab, Jenkins and others read it.
    Junit,
    /// JSON for KernelCI's database.
    Kcidb,
    /// One page for people, with nothing outside of it.
    Html,
    /// Markdown for a GitHub step summary.
    Github,
    /// Workflow commands that GitHub makes annotations of.
    Annotations,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// The record could not be read.
    #[error("{path}: {source}", path = .path.display())]
    #[diagnostic(help("a run's folder holds events.jsonl; was it removed, or is it another folder?"))]
    Record {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record has no run in it.
    #[error("{path} tells of no run", path = .0.display())]
    #[diagnostic(help("nothing was recorded yet, or the file is of another version of patchproof"))]
    Empty(PathBuf),
    /// The report could not be written.
    #[error("could not write the report to {path}: {source}", path = .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Our own fault.
    #[error("could not make the {0} report: {1}")]
    Own(&'static str, String),
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Ktap,
        Self::Junit,
        Self::Kcidb,
        Self::Html,
        Self::Github,
        Self::Annotations,
    ];

    /// Its word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ktap => "ktap",
            Self::Junit => "junit",
            Self::Kcidb => "kcidb",
            Self::Html => "html",
            Self::Github => "github",
            Self::Annotations => "annotations",
        }
    }

    /// Makes the report of a run, as one text that ends with a newline.
    ///
    /// # Errors
    /// [`ReportError::Own`].
    pub fn render(self, record: &Record) -> Result<String, ReportError> {
        match self {
            Self::Text => Ok(text(record)),
            Self::Ktap => Ok(ktap::ktap(record)),
            Self::Junit => junit::junit(record).map_err(|e| ReportError::Own("JUnit", e.to_string())),
            Self::Kcidb => Ok(kcidb::kcidb(record)),
            Self::Html => html::html(record).map_err(|e| ReportError::Own("HTML", format!("{e:#}"))),
            Self::Github => Ok(github::github(record)),
            Self::Annotations => Ok(annotations::annotations(record)),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let words = || Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|format| format.word() == word)
            .ok_or_else(|| format!("there is no format {word:?}; there are {}", words()))
    }
}

/// Makes a report of the run in `dir`, as one text that ends with a newline.
///
/// # Errors
/// [`ReportError`].
pub fn render(dir: &Path, format: Format) -> Result<String, ReportError> {
    let events = dir.join("events.jsonl");
    match Record::read(dir) {
        Ok(record) if record.run.is_empty() => Err(ReportError::Empty(events)),
        Ok(record) => format.render(&record),
        Err(source) => Err(ReportError::Record { path: events, source }),
    }
}

/// Writes a report of the run in `dir`, whole or not at all: to a file, or to standard output.
///
/// # Errors
/// [`ReportError`].
pub fn write(dir: &Path, format: Format, to: Option<&Path>) -> Result<(), ReportError> {
    let text = render(dir, format)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Write { path, source }
    };
    match to {
        Some(path) => host::fs::write_atomic(path, text.as_bytes()).map_err(failed(path)),
        None => {
            let mut out = io::stdout().lock();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                // A reader that has seen enough.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => other.map_err(failed(Path::new("standard output"))),
            }
        }
    }
}

fn text(record: &Record) -> String {
    let summary = record.summary();
    let mut lines = vec![format!("run {} of {}", record.run, record.spec.display())];
    for table in [table(&summary), detection(&summary)] {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table);
        }
    }
    lines.push(String::new());
    for cell in summary.cells.iter().filter(|c| !c.as_expected) {
        lines.push(format!("to repeat {}: {}", cell.id, cell.repeat));
    }
    lines.push(super::closing(record).to_owned());
    lines.join("\n") + "\n"
}
