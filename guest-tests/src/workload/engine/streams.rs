//! What an owner reads and writes past its mappings: the files below its regions, and pages that a pipe refers to.

use super::owner::{Done, Owner};
use crate::sys::arena::PAGE_LEN;
use crate::sys::field::{Access, Ask};
use rand_core::Rng;
use std::ops::Range;
use std::os::fd::AsFd;

impl Owner<'_> {
    pub(super) fn file_store(&mut self, at: usize, range: Range<usize>) -> Done {
        for page in range {
            self.regions[at].file_store(&self.engine.origin, page, &mut self.data)?;
        }
        Ok(())
    }

    /// Reads the file, and judges it; where it is on a disk, from there most of the time, and once more what was stored after
    /// it was synced: that is on the disk only if the kernel noticed that a clean page became dirty.
    pub(super) fn file_read(&mut self, at: usize, range: Range<usize>) -> Done {
        if self.rng.next_u32().is_multiple_of(4) || !self.regions[at].sync()? {
            return self.read_from(at, range, false);
        }
        self.read_from(at, range.clone(), true)?;
        self.store(at, range.clone())?;
        self.regions[at].sync()?;
        self.read_from(at, range, true)
    }

    fn read_from(&mut self, at: usize, range: Range<usize>, from_disk: bool) -> Done {
        for page in range {
            self.regions[at].file_read(page, from_disk, &mut self.data)?;
            let verdict = self.regions[at].judge_file(&self.engine.origin, page, &self.data);
            self.judged(at, page, verdict, None)?;
        }
        Ok(())
    }

    /// What a pipe refers to is what the pages hold, even while they leave memory.
    pub(super) fn splice(&mut self, at: usize, range: Range<usize>) -> Done {
        self.open(at, range.clone(), Access::Read)?;
        let plot = self.regions[at].plot();
        let taken = self
            .engine
            .field
            .splice(plot, range.clone(), self.pipe.1.as_fd())?;
        let outcome = self.engine.field.ask(plot, range.clone(), Ask::PageOut);
        let mut bytes = vec![0u8; taken];
        let mut filled = 0;
        while filled < taken {
            filled += rustix::io::read(&self.pipe.0, &mut bytes[filled..]).map_err(std::io::Error::from)?;
        }
        for (page, bytes) in range.zip(bytes.chunks_exact(PAGE_LEN)) {
            for (word, bytes) in self.data.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            }
            let verdict = self.regions[at].judge(&self.engine.origin, page, &self.data);
            self.judged(at, page, verdict, None)?;
        }
        Ok(outcome?)
    }
}
