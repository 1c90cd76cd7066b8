//! Making one kernel that is not in the cache: patches, base, overlay, and what is kept.
//!
//! Not here: the base (`base`), how make is run (`build`), what is kept (`keep`).

use super::base::{Base, Paths};
use super::build::{Log, Site};
use super::fit;
use super::fragment::Merged;
use super::ladder::Ladder;
use super::record::{KernelRecord, RECIPE};
use super::toolchain::Toolchain;
use super::worktree::{Target, Worktree};
use super::{BuildStep, KernelError, Progress, Request, put};
use crate::host::Mode;
use crate::source::cache::{Cache, Scratch, Shelf, failed};
use crate::source::manifest::{Entry, Manifest, hash_file};
use crate::source::room::Room;
use crate::source::{Apply, Cancel, Delta, Identity, Pristine, in_order, kconfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Everything that is known of a kernel before it is made.
pub(super) struct Wanted<'a> {
    pub request: &'a Request,
    pub identity: &'a Identity,
    pub merged: &'a Merged,
    pub toolchain: &'a Toolchain,
    pub key: &'a str,
}

/// Puts a ready image on the shelf, so that everybody finds kernels in one place. Returns seconds.
pub(super) fn ready_image(
    path: &Path,
    identity: &Identity,
    request: &Request,
    cache: &Cache,
) -> Result<f64, KernelError> {
    let start = Instant::now();
    let scratch = cache.scratch()?;
    let dir = scratch.path().join("kernel");
    std::fs::create_dir(&dir).map_err(failed("create", &dir))?;
    std::fs::copy(path, dir.join("bzImage")).map_err(failed("read", path))?;
    let record = KernelRecord {
        recipe: RECIPE,
        key: identity.id.clone(),
        source: identity.id.clone(),
        source_shown: identity.shown.clone(),
        series: vec![],
        notes: vec![],
        racepoints: crate::source::Racepoints::default(),
        fragments: vec![],
        config_hash: None,
        toolchain: None,
        sandbox: request.sandbox == Mode::Bubblewrap,
        build_s: None,
        bzimage_hash: hash_file(&dir.join("bzImage"))
            .map_err(failed("read", path))?
            .to_hex()
            .to_string(),
    };
    put(
        &dir,
        "kernel.json",
        &serde_json::to_vec_pretty(&record).unwrap_or_default(),
    )?;
    cache.publish(Shelf::Kernels, &identity.id, &dir)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Makes a kernel and puts it on the shelf; the caller holds its lock. Returns seconds.
pub(super) fn kernel(
    wanted: &Wanted<'_>,
    ladder: &mut Ladder,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<f64, KernelError> {
    let start = Instant::now();
    let work = Work::begin(wanted, cache, progress, cancel)?;
    let made = work.all(ladder);
    if let Err(KernelError::Build(failure)) = made {
        return Err(KernelError::Build(Box::new(work.keep_log(*failure)?)));
    }
    made?;
    Ok(start.elapsed().as_secs_f64())
}

/// One kernel in the making.
pub(super) struct Work<'a> {
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) cache: &'a Cache,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a Cancel,
    pub(super) pristine: Pristine,
    pub(super) scratch: Scratch,
    pub(super) log: Arc<Log>,
    pub(super) start: Instant,
}

/// What is put into the layer over a base's tree.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) removed: Vec<PathBuf>,
    /// Its path in the tree, where its content lies, and what that is.
    pub(super) written: Vec<(PathBuf, PathBuf, Entry)>,
}

impl<'a> Work<'a> {
    /// Unpacks the source, and looks whether the series are made for it.
    pub(super) fn begin(
        wanted: &'a Wanted<'a>,
        cache: &'a Cache,
        progress: &'a Progress,
        cancel: &'a Cancel,
    ) -> Result<Self, KernelError> {
        let start = Instant::now();
        progress(BuildStep::Unpacking {
            source: wanted.identity.shown.clone(),
        });
        let pristine = Pristine::of(wanted.identity, cache, wanted.request.sandbox, cancel)?;
        fit::check(&wanted.request.series, &wanted.request.source, pristine.release)?;
        let scratch = cache.scratch()?;
        let log = Log::create(&scratch.path().join("build.log"))?;
        Ok(Self {
            wanted,
            cache,
            progress,
            cancel,
            pristine,
            scratch,
            log,
            start,
        })
    }
}

impl Work<'_> {
    /// Applies and builds. A racepoint site whose own line does not compile does not fit: it is left out,
    /// and the rest tried again.
    fn all(&self, ladder: &mut Ladder) -> Result<(), KernelError> {
        let mut without = BTreeMap::new();
        loop {
            let delta = self.apply(&without)?;
            self.ask_for_what_there_is(&delta)?;
            let made = match self.wanted.request.sandbox {
                Mode::Bubblewrap => self.over_base(&delta, ladder),
                Mode::Off => self.in_place(&delta),
            };
            let Err(KernelError::Build(failure)) = made else {
                return made;
            };
            let site = failure
                .patch
                .as_ref()
                .filter(|b| b.wrote_the_line)
                .and_then(|b| b.site.clone());
            match site {
                Some(site) if !without.contains_key(&site) => {
                    without.insert(site, format!("it does not compile: {}", failure.message));
                }
                _ => return Err(KernelError::Build(failure)),
            }
        }
    }

    pub(super) fn apply(&self, without: &BTreeMap<String, String>) -> Result<Delta, KernelError> {
        let series = in_order(&self.wanted.request.series);
        let patches = series.iter().map(|s| s.patches.len()).sum();
        if patches > 0 {
            (self.progress)(BuildStep::Applying { patches });
        }
        let apply = Apply {
            tree: &self.pristine.tree,
            repo: self.pristine.repo.as_deref(),
            without,
            mode: self.wanted.request.sandbox,
            cache: self.cache,
            cancel: self.cancel,
        };
        Ok(apply.run(&series)?)
    }

    /// Refuses lines whose symbol neither the source nor a series has, before anything is built for them.
    fn ask_for_what_there_is(&self, delta: &Delta) -> Result<(), KernelError> {
        let added = match delta.dir() {
            Some(dir) => kconfig::symbols_in(&dir, &delta.written)?,
            None => BTreeSet::new(),
        };
        let missing = self.wanted.merged.nowhere(&[&self.pristine.symbols, &added]);
        if missing.is_empty() {
            return Ok(());
        }
        Err(KernelError::Config(missing))
    }

    /// What the base is configured with: lines whose symbol only a series adds are left out.
    pub(super) fn base_config(&self) -> String {
        self.wanted.merged.text(Some(&self.pristine.symbols))
    }

    pub(super) fn worktree_name(&self, config: &str) -> String {
        let toolchain = self.wanted.toolchain;
        let parts = format!(
            "{RECIPE}\n{}\n{}\n{:?}\n{config}",
            toolchain.id(),
            toolchain.ccache,
            self.wanted.request.sandbox
        );
        blake3::hash(parts.as_bytes()).to_hex()[..24].to_owned()
    }

    pub(super) fn site<'s>(&'s self, room: Room, worktree: &'s Paths, trusted: bool) -> Site<'s> {
        Site {
            room: room.cwd(&worktree.build),
            tree: &worktree.tree,
            build: &worktree.build,
            ccache: &worktree.ccache,
            trusted,
            toolchain: self.wanted.toolchain,
            jobs: self.wanted.request.jobs,
            log: Arc::clone(&self.log),
            progress: self.progress,
            cancel: self.cancel,
        }
    }

    /// Writes the lines to configure with where a room may show them.
    pub(super) fn input(&self, name: &str, text: &str) -> Result<(PathBuf, PathBuf), KernelError> {
        let dir = self.scratch.path().join("in");
        std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        put(&dir, name, text.as_bytes())?;
        Ok((dir.join(name), dir))
    }

    fn over_base(&self, delta: &Delta, ladder: &mut Ladder) -> Result<(), KernelError> {
        let base = self.base()?;
        let differs = !base.differs.written.is_empty() || !base.differs.removed.is_empty();
        if self.wanted.request.series.is_empty() && !differs {
            self.bare(delta, base)
        } else {
            drop(base);
            self.in_overlay(delta, ladder)
        }
    }

    /// A kernel without series is the base itself.
    fn bare(&self, delta: &Delta, base: Base) -> Result<(), KernelError> {
        if let Some(failure) = base.state.failure {
            return Err(KernelError::Build(Box::new(failure)));
        }
        let build = base.worktree.build();
        self.verify(&build.join(".config"), None)?;
        self.store(delta, &[&build])
    }

    /// What the base's tree lacks: what its source differs in, and what the series change.
    pub(super) fn changes(&self, delta: &Delta, base: &Base) -> Changes {
        let patched: BTreeSet<&PathBuf> = delta.written.iter().chain(&delta.removed).collect();
        let mut changes = Changes::default();
        let (own, pristine) = (&base.differs, &self.pristine);
        // What goes and comes back as something else is removed first, whoever writes it.
        changes
            .removed
            .extend(own.removed.iter().chain(&delta.removed).cloned());
        let entry = |manifest: &Manifest, path: &PathBuf| manifest.entries.get(path).copied();
        let unpatched = own.written.iter().filter(|path| !patched.contains(path));
        changes.written.extend(unpatched.filter_map(|path| {
            Some((
                path.clone(),
                pristine.tree.join(path),
                entry(&pristine.manifest, path)?,
            ))
        }));
        if let Some(dir) = delta.dir() {
            let written = delta.written.iter();
            changes.written.extend(
                written.filter_map(|path| Some((path.clone(), dir.join(path), entry(&delta.after, path)?))),
            );
        }
        changes
    }

    /// Whether the base's configuration may not be the right one for the changed tree.
    pub(super) fn may_change_config(&self, changes: &Changes) -> bool {
        let matters = |path: &PathBuf| {
            kconfig::is_kconfig(path)
                || path.starts_with("scripts")
                || path.file_name().is_some_and(|n| n == "Makefile")
                || !path
                    .extension()
                    .is_some_and(|e| ["c", "h", "S", "rst", "txt"].iter().any(|x| e == *x))
        };
        let written = changes.written.iter().map(|(path, ..)| path);
        !self.wanted.merged.is_known(&self.pristine.symbols) || written.chain(&changes.removed).any(matters)
    }

    /// Without the sandbox: the worktree is moved to the patched files and built as it is.
    fn in_place(&self, delta: &Delta) -> Result<(), KernelError> {
        let config = self.wanted.merged.text(None);
        let name = self.worktree_name(&self.base_config());
        let mut manifest = self.pristine.manifest.clone();
        for path in &delta.removed {
            manifest.entries.remove(path);
        }
        let written: BTreeMap<_, _> = delta
            .written
            .iter()
            .filter_map(|p| Some((p.clone(), *delta.after.entries.get(p)?)))
            .collect();
        manifest.entries.extend(written.clone());
        let from = delta.dir();
        let content = |path: &Path| match &from {
            Some(dir) if written.contains_key(path) => dir.join(path),
            _ => self.pristine.tree.join(path),
        };
        (self.progress)(BuildStep::Waiting);
        let _held = self.cache.lock(Shelf::Worktrees, &name)?;
        let worktree = Worktree::at(self.cache, &name);
        let target = Target {
            manifest: &manifest,
            content: &content,
            may_link: false,
        };
        let holds = format!("{} {}", self.pristine.id, manifest.id().to_hex());
        self.grow(&worktree, &name, &target, &config, &holds, Some(delta))?;
        self.store(delta, &[&worktree.build()])
    }

    /// Moves a failed build's output to where it stays.
    pub(super) fn keep_log(
        &self,
        mut failure: super::BuildFailure,
    ) -> Result<super::BuildFailure, KernelError> {
        if failure.log == self.log.path() {
            let kept = self
                .cache
                .root()
                .join("logs")
                .join(format!("{}.log", self.wanted.key));
            std::fs::copy(self.log.path(), &kept).map_err(failed("write", &kept))?;
            failure.log = kept;
        }
        Ok(failure)
    }
}
