//! The board: memory that a case's process shares with its supervisor.
//!
//! Each thread of the case beats here; the supervisor reads the beats and sees a thread that makes
//! no progress even when the whole process is stuck in the kernel. The handler of `SIGBUS` and
//! `SIGSEGV` leaves the faulting address here before it ends the process, unless it was an access that may
//! fault (`try_read` and its like in [`super::field`]).

use super::{Doing, Result, SysError, glimpse};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The most threads that a board watches.
pub const LANES_MAX: usize = 96;
/// Exit status of a process that ended itself after a fault that it could not resolve.
pub const FAULT_EXIT: i32 = 86;

/// One thread's place on the board.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Lane {
    name: [AtomicU64; 2],
    tid: AtomicU32,
    /// Seconds without a beat after which the thread hangs; 0 watches nothing.
    patience_s: AtomicU32,
    beats: AtomicU64,
    /// The page that the thread is about to read and its generation.
    noted: AtomicU64,
}

impl Lane {
    /// Notes which page the thread is about to read, and the generation that it must hold: what a
    /// fault there would be an answer to.
    pub fn note_page(&self, page: u32, generation: u32) {
        self.noted
            .store(u64::from(page) << 32 | u64::from(generation), Ordering::Relaxed);
    }

    /// Counts one step of the thread's work.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats, and says how long the next step may take; 0 for a thread that may wait for ever.
    pub fn expect_within(&self, patience_s: u32) {
        self.beat();
        self.patience_s.store(patience_s, Ordering::Release);
    }

    /// Steps so far.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Seconds without a beat after which the thread hangs; 0 watches nothing.
    #[must_use]
    pub fn patience_s(&self) -> u32 {
        self.patience_s.load(Ordering::Acquire)
    }

    /// The thread's id.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Makes it the calling thread's place, under a name of up to 16 bytes.
    pub fn rename(&self, name: &str) {
        let mut bytes = [0u8; 16];
        let len = name.len().min(16);
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        for (word, chunk) in self.name.iter().zip(bytes.chunks_exact(8)) {
            word.store(
                u64::from_le_bytes(chunk.try_into().unwrap_or_default()),
                Ordering::Relaxed,
            );
        }
        self.tid.store(
            rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(),
            Ordering::Relaxed,
        );
    }

    /// The thread's name, up to 16 bytes.
    #[must_use]
    pub fn name(&self) -> String {
        let bytes: Vec<u8> = self
            .name
            .iter()
            .flat_map(|w| w.load(Ordering::Relaxed).to_le_bytes())
            .collect();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }
}

/// What the fault handler saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// `SIGBUS` or `SIGSEGV`.
    pub signal: u32,
    /// The faulting address.
    pub address: u64,
    /// The arena's first address, where the case has told it; 0 otherwise.
    pub arena: u64,
    /// The arena's pages.
    pub arena_pages: u64,
    /// It lies in a field.
    pub in_field: bool,
    /// The page that the faulting thread was about to read and its generation, where it said so.
    pub noted: Option<(u32, u32)>,
}

#[repr(C)]
struct Shared {
    lanes: [Lane; LANES_MAX],
    taken: AtomicU32,
    fault_signal: AtomicU32,
    fault_tid: AtomicU32,
    fault_address: AtomicU64,
    arena: AtomicU64,
    arena_pages: AtomicU64,
    field: AtomicU64,
    field_pages: AtomicU64,
}

/// A mapping of the board. The memory behind it lives as long as any process maps it.
#[derive(Debug)]
pub struct Board {
    shared: NonNull<Shared>,
    fd: OwnedFd,
}

// SAFETY: the mapping belongs to the process and is never unmapped (see `Drop`'s absence).
unsafe impl Send for Board {}
// SAFETY: everything behind the pointer is atomic.
unsafe impl Sync for Board {}

impl Board {
    /// Makes a board; its descriptor is inherited by children.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn make() -> Result<Self> {
        let fd =
            memfd_create("patchproof-board", MemfdFlags::empty()).doing(|| "making the board".to_owned())?;
        ftruncate(&fd, std::mem::size_of::<Shared>() as u64).doing(|| "sizing the board".to_owned())?;
        Self::open(fd)
    }

    /// Maps a board that another process made. An empty board is all zeros, which is valid.
    ///
    /// # Errors
    /// Those of the kernel, and a file that is too short to be a board.
    pub fn open(fd: OwnedFd) -> Result<Self> {
        let len = std::mem::size_of::<Shared>();
        let size = rustix::fs::fstat(&fd)
            .doing(|| "looking at the board".to_owned())?
            .st_size;
        if usize::try_from(size).unwrap_or(0) < len {
            return Err(SysError::content(
                "mapping the board",
                format!("it has {size} bytes, not {len}"),
            ));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; the file is long enough.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(at.cast::<Shared>()) {
            Some(shared) if at != libc::MAP_FAILED => Ok(Self { shared, fd }),
            _ => Err(SysError::last("mapping the board")),
        }
    }

    /// The descriptor to hand to another process.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the mapping is never unmapped, is large enough and aligned to a page, and all of
        // its fields are atomics, for which any bit pattern is valid.
        unsafe { self.shared.as_ref() }
    }

    /// Takes a place for the calling thread; `None` when the board is full.
    #[must_use]
    pub fn lane(&self, name: &str) -> Option<&Lane> {
        let index = self.shared().taken.fetch_add(1, Ordering::Relaxed) as usize;
        let lane = self.shared().lanes.get(index)?;
        lane.rename(name);
        Some(lane)
    }

    /// The places that are taken.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        let taken = self.shared().taken.load(Ordering::Relaxed) as usize;
        &self.shared().lanes[..taken.min(LANES_MAX)]
    }

    /// Says where the arena is, so that a fault's address can be told as a page.
    pub fn note_arena(&self, address: u64, pages: usize) {
        self.shared().arena_pages.store(pages as u64, Ordering::Relaxed);
        self.shared().arena.store(address, Ordering::Release);
    }

    /// Says where a field is: memory whose pages move about, so that only the note of the faulting
    /// thread tells which page it was.
    pub fn note_field(&self, address: u64, pages: usize) {
        self.shared().field_pages.store(pages as u64, Ordering::Relaxed);
        self.shared().field.store(address, Ordering::Release);
    }

    /// What the fault handler left, if it ran.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let shared = self.shared();
        let signal = shared.fault_signal.load(Ordering::Acquire);
        let tid = shared.fault_tid.load(Ordering::Relaxed);
        let lane = self.lanes().iter().find(|lane| lane.tid() == tid);
        let noted = lane
            .map(|lane| lane.noted.load(Ordering::Relaxed))
            .filter(|&noted| noted != 0);
        #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
        let noted = noted.map(|noted| ((noted >> 32) as u32, noted as u32));
        let address = shared.fault_address.load(Ordering::Relaxed);
        let (field, pages) = (
            shared.field.load(Ordering::Relaxed),
            shared.field_pages.load(Ordering::Relaxed),
        );
        let in_field = field != 0 && (field..field + pages * 4096).contains(&address);
        (signal != 0).then(|| Fault {
            in_field,
            signal,
            address,
            arena: shared.arena.load(Ordering::Relaxed),
            arena_pages: shared.arena_pages.load(Ordering::Relaxed),
            noted,
        })
    }

    /// Makes `SIGBUS` and `SIGSEGV` of this process end it with [`FAULT_EXIT`] after the address has
    /// been left on the board; an access that may fault ends instead, and says so.
    ///
    /// # Errors
    /// Those of `sigaction`.
    pub fn catch_faults(&self) -> Result<()> {
        HANDLER_BOARD.store(self.shared.as_ptr(), Ordering::Release);
        for signal in [libc::SIGBUS, libc::SIGSEGV] {
            // SAFETY: all-zero is a valid sigaction; the fields that matter are set below.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: the handler only touches atomics in memory that is never unmapped, and `_exit`.
            if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
                return Err(SysError::last(format!("catching signal {signal}")));
            }
        }
        Ok(())
    }
}

/// Where [`on_fault`] leaves what it saw. Points into a mapping that is never unmapped.
static HANDLER_BOARD: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the pointer is null or points to a board, which is never unmapped; the kernel passes a
    // valid siginfo and the interrupted thread's context to an SA_SIGINFO handler; loads and stores of atomics,
    // `gettid` and `_exit` are async-signal-safe.
    unsafe {
        let at = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize];
        if let Some(on) = glimpse::after_fault(*at as usize) {
            *at = on as libc::greg_t;
            return;
        }
        if let Some(shared) = HANDLER_BOARD.load(Ordering::Acquire).as_ref() {
            shared
                .fault_tid
                .store(libc::gettid().unsigned_abs(), Ordering::Relaxed);
            shared
                .fault_address
                .store((*info).si_addr() as u64, Ordering::Relaxed);
            shared
                .fault_signal
                .store(signal.unsigned_abs(), Ordering::Release);
        }
        libc::_exit(FAULT_EXIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let mine = Board::make().unwrap();
        let theirs = Board::open(mine.fd().try_clone_to_owned().unwrap()).unwrap();
        let lane = theirs.lane("worker 1").unwrap();
        lane.beat();
        lane.expect_within(10);
        theirs.note_arena(0x1000, 4);
        let seen = &mine.lanes()[0];
        assert_eq!(
            (seen.name().as_str(), seen.beats(), seen.patience_s()),
            ("worker 1", 2, 10)
        );
        assert_eq!(
            seen.tid(),
            rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
        );
        assert_eq!(mine.fault(), None);
    }

    #[test]
    fn a_full_board_says_so() {
        let board = Board::make().unwrap();
        assert!((0..LANES_MAX).all(|_| board.lane("x").is_some()));
        assert!(board.lane("one too many").is_none());
        assert_eq!(board.lanes().len(), LANES_MAX);
    }

    #[test]
    fn a_short_file_is_no_board() {
        let fd = memfd_create("short", MemfdFlags::empty()).unwrap();
        assert!(Board::open(fd).is_err());
    }
}
