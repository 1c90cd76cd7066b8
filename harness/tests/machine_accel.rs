//! How the accelerator is chosen, against a fake QEMU (`examples/fake_qemu.rs`).

mod fakes;

use fakes::{LONG, SHORT, config};
use harness::machine::accel::{self, Probe};
use harness::machine::{Accel, AccelPref, MachineConfig};
use std::fs;
use tempfile::TempDir;

/// A host whose /dev/kvm opens, and a kernel that plays `script`.
fn probe(dir: &TempDir, script: &str) -> Probe {
    let MachineConfig {
        qemu, kernel, base, ..
    } = config(dir, script);
    let (cache, device) = (dir.path().join("cache"), "/dev/null".into());
    Probe {
        qemu,
        kernel,
        kernel_key: "k1".into(),
        base,
        cache,
        device,
        within: Some(LONG),
    }
}

async fn auto(probe: &Probe) -> (Accel, String) {
    let choice = accel::choose(AccelPref::Auto, probe).await;
    (choice.accel, choice.why)
}

fn verdicts(probe: &Probe) -> usize {
    fs::read_dir(&probe.cache).map_or(0, Iterator::count)
}

#[tokio::test]
async fn kvm_is_chosen_where_a_kernel_boots_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let probe = probe(&dir, "runs");
    let (accel, why) = auto(&probe).await;
    assert!(
        accel == Accel::Kvm && why.starts_with("a trial boot reached the agent in"),
        "{why}"
    );
    // It is not booted again, or it would fail now, unless the kernel has another key.
    fs::write(&probe.kernel, "refuses").unwrap();
    let (accel, why) = auto(&probe).await;
    assert!(
        accel == Accel::Kvm && why.ends_with("(remembered from an earlier trial)"),
        "{why}"
    );
    let other = Probe {
        kernel_key: "k2".into(),
        ..probe
    };
    assert_eq!(auto(&other).await.0, Accel::Tcg);
    assert_eq!(verdicts(&other), 2);
}

#[tokio::test]
async fn emulation_is_chosen_where_kvm_opens_but_nothing_boots() {
    for (script, within, reason) in [
        (
            "hangs under kvm",
            SHORT,
            "waited in vain for the guest's first frame",
        ),
        ("refuses", LONG, "QEMU exited with 3: qemu: could not do it"),
        (
            "powers off silently",
            LONG,
            "the guest powered off without its frames",
        ),
        ("is cut off", LONG, "the guest powered off without its frames"),
        ("panics", LONG, "the guest's kernel panicked"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe {
            within: Some(within),
            ..probe(&dir, script)
        };
        let (accel, why) = auto(&probe).await;
        assert_eq!(accel, Accel::Tcg);
        assert!(
            why.ends_with(&format!("a trial boot under KVM failed: {reason}")),
            "{why}"
        );
        assert_eq!(verdicts(&probe), 1);
    }
}

#[tokio::test]
async fn without_a_device_nothing_is_tried_and_without_a_trial_nothing_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Probe {
        device: "/no/such/device".into(),
        ..probe(&dir, "runs")
    };
    let (accel, why) = auto(&absent).await;
    assert!(
        accel == Accel::Tcg && why.starts_with("/no/such/device cannot be opened"),
        "{why}"
    );
    let no_kernel = Probe {
        kernel: "/no/such/kernel".into(),
        ..probe(&dir, "runs")
    };
    let (accel, why) = auto(&no_kernel).await;
    assert!(accel == Accel::Tcg && why.contains("could not be made"), "{why}");
    assert_eq!(verdicts(&absent) + verdicts(&no_kernel), 0);
}

#[tokio::test]
async fn what_is_asked_for_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let probe = probe(&dir, "refuses");
    assert_eq!(accel::choose(AccelPref::Kvm, &probe).await.accel, Accel::Kvm);
    assert_eq!(accel::choose(AccelPref::Tcg, &probe).await.accel, Accel::Tcg);
}
