//! Boots a real kernel in a real QEMU. Runs where PATCHPROOF_VM_TESTS=1 says so (`cargo xtask test`
//! does) and PATCHPROOF_TEST_KERNEL names a bzImage built from `base` and `mm`.

use guest_tests::protocol::{Request, VERSION};
use harness::machine::{
    Accel, AccelPref, Backend, Deadlines, Disk, MachineConfig, MachineEnd, MachineRun, QEMU, accel, agent,
    boot, initramfs,
};
use std::path::PathBuf;
use std::sync::Arc;
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

fn config(dir: &TempDir, kernel: PathBuf) -> MachineConfig {
    MachineConfig {
        qemu: QEMU.into(),
        backend: Backend::Qemu,
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
        scratch: dir.path().join("scratch"),
        freeze_on_finding: false,
        deadlines: Deadlines::on(Accel::Tcg),
    }
}

async fn run(config: &MachineConfig) -> MachineRun {
    let (events, _nobody) = mpsc::channel(1);
    let (_never, cancel) = watch::channel(false);
    boot(config, events, cancel).await
}

fn console(run: &MachineRun) -> String {
    String::from_utf8_lossy(&std::fs::read(&run.console).unwrap_or_default()).into_owned()
}

#[tokio::test]
async fn a_guest_with_nothing_to_do_says_hello_and_done() {
    let Some(kernel) = kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = run(&config(&dir, kernel)).await;
    assert!(
        matches!(run.end, MachineEnd::PoweredOff),
        "{:?}\n{}",
        run.end,
        console(&run)
    );
    assert!(run.frames.is_sound(), "{:?}\n{}", run.frames, console(&run));
    let hello = run.frames.hello().unwrap();
    assert_eq!((hello.v, hello.cpus), (VERSION, 2));
    assert!(run.usage.cpu_s > 0.0);
    eprintln!(
        "boot {:.2} s, whole {:.2} s, {:?}",
        run.boot_s.unwrap(),
        run.wall_s,
        run.usage
    );
}

#[tokio::test]
async fn a_kernel_without_its_agent_panics_and_says_so() {
    let Some(kernel) = kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let no_agent = Arc::new(initramfs::Base::new(b"not an executable").unwrap());
    let run = run(&MachineConfig {
        base: no_agent,
        ..config(&dir, kernel)
    })
    .await;
    assert!(
        matches!(run.end, MachineEnd::Panicked),
        "{:?}\n{}",
        run.end,
        console(&run)
    );
    assert!(
        console(&run).contains("Kernel panic - not syncing"),
        "{}",
        console(&run)
    );
    assert_eq!(run.frames.total, 0);
}

#[tokio::test]
async fn the_accelerator_that_is_chosen_boots() {
    let Some(kernel) = kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, kernel);
    let probe = accel::Probe {
        qemu: QEMU.into(),
        kernel: config.kernel.clone(),
        kernel_key: "vm test".into(),
        base: Arc::clone(&config.base),
        cache: dir.path().join("accel"),
        device: "/dev/kvm".into(),
        within: None,
    };
    let choice = accel::choose(AccelPref::Auto, &probe).await;
    eprintln!("{}: {}", choice.accel, choice.why);
    let run = run(&MachineConfig {
        accel: choice.accel,
        ..config
    })
    .await;
    assert!(
        matches!(run.end, MachineEnd::PoweredOff),
        "{:?}\n{}",
        run.end,
        console(&run)
    );
}
