//! Whether virtme-ng can be used: on this host, and with a kernel.

use super::VirtmeError;
use crate::host::dirs;
use std::path::{Path, PathBuf};

/// Names the executable, before everything else that would.
const OVERRIDE: &str = "PATCHPROOF_VNG";
/// Where a guest's SSH server is: in the host's root, and in a prepared one.
pub(super) const SSHD: &str = "/usr/sbin/sshd";

/// A host that has virtme-ng and what its guests need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// vng's executable.
    pub vng: PathBuf,
}

impl Host {
    /// Looks for vng (`PATCHPROOF_VNG`, then PATH, then where `cargo xtask setup` puts it) and for what its
    /// guests need.
    ///
    /// # Errors
    /// [`VirtmeError::Missing`] for the first thing that is not there.
    pub fn find() -> Result<Self, VirtmeError> {
        let missing = |program: &str| VirtmeError::Missing {
            program: program.to_owned(),
        };
        let vng = match std::env::var_os(OVERRIDE) {
            Some(given) => Some(PathBuf::from(given)).filter(|path| path.is_file()),
            None => in_path("vng").or_else(installed),
        };
        let vng = vng.ok_or_else(|| missing("vng (virtme-ng)"))?;
        if !Path::new(SSHD).is_file() {
            return Err(missing("sshd (openssh-server)"));
        }
        for program in ["ssh-keygen", "busybox", "bash", "qemu-system-x86_64"] {
            in_path(program).ok_or_else(|| missing(program))?;
        }
        Ok(Self { vng })
    }
}

/// Where `cargo xtask setup` installs it.
fn installed() -> Option<PathBuf> {
    let vng = dirs::data().ok()?.join("virtme-ng/bin/vng");
    vng.is_file().then_some(vng)
}

pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// What a kernel must have, besides what every guest needs: the root over 9p, writable overlays on it.
const KERNEL_NEEDS: &[&str] = &[
    "CONFIG_NET_9P_VIRTIO",
    "CONFIG_9P_FS",
    "CONFIG_OVERLAY_FS",
    "CONFIG_TMPFS",
    "CONFIG_UNIX98_PTYS",
    "CONFIG_INOTIFY_USER",
    "CONFIG_VIRTIO_CONSOLE",
];

/// The options that a kernel's configuration lacks for virtme-ng (all of them must be built in, for
/// there are no modules).
#[must_use]
pub fn kernel_lacks(config: &str) -> Vec<&'static str> {
    let has = |option: &str| {
        config
            .lines()
            .any(|line| line.strip_prefix(option).is_some_and(|rest| rest == "=y"))
    };
    KERNEL_NEEDS
        .iter()
        .copied()
        .filter(|option| !has(option))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_told_by_its_configuration() {
        let all: String = KERNEL_NEEDS.iter().map(|o| format!("{o}=y\n")).collect();
        assert!(kernel_lacks(&all).is_empty());
        let module = all.replace("CONFIG_9P_FS=y", "CONFIG_9P_FS=m");
        assert_eq!(kernel_lacks(&module), ["CONFIG_9P_FS"]);
        let unset = all.replace(
            "CONFIG_9P_FS=y",
            "# CONFIG_9P_FS is not set\nCONFIG_9P_FS_POSIX_ACL=y",
        );
        assert_eq!(kernel_lacks(&unset), ["CONFIG_9P_FS"]);
        assert_eq!(kernel_lacks("").len(), KERNEL_NEEDS.len());
    }

    #[test]
    fn the_shipped_fragments_have_what_is_needed() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kconfigs");
        let text: String = ["base", "mm", "virtme"]
            .iter()
            .map(|name| std::fs::read_to_string(dir.join(format!("{name}.config"))).unwrap())
            .collect();
        let lacks = kernel_lacks(&text);
        assert!(lacks.is_empty(), "{lacks:?}");
    }
}
