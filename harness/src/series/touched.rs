//! What a series touches, and which workloads that calls for (pure).
//!
//! A workload is called for by a file that it exercises, or by a function that it exercises in any other
//! file (an inline one of a header). What no workload exercises is said, not hidden.

use crate::source::patch::FilePatch;
use guest_tests::catalogue::{Info, Workload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a series changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Paths before and after.
    pub files: BTreeSet<String>,
    /// File and function of each hunk, as far as hunks name functions.
    pub functions: BTreeSet<(String, String)>,
}

/// A workload and what calls for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its name.
    pub workload: String,
    /// A file, a function, or `asked for`.
    pub because: String,
}

/// Which workloads are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those that the touched files call for.
    Touched,
    /// All of them.
    All,
    /// These.
    Named(Vec<String>),
}

/// The workload that only shows that the suite works: never called for by a file.
const CANARY: &str = "canary";
/// Most reasons that are named.
const REASONS_MAX: usize = 4;

impl Touched {
    /// Adds what a patch changes.
    pub fn add(&mut self, files: &[FilePatch]) {
        for file in files {
            for path in [&file.old, &file.new].into_iter().flatten() {
                self.files.insert(path.to_string_lossy().into_owned());
            }
            let Some(path) = file.path().map(|p| p.to_string_lossy().into_owned()) else {
                continue;
            };
            for hunk in &file.hunks {
                let own = hunk.header.rsplit_once("@@").and_then(|(_, rest)| function(rest));
                let added = hunk.added.iter().filter_map(|line| defines(line));
                for name in own.into_iter().chain(added) {
                    self.functions.insert((path.clone(), name));
                }
            }
        }
    }

    fn calls_for(&self, info: &Info) -> Vec<String> {
        let files = self
            .files
            .iter()
            .filter(|file| info.exercises_file(file))
            .cloned();
        let functions = self
            .functions
            .iter()
            .filter(|(file, name)| !info.exercises_file(file) && is_code(file) && info.exercises_symbol(name))
            .map(|(file, name)| format!("{name}() in {file}"));
        files.chain(functions).collect()
    }

    /// Chooses workloads, each with its reason.
    #[must_use]
    pub fn choose(&self, wanted: &Wanted) -> Vec<Chosen> {
        let chosen = |info: Info| {
            let because = match wanted {
                Wanted::Named(names) if names.iter().any(|n| n == info.name) => "asked for".to_owned(),
                Wanted::All if info.name != CANARY => "asked for".to_owned(),
                Wanted::Touched if info.name != CANARY => shortened(&self.calls_for(&info))?,
                Wanted::Named(_) | Wanted::All | Wanted::Touched => return None,
            };
            Some(Chosen {
                workload: info.name.to_owned(),
                because,
            })
        };
        Workload::all().into_iter().filter_map(chosen).collect()
    }

    /// The touched files of code that none of these workloads exercises, not even in a function.
    #[must_use]
    pub fn not_exercised(&self, chosen: &[Chosen]) -> Vec<String> {
        let infos: Vec<Info> = Workload::all()
            .into_iter()
            .filter(|info| chosen.iter().any(|c| c.workload == info.name))
            .collect();
        let exercised = |file: &str| {
            infos.iter().any(|info| {
                let mut functions = self.functions.iter().filter(|(at, _)| at == file);
                info.exercises_file(file) || functions.any(|(_, name)| info.exercises_symbol(name))
            })
        };
        let code = self.files.iter().filter(|file| is_code(file));
        code.filter(|file| !exercised(file)).cloned().collect()
    }
}

fn shortened(reasons: &[String]) -> Option<String> {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    let shown = reasons.get(..reasons.len().min(REASONS_MAX))?.join(", ");
    match (reasons.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown),
        (false, more) => Some(format!("{shown} and {more} more")),
    }
}

/// Whether what is changed there ends in a kernel.
fn is_code(file: &str) -> bool {
    let aside = ["Documentation/", "tools/", "samples/", "LICENSES/"];
    let text = [".rst", ".txt", ".yaml", "MAINTAINERS", ".gitignore"];
    !aside.iter().any(|dir| file.starts_with(dir)) && !text.iter().any(|end| file.ends_with(end))
}

/// `static int zswap_writeback_entry(struct …` → `zswap_writeback_entry`.
fn function(context: &str) -> Option<String> {
    let (head, _) = context.split_once('(')?;
    let name = head
        .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The function that an added line begins.
fn defines(line: &str) -> Option<String> {
    let begins =
        line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !line.trim_end().ends_with(';');
    begins.then(|| function(line)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::patch;

    fn touched(text: &str) -> Touched {
        let mut touched = Touched::default();
        touched.add(&patch::read(text.as_bytes()).expect("a patch"));
        touched
    }

    fn change(file: &str, context: &str) -> String {
        format!("--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@ {context}\n-a\n+b\n")
    }

    fn names(touched: &Touched, wanted: &Wanted) -> Vec<String> {
        let chosen = touched.choose(wanted);
        chosen.into_iter().map(|c| c.workload).collect()
    }

    #[test]
    fn files_call_for_the_workloads_that_exercise_them() {
        let auto = |file: &str, context: &str| names(&touched(&change(file, context)), &Wanted::Touched);
        assert_eq!(auto("mm/zswap.c", ""), ["zswap_pressure"]);
        assert_eq!(auto("mm/khugepaged.c", ""), ["khugepaged_collapse"]);
        assert_eq!(auto("mm/userfaultfd.c", ""), ["uffd_move"]);
        assert_eq!(auto("drivers/block/zram/zram_drv.c", ""), ["zram_writeback"]);
        assert_eq!(auto("mm/zsmalloc.c", ""), ["zswap_pressure", "zram_writeback"]);
        assert_eq!(auto("include/linux/swapops.h", "").len(), 3);
        let nothing: [&str; 0] = [];
        assert_eq!(
            auto(
                "drivers/net/loopback.c",
                "static int loopback_xmit(struct sk_buff *skb)"
            ),
            nothing
        );
        assert_eq!(auto("mm/zswap.c.orig", ""), nothing);
        assert_eq!(
            auto("Documentation/mm/zswap_store.rst", "zswap_store(x)"),
            nothing
        );
    }

    #[test]
    fn functions_of_other_files_call_for_them_too() {
        let header = touched(&change(
            "include/linux/foo.h",
            "static inline bool zswap_never_enabled(void)",
        ));
        let chosen = header.choose(&Wanted::Touched);
        assert_eq!(chosen[0].because, "zswap_never_enabled() in include/linux/foo.h");
        assert!(header.not_exercised(&chosen).is_empty());
        let new = touched(
            "--- a/kernel/x.c\n+++ b/kernel/x.c\n@@ -1 +1,3 @@\n a\n+static void collapse_it(int a)\n+\tzs_free(x);\n",
        );
        assert_eq!(names(&new, &Wanted::Touched), ["khugepaged_collapse"]);
    }

    #[test]
    fn what_nothing_exercises_is_told_and_asking_wins() {
        let both = touched(&(change("mm/zswap.c", "") + &change("net/ipv4/tcp.c", "tcp_poll(x)")));
        let chosen = both.choose(&Wanted::Touched);
        assert_eq!(both.not_exercised(&chosen), ["net/ipv4/tcp.c"]);
        assert_eq!(names(&both, &Wanted::All).len(), Workload::all().len() - 1);
        assert_eq!(
            names(&both, &Wanted::Named(vec!["uffd_move".into()])),
            ["uffd_move"]
        );
    }
}
