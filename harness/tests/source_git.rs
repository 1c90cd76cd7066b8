//! Revisions of a git repository as sources: a second one is read out beside the first, and is the same as if it
//! had been read out alone; a range, and what undoes one of its commits.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use harness::host::{Cmd, Mode, set_self_exe};
use harness::hunt::range::{Maker, Range};
use harness::kernel::Request;
use harness::source::manifest::{self, StatCache};
use harness::source::{
    Apply, Cache, Cancel, DEFAULT_LIMIT_BYTES, Ends, Identity, Pristine, Series, SeriesKind, Source,
    in_order, range,
};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

struct Repo {
    dir: tempfile::TempDir,
}

impl Repo {
    fn new() -> Self {
        set_self_exe(env!("CARGO_BIN_EXE_patchproof"));
        let repo = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(repo.path().join("mm")).unwrap();
        repo.git(&["init", "--quiet", "-b", "main"]);
        repo.write("Makefile", "VERSION = 6\nPATCHLEVEL = 12\n");
        repo.write("Kconfig", "config MMU\n\tbool\n");
        repo.write("mm/a.c", "int a;\n\n\n\n\nint z;\n");
        repo.write("mm/b.c", "int b;\n");
        repo.write("script", "#!/bin/sh\n");
        std::os::unix::fs::symlink("mm", repo.path().join("link")).unwrap();
        repo.commit("one");
        repo
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("linux")
    }

    fn git(&self, args: &[&str]) -> String {
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let done = Cmd::new("git")
            .args(own)
            .args(args)
            .cwd(self.path())
            .run()
            .unwrap();
        assert!(
            done.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path().join(path), text).unwrap();
    }

    fn commit(&self, name: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", name]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self, rev: &str) -> Source {
        Source::Git {
            repo: self.path(),
            rev: rev.to_owned(),
        }
    }
}

fn pristine(repo: &Repo, rev: &str, cache: &Cache) -> Pristine {
    let cancel = Cancel::default();
    let identity = Identity::of(&repo.source(rev), cache, &cancel).unwrap();
    Pristine::of(&identity, cache, Mode::Bubblewrap, &cancel).unwrap()
}

fn as_it_is(tree: &Path) -> manifest::Manifest {
    let list = manifest::list(tree).unwrap();
    manifest::read(tree, &list, &StatCache::default())
        .unwrap()
        .manifest
}

#[test]
fn a_second_revision_shares_what_it_has_alike_and_is_the_same_as_alone() {
    let repo = Repo::new();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.write("mm/a.c", "int a2;\n");
    std::fs::remove_file(repo.path().join("mm/b.c")).unwrap();
    repo.write("mm/new name.c", "int n;\n");
    std::fs::set_permissions(repo.path().join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let second = repo.commit("two");
    let (together, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |dir: &tempfile::TempDir| Cache::open(dir.path(), DEFAULT_LIMIT_BYTES).unwrap();
    let (together, alone) = (open(&together), open(&alone));
    let one = pristine(&repo, &first, &together);
    let two = pristine(&repo, &second, &together);
    let whole = pristine(&repo, &second, &alone);
    assert_eq!(two.manifest, whole.manifest);
    assert_eq!(
        as_it_is(&two.tree),
        whole.manifest,
        "the files are what the manifest says"
    );
    assert_eq!(as_it_is(&one.tree), one.manifest, "the first one was not touched");
    let inode = |p: &Pristine, path: &str| std::fs::metadata(p.tree.join(path)).unwrap().ino();
    assert_eq!(
        inode(&one, "Makefile"),
        inode(&two, "Makefile"),
        "alike, so shared"
    );
    assert_ne!(inode(&one, "mm/a.c"), inode(&two, "mm/a.c"));
    // And back again: a revision that is older than the last one.
    repo.write("mm/a.c", "int a3;\n");
    let third = repo.commit("three");
    assert_eq!(
        pristine(&repo, &third, &together).manifest,
        pristine(&repo, &third, &alone).manifest
    );
}

fn ends(repo: &Repo, good: &str, bad: &str) -> Ends {
    range(&repo.path(), good, bad, &Cancel::default()).unwrap()
}

#[test]
fn a_range_has_its_merges_and_the_good_end_first() {
    let repo = Repo::new();
    repo.git(&["tag", "good"]);
    repo.git(&["checkout", "--quiet", "-b", "side"]);
    repo.write("mm/b.c", "int b2;\n");
    let side = repo.commit("mm: on the side");
    repo.git(&["checkout", "--quiet", "main"]);
    repo.write("mm/a.c", "int a2;\n");
    let main = repo.commit("mm: on main");
    repo.git(&["merge", "--quiet", "--no-ff", "-m", "Merge branch 'side'", "side"]);
    let Ends::Range(commits) = ends(&repo, "good", "main") else {
        panic!("a range")
    };
    assert_eq!(commits.len(), 4);
    assert_eq!(commits[0].subject, "one");
    let merge = &commits[3];
    assert_eq!(
        (merge.subject.as_str(), merge.files.len()),
        ("Merge branch 'side'", 0)
    );
    assert_eq!(merge.parents, [main, side.clone()]);
    let on_side = commits.iter().find(|c| c.id == side).unwrap();
    assert_eq!(on_side.files, ["mm/b.c"]);
    assert_eq!(ends(&repo, "good", "good"), Ends::Same);
    assert_eq!(ends(&repo, "main", "good"), Ends::Reversed);
    let Ends::Forked { at } = ends(&repo, "side", "main~1") else {
        panic!("two branches")
    };
    assert_eq!(at, repo.git(&["rev-parse", "good"]));
}

/// What a request's series make of the tree that its source is.
fn applied(repo: &Repo, request: &Request) -> BTreeMap<PathBuf, String> {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), DEFAULT_LIMIT_BYTES).unwrap();
    let cancel = Cancel::default();
    let identity = Identity::of(&request.source, &cache, &cancel).unwrap();
    let pristine = Pristine::of(&identity, &cache, Mode::Bubblewrap, &cancel).unwrap();
    let delta = Apply {
        tree: &pristine.tree,
        repo: Some(&repo.path()),
        without: &BTreeMap::new(),
        mode: Mode::Bubblewrap,
        cache: &cache,
        cancel: &cancel,
    }
    .run(&in_order(&request.series))
    .unwrap();
    let text = |path: &PathBuf| std::fs::read_to_string(delta.dir().unwrap().join(path)).unwrap();
    delta
        .written
        .iter()
        .map(|path| (path.clone(), text(path)))
        .collect()
}

fn like(repo: &Repo, series: Vec<Series>) -> Request {
    Request {
        source: repo.source("main"),
        series,
        fragments: Vec::new(),
        jobs: 1,
        sandbox: Mode::Bubblewrap,
    }
}

#[test]
fn the_bad_end_without_a_commit_has_everything_but_its_change() {
    let repo = Repo::new();
    repo.git(&["tag", "good"]);
    repo.write("mm/a.c", "int culprit;\n\n\n\n\nint z;\n");
    repo.commit("mm: the culprit");
    repo.write("mm/a.c", "int culprit;\n\n\n\n\nint z2;\n");
    repo.commit("mm: a later change of the same file");
    let range = Range::git(&repo.path(), "good", "main", &Cancel::default()).unwrap();
    let maker = Maker::new(range, like(&repo, Vec::new()), Vec::new()).unwrap();
    let request = maker.reverted(1, &Cancel::default()).unwrap().unwrap();
    let files = applied(&repo, &request);
    assert_eq!(
        files.get(Path::new("mm/a.c")).map(String::as_str),
        Some("int a;\n\n\n\n\nint z2;\n")
    );
    let tags = Range::git(&repo.path(), "good", "main", &Cancel::default())
        .unwrap()
        .tags(1)
        .unwrap();
    let short = &repo.git(&["rev-parse", "main~1"])[..12];
    assert_eq!(tags.0, format!("Fixes: {short} (\"mm: the culprit\")"));
    assert_eq!(tags.1, format!("#regzbot introduced: {short}"));
}

#[test]
fn a_series_is_searched_by_its_prefixes() {
    let repo = Repo::new();
    let base = repo.git(&["rev-parse", "HEAD"]);
    for n in 1..=3 {
        repo.write(&format!("mm/new{n}.c"), "int n;\n");
        repo.commit(&format!("mm: patch {n}"));
    }
    let mbox = repo.git(&["format-patch", "--stdout", &format!("{base}..HEAD")]);
    let path = repo.dir.path().join("series.mbox");
    std::fs::write(&path, format!("{mbox}\n")).unwrap();
    let range = Range::series(&path, repo.source(&base)).unwrap();
    let subjects: Vec<String> = range
        .candidates()
        .into_iter()
        .skip(1)
        .map(|c| c.subject)
        .collect();
    assert_eq!(subjects, ["mm: patch 1", "mm: patch 2", "mm: patch 3"]);
    let weights = range.weights(&["mm/new2.c".to_owned()]).unwrap();
    assert!(weights[1] > weights[0] && weights[0] > 0.0, "{weights:?}");
    // The cell's kernel has the series already, and another one that stays.
    let own = Series::load(&path).unwrap();
    let other = Series {
        name: "other".into(),
        kind: SeriesKind::Fix,
        ..own.clone()
    };
    let other = Series {
        patches: other.patches[..1].to_vec(),
        ..other
    };
    let maker = Maker::new(range.clone(), like(&repo, vec![own, other.clone()]), Vec::new()).unwrap();
    let names = |request: &Request| -> Vec<Vec<String>> {
        let of = |s: &Series| s.patches.iter().map(|p| p.subject.clone()).collect();
        request.series.iter().map(of).collect()
    };
    let first = |n: usize| (1..=n).map(|n| format!("mm: patch {n}")).collect::<Vec<_>>();
    assert_eq!(names(&maker.request(0)), [first(1)], "the other one only");
    assert_eq!(names(&maker.request(2)), [first(1), first(2)]);
    let reverted = maker.reverted(2, &Cancel::default()).unwrap().unwrap();
    assert_eq!(names(&reverted)[1], ["mm: patch 1", "mm: patch 3"]);
    assert_eq!(maker.request(2).source, repo.source(&base));
    // A series that is another one now is not searched on.
    std::fs::write(&path, mbox.replace("int n;", "int m;")).unwrap();
    let error = Maker::new(range, like(&repo, vec![other]), Vec::new()).unwrap_err();
    assert!(
        error.to_string().ends_with("has changed since the search began"),
        "{error}"
    );
}
