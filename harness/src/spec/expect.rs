//! The list `expect`: which verdict is right for which cells.

use super::matrix::{Names, filter};
use super::read::{Check, Slot};
use super::types::{Expectation, ExpectedVerdict, FindingPattern, Pattern};
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
pub const FINDING_CLASSES: &[&str] = &[
    // A page that holds what it must not hold.
    "stale",
    "foreign",
    "torn",
    "spliced",
    "zeroed",
    "resurrected",
    "flipped",
    "poison",
    "garbage",
    "faulted",
    // What else the guest can tell.
    "hang",
    "leak",
    "conservation",
    "taint",
    // The kernel's own reports.
    "oops",
    "bug",
    "warning",
    "kasan",
    "kcsan",
    "kmsan",
    "kfence",
    "ubsan",
    "lockdep",
    "rcu_stall",
    "soft_lockup",
    "hard_lockup",
    "hung_task",
    "bad_page",
    "bad_page_map",
    "bad_rss",
    "page_table_check",
    "refcount",
    "atomic_sleep",
    "list_corruption",
    "slab_corruption",
    "memory_leak",
    "panic",
    "lost_guest",
];

/// Reads all expectations.
pub(super) fn read(check: &mut Check, names: &Names<'_>, node: &Node) -> Vec<Expectation> {
    let items = check.list(node, "expect").unwrap_or_default();
    items
        .iter()
        .filter_map(|item| expectation(check, names, item))
        .collect()
}

fn expectation(check: &mut Check, names: &Names<'_>, node: &Node) -> Option<Expectation> {
    let table = check.table(node, &node.span, "an expectation", KEYS)?;
    let filter = filter(check, names, &table);
    let verdict = table.slot("verdict", |n| check.one_of(n, "verdict", VERDICTS));
    if matches!(verdict, Slot::Absent) {
        check.missing(&node.span, "an expectation", "verdict");
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
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => {
            let known = || FINDING_CLASSES.iter().copied().chain(["splat"]);
            let hint = did_you_mean(&node.spelled, known());
            let help = hint.is_empty().then(|| {
                format!(
                    "known are {}, or a map `{{ splat: REGEX, function: REGEX }}`",
                    listed(known())
                )
            });
            let shown = node.describe();
            check
                .error(&node.span, format!("there is no finding {shown}{hint}"))
                .help = help;
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
