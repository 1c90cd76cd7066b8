//! The report for people who read it in a terminal.

use super::View;
use super::words::{count, percent, plain, time};
use std::fmt::Write as _;

/// Trials that are listed at most, the last ones.
const TRIALS_MAX: usize = 200;

pub(super) fn text(view: &View) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}", plain(&text));
    };
    line(format!("{}.", capital(&view.title)));
    line(String::new());
    for commit in &view.named {
        let by = if commit.author.is_empty() {
            String::new()
        } else {
            format!(", by {}", commit.author)
        };
        line(format!("  named      {} (\"{}\"){by}", commit.id, commit.subject));
    }
    if let (Some(ending), None) = (view.ending, &view.problem) {
        line(format!("  because    the search {ending}"));
    }
    line(format!("  searched   {}: {} commits", view.what, view.commits));
    line(format!(
        "  each trial {}, {:.0} s of pressure, a seed of its own",
        view.cell, view.budget_s
    ));
    line(format!("  the bug    {}", view.bug));
    if let Some(symptom) = &view.symptom {
        line(format!("  first seen {symptom}"));
    }
    let [rate, low, high] = view.rate;
    line(format!(
        "  hit rate   {} (nine chances in ten: {} to {})",
        percent(rate),
        percent(low),
        percent(high)
    ));
    let [build, boot, run] = view.spent_s;
    line(format!(
        "  took       {} in {} trials: {} building {}, {} booting, {} pressing",
        time(build + boot + run),
        view.trials.len(),
        time(build),
        count(u32::try_from(view.builds).unwrap_or(u32::MAX), "kernel"),
        time(boot),
        time(run)
    ));
    if !view.checks.is_empty() {
        line(String::new());
        line("Checked:".to_owned());
        for check in &view.checks {
            line(format!(
                "  {:<14} {}: {}",
                check.words, check.claim, check.rests_on
            ));
        }
    }
    if view.likeliest.len() > 1 || view.named.is_empty() {
        line(String::new());
        line("Likeliest:".to_owned());
        for likely in &view.likeliest {
            line(format!(
                "  {:>11}  {}  {}",
                percent(likely.p),
                likely.short,
                likely.subject
            ));
        }
    }
    line(String::new());
    line("Trials:".to_owned());
    let left_out = view.trials.len().saturating_sub(TRIALS_MAX);
    if left_out > 0 {
        line(format!("  … {left_out} before"));
    }
    for trial in view.trials.iter().skip(left_out) {
        line(format!(
            "  {:>4}  {}.{}  {}",
            trial.n, trial.commit, trial.nth, trial.words
        ));
    }
    if let Some((fixes, introduced)) = &view.tags {
        line(String::new());
        line("For mails and fixes:".to_owned());
        line(format!("  {fixes}"));
        line(format!("  {introduced}"));
    }
    out
}

/// With a capital letter.
pub(super) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
