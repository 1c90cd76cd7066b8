//! Whether a base may serve another source than the one that it holds: where little differs, a kernel is built
//! over it as if the difference were a series, and the base stays where it is.
//!
//! Moving a base compiles what differs once and for all; building over it compiles that again for every
//! kernel. So it is asked what the difference would compile: kbuild notes beside each object which files it was
//! made of. Not here: moving (that is `base`) and building over a base (that is `make`).

use super::KernelError;
use super::worktree::Worktree;
use crate::source::kconfig;
use crate::source::manifest::{self, Difference, Manifest};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Files that may differ: most of a tree is not compiled here, so they cost a copy only.
const FILES_MAX: usize = 2000;
/// Objects that may have to be compiled again: half a minute on two cores.
const OBJECTS_MAX: usize = 150;
/// Where the tools lie that a build makes first; one that changes may change anything.
const TOOLS: [&str; 7] = [
    "scripts",
    "tools/arch",
    "tools/bpf",
    "tools/build",
    "tools/include",
    "tools/lib",
    "tools/objtool",
];
/// Files of which nothing is compiled.
const PROSE: [&str; 5] = ["rst", "txt", "yaml", "md", "json"];

/// What turns the base's tree into the wanted one, if that is little.
pub(super) fn near(worktree: &Worktree, wanted: &Manifest) -> Result<Option<Difference>, KernelError> {
    let Some(have) = worktree.manifest() else {
        return Ok(None);
    };
    let difference = have.difference(wanted);
    if difference.removed.len() + difference.written.len() > FILES_MAX {
        return Ok(None);
    }
    let touched = || difference.removed.iter().chain(&difference.written);
    if touched().any(|path| TOOLS.iter().any(|tools| path.starts_with(tools))) {
        return Ok(None);
    }
    let compiled: HashSet<&Path> = touched().map(PathBuf::as_path).filter(|p| is_code(p)).collect();
    let few = compiled.is_empty() || objects(&worktree.build(), &compiled) <= OBJECTS_MAX;
    Ok(few.then_some(difference))
}

fn is_code(path: &Path) -> bool {
    let prose = |ext: &OsStr| PROSE.iter().any(|p| ext == *p);
    !path.starts_with("Documentation") && !path.extension().is_some_and(prose) && !kconfig::is_kconfig(path)
}

/// How many objects of a build folder were made of at least one of the files.
fn objects(build: &Path, files: &HashSet<&Path>) -> usize {
    let notes: Vec<PathBuf> = walkdir::WalkDir::new(build)
        .into_iter()
        .flatten()
        .filter(|e| e.file_type().is_file() && e.file_name().to_string_lossy().ends_with(".o.cmd"))
        .map(walkdir::DirEntry::into_path)
        .collect();
    let made_of = |note: &PathBuf| {
        let text = std::fs::read(note).unwrap_or_default();
        names(&text).any(|name| files.contains(name))
    };
    manifest::on_all_cores(&notes, made_of)
        .into_iter()
        .filter(|made| *made)
        .count()
}

/// The files of the tree that a note names: `  /src/include/linux/mm.h \` and `source_mm/x.o := /src/mm/x.c`.
fn names(note: &[u8]) -> impl Iterator<Item = &Path> {
    let words = note
        .split(|b| b.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    words
        .filter_map(|word| std::str::from_utf8(word).ok()?.strip_prefix("/src/"))
        .map(Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_what_they_were_made_of() {
        let build = tempfile::tempdir().unwrap();
        let note = |name: &str, text: &str| {
            let path = build.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        note(
            "mm/.a.o.cmd",
            "savedcmd_mm/a.o := gcc -I/src/include\n\nsource_mm/a.o := /src/mm/a.c\n\ndeps_mm/a.o := \\\n  /src/include/linux/mm.h \\\n  /src/mm/own.h \\\n",
        );
        note(
            "mm/.b.o.cmd",
            "source_mm/b.o := /src/mm/b.c\n\ndeps_mm/b.o := \\\n  /src/include/linux/mm.h \\\n",
        );
        note("mm/.other.cmd", "source := /src/mm/a.c\n");
        let count = |files: &[&str]| objects(build.path(), &files.iter().map(Path::new).collect());
        assert_eq!(count(&["mm/a.c"]), 1);
        assert_eq!(count(&["mm/own.h"]), 1);
        assert_eq!(count(&["include/linux/mm.h"]), 2);
        assert_eq!(count(&["mm/a.c", "mm/own.h"]), 1);
        assert_eq!(count(&["drivers/x.c"]), 0);
    }

    #[test]
    fn prose_is_not_compiled() {
        for prose in [
            "Documentation/mm/x.c",
            "mm/README.rst",
            "MAINTAINERS.txt",
            "mm/Kconfig",
        ] {
            assert!(!is_code(Path::new(prose)), "{prose}");
        }
        assert!(is_code(Path::new("mm/x.c")) && is_code(Path::new("mm/Makefile")));
    }
}
