//! Ends the descendants of a subreaper: what stands in for a PID namespace where none is to be had.
//!
//! Not here: anything about namespaces, whose end needs no sweeping.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::collections::{BTreeMap, BTreeSet};

/// Ends every descendant of this process and reaps them, until none is left.
///
/// They are first stopped, until a look around finds no new one (what is stopped cannot fork), then killed.
/// Relies on this process being their subreaper: a descendant that loses its parent becomes our child.
pub(super) fn descendants() {
    loop {
        let mut stopped = BTreeSet::new();
        loop {
            let found = below(getpid());
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

/// The descendants of `root` that are alive, as /proc has them.
fn below(root: Pid) -> BTreeSet<Pid> {
    let parents = parents();
    let mut found = BTreeSet::new();
    let mut edge = vec![root];
    while let Some(parent) = edge.pop() {
        for (&child, _) in parents.iter().filter(|&(_, &of)| of == parent) {
            if found.insert(child) {
                edge.push(child);
            }
        }
    }
    found
}

/// Who is whose parent, without the dead.
fn parents() -> BTreeMap<Pid, Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let (state, parent) = state_and_parent(&stat)?;
            (!matches!(state, 'Z' | 'X')).then_some((Pid::from_raw(pid), Pid::from_raw(parent)))
        })
        .collect()
}

/// State and parent in a line of /proc/PID/stat. The name before them may hold anything, parentheses included.
pub(super) fn state_and_parent(stat: &[u8]) -> Option<(char, i32)> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let text = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_parent() {
        assert_eq!(state_and_parent(b"41 (a) Z 1 (b)) S 7 41 41 0"), Some(('S', 7)));
        assert_eq!(state_and_parent(b"41 (\xff\n) R 12 0"), Some(('R', 12)));
        assert_eq!(state_and_parent(b"41"), None);
        assert_eq!(state_and_parent(b"41 (x)"), None);
    }

    #[test]
    fn we_know_our_own_parent() {
        assert_eq!(parents().get(&getpid()).copied(), Some(nix::unistd::getppid()));
    }
}
