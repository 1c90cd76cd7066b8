//! What `git apply -v` says, as values.
//!
//! Not here: running it.

use super::patch::FilePatch;
use std::path::{Path, PathBuf};

/// One thing that was not exact when a patch was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remark {
    /// A hunk went elsewhere than its header said.
    Offset {
        file: PathBuf,
        hunk: u32,
        /// Later in the file where positive.
        lines: i64,
    },
    /// A hunk was placed by fewer lines of context than it has.
    Fuzz {
        file: PathBuf,
        /// Lines of context that matched, before and after.
        context: String,
    },
}

/// Reads the remarks of a patch that applied.
pub(super) fn remarks(stderr: &str) -> Vec<Remark> {
    let mut file = PathBuf::new();
    let mut found = Vec::new();
    for line in stderr.lines() {
        if let Some(name) = line
            .strip_prefix("Checking patch ")
            .and_then(|l| l.strip_suffix("..."))
        {
            // A rename is spelled `old => new`.
            file = PathBuf::from(name.rsplit_once(" => ").map_or(name, |(_, new)| new));
        } else if let Some(offset) = offset(line) {
            found.push(Remark::Offset {
                file: file.clone(),
                hunk: offset.0,
                lines: offset.1,
            });
        } else if let Some(rest) = line.strip_prefix("Context reduced to (") {
            let context = rest.split(')').next().unwrap_or_default().to_owned();
            found.push(Remark::Fuzz {
                file: file.clone(),
                context,
            });
        }
    }
    found
}

/// `Hunk #2 succeeded at 601 (offset -3 lines).`
fn offset(line: &str) -> Option<(u32, i64)> {
    let (number, rest) = line.strip_prefix("Hunk #")?.split_once(" succeeded at ")?;
    let (_, offset) = rest.split_once("(offset ")?;
    Some((number.parse().ok()?, offset.split(' ').next()?.parse().ok()?))
}

/// Why a patch did not apply, in the words of this project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In which file, where one is to blame.
    pub file: Option<PathBuf>,
    /// At which hunk: its number and header.
    pub hunk: Option<(u32, String)>,
    /// A fragment that follows "does not apply: ".
    pub reason: String,
}

/// Reads why a patch was refused.
pub(super) fn refusal(stderr: &str, files: &[FilePatch]) -> Refusal {
    let errors: Vec<&str> = stderr.lines().filter_map(|l| l.strip_prefix("error: ")).collect();
    let known = |name: &str| {
        files.iter().find(|f| {
            [&f.old, &f.new]
                .into_iter()
                .flatten()
                .any(|p| p == Path::new(name))
        })
    };
    for error in &errors {
        if let Some((file, line)) = error
            .strip_prefix("patch failed: ")
            .and_then(|e| e.rsplit_once(':'))
        {
            let start: Option<u32> = line.parse().ok();
            let hunk = known(file)
                .and_then(|f| f.hunks.iter().find(|h| Some(h.old_start) == start))
                .map(|h| (h.number, h.header.clone()));
            let reason = "the lines it expects are not there".to_owned();
            return Refusal {
                file: Some(file.into()),
                hunk,
                reason,
            };
        }
        if let Some((file, why)) = error.split_once(": ").filter(|(file, _)| known(file).is_some()) {
            let reason = match why {
                "No such file or directory" | "does not exist in index" => "there is no such file".to_owned(),
                "already exists in working directory" | "already exists in index" => {
                    "the file it creates is already there".to_owned()
                }
                other => other.to_owned(),
            };
            return Refusal {
                file: Some(file.into()),
                hunk: None,
                reason,
            };
        }
    }
    let said = errors
        .first()
        .copied()
        .or_else(|| stderr.lines().last())
        .unwrap_or("git gave no reason");
    Refusal {
        file: None,
        hunk: None,
        reason: said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::patch;

    #[test]
    fn offsets_and_fuzz_are_read() {
        let said = "Checking patch mm/zswap.c...\nHunk #1 succeeded at 201 (offset 3 lines).\nHunk #2 succeeded at 603 (offset -7 lines).\nContext reduced to (1/1) to apply fragment at 603\nChecking patch mm/a.c => mm/b.c...\nHunk #1 succeeded at 9 (offset 1 line).\nApplied patch mm/zswap.c cleanly.\n";
        let file = |f: &str| PathBuf::from(f);
        assert_eq!(
            remarks(said),
            [
                Remark::Offset {
                    file: file("mm/zswap.c"),
                    hunk: 1,
                    lines: 3
                },
                Remark::Offset {
                    file: file("mm/zswap.c"),
                    hunk: 2,
                    lines: -7
                },
                Remark::Fuzz {
                    file: file("mm/zswap.c"),
                    context: "1/1".into()
                },
                Remark::Offset {
                    file: file("mm/b.c"),
                    hunk: 1,
                    lines: 1
                },
            ]
        );
        assert_eq!(remarks("Checking patch x...\nApplied patch x cleanly.\n"), []);
    }

    #[test]
    fn refusals_name_file_and_hunk() {
        let text = "--- a/mm/x.c\n+++ b/mm/x.c\n@@ -3 +3 @@ f()\n-a\n+b\n@@ -90 +90 @@ g()\n-a\n+b\n";
        let files = patch::read(text.as_bytes()).unwrap();
        let check = |said: &str| refusal(said, &files);
        let failed = check(
            "Checking patch mm/x.c...\nerror: while searching for:\na\n\nerror: patch failed: mm/x.c:90\nerror: mm/x.c: patch does not apply\n",
        );
        assert_eq!(failed.file.as_deref(), Some(Path::new("mm/x.c")));
        assert_eq!(failed.hunk, Some((2, "@@ -90 +90 @@ g()".into())));
        let missing = check("Checking patch mm/x.c...\nerror: mm/x.c: No such file or directory\n");
        assert_eq!(
            (missing.hunk, missing.reason.as_str()),
            (None, "there is no such file")
        );
        assert_eq!(
            check("error: corrupt patch at line 6\n").reason,
            "corrupt patch at line 6"
        );
        assert_eq!(check("fatal: boom\n").reason, "fatal: boom");
    }
}
