//! Machines under a fake virtme-ng (`examples/fake_vng.rs`): its known habits do no harm, and every way
//! a machine can end is told as with plain QEMU. No VM is booted.

mod fakes;

use fakes::{LONG, SHORT, config};
use harness::machine::virtme::{Root, Virtme};
use harness::machine::{
    Awaited, Backend, Deadlines, MachineConfig, MachineEnd, MachineError, MachineEvent, MachineRun, boot,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// A machine under the fake vng whose guest plays `script`.
fn virtme(dir: &TempDir, script: &str) -> MachineConfig {
    let plain = config(dir, script);
    let fake = plain.qemu.with_file_name("fake_vng");
    assert!(
        fake.exists(),
        "{} is missing: `cargo build -p harness --example fake_vng`",
        fake.display()
    );
    let bin = dir.path().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).expect("the folder can be written");
        for name in ["vng", "virtme-run"] {
            symlink(&fake, bin.join(name)).expect("the folder can be written");
        }
    }
    let backend = Backend::Virtme(Virtme {
        vng: bin.join("vng"),
        root: Root::Host,
        agent: b"agent",
    });
    MachineConfig { backend, ..plain }
}

async fn run(config: &MachineConfig) -> MachineRun {
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    let run = boot(config, events, cancel).await;
    if let Ok(left) = fs::read_dir(&config.scratch) {
        assert_eq!(left.count(), 0, "nothing is left in the scratch folder");
    }
    run
}

/// Lines that the fake noted.
fn saw(dir: &TempDir, what: &str) -> Vec<String> {
    let text = fs::read_to_string(dir.path().join(format!("saw-{what}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether a process lives that has the folder of a machine's sockets on its command line.
fn alive(dir: &TempDir) -> bool {
    let folders: Vec<String> = saw(dir, "homes")
        .iter()
        .map(|home| home.trim_end_matches("/home").to_owned())
        .collect();
    let processes = fs::read_dir("/proc").expect("processes can be listed").flatten();
    processes
        .filter_map(|p| fs::read(p.path().join("cmdline")).ok())
        .any(|line| {
            let line = String::from_utf8_lossy(&line);
            folders.iter().any(|folder| line.contains(folder))
        })
}

#[tokio::test]
async fn a_guest_that_runs_powers_off_with_every_frame_whatever_vng_exits_with() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(&virtme(&dir, "runs")).await;
    assert!(matches!(run.end, MachineEnd::PoweredOff), "{:?}", run.end);
    assert!(run.frames.is_sound() && run.frames.total == 3, "{:?}", run.frames);
    assert!(
        run.usage.resident_kib_max > 0,
        "QEMU's process was found, not vng's"
    );
    let console = fs::read_to_string(&run.console).unwrap();
    assert_eq!(
        console, "[    0.000000] Linux version 0.0 (fake)\n",
        "raw, and nothing of vng's in it"
    );
    assert_eq!(saw(&dir, "faults"), [""; 0]);
    assert_eq!(saw(&dir, "exec"), ["sh /run/patchproof/start"]);
}

#[tokio::test]
async fn both_backends_tell_every_end_alike() {
    type Shorten = fn(&mut Deadlines);
    let cases: [(&str, Shorten); 12] = [
        ("panics", |_| {}),
        ("panics and hangs", |d| d.power_off = SHORT),
        ("resets", |_| {}),
        ("powers off silently", |_| {}),
        ("is told to end", |_| {}),
        ("says nothing", |d| d.first_frame = SHORT),
        ("falls silent", |d| d.silence = SHORT),
        ("never powers off", |d| d.power_off = SHORT),
        ("never ends its case", |d| d.case_end = SHORT),
        ("finds the disk full", |_| {}),
        ("does not greet", |_| {}),
        ("skips a number", |_| {}),
    ];
    for (script, shorten) in cases {
        let mut told = Vec::new();
        for make in [config, virtme] {
            let dir = tempfile::tempdir().unwrap();
            let mut machine = make(&dir, script);
            shorten(&mut machine.deadlines);
            let run = run(&machine).await;
            told.push((
                format!("{:?}", run.end),
                run.frames.end.clone(),
                run.frames.gaps.clone(),
            ));
            assert!(!alive(&dir), "{script}: QEMU lives on");
        }
        assert_eq!(told[0], told[1], "{script}");
    }
}

#[tokio::test]
async fn an_emulator_that_cannot_run_is_told_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(&virtme(&dir, "refuses")).await;
    let MachineEnd::QemuExited { status: 255, stderr } = run.end else {
        panic!("{:?}", run.end)
    };
    assert!(stderr.contains("qemu: could not do it"), "{stderr}");
}

#[tokio::test]
async fn no_configuration_of_anybodys_changes_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let machine = virtme(&dir, "runs");
    // As /etc/virtme-ng.conf would, which beats the command line.
    let etc = r#"{"default_opts": {"memory": "7G"}}"#;
    fs::write(dir.path().join("etc-virtme-ng.conf"), etc).unwrap();
    run(&machine).await;
    assert_eq!(saw(&dir, "memory"), ["64M"]);
    let home = &saw(&dir, "homes")[0];
    assert!(!Path::new(home).exists(), "the home was the machine's own");
}

#[tokio::test]
async fn nothing_that_a_user_names_reaches_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = virtme(&dir, "runs");
    let touched = dir.path().join("touched");
    // An argument that the kernel would take.
    machine.boot_args = vec![format!("a;touch\t{}", touched.display()).replace('\t', "|")];
    let run_ = run(&machine).await;
    let MachineEnd::NotStarted(MachineError::Virtme(e)) = run_.end else {
        panic!("{:?}", run_.end)
    };
    assert!(e.to_string().contains("through a shell"), "{e}");
    assert_eq!(saw(&dir, "homes"), [""; 0], "vng was never called");

    // Paths may hold anything: they are linked to.
    let odd = dir.path().join(format!(
        "$(touch {}); 'x' &",
        touched.file_name().unwrap().display()
    ));
    fs::create_dir(&odd).unwrap();
    let mut machine = virtme(&dir, "runs");
    let kernel = odd.join("bz Image");
    fs::write(&kernel, "runs").unwrap();
    machine.kernel = kernel;
    machine.scratch = odd.join("scratch");
    let run = run(&machine).await;
    assert!(matches!(run.end, MachineEnd::PoweredOff), "{:?}", run.end);
    assert!(!touched.exists() && !Path::new("touched").exists());
}

#[tokio::test]
async fn a_lost_session_is_no_verdict_while_frames_flow() {
    let dir = tempfile::tempdir().unwrap();
    // Speaks as an SSH server would and hangs up in the midst of it.
    fs::write(dir.path().join("ssh-says"), "SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
    for script in ["runs", "panics"] {
        let run = run(&virtme(&dir, script)).await;
        let want = if script == "runs" {
            "PoweredOff"
        } else {
            "Panicked"
        };
        assert_eq!(format!("{:?}", run.end), want);
    }
}

#[tokio::test]
async fn a_guest_that_nobody_can_enter_and_that_says_nothing_never_reached_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ssh-says"), "SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
    let mut machine = virtme(&dir, "says nothing");
    machine.deadlines.first_frame = Duration::from_secs(1);
    let run = run(&machine).await;
    assert!(
        matches!(
            run.end,
            MachineEnd::Deadline {
                awaited: Awaited::FirstFrame
            }
        ),
        "{:?}",
        run.end
    );
}

#[tokio::test]
async fn giving_up_ends_the_whole_tree() {
    let dir = tempfile::tempdir().unwrap();
    let machine = virtme(&dir, "falls silent");
    let (events, mut heard) = mpsc::channel(64);
    let (cancel, cancelled) = watch::channel(false);
    let give_up = async {
        while !matches!(heard.recv().await, Some(MachineEvent::Frame(..))) {}
        assert!(alive(&dir));
        cancel.send_replace(true);
    };
    let (run, ()) = tokio::join!(boot(&machine, events, cancelled), give_up);
    assert!(matches!(run.end, MachineEnd::Cancelled), "{:?}", run.end);
    assert!(!alive(&dir), "the shell's grandchildren are gone too");
}

#[tokio::test]
async fn ten_machines_at_once_do_not_collide() {
    let dir = tempfile::tempdir().unwrap();
    let machines: Vec<MachineConfig> = (0..10)
        .map(|n| MachineConfig {
            evidence: dir.path().join(format!("evidence-{n}")),
            ..virtme(&dir, "runs")
        })
        .collect();
    let mut all = tokio::task::JoinSet::new();
    for machine in machines {
        assert!(machine.deadlines.first_frame == LONG);
        all.spawn(async move {
            let (events, _nobody) = mpsc::channel(1);
            let (_never, cancel) = watch::channel(false);
            boot(&machine, events, cancel).await
        });
    }
    while let Some(run) = all.join_next().await {
        let run = run.unwrap();
        assert!(matches!(run.end, MachineEnd::PoweredOff), "{:?}", run.end);
        assert!(run.frames.is_sound());
    }
    let mut homes: Vec<PathBuf> = saw(&dir, "homes").iter().map(PathBuf::from).collect();
    homes.sort();
    homes.dedup();
    assert_eq!(homes.len(), 10);
}
