//! Reading a YAML file: bounded, and told apart from what is no text file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::problem::{Problem, SpecError};

/// Largest file that is read, in bytes.
pub const FILE_LEN_MAX: u64 = 1 << 20;

/// Reads a file of at most [`FILE_LEN_MAX`] bytes.
///
/// # Errors
/// A file that is missing, too large, a directory or special file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SpecError> {
    let whole = |problem: Problem| SpecError::new(path, "", vec![problem]);
    let unreadable = |e: std::io::Error| {
        let problem = Problem::whole(format!("can't be read: {}", plain(&e)));
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let here = std::env::current_dir()
            .ok()
            .filter(|_| missing && path.is_relative());
        whole(match here {
            Some(here) => problem.help(format!("paths start at the current folder, {}", here.display())),
            None => problem,
        })
    };
    // Looked at before it is opened: opening a FIFO would wait for its writer.
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err(whole(
            Problem::whole("is a directory").help("name a YAML file in it"),
        ));
    }
    if !meta.is_file() {
        return Err(whole(Problem::whole("is not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Takes bytes as text: UTF-8, of bounded length, a byte-order mark left out.
///
/// # Errors
/// Too many bytes, or bytes that are not UTF-8.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<String, SpecError> {
    if bytes.len() as u64 > FILE_LEN_MAX {
        let problem =
            Problem::whole("is larger than 1 MiB").help("a matrix is a small file: is this the right one?");
        return Err(SpecError::new(path, "", vec![problem]));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => printable(path, text).map(|()| text.to_owned()),
        Err(e) => {
            let good = e.valid_up_to();
            let text = String::from_utf8_lossy(bytes);
            let byte = bytes.get(good).copied().unwrap_or(0);
            let problem = Problem::new(good..good + 3, format!("not UTF-8 text: byte {byte:#04x}"))
                .help("save the file as UTF-8");
            Err(SpecError::new(path, &text, vec![problem]))
        }
    }
}

/// Refuses the characters that no YAML may hold, so that both readers see the same.
fn printable(path: &Path, text: &str) -> Result<(), SpecError> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | '\u{85}')
            || (!c.is_control() && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
    };
    match text.char_indices().find(|(_, c)| !allowed(*c)) {
        None => Ok(()),
        Some((at, c)) => {
            let message = format!("the character U+{:04X} may not stand in YAML", u32::from(c));
            let problem =
                Problem::new(at..at + c.len_utf8(), message).help("in a quoted text, write it as an escape");
            Err(SpecError::new(path, text, vec![problem]))
        }
    }
}

/// An error of the system without its number.
fn plain(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
