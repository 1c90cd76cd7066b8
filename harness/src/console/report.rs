//! Builds a splat from where it starts: title, guilty function, stack, excerpt.

use std::sync::LazyLock;

use regex::Regex;

use super::blame::{guilty, proven};
use super::frame::{self, StackFrame};
use super::helper::{Family, is_helper};
use super::line::Line;
use super::rule::{Blame, Stands};
use super::scan::{Body, Start};
use super::stacks::Stacks;
use super::{Kind, REPORT_LEN_MAX, Splat, TITLE_LEN_MAX};

/// Most frames of a splat's stack.
const STACK_LEN_MAX: usize = 64;
/// How many frames tell splats of one title apart.
const TELLING_FRAMES: usize = 3;

/// What the lines of a report tell.
struct Reading<'a> {
    body: Body<'a>,
    stacks: Stacks,
    function: Option<String>,
}

impl<'a> Reading<'a> {
    /// Reads a report up to the next of its context; `next` are the starts that may end it.
    fn of(raw: &'a [u8], start: &Start, next: &[Start]) -> Self {
        let body = Body::read(raw, start, next);
        let own = body.own();
        let below = own.get(1..).unwrap_or_default();
        let stacks = Stacks::read(below.iter().copied());
        let function = guilty(start.rule, start.named.as_deref(), below, &stacks);
        Self {
            body,
            stacks,
            function,
        }
    }

    /// Takes everybody's lines for the report's own: another CPU may have printed its stack.
    fn widen(&mut self, start: &Start) {
        let all: Vec<&Line<'_>> = self.body.all.iter().skip(1).collect();
        self.stacks = Stacks::read(all.iter().copied());
        self.function = guilty(start.rule, start.named.as_deref(), &all, &self.stacks);
    }

    /// Reads a report, and further than the next one where that cut it short. Says whether it did.
    fn best(raw: &'a [u8], start: &Start, next: &[Start]) -> (Self, bool) {
        let first = Self::of(raw, start, next);
        if start.rule.kind == Kind::Hang && !first.stacks.has_frames() {
            // An NMI made another CPU print the stack, or a warning cut in before it.
            let mut further = Self::of(raw, start, &[]);
            if !further.stacks.has_frames() {
                further.widen(start);
            }
            return (further, false);
        }
        if first.function.is_none() && start.rule.blame == Blame::Trap && start.rule.kind == Kind::Oops {
            // Another CPU's report cut in before this one had told what it knows.
            let further = Self::of(raw, start, &[]);
            if further.function.is_some() {
                return (further, true);
            }
        }
        (first, false)
    }

    /// Whether the report lacks what its kind always has.
    fn broken(&self, start: &Start) -> bool {
        let lost = self.function.is_none();
        match start.rule.blame {
            Blame::Nobody => {
                start.rule.stands == Stands::Panic && self.stacks.announced && !self.stacks.has_frames()
            }
            Blame::LastFunction | Blame::AtLineAlone => lost,
            Blame::Trap if start.named.is_some() && start.rule.kind == Kind::Oops => lost,
            Blame::Stack
            | Blame::Header
            | Blame::Trap
            | Blame::Hung
            | Blame::Entry
            | Blame::Interrupted
            | Blame::AtLine
            | Blame::AtLines
            | Blame::Became
            | Blame::Owner
            | Blame::CallerIs => lost || !self.stacks.has_frames(),
        }
    }
}

/// Builds the splat that starts at `start`; `next` are the starts below it.
pub(super) fn splat(raw: &[u8], start: &Start, next: &[Start]) -> Splat {
    let (reading, torn) = Reading::best(raw, start, next);
    let own = reading.body.own();
    let dropped = own
        .iter()
        .any(|line| line.text.contains("printk messages dropped"));
    let causeless = start.rule.stands == Stands::Aftermath;
    let corrupted = torn || dropped || causeless || reading.broken(start) || mixed(start, &own);
    let mut stack = reading.stacks.spoken();
    stack.truncate(STACK_LEN_MAX);
    Splat {
        title: title(
            start,
            reading.function.as_deref(),
            own.get(1..).unwrap_or_default(),
        ),
        kind: start.rule.kind,
        corrupted,
        t_ns: start.t_ns,
        offset: start.offset,
        end: own
            .last()
            .map_or_else(|| line_end(raw, start.offset), |line| line.end),
        stack,
        report: excerpt(&own),
        function: reading.function,
    }
}

/// Where the line at `offset` ends: a report that another start on its own line cut off has that much.
fn line_end(raw: &[u8], offset: usize) -> usize {
    let rest = raw.get(offset..).unwrap_or_default();
    offset
        + rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest.len(), |at| at + 1)
}

/// Whether another context's report is mixed into one that can't be told apart by caller tags.
fn mixed(start: &Start, own: &[&Line<'_>]) -> bool {
    static WHO: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^CPU: \d+ (?:UID: \d+ )?PID: (\d+) ").expect("compiles"));
    if start.caller.is_some() || start.rule.kind == Kind::Hang {
        return false;
    }
    let mut pids = own
        .iter()
        .filter_map(|line| Some(WHO.captures(&line.text)?[1].to_owned()));
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
    // The other side of a race is the header's third part.
    let other = start.captures.get(2).and_then(|part| {
        frame::symbol_in(part)
            .map(|f| f.function())
            .or_else(|| Some(part.clone()))
    });
    let other = other.filter(|name| !name.is_empty());
    title = title.replace(
        "{also}",
        &other.map_or_else(String::new, |name| format!(" / {name}")),
    );
    cut(title.trim(), TITLE_LEN_MAX).to_owned()
}

/// ` Read` or ` Write`, as a KASAN report says below its header.
fn access(below: &[&Line<'_>]) -> &'static str {
    let of = |line: &&Line<'_>| {
        let text = line.text.trim_start();
        let direction = [("Read ", " Read"), ("Write ", " Write")]
            .into_iter()
            .find(|(word, _)| text.starts_with(word))?;
        (text.contains(" of size ") || text.contains(" at addr ")).then_some(direction.1)
    };
    below.iter().take(30).find_map(of).unwrap_or("")
}

/// A piece of console text without what differs from run to run.
fn plain(text: &str) -> String {
    static HEX: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:0x[0-9a-fA-F]+|[0-9a-f]{8,16})\b").expect("compiles"));
    static OFFSET: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\+0x[0-9a-f]+/0x[0-9a-f]+").expect("compiles"));
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\d+\b|\d{4,}").expect("compiles"));
    let text = OFFSET.replace_all(text, "");
    let text = HEX.replace_all(&text, "ADDR");
    NUMBER.replace_all(text.trim(), "NUM").into_owned()
}

/// The first `max` bytes of a text, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        text
    } else {
        &text[..text.floor_char_boundary(max)]
    }
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
    const ALL: &[Family] = &[
        Family::Report,
        Family::Memory,
        Family::Alloc,
        Family::Lock,
        Family::Container,
        Family::Defer,
        Family::Object,
        Family::Sched,
    ];
    proven(stack)
        .filter(|f| !is_helper(f, ALL))
        .take(TELLING_FRAMES)
        .collect()
}
