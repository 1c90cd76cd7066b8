//! A range armed for missing pages: an access where nothing is fails, and nobody is asked to fill it.
//! What only needs that, and no handler, uses this.

use super::Result;
use super::arena::Arena;
use super::uffd::{Features, Mode, Span, Uffd};
use std::ops::Range;

/// A range that is armed for missing pages. Dropping it disarms it.
#[derive(Debug)]
pub struct Armed {
    uffd: Uffd,
    span: Span,
}

impl Armed {
    /// Arms a range of pages, which must be mapped.
    ///
    /// # Errors
    /// Those of `userfaultfd`; `ENOSYS` where the kernel has none.
    pub fn missing(arena: &Arena, pages: &Range<usize>) -> Result<Self> {
        let uffd = Uffd::open(Features::SIGBUS)?;
        let span = Span::from((arena, pages.clone()));
        uffd.register(
            span,
            Mode {
                missing: true,
                wp: false,
            },
        )?;
        Ok(Self { uffd, span })
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // Closing alone would not do: a child that was forked meanwhile has the descriptor too.
        let _ = self.uffd.unregister(self.span);
    }
}
