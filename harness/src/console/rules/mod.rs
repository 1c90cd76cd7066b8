//! The rules themselves, a family a file, and the helpers that each family may not blame.

mod fault;
mod hang;
mod lock;
mod memory;
mod warning;

use super::helper::Family;
use super::rule::Rule;
use Family::{
    Alloc, Broker, Buffer, Conduit, Container, Defer, Free, Key, Lock, Memory, Object, Page, Preempt, Proc,
    Queue, Rcu, Report, Sched, Sock, Spin, Tick, Tracked, Urb, Wait,
};

/// What notices bugs of any kind.
pub(super) const NOTICE: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object];
pub(super) const FAULT: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object];
pub(super) const ASSERT: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Buffer];
pub(super) const FREED: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Free];
pub(super) const TRAVEL: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Conduit];
pub(super) const LEAK: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Broker];
pub(super) const PAGES: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Page];
pub(super) const ATOMIC: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Sched];
pub(super) const HANG: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Wait];
pub(super) const STALL: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Sched, Tick];
pub(super) const GUARDED: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Rcu];
pub(super) const LOCKS: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Sock];
pub(super) const CHAIN: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Queue];
pub(super) const KEYS: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Key];
pub(super) const SPINS: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Spin];
pub(super) const PER_CPU: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Preempt];
pub(super) const TRACKED: &[Family] = &[
    Report, Memory, Alloc, Lock, Container, Defer, Object, Tracked, Free,
];
pub(super) const REQUEST: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Urb];
pub(super) const ENTRIES: &[Family] = &[Report, Memory, Alloc, Lock, Container, Defer, Object, Proc];

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
