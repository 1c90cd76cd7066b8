//! Reports of lockdep and the other lock debugging.

use super::{ATOMIC, LIGHT, LOCKS};
use crate::console::Kind;
use crate::console::rule::{Blame, Rule, Stands, rule, when};

pub(super) const RULES: &[Rule] = &[
    rule(
        Kind::Lockdep,
        r"^(?:\[ INFO: |WARNING: )possible (?:circular locking dependency|recursive locking|irq lock inversion dependency) detected",
        "possible deadlock in {f}",
        Blame::AtLine,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ INFO: |WARNING: )(?:HARDIRQ|SOFTIRQ|RECLAIM_FS)\S* -> \S+ lock order detected",
        "possible deadlock in {f}",
        Blame::FirstSection,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ INFO: |WARNING: )inconsistent lock state",
        "inconsistent lock state in {f}",
        Blame::AtLine,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^\[ INFO: suspicious RCU usage",
        "INFO: suspicious RCU usage in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^WARNING: suspicious RCU usage",
        "WARNING: suspicious RCU usage in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ )?(BUG|WARNING): (?:\S+ )?still has locks held",
        "{1}: still has locks held in {f}",
        Blame::AtLine,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ )?(BUG|WARNING): lock held when returning to user space",
        "{1}: lock held when returning to user space in {f}",
        Blame::AtLine,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ )?(BUG|WARNING): (held lock freed|bad unlock balance|bad contention)",
        "{1}: {2} in {f}",
        Blame::AtLine,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ )?(BUG|WARNING): (Nested lock was not taken|Invalid wait context|bad lock \w+)",
        "{1}: {2} in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^(?:\[ )?(INFO|WARNING): (possible \S+ bug|ww_mutex \w+|DEADLOCK)",
        "{1}: {2} in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^INFO: trying to register non-static key",
        "INFO: trying to register non-static key in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^BUG: (spinlock|rwlock) (recursion|bad magic|wrong owner|wrong CPU|already unlocked|lockup suspected|cpu recursion|uninitialized|trylock failure on UP|lockup)\b",
        "BUG: {1} {2} in {f}",
        Blame::Stack,
        LOCKS,
    ),
    rule(
        Kind::Lockdep,
        r"^BUG: using ([\w()]+) in preemptible \[\w+\](?: code)?",
        "BUG: using {1} in preemptible code in {f}",
        Blame::CallerIs,
        LIGHT,
    ),
    rule(
        Kind::Lockdep,
        r"^BUG: workqueue leaked (?:atomic, )?lock or (?:RCU|atomic)",
        "BUG: workqueue leaked lock or atomic in {f}",
        Blame::LastFunction,
        LIGHT,
    ),
    rule(
        Kind::Lockdep,
        r"^BUG: (MAX_\w+ too low!)",
        "BUG: {1}",
        Blame::Nobody,
        &[],
    ),
    when(
        Stands::Preface,
        rule(
            Kind::Lockdep,
            r"^(?:DEBUG_LOCKS_WARN_ON\(.*\)|BUG: key \S+ has not been registered|BUG: key \S+ not in \.data)",
            "WARNING: locking bug in {f}",
            Blame::Stack,
            LOCKS,
        ),
    ),
    rule(
        Kind::Atomic,
        r"^BUG: sleeping function called from invalid context",
        "BUG: sleeping function called from invalid context in {f}",
        Blame::Stack,
        ATOMIC,
    ),
    rule(
        Kind::Atomic,
        r"^BUG: scheduling while atomic",
        "BUG: scheduling while atomic in {f}",
        Blame::Stack,
        ATOMIC,
    ),
];
