//! What is asked of a git repository: a revision's tree, its files, and where its objects lie.
//!
//! The repository is only ever read, and its hooks and file-system monitor are not run.

use super::SourceError;
use super::job::{Cancel, Stopped};
use super::manifest::ManifestError;
use crate::host::{Cmd, Finished, Output};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reading a whole kernel tree out of a pack takes seconds.
const GIT_DEADLINE: Duration = Duration::from_secs(600);

/// git on a repository that is only read, and whose hooks and configuration of the host's are not used.
pub(super) fn git(repo: &Path) -> Cmd {
    Cmd::new("git")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "safe.directory=*",
        ])
        .args(["-c", "core.autocrlf=false", "-c", "core.symlinks=true", "-C"])
        .arg(repo)
        .deadline(GIT_DEADLINE, "git to read the repository")
}

pub(super) fn said(done: &Finished) -> String {
    String::from_utf8_lossy(&done.stderr).trim().to_owned()
}

pub(super) fn failed(repo: &Path, done: &Finished) -> SourceError {
    SourceError::Git {
        repo: repo.to_path_buf(),
        said: said(done),
    }
}

/// The hash of the tree of a revision.
pub(super) fn tree_of(repo: &Path, rev: &str, cancel: &Cancel) -> Result<String, SourceError> {
    let wanted = format!("{rev}^{{tree}}");
    let cmd = git(repo)
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(wanted);
    let done = cancel.run(cmd)?;
    let hash = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if done.success() && hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hash);
    }
    if !repo.exists() || !said(&done).is_empty() {
        return Err(failed(repo, &done));
    }
    Err(SourceError::Revision {
        repo: repo.to_path_buf(),
        rev: rev.to_owned(),
    })
}

/// Writes every file of a tree below `to`. `index` is a file that does not exist yet.
pub(super) fn checkout(
    repo: &Path,
    tree: &str,
    to: &Path,
    index: &Path,
    cancel: &Cancel,
) -> Result<(), SourceError> {
    let prefix = format!("{}/", to.display());
    let steps: [&[&OsStr]; 2] = [
        &["read-tree".as_ref(), tree.as_ref()],
        &[
            "checkout-index".as_ref(),
            "--all".as_ref(),
            "--prefix".as_ref(),
            prefix.as_ref(),
        ],
    ];
    for step in steps {
        // Joined as git wants it: `--prefix=DIR/`.
        let cmd = match step {
            [one, two, _, prefix] => {
                let mut joined = std::ffi::OsString::from("--prefix=");
                joined.push(prefix);
                git(repo).arg(*one).arg(*two).arg(joined)
            }
            other => git(repo).args(other.iter().copied()),
        };
        let done = cancel.run(cmd.env("GIT_INDEX_FILE", index))?;
        if !done.success() {
            return Err(failed(repo, &done));
        }
    }
    Ok(())
}

/// Most bytes of patches that are taken from a repository at once.
const PATCHES_BYTES_MAX: usize = 256 << 20;

/// The commits of a range as an mbox, oldest first, without merges.
pub(crate) fn format_patch(
    repo: &Path,
    from: &str,
    to: &str,
    cancel: &Cancel,
) -> Result<Vec<u8>, SourceError> {
    for rev in [from, to] {
        tree_of(repo, rev, cancel)?;
    }
    let cmd = git(repo)
        .args([
            "format-patch",
            "--stdout",
            "--full-index",
            "--binary",
            "--no-signature",
        ])
        .args([
            "--no-ext-diff",
            "--no-textconv",
            "--numbered",
            "--no-attach",
            "--no-cover-letter",
        ])
        .args([
            "--no-color",
            "--no-notes",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            "--end-of-options",
        ])
        .arg(format!("{from}..{to}"))
        .stdout(Output::Capture {
            limit: PATCHES_BYTES_MAX,
        });
    let done = cancel.run(cmd)?;
    if done.success() {
        Ok(done.stdout)
    } else {
        Err(failed(repo, &done))
    }
}

/// Who git says the user is: a name, and an address where one is set.
pub(crate) fn user(dir: &Path) -> Option<super::Mailbox> {
    let ask = |key: &str| {
        let cmd = Cmd::new("git")
            .args(["config", "--get", key])
            .cwd(dir)
            .deadline(GIT_DEADLINE, "git to say who the user is");
        let done = cmd.run().ok().filter(Finished::success)?;
        Some(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let address = ask("user.email").filter(|address| super::mbox::is_address(address))?;
    let name = ask("user.name").unwrap_or_default();
    Some(super::Mailbox { name, address })
}

/// The files of a working tree that belong to it: tracked, or new and not ignored.
pub(super) fn files(dir: &Path, cancel: &Cancel) -> Result<Vec<PathBuf>, SourceError> {
    let cmd = git(dir)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .stdout(Output::Capture { limit: 256 << 20 });
    let done = cancel.run(cmd)?;
    if !done.success() {
        return Err(failed(dir, &done));
    }
    let mut files: Vec<PathBuf> = done
        .stdout
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// The folders that hold a repository's objects, borrowed ones included.
pub(super) fn object_dirs(repo: &Path, cancel: &Cancel) -> Result<Vec<PathBuf>, Stopped> {
    let cmd = git(repo).args(["rev-parse", "--path-format=absolute", "--git-path", "objects"]);
    let done = cancel.run(cmd)?;
    let mut dirs: Vec<PathBuf> = Vec::new();
    let line = done.stdout.trim_ascii_end();
    if !done.success() || line.is_empty() {
        return Ok(dirs);
    }
    dirs.push(OsStr::from_bytes(line).into());
    // Bounded, since alternates may point at each other.
    let mut next = 0;
    while next < dirs.len() && dirs.len() < 16 {
        let more = std::fs::read(dirs[next].join("info/alternates")).unwrap_or_default();
        for path in more
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty() && !l.starts_with(b"#"))
        {
            let path = dirs[next].join(OsStr::from_bytes(path));
            if path.is_dir() && !dirs.contains(&path) {
                dirs.push(path);
            }
        }
        next += 1;
    }
    Ok(dirs)
}

impl From<ManifestError> for SourceError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}
