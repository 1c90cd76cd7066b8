//! A revision's tree next to an earlier one of the same repository: what both have alike is linked, and only
//! what differs is read out of git. Pristine trees are never written to, so links are as good as copies.
//!
//! Not here: the first tree of a repository, which is read out whole (that is `git`).

use super::SourceError;
use super::cache::{Cache, Scratch, Shelf, failed};
use super::git::{self, git};
use super::job::Cancel;
use super::manifest::{self, Entry, Manifest, StatCache};
use super::tree::last_snapshot;
use crate::host::Output;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Most paths that one git command is given.
const PATHS_MAX: usize = 500;
/// More than that differ: everything is read out anew.
const CHANGED_MAX: usize = 20_000;

/// What differs between two trees.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changed {
    written: Vec<PathBuf>,
    removed: Vec<PathBuf>,
}

/// Fills `tree` with the files of the git tree `hash`. `None` where no earlier tree of this repository is at
/// hand, or too little of it fits; nothing was written then.
pub(super) fn checkout(
    repo: &Path,
    hash: &str,
    tree: &Path,
    scratch: &Scratch,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<Option<Manifest>, SourceError> {
    let Some(last) = std::fs::read_to_string(last_snapshot(cache, repo)).ok() else {
        return Ok(None);
    };
    let Some(before) = last.strip_prefix("git-") else {
        return Ok(None);
    };
    // Held so that nobody prunes it away meanwhile.
    let _held = cache.share(Shelf::Sources, &last)?;
    let place = cache.place(Shelf::Sources, &last);
    let Ok(mut manifest) = Manifest::load(&place.join("manifest")) else {
        return Ok(None);
    };
    let Some(changed) = difference(repo, before, hash, cancel)? else {
        return Ok(None);
    };
    for path in changed.removed.iter().chain(&changed.written) {
        manifest.entries.remove(path);
    }
    link_all(&manifest, &place.join("tree"), tree)?;
    read_out(
        repo,
        hash,
        &changed.written,
        tree,
        &scratch.path().join("index"),
        cancel,
    )?;
    let fresh = manifest::read(tree, &changed.written, &StatCache::default())?;
    manifest.entries.extend(fresh.manifest.entries);
    Ok(Some(manifest))
}

/// What turns one tree into the other; `None` where git cannot tell, or paths mean more than files.
fn difference(repo: &Path, from: &str, to: &str, cancel: &Cancel) -> Result<Option<Changed>, SourceError> {
    let cmd = git(repo)
        .args(["diff-tree", "-r", "-z", "--raw", "--no-renames", from, to])
        .stdout(Output::Capture { limit: 64 << 20 });
    let done = cancel.run(cmd)?;
    // An earlier tree that the repository has not any more.
    if !done.success() {
        return Ok(None);
    }
    Ok(changed(&done.stdout))
}

/// Reads `:100644 100644 OLD NEW M\0path\0…`.
fn changed(raw: &[u8]) -> Option<Changed> {
    let mut all = Changed::default();
    let mut parts = raw.split(|b| *b == 0).filter(|part| !part.is_empty());
    while let Some(about) = parts.next() {
        let about = std::str::from_utf8(about).ok()?;
        let mut words = about.strip_prefix(':')?.split(' ');
        let modes = [words.next()?, words.next()?];
        let status = words.next_back()?;
        let path = PathBuf::from(OsStr::from_bytes(parts.next()?));
        // Submodules are no files; attributes say how others are read out.
        if modes.contains(&"160000") || path.file_name().is_some_and(|name| name == ".gitattributes") {
            return None;
        }
        match status {
            "D" => all.removed.push(path),
            "A" | "M" | "T" => all.written.push(path),
            _ => return None,
        }
    }
    (all.written.len() + all.removed.len() <= CHANGED_MAX).then_some(all)
}

fn link_all(manifest: &Manifest, from: &Path, to: &Path) -> Result<(), SourceError> {
    let folders: BTreeSet<&Path> = manifest.entries.keys().filter_map(|p| p.parent()).collect();
    for folder in folders {
        let dir = to.join(folder);
        std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
    }
    let all: Vec<(&PathBuf, &Entry)> = manifest.entries.iter().collect();
    let results = manifest::on_all_cores(&all, |(path, entry)| {
        let (old, new) = (from.join(path), to.join(path));
        // A file has a limited number of names.
        std::fs::hard_link(&old, &new)
            .or_else(|_| super::tree::place(&old, &new, entry))
            .map_err(failed("create", &new))
    });
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}

/// Has git write some files of a tree.
fn read_out(
    repo: &Path,
    tree: &str,
    paths: &[PathBuf],
    to: &Path,
    index: &Path,
    cancel: &Cancel,
) -> Result<(), SourceError> {
    let read = git(repo).args(["read-tree", tree]).env("GIT_INDEX_FILE", index);
    let mut cmds = vec![read];
    let mut prefix = std::ffi::OsString::from("--prefix=");
    prefix.push(to);
    prefix.push("/");
    for some in paths.chunks(PATHS_MAX) {
        let cmd = git(repo).env("GIT_INDEX_FILE", index).arg("checkout-index");
        cmds.push(cmd.arg(&prefix).arg("--").args(some));
    }
    for cmd in cmds {
        let done = cancel.run(cmd)?;
        if !done.success() {
            return Err(git::failed(repo, &done));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_read_and_what_is_no_file_is_left_to_a_full_checkout() {
        let raw = b":100644 100644 aa bb M\0mm/zswap.c\0:100644 000000 aa 00 D\0old.c\0:000000 100755 00 cc A\0new\nname\0";
        let expected = Changed {
            written: vec!["mm/zswap.c".into(), "new\nname".into()],
            removed: vec!["old.c".into()],
        };
        assert_eq!(changed(raw), Some(expected));
        assert_eq!(changed(b""), Some(Changed::default()));
        for odd in [
            &b":160000 160000 aa bb M\0sub\0"[..],
            b":100644 100644 aa bb M\0.gitattributes\0",
            b":100644 100644 aa bb M\0sub/.gitattributes\0",
            b":100644 100644 aa bb U\0x\0",
            b"nonsense\0x\0",
            b":100644 100644 aa bb M\0",
        ] {
            assert_eq!(changed(odd), None, "{}", String::from_utf8_lossy(odd));
        }
    }
}
