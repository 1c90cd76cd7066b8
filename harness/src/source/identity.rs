//! Identities: what a source is, found without reading all of it.
//!
//! Equal identities mean equal trees; that is what kernels are keyed by. None is taken from a name or a
//! time alone: a package has its version, a revision its tree hash, a tarball the hash of its bytes
//! (remembered as long as size, times and inode are the same), a folder the hash of its manifest.
//!
//! Not here: making the tree (that is `tree`).

use super::cache::Cache;
use super::job::Cancel;
use super::manifest::{self, Manifest, StatCache};
use super::{Source, SourceError, git};
use crate::host::{Cmd, ProcessError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a source is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Safe as a file name: `debian-linux-source-6.12-6.12.38-1`, `git-<tree>`, `dir-<hash>`, …
    pub id: String,
    /// What a reader wants to see: `linux-source-6.12 6.12.38-1`.
    pub shown: String,
    /// Where the files come from.
    pub origin: Origin,
}

/// Where the files of a source come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// An archive.
    Tarball(PathBuf),
    /// A tree of a git repository.
    GitTree {
        /// Where.
        repo: PathBuf,
        /// Its hash.
        tree: String,
    },
    /// A folder, as it was when it was looked at.
    Snapshot {
        /// Where.
        dir: PathBuf,
        /// What it held.
        manifest: Manifest,
    },
    /// A ready kernel.
    Image(PathBuf),
}

impl Identity {
    /// Finds out what a source is.
    ///
    /// # Errors
    /// [`SourceError`], with a hint where something has to be installed.
    pub fn of(source: &Source, cache: &Cache, cancel: &Cancel) -> Result<Self, SourceError> {
        match source {
            Source::Debian { package } => debian(package, cancel),
            Source::Tarball { path } => {
                let path = open(path)?;
                let hash = hash_remembered(&path, cache)?;
                let shown = format!("{} ({})", file_name(&path), &hash[..12]);
                Ok(Self {
                    id: format!("tarball-{}", &hash[..32]),
                    shown,
                    origin: Origin::Tarball(path),
                })
            }
            Source::Git { repo, rev } => {
                let repo = open(repo)?;
                let tree = git::tree_of(&repo, rev, cancel)?;
                let shown = format!("{} at {rev} (tree {})", repo.display(), &tree[..12]);
                Ok(Self {
                    id: format!("git-{tree}"),
                    shown,
                    origin: Origin::GitTree { repo, tree },
                })
            }
            Source::Dir { path } => folder(path, cache, cancel),
            Source::Image { path } => {
                let path = open(path)?;
                let hash = hash_remembered(&path, cache)?;
                let shown = format!("image {} ({})", file_name(&path), &hash[..12]);
                Ok(Self {
                    id: format!("image-{}", &hash[..32]),
                    shown,
                    origin: Origin::Image(path),
                })
            }
        }
    }

    /// A git repository that may hold versions of its files that patches were made on.
    #[must_use]
    pub fn repo(&self) -> Option<PathBuf> {
        match &self.origin {
            Origin::GitTree { repo, .. } => Some(repo.clone()),
            Origin::Snapshot { dir, .. } if dir.join(".git").exists() => Some(dir.clone()),
            Origin::Tarball(_) | Origin::Snapshot { .. } | Origin::Image(_) => None,
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

fn open(path: &Path) -> Result<PathBuf, SourceError> {
    path.canonicalize().map_err(|source| SourceError::Open {
        path: path.to_path_buf(),
        source,
    })
}

/// Asking the package database takes milliseconds.
const DPKG_DEADLINE: Duration = Duration::from_secs(30);

fn debian(package: &str, cancel: &Cancel) -> Result<Identity, SourceError> {
    // Debian Policy 5.6.1; also what makes the name safe in a path.
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    if package.len() < 2 || !package.bytes().all(legal) || !package.as_bytes()[0].is_ascii_alphanumeric() {
        return Err(SourceError::PackageName {
            package: package.to_owned(),
        });
    }
    let cmd = Cmd::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Version}"])
        .arg(package)
        .deadline(DPKG_DEADLINE, "the package database to answer");
    let not_installed = || SourceError::NotInstalled {
        package: package.to_owned(),
    };
    let done = match cancel.run(cmd) {
        Err(super::Stopped::Process(ProcessError::NotFound { .. })) => return Err(not_installed()),
        other => other?,
    };
    let answer = String::from_utf8_lossy(&done.stdout).into_owned();
    let Some(("installed", version)) = answer.trim().split_once(' ').filter(|_| done.success()) else {
        return Err(not_installed());
    };
    let tarball = PathBuf::from(format!("/usr/src/{package}.tar.xz"));
    if !tarball.is_file() {
        return Err(SourceError::NoTarball {
            package: package.to_owned(),
            tarball,
        });
    }
    let safe: String = version
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "+-.~".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    Ok(Identity {
        id: format!("debian-{package}-{safe}"),
        shown: format!("{package} {version}"),
        origin: Origin::Tarball(tarball),
    })
}

/// What an in-place build leaves at the top of a tree.
const BUILD_TRACES: [&str; 2] = [".config", "include/config"];

fn folder(path: &Path, cache: &Cache, cancel: &Cancel) -> Result<Identity, SourceError> {
    let dir = open(path)?;
    let files = if dir.join(".git").exists() {
        git::files(&dir, cancel)?
    } else {
        // Without git nothing says which files a build has left.
        if BUILD_TRACES.iter().any(|t| dir.join(t).exists()) {
            return Err(SourceError::BuiltInPlace { path: dir });
        }
        manifest::list(&dir)?
    };
    let stats_path = stats_of(cache, &dir);
    let reading = manifest::read(&dir, &files, &StatCache::load(&stats_path))?;
    if reading.hashed > 0 {
        // Only a memory: without it the next look takes longer.
        let _ = reading.stats.save(&stats_path);
    }
    let hash = reading.manifest.id().to_hex();
    Ok(Identity {
        id: format!("dir-{}", &hash[..32]),
        shown: format!("{} as it was ({})", dir.display(), &hash[..12]),
        origin: Origin::Snapshot {
            dir,
            manifest: reading.manifest,
        },
    })
}

fn stats_of(cache: &Cache, path: &Path) -> PathBuf {
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    cache.root().join("stat").join(&name[..16])
}

/// Hash of a big file, read again only where it may have changed.
fn hash_remembered(path: &Path, cache: &Cache) -> Result<String, SourceError> {
    let (dir, name) = (
        path.parent().unwrap_or(Path::new("/")),
        PathBuf::from(file_name(path)),
    );
    let stats_path = stats_of(cache, path);
    let reading = manifest::read(dir, std::slice::from_ref(&name), &StatCache::load(&stats_path))?;
    if reading.hashed > 0 {
        let _ = reading.stats.save(&stats_path);
    }
    match reading.manifest.entries.get(&name) {
        Some(entry) => Ok(blake3::Hash::from_bytes(entry.hash).to_hex().to_string()),
        None => Err(SourceError::Open {
            path: path.to_path_buf(),
            source: std::io::Error::other("it is not a file"),
        }),
    }
}
