//! What a command becomes before it is started: executable, environment, folder, and what its keeper is told.
//!
//! Not here: starting it.

use super::process::{Cmd, ProcessError};
use super::sandbox::{Mode, Sandbox, SandboxError, View};
use super::{cgroup, fs, keeper, resolve, roles};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// A command with every decision made.
pub(super) struct Launch {
    /// Arguments of the keeper.
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: Option<PathBuf>,
    /// Whether bubblewrap will report on it.
    pub(super) sandboxed: bool,
}

impl Launch {
    /// Decides everything about `cmd`, and makes the folders and control groups that its sandbox needs.
    pub(super) fn of(cmd: &Cmd) -> Result<Self, ProcessError> {
        match cmd.sandbox.as_deref() {
            None => Self::direct(cmd, &cmd.program, cmd.cwd.clone()),
            Some(sandbox) if sandbox.mode == Mode::Off => {
                copy_lowers(sandbox)?;
                Self::direct(
                    cmd,
                    &sandbox.path(&cmd.program),
                    cmd.cwd.as_ref().map(|dir| sandbox.path(dir)),
                )
            }
            Some(sandbox) => Self::sandboxed(cmd, sandbox),
        }
    }

    fn direct(cmd: &Cmd, program: &Path, cwd: Option<PathBuf>) -> Result<Self, ProcessError> {
        if let Some(dir) = cwd.as_ref().filter(|dir| !dir.is_dir()) {
            let source = io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is not a directory", dir.display()),
            );
            return Err(ProcessError::Start {
                program: cmd.program.clone(),
                source,
            });
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| resolve::DEFAULT_PATH.into());
        let mut env = vec![("PATH".into(), path), ("LANG".into(), "C.UTF-8".into())];
        env.extend(cmd.env.iter().cloned());
        let executable = resolve::executable(program, path_of(&env))?;
        let mut args = keeper_flags(cmd);
        args.push(keeper::COMMAND.into());
        args.push(executable.into());
        args.extend(cmd.args.iter().cloned());
        Ok(Self {
            args,
            env,
            cwd,
            sandboxed: false,
        })
    }

    fn sandboxed(cmd: &Cmd, sandbox: &Sandbox) -> Result<Self, ProcessError> {
        let mut env = sandbox.environment();
        env.extend(cmd.env.iter().cloned());
        let program = inside(&cmd.program, path_of(&env))?;
        make_folders(sandbox).map_err(|source| setup("making the overlay's folders", source))?;
        // Without them the limits of single processes have to do; `doctor` says so.
        let groups = cgroup::make(&sandbox.limits).unwrap_or_default();
        let mut args = keeper_flags(cmd);
        args.extend(
            groups
                .iter()
                .flat_map(|group| [keeper::CGROUP.into(), group.into()]),
        );
        args.extend([keeper::SANDBOXED, keeper::COMMAND, roles::SELF_EXE].map(OsString::from));
        args.extend(
            sandbox
                .command(cmd, program.as_os_str(), &groups)
                .inspect_err(|_| {
                    groups.iter().for_each(|group| cgroup::remove(group));
                })?,
        );
        Ok(Self {
            args,
            env,
            cwd: None,
            sandboxed: true,
        })
    }
}

fn keeper_flags(cmd: &Cmd) -> Vec<OsString> {
    let mut args = vec![OsString::from(roles::KEEPER)];
    args.extend(cmd.no_namespace.then(|| keeper::NO_NAMESPACE.into()));
    args
}

fn path_of(env: &[(OsString, OsString)]) -> &OsStr {
    // The last one wins, as it does for the child.
    env.iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(""), |(_, value)| value)
}

/// The program as the sandbox finds it. Where only system folders are searched, which the sandbox shows as they
/// are, a missing one is found out here.
fn inside(program: &Path, path: &OsStr) -> Result<PathBuf, ProcessError> {
    let system = |dir: PathBuf| ["/usr", "/bin", "/sbin"].iter().any(|root| dir.starts_with(root));
    if program.as_os_str().as_encoded_bytes().contains(&b'/') || !std::env::split_paths(path).all(system) {
        return Ok(program.to_owned());
    }
    resolve::executable(program, path)
}

fn setup(what: &str, source: io::Error) -> SandboxError {
    SandboxError::Setup {
        what: what.to_owned(),
        source,
    }
}

/// Makes the folders that overlayfs writes to; what it kept for itself from the last time goes.
fn make_folders(sandbox: &Sandbox) -> io::Result<()> {
    for view in &sandbox.views {
        if let View::Overlay { upper, work, .. } = view {
            std::fs::create_dir_all(upper)?;
            fs::remove_tree(work)?;
            std::fs::create_dir_all(work)?;
        }
    }
    Ok(())
}

/// Fills empty upper folders with what the overlay would show.
fn copy_lowers(sandbox: &Sandbox) -> Result<(), ProcessError> {
    for view in &sandbox.views {
        let View::Overlay { lower, upper, .. } = view else {
            continue;
        };
        std::fs::create_dir_all(upper).map_err(|source| setup("making the copy's folder", source))?;
        let mut entries =
            std::fs::read_dir(upper).map_err(|source| setup("reading the copy's folder", source))?;
        if entries.next().is_some() {
            continue;
        }
        let done = Cmd::new("cp")
            .args(["-a", "--reflink=auto", "--"])
            .arg(lower.join("."))
            .arg(upper)
            .run()?;
        if !done.success() {
            let said = super::sandbox::last_words(&done.stderr);
            return Err(setup("copying in place of an overlay", io::Error::other(said)).into());
        }
    }
    Ok(())
}
