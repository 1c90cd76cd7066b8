//! Control groups of one sandbox: the only bound on what many processes use up together.
//!
//! Both hierarchies are known: version 1 (one per controller) and version 2, where a group beside ours is
//! possible if our parent is ours to write and hands the controllers down. Joining is the sandbox role's,
//! removing the keeper's, which outlives everything inside. Not here: limits of single processes.

use super::procfs;
use super::sandbox::Limits;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names start with this, then the number of the process that made them.
const PREFIX: &str = "patchproof.";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A hierarchy of control groups in which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: u8,
    /// Where groups are made.
    parent: PathBuf,
}

/// Makes the groups that enforce `limits`; none where nothing is limited that groups can limit.
///
/// On error nothing is left behind, and the reason says what was missing.
pub(super) fn make(limits: &Limits) -> Result<Vec<PathBuf>, String> {
    let wanted: Vec<(&str, u64)> = [("memory", limits.memory), ("pids", limits.processes)]
        .into_iter()
        .filter_map(|(controller, limit)| Some((controller, limit?)))
        .collect();
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let (mounts, own) = match wanted.is_empty() {
        true => return Ok(Vec::new()),
        false => (read("/proc/self/mounts")?, read("/proc/self/cgroup")?),
    };
    let maker = procfs::own().ok_or("/proc does not show us")?.pid;
    let name = format!("{PREFIX}{maker}.{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut made = Vec::new();
    for (controller, limit) in wanted {
        let group = hierarchy(controller, &mounts, &own)
            .ok_or_else(|| format!("no control group can be made for {controller}"))
            .and_then(|hierarchy| {
                make_one(&hierarchy, &name, controller, limit, &mut made)
                    .map_err(|error| format!("{} for {controller}: {error}", hierarchy.parent.display()))
            });
        if let Err(why) = group {
            made.iter().for_each(|group| remove(group));
            return Err(why);
        }
    }
    Ok(made)
}

/// Removes a group that nothing runs in any more; one that is gone already is no error.
pub(super) fn remove(group: &Path) {
    let _ = std::fs::remove_dir(group);
}

fn make_one(
    hierarchy: &Hierarchy,
    name: &str,
    controller: &str,
    limit: u64,
    made: &mut Vec<PathBuf>,
) -> io::Result<()> {
    remove_abandoned(&hierarchy.parent);
    let group = hierarchy.parent.join(name);
    if !made.contains(&group) {
        std::fs::create_dir(&group)?;
        made.push(group.clone());
    }
    let (knob, no_swap) = match (controller, hierarchy.version) {
        ("memory", 1) => ("memory.limit_in_bytes", Some("memory.memsw.limit_in_bytes")),
        ("memory", _) => ("memory.max", Some("memory.swap.max")),
        (_, _) => ("pids.max", None),
    };
    std::fs::write(group.join(knob), limit.to_string())?;
    if let Some(knob) = no_swap.map(|knob| group.join(knob)).filter(|knob| knob.exists()) {
        // Version 1 counts memory and swap together, version 2 swap alone.
        std::fs::write(
            knob,
            if hierarchy.version == 1 {
                limit.to_string()
            } else {
                "0".to_owned()
            },
        )?;
    }
    Ok(())
}

/// Finds where groups for `controller` can be made.
fn hierarchy(controller: &str, mounts: &str, own: &str) -> Option<Hierarchy> {
    let mount = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, at, fstype, options, ..] = fields[..] else {
                return None;
            };
            let fits = fstype == kind && (option.is_empty() || options.split(',').any(|o| o == option));
            fits.then(|| PathBuf::from(at))
        })
    };
    let path = |of: &str| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers
                .split(',')
                .any(|name| name == of)
                .then(|| path.trim_start_matches('/').to_owned())
        })
    };
    if let (Some(root), Some(path)) = (mount("cgroup", controller), path(controller)) {
        return Some(Hierarchy {
            version: 1,
            parent: root.join(path),
        });
    }
    let ours = mount("cgroup2", "")?.join(path("")?);
    // A group with processes cannot hand controllers down: the new one is our sibling, unless we are at the root.
    let parent = [ours.parent()?, &ours].into_iter().find(|dir| {
        let handed_down = std::fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
        handed_down.split_whitespace().any(|name| name == controller)
    })?;
    Some(Hierarchy {
        version: 2,
        parent: parent.to_owned(),
    })
}

/// Removes empty groups whose maker is gone, as after a power cut of a keeper.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_found_by_controller() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n";
        let own = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/\n";
        let found = hierarchy("memory", mounts, own).unwrap();
        assert_eq!(
            found,
            Hierarchy {
                version: 1,
                parent: "/sys/fs/cgroup/memory/a/b".into()
            }
        );
        assert_eq!(hierarchy("pids", mounts, own), None);
    }

    #[test]
    fn version_2_needs_the_controller_handed_down() {
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("user.slice");
        std::fs::create_dir_all(slice.join("app.scope")).unwrap();
        std::fs::write(slice.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", root.path().display());
        let own = "0::/user.slice/app.scope\n";
        assert_eq!(
            hierarchy("memory", &mounts, own),
            Some(Hierarchy {
                version: 2,
                parent: slice
            })
        );
        assert_eq!(hierarchy("pids", &mounts, own), None);
    }

    #[test]
    fn without_limits_there_are_no_groups() {
        assert_eq!(make(&Limits::default()), Ok(Vec::new()));
    }
}
