//! Series of hostile senders, through the whole of applying and building: whatever their Makefiles try, nothing
//! outside of their throwaway layers changes, and the next series finds what it would have found without them.
//!
//! What the sandbox keeps out by itself is in `host_sandbox.rs`, what patches may name in `source_apply.rs`, and
//! what mails may say in the library's own tests.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

#[path = "common/again.rs"]
mod again;
#[expect(dead_code, reason = "each test file uses its part of this")]
mod common;
mod toy;

use harness::host::Mode;
use harness::kernel::{self, Built, KernelError, Ladder, Progress, Request};
use harness::source::manifest::{self, StatCache};
use harness::source::{Cache, Cancel, DEFAULT_LIMIT_BYTES, Series, Source};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toy::{FRAGMENT, Toy};

struct Victim {
    dir: tempfile::TempDir,
    cache: Cache,
    toy: Toy,
}

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tiny.config"), FRAGMENT).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        std::fs::write(dir.path().join("home/secret"), "secret\n").unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT_BYTES).unwrap();
        let toy = Toy::new(&dir.path().join("linux"), "image");
        Self { dir, cache, toy }
    }

    /// A folder of the host's that belongs to whoever runs this.
    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A series of what was committed since the base.
    fn series(&self, name: &str) -> Series {
        let path = self.dir.path().join(format!("{name}.mbox"));
        std::fs::write(&path, self.toy.patches()).unwrap();
        self.toy.reset();
        Series::load(&path).unwrap()
    }

    fn build_on(&self, ladder: &mut Ladder, series: Vec<Series>) -> Result<Built, KernelError> {
        let request = Request {
            source: Source::Git {
                repo: self.toy.path().into(),
                rev: "base".into(),
            },
            series,
            fragments: vec![self.dir.path().join("tiny.config")],
            jobs: 1,
            sandbox: Mode::Bubblewrap,
        };
        let silent: Progress = Arc::new(|_| {});
        kernel::climb(ladder, &request, &self.cache, &silent, &Cancel::default())
    }

    fn build(&self, series: Vec<Series>) -> Result<Built, KernelError> {
        self.build_on(&mut Ladder::default(), series)
    }

    /// Everything that series share: base trees, base builds, the compiler's cache, sources, the host's folder.
    fn shared(&self) -> Vec<(PathBuf, blake3::Hash)> {
        let root = self.cache.root();
        let mut all = Vec::new();
        for part in ["worktrees", "sources", "ccache"]
            .map(|p| root.join(p))
            .into_iter()
            .chain([self.home()])
        {
            if part.is_dir() {
                let list = manifest::list(&part).unwrap();
                let read = manifest::read(&part, &list, &StatCache::default()).unwrap();
                all.push((part, read.manifest.id()));
            }
        }
        all
    }

    /// Makes sure that it is built again; returns what was built.
    fn forget(&self, built: Built) -> blake3::Hash {
        let hash = vmlinux(&built);
        std::fs::remove_dir_all(&built.dir).unwrap();
        hash
    }

    /// A good series, built after whatever came before.
    fn next(&self) -> Built {
        self.toy.edit("mm/zswap.c", "x + 1;", "1 + x;");
        self.toy.commit("zswap: a good one");
        let series = self.series("good");
        self.build(vec![series]).unwrap()
    }
}

fn vmlinux(built: &Built) -> blake3::Hash {
    manifest::hash_file(&built.dir.join("vmlinux")).unwrap()
}

fn log_of(built: &Built) -> String {
    std::fs::read_to_string(built.dir.join("build.log")).unwrap()
}

#[test]
fn all_this_holds_for_an_ordinary_user() {
    again::as_an_ordinary_user("all_this_holds_for_an_ordinary_user");
}

#[test]
fn a_makefile_reaches_nothing_outside_of_its_layers() {
    let victim = Victim::new();
    // The base first: what is shared is there before the attack.
    victim.build(vec![]).unwrap();
    let clean = victim.forget(victim.next());
    let before = victim.shared();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let places = [
        "/planted".to_owned(),
        "/usr/planted".to_owned(),
        "/etc/planted".to_owned(),
        "/in/planted".to_owned(),
        "/ccache/planted".to_owned(),
        "/src/../planted".to_owned(),
        format!("{}/planted", victim.home().display()),
        format!("{}/ccache/planted", victim.cache.root().display()),
        format!("{}/planted", victim.cache.root().display()),
    ];
    let mut hook = String::from("hook:\n");
    for place in &places {
        hook.push_str(&format!(
            "\t-@(echo x > {place}) 2>/dev/null && echo 'got out: {place}'\n"
        ));
    }
    for attempt in [
        // Writes back what is there, so that it does no harm where it works.
        "v=$$(cat /proc/sys/kernel/core_pattern) && echo \"$$v\" > /proc/sys/kernel/core_pattern".to_owned(),
        format!("bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'"),
        format!("cat {}/secret", victim.home().display()),
        "rm -rf /ccache/*".to_owned(),
        "mount -t tmpfs none /src".to_owned(),
        "unshare -U true".to_owned(),
        "kill -9 1".to_owned(),
    ] {
        hook.push_str(&format!(
            "\t-@({attempt}) >/dev/null 2>&1 && echo 'got through: {attempt}' | cut -c1-40\n"
        ));
    }
    // What it may: its own layers, and leaving somebody behind.
    hook.push_str(
        "\t-@echo planted > /build/planted; echo 'int evil;' >> /src/mm/swapfile.c; setsid sleep 1000 &\n",
    );
    victim.toy.edit("Makefile", "hook:\n\t@:\n", &hook);
    victim.toy.commit("Makefile: attack");
    let attack = victim.series("attack");
    let built = victim.build(vec![attack]).unwrap();
    let log = log_of(&built);
    // Killing the sandbox's own init is nobody's gain; whether a process may signal it is the kernel's word.
    let out: Vec<&str> = log
        .lines()
        .filter(|l| l.starts_with("got ") && !l.contains("kill"))
        .collect();
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(victim.shared(), before);
    assert!(listener.accept().is_err(), "nobody called");
    for place in ["/planted", "/usr/planted", "/etc/planted"] {
        assert!(!Path::new(place).exists(), "{place}");
    }
    // The next series gets, to the byte, what it got before there was an attack.
    let after = victim.next();
    assert!(!after.cached);
    assert_eq!(vmlinux(&after), clean);
    assert!(!log_of(&after).contains("planted"));
}

#[test]
fn the_compilers_cache_cannot_be_poisoned() {
    let victim = Victim::new();
    victim.build(vec![]).unwrap();
    let clean = victim.forget(victim.next());
    let before = victim.shared();
    // It compiles what the next series will compile, with a compiler of its own, and every way to keep that.
    let wrapper = "\t-@mkdir -p /tmp/bin; printf '#!/bin/sh\\nexec /usr/bin/gcc -DEVIL \"$$@\"\\n' > /tmp/bin/gcc; chmod +x /tmp/bin/gcc\n\
        \t-@cd /tmp && unset CCACHE_READONLY && PATH=/tmp/bin:$$PATH timeout 5 ccache gcc -c -o /tmp/x.o /src/mm/zswap.c\n\
        \t-@CCACHE_DIR=/ccache CCACHE_NOREADONLY=1 timeout 2 ccache --set-config=compiler=/tmp/bin/gcc\n\
        \t-@for f in $$(find /ccache -type f); do echo x > $$f && echo \"poisoned $$f\"; done 2>/dev/null\n";
    victim
        .toy
        .edit("Makefile", "hook:\n\t@:\n", &format!("hook:\n{wrapper}"));
    victim.toy.edit("mm/zswap.c", "x + 1;", "1 + x;");
    victim.toy.commit("Makefile: poison");
    let poison = victim.series("poison");
    let built = victim.build(vec![poison]).unwrap();
    assert!(!log_of(&built).contains("poisoned"), "{}", log_of(&built));
    assert_eq!(victim.shared(), before);
    assert_eq!(vmlinux(&victim.next()), clean);
}

#[test]
fn links_left_in_a_build_folder_lead_nowhere() {
    let victim = Victim::new();
    victim.build(vec![]).unwrap();
    let secret = victim.home().join("secret");
    for (name, recipe) in [
        (
            "image",
            format!("ln -sf {} $(O)/arch/x86/boot/bzImage", secret.display()),
        ),
        (
            "folder",
            format!(
                "rm -rf $(O)/arch/x86/boot && ln -s {} $(O)/arch/x86/boot",
                victim.home().display()
            ),
        ),
        ("config", "ln -sf /etc/passwd $(O)/.config".to_owned()),
        ("fifo", "rm -f $(O)/vmlinux && mkfifo $(O)/vmlinux".to_owned()),
    ] {
        let after = format!("\t@cp script $(O)/arch/x86/boot/bzImage\n\t@{recipe}\n");
        victim
            .toy
            .edit("Makefile", "\t@cp script $(O)/arch/x86/boot/bzImage\n", &after);
        victim.toy.commit(name);
        let series = victim.series(name);
        let error = victim.build(vec![series]).unwrap_err();
        assert!(matches!(error, KernelError::Infra(_)), "{name}: {error:?}");
    }
    let mut said = String::new();
    std::fs::File::open(&secret)
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "secret\n");
}

#[test]
fn what_an_earlier_patch_left_cannot_lead_a_later_one_out() {
    let victim = Victim::new();
    victim.build(vec![]).unwrap();
    // The first patch turns the source's folders into links; the second is written by us, from outside.
    let hook = format!(
        "hook:\n\t-@rm -rf /src/mm /src/include && ln -s {home} /src/mm && ln -s {home} /src/include\n\t-@ln -s {home} /build/mm2; rm -rf /build/mm && ln -s {home} /build/mm\n",
        home = victim.home().display()
    );
    victim.toy.edit("Makefile", "hook:\n\t@:\n", &hook);
    victim.toy.commit("Makefile: links");
    let first = victim.series("first");
    victim.toy.edit("mm/zswap.c", "x + 2;", "2 + x;");
    victim.toy.put("mm/secret", "overwritten\n");
    victim.toy.commit("zswap: two");
    let second = victim.series("second");
    let before = victim.shared();
    let mut ladder = Ladder::default();
    victim.build_on(&mut ladder, vec![first.clone()]).unwrap();
    // Its own build folder is its own trouble; whatever comes of it, nothing is written elsewhere.
    let _ = victim.build_on(&mut ladder, vec![first, second]);
    drop(ladder);
    assert_eq!(victim.shared(), before);
    assert_eq!(
        std::fs::read_to_string(victim.home().join("secret")).unwrap(),
        "secret\n"
    );
    victim.next();
}

#[test]
fn a_patch_of_many_files_and_a_binary_one_are_built_like_any_other() {
    let victim = Victim::new();
    victim.build(vec![]).unwrap();
    for n in 0..500 {
        victim
            .toy
            .put(&format!("data/{}/{n}.txt", n % 7), &"x".repeat(2000));
    }
    let bytes: String = (0..200_000_u32)
        .map(|n| char::from(u8::try_from(n % 128).unwrap()))
        .collect();
    victim.toy.put("data/blob", &bytes);
    victim.toy.commit("data: a lot");
    let series = victim.series("data");
    victim.build(vec![series]).unwrap();
}
