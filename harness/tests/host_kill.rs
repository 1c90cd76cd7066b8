//! SIGKILL at any moment leaves nothing behind: of patchproof, and of a keeper.
//!
//! Has a `main` of its own, so that this program can be the one that is killed: it plays patchproof, keeper and
//! init as the real one does. The proof that nothing is left waits for events alone: the FIFO that every
//! descendant holds open ends, and this process, their subreaper, has no child any more.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

mod common;

use common::{AS_NOBODY, Fifo, ForAll};
use harness::host::{Cmd, Job, Mode, Ownership, Sandbox, Status, ownership, reexec, set_self_exe};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, alarm};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// After this many seconds of waiting for what should have gone, the kernel ends this test.
const STUCK_S: u32 = 300;
/// The parent is killed after this many reports of its descendants, from its first steps to a busy middle.
const MOMENTS: std::ops::RangeInclusive<usize> = 1..=12;

fn main() -> ExitCode {
    if let Some(code) = reexec() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, way, fifo] = &args[..]
        && role == "parent"
    {
        parent(way, fifo);
    }
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    // We are the executable that knows the roles, not the patchproof beside us.
    set_self_exe("/proc/self/exe");
    set_child_subreaper(true).unwrap();
    alarm::set(STUCK_S);
    let everybody = ForAll::new();
    let ways = match ownership().unwrap() {
        Ownership::Namespace => &["namespace", "no-namespace", "sandbox"][..],
        Ownership::Subreaper(why) => {
            println!("only without namespaces: {why}");
            &["no-namespace"][..]
        }
    };
    for way in ways {
        killing_patchproof_leaves_nothing(way, &[], &everybody.test());
        if nix::unistd::geteuid().is_root() {
            killing_patchproof_leaves_nothing(way, &AS_NOBODY, &everybody.test());
        } else {
            println!("only as an ordinary user: who is not root cannot test as root");
        }
    }
    for way in ways.iter().filter(|way| **way != "no-namespace") {
        killing_a_keeper_leaves_nothing(way);
    }
    ExitCode::SUCCESS
}

/// A command whose descendants report to `fifo`: a daemon that left its session, and the command itself.
fn family(way: &str, fifo: &str, last: &str) -> Cmd {
    let outside = Path::new(fifo).parent().unwrap();
    let fifo = if way == "sandbox" { "/outside/fifo" } else { fifo };
    let script = format!(
        "exec 9>{fifo}; (setsid sh -c 'trap \"\" TERM HUP INT; echo daemon >&9; exec sleep infinity' >/dev/null 2>&1 &); \
         echo command >&9; {last}"
    );
    let cmd = Cmd::new("sh").args(["-c", &script]);
    match way {
        "namespace" => cmd,
        "no-namespace" => cmd.no_namespace(),
        _ => Sandbox::new(Mode::Bubblewrap).rw(outside, "/outside").wrap(cmd),
    }
}

/// Plays patchproof: some long jobs, and short ones one after the other, until it is killed.
fn parent(way: &str, fifo: &str) -> ! {
    set_self_exe("/proc/self/exe");
    let long: Vec<Job> = (0..2)
        .map(|_| family(way, fifo, "exec sleep infinity").start().unwrap())
        .collect();
    let owned = |job: &Job| job.ownership() == &Ownership::Namespace;
    assert!(long.iter().all(|job| owned(job) == (way != "no-namespace")));
    loop {
        family(way, fifo, "exit 0").run().unwrap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the killed one must be our own child, not a keeper's"
)]
fn killing_patchproof_leaves_nothing(way: &str, user: &[&str], exe: &Path) {
    for moment in MOMENTS {
        let fifo = Fifo::new();
        let mut argv: Vec<PathBuf> = user.iter().map(PathBuf::from).collect();
        argv.extend([exe, Path::new("parent"), Path::new(way), Path::new(fifo.name())].map(Path::to_owned));
        #[expect(clippy::zombie_processes, reason = "nothing_is_left reaps it with all others")]
        let parent = Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut reports = BufReader::new(fifo.open());
        for _ in 0..moment {
            assert_ne!(
                reports.read_line(&mut String::new()).unwrap(),
                0,
                "the parent ended by itself"
            );
        }
        kill(
            Pid::from_raw(i32::try_from(parent.id()).unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
        nothing_is_left(reports);
    }
    let who = if user.is_empty() { "as we are" } else { "as nobody" };
    println!(
        "test killing_patchproof_leaves_nothing, {way}, {who}: {} moments ... ok",
        MOMENTS.count()
    );
}

/// Blocks until it is so.
fn nothing_is_left(mut reports: BufReader<File>) {
    std::io::copy(&mut reports, &mut std::io::sink()).unwrap();
    // Keepers became our children when their parent died, and so would everything that a keeper let go.
    while waitpid(None, None) != Err(Errno::ECHILD) {}
}

fn killing_a_keeper_leaves_nothing(way: &str) {
    let fifo = Fifo::new();
    let job = family(way, fifo.name(), "exec sleep infinity").start().unwrap();
    let mut reports = BufReader::new(fifo.open());
    for _ in 0..2 {
        reports.read_line(&mut String::new()).unwrap();
    }
    kill(keeper_of_ours(), Signal::SIGKILL).unwrap();
    assert_eq!(job.wait().unwrap().status, Status::Signal(9));
    nothing_is_left(reports);
    println!("test killing_a_keeper_leaves_nothing, {way} ... ok");
}

/// The only child that we have.
fn keeper_of_ours() -> Pid {
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    let pids: Vec<i32> = children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    Pid::from_raw(pids[0])
}
