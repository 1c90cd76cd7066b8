//! Applying series: which files of a pristine tree become what, and how exactly the patches fitted.
//!
//! Nothing is applied to a tree. The files that the patches name are copied into a scratch folder, git
//! applies the patches there (in the sandbox, which shows it that folder and nothing else of ours), and
//! what comes out is a [`Delta`]: files to write and files to remove. So a patch cannot touch what it
//! does not name, the pristine tree is never near it, and the cost is that of the patch, not of the tree.
//!
//! A patch is applied exactly if it can be. What was not exact (an offset, less context, a three-way
//! merge) is a [`Note`] in the kernel's record. One that cannot be applied is an [`ApplyFailure`]: a value
//! about the series. Only a racepoint site that does not fit is left out instead, and listed.

use super::cache::{Cache, CacheError, Scratch, failed};
use super::delta::{ApplyFailure, Delta, InPatch, Inexact, Note, Racepoints};
use super::gitout::{self, Refusal, Remark};
use super::job::{Cancel, Stopped};
use super::manifest::{self, Manifest, ManifestError, StatCache};
use super::patch::{self, FilePatch};
use super::room::Room;
use super::series::{Patch, Series, SeriesKind};
use crate::host::{Cmd, Mode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why series could not be applied.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ApplyError {
    /// The series' own fault.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Failure(Box<ApplyFailure>),
    /// The cache folder's.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// A tree could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Manifest(#[from] ManifestError),
    /// git could not be run, or we were told to stop.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stopped(#[from] Stopped),
}

impl From<ApplyFailure> for ApplyError {
    fn from(failure: ApplyFailure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// What series are applied to, and how.
#[derive(Debug)]
pub struct Apply<'a> {
    /// The pristine tree.
    pub tree: &'a Path,
    /// A git repository that may hold the versions that the patches were made on.
    pub repo: Option<&'a Path>,
    /// Racepoint sites to leave out, and why.
    pub without: &'a BTreeMap<String, String>,
    /// Whether git runs in the sandbox.
    pub mode: Mode,
    /// For the scratch folder.
    pub cache: &'a Cache,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// Longest that one patch may take; the biggest that are let in take seconds.
const APPLY_DEADLINE: Duration = Duration::from_secs(120);

impl Apply<'_> {
    /// Applies the series in order (racepoints last, see [`super::series::in_order`]).
    ///
    /// # Errors
    /// [`ApplyError::Failure`] for the first patch that does not apply.
    pub fn run(&self, series: &[&Series]) -> Result<Delta, ApplyError> {
        let mut delta = Delta {
            scratch: None,
            written: vec![],
            removed: vec![],
            after: Manifest::default(),
            notes: vec![],
            racepoints: Racepoints::default(),
            patches: vec![],
        };
        if series.is_empty() {
            return Ok(delta);
        }
        let mut desk = Desk::new(self)?;
        for one in series {
            for (index, patch) in one.patches.iter().enumerate() {
                let site = (one.kind == SeriesKind::Racepoint && index > 0).then(|| patch.site().to_owned());
                desk.one(self, one, patch, site, &mut delta)?;
            }
        }
        desk.finish(delta)
    }
}

/// The scratch folder while patches are applied in it.
struct Desk {
    scratch: Scratch,
    work: PathBuf,
    room: Room,
    before: BTreeSet<PathBuf>,
    pristine: Manifest,
    objects: Option<GitObjects>,
    count: u32,
}

/// A git folder of our own that borrows the objects of the source's repository.
struct GitObjects {
    git_dir: PathBuf,
    alternates: String,
}

impl Desk {
    fn new(apply: &Apply<'_>) -> Result<Self, ApplyError> {
        let scratch = apply.cache.scratch()?;
        let work = scratch.path().join("work");
        let patches = scratch.path().join("patches");
        for dir in [&work, &patches] {
            std::fs::create_dir(dir).map_err(failed("create", dir))?;
        }
        let mut room = Room::new(apply.mode).rw(&work, "/work").ro(&patches, "/patches");
        let mut objects = None;
        if let Some(repo) = apply.repo {
            let git_dir = scratch.path().join("git");
            std::fs::create_dir(&git_dir).map_err(failed("create", &git_dir))?;
            room = room.rw(&git_dir, "/git");
            let mut shown = Vec::new();
            for (index, dir) in super::git::object_dirs(repo, apply.cancel)?.iter().enumerate() {
                let at = format!("/objects/{index}");
                room = room.ro(dir, &at);
                shown.push(room.seen(dir).display().to_string());
            }
            objects = Some(GitObjects {
                git_dir: room.seen(&git_dir),
                alternates: shown.join(":"),
            });
        }
        room = room.cwd(&work);
        Ok(Self {
            work,
            room,
            before: BTreeSet::new(),
            pristine: Manifest::default(),
            objects,
            count: 0,
            scratch,
        })
    }

    fn one(
        &mut self,
        apply: &Apply<'_>,
        series: &Series,
        patch: &Patch,
        site: Option<String>,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        let outcome = match site.as_ref().and_then(|s| apply.without.get(s)) {
            Some(why) => Err(Refusal {
                file: None,
                hunk: None,
                reason: why.clone(),
            }),
            None => self.try_one(apply, patch)?,
        };
        match (outcome, site) {
            (Ok((files, notes)), site) => {
                let converted = patch
                    .notes
                    .iter()
                    .map(|how| (None, Inexact::Converted { how: how.clone() }));
                delta
                    .notes
                    .extend(converted.chain(notes).map(|(file, what)| Note {
                        series: series.name.clone(),
                        patch: patch.name.clone(),
                        file,
                        what,
                    }));
                delta.racepoints.applied.extend(site.clone());
                delta.patches.push(InPatch {
                    series: series.name.clone(),
                    kind: series.kind,
                    patch: patch.name.clone(),
                    site,
                    files,
                });
                Ok(())
            }
            (Err(refusal), Some(site)) => {
                delta.racepoints.dropped.push((site, refusal.told()));
                Ok(())
            }
            (Err(refusal), None) => Err(ApplyFailure {
                series: series.name.clone(),
                kind: series.kind,
                patch: patch.name.clone(),
                file: refusal.file,
                hunk: refusal.hunk,
                reason: refusal.reason,
            }
            .into()),
        }
    }

    fn try_one(&mut self, apply: &Apply<'_>, patch: &Patch) -> Result<Result<Fitted, Refusal>, ApplyError> {
        let files = match patch::read(&patch.bytes) {
            Ok(files) => files,
            Err(defect) => {
                let file = defect.path().map(Path::to_path_buf);
                return Ok(Err(Refusal {
                    file,
                    hunk: None,
                    reason: defect.to_string(),
                }));
            }
        };
        for path in files.iter().flat_map(|f| f.old.iter().chain(&f.new)) {
            if let Err(refusal) = self.stage(apply.tree, path)? {
                return Ok(Err(refusal));
            }
        }
        self.count += 1;
        let file = self
            .scratch
            .path()
            .join("patches")
            .join(format!("{:04}.patch", self.count));
        std::fs::write(&file, &patch.bytes).map_err(failed("write", &file))?;
        let shown = self.room.seen(&file);
        let (fits, said) = self.git(apply, &["apply", "-v", "--whitespace=nowarn"], &shown)?;
        if fits {
            return Ok(Ok((files, notes_of(&said))));
        }
        let refusal = gitout::refusal(&said, &files);
        if self.objects.is_some() && self.three_way(apply, &files, &shown)? {
            return Ok(Ok((files, vec![(None, Inexact::ThreeWay)])));
        }
        for context in ["-C2", "-C1"] {
            let (fits, said) = self.git(apply, &["apply", "-v", "--whitespace=nowarn", context], &shown)?;
            if fits {
                return Ok(Ok((files, notes_of(&said))));
            }
        }
        Ok(Err(refusal))
    }

    /// Copies what a path is in the tree into the work folder, once.
    fn stage(&mut self, tree: &Path, path: &Path) -> Result<Result<(), Refusal>, ApplyError> {
        if !self.before.insert(path.to_path_buf()) {
            return Ok(Ok(()));
        }
        let refuse = |reason: String| Refusal {
            file: Some(path.to_path_buf()),
            hunk: None,
            reason,
        };
        let depth = path.components().count();
        let mut at = PathBuf::new();
        for (index, part) in path.components().enumerate() {
            at.push(part);
            let (from, to) = (tree.join(&at), self.work.join(&at));
            let Ok(meta) = std::fs::symlink_metadata(&from) else {
                return Ok(Ok(()));
            };
            if meta.is_symlink() && index + 1 < depth {
                return Ok(Err(refuse(format!("{} is a symbolic link", at.display()))));
            }
            if std::fs::symlink_metadata(&to).is_ok() {
                continue;
            }
            if meta.is_dir() {
                std::fs::create_dir(&to).map_err(failed("create", &to))?;
                continue;
            }
            if meta.is_symlink() {
                let target = std::fs::read_link(&from).map_err(failed("read", &from))?;
                std::os::unix::fs::symlink(target, &to).map_err(failed("create", &to))?;
            } else {
                super::tree::copy_file(&from, &to).map_err(failed("create", &to))?;
            }
            let known = manifest::read(&self.work, std::slice::from_ref(&at), &StatCache::default())?;
            self.pristine.entries.extend(known.manifest.entries);
            if index + 1 < depth {
                return Ok(Ok(()));
            }
        }
        Ok(Ok(()))
    }

    fn git(&self, apply: &Apply<'_>, args: &[&str], last: &Path) -> Result<(bool, String), ApplyError> {
        // git must find no repository around the folder, and no configuration.
        let mut cmd = Cmd::new("git")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env(
                "GIT_CEILING_DIRECTORIES",
                self.room.seen(&self.work).parent().unwrap_or(Path::new("/")),
            )
            .env("GIT_ATTR_NOSYSTEM", "1");
        if let Some(objects) = &self.objects {
            cmd = cmd
                .env("GIT_DIR", &objects.git_dir)
                .env("GIT_WORK_TREE", self.room.seen(&self.work))
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects.alternates);
        }
        let cmd = cmd
            .args([
                "-c",
                "core.symlinks=true",
                "-c",
                "core.autocrlf=false",
                "-c",
                "core.safecrlf=false",
            ])
            .args(args)
            .arg(last)
            .deadline(APPLY_DEADLINE, "a patch to be applied");
        let done = apply.cancel.run(self.room.wrap(cmd))?;
        Ok((done.success(), String::from_utf8_lossy(&done.stderr).into_owned()))
    }

    /// Merges with the versions that the patch names by hash; undoes what a conflict leaves.
    fn three_way(&self, apply: &Apply<'_>, files: &[FilePatch], patch: &Path) -> Result<bool, ApplyError> {
        let Some(objects) = &self.objects else {
            return Ok(false);
        };
        if self.count == 1 || !self.scratch.path().join("git/HEAD").exists() {
            self.git(apply, &["init", "--quiet", "--template="], &objects.git_dir)?;
        }
        let keep = self.scratch.path().join("keep");
        super::tree::copy_tree(&self.work, &keep).map_err(failed("copy", &keep))?;
        self.git(apply, &["add", "--all", "--force"], Path::new("."))?;
        let (fits, _) = self.git(apply, &["apply", "--3way", "--whitespace=nowarn"], patch)?;
        if fits {
            crate::host::fs::remove_tree(&keep).map_err(failed("remove", &keep))?;
            return Ok(!files.is_empty());
        }
        // The work folder itself stays: it is what the sandbox shows.
        for entry in std::fs::read_dir(&self.work)
            .map_err(failed("read", &self.work))?
            .flatten()
        {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            let gone = if is_dir {
                crate::host::fs::remove_tree(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.map_err(failed("remove", &path))?;
        }
        super::tree::copy_tree(&keep, &self.work).map_err(failed("copy", &self.work))?;
        crate::host::fs::remove_tree(&keep).map_err(failed("remove", &keep))?;
        Ok(false)
    }

    fn finish(self, mut delta: Delta) -> Result<Delta, ApplyError> {
        let paths = manifest::list(&self.work)?;
        let after = manifest::read(&self.work, &paths, &StatCache::default())?.manifest;
        for path in paths {
            if let Ok(target) = std::fs::read_link(self.work.join(&path))
                && !patch::link_stays_inside(&path, &target)
            {
                let blamed = delta
                    .patches
                    .iter()
                    .rfind(|p| p.files.iter().any(|f| f.path() == Some(&path)));
                return Err(ApplyFailure {
                    series: blamed.map(|p| p.series.clone()).unwrap_or_default(),
                    kind: blamed.map_or(SeriesKind::Carry, |p| p.kind),
                    patch: blamed.map(|p| p.patch.clone()).unwrap_or_default(),
                    reason: format!(
                        "it makes a link to {}, which is not inside the tree",
                        target.display()
                    ),
                    file: Some(path),
                    hunk: None,
                }
                .into());
            }
        }
        let difference = self.pristine.difference(&after);
        delta.removed = difference.removed;
        delta.written = difference.written;
        delta.after = after;
        delta.scratch = Some(self.scratch);
        Ok(delta)
    }
}

type Fitted = (Vec<FilePatch>, Vec<(Option<PathBuf>, Inexact)>);

impl Refusal {
    fn told(&self) -> String {
        let file = self
            .file
            .as_ref()
            .map(|f| format!("{}: ", f.display()))
            .unwrap_or_default();
        let hunk = self
            .hunk
            .as_ref()
            .map(|(n, _)| format!("hunk {n}: "))
            .unwrap_or_default();
        file + &hunk + &self.reason
    }
}

fn notes_of(said: &str) -> Vec<(Option<PathBuf>, Inexact)> {
    let note = |remark| match remark {
        Remark::Offset { file, hunk, lines } => (Some(file), Inexact::Offset { hunk, lines }),
        Remark::Fuzz { file, context } => (Some(file), Inexact::Fuzz { context }),
    };
    gitout::remarks(said).into_iter().map(note).collect()
}
