//! Driving a search over several machines, with a fake that ends trials in an order of its own.

use super::*;
use std::collections::BTreeSet;
use std::future::Future;
use std::task::{Context, Poll, Waker};

/// Machines that end the trial with the least key first; they never wait for anything.
struct Fake {
    machines: usize,
    history: History,
    under_way: Vec<Job>,
    started: Vec<(String, u32)>,
    ahead: Vec<String>,
    /// Trials until the user stops.
    left: usize,
    broken: bool,
    cancelled: bool,
}

impl Fake {
    fn new(machines: usize) -> Self {
        Self {
            machines,
            history: linear(16),
            under_way: Vec::new(),
            started: Vec::new(),
            ahead: Vec::new(),
            left: usize::MAX,
            broken: false,
            cancelled: false,
        }
    }
}

impl Trials for Fake {
    fn machines(&self) -> usize {
        self.machines
    }

    fn start(&mut self, job: Job) {
        assert!(
            self.under_way.len() < self.machines,
            "more than the machines hold"
        );
        self.started.push((job.commit.clone(), job.nth));
        self.under_way.push(job);
    }

    fn ahead(&mut self, commits: &[String]) {
        self.ahead.extend_from_slice(commits);
    }

    fn finished(&mut self) -> impl Future<Output = Finished> + Send {
        let end = if self.left == 0 {
            Finished::Stop
        } else if self.broken {
            Finished::Broken("no space left".into())
        } else {
            self.left -= 1;
            // Any fixed order that is not the one of starting.
            let key = |job: &Job| Chance::new(u64::from(job.nth) * 31 + job.commit.len() as u64).below(997);
            let (at, _) = self
                .under_way
                .iter()
                .enumerate()
                .min_by_key(|(_, job)| key(job))
                .unwrap();
            let job = self.under_way.remove(at);
            let commit = self.history.find(&job.commit).unwrap();
            let outcome = match commit {
                7 => Outcome::Skip { why: Skip::Build },
                _ => kernel(&self.history, 11, 0.6, commit, job.nth),
            };
            Finished::Trial(trial(commit, job.nth, outcome))
        };
        std::future::ready(end)
    }

    fn cancel(&mut self) {
        self.under_way.clear();
        self.cancelled = true;
    }
}

/// Runs a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the fake never waits"),
    }
}

fn fresh() -> Search {
    Search::new(linear(16), &[], Rule::default()).unwrap()
}

fn drive_all(search: &mut Search, fake: &mut Fake) -> Result<Driven, DriveError> {
    now(drive(search, fake, |_| Ok(()), |_| ()))
}

#[test]
fn it_finds_the_culprit_on_any_number_of_machines() {
    for machines in [1, 2, 5] {
        let (mut search, mut fake) = (fresh(), Fake::new(machines));
        let end = drive_all(&mut search, &mut fake).unwrap();
        let Driven::Answer(answer) = end else {
            panic!("{end:?}")
        };
        assert_eq!(answer.named, [11], "on {machines}");
        assert!(fake.cancelled);
        let distinct: BTreeSet<_> = fake.started.iter().collect();
        assert_eq!(distinct.len(), fake.started.len(), "a trial was started twice");
        assert!(!fake.ahead.is_empty(), "nothing was built ahead");
        // Kept in the order in which they ended; no more are lost than were under way at the end.
        assert!(search.log().len() + machines >= fake.started.len());
    }
}

#[test]
fn a_batch_does_not_try_one_thing_five_times() {
    let (mut search, mut fake) = (fresh(), Fake::new(1));
    fake.left = 40;
    drive_all(&mut search, &mut fake).unwrap();
    let mut search = fresh();
    let history = linear(16);
    while let Step::Try(choice) = search.step(&[])
        && choice.purpose != Purpose::Search
    {
        let nth = search.next_nth(choice.commit, &[]);
        search
            .record(trial(
                choice.commit,
                nth,
                kernel(&history, 11, 1.0, choice.commit, nth),
            ))
            .unwrap();
    }
    let mut pending = Vec::new();
    while pending.len() < 5
        && let Step::Try(choice) = search.step(&pending)
    {
        pending.push(choice.commit);
    }
    let distinct: BTreeSet<_> = pending.iter().collect();
    assert!(pending.len() == 5 && distinct.len() >= 3, "{pending:?}");
}

#[test]
fn stopped_anywhere_and_resumed_it_comes_to_the_same() {
    let (mut whole, mut fake) = (fresh(), Fake::new(1));
    let answer = drive_all(&mut whole, &mut fake).unwrap();
    for stop in 0..whole.log().len() {
        let (mut search, mut fake) = (fresh(), Fake::new(1));
        fake.left = stop;
        let mut kept: Vec<Trial> = Vec::new();
        let mut shown = 0;
        let keep = |trial: &Trial| {
            kept.push(trial.clone());
            Ok(())
        };
        let end = now(drive(&mut search, &mut fake, keep, |search| {
            shown = search.log().len()
        }));
        assert_eq!(end.unwrap(), Driven::Stopped);
        assert_eq!((kept.len(), shown), (stop, stop));
        // A new process: only what was kept is there.
        let mut search = fresh();
        kept.into_iter().for_each(|trial| search.record(trial).unwrap());
        assert_eq!(drive_all(&mut search, &mut Fake::new(1)).unwrap(), answer);
        assert_eq!(search.log(), whole.log());
    }
}

#[test]
fn what_breaks_is_told_and_costs_no_trial() {
    let (mut search, mut fake) = (fresh(), Fake::new(2));
    fake.broken = true;
    let error = drive_all(&mut search, &mut fake).unwrap_err();
    assert_eq!(error.to_string(), "a trial could not be executed: no space left");
    assert!(search.log().is_empty() && fake.cancelled);
    let (mut search, mut fake) = (fresh(), Fake::new(1));
    let full = |_: &Trial| Err(std::io::Error::other("full"));
    let error = now(drive(&mut search, &mut fake, full, |_| ())).unwrap_err();
    assert_eq!(error.to_string(), "a finished trial could not be kept");
    // It does not count: resuming runs it again.
    assert!(search.log().is_empty() && fake.cancelled);
}
