//! Running children: started under the keeper, waited for, ended.
//!
//! The only user of duct. Everything here blocks; in async code, call it from `spawn_blocking`, and keep a
//! [`Killer`] to interrupt the waiting thread. Not here: how the keeper owns the tree.

use super::control::{Heard, Listener, Message, Ownership};
use super::output::Sink;
use super::process::{Cmd, Finished, ProcessError, Status};
use super::{keeper, resolve, roles};
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Cmd {
    /// Starts the child under the keeper, and returns when it runs (a few milliseconds).
    ///
    /// # Errors
    /// [`ProcessError::NotFound`] where the program does not exist, [`ProcessError::Start`] otherwise.
    pub fn start(self) -> Result<Job, ProcessError> {
        let failed = |source| ProcessError::Start {
            program: self.program.clone(),
            source,
        };
        if let Some(dir) = self.cwd.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(failed(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is not a directory", dir.display()),
            )));
        }
        let env = environment(&self);
        let executable = resolve::executable(&self.program, path_of(&env))?;
        let (stdout_fd, stdout) = Sink::open(&self.stdout).map_err(failed)?;
        let (stderr_fd, stderr) = Sink::open(&self.stderr).map_err(failed)?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let killer = Killer(Arc::new(ours.try_clone().map_err(failed)?));
        let listener = Listener::new(ours);
        let mut keeper = duct::cmd(roles::self_exe(), keeper_args(&self, executable))
            .unchecked()
            .full_env(env)
            .stdin_file(theirs)
            .stdout_file(stdout_fd)
            .stderr_file(stderr_fd)
            // A terminal's Ctrl-C must not reach it before we have decided what to do about it.
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        if let Some(dir) = &self.cwd {
            keeper = keeper.dir(dir);
        }
        let handle = keeper.start().map_err(failed)?;
        // It holds the child's side of every stream.
        drop(keeper);
        let started = Instant::now();
        let mut job = Job {
            handle,
            killer,
            listener,
            ownership: Ownership::Namespace,
            program: self.program.clone(),
            deadline: self.deadline.map(|(after, waits_for)| Deadline {
                at: started + after,
                after,
                waits_for,
            }),
            stdout,
            stderr,
        };
        job.await_start().map_err(failed)?;
        Ok(job)
    }

    /// Starts the child and waits for its end.
    ///
    /// # Errors
    /// Those of [`Cmd::start`] and [`Job::wait`].
    pub fn run(self) -> Result<Finished, ProcessError> {
        self.start()?.wait()
    }
}

/// What the keeper is told about `cmd`.
fn keeper_args(cmd: &Cmd, executable: PathBuf) -> Vec<OsString> {
    let mut args = vec![OsString::from(roles::KEEPER)];
    if cmd.no_namespace {
        args.push(keeper::NO_NAMESPACE.into());
    }
    args.push(keeper::COMMAND.into());
    args.push(executable.into());
    args.extend(cmd.args.iter().cloned());
    args
}

/// The whole environment of the child.
fn environment(cmd: &Cmd) -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| resolve::DEFAULT_PATH.into());
    let mut all = vec![("PATH".into(), path), ("LANG".into(), "C.UTF-8".into())];
    all.extend(cmd.env.iter().cloned());
    all
}

fn path_of(env: &[(OsString, OsString)]) -> &OsStr {
    // The last one wins, as it does for the child.
    env.iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(""), |(_, value)| value)
}

struct Deadline {
    at: Instant,
    after: Duration,
    waits_for: &'static str,
}

/// Ends a job's tree from anywhere, while another thread waits for it.
#[derive(Clone, Debug)]
pub struct Killer(Arc<UnixStream>);

impl Killer {
    /// Ends the child and everything it started; `wait` then returns. May be called any number of times, and after the end.
    pub fn kill(&self) {
        // Fails where the other side is gone already, which is what was wanted.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// A running child and everything it started. Dropping it ends all of them, and waits until they are gone.
pub struct Job {
    handle: duct::Handle,
    killer: Killer,
    listener: Listener,
    ownership: Ownership,
    program: PathBuf,
    deadline: Option<Deadline>,
    stdout: Sink,
    stderr: Sink,
}

impl Job {
    /// Waits for the end of the child (not of what it left behind, which is ended with it).
    ///
    /// Blocks; in async code, use `spawn_blocking`. A job that was killed ends with `Status::Signal(9)`, unless
    /// its child had ended before.
    ///
    /// # Errors
    /// [`ProcessError::Deadline`] and [`ProcessError::Wait`].
    pub fn wait(mut self) -> Result<Finished, ProcessError> {
        let mut deadline = self.deadline.as_ref().map(|deadline| deadline.at);
        let mut ended = None;
        let mut too_late = None;
        loop {
            match self
                .listener
                .next(deadline)
                .map_err(|source| self.failed(source))?
            {
                Heard::Message(Message::Ended(status)) => ended = Some(status),
                Heard::Message(_) => {}
                Heard::TimedOut => {
                    self.kill();
                    deadline = None;
                    // Only what it left behind may still be going when it has ended in time.
                    too_late = self.deadline.take().filter(|_| ended.is_none());
                }
                Heard::End => break,
            }
        }
        self.handle.wait().map_err(|source| self.failed(source))?;
        let stdout = self.stdout.finish().map_err(|source| self.failed(source))?;
        let stderr = self.stderr.finish().map_err(|source| self.failed(source))?;
        if let Some(Deadline { after, waits_for, .. }) = too_late {
            return Err(ProcessError::Deadline {
                program: self.program.clone(),
                waits_for,
                after,
            });
        }
        // Without a report of its own end it was ended with the namespace.
        Ok(Finished {
            status: ended.unwrap_or(Status::Signal(9)),
            stdout,
            stderr,
        })
    }

    /// Waits until the command runs, so that a failure to run it is not taken for its own.
    fn await_start(&mut self) -> io::Result<()> {
        let mut owned = false;
        loop {
            match self.listener.next(None)? {
                Heard::Message(Message::Mode(mode)) => {
                    self.ownership = mode;
                    owned = true;
                }
                Heard::Message(Message::Started) => return Ok(()),
                Heard::Message(Message::Failed { errno: 0, what }) => return Err(io::Error::other(what)),
                Heard::Message(Message::Failed { errno, .. }) => {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                Heard::End | Heard::TimedOut if owned => {
                    return Err(io::Error::other("its keeper was killed before it ran"));
                }
                Heard::End | Heard::TimedOut => {
                    return Err(io::Error::other(
                        "the executable that should keep it is not patchproof",
                    ));
                }
                Heard::Message(Message::Ended(_) | Message::Inside(_)) => {}
            }
        }
    }

    /// Ends the child and everything it started; `wait` then returns. May be called from any thread, any number of times.
    pub fn kill(&self) {
        self.killer.kill();
    }

    /// A handle that can end this job while another thread waits for it.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// How the tree is owned.
    #[must_use]
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    fn failed(&self, source: io::Error) -> ProcessError {
        ProcessError::Wait {
            program: self.program.clone(),
            source,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill();
        let _ = self.handle.wait();
    }
}
