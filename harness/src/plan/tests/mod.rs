//! Matrices and the cells they make.

mod axes;

use std::collections::HashSet;

use proptest::prelude::*;

use super::{CELLS_MAX, Cell, Plan, expand};
use crate::spec::tests::{GOOD, edited, good};

fn plan(text: &str) -> Plan {
    expand(&good(text)).unwrap_or_else(|e| panic!("{}", e.render_plain()))
}

fn ids(plan: &Plan) -> String {
    plan.cells
        .iter()
        .map(|c| c.id.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn bad(text: &str) -> String {
    expand(&good(text)).unwrap_err().render_plain()
}

/// [`GOOD`] with lines added to the matrix.
fn with(lines: &str) -> String {
    edited("  machine: [small]\n", &format!("  machine: [small]\n{lines}\n"))
}

/// The same without expectations, so that only the matrix decides.
fn free(lines: &str) -> String {
    let text = with(lines);
    text[..text.find("expect:").unwrap()].to_owned()
}

#[test]
fn the_axes_are_crossed_in_a_fixed_order() {
    insta::assert_snapshot!(ids(&plan(GOOD)), @r"
    fixed.small@qemu.pressure.off
    fixed.small@qemu.pressure.zswap_writeback
    defect.small@qemu.pressure.off
    defect.small@qemu.pressure.zswap_writeback
    ");
    let backend = edited("backend: qemu", "backend: virtme-ng");
    assert_eq!(plan(&backend).cells[0].id, "fixed.small@virtme-ng.pressure.off");
}

#[test]
fn the_demo_that_ships_has_its_four_cells() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = crate::spec::Folders {
        kconfigs: root.join("kconfigs"),
        patches: root.join("patches"),
    };
    let spec = crate::spec::load(&root.join("workflows/demo.yaml"), &folders);
    let plan = expand(&spec.unwrap_or_else(|e| panic!("{}", e.render_plain()))).unwrap();
    let said = |cell: &Cell| {
        format!(
            "{} {}",
            cell.id,
            cell.expect.as_ref().map_or("", |e| e.verdict.word())
        )
    };
    insta::assert_snapshot!(plan.cells.iter().map(said).collect::<Vec<_>>().join("\n"), @r"
    fixed.small@qemu.pressure.off pass
    fixed.small@qemu.pressure.zswap_writeback pass
    defect.small@qemu.pressure.off any
    defect.small@qemu.pressure.zswap_writeback fail
    ");
    assert_eq!(plan.cells[1].racepoint.arms[0].delay_us_max, 300);
}

#[test]
fn repeats_are_cells_with_seeds_of_their_own() {
    let plan = plan(&free("  repeat: 3"));
    insta::assert_snapshot!(plan.cells.iter().take(4).map(|c| format!("{} {} {:#x}\n", c.id, c.group, c.seed)).collect::<String>(), @r"
    fixed.small@qemu.pressure.off#1 fixed.small@qemu.pressure.off 0x1
    fixed.small@qemu.pressure.off#2 fixed.small@qemu.pressure.off 0xbeeb8da1658eec67
    fixed.small@qemu.pressure.off#3 fixed.small@qemu.pressure.off 0xf893a2eefb32555e
    fixed.small@qemu.pressure.zswap_writeback#1 fixed.small@qemu.pressure.zswap_writeback 0x1
    ");
    let seeds: HashSet<u64> = plan
        .cells
        .iter()
        .filter(|c| c.group == plan.cells[0].group)
        .map(|c| c.seed)
        .collect();
    assert_eq!(seeds.len(), 3);
}

#[test]
fn exclude_takes_out_what_an_entry_matches_in_part() {
    insta::assert_snapshot!(ids(&plan(&free("  exclude: [{ kernel: defect, racepoint: off }]"))), @r"
    fixed.small@qemu.pressure.off
    fixed.small@qemu.pressure.zswap_writeback
    defect.small@qemu.pressure.zswap_writeback
    ");
    insta::assert_snapshot!(ids(&plan(&free("  exclude: [{ kernel: [fixed] }, { racepoint: off }]"))), @r"
    defect.small@qemu.pressure.zswap_writeback
    ");
}

#[test]
fn include_adds_to_cells_and_makes_cells() {
    // Adds to the original cells that it fits; a later entry may overwrite what was added.
    insta::assert_snapshot!(ids(&plan(&free("  include: [{ kernel: defect, repeat: 2 }, { kernel: defect, racepoint: off, repeat: 3 }]"))), @r"
    fixed.small@qemu.pressure.off
    fixed.small@qemu.pressure.zswap_writeback
    defect.small@qemu.pressure.off#1
    defect.small@qemu.pressure.off#2
    defect.small@qemu.pressure.off#3
    defect.small@qemu.pressure.zswap_writeback#1
    defect.small@qemu.pressure.zswap_writeback#2
    ");
    // A value that is on no axis makes a new cell, after the others; no later entry is added to that.
    let own = "{ kernel: fixed, machine: small, case: pressure, racepoint: { name: slow, zs_migrate: { delay: 1ms } } }";
    insta::assert_snapshot!(ids(&plan(&free(&format!("  include: [{own}, {{ kernel: fixed, repeat: 2 }}]")))), @r"
    fixed.small@qemu.pressure.off#1
    fixed.small@qemu.pressure.off#2
    fixed.small@qemu.pressure.zswap_writeback#1
    fixed.small@qemu.pressure.zswap_writeback#2
    defect.small@qemu.pressure.off
    defect.small@qemu.pressure.zswap_writeback
    fixed.small@qemu.pressure.slow
    ");
    // What was excluded may be included again.
    insta::assert_snapshot!(ids(&plan(&free("  exclude: [{ kernel: fixed }]\n  include: [{ kernel: fixed, machine: small, case: pressure, racepoint: off }]"))), @r"
    defect.small@qemu.pressure.off
    defect.small@qemu.pressure.zswap_writeback
    fixed.small@qemu.pressure.off
    ");
}

#[test]
fn include_sets_the_racepoint_where_the_axis_is_not_given() {
    let text = free("  include: [{ kernel: defect, racepoint: { zs_migrate: { delay: 1ms } } }]");
    let text = text.replace(
        "  racepoint: [off, { zswap_writeback: { delay: 100us..300us } }]\n",
        "",
    );
    insta::assert_snapshot!(ids(&plan(&text)), @r"
    fixed.small@qemu.pressure.off
    defect.small@qemu.pressure.zs_migrate
    ");
}

#[test]
fn a_matrix_may_be_listed_cell_by_cell() {
    let head = &GOOD[..GOOD.find("matrix:").unwrap()];
    let text = format!(
        "{head}matrix:\n  include: [{{ kernel: defect, machine: small, case: pressure, repeat: 2 }}]\n"
    );
    let plan = plan(&text);
    insta::assert_snapshot!(ids(&plan), @r"
    defect.small@qemu.pressure.off#1
    defect.small@qemu.pressure.off#2
    ");
    // A kernel that no cell uses is not built.
    assert_eq!(plan.kernels.keys().collect::<Vec<_>>(), ["defect"]);
}

#[test]
fn entries_without_effect_are_errors() {
    let shown = [
        bad(&free(
            "  exclude: [{ kernel: fixed, racepoint: zswap_writeback }, { kernel: fixed, racepoint: slow }]\n  include: [{ kernel: fixed, machine: small, case: pressure, racepoint: { name: slow, zs_migrate: { delay: 1ms } } }]",
        )),
        bad(&free("  include: [{ kernel: fixed }]")),
        bad(&free(
            "  include: [{ kernel: fixed, racepoint: { name: slow, zs_migrate: { delay: 1ms } } }]",
        )),
        bad(&free(
            "  include: [&i { kernel: fixed, machine: small, case: pressure, racepoint: { name: slow, zs_migrate: { delay: 1ms } } }, *i]",
        )),
        bad(&free("  exclude: [{ case: pressure }]")),
        bad(&with(
            "  exclude: [{ kernel: defect, racepoint: zswap_writeback }]",
        )),
        bad(&(GOOD.to_owned() + "  - { verdict: any }\n")),
    ];
    insta::assert_snapshot!(shown.join("--\n"), @r"
    /m/a.yaml:13:60: error: this entry excludes nothing
      13 |   exclude: [{ kernel: fixed, racepoint: zswap_writeback }, { kernel: fixed, racepoint: slow }]
         |                                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: cells of `include` are added later: leave them out there
    --
    /m/a.yaml:13:13: error: this entry adds nothing: the matrix has these cells already
      13 |   include: [{ kernel: fixed }]
         |             ^^^^^^^^^^^^^^^^^
      help: an entry adds values that no axis has to cells, or is a new cell
    --
    /m/a.yaml:13:13: error: this entry fits no cell, and for a new one it lacks `machine`
      13 |   include: [{ kernel: fixed, racepoint: { name: slow, zs_migrate: { delay: 1ms } } }]
         |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:13:122: error: this makes the cell fixed.small@qemu.pressure.slow a second time
      13 | , racepoint: { name: slow, zs_migrate: { delay: 1ms } } }, *i]
         |                                                            ^^
    /m/a.yaml:13:13: note: the first one is made here
      13 |   include: [&i { kernel: fixed, machine: small, case: pressure, racepoint: { name: slow, zs_migrate: { delay: 1ms } } },
         |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:9:1: error: the matrix selects no cell
      9 | matrix:
        | ^^^^^^
    --
    /m/a.yaml:17:5: error: this expectation matches no cell
      17 |   - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
         |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    --
    /m/a.yaml:15:5: error: this expectation decides no cell: later ones match them all
      15 |   - { kernel: fixed, verdict: pass }
         |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:17:5: note: of several that match, the last one counts
      17 |   - { verdict: any }
         |     ^^^^^^^^^^^^^^^^
      help: put the general ones first, the special ones after them
    /m/a.yaml:16:5: error: this expectation decides no cell: later ones match them all
      16 |   - { kernel: defect, racepoint: zswap_writeback, verdict: fail, finding: [foreign, stale] }
         |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    /m/a.yaml:17:5: note: of several that match, the last one counts
      17 |   - { verdict: any }
         |     ^^^^^^^^^^^^^^^^
      help: put the general ones first, the special ones after them
    ");
}

#[test]
fn the_last_expectation_that_matches_counts() {
    let plan = plan(&edited(
        "  - { kernel: fixed, verdict: pass }",
        "  - { verdict: any }\n  - { kernel: fixed, verdict: pass }",
    ));
    let said: Vec<_> = plan
        .cells
        .iter()
        .map(|c| c.expect.as_ref().map(|e| e.verdict.word()))
        .collect();
    assert_eq!(said, [Some("pass"), Some("pass"), Some("any"), Some("fail")]);
    let none = plan_of_free();
    assert!(none.cells.iter().all(|c| c.expect.is_none()));
}

fn plan_of_free() -> Plan {
    plan(&free(""))
}

#[test]
fn too_many_cells_are_refused_before_they_are_made() {
    let machines: String = (0..600).map(|n| format!("  m{n}: {{}}\n")).collect();
    let names: Vec<_> = (0..600).map(|n| format!("m{n}")).collect();
    let text = free("  repeat: 1000").replace("cases:\n", &format!("{machines}cases:\n"));
    let text = text.replace("machine: [small]", &format!("machine: [{}]", names.join(", ")));
    let shown = bad(&text);
    assert!(
        shown.contains("the matrix has 2400000 cells; at most 100000 are allowed"),
        "{shown}"
    );
    // And where include makes the rest.
    let text = text.replace("repeat: 1000", "repeat: 40\n  include: [{ repeat: 1000 }]");
    let shown = bad(&text);
    assert!(shown.contains(&format!("at most {CELLS_MAX}")), "{shown}");
}

#[test]
fn patterns_select() {
    let plan = plan(GOOD);
    assert_eq!(ids(&plan.select::<&str>(&[]).unwrap()), ids(&plan));
    let some = plan
        .select(&["defect.*.off", "fixed.small@qemu.pressure.zswap"])
        .unwrap();
    insta::assert_snapshot!(ids(&some), @r"
    fixed.small@qemu.pressure.zswap_writeback
    defect.small@qemu.pressure.off
    ");
    assert_eq!(plan.select(&["fixed"]).unwrap().kernels.len(), 1);
    let shown = [
        plan.select(&["defct"]),
        plan.select(&["off", "*.of"]),
        plan.select(&[""]),
    ];
    insta::assert_snapshot!(shown.map(|s| s.unwrap_err().render_plain()).concat(), @r"
    error: no cell is selected by `defct`
      help: a pattern is a part of a cell's id, or a glob with `*` and `?`; ids near it: defect.small@qemu.pressure.off, defect.small@qemu.pressure.zswap_writeback, fixed.small@qemu.pressure.off, fixed.small@qemu.pressure.zswap_writeback
    error: no cell is selected by `*.of`
      help: a pattern is a part of a cell's id, or a glob with `*` and `?`; ids near it: fixed.small@qemu.pressure.off, defect.small@qemu.pressure.off, defect.small@qemu.pressure.zswap_writeback, fixed.small@qemu.pressure.zswap_writeback
    error: an empty pattern selects no cell
      help: a pattern is a part of a cell's id, or a glob with `*` and `?`; ids near it: fixed.small@qemu.pressure.off, fixed.small@qemu.pressure.zswap_writeback, defect.small@qemu.pressure.off, defect.small@qemu.pressure.zswap_writeback
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_are_unique_and_the_order_is_stable(
        kernels in 1..5usize, machines in 1..4usize, cases in 1..4usize, repeat in 1..5u32, settings in 0..4usize,
    ) {
        let text = sized(kernels, machines, cases, repeat, settings);
        let plan = plan(&text);
        let unique: HashSet<&str> = plan.cells.iter().map(|c| c.id.as_str()).collect();
        prop_assert_eq!(unique.len(), plan.cells.len());
        prop_assert_eq!(plan.cells.len(), kernels * machines * cases * (settings + 1) * repeat as usize);
        prop_assert_eq!(&plan, &expand(&good(&text)).unwrap());
        for cell in &plan.cells {
            prop_assert!(cell.id.starts_with(&cell.group));
            prop_assert!(plan.kernels.contains_key(&cell.kernel));
            prop_assert!(cell.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.@#".contains(c)));
        }
        // Selecting by an id's own text keeps the cell.
        let one = plan.select(&[plan.cells[0].id.as_str()]).unwrap();
        prop_assert!(one.cells.contains(&plan.cells[0]));
    }
}

/// A matrix with that many of each.
fn sized(kernels: usize, machines: usize, cases: usize, repeat: u32, settings: usize) -> String {
    let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let (k, m, c) = (names("k", kernels), names("m", machines), names("c", cases));
    let map = |names: &[String], value: &str| {
        names
            .iter()
            .map(|n| format!("  {n}: {value}\n"))
            .collect::<String>()
    };
    let armed: String = (0..settings)
        .map(|n| format!(", {{ name: s{n}, zs_migrate: {{ delay: {}us }} }}", n + 1))
        .collect();
    format!(
        "version: 1\nkernels:\n{}machines:\n{}cases:\n{}matrix:\n  kernel: [{}]\n  machine: [{}]\n  case: [{}]\n  \
         racepoint: [off{armed}]\n  repeat: {repeat}\n",
        map(&k, "{ source: { debian: linux-source-6.12 }, kconfigs: [base] }"),
        map(&m, "{}"),
        map(&c, "{ workload: zswap_pressure }"),
        k.join(", "),
        m.join(", "),
        c.join(", "),
    )
}
