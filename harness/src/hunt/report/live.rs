//! What is shown while a hunt goes on: JSON lines, plain lines, or lines above one bar on a terminal.

use super::words::{percent, plain, time};
use crate::bisect::Outcome;
use crate::hunt::event::{Belief, Event, Told};
use crate::run::{self, Versioned};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write as _;
use std::time::Duration;

/// Shows what happens.
#[derive(Debug)]
pub struct Live {
    json: bool,
    bar: Option<ProgressBar>,
    trials: usize,
}

impl Live {
    /// For `--json`, for a terminal, or for anything else.
    #[must_use]
    pub fn new(json: bool, terminal: bool) -> Self {
        let bar = (terminal && !json).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { json, bar, trials: 0 }
    }

    /// Shows one thing. A reader that went away is no reason to stop.
    pub fn show(&mut self, told: Told<'_>) {
        match told {
            Told::Run(event) if self.json => json_line(event),
            Told::Hunt(event) if self.json => json_line(event),
            Told::Run(event) => self.run(event),
            Told::Hunt(event) => self.hunt(event),
        }
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A line that stays.
    pub fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(plain(line)),
            None => {
                let _ = writeln!(std::io::stdout(), "{}", plain(line));
            }
        }
    }

    /// What goes on now; only a terminal shows it.
    fn now(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(plain(message));
        }
    }

    fn run(&self, event: &run::Event) {
        match event {
            run::Event::KernelStarted { kernel } => self.now(&format!("{kernel}: looking for its kernel")),
            run::Event::KernelStep {
                kernel,
                done,
                total,
                what,
            } => {
                let of = total.map_or_else(String::new, |total| format!(" of about {total}"));
                self.now(&format!("{kernel}: building, step {done}{of}: {what}"));
            }
            run::Event::KernelReady(kernel) => {
                if let Some(build_s) = kernel.build_s {
                    self.line(&format!("      {}: built in {}", kernel.kernel, time(build_s)));
                }
                kernel
                    .notes
                    .iter()
                    .for_each(|note| self.line(&format!("      {}: {note}", kernel.kernel)));
            }
            run::Event::CellStarted { cell } => self.now(&format!("{cell}: booting")),
            run::Event::CellBooted {
                cell, boot_s, accel, ..
            } => {
                self.now(&format!("{cell}: booted in {boot_s:.1} s ({accel})"));
            }
            run::Event::CellProgress {
                cell,
                elapsed_ms,
                budget_ms,
                round_trips,
                ..
            } => {
                let (at, of) = (elapsed_ms / 1000, budget_ms / 1000);
                self.now(&format!("{cell}: {at} of {of} s, {round_trips} round trips"));
            }
            run::Event::CellFinding { cell, title, .. } => self.now(&format!("{cell}: {title}")),
            // Told with the trial.
            run::Event::KernelFailed { .. }
            | run::Event::RunStarted { .. }
            | run::Event::CellFrozen { .. }
            | run::Event::CellDone(_)
            | run::Event::SeriesStep(_)
            | run::Event::Series(_)
            | run::Event::Interrupted
            | run::Event::Stopping { .. }
            | run::Event::Summary(_) => {}
        }
    }

    fn hunt(&mut self, event: &Event) {
        match event {
            Event::BisectStarted {
                dir,
                what,
                commits,
                cell,
                kept,
                ..
            } => {
                self.line(&format!("{commits} candidates: {what}; each trial runs {cell}"));
                self.line(&format!("kept in {}", dir.display()));
                if *kept > 0 {
                    self.line(&format!(
                        "{kept} trials were kept before: none of them is repeated"
                    ));
                }
                self.trials = *kept;
            }
            Event::BisectTrying {
                commit, nth, purpose, ..
            } => {
                self.now(&format!("{commit}.{nth}: {}", why(purpose)));
            }
            Event::BisectTrial {
                commit,
                subject,
                nth,
                purpose,
                outcome,
                seen,
                belief,
            } => {
                self.trials += 1;
                let title = seen.as_ref().map_or("", |s| s.title.as_str());
                let came = came_to(*outcome, title);
                self.line(&format!(
                    "{:>4}  {commit}.{nth} ({}; {}): {came}",
                    self.trials,
                    cut(subject),
                    why(purpose)
                ));
                if let Some(belief) = belief.as_ref().filter(|_| *purpose == "search") {
                    self.line(&format!("      {}", believed(belief)));
                }
            }
            Event::BisectAnswer { named, confidence } => {
                let names: Vec<String> = named
                    .iter()
                    .map(|(id, subject)| format!("{id} ({subject})"))
                    .collect();
                self.line(&format!(
                    "named, with {}: {}",
                    percent(*confidence),
                    names.join(", ")
                ));
            }
            Event::BisectCheck { claim, check } => {
                let (words, rests_on) = (super::words::held(check.held), super::words::rests_on(check));
                self.line(&format!("check {words}: {claim}: {rests_on}"));
            }
            Event::Interrupted => {
                self.line("stopped; `patchproof bisect --resume last` goes on where it was");
            }
        }
    }
}

fn json_line(event: &impl serde::Serialize) {
    if let Ok(mut line) = serde_json::to_vec(&Versioned::now(event)) {
        line.push(b'\n');
        let mut out = std::io::stdout();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// The beginning of a subject.
fn cut(subject: &str) -> String {
    const MOST: usize = 60;
    if subject.chars().count() <= MOST {
        return subject.to_owned();
    }
    subject.chars().take(MOST - 1).chain(['…']).collect()
}

fn why(purpose: &str) -> &'static str {
    match purpose {
        "bad_end" => "does the bad end show it",
        "good_end" => "is the good end clean",
        "parent_clean" => "is the parent clean",
        "culprit_again" => "does the culprit show it again",
        "reverted_clean" => "is the bad end without it clean",
        _ => "search",
    }
}

fn came_to(outcome: Outcome, title: &str) -> String {
    let about = if title.is_empty() {
        String::new()
    } else {
        format!(": {title}")
    };
    match outcome {
        Outcome::Found { after_s } => format!("FOUND after {after_s:.1} s{about}"),
        Outcome::Quiet { for_s } => format!("quiet for {for_s:.0} s"),
        Outcome::Skip { why } => format!("says nothing, it {}{about}", why.words()),
        Outcome::Told { bad } => format!("told to be {}", if bad { "bad" } else { "good" }),
    }
}

/// What is believed, in one line.
fn believed(belief: &Belief) -> String {
    let top: Vec<String> = belief
        .top
        .iter()
        .map(|(name, p)| format!("{name} {}", percent(*p)))
        .collect();
    let left = belief
        .left_s
        .map_or_else(String::new, |s| format!(", about {} left", time(s)));
    format!("{}; {} commits left{left}", top.join(", "), belief.left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_is_one_line() {
        let belief = Belief {
            top: vec![("3f2a".into(), 0.41), ("0a1b".into(), 0.999_95)],
            confidence: 0.41,
            left: 12,
            rate: [0.5, 0.3, 0.7],
            spent_s: 100.0,
            left_s: Some(250.0),
        };
        assert_eq!(
            believed(&belief),
            "3f2a 41 %, 0a1b over 99.9 %; 12 commits left, about 5 min left"
        );
        assert_eq!(cut(&"x".repeat(100)).chars().count(), 60);
    }
}
