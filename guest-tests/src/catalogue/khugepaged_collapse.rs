//! Parameters, floors and needs of the workload `khugepaged_collapse`.

use super::{Counter, Floor, Info, params};

params! {
    /// Huge pages made and broken under a reference model: regions of anonymous memory, of shared memory
    /// and of a file, each the size of one huge page. Owners draw operations (stores, DONTNEED, FREE, hole
    /// punching, truncation, collapse, paging out, fork, mremap …) by weight and check every page against
    /// the model; antagonists collapse, zap, split and reclaim the same regions at the same time and
    /// preserve their content. A weight of 0 switches an operation off.
    KhugepagedCollapse {
        anon: count = 2, 0, 64, &[], "regions of private anonymous memory";
        shared: count = 2, 1, 64, &[], "regions of shared memory (a memfd each), mapped shared twice and private once";
        files: count = 1, 0, 16, &[], "regions of files on the data disk (ext4), mapped read-only; needs a machine with a data disk";
        file_writes: bool = false, 0, 0, &[], "files are written, punched and truncated while huge pages may be made of them; off: they are written once, before. Kernels that wait for a file's invalidate_lock while they hold its pages' locks (6.12.117 does in collapse_file()) hang at it";
        owners: count = 2, 1, 16, &[], "threads that own the regions, each its share";
        zap: bool = true, 0, 0, &[], "an antagonist that zaps 1 to 64 pages of a shared mapping (MADV_DONTNEED) and touches some again";
        retract: bool = true, 0, 0, &[], "an antagonist that maps a region page by page (NOHUGEPAGE, DONTNEED, touch) and then collapses it, so that its page table is retracted";
        collapse: bool = true, 0, 0, &[], "an antagonist that collapses any region at any time (MADV_COLLAPSE)";
        khugepaged: bool = true, 0, 0, &[], "the kernel's own thread scans without a pause; off: it is as slow as it can be";
        split: bool = true, 0, 0, &[], "an antagonist that splits huge pages (debugfs split_huge_pages)";
        reclaim: bool = true, 0, 0, &[], "an antagonist that pages regions out (MADV_PAGEOUT, MADV_COLD)";
        remote: bool = true, 0, 0, &[], "another process that maps the shared regions, touches, zaps and collapses them";
        w_store: count = 24, 0, 100, &[], "weight: pages are stored to, each with its next generation";
        w_verify: count = 20, 0, 100, &[], "weight: pages are only verified";
        w_dontneed: count = 12, 0, 100, &[], "weight: MADV_DONTNEED of 1 to 64 pages (anonymous memory, or the private mapping)";
        w_free: count = 4, 0, 100, &[], "weight: MADV_FREE of 1 to 64 pages of anonymous memory";
        w_punch: count = 8, 0, 100, &[], "weight: a hole of 1 to 64 pages is punched into shared memory";
        w_truncate: count = 2, 0, 100, &[], "weight: the file is truncated, looked at past its end, and extended again";
        w_collapse: count = 8, 0, 100, &[], "weight: MADV_COLLAPSE by the owner";
        w_refault: count = 4, 0, 100, &[], "weight: the region is mapped page by page (NOHUGEPAGE) from now on, or huge again";
        w_pageout: count = 4, 0, 100, &[], "weight: MADV_PAGEOUT of 1 to 64 pages";
        w_protect: count = 4, 0, 100, &[], "weight: some pages are made read-only and writable again (mprotect)";
        w_read: count = 4, 0, 100, &[], "weight: a file is read, from the page cache and from the disk (O_DIRECT)";
        w_arm: count = 2, 0, 100, &[], "weight: anonymous memory is armed for missing pages (userfaultfd), emptied in part and looked at: nobody may fill it";
        w_fork: count = 1, 0, 100, &[], "weight: a child is forked, which sends back what it sees";
        w_mremap: count = 2, 0, 100, &[], "weight: anonymous memory is moved to another address";
        ..beside
    }
}

impl KhugepagedCollapse {
    /// Name, as in YAML.
    pub const NAME: &'static str = "khugepaged_collapse";

    /// What the catalogue says of it.
    #[must_use]
    pub fn info() -> Info {
        Info {
            name: Self::NAME,
            doc: "huge pages collapsed, retracted and split against zaps, punching, truncation and reclaim",
            params: Self::table(),
            needs: &[
                "TRANSPARENT_HUGEPAGE",
                "SHMEM",
                "USERFAULTFD",
                "MEMFD_CREATE",
                "SWAP",
                "VM_EVENT_COUNTERS",
                "PROC_PAGE_MONITOR",
            ],
            files: &[
                "mm/khugepaged.c",
                "include/linux/khugepaged.h",
                "mm/huge_memory.c",
                "include/linux/huge_mm.h",
                "mm/madvise.c",
                "mm/memory.c",
                "mm/rmap.c",
                "mm/shmem.c",
                "mm/truncate.c",
                "mm/filemap.c",
                "mm/mremap.c",
                "mm/mprotect.c",
                "mm/pagewalk.c",
                "mm/page_vma_mapped.c",
                "fs/ext4/inode.c",
            ],
            symbols: &[
                "khugepaged*",
                "collapse_*",
                "hpage_*",
                "retract_page_tables",
                "set_huge_pmd",
                "*_huge_pmd",
                "split_huge_*",
                "__split_huge_*",
                "zap_*",
                "madvise_*",
                "folio_*_rmap_*",
                "shmem_*",
                "truncate_*",
            ],
        }
    }

    /// Checks what no single parameter's limits can.
    ///
    /// # Errors
    /// What is impossible together, for people.
    pub fn consistent(&self) -> Result<(), &'static str> {
        if self.owners > self.anon + self.shared + self.files {
            return Err("there must be at least one region for each owner");
        }
        if self.w_store == 0 || self.w_verify == 0 {
            return Err("w_store and w_verify must not be 0: nothing would be checked");
        }
        Ok(())
    }

    /// Least rates under software emulation.
    #[must_use]
    pub fn floors(&self) -> Vec<Floor> {
        let floor = |counter, per_s| Floor { counter, per_s };
        let mut floors = vec![
            floor(Counter::PagesVerified, 500),
            floor(Counter::PagesWritten, 200),
        ];
        if self.collapse || self.retract || self.w_collapse > 0 {
            floors.push(floor(Counter::Collapses, 5));
            floors.push(floor(Counter::RoundTrips, 50));
        }
        if self.retract {
            floors.push(floor(Counter::Retractions, 3));
        }
        if self.zap {
            floors.push(floor(Counter::Zaps, 500));
        }
        if self.split {
            floors.push(floor(Counter::HugeSplits, 1));
        }
        floors
    }
}
