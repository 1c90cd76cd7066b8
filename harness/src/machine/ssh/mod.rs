//! SSH into a guest: logging in with keys made for this machine, commands, a terminal, files.
//!
//! The connection is a stream that the caller brings (a virtio port of the guest: no network, no
//! port number that two machines could want). Everything here blocks, each step under a deadline, and
//! is called from one place that may block ([`visit`](super::visit)).
//!
//! Not here: verdicts. What SSH says is never evidence; frames are.

mod error;
mod files;
mod keys;
mod talk;
mod terminal;

pub use error::SshError;
pub use keys::{KeyPair, Keys};
pub use talk::{Ended, Streams};
pub use terminal::Terminal;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The only user there is.
const USER: &str = "root";

/// How long the guest may take, each part by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until its SSH server says a first byte: the whole boot.
    pub first_byte: Duration,
    /// For one step: the handshake, the login, opening a channel, a block of a file.
    pub step: Duration,
}

/// The way into a guest that nobody has gone yet.
#[derive(Debug)]
pub struct Door {
    /// The connection to its SSH server, which may not run yet.
    pub stream: UnixStream,
    /// Its key, which is the only one accepted, and ours.
    pub keys: Keys,
    /// How long it may take.
    pub patience: Patience,
}

/// A guest that we are logged into.
pub struct Session {
    raw: ssh2::Session,
    /// The connection once more, to wait on.
    wire: OwnedFd,
    step: Duration,
}

impl Door {
    /// Waits for the guest's SSH server and logs in.
    ///
    /// # Errors
    /// [`SshError`]; where it is [lost](SshError::is_lost) the guest has ended or hangs, and its machine knows why.
    pub fn login(self) -> Result<Session, SshError> {
        self.stream
            .set_nonblocking(false)
            .map_err(|e| SshError::io("preparing the connection", e))?;
        let wire = self
            .stream
            .as_fd()
            .try_clone_to_owned()
            .map_err(|e| SshError::io("preparing the connection", e))?;
        self.first_byte()?;
        let mut raw = ssh2::Session::new().map_err(|e| SshError::step("setting up", e))?;
        raw.set_timeout(millis(self.patience.step));
        prefer(&raw)?;
        raw.set_tcp_stream(self.stream);
        raw.handshake().map_err(|e| SshError::step("the handshake", e))?;
        let shown = raw.host_key().map(|(key, _)| key.to_vec());
        if shown.is_none() || shown != self.keys.host.wire() {
            return Err(SshError::HostKey);
        }
        let login = &self.keys.login;
        raw.userauth_pubkey_memory(USER, Some(&login.public), &login.secret, None)
            .map_err(SshError::Login)?;
        Ok(Session {
            raw,
            wire,
            step: self.patience.step,
        })
    }

    /// Waits until the server speaks, as it does first.
    fn first_byte(&self) -> Result<(), SshError> {
        let timeout = PollTimeout::try_from(self.patience.first_byte).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, timeout) {
                Ok(0) => {
                    return Err(SshError::Mute {
                        after: self.patience.first_byte,
                    });
                }
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(SshError::io("waiting for the guest", e.into())),
            }
        }
    }
}

/// What both sides can do and an emulated processor does fast enough.
fn prefer(session: &ssh2::Session) -> Result<(), SshError> {
    use ssh2::MethodType::{CryptCs, CryptSc, HostKey, Kex};
    for (kind, methods) in [
        (Kex, "curve25519-sha256,curve25519-sha256@libssh.org"),
        (HostKey, "ssh-ed25519"),
        (CryptCs, "aes128-ctr,aes256-ctr"),
        (CryptSc, "aes128-ctr,aes256-ctr"),
    ] {
        session
            .method_pref(kind, methods)
            .map_err(|e| SshError::step("setting up", e))?;
    }
    Ok(())
}

/// Milliseconds for libssh2, where 0 would mean for ever.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

impl Session {
    /// Opens a channel for a command or a terminal.
    fn channel(&self) -> Result<ssh2::Channel, SshError> {
        self.raw.set_blocking(true);
        self.raw.set_timeout(millis(self.step));
        self.raw
            .channel_session()
            .map_err(|e| SshError::step("opening a channel", e))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}
