//! Real kernels, as small as they get, built from the distribution's source: what only a real build shows.
//!
//! They take minutes, so they run where `PATCHPROOF_VM_TESTS=1` is set (`cargo xtask test` does), and share
//! the cache folder that `PATCHPROOF_CACHE_DIR` names.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use harness::host::{Cmd, Mode, dirs, set_self_exe};
use harness::kernel::{self, BuildStep, Built, KernelError, Progress, Request};
use harness::source::manifest::{self, StatCache};
use harness::source::{Cache, Cancel, DEFAULT_LIMIT_BYTES, Identity, Pristine, Series, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A 64-bit kernel that nobody would boot: a few hundred objects.
const TINY: &str = "CONFIG_64BIT=y\nCONFIG_PRINTK=y\nCONFIG_SWAP=y\n# CONFIG_KSM is not set\n";

struct Bench {
    dir: tempfile::TempDir,
    cache: Cache,
}

impl Bench {
    /// `None` where real builds are not asked for.
    fn new() -> Option<Self> {
        if std::env::var_os("PATCHPROOF_VM_TESTS").is_none_or(|v| v != "1") {
            eprintln!("skipped: builds real kernels; set PATCHPROOF_VM_TESTS=1");
            return None;
        }
        set_self_exe(env!("CARGO_BIN_EXE_patchproof"));
        let cache = Cache::open(&dirs::cache().unwrap(), DEFAULT_LIMIT_BYTES).unwrap();
        Some(Self {
            dir: tempfile::tempdir().unwrap(),
            cache,
        })
    }

    fn fragment(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A series of one patch that puts `text` at the end of a file of the tree.
    fn series(&self, name: &str, file: &str, text: &str) -> Series {
        let tree = self.pristine().tree;
        let old = std::fs::read_to_string(tree.join(file)).unwrap();
        let count = old.lines().count();
        let last: Vec<&str> = old.lines().skip(count - 3).collect();
        let context: String = last.iter().map(|l| format!(" {l}\n")).collect();
        let added: String = text.lines().map(|l| format!("+{l}\n")).collect();
        let patch = format!(
            "--- a/{file}\n+++ b/{file}\n@@ -{},3 +{},{} @@\n{context}{added}",
            count - 2,
            count - 2,
            3 + text.lines().count()
        );
        let path = self.dir.path().join(format!("{name}.patch"));
        std::fs::write(&path, patch).unwrap();
        Series::load(&path).unwrap()
    }

    fn pristine(&self) -> Pristine {
        let cancel = Cancel::default();
        let identity = Identity::of(&debian(), &self.cache, &cancel).unwrap();
        Pristine::of(&identity, &self.cache, Mode::Bubblewrap, &cancel).unwrap()
    }

    fn request(&self, series: Vec<Series>) -> Request {
        Request {
            source: debian(),
            series,
            fragments: vec![self.fragment("tiny.config", TINY)],
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            sandbox: Mode::Bubblewrap,
        }
    }

    fn ensure(&self, request: &Request) -> Result<Built, KernelError> {
        let silent: Progress = Arc::new(|_| {});
        kernel::ensure(request, &self.cache, &silent, &Cancel::default())
    }

    /// Makes sure that the next `ensure` builds.
    fn forget(&self, request: &Request) {
        let built = self.ensure(request).unwrap();
        std::fs::remove_dir_all(&built.dir).unwrap();
    }
}

fn debian() -> Source {
    Source::Debian {
        package: "linux-source-6.12".into(),
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    manifest::hash_file(one).unwrap() == manifest::hash_file(other).unwrap()
}

#[test]
fn incremental_equals_clean_and_pristine_stays_so() {
    let Some(bench) = Bench::new() else { return };
    let code = "\nnoinline int patchproof_probe(int x);\nnoinline int patchproof_probe(int x)\n{\n\tif (x > 41)\n\t\tpr_info(\"probe at line %d of %s\\n\", __LINE__, __FILE__);\n\treturn x;\n}\n";
    let series = bench.series("probe", "mm/swap_state.c", code);
    let request = bench.request(vec![series.clone()]);
    let base = bench.ensure(&bench.request(vec![])).unwrap();
    let steps = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&steps);
    let progress: Progress = Arc::new(move |step| {
        if matches!(step, BuildStep::Compiling { ref what, .. } if what.starts_with("CC ")) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    bench.forget(&request);
    let patched = kernel::ensure(&request, &bench.cache, &progress, &Cancel::default()).unwrap();
    eprintln!(
        "one changed file: {:?} s, {} compiled",
        patched.build_s,
        steps.load(Ordering::Relaxed)
    );
    assert!(
        steps.load(Ordering::Relaxed) < 10,
        "only what the patch changes is compiled"
    );
    assert!(!is_same_file(
        &base.dir.join("vmlinux"),
        &patched.dir.join("vmlinux")
    ));

    // The same, from a folder that holds the patched files: another source, so built as a base.
    let pristine = bench.pristine();
    let copy = bench.dir.path().join("copy");
    let cp = Cmd::new("cp").args(["-a", "--"]).arg(&pristine.tree).arg(&copy);
    assert!(cp.run().unwrap().success());
    let old = std::fs::read_to_string(copy.join("mm/swap_state.c")).unwrap();
    std::fs::write(copy.join("mm/swap_state.c"), old + code).unwrap();
    // A clean build takes minutes. Here it may take objects from the compiler's cache, which goes by what is
    // compiled, so that an object that should have been made anew still differs; the soak compiles everything.
    // By its key it gives the same bytes each time: it is kept for the next time, but not for the soak's.
    let is_soak = std::env::var_os("PATCHPROOF_SOAK").is_some_and(|v| v == "1");
    let clean_cache = if is_soak {
        bench.dir.path().join("clean")
    } else {
        let kept = dirs::cache().unwrap().join("clean-builds");
        std::fs::create_dir_all(&kept).unwrap();
        let ccache = kept.join("ccache");
        if !ccache.exists() {
            std::os::unix::fs::symlink(bench.cache.root().join("ccache"), &ccache).unwrap();
        }
        kept
    };
    let clean_root = Cache::open(&clean_cache, DEFAULT_LIMIT_BYTES).unwrap();
    let mut clean_request = bench.request(vec![]);
    clean_request.source = Source::Dir { path: copy };
    let clean = kernel::ensure(&clean_request, &clean_root, &progress, &Cancel::default()).unwrap();
    eprintln!(
        "clean build of a dirty folder: {:?} s, kept: {}",
        clean.build_s, clean.cached
    );
    for shelf in ["worktrees", "sources"] {
        let _ = std::fs::remove_dir_all(clean_cache.join(shelf));
    }
    assert!(is_same_file(
        &patched.dir.join("config"),
        &clean.dir.join("config")
    ));
    assert!(is_same_file(
        &patched.dir.join("vmlinux"),
        &clean.dir.join("vmlinux")
    ));
    assert!(is_same_file(
        &patched.dir.join("bzImage"),
        &clean.dir.join("bzImage")
    ));

    // And near the source that the base holds: built over the base, which stays where it is.
    bench.forget(&clean_request);
    steps.store(0, Ordering::Relaxed);
    let (count, moves) = (Arc::clone(&steps), Arc::new(AtomicUsize::new(0)));
    let moved = Arc::clone(&moves);
    let progress: Progress = Arc::new(move |step| {
        if matches!(step, BuildStep::Moved { .. }) {
            moved.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(step, BuildStep::Compiling { ref what, .. } if what.starts_with("CC ")) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let near = kernel::ensure(&clean_request, &bench.cache, &progress, &Cancel::default()).unwrap();
    let compiled = steps.load(Ordering::Relaxed);
    eprintln!("a near source: {:?} s, {compiled} compiled", near.build_s);
    assert!(compiled < 10, "only what differs is compiled");
    assert_eq!(moves.load(Ordering::Relaxed), 0, "the base is not moved for it");
    for file in ["config", "vmlinux", "bzImage"] {
        assert!(
            is_same_file(&near.dir.join(file), &clean.dir.join(file)),
            "{file}"
        );
    }

    let again = manifest::read(
        &pristine.tree,
        &manifest::list(&pristine.tree).unwrap(),
        &StatCache::default(),
    );
    assert_eq!(again.unwrap().manifest.id(), pristine.manifest.id());
}

#[test]
fn two_that_want_the_same_kernel_get_one_build() {
    let Some(bench) = Bench::new() else { return };
    let request = bench.request(vec![bench.series("twice", "mm/swap.c", "/* twice */\n")]);
    bench.forget(&request);
    let both: Vec<Built> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| bench.ensure(&request).unwrap()))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(both.iter().filter(|b| !b.cached).count(), 1);
    assert_eq!(both[0].key, both[1].key);
    assert!(bench.ensure(&request).unwrap().cached);
}

#[test]
fn a_compile_error_names_file_line_and_patch() {
    let Some(bench) = Bench::new() else { return };
    let good = bench.series("good", "mm/swap.c", "/* fine */\n");
    let bad = bench.series(
        "bad",
        "mm/swap_slots.c",
        "int broken(void) { return nonsense; }\n",
    );
    let line = std::fs::read_to_string(bench.pristine().tree.join("mm/swap_slots.c"))
        .unwrap()
        .lines()
        .count()
        + 1;
    let failure = match bench.ensure(&bench.request(vec![good, bad])) {
        Err(KernelError::Build(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure.file.as_deref(), Some(Path::new("mm/swap_slots.c")));
    assert_eq!(failure.line.map(|l| l as usize), Some(line));
    assert!(failure.message.contains("nonsense"), "{failure}");
    let blamed = failure.patch.as_ref().unwrap();
    assert_eq!(
        (
            blamed.series.as_str(),
            blamed.patch.as_str(),
            blamed.wrote_the_line
        ),
        ("bad", "bad.patch", true)
    );
    assert!(
        std::fs::read_to_string(&failure.log)
            .unwrap()
            .contains("nonsense")
    );
}

#[test]
fn a_line_that_does_not_come_is_told_with_what_it_depends_on() {
    let Some(bench) = Bench::new() else { return };
    let mut request = bench.request(vec![bench.series("any", "mm/swap.c", "/* any */\n")]);
    let text =
        "# comment\nCONFIG_ZSWAP=y\nCONFIG_NO_SUCH_THING=y\nCONFIG_ALSO_MISSING=y # optional: made up\n";
    request.fragments.push(bench.fragment("more.config", text));
    let missing = match bench.ensure(&request) {
        Err(KernelError::Config(missing)) => missing,
        other => panic!("{other:?}"),
    };
    let told: Vec<String> = missing
        .iter()
        .map(|m| m.to_string().split("more.config").last().unwrap().to_owned())
        .collect();
    // Optional lines are not missed, and ZSWAP selects what it needs.
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told.iter().any(|t| t
            .starts_with(":3: CONFIG_NO_SUCH_THING=y is not in the final config (there is no such symbol")),
        "{told:?}"
    );
}

#[test]
fn a_new_symbol_of_a_racepoint_series_is_configured_and_a_site_that_does_not_fit_is_dropped() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.dir.path().join("points");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("series.yaml"),
        "title: points\nwhat: points\nkind: racepoint\nfits: [6.12..]\n",
    )
    .unwrap();
    let tree = bench.pristine().tree;
    let kconfig = std::fs::read_to_string(tree.join("mm/Kconfig")).unwrap();
    let mut lines = kconfig.lines();
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
    // Context on both sides: a hunk without any below it has to fit at the end of its file.
    let infra = format!(
        "--- a/mm/Kconfig\n+++ b/mm/Kconfig\n@@ -1,2 +1,6 @@\n {first}\n+\n+config PP_POINT\n+\tbool \"Points\"\n+\n {second}\n"
    );
    std::fs::write(folder.join("0001-infra.patch"), infra).unwrap();
    let site = |name: &str, file: &str, text: &str| {
        let series = bench.series(name, file, text);
        std::fs::write(
            folder.join(format!("000{}-site-{name}.patch", name.len())),
            &series.patches[0].bytes,
        )
        .unwrap();
    };
    site(
        "ok",
        "mm/swap.c",
        "#ifdef CONFIG_PP_POINT\nint pp_point = 1;\n#endif",
    );
    site("bad", "mm/swap_state.c", "int pp_bad = nonsense;");
    std::fs::write(
        folder.join("0009-site-lost.patch"),
        "--- a/mm/swap.c\n+++ b/mm/swap.c\n@@ -10,3 +10,4 @@\n not\n there\n+x\n at all\n",
    )
    .unwrap();
    let mut request = bench.request(vec![Series::load(&folder).unwrap()]);
    request
        .fragments
        .push(bench.fragment("points.config", "CONFIG_PP_POINT=y\n"));
    let built = bench.ensure(&request).unwrap();
    assert_eq!(built.record.racepoints.applied, ["ok"]);
    let dropped = &built.record.racepoints.dropped;
    assert_eq!(
        dropped.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["bad", "lost"]
    );
    assert!(dropped[0].1.contains("does not compile"), "{dropped:?}");
    let config = std::fs::read_to_string(built.dir.join("config")).unwrap();
    assert!(config.contains("CONFIG_PP_POINT=y"));
}
