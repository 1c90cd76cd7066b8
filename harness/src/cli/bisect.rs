//! `bisect`: what is searched, by which trials, and what is shown of it.

use super::Done;
use super::args::{How, Sandbox};
use super::hunt_args::Bisect;
use super::hunt_cell::{self, Chosen};
use super::run::{config, read_text, watch_signals};
use super::show::Failure;
use crate::bisect::{Problem, Rule, Search, gitlog};
use crate::host::dirs;
use crate::hunt::range::Maker;
use crate::hunt::report::{self, Format, Live, View};
use crate::hunt::{Folder, Header, Hunt, HuntError, Range, RangeError, folder, go};
use crate::machine::agent;
use crate::plan::Cell;
use crate::run::{self, Single};
use crate::source::{Cancel, SeriesError, Source};
use crate::spec::{CaseSpec, Spec};
use crate::store;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub(super) fn bisect(what: &Bisect, json: bool) -> Done {
    // Early: a matrix that is wrong is told before any kernel is thought of.
    let prepared = match &what.resume {
        Some(id) => resumed(what, id)?,
        None => fresh(what)?,
    };
    let dir = prepared.folder.path().to_owned();
    let code = drive(prepared, json)?;
    let mut all_written = true;
    for (format, file) in &what.report {
        if let Err(why) = report::write_to(&dir, *format, file) {
            super::show::failure(&Failure::Own(why), json);
            all_written = false;
        }
    }
    // An answer counts for more than a report that could not be written.
    Ok(if all_written || code == 1 { code } else { 3 })
}

/// Where the folders of searches are.
fn bisects() -> Result<PathBuf, Failure> {
    Ok(dirs::state()?.join("bisects"))
}

/// A search that can be gone on with.
struct Prepared {
    folder: Folder,
    config: run::Config,
    cell: Cell,
    range: Range,
}

/// A new search: its folder is made once everything about the range is right.
fn fresh(what: &Bisect) -> Result<Prepared, Failure> {
    let Chosen { read, cell, wanted } = hunt_cell::choose(&what.trial, &what.kernels)?;
    let range = range(what, &read.spec, &cell, &read.root)?;
    let rule = Rule {
        confidence: what.confidence,
        trial_s: cell.case.spec.budget.as_secs_f64(),
        end_trials_max: what.end_trials,
        budget_s: what.limit.map(|limit| limit.as_secs_f64()),
        // A series or a near commit is built over a base that is there.
        build_s: 40.0,
        ..Rule::default()
    };
    let history = range.history().map_err(RangeError::from)?;
    let weights = range.weights(&what.paths).map_err(HuntError::from)?;
    // Refuses a rule that makes no sense.
    Search::new(history.clone(), &weights, rule).map_err(RangeError::from)?;
    let told = told(what, &range)?;
    let header = Header {
        v: 1,
        paths: what.paths.clone(),
        matrix: std::path::absolute(&read.spec.path).unwrap_or_else(|_| read.spec.path.clone()),
        root: std::path::absolute(&read.root).unwrap_or_else(|_| read.root.clone()),
        cell: cell.id.clone(),
        budget_s: rule.trial_s,
        bug: wanted,
        verify: !what.no_verify,
        sandbox: what.how.sandbox == Sandbox::On,
        agent: agent::hash().to_owned(),
        patchproof: env!("CARGO_PKG_VERSION").to_owned(),
        args: std::env::args().collect(),
        started: jiff::Timestamp::now().to_string(),
        range: range.clone(),
        rule,
        weights,
    };
    let folder = Folder::create(&bisects()?, &cell.case.name, &header, &history, &read.spec.text)?;
    let mut lines = folder.lines("state.jsonl")?;
    for trial in told {
        lines
            .keep(&trial)
            .map_err(|e| Failure::File(folder.path().join("state.jsonl"), e))?;
    }
    let config = config(read, &what.how, run::Until::Judged)?;
    Ok(Prepared {
        folder,
        config,
        cell,
        range,
    })
}

/// What a log of git's says about the range.
fn told(what: &Bisect, range: &Range) -> Result<Vec<crate::bisect::Trial>, Failure> {
    let Some(log) = &what.log else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(log).map_err(|e| Failure::File(log.clone(), e))?;
    let trials = gitlog::read(&text).map_err(RangeError::from)?;
    let ids: Vec<String> = range.candidates().into_iter().map(|c| c.id).collect();
    // git's log knows commits that the range has not: an older good end, say.
    Ok(trials
        .into_iter()
        .filter(|trial| ids.contains(&trial.commit))
        .collect())
}

/// A search that was stopped.
fn resumed(what: &Bisect, id: &str) -> Result<Prepared, Failure> {
    let dir = folder::find(&bisects()?, id)?;
    let folder = Folder::open(&dir)?;
    let header: Header = store::read_json(&dir.join("bisect.json"))?;
    let path = dir.join("spec.yaml");
    let text = std::fs::read(&path).map_err(|e| Failure::File(path, e))?;
    let read = read_text(&header.matrix, &text, header.root.clone())?;
    if header.agent != agent::hash() {
        eprintln!(
            "note: the guest suite has changed since this search began: its trials are not quite alike"
        );
    }
    let same = read.plan.cells.iter().find(|cell| cell.id == header.cell);
    let mut cell = same
        .cloned()
        .ok_or_else(|| Failure::NoCell(header.cell.clone()))?;
    cell.case.spec = Arc::new(CaseSpec {
        budget: Duration::from_secs_f64(header.budget_s),
        ..CaseSpec::clone(&cell.case.spec)
    });
    let how = How {
        cores: what.how.cores,
        sandbox: if header.sandbox { Sandbox::On } else { Sandbox::Off },
    };
    let config = config(read, &how, run::Until::Judged)?;
    Ok(Prepared {
        folder,
        config,
        cell,
        range: header.range,
    })
}

/// What is searched.
fn range(what: &Bisect, spec: &Spec, cell: &Cell, root: &Path) -> Result<Range, Failure> {
    if let (Some(repo), Some(good), Some(bad)) = (&what.repo, &what.good, &what.bad) {
        return Ok(Range::git(repo, good, bad, &Cancel::default())?);
    }
    let own = |name: &str| {
        spec.kernels
            .get(name)
            .map(|kernel| Single::source(&kernel.source))
    };
    if let Some(series) = &what.series {
        let base = match &what.base {
            Some(base) => own(base).map_or_else(|| source(base), Ok)?,
            None => {
                own(&cell.kernel).ok_or_else(|| Failure::NoTarget("the cell has no kernel".to_owned()))?
            }
        };
        let named = root.join("patches").join(series);
        let path = if series.contains('/') || !named.is_dir() {
            PathBuf::from(series)
        } else {
            named
        };
        return Ok(Range::series(&path, base)?);
    }
    if what.kernels.is_empty() {
        return Err(Failure::NoTarget(
            "nothing says what is searched: name --repo with --good and --bad, a --series, or --kernels"
                .to_owned(),
        ));
    }
    let sources = what.kernels.iter().map(|name| {
        let source =
            own(name).ok_or_else(|| Failure::NoTarget(format!("the matrix has no kernel {name}")))?;
        Ok((name.clone(), source))
    });
    Ok(Range::Sources {
        sources: sources.collect::<Result<_, Failure>>()?,
    })
}

/// A source as the command line spells it.
fn source(word: &str) -> Result<Source, Failure> {
    let path = Path::new(word);
    let full = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if path.is_dir() {
        return Ok(Source::Dir { path: full() });
    }
    if path.is_file() {
        return Ok(Source::Tarball { path: full() });
    }
    if let Some((repo, rev)) = word.rsplit_once('@').filter(|(repo, _)| Path::new(repo).is_dir()) {
        return Ok(Source::Git {
            repo: std::path::absolute(repo).unwrap_or_else(|_| repo.into()),
            rev: rev.to_owned(),
        });
    }
    if word.starts_with("linux-source") && !word.contains('/') {
        return Ok(Source::Debian {
            package: word.to_owned(),
        });
    }
    Err(Failure::NoTarget(format!(
        "{word} is no source: name a kernel of the matrix, a package such as linux-source-6.12, a folder, a tarball, or REPO@REV"
    )))
}

fn drive(prepared: Prepared, json: bool) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    let Prepared {
        folder,
        config,
        cell,
        range,
    } = prepared;
    let dir = folder.path().to_owned();
    let (like, own) = requests(&config, &cell, &range)?;
    let maker = Maker::new(range, like, own).map_err(HuntError::from)?;
    let single = Single::new(config, &dir)?;
    let hunt = Hunt {
        folder,
        single,
        maker,
        cell,
    };
    let mut live = Live::new(json, std::io::stdout().is_terminal());
    let ended = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Own(e.to_string()))?;
        let terminate = signal(SignalKind::terminate()).map_err(|e| Failure::Own(e.to_string()))?;
        tokio::spawn(watch_signals(interrupt, terminate, stop));
        Ok::<_, Failure>(go(hunt, |told| live.show(told), stopped).await?)
    });
    live.end();
    let ended = ended?;
    tell(&dir, json)?;
    Ok(ended.exit())
}

/// The report, at the end.
fn tell(dir: &Path, json: bool) -> Result<(), Failure> {
    let kept = folder::Kept::read(dir).map_err(HuntError::from)?;
    let id = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let view = View::of(&id, &kept);
    if json {
        println!("{}", view.object());
    } else {
        let text = report::render(&view, &kept, Format::Text).map_err(Failure::Own)?;
        print!("\n{text}");
        println!(
            "\nThe page with the belief after each trial: {}",
            dir.join("report.html").display()
        );
    }
    Ok(())
}

/// What the cell's kernel is made of, and where sources are searched each one's.
type Requests = (crate::kernel::Request, Vec<crate::kernel::Request>);

fn requests(config: &run::Config, cell: &Cell, range: &Range) -> Result<Requests, Failure> {
    let of = |name: &str| {
        let kernel = config.spec.kernels.get(name);
        let kernel = kernel.ok_or_else(|| Failure::NoTarget(format!("the matrix has no kernel {name}")))?;
        Single::request_of(config, kernel)
            .map_err(|e: SeriesError| Failure::from(HuntError::from(RangeError::from(e))))
    };
    let own = match range {
        Range::Sources { sources } => sources
            .iter()
            .map(|(name, _)| of(name))
            .collect::<Result<_, _>>()?,
        Range::Git { .. } | Range::Series { .. } => Vec::new(),
    };
    Ok((of(&cell.kernel)?, own))
}

impl From<RangeError> for Failure {
    fn from(error: RangeError) -> Self {
        Self::Hunt(error.into())
    }
}

impl From<Problem> for HuntError {
    fn from(problem: Problem) -> Self {
        Self::Range(problem.into())
    }
}
