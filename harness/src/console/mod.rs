//! Turns the raw bytes of a kernel console into splats, first cause first.
//!
//! A splat is one report of the kernel about itself: a title in the words kernel developers use, its
//! kind, the function to blame (not the helper that noticed), the stack, an excerpt. Rules are
//! general: they know what reports and helpers look like, never a certain log. Everything here is
//! pure, bounded and linear in the console's size, and no bytes can make it panic. It does not judge
//! (that is `verdict`), and never reads a test's status off the console.

mod allow;
mod blame;
mod entry;
mod frame;
mod helper;
mod line;
mod reboot;
mod report;
mod rule;
mod rules;
mod scan;
mod source;
mod stacks;

pub use allow::{Allow, AllowEntry, AllowError, Allowlist};
pub use frame::StackFrame;
pub use line::{Caller, LINE_LEN_MAX, Line, Lines, lines, marks};
pub use source::{SourcePlace, frames_in, placed};

use serde::{Deserialize, Serialize};

/// Most splats that one console gives.
pub const REPORTS_MAX: usize = 64;
/// Longest excerpt of a splat, in bytes.
pub const REPORT_LEN_MAX: usize = 16 * 1024;
/// Longest title, in bytes.
pub const TITLE_LEN_MAX: usize = 160;

/// What a splat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A bad access that KASAN caught.
    Kasan,
    /// A use of uninitialized memory that KMSAN caught.
    Kmsan,
    /// A data race that KCSAN caught.
    Kcsan,
    /// A bad access that KFENCE caught.
    Kfence,
    /// Undefined behaviour that UBSAN caught.
    Ubsan,
    /// A task or CPU without progress: hung task, RCU stall, lockup.
    Hang,
    /// A locking rule broken, as lockdep and the lock debugging see it.
    Lockdep,
    /// A `WARN` in the kernel.
    Warning,
    /// Sleeping or scheduling where it is forbidden.
    Atomic,
    /// Memory that nobody refers to any more.
    Leak,
    /// The kernel started again though nobody asked for it.
    Reboot,
    /// Everything else: faults, failed assertions, bad pages, panics.
    Oops,
}

impl Kind {
    /// The kind's name, as it is serialized.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kasan => "kasan",
            Self::Kmsan => "kmsan",
            Self::Kcsan => "kcsan",
            Self::Kfence => "kfence",
            Self::Ubsan => "ubsan",
            Self::Hang => "hang",
            Self::Lockdep => "lockdep",
            Self::Warning => "warning",
            Self::Atomic => "atomic",
            Self::Leak => "leak",
            Self::Reboot => "reboot",
            Self::Oops => "oops",
        }
    }
}

/// One report of the kernel about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Splat {
    /// One line in the words kernel developers use; numbers and addresses are left out.
    pub title: String,
    /// What it is about.
    pub kind: Kind,
    /// The function to blame, where the report names one.
    pub function: Option<String>,
    /// The report is cut off, torn, or lacks the stack that it should have.
    pub corrupted: bool,
    /// Kernel time of its first line, in nanoseconds.
    pub t_ns: Option<u64>,
    /// Byte offset of its first line in the console.
    pub offset: usize,
    /// Byte offset just past its last line.
    pub end: usize,
    /// The program counter, then the stack of the reported context.
    pub stack: Vec<StackFrame>,
    /// Its lines without stamps and escapes, at most [`REPORT_LEN_MAX`] bytes.
    pub report: String,
}

/// Finds the splats of a console, first cause first: at most [`REPORTS_MAX`].
#[must_use]
pub fn analyze(raw: &[u8]) -> Vec<Splat> {
    let starts = scan::starts(raw);
    (0..starts.len())
        .map(|i| report::splat(raw, &starts[i], &starts[i + 1..]))
        .collect()
}

impl Splat {
    /// A name under which equal splats of different runs meet: kind, title and the top frames that
    /// are no helpers; never addresses, offsets or times.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        let mut add = |part: &str| {
            hash.update(part.as_bytes()).update(b"\n");
        };
        add(self.kind.name());
        add(&self.title);
        for function in report::telling_frames(&self.stack) {
            add(&function);
        }
        format!("{}-{}", self.kind.name(), &hash.finalize().to_hex()[..16])
    }
}

#[cfg(test)]
mod tests;
