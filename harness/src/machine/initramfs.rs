//! The guest's root: a newc archive written by us, so that no root rights and no tools are needed.
//!
//! It holds the agent as /init, /dev/console, and the request. The kernel accepts several archives
//! one after the other: the part with the agent is made once, the request is added for each cell.
//! The bytes depend on nothing but their input.

use guest_tests::protocol::{REQUEST_PATH, Request};
use std::io::{self, Write};
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The part of an initramfs that is the same for every cell.
#[derive(Debug, Clone)]
pub struct Base {
    archive: Vec<u8>,
}

impl Base {
    /// Makes the archive around an agent.
    ///
    /// # Errors
    /// When the agent is larger than a newc archive can hold (4 GiB).
    pub fn new(agent: &[u8]) -> io::Result<Self> {
        let mut archive = Archive::default();
        for dir in ["dev", "proc", "sys", "tmp", "patchproof"] {
            archive.entry(dir, DIRECTORY, (0, 0), &[])?;
        }
        // Without it PID 1 has no standard streams until it mounts devtmpfs, and a panic of the agent is lost.
        archive.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
        archive.entry("init", EXECUTABLE, (0, 0), agent)?;
        Ok(Self {
            archive: archive.finish()?,
        })
    }

    /// Writes the whole initramfs for one request.
    ///
    /// # Errors
    /// Those of writing `to`.
    pub fn write(&self, request: &Request, to: &mut impl Write) -> io::Result<()> {
        let mut archive = Archive::default();
        archive.entry(
            REQUEST_PATH.trim_start_matches('/'),
            FILE,
            (0, 0),
            &serde_json::to_vec(request)?,
        )?;
        to.write_all(&self.archive)?;
        to.write_all(&archive.finish()?)
    }

    /// Writes the whole initramfs into a new file.
    ///
    /// # Errors
    /// Those of creating and writing the file.
    pub fn write_file(&self, request: &Request, path: &Path) -> io::Result<()> {
        let mut file = std::fs::File::create_new(path)?;
        self.write(request, &mut file)
    }
}

/// A newc archive being written, with inode numbers given in order.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.entries += 1;
        let entry = cpio::newc::Builder::new(name)
            .ino(self.entries)
            .mode(mode)
            .nlink(1)
            .mtime(0)
            .rdev_major(device.0)
            .rdev_minor(device.1);
        let mut writer = entry.write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        let mut bytes = cpio::newc::trailer(self.bytes)?;
        // The next archive must start at a multiple of four.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn request() -> Request {
        Request {
            v: 1,
            run: 7,
            cases: Vec::new(),
        }
    }

    fn bytes(agent: &[u8], request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        Base::new(agent).unwrap().write(request, &mut out).unwrap();
        out
    }

    /// Name, mode, device and content of an entry.
    type Entry = (String, u32, (u32, u32), Vec<u8>);

    /// Reads all archives of an initramfs, as the kernel does: zeros between them are skipped.
    fn entries(mut rest: &[u8]) -> Vec<Entry> {
        let mut found = Vec::new();
        while !rest.is_empty() {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                rest = reader.finish().unwrap();
                rest = &rest[rest.iter().position(|&b| b != 0).unwrap_or(rest.len())..];
                continue;
            }
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            let e = reader.entry();
            found.push((
                e.name().to_owned(),
                e.mode(),
                (e.rdev_major(), e.rdev_minor()),
                content,
            ));
            rest = reader.finish().unwrap();
        }
        found
    }

    #[test]
    fn it_holds_the_agent_a_console_and_the_request() {
        let found = entries(&bytes(b"the agent", &request()));
        let names: Vec<_> = found.iter().map(|e| e.0.as_str()).collect();
        let want = [
            "dev",
            "proc",
            "sys",
            "tmp",
            "patchproof",
            "dev/console",
            "init",
            "patchproof/request.json",
        ];
        assert_eq!(names, want);
        assert_eq!((found[5].1, found[5].2), (CHARACTER_DEVICE, (5, 1)));
        assert_eq!(
            (found[6].1, found[6].3.as_slice()),
            (EXECUTABLE, b"the agent".as_slice())
        );
        assert_eq!(serde_json::from_slice::<Request>(&found[7].3).unwrap(), request());
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        assert_eq!(bytes(b"agent", &request()), bytes(b"agent", &request()));
        assert_ne!(
            bytes(b"agent", &request()),
            bytes(b"agent", &Request { run: 8, ..request() })
        );
    }

    #[test]
    fn every_archive_starts_where_the_kernel_looks_for_it() {
        for len in 0..8 {
            let whole = bytes(&vec![b'x'; len], &request());
            let base = Base::new(&vec![b'x'; len]).unwrap().archive.len();
            assert_eq!(base % 4, 0);
            assert_eq!(&whole[base..base + 6], b"070701");
        }
    }
}
