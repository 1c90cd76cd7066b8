//! Tests of `failure`.

use super::*;
use crate::source::patch;

fn code(file: &str, line: u32, message: &str) -> Option<Cause> {
    Some(Cause::Code {
        file: (!file.is_empty()).then(|| file.into()),
        line: (line > 0).then_some(line),
        message: message.into(),
    })
}

#[test]
fn the_first_error_is_found_whatever_the_tool() {
    let cases = [
        (
            "/src/mm/zswap.c: In function 'f':\n/src/mm/zswap.c:12:3: warning: w\n/src/mm/zswap.c:13:5: error: 'x' undeclared\n/src/mm/zswap.c:14:5: error: later",
            code("mm/zswap.c", 13, "'x' undeclared"),
        ),
        (
            "/src/mm/a.c:1:10: fatal error: linux/nope.h: No such file or directory",
            code("mm/a.c", 1, "linux/nope.h: No such file or directory"),
        ),
        (
            "/src/mm/a.c:9:2: error: unused variable 'q' [-Werror=unused-variable]",
            code("mm/a.c", 9, "unused variable 'q' [-Werror=unused-variable]"),
        ),
        (
            "/src/arch/x86/a.S:7: Error: no such instruction: `bogus'",
            code("arch/x86/a.S", 7, "no such instruction: `bogus'"),
        ),
        (
            "mm/Kconfig:12: syntax error",
            code("mm/Kconfig", 12, "syntax error"),
        ),
        (
            "mm/Kconfig:9:error: recursive dependency detected!",
            code("mm/Kconfig", 9, "recursive dependency detected!"),
        ),
        (
            "/src/mm/Makefile:3: *** missing separator.  Stop.",
            code("mm/Makefile", 3, "missing separator"),
        ),
        (
            "make[4]: *** No rule to make target 'mm/nope.o', needed by 'mm/built-in.a'.  Stop.",
            code(
                "",
                0,
                "No rule to make target 'mm/nope.o', needed by 'mm/built-in.a'",
            ),
        ),
        (
            "ld: vmlinux.o: in function `f':\nzswap.c:(.text+0x12): undefined reference to `nope'",
            code("zswap.c", 0, "undefined reference to `nope'"),
        ),
        (
            "ld: mm/zswap.o:(.data+0x0): multiple definition of `x'; mm/b.o:(.data+0x0): first defined here",
            code(
                "mm/zswap.c",
                0,
                "multiple definition of `x'; mm/b.o:(.data+0x0): first defined here",
            ),
        ),
        (
            "ERROR: modpost: \"f\" [m.ko] undefined!",
            code("", 0, "modpost: \"f\" [m.ko] undefined!"),
        ),
        (
            "mm/x.o: error: objtool: f(): unreachable",
            code("mm/x.c", 0, "objtool: f(): unreachable"),
        ),
        (
            "make[2]: *** [/src/Makefile:1934: .] Error 2",
            code("", 0, "[/src/Makefile:1934: .] Error 2"),
        ),
        ("  CC      mm/zswap.o\n", None),
    ];
    for (text, expect) in cases {
        assert_eq!(first_cause(text, Path::new("/src")), expect, "{text}");
    }
}

#[test]
fn the_hosts_troubles_are_not_the_series() {
    let missing = |what: &str, package| {
        Some(Cause::Missing {
            what: what.into(),
            package,
        })
    };
    let cases = [
        (
            "/src/mm/a.c:1:1: error: x\n/tmp/cc.s: fatal error: error writing: No space left on device",
            Some(Cause::DiskFull),
        ),
        (
            "gcc: fatal error: Killed signal terminated program cc1",
            Some(Cause::OutOfMemory),
        ),
        (
            "cc1: out of memory: Cannot allocate memory",
            Some(Cause::OutOfMemory),
        ),
        ("/bin/sh: 1: flex: not found", missing("flex", "flex")),
        ("/bin/sh: line 1: lz4c: command not found", missing("lz4c", "lz4")),
        ("make: gcc: No such file or directory", missing("gcc", "gcc")),
        (
            "/src/scripts/x.c:2:10: fatal error: openssl/bio.h: No such file or directory",
            missing("openssl/bio.h", "libssl-dev"),
        ),
    ];
    for (text, expect) in cases {
        assert_eq!(first_cause(text, Path::new("/src")), expect, "{text}");
    }
    // A script that a patch made up is the patch's trouble.
    assert!(matches!(
        first_cause(
            "/bin/sh: 1: frobnicate: not found\nmake: *** [x] Error 127",
            Path::new("/src")
        ),
        Some(Cause::Code { .. })
    ));
}

#[test]
fn the_patch_that_wrote_the_line_is_blamed_before_one_that_touched_the_file() {
    let make = |series: &str, kind, name: &str, added: &str| InPatch {
        series: series.into(),
        kind,
        patch: name.into(),
        site: None,
        files: patch::read(format!("--- a/mm/z.c\n+++ b/mm/z.c\n@@ -1 +1,2 @@\n a\n+{added}\n").as_bytes())
            .unwrap(),
    };
    let patches = [
        make("s", SeriesKind::Carry, "1", "\tint x;"),
        make("s", SeriesKind::Carry, "2", "\tint y;"),
        make("r", SeriesKind::Racepoint, "3", "\tracepoint();"),
    ];
    let who = |file: &str, text| blame(&patches, Path::new(file), text).map(|b| (b.patch, b.wrote_the_line));
    assert_eq!(who("mm/z.c", Some("\tint x;")), Some(("1".into(), true)));
    assert_eq!(who("mm/z.c", Some("\tracepoint();")), Some(("3".into(), true)));
    assert_eq!(who("mm/z.c", Some("\tother();")), Some(("2".into(), false)));
    assert_eq!(who("z.c", None), Some(("2".into(), false)));
    assert_eq!(who("mm/other.c", None), None);
}
