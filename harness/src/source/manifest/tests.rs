//! Tests of `manifest`.

use super::*;

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mm")).unwrap();
    std::fs::write(dir.path().join("mm/a.c"), "a").unwrap();
    std::fs::write(dir.path().join("mm/b.c"), "b").unwrap();
    std::os::unix::fs::symlink("a.c", dir.path().join("mm/l")).unwrap();
    dir
}

fn reading(dir: &Path, known: &StatCache) -> Reading {
    read(dir, &list(dir).unwrap(), known).unwrap()
}

#[test]
fn difference_names_only_what_changed() {
    let dir = tree();
    let before = reading(dir.path(), &StatCache::default()).manifest;
    std::fs::write(dir.path().join("mm/a.c"), "A").unwrap();
    std::fs::remove_file(dir.path().join("mm/b.c")).unwrap();
    std::fs::remove_file(dir.path().join("mm/l")).unwrap();
    std::fs::write(dir.path().join("mm/l"), "a.c").unwrap();
    let after = reading(dir.path(), &StatCache::default()).manifest;
    assert_eq!(
        before.difference(&after),
        Difference {
            removed: vec!["mm/b.c".into(), "mm/l".into()],
            written: vec!["mm/a.c".into(), "mm/l".into()]
        }
    );
    assert_ne!(before.id(), after.id());
    assert_eq!(after.difference(&after), Difference::default());
}

#[test]
fn stored_manifest_comes_back_and_damage_is_told() {
    let dir = tree();
    let manifest = reading(dir.path(), &StatCache::default()).manifest;
    let file = dir.path().join("manifest");
    manifest.save(&file).unwrap();
    assert_eq!(Manifest::load(&file).unwrap(), manifest);
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(
        Manifest::load(&file),
        Err(ManifestError::Damaged { .. })
    ));
}

#[test]
fn only_files_that_may_have_changed_are_read_again() {
    let dir = tree();
    let old = SystemTime::now() - std::time::Duration::from_secs(60);
    let first = reading(dir.path(), &StatCache::default());
    assert_eq!(first.hashed, 3);
    assert!(
        first.stats.known.is_empty(),
        "just written: their times cannot be trusted yet"
    );
    // What a scan a minute later would have remembered.
    let mut stats = StatCache::default();
    for (path, entry) in &first.manifest.entries {
        let meta = std::fs::symlink_metadata(dir.path().join(path)).unwrap();
        stats.known.insert(path.clone(), (Stamp::of(&meta), entry.hash));
    }
    let file = dir.path().join("stats");
    stats.save(&file).unwrap();
    let stats = StatCache::load(&file);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(reading(dir.path(), &stats).hashed, 0);
    // Same size, and a modification time that is older than before: still noticed.
    std::fs::write(dir.path().join("mm/a.c"), "Z").unwrap();
    std::fs::File::open(dir.path().join("mm/a.c"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let again = reading(dir.path(), &stats);
    assert_eq!(again.hashed, 1);
    assert_ne!(again.manifest, first.manifest);
}

#[test]
fn a_pipe_in_a_tree_is_refused() {
    let dir = tree();
    nix::unistd::mkfifo(&dir.path().join("p"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let paths = list(dir.path()).unwrap();
    assert!(matches!(
        read(dir.path(), &paths, &StatCache::default()),
        Err(ManifestError::Special { .. })
    ));
}
