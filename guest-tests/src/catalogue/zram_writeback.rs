//! Parameters, floors and needs of the workload `zram_writeback`.

use super::{Counter, Floor, Info, params};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// The largest share of memory that is asked for, so that small guests can hold everything.
const MEMORY_MAX: u64 = 4096 * MIB;

params! {
    /// zram as swap and as a raw block device, with a backing device: pages are freed in long runs while
    /// zsmalloc's pages migrate, rewritten while they are compressed, written back, recompressed and
    /// compacted, with allocations that fail.
    ZramWriteback {
        churn: bytes = 24 * MIB, 0, MEMORY_MAX, &[], "memory whose pages are paged out, verified and dropped in long runs, so that zspages of several pages come and go";
        churners: count = 1, 1, 16, &[], "threads that do so, each with its share of the pages";
        cold: bytes = 10 * MIB, 0, MEMORY_MAX, &[], "memory whose pages are verified in turn and paged out again: the neighbours of the hot ones";
        hot: count = 8, 0, 4096, &[], "pages that one thread pages out in a loop while another one rewrites them, by turns better and less compressible";
        peer: bool = true, 0, 0, &[], "a thread that reads pages of the others and pages them out, so that two fault in the same page";
        disk: bytes = 64 * MIB, MIB, 1 << 40, &[], "size of the zram device that is the swap area";
        raw: bytes = 8 * MIB, 0, MEMORY_MAX, &[], "size of a second zram device, which is read, written and discarded as a block device with direct input and output; 0 makes none";
        compressor: word = "lzo-rle", 0, 0, &["lzo-rle", "lzo", "lz4", "zstd", "deflate"], "zram's compressor";
        recompressor: word = "zstd", 0, 0, &["none", "lz4", "zstd", "deflate"], "its second one, for recompression; none recompresses nothing";
        backing: word = "both", 0, 0, &["none", "swap", "raw", "both"], "which of the two devices has the swap disk as backing device and writes slots back to it; both: the raw one has the data disk, where the machine has one";
        compaction: bool = true, 0, 0, &[], "an antagonist that writes /proc/sys/vm/compact_memory: the pages of zspages migrate";
        pool_compaction: bool = true, 0, 0, &[], "an antagonist that writes zram's compact";
        failslab: count = 30, 0, 100, &[], "an antagonist: how many of 100 allocations of zsmalloc's handles fail where they may not sleep (zram compresses once more then)";
        mem_limit: bytes = 0, 0, MEMORY_MAX, &[], "zram's mem_limit; 0 sets none. Writes over it fail, which is no finding";
        limit_flips: bool = false, 0, 0, &[], "an antagonist that flips mem_limit between mem_limit (or a half of what is used) and none";
        reclaim: bool = false, 0, 0, &[], "an antagonist that writes memory.reclaim";
        stable_writes: bool = true, 0, 0, &[], "queue/stable_writes of the swap area; false takes its word away that pages stay as they are while they are written, which no zram survives";
        ..beside
    }
}

impl ZramWriteback {
    /// Name, as in YAML.
    pub const NAME: &'static str = "zram_writeback";

    /// What the catalogue says of it.
    #[must_use]
    pub fn info() -> Info {
        Info {
            name: Self::NAME,
            doc: "zram as swap and as a block device: write-back, recompression, compaction, migration, failing allocations",
            params: Self::table(),
            needs: &[
                "SWAP",
                "ZRAM",
                "ZRAM_WRITEBACK",
                "ZRAM_MULTI_COMP",
                "ZSMALLOC_STAT",
                "COMPACTION",
                "MEMCG",
                "FAILSLAB",
                "FAULT_INJECTION_DEBUG_FS",
                "VM_EVENT_COUNTERS",
                "PROC_PAGE_MONITOR",
            ],
            files: &[
                "drivers/block/zram/*",
                "mm/zsmalloc.c",
                "include/linux/zsmalloc.h",
                "mm/swap_state.c",
                "mm/swapfile.c",
                "mm/swap_slots.c",
                "mm/swap.h",
                "mm/page_io.c",
                "include/linux/swap*.h",
                "mm/memory.c",
                "mm/vmscan.c",
                "mm/compaction.c",
                "mm/migrate.c",
            ],
            symbols: &[
                "zram_*",
                "zcomp_*",
                "zs_*",
                "obj_malloc",
                "obj_free",
                "*_zspage*",
                "compact_*",
                "migrate_*",
                "isolate_migratepages*",
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
        let pages = self.churn / 4096 + self.cold / 4096 + self.hot;
        if pages == 0 {
            return Err("churn, cold and hot can't all be nothing");
        }
        if pages * 4096 > self.disk.saturating_sub(64 * KIB) {
            return Err("the disk must have room for churn, cold and hot together, and 64KiB more");
        }
        if self.churn != 0 && self.churn / 4096 < self.churners {
            return Err("churn must have at least one page for each churner");
        }
        if self.backing == "raw" && self.raw == 0 {
            return Err("backing: raw needs a raw device");
        }
        if self.raw != 0 && self.raw < 64 * KIB {
            return Err("raw must be at least 64KiB, or 0 for none");
        }
        Ok(())
    }

    /// Least rates under software emulation, about a quarter of what a quiet machine reached with a racepoint
    /// armed; only what the parameters switch on is asked for.
    #[must_use]
    pub fn floors(&self) -> Vec<Floor> {
        let swaps = self.churn / 4096 + self.cold / 4096 > 256;
        let writes_back = match self.backing.as_str() {
            "none" => false,
            "raw" => true,
            _ => swaps,
        };
        let floors = [
            (swaps, Counter::PagesVerified, 150),
            (self.cold > 0, Counter::RoundTrips, 60),
            (swaps, Counter::ZramStore, 300),
            (swaps, Counter::ZramLoad, 150),
            (self.raw > 0, Counter::BlocksVerified, 250),
            (writes_back, Counter::ZramWriteback, 40),
            (self.recompressor != "none", Counter::ZramRecompress, 8),
            (self.failslab > 0, Counter::ZramStall, 100),
            (self.compaction && self.churn > 0, Counter::PagesMigrated, 50),
        ];
        let floor = |(on, counter, per_s): (bool, _, _)| on.then_some(Floor { counter, per_s });
        floors.into_iter().filter_map(floor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ZramWriteback)) -> ZramWriteback {
        let mut params = ZramWriteback::default();
        change(&mut params);
        params
    }

    #[test]
    fn the_defaults_are_possible_and_everything_switched_on_has_a_floor() {
        let params = ZramWriteback::default();
        assert_eq!(params.consistent(), Ok(()));
        assert_eq!(params.floors().len(), 9);
        let quiet = with(|p| (p.failslab, p.compaction, p.raw) = (0, false, 0));
        let asked = |counter| quiet.floors().iter().any(|floor| floor.counter == counter);
        assert!(asked(Counter::ZramStore) && !asked(Counter::ZramStall));
        assert!(!asked(Counter::PagesMigrated) && !asked(Counter::BlocksVerified));
    }

    #[test]
    fn what_is_impossible_together_is_refused() {
        assert!(with(|p| p.disk = 16 * MIB).consistent().is_err());
        assert!(
            with(|p| (p.churn, p.cold, p.hot) = (0, 0, 0))
                .consistent()
                .is_err()
        );
        assert!(
            with(|p| (p.backing, p.raw) = ("raw".to_owned(), 0))
                .consistent()
                .is_err()
        );
        assert!(with(|p| (p.churn, p.churners) = (4096, 2)).consistent().is_err());
    }
}
