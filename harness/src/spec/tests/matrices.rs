//! The parts of a matrix file: what is wrong with each kind of value, and what good ones become.

use std::time::Duration;

use guest_tests::catalogue::Workload;

use super::super::{Backend, ExpectedVerdict, FindingPattern, FindingView, Reference, SourceSpec};
use super::{GOOD, bad, each_bad, edited, good};

#[test]
fn a_good_file_becomes_what_it_says() {
    let spec = good(GOOD);
    let fixed = &spec.kernels["fixed"];
    assert_eq!(
        fixed.source,
        SourceSpec::Debian {
            package: "linux-source-6.12".to_owned()
        }
    );
    assert_eq!(
        fixed.kconfigs,
        ["base", "mm"].map(|n| Reference::Named(n.to_owned()))
    );
    assert_eq!(spec.machines["small"].backend, Backend::Qemu);
    assert_eq!(spec.machines["small"].memory, 300 << 20);
    let Workload::ZswapPressure(params) = &spec.cases["pressure"].workload else {
        panic!("{:?}", spec.cases["pressure"].workload);
    };
    assert_eq!(params.arena, 4 << 20);
    let racepoint = spec.matrix.racepoint.as_ref().unwrap();
    assert_eq!(racepoint[1].name, "zswap_writeback");
    assert_eq!(
        (
            racepoint[1].arms[0].delay_us_min,
            racepoint[1].arms[0].delay_us_max
        ),
        (100, 300)
    );
    assert_eq!(spec.expect[1].verdict, ExpectedVerdict::Fail);
}

#[test]
fn kernels() {
    insta::assert_snapshot!(each_bad(&[
        ("source: { debian: linux-source-6.12 }", "soruce: { debian: linux-source-6.12 }"),
        ("source: { debian: linux-source-6.12 }", "source: linux-source-6.12"),
        ("source: { debian: linux-source-6.12 }", "source: {}"),
        ("source: { debian: linux-source-6.12 }", "source: { debian: vim }"),
        ("source: { debian: linux-source-6.12 }", "source: { debian: linux-source-6.12, dir: linux }"),
        ("source: { debian: linux-source-6.12 }", "source: { debian: linux-source-6.12, rev: a }"),
        ("kconfigs: [base, mm]", "kconfigs: [bsae, mm, mm, kvm, my.config, 12, []]"),
        ("kconfigs: [base, mm]", "kconfigs: base"),
        ("kconfigs: [base, mm]", "kconfigs: []"),
        ("kconfigs: [base, mm], ", ""),
        ("[racepoints, zswap-writeback-race]", "[racepoints, zswap_writeback_race, ./no.mbox]"),
        ("  defect: { like: fixed", "  Defect!: { trusted: yes, like: fixed"),
        ("  defect: { like: fixed", "  defect: { like: fixd"),
        ("  defect: { like: fixed", "  defect: { like: defect"),
        ("  defect: { like: fixed, series: [racepoints, zswap-writeback-race] }", "  defect: []"),
    ]), @r"
    /m/a.yaml:3:12: error: unknown key `soruce`; did you mean `source`?
      3 |   fixed: { soruce: { debian: linux-source-6.12 }, kconfigs: [base, mm], series: [racepoints] }
        |            ^^^^^^
    --
    /m/a.yaml:3:20: error: `source` must be a map, not `linux-source-6.12`
      3 |   fixed: { source: linux-source-6.12, kconfigs: [base, mm], series: [racepoints] }
        |                    ^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:3:20: error: `source` needs one of `debian`, `dir`, `tarball`, `git`, `image`
      3 |   fixed: { source: {}, kconfigs: [base, mm], series: [racepoints] }
        |                    ^^
    --
    /m/a.yaml:3:30: error: `vim` is not a package of kernel sources
      3 |   fixed: { source: { debian: vim }, kconfigs: [base, mm], series: [racepoints] }
        |                              ^^^
      help: such packages are called linux-source-VERSION: `apt-cache search ^linux-source`
    --
    /m/a.yaml:3:49: error: a source is one of `debian`, `dir`, `tarball`, `git`, `image`
      3 |   fixed: { source: { debian: linux-source-6.12, dir: linux }, kconfigs: [base, mm], series: [racepoints] }
        |                                                 ^^^
    --
    /m/a.yaml:3:49: error: `rev` belongs to a `git` source
      3 |   fixed: { source: { debian: linux-source-6.12, rev: a }, kconfigs: [base, mm], series: [racepoints] }
        |                                                 ^^^
    --
    /m/a.yaml:3:62: error: there is no kconfig fragment `bsae`; did you mean `base`?
      3 | fixed: { source: { debian: linux-source-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^^^
    /m/a.yaml:3:72: error: the kconfig fragment `mm` is listed twice
      3 | ource: { debian: linux-source-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^
    /m/a.yaml:3:76: error: there is no kconfig fragment `kvm`
      3 | e: { debian: linux-source-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^^
      help: there are `base`, `mm`, `racepoints`, `debug-kasan`
    /m/a.yaml:3:81: error: there is no kconfig fragment `my.config`
      3 | debian: linux-source-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^^^^^^^^
      help: a file beside this one is written with a path: `./my.config`
    /m/a.yaml:3:92: error: there is no kconfig fragment `12`
      3 | ux-source-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^
      help: there are `base`, `mm`, `racepoints`, `debug-kasan`
    /m/a.yaml:3:96: error: `kconfigs` must be a list of names, not an empty list
      3 | ource-6.12 }, kconfigs: [bsae, mm, mm, kvm, my.config, 12, []], series: [racepoints] }
        |                                                            ^^
    --
    /m/a.yaml:3:61: error: `kconfigs` must be a list, not `base`
      3 |   fixed: { source: { debian: linux-source-6.12 }, kconfigs: base, series: [racepoints] }
        |                                                             ^^^^
      help: write `kconfigs: [base]`
    --
    /m/a.yaml:3:61: error: `kconfigs` must name at least one kconfig fragment
      3 |   fixed: { source: { debian: linux-source-6.12 }, kconfigs: [], series: [racepoints] }
        |                                                             ^^
    --
    /m/a.yaml:3:3: error: kernel `fixed` lacks the key `kconfigs`
      3 |   fixed: { source: { debian: linux-source-6.12 }, series: [racepoints] }
        |   ^^^^^
      help: for example `kconfigs: [base, mm]`: a configuration grows from nothing
    --
    /m/a.yaml:4:47: error: there is no series `zswap_writeback_race`; did you mean `zswap-writeback-race`?
      4 |   defect: { like: fixed, series: [racepoints, zswap_writeback_race, ./no.mbox] }
        |                                               ^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:4:69: error: there is no series at /m/no.mbox
      4 |   defect: { like: fixed, series: [racepoints, zswap_writeback_race, ./no.mbox] }
        |                                                                     ^^^^^^^^^
    --
    /m/a.yaml:4:3: error: a kernel can't be called `Defect!`: a name is made of a-z, 0-9, `_` and `-`, and starts with a letter or digit
      4 |   Defect!: { trusted: yes, like: fixed, series: [racepoints, zswap-writeback-race] }
        |   ^^^^^^^
    /m/a.yaml:4:23: error: `trusted` must be true or false, not `yes`
      4 |   Defect!: { trusted: yes, like: fixed, series: [racepoints, zswap-writeback-race] }
        |                       ^^^
    /m/a.yaml:10:19: error: there is no kernel `defect`; did you mean `Defect!`?
      10 |   kernel: [fixed, defect]
         |                   ^^^^^^
    /m/a.yaml:16:15: error: there is no kernel `defect`; did you mean `Defect!`?
      16 |   - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
         |               ^^^^^^
    --
    /m/a.yaml:4:19: error: there is no kernel `fixd`; did you mean `fixed`?
      4 |   defect: { like: fixd, series: [racepoints, zswap-writeback-race] }
        |                   ^^^^
    --
    /m/a.yaml:4:19: error: `like` goes in a circle: defect → defect
      4 |   defect: { like: defect, series: [racepoints, zswap-writeback-race] }
        |                   ^^^^^^
    --
    /m/a.yaml:4:11: error: kernel `defect` must be a map, not an empty list
      4 |   defect: []
        |           ^^
    ");
}

#[test]
fn sources() {
    for (written, source) in [
        (
            "{ dir: linux }",
            SourceSpec::Dir {
                path: "/m/linux".into(),
            },
        ),
        (
            "{ dir: ./linux/ }",
            SourceSpec::Dir {
                path: "/m/linux".into(),
            },
        ),
        (
            "{ dir: /src/linux }",
            SourceSpec::Dir {
                path: "/src/linux".into(),
            },
        ),
        (
            "{ tarball: linux.tar.xz }",
            SourceSpec::Tarball {
                path: "/m/linux.tar.xz".into(),
            },
        ),
        (
            "{ git: linux, rev: 1234567 }",
            SourceSpec::Git {
                repo: "/m/linux".into(),
                rev: "1234567".into(),
            },
        ),
        (
            "{ git: linux, rev: 12e4567 }",
            SourceSpec::Git {
                repo: "/m/linux".into(),
                rev: "12e4567".into(),
            },
        ),
        (
            "{ git: 'https://git.example/linux.git', rev: v6.12 }",
            SourceSpec::Git {
                repo: "https://git.example/linux.git".into(),
                rev: "v6.12".into(),
            },
        ),
        (
            "{ git: 'me@host:linux', rev: v6.12 }",
            SourceSpec::Git {
                repo: "me@host:linux".into(),
                rev: "v6.12".into(),
            },
        ),
    ] {
        assert_eq!(
            good(&edited("{ debian: linux-source-6.12 }", written)).kernels["fixed"].source,
            source
        );
    }
    let source = "{ debian: linux-source-6.12 }";
    insta::assert_snapshot!(each_bad(&[
        (source, "{ dir: nowhere }"),
        (source, "{ dir: bzImage }"),
        (source, "{ dir: ~/linux }"),
        (source, "{ git: linux }"),
        (source, "{ git: linux, rev: --upload-pack=x }"),
        (source, "{ git: 'ext::sh -c x', rev: a }"),
        (source, "{ git: 'foo://x', rev: a }"),
        (source, "{ image: bzImage }"),
    ]), @r"
    /m/a.yaml:3:27: error: there is no directory /m/nowhere
      3 |   fixed: { source: { dir: nowhere }, kconfigs: [base, mm], series: [racepoints] }
        |                           ^^^^^^^
    --
    /m/a.yaml:3:27: error: /m/bzImage is not a directory
      3 |   fixed: { source: { dir: bzImage }, kconfigs: [base, mm], series: [racepoints] }
        |                           ^^^^^^^
    --
    /m/a.yaml:3:27: error: `~` is not expanded in `dir`
      3 |   fixed: { source: { dir: ~/linux }, kconfigs: [base, mm], series: [racepoints] }
        |                           ^^^^^^^
      help: give an absolute path, or one relative to this file
    --
    /m/a.yaml:3:20: error: a `git` source lacks the key `rev`
      3 |   fixed: { source: { git: linux }, kconfigs: [base, mm], series: [racepoints] }
        |                    ^^^^^^^^^^^^^^
      help: add `rev: TAG, BRANCH or COMMIT`
    --
    /m/a.yaml:3:39: error: `rev` must be a tag, branch or commit, not `--upload-pack=x`
      3 |   fixed: { source: { git: linux, rev: --upload-pack=x }, kconfigs: [base, mm], series: [racepoints] }
        |                                       ^^^^^^^^^^^^^^^
    --
    /m/a.yaml:3:27: error: git can't be asked for `ext::sh -c x`
      3 |   fixed: { source: { git: 'ext::sh -c x', rev: a }, kconfigs: [base, mm], series: [racepoints] }
        |                           ^^^^^^^^^^^^^^
      help: a path, `user@host:path`, or a URL that starts with https://, http://, ssh://, git://, file://
    --
    /m/a.yaml:3:27: error: git can't be asked for `foo://x`
      3 |   fixed: { source: { git: 'foo://x', rev: a }, kconfigs: [base, mm], series: [racepoints] }
        |                           ^^^^^^^^^
      help: a path, `user@host:path`, or a URL that starts with https://, http://, ssh://, git://, file://
    --
    /m/a.yaml:3:40: error: a kernel from an image is ready: it takes no `kconfigs`
      3 |   fixed: { source: { image: bzImage }, kconfigs: [base, mm], series: [racepoints] }
        |                                        ^^^^^^^^
    /m/a.yaml:3:62: error: a kernel from an image is ready: it takes no `series`
      3 |   fixed: { source: { image: bzImage }, kconfigs: [base, mm], series: [racepoints] }
        |                                                              ^^^^^^
    /m/a.yaml:4:26: error: a kernel from an image is ready: it takes no `series`
      4 |   defect: { like: fixed, series: [racepoints, zswap-writeback-race] }
        |                          ^^^^^^
    ");
}

#[test]
fn an_image_takes_nothing_and_paths_may_stand_for_names() {
    let spec = good(&edited(
        "  defect: { like: fixed, series: [racepoints, zswap-writeback-race] }",
        "  ready: { source: { image: bzImage } }\n  defect: { like: fixed, kconfigs: [base, ./my.config], series: [./fix.mbox, ./mine] }",
    ));
    assert!(spec.kernels["ready"].kconfigs.is_empty());
    assert_eq!(
        spec.kernels["defect"].kconfigs[1],
        Reference::Path("/m/my.config".into())
    );
    assert_eq!(
        spec.kernels["defect"].series[1],
        Reference::Path("/m/mine".into())
    );
}

#[test]
fn a_source_instead_of_an_image_needs_fragments() {
    let kernels = "  ready: { source: { image: bzImage } }\n  middle: { like: ready, source: { dir: linux } }\n  last: { like: middle }\n";
    insta::assert_snapshot!(bad(edited("  defect: {", &format!("{kernels}  defect: {{"))), @r"
    /m/a.yaml:5:3: error: kernel `middle` lacks the key `kconfigs`
      5 |   middle: { like: ready, source: { dir: linux } }
        |   ^^^^^^
      help: for example `kconfigs: [base, mm]`: a configuration grows from nothing
    /m/a.yaml:6:3: error: kernel `last` lacks the key `kconfigs`
      6 |   last: { like: middle }
        |   ^^^^
      help: for example `kconfigs: [base, mm]`: a configuration grows from nothing
    ");
}

#[test]
fn like_takes_over_only_what_is_not_given_and_never_circles() {
    let spec = good(&edited(
        "  defect: {",
        "  again: { like: defect, trusted: true }\n  defect: {",
    ));
    assert_eq!(spec.kernels["again"].series, spec.kernels["defect"].series);
    assert_eq!(spec.kernels["again"].source, spec.kernels["fixed"].source);
    assert!(spec.kernels["again"].trusted && !spec.kernels["defect"].trusted);
    insta::assert_snapshot!(bad(edited("  defect: { like: fixed", "  a: { like: b }\n  b: { like: a }\n  c: { like: a }\n  defect: { like: fixed")), @r"
    /m/a.yaml:4:14: error: `like` goes in a circle: b → a → b
      4 |   a: { like: b }
        |              ^
    /m/a.yaml:5:14: error: `like` goes in a circle: a → b → a
      5 |   b: { like: a }
        |              ^
    ");
}

#[test]
fn machines() {
    insta::assert_snapshot!(each_bad(&[
        ("backend: qemu", "backend: qmeu"),
        ("backend: qemu", "backend: [qemu]"),
        ("accel: auto", "accel: KVM"),
        ("cpus: 2", "cpus: 0"),
        ("cpus: 2", "cpus: 65"),
        ("cpus: 2", "cpus: two"),
        ("cpus: 2", "cpus: 2.5"),
        ("cpus: 2", "cpus: -1"),
        ("cpus: 2", "cpus: 99999999999999999999999999999999999999999"),
        ("memory: 300MiB", "memory: 300"),
        ("memory: 300MiB", "memory: 300MB"),
        ("memory: 300MiB", "memory: 50%"),
        ("memory: 300MiB", "memory: 32MiB"),
        ("memory: 300MiB", "memory: 100000KiB"),
        ("memory: 300MiB", "memory: 99999999999999GiB"),
        ("memory: 300MiB", "memory:"),
        ("swap: 3MiB", "swap: off"),
        ("swap: 3MiB", "swap: 100001B"),
        ("swap: 3MiB", "swap: 4KiB"),
        ("swap: 3MiB", "boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7]"),
        ("  small: {", "  Small Machine: {"),
    ]), @r"
    /m/a.yaml:6:21: error: `backend` must be one of `qemu`, `virtme-ng`, `auto`, not `qmeu`; did you mean `qemu`?
      6 |   small: { backend: qmeu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |                     ^^^^
    --
    /m/a.yaml:6:21: error: `backend` must be one of `qemu`, `virtme-ng`, `auto`, not a list
      6 |   small: { backend: [qemu], accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |                     ^^^^^^
    --
    /m/a.yaml:6:34: error: `accel` must be one of `auto`, `kvm`, `tcg`, not `KVM`; did you mean `kvm`?
      6 |   small: { backend: qemu, accel: KVM, cpus: 2, memory: 300MiB, swap: 3MiB }
        |                                  ^^^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 0
      6 |   small: { backend: qemu, accel: auto, cpus: 0, memory: 300MiB, swap: 3MiB }
        |                                              ^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 65
      6 |   small: { backend: qemu, accel: auto, cpus: 65, memory: 300MiB, swap: 3MiB }
        |                                              ^^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not `two`
      6 |   small: { backend: qemu, accel: auto, cpus: two, memory: 300MiB, swap: 3MiB }
        |                                              ^^^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 2.5
      6 |   small: { backend: qemu, accel: auto, cpus: 2.5, memory: 300MiB, swap: 3MiB }
        |                                              ^^^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not -1
      6 |   small: { backend: qemu, accel: auto, cpus: -1, memory: 300MiB, swap: 3MiB }
        |                                              ^^
    --
    /m/a.yaml:6:46: error: `cpus` must be a whole number from 1 to 64, not 99999999999999999999999999999999999999999
      6 |   small: { backend: qemu, accel: auto, cpus: 99999999999999999999999999999999999999999, memory: 300MiB, swap: 3MiB }
        |                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:6:57: error: `memory` needs a unit (B, KiB, MiB, GiB, TiB), as in 300MiB
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 300, swap: 3MiB }
        |                                                         ^^^
    --
    /m/a.yaml:6:57: error: `memory` has an unknown unit `MB` (known: B, KiB, MiB, GiB, TiB); did you mean `300MiB`?
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 300MB, swap: 3MiB }
        |                                                         ^^^^^
    --
    /m/a.yaml:6:57: error: `memory` has an unknown unit `%` (known: B, KiB, MiB, GiB, TiB)
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 50%, swap: 3MiB }
        |                                                         ^^^
    --
    /m/a.yaml:6:57: error: `memory` must be from 64MiB to 1TiB, not 32MiB
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 32MiB, swap: 3MiB }
        |                                                         ^^^^^
    --
    /m/a.yaml:6:57: error: `memory` must be whole MiB
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 100000KiB, swap: 3MiB }
        |                                                         ^^^^^^^^^
    --
    /m/a.yaml:6:57: error: `memory` is out of range: `99999999999999GiB`
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 99999999999999GiB, swap: 3MiB }
        |                                                         ^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:6:55: error: not valid YAML: found unexpected ':'
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory:, swap: 3MiB }
        |                                                       ^
    --
    /m/a.yaml:6:71: error: `swap` must be a size such as 64MiB, or `none`
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: off }
        |                                                                       ^^^
    --
    /m/a.yaml:6:71: error: `swap` must be whole pages of 4KiB
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 100001B }
        |                                                                       ^^^^^^^
    --
    /m/a.yaml:6:71: error: `swap` must be from 64KiB to 1TiB, not 4KiB
      6 |   small: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 4KiB }
        |                                                                       ^^^^
    --
    /m/a.yaml:6:77: error: the boot argument `a b` holds a space; letters, digits and `_-.,=:/@+%` are allowed, one argument an entry
      6 | d: qemu, accel: auto, cpus: 2, memory: 300MiB, boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^^^^^
    /m/a.yaml:6:84: error: the boot argument `x;y` holds `;`; letters, digits and `_-.,=:/@+%` are allowed, one argument an entry
      6 | , accel: auto, cpus: 2, memory: 300MiB, boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^^^^^
    /m/a.yaml:6:91: error: the boot argument `$(x)` holds `$`; letters, digits and `_-.,=:/@+%` are allowed, one argument an entry
      6 | : auto, cpus: 2, memory: 300MiB, boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^^^^^^
    /m/a.yaml:6:99: error: the boot argument `--` starts with `-`: what follows `--` is not for the kernel
      6 | cpus: 2, memory: 300MiB, boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^^^^
    /m/a.yaml:6:105: error: the boot argument `init=/bin/sh` is set by the harness itself
      6 | 2, memory: 300MiB, boot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^^^^^^^^^^^^
    /m/a.yaml:6:125: error: `boot_args` must be a list of words such as `slab_nomerge`, not 7
      6 | oot_args: ['a b', 'x;y', '$(x)', '--', init=/bin/sh, ok=1, 7] }
        |                                                            ^
    --
    /m/a.yaml:6:3: error: a machine can't be called `Small Machine`: a name is made of a-z, 0-9, `_` and `-`, and starts with a letter or digit
      6 |   Small Machine: { backend: qemu, accel: auto, cpus: 2, memory: 300MiB, swap: 3MiB }
        |   ^^^^^^^^^^^^^
    /m/a.yaml:12:13: error: there is no machine `small`
      12 |   machine: [small]
         |             ^^^^^
      help: defined here: `Small Machine`
    ");
    assert_eq!(
        good(&edited("swap: 3MiB", "swap: none, boot_args: [slab_nomerge]")).machines["small"].swap,
        None
    );
}

#[test]
fn defaults_are_taken_and_checked() {
    let text = edited(
        "machines:",
        "defaults: { backend: virtme-ng, memory: 512MiB, budget: 5s, seed: 18446744073709551615 }\nmachines:",
    )
    .replace("backend: qemu, ", "")
    .replace("memory: 300MiB, ", "")
    .replace("seed: 1, budget: 30s, ", "");
    let spec = good(&text);
    assert_eq!(
        (spec.machines["small"].backend, spec.machines["small"].memory),
        (Backend::VirtmeNg, 512 << 20)
    );
    assert_eq!(
        (spec.cases["pressure"].budget, spec.cases["pressure"].seed),
        (Duration::from_secs(5), u64::MAX)
    );
    insta::assert_snapshot!(bad(edited("machines:", "defaults: { memroy: 1MiB, cpus: many }\nmachines:")), @r"
    /m/a.yaml:5:13: error: unknown key `memroy`; did you mean `memory`?
      5 | defaults: { memroy: 1MiB, cpus: many }
        |             ^^^^^^
    /m/a.yaml:5:33: error: `cpus` must be a whole number from 1 to 64, not `many`
      5 | defaults: { memroy: 1MiB, cpus: many }
        |                                 ^^^^
    ");
}

#[test]
fn cases() {
    insta::assert_snapshot!(each_bad(&[
        ("workload: zswap_pressure", "workload: zswap-presure"),
        ("workload: zswap_pressure", "workload: memtest"),
        ("workload: zswap_pressure, ", ""),
        ("seed: 1", "seed: -1"),
        ("seed: 1", "seed: lucky"),
        ("budget: 30s", "budget: 30"),
        ("budget: 30s", "budget: 2d"),
        ("budget: 30s", "budget: 1ms"),
        ("arena: 4MiB", "arenas: 4MiB"),
        ("arena: 4MiB", "colour: red"),
        ("arena: 4MiB", "arena: 4"),
        ("arena: 4MiB", "arena: [4MiB]"),
        ("arena: 4MiB", "arena: 4GiB"),
        ("arena: 4MiB", "threads: 0, shrinker: 1, compressor: lz5, zswap_max: 0, pool_percent: 50%"),
        ("arena: 4MiB", "pool_percent: 101%, threads: 50%"),
        ("arena: 4MiB", "arena: 64KiB, threads: 64"),
        ("params: { arena: 4MiB }", "params: []"),
    ]), @r"
    /m/a.yaml:8:25: error: there is no workload `zswap-presure`; did you mean `zswap_pressure`?
      8 |   pressure: { workload: zswap-presure, seed: 1, budget: 30s, params: { arena: 4MiB } }
        |                         ^^^^^^^^^^^^^
    --
    /m/a.yaml:8:25: error: there is no workload `memtest`
      8 |   pressure: { workload: memtest, seed: 1, budget: 30s, params: { arena: 4MiB } }
        |                         ^^^^^^^
      help: workloads are `zswap_pressure`, `khugepaged_collapse`, `uffd_move`, `zram_writeback`, `canary`
    --
    /m/a.yaml:8:3: error: case `pressure` lacks the key `workload`
      8 |   pressure: { seed: 1, budget: 30s, params: { arena: 4MiB } }
        |   ^^^^^^^^
      help: workloads are `zswap_pressure`, `khugepaged_collapse`, `uffd_move`, `zram_writeback`, `canary`
    --
    /m/a.yaml:8:47: error: `seed` must be a whole number of 64 bits, not -1
      8 |   pressure: { workload: zswap_pressure, seed: -1, budget: 30s, params: { arena: 4MiB } }
        |                                               ^^
    --
    /m/a.yaml:8:47: error: `seed` must be a whole number of 64 bits, not `lucky`
      8 |   pressure: { workload: zswap_pressure, seed: lucky, budget: 30s, params: { arena: 4MiB } }
        |                                               ^^^^^
    --
    /m/a.yaml:8:58: error: `budget` needs a unit (us, ms, s, min, h), as in 90s
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30, params: { arena: 4MiB } }
        |                                                          ^^
    --
    /m/a.yaml:8:58: error: `budget` has an unknown unit `d` (known: us, ms, s, min, h)
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 2d, params: { arena: 4MiB } }
        |                                                          ^^
    --
    /m/a.yaml:8:58: error: `budget` must be from 1s to 24h, not 1ms
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 1ms, params: { arena: 4MiB } }
        |                                                          ^^^
    --
    /m/a.yaml:8:73: error: workload `zswap_pressure` has no parameter `arenas`; did you mean `arena`?
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arenas: 4MiB } }
        |                                                                         ^^^^^^
    --
    /m/a.yaml:8:73: error: workload `zswap_pressure` has no parameter `colour`
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { colour: red } }
        |                                                                         ^^^^^^
      help: its parameters are `arena`, `threads`, `cpus`, `readers`, `swap`, `swap_area`, `zswap_max`, `memory_max`, `free_slots`, `short_slots`, `shrinker`, `pool_percent`, `pool_flips`, `reclaim`, `engine`, `engine_mix`, `antagonists`, `toggles`, `alone_ms`, `beside_ms`, `content`, `compressor`, `zpool`
    --
    /m/a.yaml:8:80: error: parameter `arena` needs a unit (B, KiB, MiB, GiB, TiB), as in 300MiB
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 4 } }
        |                                                                                ^
      help: `arena`: memory whose pages are written, paged out and verified
    --
    /m/a.yaml:8:80: error: parameter `arena` must be a size such as 4MiB, not a list
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: [4MiB] } }
        |                                                                                ^^^^^^
      help: `arena`: memory whose pages are written, paged out and verified
    --
    /m/a.yaml:8:80: error: parameter `arena` must be from 64KiB to 1024MiB, not 4096MiB
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 4GiB } }
        |                                                                                ^^^^
      help: `arena`: memory whose pages are written, paged out and verified
    --
    /m/a.yaml:8:82: error: parameter `threads` must be from 1 to 64, not 0
      8 | : zswap_pressure, seed: 1, budget: 30s, params: { threads: 0, shrinker: 1, compressor: lz5, zswap_max: 0, pool_percent:
        |                                                            ^
      help: `threads`: worker threads, each with its share of the pages; the first of each CPU stores all the time, at idle priority, the others interrupt it
    /m/a.yaml:8:95: error: parameter `shrinker` must be true or false, not 1
      8 | ure, seed: 1, budget: 30s, params: { threads: 0, shrinker: 1, compressor: lz5, zswap_max: 0, pool_percent: 50% } }
        |                                                            ^
      help: `shrinker`: zswap's shrinker (/sys/module/zswap/parameters/shrinker_enabled)
    /m/a.yaml:8:110: error: parameter `compressor` must be one of lzo, lz4, zstd, deflate, not lz5; did you mean `lzo`?
      8 | udget: 30s, params: { threads: 0, shrinker: 1, compressor: lz5, zswap_max: 0, pool_percent: 50% } }
        |                                                            ^^^
      help: `compressor`: zswap's compressor
    --
    /m/a.yaml:8:87: error: parameter `pool_percent` must be a percentage from 0% to 100%, not `101%`
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { pool_percent: 101%, threads: 50% } }
        |                                                                                       ^^^^
      help: `pool_percent`: zswap's max_pool_percent
    /m/a.yaml:8:102: error: parameter `threads` must be a whole number, not `50%`
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { pool_percent: 101%, threads: 50% } }
        |                                                                                                      ^^^
      help: `threads`: worker threads, each with its share of the pages; the first of each CPU stores all the time, at idle priority, the others interrupt it
    --
    /m/a.yaml:8:63: error: impossible parameters: the arena must have at least one page for each thread
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: { arena: 64KiB, threads: 64 } }
        |                                                               ^^^^^^
    --
    /m/a.yaml:8:71: error: `params` must be a map, not an empty list
      8 |   pressure: { workload: zswap_pressure, seed: 1, budget: 30s, params: [] }
        |                                                                       ^^
    ");
}

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
fn a_racepoint_that_holds_is_left_to_the_workload() {
    let setting = "{ zswap_writeback: { delay: 100us..300us } }]";
    let spec = good(&GOOD.replace(setting, "{ zswap_writeback: { hold: 30ms } }]"));
    let arm = &spec.matrix.racepoint.as_ref().unwrap()[1].arms[0];
    assert_eq!((arm.delay_us_max, arm.hold_us_max), (0, 30_000));
    insta::assert_snapshot!(each_bad(&[
        (setting, "{ zswap_writeback: { hold: 1s } }]"),
        (setting, "{ zswap_writeback: { hold: 1ms, delay: 1us } }]"),
    ]), @r"
    /m/a.yaml:13:47: error: `hold` must be at most 50ms, not `1s`
      13 |   racepoint: [off, { zswap_writeback: { hold: 1s } }]
         |                                               ^^
    --
    /m/a.yaml:13:47: error: racepoint `zswap_writeback` can't both delay and hold
      13 |   racepoint: [off, { zswap_writeback: { hold: 1ms, delay: 1us } }]
         |                                               ^^^
      help: a workload's script decides how long a hold lasts: leave `delay` out
    ");
}

#[test]
fn racepoints_may_be_left_to_the_seed() {
    let setting = "{ zswap_writeback: { delay: 100us..300us } }]";
    let drawn = GOOD
        .replace(setting, "{ random: { delay: 10us..300us } }]")
        .replace("racepoint: zswap_writeback", "racepoint: random");
    let spec = good(&drawn);
    let arm = &spec.matrix.racepoint.as_ref().unwrap()[1].arms[0];
    assert_eq!(
        (arm.name.as_str(), arm.delay_us_min, arm.delay_us_max),
        ("random", 10, 300)
    );
    insta::assert_snapshot!(each_bad(&[(setting, "{ random: { hold: 1ms } }]")]), @r"
    /m/a.yaml:13:38: error: racepoints that are drawn can't hold
      13 |   racepoint: [off, { random: { hold: 1ms } }]
         |                                      ^^^
      help: for example `random: { delay: 10us..300us }`
    ");
}

#[test]
fn racepoints() {
    let setting = "{ zswap_writeback: { delay: 100us..300us } }]";
    insta::assert_snapshot!(each_bad(&[
        (setting, "zswap_writeback]"),
        (setting, "{ zswap_writebck: { delay: 100us } }]"),
        (setting, "{ zswap_writeback: { delay: 300us..100us } }]"),
        (setting, "{ zswap_writeback: { delay: 100..300us } }]"),
        (setting, "{ zswap_writeback: { delay: 1s } }]"),
        (setting, "{ zswap_writeback: { delay: 0us } }]"),
        (setting, "{ zswap_writeback: { dealy: 1us } }]"),
        (setting, "{ zswap_writeback: 100us }]"),
        (setting, "{ name: slow }]"),
        (setting, "{ name: off, zs_migrate: { delay: 1us } }]"),
        (setting, "{ zs_migrate: { delay: 1us } }, { zs_migrate: { delay: 2us } }]"),
        (setting, "off, on]"),
        (setting, "{}, false]"),
        ("[off, { zswap_writeback: { delay: 100us..300us } }]", "[]"),
    ]), @r"
    /m/a.yaml:13:20: error: the racepoint `zswap_writeback` needs its delay
      13 |   racepoint: [off, zswap_writeback]
         |                    ^^^^^^^^^^^^^^^
      help: write `{ zswap_writeback: { delay: 100us..300us } }`
    --
    /m/a.yaml:13:22: error: there is no racepoint `zswap_writebck`; did you mean `zswap_writeback`?
      13 |   racepoint: [off, { zswap_writebck: { delay: 100us } }]
         |                      ^^^^^^^^^^^^^^
    --
    /m/a.yaml:13:48: error: `delay` must not end before it starts; did you mean `100us..300us`?
      13 |   racepoint: [off, { zswap_writeback: { delay: 300us..100us } }]
         |                                                ^^^^^^^^^^^^
    --
    /m/a.yaml:13:48: error: `delay` needs a unit (us, ms, s, min, h), as in 100us..300us
      13 |   racepoint: [off, { zswap_writeback: { delay: 100..300us } }]
         |                                                ^^^^^^^^^^
    --
    /m/a.yaml:13:48: error: `delay` must be at most 100ms, not `1s`
      13 |   racepoint: [off, { zswap_writeback: { delay: 1s } }]
         |                                                ^^
    --
    /m/a.yaml:13:48: error: `delay` must not be zero: a racepoint without delay is `off`
      13 |   racepoint: [off, { zswap_writeback: { delay: 0us } }]
         |                                                ^^^
    --
    /m/a.yaml:13:41: error: unknown key `dealy`; did you mean `delay`?
      13 |   racepoint: [off, { zswap_writeback: { dealy: 1us } }]
         |                                         ^^^^^
    --
    /m/a.yaml:13:39: error: racepoint `zswap_writeback` must be a map, not `100us`
      13 |   racepoint: [off, { zswap_writeback: 100us }]
         |                                       ^^^^^
    --
    /m/a.yaml:13:20: error: a setting arms from 1 to 8 racepoints, not 0
      13 |   racepoint: [off, { name: slow }]
         |                    ^^^^^^^^^^^^^^
    --
    /m/a.yaml:13:28: error: a setting that arms something can't be called `off`
      13 |   racepoint: [off, { name: off, zs_migrate: { delay: 1us } }]
         |                            ^^^
    --
    /m/a.yaml:13:52: error: two settings are called `zs_migrate`
      13 |   racepoint: [off, { zs_migrate: { delay: 1us } }, { zs_migrate: { delay: 2us } }]
         |                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:13:20: note: the first one
      13 |   racepoint: [off, { zs_migrate: { delay: 1us } }, { zs_migrate: { delay: 2us } }]
         |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: give one of them a name of its own: `name: …`
    /m/a.yaml:16:34: error: there is no racepoint setting `zswap_writeback`
      16 |   - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
         |                                  ^^^^^^^^^^^^^^^
      help: defined here: `off`, `zs_migrate`
    --
    /m/a.yaml:13:20: error: two settings are called `off`
      13 |   racepoint: [off, off, on]
         |                    ^^^
    /m/a.yaml:13:15: note: the first one
      13 |   racepoint: [off, off, on]
         |               ^^^
    /m/a.yaml:13:25: error: the racepoint `on` needs its delay
      13 |   racepoint: [off, off, on]
         |                         ^^
      help: write `{ on: { delay: 100us..300us } }`
    --
    /m/a.yaml:13:20: error: a racepoint setting must be `off` or a map such as `{ zswap_writeback: { delay: 100us..300us } }`, not an empty map
      13 |   racepoint: [off, {}, false]
         |                    ^^
    /m/a.yaml:13:24: error: a racepoint setting must be `off` or a map such as `{ zswap_writeback: { delay: 100us..300us } }`, not false
      13 |   racepoint: [off, {}, false]
         |                        ^^^^^
    --
    /m/a.yaml:13:14: error: `racepoint` is empty: the matrix would select no cell
      13 |   racepoint: []
         |              ^^
      help: leave it out, or write `[off]`
    /m/a.yaml:16:34: error: there is no racepoint setting `zswap_writeback`
      16 |   - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
         |                                  ^^^^^^^^^^^^^^^
      help: defined here: `off`
    ");
    let spec = good(&edited(
        setting,
        "{ zs_migrate: { delay: 1us }, zswap_writeback: { delay: 1ms } }, { name: slow, zs_migrate: { delay: 1ms..100ms } }, { zswap_writeback: { delay: 1us } }]",
    ));
    let names: Vec<_> = spec
        .matrix
        .racepoint
        .unwrap()
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(
        names,
        ["off", "zs_migrate-zswap_writeback", "slow", "zswap_writeback"]
    );
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
      help: known here: `kernel`, `machine`, `case`, `racepoint`
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
fn a_reason_goes_with_what_does_not_pass() {
    let at = "{ kernel: fixed, verdict: pass }";
    let spec = good(&edited(
        at,
        "{ kernel: fixed, verdict: infra, reason: 'status [0-9]' }",
    ));
    let expect = &spec.expect[0];
    assert_eq!(expect.verdict, ExpectedVerdict::Infra);
    assert!(
        expect
            .reason
            .as_ref()
            .is_some_and(|r| r.is_match("ended with status 3"))
    );
    let shown = bad(edited(at, "{ kernel: fixed, verdict: pass, reason: x }"));
    assert!(
        shown.contains("`reason` says why a cell does not pass; `pass` has none"),
        "{shown}"
    );
    let shown = bad(edited(at, "{ kernel: fixed, verdict: infra, reason: '(' }"));
    assert!(shown.contains("`(` is not a regular expression"), "{shown}");
}

#[test]
fn expectations() {
    let at = "{ kernel: fixed, verdict: pass }";
    insta::assert_snapshot!(each_bad(&[
        (at, "{ kernel: fixed, verdict: passed }"),
        (at, "{ kernel: fixed }"),
        (at, "{ kernal: fixed, verdict: pass }"),
        (at, "{ kernel: fixt, machine: tiny, case: x, racepoint: zswap_writebac, verdict: pass }"),
        (at, "{ verdict: pass, finding: stale }"),
        (at, "{ verdict: fail, finding: [] }"),
        (at, "{ verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }"),
        (at, "pass"),
    ]), @r"
    /m/a.yaml:15:31: error: `verdict` must be one of `pass`, `fail`, `inconclusive`, `skip`, `infra`, `any`, not `passed`; did you mean `pass`?
      15 |   - { kernel: fixed, verdict: passed }
         |                               ^^^^^^
    --
    /m/a.yaml:15:5: error: an expectation lacks the key `verdict`
      15 |   - { kernel: fixed }
         |     ^^^^^^^^^^^^^^^^^
      help: one of `pass`, `fail`, `inconclusive`, `skip`, `infra`, `any`
    --
    /m/a.yaml:15:7: error: unknown key `kernal`; did you mean `kernel`?
      15 |   - { kernal: fixed, verdict: pass }
         |       ^^^^^^
    --
    /m/a.yaml:15:15: error: there is no kernel `fixt`; did you mean `fixed`?
      15 |   - { kernel: fixt, machine: tiny, case: x, racepoint: zswap_writebac, verdict: pass }
         |               ^^^^
    /m/a.yaml:15:30: error: there is no machine `tiny`
      15 |   - { kernel: fixt, machine: tiny, case: x, racepoint: zswap_writebac, verdict: pass }
         |                              ^^^^
      help: defined here: `small`
    /m/a.yaml:15:42: error: there is no case `x`
      15 |   - { kernel: fixt, machine: tiny, case: x, racepoint: zswap_writebac, verdict: pass }
         |                                          ^
      help: defined here: `pressure`
    /m/a.yaml:15:56: error: there is no racepoint setting `zswap_writebac`; did you mean `zswap_writeback`?
      15 |   - { kernel: fixt, machine: tiny, case: x, racepoint: zswap_writebac, verdict: pass }
         |                                                        ^^^^^^^^^^^^^^
    --
    /m/a.yaml:15:22: error: `finding` goes with `verdict: fail`, not with `pass`
      15 |   - { verdict: pass, finding: stale }
         |                      ^^^^^^^
    --
    /m/a.yaml:15:31: error: `finding` is empty
      15 |   - { verdict: fail, finding: [] }
         |                               ^^
      help: leave it out to accept any finding
    --
    /m/a.yaml:15:32: error: there is no finding `stail`; did you mean `stale`?
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                ^^^^^
    /m/a.yaml:15:39: error: there is no finding `corruption`
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                       ^^^^^^^^^^
      help: known are `stale`, `foreign`, `torn`, `spliced`, `zeroed`, `resurrected`, `flipped`, `poison`, `garbage`, `faulted`, `hang`, `oom`, `leak`, `conservation`, `taint`, `lost`, `boot`, `apply`, `config`, `build`, `oops`, `warning`, `kasan`, `kmsan`, `kcsan`, `kfence`, `ubsan`, `lockdep`, `atomic`, `reboot`, `splat`, and maps `{ splat: REGEX, function: REGEX }`
    /m/a.yaml:15:60: error: `(` is not a regular expression: unclosed group
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                                            ^^^
    /m/a.yaml:15:79: error: `*` is not a regular expression: repetition operator missing expression
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                                                               ^^^
    /m/a.yaml:15:88: error: unknown key `title`
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                                                                        ^^^^^
      help: known here: `splat`, `function`
    /m/a.yaml:15:100: error: a finding must be a word such as `stale`, or a map `{ splat: REGEX, function: REGEX }`, not an empty map
      15 |   - { verdict: fail, finding: [stail, corruption, { splat: '(' }, { function: '*' }, { title: x }, {}] }
         |                                                                                                    ^^
    --
    /m/a.yaml:15:5: error: an expectation must be a map, not `pass`
      15 |   - pass
         |     ^^^^
    ");
}

#[test]
fn an_entry_too_many_is_not_compared_with_every_cell() {
    let shown = bad(GOOD.to_owned() + &"  - { verdict: any }\n".repeat(1000));
    assert!(
        shown.contains("`expect` must have at most 1000 entries"),
        "{shown}"
    );
}

#[test]
fn one_mistake_is_told_once() {
    // A section, a setting or a kernel that is wrong makes nothing else wrong.
    insta::assert_snapshot!(each_bad(&[
        ("kernels:", "kernel:"),
        ("machines:", "machines: []\nmashines:"),
        ("{ zswap_writeback: { delay: 100us..300us } }", "{ zswap_writeback: { delay: 300 } }"),
        ("source: {", "sources: {"),
    ]), @r"
    /m/a.yaml:2:1: error: unknown key `kernel`; did you mean `kernels`?
      2 | kernel:
        | ^^^^^^
    --
    /m/a.yaml:5:11: error: `machines` must be a map, not an empty list
      5 | machines: []
        |           ^^
    /m/a.yaml:6:1: error: unknown key `mashines`; did you mean `machines`?
      6 | mashines:
        | ^^^^^^^^
    --
    /m/a.yaml:13:48: error: `delay` needs a unit (us, ms, s, min, h), as in 100us..300us
      13 |   racepoint: [off, { zswap_writeback: { delay: 300 } }]
         |                                                ^^^
    --
    /m/a.yaml:3:12: error: unknown key `sources`; did you mean `source`?
      3 |   fixed: { sources: { debian: linux-source-6.12 }, kconfigs: [base, mm], series: [racepoints] }
        |            ^^^^^^^
    ");
}

#[test]
fn a_series_of_ones_own_may_bring_racepoints() {
    let text =
        edited("[racepoints, zswap-writeback-race]", "[./mine]").replace("zswap_writeback", "my_place");
    assert_eq!(good(&text).matrix.racepoint.unwrap()[1].name, "my_place");
}

#[test]
fn finding_patterns_match_what_they_say() {
    let text = edited(
        "finding: [foreign, stale]",
        "finding: [foreign, splat, { splat: 'KASAN: .* in zswap' }, { splat: WARN, function: 'zswap_(load|store)' }]",
    );
    let patterns = good(&text).expect[1].finding.clone();
    let splat = |title, function| FindingView {
        class: "kasan",
        title,
        splat: true,
        function,
    };
    let stale = FindingView {
        class: "stale",
        title: "page 7 is stale",
        splat: false,
        function: None,
    };
    let foreign = FindingView {
        class: "foreign",
        ..stale
    };
    let hits = |f| {
        patterns
            .iter()
            .map(|p: &FindingPattern| p.matches(&f))
            .collect::<Vec<_>>()
    };
    assert_eq!(hits(stale), [false, false, false, false]);
    assert_eq!(hits(foreign), [true, false, false, false]);
    assert_eq!(
        hits(splat("KASAN: uaf in zswap_x", None)),
        [false, true, true, false]
    );
    assert_eq!(
        hits(splat("WARNING", Some("zswap_store"))),
        [false, true, false, true]
    );
    assert_eq!(
        hits(splat("WARNING", Some("my_zswap_store"))),
        [false, true, false, false]
    );
}
