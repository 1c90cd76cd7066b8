//! Kernels: a source, series and fragments made into a bzImage, once, and found again by content.
//!
//! [`ensure`] computes a key from everything that decides what comes out, looks into the cache, and builds
//! only what is not there. A build starts from a *base*: the bare source, configured and built in a
//! long-lived worktree. A kernel with series is built in a throwaway overlay over that base, in the
//! sandbox, so that make compiles only what the series changes and nothing that untrusted patches or
//! Makefiles write is ever used for another kernel.
//!
//! Blame lives in the types: [`KernelError::Apply`], [`KernelError::Config`] and [`KernelError::Build`] are
//! findings about series, fragments or source; [`KernelError::Infra`] is ours or the host's.
//!
//! Not here: where sources come from and how patches are applied (`source`), and booting (`machine`).

mod base;
mod build;
mod failure;
mod fit;
pub mod fragment;
mod keep;
mod ladder;
pub mod lines;
mod make;
mod near;
mod record;
mod toolchain;
mod warning;
mod worktree;

pub use crate::source::Cache;
pub use failure::{Blamed, BuildFailure};
pub use fragment::{FragmentError, MissingLine};
pub use ladder::{Ladder, climb, recompile};
pub use record::{KernelRecord, RECIPE, SeriesRecord};
pub use toolchain::Toolchain;
pub use warning::{Warning, compiled, warnings};

use crate::host::Mode;
use crate::source::cache::{Held, failed};
use crate::source::manifest::ManifestError;
use crate::source::{
    ApplyError, ApplyFailure, CacheError, Cancel, Identity, Origin, Series, Shelf, Source, SourceError,
    Stopped,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What kernel is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tree before patches.
    pub source: Source,
    /// What goes onto it. Racepoints are applied last whatever their place here.
    pub series: Vec<Series>,
    /// Fragments, in order.
    pub fragments: Vec<PathBuf>,
    /// How many compilers run at once; the host's cores, usually.
    pub jobs: usize,
    /// Whether patches and Makefiles are shut in.
    pub sandbox: Mode,
}

/// One thing that a build is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildStep {
    /// Somebody else makes the same thing, or uses what it needs.
    Waiting,
    /// The source is made into files.
    Unpacking {
        /// Which.
        source: String,
    },
    /// Patches are applied.
    Applying {
        /// How many.
        patches: usize,
    },
    /// The worktree is moved.
    Moved {
        /// How many files differed.
        files: usize,
    },
    /// The configuration is made.
    Configuring,
    /// Something was compiled or linked.
    Compiling {
        /// `CC mm/zswap.o`.
        what: String,
        /// Steps so far.
        done: u64,
        /// As many as last time, where there was one.
        total: Option<u64>,
    },
    /// The finished kernel goes into the cache.
    Storing,
}

/// Told of every step, from whatever thread it happens on.
pub type Progress = Arc<dyn Fn(BuildStep) + Send + Sync>;

/// A kernel that is there. While this lives, it is not removed from the cache.
#[derive(Debug)]
pub struct Built {
    /// Its content key.
    pub key: String,
    /// Folder that holds `bzImage`, `kernel.json` and, unless it is a ready image, `vmlinux`, `config`
    /// and `build.log`.
    pub dir: PathBuf,
    /// What it is made of.
    pub record: KernelRecord,
    /// Whether it was there before.
    pub cached: bool,
    /// Seconds that making it took now; none where cached.
    pub build_s: Option<f64>,
    _held: Held,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum KernelError {
    /// A series does not apply.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Apply(Box<ApplyFailure>),
    /// Asked-for configuration did not come.
    #[error("{} of the configuration lines asked for {} not in the final config", .0.len(), if .0.len() == 1 { "is" } else { "are" })]
    Config(#[related] Vec<MissingLine>),
    /// The kernel does not build.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Build(Box<BuildFailure>),
    /// Fragments are wrong in themselves.
    #[error("the configuration fragments do not fit together")]
    Fragments(#[related] Vec<FragmentError>),
    /// The source cannot be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(Box<SourceError>),
    /// A series is made for other sources.
    #[error("the series {series} is made for {fits}, not for a {release} kernel")]
    #[diagnostic(help("if it does fit, say so: add {release} to `fits` in its series.yaml"))]
    DoesNotFit {
        /// Which.
        series: String,
        /// What it fits, as written.
        fits: String,
        /// What the source is.
        release: String,
    },
    /// A ready image was asked to carry patches or configuration.
    #[error("a ready image cannot be given series or configuration fragments")]
    #[diagnostic(help("name the source that it was built from instead"))]
    ImageIsReady,
    /// We or the host failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Infra(#[from] Infra),
}

/// What is wrong with us or the host.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Infra {
    /// The cache folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// A tool could not be run, or we were told to stop.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stopped(#[from] Stopped),
    /// A tree could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// No space.
    #[error("the disk is full")]
    #[diagnostic(help("`patchproof cache prune` makes room; the build's output is in {log}", log = .log.display()))]
    DiskFull {
        /// The build's output.
        log: PathBuf,
    },
    /// No memory.
    #[error("the compiler got no memory, with {jobs} running at once")]
    #[diagnostic(help("build with fewer jobs"))]
    OutOfMemory {
        /// How many ran.
        jobs: usize,
    },
    /// Something that a kernel build needs is not installed.
    #[error("{what} is not installed")]
    #[diagnostic(help("install it as root: `apt-get install {package}`"))]
    MissingTool {
        /// A tool or a header.
        what: String,
        /// Where Debian has it.
        package: &'static str,
    },
    /// The build made something that is not a kernel.
    #[error("the build ended well, but {path} is not a file", path = .path.display())]
    NoResult {
        /// What was expected.
        path: PathBuf,
    },
}

impl KernelError {
    /// Whether it is only that somebody said stop.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        match self {
            Self::Infra(Infra::Stopped(Stopped::OnRequest)) => true,
            Self::Source(source) => matches!(**source, SourceError::Stopped(Stopped::OnRequest)),
            Self::Infra(_)
            | Self::Apply(_)
            | Self::Config(_)
            | Self::Build(_)
            | Self::Fragments(_)
            | Self::DoesNotFit { .. }
            | Self::ImageIsReady => false,
        }
    }
}

impl From<CacheError> for KernelError {
    fn from(error: CacheError) -> Self {
        Infra::Cache(error).into()
    }
}

impl From<Stopped> for KernelError {
    fn from(error: Stopped) -> Self {
        Infra::Stopped(error).into()
    }
}

impl From<ManifestError> for KernelError {
    fn from(error: ManifestError) -> Self {
        Infra::Manifest(error).into()
    }
}

impl From<SourceError> for KernelError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Stopped(stopped) => stopped.into(),
            SourceError::Cache(cache) => cache.into(),
            other @ (SourceError::PackageName { .. }
            | SourceError::NotInstalled { .. }
            | SourceError::NoTarball { .. }
            | SourceError::Open { .. }
            | SourceError::Revision { .. }
            | SourceError::Git { .. }
            | SourceError::DiskFull { .. }
            | SourceError::Unpack { .. }
            | SourceError::NotATree { .. }
            | SourceError::BuiltInPlace { .. }
            | SourceError::LinkEscapes { .. }
            | SourceError::Changing { .. }
            | SourceError::Manifest(_)) => Self::Source(Box::new(other)),
        }
    }
}

impl From<ApplyError> for KernelError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Failure(failure) => Self::Apply(failure),
            ApplyError::Cache(error) => error.into(),
            ApplyError::Manifest(error) => error.into(),
            ApplyError::Stopped(error) => error.into(),
        }
    }
}

/// Finds or makes a kernel. Blocks (async callers use `spawn_blocking`); two callers that want the same
/// kernel at once get one build.
///
/// # Errors
/// [`KernelError`]; its kinds say whose fault it is.
pub fn ensure(
    request: &Request,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Built, KernelError> {
    climb(&mut Ladder::default(), request, cache, progress, cancel)
}

/// [`ensure`], with the build folder of the kernel before it.
fn ensure_on(
    ladder: &mut Ladder,
    request: &Request,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Built, KernelError> {
    let identity = Identity::of(&request.source, cache, cancel)?;
    if let Origin::Image(path) = &identity.origin {
        if !request.series.is_empty() || !request.fragments.is_empty() {
            return Err(KernelError::ImageIsReady);
        }
        let key = identity.id.clone();
        return find_or(&key, cache, progress, cancel, || {
            make::ready_image(path, &identity, request, cache)
        });
    }
    let merged = fragment::merge(&request.fragments).map_err(KernelError::Fragments)?;
    let toolchain = Toolchain::find(cancel).map_err(missing_compiler)?;
    let key = record::key(request, &identity, &merged, &toolchain);
    let wanted = make::Wanted {
        request,
        identity: &identity,
        merged: &merged,
        toolchain: &toolchain,
        key: &key,
    };
    let built = find_or(&key, cache, progress, cancel, || {
        make::kernel(&wanted, ladder, cache, progress, cancel)
    })?;
    if !built.cached {
        // What is held here stays; failing to tidy up is no reason to lose a kernel.
        let _ = cache.prune(cache.limit_bytes());
    }
    Ok(built)
}

fn missing_compiler(stopped: Stopped) -> KernelError {
    if let Stopped::Process(crate::host::ProcessError::NotFound { program }) = &stopped {
        let what = program.display().to_string();
        return Infra::MissingTool {
            what,
            package: "gcc binutils",
        }
        .into();
    }
    stopped.into()
}

/// Takes a kernel from the cache, or makes it under its lock.
fn find_or(
    key: &str,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
    mut make: impl FnMut() -> Result<f64, KernelError>,
) -> Result<Built, KernelError> {
    let mut build_s = None;
    loop {
        cancel.check()?;
        let held = cache.share(Shelf::Kernels, key)?;
        let dir = cache.place(Shelf::Kernels, key);
        if let Some(record) = read_record(&dir) {
            cache.touch(Shelf::Kernels, key);
            return Ok(Built {
                key: key.to_owned(),
                dir,
                record,
                cached: build_s.is_none(),
                build_s,
                _held: held,
            });
        }
        drop(held);
        progress(BuildStep::Waiting);
        let _held = cache.lock(Shelf::Kernels, key)?;
        if read_record(&dir).is_none() {
            build_s = Some(make()?);
        }
    }
}

fn read_record(dir: &Path) -> Option<KernelRecord> {
    let record: KernelRecord = serde_json::from_slice(&std::fs::read(dir.join("kernel.json")).ok()?).ok()?;
    (dir.join("bzImage").is_file() && record.recipe == RECIPE).then_some(record)
}

/// Writes a file of a kernel that is being put together.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), KernelError> {
    let path = dir.join(name);
    Ok(std::fs::write(&path, bytes).map_err(failed("write", &path))?)
}
