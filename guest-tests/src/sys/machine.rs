//! The machine as PID 1 finds it: file systems to mount, the frames' port, disks by serial number.

use super::{Doing, Result, SysError, file};
use rustix::mount::{MountFlags, mount};
use std::path::{Path, PathBuf};

/// One row of the mount table.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    /// Type of the file system, also its source.
    pub kind: &'static str,
    /// Where it goes.
    pub at: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
}

/// What PID 1 mounts, in order.
pub const MOUNTS: &[Mount] = &[
    Mount {
        kind: "proc",
        at: "/proc",
        required: true,
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        required: true,
    },
    Mount {
        kind: "devtmpfs",
        at: "/dev",
        required: true,
    },
    Mount {
        kind: "debugfs",
        at: "/sys/kernel/debug",
        required: false,
    },
    Mount {
        kind: "tracefs",
        at: "/sys/kernel/tracing",
        required: false,
    },
    Mount {
        kind: "cgroup2",
        at: "/sys/fs/cgroup",
        required: false,
    },
    Mount {
        kind: "tmpfs",
        at: "/tmp",
        required: false,
    },
    Mount {
        kind: "tmpfs",
        at: "/run",
        required: false,
    },
];

/// Mounts the whole table; returns what could not be mounted and need not be.
///
/// # Errors
/// When a required file system cannot be mounted.
pub fn mount_all() -> Result<Vec<SysError>> {
    let mut missing = Vec::new();
    for row in MOUNTS {
        match mount_one(row) {
            Err(e) if row.required => return Err(e),
            Err(e) => missing.push(e),
            Ok(()) => {}
        }
    }
    Ok(missing)
}

fn mount_one(row: &Mount) -> Result<()> {
    let doing = || format!("mounting {} on {}", row.kind, row.at);
    if !Path::new(row.at).is_dir() {
        std::fs::create_dir_all(row.at).doing(doing)?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let flags = if row.kind == "devtmpfs" {
        MountFlags::NOSUID
    } else {
        flags
    };
    match mount(row.kind, row.at, row.kind, flags, None) {
        // A kernel with DEVTMPFS_MOUNT, or an earlier init, has been here.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        other => other.doing(doing),
    }
}

/// Finds a virtio-serial port by its name.
///
/// # Errors
/// When there is no such port: the names that there are, are told.
pub fn virtio_port(name: &str) -> Result<PathBuf> {
    let doing = || format!("looking for the virtio-serial port {name}");
    let ports = Path::new("/sys/class/virtio-ports");
    let found = find_by(ports, "name", name).doing(doing)?;
    let found = found
        .ok_or_else(|| SysError::content(doing(), format!("none of {} has that name", ports.display())))?;
    Ok(Path::new("/dev").join(found))
}

/// Finds a whole disk by its serial number.
///
/// # Errors
/// When there is no such disk.
pub fn disk(serial: &str) -> Result<PathBuf> {
    let doing = || format!("looking for the disk with the serial number {serial}");
    let found = find_by(Path::new("/sys/block"), "serial", serial).doing(doing)?;
    let found = found.ok_or_else(|| SysError::content(doing(), "no disk of /sys/block has it"))?;
    Ok(Path::new("/dev").join(found))
}

/// Finds the entry of a sysfs directory whose attribute holds `value`.
fn find_by(dir: &Path, attribute: &str, value: &str) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Most entries lack the attribute; that is no error.
        if file::read(entry.path().join(attribute)).is_ok_and(|v| v.trim() == value) {
            return Ok(Some(entry.file_name().into()));
        }
    }
    Ok(None)
}

/// Bytes of a block device.
///
/// # Errors
/// Those of the kernel.
pub fn disk_len(device: &Path) -> Result<u64> {
    use std::io::Seek;
    let doing = || format!("measuring {}", device.display());
    let mut disk = std::fs::File::open(device).doing(doing)?;
    disk.seek(std::io::SeekFrom::End(0)).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_whole_attribute() {
        let dir = std::env::temp_dir().join(format!("patchproof-ports-{}", std::process::id()));
        for (port, name) in [
            ("vport1p1", "other"),
            ("vport1p2", "patchproof.frames\n"),
            ("vport1p3", "x"),
        ] {
            std::fs::create_dir_all(dir.join(port)).unwrap();
            std::fs::write(dir.join(port).join("name"), name).unwrap();
        }
        std::fs::create_dir_all(dir.join("vport1p0")).unwrap();
        assert_eq!(
            find_by(&dir, "name", "patchproof.frames").unwrap(),
            Some("vport1p2".into())
        );
        assert_eq!(find_by(&dir, "name", "patchproof").unwrap(), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_comes_first_holds_what_comes_later() {
        let at = |path| MOUNTS.iter().position(|m| m.at == path).unwrap();
        assert!(at("/sys") < at("/sys/kernel/debug") && at("/sys") < at("/sys/fs/cgroup"));
    }
}
