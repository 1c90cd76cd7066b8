//! The list `expect`. What is wrong with each kind of value, word for word.

use super::super::{ExpectedVerdict, FindingPattern, FindingView};
use super::{GOOD, bad, each_bad, edited, good};

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
