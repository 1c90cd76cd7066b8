//! Worktrees: a tree and a build folder that live long, so that builds are incremental.
//!
//! There is one for each configuration and toolchain. Its tree is *moved* to the wanted source by the
//! difference of two manifests: only files whose content changed are replaced, and get the time of now, so
//! make rebuilds what depends on them and nothing else. Files that do not change are the pristine tree's
//! own (hard links) where nothing can write to them, that is, in the sandbox, which shows the tree
//! read-only.
//!
//! The build folder belongs to the bare source: series are built in throwaway overlays above it. (Without
//! the sandbox there are no overlays: then the tree is moved to the patched files, and built in place.)
//!
//! Not here: locks (the callers') and make.

use super::KernelError;
use super::failure::BuildFailure;
use crate::host::fs::{remove_tree, write_atomic};
use crate::source::cache::{Cache, Shelf, failed};
use crate::source::manifest::{self, Entry, Kind, Manifest, StatCache};
use crate::source::tree;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a worktree holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// What the tree was moved to, and how it was configured.
    pub holds: String,
    /// Why that does not build; `None` where it does.
    pub failure: Option<BuildFailure>,
    /// Steps of the last whole build, for estimates.
    pub steps: u64,
}

/// Where the files of a move come from.
pub(super) struct Target<'a> {
    /// What the tree is to hold.
    pub manifest: &'a Manifest,
    /// Finds a file's content.
    pub content: &'a (dyn Fn(&Path) -> PathBuf + Sync),
    /// Whether the first filling may link instead of copy.
    pub may_link: bool,
}

/// One worktree. The caller holds its lock.
pub(super) struct Worktree {
    place: PathBuf,
}

impl Worktree {
    pub(super) fn at(cache: &Cache, name: &str) -> Self {
        Self {
            place: cache.place(Shelf::Worktrees, name),
        }
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.place.join("tree")
    }

    pub(super) fn build(&self) -> PathBuf {
        self.place.join("build")
    }

    /// What it holds, if that is known.
    pub(super) fn state(&self) -> Option<State> {
        serde_json::from_slice(&std::fs::read(self.place.join("state.json")).ok()?).ok()
    }

    /// What its tree holds; none where that is not known without reading it.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        if self.place.join("moving").exists() {
            return None;
        }
        Manifest::load(&self.place.join("manifest")).ok()
    }

    /// Says what it holds from now on.
    pub(super) fn settle(&self, state: &State) -> Result<(), KernelError> {
        let path = self.place.join("state.json");
        let text = serde_json::to_vec_pretty(state).unwrap_or_default();
        Ok(write_atomic(&path, &text).map_err(failed("write", &path))?)
    }

    /// Makes the tree hold `target`; returns how many files had to be written or removed.
    pub(super) fn move_to(&self, target: &Target<'_>) -> Result<usize, KernelError> {
        for dir in [self.tree(), self.build()] {
            std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let (moving, state) = (self.place.join("moving"), self.place.join("state.json"));
        let have = self.holds(&moving)?;
        std::fs::write(&moving, b"").map_err(failed("write", &moving))?;
        if state.exists() {
            std::fs::remove_file(&state).map_err(failed("remove", &state))?;
        }
        let difference = have.difference(target.manifest);
        let tree = self.tree();
        for path in &difference.removed {
            remove(&tree, path)?;
        }
        let link = target.may_link && have.entries.is_empty();
        let wanted: Vec<(&PathBuf, &Entry)> = difference
            .written
            .iter()
            .filter_map(|path| Some((path, target.manifest.entries.get(path)?)))
            .collect();
        let results = manifest::on_all_cores(&wanted, |(path, entry)| {
            write(&tree.join(path), &(target.content)(path), entry, link)
        });
        results.into_iter().collect::<Result<(), KernelError>>()?;
        let path = self.place.join("manifest");
        target.manifest.save(&path).map_err(failed("write", &path))?;
        std::fs::remove_file(&moving).map_err(failed("remove", &moving))?;
        Ok(difference.removed.len() + difference.written.len())
    }

    /// Says that make is about to write to the build folder. Where the last make did not come to its end by
    /// itself, what it may have cut off goes first: make takes any new file for a finished one.
    ///
    /// kbuild notes a target's command beside it once the target is finished, and makes targets without a
    /// note again. So what is left to remove are targets newer than their note, and, since notes are
    /// written in a moment but not in no time, everything of the last minute.
    pub(super) fn begin(&self) -> Result<(), KernelError> {
        let making = self.place.join("making");
        if let Ok(since) = std::fs::metadata(&making).and_then(|m| m.modified()) {
            let written: Vec<(PathBuf, SystemTime)> = walkdir::WalkDir::new(self.build())
                .into_iter()
                .flatten()
                .filter(|entry| !entry.file_type().is_dir())
                .filter_map(|entry| {
                    Some((
                        entry.path().to_path_buf(),
                        entry.metadata().ok()?.modified().ok()?,
                    ))
                })
                .filter(|(_, time)| *time >= since)
                .collect();
            let last = written.iter().map(|(_, time)| *time).max().unwrap_or(since);
            for (path, time) in &written {
                if *time + CUT_OFF_WITHIN >= last || is_newer_than_its_note(path, *time) {
                    std::fs::remove_file(path).map_err(failed("remove", path))?;
                }
            }
        }
        Ok(std::fs::write(&making, b"").map_err(failed("write", &making))?)
    }

    /// Says that make came to its end, in success or failure.
    pub(super) fn end(&self) -> Result<(), KernelError> {
        let making = self.place.join("making");
        Ok(std::fs::remove_file(&making).map_err(failed("remove", &making))?)
    }

    /// The tree's manifest: the stored one, unless a move was interrupted.
    fn holds(&self, moving: &Path) -> Result<Manifest, KernelError> {
        let stored = self.place.join("manifest");
        if !moving.exists() {
            match Manifest::load(&stored) {
                Ok(manifest) => return Ok(manifest),
                Err(_) if !stored.exists() => return Ok(Manifest::default()),
                Err(_) => {}
            }
        }
        let tree = self.tree();
        Ok(manifest::read(&tree, &manifest::list(&tree)?, &StatCache::default())?.manifest)
    }
}

/// A note that was written longer than this before the end is whole.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(60);

/// Whether `DIR/.NAME.cmd` is older than `DIR/NAME`.
fn is_newer_than_its_note(path: &Path, time: SystemTime) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let note = path.with_file_name(format!(".{}.cmd", name.to_string_lossy()));
    std::fs::metadata(note)
        .and_then(|m| m.modified())
        .is_ok_and(|noted| noted < time)
}

fn remove(tree: &Path, path: &Path) -> Result<(), KernelError> {
    let full = tree.join(path);
    match std::fs::remove_file(&full) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed("remove", &full)(e).into()),
        _ => {}
    }
    // Folders that are empty now go too; the first that is not ends it.
    let mut folder = path.parent();
    while let Some(dir) = folder.filter(|d| !d.as_os_str().is_empty()) {
        if std::fs::remove_dir(tree.join(dir)).is_err() {
            break;
        }
        folder = dir.parent();
    }
    Ok(())
}

fn write(to: &Path, from: &Path, entry: &Entry, link: bool) -> Result<(), KernelError> {
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
    }
    if link && entry.kind != Kind::Link && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    match std::fs::symlink_metadata(to) {
        Ok(meta) if meta.is_dir() => remove_tree(to).map_err(failed("remove", to))?,
        Ok(_) => std::fs::remove_file(to).map_err(failed("remove", to))?,
        Err(_) => {}
    }
    Ok(tree::place(from, to, entry).map_err(failed("write", to))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn manifest_of(dir: &Path) -> Manifest {
        manifest::read(dir, &manifest::list(dir).unwrap(), &StatCache::default())
            .unwrap()
            .manifest
    }

    fn source(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let full = dir.path().join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, text).unwrap();
        }
        dir
    }

    fn move_to(worktree: &Worktree, from: &Path) -> usize {
        let manifest = manifest_of(from);
        let content = |path: &Path| from.join(path);
        worktree
            .move_to(&Target {
                manifest: &manifest,
                content: &content,
                may_link: true,
            })
            .unwrap()
    }

    #[test]
    fn a_move_touches_only_what_changed_and_never_the_source() {
        let root = tempfile::tempdir().unwrap();
        let worktree = Worktree {
            place: root.path().join("w"),
        };
        let first = source(&[
            ("mm/a.c", "a"),
            ("mm/b.c", "b"),
            ("old/gone.c", "x"),
            ("kind", "file"),
        ]);
        assert_eq!(move_to(&worktree, first.path()), 4);
        let old = SystemTime::now() - Duration::from_secs(1000);
        for name in ["mm/a.c", "mm/b.c"] {
            std::fs::File::open(worktree.tree().join(name))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        let second = source(&[("mm/a.c", "A"), ("mm/b.c", "b"), ("kind/now", "a folder")]);
        // a.c and kind/now written, old/gone.c and kind removed.
        assert_eq!(move_to(&worktree, second.path()), 4);
        assert_eq!(manifest_of(&worktree.tree()), manifest_of(second.path()));
        assert!(!worktree.tree().join("old").exists());
        let mtime = |name: &str| {
            std::fs::metadata(worktree.tree().join(name))
                .unwrap()
                .modified()
                .unwrap()
        };
        assert_eq!(mtime("mm/b.c"), old);
        assert!(mtime("mm/a.c") > old);
        assert_eq!(std::fs::read_to_string(first.path().join("mm/a.c")).unwrap(), "a");
        assert_eq!(
            std::fs::metadata(second.path().join("mm/a.c")).unwrap().nlink(),
            1,
            "a changed file is copied"
        );
        assert_eq!(move_to(&worktree, second.path()), 0);
    }

    #[test]
    fn what_an_interrupted_make_wrote_is_not_trusted() {
        let root = tempfile::tempdir().unwrap();
        let worktree = Worktree {
            place: root.path().join("w"),
        };
        move_to(&worktree, source(&[("a", "1")]).path());
        let put = |name: &str, age_s| {
            std::fs::write(worktree.build().join(name), name).unwrap();
            let file = std::fs::File::options()
                .write(true)
                .open(worktree.build().join(name))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s))
                .unwrap();
        };
        let marked = |age_s| {
            let making = std::fs::File::options()
                .write(true)
                .open(worktree.place.join("making"))
                .unwrap();
            making
                .set_modified(SystemTime::now() - Duration::from_secs(age_s))
                .unwrap();
        };
        let there = |name: &str| worktree.build().join(name).exists();
        worktree.begin().unwrap();
        marked(900);
        put("before.o", 1000);
        put("whole.o", 501);
        put(".whole.o.cmd", 500);
        put(".again.o.cmd", 800);
        put("again.o", 400);
        put("half.o", 10);
        worktree.begin().unwrap();
        assert!(
            there("before.o") && there("whole.o"),
            "finished long before the end"
        );
        assert!(!there("again.o"), "newer than the note of the time before");
        assert!(!there("half.o"), "written at the very end");
        put("last.o", 0);
        worktree.end().unwrap();
        worktree.begin().unwrap();
        assert!(there("last.o"), "that make came to its end");
    }

    #[test]
    fn an_interrupted_move_is_put_right() {
        let root = tempfile::tempdir().unwrap();
        let worktree = Worktree {
            place: root.path().join("w"),
        };
        let first = source(&[("a", "1"), ("b", "2")]);
        move_to(&worktree, first.path());
        worktree
            .settle(&State {
                holds: "x".into(),
                failure: None,
                steps: 1,
            })
            .unwrap();
        // As if we had died after one file of a move.
        std::fs::write(worktree.place.join("moving"), "").unwrap();
        std::fs::remove_file(worktree.tree().join("b")).unwrap();
        assert_eq!(move_to(&worktree, first.path()), 1);
        assert_eq!(manifest_of(&worktree.tree()), manifest_of(first.path()));
        assert_eq!(worktree.state(), None);
    }
}
