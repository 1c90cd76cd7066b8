//! A visit to a guest over SSH: the one place of `machine` that blocks on SSH, on a thread of its own.
//!
//! What a visit comes to is no verdict: a session that is lost while frames flow changes nothing, and one that
//! is lost because the guest ended is told by how the guest ended.

use super::bounded::BoundedFile;
use super::channels::{Report, accept};
use super::ssh::{Door, Ended, Keys, Patience, SshError, Streams};
use guest_tests::protocol::Request;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

/// What is done in a guest, from the login on. Called on a thread that may block.
pub type Visit = Box<dyn FnOnce(Door) -> Result<(), SshError> + Send>;

/// Where the agent and its request are put in the guest: in memory, out of the way of everything else.
const AGENT: &str = "/run/patchproof-agent";
const REQUEST: &str = "/run/patchproof-request.json";
/// The most of the agent's last words that an error repeats, in bytes.
const SAID_LEN_MAX: usize = 2000;

/// A visit that is to come.
pub(super) struct Caller {
    pub(super) listener: UnixListener,
    pub(super) keys: Keys,
    pub(super) patience: Patience,
    pub(super) visit: Visit,
}

impl Caller {
    /// Waits for QEMU to connect the guest's port, has the visit made, and reports what came of it.
    pub(super) async fn run(self, reports: mpsc::Sender<Report>, mut gone: watch::Receiver<bool>) {
        let Some(stream) = accept(self.listener, &mut gone).await else {
            return;
        };
        let Ok(stream) = stream.into_std() else { return };
        let Ok(wire) = stream.try_clone() else { return };
        let door = Door {
            stream,
            keys: self.keys,
            patience: self.patience,
        };
        let visit = self.visit;
        let made = tokio::task::spawn_blocking(move || visit(door)).await;
        let made = made.unwrap_or_else(|e| {
            Err(SshError::Io {
                doing: "the visit",
                source: e.into(),
            })
        });
        // Of a machine that has ended everything fails; the machine tells how it ended.
        let made = if has_ended(&wire) { Ok(()) } else { made };
        // Nobody listens any more only when the machine is being abandoned.
        let _ = reports.send(Report::Visited(made)).await;
    }
}

/// Whether the other end of a connection is closed, as it is when QEMU has ended.
fn has_ended(wire: &UnixStream) -> bool {
    let mut fds = [PollFd::new(wire.as_fd(), PollFlags::empty())];
    let hung_up = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| r.contains(PollFlags::POLLHUP));
    poll(&mut fds, PollTimeout::ZERO).is_ok() && hung_up(&fds[0])
}

/// Starts the suite: the agent and its request go in, what the agent prints comes out to `log`.
pub(super) fn suite(agent: &'static [u8], request: &Request, log: PathBuf) -> Visit {
    let request = serde_json::to_vec(request);
    Box::new(move |door| {
        let request = request.map_err(|e| SshError::Io {
            doing: "writing the request",
            source: e.into(),
        })?;
        let mut log = Log::create(&log).map_err(|source| SshError::File {
            path: log.clone(),
            source,
        })?;
        let made = start(door, agent, &request, &mut log);
        if let Err(e) = &made {
            // Whatever the machine's end comes to, this is how far the visit came.
            let _ = writeln!(log, "patchproof: {e:?}");
        }
        made
    })
}

fn start(door: Door, agent: &[u8], request: &[u8], log: &mut Log) -> Result<(), SshError> {
    let session = door.login()?;
    session.put(&mut io::Cursor::new(agent), Path::new(AGENT), 0o700)?;
    session.put(&mut io::Cursor::new(request), Path::new(REQUEST), 0o600)?;
    let mut said = log.clone();
    let streams = Streams {
        stdin: None,
        stdout: &mut said,
        stderr: log,
    };
    // It switches the machine off and never returns; its deadlines are those of its frames.
    let ended = session.run(&format!("exec {AGENT} guest {REQUEST}"), streams, None)?;
    match ended {
        Ended::Exit(0) => Ok(()),
        Ended::Exit(_) | Ended::Signal(_) => Err(SshError::Suite {
            status: ended.status(),
            said: log.last_words(),
        }),
    }
}

/// What the agent prints: kept in a file at both ends, and its last words in memory.
#[derive(Clone)]
struct Log(std::sync::Arc<std::sync::Mutex<(BoundedFile, Vec<u8>)>>);

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        let file = BoundedFile::create(path)?;
        Ok(Self(std::sync::Arc::new(std::sync::Mutex::new((
            file,
            Vec::new(),
        )))))
    }

    fn last_words(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&inner.1).trim().to_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.0.push(bytes)?;
        inner.1.extend_from_slice(bytes);
        let over = inner.1.len().saturating_sub(SAID_LEN_MAX);
        inner.1.drain(..over);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
