//! Sources and series: a kernel tree before patches, and the patches.
//!
//! A [`Source`] has an [`Identity`] that is cheap to find (a package version, a git tree hash, the hash of
//! a known tarball, a manifest of a folder whose files did not change since they were last looked at), by
//! which everything later is keyed, and can be made into a [`Pristine`] tree in the cache. A [`Series`] is
//! read from a folder, an mbox or a patch file, and [`Apply`] says what it does to a tree without doing it
//! to one. Patches come from anybody: see [`patch`] and [`apply`] for what they are kept from.
//!
//! Not here: configuration, building, and what a kernel is (that is `kernel`).

pub mod apply;
pub mod cache;
mod delta;
pub(crate) mod git;
mod gitlinked;
mod gitout;
mod identity;
mod job;
pub(crate) mod kconfig;
pub mod manifest;
pub(crate) mod mbox;
pub mod patch;
mod range;
pub(crate) mod room;
pub(crate) mod series;
pub mod thread;
pub(crate) mod tree;

pub use crate::host::Mode;
pub use apply::{Apply, ApplyError};
pub use cache::{Cache, CacheError, DEFAULT_LIMIT_BYTES, Listed, Shelf};
pub use delta::{ApplyFailure, Delta, InPatch, Inexact, Note, Racepoints};
pub use identity::{Identity, Origin};
pub use job::{Cancel, Stopped};
pub use mbox::{Letter, Mailbox};
pub use range::{Commit, Ends, commit, range, revert};
pub use series::{Patch, Series, SeriesError, SeriesKind, SeriesProblem, in_order};
pub use tree::Pristine;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a kernel tree comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A Debian package that puts a tarball under `/usr/src`.
    Debian {
        /// `linux-source-6.12`.
        package: String,
    },
    /// A working tree, taken as it is.
    Dir {
        /// Where.
        path: PathBuf,
    },
    /// A tarball that tar can read.
    Tarball {
        /// Where.
        path: PathBuf,
    },
    /// A revision of a git repository.
    Git {
        /// Where: a working tree or a bare repository.
        repo: PathBuf,
        /// Whatever `git rev-parse` understands.
        rev: String,
    },
    /// A ready bzImage: nothing is built.
    Image {
        /// Where.
        path: PathBuf,
    },
}

/// Why a source cannot be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SourceError {
    /// Not a package name.
    #[error("{package:?} is not the name of a Debian package")]
    #[diagnostic(help("name the source package, `linux-source-6.12` for instance"))]
    PackageName {
        /// What was given.
        package: String,
    },
    /// The package is not there.
    #[error("the package {package} is not installed")]
    #[diagnostic(help("install it as root: `apt-get install {package}`"))]
    NotInstalled {
        /// Which.
        package: String,
    },
    /// The package is there, its tarball is not.
    #[error("the package {package} is installed, but {tarball} is not there", tarball = .tarball.display())]
    #[diagnostic(help(
        "name the package that holds the tarball (`linux-source-6.12`, not `linux-source`), or put it back: `apt-get install --reinstall {package}`"
    ))]
    NoTarball {
        /// Which.
        package: String,
        /// What it should hold.
        tarball: PathBuf,
    },
    /// Something named is not there.
    #[error("could not open {path}", path = .path.display())]
    Open {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// git does not know the revision.
    #[error("{rev:?} is not a revision of {repo}", repo = .repo.display())]
    #[diagnostic(help("fetch it first: nothing is fetched here"))]
    Revision {
        /// Of which repository.
        repo: PathBuf,
        /// What was given.
        rev: String,
    },
    /// git failed.
    #[error("git could not read {repo}: {said}", repo = .repo.display())]
    Git {
        /// Which repository.
        repo: PathBuf,
        /// In git's words.
        said: String,
    },
    /// No space for the tree.
    #[error("the disk is full: {what} needs about 2 GiB in the cache folder", what = .what.display())]
    #[diagnostic(help("`patchproof cache prune` makes room; PATCHPROOF_CACHE_DIR names another folder"))]
    DiskFull {
        /// What was unpacked.
        what: PathBuf,
    },
    /// tar failed.
    #[error("could not unpack {tarball}: {said}", tarball = .tarball.display())]
    Unpack {
        /// Which.
        tarball: PathBuf,
        /// In tar's words.
        said: String,
    },
    /// No kernel tree.
    #[error("this is not a kernel tree: {path}", path = .path.display())]
    #[diagnostic(help(
        "a kernel tree has Makefile and Kconfig at its top; an image cannot be patched or built"
    ))]
    NotATree {
        /// What is missing or is something else.
        path: PathBuf,
    },
    /// The tree has been built in.
    #[error("{path} has been built in place", path = .path.display())]
    #[diagnostic(help(
        "run `make mrproper` there, or make it a git tree, so that files that git ignores can be told from yours"
    ))]
    BuiltInPlace {
        /// Where.
        path: PathBuf,
    },
    /// A link that leads out.
    #[error("{path} is a link to {target}, which is not inside the tree", path = .path.display(), target = .target.display())]
    LinkEscapes {
        /// Which.
        path: PathBuf,
        /// To where.
        target: PathBuf,
    },
    /// A folder that does not hold still.
    #[error("{path} changed while it was copied", path = .path.display())]
    #[diagnostic(help("try again when nothing writes to that tree, or name a git revision"))]
    Changing {
        /// Which file.
        path: PathBuf,
    },
    /// A tree could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(manifest::ManifestError),
    /// The cache folder's fault.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// A tool could not be run, or we were told to stop.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stopped(#[from] Stopped),
}
