//! Stands in for virtme-ng in tests, with the habits of the real one that a caller has to live with:
//! called as `vng` it reads configuration files, puts its arguments unquoted into a shell's string and
//! runs that; called as `virtme-run` it starts QEMU (`fake_qemu`) as a grandchild, and exits with 255
//! whatever the guest came to. Notes what it saw into the folder of the kernel.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    if called.ends_with("virtme-run") {
        virtme_run(&args)
    } else {
        vng(&args)
    }
}

/// The first half: configuration, and a shell.
#[expect(
    clippy::disallowed_methods,
    reason = "a fake has no keeper; that its children outlive it is what it is for"
)]
fn vng(args: &[String]) -> ExitCode {
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let all = |name: &str| {
        let pairs = args.windows(2).filter(|w| w[0] == name);
        pairs
            .map(|w| format!("{name} {}", w[1]))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let kernel = value("--run").expect("a kernel");
    let notes = notes(&kernel);
    // The first file that exists counts, and what it says beats the command line.
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let configs = [
        home.join(".config/virtme-ng/virtme-ng.conf"),
        home.join(".virtme-ng.conf"),
        notes.join("etc-virtme-ng.conf"),
    ];
    let config = configs.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let memory = match config
        .as_deref()
        .and_then(|text| text.split_once("\"memory\": \""))
    {
        Some((_, rest)) => rest.split('"').next().unwrap_or_default().to_owned(),
        None => value("--memory").unwrap_or_else(|| "1G".to_owned()),
    };
    let flag = |name: &'static str| if args.iter().any(|a| a == name) { name } else { "" };
    let opts = args
        .iter()
        .find_map(|a| a.strip_prefix("--qemu-opts="))
        .unwrap_or_default();
    let line = format!(
        "virtme-run --kimg {kernel} --memory {memory} {} {} {} {} {} --qemu-opts {opts}",
        all("--append"),
        all("--rodir"),
        flag("-v"),
        flag("--force-9p"),
        flag("--disable-kvm"),
    );
    note(&notes, "homes", &home.display().to_string());
    note(&notes, "exec", &value("--exec").unwrap_or_default());
    let status = std::process::Command::new("sh").arg("-c").arg(&line).status();
    let code = status
        .ok()
        .and_then(|s| s.code())
        .and_then(|c| u8::try_from(c).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// The second half: QEMU.
#[expect(
    clippy::disallowed_methods,
    reason = "a fake has no keeper; that its children outlive it is what it is for"
)]
fn virtme_run(args: &[String]) -> ExitCode {
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|at| args.get(at + 1)).cloned().unwrap_or_default()
    };
    let has = |name: &str| args.iter().any(|a| a == name);
    let kernel = value("--kimg");
    let notes = notes(&kernel);
    note(&notes, "memory", &value("--memory"));
    if let Err(e) = std::io::stdin().as_fd().try_clone_to_owned() {
        eprintln!("Traceback (most recent call last):\n{e}");
        return ExitCode::FAILURE;
    }
    let is_socket = |fd: u8| {
        let target = std::fs::metadata(format!("/proc/self/fd/{fd}"));
        target.is_ok_and(|meta| meta.file_type().is_socket())
    };
    if is_socket(1) || is_socket(2) {
        note(&notes, "faults", "an output is a socket");
    }
    if !has("--force-9p") {
        eprintln!("virtiofsd failed to start");
        return ExitCode::FAILURE;
    }
    if !has("--disable-kvm") {
        note(&notes, "faults", "vng would choose the accelerator");
    }
    let opts = args
        .iter()
        .position(|a| a == "--qemu-opts")
        .map_or(&[][..], |at| &args[at + 1..]);
    let socket = |id: &str| {
        let start = format!("socket,id={id},server=off,path=");
        let found = opts.iter().find_map(|o| o.strip_prefix(&start));
        found.expect("a socket of that name").to_owned()
    };
    let console = opts.iter().find_map(|o| o.strip_prefix("chardev.console.path="));
    let console = console
        .filter(|_| has("-v"))
        .expect("a console that is not /dev/null");
    let accel = opts
        .iter()
        .position(|o| o == "-accel")
        .map_or("tcg", |at| &opts[at + 1]);
    let fake = std::env::current_exe()
        .expect("a path")
        .with_file_name("fake_qemu");
    let chardev = |id: &str, path: &str| {
        [
            "-chardev".into(),
            format!("socket,id={id},server=off,path={path}"),
        ]
    };
    let mut qemu = std::process::Command::new(fake)
        .args(["-kernel", &kernel, "-initrd", "/dev/null", "-accel", accel])
        .args(chardev("console", console))
        .args(chardev("frames", &socket("ppframes")))
        .args(chardev("qmp", &socket("ppqmp")))
        .spawn()
        .expect("the other fake is built");
    // The guest's SSH server: says what a file tells it to and hangs up, else it never speaks.
    let mut ssh = UnixStream::connect(socket("ppssh")).expect("somebody listens");
    let held = match std::fs::read(notes.join("ssh-says")) {
        Ok(says) => {
            let _ = ssh.write_all(&says);
            None
        }
        Err(_) => Some(ssh),
    };
    let _ = qemu.wait();
    drop(held);
    eprintln!("some last words of virtme-run");
    ExitCode::from(255)
}

/// Where notes are kept: the kernel's real folder.
fn notes(kernel: &str) -> PathBuf {
    let kernel = std::fs::canonicalize(kernel).expect("the kernel is there");
    kernel.parent().expect("it lies in a folder").to_owned()
}

fn note(dir: &Path, name: &str, line: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(format!("saw-{name}")))
        .expect("the folder can be written");
    file.write_all(format!("{line}\n").as_bytes())
        .expect("a line can be written");
}
