//! Running children: started under the keeper, waited for, ended.
//!
//! The only user of duct. Everything here blocks; in async code, call it from `spawn_blocking`, and keep a
//! [`Killer`] to interrupt the waiting thread. Not here: how the keeper owns the tree.

use super::control::{Heard, Listener, Message, Ownership};
use super::launch::Launch;
use super::output::Sink;
use super::process::{Cmd, Finished, ProcessError, Status};
use super::sandbox::{Sandbox, SandboxError, last_words};
use super::{fs, roles};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the disk use of a sandbox is looked at, at most.
const DISK_LOOK_EVERY: Duration = Duration::from_secs(1);

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
        let Launch {
            args,
            env,
            cwd,
            sandboxed,
        } = Launch::of(&self)?;
        let (stdout_fd, stdout) = Sink::open(&self.stdout).map_err(failed)?;
        let (stderr_fd, stderr) = Sink::open(&self.stderr).map_err(failed)?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let killer = Killer(Arc::new(ours.try_clone().map_err(failed)?));
        let listener = Listener::new(ours);
        let mut keeper = duct::cmd(roles::self_exe(), args)
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
        if let Some(dir) = cwd {
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
            sandboxed,
            disk: self.sandbox.as_deref().and_then(DiskWatch::of),
            stdout,
            stderr,
        };
        job.await_start()?;
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

struct Deadline {
    at: Instant,
    after: Duration,
    waits_for: &'static str,
}

fn sandbox_failed(errno: i32, what: String) -> SandboxError {
    match errno {
        0 => SandboxError::Refused { said: what },
        errno => SandboxError::Setup {
            what,
            source: io::Error::from_raw_os_error(errno),
        },
    }
}

/// What was heard by the end of a tree.
#[derive(Default)]
struct End {
    /// How the command ended, or bubblewrap in its place.
    status: Option<Status>,
    /// How the command inside of bubblewrap ended.
    inside: Option<i32>,
    /// The sandbox could not be made.
    failed: Option<SandboxError>,
    /// We ended it, for this.
    stopped: Option<ProcessError>,
}

/// Looks now and then at what a sandboxed command has written: no event tells of a folder's size.
struct DiskWatch {
    uppers: Vec<PathBuf>,
    allowed: u64,
    next: Instant,
}

impl DiskWatch {
    fn of(sandbox: &Sandbox) -> Option<Self> {
        let allowed = sandbox.limits.disk?;
        let uppers = sandbox.uppers().map(Path::to_owned).collect();
        Some(Self {
            uppers,
            allowed,
            next: Instant::now() + DISK_LOOK_EVERY,
        })
    }

    /// Looks once, and puts off the next look so that looking stays below a fiftieth of a core.
    fn look(&mut self) -> Option<SandboxError> {
        let start = Instant::now();
        let used = self.uppers.iter().map(|upper| fs::usage(upper)).sum();
        self.next = Instant::now() + (start.elapsed() * 50).max(DISK_LOOK_EVERY);
        (used > self.allowed).then_some(SandboxError::Disk {
            used,
            allowed: self.allowed,
        })
    }
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
    sandboxed: bool,
    disk: Option<DiskWatch>,
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
    /// [`ProcessError::Deadline`], [`ProcessError::Wait`], and [`ProcessError::Sandbox`] where there is one.
    pub fn wait(mut self) -> Result<Finished, ProcessError> {
        let end = self.listen().map_err(|source| self.failed(source))?;
        self.handle.wait().map_err(|source| self.failed(source))?;
        let stdout = self.stdout.finish().map_err(|source| self.failed(source))?;
        let stderr = self.stderr.finish().map_err(|source| self.failed(source))?;
        let status = match end {
            End {
                stopped: Some(why), ..
            } => return Err(why),
            End {
                failed: Some(error), ..
            } => return Err(error.into()),
            End {
                inside: Some(code), ..
            } => Status::Exit(code),
            // Bubblewrap ended on its own without having run the command.
            End {
                status: Some(Status::Exit(_)),
                ..
            } if self.sandboxed => {
                return Err(SandboxError::Refused {
                    said: last_words(&stderr),
                }
                .into());
            }
            End {
                status: Some(status), ..
            } => status,
            // Without a report of its own end it was ended with the namespace.
            End { status: None, .. } => Status::Signal(9),
        };
        Ok(Finished {
            status,
            stdout,
            stderr,
        })
    }

    /// Takes reports until every process of the tree is gone.
    fn listen(&mut self) -> io::Result<End> {
        let mut end = End::default();
        loop {
            let deadline = self.deadline.as_ref().map(|deadline| deadline.at);
            let look = self.disk.as_ref().map(|disk| disk.next);
            match self.listener.next(deadline.into_iter().chain(look).min())? {
                Heard::Message(Message::Ended(status)) => end.status = Some(status),
                Heard::Message(Message::Inside(code)) => end.inside = Some(code),
                Heard::Message(Message::Failed { errno, what }) => {
                    end.failed = Some(sandbox_failed(errno, what));
                }
                Heard::Message(Message::Mode(_) | Message::Started) => {}
                Heard::TimedOut => {
                    if let Some(why) = self.why_stop() {
                        self.kill();
                        (self.deadline, self.disk) = (None, None);
                        // Only what it left behind may still be going when it has ended in time.
                        end.stopped = Some(why).filter(|_| end.status.is_none());
                    }
                }
                Heard::End => return Ok(end),
            }
        }
    }

    /// Whether the job has used up its time or its disk.
    fn why_stop(&mut self) -> Option<ProcessError> {
        if let Some(&Deadline { at, after, waits_for }) = self.deadline.as_ref()
            && at <= Instant::now()
        {
            return Some(ProcessError::Deadline {
                program: self.program.clone(),
                waits_for,
                after,
            });
        }
        self.disk.as_mut()?.look().map(ProcessError::Sandbox)
    }

    /// Waits until the command runs, so that a failure to run it is not taken for its own.
    fn await_start(&mut self) -> Result<(), ProcessError> {
        let failed = |source| ProcessError::Start {
            program: self.program.clone(),
            source,
        };
        let mut owned = false;
        loop {
            match self.listener.next(None).map_err(failed)? {
                Heard::Message(Message::Mode(mode)) => {
                    self.ownership = mode;
                    owned = true;
                }
                Heard::Message(Message::Started) => return Ok(()),
                Heard::Message(Message::Failed { errno, what }) if self.sandboxed => {
                    return Err(sandbox_failed(errno, what).into());
                }
                Heard::Message(Message::Failed { errno: 0, what }) => {
                    return Err(failed(io::Error::other(what)));
                }
                Heard::Message(Message::Failed { errno, .. }) => {
                    return Err(failed(io::Error::from_raw_os_error(errno)));
                }
                Heard::End | Heard::TimedOut => {
                    return Err(failed(io::Error::other(match owned {
                        true => "its keeper was killed before it ran",
                        false => "the executable that should keep it is not patchproof",
                    })));
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
