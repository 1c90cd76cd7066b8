//! A machine with a fake QEMU (`examples/fake_qemu.rs`) in it, for tests.

use guest_tests::protocol::{Request, VERSION};
use harness::machine::{Accel, Backend, Deadlines, Disk, MachineConfig, initramfs};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Never reached in a test that passes.
pub const LONG: Duration = Duration::from_secs(120);
/// Reached on purpose.
pub const SHORT: Duration = Duration::from_millis(200);

fn fake_qemu() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let fake = test
        .ancestors()
        .nth(2)
        .expect("it lies in a target folder")
        .join("examples/fake_qemu");
    assert!(
        fake.exists(),
        "{} is missing: `cargo build -p harness --example fake_qemu`",
        fake.display()
    );
    fake
}

/// A machine whose guest plays `script`.
pub fn config(dir: &TempDir, script: &str) -> MachineConfig {
    let kernel = dir.path().join("kernel");
    fs::write(&kernel, script).expect("the folder can be written");
    MachineConfig {
        qemu: fake_qemu(),
        backend: Backend::Qemu,
        accel: Accel::Tcg,
        kernel,
        base: Arc::new(initramfs::Base::new(b"agent").expect("a small agent")),
        request: Request {
            v: VERSION,
            run: 1,
            cases: Vec::new(),
        },
        cpus: 2,
        memory_mib: 64,
        disks: vec![Disk {
            serial: "swap0".into(),
            size: 1 << 20,
        }],
        boot_args: Vec::new(),
        evidence: dir.path().join("evidence"),
        scratch: dir.path().join("scratch, with a comma"),
        freeze_on_finding: false,
        deadlines: Deadlines {
            first_frame: LONG,
            silence: LONG,
            case_end: LONG,
            power_off: LONG,
            last_words: SHORT,
        },
    }
}
