//! The sandbox: what it shows, what it keeps out, what it bounds, and what is left of it.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

#[path = "common/again.rs"]
mod again;
mod common;

use common::Fifo;
use harness::host::sandbox::{Enforcement, enforcement, probe};
use harness::host::{Cmd, Finished, Limits, Mode, ProcessError, Sandbox, SandboxError, Status, fs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lower folder with a file and a folder, under a name with every character that overlayfs gives a meaning to.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(tree.lower().join("folder")).unwrap();
        std::fs::write(tree.lower().join("file"), "lower\n").unwrap();
        std::fs::write(tree.lower().join("folder/gone"), "lower\n").unwrap();
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("a,b:c\\d=e f").join(name)
    }

    fn lower(&self) -> PathBuf {
        self.path("lower")
    }

    fn sandbox(&self, mode: Mode) -> Sandbox {
        Sandbox::new(mode).overlay(self.lower(), self.path("upper"), self.path("work"), "/src")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What overlayfs kept for itself cannot be entered; it must go all the same.
        fs::remove_tree(self.dir.path()).unwrap();
    }
}

fn sh(script: &str) -> Cmd {
    Cmd::new("sh").args(["-c", script])
}

fn run(sandbox: &Sandbox, script: &str) -> Finished {
    sandbox.wrap(sh(script)).run().unwrap()
}

/// What `script` prints in `sandbox`; it must succeed.
fn says(sandbox: &Sandbox, script: &str) -> String {
    let done = run(sandbox, script);
    assert!(
        done.success(),
        "{script}: {:?} {}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

fn plain() -> Sandbox {
    Sandbox::new(Mode::Bubblewrap)
}

#[test]
fn all_this_holds_for_an_ordinary_user() {
    again::as_an_ordinary_user("all_this_holds_for_an_ordinary_user");
}

#[test]
fn it_works_here() {
    probe().unwrap();
}

#[test]
fn an_overlay_leaves_the_lower_folder_as_it_was() {
    let tree = Tree::new();
    let sandbox = tree.sandbox(Mode::Bubblewrap);
    let script = "cat file; echo upper >file; echo new >folder/new; rm folder/gone; mv folder moved";
    assert_eq!(says(&sandbox, &format!("cd /src; {script}")), "lower");
    assert_eq!(
        std::fs::read_to_string(tree.lower().join("file")).unwrap(),
        "lower\n"
    );
    assert_eq!(
        std::fs::read_to_string(tree.lower().join("folder/gone")).unwrap(),
        "lower\n"
    );
    assert!(!tree.lower().join("folder/new").exists());
    // The next command goes on where the last one stopped.
    assert_eq!(
        says(&sandbox, "cd /src; cat file; find . | sort | tr '\\n' ' '"),
        "upper\n. ./file ./moved ./moved/new"
    );
    // What was written is ours to use.
    let upper = tree.path("upper/file");
    assert_eq!(std::fs::read_to_string(&upper).unwrap(), "upper\n");
    assert_eq!(
        std::fs::metadata(&upper).unwrap().uid(),
        nix::unistd::geteuid().as_raw()
    );
    std::fs::write(&upper, "ours\n").unwrap();
    assert_eq!(says(&sandbox, "cat /src/file"), "ours");
}

#[test]
fn several_views_at_once() {
    let (one, two) = (Tree::new(), Tree::new());
    std::fs::create_dir(two.path("rw")).unwrap();
    let sandbox = one
        .sandbox(Mode::Bubblewrap)
        .overlay(two.lower(), two.path("upper"), two.path("work"), "/build")
        .ro(one.lower(), "/base/ro")
        .rw(two.path("rw"), "/ccache");
    says(
        &sandbox,
        "echo b >/build/b; echo c >/ccache/c; ! echo x 2>/dev/null >/base/ro/x; test -f /base/ro/file; echo s >/src/s",
    );
    assert!(two.path("upper/b").is_file() && two.path("rw/c").is_file() && one.path("upper/s").is_file());
}

#[test]
fn there_is_no_network() {
    assert_eq!(
        says(&plain(), "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"),
        "lo"
    );
    assert_ne!(
        says(&plain(), "readlink /proc/self/ns/net"),
        std::fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap()
    );
}

#[test]
fn nothing_can_be_written_but_what_was_given() {
    let tree = Tree::new();
    let sandbox = tree.sandbox(Mode::Bubblewrap).ro(tree.lower(), "/ro");
    for place in [
        "/",
        "/usr",
        "/etc",
        "/ro",
        "/dev",
        "/proc/sys/kernel",
        "/home",
        "/root",
        "/var/tmp",
    ] {
        let done = run(&sandbox, &format!("mkdir -p {place} && : >{place}/written"));
        assert!(!done.success(), "{place} can be written");
    }
    for place in ["/tmp", "/src", "/dev/shm"] {
        says(&sandbox, &format!(": >{place}/written"));
    }
    assert!(!Path::new("/tmp/written").exists());
    assert!(!Path::new("/dev/shm/written").exists());
    // Not even what we own and could write is shown.
    assert!(!run(&sandbox, &format!("ls {}", tree.dir.path().display())).success());
}

#[test]
fn the_hosts_kernel_cannot_be_set_through_proc() {
    // What is there is written back: nothing changes even where that works.
    for knob in [
        "kernel/core_pattern",
        "kernel/printk",
        "vm/swappiness",
        "fs/file-max",
    ] {
        let script = format!("cat /proc/sys/{knob} >/tmp/v && cat /tmp/v >/proc/sys/{knob}");
        assert!(!run(&plain(), &script).success(), "{knob} can be written");
    }
    let script = "f=$(find /proc/irq /proc/bus /proc/fs -type f -writable 2>/dev/null | head -1); test -z \"$f\" || ! : >>$f";
    says(&plain(), script);
}

#[test]
fn there_are_no_privileges_and_no_way_to_get_any() {
    assert_eq!(says(&plain(), "id -u; id -g"), "1000\n1000");
    let capabilities = says(&plain(), "grep -h Cap /proc/self/status");
    assert!(
        capabilities
            .lines()
            .all(|line| line.ends_with("\t0000000000000000")),
        "{capabilities}"
    );
    assert!(!run(&plain(), "unshare --user true").success());
    assert!(!run(&plain(), "mount -t tmpfs none /tmp").success());
}

#[test]
fn nothing_of_ours_leaks_in() {
    let env = says(&plain(), "env | cut -d= -f1 | sort | tr '\\n' ' '");
    let names: Vec<&str> = env
        .split_whitespace()
        .filter(|name| !matches!(*name, "PWD" | "_" | "SHLVL" | "OLDPWD"))
        .collect();
    assert_eq!(names, ["HOME", "LANG", "PATH"]);
    // The control socket above all: who could write to it could forge a status.
    assert_eq!(says(&plain(), "exec ls /proc/self/fd"), "0\n1\n2\n3");
    assert_eq!(says(&plain(), "hostname"), "patchproof");
    // Bubblewrap's init, the shell and the pipe: nobody else is seen.
    let processes: u32 = says(&plain(), "ls /proc | grep -c '^[0-9]*$'").parse().unwrap();
    assert!(processes <= 5, "{processes} processes are seen");
}

#[test]
fn statuses_are_the_commands_own() {
    assert_eq!(run(&plain(), "exit 1").status, Status::Exit(1));
    assert_eq!(run(&plain(), "exit 255").status, Status::Exit(255));
    assert_eq!(run(&plain(), "kill -KILL $$").status, Status::Exit(128 + 9));
    assert_eq!(
        run(&plain(), "echo '{ \"exit-code\": 0 }'; exit 3").status,
        Status::Exit(3)
    );
    // Bubblewrap's own first process is among those that this one writes to, so that it may end as a sandbox that
    // broke instead of as itself; as a success it does not.
    let talks = "for fd in /proc/[0-9]*/fd/*; do echo 'exited 0' >$fd; done 2>/dev/null; exit 6";
    match plain().wrap(sh(talks)).run() {
        Ok(done) => assert!(!done.success(), "{done:?}"),
        Err(error) => assert!(
            matches!(error, ProcessError::Sandbox(SandboxError::Refused { .. })),
            "{error:?}"
        ),
    }
}

#[test]
fn a_sandbox_that_fails_is_no_failure_of_the_command() {
    let tree = Tree::new();
    let missing = plain().ro(tree.path("missing"), "/x");
    let error = missing.wrap(sh("true")).run().unwrap_err();
    assert!(
        matches!(&error, ProcessError::Sandbox(SandboxError::Refused { said }) if said.contains("missing")),
        "{error:?}"
    );
    let no_lower = plain().overlay(
        tree.path("missing"),
        tree.path("upper"),
        tree.path("work"),
        "/src",
    );
    let error = no_lower.wrap(sh("true")).run().unwrap_err();
    assert!(
        matches!(&error, ProcessError::Sandbox(SandboxError::Setup { what, .. }) if what.contains("missing")),
        "{error:?}"
    );
    let apart = plain().overlay(
        tree.lower(),
        tree.path("upper"),
        "/dev/shm/patchproof-apart",
        "/src",
    );
    let error = apart.wrap(sh("true")).run().unwrap_err();
    fs::remove_tree(Path::new("/dev/shm/patchproof-apart")).unwrap();
    assert!(
        matches!(&error, ProcessError::Sandbox(SandboxError::Setup { what, .. }) if what.contains("mounting")),
        "{error:?}"
    );
    assert!(matches!(
        plain().wrap(Cmd::new("no-such-program")).run(),
        Err(ProcessError::NotFound { .. })
    ));
    let inside = plain().wrap(Cmd::new("/src/no-such-program")).run().unwrap_err();
    assert!(
        matches!(inside, ProcessError::Sandbox(SandboxError::Refused { .. })),
        "{inside:?}"
    );
}

#[test]
fn file_size_is_bounded() {
    let tree = Tree::new();
    let sandbox = tree.sandbox(Mode::Bubblewrap).limits(Limits {
        file_size: Some(1 << 20),
        ..Limits::default()
    });
    says(&sandbox, "head -c 1000000 /dev/zero >/src/fits");
    assert!(!run(&sandbox, "head -c 2000000 /dev/zero >/src/too-big").success());
    assert_eq!(
        std::fs::metadata(tree.path("upper/too-big")).unwrap().len(),
        1 << 20
    );
}

#[test]
fn tmp_is_bounded() {
    let sandbox = plain().limits(Limits {
        tmp: 1 << 20,
        ..Limits::default()
    });
    says(&sandbox, "head -c 1000000 /dev/zero >/tmp/fits");
    assert!(!run(&sandbox, "head -c 2000000 /dev/zero >/tmp/too-big").success());
    assert!(!run(&sandbox, "head -c 2000000 /dev/zero >/dev/shm/too-big").success());
}

/// Holds this many bytes in memory and says so.
fn hold(bytes: u64) -> String {
    format!("x=$(head -c {bytes} /dev/zero | tr '\\0' x); echo ${{#x}}")
}

#[test]
fn memory_is_bounded() {
    let sandbox = plain().limits(Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    });
    assert_eq!(says(&sandbox, &hold(1 << 20)), "1048576");
    let done = sandbox.wrap(sh(&hold(128 << 20))).run();
    assert!(!matches!(&done, Ok(done) if done.success()), "{done:?}");
}

#[test]
fn memory_is_bounded_together_where_control_groups_are_to_be_had() {
    if let Enforcement::Each(why) = enforcement() {
        eprintln!("not tested: {why}");
        return;
    }
    let sandbox = plain().limits(Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    });
    // Each fits, all of them do not.
    let done = sandbox
        .wrap(sh(
            "for i in 1 2 3 4; do head -c 30000000 /dev/zero >/tmp/$i || exit 1; done",
        ))
        .run();
    assert!(!matches!(&done, Ok(done) if done.success()), "{done:?}");
}

#[test]
fn processes_are_bounded() {
    if nix::unistd::geteuid().is_root()
        && let Enforcement::Each(why) = enforcement()
    {
        eprintln!("not tested: {why}");
        return;
    }
    let sandbox = plain().limits(Limits {
        processes: Some(24),
        ..Limits::default()
    });
    let many = |n| format!("i=0; while [ $i -lt {n} ]; do sleep infinity & i=$((i+1)); done; echo $i");
    assert_eq!(says(&sandbox, &many(8)), "8");
    let done = run(&sandbox, &many(40));
    assert!(!done.success() || done.stdout != b"40\n", "{done:?}");
}

#[test]
fn disk_is_bounded() {
    let tree = Tree::new();
    let sandbox = tree.sandbox(Mode::Bubblewrap).limits(Limits {
        disk: Some(1 << 20),
        ..Limits::default()
    });
    let error = sandbox
        .wrap(sh("head -c 3000000 /dev/zero >/src/big; exec sleep infinity"))
        .run()
        .unwrap_err();
    assert!(
        matches!(&error, ProcessError::Sandbox(SandboxError::Disk { used, allowed: 0x10_0000 }) if *used >= 3_000_000),
        "{error:?}"
    );
}

#[test]
fn control_groups_go_with_their_sandbox() {
    let groups = || {
        let own = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mounts = own
            .lines()
            .filter(|line| line.contains(" cgroup"))
            .filter_map(|line| line.split(' ').nth(1));
        let own = std::fs::read_link("/proc/self").unwrap();
        let mine = format!("patchproof.{}.", own.display());
        mounts
            .flat_map(|mount| {
                walkdir::WalkDir::new(mount)
                    .into_iter()
                    .flatten()
                    .filter(|e| e.file_type().is_dir())
            })
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&mine))
            .map(|entry| entry.file_name().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let limits = Limits {
        memory: Some(256 << 20),
        processes: Some(100),
        ..Limits::default()
    };
    let job = plain()
        .limits(limits)
        .wrap(sh("exec sleep infinity"))
        .start()
        .unwrap();
    let made = groups();
    drop(job);
    assert_eq!(groups().intersection(&made).count(), 0);
    let by_hand = enforcement() == Enforcement::Together;
    assert_eq!(!made.is_empty(), by_hand, "{made:?}");
}

#[test]
fn killing_ends_what_is_inside() {
    let fifo = Fifo::new();
    let sandbox = plain().rw(Path::new(fifo.name()).parent().unwrap(), "/outside");
    let daemon = "exec >/outside/fifo; trap \"\" TERM; exec sleep infinity";
    let job = sandbox
        .wrap(sh(&format!("setsid sh -c '{daemon}' & exec sleep infinity")))
        .start()
        .unwrap();
    let mut inside = fifo.open();
    job.kill();
    assert_eq!(job.wait().unwrap().status, Status::Signal(9));
    assert_eq!(std::io::Read::read(&mut inside, &mut [0]).unwrap(), 0);
}

#[test]
fn without_a_sandbox_the_same_commands_run_on_a_copy() {
    let tree = Tree::new();
    for mode in [Mode::Bubblewrap, Mode::Off] {
        let sandbox = tree.sandbox(mode).ro(tree.lower(), "/base");
        let base = sandbox.path("/base/file");
        let cmd = Cmd::new("cp")
            .arg(base)
            .arg("copied")
            .cwd(sandbox.path("/src/folder"));
        let done = sandbox.wrap(cmd).run().unwrap();
        assert!(done.success(), "{done:?}");
        assert_eq!(
            std::fs::read_to_string(tree.path("upper/folder/copied")).unwrap(),
            "lower\n"
        );
        assert_eq!(tree.path("upper/file").exists(), mode == Mode::Off);
        assert!(!tree.lower().join("folder/copied").exists());
        fs::remove_tree(&tree.path("upper")).unwrap();
    }
}
