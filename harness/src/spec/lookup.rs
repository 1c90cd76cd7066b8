//! What exists outside of a matrix file: fragments, series, paths.

use std::path::{Path, PathBuf};

/// What a matrix file may refer to. A trait, so that files can be checked without a disk.
pub trait Lookup {
    /// Names of the kconfig fragments there are.
    fn kconfigs(&self) -> Vec<String>;
    /// Names of the series there are.
    fn series(&self) -> Vec<String>;
    /// Names of the racepoints there are; `None` where that is not known, and every name is taken.
    fn racepoints(&self) -> Option<Vec<String>> {
        None
    }
    /// What lies at an absolute path.
    fn at(&self, path: &Path) -> Lies;
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// Nothing, or nothing that we may see.
    Nothing,
    /// A file.
    File,
    /// A directory.
    Folder,
}

/// The folders of the project: `kconfigs/*.config`, and folders of `patches/` that hold a `series.yaml`.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Folder of the fragments.
    pub kconfigs: PathBuf,
    /// Folder of the series.
    pub patches: PathBuf,
}

impl Lookup for Folders {
    fn kconfigs(&self) -> Vec<String> {
        let files = entries(&self.kconfigs).into_iter().filter(|p| p.is_file());
        names(
            files
                .filter(|p| p.extension().is_some_and(|e| e == "config"))
                .map(|p| p.with_extension("")),
        )
    }

    fn series(&self) -> Vec<String> {
        names(
            entries(&self.patches)
                .into_iter()
                .filter(|p| p.join("series.yaml").is_file()),
        )
    }

    /// From the names of the patches, `NNNN-site-NAME.patch`, of the series whose kind is `racepoint`.
    fn racepoints(&self) -> Option<Vec<String>> {
        let folders = entries(&self.patches).into_iter();
        let of_kind = folders.filter(|f| {
            super::series::load(&f.join("series.yaml"))
                .is_ok_and(|s| s.kind == super::series::Kind::Racepoint)
        });
        let patches = of_kind.flat_map(|f| names(entries(&f).into_iter()));
        let mut sites: Vec<String> = patches.filter_map(|n| site(&n)).collect();
        sites.sort();
        sites.dedup();
        (!sites.is_empty()).then_some(sites)
    }

    fn at(&self, path: &Path) -> Lies {
        match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => Lies::Folder,
            Ok(_) => Lies::File,
            Err(_) => Lies::Nothing,
        }
    }
}

/// A folder that can't be read has no entries: what is asked of it is then told as missing, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .collect()
}

fn site(patch: &str) -> Option<String> {
    let (number, name) = patch.strip_suffix(".patch")?.split_once("-site-")?;
    number
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| name.to_owned())
}

fn names(paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
    let mut names: Vec<_> = paths
        .filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}
