//! The list `expect`: which verdict is right for which cells.

use super::finding::{FindingPattern, Pattern};
use super::matrix::{Names, entries, filter};
use super::read::{Check, Slot};
use super::types::{Expectation, ExpectedVerdict};
use super::words::{did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

const KEYS: &[&str] = &["kernel", "machine", "case", "racepoint", "verdict", "finding"];
const VERDICTS: &[(&str, ExpectedVerdict)] = &[
    ("pass", ExpectedVerdict::Pass),
    ("fail", ExpectedVerdict::Fail),
    ("inconclusive", ExpectedVerdict::Inconclusive),
    ("skip", ExpectedVerdict::Skip),
    ("any", ExpectedVerdict::Any),
];

/// The words a `finding` may be expected by, `splat` (any of them) apart.
#[rustfmt::skip]
pub const FINDING_CLASSES: &[&str] = &[
    // A page that holds what it must not hold: the model's words.
    "stale", "foreign", "torn", "spliced", "zeroed", "resurrected", "flipped", "poison", "garbage", "faulted",
    // What else the guest can tell, and a guest that is gone or never came.
    "hang", "leak", "conservation", "taint", "lost", "boot",
    // Findings about a series, before anything is booted.
    "apply", "config", "build",
    // The kinds of the kernel's own reports.
    "oops", "warning", "kasan", "kmsan", "kcsan", "kfence", "ubsan", "lockdep", "atomic", "reboot",
];
/// How a finding is described that has no word.
const SPLAT_MAP: &str = "`{ splat: REGEX, function: REGEX }`";

/// Reads all expectations.
pub(super) fn read(check: &mut Check, names: &Names<'_>, node: &Node) -> Vec<Expectation> {
    entries(check, node, "expect", |check, item| {
        expectation(check, names, item)
    })
    .unwrap_or_default()
}

fn expectation(check: &mut Check, names: &Names<'_>, node: &Node) -> Option<Expectation> {
    let table = check.table(node, &node.span, "an expectation", KEYS)?;
    let filter = filter(check, names, &table);
    let verdict = table.slot("verdict", |n| check.one_of(n, "verdict", VERDICTS));
    if matches!(verdict, Slot::Absent) {
        check.missing(&node.span, "an expectation", "verdict").help =
            Some("one of `pass`, `fail`, `inconclusive`, `skip`, `any`".to_owned());
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
    Some(Expectation {
        filter: filter?,
        verdict: verdict.got()?,
        finding,
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
    let mut pattern = |key: &str, compile: fn(&str) -> Result<Pattern, String>| {
        table.slot(key, |n| {
            let text = check.text(n, key, "a regular expression")?;
            compile(text)
                .map_err(|why| {
                    check.error(
                        &n.span,
                        format!("{} is not a regular expression: {why}", quoted(text)),
                    );
                })
                .ok()
        })
    };
    let (title, function) = (
        pattern("splat", Pattern::anywhere),
        pattern("function", Pattern::whole),
    );
    match (title, function) {
        (Slot::Bad, _) | (_, Slot::Bad) | (Slot::Absent, Slot::Absent) => None,
        (title, function) => Some(FindingPattern::Splat {
            title: title.got(),
            function: function.got(),
        }),
    }
}
