//! Making one kernel that is not in the cache: patches, base, overlay, and what is kept.
//!
//! Not here: how make is run (`build`), how trees are moved (`worktree`).

use super::build::{Log, Site};
use super::fragment::Merged;
use super::record::{KernelRecord, RECIPE, SeriesRecord};
use super::toolchain::Toolchain;
use super::worktree::{State, Target, Worktree};
use super::{BuildStep, Infra, KernelError, Progress, Request, put};
use crate::host::fs::write_atomic;
use crate::host::{Cmd, Mode};
use crate::source::cache::{Cache, Held, Scratch, Shelf, failed};
use crate::source::manifest::{Manifest, hash_file};
use crate::source::room::Room;
use crate::source::{Apply, Cancel, Delta, Identity, Pristine, in_order, kconfig, tree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        bzimage_hash: hash_file(&dir.join("bzImage")).map_err(failed("read", path))?.to_hex().to_string(),
    };
    put(&dir, "kernel.json", &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
    cache.publish(Shelf::Kernels, &identity.id, &dir)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Makes a kernel and puts it on the shelf; the caller holds its lock. Returns seconds.
pub(super) fn kernel(
    wanted: &Wanted<'_>,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<f64, KernelError> {
    let start = Instant::now();
    progress(BuildStep::Unpacking { source: wanted.identity.shown.clone() });
    let pristine = Pristine::of(wanted.identity, cache, wanted.request.sandbox, cancel)?;
    let scratch = cache.scratch()?;
    let log = Log::create(&scratch.path().join("build.log"))?;
    let work = Work { wanted, cache, progress, cancel, pristine, scratch, log, start };
    let made = work.all();
    if let Err(KernelError::Build(failure)) = made {
        return Err(KernelError::Build(Box::new(work.keep_log(*failure)?)));
    }
    made?;
    Ok(start.elapsed().as_secs_f64())
}

struct Work<'a> {
    wanted: &'a Wanted<'a>,
    cache: &'a Cache,
    progress: &'a Progress,
    cancel: &'a Cancel,
    pristine: Pristine,
    scratch: Scratch,
    log: Arc<Log>,
    start: Instant,
}

/// A worktree that holds the bare source, kept from moving.
struct Base {
    worktree: Worktree,
    state: State,
    _held: Held,
}

/// Removing a handful of files takes no time.
const REMOVE_DEADLINE: Duration = Duration::from_secs(120);

impl Work<'_> {
    /// Applies and builds. A racepoint site whose own line does not compile does not fit: it is left out,
    /// and the rest tried again.
    fn all(&self) -> Result<(), KernelError> {
        let mut without = BTreeMap::new();
        loop {
            let delta = self.apply(&without)?;
            let made = match self.wanted.request.sandbox {
                Mode::Bubblewrap if self.wanted.request.series.is_empty() => self.bare(&delta),
                Mode::Bubblewrap => self.in_overlay(&delta),
                Mode::Off => self.in_place(&delta),
            };
            let Err(KernelError::Build(failure)) = made else { return made };
            let site = failure.patch.as_ref().filter(|b| b.wrote_the_line).and_then(|b| b.site.clone());
            match site {
                Some(site) if !without.contains_key(&site) => {
                    without.insert(site, format!("it does not compile: {}", failure.message));
                }
                _ => return Err(KernelError::Build(failure)),
            }
        }
    }

    fn apply(&self, without: &BTreeMap<String, String>) -> Result<Delta, KernelError> {
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

    /// What the base is configured with: lines whose symbol only a series adds are left out.
    fn base_config(&self) -> String {
        self.wanted.merged.text(Some(&self.pristine.symbols))
    }

    fn worktree_name(&self, config: &str) -> String {
        let toolchain = self.wanted.toolchain;
        let parts = format!(
            "{RECIPE}\n{}\n{}\n{:?}\n{config}",
            toolchain.id(),
            toolchain.ccache,
            self.wanted.request.sandbox
        );
        blake3::hash(parts.as_bytes()).to_hex()[..24].to_owned()
    }

    fn site<'s>(&'s self, room: Room, worktree: &'s Paths, trusted: bool) -> Site<'s> {
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
    fn input(&self, name: &str, text: &str) -> Result<(PathBuf, PathBuf), KernelError> {
        let dir = self.scratch.path().join("in");
        std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        put(&dir, name, text.as_bytes())?;
        Ok((dir.join(name), dir))
    }

    /// The base, built if need be. One that does not build is still a base: a series may mend it.
    fn base(&self) -> Result<Base, KernelError> {
        let config = self.base_config();
        let name = self.worktree_name(&config);
        let holds = self.pristine.id.clone();
        loop {
            self.cancel.check()?;
            let held = self.cache.share(Shelf::Worktrees, &name)?;
            let worktree = Worktree::at(self.cache, &name);
            if let Some(state) = worktree.state().filter(|s| s.holds == holds) {
                self.cache.touch(Shelf::Worktrees, &name);
                return Ok(Base { worktree, state, _held: held });
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
    fn grow(
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
        worktree.settle(&State { holds: holds.to_owned(), failure, steps })?;
        Ok(self.cache.weigh(Shelf::Worktrees, name)?)
    }

    fn verify(&self, config: &Path, delta: Option<&Delta>) -> Result<(), KernelError> {
        let text = std::fs::read_to_string(config).map_err(failed("read", config))?;
        let patched = delta.and_then(|d| Some((d.dir()?, &d.after)));
        let mut trees: Vec<(&Path, &Manifest)> = Vec::new();
        trees.extend(patched.as_ref().map(|(dir, manifest)| (dir.as_path(), *manifest)));
        trees.push((&self.pristine.tree, &self.pristine.manifest));
        let missing = self.wanted.merged.missing(&text, &trees)?;
        if missing.is_empty() { Ok(()) } else { Err(KernelError::Config(missing)) }
    }

    /// A kernel without series is the base itself.
    fn bare(&self, delta: &Delta) -> Result<(), KernelError> {
        let base = self.base()?;
        if let Some(failure) = base.state.failure {
            return Err(KernelError::Build(Box::new(failure)));
        }
        let build = base.worktree.build();
        self.verify(&build.join(".config"), None)?;
        self.store(delta, &[&build])
    }

    /// A kernel with series: make writes into a throwaway layer over the base.
    fn in_overlay(&self, delta: &Delta) -> Result<(), KernelError> {
        let base = self.base()?;
        let layers = self.cache.scratch()?;
        let (over_src, over_build) = (layers.path().join("src"), layers.path().join("build"));
        for dir in [&over_src, &over_build] {
            for part in ["upper", "work"] {
                std::fs::create_dir_all(dir.join(part)).map_err(failed("create", dir))?;
            }
        }
        let (file, dir) = self.input("merged.config", &self.wanted.merged.text(None))?;
        let paths = Paths::of(&base.worktree, self.cache);
        let room = Room::new(Mode::Bubblewrap)
            .overlay(&paths.tree, &over_src, "/src")
            .overlay(&paths.build, &over_build, "/build")
            .ro(&paths.ccache, "/ccache")
            .ro(&dir, "/in");
        let site = self.site(room, &paths, false);
        self.spread(delta, &site, &over_src.join("upper"))?;
        let upper = over_build.join("upper");
        if self.may_change_config(delta) {
            site.configure(&file)?;
        }
        let config = newest(&[&upper, &paths.build], Path::new(".config"))?;
        self.verify(&config, Some(delta))?;
        let content = |file: &Path| newest(&[&over_src.join("upper"), &paths.tree], file).ok();
        // As many steps as the same worktree's last series took.
        let memory = self.cache.root().join("stat").join(format!("{}.steps", self.worktree_name(&self.base_config())));
        let total = std::fs::read_to_string(&memory).ok().and_then(|t| t.trim().parse().ok());
        let steps = site.compile(total, &delta.patches, content)?;
        let _ = write_atomic(&memory, steps.to_string().as_bytes());
        self.store(delta, &[&upper, &paths.build])
    }

    /// Puts the patched files into the upper layer. Removals go through the overlay itself, which alone
    /// knows how to note them, and come first.
    fn spread(&self, delta: &Delta, site: &Site<'_>, upper: &Path) -> Result<(), KernelError> {
        for some in delta.removed.chunks(1000) {
            let cmd = Cmd::new("rm")
                .args(["-f", "--"])
                .args(some.iter().map(|path| site.room.seen(&site.tree.join(path))))
                .deadline(REMOVE_DEADLINE, "removed files to go");
            let done = self.cancel.run(site.room.wrap(cmd))?;
            if !done.success() {
                let said = String::from_utf8_lossy(&done.stderr).into_owned();
                return Err(failed("remove files of", site.tree)(std::io::Error::other(said)).into());
            }
        }
        let Some(from) = delta.dir() else { return Ok(()) };
        for path in &delta.written {
            let (to, Some(entry)) = (upper.join(path), delta.after.entries.get(path)) else { continue };
            if let Some(dir) = to.parent() {
                std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
            }
            if std::fs::symlink_metadata(&to).is_ok() {
                std::fs::remove_file(&to).map_err(failed("remove", &to))?;
            }
            tree::place(&from.join(path), &to, entry).map_err(failed("write", &to))?;
        }
        Ok(())
    }

    /// Whether the base's configuration may not be the right one for the patched tree.
    fn may_change_config(&self, delta: &Delta) -> bool {
        let matters = |path: &PathBuf| {
            kconfig::is_kconfig(path)
                || path.starts_with("scripts")
                || path.file_name().is_some_and(|n| n == "Makefile")
                || !path.extension().is_some_and(|e| ["c", "h", "S", "rst", "txt"].iter().any(|x| e == *x))
        };
        !self.wanted.merged.is_known(&self.pristine.symbols)
            || delta.written.iter().chain(&delta.removed).any(matters)
    }

    /// Without the sandbox: the worktree is moved to the patched files and built as it is.
    fn in_place(&self, delta: &Delta) -> Result<(), KernelError> {
        let config = self.wanted.merged.text(None);
        let name = self.worktree_name(&self.base_config());
        let mut manifest = self.pristine.manifest.clone();
        for path in &delta.removed {
            manifest.entries.remove(path);
        }
        let written: BTreeMap<_, _> =
            delta.written.iter().filter_map(|p| Some((p.clone(), *delta.after.entries.get(p)?))).collect();
        manifest.entries.extend(written.clone());
        let from = delta.dir();
        let content = |path: &Path| match &from {
            Some(dir) if written.contains_key(path) => dir.join(path),
            _ => self.pristine.tree.join(path),
        };
        (self.progress)(BuildStep::Waiting);
        let _held = self.cache.lock(Shelf::Worktrees, &name)?;
        let worktree = Worktree::at(self.cache, &name);
        let target = Target { manifest: &manifest, content: &content, may_link: false };
        let holds = format!("{} {}", self.pristine.id, manifest.id().to_hex());
        self.grow(&worktree, &name, &target, &config, &holds, Some(delta))?;
        self.store(delta, &[&worktree.build()])
    }

    /// Takes what is kept out of the layers of a build folder (top first), and puts it on the shelf.
    fn store(&self, delta: &Delta, layers: &[&PathBuf]) -> Result<(), KernelError> {
        (self.progress)(BuildStep::Storing);
        let layers: Vec<&Path> = layers.iter().map(|l| l.as_path()).collect();
        let dir = self.scratch.path().join("kernel");
        std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        for (name, from) in [("bzImage", "arch/x86/boot/bzImage"), ("vmlinux", "vmlinux"), ("config", ".config")] {
            let from = newest(&layers, Path::new(from))?;
            let to = dir.join(name);
            std::fs::copy(&from, &to).map_err(failed("copy", &from))?;
            std::fs::File::open(&to).and_then(|f| f.sync_all()).map_err(failed("write", &to))?;
        }
        std::fs::copy(self.log.path(), dir.join("build.log")).map_err(failed("copy", self.log.path()))?;
        let hash = |name: &str| -> Result<String, KernelError> {
            let path = dir.join(name);
            Ok(hash_file(&path).map_err(failed("read", &path))?.to_hex().to_string())
        };
        let (wanted, request) = (self.wanted, self.wanted.request);
        let record = KernelRecord {
            recipe: RECIPE,
            key: wanted.key.to_owned(),
            source: wanted.identity.id.clone(),
            source_shown: wanted.identity.shown.clone(),
            series: in_order(&request.series).into_iter().map(SeriesRecord::of).collect(),
            notes: delta.notes.clone(),
            racepoints: delta.racepoints.clone(),
            fragments: request.fragments.clone(),
            config_hash: Some(hash("config")?),
            toolchain: Some(wanted.toolchain.clone()),
            sandbox: request.sandbox == Mode::Bubblewrap,
            build_s: Some(self.start.elapsed().as_secs_f64()),
            bzimage_hash: hash("bzImage")?,
        };
        put(&dir, "kernel.json", &serde_json::to_vec_pretty(&record).unwrap_or_default())?;
        self.cache.publish(Shelf::Kernels, wanted.key, &dir)?;
        Ok(())
    }

    /// Moves a failed build's output to where it stays.
    fn keep_log(&self, mut failure: super::BuildFailure) -> Result<super::BuildFailure, KernelError> {
        if failure.log == self.log.path() {
            let kept = self.cache.root().join("logs").join(format!("{}.log", self.wanted.key));
            std::fs::copy(self.log.path(), &kept).map_err(failed("write", &kept))?;
            failure.log = kept;
        }
        Ok(failure)
    }
}

/// Paths of a worktree, by our names.
struct Paths {
    tree: PathBuf,
    build: PathBuf,
    ccache: PathBuf,
}

impl Paths {
    fn of(worktree: &Worktree, cache: &Cache) -> Self {
        Self { tree: worktree.tree(), build: worktree.build(), ccache: cache.root().join("ccache") }
    }
}

/// The file of that name in the topmost layer that has it. The layers were written by untrusted tools that
/// have ended: a link on the way, or anything but a file, is refused.
fn newest(layers: &[&Path], name: &Path) -> Result<PathBuf, KernelError> {
    for layer in layers {
        let mut at = layer.to_path_buf();
        let mut meta = None;
        for part in name.components() {
            at.push(part);
            meta = std::fs::symlink_metadata(&at).ok();
            match &meta {
                None => break,
                Some(m) if m.is_symlink() => return Err(Infra::NoResult { path: at }.into()),
                Some(_) => {}
            }
        }
        match meta {
            Some(m) if m.is_file() => return Ok(at),
            Some(_) => return Err(Infra::NoResult { path: at }.into()),
            None => {}
        }
    }
    Err(Infra::NoResult { path: name.to_path_buf() }.into())
}
