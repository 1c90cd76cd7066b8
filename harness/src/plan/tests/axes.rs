//! Axes that change one thing of a block: what cells are called, what they run, and what can't be.

use super::{bad, ids, plan};
use crate::plan::Plan;
use crate::spec::{Backend, Reference, SourceSpec};
use guest_tests::catalogue::Workload;
use std::time::Duration;

/// A file with blocks for all of it; `matrix` are the lines of the matrix below `kernel: [fixed]`.
fn file(matrix: &str) -> String {
    format!(
        "version: 1\n\
         sources:\n  old: {{ debian: linux-source-6.1 }}\n  new: {{ debian: linux-source-6.12 }}\n\
         racepoints:\n  slow: {{ zs_migrate: {{ delay: 1ms }} }}\n\
         kernels:\n  fixed: {{ source: new, kconfigs: [base], series: [racepoints] }}\n  \
         ready: {{ source: {{ image: bzImage }} }}\n\
         machines:\n  small: {{ cpus: 2, memory: 300MiB, swap: 8MiB }}\n  large: {{ like: small, memory: 1GiB }}\n\
         cases:\n  pressure: {{ workload: zswap_pressure, budget: 30s, params: {{ arena: 4MiB, threads: 2 }} }}\n  \
         more: {{ like: pressure, params: {{ threads: 4 }} }}\n  move: {{ workload: uffd_move }}\n\
         matrix:\n  kernel: [fixed]\n{matrix}"
    )
}

/// The same with machine and case given.
fn with(matrix: &str) -> String {
    file(&format!("  machine: [small]\n  case: [pressure]\n{matrix}"))
}

fn seeds(plan: &Plan) -> Vec<u64> {
    plan.cells.iter().map(|c| c.seed).collect()
}

#[test]
fn a_kernel_is_varied_by_source_series_and_fragments() {
    let plan = plan(&with(
        "  source: [old, { name: tree, dir: linux }]\n  series: [none, zswap-writeback-race, { name: both, series: [racepoints, ./fix.mbox] }]\n  \
         kconfigs: [mm]\n",
    ));
    insta::assert_snapshot!(ids(&plan), @r"
    fixed+old+none+mm.small@qemu.pressure.off
    fixed+old+zswap-writeback-race+mm.small@qemu.pressure.off
    fixed+old+both+mm.small@qemu.pressure.off
    fixed+tree+none+mm.small@qemu.pressure.off
    fixed+tree+zswap-writeback-race+mm.small@qemu.pressure.off
    fixed+tree+both+mm.small@qemu.pressure.off
    ");
    let named = |name: &str| Reference::Named(name.to_owned());
    let kernel = &plan.kernels["fixed+old+zswap-writeback-race+mm"];
    assert_eq!(kernel.kconfigs, [named("base"), named("mm")]);
    assert_eq!(
        kernel.series,
        [named("racepoints"), named("zswap-writeback-race")]
    );
    let kernel = &plan.kernels["fixed+tree+both+mm"];
    assert_eq!(
        kernel.source,
        SourceSpec::Dir {
            path: "/m/linux".into()
        }
    );
    // What the kernel has already is not put on twice.
    assert_eq!(
        kernel.series,
        [named("racepoints"), Reference::Path("/m/fix.mbox".into())]
    );
    // Only what the cells use is built.
    assert_eq!(plan.kernels.len(), 6);
}

#[test]
fn a_machine_is_varied_by_everything_it_has() {
    let plan = plan(&with(
        "  backend: [qemu, virtme-ng]\n  accel: [tcg]\n  cpus: [4]\n  memory: [1024MiB]\n  swap: [none]\n  \
         boot_args: [none, page_poison=1]\n",
    ));
    insta::assert_snapshot!(ids(&plan), @r"
    fixed.small+tcg+4cpu+1GiB+swap-none+none@qemu.pressure.off
    fixed.small+tcg+4cpu+1GiB+swap-none+page_poison-1@qemu.pressure.off
    fixed.small+tcg+4cpu+1GiB+swap-none+none@virtme-ng.pressure.off
    fixed.small+tcg+4cpu+1GiB+swap-none+page_poison-1@virtme-ng.pressure.off
    ");
    let machine = &plan.cells[3].machine.spec;
    assert_eq!(
        (machine.backend, machine.cpus, machine.memory, machine.swap),
        (Backend::VirtmeNg, 4, 1 << 30, None)
    );
    assert_eq!(machine.boot_args, ["page_poison=1"]);
}

#[test]
fn a_case_is_varied_by_parameters_budget_and_seed() {
    let plan = plan(&with(
        "  params: { arena: [1MiB], shrinker: [true, false] }\n  budget: [1min]\n  seed: [7, 9..10]\n",
    ));
    assert_eq!(plan.cells.len(), 6);
    assert_eq!(
        plan.cells[0].id,
        "fixed.small@qemu.pressure+arena-1MiB+shrinker-true+1min.off#seed7"
    );
    assert_eq!(
        plan.cells[0].group,
        "fixed.small@qemu.pressure+arena-1MiB+shrinker-true+1min.off"
    );
    assert_eq!(seeds(&plan), [7, 9, 10, 7, 9, 10]);
    let case = &plan.cells[5].case.spec;
    let Workload::ZswapPressure(params) = &case.workload else {
        panic!("{:?}", case.workload);
    };
    // What no axis changes stays as the case has it.
    assert_eq!(
        (params.arena, params.threads, params.shrinker),
        (1 << 20, 2, false)
    );
    assert_eq!(case.budget, Duration::from_secs(60));
}

#[test]
fn blocks_may_be_like_others() {
    let plan = plan(&file(
        "  machine: [small, large]\n  case: [pressure, more]\n  racepoint: [off, slow]\n",
    ));
    assert_eq!(plan.cells.len(), 8);
    let large = &plan.cells[4].machine;
    assert_eq!(
        (large.name.as_str(), large.spec.memory, large.spec.swap),
        ("large", 1 << 30, Some(8 << 20))
    );
    let Workload::ZswapPressure(params) = &plan.cells[2].case.spec.workload else {
        panic!("{:?}", plan.cells[2].case);
    };
    assert_eq!(
        (params.arena, params.threads),
        (4 << 20, 4),
        "parameters one by one"
    );
    assert_eq!(plan.cells[1].racepoint.arms[0].delay_us_max, 1000);
}

#[test]
fn workloads_may_stand_for_cases() {
    let plan = plan(&file(
        "  machine: [small]\n  workload: [uffd_move, zram_writeback]\n",
    ));
    insta::assert_snapshot!(ids(&plan), @r"
    fixed.small@qemu.uffd_move.off
    fixed.small@qemu.zram_writeback.off
    ");
}

#[test]
fn repeats_of_seeds_keep_both_numbers() {
    let plan = plan(&with("  seed: [7]\n  repeat: 2\n"));
    insta::assert_snapshot!(ids(&plan), @r"
    fixed.small@qemu.pressure.off#seed7#1
    fixed.small@qemu.pressure.off#seed7#2
    ");
    assert_eq!(plan.cells[0].seed, 7);
    // A cell is found by its id, and so is a repeat of it that the matrix does not have.
    let third = plan
        .cell("fixed.small@qemu.pressure.off#seed7#3")
        .expect("a repeat");
    assert_eq!(third.seed, plan.cells[0].again(3).seed);
    assert_ne!(third.seed, plan.cells[1].seed);
    assert!(plan.cell("fixed.small@qemu.pressure.off#seed8#1").is_none());
    assert!(plan.cell("fixed.small@qemu.pressure.off#seed7#0").is_none());
}

#[test]
fn include_adds_what_no_axis_has_and_expectations_tell_it_apart() {
    let text = with(
        "  cpus: [1, 2]\n  include:\n    - { budget: 60s }\n    - { cpus: 2, budget: 90s, memory: 512MiB }\n    \
         - { cpus: 4, kernel: fixed, machine: small, case: pressure }\nexpect:\n  - { verdict: pass }\n  \
         - { budget: 1min, verdict: any }\n  - { memory: [0.5GiB], verdict: skip }\n",
    )
    .replace("0.5GiB", "524288KiB");
    let plan = plan(&text);
    let said: Vec<String> = plan
        .cells
        .iter()
        .map(|c| format!("{} {}", c.id, c.expect.as_ref().map_or("", |e| e.verdict.word())))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    fixed.small+1cpu@qemu.pressure+1min.off any
    fixed.small+2cpu+512MiB@qemu.pressure+90s.off skip
    fixed.small+4cpu@qemu.pressure.off pass
    ");
}

#[test]
fn exclude_knows_every_axis() {
    let plan = plan(&with(
        "  cpus: [1, 2]\n  params: { arena: [1MiB, 2MiB] }\n  seed: [1..3]\n  exclude:\n    \
         - { cpus: 1, params: { arena: 2MiB } }\n    - { seed: [2, 3], cpus: 2 }\n",
    ));
    insta::assert_snapshot!(ids(&plan), @r"
    fixed.small+1cpu@qemu.pressure+arena-1MiB.off#seed1
    fixed.small+1cpu@qemu.pressure+arena-1MiB.off#seed2
    fixed.small+1cpu@qemu.pressure+arena-1MiB.off#seed3
    fixed.small+2cpu@qemu.pressure+arena-1MiB.off#seed1
    fixed.small+2cpu@qemu.pressure+arena-2MiB.off#seed1
    ");
}

#[test]
fn what_does_not_go_together_is_told_where_it_is_written() {
    let shown = [
        bad(&file("  machine: [small]\n  case: [move]\n  params: { arena: [1MiB, 2GiB] }\n")),
        bad(&with("  params: { arena: [4GiB] }\n")),
        bad(&with("  params: { arena: [64KiB], threads: [64] }\n")),
        bad(&file("  machine: [small]\n  case: [pressure]\n  series: [racepoints]\n").replace("kernel: [fixed]", "kernel: [ready]")),
        bad(&with("  include: [{ kernel: fixed, machine: small, case: pressure, cpus: 2 }, { kernel: fixed, machine: small, cpus: 4 }]\n").replace("  kernel: [fixed]\n  machine: [small]\n  case: [pressure]\n", "")),
    ];
    insta::assert_snapshot!(shown.join("--\n"), @r"
    /m/a.yaml:21:21: error: workload `uffd_move` has no parameter `arena`
      21 |   params: { arena: [1MiB, 2GiB] }
         |                     ^^^^
      help: leave its cells out with `exclude`, or give it a matrix of its own
    /m/a.yaml:21:27: error: workload `uffd_move` has no parameter `arena`
      21 |   params: { arena: [1MiB, 2GiB] }
         |                           ^^^^
      help: leave its cells out with `exclude`, or give it a matrix of its own
    --
    /m/a.yaml:21:21: error: parameter `arena` must be from 64KiB to 1024MiB, not 4096MiB
      21 |   params: { arena: [4GiB] }
         |                     ^^^^
      help: `arena`: memory whose pages are written, paged out and verified
    --
    /m/a.yaml:21:21: error: impossible parameters: the arena must have at least one page for each thread
      21 |   params: { arena: [64KiB], threads: [64] }
         |                     ^^^^^
    --
    /m/a.yaml:17:1: error: the kernel `ready` is a ready image: `series` can't change it
      17 | matrix:
         | ^^^^^^
      help: leave its cells out with `exclude`
    --
    /m/a.yaml:18:73: error: this entry fits no cell, and for a new one it lacks `case`
      18 |   include: [{ kernel: fixed, machine: small, case: pressure, cpus: 2 }, { kernel: fixed, machine: small, cpus: 4 }]
         |                                                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
}
