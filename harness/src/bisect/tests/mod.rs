//! The search against simulated kernels: properties, figures at small size, and how it ends.

mod belief;
mod driving;
mod endings;
mod kept;

use super::simulate::Chance;
use super::*;

/// A linear range with so many candidates; commit 0 is the good end.
fn linear(candidates: usize) -> History {
    History::linear((0..=candidates).map(|c| format!("c{c}")).collect()).unwrap()
}

/// A history in which each commit follows one or two older ones.
fn merged(candidates: usize, chance: &mut Chance) -> History {
    let mut commits = vec![("c0".to_owned(), vec![])];
    let mut heads = vec![0];
    for commit in 1..candidates {
        let mut parents = vec![heads[chance.below(heads.len())]];
        if chance.unit() < 0.3 {
            parents.push(chance.below(commit));
        }
        parents.dedup();
        heads.retain(|head| !parents.contains(head));
        heads.push(commit);
        commits.push((
            format!("c{commit}"),
            parents.iter().map(|p| format!("c{p}")).collect(),
        ));
        if chance.unit() < 0.3 {
            // Leave room for a branch.
            heads.push(parents[0]);
        }
    }
    let last = heads.iter().map(|head| format!("c{head}")).collect();
    commits.push((format!("c{candidates}"), last));
    History::merged(commits).unwrap()
}

fn trial(commit: usize, nth: u32, outcome: Outcome) -> Trial {
    let run_s = match outcome {
        Outcome::Found { after_s } => after_s,
        Outcome::Quiet { for_s } => for_s,
        Outcome::Skip { .. } | Outcome::Told { .. } => 0.0,
    };
    Trial {
        commit: format!("c{commit}"),
        nth,
        outcome,
        build_s: if nth == 0 { 60.0 } else { 0.0 },
        boot_s: 3.0,
        run_s,
        seen: None,
    }
}

/// What a kernel does in a trial: the same for the same commit and number, whoever asks.
fn kernel(history: &History, culprit: usize, rate: f64, commit: usize, nth: u32) -> Outcome {
    let mut chance = Chance::new((commit as u64) << 32 | u64::from(nth));
    if history.contains(commit, culprit) && chance.unit() < rate {
        return Outcome::Found {
            after_s: chance.unit() * 30.0,
        };
    }
    Outcome::Quiet { for_s: 30.0 }
}

/// Searches to the end, one trial at a time; gives the commits that were tried, and the last step.
fn search_all(search: &mut Search, mut outcome: impl FnMut(usize, u32) -> Outcome) -> (Vec<usize>, Step) {
    let mut tried = Vec::new();
    loop {
        let step = search.step(&[]);
        let Step::Try(choice) = step else {
            return (tried, step);
        };
        tried.push(choice.commit);
        let nth = search.next_nth(choice.commit, &[]);
        search
            .record(trial(choice.commit, nth, outcome(choice.commit, nth)))
            .unwrap();
    }
}
