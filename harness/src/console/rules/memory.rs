//! Reports of the sanitizers and of the memory debugging in slab, page allocator and swap.

use super::{FAULT, FREED, LEAK, NOTICE, PAGES, TRAVEL};
use crate::console::Kind;
use crate::console::rule::{Blame, Rule, Stands, rule, when};

pub(super) const RULES: &[Rule] = &[
    // A symbolizer repeats the header for each function that was inlined; the last is the kernel's own.
    when(
        Stands::Preface,
        rule(
            Kind::Kasan,
            r"(?:^|[^\w\x22\x27`=(/])BUG: KASAN: (?:double-free or )?([a-z-]+) in (?P<f>\S+) \S+:\d+ \[inline\]",
            "KASAN: {1}{rw} in {f}",
            Blame::Stack,
            NOTICE,
        ),
    ),
    when(
        Stands::Preface,
        rule(
            Kind::Kmsan,
            r"(?:^|[^\w\x22\x27`=(/])BUG: KMSAN: ([a-z-]+) in (?P<f>\S+) \S+:\d+ \[inline\]",
            "KMSAN: {1} in {f}",
            Blame::Stack,
            TRAVEL,
        ),
    ),
    when(
        Stands::Preface,
        rule(
            Kind::Kfence,
            r"(?:^|[^\w\x22\x27`=(/])BUG: KFENCE: ([a-z -]+?) in (?P<f>\S+) \S+:\d+ \[inline\]",
            "KFENCE: {1} in {f}",
            Blame::Stack,
            NOTICE,
        ),
    ),
    // What freed twice or freed what it should not stands above the allocator.
    rule(
        Kind::Kasan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KASAN: (?:double-free or )?(invalid-free|double-free) in (?P<f>\S+)",
        "KASAN: {1} in {f}",
        Blame::Stack,
        FREED,
    ),
    rule(
        Kind::Kasan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KASAN: (?:double-free or )?([a-z-]+)(?: on address)? in (?P<f>\S+)",
        "KASAN: {1}{rw} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Kasan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KASAN: (?:double-free or )?([a-z-]+)(?: on address.*|\s*)$",
        "KASAN: {1}{rw} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    // As it spoke when it was new.
    rule(
        Kind::Kasan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KASan: ([a-z -]+?)(?: access)?(?: in (?P<f>\S+)| on address)",
        "KASAN: {1}{rw} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    when(
        Stands::Part,
        rule(
            Kind::Kasan,
            r"^BUG \S+ \(.*\): kasan: bad access detected",
            "KASAN: bad access in {f}",
            Blame::Stack,
            FAULT,
        ),
    ),
    // Where the bytes leave the kernel, only the header says; the stack is of whoever sent them.
    rule(
        Kind::Kmsan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KMSAN: (kernel-usb-infoleak) in (?P<f>\S+)",
        "KMSAN: {1} in {f}",
        Blame::Header,
        TRAVEL,
    ),
    rule(
        Kind::Kmsan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KMSAN: ([a-z-]+) in (?P<f>\S+)",
        "KMSAN: {1} in {f}",
        Blame::Stack,
        TRAVEL,
    ),
    rule(
        Kind::Kcsan,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KCSAN: (assert: race|data-race) in (?P<f>\S+)(?: / (?P<also>\S+))?",
        "KCSAN: {1} in {f}{also}",
        Blame::Header,
        FAULT,
    ),
    rule(
        Kind::Kfence,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KFENCE: ([a-z -]+?) in (?P<f>\S+)",
        "KFENCE: {1} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Kfence,
        r"(?:^|[^\w\x22\x27`=(/])BUG: KFENCE: ([a-z -]+?)\s*$",
        "KFENCE: {1} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Ubsan,
        r"^UBSAN: Undefined behaviour in ",
        "UBSAN: undefined-behaviour in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Ubsan,
        r"^UBSAN: ([a-z][a-z-]+) in \S+:\d+",
        "UBSAN: {1} in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Leak,
        r"(?:^|[^\w\x22\x27`=(/])BUG: memory leak\s*$",
        "memory leak in {f}",
        Blame::Stack,
        LEAK,
    ),
    rule(
        Kind::Leak,
        r"^kmemleak: \d+ new suspected memory leaks",
        "kmemleak: new suspected memory leaks",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^BUG: Bad page (state|cache) in process ",
        "BUG: Bad page {1} in {f}",
        Blame::Owner,
        PAGES,
    ),
    rule(
        Kind::Oops,
        r"^BUG: Bad page map in process ",
        "BUG: Bad page map in {f}",
        Blame::Stack,
        NOTICE,
    ),
    rule(
        Kind::Oops,
        r"^BUG: Bad rss-counter state mm:\S+ type:(\w+)",
        "BUG: Bad rss-counter state {1}",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^BUG: Bad rss-counter state",
        "BUG: Bad rss-counter state",
        Blame::Nobody,
        &[],
    ),
    // A swap slot that nobody has was freed.
    rule(
        Kind::Oops,
        r"^_?swap_info_get: Unused swap offset entry ",
        "swap_info_get: Unused swap offset entry",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^BUG: non-zero (\S+ ?\S*) on freeing mm: (-?\d+)",
        "BUG: non-zero {1} on freeing mm",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^(?:zram\d*|zswap): [Dd]ecompress(?:ion failed|ion error|\w* error)",
        "zram: Decompression failed",
        Blame::Nobody,
        &[],
    ),
    // A poisoned free page was written to; the stack is of whoever happened to be given it next.
    rule(
        Kind::Oops,
        r"^pagealloc: (memory corruption|single bit error)\s*$",
        "pagealloc: {1}",
        Blame::Nobody,
        &[],
    ),
    rule(
        Kind::Oops,
        r"^BUG \S.*\(.*\): (\S.*)",
        "BUG: {1}",
        Blame::Stack,
        FAULT,
    ),
    rule(
        Kind::Oops,
        r"^slab error in \w+\(\): cache \S+: (.*)",
        "slab error: {1}",
        Blame::Stack,
        FAULT,
    ),
    when(
        Stands::Part,
        rule(
            Kind::Oops,
            r"^INFO: ((?:Allocated|Freed) in .*)",
            "INFO: {1}",
            Blame::Nobody,
            &[],
        ),
    ),
    when(
        Stands::Part,
        rule(
            Kind::Oops,
            r"^INFO: (Slab 0x|Object 0x).*",
            "INFO: {1}ADDR",
            Blame::Nobody,
            &[],
        ),
    ),
];
