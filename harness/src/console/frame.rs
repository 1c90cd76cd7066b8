//! Reads stack frames and the sections they stand in.
//!
//! Knows the shapes that architectures print (x86, arm, arm64, powerpc, riscv, s390), symbolized or
//! not. Does not judge which frame is guilty: that is `blame`.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::Serialize;

/// One frame of a kernel stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackFrame {
    /// The function as printed, compiler suffixes (`.isra.0`, `.cold`) included.
    pub symbol: String,
    /// Offset into the function, in bytes, where printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Size of the function as the kernel knows it, in bytes, where printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The module it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// `file:line`, where the console was symbolized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// False for a `?` frame: found on the stack, but not proved to be a caller.
    pub reliable: bool,
    /// A program counter: where execution stood, not where a call would have returned to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
}

impl StackFrame {
    /// The function's name without what compiler and calling convention added.
    #[must_use]
    pub fn function(&self) -> String {
        canonical(&self.symbol)
    }

    /// Whether a symbolizer added the frame: its function was inlined into the next.
    #[must_use]
    pub fn is_inlined(&self) -> bool {
        self.offset.is_none() && self.source.is_some()
    }
}

/// What a line is in terms of stacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A frame of the stack being printed.
    Frame(StackFrame),
    /// arm's `callee from caller+offset`: two frames.
    Pair(StackFrame, StackFrame),
    /// The program counter of the register dump.
    Pc(StackFrame),
    /// A program counter that is no symbol: a jump into nowhere.
    WildPc,
    /// A stack of the reported context follows, maybe with its first frame on the same line.
    Main(Option<StackFrame>),
    /// A stack of something else follows.
    Other(Of),
    /// The next stack that is announced is somebody else's.
    Foreign,
    /// Nothing to do with stacks.
    Text,
}

/// Whose stack a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The reported context's own.
    Reported,
    /// Who was given the page that the report is about.
    Owner,
    /// How a lock became unsafe.
    Became,
    /// Anybody else: who allocated, who held, what another CPU does.
    Else,
}

const SYMBOL: &str = r"(?P<f>(?:[A-Za-z_$.][\w$.:]*|(?:_)?<[^+\[\]]{1,200}>[\w$.:<>]*))\+(?:0x)?(?P<o>[0-9a-f]{1,6})/(?:0x)?(?P<z>[0-9a-f]{1,6})(?: \[(?P<m>[\w-]+)[^\]]*\])?(?: (?P<src>[\w./+-]+\.(?:c|h|S|rs):\d+))?(?: \(unreliable\))?";

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(&format!(
        r"^[\s(]*(?:#\d+:? )?(?:\[?<?[0-9a-fA-F]{{8,16}}>?\]?[\s)]+|\(ptrval\)\s+)*(?P<q>\? )?{SYMBOL}"
    ))
});
static ARM: LazyLock<Regex> = LazyLock::new(|| {
    regex(&format!(
        r"^\s*(?:\[<[0-9a-f]+>\] \((?P<callee>[\w.]+)(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?\) from \[<[0-9a-f]+>\] \(|(?P<callee2>[A-Za-z_][\w.]*) from (?:\[<[0-9a-f]+>\] )?){SYMBOL}"
    ))
});
static INLINE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^\s+(?P<q>\? )?(?P<f>[A-Za-z_][\w.]*) (?P<src>[\w./+-]+\.(?:c|h|S|rs):\d+)(?: \[inline\])?$")
});
static PC: LazyLock<Regex> = LazyLock::new(|| {
    regex(&format!(
        r"^\s*(?:RIP:?|EIP:?|IP:|EIP is at|[Pp][Cc] is at|[Pp][Cc] ?:|TPC:|NIP|epc ?:|ERA:?|IAOQ\[0\]:|Krnl PSW ?:)\s(?:[^+]{{0,60}}[\s\](:<])??{SYMBOL}"
    ))
});
static WILD_PC: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^\s*(?:RIP: 0010:|[RE]?IP: |EIP is at |PC is at |pc : |epc : |NIP )\s*(?:\[<\s*(?:[0-9a-f]+|\(null\))>\]\s*)?(?:0x[0-9a-f]+|\(null\))",
    )
});
static MAIN: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^\s*(?:Call [Tt]race:|[Bb]acktrace:|stack backtrace:|Call Backtrace:|backtrace \(crc [0-9a-f]+\):|(?:Use-after-free|Out-of-bounds|Invalid) (?:read|write|free) (?:at|of) |Corrupted memory at |(?:race at unknown origin, with )?(?:assert no \w+ to|(?:read|write)(?:-write)?(?: \(\w+\))?(?: \(\w+\))? to|assert no) 0x)",
    )
});
static OTHER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^\s*(?:allocated by |freed by |.*\ballocated by task |last (?:potentially related work|call_rcu)|second to last |uninit was |local variable|-> #\d|.*\bstate was registered at|\.\.\. (?:key|acquired) +at|\.\.\. which became|the dependencies between|showing (?:all|busy)|the buggy address|page last (?:free|alloc)|page_owner |backtrace of |value changed|memory state|(?:info: )?(?:allocated|freed) in |nmi backtrace for|sending nmi|task dump for|preemption disabled at)",
    )
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this module compiles")
}

fn frame(c: &Captures<'_>) -> StackFrame {
    let text = |name| c.name(name).map(|m| m.as_str().to_owned());
    let number = |name| {
        c.name(name)
            .and_then(|m| u64::from_str_radix(m.as_str(), 16).ok())
    };
    StackFrame {
        symbol: text("f").unwrap_or_default(),
        offset: number("o"),
        size: number("z"),
        module: text("m"),
        source: text("src"),
        reliable: c.name("q").is_none()
            && !c.get(0).is_some_and(|all| all.as_str().ends_with("(unreliable)")),
        exact: false,
    }
}

/// Says what a line is in terms of stacks.
pub(super) fn item(text: &str) -> Item {
    if let Some(head) = MAIN.find(text) {
        let rest = text[head.end()..].trim_start_matches([' ', '\t']);
        return Item::Main(FRAME.captures(strip_context(rest)).map(|c| frame(&c)));
    }
    // Cheap tests first: most lines are neither.
    if text.contains("+0x") || text.contains('/') {
        if let Some(c) = PC.captures(text) {
            return Item::Pc(StackFrame {
                exact: true,
                ..frame(&c)
            });
        }
        if text.contains(" from ")
            && let Some(c) = ARM.captures(text)
        {
            let callee = c
                .name("callee")
                .or_else(|| c.name("callee2"))
                .map_or("", |m| m.as_str())
                .to_owned();
            let callee = StackFrame {
                symbol: callee,
                offset: None,
                size: None,
                module: None,
                source: None,
                reliable: true,
                exact: false,
            };
            return Item::Pair(callee, frame(&c));
        }
        if let Some(c) = FRAME
            .captures(strip_context(text))
            .or_else(|| INLINE.captures(text))
        {
            return Item::Frame(frame(&c));
        }
    }
    if WILD_PC.is_match(text) {
        return Item::WildPc;
    }
    if text.ends_with("grace-period kthread stack dump:") {
        return Item::Foreign;
    }
    if !OTHER.is_match(text) {
        Item::Text
    } else if text.trim_start().starts_with("page last allocated") {
        Item::Other(Of::Owner)
    } else if text.contains(" which became ") {
        Item::Other(Of::Became)
    } else {
        Item::Other(Of::Else)
    }
}

/// Drops ` <IRQ> `, ` <EOI> ` and their like before a frame.
fn strip_context(text: &str) -> &str {
    let bare = text.trim_start();
    match bare.strip_prefix('<').and_then(|b| b.split_once('>')) {
        Some((name, rest))
            if name.len() <= 10
                && name
                    .trim_matches('/')
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'#') =>
        {
            rest
        }
        _ => text,
    }
}

/// Finds the first symbol (`func+0x1/0x2`) of a text.
pub(super) fn symbol_in(text: &str) -> Option<StackFrame> {
    static ANY: LazyLock<Regex> = LazyLock::new(|| regex(SYMBOL));
    ANY.captures(text).map(|c| frame(&c))
}

static SYSCALL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:__(?:x64|ia32|x32|arm64|arm|riscv|s390x?|powerpc|loongarch|mips|sh)_(?P<entry>(?:compat_)?sys_\w+)|(?:compat_)?(?:SyS|SYSC)_(?P<old>\w+)|__(?:se|do)_(?:compat_)?sys_(?P<body>\w+)|(?:(?:__|___|____|k|)sys_)(?P<inner>\w+))$",
    )
});

/// A function's name without compiler suffixes, and one name for a system call's many wrappers.
pub(super) fn canonical(symbol: &str) -> String {
    if symbol.starts_with("_R") || symbol.starts_with("_ZN") {
        return format!("{:#}", rustc_demangle::demangle(symbol));
    }
    let name = symbol.strip_prefix("__cfi_").unwrap_or(symbol);
    // A leading dot is powerpc's; a Rust path has no compiler suffix.
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = if name.contains('<') {
        name
    } else {
        name.split('.').next().unwrap_or(name)
    };
    let Some(c) = SYSCALL.captures(name) else {
        return name.to_owned();
    };
    let named = ["entry", "old", "body", "inner"]
        .into_iter()
        .find_map(|part| c.name(part));
    named.map_or(name, |m| m.as_str()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Option<(String, bool)> {
        match item(text) {
            Item::Frame(f) | Item::Pc(f) | Item::Main(Some(f)) => Some((f.symbol, f.reliable)),
            Item::Pair(callee, caller) => Some((format!("{} < {}", callee.symbol, caller.symbol), true)),
            Item::Main(None) | Item::WildPc | Item::Other(_) | Item::Foreign | Item::Text => None,
        }
    }

    #[test]
    fn frames_of_all_shapes_are_read() {
        let check = |text: &str, expect: Option<(&str, bool)>| {
            assert_eq!(symbol(text), expect.map(|(f, r)| (f.to_owned(), r)), "{text}");
        };
        check(" zs_free+0x12/0x340", Some(("zs_free", true)));
        check(" ? zs_free+0x12/0x340 [zsmalloc]", Some(("zs_free", false)));
        check(
            " [<ffffffff81d94b69>] zs_free+0x12/0x340",
            Some(("zs_free", true)),
        );
        check(
            " <IRQ>  [<ffffffff81d94b69>] zs_free.part.3+0x12/0x340",
            Some(("zs_free.part.3", true)),
        );
        check(
            " __list_add include/linux/list.h:77 [inline]",
            Some(("__list_add", true)),
        );
        check(" zs_free+0x12/0x340 mm/zsmalloc.c:1500", Some(("zs_free", true)));
        check(
            "[<c010f1a8>] (zs_free) from [<c010b4f8>] (zram_free_page+0x10/0x14)",
            Some(("zs_free < zram_free_page", true)),
        );
        check(
            "[<c010f1a8>] (zs_free+0x4/0x20) from [<c010b4f8>] (zram_free_page+0x10/0x14)",
            Some(("zs_free < zram_free_page", true)),
        );
        check(
            " zs_free from zram_free_page+0x10/0x14",
            Some(("zs_free < zram_free_page", true)),
        );
        check(
            "[c0000000f7a2bb30] [c000000000a8f0a4] .zs_free+0x1c/0x80 (unreliable)",
            Some((".zs_free", false)),
        );
        check(
            "([<000000000011cdb4>] zs_free+0x1c/0x80)",
            Some(("zs_free", true)),
        );
        check("RIP: 0010:zs_free+0x12/0x340", Some(("zs_free", true)));
        check(
            "RIP: 0010:[<ffffffff8123487f>]  [<ffffffff8123487f>] zs_free+0x61f/0x4b50",
            Some(("zs_free", true)),
        );
        check("pc : zs_free+0x12/0x340", Some(("zs_free", true)));
        check("PC is at zs_free+0x12/0x340", Some(("zs_free", true)));
        check("NIP [c0000000000a] zs_free+0x12/0x340", Some(("zs_free", true)));
        check(
            " <mm::Pool as mm::Drop>::drop+0x12/0x340",
            Some(("<mm::Pool as mm::Drop>::drop", true)),
        );
        check("RIP: 0033:0x455777", None);
        check(" R10: 0000000000000000 R11: 0000000000000246", None);
        check("ffff8801dae06740: ffffffff812c80ee (zs_free+0x6e/0xd0)", None);
        check("Call Trace:", None);
    }

    #[test]
    fn other_peoples_stacks_are_told_apart() {
        for text in [
            "Allocated by task 7:",
            "Freed by task 7:",
            "-> #2 (lock){+.+.}:",
            "NMI backtrace for cpu 1",
        ] {
            assert_eq!(item(text), Item::Other(Of::Else), "{text}");
        }
        assert_eq!(item("Call trace:"), Item::Main(None));
        assert_eq!(item("  backtrace (crc 1f2e3d4c):"), Item::Main(None));
    }

    #[test]
    fn names_lose_what_the_compiler_added() {
        let check = |symbol: &str, expect: &str| assert_eq!(canonical(symbol), expect, "{symbol}");
        check("shrink_node.isra.0.cold", "shrink_node");
        check("__x64_sys_read", "sys_read");
        check("__se_sys_read", "read");
        check("SyS_read", "read");
        check("compat_SyS_ioctl", "ioctl");
        check("sys_read", "read");
        check("__sys_sendmsg", "sendmsg");
        check("ksys_read", "read");
        check("__arm64_compat_sys_ioctl", "compat_sys_ioctl");
        check("sysfs_remove", "sysfs_remove");
        check(".ppc_func", "ppc_func");
        check("<a::b as c.d>::e", "<a::b as c.d>::e");
    }
}
