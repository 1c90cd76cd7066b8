//! Files that are no YAML, too much of it, or no text at all; the file as a whole.

use std::path::Path;

use super::super::{FILE_LEN_MAX, load};
use super::{GOOD, World, bad, each_bad, edited, good};

#[test]
fn no_text_file() {
    let mut shown = bad(b"version: 1\nkernels: \xff\n");
    shown += &bad(b"\xfe\xffv\0e\0r\0");
    shown += &bad(vec![b' '; usize::try_from(FILE_LEN_MAX).unwrap() + 1]);
    shown += &bad("");
    shown += &bad("# nothing but a comment\n");
    shown += &bad("---\n");
    shown += &bad("just a word\n");
    shown += &bad("- version: 1\n");
    insta::assert_snapshot!(shown, @r"
    /m/a.yaml:2:10: error: not UTF-8 text: byte 0xff
      2 | kernels: �
        |          ^
      help: save the file as UTF-8
    /m/a.yaml:1:1: error: not UTF-8 text: byte 0xfe
      1 | ��v?e?r?
        | ^
      help: save the file as UTF-8
    /m/a.yaml: error: is larger than 1 MiB
      help: a matrix is a small file: is this the right one?
    /m/a.yaml: error: the file is empty
      help: start with `version: 1`; workflows/demo.yaml explains each part
    /m/a.yaml: error: the file is empty
      help: start with `version: 1`; workflows/demo.yaml explains each part
    /m/a.yaml:2:1: error: a matrix file must be a map, not nothing
      2 | 
        | ^
    /m/a.yaml:1:1: error: a matrix file must be a map, not `just a word`
      1 | just a word
        | ^^^^^^^^^^^
    /m/a.yaml:1:1: error: a matrix file must be a map, not a list
      1 | - version: 1
        | ^^^^^^^^^^^^
    ");
}

#[test]
fn a_byte_order_mark_is_left_out() {
    assert_eq!(good(&format!("\u{feff}{GOOD}")).kernels.len(), 2);
}

#[test]
fn carriage_returns_are_no_trouble() {
    assert_eq!(good(&GOOD.replace('\n', "\r\n")).kernels.len(), 2);
    let shown = bad(edited("cpus: 2", "cpus: 0").replace('\n', "\r\n"));
    assert!(
        shown.contains("/m/a.yaml:6:46: error:") && !shown.contains('\r'),
        "{shown}"
    );
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |path: &Path| {
        let text = load(path, &World).unwrap_err().render_plain();
        text.replace(folder.path().to_str().unwrap(), "DIR")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
            + "\n"
    };
    let too_big = folder.path().join("big.yaml");
    std::fs::write(&too_big, vec![b'#'; usize::try_from(FILE_LEN_MAX).unwrap() + 1]).unwrap();
    let all = shown(&folder.path().join("none.yaml"))
        + &shown(folder.path())
        + &shown(&too_big)
        + &shown(Path::new("/dev/null"));
    insta::assert_snapshot!(all, @r"
    DIR/none.yaml: error: can't be read: no such file or directory
    DIR: error: is a directory
    DIR/big.yaml: error: is larger than 1 MiB
    /dev/null: error: is not a regular file
    ");
}

#[test]
fn no_yaml() {
    let mut shown = bad("version: 1\nkernels: [\n");
    shown += &bad("version: 1\nkernels:\n\tfixed: {}\n");
    shown += &bad("version: 1\nkernels:\n  a: 1\n\tb: 2\n");
    shown += &bad("version: 1\n kernels: 2\n");
    shown += &bad("version: 1\nkernels: \"open\n");
    shown += &bad("version: *nothing\n");
    shown += &bad("a: b: c\n");
    shown += &bad("version: 1\nkernels: }\n");
    shown += &bad("version: \u{1}1\n");
    shown += &bad("version: 1 # \u{9b}\n");
    insta::assert_snapshot!(shown, @r#"
    /m/a.yaml:3:1: error: not valid YAML: while parsing a node, did not find expected node content
      3 | 
        | ^
    /m/a.yaml:3:1: error: a tab may not indent YAML
      3 | 	fixed: {}
        | ^
      help: indent with spaces
    /m/a.yaml:4:1: error: a tab may not indent YAML
      4 | 	b: 2
        | ^
      help: indent with spaces
    /m/a.yaml:2:9: error: not valid YAML: mapping values are not allowed in this context
      2 |  kernels: 2
        |         ^
    /m/a.yaml:2:10: error: not valid YAML: while scanning a quoted scalar, found unexpected end of stream
      2 | kernels: "open
        |          ^
    /m/a.yaml:1:10: error: not valid YAML: while parsing node, found unknown anchor
      1 | version: *nothing
        |          ^
    /m/a.yaml:1:5: error: not valid YAML: mapping values are not allowed in this context
      1 | a: b: c
        |     ^
    /m/a.yaml:2:10: error: not valid YAML: misplaced bracket
      2 | kernels: }
        |          ^
    /m/a.yaml:1:10: error: the character U+0001 may not stand in YAML
      1 | version: ?1
        |          ^
      help: in a quoted text, write it as an escape
    /m/a.yaml:1:14: error: the character U+009B may not stand in YAML
      1 | version: 1 # ¿
        |              ^
      help: in a quoted text, write it as an escape
    "#);
}

#[test]
fn more_than_one_document_and_tags() {
    let mut shown = bad("version: 1\n---\nversion: 1\n");
    shown += &bad("version: !!int 1\n");
    shown += &bad("kernels: !mine {}\n");
    insta::assert_snapshot!(shown, @r"
    /m/a.yaml:2:1: error: a second document starts here; a file holds one
      2 | ---
        | ^^^
      help: put the second part into a file of its own
    /m/a.yaml:1:10: error: tags (`!…`) are not used here
      1 | version: !!int 1
        |          ^^^^^^^
    /m/a.yaml:1:10: error: tags (`!…`) are not used here
      1 | kernels: !mine {}
        |          ^^^^^^^
    ");
}

#[test]
fn deep_nesting_is_refused_before_anything_recurses() {
    insta::assert_snapshot!(bad(format!("version: {}", "[".repeat(100_000))), @r"
    /m/a.yaml:1:265: error: nested deeper than 32 levels
      1 | [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        |                                                            ^
    ");
    let shown = bad((0..5_000)
        .map(|n| format!("{}a:\n", " ".repeat(n % 200)))
        .collect::<String>());
    assert!(shown.contains("error: n"), "{shown}");
    let flow = bad(format!("a: {}1{}", "{b: ".repeat(33), "}".repeat(33)));
    assert!(flow.contains("nested deeper than 32 levels"), "{flow}");
}

#[test]
fn an_alias_bomb_is_defused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
    }
    insta::assert_snapshot!(bad(bomb), @r"
    /m/a.yaml:5:35: error: more than 50000 values, with every alias written out
      5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
        |                                   ^^^
    ");
    // Quadratic rather than exponential: one long list, many aliases of it.
    let many = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(40_000), "*a,".repeat(40_000));
    assert!(bad(many).contains("more than 50000 values"));
    assert!(bad("a: &a [*a]\n").contains("this alias stands inside what it repeats"));
}

#[test]
fn aliases_work() {
    let spec = good(&edited(
        "  defect: { like",
        "  other: &o { like: fixed }\n  third: *o\n  defect: { like",
    ));
    assert_eq!(spec.kernels["third"], spec.kernels["fixed"]);
    insta::assert_snapshot!(each_bad(&[
        ("accel: auto, cpus: 2, memory: 300MiB", "accel: auto, cpus: &n 200, memory: *n"),
        ("defect: { like: fixed", "defect: { <<: fixed, like: fixed"),
    ]), @r"
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 200
      6 |   small: { backend: qemu, accel: auto, cpus: &n 200, memory: *n, swap: 3MiB }
        |                                              ^^^^^^
    /m/a.yaml:6:62: error: `memory` needs a unit (B, KiB, MiB, GiB, TiB), as in 300MiB
      6 |   small: { backend: qemu, accel: auto, cpus: &n 200, memory: *n, swap: 3MiB }
        |                                                              ^^
    --
    /m/a.yaml:4:13: error: merge keys (`<<`) are not used here
      4 |   defect: { <<: fixed, like: fixed, series: [racepoints, zswap-writeback-race] }
        |             ^^
      help: a kernel takes over another one's keys with `like: NAME`
    ");
}

#[test]
fn duplicate_keys_are_all_told() {
    insta::assert_snapshot!(bad(
        edited("  small: {", "  small: { cpus: 4 }\n  small: { cpus: 1,").replace("seed: 1", "seed: 1, \"seed\": 2, seed: 3")
    ), @r#"
    /m/a.yaml:7:3: error: the key `small` is given twice
      7 |   small: { cpus: 1, backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |   ^^^^^
    /m/a.yaml:6:3: note: first given here
      6 |   small: { cpus: 4 }
        |   ^^^^^
    /m/a.yaml:7:49: error: the key `cpus` is given twice
      7 |   small: { cpus: 1, backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |                                                 ^^^^
    /m/a.yaml:7:12: note: first given here
      7 |   small: { cpus: 1, backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |            ^^^^
    /m/a.yaml:9:50: error: the key `seed` is given twice
      9 |   pressure: { workload: zswap_pressure, seed: 1, "seed": 2, seed: 3, budget: 30s, params: { arena: 4MiB } }
        |                                                  ^^^^^^
    /m/a.yaml:9:41: note: first given here
      9 |   pressure: { workload: zswap_pressure, seed: 1, "seed": 2, seed: 3, budget: 30s, params: { arena: 4MiB } }
        |                                         ^^^^
    /m/a.yaml:9:61: error: the key `seed` is given twice
      9 |   pressure: { workload: zswap_pressure, seed: 1, "seed": 2, seed: 3, budget: 30s, params: { arena: 4MiB } }
        |                                                             ^^^^
    /m/a.yaml:9:41: note: first given here
      9 |   pressure: { workload: zswap_pressure, seed: 1, "seed": 2, seed: 3, budget: 30s, params: { arena: 4MiB } }
        |                                         ^^^^
    "#);
}

#[test]
fn unknown_and_missing_keys_at_the_top() {
    insta::assert_snapshot!(bad("verison: 1\nkernel: {}\nzzz: 1\n[a]: 1\n~: 2\n"), @r"
    /m/a.yaml:1:1: error: the file lacks the key `machines`
      1 | verison: 1
        | ^
    /m/a.yaml:1:1: error: the file lacks the key `cases`
      1 | verison: 1
        | ^
    /m/a.yaml:1:1: error: the file lacks the key `matrix`
      1 | verison: 1
        | ^
    /m/a.yaml:1:1: error: unknown key `verison`; did you mean `version`?
      1 | verison: 1
        | ^^^^^^^
    /m/a.yaml:2:1: error: unknown key `kernel`; did you mean `kernels`?
      2 | kernel: {}
        | ^^^^^^
    /m/a.yaml:3:1: error: unknown key `zzz`
      3 | zzz: 1
        | ^^^
      help: known here: `version`, `defaults`, `sources`, `racepoints`, `kernels`, `machines`, `cases`, `matrix`, `expect`
    /m/a.yaml:4:1: error: a key must be a word, not a list
      4 | [a]: 1
        | ^^^
    /m/a.yaml:5:1: error: unknown key `~`
      5 | ~: 2
        | ^
      help: known here: `version`, `defaults`, `sources`, `racepoints`, `kernels`, `machines`, `cases`, `matrix`, `expect`
    ");
    insta::assert_snapshot!(each_bad(&[("version: 1", "version: 2"), ("version: 1", "version: '1'"), ("version: 1\n", "")]), @r"
    /m/a.yaml:1:10: error: `version` must be 1, not 2
      1 | version: 2
        |          ^
    --
    /m/a.yaml:1:10: error: `version` must be 1, not `1`
      1 | version: '1'
        |          ^^^
    --
    /m/a.yaml:1:1: error: the file lacks the key `version`
      1 | kernels:
        | ^
      help: start with `version: 1`
    ");
}

#[test]
fn every_error_of_a_file_is_told_at_once_in_its_order() {
    let text = GOOD
        .replace("kconfigs: [base, mm]", "kconfig: [base, mm]")
        .replace("cpus: 2", "cpus: 100")
        .replace("arena: 4MiB", "arena: 4MB, arenna: 1")
        .replace("kernel: [fixed, defect]", "kernel: [fixt, defect]")
        .replace("verdict: pass", "verdict: passes");
    insta::assert_snapshot!(bad(text), @r"
    /m/a.yaml:3:51: error: unknown key `kconfig`; did you mean `kconfigs`?
      3 |   fixed: { source: { debian: linux-source-6.12 }, kconfig: [base, mm], series: [racepoints] }
        |                                                   ^^^^^^^
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 100
      6 |   small: { backend: qemu, accel: auto, cpus: 100, memory: 300MiB, swap: 3MiB }
        |                                              ^^^
    /m/a.yaml:8:80: error: parameter `arena` has an unknown unit `MB` (known: B, KiB, MiB, GiB, TiB); did you mean `4MiB`?
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 4MB, arenna: 1 } }
        |                                                                                ^^^
      help: `arena`: memory whose pages are written, paged out and verified
    /m/a.yaml:8:85: error: workload `zswap_pressure` has no parameter `arenna`; did you mean `arena`?
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 4MB, arenna: 1 } }
        |                                                                                     ^^^^^^
    /m/a.yaml:10:12: error: there is no kernel `fixt`; did you mean `fixed`?
      10 |   kernel: [fixt, defect]
         |            ^^^^
    /m/a.yaml:15:31: error: `verdict` must be one of `pass`, `fail`, `inconclusive`, `skip`, `infra`, `any`, not `passes`; did you mean `pass`?
      15 |   - { kernel: fixed, verdict: passes }
         |                               ^^^^^^
    ");
}

#[test]
fn the_graphical_form_shows_every_problem_at_its_line() {
    let text = edited("cpus: 2", "cpus: 100").replace("seed: 1", "sede: 1");
    let error = super::super::parse(&super::path(), text.as_bytes(), &World).unwrap_err();
    let mut shown = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme)
        .with_width(110)
        .render_report(&mut shown, &error)
        .unwrap();
    insta::assert_snapshot!(shown, @r"
      × /m/a.yaml can't be used: 2 errors

    Error: 
      × `cpus` must be a whole number from 1 to 64, not 100
       ╭─[/m/a.yaml:6:46]
     5 │ machines:
     6 │   small: { backend: qemu, accel: auto, cpus: 100, memory: 300MiB, swap: 3MiB }
       ·                                              ─┬─
       ·                                               ╰── here
     7 │ cases:
       ╰────

    Error: 
      × unknown key `sede`; did you mean `seed`?
       ╭─[/m/a.yaml:8:41]
     7 │ cases:
     8 │   pressure: { workload: zswap_pressure, sede: 1, budget: 30s, params: { arena: 4MiB } }
       ·                                         ──┬─
       ·                                           ╰── here
     9 │ matrix:
       ╰────
    ");
}
