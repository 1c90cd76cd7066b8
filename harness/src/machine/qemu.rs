//! QEMU's command line for a machine: an argv vector, computed and nothing else.
//!
//! Not here: starting it (`boot`), and the kernel's command line (`boot_args`).

use super::accel::Accel;
use guest_tests::protocol::PORT_NAME;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The longest serial number of a virtio disk, in bytes.
pub(super) const SERIAL_LEN_MAX: usize = 20;

/// Halted until we listen to QMP, so that no event is lost; after the guest is gone QEMU stays until
/// it is told to quit, so that what it used can be read. A panic is reported and goes on: the guest
/// has more to say, and then resets.
pub(super) const HALTED: [&str; 3] = ["-S", "-action", "shutdown=pause,reboot=shutdown,panic=none"];

/// How a disk is driven. `stop`: a failure of the host's disk must not look like one of the kernel under test.
pub(super) const DRIVE: &str = "if=none,format=raw,cache=unsafe,discard=unmap,werror=stop,rerror=stop";

/// Takes the guest's note of where its things are into a dump, for those that read it.
pub(super) const VMCOREINFO: [&str; 2] = ["-device", "vmcoreinfo"];

/// What a machine runs on.
pub(super) fn accel(accel: Accel) -> [&'static str; 4] {
    match accel {
        Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
        Accel::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
    }
}

/// Everything that the command line says.
pub(super) struct Machine<'a> {
    pub(super) accel: Accel,
    pub(super) cpus: u32,
    pub(super) memory_mib: u64,
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    pub(super) command_line: &'a str,
    /// Serial number and image of each disk.
    pub(super) disks: &'a [(String, std::path::PathBuf)],
    /// Sockets on which we listen.
    pub(super) console: &'a Path,
    pub(super) frames: &'a Path,
    pub(super) qmp: &'a Path,
}

/// Makes the arguments.
pub(super) fn argv(m: &Machine<'_>) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    args.words(&["-M", "pc", "-nodefaults", "-no-user-config", "-display", "none"]);
    args.words(&HALTED);
    args.words(&accel(m.accel));
    args.words(&["-smp", &m.cpus.to_string(), "-m", &format!("{}M", m.memory_mib)]);
    args.path("-kernel", m.kernel);
    args.path("-initrd", m.initrd);
    args.words(&["-append", m.command_line]);
    args.socket("console", m.console);
    args.words(&["-serial", "chardev:console"]);
    args.socket("frames", m.frames);
    args.words(&["-device", "virtio-serial-pci"]);
    args.words(&[
        "-device",
        &format!("virtserialport,chardev=frames,name={PORT_NAME}"),
    ]);
    args.socket("qmp", m.qmp);
    args.words(&["-mon", "chardev=qmp,mode=control"]);
    args.words(&["-device", "pvpanic-pci"]);
    for (serial, image) in m.disks {
        let mut drive = OsString::from(DRIVE);
        drive.push(format!(",id={serial},file="));
        drive.push(doubled_commas(image));
        args.0.extend(["-drive".into(), drive]);
        args.words(&[
            "-device",
            &format!("virtio-blk-pci,drive={serial},serial={serial}"),
        ]);
    }
    args.0
}

struct Args(Vec<OsString>);

impl Args {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn path(&mut self, option: &str, path: &Path) {
        self.0.extend([option.into(), path.into()]);
    }

    fn socket(&mut self, id: &str, path: &Path) {
        let mut value = OsString::from(format!("socket,id={id},server=off,path="));
        value.push(doubled_commas(path));
        self.0.extend(["-chardev".into(), value]);
    }
}

/// QEMU takes two commas in a value for one.
fn doubled_commas(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    let mut doubled = Vec::with_capacity(bytes.len());
    for &b in bytes {
        doubled.extend(std::iter::repeat_n(b, if b == b',' { 2 } else { 1 }));
    }
    let doubled = OsString::from_vec(doubled);
    debug_assert!(OsStr::len(&doubled) >= bytes.len());
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn line(accel: Accel) -> String {
        let disks = [("swap0".to_owned(), PathBuf::from("/tmp/a,b/swap0.raw"))];
        let args = argv(&Machine {
            accel,
            cpus: 2,
            memory_mib: 300,
            kernel: Path::new("/cache/bzImage"),
            initrd: Path::new("/tmp/initrd"),
            command_line: "console=ttyS0 panic=-1",
            disks: &disks,
            console: Path::new("/run/pp/console"),
            frames: Path::new("/run/pp/frames"),
            qmp: Path::new("/run/pp/qmp"),
        });
        let args: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        args.join("\n")
    }

    #[test]
    fn the_command_line_is_this() {
        insta::assert_snapshot!(line(Accel::Tcg));
    }

    #[test]
    fn kvm_differs_in_accelerator_and_cpu_only() {
        let kvm = line(Accel::Tcg)
            .replace("tcg,thread=multi", "kvm")
            .replace("-cpu\nmax", "-cpu\nhost");
        assert_eq!(line(Accel::Kvm), kvm);
    }
}
