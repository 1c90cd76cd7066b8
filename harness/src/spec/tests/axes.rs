//! The map `matrix`: its axes, `exclude` and `include`. What is wrong with each kind of value, word for word.

use super::{bad, each_bad, edited};

#[test]
fn axes() {
    insta::assert_snapshot!(each_bad(&[
        ("kernel: [fixed, defect]", "kernel: [fixed, defct]"),
        ("kernel: [fixed, defect]", "kernel: [fixed, defect, fixed]"),
        ("kernel: [fixed, defect]", "kernel: fixed"),
        ("kernel: [fixed, defect]", "kernel: []"),
        ("  case: [pressure]\n", ""),
        ("case: [pressure]", "case: [other]\n  repeat: 0"),
        ("machine: [small]", "machines: [small]"),
        ("machine: [small]", "machine: [{}]"),
    ]), @r"
    /m/a.yaml:10:19: error: there is no kernel `defct`; did you mean `defect`?
      10 |   kernel: [fixed, defct]
         |                   ^^^^^
    --
    /m/a.yaml:10:27: error: the kernel `fixed` is listed twice
      10 |   kernel: [fixed, defect, fixed]
         |                           ^^^^^
    --
    /m/a.yaml:10:11: error: `kernel` must be a list, not `fixed`
      10 |   kernel: fixed
         |           ^^^^^
      help: write `kernel: [fixed]`
    --
    /m/a.yaml:10:11: error: `kernel` is empty: the matrix would select no cell
      10 |   kernel: []
         |           ^^
    --
    /m/a.yaml:9:1: error: `matrix` lacks the key `case`
      9 | matrix:
        | ^^^^^^
    --
    /m/a.yaml:11:10: error: there is no case `other`
      11 |   case: [other]
         |          ^^^^^
      help: defined here: `pressure`
    /m/a.yaml:12:11: error: `repeat` must be a whole number from 1 to 1000, not 0
      12 |   repeat: 0
         |           ^
    --
    /m/a.yaml:12:3: error: unknown key `machines`; did you mean `machine`?
      12 |   machines: [small]
         |   ^^^^^^^^
    --
    /m/a.yaml:12:13: error: `machine` must be a name, not an empty map
      12 |   machine: [{}]
         |             ^^
    ");
    insta::assert_snapshot!(bad("version: 1\nkernels: {}\nmachines: {}\ncases: {}\nmatrix: {}\n"), @r"
    /m/a.yaml:5:1: error: `matrix` lacks the key `kernel`
      5 | matrix: {}
        | ^^^^^^
    /m/a.yaml:5:1: error: `matrix` lacks the key `machine`
      5 | matrix: {}
        | ^^^^^^
    /m/a.yaml:5:1: error: `matrix` lacks the key `case`
      5 | matrix: {}
        | ^^^^^^
    ");
    insta::assert_snapshot!(bad("version: 1\nkernels: {}\nmachines: {}\ncases: {}\nmatrix: { include: [] }\n"), @r"
    /m/a.yaml:5:1: error: the matrix selects no cell
      5 | matrix: { include: [] }
        | ^^^^^^
    ");
}

#[test]
fn exclude_and_include() {
    let after = "  machine: [small]\n";
    let with = |lines: &str| format!("{after}  {lines}\n");
    let edits = [
        "exclude: [{}]",
        "exclude: [{ kernel: [] }]",
        "exclude: [{ kernel: nobody, colour: red }]",
        "exclude: [{ racepoint: on }]",
        "exclude: { kernel: fixed }",
        "include: [{}]",
        "include: [{ kernel: nobody, repeat: 0 }]",
        "include: [{ kernel: fixed, racepoint: { zswap_writeback: { delay: 1us } } }]",
        "include: [fixed]",
    ]
    .map(with);
    let edits: Vec<_> = edits.iter().map(|to| (after, to.as_str())).collect();
    insta::assert_snapshot!(each_bad(&edits), @r"
    /m/a.yaml:13:13: error: an empty entry would exclude every cell
      13 |   exclude: [{}]
         |             ^^
    --
    /m/a.yaml:13:23: error: `kernel` is empty: the entry would match no cell
      13 |   exclude: [{ kernel: [] }]
         |                       ^^
    --
    /m/a.yaml:13:23: error: there is no kernel `nobody`
      13 |   exclude: [{ kernel: nobody, colour: red }]
         |                       ^^^^^^
      help: defined here: `fixed`, `defect`
    /m/a.yaml:13:31: error: unknown key `colour`
      13 |   exclude: [{ kernel: nobody, colour: red }]
         |                               ^^^^^^
      help: known here: `kernel`, `source`, `series`, `kconfigs`, `machine`, `backend`, `accel`, `cpus`, `memory`, `swap`, `boot_args`, `case`, `budget`, `racepoint`, `seed`, `params`
    --
    /m/a.yaml:13:26: error: there is no racepoint setting `on`
      13 |   exclude: [{ racepoint: on }]
         |                          ^^
      help: defined here: `off`, `zswap_writeback`
    --
    /m/a.yaml:13:12: error: `exclude` must be a list, not a map
      13 |   exclude: { kernel: fixed }
         |            ^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:13:13: error: an empty entry includes nothing
      13 |   include: [{}]
         |             ^^
    --
    /m/a.yaml:13:23: error: there is no kernel `nobody`
      13 |   include: [{ kernel: nobody, repeat: 0 }]
         |                       ^^^^^^
      help: defined here: `fixed`, `defect`
    /m/a.yaml:13:39: error: `repeat` must be a whole number from 1 to 1000, not 0
      13 |   include: [{ kernel: nobody, repeat: 0 }]
         |                                       ^
    --
    /m/a.yaml:13:41: error: two different settings are called `zswap_writeback`
      13 |   include: [{ kernel: fixed, racepoint: { zswap_writeback: { delay: 1us } } }]
         |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:14:20: note: the first one
      14 |   racepoint: [off, { zswap_writeback: { delay: 100us..300us } }]
         |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: give one of them a name of its own: `name: …`
    --
    /m/a.yaml:13:13: error: an entry of `include` must be a map, not `fixed`
      13 |   include: [fixed]
         |             ^^^^^
    ");
}

#[test]
fn values_of_every_axis_are_checked() {
    let after = "  machine: [small]\n";
    let with = |lines: &str| format!("{after}  {lines}\n");
    let edits = [
        "source: [{ image: bzImage }]",
        "source: [{ git: linux, rev: v6.12 }, { git: linux, rev: v6.12 }, { git: linux, rev: V6-12 }]",
        "series: [{ name: both }, { name: none, series: [racepoints] }, nobody]",
        "cpus: [2, 2, two]",
        "memory: [1GiB, 1024MiB]",
        "boot_args: [init=/bin/sh]",
        "params: { arenas: [1MiB] }",
        "params: { arena: 1MiB }",
        "seed: [1..3, 2, 5..4, a..b]",
        "budget: [30]",
        "workload: [zswap_pressure]",
        "cpus: [1]\n  exclude: [{ cpus: 2 }, { memory: 1GiB }]",
    ]
    .map(with);
    let edits: Vec<_> = edits.iter().map(|to| (after, to.as_str())).collect();
    insta::assert_snapshot!(each_bad(&edits), @r"
    /m/a.yaml:13:12: error: a ready image can't stand on the axis `source`
      13 |   source: [{ image: bzImage }]
         |            ^^^^^^^^^^^^^^^^^^
      help: make it a kernel of its own: `kernels: { NAME: { source: { image: … } } }`
    --
    /m/a.yaml:13:40: error: the source `v6-12` is listed twice
      13 |   source: [{ git: linux, rev: v6.12 }, { git: linux, rev: v6.12 }, { git: linux, rev: V6-12 }]
         |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:13:68: error: two values of `source` are called `v6-12`
      13 |   source: [{ git: linux, rev: v6.12 }, { git: linux, rev: v6.12 }, { git: linux, rev: V6-12 }]
         |                                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:13:12: note: the first one
      13 |   source: [{ git: linux, rev: v6.12 }, { git: linux, rev: v6.12 }, { git: linux, rev: V6-12 }]
         |            ^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: give one of them a name of its own: `name: …`
    --
    /m/a.yaml:13:12: error: a value of an axis lacks the key `series`
      13 |   series: [{ name: both }, { name: none, series: [racepoints] }, nobody]
         |            ^^^^^^^^^^^^^^
      help: for example `{ name: both, series: [one, two] }`
    /m/a.yaml:13:28: error: a value that adds something can't be called `none`
      13 |   series: [{ name: both }, { name: none, series: [racepoints] }, nobody]
         |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:13:66: error: there is no series `nobody`
      13 |   series: [{ name: both }, { name: none, series: [racepoints] }, nobody]
         |                                                                  ^^^^^^
      help: there are `racepoints`, `zswap-writeback-race`
    --
    /m/a.yaml:13:13: error: the number of CPUs `2` is listed twice
      13 |   cpus: [2, 2, two]
         |             ^
    /m/a.yaml:13:16: error: `cpus` must be a whole number from 1 to 64, not `two`
      13 |   cpus: [2, 2, two]
         |                ^^^
    --
    /m/a.yaml:13:18: error: the size of memory `1GiB` is listed twice
      13 |   memory: [1GiB, 1024MiB]
         |                  ^^^^^^^
    --
    /m/a.yaml:13:15: error: the boot argument `init=/bin/sh` is set by the harness itself
      13 |   boot_args: [init=/bin/sh]
         |               ^^^^^^^^^^^^
    --
    /m/a.yaml:13:13: error: no workload has a parameter `arenas`; did you mean `arena`?
      13 |   params: { arenas: [1MiB] }
         |             ^^^^^^
    --
    /m/a.yaml:13:20: error: `arena` must be a list, not `1MiB`
      13 |   params: { arena: 1MiB }
         |                    ^^^^
      help: write `arena: [1MiB]`
    --
    /m/a.yaml:13:16: error: the seed `2` is listed twice
      13 |   seed: [1..3, 2, 5..4, a..b]
         |                ^
    /m/a.yaml:13:19: error: a range must not end before it starts; did you mean `4..5`?
      13 |   seed: [1..3, 2, 5..4, a..b]
         |                   ^^^^
    /m/a.yaml:13:25: error: a range of seeds is written as 1..20, not `a..b`
      13 |   seed: [1..3, 2, 5..4, a..b]
         |                         ^^^^
    --
    /m/a.yaml:13:12: error: `budget` needs a unit (us, ms, s, min, h), as in 90s
      13 |   budget: [30]
         |            ^^
    --
    /m/a.yaml:13:3: error: `workload` stands in place of `case`, not beside it
      13 |   workload: [zswap_pressure]
         |   ^^^^^^^^
      help: put the workload into `cases` and name that
    --
    /m/a.yaml:14:21: error: no cell has the number of CPUs `2`
      14 |   exclude: [{ cpus: 2 }, { memory: 1GiB }]
         |                     ^
      help: the matrix gives `1`
    /m/a.yaml:14:36: error: this matrix does not vary `memory`
      14 |   exclude: [{ cpus: 2 }, { memory: 1GiB }]
         |                                    ^^^^
      help: cells are told apart by what is an axis, or what `include` gives; name the block that has this `memory`
    ");
}

#[test]
fn named_blocks_are_checked_and_found() {
    let text = edited(
        "kernels:\n",
        "sources:\n  old: { debian: linux-source-6.1 }\n  new: { debian: vim }\nracepoints:\n  slow: { zs_migrate: { delay: 1ms } }\n  \
         off: { zs_migrate: { delay: 1ms } }\n  twice: { name: x, zs_migrate: { delay: 1ms } }\nkernels:\n",
    )
    .replace("source: { debian: linux-source-6.12 }", "source: odl")
    .replace("[off, {", "[off, slwo, {");
    insta::assert_snapshot!(bad(text), @r"
    /m/a.yaml:4:18: error: `vim` is not a package of kernel sources
      4 |   new: { debian: vim }
        |                  ^^^
      help: such packages are called linux-source-VERSION: `apt-cache search ^linux-source`
    /m/a.yaml:7:3: error: a setting that arms something can't be called `off`
      7 |   off: { zs_migrate: { delay: 1ms } }
        |   ^^^
    /m/a.yaml:8:12: error: this setting has a name already: its key
      8 |   twice: { name: x, zs_migrate: { delay: 1ms } }
        |            ^^^^
    /m/a.yaml:10:20: error: there is no source `odl`; did you mean `old`?
      10 |   fixed: { source: odl, kconfigs: [base, mm], series: [racepoints] }
         |                    ^^^
    /m/a.yaml:20:20: error: there is no racepoint setting `slwo`; did you mean `slow`?
      20 |   racepoint: [off, slwo, { zswap_writeback: { delay: 100us..300us } }]
         |                    ^^^^
    ");
}

#[test]
fn like_is_followed_for_machines_and_cases() {
    let text = edited(
        "cases:\n",
        "  a: { like: b }\n  b: { like: a }\n  c: { like: smal }\n  d: { like: small, cpus: 65 }\ncases:\n  e: { like: pressure, params: { threads: 0 } }\n  f: { like: nobody }\n",
    );
    insta::assert_snapshot!(bad(text), @r"
    /m/a.yaml:7:14: error: `like` goes in a circle: b → a → b
      7 |   a: { like: b }
        |              ^
    /m/a.yaml:8:14: error: `like` goes in a circle: a → b → a
      8 |   b: { like: a }
        |              ^
    /m/a.yaml:9:14: error: there is no machine `smal`; did you mean `small`?
      9 |   c: { like: smal }
        |              ^^^^
    /m/a.yaml:10:27: error: `cpus` must be a whole number from 1 to 64, not 65
      10 |   d: { like: small, cpus: 65 }
         |                           ^^
    /m/a.yaml:12:43: error: parameter `threads` must be from 1 to 64, not 0
      12 |   e: { like: pressure, params: { threads: 0 } }
         |                                           ^
      help: `threads`: worker threads, each with its share of the pages; the first of each CPU stores all the time, at idle priority, the others interrupt it
    /m/a.yaml:13:14: error: there is no case `nobody`
      13 |   f: { like: nobody }
         |              ^^^^^^
    ");
}
