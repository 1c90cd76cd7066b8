//! The rules themselves, a family a file, and the helpers that each family may not blame.

mod fault;
mod hang;
mod lock;
mod memory;
mod warning;

use super::helper::Family;
use super::rule::Rule;
use Family::{Alloc, Broker, Container, Core, Defer, Lock, Memory, Report, Sched, Tick, Wait};

pub(super) const FAULT: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Core];
pub(super) const LIGHT: &[Family] = &[Report];
pub(super) const LEAK: &[Family] = &[Report, Memory, Alloc, Container, Broker];
pub(super) const ATOMIC: &[Family] = &[Report, Memory, Alloc, Lock, Sched];
pub(super) const HANG: &[Family] = &[Report, Lock, Sched, Wait, Defer];
pub(super) const STALL: &[Family] = &[Report, Memory, Alloc, Lock, Container, Sched, Tick];
pub(super) const LOCKS: &[Family] = &[Report, Memory, Alloc, Lock, Sched, Defer];

/// All rules. The narrow stand before the wide, and `fault` last: it ends with every `BUG: `.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [
        memory::RULES,
        lock::RULES,
        hang::RULES,
        warning::RULES,
        fault::RULES,
    ]
    .into_iter()
    .flatten()
}
