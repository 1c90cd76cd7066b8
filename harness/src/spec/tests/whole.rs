//! Files as a whole: what a good one becomes, and how often a mistake is told. What is wrong with each kind of value, word for word.

use guest_tests::catalogue::Workload;

use super::super::{Backend, ExpectedVerdict, Reference, SourceSpec};
use super::{GOOD, each_bad, good, settings};

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
    let racepoint = settings(&spec);
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
