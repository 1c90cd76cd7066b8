//! The map `cases`. What is wrong with each kind of value, word for word.

use super::each_bad;

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
