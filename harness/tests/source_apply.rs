//! Series on small trees, in the sandbox: what fits, how exactly, and what is refused with which words.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use harness::host::{Cmd, Mode, set_self_exe};
use harness::source::manifest::{self, StatCache};
use harness::source::{
    Apply, ApplyError, ApplyFailure, Cache, Cancel, DEFAULT_LIMIT_BYTES, Delta, Inexact, Patch, Series,
    SeriesKind, in_order,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

struct Tree {
    dir: tempfile::TempDir,
    cache: Cache,
}

/// Sixty lines, all different.
fn lines(prefix: &str) -> String {
    (1..=60).map(|n| format!("{prefix} {n}\n")).collect()
}

impl Tree {
    fn new() -> Self {
        set_self_exe(env!("CARGO_BIN_EXE_patchproof"));
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT_BYTES).unwrap();
        let tree = Self { dir, cache };
        std::fs::create_dir_all(tree.path().join("mm")).unwrap();
        std::fs::write(tree.path().join("mm/a.c"), lines("a")).unwrap();
        std::fs::write(tree.path().join("mm/b.c"), lines("b")).unwrap();
        std::os::unix::fs::symlink("mm", tree.path().join("link")).unwrap();
        tree
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn apply(&self, series: &[Series]) -> Result<Delta, ApplyError> {
        self.apply_with(series, None)
    }

    fn apply_with(&self, series: &[Series], repo: Option<&Path>) -> Result<Delta, ApplyError> {
        let before = self.manifest();
        let result = Apply {
            tree: &self.path(),
            repo,
            without: &BTreeMap::new(),
            mode: Mode::Bubblewrap,
            cache: &self.cache,
            cancel: &Cancel::default(),
        }
        .run(&in_order(series));
        assert_eq!(self.manifest(), before, "the tree itself is never written to");
        result
    }

    fn manifest(&self) -> manifest::Manifest {
        let list = manifest::list(&self.path()).unwrap();
        manifest::read(&self.path(), &list, &StatCache::default())
            .unwrap()
            .manifest
    }

    fn fails(&self, patch: impl AsRef<[u8]>) -> ApplyFailure {
        match self.apply(&[series(
            "s",
            SeriesKind::Carry,
            &[("0001-x.patch", patch.as_ref())],
        )]) {
            Err(ApplyError::Failure(failure)) => *failure,
            other => panic!("{other:?}"),
        }
    }

    fn fits(&self, patch: impl AsRef<[u8]>) -> Delta {
        self.apply(&[series(
            "s",
            SeriesKind::Carry,
            &[("0001-x.patch", patch.as_ref())],
        )])
        .unwrap()
    }
}

fn series(name: &str, kind: SeriesKind, patches: &[(&str, &[u8])]) -> Series {
    let patch = |(name, bytes): &(&str, &[u8])| Patch {
        name: (*name).to_owned(),
        subject: String::new(),
        bytes: bytes.to_vec(),
        notes: vec![],
    };
    Series {
        name: name.into(),
        kind,
        title: String::new(),
        fits: vec![],
        patches: patches.iter().map(patch).collect(),
    }
}

/// A hunk that changes line `n` of a file whose lines start with `prefix`, with its header off by `off`.
fn change(file: &str, prefix: &str, n: i64, off: i64) -> String {
    let line = |n: i64| format!("{prefix} {n}");
    let start = n - 3 + off;
    let before: String = (n - 3..n).map(|n| format!(" {}\n", line(n))).collect();
    let after: String = (n + 1..=n + 3).map(|n| format!(" {}\n", line(n))).collect();
    format!(
        "--- a/{file}\n+++ b/{file}\n@@ -{start},7 +{start},7 @@ f()\n{before}-{}\n+changed {n}\n{after}",
        line(n)
    )
}

fn content(delta: &Delta, path: &str) -> String {
    std::fs::read_to_string(delta.dir().unwrap().join(path)).unwrap()
}

#[test]
fn an_exact_patch_fits_without_a_note_and_an_offset_is_noted() {
    let tree = Tree::new();
    let delta = tree.fits(change("mm/a.c", "a", 30, 0));
    assert_eq!(
        (delta.written.as_slice(), delta.notes.len()),
        ([PathBuf::from("mm/a.c")].as_slice(), 0)
    );
    assert!(content(&delta, "mm/a.c").contains("a 29\nchanged 30\na 31\n"));
    let delta = tree.fits(change("mm/a.c", "a", 30, -4));
    assert_eq!(delta.notes.len(), 1);
    assert_eq!(delta.notes[0].what, Inexact::Offset { hunk: 1, lines: 4 });
    assert_eq!(delta.notes[0].file.as_deref(), Some(Path::new("mm/a.c")));
}

#[test]
fn less_context_is_the_last_resort_and_is_noted() {
    let tree = Tree::new();
    let patch = change("mm/a.c", "a", 30, 0).replace(" a 27\n", " somewhat different\n");
    let delta = tree.fits(patch);
    assert!(
        delta
            .notes
            .iter()
            .any(|n| matches!(&n.what, Inexact::Fuzz { .. })),
        "{:?}",
        delta.notes
    );
    assert!(content(&delta, "mm/a.c").contains("changed 30"));
}

#[test]
fn a_refusal_names_patch_file_and_hunk() {
    let tree = Tree::new();
    let second = change("mm/a.c", "a", 50, 0).replace("-a 50", "-b 50");
    let both = change("mm/a.c", "a", 30, 0) + second.split_once("+++ b/mm/a.c\n").unwrap().1;
    let failure = tree.fails(both);
    assert_eq!(
        (failure.series.as_str(), failure.patch.as_str()),
        ("s", "0001-x.patch")
    );
    assert_eq!(failure.file.as_deref(), Some(Path::new("mm/a.c")));
    assert_eq!(failure.hunk, Some((2, "@@ -47,7 +47,7 @@ f()".into())));
    assert_eq!(
        failure.to_string(),
        "series s: 0001-x.patch does not apply to mm/a.c, hunk 2 (@@ -47,7 +47,7 @@ f()): the lines it expects are not there"
    );
    assert_eq!(
        tree.fails(change("mm/gone.c", "a", 30, 0)).reason,
        "there is no such file"
    );
    let there = "--- /dev/null\n+++ b/mm/a.c\n@@ -0,0 +1 @@\n+x\n";
    assert_eq!(tree.fails(there).reason, "the file it creates is already there");
    assert_eq!(tree.fails("").reason, "it holds no change");
    assert!(
        tree.fails("--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,3 @@\n a 1\n")
            .reason
            .contains("cut off")
    );
}

#[test]
fn what_leads_out_of_the_tree_is_refused() {
    let tree = Tree::new();
    let new = |path: &str| tree.fails(format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n"));
    for path in ["b/../../out", "/out", "b/.git/hooks/pre-commit"] {
        let failure = new(path);
        assert!(failure.reason.contains("not inside the tree"), "{failure}");
        assert!(failure.file.is_some());
    }
    assert!(new("b/link/new.c").reason.contains("link is a symbolic link"));
    // A link made by one patch is no way out for the next.
    let link = b"diff --git a/way b/way\nnew file mode 120000\nindex 0000000..1\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+mm\n\\ No newline at end of file\n";
    let through = b"--- /dev/null\n+++ b/way/new.c\n@@ -0,0 +1 @@\n+x\n";
    let two = [("1.patch", link.as_slice()), ("2.patch", through.as_slice())];
    match tree.apply(&[series("s", SeriesKind::Carry, &two)]) {
        Err(ApplyError::Failure(failure)) => {
            assert_eq!(failure.patch, "2.patch");
            assert!(failure.reason.contains("symbolic link"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!tree.dir.path().join("out").exists() && !Path::new("/out").exists());
}

#[test]
fn renames_modes_binaries_and_removals_come_out() {
    let tree = Tree::new();
    let rename =
        "diff --git a/mm/b.c b/lib/c d.c\nsimilarity index 100%\nrename from mm/b.c\nrename to lib/c d.c\n";
    let delta = tree.fits(rename);
    assert_eq!(delta.removed, [PathBuf::from("mm/b.c")]);
    assert_eq!(delta.written, [PathBuf::from("lib/c d.c")]);
    let delta = tree.fits("diff --git a/mm/a.c b/mm/a.c\nold mode 100644\nnew mode 100755\n");
    assert_eq!(
        delta.after.entries[Path::new("mm/a.c")].kind,
        manifest::Kind::Executable
    );
    assert_eq!(delta.written, [PathBuf::from("mm/a.c")]);
    let removal: String = lines("b").lines().map(|l| format!("-{l}\n")).collect();
    let delta = tree.fits(format!(
        "diff --git a/mm/b.c b/mm/b.c\ndeleted file mode 100644\n--- a/mm/b.c\n+++ /dev/null\n@@ -1,60 +0,0 @@\n{removal}"
    ));
    assert_eq!((delta.removed.len(), delta.written.len()), (1, 0));
    // Three zero bytes, as git writes them.
    let binary = "diff --git a/x.bin b/x.bin\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..4227ca4e8736af63036e7457e2db376ddf7e5795\nGIT binary patch\nliteral 3\nKcmZQzU;qFB0{{U4\n\nliteral 0\nHcmV?d00001\n\n";
    match tree.apply(&[series("s", SeriesKind::Carry, &[("b.patch", binary.as_bytes())])]) {
        Ok(delta) => assert_eq!(delta.written, [PathBuf::from("x.bin")]),
        Err(ApplyError::Failure(failure)) => panic!("{failure}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn patches_build_on_each_other_and_racepoint_sites_may_not_fit() {
    let tree = Tree::new();
    let infra = "--- /dev/null\n+++ b/mm/point.h\n@@ -0,0 +1 @@\n+point\n";
    let lost = change("mm/b.c", "nothing", 20, 0);
    let (one, two) = (change("mm/a.c", "a", 10, 0), change("mm/b.c", "b", 10, 0));
    let patches: [(&str, &[u8]); 5] = [
        ("0001-infra.patch", infra.as_bytes()),
        ("0002-site-one.patch", one.as_bytes()),
        ("0003-site-lost.patch", lost.as_bytes()),
        (
            "0004-site-evil.patch",
            b"--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n",
        ),
        ("0005-site-two.patch", two.as_bytes()),
    ];
    let points = series("points", SeriesKind::Racepoint, &patches);
    let under_test = series(
        "s",
        SeriesKind::Defect,
        &[("x.patch", change("mm/a.c", "a", 40, 0).as_bytes())],
    );
    let delta = tree.apply(&[points.clone(), under_test]).unwrap();
    assert_eq!(
        delta.patches[0].series, "s",
        "racepoints come after the series under test"
    );
    assert_eq!(delta.racepoints.applied, ["one", "two"]);
    let dropped: Vec<_> = delta
        .racepoints
        .dropped
        .iter()
        .map(|(n, why)| format!("{n}: {why}"))
        .collect();
    assert_eq!(
        dropped[0],
        "lost: mm/b.c: hunk 1: the lines it expects are not there"
    );
    assert!(dropped[1].starts_with("evil: ../x: it names"), "{dropped:?}");
    assert!(
        content(&delta, "mm/a.c").contains("changed 10") && content(&delta, "mm/a.c").contains("changed 40")
    );
    let mut broken = points;
    broken.patches.remove(0);
    broken.patches.swap(0, 1);
    let failure = match tree.apply(&[broken]) {
        Err(ApplyError::Failure(failure)) => *failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (failure.kind, failure.patch.as_str()),
        (SeriesKind::Racepoint, "0003-site-lost.patch")
    );
}

#[test]
fn where_git_knows_the_base_a_three_way_merge_mends_and_a_conflict_leaves_nothing() {
    let tree = Tree::new();
    let git = |args: &[&str]| {
        let ids = ["-c", "user.name=n", "-c", "user.email=e@e"];
        let done = Cmd::new("git")
            .args(ids)
            .args(args.iter().copied())
            .cwd(tree.path())
            .run()
            .unwrap();
        assert!(done.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "base"]);
    let edit = |from: &str, to: &str| {
        let path = tree.path().join("mm/a.c");
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
    };
    // The patch is made on the base; the tree has meanwhile changed the line before, and far away.
    edit("a 30\n", "a 30\npatched\n");
    let patch = git(&["diff", "--full-index"]);
    edit("a 30\npatched\n", "a 30\n");
    for n in 27..=29 {
        edit(&format!("a {n}\n"), &format!("moved on {n}\n"));
    }
    edit("a 31\na 32\na 33\n", "a 31\nmoved on 32\nmoved on 33\n");
    let one = [series("s", SeriesKind::Carry, &[("1.patch", patch.as_bytes())])];
    let delta = tree.apply_with(&one, Some(&tree.path())).unwrap();
    assert_eq!(
        delta.notes.iter().map(|n| n.what.clone()).collect::<Vec<_>>(),
        [Inexact::ThreeWay]
    );
    assert!(content(&delta, "mm/a.c").contains("moved on 29\na 30\npatched\na 31\nmoved on 32\n"));
    // The same line changed on both sides: a conflict, and told as that of the strict attempt.
    edit("a 30\na 31\n", "a 30 too\nother\na 31 too\n");
    match tree.apply_with(&one, Some(&tree.path())) {
        Err(ApplyError::Failure(failure)) => assert_eq!(failure.hunk.unwrap().0, 1),
        other => panic!("{other:?}"),
    }
}
