//! Boots a real kernel under a real virtme-ng. Runs where PATCHPROOF_VM_TESTS=1 says so (`cargo xtask
//! test` does) and PATCHPROOF_TEST_KERNEL names a bzImage built from `base`, `mm` and `virtme`.

use guest_tests::protocol::{Request, VERSION};
use harness::machine::ssh::{Door, Ended, SshError, Streams};
use harness::machine::virtme::{Host, Prepared, Root, Virtme};
use harness::machine::{
    Accel, Backend, Deadlines, Disk, MachineConfig, MachineEnd, MachineRun, QEMU, agent, boot,
    boot_and_visit, initramfs,
};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// The kernel to boot; `None` where VM tests are not asked for.
fn kernel() -> Option<PathBuf> {
    if std::env::var_os("PATCHPROOF_VM_TESTS").is_none_or(|v| v != "1") {
        eprintln!("not run: PATCHPROOF_VM_TESTS is not 1");
        return None;
    }
    let kernel = std::env::var_os("PATCHPROOF_TEST_KERNEL");
    Some(
        kernel
            .expect("PATCHPROOF_VM_TESTS=1 needs PATCHPROOF_TEST_KERNEL: the path of a bzImage")
            .into(),
    )
}

fn prepared(dir: &Path) -> Root {
    Root::Prepared(Arc::new(Prepared::make(&dir.join("roots")).expect("a root")))
}

fn config(dir: &TempDir, kernel: PathBuf, root: Root) -> MachineConfig {
    let backend = Backend::Virtme(Virtme {
        vng: Host::find().expect("virtme-ng is installed").vng,
        root,
        agent: agent::BYTES,
    });
    MachineConfig {
        qemu: QEMU.into(),
        deadlines: Deadlines::on(Accel::Tcg).of(&backend),
        backend,
        accel: Accel::Tcg,
        kernel,
        base: Arc::new(initramfs::Base::new(agent::BYTES).expect("a small agent")),
        request: Request {
            v: VERSION,
            run: 1,
            cases: Vec::new(),
        },
        cpus: 2,
        memory_mib: 300,
        disks: vec![Disk {
            serial: "swap0".into(),
            size: 64 << 20,
        }],
        boot_args: Vec::new(),
        evidence: dir.path().join("evidence"),
        scratch: dir.path().join("a scratch; with $odd, characters"),
        freeze_on_finding: false,
    }
}

fn console(run: &MachineRun) -> String {
    String::from_utf8_lossy(&std::fs::read(&run.console).unwrap_or_default()).into_owned()
}

async fn says_hello_and_done(root: impl FnOnce(&Path) -> Root) {
    let Some(kernel) = kernel() else { return };
    let dir = tempfile::tempdir().expect("a guest that ran");
    let config = config(&dir, kernel, root(dir.path()));
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    let run = boot(&config, events, cancel).await;
    assert!(
        matches!(run.end, MachineEnd::PoweredOff),
        "{:?}\n{}",
        run.end,
        console(&run)
    );
    assert!(run.frames.is_sound(), "{:?}\n{}", run.frames, console(&run));
    let hello = run.frames.hello().expect("a guest that ran");
    assert_eq!((hello.v, hello.cpus), (VERSION, 2));
    assert!(console(&run).contains("patchproof: frame 0"), "{}", console(&run));
    assert_eq!(
        std::fs::read_dir(&config.scratch)
            .expect("a guest that ran")
            .count(),
        0
    );
    eprintln!(
        "boot {:.2} s, whole {:.2} s, {:?}",
        run.boot_s.expect("a guest that ran"),
        run.wall_s,
        run.usage
    );
}

#[tokio::test]
async fn the_suite_runs_over_a_prepared_root() {
    says_hello_and_done(prepared).await;
}

#[tokio::test]
async fn the_suite_runs_over_the_hosts_root() {
    says_hello_and_done(|_| Root::Host).await;
}

/// What a visitor saw.
#[derive(Debug, Default)]
struct Seen {
    out: String,
    err: String,
    ended: Option<Ended>,
    files: String,
    back: Vec<u8>,
}

#[tokio::test]
async fn a_guest_can_be_visited_and_sees_nothing_of_the_host() {
    let Some(kernel) = kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "of the host").unwrap();
    let config = config(&dir, kernel, prepared(dir.path()));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (end, cancel) = watch::channel(false);
    let (report, secret) = (Arc::clone(&seen), secret.display().to_string());
    let visit = move |door: Door| {
        let visited = look_around(door, &secret).map(|s| *report.lock().unwrap() = s);
        end.send_replace(true);
        visited
    };
    let (events, _nobody) = mpsc::channel(1);
    let run = boot_and_visit(&config, events, cancel, Box::new(visit)).await;
    assert!(
        matches!(run.end, MachineEnd::Cancelled),
        "{:?}\n{}",
        run.end,
        console(&run)
    );
    let seen = seen.lock().unwrap();
    assert_eq!((seen.out.as_str(), seen.err.as_str()), ("0\n", "to stderr\n"));
    assert_eq!(seen.ended, Some(Ended::Exit(42)));
    assert_eq!(seen.files, "lo\nread-only\nno secret\n", "{seen:?}");
    assert_eq!(seen.back, vec![7; 300_000]);
}

fn look_around(door: Door, secret: &str) -> Result<Seen, SshError> {
    let session = door.login()?;
    let mut seen = Seen::default();
    let run = |command: &str| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams {
            stdin: None,
            stdout: &mut out,
            stderr: &mut err,
        };
        let ended = session.run(command, streams, None)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok::<_, SshError>((text(out), text(err), ended))
    };
    let (out, err, ended) = run("id -u; echo to stderr >&2; exit 42")?;
    (seen.out, seen.err, seen.ended) = (out, err, Some(ended));
    seen.files = run(&format!(
        "ls /sys/class/net; mount -o remount,rw / 2>/dev/null; touch /root/x 2>/dev/null || echo read-only; \
         test -e '{secret}' || echo no secret"
    ))?
    .0;
    let path = Path::new("/run/patchproof-there-and-back");
    session.put(&mut Cursor::new(vec![7; 300_000]), path, 0o600)?;
    session.get(path, &mut seen.back)?;
    Ok(seen)
}
