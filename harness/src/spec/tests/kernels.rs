//! The maps `kernels` and `sources`. What is wrong with each kind of value, word for word.

use super::super::{Reference, SourceSpec};
use super::{bad, each_bad, edited, good};

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
