//! Ends the descendants of a subreaper: what stands in for a PID namespace where none is to be had.
//!
//! Not here: anything about namespaces, whose end needs no sweeping.

use super::procfs;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;

/// Ends every descendant of this process and reaps them, until none is left.
///
/// They are first stopped, until a look around finds no new one (what is stopped cannot fork), then killed.
/// Relies on this process being their subreaper: a descendant that loses its parent becomes our child.
pub(super) fn descendants() {
    loop {
        let mut stopped = BTreeSet::new();
        loop {
            let found = below();
            let new: Vec<Pid> = found.difference(&stopped).copied().collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                // One that is gone already needs no stopping.
                let _ = kill(pid, Signal::SIGSTOP);
                stopped.insert(pid);
            }
        }
        for &pid in &stopped {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // A look around may miss one that is being born: only ECHILD says that nothing is left below us.
        let mut patience = if stopped.is_empty() {
            Some(WaitPidFlag::WNOHANG)
        } else {
            None
        };
        loop {
            match waitpid(None, patience) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => patience = Some(WaitPidFlag::WNOHANG),
                Err(Errno::ECHILD) => return,
                // Interrupted, or ended by a signal that nix has no name for.
                Err(_) => {}
            }
        }
    }
}

/// The descendants of this process that are alive, by their numbers in our namespace.
fn below() -> BTreeSet<Pid> {
    let mut found = BTreeSet::new();
    let Some(own) = procfs::own() else { return found };
    let all = procfs::all();
    let mut seen = BTreeSet::from([own.pid]);
    let mut edge = vec![own.pid];
    while let Some(parent) = edge.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            if seen.insert(child.pid) {
                edge.push(child.pid);
                found.extend(child.as_seen_by(&own).filter(|_| !child.dead).map(Pid::from_raw));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_nothing_to_sweep() {
        assert_eq!(below(), BTreeSet::new());
    }
}
