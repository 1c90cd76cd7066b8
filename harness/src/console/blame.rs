//! Finds the guilty function of a report: not the helper that noticed it.
//!
//! Only frames that the unwinder vouches for count, and none that a symbolizer added: whose fault a
//! report is does not depend on whether somebody has run it through one.

use super::Kind;
use super::entry;
use super::frame::{Of, StackFrame, canonical, symbol_in};
use super::helper::{Family, is_helper};
use super::line::Line;
use super::rule::{Blame, Rule};
use super::stacks::Stacks;

/// Most lines below a header in which a place or a name is looked for.
const PLACE_LINES: usize = 40;

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
    let first = || first_of_stack(rule, stacks);
    let header = || named.clone().filter(innocent);
    match rule.blame {
        Blame::Nobody => None,
        Blame::Header => named.clone().or_else(first),
        Blame::Stack => header().or_else(first),
        Blame::Trap => header().or_else(|| trapped(rule, stacks)).or_else(first),
        Blame::Hung => hung(rule, stacks),
        Blame::Entry => entry::sampled(rule, stacks).or_else(first),
        Blame::Interrupted => entry::interrupted(rule, stacks)
            .or_else(|| entry::sampled(rule, stacks))
            .or_else(|| entry::running(rule, stacks))
            .or_else(first),
        Blame::AtLine | Blame::AtLineAlone => at_lines(lines).next().or_else(first),
        Blame::AtLines => at_lines(lines)
            .take(2)
            .find(innocent)
            .or_else(|| of_sections(stacks, Of::Else).find(innocent))
            .or_else(first),
        Blame::Became => of_sections(stacks, Of::Became)
            .chain(of_sections(stacks, Of::Else))
            .find(innocent)
            .or_else(|| at_lines(lines).find(innocent))
            .or_else(first),
        Blame::Owner => of_sections(stacks, Of::Owner).find(innocent).or_else(first),
        Blame::CallerIs => after(lines, "caller is ").filter(innocent).or_else(first),
        Blame::LastFunction => after(lines, "last function: ")
            .or_else(|| after(lines, "workfn="))
            .or_else(first),
    }
}

/// The functions of frames that may be blamed at all.
pub(super) fn proven(frames: &[StackFrame]) -> impl Iterator<Item = String> {
    frames
        .iter()
        .filter(|f| f.reliable && !f.is_inlined())
        .map(StackFrame::function)
}

/// The functions of all sections of a sort.
fn of_sections(stacks: &Stacks, of: Of) -> impl Iterator<Item = String> {
    let sections = stacks.all.iter().filter(move |stack| stack.of == of);
    sections.flat_map(|stack| proven(&stack.frames))
}

/// The first frame from the program counter on that is no helper, where another context's stack was
/// printed before it.
fn trapped(rule: &Rule, stacks: &Stacks) -> Option<String> {
    if !stacks.pc.is_empty() {
        return None;
    }
    let stack = stacks.reported().find(|stack| stack.pc_at.is_some())?;
    let below = stack.frames.get(stack.pc_at?..)?;
    proven(below).find(|f| !is_helper(f, rule.skip))
}

/// The program counter or the first proven frame of the first stack that is no helper; where all are,
/// a fault still names the first that has no part in reporting.
fn first_of_stack(rule: &Rule, stacks: &Stacks) -> Option<String> {
    let spoken = stacks.spoken();
    let innocent = |skip: &[Family]| proven(&spoken).find(|f| !is_helper(f, skip));
    innocent(rule.skip).or_else(|| innocent(&[Family::Report]).filter(|_| rule.kind == Kind::Oops))
}

/// What everybody waits for who waits for a grace period or for the network's big lock: whoever is
/// found waiting for these is their victim, and all victims' reports are one.
const SHARED_WAITS: &[(&str, Option<&str>)] = &[
    ("rtnl_lock", None),
    ("rtnl_net_lock", None),
    ("synchronize_rcu", Some("synchronize_rcu")),
    ("synchronize_srcu", Some("synchronize_rcu")),
    ("synchronize_sched", Some("synchronize_rcu")),
    ("synchronize_net", Some("synchronize_rcu")),
];

/// What a blocked task waits for, or the first of its frames that does not wait.
fn hung(rule: &Rule, stacks: &Stacks) -> Option<String> {
    let spoken = stacks.spoken();
    let shared = proven(&spoken).find_map(|f| {
        let (_, name) = SHARED_WAITS.iter().find(|(part, _)| f.contains(part))?;
        Some(name.map_or_else(|| f.clone(), str::to_owned))
    });
    shared.or_else(|| proven(&spoken).find(|f| !is_helper(f, rule.skip)))
}

/// What `… at: func+0x1/0x2` names below a header, on one line or with the place on the next.
fn at_lines(lines: &[&Line<'_>]) -> impl Iterator<Item = String> {
    let mut waits = false;
    // What else was held is nobody's fault.
    let own = |line: &&&Line<'_>| !line.text.starts_with("other info");
    lines
        .iter()
        .take(PLACE_LINES)
        .take_while(own)
        .filter_map(move |line| {
            let text = line.text.trim_end();
            let place = text
                .split_once(" at: ")
                .map(|(_, place)| place)
                .or_else(|| waits.then_some(text));
            let frame = place.and_then(symbol_in);
            // Before the place may stand what was inlined there, and another writer's line.
            waits = text.ends_with(" at:") || (waits && frame.is_none());
            frame.map(|frame| frame.function())
        })
}

/// The function named after `words` on one of the lines.
fn after(lines: &[&Line<'_>], words: &str) -> Option<String> {
    let rest = lines
        .iter()
        .take(PLACE_LINES)
        .find_map(|line| line.text.split_once(words).map(|(_, rest)| rest.trim()))?;
    symbol_in(rest)
        .map(|f| f.function())
        .or_else(|| rest.split_whitespace().next().map(canonical))
}
