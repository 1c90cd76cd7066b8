//! Reading a patch: which files it touches, hunk by hunk, and whether it may be let near a tree at all.
//!
//! A patch comes from anybody. What it may name is decided here, before any tool sees it: paths inside
//! the tree only, no `.git`, no links that lead out, no submodules, no more than [`MAX_PATCH_BYTES`]. The
//! tool that applies it has checks of its own and runs in a sandbox; a path that this reader misses is
//! missing from the folder the patch is applied in, so that it does not apply.
//!
//! Not here: applying (that is `apply`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Most bytes of one patch that are looked at.
pub const MAX_PATCH_BYTES: usize = 64 << 20;

/// One hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Counted from 1 within its file.
    pub number: u32,
    /// `@@ -1,2 +3,4 @@ function`.
    pub header: String,
    /// First line in the file before.
    pub old_start: u32,
    /// Lines that it adds, without the `+`.
    pub added: Vec<String>,
}

/// What a patch does to one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilePatch {
    /// Its path before, unless it is new.
    pub old: Option<PathBuf>,
    /// Its path after, unless it is deleted.
    pub new: Option<PathBuf>,
    /// Whether it is, or becomes, a symbolic link.
    pub link: bool,
    /// Whether it is a submodule.
    pub submodule: bool,
    /// Its hunks.
    pub hunks: Vec<Hunk>,
}

impl FilePatch {
    /// The path to call it by.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.new.as_deref().or(self.old.as_deref())
    }
}

/// What is wrong with a patch whatever the tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchDefect {
    /// It changes nothing.
    #[error("it holds no change")]
    Empty,
    /// It is too big.
    #[error("it has {bytes} bytes, more than the {MAX_PATCH_BYTES} that are looked at")]
    Huge {
        /// How big.
        bytes: usize,
    },
    /// It names a path outside the tree, or inside `.git`.
    #[error("it names {path:?}, which is not inside the tree")]
    Escapes {
        /// Which.
        path: PathBuf,
    },
    /// It makes a link that leads out of the tree.
    #[error("it makes {path:?} a link to {target:?}, which is not inside the tree")]
    LinkEscapes {
        /// Which.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It adds or moves a submodule.
    #[error("it makes {path:?} a submodule")]
    Submodule {
        /// Which.
        path: PathBuf,
    },
    /// A hunk ends before it has the lines its header promises.
    #[error("line {line}: it is cut off in the middle of a hunk")]
    CutOff {
        /// Counted from 1.
        line: usize,
    },
}

impl PatchDefect {
    /// The file it is about, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Escapes { path } | Self::LinkEscapes { path, .. } | Self::Submodule { path } => Some(path),
            Self::Empty | Self::Huge { .. } | Self::CutOff { .. } => None,
        }
    }
}

/// Reads a patch and judges it.
///
/// # Errors
/// The first [`PatchDefect`].
pub fn read(bytes: &[u8]) -> Result<Vec<FilePatch>, PatchDefect> {
    if bytes.len() > MAX_PATCH_BYTES {
        return Err(PatchDefect::Huge { bytes: bytes.len() });
    }
    let files = Reader {
        lines: bytes.split(|b| *b == b'\n').collect(),
        at: 0,
        files: Vec::new(),
    }
    .read()?;
    if files.is_empty() {
        return Err(PatchDefect::Empty);
    }
    files.iter().try_for_each(judge)?;
    Ok(files)
}

fn judge(file: &FilePatch) -> Result<(), PatchDefect> {
    for path in file.old.iter().chain(&file.new) {
        if !inside(path) {
            return Err(PatchDefect::Escapes { path: path.clone() });
        }
        if file.submodule {
            return Err(PatchDefect::Submodule { path: path.clone() });
        }
    }
    if let (true, Some(path), Some(target)) = (
        file.link,
        &file.new,
        file.hunks.first().and_then(|h| h.added.first()),
    ) && !link_stays_inside(path, Path::new(target))
    {
        return Err(PatchDefect::LinkEscapes {
            path: path.clone(),
            target: target.into(),
        });
    }
    Ok(())
}

/// Whether a relative path stays below its root and out of `.git`.
pub(super) fn inside(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|c| match c {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            Component::CurDir => true,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
        })
}

/// Whether a link at `path` (relative to the root) leads to something below the root.
pub(super) fn link_stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

struct Reader<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
    files: Vec<FilePatch>,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Vec<FilePatch>, PatchDefect> {
        while let Some(line) = self.lines.get(self.at).copied() {
            if let Some(rest) = line.strip_prefix(b"diff --git ") {
                self.at += 1;
                self.git_header(rest);
                self.hunks()?;
            } else if self.is_plain_header() {
                self.files.push(FilePatch::default());
                self.names();
                self.hunks()?;
            } else {
                self.at += 1;
            }
        }
        Ok(self.files)
    }

    fn line(&self, ahead: usize) -> &'a [u8] {
        self.lines.get(self.at + ahead).copied().unwrap_or_default()
    }

    fn is_plain_header(&self) -> bool {
        self.line(0).starts_with(b"--- ")
            && self.line(1).starts_with(b"+++ ")
            && self.line(2).starts_with(b"@@ -")
    }

    /// `rest` is what follows `diff --git `; the extended header lines come after it.
    fn git_header(&mut self, rest: &[u8]) {
        let mut file = FilePatch::default();
        if let Some(path) = same_name(rest) {
            file.old = Some(path.clone());
            file.new = Some(path);
        }
        while let Some(line) = self.lines.get(self.at).copied() {
            let value = |prefix: &[u8]| line.strip_prefix(prefix);
            if let Some(name) = value(b"rename from ").or_else(|| value(b"copy from ")) {
                file.old = Some(unquote(name));
            } else if let Some(name) = value(b"rename to ").or_else(|| value(b"copy to ")) {
                file.new = Some(unquote(name));
            } else if let Some(mode) = value(b"new file mode ").or_else(|| value(b"new mode ")) {
                if line.starts_with(b"new file") {
                    file.old = None;
                }
                file.link |= mode.starts_with(b"120000");
                file.submodule |= mode.starts_with(b"160000");
            } else if let Some(mode) = value(b"deleted file mode ") {
                file.new = None;
                file.submodule |= mode.starts_with(b"160000");
            } else if let Some(hash) = value(b"index ") {
                file.link |= hash.ends_with(b" 120000");
                file.submodule |= hash.ends_with(b" 160000");
            } else if !["old mode ", "similarity ", "dissimilarity "]
                .iter()
                .any(|p| value(p.as_bytes()).is_some())
            {
                break;
            }
            self.at += 1;
        }
        self.files.push(file);
        if self.is_plain_header() {
            self.names();
        }
    }

    /// Reads the `---` and `+++` lines into the last file.
    fn names(&mut self) {
        let name = |line: &[u8]| {
            let name = line.get(4..).unwrap_or_default();
            // A tab ends the name: what follows is a date.
            let name = name.split(|b| *b == b'\t').next().unwrap_or_default();
            (name.trim_ascii_end() != b"/dev/null").then(|| strip_first(&unquote(name.trim_ascii_end())))
        };
        let (old, new) = (name(self.line(0)), name(self.line(1)));
        if let Some(file) = self.files.last_mut() {
            file.old = old;
            file.new = new;
        }
        self.at += 2;
    }

    fn hunks(&mut self) -> Result<(), PatchDefect> {
        while let Some((header, [old_start, old, _, new])) = hunk_header(self.line(0)) {
            self.at += 1;
            let added = self.hunk_body(old, new)?;
            if let Some(file) = self.files.last_mut() {
                let number = u32::try_from(file.hunks.len())
                    .unwrap_or(u32::MAX)
                    .saturating_add(1);
                file.hunks.push(Hunk {
                    number,
                    header,
                    old_start,
                    added,
                });
            }
        }
        Ok(())
    }

    fn hunk_body(&mut self, mut old: u32, mut new: u32) -> Result<Vec<String>, PatchDefect> {
        let mut added = Vec::new();
        let cut_off = |at: usize| PatchDefect::CutOff { line: at + 1 };
        while old > 0 || new > 0 {
            let line = self.lines.get(self.at).copied().ok_or_else(|| cut_off(self.at))?;
            let (uses_old, uses_new) = match line.first() {
                Some(b'+') => {
                    added.push(String::from_utf8_lossy(&line[1..]).into_owned());
                    (0, 1)
                }
                Some(b'-') => (1, 0),
                // An empty line is a context line whose one blank was stripped on the way.
                Some(b' ' | b'\r') => (1, 1),
                None if self.at + 1 < self.lines.len() => (1, 1),
                Some(b'\\') => (0, 0),
                Some(_) | None => return Err(cut_off(self.at)),
            };
            old = old.checked_sub(uses_old).ok_or_else(|| cut_off(self.at))?;
            new = new.checked_sub(uses_new).ok_or_else(|| cut_off(self.at))?;
            self.at += 1;
        }
        Ok(added)
    }
}

/// `@@ -a,b +c,d @@ …` → its text and a, b, c, d.
fn hunk_header(line: &[u8]) -> Option<(String, [u32; 4])> {
    let text = String::from_utf8_lossy(line.strip_prefix(b"@@ -")?);
    let (ranges, _) = text.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(u32, u32)> {
        match text.split_once(',') {
            Some((start, len)) => Some((start.parse().ok()?, len.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let ((a, b), (c, d)) = (range(old)?, range(new)?);
    Some((String::from_utf8_lossy(line).trim_end().to_owned(), [a, b, c, d]))
}

/// The name in `a/NAME b/NAME`, where both are the same: all that a change of mode or an empty file says.
fn same_name(rest: &[u8]) -> Option<PathBuf> {
    let rest = rest.trim_ascii_end();
    if rest.starts_with(b"\"") {
        let end = 1 + rest[1..].windows(2).position(|w| w == b"\" ")?;
        return Some(strip_first(&unquote(rest.get(..=end)?)));
    }
    let half = rest.len() / 2;
    let (old, new) = (rest.get(..half)?, rest.get(half + 1..)?);
    let tail = |name: &[u8]| {
        name.iter()
            .position(|b| *b == b'/')
            .map(|at| name[at + 1..].to_vec())
    };
    let (old, new) = (tail(old)?, tail(new)?);
    (old == new).then(|| OsString::from_vec(old).into())
}

/// Removes the `a/` or `b/`; an absolute path stays absolute, so that it is seen for what it is.
fn strip_first(path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_path_buf();
    }
    let rest: PathBuf = path.components().skip(1).collect();
    if rest.as_os_str().is_empty() {
        path.to_path_buf()
    } else {
        rest
    }
}

/// Undoes git's quoting: `"a/\303\244\t"`.
fn unquote(name: &[u8]) -> PathBuf {
    let name = name.trim_ascii_end();
    let Some(inner) = name.strip_prefix(b"\"").and_then(|n| n.strip_suffix(b"\"")) else {
        return OsString::from_vec(name.to_vec()).into();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    if let Some(digit) = bytes.next_if(|b| (b'0'..=b'7').contains(b)) {
                        value = value * 8 + u32::from(digit - b'0');
                    }
                }
                out.push((value & 0xff) as u8);
            }
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'a') => out.push(7),
            Some(b'b') => out.push(8),
            Some(b'v') => out.push(11),
            Some(b'f') => out.push(12),
            Some(other) => out.push(other),
            None => {}
        }
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests;
