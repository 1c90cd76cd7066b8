//! Drives a search over something that executes trials: real kernels, or a fake in tests.
//!
//! The loop owns the order of things and nothing else: it starts what the search chooses while there are
//! free machines, keeps each finished trial before the next is chosen, and has kernels built ahead.

use super::answer::Answer;
use super::problem::Problem;
use super::search::Search;
use super::step::{Choice, Step};
use super::trial::Trial;
use std::future::Future;

/// A trial to execute.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The commit's id.
    pub commit: String,
    /// Which trial of this commit: seeds are made of it.
    pub nth: u32,
    /// Why, and how many more of it are likely to follow.
    pub choice: Choice,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    /// A trial ended.
    Trial(Trial),
    /// The user wants to stop; nothing that is under way counts.
    Stop,
    /// The harness or the host broke, and not the kernel.
    Broken(String),
}

/// Something that executes trials, several at a time where it has the machines.
pub trait Trials: Send {
    /// How many trials may be under way at once; at least one.
    fn machines(&self) -> usize;

    /// Starts a trial and returns at once.
    fn start(&mut self, job: Job);

    /// Says which kernels are likely to be needed next, best first; each word replaces the one before.
    /// Building them must not disturb running trials.
    fn ahead(&mut self, commits: &[String]);

    /// Waits until something under way ends.
    fn finished(&mut self) -> impl Future<Output = Finished> + Send;

    /// Ends everything that is under way.
    fn cancel(&mut self);
}

/// How driving ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Driven {
    /// With an answer.
    Answer(Answer),
    /// The user stopped it; what was kept resumes.
    Stopped,
}

/// Why driving failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DriveError {
    /// The range cannot be searched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Range(#[from] Problem),
    /// The harness or the host broke.
    #[error("a trial could not be executed: {0}")]
    #[diagnostic(help("mend that and resume: every trial so far is kept"))]
    Broken(String),
    /// A finished trial could not be kept.
    #[error("a finished trial could not be kept")]
    #[diagnostic(help("make room and resume: every trial before it is kept"))]
    Keep(#[source] std::io::Error),
}

/// Drives `search` to its end. `keep` makes a finished trial durable before it counts; `after` is shown the
/// search with it.
///
/// # Errors
/// [`DriveError`]; the search holds every trial that was kept.
pub async fn drive<T: Trials>(
    search: &mut Search,
    trials: &mut T,
    mut keep: impl FnMut(&Trial) -> std::io::Result<()> + Send,
    mut after: impl FnMut(&Search) + Send,
) -> Result<Driven, DriveError> {
    let mut pending: Vec<(usize, u32)> = Vec::new();
    let end = loop {
        if let Some(end) = fill(search, trials, &mut pending) {
            break end.map(Driven::Answer).map_err(DriveError::from);
        }
        match trials.finished().await {
            Finished::Trial(trial) => {
                let commit = search.history().find(&trial.commit);
                pending.retain(|&(c, nth)| (Some(c), nth) != (commit, trial.nth));
                if let Err(error) = keep(&trial) {
                    break Err(DriveError::Keep(error));
                }
                if let Err(problem) = search.record(trial) {
                    break Err(problem.into());
                }
                after(search);
            }
            Finished::Stop => break Ok(Driven::Stopped),
            Finished::Broken(why) => break Err(DriveError::Broken(why)),
        }
    };
    trials.cancel();
    end
}

/// Starts trials until every machine has one; an answer, once there is one.
fn fill<T: Trials>(
    search: &Search,
    trials: &mut T,
    pending: &mut Vec<(usize, u32)>,
) -> Option<Result<Answer, Problem>> {
    let mut started = false;
    loop {
        let full = pending.len() >= trials.machines().max(1);
        let commits: Vec<usize> = pending.iter().map(|&(commit, _)| commit).collect();
        match search.step(&commits) {
            Step::Done(answer) => return Some(Ok(answer)),
            Step::Bad(problem) => return Some(Err(problem)),
            Step::Try(choice) if !full => {
                let same = pending.iter().filter(|&&(commit, _)| commit == choice.commit);
                let same: Vec<u32> = same.map(|&(_, nth)| nth).collect();
                let nth = search.next_nth(choice.commit, &same);
                pending.push((choice.commit, nth));
                started = true;
                trials.start(Job {
                    commit: search.history().id(choice.commit).to_owned(),
                    nth,
                    choice,
                });
            }
            Step::Try(_) | Step::Wait => break,
        }
    }
    if started {
        let commits: Vec<usize> = pending.iter().map(|&(commit, _)| commit).collect();
        let ahead = search.ahead(&commits);
        let ids: Vec<String> = ahead.iter().map(|&c| search.history().id(c).to_owned()).collect();
        trials.ahead(&ids);
    }
    None
}
