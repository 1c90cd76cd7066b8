//! A range of commits, as a search for a culprit needs it: who follows whom, what each touches, and what
//! undoes one. The repository is only ever read.
//!
//! Not here: what is searched for.

use super::SourceError;
use super::git::{failed, git, said};
use super::job::Cancel;
use crate::host::Output;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Most bytes of a log that is read: a hundred thousand commits.
const LOG_MAX: usize = 256 << 20;
/// Most bytes of the patch that undoes a commit.
const REVERT_MAX: usize = 16 << 20;

/// One commit of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// Those of its parents.
    pub parents: Vec<String>,
    /// Its first line.
    pub subject: String,
    /// Its author, as `Name <address>`.
    #[serde(default)]
    pub author: String,
    /// What it touches; nothing for a merge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// How the ends of a range lie to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// They are one commit.
    Same,
    /// Bad is an ancestor of good.
    Reversed,
    /// They have no common history.
    Unrelated,
    /// Good is no ancestor of bad; their histories part at that commit.
    Forked {
        /// The newest commit that both contain.
        at: String,
    },
    /// The good end and every commit of the bad end's history that it does not contain, parents first.
    Range(Vec<Commit>),
}

/// Finds the commits between two revisions.
///
/// # Errors
/// [`SourceError`]: not a repository, or not a revision of it.
pub fn range(repo: &Path, good: &str, bad: &str, cancel: &Cancel) -> Result<Ends, SourceError> {
    let (good, bad) = (commit(repo, good, cancel)?, commit(repo, bad, cancel)?);
    if good == bad {
        return Ok(Ends::Same);
    }
    let cmd = git(repo).args(["merge-base", &good, &bad]);
    let done = cancel.run(cmd)?;
    let at = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if !done.success() && !said(&done).is_empty() {
        return Err(failed(repo, &done));
    }
    if at.is_empty() {
        return Ok(Ends::Unrelated);
    }
    if at == bad {
        return Ok(Ends::Reversed);
    }
    if at != good {
        return Ok(Ends::Forked { at });
    }
    let mut commits = log(repo, &["--no-walk", &good], cancel)?;
    commits.extend(log(
        repo,
        &["--topo-order", "--reverse", &format!("{good}..{bad}")],
        cancel,
    )?);
    Ok(Ends::Range(commits))
}

/// The hash of the commit that a revision names.
///
/// # Errors
/// [`SourceError`]: not a repository, or not a revision of it.
pub fn commit(repo: &Path, rev: &str, cancel: &Cancel) -> Result<String, SourceError> {
    let cmd = git(repo)
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{rev}^{{commit}}"));
    let done = cancel.run(cmd)?;
    let id = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if done.success() && id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(id);
    }
    if !repo.exists() || !said(&done).is_empty() {
        return Err(failed(repo, &done));
    }
    Err(SourceError::Revision {
        repo: repo.to_path_buf(),
        rev: rev.to_owned(),
    })
}

fn log(repo: &Path, which: &[&str], cancel: &Cancel) -> Result<Vec<Commit>, SourceError> {
    let cmd = git(repo)
        .args([
            "-c",
            "core.quotePath=false",
            "log",
            "--no-color",
            "--no-renames",
            "--name-only",
        ])
        .args(["--no-ext-diff", "--no-show-signature", "-z"])
        .arg("--format=%x01%H%x02%P%x02%an <%ae>%x02%s%x02")
        .args(which.iter().copied())
        .arg("--")
        .stdout(Output::Capture { limit: LOG_MAX });
    let done = cancel.run(cmd)?;
    if !done.success() {
        return Err(failed(repo, &done));
    }
    Ok(parse(&String::from_utf8_lossy(&done.stdout)))
}

fn parse(text: &str) -> Vec<Commit> {
    let one = |record: &str| {
        let mut fields = record.splitn(5, '\u{2}');
        let id = fields.next()?.to_owned();
        let parents = fields.next()?.split_whitespace().map(str::to_owned).collect();
        let author = fields.next()?.to_owned();
        let subject = fields.next()?.to_owned();
        let files = fields.next().unwrap_or_default().split(['\0', '\n']);
        Some(Commit {
            id,
            parents,
            subject,
            author,
            files: files.filter(|f| !f.is_empty()).map(str::to_owned).collect(),
        })
    };
    text.split('\u{1}')
        .filter(|r| !r.is_empty())
        .filter_map(one)
        .collect()
}

/// The patch that undoes a commit: what turns it back into its first parent. `None` where it changes nothing,
/// or more than such a patch may hold.
///
/// # Errors
/// [`SourceError`] where git fails.
pub fn revert(repo: &Path, commit: &str, cancel: &Cancel) -> Result<Option<Vec<u8>>, SourceError> {
    let cmd = git(repo)
        .args([
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            "--binary",
        ])
        .args(["--full-index", commit, &format!("{commit}^1"), "--"])
        .stdout(Output::Capture { limit: REVERT_MAX });
    let done = cancel.run(cmd)?;
    if !done.success() {
        return Err(failed(repo, &done));
    }
    let fits = !done.stdout.is_empty() && done.stdout.len() < REVERT_MAX;
    Ok(fits.then_some(done.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_with_merges_and_odd_names() {
        let text = "\u{1}aa\u{2}p1 p2\u{2}A <a@x>\u{2}Merge branch 'x'\u{2}\0\u{1}bb\u{2}aa\u{2}B <b@x>\u{2}mm: a: b\u{2}\0\nmm/a b.c\0mm/ü.c\0\0";
        let commits = parse(text);
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[0].parents, ["p1", "p2"]);
        assert!(commits[0].files.is_empty());
        assert_eq!(commits[1].subject, "mm: a: b");
        assert_eq!(commits[1].files, ["mm/a b.c", "mm/ü.c"]);
    }
}
