//! The first look at a series: what its patches do to the base's tree, and what checkpatch says of them.
//!
//! Blocking; nothing is built. Not here: how a patch is applied (`source::apply`).

use super::advice;
use super::touched::Touched;
use crate::kernel;
use crate::run::with_causes;
use crate::source::series::SeriesKind;
use crate::source::{Apply, ApplyError, ApplyFailure, Cache, Cancel, Identity, Pristine, Series};
use std::collections::BTreeMap;
use std::path::Path;

/// What applying found out.
pub(super) struct Applied {
    /// The base, for readers.
    pub(super) shown: String,
    pub(super) notes: Vec<String>,
    pub(super) touched: Touched,
    pub(super) failure: Option<(usize, ApplyFailure)>,
    /// For each patch.
    pub(super) advice: Vec<Vec<String>>,
}

/// The blocking part: the base's tree, what the patches do to it, and checkpatch.
pub(super) fn applied(
    request: &kernel::Request,
    cache: &Cache,
    dir: &Path,
    files: &[String],
    cancel: &Cancel,
) -> Result<Applied, String> {
    let words = |e: &dyn std::error::Error| with_causes(e);
    let identity = Identity::of(&request.source, cache, cancel).map_err(|e| words(&e))?;
    let pristine = Pristine::of(&identity, cache, request.sandbox, cancel).map_err(|e| words(&e))?;
    let apply = Apply {
        tree: &pristine.tree,
        repo: pristine.repo.as_deref(),
        without: &BTreeMap::new(),
        mode: request.sandbox,
        cache,
        cancel,
    };
    let series: Vec<&Series> = request.series.iter().collect();
    let mut done = Applied {
        shown: identity.shown.clone(),
        notes: Vec::new(),
        touched: Touched::default(),
        failure: None,
        advice: Vec::new(),
    };
    match apply.run(&series) {
        Ok(delta) => {
            done.notes = delta.notes.iter().map(crate::run::note_words).collect();
            for patch in &delta.patches {
                done.touched.add(&patch.files);
            }
        }
        Err(ApplyError::Failure(failure)) => {
            let own = |s: &&Series| s.kind != SeriesKind::Racepoint && s.name == failure.series;
            let at = request.series.iter().position(|s| own(&s)).unwrap_or(0);
            done.failure = Some((at + 1, *failure));
        }
        Err(other) => return Err(words(&other)),
    }
    if pristine.tree.join(advice::SCRIPT).is_file() {
        for file in files {
            let said = advice::checkpatch(&pristine.tree, dir, file, request.sandbox, cancel);
            // Without perl there is no advice; that is no reason to stop.
            done.advice
                .push(said.unwrap_or_else(|e| vec![format!("checkpatch.pl did not run: {e}")]));
        }
    }
    Ok(done)
}
