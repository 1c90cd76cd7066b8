//! A terminal: lines that stay as [`super::Plain`] writes them, and below them bars for what goes on
//! (indicatif).

use super::{Reporter, plain};
use crate::run::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Shows events on a terminal.
#[derive(Debug)]
pub struct Terminal {
    bars: MultiProgress,
    shown: BTreeMap<String, ProgressBar>,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// A terminal on standard error, as progress is not a result.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            shown: BTreeMap::new(),
        }
    }

    fn bar(&mut self, name: &str) -> &ProgressBar {
        let bars = &self.bars;
        self.shown.entry(name.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner()).with_prefix(name.to_owned());
            bar.set_style(style("{spinner} {prefix}  {wide_msg}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }

    fn drop_bar(&mut self, name: &str) {
        if let Some(bar) = self.shown.remove(name) {
            bar.finish_and_clear();
        }
    }

    /// Moves the bar of `name` to `at` of `of`, with a message.
    fn measure(&mut self, name: &str, at: u64, of: u64, message: String) {
        let bar = self.bar(name);
        if bar.length() != Some(of) {
            bar.set_length(of);
            bar.set_style(style(
                "{spinner} {prefix}  [{bar:24}] {percent:>3}% {eta:>4} left  {wide_msg}",
            ));
        }
        bar.set_position(at.min(of));
        bar.set_message(message);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event) {
        match event {
            Event::KernelStarted { kernel } => {
                self.bar(&format!("kernel {kernel}"))
                    .set_message("looking in the cache");
            }
            Event::KernelStep {
                kernel,
                done,
                total,
                what,
            } => {
                let name = format!("kernel {kernel}");
                match total {
                    Some(total) => self.measure(&name, *done, *total, what.clone()),
                    None => self.bar(&name).set_message(format!("{done} steps: {what}")),
                }
                return;
            }
            Event::KernelReady(kernel) => self.drop_bar(&format!("kernel {}", kernel.kernel)),
            Event::KernelFailed { kernel, .. } => self.drop_bar(&format!("kernel {kernel}")),
            Event::CellStarted { cell } => {
                self.bar(cell).set_message("booting");
                return;
            }
            Event::CellBooted {
                cell, boot_s, accel, ..
            } => {
                self.bar(cell)
                    .set_message(format!("booted in {boot_s:.1} s ({accel})"));
                return;
            }
            Event::CellProgress {
                cell,
                elapsed_ms,
                budget_ms,
                pages_verified,
                round_trips,
                ..
            } => {
                let message = format!("{pages_verified} pages verified, {round_trips} round trips");
                self.measure(cell, *elapsed_ms, *budget_ms, message);
                return;
            }
            Event::CellDone(cell) => self.drop_bar(&cell.id),
            Event::CellFrozen { cell, .. } => self.bar(cell).set_message("stopped at its first finding"),
            Event::RunStarted { .. }
            | Event::CellFinding { .. }
            | Event::SeriesStep(_)
            | Event::Series(_)
            | Event::Interrupted
            | Event::Stopping { .. }
            | Event::Summary(_) => {}
        }
        if let Event::Summary(_) = event {
            self.shown.values().for_each(ProgressBar::finish_and_clear);
            for line in plain::lines(event) {
                println!("{line}");
            }
            return;
        }
        for line in plain::lines(event) {
            let _ = self.bars.println(line);
        }
    }
}
