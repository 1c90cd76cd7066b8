//! Workflow commands (`::error …`) that GitHub shows as annotations.

use super::words::{closing, count, short};
use crate::store::Record;
use crate::verdict::Verdict;

/// GitHub shows ten annotations of a kind for a step.
const EACH_KIND_MAX: usize = 10;

pub(super) fn annotations(record: &Record) -> String {
    let mut out = String::new();
    let (mut errors, mut warnings) = (0, 0);
    for (_, cell) in record.results().filter(|(_, cell)| !cell.as_expected) {
        let (kind, shown) = match &cell.full {
            Verdict::Pass | Verdict::Fail { .. } | Verdict::Infra { .. } => ("error", &mut errors),
            Verdict::Inconclusive { .. } | Verdict::Skip { .. } => ("warning", &mut warnings),
        };
        *shown += 1;
        // The last place of a kind is for how many more there are.
        if *shown < EACH_KIND_MAX {
            let text = format!("{}\nto repeat: {}", short(cell), cell.repeat);
            out.push_str(&command(kind, &cell.id, &text));
        }
    }
    for (kind, shown) in [("error", errors), ("warning", warnings)] {
        if shown >= EACH_KIND_MAX {
            let more = shown + 1 - EACH_KIND_MAX;
            out.push_str(&command(
                kind,
                "patchproof",
                &format!("{} more did not come out as expected", count(more, "cell")),
            ));
        }
    }
    let kind = if record.exit == Some(0) { "notice" } else { "error" };
    out.push_str(&command(kind, "patchproof", closing(record)));
    out
}

fn command(kind: &str, title: &str, text: &str) -> String {
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}\n", data(text))
}

/// What must not stand in a command as it is; so nothing can begin a command of its own.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
