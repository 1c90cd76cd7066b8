//! What an owner reads and writes past its mappings: the files below its regions, and pages that a pipe refers to.

use super::owner::{Done, Owner};
use crate::sys::arena::PAGE_LEN;
use crate::sys::field::{Access, Ask};
use std::ops::Range;
use std::os::fd::AsFd;

impl Owner<'_> {
    pub(super) fn file_store(&mut self, at: usize, range: Range<usize>) -> Done {
        for page in range {
            self.regions[at].file_store(&self.engine.origin, page, &mut self.data)?;
        }
        Ok(())
    }

    pub(super) fn file_read(&mut self, at: usize, range: Range<usize>) -> Done {
        for page in range {
            self.regions[at].file_read(page, &mut self.data)?;
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
