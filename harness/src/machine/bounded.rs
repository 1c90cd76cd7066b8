//! A file that keeps the first and the last bytes of a stream, whatever its length.
//!
//! The last bytes go round in a ring inside the file itself, so that a stream costs no memory and
//! what was said is on disk even if we die; [`BoundedFile::finish`] puts the ring in order.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much of each end of a stream is kept, in bytes.
pub const KEPT_EACH_END: u64 = 8 << 20;

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Bytes that the stream had.
    pub total: u64,
    /// Bytes that were left out, between the first and the last ones.
    pub left_out: u64,
}

/// A stream being kept.
#[derive(Debug)]
pub struct BoundedFile {
    file: File,
    end: u64,
    total: u64,
}

impl BoundedFile {
    /// Starts a file that keeps [`KEPT_EACH_END`] bytes of each end.
    ///
    /// # Errors
    /// Those of creating the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, KEPT_EACH_END)
    }

    fn with_limit(path: &Path, end: u64) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Self { file, end, total: 0 })
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// Those of writing (a full disk, most of all).
    pub fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (at, room) = if self.total < self.end {
                (self.total, self.end - self.total)
            } else {
                let turn = (self.total - self.end) % self.end;
                (self.end + turn, self.end - turn)
            };
            let now = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.file.write_all_at(&bytes[..now], at)?;
            self.total += now as u64;
            bytes = &bytes[now..];
        }
        Ok(())
    }

    /// Puts the file in order, with a line that states the gap where there is one.
    ///
    /// # Errors
    /// Those of reading and writing the file.
    pub fn finish(mut self) -> io::Result<Kept> {
        let left_out = self.total.saturating_sub(2 * self.end);
        if left_out > 0 {
            let mut ring = Vec::new();
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.read_to_end(&mut ring)?;
            let turn = usize::try_from((self.total - self.end) % self.end).unwrap_or(0);
            let gap = format!("\n[patchproof: {left_out} bytes left out]\n");
            let mut at = self.end;
            for part in [gap.as_bytes(), &ring[turn..], &ring[..turn]] {
                self.file.write_all_at(part, at)?;
                at += part.len() as u64;
            }
        }
        Ok(Kept {
            total: self.total,
            left_out,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(stream: &[u8], chunk: usize) -> (Kept, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream");
        let mut file = BoundedFile::with_limit(&path, 10).unwrap();
        stream.chunks(chunk).for_each(|c| file.push(c).unwrap());
        (file.finish().unwrap(), std::fs::read(path).unwrap())
    }

    #[test]
    fn every_length_keeps_both_ends() {
        for len in 0..64u8 {
            let stream: Vec<u8> = (0..len).collect();
            for chunk in [1, 3, 7, 100] {
                let (kept, got) = keep(&stream, chunk);
                assert_eq!(kept.total, u64::from(len));
                if len <= 20 {
                    assert_eq!((kept.left_out, got), (0, stream.clone()));
                    continue;
                }
                assert_eq!(kept.left_out, u64::from(len) - 20);
                let gap = format!("\n[patchproof: {} bytes left out]\n", kept.left_out);
                let want = [&stream[..10], gap.as_bytes(), &stream[stream.len() - 10..]].concat();
                assert_eq!(got, want, "{len} bytes in pieces of {chunk}");
            }
        }
    }
}
