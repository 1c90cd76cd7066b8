//! Warnings, by the file or function that warns where that is only the messenger.

use super::{ENTRIES, FAULT, LOCKS, REQUEST, TRACKED};
use crate::console::Kind;
use crate::console::rule::{Blame, Rule, Stands, rule, when};

pub(super) const RULES: &[Rule] = &[
    // A symbolizer repeats the header for each function that was inlined; the last is the kernel's own.
    when(
        Stands::Preface,
        rule(
            Kind::Warning,
            r"^WARNING: .*\bat .* \[inline\]",
            "WARNING in {f}",
            Blame::Trap,
            FAULT,
        ),
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?(?:lib/refcount\.c:\d+|refcount_warn_[\w.]+\+0x)",
        "WARNING: refcount bug in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?(?:lib/list_debug\.c:\d+|__list_(?:add|del)_[\w.]+\+0x)",
        "WARNING: corrupted list in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?(?:lib/debugobjects\.c:\d+|debug_print_object\+0x)",
        "WARNING: ODEBUG bug in {f}",
        Blame::Trap,
        TRACKED,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?mm/usercopy\.c:\d+",
        "WARNING: bad usercopy in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?lib/kobject\.c:\d+",
        "WARNING: kobject bug in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Lockdep,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?kernel/(?:locking/)?lockdep\.c:\d+(?: at)? \S",
        "WARNING: locking bug in {f}",
        Blame::Trap,
        LOCKS,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?mm/(?:slab_common|slab|slub|util)\.c:\d+(?: at)? (?:__)?(?:kmalloc|kv?malloc|kmem_cache)",
        "WARNING: kmalloc bug in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?mm/vmalloc\.c:\d+(?: at)? __vmalloc_node_range",
        "WARNING: zero-size vmalloc in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?fs/proc/generic\.c:\d+(?: at)? (?:__)?proc_(?:register|create)",
        "WARNING: proc registration bug in {f}",
        Blame::Trap,
        ENTRIES,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:.*\bat |\[.*\] )?(?:\S*/)?drivers/usb/core/urb\.c:\d+(?: at)? usb_submit_urb",
        "WARNING in {f}/usb_submit_urb",
        Blame::Trap,
        REQUEST,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:CPU: \d+ PID: \d+ )?at (?:\S+:\d+ ?)?(?P<f>\S+\+0x\S+)?",
        "WARNING in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (?:\[.*\] )?\S+\.(?:c|h|S|rs):\d+ at (?P<f>\S+\+0x\S+)?",
        "WARNING in {f}",
        Blame::Trap,
        FAULT,
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (kernel stack (?:regs|frame pointer)) at\s+\S+ in \S+ (has bad (?:'\w+' )?value)",
        "WARNING: {1} {2}",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Warning,
        r"^WARNING: (stack recursion|can't access registers|can't dereference(?: iret)? registers|unrecognized unwind stack type|stack going in the wrong direction)",
        "WARNING: {1}",
        Blame::Nobody,
        &[],
    ),
];
