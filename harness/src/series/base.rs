//! What `--base SOURCE` means, as the source of a matrix.
//!
//! Not here: whether it can be had.

use super::matrix::quoted;
use std::path::Path;

/// A base that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{given:?} is no source to put a series on: {why}")]
#[diagnostic(help(
    "`debian` or a package such as linux-source-6.12, a kernel tree's folder, a tarball, or REPO@REVISION (REPO@base-commit takes what the series says)"
))]
pub struct BaseError {
    given: String,
    why: String,
}

/// Where Debian puts kernel sources.
const DEBIAN: &str = "/usr/src";

/// The YAML of a source. `base_commit` is what the series says it is made on.
///
/// # Errors
/// [`BaseError`].
pub fn source(given: &str, base_commit: Option<&str>) -> Result<String, BaseError> {
    let wrong = |why: &str| BaseError {
        given: given.to_owned(),
        why: why.to_owned(),
    };
    let (kind, rest) = match given.split_once(':') {
        Some((kind @ ("debian" | "dir" | "tarball" | "git" | "image"), rest)) => (kind, rest),
        Some(_) | None => ("", given),
    };
    let absolute = |path: &str| {
        let full = std::fs::canonicalize(path).map_err(|e| wrong(&e.to_string()))?;
        Ok(quoted(&full.to_string_lossy()))
    };
    let path = Path::new(rest);
    match kind {
        "image" => Err(wrong("a ready image takes no patches")),
        "debian" => Ok(format!("{{ debian: {} }}", quoted(rest))),
        "dir" => Ok(format!("{{ dir: {} }}", absolute(rest)?)),
        "tarball" => Ok(format!("{{ tarball: {} }}", absolute(rest)?)),
        "" if given == "debian" => Ok(format!(
            "{{ debian: {} }}",
            newest_package().ok_or_else(|| {
                wrong("no package of kernel sources is installed (`apt-get install linux-source-6.12`)")
            })?
        )),
        "" if rest.starts_with("linux-source") && !path.exists() => {
            Ok(format!("{{ debian: {} }}", quoted(rest)))
        }
        "" if path.is_dir() => Ok(format!("{{ dir: {} }}", absolute(rest)?)),
        "" if path.is_file() => Ok(format!("{{ tarball: {} }}", absolute(rest)?)),
        _ => {
            let (repo, rev) = rest
                .rsplit_once('@')
                .ok_or_else(|| wrong("there is nothing of that name"))?;
            let rev = if rev == "base-commit" {
                base_commit.ok_or_else(|| wrong("the series does not say what it is made on"))?
            } else {
                rev
            };
            Ok(format!("{{ git: {}, rev: {} }}", absolute(repo)?, quoted(rev)))
        }
    }
}

/// The package of the newest kernel whose sources are installed.
fn newest_package() -> Option<String> {
    let names = std::fs::read_dir(DEBIAN).ok()?.flatten();
    let package = |name: String| {
        let package = name.strip_suffix(".tar.xz")?;
        let version = package.strip_prefix("linux-source-")?;
        let (major, minor) = version.split_once('.')?;
        Some((
            (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?),
            package.to_owned(),
        ))
    };
    names
        .filter_map(|entry| package(entry.file_name().to_string_lossy().into_owned()))
        .max()
        .map(|(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::source;

    #[test]
    fn every_spelling_becomes_the_source_of_a_matrix() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().canonicalize().expect("it is there");
        let (path, file) = (path.display().to_string(), path.join("linux.tar.xz"));
        std::fs::write(&file, "").expect("it can be written");
        let is =
            |given: &str, want: &str| assert_eq!(source(given, Some("0123456789ab")).expect(given), want);
        is("linux-source-6.12", "{ debian: \"linux-source-6.12\" }");
        is("debian:linux-source-6.1", "{ debian: \"linux-source-6.1\" }");
        is(&path, &format!("{{ dir: \"{path}\" }}"));
        is(
            &format!("{path}/linux.tar.xz"),
            &format!("{{ tarball: \"{path}/linux.tar.xz\" }}"),
        );
        is(
            &format!("{path}@v6.12"),
            &format!("{{ git: \"{path}\", rev: \"v6.12\" }}"),
        );
        is(
            &format!("git:{path}@base-commit"),
            &format!("{{ git: \"{path}\", rev: \"0123456789ab\" }}"),
        );
        for given in ["image:x", "nothing/there", "nothing@there"] {
            assert!(source(given, None).is_err(), "{given}");
        }
        assert!(source(&format!("{path}@base-commit"), None).is_err());
    }
}
