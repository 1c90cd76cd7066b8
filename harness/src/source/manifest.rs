//! Manifests: what a tree holds, file by file, as content hashes.
//!
//! A manifest is what trees are compared by: a worktree is moved from one source to another by the
//! difference of two manifests, a directory's identity is the hash of its manifest, and "the pristine
//! tree was not dirtied" means that its manifest is still the same. A [`StatCache`] makes reading one
//! cheap: a file is read again only where its size, times, inode or mode say that it may have changed.
//!
//! Not here: which files of a directory belong to it (that is `tree`), and what is done with a difference.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a path in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary file.
    File,
    /// An ordinary file that may be executed.
    Executable,
    /// A symbolic link; its content is its target.
    Link,
}

/// One file of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// BLAKE3 of its content.
    pub hash: [u8; 32],
}

/// Every file of a tree, by its path relative to the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The files, sorted by path.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// What has to be done to a tree that holds one manifest to make it hold another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Paths to remove, those whose kind changes included.
    pub removed: Vec<PathBuf>,
    /// Paths to write.
    pub written: Vec<PathBuf>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ManifestError {
    /// A file could not be read.
    #[error("could not read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither a file, a folder nor a link.
    #[error("{path} is neither a file nor a link", path = .path.display())]
    #[diagnostic(help("a kernel tree holds no devices, sockets or pipes: remove it"))]
    Special {
        /// Which.
        path: PathBuf,
    },
    /// A stored manifest does not decode.
    #[error("{path} is damaged", path = .path.display())]
    #[diagnostic(help("remove the cache folder that it lies in; it is made again when needed"))]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

const MAGIC: &[u8; 8] = b"ppmanif1";

impl Manifest {
    /// Hash over every path, kind and content.
    #[must_use]
    pub fn id(&self) -> blake3::Hash {
        blake3::hash(&self.encode_entries())
    }

    /// Compares: what turns `self` into `wanted`.
    #[must_use]
    pub fn difference(&self, wanted: &Self) -> Difference {
        let mut diff = Difference::default();
        for (path, have) in &self.entries {
            match wanted.entries.get(path) {
                None => diff.removed.push(path.clone()),
                Some(want) if want.kind != have.kind => diff.removed.push(path.clone()),
                Some(_) => {}
            }
        }
        diff.written = wanted
            .entries
            .iter()
            .filter(|(path, want)| self.entries.get(*path) != Some(want))
            .map(|(path, _)| path.clone())
            .collect();
        diff
    }

    fn encode_entries(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 80);
        for (path, entry) in &self.entries {
            out.push(match entry.kind {
                Kind::File => b'f',
                Kind::Executable => b'x',
                Kind::Link => b'l',
            });
            out.extend_from_slice(&entry.hash);
            put_path(&mut out, path);
        }
        out
    }

    /// Stores it, whole or not at all.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        save(path, MAGIC, &self.encode_entries())
    }

    /// Reads one that [`Manifest::save`] wrote.
    ///
    /// # Errors
    /// [`ManifestError::Read`], and [`ManifestError::Damaged`] where it does not match its own hash.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let bytes = std::fs::read(path).map_err(|source| ManifestError::Read {
            path: path.into(),
            source,
        })?;
        let damaged = || ManifestError::Damaged { path: path.into() };
        let mut rest = open(&bytes, MAGIC).ok_or_else(damaged)?;
        let mut entries = BTreeMap::new();
        while !rest.is_empty() {
            let (name, entry) = take_entry(&mut rest).ok_or_else(damaged)?;
            entries.insert(name, entry);
        }
        Ok(Self { entries })
    }
}

fn take_entry(rest: &mut &[u8]) -> Option<(PathBuf, Entry)> {
    let kind = match take::<1>(rest)? {
        [b'f'] => Kind::File,
        [b'x'] => Kind::Executable,
        [b'l'] => Kind::Link,
        _ => return None,
    };
    let hash = take::<32>(rest)?;
    Some((take_path(rest)?, Entry { kind, hash }))
}

/// What `stat` says of a file; equal stamps mean an unchanged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    mode: u32,
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            size: meta.size(),
            mtime_ns: meta
                .mtime()
                .wrapping_mul(1_000_000_000)
                .wrapping_add(meta.mtime_nsec()),
            ctime_ns: meta
                .ctime()
                .wrapping_mul(1_000_000_000)
                .wrapping_add(meta.ctime_nsec()),
            inode: meta.ino(),
            mode: meta.mode(),
        }
    }
}

const STAT_MAGIC: &[u8; 8] = b"ppstatc1";

/// A file changed within this time of being looked at is looked at again: its times may not tell.
const RACY_NS: i64 = 2_000_000_000;

/// Hashes remembered by what `stat` said.
#[derive(Debug, Default)]
pub struct StatCache {
    known: BTreeMap<PathBuf, (Stamp, [u8; 32])>,
}

impl StatCache {
    /// Reads one; a missing or damaged one is empty, which only costs time.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let parse = || {
            let bytes = std::fs::read(path).ok()?;
            let mut rest = open(&bytes, STAT_MAGIC)?;
            let mut known = BTreeMap::new();
            while !rest.is_empty() {
                let stamp = Stamp {
                    size: u64::from_le_bytes(take(&mut rest)?),
                    mtime_ns: i64::from_le_bytes(take(&mut rest)?),
                    ctime_ns: i64::from_le_bytes(take(&mut rest)?),
                    inode: u64::from_le_bytes(take(&mut rest)?),
                    mode: u32::from_le_bytes(take(&mut rest)?),
                };
                let hash = take(&mut rest)?;
                known.insert(take_path(&mut rest)?, (stamp, hash));
            }
            Some(known)
        };
        Self {
            known: parse().unwrap_or_default(),
        }
    }

    /// Stores it.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut out = Vec::with_capacity(self.known.len() * 120);
        for (name, (stamp, hash)) in &self.known {
            out.extend_from_slice(&stamp.size.to_le_bytes());
            out.extend_from_slice(&stamp.mtime_ns.to_le_bytes());
            out.extend_from_slice(&stamp.ctime_ns.to_le_bytes());
            out.extend_from_slice(&stamp.inode.to_le_bytes());
            out.extend_from_slice(&stamp.mode.to_le_bytes());
            out.extend_from_slice(hash);
            put_path(&mut out, name);
        }
        save(path, STAT_MAGIC, &out)
    }
}

/// A manifest as it was read, with what makes the next reading cheap.
#[derive(Debug)]
pub struct Reading {
    /// What the tree holds.
    pub manifest: Manifest,
    /// For the next time.
    pub stats: StatCache,
    /// How many files had to be read, the others being known.
    pub hashed: usize,
}

/// Reads the manifest of `paths` (relative to `root`), on all cores. Paths that do not exist are left out.
///
/// # Errors
/// [`ManifestError::Read`] and [`ManifestError::Special`], of the first such path.
pub fn read(root: &Path, paths: &[PathBuf], known: &StatCache) -> Result<Reading, ManifestError> {
    let start_ns = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let found = on_all_cores(paths, |path| look(root, path, known));
    let mut reading = Reading {
        manifest: Manifest::default(),
        stats: StatCache::default(),
        hashed: 0,
    };
    for (path, one) in paths.iter().zip(found) {
        let Some(seen) = one? else { continue };
        reading.hashed += usize::from(seen.hashed);
        if seen.stamp.mtime_ns.max(seen.stamp.ctime_ns) < start_ns - RACY_NS {
            reading
                .stats
                .known
                .insert(path.clone(), (seen.stamp, seen.entry.hash));
        }
        reading.manifest.entries.insert(path.clone(), seen.entry);
    }
    Ok(reading)
}

struct Seen {
    entry: Entry,
    stamp: Stamp,
    hashed: bool,
}

fn look(root: &Path, path: &Path, known: &StatCache) -> Result<Option<Seen>, ManifestError> {
    let full = root.join(path);
    let failed = |source| ManifestError::Read {
        path: full.clone(),
        source,
    };
    let meta = match std::fs::symlink_metadata(&full) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(failed(e)),
    };
    let kind = if meta.is_symlink() {
        Kind::Link
    } else if meta.is_file() {
        if meta.mode() & 0o100 == 0 {
            Kind::File
        } else {
            Kind::Executable
        }
    } else if meta.is_dir() {
        return Ok(None);
    } else {
        return Err(ManifestError::Special { path: full });
    };
    let stamp = Stamp::of(&meta);
    if let Some((then, hash)) = known.known.get(path)
        && *then == stamp
    {
        return Ok(Some(Seen {
            entry: Entry { kind, hash: *hash },
            stamp,
            hashed: false,
        }));
    }
    let hash = if kind == Kind::Link {
        blake3::hash(std::fs::read_link(&full).map_err(failed)?.as_os_str().as_bytes())
    } else {
        hash_file(&full).map_err(failed)?
    };
    Ok(Some(Seen {
        entry: Entry {
            kind,
            hash: *hash.as_bytes(),
        },
        stamp,
        hashed: true,
    }))
}

/// BLAKE3 of a file's content, in constant memory.
///
/// # Errors
/// Those of reading it.
pub fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize())
}

/// Lists every file and link below `root`, relative to it, `.git` folders left out.
///
/// # Errors
/// [`ManifestError::Read`].
pub fn list(root: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let mut found = Vec::new();
    let walk = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    for entry in walk.filter_entry(|e| e.file_name() != ".git") {
        let entry = entry.map_err(|e| ManifestError::Read {
            path: e.path().unwrap_or(root).to_path_buf(),
            source: e.into(),
        })?;
        if !entry.file_type().is_dir()
            && let Ok(path) = entry.path().strip_prefix(root)
        {
            found.push(path.to_path_buf());
        }
    }
    Ok(found)
}

/// Applies `work` to every item, in order of `items`, split over the cores.
pub(crate) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let shares: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Vec<R>>()))
            .collect();
        shares
            .into_iter()
            .flat_map(|s| s.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
            .collect()
    })
}

fn put_path(out: &mut Vec<u8>, path: &Path) {
    let bytes = path.as_os_str().as_bytes();
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_path(rest: &mut &[u8]) -> Option<PathBuf> {
    let len = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(PathBuf::from(std::ffi::OsString::from_vec(head.to_vec())))
}

fn save(path: &Path, magic: &[u8; 8], body: &[u8]) -> io::Result<()> {
    let hash = blake3::hash(body);
    crate::host::fs::write_atomic(path, &[magic.as_slice(), hash.as_bytes(), body].concat())
}

fn open<'a>(bytes: &'a [u8], magic: &[u8; 8]) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(magic.as_slice())?;
    let (hash, body) = rest.split_first_chunk::<32>()?;
    (blake3::hash(body).as_bytes() == hash).then_some(body)
}

#[cfg(test)]
mod tests;
