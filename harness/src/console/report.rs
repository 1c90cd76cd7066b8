//! Builds a splat from where it starts: title, guilty function, stack, excerpt.

use std::sync::LazyLock;

use regex::Regex;

use super::blame::{Stacks, guilty};
use super::frame::StackFrame;
use super::helper::{Family, is_helper};
use super::line::Line;
use super::rule::{Blame, Stands};
use super::scan::{Body, Start};
use super::{Kind, REPORT_LEN_MAX, Splat, TITLE_LEN_MAX};

/// Most frames of a splat's stack.
const STACK_LEN_MAX: usize = 64;
/// How many frames tell splats of one title apart.
const TELLING_FRAMES: usize = 3;

/// Builds the splat that starts at `start`; `next` are the starts below it.
pub(super) fn splat(raw: &[u8], start: &Start, next: &[Start]) -> Splat {
    let mut body = Body::read(raw, start, next);
    let mut stacks = Stacks::read(body.own().into_iter().skip(1));
    if start.rule.kind == Kind::Hang && !stacks.has_frames() {
        // Another CPU printed the stack, asked by an NMI, or a warning cut in before it.
        body = Body::read(raw, start, &[]);
        stacks = Stacks::read(body.own().into_iter().skip(1));
        if !stacks.has_frames() {
            stacks = Stacks::read(body.all.iter().skip(1));
        }
    }
    let mut function = guilty(start.rule, start.named.as_deref(), body.own().get(1..).unwrap_or_default(), &stacks);
    let mut torn = false;
    if function.is_none() && start.rule.kind == Kind::Oops && start.rule.blame == Blame::Trap {
        // Another CPU's report cut in before this one had told what it knows.
        torn = true;
        body = Body::read(raw, start, &[]);
        stacks = Stacks::read(body.own().into_iter().skip(1));
        function = guilty(start.rule, start.named.as_deref(), body.own().get(1..).unwrap_or_default(), &stacks);
    }
    let own = body.own();
    let below = own.get(1..).unwrap_or_default();
    let lost = own.iter().any(|line| line.text.contains("printk messages dropped"));
    let broken = match start.rule.blame {
        Blame::Nobody => start.rule.stands == Stands::Panic && !stacks.has_frames(),
        Blame::LastFunction => function.is_none(),
        Blame::Trap if start.named.is_some() && start.rule.kind == Kind::Oops => function.is_none(),
        Blame::Stack | Blame::Trap | Blame::Entry | Blame::AtLine | Blame::FirstSection | Blame::CallerIs => {
            function.is_none() || !stacks.has_frames()
        }
    };
    let causeless = start.rule.stands == Stands::Aftermath;
    let mut stack = stacks.spoken();
    stack.truncate(STACK_LEN_MAX);
    Splat {
        title: title(start, function.as_deref(), below),
        kind: start.rule.kind,
        function,
        corrupted: lost || torn || broken || causeless || mixed(start, &own),
        t_ns: start.t_ns,
        offset: start.offset,
        end: own.last().map_or(start.offset, |line| line.end),
        stack,
        report: excerpt(&own),
    }
}

/// Whether another context's report is mixed into one that can't be told apart by caller tags.
fn mixed(start: &Start, own: &[&Line<'_>]) -> bool {
    static WHO: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^CPU: \d+ (?:UID: \d+ )?PID: (\d+) ").expect("compiles"));
    if start.caller.is_some() || start.rule.kind == Kind::Hang {
        return false;
    }
    let mut pids = own.iter().filter_map(|line| Some(WHO.captures(&line.text)?[1].to_owned()));
    let first = pids.next();
    pids.any(|pid| Some(pid) != first)
}

/// Fills a rule's title.
fn title(start: &Start, function: Option<&str>, below: &[&Line<'_>]) -> String {
    let mut title = start.rule.title.to_owned();
    for (i, part) in start.captures.iter().enumerate() {
        title = title.replace(&format!("{{{}}}", i + 1), &plain(part));
    }
    title = title.replace("{rw}", access(below));
    title = title.replace("{f}", function.unwrap_or("corrupted"));
    cut(title.trim(), TITLE_LEN_MAX).to_owned()
}

/// ` Read` or ` Write`, as a KASAN report says below its header.
fn access(below: &[&Line<'_>]) -> &'static str {
    let of = |line: &&Line<'_>| {
        let text = line.text.trim_start();
        let direction = [("Read ", " Read"), ("Write ", " Write")].into_iter().find(|(word, _)| text.starts_with(word))?;
        (text.contains(" of size ") || text.contains(" at addr ")).then_some(direction.1)
    };
    below.iter().take(30).find_map(of).unwrap_or("")
}

/// A piece of console text without what differs from run to run.
fn plain(text: &str) -> String {
    static HEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:0x[0-9a-fA-F]+|[0-9a-f]{8,16})\b").expect("compiles"));
    static OFFSET: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\+0x[0-9a-f]+/0x[0-9a-f]+").expect("compiles"));
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\d+\b").expect("compiles"));
    let text = OFFSET.replace_all(text, "");
    let text = HEX.replace_all(&text, "ADDR");
    NUMBER.replace_all(text.trim(), "NUM").into_owned()
}

/// The first `max` bytes of a text, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max { text } else { &text[..text.floor_char_boundary(max)] }
}

/// The report's lines, bounded.
fn excerpt(own: &[&Line<'_>]) -> String {
    let mut out = String::new();
    for line in own {
        let left = REPORT_LEN_MAX - out.len();
        let text = cut(&line.text, left.saturating_sub(1));
        if text.len() < line.text.len() {
            break;
        }
        out.push_str(text);
        out.push('\n');
    }
    out
}

/// The top frames that are no helpers of any family.
pub(super) fn telling_frames(stack: &[StackFrame]) -> Vec<String> {
    const ALL: &[Family] =
        &[Family::Report, Family::Memory, Family::Alloc, Family::Lock, Family::Container, Family::Sched, Family::Tick, Family::Core, Family::Defer];
    let names = stack.iter().filter(|f| f.reliable).map(StackFrame::function);
    names.filter(|f| !is_helper(f, ALL)).take(TELLING_FRAMES).collect()
}
