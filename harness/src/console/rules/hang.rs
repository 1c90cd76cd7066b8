//! Reports of tasks and CPUs that make no progress.

use super::{ATOMIC, HANG, NOTICE, STALL};
use crate::console::Kind;
use crate::console::rule::{Blame, Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        Kind::Hang,
        r"^(?:rcu: )?INFO: rcu_?\w* (?:self-)?detected (?:expedited )?stalls?(?: on CPU|, but suppressed)",
        "INFO: rcu detected stall in {f}",
        Blame::Interrupted,
        STALL,
    ),
    rule(
        Kind::Hang,
        r"^(?:NMI )?(?:watchdog: )?BUG: soft lockup - CPU",
        "BUG: soft lockup in {f}",
        Blame::Entry,
        NOTICE,
    ),
    rule(
        Kind::Hang,
        r"^(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?(?:Watchdog (?:detected hard LOCKUP|CPU:\d+ Hard LOCKUP)|CPU \d+ (?:self-detected hard|detected hard|Hard) LOCKUP)|^BUG: NMI Watchdog detected LOCKUP",
        "BUG: hard lockup in {f}",
        Blame::Entry,
        NOTICE,
    ),
    rule(
        Kind::Hang,
        r"^INFO: task .{1,64} blocked (?:in I/O wait )?(?:on an? \S+ likely owned by .* )?for more than \d+ seconds",
        "INFO: task hung in {f}",
        Blame::Hung,
        HANG,
    ),
    rule(
        Kind::Hang,
        r"^INFO: task .{1,64} can't die for more than \d+ seconds",
        "INFO: task can't die in {f}",
        Blame::Stack,
        ATOMIC,
    ),
    // A reference that nobody gives back; the kernel goes on.
    rule(
        Kind::Oops,
        r"^unregister_netdevice: waiting for \S+ to become free",
        "unregister_netdevice: waiting for DEV to become free",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Hang,
        r"^BUG: workqueue lockup",
        "BUG: workqueue lockup",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Hang,
        r"^(?:rcu: )?INFO: rcu_tasks(?:_\w+)? detected stalls(?: on tasks|\?)",
        "INFO: rcu detected stall in {f}",
        Blame::Interrupted,
        STALL,
    ),
];
