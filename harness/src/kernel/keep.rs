//! What is kept of a build: image, symbols, configuration, log and record, put on the shelf.
//!
//! Not here: building, and the record's shape.

use super::make::Work;
use super::record::{KernelRecord, RECIPE, SeriesRecord};
use super::{BuildStep, Infra, KernelError, put};
use crate::host::Mode;
use crate::source::cache::{Shelf, failed};
use crate::source::manifest::hash_file;
use crate::source::{Delta, in_order};
use std::path::{Path, PathBuf};

impl Work<'_> {
    /// Takes what is kept out of the layers of a build folder (top first), and puts it on the shelf.
    pub(super) fn store(&self, delta: &Delta, layers: &[&PathBuf]) -> Result<(), KernelError> {
        (self.progress)(BuildStep::Storing);
        let layers: Vec<&Path> = layers.iter().map(|l| l.as_path()).collect();
        let dir = self.scratch.path().join("kernel");
        std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        for (name, from) in [
            ("bzImage", "arch/x86/boot/bzImage"),
            ("vmlinux", "vmlinux"),
            ("config", ".config"),
        ] {
            let from = newest(&layers, Path::new(from))?;
            let to = dir.join(name);
            std::fs::copy(&from, &to).map_err(failed("copy", &from))?;
            std::fs::File::open(&to)
                .and_then(|f| f.sync_all())
                .map_err(failed("write", &to))?;
        }
        std::fs::copy(self.log.path(), dir.join("build.log")).map_err(failed("copy", self.log.path()))?;
        let hash = |name: &str| -> Result<String, KernelError> {
            let path = dir.join(name);
            Ok(hash_file(&path)
                .map_err(failed("read", &path))?
                .to_hex()
                .to_string())
        };
        let (wanted, request) = (self.wanted, self.wanted.request);
        let record = KernelRecord {
            recipe: RECIPE,
            key: wanted.key.to_owned(),
            source: wanted.identity.id.clone(),
            source_shown: wanted.identity.shown.clone(),
            series: in_order(&request.series)
                .into_iter()
                .map(SeriesRecord::of)
                .collect(),
            notes: delta.notes.clone(),
            racepoints: delta.racepoints.clone(),
            fragments: request.fragments.clone(),
            config_hash: Some(hash("config")?),
            toolchain: Some(wanted.toolchain.clone()),
            sandbox: request.sandbox == Mode::Bubblewrap,
            build_s: Some(self.start.elapsed().as_secs_f64()),
            bzimage_hash: hash("bzImage")?,
        };
        put(
            &dir,
            "kernel.json",
            &serde_json::to_vec_pretty(&record).unwrap_or_default(),
        )?;
        self.cache.publish(Shelf::Kernels, wanted.key, &dir)?;
        Ok(())
    }
}

/// The file of that name in the topmost layer that has it. The layers were written by untrusted tools that
/// have ended: a link on the way, or anything but a file, is refused.
pub(super) fn newest(layers: &[&Path], name: &Path) -> Result<PathBuf, KernelError> {
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
    Err(Infra::NoResult {
        path: name.to_path_buf(),
    }
    .into())
}
