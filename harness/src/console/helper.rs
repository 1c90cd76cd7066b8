//! Functions that notice a bug but are not guilty of it, by what they are.
//!
//! Knows how a function of a family is told by its name. The names themselves are in `tables` and
//! `special`; none of them is there for a certain bug or log.

mod special;
mod tables;

use std::sync::LazyLock;

use regex::Regex;

/// A family of helpers; a rule says which families may not be blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Printing a report, sanitizer and tracing hooks, the traps that a failed assertion takes.
    Report,
    /// Copying, comparing, formatting memory; bits, checksums, device registers.
    Memory,
    /// Getting and freeing objects and page cache pages for somebody else.
    Alloc,
    /// Locks, atomics, reference counts, waking and waiting primitives, and their checkers.
    Lock,
    /// Links of lists and trees, and looking things up in them.
    Container,
    /// Deferring work and taking it back: timers, work queues.
    Defer,
    /// The last reference to an object of the device core or of the file system core.
    Object,
    /// Giving up the CPU.
    Sched,
    /// Waiting for anything: a sleeping function that says so in its name.
    Wait,
    /// Read-copy-update itself.
    Rcu,
    /// The timer interrupt by which a stall is noticed, and who notices it.
    Tick,
    /// The socket lock.
    Sock,
    /// Lock checking, spin locks and the stacks they are printed with.
    Key,
    /// Spin locks by any name.
    Spin,
    /// Per-CPU and preemption checks.
    Preempt,
    /// Users of tracked objects: timers, work, per-CPU counters, RCU heads.
    Tracked,
    /// Freeing memory, with what is freed by the page.
    Free,
    /// Who gives memory out on behalf of others: anything that allocates.
    Broker,
    /// Accessors of socket buffers, whose assertions are about their caller.
    Buffer,
    /// Generic ciphers and netlink plumbing through which uninitialized bytes travel.
    Conduit,
    /// The work queue, which holds a lock of its own around each piece of work.
    Queue,
    /// Sending a USB request and waiting for it.
    Urb,
    /// Registering files of /proc.
    Proc,
    /// Giving pages back or mapping them, by whoever happened to hold the last reference.
    Page,
}

impl Family {
    const ALL: [Self; 24] = [
        Self::Report,
        Self::Memory,
        Self::Alloc,
        Self::Lock,
        Self::Container,
        Self::Defer,
        Self::Object,
        Self::Sched,
        Self::Wait,
        Self::Rcu,
        Self::Tick,
        Self::Sock,
        Self::Key,
        Self::Spin,
        Self::Preempt,
        Self::Tracked,
        Self::Free,
        Self::Broker,
        Self::Buffer,
        Self::Conduit,
        Self::Queue,
        Self::Urb,
        Self::Proc,
        Self::Page,
    ];
}

/// How the functions of a family are told.
struct Signs {
    /// Parts of a name that say it wherever they stand, within a word even.
    parts: &'static [&'static str],
    /// Words of a name, between underscores.
    words: &'static [&'static str],
    /// Whole names without their leading underscores, as regular expressions.
    names: &'static [&'static str],
}

impl Signs {
    fn pattern(&self) -> String {
        let mut any: Vec<String> = self.parts.iter().map(|part| (*part).to_owned()).collect();
        if !self.words.is_empty() {
            any.push(format!("(?:^|_)(?:{})(?:_|\\d|$)", self.words.join("|")));
        }
        if !self.names.is_empty() {
            any.push(format!("^_*(?:{})(?:_noprof)?$", self.names.join("|")));
        }
        any.join("|")
    }
}

static TABLE: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |family: &Family| {
        Regex::new(&tables::signs(*family).pattern()).expect("a list of this module compiles")
    };
    Family::ALL.iter().map(compile).collect()
});

/// Whether a function (in its canonical name) is a helper of one of the families.
pub(super) fn is_helper(function: &str, families: &[Family]) -> bool {
    families
        .iter()
        .any(|family| TABLE[*family as usize].is_match(function))
}

#[cfg(test)]
mod tests;
