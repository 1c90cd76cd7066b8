//! Plain lines, for logs: nothing moves, nothing is coloured, progress is rare.

use super::words::{cell_line, closing_words, count};
use super::{Reporter, detection, table};
use crate::run::{Event, KernelRecord, Summary};
use std::io::Write;
use std::path::Path;

/// Kernel builds report every so many steps.
const STEPS_PER_LINE: u64 = 500;
/// Cells report their counters every so many guest milliseconds.
const PROGRESS_EVERY_MS: u64 = 10_000;

/// Writes plain lines.
#[derive(Debug)]
pub struct Plain<W: Write> {
    out: W,
    progress_shown_ms: u64,
}

impl<W: Write> Plain<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self {
            out,
            progress_shown_ms: 0,
        }
    }
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn event(&mut self, event: &Event) {
        if let Event::CellProgress { elapsed_ms, .. } = event {
            if *elapsed_ms < self.progress_shown_ms + PROGRESS_EVERY_MS {
                return;
            }
            self.progress_shown_ms = *elapsed_ms;
        }
        if matches!(event, Event::CellStarted { .. }) {
            self.progress_shown_ms = 0;
        }
        for line in lines(event) {
            let _ = writeln!(self.out, "{line}");
        }
        let _ = self.out.flush();
    }
}

/// The lines that stay after an event, on a terminal too.
pub(super) fn lines(event: &Event) -> Vec<String> {
    match event {
        Event::RunStarted {
            dir,
            cells,
            kernels,
            done,
            notes,
            ..
        } => {
            let head = started(dir, *cells, *kernels, *done);
            let notes = notes.iter().map(|note| format!("note: {note}"));
            std::iter::once(head).chain(notes).collect()
        }
        Event::KernelStarted { .. } => Vec::new(),
        Event::KernelStep {
            kernel, done, total, ..
        } if done % STEPS_PER_LINE == 0 && *done > 0 => {
            let total = total.map_or_else(String::new, |t| format!(" of about {t}"));
            vec![format!("kernel {kernel}: {done}{total} steps")]
        }
        Event::KernelStep { .. } => Vec::new(),
        Event::KernelReady(kernel) => kernel_lines(kernel),
        Event::KernelFailed { kernel, verdict } => vec![format!("kernel {kernel}: {}", verdict.reason())],
        Event::CellStarted { cell } => vec![format!("{cell}: starting")],
        Event::CellBooted {
            cell,
            boot_s,
            accel,
            accel_why,
            backend,
            backend_why,
        } => {
            vec![format!(
                "{cell}: booted in {boot_s:.1} s ({backend}: {backend_why}; {accel}: {accel_why})"
            )]
        }
        Event::CellProgress {
            cell,
            elapsed_ms,
            budget_ms,
            pages_verified,
            round_trips,
            ..
        } => {
            vec![format!(
                "{cell}: {} of {} s, {pages_verified} pages verified, {round_trips} round trips",
                elapsed_ms / 1000,
                budget_ms / 1000
            )]
        }
        // The verdict says it again, with what it means.
        Event::CellFinding { .. } => Vec::new(),
        Event::CellFrozen { cell, how, .. } => {
            let head = format!("{cell}: stopped at its first finding; to look into it (Ctrl-C ends it):");
            let commands = how.iter().map(|command| format!("  {command}"));
            std::iter::once(head).chain(commands).collect()
        }
        Event::CellDone(cell) => vec![cell_line(cell)],
        Event::SeriesStep(step) => step.lines(),
        Event::Series(report) => report.lines(),
        Event::Interrupted => vec!["stopping: what runs is being ended, what is done is kept".to_owned()],
        Event::Stopping { why } => vec![format!(
            "stopping, since {}: what runs is being ended, what is done is kept",
            why.words()
        )],
        Event::Summary(summary) => summary_lines(summary),
    }
}

/// What is to be run, and where it is kept.
fn started(dir: &Path, cells: usize, kernels: usize, done: usize) -> String {
    let (cells, kernels) = (count(cells, "cell"), count(kernels, "kernel"));
    let earlier = if done == 0 {
        String::new()
    } else {
        format!(" ({done} of them done before)")
    };
    let head = match (cells.as_str(), done) {
        // Cells that are chosen on the way are not known yet.
        ("0 cells", 0) => kernels,
        _ => format!("{cells}{earlier} on {kernels}"),
    };
    format!("{head}, recorded in {}", dir.display())
}

fn summary_lines(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    // A build alone has no cells.
    for table in [table(summary), detection(summary)] {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table);
        }
    }
    lines.push(String::new());
    for cell in summary.cells.iter().filter(|c| !c.as_expected) {
        lines.push(format!("to repeat {}: {}", cell.id, cell.repeat));
    }
    if !summary.not_run.is_empty() {
        if let Some(why) = &summary.not_run_why {
            lines.push(format!("{} not run: {why}", count(summary.not_run.len(), "cell")));
        }
        lines.push(format!("to finish it: patchproof run --resume {}", summary.run));
    }
    lines.push(closing_words(summary.exit, summary.not_run.len()).to_owned());
    lines
}

fn kernel_lines(kernel: &KernelRecord) -> Vec<String> {
    let how = kernel
        .build_s
        .map_or_else(|| "cached".to_owned(), |s| format!("built in {s:.0} s"));
    let mut lines = vec![format!("kernel {} ({}): {how}", kernel.kernel, kernel.key)];
    lines.extend(
        kernel
            .notes
            .iter()
            .map(|note| format!("kernel {}: {note}", kernel.kernel)),
    );
    lines
}
