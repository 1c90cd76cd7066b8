//! The mail that tells of a regression, filled in: whoever sends it reads it first.

use super::View;
use super::words::{percent, plain};
use std::fmt::Write as _;

/// The mail; none without a sure answer.
pub(super) fn mail(view: &View) -> Option<String> {
    let last = view
        .named
        .last()
        .filter(|_| view.confidence.is_some() && view.ending.is_some())?;
    view.good.then_some(())?;
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a string does not fail. No header may be smuggled in by a subject.
        let _ = writeln!(out, "{}", plain(&text));
    };
    let confidence = percent(view.confidence.unwrap_or(0.0));
    let bug = view.symptom.as_deref().unwrap_or(&view.bug);
    if view.tags.is_some() {
        line(format!("Subject: [REGRESSION] {}: {bug}", last.subject));
        line(String::new());
        line("Hi,".to_owned());
        line(String::new());
        line("the commit".to_owned());
    } else {
        line(format!("Subject: Re: {}", last.subject));
        line(String::new());
        line("Hi,".to_owned());
        line(String::new());
        line("under memory pressure, the patch".to_owned());
    }
    line(String::new());
    for commit in &view.named {
        line(format!("    {} (\"{}\")", commit.short, commit.subject));
    }
    line(String::new());
    if view.named.len() > 1 {
        line(format!(
            "(one of these; the others could not be tested) introduced this, with a probability of {confidence}:"
        ));
    } else {
        line(format!("introduced this, with a probability of {confidence}:"));
    }
    line(String::new());
    line(format!("    {bug}"));
    line(String::new());
    let [rate, low, high] = view.rate;
    line(format!(
        "It shows in {} of the trials ({} to {}), each one a boot of {} with {:.0} s of pressure.",
        percent(rate),
        percent(low),
        percent(high),
        view.cell,
        view.budget_s
    ));
    line(format!(
        "Searched: {}, {} commits, {} trials.",
        view.what,
        view.commits,
        view.trials.len()
    ));
    line(String::new());
    for check in &view.checks {
        line(format!(
            "  - {} ({}): {}.",
            check.claim, check.words, check.rests_on
        ));
    }
    line(String::new());
    line("Found and bisected with Patchproof:".to_owned());
    line(String::new());
    line(format!("    {}", view.command));
    if let Some((fixes, introduced)) = &view.tags {
        line(String::new());
        line("A fix should carry".to_owned());
        line(String::new());
        line(format!("    {fixes}"));
        line(String::new());
        line(introduced.clone());
    }
    Some(out)
}
