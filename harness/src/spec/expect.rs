//! The list `expect`: which verdict is right for which cells.

use super::entries::{entries, entry_keys, filter};
use super::finding::{FindingPattern, Pattern};
use super::kernels::Surroundings;
use super::matrix::Names;
use super::read::{Check, Slot};
use super::types::{Expectation, ExpectedVerdict};
use super::words::{did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

pub(super) const VERDICTS: &[(&str, ExpectedVerdict)] = &[
    ("pass", ExpectedVerdict::Pass),
    ("fail", ExpectedVerdict::Fail),
    ("inconclusive", ExpectedVerdict::Inconclusive),
    ("skip", ExpectedVerdict::Skip),
    ("infra", ExpectedVerdict::Infra),
    ("any", ExpectedVerdict::Any),
];

/// The words a `finding` may be expected by, `splat` (any of them) apart.
#[rustfmt::skip]
pub const FINDING_CLASSES: &[&str] = &[
    // A page that holds what it must not hold: the model's words.
    "stale", "foreign", "torn", "spliced", "zeroed", "resurrected", "flipped", "poison", "garbage", "faulted",
    // What else the guest can tell, and a guest that is gone or never came.
    "hang", "oom", "leak", "conservation", "taint", "lost", "boot",
    // Findings about a series, before anything is booted.
    "apply", "config", "build",
    // The kinds of the kernel's own reports.
    "oops", "warning", "kasan", "kmsan", "kcsan", "kfence", "ubsan", "lockdep", "atomic", "reboot",
];
/// How a finding is described that has no word.
const SPLAT_MAP: &str = "`{ splat: REGEX, function: REGEX }`";

/// Reads all expectations.
pub(super) fn read(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    node: &Node,
) -> Vec<Expectation> {
    entries(check, node, "expect", |check, item| {
        expectation(check, around, names, item)
    })
    .unwrap_or_default()
}

fn expectation(
    check: &mut Check,
    around: &Surroundings<'_>,
    names: &Names<'_>,
    node: &Node,
) -> Option<Expectation> {
    let keys = entry_keys(&["verdict", "finding", "reason"]);
    let table = check.table(node, &node.span, "an expectation", &keys)?;
    let filter = filter(check, around, names, &table);
    let verdict = table.slot("verdict", |n| check.one_of(n, "verdict", VERDICTS));
    if matches!(verdict, Slot::Absent) {
        check.missing(&node.span, "an expectation", "verdict").help =
            Some("one of `pass`, `fail`, `inconclusive`, `skip`, `infra`, `any`".to_owned());
    }
    let finding = table.slot("finding", |n| findings(check, n));
    if let (Slot::Got(verdict), Some((key, _))) = (&verdict, table.entry("finding"))
        && *verdict != ExpectedVerdict::Fail
    {
        check.error(
            &key.span,
            format!(
                "`finding` goes with `verdict: fail`, not with `{}`",
                verdict.word()
            ),
        );
    }
    let finding = match finding {
        Slot::Absent => Vec::new(),
        Slot::Bad => return None,
        Slot::Got(finding) => finding,
    };
    let reason = table.slot("reason", |n| pattern(check, n, "reason", Pattern::anywhere));
    if let (Slot::Got(verdict), Some((key, _))) = (&verdict, table.entry("reason"))
        && matches!(verdict, ExpectedVerdict::Pass | ExpectedVerdict::Any)
    {
        check.error(
            &key.span,
            format!(
                "`reason` says why a cell does not pass; `{}` has none",
                verdict.word()
            ),
        );
    }
    if matches!(reason, Slot::Bad) {
        return None;
    }
    Some(Expectation {
        filter: filter?,
        verdict: verdict.got()?,
        finding,
        reason: reason.got(),
        at: node.span.clone(),
    })
}

fn findings(check: &mut Check, node: &Node) -> Option<Vec<FindingPattern>> {
    let Value::List(items) = &node.value else {
        return finding(check, node).map(|f| vec![f]);
    };
    if items.is_empty() {
        check.error(&node.span, "`finding` is empty").help =
            Some("leave it out to accept any finding".to_owned());
        return None;
    }
    let found: Vec<_> = items.iter().map(|i| finding(check, i)).collect();
    found.into_iter().collect()
}

fn finding(check: &mut Check, node: &Node) -> Option<FindingPattern> {
    match &node.value {
        Value::Text(word) if word == "splat" => Some(FindingPattern::AnySplat),
        Value::Text(word) if FINDING_CLASSES.contains(&word.as_str()) => {
            Some(FindingPattern::Class(word.clone()))
        }
        Value::Map(entries) if !entries.is_empty() => splat(check, node),
        Value::Text(word) => {
            let known = || FINDING_CLASSES.iter().copied().chain(["splat"]);
            let hint = did_you_mean(word, known());
            let help = hint
                .is_empty()
                .then(|| format!("known are {}, and maps {SPLAT_MAP}", listed(known())));
            check
                .error(&node.span, format!("there is no finding {}{hint}", quoted(word)))
                .help = help;
            None
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            let message = format!(
                "a finding must be a word such as `stale`, or a map {SPLAT_MAP}, not {}",
                node.describe()
            );
            check.error(&node.span, message);
            None
        }
    }
}

fn splat(check: &mut Check, node: &Node) -> Option<FindingPattern> {
    let table = check.table(node, &node.span, "a finding", &["splat", "function"])?;
    let (title, function) = (
        table.slot("splat", |n| pattern(check, n, "splat", Pattern::anywhere)),
        table.slot("function", |n| pattern(check, n, "function", Pattern::whole)),
    );
    match (title, function) {
        (Slot::Bad, _) | (_, Slot::Bad) | (Slot::Absent, Slot::Absent) => None,
        (title, function) => Some(FindingPattern::Splat {
            title: title.got(),
            function: function.got(),
        }),
    }
}

fn pattern(
    check: &mut Check,
    node: &Node,
    key: &str,
    compile: fn(&str) -> Result<Pattern, String>,
) -> Option<Pattern> {
    let text = check.text(node, key, "a regular expression")?;
    let compiled = compile(text);
    compiled
        .map_err(|why| {
            check.error(
                &node.span,
                format!("{} is not a regular expression: {why}", quoted(text)),
            );
        })
        .ok()
}
