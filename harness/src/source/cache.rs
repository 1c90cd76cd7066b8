//! The cache folder: where sources, worktrees and kernels are kept, and how that stays whole.
//!
//! ```text
//! sources/ID/{tree,manifest,symbols,entry.json}   pristine trees
//! worktrees/HASH/{tree,build,…,entry.json}        what incremental builds grow in
//! kernels/KEY/{bzImage,vmlinux,config,…,entry.json}
//! ccache/  tmp/  locks/  stat/  logs/
//! ```
//! An entry appears by one rename of a finished folder, so a half-made one is never seen. Each has a
//! lock file (flock, so that it ends with its holder): exclusive while it is made, moved or removed,
//! shared while it is used. Removing the least recently used ones skips what is locked. A folder in
//! `tmp/` holds a lock while its owner lives; whoever opens the cache removes those of the dead.
//!
//! Not here: what is in an entry.

use crate::host::fs::{remove_tree, write_atomic};
use crate::host::lock::{Lock, LockError};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a cache keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shelf {
    /// Finished kernels.
    Kernels,
    /// Trees and build folders.
    Worktrees,
    /// Pristine trees.
    Sources,
}

impl Shelf {
    const ALL: [Self; 3] = [Self::Kernels, Self::Worktrees, Self::Sources];

    /// Its folder's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernels => "kernels",
            Self::Worktrees => "worktrees",
            Self::Sources => "sources",
        }
    }
}

/// Most bytes a cache holds before the least recently used entries go, unless told otherwise.
pub const DEFAULT_LIMIT_BYTES: u64 = 20 << 30;

/// A cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    limit_bytes: u64,
}

/// What `cache list` shows of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub shelf: Shelf,
    /// Its name: a kernel's key, a source's identity.
    pub name: String,
    /// How much it takes, as counted when it was made.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// Something wrong with the cache folder itself.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum CacheError {
    /// A file in it could not be worked with.
    #[error("could not {what} {path}", path = .path.display())]
    #[diagnostic(help(
        "`patchproof doctor` checks the cache folder and its space; PATCHPROOF_CACHE_DIR names another"
    ))]
    File {
        /// What was tried ("create", "read", …).
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A lock could not be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
}

pub(crate) fn failed<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CacheError + use<'a> {
    move |source| CacheError::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}

/// A held lock of an entry; dropping it gives it back.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Held {
    _lock: Lock,
}

/// A folder for the time being: removed when dropped, or by the next opener where we died.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: Lock,
}

impl Scratch {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
        let _ = std::fs::remove_file(self.path.with_extension("lock"));
    }
}

impl Cache {
    /// Opens (and creates) the cache in `root`, and removes what dead processes left in its `tmp/`.
    ///
    /// # Errors
    /// [`CacheError`] where it cannot be created.
    pub fn open(root: &Path, limit_bytes: u64) -> Result<Self, CacheError> {
        let shelves = Shelf::ALL.map(Shelf::name);
        for name in shelves.iter().chain(&["ccache", "tmp", "locks", "stat", "logs"]) {
            let dir = root.join(name);
            std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let root = root.canonicalize().map_err(failed("resolve", root))?;
        let cache = Self { root, limit_bytes };
        cache.sweep();
        Ok(cache)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its size limit, bytes.
    #[must_use]
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Where an entry is, or would be.
    #[must_use]
    pub fn place(&self, shelf: Shelf, name: &str) -> PathBuf {
        self.root.join(shelf.name()).join(name)
    }

    fn sweep(&self) {
        let Ok(dirs) = std::fs::read_dir(self.root.join("tmp")) else {
            return;
        };
        for dir in dirs.flatten().filter(|d| d.file_type().is_ok_and(|t| t.is_dir())) {
            let lock = dir.path().with_extension("lock");
            if Lock::try_exclusive(&lock).is_ok_and(|held| held.is_some()) {
                let _ = remove_tree(&dir.path());
                let _ = std::fs::remove_file(lock);
            }
        }
    }

    /// Makes a scratch folder on the cache's file system.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn scratch(&self) -> Result<Scratch, CacheError> {
        let tmp = self.root.join("tmp");
        // The lock comes first: a folder without a held one counts as a dead process's.
        let name = format!("{}-{}", std::process::id(), unique());
        let lock_path = tmp.join(&name).with_extension("lock");
        let lock = Lock::exclusive(&lock_path)?;
        let path = tmp.join(name);
        std::fs::create_dir(&path).map_err(failed("create", &path))?;
        Ok(Scratch { path, _lock: lock })
    }

    fn lock_file(&self, shelf: Shelf, name: &str) -> PathBuf {
        self.root.join("locks").join(format!("{}-{name}", shelf.name()))
    }

    /// Waits until nobody else makes or uses an entry, and keeps others from it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn lock(&self, shelf: Shelf, name: &str) -> Result<Held, CacheError> {
        Ok(Held {
            _lock: Lock::exclusive(&self.lock_file(shelf, name))?,
        })
    }

    /// Waits until nobody makes an entry, and keeps it from being moved or removed.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn share(&self, shelf: Shelf, name: &str) -> Result<Held, CacheError> {
        Ok(Held {
            _lock: Lock::shared(&self.lock_file(shelf, name))?,
        })
    }

    /// Says that an entry was used now.
    pub fn touch(&self, shelf: Shelf, name: &str) {
        let path = self.place(shelf, name).join("entry.json");
        if let Ok(file) = File::options().write(true).open(path) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Counts an entry that was just made or has grown, so that its size need not be measured again.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn weigh(&self, shelf: Shelf, name: &str) -> Result<(), CacheError> {
        weigh(&self.place(shelf, name))
    }

    /// Lists every entry, most recently used first.
    ///
    /// # Errors
    /// [`CacheError`] where a shelf cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, CacheError> {
        let mut all = Vec::new();
        for shelf in Shelf::ALL {
            let dir = self.root.join(shelf.name());
            for entry in std::fs::read_dir(&dir).map_err(failed("read", &dir))?.flatten() {
                let stamp = entry.path().join("entry.json");
                let Ok(used) = std::fs::metadata(&stamp).and_then(|m| m.modified()) else {
                    continue;
                };
                let bytes = std::fs::read(&stamp)
                    .ok()
                    .and_then(|text| serde_json::from_slice::<Weight>(&text).ok())
                    .map_or(0, |w| w.bytes);
                let name = entry.file_name().to_string_lossy().into_owned();
                all.push(Listed {
                    shelf,
                    name,
                    bytes,
                    used,
                });
            }
        }
        all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.name.cmp(&b.name)));
        Ok(all)
    }

    /// Removes least recently used entries until at most `limit_bytes` are held; what somebody uses stays.
    /// Returns what went.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn prune(&self, limit_bytes: u64) -> Result<Vec<Listed>, CacheError> {
        let mut all = self.list()?;
        let mut held: u64 = all.iter().map(|e| e.bytes).sum();
        let mut gone = Vec::new();
        while held > limit_bytes {
            let Some(oldest) = all.pop() else { break };
            if self.evict(&oldest)? {
                held = held.saturating_sub(oldest.bytes);
                gone.push(oldest);
            }
        }
        Ok(gone)
    }

    fn evict(&self, entry: &Listed) -> Result<bool, CacheError> {
        let Some(_held) = Lock::try_exclusive(&self.lock_file(entry.shelf, &entry.name))? else {
            return Ok(false);
        };
        // Renamed first, so that an interrupted removal leaves no half entry behind.
        let scratch = self.scratch()?;
        let place = self.place(entry.shelf, &entry.name);
        match std::fs::rename(&place, scratch.path().join("gone")) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) => Err(failed("remove", &place)(e)),
        }
    }

    /// Puts a finished folder on its shelf, in one step and on disk. The caller holds its lock.
    ///
    /// # Errors
    /// [`CacheError`].
    pub(crate) fn publish(&self, shelf: Shelf, name: &str, finished: &Path) -> Result<PathBuf, CacheError> {
        weigh(finished)?;
        let place = self.place(shelf, name);
        if place.exists() {
            remove_tree(&place).map_err(failed("remove", &place))?;
        }
        sync_dir(finished).map_err(failed("write", finished))?;
        std::fs::rename(finished, &place).map_err(failed("create", &place))?;
        let shelf_dir = self.root.join(shelf.name());
        sync_dir(&shelf_dir).map_err(failed("write", &shelf_dir))?;
        Ok(place)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Weight {
    bytes: u64,
}

fn weigh(dir: &Path) -> Result<(), CacheError> {
    let bytes = walkdir::WalkDir::new(dir)
        .into_iter()
        .flatten()
        .filter_map(|e| e.metadata().ok())
        .map(|m| std::os::unix::fs::MetadataExt::blocks(&m) * 512 / m_links(&m))
        .sum();
    let stamp = dir.join("entry.json");
    let text = serde_json::to_vec(&Weight { bytes }).unwrap_or_default();
    write_atomic(&stamp, &text).map_err(failed("write", &stamp))
}

/// A file with several names is shared between entries: each carries its part.
fn m_links(meta: &std::fs::Metadata) -> u64 {
    if meta.is_file() {
        std::os::unix::fs::MetadataExt::nlink(meta).max(1)
    } else {
        1
    }
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.subsec_nanos());
    (u64::from(nanos) << 24) + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
