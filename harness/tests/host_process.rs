//! Children under the keeper: what they get, what is kept of them, how they end.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

#[path = "common/again.rs"]
mod again;
mod common;

use common::Fifo;
use harness::host::{Cmd, Finished, Output, Ownership, ProcessError, Status};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn sh(script: &str) -> Cmd {
    Cmd::new("sh").args(["-c", script])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs `check` with both ways to own a tree.
fn both_ways(check: impl Fn(fn(Cmd) -> Cmd)) {
    check(|cmd| cmd);
    check(Cmd::no_namespace);
}

#[test]
fn all_this_holds_for_an_ordinary_user() {
    again::as_an_ordinary_user("all_this_holds_for_an_ordinary_user");
}

#[test]
fn status_and_outputs_come_back() {
    both_ways(|way| {
        let Finished {
            status,
            stdout,
            stderr,
        } = way(sh("echo out; echo err >&2; exit 7")).run().unwrap();
        assert_eq!(
            (status, text(&stdout), text(&stderr)),
            (Status::Exit(7), "out\n", "err\n")
        );
        assert_eq!(way(sh("kill -SEGV $$")).run().unwrap().status, Status::Signal(11));
        assert_eq!(way(sh("exit 255")).run().unwrap().status, Status::Exit(255));
        assert!(way(sh("true")).run().unwrap().success());
        // Realtime signals have no names.
        assert_eq!(way(sh("kill -40 $$")).run().unwrap().status, Status::Signal(0));
        assert_eq!(
            way(sh("(kill -40 $(exec sh -c 'echo $PPID')); exit 3"))
                .run()
                .unwrap()
                .status,
            Status::Exit(3)
        );
    });
}

#[test]
fn the_asked_for_way_is_used() {
    let job = sh("true").no_namespace().start().unwrap();
    assert_eq!(job.ownership(), &Ownership::Subreaper("asked for".to_owned()));
    assert!(job.wait().unwrap().success());
    assert_eq!(
        sh("true").start().unwrap().ownership(),
        &harness::host::ownership().unwrap()
    );
}

#[test]
fn the_environment_is_only_what_was_given() {
    let env = sh("env").env("GIVEN", "a b").run().unwrap();
    let mut names: Vec<&str> = text(&env.stdout)
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    // The shell adds PWD (and some shells more) by itself.
    names.retain(|name| !matches!(*name, "PWD" | "_" | "SHLVL" | "OLDPWD"));
    assert_eq!(names, ["GIVEN", "LANG", "PATH"]);
    assert!(text(&env.stdout).contains("GIVEN=a b\n"));
    assert!(text(&env.stdout).contains("LANG=C.UTF-8\n"));
}

#[test]
fn standard_input_is_empty_and_there_is_no_terminal() {
    assert_eq!(sh("cat; exit 4").run().unwrap().status, Status::Exit(4));
    assert!(!sh("exec 9</dev/tty").run().unwrap().success());
    // Nothing but the standard streams reaches the child; the fourth is the folder that is being listed.
    let fds = sh("exec ls /proc/self/fd").run().unwrap();
    assert_eq!(text(&fds.stdout), "0\n1\n2\n3\n");
}

#[test]
fn it_runs_where_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let pwd = sh("pwd -P").cwd(dir.path()).run().unwrap();
    assert_eq!(
        Path::new(text(&pwd.stdout).trim_end()),
        dir.path().canonicalize().unwrap()
    );
    let error = sh("true").cwd(dir.path().join("gone")).run().unwrap_err();
    assert!(
        matches!(error, ProcessError::Start { source, .. } if source.to_string().contains("gone is not a directory"))
    );
}

#[test]
fn what_is_missing_is_named() {
    sh("true").run().unwrap();
    let error = Cmd::new("no-such-program").run().unwrap_err();
    assert_eq!(error.to_string(), "no-such-program is not installed");
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    assert!(matches!(Cmd::new(&script).run(), Err(ProcessError::Start { .. })));
    let mut mode = std::fs::metadata(&script).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    // Only exec itself can find this out, deep inside of the keeper.
    let error = Cmd::new(&script).run().unwrap_err();
    assert!(
        matches!(&error, ProcessError::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{error:?}"
    );
}

#[test]
fn big_outputs_are_bounded_and_independent() {
    let limit = 1000;
    let cmd =
        sh("head -c 300000 /dev/zero | tr '\\0' a; echo end; head -c 200000 /dev/zero | tr '\\0' b >&2");
    let done = cmd
        .stdout(Output::Capture { limit })
        .stderr(Output::Capture { limit: 200_000 })
        .run()
        .unwrap();
    let out = text(&done.stdout);
    assert!(out.starts_with("aaaa") && out.ends_with("aaaaend\n"), "{out}");
    assert!(out.contains("\n[… 299004 bytes left out …]\n"), "{out}");
    assert_eq!(done.stderr, [b'b'; 200_000]);
}

#[test]
fn lines_come_while_the_child_runs() {
    let fifo = Fifo::new();
    let (sender, lines) = std::sync::mpsc::channel();
    let each = Arc::new(move |line: &str| sender.send(line.to_owned()).unwrap());
    let script = format!("printf 'one\\ntw\\377o\\nthree'; cat {}", fifo.name());
    let job = sh(&script)
        .stdout(Output::Lines { each, limit: 8 })
        .start()
        .unwrap();
    // The child waits for us at the FIFO: these two arrived before its end.
    assert_eq!(lines.recv().unwrap(), "one");
    assert_eq!(lines.recv().unwrap(), "tw\u{fffd}o");
    std::fs::write(fifo.name(), "\n").unwrap();
    let done = job.wait().unwrap();
    assert_eq!(lines.recv().unwrap(), "three");
    assert!(lines.recv().is_err());
    assert!(done.stdout.starts_with(b"one\n\n[") && done.stdout.ends_with(b"ree\n"));
}

#[test]
fn a_panic_in_the_callback_is_not_swallowed() {
    let each = Arc::new(|_: &str| panic!("from the callback"));
    let job = sh("echo x; exec cat /dev/zero")
        .stdout(Output::Lines { each, limit: 8 })
        .start()
        .unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.wait()));
    assert_eq!(
        caught.unwrap_err().downcast_ref::<&str>(),
        Some(&"from the callback")
    );
}

#[test]
fn files_are_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "before\n").unwrap();
    let to = || Output::File(path.clone());
    let done = sh("echo out; echo err >&2")
        .stdout(to())
        .stderr(to())
        .run()
        .unwrap();
    assert_eq!((done.stdout.len(), done.stderr.len()), (0, 0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nout\nerr\n");
}

/// A daemon that left its session, its parent and its streams behind, and holds `fifo` open.
fn daemon(fifo: &Fifo) -> String {
    format!(
        "(setsid sh -c 'exec >{} 2>&1 </dev/null; trap \"\" TERM HUP INT; echo up; exec sleep infinity' &);",
        fifo.name()
    )
}

#[test]
fn what_a_child_leaves_behind_ends_with_it() {
    both_ways(|way| {
        let fifo = Fifo::new();
        let up = Fifo::new();
        // The child ends once the daemon is up.
        let script = format!("{} read line <{}", daemon(&fifo), up.name());
        let job = way(sh(&script)).start().unwrap();
        let mut daemon = fifo.open();
        let mut said = [0; 3];
        daemon.read_exact(&mut said).unwrap();
        std::fs::write(up.name(), "\n").unwrap();
        assert!(job.wait().unwrap().success());
        // Wait is over, so must be the daemon: what is left to read is the end.
        assert_eq!(daemon.read(&mut said).unwrap(), 0);
    });
}

#[test]
fn killing_ends_the_whole_tree_from_any_thread_any_number_of_times() {
    both_ways(|way| {
        let fifo = Fifo::new();
        let job = way(sh(&format!(
            "{} read line <{}.never; exec sleep infinity",
            daemon(&fifo),
            fifo.name()
        )))
        .start()
        .unwrap();
        let mut daemon = fifo.open();
        let killers: Vec<_> = (0..4).map(|_| job.killer()).collect();
        let threads: Vec<_> = killers
            .iter()
            .cloned()
            .map(|k| std::thread::spawn(move || k.kill()))
            .collect();
        job.kill();
        job.kill();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let done = job.wait().unwrap();
        assert!(
            matches!(done.status, Status::Signal(9) | Status::Exit(_)),
            "{done:?}"
        );
        killers[0].kill();
        let mut rest = Vec::new();
        daemon.read_to_end(&mut rest).unwrap();
    });
}

#[test]
fn a_waiting_thread_is_interrupted_by_a_killer() {
    both_ways(|way| {
        let fifo = Fifo::new();
        let job = way(sh(&format!("echo up >{}; exec sleep infinity", fifo.name())))
            .start()
            .unwrap();
        let killer = job.killer();
        let waiter = std::thread::spawn(move || job.wait());
        let mut up = [0; 3];
        fifo.open().read_exact(&mut up).unwrap();
        killer.kill();
        assert_eq!(waiter.join().unwrap().unwrap().status, Status::Signal(9));
    });
}

#[test]
fn dropping_a_job_ends_it() {
    both_ways(|way| {
        let fifo = Fifo::new();
        let job = way(sh(&format!("{} exec sleep infinity", daemon(&fifo))))
            .start()
            .unwrap();
        let mut daemon = fifo.open();
        drop(job);
        let mut rest = Vec::new();
        daemon.read_to_end(&mut rest).unwrap();
    });
}

#[test]
fn a_deadline_says_what_did_not_come() {
    both_ways(|way| {
        let fifo = Fifo::new();
        let job = way(sh(&format!("{} exec sleep infinity", daemon(&fifo))))
            .deadline(Duration::from_millis(200), "the moon")
            .start()
            .unwrap();
        let mut daemon = fifo.open();
        let error = job.wait().unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh was ended after 200ms of waiting for the moon"
        );
        let mut rest = Vec::new();
        daemon.read_to_end(&mut rest).unwrap();
    });
}

#[test]
fn a_deadline_not_reached_changes_nothing() {
    let done = sh("exit 5")
        .deadline(Duration::from_secs(600), "the end")
        .run()
        .unwrap();
    assert_eq!(done.status, Status::Exit(5));
}

#[test]
fn children_that_fork_without_end_are_ended_without_a_namespace() {
    let fifo = Fifo::new();
    let script = Path::new(fifo.name()).with_extension("sh");
    // Every generation starts the next in a session of its own and dies: no parent leads to it for long.
    let generation = "[ \"$2\" ] || { exec 8>\"$1\"; echo up >&8; }\n[ \"$2\" != 1111 ] || echo far >&8\n\
                      setsid sh \"$0\" \"$1\" \"1$2\" &\n";
    std::fs::write(&script, generation).unwrap();
    let job = sh(&format!(
        "sh {} {}; exec sleep infinity",
        script.display(),
        fifo.name()
    ))
    .no_namespace()
    .start()
    .unwrap();
    let mut generations = fifo.open();
    let mut said = [0; 7];
    generations.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"up\nfar\n");
    drop(job);
    assert_eq!(generations.read(&mut said).unwrap(), 0);
}

#[test]
fn many_at_once_do_not_hold_each_other_up() {
    let seen = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                for _ in 0..5 {
                    assert_eq!(sh(&format!("exit {n}")).run().unwrap().status, Status::Exit(n));
                    *seen.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*seen.lock().unwrap(), 40);
}
