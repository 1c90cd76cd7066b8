//! A root for guests whose kernel is not trusted: a shell, busybox's tools and an SSH server, copied from
//! the host with the libraries that they name, and nothing else of the host's.
//!
//! It is made once for these programs as they are and kept; each machine gets a copy of its own made of hard links,
//! since vng leaves a file in the root it is given.

use super::VirtmeError;
use super::find::{SSHD, in_path};
use crate::host::Cmd;
use crate::host::lock::Lock;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Raised whenever what is made of the same programs changes.
const RECIPE: u32 = 2;
/// How long a small program of the host's may take.
const TOOL_WITHIN: Duration = Duration::from_secs(20);

/// Folders that are there; those that a boot mounts on are empty.
const FOLDERS: &[&str] = &[
    "dev",
    "etc",
    "etc/lvm",
    "etc/ssh",
    "home",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/share",
    "var/cache",
    "var/lib",
    "var/log",
    "var/tmp",
];
/// Links: one folder for all programs, one for all libraries.
const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("usr/sbin", "bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
];
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nsshd:x:65533:65534::/run/sshd:/bin/false\n\
         nobody:x:65534:65534::/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/shadow", ""),
    ("etc/fstab", ""),
    ("etc/sudoers", ""),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    ),
    ("etc/profile", "PS1='\\u@\\h:\\w\\$ '\nexport PATH=/usr/bin\n"),
];
/// Present on some hosts only: an SSH server in several parts, descriptions of common terminals.
const IF_THERE: &[&str] = &[
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
    "/lib/x86_64-linux-gnu/libnss_files.so.2",
    "/lib/terminfo/x/xterm",
    "/lib/terminfo/x/xterm-256color",
    "/lib/terminfo/s/screen",
    "/lib/terminfo/s/screen-256color",
    "/lib/terminfo/t/tmux-256color",
    "/lib/terminfo/v/vt100",
    "/lib/terminfo/l/linux",
];

/// A prepared root.
#[derive(Debug)]
pub struct Prepared {
    tree: PathBuf,
}

impl Prepared {
    /// Finds the root in `dir`, or makes it there.
    ///
    /// # Errors
    /// [`VirtmeError::Missing`] for a program that the host lacks, [`VirtmeError::Root`] for everything else.
    pub fn make(dir: &Path) -> Result<Self, VirtmeError> {
        let programs = ["bash", "busybox"].map(|name| in_path(name).ok_or(name));
        let mut files = vec![PathBuf::from(SSHD)];
        for program in programs {
            files.push(program.map_err(|name| VirtmeError::Missing {
                program: name.to_owned(),
            })?);
        }
        let libraries = libraries(&files)?;
        files.extend(libraries);
        files.extend(IF_THERE.iter().map(PathBuf::from).filter(|path| path.is_file()));
        let tree = dir.join(key(&files)?);
        let doing = |what: &str, path: &Path| format!("{what} {}", path.display());
        fs::create_dir_all(dir).map_err(|e| failed(doing("making", dir), e))?;
        let lock = dir.join("lock");
        let _held = Lock::exclusive(&lock)
            .map_err(|e| failed(doing("locking", &lock), io::Error::other(e.to_string())))?;
        if !tree.exists() {
            // Whole or not at all: it is in place once it is complete.
            let half = tempfile::Builder::new()
                .prefix("half-")
                .tempdir_in(dir)
                .map_err(|e| failed(doing("making a folder in", dir), e))?;
            fill(half.path(), &files)?;
            fs::rename(half.path(), &tree).map_err(|e| failed(doing("making", &tree), e))?;
            // It is not there any more under that name.
            let _ = half.keep();
        }
        Ok(Self { tree })
    }

    /// Makes a machine's own copy, of hard links where that is possible.
    pub(super) fn copy(&self, to: &Path) -> Result<(), VirtmeError> {
        for entry in walkdir::WalkDir::new(&self.tree) {
            let entry = entry.map_err(|e| failed("reading the prepared root".to_owned(), e.into()))?;
            let Ok(inside) = entry.path().strip_prefix(&self.tree) else {
                continue;
            };
            let target = to.join(inside);
            let kind = entry.file_type();
            let made = if kind.is_dir() {
                fs::create_dir(&target)
            } else if kind.is_symlink() {
                fs::read_link(entry.path()).and_then(|link| symlink(link, &target))
            } else {
                fs::hard_link(entry.path(), &target).or_else(|_| fs::copy(entry.path(), &target).map(drop))
            };
            made.map_err(|e| failed(format!("copying to {}", target.display()), e))?;
        }
        Ok(())
    }
}

fn failed(doing: String, source: io::Error) -> VirtmeError {
    VirtmeError::Root { doing, source }
}

/// What the files are: their paths, sizes and times, links followed.
fn key(files: &[PathBuf]) -> Result<String, VirtmeError> {
    let mut hash = blake3::Hasher::new();
    hash.update(&RECIPE.to_le_bytes());
    for path in files {
        let meta = fs::metadata(path).map_err(|e| failed(format!("reading {}", path.display()), e))?;
        hash.update(path.as_os_str().as_encoded_bytes());
        for number in [meta.size(), meta.mtime() as u64, meta.mtime_nsec() as u64] {
            hash.update(&number.to_le_bytes());
        }
    }
    Ok(hash.finalize().to_hex()[..24].to_owned())
}

/// The libraries that programs name, and their loader.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>, VirtmeError> {
    let mut all = BTreeSet::new();
    for program in programs {
        let told = run(Cmd::new("ldd").arg(program), false)?;
        all.extend(told.lines().filter_map(library));
    }
    Ok(all)
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_once("=>").map_or(line, |(_, path)| path);
    let path = path.trim().split(" (0x").next()?;
    path.starts_with('/').then(|| path.into())
}

fn run(cmd: Cmd, must: bool) -> Result<String, VirtmeError> {
    let done = cmd
        .deadline(TOOL_WITHIN, "a tool of the host")
        .run()
        .map_err(|e| {
            failed(
                "running a tool of the host".to_owned(),
                io::Error::other(e.to_string()),
            )
        })?;
    if must && !done.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(failed(
            "running a tool of the host".to_owned(),
            io::Error::other(said),
        ));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn fill(tree: &Path, files: &[PathBuf]) -> Result<(), VirtmeError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |e| failed(format!("writing {}", path.display()), e)
    };
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755)).map_err(at(tree))?;
    for folder in FOLDERS {
        let path = tree.join(folder);
        fs::create_dir_all(&path).map_err(at(&path))?;
    }
    for (name, target) in LINKS {
        let path = tree.join(name);
        symlink(target, &path).map_err(at(&path))?;
    }
    for (name, content) in FILES {
        let path = tree.join(name);
        fs::write(&path, content).map_err(at(&path))?;
    }
    for file in files {
        let path = tree.join(inside(file));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        fs::copy(file, &path).map_err(at(&path))?;
    }
    let bin = tree.join("usr/bin");
    // Scripts get the shell that starts at once, with most tools inside; people get the other one.
    symlink("busybox", bin.join("sh")).map_err(at(&bin))?;
    for applet in run(Cmd::new(bin.join("busybox")).arg("--list"), true)?.lines() {
        let path = bin.join(applet);
        let is_name = Path::new(applet)
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        if is_name && !applet.contains('/') && fs::symlink_metadata(&path).is_err() {
            symlink("busybox", &path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Where a file of the host's goes: programs into one folder, the rest where it was.
fn inside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new("/"));
    if parent.ends_with("bin") || parent.ends_with("sbin") {
        return Path::new("usr/bin").join(name);
    }
    file.strip_prefix("/").unwrap_or(file).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        for (line, want) in [
            ("\tlinux-vdso.so.1 (0x00007ffd)", None),
            (
                "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)",
                Some("/lib/x86_64-linux-gnu/libc.so.6"),
            ),
            (
                "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)",
                Some("/lib64/ld-linux-x86-64.so.2"),
            ),
            ("\tlibgone.so => not found", None),
            ("\tnot a dynamic executable", None),
        ] {
            assert_eq!(library(line), want.map(PathBuf::from), "{line}");
        }
    }

    #[test]
    fn a_root_is_made_once_and_copied_for_each_machine() {
        if !Path::new(SSHD).is_file() || in_path("busybox").is_none() {
            eprintln!("not run: openssh-server or busybox is not installed");
            return;
        }
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("roots");
        let first = Prepared::make(&dir).unwrap();
        let again = Prepared::make(&dir).unwrap();
        assert_eq!(first.tree, again.tree);
        let entries = fs::read_dir(&dir).unwrap().count();
        assert_eq!(entries, 2, "the root and the lock");
        let copies = ["one", "two"].map(|name| tmp.path().join(name));
        for copy in &copies {
            first.copy(copy).unwrap();
        }
        for program in ["bash", "sh", "sshd", "busybox", "mount", "poweroff", "grep"] {
            let path = copies[0].join("usr/bin").join(program);
            assert!(path.exists(), "{program}");
        }
        // What a machine leaves in its copy is nobody else's.
        fs::write(copies[0].join("virtme-init-x"), "").unwrap();
        assert!(!copies[1].join("virtme-init-x").exists() && !first.tree.join("virtme-init-x").exists());
        let secret = fs::read_to_string(copies[0].join("etc/passwd")).unwrap();
        assert_eq!(secret.lines().count(), 3, "no user of the host's");
    }
}
