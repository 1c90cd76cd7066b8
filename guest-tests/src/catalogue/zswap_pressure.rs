//! Parameters, floors and needs of the workload `zswap_pressure`.

use super::{Counter, Floor, Info, antagonists, params};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

params! {
    /// zswap under pressure: a small arena of pages is paged out, verified and rewritten while a tiny
    /// zswap limit forces write-back and a full swap area recycles slots. One thread of a CPU stores all
    /// the time, others interrupt it at random and take the slots that it is at.
    ZswapPressure {
        arena: bytes = 4 * MIB, 64 * KIB, 1024 * MIB, &[], "memory whose pages are written, paged out and verified";
        threads: count = 2, 1, 64, &[], "worker threads, each with its share of the pages; the first of each CPU stores all the time, at idle priority, the others interrupt it";
        cpus: count = 1, 0, 1024, &[], "CPUs that the workers are spread over (0: all); on one they interrupt each other more often and need not tell other CPUs what they unmap";
        readers: count = 1, 0, 64, &[], "threads that own no page and now and then read those of the workers, on another CPU where there is one";
        swap: word = "disk", 0, 0, &["disk", "zram", "both"], "what is swapped to, behind zswap: the swap disk, a zram device that is made for the case, or both at equal priority";
        swap_area: bytes = 16 * MIB, 0, 1 << 40, &[], "size of the swap area, at the front of the swap disk (of both areas together, where there are two); 0 takes the whole disk";
        zswap_max: bytes = 4 * KIB, 0, 1024 * MIB, &[], "memory.zswap.max of the arena's cgroup";
        memory_max: bytes = 0, 0, 4096 * MIB, &[], "what of the arena may be in memory or in the swap cache (memory.max less what the suite itself takes); 0 sets no limit. The kernel reclaims nothing while no slot is free: with short_slots it never gets to the limit";
        free_slots: count = 32, 0, 1_000_000, &[], "swap slots left free beside the arena's share where short_slots is 0 (the rest is filled with cold pages); 0 fills nothing";
        short_slots: count = 32, 0, 1_000_000, &[], "swap slots that the arena lacks, so that a slot that comes free is taken at once; 0 leaves free_slots instead";
        shrinker: bool = true, 0, 0, &[], "zswap's shrinker (/sys/module/zswap/parameters/shrinker_enabled)";
        pool_percent: count = 20, 1, 100, &[], "zswap's max_pool_percent";
        pool_flips: bool = false, 0, 0, &[], "an antagonist that flips max_pool_percent between 0 and pool_percent";
        reclaim: bool = false, 0, 0, &[], "an antagonist that writes memory.reclaim";
        engine: count = 1, 0, 4, &[], "owners beside the workers that do to memory of their own whatever the kernel offers; 0: none";
        engine_mix: word = "drawn", 0, 0, &["drawn", "balanced", "destructive", "swapping", "huge"], "weights of the engine's operations";
        antagonists: set = "drawn", 0, 0, antagonists::ALL, "the common antagonists; drawn: in the same turns as the engine, named ones: all the time";
        toggles: bool = true, 0, 0, &[], "switches zswap off and on, changes its compressor and lets more of the arena stay in it (memory.zswap.max), in the same turns as the engine";
        alone_ms: count = 5000, 0, 3_600_000, &[], "how long the workers have the full swap area for themselves, by turns with what runs beside them, in milliseconds";
        beside_ms: count = 5000, 1, 3_600_000, &[], "how long what runs beside them does, with room in the swap area";
        content: word = "small", 0, 0, &["small", "mixed"], "how well pages compress: small (to some hundred bytes, so that zswap is fast) or mixed (anything from same-filled to incompressible)";
        compressor: word = "lzo", 0, 0, &["lzo", "lz4", "zstd", "deflate"], "zswap's compressor";
        zpool: word = "zsmalloc", 0, 0, &["zsmalloc", "zbud"], "zswap's allocator";
    }
}

impl ZswapPressure {
    /// Name, as in YAML.
    pub const NAME: &'static str = "zswap_pressure";

    /// What the catalogue says of it.
    #[must_use]
    pub fn info() -> Info {
        Info {
            name: Self::NAME,
            doc: "zswap stores, loads and write-backs with recycled swap slots",
            params: Self::table(),
            needs: &["SWAP", "ZSWAP", "MEMCG", "VM_EVENT_COUNTERS", "PROC_PAGE_MONITOR"],
            files: &[
                "mm/zswap.c",
                "include/linux/zswap.h",
                "mm/zpool.c",
                "mm/zbud.c",
                "mm/zsmalloc.c",
                "mm/swap_state.c",
                "mm/swapfile.c",
                "mm/swap_slots.c",
                "mm/swap.h",
                "mm/page_io.c",
                "include/linux/swap*.h",
                "mm/memory.c",
                "mm/vmscan.c",
                "mm/rmap.c",
                "mm/memcontrol*.c",
                "mm/swap.c",
                "mm/workingset.c",
                "crypto/lzo*.c",
                "lib/lzo/*",
            ],
            symbols: &[
                "zswap_*",
                "zpool_*",
                "zs_*",
                "zbud_*",
                "folio_alloc_swap",
                "folio_free_swap",
                "swap_*",
                "__swap_*",
                "swapin_*",
                "swapoff",
                "do_swap_page",
                "try_to_unuse",
            ],
        }
    }

    /// Checks what no single parameter's limits can.
    ///
    /// # Errors
    /// What is impossible together, for people.
    pub fn consistent(&self) -> Result<(), &'static str> {
        if self.arena / 4096 < self.threads {
            return Err("the arena must have at least one page for each thread");
        }
        if self.memory_max != 0 && self.memory_max < 256 * KIB {
            return Err("memory_max must leave room for page tables: at least 256KiB, or 0 for none");
        }
        Ok(())
    }

    /// Least rates under software emulation.
    #[must_use]
    pub fn floors(&self) -> Vec<Floor> {
        vec![
            Floor {
                counter: Counter::PagesVerified,
                per_s: 500,
            },
            Floor {
                counter: Counter::RoundTrips,
                per_s: 100,
            },
            Floor {
                counter: Counter::ZswapStore,
                per_s: 250,
            },
            Floor {
                counter: Counter::ZswapWriteback,
                per_s: 125,
            },
        ]
    }
}
