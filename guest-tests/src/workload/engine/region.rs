//! A region: some pages of one kind of memory, what each may hold, and the plots that it moves between.

use crate::model::{Backing, Content, Fault, Holds, Mismatch, Name, Op, Origin, PageState};
use crate::sys::arena::{PAGE_LEN, PAGE_WORDS, PageWords};
use crate::sys::diskfile::Aligned;
use crate::sys::field::{Access, Ask, Field, PLOT_PAGES, Source};
use crate::sys::pagemap::{Entry, Pagemap};
use crate::sys::{Doing, Result, SysError};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What a region is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Private anonymous memory of base pages.
    Small,
    /// Private anonymous memory where the kernel may use any size of page.
    Large,
    /// A memory file, shared.
    Shared,
    /// A memory file, private.
    PrivateFile,
    /// A file on a disk, shared: what was synced is on the disk.
    Disk,
}

impl Kind {
    /// What the model calls it.
    #[must_use]
    pub fn backing(self) -> Backing {
        match self {
            Self::Small | Self::Large => Backing::PrivateAnon,
            Self::Shared | Self::Disk => Backing::Shared,
            Self::PrivateFile => Backing::PrivateFile,
        }
    }

    /// Words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Small => "private anonymous, base pages",
            Self::Large => "private anonymous, pages of any size",
            Self::Shared => "a memory file, shared",
            Self::PrivateFile => "a memory file, private",
            Self::Disk => "a file on a disk, shared",
        }
    }

    /// Whether what is stored to it is the file's.
    #[must_use]
    pub fn is_shared(self) -> bool {
        self.backing() == Backing::Shared
    }

    /// What is used instead, where nobody has a disk for it.
    #[must_use]
    pub fn without_a_disk(self) -> Self {
        match self {
            Self::Disk => Self::Shared,
            Self::Small | Self::Large | Self::Shared | Self::PrivateFile => self,
        }
    }
}

/// Some pages of one kind, in one of two plots.
#[derive(Debug)]
pub struct Region {
    /// What it is made of.
    pub kind: Kind,
    /// Number of its first page in stamps.
    pub first: u32,
    plots: [usize; 2],
    at: usize,
    file: Option<File>,
    /// The file once more, open for reads from the disk.
    direct: Option<File>,
    states: Vec<PageState>,
    generations: Vec<u32>,
    access: Vec<Access>,
}

impl Region {
    /// Maps a region of so many pages in the first of two plots; a file that is to be on a disk is made in `folder`. Their
    /// generations count on from `newest`, so that what an earlier region left behind under the same numbers is told apart.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn map(
        field: &Field,
        plots: [usize; 2],
        (kind, pages): (Kind, usize),
        folder: Option<&Path>,
        first: u32,
        newest: u32,
    ) -> Result<Self> {
        let kind = if folder.is_some() {
            kind
        } else {
            kind.without_a_disk()
        };
        let (file, direct) = match (kind, folder) {
            (Kind::Small | Kind::Large, _) => (None, None),
            (Kind::Disk, Some(folder)) => {
                let (file, direct) = disk_file(folder, pages)?;
                (Some(file), Some(direct))
            }
            (Kind::Shared | Kind::PrivateFile | Kind::Disk, _) => (Some(memory_file(pages)?), None),
        };
        let source = match &file {
            Some(file) if kind.is_shared() => Source::Shared(file.as_fd()),
            Some(file) => Source::Private(file.as_fd()),
            None => Source::Anon,
        };
        field.map(plots[0], pages, source)?;
        let region = Self {
            kind,
            first,
            plots,
            at: 0,
            file,
            direct,
            states: (0..pages)
                .map(|page| PageState {
                    dropped: newest,
                    ..PageState::fresh(first + page as u32, kind.backing(), fresh_file(kind))
                })
                .collect(),
            generations: vec![newest; pages],
            access: vec![Access::ReadWrite; pages],
        };
        let size = if matches!(kind, Kind::Large | Kind::Shared) {
            Ask::Huge
        } else {
            Ask::NoHuge
        };
        region.advise_size(field, size)?;
        Ok(region)
    }

    /// Advises which sizes of pages the kernel may use.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn advise_size(&self, field: &Field, ask: Ask) -> Result<()> {
        match field.ask(self.plot(), 0..self.pages(), ask) {
            // A kernel without huge pages does not know the advice.
            Err(e) if e.errno() == Some(libc::EINVAL) => Ok(()),
            other => other,
        }
    }

    /// Pages.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.states.len()
    }

    /// The plot that it is in.
    #[must_use]
    pub fn plot(&self) -> usize {
        self.plots[self.at]
    }

    /// The plot that it is not in.
    #[must_use]
    pub fn other_plot(&self) -> usize {
        self.plots[1 - self.at]
    }

    /// Notes that it was moved to its other plot.
    pub fn moved(&mut self) {
        self.at = 1 - self.at;
        self.apply(
            0..self.pages(),
            Op::Remap {
                keeps_userfaults: false,
            },
        );
    }

    /// What a page may hold.
    #[must_use]
    pub fn state(&self, page: usize) -> &PageState {
        &self.states[page]
    }

    /// The newest generation of a page.
    #[must_use]
    pub fn generation(&self, page: usize) -> u32 {
        self.generations[page]
    }

    /// Notes a successful operation on pages.
    pub fn apply(&mut self, pages: Range<usize>, op: Op) {
        for state in &mut self.states[pages] {
            *state = state.apply(op);
        }
    }

    /// The file, where it is mapped from one.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Names the next generation of a page.
    pub fn next(&mut self, page: usize) -> Name {
        self.generations[page] += 1;
        Name {
            page: self.first + page as u32,
            generation: self.generations[page],
        }
    }

    /// Whether pages may be accessed in a way at this moment.
    #[must_use]
    pub fn allows(&self, pages: Range<usize>, wanted: Access) -> bool {
        self.access[pages].iter().all(|&now| match wanted {
            Access::ReadWrite => now == Access::ReadWrite,
            Access::Read => now != Access::None,
            Access::None => true,
        })
    }

    /// Changes how pages may be accessed.
    ///
    /// # Errors
    /// Those of `mprotect`.
    pub fn protect(&mut self, field: &Field, pages: Range<usize>, access: Access) -> Result<()> {
        field.protect(self.plot(), pages.clone(), access)?;
        self.access[pages].fill(access);
        Ok(())
    }

    /// Writes a page with its next generation.
    pub fn store(&mut self, field: &Field, origin: &Origin, page: usize, data: &mut PageWords) {
        let name = self.next(page);
        origin.stamp(name.page, name.generation).write(data);
        field.write(self.plot(), page, data);
        self.apply(page..page + 1, Op::Store(name));
    }

    /// Writes a page of the file with its next generation.
    ///
    /// # Errors
    /// Those of `pwrite`.
    pub fn file_store(&mut self, origin: &Origin, page: usize, data: &mut PageWords) -> Result<()> {
        let name = self.next(page);
        origin.stamp(name.page, name.generation).write(data);
        let Some(file) = &self.file else {
            return Ok(());
        };
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_ne_bytes()).collect();
        file.write_all_at(&bytes, (page * PAGE_LEN) as u64)
            .doing(|| format!("pwrite of page {page} of {}", self.kind.words()))?;
        self.apply(page..page + 1, Op::FileStore(name));
        Ok(())
    }

    /// Has the file on its disk, where it has one; tells whether it has.
    ///
    /// # Errors
    /// Those of `fsync`.
    pub fn sync(&self) -> Result<bool> {
        match (&self.file, &self.direct) {
            (Some(file), Some(_)) => file
                .sync_all()
                .doing(|| format!("fsync of {}", self.kind.words()))
                .map(|()| true),
            _ => Ok(false),
        }
    }

    /// Reads a page of the file, or what of it is on the disk, where it has one.
    ///
    /// # Errors
    /// Those of `pread`.
    pub fn file_read(&self, page: usize, from_disk: bool, data: &mut PageWords) -> Result<()> {
        let direct = self.direct.as_ref().filter(|_| from_disk);
        let Some(file) = direct.or(self.file.as_ref()) else {
            return Ok(());
        };
        let mut buffer = Box::new(Aligned([0; PAGE_LEN]));
        file.read_exact_at(&mut buffer.0, (page * PAGE_LEN) as u64)
            .doing(|| format!("pread of page {page} of {}", self.kind.words()))?;
        for (word, bytes) in data.iter_mut().zip(buffer.0.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(())
    }

    /// Judges what a page of the file was read as.
    ///
    /// # Errors
    /// The classified mismatch.
    pub fn judge_file(
        &mut self,
        origin: &Origin,
        page: usize,
        data: &PageWords,
    ) -> std::result::Result<(), Box<Mismatch>> {
        if self.kind.is_shared() {
            return self.judge(origin, page, data);
        }
        let state = &self.states[page];
        let file = PageState {
            backing: Backing::Shared,
            content: Content::Is(state.file),
            ..state.clone()
        };
        file.read(origin, data).map(drop)
    }

    /// Says whether the file's page holds what it must, for people.
    #[must_use]
    pub fn file_words(&self, origin: &Origin, page: usize, data: &PageWords) -> String {
        let Some(_) = self.file else {
            return "there is none".to_owned();
        };
        let state = &self.states[page];
        let content = if self.kind.is_shared() {
            state.content.clone()
        } else {
            Content::Is(state.file)
        };
        let file = PageState {
            backing: Backing::Shared,
            content,
            ..state.clone()
        };
        match file.read(origin, data) {
            Ok(_) => "holds what it must".to_owned(),
            Err(mismatch) => mismatch.title(),
        }
    }

    /// Judges what a page was read as; what the reading tells is known from then on.
    ///
    /// # Errors
    /// The classified mismatch.
    pub fn judge(
        &mut self,
        origin: &Origin,
        page: usize,
        data: &PageWords,
    ) -> std::result::Result<(), Box<Mismatch>> {
        self.states[page] = self.states[page].read(origin, data)?;
        Ok(())
    }

    /// What a fault at a page means.
    ///
    /// # Errors
    /// The classified mismatch where the page must be there.
    pub fn judge_fault(&self, origin: &Origin, page: usize) -> std::result::Result<(), Box<Mismatch>> {
        self.states[page].fault(origin, Fault::Sigbus).map(drop)
    }

    /// Punches pages out of the file; from an even page on, gives them room again, which nobody has cleared yet.
    ///
    /// # Errors
    /// Those of `fallocate`, but for want of room.
    pub fn punch(&mut self, pages: Range<usize>) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let (start, len) = ((pages.start * PAGE_LEN) as u64, (pages.len() * PAGE_LEN) as u64);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file, flags, start, len).doing(|| format!("punching pages {pages:?}"))?;
        if pages.start.is_multiple_of(2) {
            // They read as zero, with room or without.
            let _ = fallocate(file, FallocateFlags::KEEP_SIZE, start, len);
        }
        self.apply(pages, Op::Punch);
        Ok(())
    }

    /// Shrinks the file to end before a page, and has it grow again.
    ///
    /// # Errors
    /// Those of `ftruncate`.
    pub fn truncate(&mut self, page: usize) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.set_len((page * PAGE_LEN) as u64)
            .doing(|| format!("shrinking {} to {page} pages", self.kind.words()))?;
        self.apply(page..self.pages(), Op::Truncate);
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.set_len((self.pages() * PAGE_LEN) as u64)
            .doing(|| format!("growing {}", self.kind.words()))?;
        self.apply(page..self.pages(), Op::Extend);
        Ok(())
    }

    /// Where pages are right now.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn entries(
        &self,
        field: &Field,
        pagemap: &Pagemap,
        pages: Range<usize>,
        into: &mut [Entry],
    ) -> Result<()> {
        pagemap.read_at(field.address(self.plot(), pages.start), &mut into[..pages.len()])
    }
}

/// What a private file mapping shows at first: a memory file is full of zeros.
fn fresh_file(kind: Kind) -> Holds {
    match kind {
        Kind::PrivateFile => Holds::Zero,
        Kind::Small | Kind::Large | Kind::Shared | Kind::Disk => Holds::Hole,
    }
}

/// A file of a folder that nobody else sees, open to be changed and to be read from the disk.
fn disk_file(folder: &Path, pages: usize) -> Result<(File, File)> {
    let doing = || format!("making a file in {}", folder.display());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(folder)
        .doing(doing)?;
    file.set_len((pages * PAGE_LEN) as u64).doing(doing)?;
    let direct = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .doing(doing)?;
    Ok((file, direct))
}

fn memory_file(pages: usize) -> Result<File> {
    if pages > PLOT_PAGES {
        return Err(SysError::content(
            "making a memory file",
            "it is longer than a plot",
        ));
    }
    let fd =
        memfd_create("patchproof-region", MemfdFlags::CLOEXEC).doing(|| "making a memory file".to_owned())?;
    let file = File::from(fd);
    file.set_len((pages * PAGE_LEN) as u64)
        .doing(|| "sizing a memory file".to_owned())?;
    Ok(file)
}

/// A page's worth of words, for callers that need a buffer of their own.
#[must_use]
pub fn buffer() -> Box<PageWords> {
    Box::new([0; PAGE_WORDS])
}
