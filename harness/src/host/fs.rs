//! File operations that several parts need: atomic writes, free space, removing what overlayfs left.
//!
//! Not here: where things are kept (`dirs`), and locking (`lock`).

use nix::sys::statvfs::statvfs;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file so that readers see the old content or the new, never a part, even after a crash.
///
/// # Errors
/// Those of the file system; the old content then stands, and nothing is left beside it.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself lasts only once the folder is on disk.
    std::fs::File::open(dir)?.sync_all()
}

/// Bytes that an ordinary user may still write to the file system of `path`.
///
/// # Errors
/// Those of statvfs.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let fs = statvfs(path)?;
    Ok(fs.blocks_available().saturating_mul(fs.fragment_size()))
}

/// Bytes on disk below `path`, links not followed. What cannot be read counts as nothing.
#[must_use]
pub fn usage(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = walkdir::WalkDir::new(path).into_iter().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.blocks() * 512)
        .sum()
}

/// Removes a folder and all in it, folders without permissions included (overlayfs and tests of compilers make
/// such); one that is not there is no error. Nobody may be writing there any more.
///
/// # Errors
/// Those of the file system.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(path)?;
            std::fs::remove_dir_all(path)
        }
        other => other,
    }
}

/// Lets the owner into every folder below `path`.
fn open_folders(path: &Path) -> io::Result<()> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"two").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tree_without_permissions_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", tree.join("a/link")).unwrap();
        for path in [tree.join("a/b"), tree.join("a")] {
            std::fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        }
        // As root the plain removal succeeds; both ways must.
        open_folders(&tree).unwrap();
        std::fs::set_permissions(tree.join("a"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn usage_counts_what_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let empty = usage(dir.path());
        std::fs::write(dir.path().join("file"), vec![1; 1 << 20]).unwrap();
        assert!(usage(dir.path()) >= empty + (1 << 20));
        assert!(free_space(dir.path()).unwrap() > 0);
    }
}
