//! The record of a kernel: what it is made of, by which it can be made again.
//!
//! Not here: making it.

use super::Request;
use super::fragment::Merged;
use super::toolchain::Toolchain;
use crate::host::Mode;
use crate::source::{Identity, Note, Racepoints, Series, SeriesKind, in_order};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Raised whenever the way of building changes what comes out.
pub const RECIPE: u32 = 1;

/// `kernel.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Version of this record and of the way of building.
    pub recipe: u32,
    /// The kernel's content key.
    pub key: String,
    /// Identity of its source.
    pub source: String,
    /// The source, for readers.
    pub source_shown: String,
    /// Its series, in the order in which they were applied.
    pub series: Vec<SeriesRecord>,
    /// What was not exact about applying them.
    pub notes: Vec<Note>,
    /// Racepoint sites that are in, and those that did not fit.
    pub racepoints: Racepoints,
    /// The fragments, as they were named.
    pub fragments: Vec<PathBuf>,
    /// BLAKE3 of the final configuration; none for a ready image.
    pub config_hash: Option<String>,
    /// What built it; none for a ready image.
    pub toolchain: Option<Toolchain>,
    /// Whether patches were applied and built in the sandbox.
    pub sandbox: bool,
    /// Seconds from the first patch to the finished image, base build included where it had to be made.
    pub build_s: Option<f64>,
    /// BLAKE3 of bzImage.
    pub bzimage_hash: String,
}

/// One series of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRecord {
    /// Its name.
    pub name: String,
    /// Hash of its patches.
    pub id: String,
    /// What it is for.
    pub kind: SeriesKind,
    /// One line.
    pub title: String,
    /// Its patches.
    pub patches: Vec<String>,
}

impl SeriesRecord {
    pub(super) fn of(series: &Series) -> Self {
        Self {
            name: series.name.clone(),
            id: series.id(),
            kind: series.kind,
            title: series.title.clone(),
            patches: series.patches.iter().map(|p| p.name.clone()).collect(),
        }
    }
}

/// The content key: everything that decides what comes out, and nothing else.
pub(super) fn key(request: &Request, identity: &Identity, merged: &Merged, toolchain: &Toolchain) -> String {
    let series: Vec<String> = in_order(&request.series).into_iter().map(Series::id).collect();
    let parts = serde_json::json!({
        "recipe": RECIPE,
        "source": identity.id,
        "series": series,
        "config": merged.id(),
        "toolchain": toolchain.id(),
        "sandbox": request.sandbox == Mode::Bubblewrap,
    });
    blake3::hash(parts.to_string().as_bytes()).to_hex()[..32].to_owned()
}
