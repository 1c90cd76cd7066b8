//! The reply to a series, as a mail that is ready to be sent (pure).
//!
//! It says what was found, on which patch, how to repeat it, and the tags that a fix needs; or what was proved
//! and what was not looked at. It answers the patch that is to blame, else the cover letter. Nobody's address
//! is made up: without a sender there is no `From:` and no `Reported-by:`.

mod headers;
mod text;

use super::intake::Submission;
use super::mail;
use super::report::{FindingProblem, PatchLine, Problem, Report, Word, place};
use crate::source::Mailbox;
use headers::{answered, headers, is_archived, message_id};
use std::fmt::Write as _;
use text::{bullets, paragraph, quote, section};

/// What a reply needs beside the report.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Who sends it.
    pub sender: Option<Mailbox>,
    /// When, as a mail's `Date:`; left out where empty.
    pub date: String,
    /// How the kernels were configured and built, in lines.
    pub environment: Vec<String>,
}

/// Most lines of evidence.
const EVIDENCE_MAX: usize = 40;

/// Writes the reply.
#[must_use]
pub fn reply(report: &Report, submission: &Submission, around: &Circumstances) -> String {
    let blamed = blamed(report);
    let answered = answered(submission, blamed);
    let mut out = headers(report, submission, answered, around);
    out.push('\n');
    let name = answered
        .and_then(|l| l.from.as_ref())
        .map(|f| first_name(&f.name))
        .unwrap_or_default();
    out.push_str(&if name.is_empty() {
        "Hi,\n\n".to_owned()
    } else {
        format!("Hi {name},\n\n")
    });
    match (report.verdict, report.problems.is_empty()) {
        (Word::Fail, false) => {
            let opening =
                "the following was found when this series was put through builds, boots and memory pressure:";
            paragraph(&mut out, opening);
            for problem in &report.problems {
                tell(&mut out, report, problem);
            }
            let own = message_id(report, around).filter(|_| answered.is_some_and(is_archived));
            tags(&mut out, report, around, own.as_deref());
        }
        (Word::Pass, _) => all_clear(&mut out, report),
        (Word::Fail | Word::Inconclusive | Word::Infra, _) => {
            paragraph(&mut out, "nothing could be proved about this series:");
            bullets(&mut out, &report.open);
        }
    }
    particulars(&mut out, report);
    environment(&mut out, report, around);
    out
}

/// The first patch that is to blame for something.
fn blamed(report: &Report) -> Option<usize> {
    report.problems.iter().find_map(|problem| match problem {
        Problem::Apply { patch, .. } | Problem::Build { patch, .. } => Some(*patch),
        Problem::Finding(finding) => finding.patches.first().copied(),
    })
}

fn first_name(name: &str) -> &str {
    // `Doe, Jane` and teams are not taken apart.
    let plain = |c: char| c.is_alphabetic() || c == '-';
    name.split(' ')
        .next()
        .filter(|word| !word.is_empty() && word.chars().all(plain))
        .unwrap_or_default()
}

fn tell(out: &mut String, report: &Report, problem: &Problem) {
    match problem {
        Problem::Apply {
            patch,
            file,
            hunk,
            reason,
        } => {
            let file = file
                .as_ref()
                .map_or_else(String::new, |f| format!(" to {}", f.display()));
            paragraph(out, &format!("{} does not apply{file}:", titled(report, *patch)));
            let hunk = hunk
                .as_ref()
                .map_or_else(String::new, |(n, h)| format!("hunk {n} ({h}): "));
            quote(out, &[format!("{hunk}{reason}")]);
            let made = report.base_commit.as_ref().map_or_else(String::new, |c| {
                format!(" The series says that it is made on {}.", &c[..c.len().min(12)])
            });
            paragraph(out, &format!("It was put on {}.{made}", report.base));
        }
        Problem::Build {
            patch,
            file,
            line,
            message,
            mended_by,
        } => {
            let with = format!("The tree does not build with {}:", titled(report, *patch));
            paragraph(out, &with);
            quote(out, &[format!("{}error: {message}", place(file.as_ref(), *line))]);
            let rest = match mended_by {
                Some(n) => format!(
                    "It builds again with {}; in between it cannot be bisected.",
                    titled(report, *n)
                ),
                None => "The whole series does not build either.".to_owned(),
            };
            paragraph(out, &rest);
        }
        Problem::Finding(finding) => runtime(out, report, finding),
    }
}

fn runtime(out: &mut String, report: &Report, finding: &FindingProblem) {
    let total = report.patches.len();
    quote(out, &[format!("{}: {}", finding.class, finding.title)]);
    let by = match finding.patches.as_slice() {
        [] => "It could not be narrowed down to a patch.".to_owned(),
        [one] => format!(
            "It comes with {}: {:.0} % sure.",
            titled(report, *one),
            finding.confidence * 100.0
        ),
        some => {
            let each: Vec<String> = some.iter().map(|n| titled(report, *n)).collect();
            format!(
                "It comes with one of these, which nothing tells apart: {} ({:.0} % sure).",
                each.join("; "),
                finding.confidence * 100.0
            )
        }
    };
    let after = finding
        .detect_s
        .map_or_else(String::new, |s| format!(", first after {s:.1} s"));
    paragraph(
        out,
        &format!("It was seen under the workload `{}`{after}. {by}", finding.case),
    );
    let _ = writeln!(out, "  {:<28} {:>5} {:>8}", "kernel", "runs", "with it");
    for shown in &finding.shown {
        let kernel = match shown.patches {
            0 => "base".to_owned(),
            n if n == total && total > 1 => format!("base + all {total} patches"),
            1 => "base + patch 1".to_owned(),
            n => format!("base + patches 1..{n}"),
        };
        let _ = writeln!(out, "  {kernel:<28} {:>5} {:>8}", shown.runs, shown.found);
    }
    out.push('\n');
    let evidence = &finding.evidence;
    if !evidence.is_empty() {
        quote(out, &evidence[..evidence.len().min(EVIDENCE_MAX)]);
    }
    paragraph(out, "To see it, with this series saved as series.mbox:");
    quote(out, &[report.again.replace("SERIES", "series.mbox")]);
    paragraph(
        out,
        "and where it was seen, the very cell again (same kernel, seed and parameters):",
    );
    quote(out, std::slice::from_ref(&finding.repeat));
}

fn tags(out: &mut String, report: &Report, around: &Circumstances, own_id: Option<&str>) {
    let fixes = blamed(report)
        .and_then(|n| report.patches.get(n.wrapping_sub(1)))
        .filter(|_| !matches!(report.problems.first(), Some(Problem::Apply { .. })))
        .and_then(fixes);
    let mut tags = Vec::new();
    tags.extend(fixes);
    if let Some(sender) = &around.sender {
        tags.push(format!("Reported-by: {}", mail::mailbox(sender)));
        tags.extend(own_id.map(|id| format!("Closes: https://lore.kernel.org/r/{id}/")));
    }
    if tags.is_empty() {
        return;
    }
    paragraph(
        out,
        "If you fix this in a separate patch (that is, not just in a new version of the same series), please add:",
    );
    for tag in tags {
        let _ = writeln!(out, "| {tag}");
    }
    out.push('\n');
}

/// `Fixes: 0123456789ab ("subject")`, for a patch that is a commit already.
fn fixes(patch: &PatchLine) -> Option<String> {
    let commit = patch.commit.as_ref()?;
    Some(format!("Fixes: {} (\"{}\")", commit.get(..12)?, patch.title))
}

fn all_clear(out: &mut String, report: &Report) {
    let patches = match report.patches.len() {
        1 => "1 patch".to_owned(),
        n => format!("{n} patches"),
    };
    paragraph(
        out,
        &format!(
            "nothing was found that this series ({patches} on {}) brings. It applies, it builds patch by patch, it boots.",
            report.base
        ),
    );
    let totals = &report.totals;
    paragraph(
        out,
        &format!(
            "{} guests, {} pages verified byte by byte, {} of them after a round trip out of memory and back, {:.1} minutes of pressure, on base and on the patched kernel with the same seeds:",
            totals.cells,
            totals.pages_verified,
            totals.round_trips,
            totals.guest_s / 60.0
        ),
    );
    let lines: Vec<String> = report.cases.iter().map(|case| case.line(&report.rates)).collect();
    bullets(out, &lines);
}

fn particulars(out: &mut String, report: &Report) {
    let warned: Vec<String> = report
        .patches
        .iter()
        .flat_map(|p| {
            p.warnings
                .iter()
                .map(move |w| format!("{}/{}: {w}", p.number, report.patches.len()))
        })
        .collect();
    section(out, "New compiler warnings in touched files:", &warned);
    section(
        out,
        "Seen on base as well, so not brought by this series:",
        &report.on_base,
    );
    if report.verdict == Word::Fail || report.verdict == Word::Pass {
        section(out, "Not decided:", &report.open);
    }
    let mut aside = Vec::new();
    if report.workloads.is_empty() && report.patches.iter().all(|p| p.builds == Some(true)) {
        aside.push(
            "no workload exercises what this series touches: it was built and booted, no more".to_owned(),
        );
    }
    for (what, files) in [
        ("no workload of this run exercises", &report.not_exercised),
        ("this configuration does not compile", &report.not_compiled),
    ] {
        if !files.is_empty() {
            aside.push(format!("{what} {}", files.join(", ")));
        }
    }
    section(out, "Not looked at:", &aside);
}

fn environment(out: &mut String, report: &Report, around: &Circumstances) {
    let mut lines = around.environment.clone();
    if !report.cases.is_empty() {
        lines.push(format!(
            "a finding is blamed on the series only after a sequential test over fresh pairs of runs: at most {:.0} % of harmless series are blamed; one with {:.0} times base's odds of failing is cleared in at most {:.0} % of the cases",
            report.rates.false_blame * 100.0,
            report.rates.odds,
            report.rates.false_clear * 100.0
        ));
    }
    if !report.sandbox {
        lines.push("patches were built without a sandbox".to_owned());
    }
    section(out, "How:", &lines);
    out.push_str("-- \nPatchproof\n");
}

fn titled(report: &Report, number: usize) -> String {
    let patch = report.patches.get(number.wrapping_sub(1));
    let title = patch.map_or("", |p| p.title.as_str());
    let commit = patch.and_then(|p| p.commit.as_ref()).and_then(|c| c.get(..12));
    let commit = commit.map_or_else(String::new, |c| format!("{c}, "));
    format!("patch {number}/{} ({commit}\"{title}\")", report.patches.len())
}

#[cfg(test)]
mod tests;
