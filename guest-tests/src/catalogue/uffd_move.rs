//! Parameters, floors and needs of the workload `uffd_move`.

use super::{Counter, Floor, Info, params};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

params! {
    /// UFFDIO_MOVE under pressure: pages go back and forth between two ranges while they are swapped out,
    /// in the swap cache, read back, shared after a fork, write-protected, zero or missing. Each pair is a
    /// mover, who owns the pages, and a meddler on another CPU, who interferes: at random, and in duels over
    /// one page, drawn as short sequences, whose every legal outcome is known. Racepoints that a case holds
    /// (`hold`) put the sequences where they hurt.
    UffdMove {
        pairs: count = 1, 1, 16, &[], "pairs of threads: a mover that owns its pages and makes the calls, and a meddler on the next CPU";
        pages: count = 64, 8, 65_536, &[], "pages of each pair that are populated, on the average; each has twice as many places";
        swap: word = "disk", 0, 0, &["disk", "zswap", "zram"], "what is swapped to: the disk, zswap before it, or a zram device that is made for the case";
        swap_area: bytes = 4 * MIB, 0, 1 << 40, &[], "size of the swap area, at the front of the swap disk; 0 takes the whole disk";
        short_slots: count = 32, 0, 1_000_000, &[], "swap slots that the pages lack, so that a slot that comes free is taken at once; 0 leaves slots free";
        content: word = "mixed", 0, 0, &["small", "mixed"], "how well pages compress: small, or mixed (anything from same-filled to incompressible)";
        duels: count = 300, 0, 1000, &[], "weight of a duel: one page moved while the meddler acts on it and on a bystander";
        moves: count = 120, 0, 1000, &[], "weight of a move of several pages";
        reads: count = 80, 0, 1000, &[], "weight of verifying pages";
        writes: count = 60, 0, 1000, &[], "weight of rewriting pages";
        pageouts: count = 120, 0, 1000, &[], "weight of paging out";
        fills: count = 80, 0, 1000, &[], "weight of UFFDIO_COPY and UFFDIO_ZEROPAGE";
        drops: count = 40, 0, 1000, &[], "weight of MADV_DONTNEED and MADV_FREE";
        protects: count = 40, 0, 1000, &[], "weight of UFFDIO_WRITEPROTECT, on and off";
        poisons: count = 10, 0, 1000, &[], "weight of UFFDIO_POISON";
        forks: count = 1, 0, 1000, &[], "weight of a fork: the child keeps what it shares for a few operations";
        meddle: bool = true, 0, 0, &[], "an antagonist: between duels each meddler reads and pages out its mover's pages";
        reclaim: bool = false, 0, 0, &[], "an antagonist that writes memory.reclaim, so that pages leave the swap cache; it takes much of a CPU where little can be reclaimed (duels ask for what they need themselves)";
        compaction: bool = true, 0, 0, &[], "an antagonist that writes compact_memory, so that pages migrate";
        ..beside
    }
}

impl UffdMove {
    /// Name, as in YAML.
    pub const NAME: &'static str = "uffd_move";

    /// What the catalogue says of it.
    #[must_use]
    pub fn info() -> Info {
        Info {
            name: Self::NAME,
            doc: "UFFDIO_MOVE of pages that are swapped, cached, read back, shared and protected",
            params: Self::table(),
            needs: &[
                "SWAP",
                "USERFAULTFD",
                "MEMCG",
                "SHMEM",
                "VM_EVENT_COUNTERS",
                "PROC_PAGE_MONITOR",
            ],
            files: &[
                "mm/userfaultfd.c",
                "fs/userfaultfd.c",
                "include/linux/userfaultfd_k.h",
                "include/uapi/linux/userfaultfd.h",
                "mm/swap_state.c",
                "mm/swapfile.c",
                "mm/swap_slots.c",
                "mm/swap.h",
                "mm/page_io.c",
                "include/linux/swap*.h",
                "mm/memory.c",
                "mm/rmap.c",
                "mm/mprotect.c",
            ],
            symbols: &[
                "userfaultfd_*",
                "handle_userfault",
                "uffd_*",
                "mfill_*",
                "move_pages*",
                "move_present_pte",
                "move_swap_pte",
                "move_zeropage_pte",
                "folio_move_anon_rmap",
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
        if self.moves + self.duels == 0 {
            return Err("moves and duels can't both have no weight: nothing would be moved");
        }
        if self.short_slots >= self.pairs * self.pages {
            return Err("short_slots must be less than the populated pages, or nothing can be swapped");
        }
        if self.pairs * self.pages * 2 > 256 * MIB / (4 * KIB) {
            return Err("pairs × pages must be at most 32768");
        }
        Ok(())
    }

    /// Least rates under software emulation.
    #[must_use]
    pub fn floors(&self) -> Vec<Floor> {
        let mut floors = vec![
            Floor {
                counter: Counter::PagesVerified,
                per_s: 40,
            },
            Floor {
                counter: Counter::Moves,
                per_s: 20,
            },
            Floor {
                counter: Counter::MovesSwapped,
                per_s: 8,
            },
        ];
        if self.duels > 0 {
            floors.push(Floor {
                counter: Counter::Duels,
                per_s: 8,
            });
        }
        floors
    }
}
