//! What a matrix file says, typed and checked. Nothing here can be made from a file that has an error.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guest_tests::catalogue::Workload;
use guest_tests::protocol::Arm;
use indexmap::IndexMap;

use super::axes::{Axis, Choice};
use super::finding::{FindingPattern, Pattern};
use super::problem::{Problem, SpecError};

/// A matrix file.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The file's text: a run keeps it, and errors of the plan show its lines.
    pub text: Arc<str>,
    /// What a machine or case that says nothing takes.
    pub defaults: Defaults,
    /// Kernels by name, `like:` worked in.
    pub kernels: IndexMap<String, KernelSpec>,
    /// Machines by name.
    pub machines: IndexMap<String, Arc<MachineSpec>>,
    /// Cases by name.
    pub cases: IndexMap<String, Arc<CaseSpec>>,
    /// Which of them are crossed.
    pub matrix: Matrix,
    /// What is expected of cells; of several that match, the last one counts.
    pub expect: Vec<Expectation>,
}

impl Spec {
    /// Errors that were found after the file was read, shown at its lines.
    #[must_use]
    pub fn error(&self, problems: Vec<Problem>) -> SpecError {
        SpecError::new(&self.path, &self.text, problems)
    }
}

/// What a machine or case that says nothing takes: the map `defaults`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Of machines; `qemu` unless given.
    pub backend: Backend,
    /// Of machines; `auto` unless given.
    pub accel: Accel,
    /// Of machines; 2 unless given.
    pub cpus: u32,
    /// Of machines, in bytes; 300 MiB unless given.
    pub memory: u64,
    /// Of machines, in bytes; none unless given.
    pub swap: Option<u64>,
    /// Of machines, in bytes; none unless given.
    pub data: Option<u64>,
    /// Of machines; none unless given.
    pub boot_args: Vec<String>,
    /// Of cases; 1 unless given.
    pub seed: u64,
    /// Of cases; 30 s unless given.
    pub budget: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            backend: Backend::Qemu,
            accel: Accel::Auto,
            cpus: 2,
            memory: 300 << 20,
            swap: None,
            data: None,
            boot_args: Vec::new(),
            seed: 1,
            budget: Duration::from_secs(30),
        }
    }
}

/// A kernel: a source, what is put on it, and how it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSpec {
    /// The tree before patches, or a ready image.
    pub source: SourceSpec,
    /// Fragments, in the order in which they are merged; empty for an image only.
    pub kconfigs: Vec<Reference>,
    /// Series, in the order in which they are applied.
    pub series: Vec<Reference>,
    /// Whether the patches are the user's own: an untrusted kernel's guest has no network and no file of the host.
    pub trusted: bool,
}

/// A kernel tree before patches. Paths are absolute: a relative one starts at the matrix file's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A distribution package: `{ debian: linux-source-6.12 }`.
    Debian {
        /// The package's name.
        package: String,
    },
    /// A directory, which may be dirty: `{ dir: ../linux }`.
    Dir {
        /// Where.
        path: PathBuf,
    },
    /// A tarball: `{ tarball: linux-6.12.tar.xz }`.
    Tarball {
        /// Where.
        path: PathBuf,
    },
    /// A repository and a revision: `{ git: URL, rev: v6.12 }`.
    Git {
        /// A URL (https, http, ssh, git or file), `user@host:path`, or an absolute path.
        repo: String,
        /// A tag, branch or commit; never starts with `-`.
        rev: String,
    },
    /// A ready bzImage, nothing is built: `{ image: bzImage }`.
    Image {
        /// Where.
        path: PathBuf,
    },
}

/// Something that has a name in the project's folders, or lies in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By name: a fragment of `kconfigs/`, a folder of `patches/`.
    Named(String),
    /// By path, absolute: what was written with a `/` in it.
    Path(PathBuf),
}

/// Which program boots the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// QEMU, run by us.
    Qemu,
    /// virtme-ng.
    VirtmeNg,
    /// Whichever the host has; the cell's id says `auto`.
    Auto,
}

impl Backend {
    /// The word of YAML and of cell ids.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::VirtmeNg => "virtme-ng",
            Self::Auto => "auto",
        }
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accel {
    /// KVM where it really boots a kernel, else emulation.
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Software emulation.
    Tcg,
}

impl Accel {
    /// The word of YAML.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// The VM a kernel boots in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// What boots it.
    pub backend: Backend,
    /// What runs its instructions.
    pub accel: Accel,
    /// CPUs, 1 to 64.
    pub cpus: u32,
    /// Memory in bytes: whole MiB, at least 64 MiB.
    pub memory: u64,
    /// Size of the swap disk in bytes: whole pages, at least 64 KiB; `None` for no such disk.
    pub swap: Option<u64>,
    /// Size of the data disk in bytes, on which workloads make a file system: whole pages, 8 to 128 MiB;
    /// `None` for no such disk.
    pub data: Option<u64>,
    /// Words added to the kernel's command line; letters, digits and `_-.,=:/@+%` only.
    pub boot_args: Vec<String>,
}

/// A workload with its parameters, a seed and a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseSpec {
    /// What runs.
    pub workload: Workload,
    /// Seed of every random choice of the workload.
    pub seed: u64,
    /// How long the pressure is kept up, in guest time.
    pub budget: Duration,
}

/// One setting of the racepoint axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RacepointSetting {
    /// `off`, what `name:` says, or the racepoints' names joined by `-`.
    pub name: String,
    /// What is armed; empty for `off`.
    pub arms: Vec<Arm>,
}

impl RacepointSetting {
    /// Nothing is armed.
    #[must_use]
    pub fn off() -> Self {
        Self {
            name: "off".to_owned(),
            arms: Vec::new(),
        }
    }
}

/// Which values are crossed.
///
/// `exclude` and `include` mean what they mean in a GitHub Actions matrix; see [`crate::plan`].
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// The axes that are given, in the order in which they are crossed, each with its values.
    pub axes: Vec<(Axis, Vec<Choice>)>,
    /// How often each cell is repeated, 1 to 1000.
    pub repeat: u32,
    /// Cells taken out.
    pub exclude: Vec<Exclude>,
    /// What is added to cells, and cells added.
    pub include: Vec<Include>,
    /// Where the matrix stands, in bytes of the file.
    pub at: Range<usize>,
}

impl Matrix {
    /// The values of an axis; `None` where it is not given.
    #[must_use]
    pub fn axis(&self, axis: &Axis) -> Option<&[Choice]> {
        let found = self.axes.iter().find(|(a, _)| a == axis);
        found.map(|(_, values)| values.as_slice())
    }
}

/// Which cells an `exclude` or `expect` entry is about: of every axis named, one of the values must be the cell's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Axes with the names of values; none matches every cell.
    pub wants: Vec<(Axis, Vec<String>)>,
}

impl Filter {
    /// Whether a cell is meant whose value on an axis is called what `name` says, if it has one.
    pub fn matches<'c>(&self, name: impl Fn(&Axis) -> Option<&'c str>) -> bool {
        self.wants
            .iter()
            .all(|(axis, names)| name(axis).is_some_and(|own| names.iter().any(|n| n == own)))
    }
}

/// An entry of `exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclude {
    /// Which combinations go.
    pub filter: Filter,
    /// Where it stands, in bytes of the file.
    pub at: Range<usize>,
}

/// An entry of `include`.
#[derive(Debug, Clone, PartialEq)]
pub struct Include {
    /// Values, at most one of an axis.
    pub sets: Vec<(Axis, Choice)>,
    /// How often, instead of the matrix's `repeat`.
    pub repeat: Option<u32>,
    /// Where it stands, in bytes of the file.
    pub at: Range<usize>,
}

/// An entry of `expect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Which cells it is about.
    pub filter: Filter,
    /// Which verdict is right.
    pub verdict: ExpectedVerdict,
    /// With `fail`: at least one of these must match the finding; empty for any finding.
    pub finding: Vec<FindingPattern>,
    /// Searched for in why the cell did not pass; none for any reason.
    pub reason: Option<Pattern>,
    /// Where it stands, in bytes of the file.
    pub at: Range<usize>,
}

/// The verdict that is right for a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVerdict {
    /// Nothing found, and enough exercised.
    Pass,
    /// Found.
    Fail,
    /// Not exercised enough.
    Inconclusive,
    /// The kernel lacks the feature.
    Skip,
    /// The suite, the harness or the host broke: what a canary is expected to bring about.
    Infra,
    /// Whatever comes, infrastructure errors apart: it is reported only.
    Any,
}

impl ExpectedVerdict {
    /// The word of YAML.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Skip => "skip",
            Self::Infra => "infra",
            Self::Any => "any",
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl std::fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian { package } => f.write_str(package),
            Self::Dir { path } | Self::Tarball { path } | Self::Image { path } => {
                write!(f, "{}", path.display())
            }
            Self::Git { repo, rev } => write!(f, "{repo} at {rev}"),
        }
    }
}
