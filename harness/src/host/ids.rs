//! The identity of this process inside a user namespace of its own.
//!
//! Not here: who enters one, and why.

use nix::unistd::{Gid, Uid, getegid, geteuid};
use std::io;

/// User and group as they were before the namespace was entered.
pub(super) struct Ids {
    user: Uid,
    group: Gid,
}

impl Ids {
    pub(super) fn current() -> Self {
        Self {
            user: geteuid(),
            group: getegid(),
        }
    }

    /// Makes user and group the same inside as outside; every other one is "nobody".
    pub(super) fn map_to_themselves(&self) -> io::Result<()> {
        // The kernel wants setgroups given up before an unprivileged process may map its group.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{0} {0} 1", self.user))?;
        std::fs::write("/proc/self/gid_map", format!("{0} {0} 1", self.group))
    }
}
