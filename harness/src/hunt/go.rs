//! The hunt from its beginning, or from where it was stopped, to its end.

use super::bench::{Bench, Came};
use super::check::{self, Check, Held, Verified, What};
use super::event::{Belief, Event, Told, purpose};
use super::folder::{Folder, Kept, KeptError};
use super::range::{Maker, Range, RangeError};
use super::report;
use super::trials::{Real, judged};
use crate::bisect::{self, Answer, DriveError, Driven, Purpose, Search, Trial, Trials as _};
use crate::plan::Cell;
use crate::run::{RunError, Single};
use crate::source::{Cancel, SourceError};
use crate::store::StoreError;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Events of builds and boots that may wait to be shown.
const EVENTS_WAITING_MAX: usize = 1024;

/// A hunt to be gone on.
pub struct Hunt {
    /// Its folder.
    pub folder: Folder,
    /// What makes kernels and runs cells; its evidence goes below the folder.
    pub single: Single,
    /// Makes the requests for candidates' kernels.
    pub maker: Maker,
    /// The cell that each trial runs.
    pub cell: Cell,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With an answer, and what verifying it came to.
    Answer {
        /// The answer.
        answer: Answer,
        /// The checks.
        checks: Vec<Check>,
    },
    /// The user stopped it.
    Stopped,
}

impl Ended {
    /// The exit code: 0 an answer that is sure and that nothing contradicts, 1 one that a check contradicts, 4 no
    /// sure answer, 3 stopped.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Stopped => 3,
            Self::Answer { checks, .. } if checks.iter().any(|c| c.held == Held::No) => 1,
            Self::Answer { answer, .. } if answer.ending != bisect::Ending::Sure => 4,
            Self::Answer { .. } => 0,
        }
    }
}

/// Why it could not go on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HuntError {
    /// The range.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Range(#[from] RangeError),
    /// A trial.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Drive(#[from] DriveError),
    /// What was kept.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kept(#[from] KeptError),
    /// The folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The guest.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The report.
    #[error("the report could not be written: {0}")]
    Report(String),
}

impl HuntError {
    /// Whether the range was asked for wrongly, which no host can mend.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Range(_) | Self::Drive(DriveError::Range(_)))
    }
}

impl From<SourceError> for HuntError {
    fn from(error: SourceError) -> Self {
        Self::Range(error.into())
    }
}

/// Goes on until there is an answer, verified, or until `cancel` turns true. `show` gets everything in order.
///
/// # Errors
/// [`HuntError`]; what was kept until then stays, and resumes.
pub async fn go(
    hunt: Hunt,
    mut show: impl FnMut(Told<'_>) + Send,
    cancel: watch::Receiver<bool>,
) -> Result<Ended, HuntError> {
    let (events, mut heard) = mpsc::channel(EVENTS_WAITING_MAX);
    let (told, mut news) = mpsc::unbounded_channel();
    let mut work = Box::pin(work(hunt, events, told, cancel));
    let ended = loop {
        tokio::select! {
            biased;
            Some(event) = news.recv() => show(Told::Hunt(&event)),
            Some(event) = heard.recv() => show(Told::Run(&event)),
            ended = &mut work => break ended,
        }
    };
    drop(work);
    while let Some(event) = news.recv().await {
        show(Told::Hunt(&event));
    }
    ended
}

async fn work(
    hunt: Hunt,
    events: mpsc::Sender<crate::run::Event>,
    told: mpsc::UnboundedSender<Event>,
    cancel: watch::Receiver<bool>,
) -> Result<Ended, HuntError> {
    let Hunt {
        folder,
        single,
        maker,
        cell,
    } = hunt;
    let mut kept = Kept::read(folder.path())?;
    let bench = Arc::new(Bench::new(single, maker, cell, &kept, events, told.clone()));
    let say = |event| {
        // Nobody listens any more only where nobody is there.
        let _ = told.send(event);
    };
    say(Event::BisectStarted {
        bisect: folder.id(),
        dir: folder.path().to_owned(),
        what: report::words::what(&kept.header.range),
        commits: kept.candidates.len().saturating_sub(1),
        cell: kept.header.cell.clone(),
        machines: bench.machines().0,
        kept: kept.search.log().len() + kept.verified.len(),
    });
    let driven = search(&folder, &mut kept, &bench, &say, cancel.clone()).await;
    let result = match driven {
        Ok(Driven::Answer(answer)) => {
            say(Event::BisectAnswer {
                named: answer
                    .named
                    .iter()
                    .map(|&c| (kept.short(c), kept.subject(c)))
                    .collect(),
                confidence: answer.confidence,
            });
            let stopped = verify(&folder, &mut kept, &answer, &bench, &say, cancel).await?;
            let checks = kept.checks();
            Ok(if stopped {
                Ended::Stopped
            } else {
                Ended::Answer { answer, checks }
            })
        }
        Ok(Driven::Stopped) => Ok(Ended::Stopped),
        Err(error) => Err(error),
    };
    if matches!(result, Ok(Ended::Stopped)) {
        say(Event::Interrupted);
    }
    // A range that cannot be searched has a report too: it says which trials showed that.
    report::write_all(&folder, &kept).map_err(HuntError::Report)?;
    result
}

async fn search(
    folder: &Folder,
    kept: &mut Kept,
    bench: &Arc<Bench>,
    say: &(impl Fn(Event) + Sync),
    cancel: watch::Receiver<bool>,
) -> Result<Driven, HuntError> {
    let mut lines = folder.lines("state.jsonl")?;
    let mut real = Real::new(Arc::clone(bench), kept, cancel);
    let view = kept.clone();
    let mut last: Option<Purpose> = None;
    let keep = |trial: &Trial| lines.keep(trial);
    let after = |search: &Search| {
        let Some(trial) = search.log().last() else { return };
        let commit = search.history().find(&trial.commit).unwrap_or(0);
        let why = why(search, commit, last);
        last = Some(why);
        say(Event::BisectTrial {
            commit: view.short(commit),
            subject: view.subject(commit),
            nth: trial.nth,
            purpose: purpose(why),
            outcome: trial.outcome,
            seen: trial.seen.clone().map(Box::new),
            belief: Some(Box::new(Belief::of(search, |c| view.short(c)))),
        });
        // Written again at the end; a full disk has been told by then.
        if matches!(view.header.range, Range::Git { .. }) {
            let log = bisect::gitlog::write(search, |c| view.subject(c));
            let _ = folder.write("bisect.log", log.as_bytes());
        }
    };
    let driven = bisect::drive(&mut kept.search, &mut real, keep, after).await;
    real.cancel();
    real.gone().await;
    Ok(driven?)
}

/// Why a trial of a commit was made. The ends are tried first; later trials of them are part of the search.
fn why(search: &Search, commit: usize, last: Option<Purpose>) -> Purpose {
    if last == Some(Purpose::Search) {
        return Purpose::Search;
    }
    if commit == search.history().bad() {
        Purpose::BadEnd
    } else if commit == 0 {
        Purpose::GoodEnd
    } else {
        Purpose::Search
    }
}

/// Carries the checks out. Says whether it was stopped.
async fn verify(
    folder: &Folder,
    kept: &mut Kept,
    answer: &Answer,
    bench: &Arc<Bench>,
    say: &(impl Fn(Event) + Sync),
    cancel: watch::Receiver<bool>,
) -> Result<bool, HuntError> {
    let bug = kept.bug();
    let mut lines = folder.lines("verify.jsonl")?;
    let mut done = 0;
    loop {
        let checks = kept.checks();
        for check in checks.iter().take_while(|c| c.held != Held::Open).skip(done) {
            let short = check.commit.map_or_else(String::new, |c| kept.short(c));
            say(Event::BisectCheck {
                claim: report::words::claim(check, &short),
                check: check.clone(),
            });
            done += 1;
        }
        let Some(check) = check::open(&checks) else {
            return Ok(false);
        };
        let nth = check::next_nth(&kept.search, check, &kept.verified);
        let (id, name, subject) = match check.commit {
            Some(c) => (
                kept.search.history().id(c).to_owned(),
                kept.short(c),
                kept.subject(c),
            ),
            None => {
                let culprit = answer.named.last().copied().unwrap_or(0);
                let subject = format!("the bad end without {}", kept.short(culprit));
                (check::REVERTED.to_owned(), check::REVERTED.to_owned(), subject)
            }
        };
        let word = word(check.what);
        say(Event::BisectTrying {
            commit: name.clone(),
            subject: subject.clone(),
            nth,
            purpose: word,
        });
        let came = match request(bench, check, answer).await? {
            Some(request) => bench.one(&name, nth, request, cancel.clone()).await,
            None => Came::failed(nothing_to_revert()),
        };
        let trial = judged(&id, nth, came, &bug).map_err(DriveError::Broken)?;
        let Some(trial) = trial else { return Ok(true) };
        let verified = Verified {
            check: check.what,
            trial,
        };
        lines.keep(&verified).map_err(DriveError::Keep)?;
        say(Event::BisectTrial {
            commit: name,
            subject,
            nth,
            purpose: word,
            outcome: verified.trial.outcome,
            seen: verified.trial.seen.clone().map(Box::new),
            belief: None,
        });
        kept.verified.push(verified);
    }
}

/// The kernel of a check; none where nothing can be taken out.
async fn request(
    bench: &Arc<Bench>,
    check: &Check,
    answer: &Answer,
) -> Result<Option<crate::kernel::Request>, HuntError> {
    if let Some(commit) = check.commit {
        return Ok(Some(bench.maker.request(commit)));
    }
    let (bench, culprit) = (Arc::clone(bench), answer.named.last().copied().unwrap_or(0));
    let made = tokio::task::spawn_blocking(move || bench.maker.reverted(culprit, &Cancel::default())).await;
    match made {
        Ok(request) => Ok(request?),
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(e) => Err(DriveError::Keep(io::Error::other(e)).into()),
    }
}

fn nothing_to_revert() -> crate::verdict::Verdict {
    crate::verdict::Verdict::Skip {
        why: "the commit changes nothing by itself".to_owned(),
    }
}

/// The word for a check.
#[must_use]
pub(super) fn word(what: What) -> &'static str {
    match what {
        What::ParentClean => "parent_clean",
        What::CulpritAgain => "culprit_again",
        What::RevertedClean => "reverted_clean",
    }
}
