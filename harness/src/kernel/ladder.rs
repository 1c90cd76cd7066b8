//! Kernels of one series, patch by patch: each is built in what the one before it left, so that a patch
//! costs what it changes and no more, whatever the patches before it have touched.
//!
//! A [`Ladder`] is a throwaway layer over the base's build folder. It belongs to one series and goes with it:
//! what a hostile patch plants there meets later patches of its own series and nobody else. The source layer
//! is made anew by us for each kernel, never from what a build left, since we write to it from outside of the
//! sandbox; what tells make that a file did not change between two kernels is its time, which is kept.
//!
//! Not here: what patches do to files (`source`), and how make is run (`build`).

use super::base::{Base, Paths};
use super::keep::newest;
use super::make::{Changes, Wanted, Work};
use super::record;
use super::{Infra, KernelError, Progress, Request, Toolchain, ensure_on, fragment};
use super::{build::Site, missing_compiler};
use crate::host::fs::write_atomic;
use crate::host::{Cmd, Mode};
use crate::source::cache::{Cache, Scratch, failed};
use crate::source::manifest::Entry;
use crate::source::room::Room;
use crate::source::{Cancel, Delta, Identity, tree};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The build folder of a series, kept from patch to patch; the base that it stands on is kept from moving.
#[derive(Default)]
pub struct Ladder {
    rung: Option<Rung>,
}

/// Where the last kernel was built.
struct Rung {
    base: Base,
    /// What base and configuration it stands on.
    on: String,
    layers: Scratch,
    /// Files that differ from the base's or once did, with the time that make knows them by.
    placed: BTreeMap<PathBuf, (Entry, SystemTime)>,
    configured: bool,
}

/// Removing a handful of files takes no time.
const REMOVE_DEADLINE: Duration = Duration::from_secs(120);

/// Finds or makes a kernel, as [`super::ensure`] does, in what the last kernel of this ladder left.
///
/// # Errors
/// [`KernelError`].
pub fn climb(
    ladder: &mut Ladder,
    request: &Request,
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<super::Built, KernelError> {
    ensure_on(ladder, request, cache, progress, cancel)
}

/// Compiles files of a bare source once more, to hear what the compiler says of them as they are. Returns
/// the build's output.
///
/// # Errors
/// [`KernelError`]; without the sandbox there is no base to do it over, and nothing is said.
pub fn recompile(
    request: &Request,
    files: &[PathBuf],
    cache: &Cache,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<String, KernelError> {
    if request.sandbox == Mode::Off {
        return Ok(String::new());
    }
    let identity = Identity::of(&request.source, cache, cancel)?;
    let merged = fragment::merge(&request.fragments).map_err(KernelError::Fragments)?;
    let toolchain = Toolchain::find(cancel).map_err(missing_compiler)?;
    let key = record::key(request, &identity, &merged, &toolchain);
    let wanted = Wanted {
        request,
        identity: &identity,
        merged: &merged,
        toolchain: &toolchain,
        key: &key,
    };
    let work = Work::begin(&wanted, cache, progress, cancel)?;
    let mut rung = work.rung()?;
    let source = cache.scratch()?;
    let (paths, room) = work.room(&rung, &source)?;
    let site = work.site(room, &paths, false);
    let mut changes = work.changes(&work.apply(&BTreeMap::new())?, &rung.base);
    let entry = |path: &PathBuf| work.pristine.manifest.entries.get(path).copied();
    let own = files
        .iter()
        .filter_map(|path| Some((path.clone(), work.pristine.tree.join(path), entry(path)?)));
    changes.written.extend(own);
    work.spread(&changes, &site, &source.path().join("upper"), &mut rung.placed)?;
    if work.may_change_config(&changes) {
        let (file, _) = work.input("merged.config", &work.wanted.merged.text(None))?;
        site.configure(&file)?;
    }
    site.compile(None, &[], |_| None)?;
    let log = work.log.path();
    let bytes = std::fs::read(log).map_err(failed("read", log))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Ladder {
    /// The last rung, if it stands where `work` wants to build; a fresh one otherwise.
    fn rung(&mut self, work: &Work<'_>) -> Result<Rung, KernelError> {
        match self.rung.take() {
            Some(rung) if rung.on == work.stands_on() => Ok(rung),
            Some(_) | None => work.rung(),
        }
    }
}

impl Work<'_> {
    /// What a build folder must stand on for this kernel.
    fn stands_on(&self) -> String {
        let config = self.base_config();
        format!(
            "{} {} {}",
            self.pristine.id,
            self.worktree_name(&config),
            self.wanted.merged.id()
        )
    }

    /// A fresh layer over the base.
    fn rung(&self) -> Result<Rung, KernelError> {
        let base = self.base()?;
        let layers = self.cache.scratch()?;
        for part in ["upper", "work"] {
            let dir = layers.path().join(part);
            std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        Ok(Rung {
            base,
            on: self.stands_on(),
            layers,
            placed: BTreeMap::new(),
            configured: false,
        })
    }

    /// What make sees: a fresh layer over the source, and the rung's over the base's build folder.
    fn room(&self, rung: &Rung, source: &Scratch) -> Result<(Paths, Room), KernelError> {
        for part in ["upper", "work"] {
            let dir = source.path().join(part);
            std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let (_, input) = self.input("merged.config", &self.wanted.merged.text(None))?;
        let paths = Paths::of(&rung.base.worktree, self.cache);
        let room = Room::new(Mode::Bubblewrap)
            .overlay(&paths.tree, source.path(), "/src")
            .overlay(&paths.build, rung.layers.path(), "/build")
            .ro(&paths.ccache, "/ccache")
            .ro(&input, "/in");
        Ok((paths, room))
    }

    /// A kernel with series, or of a source that differs a little: make writes into throwaway layers over the base.
    pub(super) fn in_overlay(&self, delta: &Delta, ladder: &mut Ladder) -> Result<(), KernelError> {
        let mut rung = ladder.rung(self)?;
        let made = self.on_rung(delta, &mut rung);
        // What a make that was cut off left is not built upon.
        if matches!(made, Ok(()) | Err(KernelError::Build(_) | KernelError::Config(_))) {
            ladder.rung = Some(rung);
        }
        made
    }

    fn on_rung(&self, delta: &Delta, rung: &mut Rung) -> Result<(), KernelError> {
        let source = self.cache.scratch()?;
        let (paths, room) = self.room(rung, &source)?;
        let site = self.site(room, &paths, false);
        let (over_src, upper) = (source.path().join("upper"), rung.layers.path().join("upper"));
        let changes = self.changes(delta, &rung.base);
        self.spread(&changes, &site, &over_src, &mut rung.placed)?;
        if rung.configured || self.may_change_config(&changes) {
            let (file, _) = self.input("merged.config", &self.wanted.merged.text(None))?;
            rung.configured = true;
            site.configure(&file)?;
        }
        let config = newest(&[&upper, &paths.build], Path::new(".config"))?;
        self.verify(&config, Some(delta))?;
        let content = |file: &Path| newest(&[&over_src, &paths.tree], file).ok();
        // As many steps as the same worktree's last series took.
        let memory = self
            .cache
            .root()
            .join("stat")
            .join(format!("{}.steps", self.worktree_name(&self.base_config())));
        let total = std::fs::read_to_string(&memory)
            .ok()
            .and_then(|t| t.trim().parse().ok());
        let steps = site.compile(total, &delta.patches, content)?;
        let _ = write_atomic(&memory, steps.to_string().as_bytes());
        self.store(delta, &[&upper, &paths.build])
    }

    /// Puts the patched files into the fresh upper layer, each with the time that make knows it by.
    /// Removals go through the overlay itself, which alone knows how to note them, and come first.
    fn spread(
        &self,
        changes: &Changes,
        site: &Site<'_>,
        upper: &Path,
        placed: &mut BTreeMap<PathBuf, (Entry, SystemTime)>,
    ) -> Result<(), KernelError> {
        for some in changes.removed.chunks(1000) {
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
        let now = SystemTime::now();
        let mut wanted: BTreeMap<&PathBuf, (PathBuf, Entry)> = BTreeMap::new();
        // What an earlier kernel had changed, and this one has as the source does.
        for path in placed.keys().filter(|path| !changes.removed.contains(path)) {
            if let Some(entry) = self.pristine.manifest.entries.get(path) {
                wanted.insert(path, (self.pristine.tree.join(path), *entry));
            }
        }
        for (path, from, entry) in &changes.written {
            wanted.insert(path, (from.clone(), *entry));
        }
        let mut times = BTreeMap::new();
        for (path, (from, entry)) in wanted {
            let to = upper.join(path);
            put(&from, &to, &entry)?;
            let time = match placed.get(path) {
                Some((had, time)) if *had == entry => *time,
                Some(_) | None => now,
            };
            // A link has no time of its own that make would ask for.
            if std::fs::symlink_metadata(&to).is_ok_and(|meta| meta.is_file()) {
                File::options()
                    .write(true)
                    .open(&to)
                    .and_then(|file| file.set_modified(time))
                    .map_err(failed("write", &to))?;
            }
            times.insert(path.clone(), (entry, time));
        }
        *placed = times;
        Ok(())
    }
}

fn put(from: &Path, to: &Path, entry: &Entry) -> Result<(), KernelError> {
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
    }
    if std::fs::symlink_metadata(to).is_ok() {
        std::fs::remove_file(to).map_err(failed("remove", to))?;
    }
    Ok(tree::place(from, to, entry).map_err(|e| Infra::from(failed("write", to)(e)))?)
}
