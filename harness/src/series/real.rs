//! The check of a series on real kernels: takes it in, applies it, and gives the rest to [`ci`](super::ci)
//! with a run's folder, builds and machines behind it.

use super::applying::applied;
use super::base::{self, BaseError};
use super::ci::{self, Asked, boot_case};
use super::intake::{self, IntakeError, Submission};
use super::matrix::{self, CaseText, MatrixText};
use super::reply::{self, Circumstances};
use super::report::{PatchLine, Problem, Report};
use super::step::Step;
use super::touched::{Touched, Wanted};
use crate::host::Mode;
use crate::judge::Rule;
use crate::kernel::{Built, Ladder};
use crate::plan::{self, Plan};
use crate::run::{Config, Event, Lab, Limits, RunError, Summary, Until};
use crate::source::{Cache, Cancel, Mailbox};
use crate::spec::{self, Folders, Spec};
use crate::store::{RunDir, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a check is asked for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The series, as given.
    pub given: Vec<String>,
    /// Where a bare range is looked for.
    pub repo: Option<PathBuf>,
    /// What it is put on, as given.
    pub base: String,
    /// Which workloads.
    pub wanted: Wanted,
    /// How long the pressure is kept up.
    pub budget: Duration,
    /// Pairs that are looked at where nothing is found.
    pub looks: u32,
    /// Most pairs for a suspicion.
    pub pairs_max: u32,
    /// Seed of every case.
    pub seed: u64,
    /// Fragments, by name or path.
    pub kconfigs: Vec<String>,
    /// `auto`, `kvm` or `tcg`.
    pub accel: String,
    /// Who sends the reply.
    pub sender: Option<Mailbox>,
    /// Folder with kconfigs/.
    pub root: PathBuf,
    /// Folder of runs.
    pub runs: PathBuf,
    /// Kernels, sources and build folders.
    pub cache: Cache,
    /// Whether patches are shut in.
    pub sandbox: Mode,
    /// CPUs that builds and machines may use.
    pub cores: u32,
    /// Arguments as given, for the record.
    pub args: Vec<String>,
}

/// Why a check could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum CheckError {
    /// The series cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Intake(#[from] IntakeError),
    /// The base is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Base(#[from] BaseError),
    /// More patches than are checked one by one.
    #[error("the series has {patches} patches; at most {PATCHES_MAX} are checked one by one")]
    #[diagnostic(help("check it in parts, each as a range of commits on top of the one before"))]
    TooMany {
        /// How many.
        patches: usize,
    },
    /// No record can be kept.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// Most patches of a series.
pub const PATCHES_MAX: usize = 128;

/// Checks a series to its end. `show` gets each event in order.
///
/// # Errors
/// [`CheckError`]; that something is wrong with the series is no error.
pub async fn check(
    wishes: &Wishes,
    mut show: impl FnMut(&Event) + Send,
    cancel: watch::Receiver<bool>,
) -> Result<(Summary, Report), CheckError> {
    let submission = intake::read(&wishes.given, wishes.repo.as_deref(), &Cancel::default())?;
    if submission.parts.len() > PATCHES_MAX {
        return Err(CheckError::TooMany {
            patches: submission.parts.len(),
        });
    }
    let source = base::source(&wishes.base, submission.base_commit.as_deref())?;
    let dir = RunDir::create(&wishes.runs, &format!("series-{}", submission.name))?;
    let patches = keep(&dir, &submission)?;
    let text = MatrixText {
        source,
        kconfigs: wishes.kconfigs.clone(),
        patches,
        accel: wishes.accel.clone(),
        seed: wishes.seed,
        cases: vec![boot_case()],
    };
    let (spec, plan) = parsed(&text, dir.path(), &wishes.root)?;
    let config = Config {
        until: Until::Judged,
        spec: Arc::new(spec),
        plan,
        root: wishes.root.clone(),
        runs: wishes.runs.clone(),
        resume: None,
        cache: wishes.cache.clone(),
        sandbox: wishes.sandbox,
        cores: wishes.cores,
        limits: Limits::default(),
        freeze: false,
        args: wishes.args.clone(),
    };
    let lab = Lab::open(config, dir, &mut show, cancel)?;
    let works = Real {
        lab,
        text,
        ladder: Ladder::default(),
        built: BTreeMap::new(),
        touched: Touched::default(),
        environment: Vec::new(),
    };
    works.all(wishes, &submission).await
}

/// Writes each patch into the run's folder; returns their file names.
fn keep(dir: &RunDir, submission: &Submission) -> Result<Vec<String>, StoreError> {
    let folder = dir.path().join("patches");
    std::fs::create_dir_all(&folder).map_err(|source| StoreError::Io {
        path: folder.clone(),
        source,
    })?;
    let mut names = Vec::new();
    for part in &submission.parts {
        let name = part.patch.name.clone();
        let bytes = intake::patch_file(part);
        dir.write_bytes(&format!("patches/{name}"), &bytes)?;
        names.push(name);
    }
    Ok(names)
}

/// The matrix, read back.
pub(super) fn parsed(text: &MatrixText, dir: &Path, root: &Path) -> Result<(Spec, Plan), RunError> {
    let folders = Folders {
        kconfigs: root.join("kconfigs"),
        patches: root.join("patches"),
    };
    let spec = spec::parse(&dir.join("spec.yaml"), text.text().as_bytes(), &folders)
        .map_err(|e| RunError::Plan(e.render_plain()))?;
    let plan = plan::expand(&spec).map_err(|e| RunError::Plan(e.render_plain()))?;
    Ok((spec, plan))
}

/// Real kernels and machines.
pub(super) struct Real<'a> {
    pub(super) lab: Lab<'a>,
    pub(super) text: MatrixText,
    pub(super) ladder: Ladder,
    pub(super) built: BTreeMap<usize, Arc<Built>>,
    pub(super) touched: Touched,
    pub(super) environment: Vec<String>,
}

impl Real<'_> {
    async fn all(
        mut self,
        wishes: &Wishes,
        submission: &Submission,
    ) -> Result<(Summary, Report), CheckError> {
        let mut report = self.begin(wishes, submission);
        self.step(Step::Read {
            title: report.title.clone(),
            patches: report.patches.iter().map(|p| p.title.clone()).collect(),
            notes: submission.notes.clone(),
        })?;
        let goes_on = self.apply(&mut report).await?;
        if goes_on {
            let chosen = self.touched.choose(&wishes.wanted);
            report.not_exercised = self.touched.not_exercised(&chosen);
            report.workloads = chosen;
            self.step(Step::Chosen {
                workloads: report.workloads.clone(),
                not_exercised: report.not_exercised.clone(),
            })?;
            let case = |name: &str| CaseText {
                name: name.to_owned(),
                workload: name.to_owned(),
                budget: wishes.budget,
            };
            let asked = Asked {
                cases: report.workloads.iter().map(|c| case(&c.workload)).collect(),
                looks: wishes.looks,
                rule: Rule {
                    pairs_max: wishes.pairs_max,
                    ..Rule::default()
                },
            };
            ci::check(&mut self, &asked, &mut report).await?;
        }
        self.end(wishes, submission, report)
    }

    fn begin(&self, wishes: &Wishes, submission: &Submission) -> Report {
        let patch = |(index, part): (usize, &intake::Part)| PatchLine {
            number: index + 1,
            title: part.patch.subject.clone(),
            file: part.patch.name.clone(),
            commit: part.letter.as_ref().and_then(|l| l.commit.clone()),
            ..PatchLine::default()
        };
        let mut again = format!("patchproof series SERIES --base {}", wishes.base);
        match &wishes.wanted {
            Wanted::Touched => {}
            Wanted::All => again.push_str(" --all"),
            Wanted::Named(names) => again.push_str(&format!(" --workloads {}", names.join(","))),
        }
        again.push_str(&format!(
            " --budget {}s --seed {}",
            wishes.budget.as_secs(),
            wishes.seed
        ));
        Report {
            series: submission.given.clone(),
            title: submission.title.clone(),
            patches: submission.parts.iter().enumerate().map(patch).collect(),
            base: wishes.base.clone(),
            base_commit: submission.base_commit.clone(),
            notes: submission.notes.clone(),
            sandbox: wishes.sandbox == Mode::Bubblewrap,
            run: self.lab.dir().id().to_owned(),
            again,
            ..Report::default()
        }
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), RunError> {
        Ok(self.lab.event(&Event::SeriesStep(step))?)
    }

    /// Applies everything, and has checkpatch look at it; whether it makes sense to go on.
    async fn apply(&mut self, report: &mut Report) -> Result<bool, RunError> {
        let request = self.lab.request(&matrix::kernel(self.text.patches.len()));
        let request = request.map_err(RunError::Plan)?;
        let cache = self.lab.config().cache.clone();
        let dir = self.lab.dir().path().join("patches");
        let files = self.text.patches.clone();
        let applied = self
            .lab
            .blocking(move |cancel| applied(&request, &cache, &dir, &files, cancel))
            .await?;
        let applied = match applied {
            Ok(applied) => applied,
            Err(why) => {
                report.open.push(why);
                report.exit = 3;
                return Ok(false);
            }
        };
        report.base = applied.shown;
        self.touched = applied.touched;
        for (line, advice) in report.patches.iter_mut().zip(applied.advice) {
            line.advice = advice;
        }
        let advised: Vec<(usize, Vec<String>)> = report
            .patches
            .iter()
            .map(|p| (p.number, p.advice.clone()))
            .collect();
        for (patch, lines) in advised.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            self.step(Step::Checkpatch { patch, lines })?;
        }
        let Some((patch, failure)) = applied.failure else {
            report.notes.extend(applied.notes.iter().cloned());
            self.step(Step::Applies { notes: applied.notes })?;
            return Ok(true);
        };
        let problem = Problem::Apply {
            patch,
            file: failure.file,
            hunk: failure.hunk,
            reason: failure.reason,
        };
        self.step(Step::DoesNotApply {
            what: problem.line(report),
        })?;
        report.problems.push(problem);
        report.verdict = super::Word::Fail;
        report.exit = 1;
        Ok(false)
    }

    fn end(
        mut self,
        wishes: &Wishes,
        submission: &Submission,
        mut report: Report,
    ) -> Result<(Summary, Report), CheckError> {
        let around = Circumstances {
            sender: wishes.sender.clone(),
            date: jiff::Zoned::now()
                .strftime("%a, %d %b %Y %H:%M:%S %z")
                .to_string(),
            environment: std::mem::take(&mut self.environment),
        };
        let dir = self.lab.dir();
        report.reply = Some(dir.path().join("reply.eml"));
        dir.write_bytes("reply.eml", reply::reply(&report, submission, &around).as_bytes())?;
        dir.write("series.json", &report)?;
        self.lab.event(&Event::Series(Box::new(report.clone())))?;
        let summary = self.lab.finish(report.exit)?;
        Ok((summary, report))
    }

    /// A kernel's words for the reply.
    pub(super) fn describe(&mut self, built: &Built, accel: &str) {
        let record = &built.record;
        let fragments: Vec<String> = record
            .fragments
            .iter()
            .filter_map(|f| Some(f.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        let compiler = record
            .toolchain
            .as_ref()
            .map_or_else(String::new, |t| t.compiler_version.clone());
        self.environment = vec![
            format!("base: {}", record.source_shown),
            format!(
                "configuration: tinyconfig with the fragments {}",
                fragments.join(", ")
            ),
            format!("compiler: {compiler}"),
            format!("machine: QEMU, 2 CPUs, 300 MiB ({accel})"),
        ];
    }
}
