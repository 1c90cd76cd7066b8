//! What base's own scripts/checkpatch.pl says of each patch: advice, which no verdict looks at.
//!
//! It runs in the sandbox over the pristine tree, which no patch of the series has touched.

use crate::host::{Cmd, Mode, Output};
use crate::source::room::Room;
use crate::source::{Cancel, Stopped};
use std::path::Path;
use std::time::Duration;

/// The longest patches take it some seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// Most of its output that is read.
const OUTPUT_MAX: usize = 1 << 20;
/// Most lines that are kept of one patch.
const LINES_MAX: usize = 20;

/// Where it is in a tree.
pub(super) const SCRIPT: &str = "scripts/checkpatch.pl";

/// Asks checkpatch about one patch file in `dir`. Returns its lines, without the file's name.
pub(super) fn checkpatch(
    tree: &Path,
    dir: &Path,
    file: &str,
    mode: Mode,
    cancel: &Cancel,
) -> Result<Vec<String>, Stopped> {
    let room = Room::new(mode).ro(tree, "/src").ro(dir, "/patches").cwd(tree);
    let root = format!("--root={}", room.seen(tree).display());
    let cmd = Cmd::new("perl")
        .arg(room.seen(&tree.join(SCRIPT)))
        .args(["--terse", "--show-types", "--no-summary", "--color=never"])
        .arg(root)
        .arg(room.seen(&dir.join(file)))
        .stdout(Output::Capture { limit: OUTPUT_MAX })
        .deadline(DEADLINE, "checkpatch.pl to read a patch");
    let done = cancel.run(room.wrap(cmd))?;
    Ok(lines(&String::from_utf8_lossy(&done.stdout), file))
}

/// `/patches/0001-x.patch:12: WARNING:TYPE: text` → `12: WARNING:TYPE: text`.
fn lines(output: &str, file: &str) -> Vec<String> {
    let told = |line: &str| {
        let (_, rest) = line.split_once(file)?;
        let rest = rest.strip_prefix(':')?;
        let said = ["ERROR:", "WARNING:"].iter().any(|kind| rest.contains(kind));
        let tame: String = rest
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        said.then(|| tame.trim().to_owned())
    };
    let mut all: Vec<String> = output.lines().filter_map(told).collect();
    let more = all.len().saturating_sub(LINES_MAX);
    if more > 0 {
        all.truncate(LINES_MAX);
        all.push(format!("and {more} more"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn its_lines_are_kept_and_nothing_else() {
        let output = "/patches/0001-x.patch:12: WARNING:LONG_LINE: line length of 130 exceeds 100 columns\nx\n/patches/0001-x.patch:0: ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)\ntotal: 1 errors\n";
        assert_eq!(
            lines(output, "0001-x.patch"),
            [
                "12: WARNING:LONG_LINE: line length of 130 exceeds 100 columns",
                "0: ERROR:MISSING_SIGN_OFF: Missing Signed-off-by: line(s)"
            ]
        );
        let flood: String = (0..100)
            .map(|n| format!("0001-x.patch:{n}: WARNING:X: y\n"))
            .collect();
        assert_eq!(
            lines(&flood, "0001-x.patch").last().map(String::as_str),
            Some("and 80 more")
        );
    }
}
