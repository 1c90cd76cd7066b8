//! Bases: a worktree that holds the bare source, built, which kernels with series start from.
//!
//! Not here: the overlays over it (that is `make`), and how its tree is moved (`worktree`).

use super::make::Work;
use super::near;
use super::worktree::{State, Target, Worktree};
use super::{BuildStep, KernelError};
use crate::source::Delta;
use crate::source::cache::{Cache, Held, Shelf, failed};
use crate::source::manifest::{Difference, Manifest};
use crate::source::room::Room;
use std::path::{Path, PathBuf};

/// A worktree that holds the bare source or one that differs little, kept from moving.
pub(super) struct Base {
    pub worktree: Worktree,
    pub state: State,
    /// What turns the source that it holds into the wanted one; empty where it holds that.
    pub differs: Difference,
    _held: Held,
}

/// Paths of a worktree, by our names.
pub(super) struct Paths {
    pub tree: PathBuf,
    pub build: PathBuf,
    pub ccache: PathBuf,
}

impl Paths {
    pub(super) fn of(worktree: &Worktree, cache: &Cache) -> Self {
        Self {
            tree: worktree.tree(),
            build: worktree.build(),
            ccache: cache.root().join("ccache"),
        }
    }
}

impl Work<'_> {
    /// The base, built if need be. One that holds a source that differs little, and builds, is as good: what
    /// differs is built over it then. One that does not build is still a base of its own source: a series may
    /// mend it.
    pub(super) fn base(&self) -> Result<Base, KernelError> {
        let config = self.base_config();
        let name = self.worktree_name(&config);
        let holds = self.pristine.id.clone();
        loop {
            self.cancel.check()?;
            let held = self.cache.share(Shelf::Worktrees, &name)?;
            let worktree = Worktree::at(self.cache, &name);
            if let Some(state) = worktree.state() {
                let differs = if state.holds == holds {
                    Some(Difference::default())
                } else if state.failure.is_none() {
                    near::near(&worktree, &self.pristine.manifest)?
                } else {
                    None
                };
                if let Some(differs) = differs {
                    self.cache.touch(Shelf::Worktrees, &name);
                    return Ok(Base {
                        worktree,
                        state,
                        differs,
                        _held: held,
                    });
                }
            }
            drop(held);
            (self.progress)(BuildStep::Waiting);
            let _held = self.cache.lock(Shelf::Worktrees, &name)?;
            if worktree.state().is_none_or(|s| s.holds != holds) {
                let target = Target {
                    manifest: &self.pristine.manifest,
                    content: &|path| self.pristine.tree.join(path),
                    may_link: true,
                };
                self.grow(&worktree, &name, &target, &config, &holds, None)?;
            }
        }
    }

    /// Moves, configures and builds a worktree, and says what it holds then. With a `delta`, what does
    /// not build or lacks configuration is an error; without, a failure is part of the state.
    pub(super) fn grow(
        &self,
        worktree: &Worktree,
        name: &str,
        target: &Target<'_>,
        config: &str,
        holds: &str,
        delta: Option<&Delta>,
    ) -> Result<(), KernelError> {
        let total = worktree.state().map(|s| s.steps).filter(|s| *s > 0);
        let files = worktree.move_to(target)?;
        (self.progress)(BuildStep::Moved { files });
        if files > 0 {
            // From here on it can be listed and evicted, however the build ends.
            self.cache.weigh(Shelf::Worktrees, name)?;
        }
        let (file, dir) = self.input("base.config", config)?;
        let paths = Paths::of(worktree, self.cache);
        let room = Room::new(self.wanted.request.sandbox)
            .ro(&paths.tree, "/src")
            .rw(&paths.build, "/build")
            .rw(&paths.ccache, "/ccache")
            .ro(&dir, "/in");
        let site = self.site(room, &paths, true);
        worktree.begin()?;
        let built = site.configure(&file).and_then(|()| {
            if self.wanted.request.series.is_empty() || delta.is_some() {
                self.verify(&paths.build.join(".config"), delta)?;
            }
            let patches = delta.map_or(&[][..], |d| &d.patches);
            site.compile(total, patches, |file| Some(paths.tree.join(file)))
        });
        let (steps, failure) = match built {
            Ok(steps) => (steps, None),
            Err(KernelError::Build(failure)) if delta.is_none() => (0, Some(self.keep_log(*failure)?)),
            Err(error) => {
                if matches!(error, KernelError::Build(_) | KernelError::Config(_)) {
                    worktree.end()?;
                }
                return Err(error);
            }
        };
        worktree.end()?;
        let steps = steps.max(total.unwrap_or(0));
        worktree.settle(&State {
            holds: holds.to_owned(),
            failure,
            steps,
        })?;
        Ok(self.cache.weigh(Shelf::Worktrees, name)?)
    }

    pub(super) fn verify(&self, config: &Path, delta: Option<&Delta>) -> Result<(), KernelError> {
        let text = std::fs::read_to_string(config).map_err(failed("read", config))?;
        let patched = delta.and_then(|d| Some((d.dir()?, &d.after)));
        let mut trees: Vec<(&Path, &Manifest)> = Vec::new();
        trees.extend(patched.as_ref().map(|(dir, manifest)| (dir.as_path(), *manifest)));
        trees.push((&self.pristine.tree, &self.pristine.manifest));
        let missing = self.wanted.merged.missing(&text, &trees)?;
        if missing.is_empty() {
            Ok(())
        } else {
            Err(KernelError::Config(missing))
        }
    }
}
