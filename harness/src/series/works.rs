//! [`Works`] on real kernels and machines: builds by a ladder, boots by a lab.
//!
//! Not here: what is built and run next (`ci`).

use super::ci::{Build, Works};
use super::matrix::{self, CaseText};
use super::real::{Real, parsed};
use super::report::Report;
use super::step::Step;
use crate::host::{ProcessError, SandboxError};
use crate::kernel::{self, Infra, KernelError, Ladder, Warning};
use crate::run::{CellRecord, RunError, with_causes};
use crate::source::Stopped;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an error of a build means for the series that was built.
fn broken(error: KernelError, part: usize) -> Build {
    if error.is_stop() {
        return Build::Stopped;
    }
    let message = match error {
        KernelError::Build(failure) => {
            return Build::Broken {
                file: failure.file,
                line: failure.line,
                message: failure.message,
            };
        }
        KernelError::Config(missing) if part > 0 => {
            let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
            lines.join("; ")
        }
        KernelError::Apply(failure) if part > 0 => with_causes(failure.as_ref()),
        // The base built within the same bounds: it is the series that wants more.
        KernelError::Infra(Infra::Stopped(Stopped::Process(
            stopped @ (ProcessError::Deadline { .. } | ProcessError::Sandbox(SandboxError::Disk { .. })),
        ))) if part > 0 => format!("the build had to be ended: {stopped}"),
        other @ (KernelError::Apply(_)
        | KernelError::Config(_)
        | KernelError::Fragments(_)
        | KernelError::Source(_)
        | KernelError::DoesNotFit { .. }
        | KernelError::ImageIsReady
        | KernelError::Infra(_)) => {
            let help = miette::Diagnostic::help(&other).map_or_else(String::new, |h| format!(" ({h})"));
            return Build::Infra(format!("{}{help}", with_causes(&other)));
        }
    };
    Build::Broken {
        file: None,
        line: None,
        message,
    }
}

impl Works for Real<'_> {
    type Error = RunError;

    async fn build(&mut self, part: usize) -> Result<Build, RunError> {
        let ladder = std::mem::take(&mut self.ladder);
        let (ladder, built) = self.lab.kernel(&matrix::kernel(part), ladder).await?;
        self.ladder = ladder;
        match built {
            Ok(built) => {
                let build_s = built.build_s;
                if part == 0 && self.text.accel == "auto" {
                    // Decided once, on the base: a patched kernel that does not boot is no reason for another.
                    let choice = self.lab.accel(&built).await;
                    self.text.accel = choice.accel.to_string();
                }
                self.built.insert(part, built);
                Ok(Build::Built(build_s))
            }
            Err(error) => Ok(broken(error, part)),
        }
    }

    async fn look_at_builds(&mut self, report: &mut Report) -> Result<(), RunError> {
        // Its lock keeps others from moving the base.
        self.ladder = Ladder::default();
        let mut compiled = BTreeSet::new();
        let mut warned: Vec<(usize, Vec<Warning>)> = Vec::new();
        for (&part, built) in self.built.iter().filter(|(part, _)| **part > 0) {
            let log = std::fs::read(built.dir.join("build.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            compiled.extend(kernel::compiled(&log));
            let touched = |w: &Warning| self.touched.files.contains(&*w.file.to_string_lossy());
            warned.push((part, kernel::warnings(&log).into_iter().filter(touched).collect()));
        }
        let last = self.built.last_key_value().map(|(_, built)| Arc::clone(built));
        if let Some(last) = last.filter(|_| self.built.len() > 1) {
            let accel = self.text.accel.clone();
            self.describe(&last, &accel);
            report.not_compiled = self.uncompiled(&compiled);
        }
        if warned.iter().any(|(_, warnings)| !warnings.is_empty()) {
            let mut known = self.warnings_of_base().await?;
            for (part, warnings) in warned {
                let new: Vec<Warning> = warnings
                    .into_iter()
                    .filter(|w| !known.iter().any(|k| k.is_same(w)))
                    .collect();
                if let Some(line) = report.patches.get_mut(part - 1) {
                    line.warnings = new
                        .iter()
                        .map(|w| format!("{}:{}: {}", w.file.display(), w.line, w.message))
                        .collect();
                }
                known.extend(new);
            }
        }
        Ok(())
    }

    fn add(&mut self, case: &CaseText) -> Result<(), RunError> {
        self.text.cases.retain(|known| known.name != case.name);
        self.text.cases.push(case.clone());
        let root = self.lab.config().root.clone();
        let (spec, plan) = parsed(&self.text, self.lab.dir().path(), &root)?;
        self.lab.grow(spec, plan)
    }

    async fn run(&mut self, part: usize, case: &str, nth: u32) -> Result<Option<CellRecord>, RunError> {
        let id = matrix::cell(part, case, nth);
        let missing = || RunError::Plan(format!("the plan has no cell {id}"));
        let cell = self
            .lab
            .config()
            .plan
            .cells
            .iter()
            .find(|c| c.id == id)
            .cloned()
            .ok_or_else(missing)?;
        let built = self.built.get(&part).cloned().ok_or_else(missing)?;
        self.lab.cell(&cell, &built).await
    }

    fn tell(&mut self, step: Step) -> Result<(), RunError> {
        self.step(step)
    }
}

impl Real<'_> {
    /// The touched sources that no build has made an object of.
    fn uncompiled(&self, compiled: &BTreeSet<PathBuf>) -> Vec<String> {
        let source = |file: &&String| file.ends_with(".c") || file.ends_with(".S");
        let kernel = |file: &&String| {
            !["tools/", "samples/", "scripts/"]
                .iter()
                .any(|dir| file.starts_with(dir))
        };
        let made = |file: &&String| compiled.contains(&Path::new(file.as_str()).with_extension("o"));
        let files = self.touched.files.iter().filter(source).filter(kernel);
        files.filter(|file| !made(file)).cloned().collect()
    }

    /// What the compiler says of the touched files as they are on base.
    async fn warnings_of_base(&mut self) -> Result<Vec<Warning>, RunError> {
        let request = self.lab.request(&matrix::kernel(0)).map_err(RunError::Plan)?;
        let cache = self.lab.config().cache.clone();
        let code = self.touched.files.iter().filter(|f| f.ends_with(".c"));
        let files: Vec<PathBuf> = code.map(PathBuf::from).collect();
        let silent: kernel::Progress = Arc::new(|_| {});
        let said = self
            .lab
            .blocking(move |cancel| kernel::recompile(&request, &files, &cache, &silent, cancel))
            .await?;
        // A base that cannot be asked leaves every warning new: told rather than hidden.
        Ok(said.map(|log| kernel::warnings(&log)).unwrap_or_default())
    }
}
