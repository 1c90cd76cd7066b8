//! The workloads: names, typed parameters with defaults and limits, exercise floors, and what each
//! one needs of a kernel. Defined once, here: the host checks YAML against it and reads floors from
//! it, the guest runs it.
//!
//! Each workload's parameters are a struct made by [`params!`], which also yields a table
//! ([`ParamInfo`]) so that a wrong name, kind or value is told before anything is built.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

pub mod antagonists;
mod canary;
mod khugepaged_collapse;
mod uffd_move;
mod zram_writeback;
mod zswap_pressure;
pub use canary::Canary;
pub use khugepaged_collapse::KhugepagedCollapse;
pub use uffd_move::UffdMove;
pub use zram_writeback::ZramWriteback;
pub use zswap_pressure::ZswapPressure;

/// What a parameter's value is; decides how YAML spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of bytes: `4MiB`, `100KiB`.
    Bytes,
    /// A whole number.
    Count,
    /// `true` or `false`.
    Bool,
    /// One of a list of words.
    Word(&'static [&'static str]),
    /// Some of a list of words, joined by `+`; or `none`, `all`, or `drawn` (by the seed, anew each round).
    Set(&'static [&'static str]),
}

/// A parameter's value, before it is put into its struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a [`Kind::Bytes`].
    Bytes(u64),
    /// Of a [`Kind::Count`].
    Count(u64),
    /// Of a [`Kind::Bool`].
    Bool(bool),
    /// Of a [`Kind::Word`] or a [`Kind::Set`].
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(n) if *n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            Self::Bytes(n) if *n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            Self::Bytes(n) => write!(f, "{n}B"),
            Self::Count(n) => write!(f, "{n}"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Word(w) => write!(f, "{w}"),
        }
    }
}

/// One row of a workload's parameter table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamInfo {
    /// Name, as in YAML.
    pub name: &'static str,
    /// What it is for, one line.
    pub doc: &'static str,
    /// How it is spelled.
    pub kind: Kind,
    /// Smallest value of a number (bytes or count).
    pub min: u64,
    /// Largest value of a number.
    pub max: u64,
    /// Default.
    pub default: Value,
}

impl ParamInfo {
    /// Checks one value against this row.
    ///
    /// # Errors
    /// A fragment that fits after "parameter `name` ": what is wrong and what is allowed.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let range = |n: u64, show: fn(u64) -> Value| {
            if (self.min..=self.max).contains(&n) {
                Ok(())
            } else {
                Err(format!(
                    "must be from {} to {}, not {}",
                    show(self.min),
                    show(self.max),
                    show(n)
                ))
            }
        };
        match (self.kind, value) {
            (Kind::Bytes, Value::Bytes(n)) => range(*n, Value::Bytes),
            (Kind::Count, Value::Count(n)) => range(*n, Value::Count),
            (Kind::Bool, Value::Bool(_)) => Ok(()),
            (Kind::Word(words), Value::Word(w)) if words.contains(&w.as_str()) => Ok(()),
            (Kind::Word(words), Value::Word(w)) => {
                Err(format!("must be one of {}, not {w}", words.join(", ")))
            }
            (Kind::Set(words), Value::Word(w)) => match antagonists::unknown(w, words) {
                None => Ok(()),
                Some(wrong) => Err(format!(
                    "must be none, drawn, all, or some of {} joined by +, not {wrong}",
                    words.join(", ")
                )),
            },
            (Kind::Bytes | Kind::Count | Kind::Bool | Kind::Word(_) | Kind::Set(_), _) => {
                Err(format!("must be {}, not {value}", self.kind))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "a size such as 4MiB"),
            Self::Count => write!(f, "a whole number"),
            Self::Bool => write!(f, "true or false"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Set(words) => write!(f, "none, drawn, all, or some of {} joined by +", words.join(", ")),
        }
    }
}

/// What a workload counts: proof that the paths under test were really taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Counter {
    /// Pages compared with the model, in full.
    PagesVerified,
    /// Pages verified in full after they really left (by the pagemap) and came back.
    RoundTrips,
    /// Pages rewritten with a new generation.
    PagesWritten,
    /// `pswpout` of /proc/vmstat.
    SwapOut,
    /// `pswpin` of /proc/vmstat.
    SwapIn,
    /// `zswpout` of /proc/vmstat.
    ZswapStore,
    /// `zswpin` of /proc/vmstat.
    ZswapLoad,
    /// Steps of the engine.
    EngineSteps,
    /// Pages that the engine compared with the model.
    EnginePagesVerified,
    /// Of those, pages that were swapped out before.
    EngineRoundTrips,
    /// Different compositions of a page's state, an operation and a pressure that the engine met.
    TriplesCovered,
    /// Steps of the engine whose end a thread on another CPU saw.
    EngineWatched,
    /// `zswpwb` of /proc/vmstat: pages written back from zswap to the swap device.
    ZswapWriteback,
    /// Write requests of the zram devices.
    ZramStore,
    /// Read requests of the zram devices.
    ZramLoad,
    /// `bd_writes` of bd_stat: pages written to zram's backing device.
    ZramWriteback,
    /// `bd_reads` of bd_stat: pages read from it.
    ZramBackingLoad,
    /// Slots seen recompressed, in samples of block_state.
    ZramRecompress,
    /// `writestall` of debug_stat: writes for which zram had to allocate memory with the compressor put away.
    ZramStall,
    /// Blocks of a raw device compared with the model, in full.
    BlocksVerified,
    /// Blocks of a raw device written or discarded.
    BlocksWritten,
    /// `pgmigrate_success` of /proc/vmstat.
    PagesMigrated,
    /// `thp_collapse_alloc` of /proc/vmstat: huge pages that small ones were to be collapsed into.
    Collapses,
    /// Page tables that a collapse took away: successes of `MADV_COLLAPSE` on a range that had just been
    /// mapped page by page.
    Retractions,
    /// Pages zapped by an antagonist.
    Zaps,
    /// `thp_split_page` of /proc/vmstat.
    HugeSplits,
    /// Pages that UFFDIO_MOVE moved.
    Moves,
    /// Of those, pages that were swapped out when the call was made.
    MovesSwapped,
    /// Of those, pages that were in the swap cache as well.
    MovesCached,
    /// Replies of UFFDIO_MOVE that say that somebody else was in the way (EAGAIN, EBUSY).
    MovesContended,
    /// Pages moved while another thread meddled with them, each checked against every legal order.
    Duels,
}

impl Counter {
    /// Words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::PagesVerified => "pages verified",
            Self::RoundTrips => "round trips",
            Self::PagesWritten => "pages written",
            Self::EngineSteps => "engine steps",
            Self::EnginePagesVerified => "pages verified by the engine",
            Self::EngineRoundTrips => "round trips of the engine",
            Self::TriplesCovered => "triples covered",
            Self::EngineWatched => "steps seen from another CPU",
            Self::SwapOut => "pages swapped out",
            Self::SwapIn => "pages swapped in",
            Self::ZswapStore => "zswap stores",
            Self::ZswapLoad => "zswap loads",
            Self::ZswapWriteback => "zswap write-backs",
            Self::ZramStore => "zram writes",
            Self::ZramLoad => "zram reads",
            Self::ZramWriteback => "zram write-backs",
            Self::ZramBackingLoad => "reads of zram's backing device",
            Self::ZramRecompress => "slots seen recompressed",
            Self::ZramStall => "zram write stalls",
            Self::BlocksVerified => "blocks verified",
            Self::BlocksWritten => "blocks written",
            Self::PagesMigrated => "pages migrated",
            Self::Collapses => "huge pages to collapse into",
            Self::Retractions => "page tables retracted",
            Self::Zaps => "pages zapped",
            Self::HugeSplits => "huge pages split",
            Self::Moves => "pages moved",
            Self::MovesSwapped => "swapped pages moved",
            Self::MovesCached => "pages in the swap cache moved",
            Self::MovesContended => "contended moves",
            Self::Duels => "duels",
        }
    }
}

/// Least rate of a counter, below which a case has proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// What is counted.
    pub counter: Counter,
    /// Least events per second of the pressure phase.
    pub per_s: u64,
}

/// Defines [`Workload`]: a line here is all that a new workload needs in this file, beside its module.
macro_rules! workloads {
    ($( $(#[$meta:meta])* $name:ident, )*) => {
        /// A workload with its parameters: what a case runs.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "workload", content = "params", rename_all = "snake_case")]
        pub enum Workload {
            $( $(#[$meta])* $name($name), )*
        }

        impl Workload {
            /// Every workload of the suite.
            #[must_use]
            pub fn all() -> Vec<Info> {
                vec![$( $name::info() ),*]
            }

            /// Takes parameters that were checked against the table, and defaults for the others.
            fn from_values(name: &str, given: &BTreeMap<String, Value>) -> Option<Self> {
                match name {
                    $( $name::NAME => Some(Self::$name($name::from_values(given))), )*
                    _ => None,
                }
            }

            /// Name, as in YAML.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $( Self::$name(_) => $name::NAME, )*
                }
            }

            /// Checks what no single parameter's limits can.
            ///
            /// # Errors
            /// What is impossible together, for people.
            pub fn consistent(&self) -> Result<(), &'static str> {
                match self {
                    $( Self::$name(params) => params.consistent(), )*
                }
            }

            /// Least rates under software emulation; the least that a machine must reach everywhere.
            #[must_use]
            pub fn floors(&self) -> Vec<Floor> {
                match self {
                    $( Self::$name(params) => params.floors(), )*
                }
            }
        }
    };
}

workloads! {
    /// zswap stores, loads and write-backs with recycled swap slots.
    ZswapPressure,
    /// Huge pages collapsed, retracted and split.
    KhugepagedCollapse,
    /// Pages moved by userfaultfd while they are swapped, cached, read back, shared and protected.
    UffdMove,
    /// zram as swap and as a block device, with a backing device.
    ZramWriteback,
    /// A fault on purpose, to show that it would be noticed.
    Canary,
}

/// What the catalogue says of one workload.
#[derive(Debug, Clone)]
pub struct Info {
    /// Name, as in YAML.
    pub name: &'static str,
    /// What it does, one line.
    pub doc: &'static str,
    /// Its parameters.
    pub params: Vec<ParamInfo>,
    /// Kernel options that it needs (`CONFIG_…` without the prefix).
    pub needs: &'static [&'static str],
    /// Kernel source files whose code it exercises: paths, in which `*` stands for anything but `/`.
    pub files: &'static [&'static str],
    /// Functions of other files (inline ones of headers, say) that it exercises; `*` stands for anything.
    pub symbols: &'static [&'static str],
}

impl Info {
    /// Whether it exercises a file of the kernel.
    #[must_use]
    pub fn exercises_file(&self, path: &str) -> bool {
        let same = |pattern: &str| pattern.matches('/').count() == path.matches('/').count();
        self.files.iter().any(|p| same(p) && fits(p, path))
    }

    /// Whether it exercises a function of the kernel.
    #[must_use]
    pub fn exercises_symbol(&self, name: &str) -> bool {
        self.symbols.iter().any(|pattern| fits(pattern, name))
    }
}

/// Whether `text` is what a pattern with `*` describes.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

impl Workload {
    /// Makes a workload of a name and the parameters that were given; the others take defaults.
    ///
    /// # Errors
    /// [`BuildError::Unknown`] for the name; otherwise every parameter that is wrong.
    pub fn build(name: &str, given: &BTreeMap<String, Value>) -> Result<Self, BuildError> {
        let Some(info) = Self::all().into_iter().find(|i| i.name == name) else {
            return Err(BuildError::Unknown);
        };
        let mut wrong = Vec::new();
        for (key, value) in given {
            match info.params.iter().find(|p| p.name == key) {
                None => wrong.push(ParamError {
                    name: key.clone(),
                    why: None,
                }),
                Some(p) => {
                    if let Err(why) = p.check(value) {
                        wrong.push(ParamError {
                            name: key.clone(),
                            why: Some(why),
                        });
                    }
                }
            }
        }
        if !wrong.is_empty() {
            return Err(BuildError::Params(wrong));
        }
        let made = Self::from_values(name, given).ok_or(BuildError::Unknown)?;
        made.consistent()
            .map_err(|why| BuildError::Together(why.to_owned()))?;
        Ok(made)
    }
}

/// Why a workload could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// No workload has that name.
    Unknown,
    /// These parameters are wrong.
    Params(Vec<ParamError>),
    /// Each is right by itself, together they are impossible.
    Together(String),
}

/// One wrong parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// Its name as given.
    pub name: String,
    /// What is wrong with the value; `None` where the workload has no such parameter.
    pub why: Option<String>,
}

/// Defines a workload's parameters: a struct, its defaults and its [`ParamInfo`] table. `..beside` after the rows
/// stands for those of what runs beside the workload's own threads.
macro_rules! params {
    (@ty bytes) => { u64 };
    (@ty count) => { u64 };
    (@ty bool) => { bool };
    (@ty word) => { String };
    (@ty set) => { String };
    (@kind bytes $words:expr) => { $crate::catalogue::Kind::Bytes };
    (@kind count $words:expr) => { $crate::catalogue::Kind::Count };
    (@kind bool $words:expr) => { $crate::catalogue::Kind::Bool };
    (@kind word $words:expr) => { $crate::catalogue::Kind::Word($words) };
    (@kind set $words:expr) => { $crate::catalogue::Kind::Set($words) };
    (@default word $v:expr) => { $v.to_owned() };
    (@default set $v:expr) => { $v.to_owned() };
    (@default $kind:ident $v:expr) => { $v };
    (@value bytes $v:expr) => { $crate::catalogue::Value::Bytes($v) };
    (@value count $v:expr) => { $crate::catalogue::Value::Count($v) };
    (@value bool $v:expr) => { $crate::catalogue::Value::Bool($v) };
    (@value word $v:expr) => { $crate::catalogue::Value::Word($v.to_owned()) };
    (@value set $v:expr) => { $crate::catalogue::Value::Word($v.to_owned()) };
    (@take bytes $v:expr) => { match $v { $crate::catalogue::Value::Bytes(n) => Some(*n), _ => None } };
    (@take count $v:expr) => { match $v { $crate::catalogue::Value::Count(n) => Some(*n), _ => None } };
    (@take bool $v:expr) => { match $v { $crate::catalogue::Value::Bool(b) => Some(*b), _ => None } };
    (@take set $v:expr) => { match $v { $crate::catalogue::Value::Word(w) => Some(w.clone()), _ => None } };
    (@take word $v:expr) => { match $v { $crate::catalogue::Value::Word(w) => Some(w.clone()), _ => None } };
    ($(#[$meta:meta])* $name:ident {
        $( $field:ident: $kind:ident = $default:expr, $min:expr, $max:expr, $words:expr, $doc:literal; )*
        ..beside
    }) => {
        $crate::catalogue::params! { $(#[$meta])* $name {
            $( $field: $kind = $default, $min, $max, $words, $doc; )*
            engine: count = 1, 0, 4, &[], "owners beside the workload's own threads that do to memory of their own whatever the kernel offers; 0: none";
            engine_mix: word = "drawn", 0, 0, &["drawn", "balanced", "destructive", "swapping", "huge"], "weights of the engine's operations";
            antagonists: set = "drawn", 0, 0, $crate::catalogue::antagonists::ALL, "the common antagonists; drawn: in the same turns as the engine, named ones: all the time";
            alone_ms: count = 6000, 0, 3_600_000, &[], "how long the workload's own threads are alone, by turns with what runs beside them, in milliseconds";
            beside_ms: count = 6000, 1, 3_600_000, &[], "how long what runs beside them does";
        } }
    };
    ($(#[$meta:meta])* $name:ident {
        $( $field:ident: $kind:ident = $default:expr, $min:expr, $max:expr, $words:expr, $doc:literal; )*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( #[doc = $doc] pub $field: $crate::catalogue::params!(@ty $kind), )*
        }
        impl $name {
            /// The parameter table.
            #[must_use]
            pub fn table() -> Vec<$crate::catalogue::ParamInfo> {
                vec![ $( $crate::catalogue::ParamInfo {
                    name: stringify!($field),
                    doc: $doc,
                    kind: $crate::catalogue::params!(@kind $kind $words),
                    min: $min,
                    max: $max,
                    default: $crate::catalogue::params!(@value $kind $default),
                }, )* ]
            }
            /// Takes what was given and defaults for the rest; values must have been checked against the table.
            #[must_use]
            pub fn from_values(given: &std::collections::BTreeMap<String, $crate::catalogue::Value>) -> Self {
                Self { $( $field: given
                    .get(stringify!($field))
                    .and_then(|v| $crate::catalogue::params!(@take $kind v))
                    .unwrap_or_else(|| $crate::catalogue::params!(@default $kind $default)), )* }
            }
        }
        impl Default for $name {
            fn default() -> Self { Self::from_values(&std::collections::BTreeMap::new()) }
        }
    };
}
pub(crate) use params;
