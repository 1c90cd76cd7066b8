//! A cached kernel to the guest's first frame, beside the same boot by hand.

use super::{ROUNDS, median, tempdir};
use crate::kernels::kernel_dir;
use crate::target_dir;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

pub(super) fn boot(patchproof: &Path) -> Result<()> {
    let kernel = kernel_dir(patchproof, "fixed")?.join("bzImage");
    let work = tempdir("boot")?;
    let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(first_frame_ours(patchproof)?);
        by_hand.push(first_frame_by_hand(&kernel, &work, round)?);
    }
    let (ours, by_hand) = (median(ours), median(by_hand));
    println!("boot to the first frame, medians of {ROUNDS} interleaved pairs:");
    println!("  by hand (qemu-system-x86_64)       {by_hand:.2} s");
    println!("  patchproof, from its start         {ours:.2} s");
    println!(
        "  difference                         {:+.2} s (to reach: at most +0.50 s)",
        ours - by_hand
    );
    Ok(())
}

/// From the start of `patchproof run` on a cached kernel to its report of the first frame.
fn first_frame_ours(patchproof: &Path) -> Result<f64> {
    let started = Instant::now();
    let filter = "fixed.small@qemu.pressure.off";
    let run = duct::cmd!(
        patchproof,
        "run",
        "workflows/demo.yaml",
        "--filter",
        filter,
        "--json"
    );
    let reader = run.unchecked().reader()?;
    let mut found = None;
    for line in BufReader::new(&reader).lines() {
        if line?.contains(r#""event":"cell_booted""#) {
            found = Some(started.elapsed().as_secs_f64());
            break;
        }
    }
    for pid in reader.pids() {
        // SIGINT, as a user would: the run ends its machine and its record.
        duct::cmd!("kill", "-INT", pid.to_string()).unchecked().run()?;
    }
    let mut rest = Vec::new();
    (&reader).read_to_end(&mut rest)?;
    found.context("the guest never booted")
}

/// From the start of QEMU, given everything ready, to the first byte on the port of frames.
fn first_frame_by_hand(kernel: &Path, work: &Path, round: usize) -> Result<f64> {
    let initrd = work.join("initrd");
    if !initrd.exists() {
        let agent = target_dir()?.join("agent/x86_64-unknown-linux-gnu/release/patchproof-agent");
        let tree = work.join("root");
        std::fs::create_dir_all(tree.join("dev"))?;
        std::fs::create_dir_all(tree.join("patchproof"))?;
        std::fs::copy(&agent, tree.join("init")).with_context(|| agent.display().to_string())?;
        std::fs::write(
            tree.join("patchproof/request.json"),
            r#"{"v":1,"run":1,"cases":[]}"#,
        )?;
        let names = "init\npatchproof\npatchproof/request.json\ndev\n";
        duct::cmd!("cpio", "--quiet", "-o", "-H", "newc")
            .dir(&tree)
            .stdin_bytes(names)
            .stdout_path(&initrd)
            .run()?;
    }
    let fifo = work.join(format!("frames{round}"));
    duct::cmd!("mkfifo", &fifo).run()?;
    let append = "console=ttyS0 loglevel=5 panic=-1 printk.devkmsg=on oops=panic slab_nomerge page_poison=1";
    let started = Instant::now();
    let qemu = duct::cmd!(
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-M",
        "pc",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "300M",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        kernel,
        "-initrd",
        &initrd,
        "-append",
        append,
        "-serial",
        format!("file:{}", work.join("console").display()),
        "-device",
        "virtio-serial-pci",
        "-chardev",
        format!("pipe,id=frames,path={}", fifo.display()),
        "-device",
        "virtserialport,chardev=frames,name=patchproof.frames"
    )
    .stdin_null()
    .unchecked()
    .start()?;
    let mut byte = [0];
    let read = std::fs::File::open(&fifo)?.read(&mut byte)?;
    let took = started.elapsed().as_secs_f64();
    qemu.kill()?;
    if read == 0 {
        bail!("the guest sent nothing; its console is in {}", work.display())
    }
    Ok(took)
}

/// virtme-ng over the host's root: ours beside `vng --exec true` by hand, and what logging in adds.
pub(super) fn virtme(patchproof: &Path) -> Result<()> {
    let kernel = kernel_dir(patchproof, "fixed")?.join("bzImage");
    let vng = crate::virtme::vng()?;
    let (mut by_hand, mut login) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_hand.push(true_by_hand(&vng, &kernel)?);
        login.push(true_over_ssh(patchproof, &kernel, true)?);
    }
    let prepared: Vec<f64> = (0..ROUNDS)
        .map(|_| true_over_ssh(patchproof, &kernel, false))
        .collect::<Result<_>>()?;
    let (by_hand, login, prepared) = (median(by_hand), median(login), median(prepared));
    println!("virtme-ng: from the start to the end of `true` in the guest, medians of {ROUNDS}:");
    println!("  vng --exec true by hand            {by_hand:.2} s");
    println!("  patchproof shell --host-root       {login:.2} s");
    println!("  patchproof shell, prepared root    {prepared:.2} s");
    println!(
        "  difference over the host's root    {:+.2} s (to reach: at most +0.50 s for the boot, +2 s for the login)",
        login - by_hand
    );
    Ok(())
}

fn true_by_hand(vng: &Path, kernel: &Path) -> Result<f64> {
    let started = Instant::now();
    let run = duct::cmd!(
        vng,
        "--run",
        kernel,
        "--disable-kvm",
        "--force-9p",
        "--memory",
        "300M",
        "--cpus",
        "2",
        "--user",
        "root",
        "--exec",
        "true"
    );
    let out = run
        .stdin_null()
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()?;
    if !out.status.success() {
        bail!("vng by hand: {}", String::from_utf8_lossy(&out.stdout));
    }
    Ok(started.elapsed().as_secs_f64())
}

fn true_over_ssh(patchproof: &Path, kernel: &Path, host_root: bool) -> Result<f64> {
    let mut args = vec!["shell".into(), kernel.as_os_str().to_owned()];
    args.extend(host_root.then(|| "--host-root".into()));
    args.extend(["--", "true"].map(Into::into));
    let started = Instant::now();
    let out = duct::cmd(patchproof, args)
        .stdin_null()
        .stderr_capture()
        .unchecked()
        .run()?;
    if !out.status.success() {
        bail!("patchproof shell: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(started.elapsed().as_secs_f64())
}
