//! What can go wrong on the way into a guest, and whether it says anything about the way.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong between us and a guest.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SshError {
    /// No keys could be made.
    #[error("no SSH keys could be made: {why}")]
    #[diagnostic(help("install it: apt-get install openssh-client"))]
    Keys {
        /// Why.
        why: String,
    },
    /// The guest's SSH server never spoke.
    #[error("the guest's SSH server said nothing for {after:?}")]
    #[diagnostic(help("the end of the guest's console says how far it came"))]
    Mute {
        /// How long was waited.
        after: Duration,
    },
    /// Whoever answered is not the guest.
    #[error("who answered is not the guest that was started: it has another key")]
    HostKey,
    /// The guest refused our key.
    #[error("the guest refused the login")]
    Login(#[source] ssh2::Error),
    /// A step failed in SSH's own words.
    #[error("{doing} failed")]
    Step {
        /// What was being done: "the handshake".
        doing: &'static str,
        /// Why.
        source: ssh2::Error,
    },
    /// A step failed in the host's words.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The connection broke in the midst of something.
    #[error("{doing} failed: the connection broke")]
    Wire {
        /// What was being done.
        doing: &'static str,
        /// In libssh2's words.
        source: io::Error,
    },
    /// A file could not be copied.
    #[error("copying {path} failed", path = .path.display())]
    File {
        /// The file, on whichever side failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A command did not end in time.
    #[error("the command did not end within {after:?}")]
    Late {
        /// How long was waited.
        after: Duration,
    },
    /// The suite did not run in the guest.
    #[error("the suite did not run in the guest (exit status {status}): {said}")]
    Suite {
        /// Its exit status.
        status: i32,
        /// The end of what it said.
        said: String,
    },
}

/// libssh2's numbers for a connection that is gone or stands still.
const GONE: [i32; 6] = [-2, -7, -9, -13, -30, -43];

impl SshError {
    pub(super) fn step(doing: &'static str, source: ssh2::Error) -> Self {
        Self::Step { doing, source }
    }

    pub(super) fn io(doing: &'static str, source: io::Error) -> Self {
        Self::Io { doing, source }
    }

    /// Whether the connection went away or stood still: the guest has ended or hangs, which its
    /// machine tells better, or it is busy. Everything else is a fault of the way in.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Mute { .. } | Self::Late { .. } | Self::Wire { .. } => true,
            Self::Step { source, .. } | Self::Login(source) => match source.code() {
                ssh2::ErrorCode::Session(code) => GONE.contains(&code),
                ssh2::ErrorCode::SFTP(_) => false,
            },
            Self::Io { source, .. } | Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::TimedOut
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
            ),
            Self::Keys { .. } | Self::HostKey | Self::Suite { .. } => false,
        }
    }
}
