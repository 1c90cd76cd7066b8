//! The compiler and its helpers: what builds, as part of every key.
//!
//! Not here: running them (that is `build`).

use crate::host::{Cmd, ProcessError};
use crate::source::{Cancel, Stopped};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What compiles and links a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// Where the compiler is.
    pub compiler: PathBuf,
    /// First line of its `--version`.
    pub compiler_version: String,
    /// First line of the linker's.
    pub linker_version: String,
    /// Whether ccache stands before the compiler. It changes no output, but it does change every command
    /// line, so a build folder belongs to one or the other.
    pub ccache: bool,
}

/// Printing a version takes milliseconds.
const VERSION_DEADLINE: Duration = Duration::from_secs(30);

impl Toolchain {
    /// Finds the compiler, the linker and ccache in `PATH`.
    ///
    /// # Errors
    /// [`Stopped`] where compiler or linker is missing.
    pub fn find(cancel: &Cancel) -> Result<Self, Stopped> {
        let version = |program: &str| -> Result<String, Stopped> {
            let cmd = Cmd::new(program)
                .arg("--version")
                .deadline(VERSION_DEADLINE, "a tool to say its version");
            let done = cancel.run(cmd)?;
            Ok(String::from_utf8_lossy(&done.stdout)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned())
        };
        let ccache = match version("ccache") {
            Ok(line) => !line.is_empty(),
            Err(Stopped::Process(ProcessError::NotFound { .. })) => false,
            Err(other) => return Err(other),
        };
        Ok(Self {
            compiler_version: version("gcc")?,
            linker_version: version("ld")?,
            compiler: in_path("gcc").unwrap_or_else(|| "gcc".into()),
            ccache,
        })
    }

    /// What distinguishes the kernels that it makes.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{}\n{}\n{}",
            self.compiler.display(),
            self.compiler_version,
            self.linker_version
        )
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find_map(|p| p.canonicalize().ok())
}
