//! What a report's first line looks like, and where its blame is found.
//!
//! A rule says nothing about how lines are read (`line`) or stacks parsed (`frame`). Order matters:
//! the first rule whose header matches a line names it, so the narrow ones stand before the wide.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Kind;
use super::helper::Family;

/// Where the guilty function of a report is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The report is about no function in particular.
    Nobody,
    /// The function that the header names, whatever it is: the kernel has chosen it already.
    Header,
    /// The first frame that is not a helper: header, stack.
    Stack,
    /// The same, but nothing that was printed before the program counter counts.
    Trap,
    /// What a blocked task waits for: the grace period or the big lock, else the first who waits.
    Hung,
    /// The operation's entry point: where it was sampled says little, what it was about does.
    Entry,
    /// The entry point of what a timer interrupt found running.
    Interrupted,
    /// The place that the first `… at: func+0x1/0x2` names below the header; else the stack.
    AtLine,
    /// The same, in a report that has no stack.
    AtLineAlone,
    /// The first of two such places that is not a helper; else the locks' own stacks.
    AtLines,
    /// The stack by which a lock `became` what it must not be.
    Became,
    /// Whoever the page in question was given to last; else the stack.
    Owner,
    /// The function named by `caller is func+…`; else the stack.
    CallerIs,
    /// The function named by `last function: func`.
    LastFunction,
}

/// How a report relates to one that is already open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Always a report of its own.
    Alone,
    /// The first words of a report whose own header follows.
    Preface,
    /// The header that a preface just above announced; nothing without it.
    Detail,
    /// The trap that a report above it announces (`kernel BUG` → `invalid opcode`).
    Trap,
    /// What the kernel does after any report (`panic_on_warn set`).
    Aftermath,
    /// A line of the report above it, and a report only if that one was lost.
    Part,
    /// A panic: the aftermath of a report just above it, else a report.
    Panic,
}

/// One kind of report.
#[derive(Debug)]
pub(super) struct Rule {
    pub kind: Kind,
    /// Regular expression over the line's text.
    pub header: &'static str,
    /// `{1}` … are captures, `{rw}` is Read/Write from the report, ` in {f}` the guilty function.
    pub title: &'static str,
    pub blame: Blame,
    /// Families that may not be blamed.
    pub skip: &'static [Family],
    pub stands: Stands,
    /// Only a line with a printk stamp counts: user space may say the same.
    pub stamped: bool,
}

/// A rule for reports that stand alone.
pub(super) const fn rule(
    kind: Kind,
    header: &'static str,
    title: &'static str,
    blame: Blame,
    skip: &'static [Family],
) -> Rule {
    Rule {
        kind,
        header,
        title,
        blame,
        skip,
        stands: Stands::Alone,
        stamped: false,
    }
}

/// A rule for reports that stand otherwise.
pub(super) const fn when(stands: Stands, mut rule: Rule) -> Rule {
    rule.stands = stands;
    rule
}

/// A rule for words that user space may say too.
pub(super) const fn from_kernel(mut rule: Rule) -> Rule {
    rule.stamped = true;
    rule
}

/// A rule with its compiled header.
#[derive(Debug)]
pub(super) struct Compiled {
    pub rule: &'static Rule,
    header: Regex,
}

static RULES: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    super::rules::all()
        .map(|rule| Compiled {
            rule,
            header: Regex::new(rule.header).expect("a rule's header compiles"),
        })
        .collect()
});

/// Words of which every header has at least one.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"BUG|WARNING|INFO|SYZF|CFI failure|\[#\d|UBSAN|fault|error|panic|nable to handle|PANIC|stack|corruption|Oops|Unhandled|Alignment|kmemleak|ecompress|lockup|LOCKUP|Busy inodes|Unused swap|file count|become free|overflow|DEBUG_LOCKS|out of bounds|called `|invalid opcode|bounds|alignment|segment|invalid TSS|coprocessor|device not|SIMD|debug:|control protection|int3",
    )
    .expect("the word list compiles")
});

/// Finds the rule whose header a line is; `stamped` says whether printk put its time before it.
pub(super) fn find(text: &str, stamped: bool) -> Option<(&'static Rule, Captures<'_>)> {
    if !WORDS.is_match(text) {
        return None;
    }
    let fits = |c: &&Compiled| stamped || !c.rule.stamped;
    RULES
        .iter()
        .filter(fits)
        .find_map(|c| Some((c.rule, c.header.captures(text)?)))
}
