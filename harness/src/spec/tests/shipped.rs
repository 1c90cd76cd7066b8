//! What ships with the project: every matrix, series and fragment of it is right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Folders, Lies, Lookup, Spec, load, series};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folders() -> Folders {
    Folders {
        kconfigs: root().join("kconfigs"),
        patches: root().join("patches"),
    }
}

fn matrix(path: &Path) -> Spec {
    load(path, &folders()).unwrap_or_else(|e| panic!("{}", e.render_plain()))
}

#[test]
fn every_matrix_is_right() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("workflows")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let spec = matrix(&path);
            assert!(
                !spec.kernels.is_empty() && !spec.cases.is_empty(),
                "{}",
                path.display()
            );
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(names.contains(&"demo.yaml".to_owned()), "{names:?}");
}

#[test]
fn the_demo_is_what_the_readme_says() {
    let spec = matrix(&root().join("workflows/demo.yaml"));
    assert_eq!(spec.kernels.keys().collect::<Vec<_>>(), ["fixed", "defect"]);
    assert_eq!(spec.kernels["fixed"].kconfigs, spec.kernels["defect"].kconfigs);
    assert_eq!(spec.kernels["defect"].series.len(), 2);
    assert_eq!(spec.machines["small"].swap, Some(8 << 20));
    assert_eq!(spec.cases["pressure"].budget, Duration::from_secs(30));
}

#[test]
fn every_series_is_right_and_says_what_it_fits() {
    let folders = folders();
    assert!(folders.series().iter().any(|n| n == "zswap-writeback-race"));
    assert!(!folders.series().iter().any(|n| n.contains("LICENSE")));
    for name in folders.series() {
        let file = folders.patches.join(name).join("series.yaml");
        let series = series::load(&file).unwrap_or_else(|e| panic!("{}", e.render_plain()));
        // A tree of the same release that is not the package must do as well.
        let takes_any_tree = |release| series.fits.iter().any(|fit| fit.takes(None, release));
        assert!(
            takes_any_tree((6, 12)) || takes_any_tree((6, 1)),
            "{}",
            file.display()
        );
    }
    assert!(
        folders
            .racepoints()
            .unwrap()
            .iter()
            .any(|n| n == "zswap_writeback")
    );
}

#[test]
fn folders_are_told_from_nothing() {
    let folders = folders();
    assert!(folders.kconfigs().iter().any(|n| n == "base"));
    assert_eq!(
        (folders.at(&root()), folders.at(&root().join("nothing"))),
        (Lies::Folder, Lies::Nothing)
    );
    let nowhere = Folders {
        kconfigs: root().join("nothing"),
        patches: root().join("nothing"),
    };
    assert!(nowhere.kconfigs().is_empty() && nowhere.series().is_empty() && nowhere.racepoints().is_none());
}
