//! The report for people who read it in a terminal.

use super::View;
use super::words::{count, percent, plain, time};

/// Trials that are listed at most, the last ones.
const TRIALS_MAX: usize = 200;

pub(super) fn text(view: &View) -> String {
    let mut lines = vec![format!("{}.", capital(&view.title)), String::new()];
    lines.extend(particulars(view));
    let mut part = |head: &str, of_it: Vec<String>| {
        lines.extend([String::new(), head.to_owned()]);
        lines.extend(of_it);
    };
    if !view.checks.is_empty() {
        part("Checked:", checks(view));
    }
    if view.likeliest.len() > 1 || view.named.is_empty() {
        part("Likeliest:", likeliest(view));
    }
    part("Trials:", trials(view));
    if let Some((fixes, introduced)) = &view.tags {
        let tags = [fixes, introduced].map(|tag| format!("  {tag}"));
        part("For mails and fixes:", tags.into());
    }
    lines.iter().map(|line| plain(line) + "\n").collect()
}

/// What was searched and found, and what it took.
fn particulars(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    for commit in &view.named {
        let by = if commit.author.is_empty() {
            String::new()
        } else {
            format!(", by {}", commit.author)
        };
        lines.push(format!("  named      {} (\"{}\"){by}", commit.id, commit.subject));
    }
    if let (Some(ending), None) = (view.ending, &view.problem) {
        lines.push(format!("  because    the search {ending}"));
    }
    lines.push(format!("  searched   {}: {} commits", view.what, view.commits));
    lines.push(format!(
        "  each trial {}, {:.0} s of pressure, a seed of its own",
        view.cell, view.budget_s
    ));
    lines.push(format!("  the bug    {}", view.bug));
    if let Some(symptom) = &view.symptom {
        lines.push(format!("  first seen {symptom}"));
    }
    let [rate, low, high] = view.rate.map(percent);
    lines.push(format!(
        "  hit rate   {rate} (nine chances in ten: {low} to {high})"
    ));
    let [build, boot, run] = view.spent_s;
    lines.push(format!(
        "  took       {} in {} trials: {} building {}, {} booting, {} pressing",
        time(build + boot + run),
        view.trials.len(),
        time(build),
        count(u32::try_from(view.builds).unwrap_or(u32::MAX), "kernel"),
        time(boot),
        time(run)
    ));
    lines
}

fn checks(view: &View) -> Vec<String> {
    let checks = view.checks.iter();
    checks
        .map(|check| format!("  {:<14} {}: {}", check.words, check.claim, check.rests_on))
        .collect()
}

fn likeliest(view: &View) -> Vec<String> {
    let likeliest = view.likeliest.iter();
    likeliest
        .map(|likely| {
            format!(
                "  {:>11}  {}  {}",
                percent(likely.p),
                likely.short,
                likely.subject
            )
        })
        .collect()
}

/// The last trials.
fn trials(view: &View) -> Vec<String> {
    let left_out = view.trials.len().saturating_sub(TRIALS_MAX);
    let before = (left_out > 0).then(|| format!("  … {left_out} before"));
    let last = view.trials.iter().skip(left_out).map(|trial| {
        format!(
            "  {:>4}  {}.{}  {}",
            trial.n, trial.commit, trial.nth, trial.words
        )
    });
    before.into_iter().chain(last).collect()
}

/// With a capital letter.
pub(super) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
