//! Tests of `cache`.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("c"), DEFAULT_LIMIT_BYTES).unwrap();
    (dir, cache)
}

fn put(cache: &Cache, name: &str, age_s: u64) {
    let scratch = cache.scratch().unwrap();
    let dir = scratch.path().join("k");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("bzImage"), vec![1; 1 << 20]).unwrap();
    let place = cache.publish(Shelf::Kernels, name, &dir).unwrap();
    let stamp = File::options()
        .write(true)
        .open(place.join("entry.json"))
        .unwrap();
    stamp
        .set_modified(SystemTime::now() - Duration::from_secs(age_s))
        .unwrap();
}

fn names(cache: &Cache) -> Vec<String> {
    cache.list().unwrap().into_iter().map(|e| e.name).collect()
}

#[test]
fn least_recently_used_goes_first_and_what_is_used_stays() {
    let (_dir, cache) = cache();
    for (name, age_s) in [("old", 300), ("mid", 200), ("new", 100)] {
        put(&cache, name, age_s);
    }
    assert_eq!(names(&cache), ["new", "mid", "old"]);
    let total: u64 = cache.list().unwrap().iter().map(|e| e.bytes).sum();
    assert!((3 << 20..4 << 20).contains(&total), "{total}");
    let held = cache.share(Shelf::Kernels, "old").unwrap();
    let gone = cache.prune(total - 1).unwrap();
    assert_eq!(gone.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["mid"]);
    drop(held);
    cache.touch(Shelf::Kernels, "old");
    assert_eq!(cache.prune(total / 2).unwrap()[0].name, "new");
    assert_eq!(names(&cache), ["old"]);
    assert!(cache.prune(0).unwrap().len() == 1 && names(&cache).is_empty());
}

#[test]
fn scratch_of_the_living_stays_and_of_the_dead_goes() {
    let (dir, cache) = cache();
    let mine = cache.scratch().unwrap();
    let dead = cache.root().join("tmp/1-1");
    std::fs::create_dir_all(dead.join("work/work")).unwrap();
    std::fs::set_permissions(dead.join("work/work"), std::fs::Permissions::from_mode(0o000)).unwrap();
    Cache::open(&dir.path().join("c"), 0).unwrap();
    assert!(mine.path().exists() && !dead.exists());
    let path = mine.path().to_path_buf();
    drop(mine);
    assert!(!path.exists());
}
