//! The log: every step of every owner in one order, with its result, compactly; the last ones are kept.

use super::step::{NoStep, Step};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Steps that are kept of each owner.
pub const KEPT_MAX: usize = 2048;

/// One line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its place among the steps of all owners.
    pub order: u64,
    /// The owner.
    pub owner: u8,
    /// What was done.
    pub step: Step,
    /// The kernel's answer: 0, or its `errno`.
    pub errno: i32,
}

/// The last steps of all owners.
#[derive(Debug)]
pub struct Log {
    next: AtomicU64,
    owners: Vec<Mutex<VecDeque<Entry>>>,
}

impl Log {
    /// A log of so many owners.
    #[must_use]
    pub fn new(owners: usize) -> Self {
        let kept = || Mutex::new(VecDeque::with_capacity(KEPT_MAX));
        Self {
            next: AtomicU64::new(0),
            owners: std::iter::repeat_with(kept).take(owners).collect(),
        }
    }

    /// Notes that an owner begins a step.
    pub fn note(&self, owner: usize, step: Step) {
        let entry = Entry {
            order: self.next.fetch_add(1, Ordering::Relaxed),
            owner: owner as u8,
            step,
            errno: 0,
        };
        let mut kept = self.owners[owner].lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(entry);
    }

    /// Notes that the kernel refused the last step of an owner.
    pub fn refused(&self, owner: usize, errno: i32) {
        let mut kept = self.owners[owner].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = kept.back_mut() {
            last.errno = errno;
        }
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether the last of an owner's steps since `order` was not refused.
    #[must_use]
    pub fn succeeded(&self, owner: usize, order: u64) -> bool {
        let kept = self.owners[owner].lock().unwrap_or_else(PoisonError::into_inner);
        kept.back().is_some_and(|e| e.order >= order && e.errno == 0)
    }

    /// What is kept, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let of = |kept: &Mutex<VecDeque<Entry>>| {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .copied()
                .collect::<Vec<_>>()
        };
        let mut all: Vec<Entry> = self.owners.iter().flat_map(of).collect();
        all.sort_by_key(|e| e.order);
        all
    }

    /// Tells what is kept in words that [`parse`] reads back.
    #[must_use]
    pub fn text(&self) -> String {
        write(&self.entries())
    }
}

/// Spells entries: `OWNER/STEP` each, and `=ERRNO` where the kernel refused.
#[must_use]
pub fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for e in entries {
        let _ = write!(text, "{}/{}", e.owner, e.step);
        if e.errno != 0 {
            let _ = write!(text, "={}", e.errno);
        }
        text.push(' ');
    }
    text.pop();
    text
}

/// Reads a log back.
///
/// # Errors
/// The first word that is no step.
pub fn parse(text: &str) -> Result<Vec<Entry>, NoStep> {
    let word = |(order, word): (usize, &str)| {
        let (head, errno) = word.split_once('=').unwrap_or((word, "0"));
        let wrong = || "".parse::<Step>().expect_err("an empty word is no step");
        let (owner, step) = head.split_once('/').ok_or_else(wrong)?;
        Ok(Entry {
            order: order as u64,
            owner: owner.parse().map_err(|_| wrong())?,
            step: step.parse()?,
            errno: errno.parse().map_err(|_| wrong())?,
        })
    };
    text.split_whitespace().enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_order_of_all_owners_and_is_read_as_it_is_written() {
        let log = Log::new(2);
        let step: Step = "1:3+2store".parse().unwrap();
        log.note(0, step);
        log.note(1, step);
        log.refused(1, 12);
        log.note(0, step);
        assert_eq!(log.text(), "0/1:3+2store 1/1:3+2store=12 0/1:3+2store");
        assert_eq!(parse(&log.text()), Ok(log.entries()));
        for _ in 0..KEPT_MAX {
            log.note(1, step);
        }
        assert_eq!(log.entries().len(), KEPT_MAX + 2);
        assert_eq!(log.steps(), KEPT_MAX as u64 + 3);
        assert!(parse("0/1:3+2store 0/1:3+2stare").is_err());
        assert!(parse("x").is_err());
    }
}
