//! Settings of racepoints. What is wrong with each kind of value, word for word.

use super::{GOOD, each_bad, edited, good, settings};

#[test]
fn a_racepoint_that_holds_is_left_to_the_workload() {
    let setting = "{ zswap_writeback: { delay: 100us..300us } }]";
    let spec = good(&GOOD.replace(setting, "{ zswap_writeback: { hold: 30ms } }]"));
    let arm = &settings(&spec)[1].arms[0];
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
    let arm = &settings(&spec)[1].arms[0];
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
    ");
    let spec = good(&edited(
        setting,
        "{ zs_migrate: { delay: 1us }, zswap_writeback: { delay: 1ms } }, { name: slow, zs_migrate: { delay: 1ms..100ms } }, { zswap_writeback: { delay: 1us } }]",
    ));
    let names: Vec<_> = settings(&spec).into_iter().map(|s| s.name).collect();
    assert_eq!(
        names,
        ["off", "zs_migrate-zswap_writeback", "slow", "zswap_writeback"]
    );
}

#[test]
fn a_series_of_ones_own_may_bring_racepoints() {
    let text =
        edited("[racepoints, zswap-writeback-race]", "[./mine]").replace("zswap_writeback", "my_place");
    assert_eq!(settings(&good(&text))[1].name, "my_place");
}
