//! Files to and from a guest (SFTP).

use super::{Session, SshError, millis};
use ssh2::{OpenFlags, OpenType};
use std::io::{self, Read, Write};
use std::path::Path;

impl Session {
    /// Writes a file in the guest: created or replaced, with this mode.
    ///
    /// # Errors
    /// [`SshError::File`], naming the file in the guest, and those of the connection.
    pub fn put(&self, content: &mut dyn Read, path: &Path, mode: u32) -> Result<(), SshError> {
        let sftp = self.sftp()?;
        let failed = |source| SshError::File {
            path: path.to_owned(),
            source,
        };
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let mut file = sftp
            .open_mode(path, flags, i32::try_from(mode).unwrap_or(0o600), OpenType::File)
            .map_err(|e| failed(e.into()))?;
        copy(content, &mut file).map_err(failed)?;
        file.close().map_err(|e| failed(e.into()))
    }

    /// Reads a file of the guest.
    ///
    /// # Errors
    /// [`SshError::File`], naming the file in the guest, and those of the connection.
    pub fn get(&self, path: &Path, content: &mut dyn Write) -> Result<(), SshError> {
        let sftp = self.sftp()?;
        let failed = |source| SshError::File {
            path: path.to_owned(),
            source,
        };
        let mut file = sftp.open(path).map_err(|e| failed(e.into()))?;
        copy(&mut file, content).map_err(failed)
    }

    fn sftp(&self) -> Result<ssh2::Sftp, SshError> {
        self.raw.set_blocking(true);
        self.raw.set_timeout(millis(self.step));
        self.raw
            .sftp()
            .map_err(|e| SshError::step("opening the file transfer", e))
    }
}

/// In large blocks: each one costs a round trip.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut block = vec![0; 128 << 10];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            count => to.write_all(&block[..count])?,
        }
    }
}
