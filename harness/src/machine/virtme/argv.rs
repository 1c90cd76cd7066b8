//! vng's command line: computed, and refused where a value could mean something else.
//!
//! vng puts its arguments into a string, unquoted, and gives that to a shell. So no value leaves here
//! that has a character which a shell, vng or QEMU could take for something else, and everything
//! that a user names freely (kernel, disks) is named by links of ours in a folder of ours.

use super::super::accel::Accel;
use super::super::qemu;
use super::VirtmeError;
use super::seed;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Most characters of a command that travels base64-coded on the kernel's command line.
const EXEC_LEN_MAX: usize = 600;
/// What the guest runs once it is up: a path, since the command itself travels on the kernel's command line.
const EXEC: &str = "sh /run/patchproof/start";
const _: () = assert!(EXEC.len().div_ceil(3) * 4 <= EXEC_LEN_MAX);

/// Everything that the command line says.
pub(super) struct Line<'a> {
    pub(super) accel: Accel,
    pub(super) cpus: u32,
    pub(super) memory_mib: u64,
    pub(super) kernel: &'a Path,
    /// QEMU's executable, where it is not the usual one.
    pub(super) qemu: Option<&'a Path>,
    /// The guest's root; the host's own without.
    pub(super) root: Option<&'a Path>,
    /// Folder that the guest sees as [`seed::IN_GUEST`].
    pub(super) seed: &'a Path,
    /// Whether a dump of the guest may be wanted.
    pub(super) dump: bool,
    /// Arguments of the kernel.
    pub(super) boot_args: &'a [String],
    /// Serial number and image of each disk.
    pub(super) disks: &'a [(String, PathBuf)],
    /// Sockets on which we listen.
    pub(super) console: &'a Path,
    pub(super) frames: &'a Path,
    pub(super) qmp: &'a Path,
    pub(super) ssh: &'a Path,
}

/// Makes the arguments.
///
/// # Errors
/// [`VirtmeError::Value`] for the first value that may not be there.
pub(super) fn argv(line: &Line<'_>) -> Result<Vec<OsString>, VirtmeError> {
    let mut args: Vec<String> = Vec::new();
    let mut option = |name: &str, value: &str| {
        args.extend([name.to_owned(), value.to_owned()]);
    };
    // Without a name the host's own would go into the shell's string.
    option("--name", "patchproof");
    option("--run", path("the kernel image", line.kernel)?);
    option("--memory", word("the memory", &format!("{}M", line.memory_mib))?);
    option("--cpus", word("the CPUs", &line.cpus.to_string())?);
    option("--user", "root");
    if let Some(root) = line.root {
        option("--root", path("the root", root)?);
    }
    if let Some(qemu) = line.qemu {
        option("--qemu", path("QEMU", qemu)?);
    }
    let seed = format!(
        "{}={}",
        seed::IN_GUEST.trim_start_matches('/'),
        path("the seed", line.seed)?
    );
    option("--rodir", word("the seed", &seed)?);
    for arg in line.boot_args {
        option("--append", word("a boot argument", arg)?);
    }
    option("--exec", EXEC);
    args.extend(
        [
            // Or an oops leaves no trace.
            "-v",
            // virtiofsd passes vng's test and then fails where it runs as root; 9p is there always.
            "--force-9p",
            // vng takes a /dev/kvm that opens for one that works; we say below what was found to work.
            "--disable-kvm",
            "--no-dhcp",
        ]
        .map(str::to_owned),
    );
    args.push(format!("--qemu-opts={}", qemu_opts(line)?));
    Ok(args.into_iter().map(OsString::from).collect())
}

/// What QEMU is told beside vng's own: these go last, and the last one counts.
fn qemu_opts(line: &Line<'_>) -> Result<String, VirtmeError> {
    let mut words: Vec<String> = Vec::new();
    // The console that vng made goes where every console of ours goes, instead of being mixed with
    // what vng and QEMU themselves say on standard error.
    let console = format!("chardev.console.path={}", path("the console", line.console)?);
    for set in [
        "chardev.console.backend=socket",
        "chardev.console.server=off",
        &console,
    ] {
        words.extend(["-set".to_owned(), set.to_owned()]);
    }
    words.extend(qemu::HALTED.map(str::to_owned));
    words.extend(qemu::accel(line.accel).map(str::to_owned));
    for (id, socket) in [
        ("ppframes", line.frames),
        ("ppssh", line.ssh),
        ("ppqmp", line.qmp),
    ] {
        let socket = path("a socket", socket)?;
        words.extend([
            "-chardev".to_owned(),
            format!("socket,id={id},server=off,path={socket}"),
        ]);
    }
    words.extend(["-device", "virtio-serial-pci,id=ppserial"].map(str::to_owned));
    for (id, name) in [
        ("ppframes", guest_tests::protocol::PORT_NAME),
        ("ppssh", seed::SSH_PORT),
    ] {
        let port = format!("virtserialport,bus=ppserial.0,chardev={id},name={name}");
        words.extend(["-device".to_owned(), port]);
    }
    words.extend(["-mon", "chardev=ppqmp,mode=control", "-device", "pvpanic-pci"].map(str::to_owned));
    if line.dump {
        words.extend(qemu::VMCOREINFO.map(str::to_owned));
    }
    for (serial, image) in line.disks {
        let image = path("a disk", image)?;
        words.extend([
            "-drive".to_owned(),
            format!("{},id={serial},file={image}", qemu::DRIVE),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive={serial},serial={serial}"),
        ]);
    }
    for one in &words {
        if !one.bytes().all(allowed) {
            return refuse("an option of QEMU", one);
        }
    }
    Ok(words.join(" "))
}

/// Letters, digits, and what neither a shell nor vng's own parsers give a meaning of their own.
fn allowed(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_-.,=:/@+%".contains(&b)
}

fn word<'a>(what: &'static str, value: &'a str) -> Result<&'a str, VirtmeError> {
    if value.is_empty() || value.starts_with('-') || !value.bytes().all(allowed) {
        return refuse(what, value);
    }
    Ok(value)
}

/// A path, in which `,` and `=` would end a value of QEMU's or vng's, and `%`, `@` and `:` have no place either.
fn path<'a>(what: &'static str, value: &'a Path) -> Result<&'a str, VirtmeError> {
    let shown = value.to_str().unwrap_or_default();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_-./+".contains(&b);
    if !shown.starts_with('/') || !shown.bytes().all(good) {
        return refuse(what, &value.to_string_lossy());
    }
    Ok(shown)
}

fn refuse<T>(what: &'static str, value: &str) -> Result<T, VirtmeError> {
    Err(VirtmeError::Value {
        what,
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(boot_args: &'a [String], disks: &'a [(String, PathBuf)]) -> Line<'a> {
        Line {
            accel: Accel::Tcg,
            cpus: 2,
            memory_mib: 300,
            kernel: Path::new("/r/kernel"),
            qemu: None,
            root: Some(Path::new("/r/root")),
            seed: Path::new("/r/seed"),
            dump: false,
            boot_args,
            disks,
            console: Path::new("/r/console"),
            frames: Path::new("/r/frames"),
            qmp: Path::new("/r/qmp"),
            ssh: Path::new("/r/ssh"),
        }
    }

    fn shown(line: &Line<'_>) -> String {
        let args = argv(line).expect("good values");
        let args: Vec<_> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        args.join("\n").replace(" -", "\n    -")
    }

    #[test]
    fn the_command_line_is_this() {
        let disks = [("swap0".to_owned(), PathBuf::from("/r/swap0.raw"))];
        let boot_args = ["console=ttyS0".to_owned(), "zswap.enabled=1".to_owned()];
        insta::assert_snapshot!(shown(&line(&boot_args, &disks)));
    }

    #[test]
    fn what_was_probed_is_what_runs_and_vng_never_chooses() {
        let kvm = shown(&Line {
            accel: Accel::Kvm,
            ..line(&[], &[])
        });
        assert!(
            kvm.contains("--disable-kvm") && kvm.contains("-accel kvm"),
            "{kvm}"
        );
        assert!(!shown(&line(&[], &[])).contains("-accel kvm"));
    }

    #[test]
    fn nothing_of_vng_that_shares_a_port_or_writes_to_the_host_is_used() {
        let all = shown(&line(&[], &[]));
        for never in [
            "--rw",
            "--rwdir",
            "--ssh",
            "--console",
            "--pin",
            "--debug",
            "--net",
            "--gdb",
            "--build",
            "--disk",
        ] {
            assert!(
                !all.lines()
                    .any(|l| l == never || l.starts_with(&format!("{never}="))),
                "{never}"
            );
        }
    }

    #[test]
    fn every_character_that_could_mean_something_is_refused() {
        for bad in 0..=255u8 {
            let text = format!("a{}b", char::from(bad));
            let args = [text.clone()];
            let by_arg = argv(&line(&args, &[]));
            assert_eq!(by_arg.is_ok(), allowed(bad), "{text:?}");
            let image = PathBuf::from(format!("/r/{text}"));
            let disks = [("swap0".to_owned(), image.clone())];
            let mut by_path = line(&[], &disks);
            by_path.kernel = &image;
            let good = bad.is_ascii_alphanumeric() || b"_-./+".contains(&bad);
            assert_eq!(argv(&by_path).is_ok(), good, "{text:?}");
        }
        for bad in [
            "512M; touch X",
            "$(id)",
            "`id`",
            "--rw",
            "a b",
            "",
            "a\nb",
            "é",
            "a'b",
            "a\\b",
            "a*",
            "~root",
        ] {
            let args = [bad.to_owned()];
            let refused = argv(&line(&args, &[])).expect_err(bad);
            assert!(matches!(refused, VirtmeError::Value { .. }), "{refused}");
        }
    }
}
