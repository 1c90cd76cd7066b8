//! Finds where reports start and which lines are theirs.
//!
//! One pass over the console finds headers and decides which open a report of their own; then each
//! report reads a bounded number of lines from its header on. Both are linear in the console's size.

use super::line::{Caller, Line, lines};
use super::rule::{Blame, Rule, Stands, find};
use super::{Kind, REPORTS_MAX};

/// Most lines that one report is looked for in.
pub(super) const BODY_LINES_MAX: usize = 1500;
/// Most bytes that one report is looked for in.
pub(super) const BODY_LEN_MAX: usize = 256 * 1024;
/// How many of the latest reports a header may belong to.
const LOOK_BACK: usize = 8;
/// How many lines below a report's header its trap line may stand.
const TRAP_LINES: usize = 60;
/// How many lines below a report's header a panic is its aftermath.
const PANIC_LINES: usize = 400;
/// How many lines below a preface the report's own header may stand.
const PREFACE_LINES: usize = 8;

/// Where a report starts.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub rule: &'static Rule,
    /// Byte offset of the header's line in the console.
    pub offset: usize,
    /// What the header captured: title parts from 1 on, and the function it names.
    pub captures: Vec<String>,
    pub named: Option<String>,
    pub t_ns: Option<u64>,
    pub caller: Option<Caller>,
    line_no: usize,
    has_stack: bool,
}

/// Finds where reports start, first cause first.
pub(super) fn starts(raw: &[u8]) -> Vec<Start> {
    let mut starts: Vec<Start> = Vec::new();
    let mut boots = super::reboot::Boots::default();
    for (line_no, line) in lines(raw).enumerate() {
        if let Some(rule) = boots.see(&line)
            && starts.is_empty()
        {
            starts.push(start(rule, &line, line_no, Vec::new(), None));
        }
        let text = line.text.as_ref();
        if text.trim_start().starts_with("Call ") || text.starts_with("Backtrace") {
            mark_stack(&mut starts, line.caller);
            continue;
        }
        // A panic's last line repeats its first.
        if text.starts_with("---[ end ") && !starts.is_empty() {
            continue;
        }
        let Some((rule, captures)) = find(text, line.t_ns.is_some()) else {
            continue;
        };
        let parts = captures
            .iter()
            .skip(1)
            .map(|m| m.map_or_else(String::new, |m| m.as_str().to_owned()))
            .collect();
        let named = captures.name("f").map(|m| m.as_str().to_owned());
        place(&mut starts, start(rule, &line, line_no, parts, named));
        if starts.len() == REPORTS_MAX {
            break;
        }
    }
    starts
}

fn start(
    rule: &'static Rule,
    line: &Line<'_>,
    line_no: usize,
    captures: Vec<String>,
    named: Option<String>,
) -> Start {
    Start {
        rule,
        offset: line.offset,
        captures,
        named,
        t_ns: line.t_ns,
        caller: line.caller,
        line_no,
        has_stack: false,
    }
}

/// Whether two lines may come from the same context.
pub(super) fn same_context(one: Option<Caller>, other: Option<Caller>) -> bool {
    one.is_none() || other.is_none() || one == other
}

fn mark_stack(starts: &mut [Start], caller: Option<Caller>) {
    for open in starts
        .iter_mut()
        .rev()
        .take(LOOK_BACK)
        .filter(|s| same_context(s.caller, caller))
    {
        open.has_stack = true;
    }
}

/// Adds a header as a report of its own, or leaves it to the one that it belongs to.
fn place(starts: &mut Vec<Start>, new: Start) {
    let near =
        |s: &Start, lines: usize| same_context(s.caller, new.caller) && new.line_no - s.line_no <= lines;
    let preface = |s: &&mut Start| s.rule.stands == Stands::Preface && near(s, PREFACE_LINES);
    // A trap is announced by a report that still lacks the stack that it promised.
    let announced = |s: &Start| {
        s.rule.kind == Kind::Oops && s.rule.blame != Blame::Nobody && !s.has_stack && near(s, TRAP_LINES)
    };
    let belongs = match new.rule.stands {
        Stands::Alone | Stands::Preface | Stands::Trap | Stands::Detail => {
            if let Some(preface) = starts.iter_mut().rev().take(LOOK_BACK).find(preface) {
                // The report's own header names it; its first line stays the first line.
                (preface.rule, preface.captures, preface.named) = (new.rule, new.captures, new.named);
                return;
            }
            new.rule.stands == Stands::Detail
                || new.rule.stands == Stands::Trap && starts.iter().rev().take(LOOK_BACK).any(announced)
        }
        Stands::Aftermath => !starts.is_empty(),
        Stands::Part | Stands::Panic => starts.iter().rev().take(LOOK_BACK).any(|s| near(s, PANIC_LINES)),
    };
    if !belongs {
        starts.push(new);
    }
}

/// The lines of a report.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// Every line from the header on, up to the report's end.
    pub all: Vec<Line<'a>>,
    /// The header's caller: its lines are the report's own.
    caller: Option<Caller>,
}

impl<'a> Body<'a> {
    /// Reads a report from its header up to its end marker, the next report of its context, or the limit.
    pub(super) fn read(raw: &'a [u8], start: &Start, next: &[Start]) -> Self {
        // Reports of a single line stand anywhere, even in the middle of another's stack.
        let cuts = |n: &&Start| n.rule.blame != Blame::Nobody && same_context(n.caller, start.caller);
        let bound = next.iter().find(cuts).map_or(raw.len(), |n| n.offset);
        let mut all: Vec<Line<'a>> = Vec::new();
        let (mut ended, mut traced) = (false, false);
        let bytes = &raw[start.offset..raw.len().min(start.offset + BODY_LEN_MAX)];
        for mut line in lines(bytes).take(BODY_LINES_MAX) {
            line.offset += start.offset;
            line.end += start.offset;
            if line.offset >= bound {
                break;
            }
            let own = all.is_empty() || same_context(start.caller, line.caller);
            let text = line.text.as_ref();
            // Old slab reports stand inside a sanitizer's and begin with a rule of their own.
            let closed = traced && boxed(start.rule.kind) && is_box(text);
            ended |= own && (text.starts_with("---[ end ") || closed);
            traced |= own && !all.is_empty() && text.contains("+0x");
            all.push(line);
            if ended {
                break;
            }
        }
        Self {
            all,
            caller: start.caller,
        }
    }

    /// The report's own lines, header included; all of them where lines don't say who printed them.
    pub(super) fn own(&self) -> Vec<&Line<'a>> {
        let tagged = self.caller.is_some();
        self.all
            .iter()
            .filter(|line| !tagged || line.caller == self.caller)
            .collect()
    }
}

/// Whether reports of a kind stand between two rules of `=`.
fn boxed(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Kasan | Kind::Kmsan | Kind::Kcsan | Kind::Kfence | Kind::Ubsan
    )
}

fn is_box(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|b| b == b'=')
}
