//! Finds the guilty function of a report: not the helper that noticed it.

use std::sync::LazyLock;

use regex::Regex;

use super::Kind;
use super::frame::{Item, StackFrame, canonical, is_syscall, item, symbol_in};
use super::helper::{Family, is_helper};
use super::line::Line;
use super::rule::{Blame, Rule};

/// The stacks of a report, in the order they were printed.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// Program counters of register dumps that stand before the first stack.
    pub pc: Vec<StackFrame>,
    /// Where the first program counter stands that was printed after a stack had begun: stack, frame.
    pub trap: Option<(usize, usize)>,
    /// Frames below the header before any stack is announced, as KMSAN prints them.
    pub bare: Vec<StackFrame>,
    /// Stacks of the reported context; empty ones are dropped.
    pub main: Vec<Vec<StackFrame>>,
    /// Whether a stack of the reported context was announced, printed or not.
    pub announced: bool,
    /// Stacks of others: who allocated, who held.
    pub other: Vec<Vec<StackFrame>>,
}

/// Which stack a frame belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    Bare,
    Main,
    Other,
}

/// Most frames that are kept of one stack.
const FRAMES_MAX: usize = 1024;
/// Most stacks that are kept of one report.
const STACKS_MAX: usize = 32;

impl Stacks {
    /// Collects the stacks of a report's lines, its header excluded.
    pub(super) fn read<'l, 'a: 'l>(lines: impl Iterator<Item = &'l Line<'a>>) -> Self {
        let mut stacks = Self::default();
        let (mut open, mut place, mut wild) = (Vec::new(), Place::Bare, false);
        for line in lines {
            match item(&line.text) {
                Item::Frame(frame) => push(&mut open, frame),
                Item::Pair(callee, caller) => {
                    if open.is_empty() {
                        open.push(callee);
                    }
                    push(&mut open, caller);
                }
                Item::Pc(frame) if matches!(place, Place::Bare) => push(&mut stacks.pc, frame),
                Item::WildPc => wild = true,
                Item::Pc(frame) if wild => push(&mut open, frame),
                Item::Pc(frame) => {
                    stacks.trap.get_or_insert((stacks.main.len(), open.len()));
                    push(&mut open, frame);
                }
                Item::Main(first) => {
                    stacks.close(&mut open, place);
                    stacks.announced = true;
                    place = Place::Main;
                    open.extend(first);
                }
                Item::Other => {
                    stacks.close(&mut open, place);
                    place = Place::Other;
                }
                Item::Text => {}
            }
        }
        stacks.close(&mut open, place);
        if stacks.main.is_empty() && !stacks.bare.is_empty() {
            stacks.main.push(std::mem::take(&mut stacks.bare));
        }
        stacks
    }

    fn close(&mut self, open: &mut Vec<StackFrame>, place: Place) {
        let list = match place {
            Place::Bare => {
                self.bare.append(open);
                return;
            }
            Place::Main => &mut self.main,
            Place::Other => &mut self.other,
        };
        if !open.is_empty() && list.len() < STACKS_MAX {
            list.push(std::mem::take(open));
        }
        open.clear();
    }

    /// The stack that speaks for the report: the program counter, then the first stack with a proven frame.
    pub(super) fn spoken(&self) -> Vec<StackFrame> {
        let first = self.main.iter().find(|s| s.iter().any(|f| f.reliable));
        self.pc
            .iter()
            .take(1)
            .chain(first.into_iter().flatten())
            .cloned()
            .collect()
    }

    /// Whether any stack of the reported context has a proven frame.
    pub(super) fn has_frames(&self) -> bool {
        self.main.iter().flatten().any(|f| f.reliable)
    }
}

fn push(to: &mut Vec<StackFrame>, frame: StackFrame) {
    if to.len() < FRAMES_MAX {
        to.push(frame);
    }
}

/// Functions that stand for a whole operation: what user space or the network asked for.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(?:\w+_(?:ioctl|sendmsg|sendpage|setsockopt|getsockopt|read_iter|write_iter|rcv|worker|workfn|work_fn|sq_thread)|\w+(?:dev|sock|pipe|chr|tty|file|skb|tun|fuse|ep|evdev|proc|seq|sg)\w*_(?:read|write|poll)|smp_call_function\w*|do_exit)$",
    )
    .expect("the list of entries compiles")
});

/// Entries so wide that nearly every stack has them: not worth naming unless nothing else is there.
static WIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^_*(?:sock_(?:sendmsg|recvmsg|ioctl|read_iter|write_iter|sendpage)|(?:inet6?|sock_common|security_socket)_(?:sendmsg|setsockopt|getsockopt)|generic_\w+|do_vfs_ioctl|vfs_\w+|new_sync_\w+|netif_receive_skb\w*|genl_rcv\w*|(?:rtnetlink|nfnetlink|genl_family)_rcv_msg\w*|rtnetlink_rcv|nfnetlink_rcv|netlink_rcv_skb)$").expect("the list of wide entries compiles")
});

/// Who calls one function a request, a timer or a packet type: its callee is the operation.
static DISPATCHER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^_*(?:call_timer_fn|(?:rtnetlink|nfnetlink)_rcv_msg|process_one_work|tasklet_action\w*|handle_irq_event_percpu|usb_hcd_giveback_urb|run_hrtimer|rcu_do_batch|kthread|task_work_run|netif_receive_skb_core)$")
        .expect("the list of dispatchers compiles")
});

/// Names the guilty function of a report, if its lines do.
///
/// `named` is what the header itself names, `lines` the report without its header.
pub(super) fn guilty(
    rule: &Rule,
    named: Option<&str>,
    lines: &[&Line<'_>],
    stacks: &Stacks,
) -> Option<String> {
    let named = named.map(|n| symbol_in(n).map_or_else(|| canonical(n), |f| f.function()));
    let named = named.filter(|n| !n.is_empty() && !n.bytes().all(|b| b.is_ascii_hexdigit()));
    let innocent = |f: &String| !is_helper(f, rule.skip);
    let from_header = || named.clone().filter(innocent);
    let first = || from_header().or_else(|| first_of_stack(rule, stacks));
    let found = match rule.blame {
        Blame::Nobody => None,
        Blame::Stack => first(),
        Blame::Trap => from_header().or_else(|| trapped(rule, stacks)).or_else(first),
        Blame::Entry => entry(rule, stacks),
        Blame::AtLine => at_lines(lines).find(innocent).or_else(first),
        Blame::FirstSection => {
            let sections = stacks.other.iter().chain(&stacks.main);
            let inner = sections
                .flatten()
                .filter(|f| f.reliable)
                .map(StackFrame::function)
                .find(innocent);
            inner.or_else(|| at_lines(lines).find(innocent))
        }
        Blame::CallerIs => after(lines, "caller is ").filter(innocent).or_else(first),
        Blame::LastFunction => after(lines, "last function: ").or_else(first),
    };
    if rule.kind == Kind::Hang {
        found.map(one_name)
    } else {
        found
    }
}

/// One name for a primitive's many variants, which a hang may be caught in by chance.
fn one_name(function: String) -> String {
    for name in ["smp_call_function", "synchronize_rcu", "synchronize_sched"] {
        if function.trim_start_matches('_').starts_with(name) {
            return name.replace("_sched", "_rcu");
        }
    }
    function
}

/// The first frame from the program counter on that is no helper, where another context's stack was
/// printed before it.
fn trapped(rule: &Rule, stacks: &Stacks) -> Option<String> {
    let (stack, frame) = stacks.trap.filter(|_| stacks.pc.is_empty())?;
    let below = stacks.main.get(stack)?.iter().skip(frame);
    below
        .filter(|f| f.reliable)
        .map(StackFrame::function)
        .find(|f| !is_helper(f, rule.skip))
}

/// The program counter or the first proven frame of the first stack that is no helper; where all are,
/// a fault still names the first that has no part in reporting.
fn first_of_stack(rule: &Rule, stacks: &Stacks) -> Option<String> {
    let names: Vec<String> = stacks
        .spoken()
        .iter()
        .filter(|f| f.reliable)
        .map(StackFrame::function)
        .collect();
    // A blocked task's stack starts where it gave up the CPU.
    let given_up = names
        .iter()
        .take(6)
        .rposition(|f| f.trim_start_matches('_') == "schedule");
    let names = &names[given_up.filter(|_| rule.kind == Kind::Hang).unwrap_or(0)..];
    let innocent = |skip: &[Family]| names.iter().find(|f| !is_helper(f, skip)).cloned();
    innocent(rule.skip).or_else(|| innocent(&[Family::Report]).filter(|_| rule.kind == Kind::Oops))
}

/// The innermost frame that stands for an operation.
fn entry(rule: &Rule, stacks: &Stacks) -> Option<String> {
    let functions = |stack: &Vec<StackFrame>| -> Vec<(String, bool)> {
        stack
            .iter()
            .filter(|f| f.reliable)
            .map(|f| (f.function(), is_syscall(&f.symbol)))
            .collect()
    };
    let mut all: Vec<Vec<(String, bool)>> = stacks.main.iter().map(functions).collect();
    if let (Some(first), Some(pc)) = (all.first_mut(), stacks.pc.first()) {
        first.insert(0, (pc.function(), false));
    }
    let of_one = |names: &Vec<(String, bool)>| {
        names.iter().enumerate().find_map(|(i, (name, syscall))| {
            let called = names
                .get(i + 1)
                .is_some_and(|(caller, _)| DISPATCHER.is_match(caller));
            let narrow = !is_helper(name, rule.skip) && !WIDE.is_match(name);
            (*syscall || narrow && (called || ENTRY.is_match(name))).then(|| name.clone())
        })
    };
    let innocent = |name: &&String| !is_helper(name, rule.skip);
    let found = all
        .iter()
        .find_map(of_one)
        .or_else(|| all.iter().flatten().map(|(name, _)| name).find(innocent).cloned());
    found.or_else(|| {
        stacks
            .pc
            .iter()
            .map(StackFrame::function)
            .find(|f| !is_helper(f, rule.skip))
    })
}

/// What `… at: func+0x1/0x2` names below a header, on one line or with the place on the next.
fn at_lines(lines: &[&Line<'_>]) -> impl Iterator<Item = String> {
    let mut waits = false;
    lines.iter().take(40).filter_map(move |line| {
        let text = line.text.trim_end();
        let place = text
            .split_once(" at: ")
            .map(|(_, place)| place)
            .or_else(|| waits.then_some(text));
        waits = text.ends_with(" at:");
        place.and_then(symbol_in).map(|frame| frame.function())
    })
}

/// The function named after `words` on one of the lines.
fn after(lines: &[&Line<'_>], words: &str) -> Option<String> {
    let rest = lines
        .iter()
        .take(40)
        .find_map(|line| line.text.split_once(words).map(|(_, rest)| rest.trim()))?;
    symbol_in(rest)
        .map(|f| f.function())
        .or_else(|| rest.split_whitespace().next().map(canonical))
}
