//! Machines against a fake QEMU (`examples/fake_qemu.rs`): every way a machine can end, and every
//! fault of its streams. No virtual machine is booted.

mod fakes;

use fakes::{SHORT, config};
use guest_tests::protocol::Frame;
use harness::machine::frames::Gap;
use harness::machine::{
    Awaited, Deadlines, FrameLog, MachineConfig, MachineEnd, MachineEvent, MachineRun, StreamEnd, boot,
};
use std::fs;
use tokio::sync::{mpsc, watch};

/// Runs a machine that nobody watches or cancels.
async fn run(config: &MachineConfig) -> MachineRun {
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    let run = boot(config, events, cancel).await;
    if let Ok(left) = fs::read_dir(&config.scratch) {
        assert_eq!(left.count(), 0, "nothing is left in the scratch folder");
    }
    run
}

/// Runs a script.
async fn play(script: &str) -> MachineRun {
    play_until(script, |_| {}).await
}

/// Runs a script with a deadline that it reaches.
async fn play_until(script: &str, shorten: impl Fn(&mut Deadlines)) -> MachineRun {
    let dir = tempfile::tempdir().expect("a folder");
    let mut config = config(&dir, script);
    shorten(&mut config.deadlines);
    run(&config).await
}

fn seqs(frames: &FrameLog) -> Vec<u64> {
    frames.frames().map(|f: &Frame| f.seq).collect()
}

#[tokio::test]
async fn a_guest_that_runs_powers_off_with_every_frame() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(&config(&dir, "runs")).await;
    assert!(matches!(run.end, MachineEnd::PoweredOff), "{:?}", run.end);
    assert!(run.frames.is_sound(), "{:?}", run.frames);
    assert_eq!(run.frames.hello().unwrap().release, "0.0-fake");
    assert_eq!(seqs(&run.frames), [0, 1, 2]);
    assert!(run.boot_s.unwrap() <= run.wall_s);
    assert!(
        run.usage.resident_kib_max > 0,
        "QEMU's process was found through its socket"
    );
    let console = fs::read_to_string(&run.console).unwrap();
    assert_eq!(console, "[    0.000000] Linux version 0.0 (fake)\n");
    assert_eq!(run.console_kept.total, console.len() as u64);
    assert_eq!(&fs::read(&run.frames_raw).unwrap()[..4], b"PPF1");
}

#[tokio::test]
async fn whoever_watches_hears_frames_console_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let (events, mut heard) = mpsc::channel(64);
    let (_never, cancel) = watch::channel(false);
    boot(&config(&dir, "panics"), events, cancel).await;
    let (mut frames, mut bytes, mut panicked, mut exited) = (0, 0, false, false);
    while let Some(event) = heard.recv().await {
        match event {
            MachineEvent::Frame(..) => frames += 1,
            MachineEvent::ConsoleBytes(n) => bytes += n,
            MachineEvent::Panicked => panicked = true,
            MachineEvent::Exited => exited = true,
            MachineEvent::Frozen(frozen) => panic!("nobody asked for it: {frozen:?}"),
        }
    }
    let console = fs::metadata(dir.path().join("evidence/console.log"))
        .unwrap()
        .len();
    assert_eq!((frames, bytes, panicked, exited), (1, console, true, true));
}

#[tokio::test]
async fn a_panic_is_told_from_a_reset_and_keeps_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let panicked = run(&config(&dir, "panics")).await;
    assert!(matches!(panicked.end, MachineEnd::Panicked), "{:?}", panicked.end);
    assert!(
        fs::read_to_string(&panicked.console)
            .unwrap()
            .ends_with("---[ end Kernel panic ]---\n")
    );
    let reset = play("resets").await;
    assert!(matches!(reset.end, MachineEnd::Reset), "{:?}", reset.end);
}

#[tokio::test]
async fn a_panic_that_hangs_is_a_panic() {
    let run = play_until("panics and hangs", |d| d.power_off = SHORT).await;
    assert!(matches!(run.end, MachineEnd::Panicked), "{:?}", run.end);
}

#[tokio::test]
async fn each_deadline_names_what_did_not_come() {
    let deadline = |run: MachineRun| {
        let MachineEnd::Deadline { awaited } = run.end else {
            panic!("{:?}", run.end)
        };
        awaited
    };
    let run = play_until("says nothing", |d| d.first_frame = SHORT).await;
    assert_eq!(deadline(run), Awaited::FirstFrame);
    let run = play_until("talks on the console only", |d| d.first_frame = SHORT).await;
    assert_eq!(deadline(run), Awaited::FirstFrame);
    let run = play_until("falls silent", |d| d.silence = SHORT).await;
    assert_eq!(deadline(run), Awaited::NextFrame);
    let run = play_until("never ends its case", |d| d.case_end = SHORT).await;
    assert_eq!(deadline(run), Awaited::CaseEnd);
    let run = play_until("never powers off", |d| d.power_off = SHORT).await;
    assert_eq!(deadline(run), Awaited::PowerOff);
}

#[tokio::test]
async fn a_guest_that_hangs_is_asked_what_it_does_before_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir, "falls silent until it is asked");
    config.deadlines.silence = SHORT;
    config.deadlines.last_words = fakes::LONG;
    let run = run(&config).await;
    // The panic is our doing: the cause stays what it was.
    let MachineEnd::Deadline { awaited } = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!((awaited, run.asked), (Awaited::NextFrame, true));
    let console = fs::read_to_string(&run.console).unwrap();
    assert!(
        console.contains("zs_free+0x51/0x1a0"),
        "its answer is kept: {console}"
    );
}

#[tokio::test]
async fn a_guest_that_does_not_answer_is_ended_all_the_same() {
    let run = play_until("falls silent", |d| d.silence = SHORT).await;
    assert!(
        run.asked && matches!(run.end, MachineEnd::Deadline { .. }),
        "{run:?}"
    );
    let never_up = play_until("does not come up", |d| d.first_frame = SHORT).await;
    assert!(!never_up.asked, "there is nobody to ask: {never_up:?}");
}

#[tokio::test]
async fn a_finding_freezes_the_guest_until_the_caller_has_seen_enough() {
    let dir = tempfile::tempdir().unwrap();
    let (events, mut heard) = mpsc::channel(64);
    let (cancel, cancelled) = watch::channel(false);
    let mut config = config(&dir, "finds something and goes on");
    config.freeze_on_finding = true;
    // Whoever looks at a frozen guest takes the time that it takes.
    config.deadlines.silence = SHORT;
    let look = async {
        let frozen = loop {
            match heard.recv().await.expect("the machine runs") {
                MachineEvent::Frozen(frozen) => break frozen,
                MachineEvent::Frame(..) | MachineEvent::ConsoleBytes(_) => {}
                other @ (MachineEvent::Panicked | MachineEvent::Exited) => panic!("{other:?}"),
            }
        };
        let dump = frozen.dump.expect("its memory was written");
        assert_eq!(fs::read(&dump).unwrap(), b"memory");
        assert!(dump.starts_with(&config.evidence), "{}", dump.display());
        assert!(frozen.gdb.is_absolute());
        cancel.send_replace(true);
    };
    let (run, ()) = tokio::join!(boot(&config, events, cancelled), look);
    assert!(matches!(run.end, MachineEnd::Cancelled), "{:?}", run.end);
    assert_eq!(seqs(&run.frames), [0, 1, 2]);
}

#[tokio::test]
async fn faults_of_the_frames_are_data() {
    let run = play("is cut off").await;
    assert!(matches!(run.end, MachineEnd::PoweredOff));
    assert!(
        matches!(run.frames.end, StreamEnd::CutOff { at: 1.. }),
        "{:?}",
        run.frames.end
    );
    let run = play("lies about a length").await;
    let StreamEnd::Broken { why, .. } = &run.frames.end else {
        panic!("{:?}", run.frames.end)
    };
    assert!(why.contains("4294967295"), "{why}");
    assert_eq!(seqs(&run.frames), [0], "what follows a lie is not believed");
    let run = play("skips a number").await;
    assert_eq!(
        run.frames.gaps,
        [Gap {
            expected: 1,
            found: 3
        }]
    );
    assert!(!run.frames.is_sound());
    let run = play("powers off silently").await;
    assert_eq!((run.frames.total, run.boot_s), (0, None));
    assert!(!run.frames.is_sound());
}

#[tokio::test]
async fn a_console_of_garbage_is_kept_at_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(&config(&dir, "talks garbage")).await;
    assert!(matches!(run.end, MachineEnd::PoweredOff) && run.frames.is_sound());
    assert!(run.console_kept.total > 20 << 20);
    assert_eq!(run.console_kept.left_out, run.console_kept.total - (16 << 20));
    let console = fs::read(&run.console).unwrap();
    assert!(console.starts_with(b"[    0.000000] Linux") && console.ends_with(&[253, 254, 255]));
}

#[tokio::test]
async fn the_death_of_qemu_is_not_the_guests() {
    let run = play("refuses").await;
    let MachineEnd::QemuExited { status: 3, stderr } = run.end else {
        panic!("{:?}", run.end)
    };
    assert!(stderr.ends_with("qemu: could not do it"), "{stderr}");
    let run = play("crashes").await;
    assert!(
        matches!(run.end, MachineEnd::Killed { signal: Some(_) }),
        "{:?}",
        run.end
    );
    let run = play("dies in the middle").await;
    assert!(
        matches!(run.end, MachineEnd::Killed { signal: Some(_) }),
        "{:?}",
        run.end
    );
    assert_eq!(seqs(&run.frames), [0], "what it said before is kept");
    let run = play("is told to end").await;
    assert!(
        matches!(run.end, MachineEnd::Killed { signal: None }),
        "{:?}",
        run.end
    );
}

#[tokio::test]
async fn the_hosts_failures_are_the_hosts() {
    let error = |run: MachineRun| {
        let MachineEnd::HostFailed(e) = run.end else {
            panic!("{:?}", run.end)
        };
        e
    };
    let full = error(play("finds the disk full").await);
    assert!(full.is_disk_full(), "{full}");
    let mute = error(play("does not greet").await);
    assert_eq!(mute.to_string(), "talking to QEMU failed");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    type Change = fn(&mut MachineConfig);
    let cases: [(Change, &str); 8] = [
        (
            |c| c.qemu = "no-such-qemu".into(),
            "no-such-qemu is not installed",
        ),
        (
            |c| c.kernel = "/no/such/kernel".into(),
            "kernel image /no/such/kernel cannot be read",
        ),
        (|c| c.kernel = "/".into(), "kernel image / cannot be read"),
        (
            |c| c.boot_args = vec!["quiet".into()],
            "boot argument `quiet` is set by the harness itself",
        ),
        (
            |c| c.disks[0].serial = "a,b".into(),
            "disk `a,b` is not a good name",
        ),
        (
            |c| c.disks.push(c.disks[0].clone()),
            "disk `swap0` is there twice",
        ),
        (
            |c| c.disks[0].size = 1000,
            "disk `swap0` has a size that is not a multiple of 512 bytes",
        ),
        (
            |c| c.evidence = "/proc/no".into(),
            "making a folder at /proc/no failed",
        ),
    ];
    for (change, says) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir, "runs");
        change(&mut config);
        let end = run(&config).await.end;
        let MachineEnd::NotStarted(e) = end else {
            panic!("{says}: {end:?}")
        };
        assert_eq!(e.to_string(), says);
    }
}

#[tokio::test]
async fn a_caller_can_give_up() {
    let dir = tempfile::tempdir().unwrap();
    let (events, mut heard) = mpsc::channel(64);
    let (cancel, cancelled) = watch::channel(false);
    let config = config(&dir, "falls silent");
    let give_up = async {
        while !matches!(heard.recv().await, Some(MachineEvent::Frame(..))) {}
        cancel.send_replace(true);
    };
    let (run, ()) = tokio::join!(boot(&config, events, cancelled), give_up);
    assert!(matches!(run.end, MachineEnd::Cancelled), "{:?}", run.end);
    assert_eq!(seqs(&run.frames), [0]);
}
