//! Where the output of a child goes: bounded memory, lines as they come, a file, nowhere.
//!
//! Not here: what the output means.

use super::process::Output;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The longest line that is handed over in one piece, in bytes.
const LINE_LEN_MAX: usize = 64 << 10;

type Each = Arc<dyn Fn(&str) + Send + Sync>;

/// The first and last bytes of a stream.
pub(super) struct Bounded {
    head_max: usize,
    tail_max: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Self {
        let tail_max = limit / 2;
        Self {
            head_max: limit - tail_max,
            tail_max,
            head: Vec::new(),
            tail: VecDeque::new(),
            left_out: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.head_max - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // Of a piece longer than the whole tail only the end can stay.
        let (skipped, kept) = rest.split_at(rest.len().saturating_sub(self.tail_max));
        let overflow = (self.tail.len() + kept.len()).saturating_sub(self.tail_max);
        self.tail.drain(..overflow);
        self.tail.extend(kept);
        self.left_out += (skipped.len() + overflow) as u64;
    }

    /// What was kept, with the size of the gap stated where there is one.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut all = self.head;
        if self.left_out > 0 {
            all.extend_from_slice(format!("\n[… {} bytes left out …]\n", self.left_out).as_bytes());
        }
        all.extend(self.tail);
        all
    }
}

/// Cuts a stream into lines.
struct Lines {
    each: Each,
    pending: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(&bytes[..end]);
            self.emit();
            bytes = &bytes[end + 1..];
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= LINE_LEN_MAX {
            self.emit();
        }
    }

    fn emit(&mut self) {
        let line = self.pending.strip_suffix(b"\r").unwrap_or(&self.pending);
        (self.each)(&String::from_utf8_lossy(line));
        self.pending.clear();
    }

    fn finish(mut self) {
        if !self.pending.is_empty() {
            self.emit();
        }
    }
}

/// Our side of one output stream.
pub(super) struct Sink(Option<JoinHandle<io::Result<Vec<u8>>>>);

impl Sink {
    /// Opens what `output` asks for: the child's side, and ours. A thread reads so that the child never blocks.
    pub(super) fn open(output: &Output) -> io::Result<(OwnedFd, Self)> {
        let (limit, each) = match output {
            Output::Null => {
                return Ok((
                    OpenOptions::new().write(true).open("/dev/null")?.into(),
                    Self(None),
                ));
            }
            Output::File(path) => return Ok((append(path)?.into(), Self(None))),
            Output::Capture { limit } => (*limit, None),
            Output::Lines { each, limit } => (*limit, Some(Arc::clone(each))),
        };
        let (reader, writer) = io::pipe()?;
        let thread = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || collect(reader, limit, each))?;
        Ok((writer.into(), Self(Some(thread))))
    }

    /// What was kept. Returns once the last holder of the child's side is gone.
    ///
    /// # Panics
    /// Where the callback of `Output::Lines` did: its panic goes on here.
    pub(super) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self.0.take().map(JoinHandle::join) {
            None => Ok(Vec::new()),
            Some(Ok(kept)) => kept,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

fn append(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn collect(mut reader: PipeReader, limit: usize, each: Option<Each>) -> io::Result<Vec<u8>> {
    let mut kept = Bounded::new(limit);
    let mut lines = each.map(|each| Lines {
        each,
        pending: Vec::new(),
    });
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        kept.push(&chunk[..length]);
        if let Some(lines) = &mut lines {
            lines.push(&chunk[..length]);
        }
    }
    if let Some(lines) = lines {
        lines.finish();
    }
    Ok(kept.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    #[test]
    fn what_fits_is_kept_whole() {
        let mut kept = Bounded::new(7);
        kept.push(b"abc");
        kept.push(b"defg");
        assert_eq!(kept.finish(), b"abcdefg");
    }

    #[test]
    fn the_gap_is_stated() {
        let mut kept = Bounded::new(4);
        kept.push(b"abcdefgh");
        assert_eq!(
            String::from_utf8(kept.finish()).unwrap(),
            "ab\n[… 4 bytes left out …]\ngh"
        );
    }

    #[test]
    fn a_limit_of_nothing_keeps_nothing() {
        let mut kept = Bounded::new(0);
        kept.push(b"abc");
        assert_eq!(
            String::from_utf8(kept.finish()).unwrap(),
            "\n[… 3 bytes left out …]\n"
        );
    }

    proptest! {
        #[test]
        fn head_tail_and_gap_add_up(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12), limit in 0..64_usize) {
            let whole: Vec<u8> = pieces.concat();
            let mut kept = Bounded::new(limit);
            pieces.iter().for_each(|piece| kept.push(piece));
            prop_assert_eq!(kept.left_out, whole.len().saturating_sub(limit) as u64);
            prop_assert!(whole.starts_with(&kept.head));
            prop_assert!(whole.ends_with(&kept.tail.iter().copied().collect::<Vec<_>>()));
            prop_assert_eq!((kept.head.len() + kept.tail.len()) as u64 + kept.left_out, whole.len() as u64);
        }

        #[test]
        fn lines_do_not_depend_on_how_they_arrive(text in "[ab\n]{0,60}", cut in 0..60_usize) {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let into = Arc::clone(&seen);
            let each: Each = Arc::new(move |line: &str| into.lock().unwrap().push(line.to_owned()));
            let mut lines = Lines { each, pending: Vec::new() };
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            lines.push(first);
            lines.push(second);
            lines.finish();
            prop_assert_eq!(seen.lock().unwrap().clone(), text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_endless_line_is_handed_over_in_pieces() {
        let seen = Arc::new(Mutex::new(0_usize));
        let into = Arc::clone(&seen);
        let each: Each = Arc::new(move |line: &str| *into.lock().unwrap() += line.len());
        let mut lines = Lines {
            each,
            pending: Vec::new(),
        };
        for _ in 0..3 {
            lines.push(&vec![b'x'; LINE_LEN_MAX]);
            assert!(lines.pending.len() < LINE_LEN_MAX);
        }
        assert_eq!(*seen.lock().unwrap(), 3 * LINE_LEN_MAX);
    }
}
