//! Trials of real kernels: executes what the search chooses, and says what each trial counts as.
//!
//! Not here: which trial comes next (that is `bisect`), and how a kernel is made and booted ([`bench`](super::bench)).

use super::bench::{Bench, Came};
use super::bug::Bug;
use super::event::{Event, purpose};
use super::folder::Kept;
use crate::bisect::{Finished, History, Job, Outcome, Seen, Skip, Trial, Trials};
use crate::run::{self, Made};
use crate::verdict::{Class, Verdict};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A trial as it counts; an error where the harness or the host broke.
pub(super) fn judged(commit: &str, nth: u32, came: Came, bug: &Bug) -> Result<Option<Trial>, String> {
    let Came::Back {
        verdict,
        record,
        build_s,
        run_s,
        kernel,
        evidence,
    } = came
    else {
        return Ok(None);
    };
    let record = record.as_deref();
    let guest_s = record.map_or(0.0, |r| r.guest_s);
    let outcome = match &verdict {
        Verdict::Pass => Outcome::Quiet { for_s: guest_s },
        Verdict::Fail { .. } if bug.shows(&verdict) => Outcome::Found {
            after_s: record.and_then(|r| r.detect_s).unwrap_or(guest_s).max(0.0),
        },
        Verdict::Fail { first, .. } => Outcome::Skip {
            why: match first.class {
                Class::Apply | Class::Config | Class::Build => Skip::Build,
                Class::Boot => Skip::Boot,
                Class::Mismatch(_)
                | Class::Splat(_)
                | Class::Hang
                | Class::Oom
                | Class::Leak
                | Class::Conservation
                | Class::Taint
                | Class::Lost => Skip::Other,
            },
        },
        Verdict::Inconclusive { .. } => Outcome::Skip {
            why: Skip::Inconclusive,
        },
        Verdict::Skip { .. } => Outcome::Skip { why: Skip::Lacks },
        Verdict::Infra { error } => return Err(error.clone()),
    };
    let first = verdict.findings().next();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Some(Trial {
        commit: commit.to_owned(),
        nth,
        outcome,
        build_s,
        boot_s: record.and_then(|r| r.boot_s).unwrap_or(0.0),
        run_s,
        seen: Some(Seen {
            verdict: verdict.word().to_owned(),
            class: first.map(|f| f.class.word().to_owned()),
            function: first.and_then(|f| f.function.clone()),
            title: bounded(&verdict.reason()),
            evidence,
            kernel,
            at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        }),
    }))
}

/// Most characters of a title: a guest may say what it likes.
const TITLE_MAX: usize = 300;

fn bounded(title: &str) -> String {
    let line = title.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(TITLE_MAX).collect()
}

/// Executes what the search chooses.
pub(super) struct Real {
    bench: Arc<Bench>,
    history: History,
    bug: Bug,
    running: JoinSet<(Job, Came)>,
    ahead: JoinSet<()>,
    cancel: watch::Receiver<bool>,
    halt: watch::Sender<bool>,
}

impl Real {
    pub(super) fn new(bench: Arc<Bench>, kept: &Kept, cancel: watch::Receiver<bool>) -> Self {
        Self {
            history: kept.search.history().clone(),
            bug: kept.bug(),
            running: JoinSet::new(),
            ahead: JoinSet::new(),
            halt: watch::Sender::new(false),
            bench,
            cancel,
        }
    }

    /// Waits until nothing is under way any more. Only after [`Trials::cancel`].
    pub(super) async fn gone(mut self) {
        while self.running.join_next().await.is_some() {}
        while self.ahead.join_next().await.is_some() {}
    }

    /// A trial that ended, in the order in which they are kept.
    fn take(&mut self, job: &Job, came: Came) -> Finished {
        match judged(&job.commit, job.nth, came, &self.bug) {
            Ok(Some(mut trial)) => {
                let at_bad_end = self.history.find(&trial.commit) == Some(self.history.bad());
                self.bug.learn(trial.seen.as_ref(), at_bad_end);
                // A search counts each trial's own cost: a kernel that was built ahead cost nothing here.
                trial.build_s = trial.build_s.max(0.0);
                Finished::Trial(trial)
            }
            Ok(None) => Finished::Stop,
            Err(why) => Finished::Broken(why),
        }
    }
}

impl Trials for Real {
    fn machines(&self) -> usize {
        self.bench.machines().0
    }

    fn start(&mut self, job: Job) {
        let Some(commit) = self.history.find(&job.commit) else {
            return;
        };
        let (name, subject) = self.bench.names.get(commit).cloned().unwrap_or_default();
        let _ = self.bench.told.send(Event::BisectTrying {
            commit: name.clone(),
            subject,
            nth: job.nth,
            purpose: purpose(job.choice.purpose),
        });
        let (bench, halt) = (Arc::clone(&self.bench), self.halt.subscribe());
        self.running.spawn(async move {
            let request = bench.maker.request(commit);
            let came = bench.one(&name, job.nth, request, halt).await;
            (job, came)
        });
    }

    fn ahead(&mut self, commits: &[String]) {
        let (_, spare) = self.bench.machines();
        while self.ahead.try_join_next().is_some() {}
        // One at a time: what is under way is worth finishing.
        if spare == 0 || !self.ahead.is_empty() {
            return;
        }
        let Some(commit) = commits.iter().find_map(|id| self.history.find(id)) else {
            return;
        };
        let (bench, halt) = (Arc::clone(&self.bench), self.halt.subscribe());
        self.ahead.spawn(async move {
            let name = bench.names.get(commit).map(|n| n.0.clone()).unwrap_or_default();
            let request = bench.maker.request(commit);
            // What does not build is told by the trial that needs it.
            if let Some(Made::Ready { built, record }) = bench.make(&name, request, spare, halt).await {
                let _ = bench.events.send(run::Event::KernelReady(record)).await;
                bench.kernels().insert(name, built);
            }
        });
    }

    async fn finished(&mut self) -> Finished {
        let mut cancel = self.cancel.clone();
        tokio::select! {
            biased;
            _ = cancel.wait_for(|stop| *stop) => Finished::Stop,
            ended = self.running.join_next() => match ended {
                Some(Ok((job, came))) => self.take(&job, came),
                Some(Err(e)) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                Some(Err(_)) | None => Finished::Broken("nothing is under way".to_owned()),
            },
        }
    }

    fn cancel(&mut self) {
        self.halt.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::bug::Wanted;
    use crate::verdict::Finding;

    #[test]
    fn every_verdict_counts_as_what_it_says_about_the_bug() {
        let bug = Bug::new(Wanted::Named(vec!["hang".into()]));
        let outcome = |verdict| judged("c", 0, Came::failed(verdict), &bug).map(|t| t.map(|t| t.outcome));
        let fail = |class| Verdict::fail(Finding::new(class, "x"));
        let skip = |why| Ok(Some(Outcome::Skip { why }));
        assert_eq!(outcome(Verdict::Pass), Ok(Some(Outcome::Quiet { for_s: 0.0 })));
        assert_eq!(
            outcome(fail(Class::Hang)),
            Ok(Some(Outcome::Found { after_s: 0.0 }))
        );
        assert_eq!(outcome(fail(Class::Lost)), skip(Skip::Other));
        assert_eq!(outcome(fail(Class::Boot)), skip(Skip::Boot));
        for class in [Class::Apply, Class::Config, Class::Build] {
            assert_eq!(outcome(fail(class)), skip(Skip::Build));
        }
        let why = vec!["a floor was missed".to_owned()];
        assert_eq!(outcome(Verdict::Inconclusive { why }), skip(Skip::Inconclusive));
        assert_eq!(outcome(Verdict::Skip { why: "x".into() }), skip(Skip::Lacks));
        let broken = outcome(Verdict::Infra {
            error: "no space".into(),
        });
        assert_eq!(broken, Err("no space".to_owned()), "never a word about a commit");
        assert_eq!(judged("c", 0, Came::Stopped, &bug), Ok(None));
    }

    #[test]
    fn a_title_is_one_bounded_line() {
        assert_eq!(bounded("a\u{1b}[31mb\nsecond"), "a[31mb");
        assert_eq!(bounded(&"x".repeat(1000)).len(), TITLE_MAX);
    }
}
