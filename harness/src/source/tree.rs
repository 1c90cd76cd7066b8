//! Pristine trees: a source made into files under `sources/ID/`, once, and never written to again.
//!
//! Next to the files lie the manifest and the names of all Kconfig symbols, which later steps ask for
//! again and again. Hostile archives are unpacked in the sandbox into a folder of their own, and what came
//! out is looked at: no device, no link that leads out, no file that is not inside.
//!
//! Not here: identities (they are cheap, this is not) and what is built from a tree.

use super::cache::{Cache, Held, Scratch, Shelf, failed};
use super::identity::{Identity, Origin};
use super::job::Cancel;
use super::manifest::{self, Entry, Kind, Manifest, StatCache};
use super::room::Room;
use super::{SourceError, git, gitlinked, patch};
use crate::host::{Cmd, Mode};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A source as files. While this lives, the files stay.
#[derive(Debug)]
pub struct Pristine {
    /// The source's identity.
    pub id: String,
    /// The files.
    pub tree: PathBuf,
    /// What they are.
    pub manifest: Manifest,
    /// `VERSION` and `PATCHLEVEL` of its Makefile.
    pub release: (u32, u32),
    /// Every symbol that a Kconfig file of the tree defines, without `CONFIG_`.
    pub symbols: BTreeSet<String>,
    /// A git repository that may hold the versions that patches were made on.
    pub repo: Option<PathBuf>,
    _held: Held,
}

/// An xz tarball of a kernel unpacks in 10 s on a quiet core; slow disks and busy hosts take longer.
const UNPACK_DEADLINE: Duration = Duration::from_secs(1800);

impl Pristine {
    /// Makes the tree, or takes it from the cache.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn of(identity: &Identity, cache: &Cache, mode: Mode, cancel: &Cancel) -> Result<Self, SourceError> {
        let id = identity.id.as_str();
        loop {
            cancel.check()?;
            let held = cache.share(Shelf::Sources, id)?;
            let place = cache.place(Shelf::Sources, id);
            if place.join("entry.json").exists() {
                cache.touch(Shelf::Sources, id);
                let symbols = std::fs::read_to_string(place.join("symbols"))
                    .map_err(failed("read", &place.join("symbols")))?;
                let tree = place.join("tree");
                return Ok(Self {
                    id: id.to_owned(),
                    release: release(&tree)?,
                    tree,
                    manifest: Manifest::load(&place.join("manifest"))?,
                    symbols: symbols.lines().map(str::to_owned).collect(),
                    repo: identity.repo(),
                    _held: held,
                });
            }
            drop(held);
            let _held = cache.lock(Shelf::Sources, id)?;
            if !place.join("entry.json").exists() {
                make(identity, cache, mode, cancel)?;
            }
        }
    }
}

fn make(identity: &Identity, cache: &Cache, mode: Mode, cancel: &Cancel) -> Result<(), SourceError> {
    let scratch = cache.scratch()?;
    let made = scratch.path().join("source");
    let tree = made.join("tree");
    std::fs::create_dir_all(&tree).map_err(failed("create", &tree))?;
    let manifest = match &identity.origin {
        Origin::Tarball(tarball) => {
            unpack(tarball, &tree, &scratch, mode, cancel)?;
            read_all(&tree)?
        }
        Origin::GitTree { repo, tree: hash } => {
            match gitlinked::checkout(repo, hash, &tree, &scratch, cache, cancel)? {
                Some(manifest) => manifest,
                None => {
                    git::checkout(repo, hash, &tree, &scratch.path().join("index"), cancel)?;
                    read_all(&tree)?
                }
            }
        }
        Origin::Snapshot { dir, manifest } => {
            snapshot(dir, manifest, &tree, cache)?;
            manifest.clone()
        }
        Origin::Image(path) => return Err(SourceError::NotATree { path: path.clone() }),
    };
    check(&tree, &manifest)?;
    let symbols = super::kconfig::symbols(&tree, &manifest)?;
    let path = made.join("symbols");
    std::fs::write(&path, symbols.into_iter().collect::<Vec<_>>().join("\n"))
        .map_err(failed("write", &path))?;
    manifest
        .save(&made.join("manifest"))
        .map_err(failed("write", &made.join("manifest")))?;
    cache.publish(Shelf::Sources, &identity.id, &made)?;
    if let Origin::Snapshot { dir: from, .. } | Origin::GitTree { repo: from, .. } = &identity.origin {
        let last = last_snapshot(cache, from);
        crate::host::fs::write_atomic(&last, identity.id.as_bytes()).map_err(failed("write", &last))?;
    }
    Ok(())
}

/// Reads which release a tree says it is.
fn release(tree: &Path) -> Result<(u32, u32), SourceError> {
    let path = tree.join("Makefile");
    let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    let number = |name: &str| {
        let value = |line: &str| {
            line.strip_prefix(name)?
                .trim_start()
                .strip_prefix('=')?
                .trim()
                .parse()
                .ok()
        };
        text.lines().find_map(value)
    };
    number("VERSION")
        .zip(number("PATCHLEVEL"))
        .ok_or(SourceError::NotATree { path })
}

fn read_all(tree: &Path) -> Result<Manifest, SourceError> {
    Ok(manifest::read(tree, &manifest::list(tree)?, &StatCache::default())?.manifest)
}

/// Refuses what is no kernel tree, and links that lead out of it.
fn check(tree: &Path, manifest: &Manifest) -> Result<(), SourceError> {
    for needed in ["Makefile", "Kconfig"] {
        if !manifest.entries.contains_key(Path::new(needed)) {
            return Err(SourceError::NotATree { path: needed.into() });
        }
    }
    for (path, _) in manifest.entries.iter().filter(|(_, e)| e.kind == Kind::Link) {
        let target = std::fs::read_link(tree.join(path)).map_err(failed("read", path))?;
        if !patch::link_stays_inside(path, &target) {
            return Err(SourceError::LinkEscapes {
                path: path.clone(),
                target,
            });
        }
    }
    Ok(())
}

fn unpack(
    tarball: &Path,
    tree: &Path,
    scratch: &Scratch,
    mode: Mode,
    cancel: &Cancel,
) -> Result<(), SourceError> {
    let raw = scratch.path().join("raw");
    std::fs::create_dir(&raw).map_err(failed("create", &raw))?;
    let tarball = tarball.canonicalize().map_err(failed("open", tarball))?;
    let room = Room::new(mode)
        .ro(&tarball, "/tarball")
        .rw(&raw, "/raw")
        .cwd(&raw);
    // Times of now: a build that is made later is newer, whatever the archive says.
    let cmd = Cmd::new("tar")
        .args([
            "--extract",
            "--touch",
            "--no-same-owner",
            "--no-same-permissions",
            "--delay-directory-restore",
        ])
        .arg("--file")
        .arg(room.seen(&tarball))
        .deadline(UNPACK_DEADLINE, "the tarball to be unpacked");
    let done = cancel.run(room.wrap(cmd))?;
    if !done.success() {
        let said = String::from_utf8_lossy(&done.stderr)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        // tar says the one or the other, by where it ran out.
        let is_full = ["Wrote only", "No space left on device"]
            .iter()
            .any(|s| said.contains(s));
        return Err(if is_full {
            SourceError::DiskFull { what: tarball }
        } else {
            SourceError::Unpack { tarball, said }
        });
    }
    // Kernel tarballs have one folder at the top.
    let tops: Vec<_> = std::fs::read_dir(&raw)
        .map_err(failed("read", &raw))?
        .flatten()
        .collect();
    let top = match tops.as_slice() {
        [one] if one.file_type().is_ok_and(|t| t.is_dir()) => one.path(),
        _ => raw,
    };
    std::fs::rename(&top, tree).map_err(failed("create", tree))?;
    Ok(())
}

/// Where the source is noted that was last made of a folder or a repository.
pub(super) fn last_snapshot(cache: &Cache, dir: &Path) -> PathBuf {
    let name = blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex();
    cache.root().join("stat").join(format!("{}.last", &name[..16]))
}

/// Copies the files of a working tree as the manifest says they are. What an earlier snapshot of the same
/// folder has in common with it is linked, not copied.
fn snapshot(dir: &Path, manifest: &Manifest, tree: &Path, cache: &Cache) -> Result<(), SourceError> {
    let last = std::fs::read_to_string(last_snapshot(cache, dir)).ok();
    let _held = last
        .as_ref()
        .map(|id| cache.share(Shelf::Sources, id))
        .transpose()?;
    let earlier = last
        .map(|id| cache.place(Shelf::Sources, &id))
        .and_then(|place| Some((place.join("tree"), Manifest::load(&place.join("manifest")).ok()?)));
    let folders: BTreeSet<&Path> = manifest.entries.keys().filter_map(|p| p.parent()).collect();
    for folder in folders {
        let to = tree.join(folder);
        std::fs::create_dir_all(&to).map_err(failed("create", &to))?;
    }
    let all: Vec<(&PathBuf, &Entry)> = manifest.entries.iter().collect();
    let results = manifest::on_all_cores(&all, |(path, entry)| {
        let to = tree.join(path);
        if let Some((old, had)) = &earlier
            && had.entries.get(*path) == Some(entry)
            && std::fs::hard_link(old.join(path), &to).is_ok()
        {
            return Ok(());
        }
        let changed = || SourceError::Changing { path: dir.join(path) };
        place(&dir.join(path), &to, entry).map_err(|e| {
            if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) {
                changed()
            } else {
                failed("create", &to)(e).into()
            }
        })
    });
    results.into_iter().collect()
}

/// Puts a file where it is wanted, and makes sure that it is the one that the entry describes.
pub(crate) fn place(from: &Path, to: &Path, entry: &Entry) -> io::Result<()> {
    let other = || io::Error::new(io::ErrorKind::InvalidData, "it changed while it was copied");
    if entry.kind == Kind::Link {
        let target = std::fs::read_link(from).map_err(|_| other())?;
        if blake3::hash(target.as_os_str().as_encoded_bytes()) != entry.hash {
            return Err(other());
        }
        return std::os::unix::fs::symlink(target, to);
    }
    let bytes = std::fs::read(from)?;
    if blake3::hash(&bytes) != entry.hash {
        return Err(other());
    }
    let mode = if entry.kind == Kind::Executable {
        0o755
    } else {
        0o644
    };
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)?;
    io::Write::write_all(&mut file, &bytes)
}

/// Copies one file, with its right to be executed and with times of now.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to).map(drop)
}

/// Copies a small tree.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry?;
        let Ok(rest) = entry.path().strip_prefix(from) else {
            continue;
        };
        let at = to.join(rest);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&at)?;
        } else if entry.file_type().is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &at)?;
        } else {
            copy_file(entry.path(), &at)?;
        }
    }
    Ok(())
}
