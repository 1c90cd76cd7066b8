//! Children made by `fork` alone, which share this process's program and memory image. A child does
//! nothing but system calls: its other threads are gone, and with them whatever lock they held.

use super::arena::{Advice, Arena, PAGE_LEN, PAGE_WORDS, PageWords};
use super::{Doing, Result, SysError};
use rustix::io::Errno;
use std::io::Read;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

/// A child's copy of a page, or that the page could not be read.
pub type Copy = Option<Box<PageWords>>;

/// How one page could not be read in the child.
const FAULT: u8 = 1;
/// What comes before a page that could.
const DATA: u8 = 0;

/// Forks, and has the child send back what it reads at each of these pages.
///
/// # Errors
/// Those of `fork` and of the pipe; a child that ends early is one.
pub fn copies(arena: &Arena, pages: &[usize]) -> Result<Vec<Copy>> {
    let doing = || "reading pages in a forked child".to_owned();
    let (from, to) = rustix::pipe::pipe().doing(doing)?;
    let to_fd = to.as_raw_fd();
    // SAFETY: the child calls nothing but `write` and `_exit`, which are async-signal-safe, and reads
    // `pages`, which is not changed.
    match unsafe { libc::fork() } {
        -1 => Err(SysError::last("fork")),
        0 => {
            for &page in pages {
                send(arena, page, to_fd);
            }
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop(to);
            let received = receive(from, pages.len()).doing(doing);
            wait(child)?;
            received
        }
    }
}

/// Sends one page; in the child.
fn send(arena: &Arena, page: usize, fd: i32) {
    let put = |at: *const u8, len: usize| {
        let mut sent = 0;
        while sent < len {
            // SAFETY: `at` is the address of `len` bytes, of a local byte or of a page of the arena; the
            // kernel copies them and answers EFAULT where it can't.
            let n = unsafe { libc::write(fd, at.add(sent).cast(), len - sent) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => sent += n,
                _ => break,
            }
        }
        sent
    };
    // Probed first: nothing can be taken back from a pipe.
    let at = arena.address(page) as *const u8;
    if !arena.hint(page..page + 1, Advice::PopulateRead) {
        put([FAULT].as_ptr(), 1);
        return;
    }
    put([DATA].as_ptr(), 1);
    if put(at, PAGE_LEN) < PAGE_LEN {
        // SAFETY: ends the child; the parent sees that bytes are missing.
        unsafe { libc::_exit(1) };
    }
}

fn receive(from: OwnedFd, pages: usize) -> std::io::Result<Vec<Copy>> {
    let mut from = std::io::BufReader::with_capacity(PAGE_LEN, std::fs::File::from(from));
    let mut copies = Vec::with_capacity(pages);
    for _ in 0..pages {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        copies.push(if kind[0] == FAULT {
            None
        } else {
            let mut bytes = [0; PAGE_LEN];
            from.read_exact(&mut bytes)?;
            Some(words(&bytes))
        });
    }
    Ok(copies)
}

/// A page's bytes as its words.
#[must_use]
pub fn words(bytes: &[u8; PAGE_LEN]) -> Box<PageWords> {
    let mut page = Box::new([0; PAGE_WORDS]);
    for (word, bytes) in page.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    page
}

fn wait(child: libc::pid_t) -> Result<()> {
    loop {
        // SAFETY: waits for our own child; no status is asked for.
        if unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } >= 0 {
            return Ok(());
        }
        let e = SysError::last("waiting for a forked child");
        if e.errno() != Some(Errno::INTR.raw_os_error()) {
            return Err(e);
        }
    }
}

/// A child that disturbs shared memory until it is dropped.
#[derive(Debug)]
pub struct Disturber {
    child: libc::pid_t,
}

impl Disturber {
    /// Forks a child that touches, zaps and collapses at random the ranges of huge pages given, which
    /// must be shared mappings: nothing that it does changes their content.
    ///
    /// # Errors
    /// Those of `fork`.
    pub fn fork(arena: &Arena, ranges: &[Range<usize>], seed: u64) -> Result<Self> {
        // SAFETY: the child only makes system calls (see `disturb`).
        match unsafe { libc::fork() } {
            -1 => Err(SysError::last("fork")),
            0 => disturb(arena, ranges, seed),
            child => Ok(Self { child }),
        }
    }
}

/// Pages of one zap, at most.
const ZAP_PAGES_MAX: usize = 64;
/// Pause between two rounds, in microseconds: the disturber must not take a CPU from the workers.
const PAUSE_US: u32 = 500;

fn disturb(arena: &Arena, ranges: &[Range<usize>], seed: u64) -> ! {
    let mut random = seed | 1;
    let mut below = |n: usize| {
        // xorshift: whatever allocates is out of bounds here.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 33) as usize % n.max(1)
    };
    // SAFETY: takes plain numbers; the child goes with its parent.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        let Some(range) = ranges.get(below(ranges.len())) else {
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) }
        };
        let start = range.start + below(range.len());
        let some = start..range.end.min(start + 1 + below(ZAP_PAGES_MAX));
        let (what, advice) = match below(8) {
            0 => (range.clone(), Advice::Collapse),
            1 => (range.clone(), Advice::HugePage),
            2 => (range.clone(), Advice::NoHugePage),
            3 => (range.clone(), Advice::PopulateRead),
            4 | 5 => (some, Advice::DontNeed),
            _ => (some, Advice::PopulateRead),
        };
        // Whether it could is all the same here.
        let _ = arena.hint(what, advice);
        // SAFETY: sleeps.
        unsafe { libc::usleep(PAUSE_US) };
    }
}

impl Drop for Disturber {
    fn drop(&mut self) {
        // SAFETY: signals our own child, which has not been waited for.
        unsafe { libc::kill(self.child, libc::SIGKILL) };
        let _ = wait(self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sends_what_it_saw_and_tells_what_it_could_not_read() {
        let arena = Arena::reserve(1).unwrap();
        arena.map_anonymous(0..2).unwrap();
        arena.write(1, &[5; PAGE_WORDS]);
        let copies = copies(&arena, &[1, 0, 9]).unwrap();
        assert_eq!(copies[0].as_deref(), Some(&[5; PAGE_WORDS]));
        assert_eq!(copies[1].as_deref(), Some(&[0; PAGE_WORDS]));
        assert_eq!(copies[2], None);
    }
}
