//! Child processes: how they are described, and what became of them.
//!
//! Not here: starting them and waiting for them, which `job` does.

use super::sandbox::{Sandbox, SandboxError};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of one output stream of a child.
#[derive(Clone)]
pub enum Output {
    /// Kept in memory: the first and last `limit / 2` bytes, the gap stated.
    Capture {
        /// Most bytes to keep.
        limit: usize,
    },
    /// Appended to a file.
    File(PathBuf),
    /// Thrown away.
    Null,
    /// Handed over line by line (lossy UTF-8, without the newline) while the child runs, and kept like `Capture`.
    Lines {
        /// Called from a thread of the job's own.
        each: Arc<dyn Fn(&str) + Send + Sync>,
        /// Most bytes to keep.
        limit: usize,
    },
}

/// A child process to be: an argv vector, never a shell string.
#[derive(Clone)]
pub struct Cmd {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) deadline: Option<(Duration, &'static str)>,
    pub(super) no_namespace: bool,
    pub(super) sandbox: Option<Arc<Sandbox>>,
}

impl Cmd {
    /// Describes a child. It inherits only PATH, LANG=C.UTF-8 and what [`Cmd::env`] adds; its standard
    /// input is /dev/null; both outputs are captured up to 1 MiB.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let capture = Output::Capture { limit: 1 << 20 };
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdout: capture.clone(),
            stderr: capture,
            deadline: None,
            no_namespace: false,
            sandbox: None,
        }
    }
}

impl Cmd {
    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the child's working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Says what becomes of standard output.
    #[must_use]
    pub fn stdout(mut self, to: Output) -> Self {
        self.stdout = to;
        self
    }

    /// Says what becomes of standard error.
    #[must_use]
    pub fn stderr(mut self, to: Output) -> Self {
        self.stderr = to;
        self
    }

    /// Has the child owned without a PID namespace, as on hosts that have none: weaker, see [`super::Ownership`].
    #[must_use]
    pub fn no_namespace(mut self) -> Self {
        self.no_namespace = true;
        self
    }

    /// Ends the child's whole tree after `after`; `waits_for` names what did not come ("the build to finish").
    #[must_use]
    pub fn deadline(mut self, after: Duration, waits_for: &'static str) -> Self {
        self.deadline = Some((after, waits_for));
        self
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exit(i32),
    /// This signal ended it; 0 for a realtime signal.
    Signal(i32),
}

/// A child that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: Status,
    /// What it wrote to standard output, bounded.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, bounded.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether it exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Status::Exit(0)
    }
}

/// Why a child could not be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is no such program.
    #[error("{program} is not installed", program = .program.display())]
    #[diagnostic(help("`patchproof doctor` prints the line that installs it"))]
    NotFound {
        /// What was to run.
        program: PathBuf,
    },
    /// It could not be started.
    #[error("could not start {program}", program = .program.display())]
    Start {
        /// What was to run.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Waiting for it failed.
    #[error("waiting for {program} failed", program = .program.display())]
    Wait {
        /// What ran.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its sandbox failed, not the child itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sandbox(#[from] SandboxError),
    /// It took too long and was ended with everything it had started.
    #[error("{program} was ended after {after:?} of waiting for {waits_for}", program = .program.display())]
    Deadline {
        /// What ran.
        program: PathBuf,
        /// What did not come.
        waits_for: &'static str,
        /// How long was waited.
        after: Duration,
    },
}
