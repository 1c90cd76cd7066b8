//! What SERIES on the command line means: an mbox, patch files, a folder of them, or a git range, read into
//! patches in their order with the mails that they came in.
//!
//! Everything is normalised into one patch file a patch, which is what the run keeps and what kernels are made
//! of. Not here: whether anything applies.

use crate::source::mbox::{self, Letter};
use crate::source::series::{self as folder, MAX_SERIES_BYTES, SeriesProblem};
use crate::source::{Cancel, Patch, Series, SeriesError, SourceError, git, thread};
use std::path::{Path, PathBuf};

/// A series as it was handed in.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// Where it came from, as given.
    pub given: String,
    /// A short name, safe as a file name.
    pub name: String,
    /// The cover letter's title, else the first patch's.
    pub title: String,
    /// In order.
    pub parts: Vec<Part>,
    /// The cover letter.
    pub cover: Option<Letter>,
    /// The commit that it says it is made on.
    pub base_commit: Option<String>,
    /// What was left out or mended on the way, each a sentence.
    pub notes: Vec<String>,
}

/// One patch of it.
#[derive(Debug, Clone)]
pub struct Part {
    /// The patch.
    pub patch: Patch,
    /// The mail that it came in.
    pub letter: Option<Letter>,
}

/// Why a series cannot be taken in.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum IntakeError {
    /// It cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Series(#[from] SeriesError),
    /// git cannot give the range.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Git(#[from] SourceError),
    /// Something stands there that is no series.
    #[error("{given:?} is neither a file, a folder, nor a range of commits")]
    #[diagnostic(help(
        "name an mbox (`b4 am` writes one), patch files, a folder of them, or commits as REPO:FROM..TO"
    ))]
    Nothing {
        /// As given.
        given: String,
    },
    /// Nothing in it.
    #[error("{given}: there is no patch in it")]
    Empty {
        /// As given.
        given: String,
    },
}

/// Reads what the command line names. `repo` is where a bare range is looked for.
///
/// # Errors
/// [`IntakeError`].
pub fn read(given: &[String], repo: Option<&Path>, cancel: &Cancel) -> Result<Submission, IntakeError> {
    let shown = given.join(" ");
    let mut submission = match given {
        [one] if Path::new(one).is_dir() => from_folder(Path::new(one))?,
        [one] if !Path::new(one).exists() => from_range(one, repo, cancel)?,
        files => from_files(files)?,
    };
    if submission.parts.is_empty() {
        return Err(IntakeError::Empty { given: shown });
    }
    for (index, part) in submission.parts.iter_mut().enumerate() {
        part.patch.subject = mbox::one_line(&part.patch.subject);
        if part.patch.subject.is_empty() {
            part.patch.subject = Path::new(&part.patch.name)
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        }
        part.patch.name = mbox::file_name(index + 1, &part.patch.subject);
        submission.notes.extend(
            part.patch
                .notes
                .iter()
                .map(|how| format!("{}: {how}", part.patch.name)),
        );
    }
    let letters = submission.parts.iter().filter_map(|p| p.letter.as_ref());
    let all = submission.cover.iter().chain(letters);
    submission.base_commit = all.filter_map(|letter| letter.base_commit.clone()).next();
    if submission.title.is_empty() {
        let first = submission.parts.first().map(|p| p.patch.subject.clone());
        submission.title = submission
            .cover
            .as_ref()
            .map(|c| c.title.clone())
            .or(first)
            .unwrap_or_default();
    }
    submission.name = safe(&submission.name);
    submission.given = shown;
    Ok(submission)
}

/// Letters, digits and single hyphens.
fn safe(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = name.chars().map(keep).take(40).collect();
    let words: Vec<&str> = text.split('-').filter(|w| !w.is_empty()).collect();
    if words.is_empty() {
        "series".to_owned()
    } else {
        words.join("-")
    }
}

fn at(path: &Path) -> impl Fn(SeriesProblem) -> SeriesError + '_ {
    |problem| SeriesError {
        path: path.to_owned(),
        problem,
    }
}

fn from_folder(dir: &Path) -> Result<Submission, IntakeError> {
    let name = dir
        .file_name()
        .map_or_else(|| "series".into(), |n| n.to_string_lossy().into_owned());
    if dir.join("series.yaml").exists() {
        let series = Series::load(dir)?;
        let parts = series
            .patches
            .into_iter()
            .map(|patch| Part { patch, letter: None });
        return Ok(Submission {
            name,
            title: series.title,
            parts: parts.collect(),
            ..Submission::default()
        });
    }
    let failed = |e: std::io::Error| {
        at(dir)(SeriesProblem::Read {
            path: dir.to_owned(),
            why: e.to_string(),
        })
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|end| end == "patch" || end == "diff")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut submission = from_paths(&files)?;
    submission.name = name;
    Ok(submission)
}

fn from_files(given: &[String]) -> Result<Submission, IntakeError> {
    let files: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
    let mut submission = from_paths(&files)?;
    submission.name = files
        .first()
        .and_then(|f| f.file_stem())
        .map_or_else(|| "series".into(), |n| n.to_string_lossy().into_owned());
    Ok(submission)
}

/// Files together: where each is mail, their counts say the order, else the files' own.
fn from_paths(files: &[PathBuf]) -> Result<Submission, IntakeError> {
    let mut left = MAX_SERIES_BYTES;
    let mut letters = Vec::new();
    let mut parts = Vec::new();
    for path in files {
        let bytes = folder::read(path, &mut left).map_err(at(path))?;
        if mbox::is_mail(&bytes) {
            let read = mbox::letters(&bytes).map_err(at(path))?;
            letters.extend(read.clone());
            let own = read.into_iter().filter(|l| l.patch.is_some() && !l.is_reply);
            parts.extend(own.map(part));
        } else {
            let name = path
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            let subject = folder::subject_of(&bytes);
            let patch = folder::unix_lines(Patch {
                name,
                subject,
                bytes,
                notes: vec![],
            });
            parts.push(Part { patch, letter: None });
        }
    }
    let all_mail = parts.iter().all(|part| part.letter.is_some());
    if !all_mail {
        return Ok(Submission {
            parts,
            ..Submission::default()
        });
    }
    let first = files.first().map_or(Path::new(""), PathBuf::as_path);
    let picked = thread::pick(letters).map_err(at(first))?;
    Ok(submitted(picked))
}

fn submitted(picked: thread::Picked) -> Submission {
    Submission {
        parts: picked.letters.into_iter().map(part).collect(),
        cover: picked.cover,
        notes: picked.notes,
        ..Submission::default()
    }
}

fn part(mut letter: Letter) -> Part {
    let patch = folder::unix_lines(Patch {
        name: String::new(),
        subject: letter.title.clone(),
        bytes: letter.patch.take().unwrap_or_default(),
        notes: vec![],
    });
    Part {
        patch,
        letter: Some(letter),
    }
}

/// `REPO:FROM..TO`, or `FROM..TO` of `repo` (here, where none is named).
fn from_range(given: &str, repo: Option<&Path>, cancel: &Cancel) -> Result<Submission, IntakeError> {
    let nothing = || IntakeError::Nothing {
        given: given.to_owned(),
    };
    let (repo, range) = match (repo, given.rsplit_once(':')) {
        (Some(repo), _) => (repo, given),
        (None, Some((repo, range))) => (Path::new(repo), range),
        (None, None) => (Path::new("."), given),
    };
    let (from, to) = range.split_once("..").ok_or_else(nothing)?;
    let to = to.trim_start_matches('.');
    let legal = |rev: &str| !rev.is_empty() && !rev.starts_with('-') && !rev.contains(char::is_whitespace);
    if !legal(from) || !(to.is_empty() || legal(to)) || !repo.is_dir() {
        return Err(nothing());
    }
    let to = if to.is_empty() { "HEAD" } else { to };
    let mail = git::format_patch(repo, from, to, cancel)?;
    let name = format!("{from}-{to}");
    if mail.is_empty() {
        return Err(IntakeError::Empty {
            given: given.to_owned(),
        });
    }
    let picked = thread::pick(mbox::letters(&mail).map_err(at(repo))?).map_err(at(repo))?;
    let mut submission = submitted(picked);
    // Nobody has sent these: there is nobody to answer but their author.
    for letter in submission.parts.iter_mut().filter_map(|p| p.letter.as_mut()) {
        letter.message_id = None;
    }
    submission.name = name;
    Ok(submission)
}

/// A patch as a file of its own, which reads back as the same patch.
#[must_use]
pub fn patch_file(part: &Part) -> Vec<u8> {
    let Some(letter) = &part.letter else {
        return part.patch.bytes.clone();
    };
    let commit = letter
        .commit
        .as_deref()
        .unwrap_or("0000000000000000000000000000000000000000");
    let mut out = format!("From {commit} Mon Sep 17 00:00:00 2001\n").into_bytes();
    if let Some(from) = &letter.from {
        out.extend_from_slice(format!("From: {}\n", super::mail::mailbox(from)).as_bytes());
    }
    // Without a count: each file is a series of one to whoever reads it by itself.
    let subject = format!("[PATCH] {}", part.patch.subject);
    out.extend_from_slice(format!("Subject: {}\n\n", super::mail::text(&subject)).as_bytes());
    for line in part.patch.bytes.split_inclusive(|b| *b == b'\n') {
        let quotes = line.iter().take_while(|b| **b == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.push(b'>');
        }
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../patches/examples");
    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn take(given: &[&str]) -> Result<Submission, IntakeError> {
        let given: Vec<String> = given.iter().map(|g| (*g).to_owned()).collect();
        read(&given, None, &Cancel::default())
    }

    #[test]
    fn a_thread_as_b4_saves_it_is_put_in_order_and_keeps_its_mails() {
        let bad = take(&[&format!("{EXAMPLES}/zswap-bad.mbox")]).expect("a series");
        let titles: Vec<&str> = bad.parts.iter().map(|p| p.patch.subject.as_str()).collect();
        assert_eq!(titles.len(), 5);
        assert_eq!(
            titles[2],
            "mm/zswap: compress under the lock, allocate without it"
        );
        assert_eq!(bad.title, "mm/zswap: shorter critical sections");
        assert_eq!(
            bad.base_commit.as_deref(),
            Some("adc218676eef25575469234709c2d87185ca223a")
        );
        assert_eq!(
            bad.notes,
            ["v2 is taken, the newest; v1 and what is older is left out"]
        );
        let third = bad.parts[2].letter.as_ref().expect("its mail");
        assert_eq!(
            third.message_id.as_deref(),
            Some("20260301100000.2-3-jane@example.org")
        );
        assert_eq!(third.to[0].address, "linux-mm@kvack.org");
    }

    #[test]
    fn each_patch_reads_back_as_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let odd = format!("From here on\n>From there\n\nFrom git@z Thu Jan  1 00:00:00 1970\n{DIFF}");
        let part = Part {
            patch: Patch {
                name: "0001-x.patch".into(),
                subject: "mm: ä".into(),
                bytes: odd.clone().into_bytes(),
                notes: vec![],
            },
            letter: Some(Letter::default()),
        };
        let path = dir.path().join("0001-x.patch");
        std::fs::write(&path, patch_file(&part)).expect("it can be written");
        let back = Series::load(&path).expect("a series of one");
        assert_eq!(String::from_utf8_lossy(&back.patches[0].bytes), odd);
        assert_eq!(back.patches[0].subject, "mm: ä");
    }

    #[test]
    fn a_folder_without_a_description_goes_by_counts_or_by_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        put("a.patch", &format!("Subject: [PATCH 2/2] two\n\n{DIFF}"));
        put("b.patch", &format!("Subject: [PATCH 1/2] one\n\n{DIFF}"));
        put("notes.txt", "nothing");
        let path = dir.path().to_str().expect("a plain path").to_owned();
        let names = |s: &Submission| s.parts.iter().map(|p| p.patch.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(&take(&[&path]).expect("a series")),
            ["0001-one.patch", "0002-two.patch"]
        );
        std::fs::remove_file(dir.path().join("b.patch")).expect("it is there");
        let error = take(&[&path]).expect_err("a part is missing");
        assert!(error.to_string().contains("patch 1/2 is missing"), "{error}");
        put("a.patch", DIFF);
        put("b.patch", DIFF);
        assert_eq!(
            names(&take(&[&path]).expect("a series")),
            ["0001-a.patch", "0002-b.patch"]
        );
    }

    #[test]
    fn a_range_of_commits_is_a_series_with_its_hashes() {
        let dir = tempfile::tempdir().expect("a folder");
        let git = |args: &[&str]| {
            let ids = ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org"];
            let cmd = crate::host::Cmd::new("git")
                .args(ids)
                .args(args.iter().copied())
                .cwd(dir.path());
            let done = cmd.run().expect("git runs");
            assert!(done.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8_lossy(&done.stdout).trim().to_owned()
        };
        git(&["init", "-q"]);
        for (n, subject) in ["base", "one", "two"].iter().enumerate() {
            std::fs::write(dir.path().join("x"), format!("{n}\n")).expect("written");
            git(&["add", "x"]);
            git(&["commit", "-qm", subject]);
        }
        let path = dir.path().to_str().expect("a plain path");
        let series = take(&[&format!("{path}:HEAD~2..HEAD")]).expect("a series");
        let titles: Vec<&str> = series.parts.iter().map(|p| p.patch.subject.as_str()).collect();
        assert_eq!(titles, ["one", "two"]);
        let commit = series.parts[1].letter.as_ref().and_then(|l| l.commit.clone());
        assert_eq!(commit, Some(git(&["rev-parse", "HEAD"])));
        let bare = read(&["HEAD~1..".to_owned()], Some(dir.path()), &Cancel::default());
        assert_eq!(bare.expect("a series").parts.len(), 1);
        for wrong in ["HEAD..HEAD", "nonsense..HEAD", "--output=/tmp/x..HEAD", "nothing"] {
            let error = take(&[&format!("{path}:{wrong}")]).expect_err(wrong);
            assert!(!error.to_string().is_empty());
        }
        assert!(!Path::new("/tmp/x..HEAD").exists());
    }
}
