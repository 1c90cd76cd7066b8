//! What a failed build says: whose fault it is, and where.
//!
//! The first error counts; what follows is mostly its echo. A full disk, a killed compiler or a missing
//! tool are ours or the host's and never the series'. Everything else is a [`BuildFailure`]: a value that
//! names file and line and, where a patch touched that file, the patch.
//!
//! Not here: running the build.

use crate::source::{InPatch, SeriesKind};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A kernel that does not build: a finding about its series, or about its source where no patch is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, miette::Diagnostic)]
#[error("the kernel does not build: {at}{message}{blame}", at = self.at(), blame = self.blame())]
#[diagnostic(help("the whole output is in {log}", log = .log.display()))]
pub struct BuildFailure {
    /// The file of the first error, relative to the tree.
    pub file: Option<PathBuf>,
    /// Its line, counted from 1.
    pub line: Option<u32>,
    /// The first error.
    pub message: String,
    /// The patch that touched that file.
    pub patch: Option<Blamed>,
    /// The build's whole output.
    pub log: PathBuf,
}

/// A patch that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blamed {
    /// Its series.
    pub series: String,
    /// What that is for.
    pub kind: SeriesKind,
    /// The patch.
    pub patch: String,
    /// The racepoint site, where it is one.
    pub site: Option<String>,
    /// Whether it added the very line of the error, rather than only touched its file.
    pub wrote_the_line: bool,
}

impl BuildFailure {
    fn at(&self) -> String {
        let line = self.line.map(|l| format!("{l}:")).unwrap_or_default();
        self.file
            .as_ref()
            .map(|f| format!("{}:{line} ", f.display()))
            .unwrap_or_default()
    }

    fn blame(&self) -> String {
        let Some(by) = &self.patch else {
            return String::new();
        };
        let what = if by.wrote_the_line {
            "the line is from"
        } else {
            "the file was changed by"
        };
        format!(" ({what} {} of series {})", by.patch, by.series)
    }
}

/// The first thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The source does not compile.
    Code {
        file: Option<PathBuf>,
        line: Option<u32>,
        message: String,
    },
    /// No space left.
    DiskFull,
    /// The compiler was killed or got no memory.
    OutOfMemory,
    /// A tool or a library of the host is missing.
    Missing { what: String, package: &'static str },
}

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and a test uses each"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static COMPILER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^([^\s:][^:]*):(\d+):(?:\d+:)?\s*(?:(?:fatal )?error|Error)(?: \[[^]]*\])?: (.+)$")
});
static KCONFIG: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^([^\s:]*Kconfig[^\s:]*):(\d+):\s*((?:syntax )?error.*|.*recursive dependency.*)$")
});
static MAKEFILE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^([^\s:]+):(\d+): \*\*\* (.+?)(?:\.  Stop\.)?$"));
static LINKER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:\S*ld(?:\.\w+)?: )?(?:([^\s:]+\.[oc]):)?(?:\(\S+\):)? ?((?:undefined reference to|multiple definition of|relocation truncated).+)$",
    )
});
static OBJTOOL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^([^\s:]+)\.o: (?:error|warning): (objtool: .+)$"));
static MODPOST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:ERROR|FATAL): (modpost: .+)$"));
static NO_RULE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^make(?:\[\d+\])?: \*\*\* (No rule to make target .+?)(?:\.  Stop\.)?$"));
static NOT_FOUND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:(?:/bin/)?(?:ba|da)?sh: )(?:(?:line )?\d+: )?([\w.+-]+): (?:command )?not found$")
});
static NO_PROGRAM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^make(?:\[\d+\])?: ([\w.+-]+): No such file or directory$"));
static STOPPED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^make(?:\[\d+\])?: \*\*\* (\[.+\] .+)$"));

/// Which Debian package has a tool or header that a kernel build wants.
const PACKAGES: [(&str, &str); 17] = [
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("as", "binutils"),
    ("objcopy", "binutils"),
    ("make", "make"),
    ("perl", "perl"),
    ("lz4", "lz4"),
    ("lz4c", "lz4"),
    ("zstd", "zstd"),
    ("xz", "xz-utils"),
    ("cpio", "cpio"),
    ("python3", "python3"),
    ("pahole", "dwarves"),
    ("ccache", "ccache"),
];

/// Headers of the host that tools of the build include.
const HEADERS: [(&str, &str); 4] = [
    ("libelf.h", "libelf-dev"),
    ("gelf.h", "libelf-dev"),
    ("openssl/", "libssl-dev"),
    ("stdio.h", "libc6-dev"),
];

/// Finds the first cause in a build's output. `src` is the tree's name in it.
pub(super) fn first_cause(output: &str, src: &Path) -> Option<Cause> {
    let ours = output.lines().find_map(host_trouble);
    if ours.is_some() {
        return ours;
    }
    output
        .lines()
        .find_map(|line| code_trouble(line.trim_end(), src))
        .or_else(|| {
            let last_resort = |line| STOPPED.captures(line).map(|c| c[1].to_owned());
            output.lines().find_map(last_resort).map(|message| Cause::Code {
                file: None,
                line: None,
                message,
            })
        })
}

fn host_trouble(line: &str) -> Option<Cause> {
    if line.contains(": No space left on device") {
        return Some(Cause::DiskFull);
    }
    let killed = [
        "Killed signal terminated program",
        "virtual memory exhausted",
        "fatal error: Killed",
    ];
    if killed.iter().any(|k| line.contains(k)) || line.ends_with(": Cannot allocate memory") {
        return Some(Cause::OutOfMemory);
    }
    let tool = NOT_FOUND.captures(line).or_else(|| NO_PROGRAM.captures(line));
    if let Some(tool) = tool.and_then(|c| c.get(1)) {
        let package = PACKAGES.iter().find(|(name, _)| *name == tool.as_str());
        // A script of the tree that is missing is the tree's own trouble.
        return package.map(|(_, package)| Cause::Missing {
            what: tool.as_str().to_owned(),
            package,
        });
    }
    let header = line
        .strip_suffix(": No such file or directory")?
        .rsplit_once("fatal error: ")?
        .1;
    let package = HEADERS.iter().find(|(name, _)| header.starts_with(name))?.1;
    Some(Cause::Missing {
        what: header.to_owned(),
        package,
    })
}

fn code_trouble(line: &str, src: &Path) -> Option<Cause> {
    let place = |file: &str| {
        let path = Path::new(file);
        let inside = path.strip_prefix(src).unwrap_or(path);
        Some(inside.strip_prefix("./").unwrap_or(inside).to_path_buf())
    };
    for pattern in [&*COMPILER, &*KCONFIG, &*MAKEFILE] {
        if let Some(c) = pattern.captures(line) {
            return Some(Cause::Code {
                file: place(&c[1]),
                line: c[2].parse().ok(),
                message: c[3].to_owned(),
            });
        }
    }
    if let Some(c) = LINKER.captures(line) {
        let file = c
            .get(1)
            .and_then(|m| place(m.as_str()))
            .map(|f| f.with_extension("c"));
        return Some(Cause::Code {
            file,
            line: None,
            message: c[2].to_owned(),
        });
    }
    if let Some(c) = OBJTOOL
        .captures(line)
        .filter(|c| line.contains(".o: error") || c[2].contains("rror"))
    {
        return Some(Cause::Code {
            file: place(&format!("{}.c", &c[1])),
            line: None,
            message: c[2].to_owned(),
        });
    }
    let c = MODPOST.captures(line).or_else(|| NO_RULE.captures(line))?;
    Some(Cause::Code {
        file: None,
        line: None,
        message: c[1].to_owned(),
    })
}

/// Finds the patch to blame for an error in `file`: one that wrote the very line, else the last of the
/// series under test that touched the file, else a racepoint's.
pub(super) fn blame(patches: &[InPatch], file: &Path, line_text: Option<&str>) -> Option<Blamed> {
    let touches = |p: &&InPatch| p.files.iter().any(|f| is_same(f.path(), file));
    let wrote = |p: &&InPatch| {
        line_text.is_some_and(|text| {
            !text.trim().is_empty()
                && p.files.iter().filter(|f| is_same(f.path(), file)).any(|f| {
                    f.hunks
                        .iter()
                        .any(|h| h.added.iter().any(|a| a.trim_end() == text.trim_end()))
                })
        })
    };
    let blamed = |p: &InPatch, wrote_the_line| Blamed {
        series: p.series.clone(),
        kind: p.kind,
        patch: p.patch.clone(),
        site: p.site.clone(),
        wrote_the_line,
    };
    if let Some(p) = patches.iter().rev().find(wrote) {
        return Some(blamed(p, true));
    }
    let (points, others): (Vec<_>, Vec<_>) = patches.iter().partition(|p| p.kind == SeriesKind::Racepoint);
    let last = |of: Vec<&InPatch>| of.into_iter().rev().find(touches).map(|p| blamed(p, false));
    last(others).or_else(|| last(points))
}

/// The linker names files by their last part only.
fn is_same(touched: Option<&Path>, named: &Path) -> bool {
    touched.is_some_and(|t| {
        t == named || (named.components().count() == 1 && t.file_name() == Some(named.as_os_str()))
    })
}

#[cfg(test)]
mod tests;
