//! The maps `machines` and `defaults`. What is wrong with each kind of value, word for word.

use std::time::Duration;

use super::super::Backend;
use super::{bad, each_bad, edited, good};

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
