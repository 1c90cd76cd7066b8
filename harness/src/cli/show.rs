//! How failures of a command are shown, and which exit code they have: one table.

use crate::host::dirs::DirsError;
use crate::hunt::HuntError;
use crate::kernel::lines::LinesError;
use crate::machine::ssh::SshError;
use crate::plan::PlanError;
use crate::report::ReportError;
use crate::run::{RunError, ShellError};
use crate::series::CheckError;
use crate::source::CacheError;
use crate::spec::SpecError;
use crate::store::history::HistoryError;
use crate::store::{MergeError, StoreError};
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command could not do its work (a kernel that fails is not among the reasons).
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum Failure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Dirs(#[from] DirsError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    History(#[from] HistoryError),
    #[error("{matrix}: no folder at or above it has kconfigs/ and patches/", matrix = .0.display())]
    #[diagnostic(help("name it with --root DIR"))]
    NoRoot(PathBuf),
    #[error("the run has no cell {0}")]
    #[diagnostic(help(
        "`patchproof list` prints the cells of a matrix; summary.json in the run's folder those of a run"
    ))]
    NoCell(String),
    #[error("{0}")]
    #[diagnostic(help("`patchproof list MATRIX` prints kernels and cells; --matrix names another matrix"))]
    NoTarget(String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Shell(#[from] ShellError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lines(#[from] LinesError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ssh(#[from] SshError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Series(#[from] CheckError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ci(#[from] crate::ci::Unfit),
    #[error("{path} holds no durations: {why}", path = .0.display(), why = .1)]
    #[diagnostic(help("`patchproof history --durations` writes such a file"))]
    Durations(PathBuf, String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Hunt(#[from] HuntError),
    #[error("PATCHPROOF_CACHE_SIZE={0:?}: {1}")]
    Limit(String, String),
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    File(PathBuf, std::io::Error),
    #[error("{0}")]
    #[diagnostic(help("the harness could not do its own work; nothing is said about any kernel"))]
    Own(String),
}

impl Failure {
    /// 2 usage or matrix error, 3 infrastructure.
    fn code(&self) -> u8 {
        match self {
            Self::Spec(_) | Self::Plan(_) | Self::NoRoot(_) | Self::NoCell(_) | Self::Limit(..) => 2,
            Self::NoTarget(_) | Self::Usage(_) | Self::Durations(..) | Self::Ci(_) => 2,
            Self::Series(CheckError::Run(_)) => 3,
            Self::Series(_) => 2,
            Self::Merge(MergeError::Store(_)) => 3,
            Self::Merge(_) => 2,
            Self::Hunt(error) if error.is_usage() => 2,
            Self::Store(StoreError::NoRun { .. } | StoreError::Busy { .. }) => 2,
            Self::Run(_)
            | Self::Store(_)
            | Self::Report(_)
            | Self::History(_)
            | Self::Cache(_)
            | Self::Dirs(_)
            | Self::Shell(_)
            | Self::Lines(_)
            | Self::Ssh(_)
            | Self::Hunt(_)
            | Self::File(..)
            | Self::Own(_) => 3,
        }
    }

    /// Text for logs and programs: every problem with file, line and column.
    fn plain(&self) -> String {
        match self {
            Self::Spec(e) => e.render_plain(),
            Self::Plan(e) => e.render_plain(),
            Self::Run(_)
            | Self::Store(_)
            | Self::Report(_)
            | Self::History(_)
            | Self::Cache(_)
            | Self::Dirs(_)
            | Self::NoRoot(_)
            | Self::NoCell(_)
            | Self::NoTarget(_)
            | Self::Series(_)
            | Self::Usage(_)
            | Self::Merge(_)
            | Self::Durations(..)
            | Self::Ci(_)
            | Self::Limit(..)
            | Self::Shell(_)
            | Self::Lines(_)
            | Self::Ssh(_)
            | Self::Hunt(_)
            | Self::File(..)
            | Self::Own(_) => {
                let help =
                    miette::Diagnostic::help(self).map_or_else(String::new, |h| format!("\n  help: {h}"));
                format!("error: {self}{help}")
            }
        }
    }
}

/// Shows a failure and returns its exit code.
pub(super) fn failure(failure: &Failure, json: bool) -> ExitCode {
    let code = failure.code();
    if json {
        println!(
            "{}",
            json!({ "v": 1, "event": "error", "message": failure.plain(), "exit": code })
        );
    } else if std::io::stderr().is_terminal() && matches!(failure, Failure::Spec(_) | Failure::Plan(_)) {
        let handler = miette::GraphicalReportHandler::new();
        let mut text = String::new();
        match handler.render_report(&mut text, failure) {
            Ok(()) => eprint!("{text}"),
            Err(_) => eprintln!("{}", failure.plain()),
        }
    } else {
        eprintln!("{}", failure.plain().trim_end());
    }
    ExitCode::from(code)
}
