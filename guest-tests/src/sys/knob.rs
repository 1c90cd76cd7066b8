//! A kernel setting that goes back to what it was when the case is over.

use super::{Result, file};
use std::path::{Path, PathBuf};

/// One setting, changed. Dropping it writes the old value back.
#[derive(Debug)]
pub struct Knob {
    path: PathBuf,
    before: String,
}

impl Knob {
    /// Sets `path` to `value` and remembers what it held.
    ///
    /// # Errors
    /// Those of the kernel; nothing is changed then.
    pub fn set(path: impl AsRef<Path>, value: &str) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let before = selected(&file::read(&path)?).to_owned();
        file::write(&path, value)?;
        Ok(Self { path, before })
    }

    /// Changes the value once more; what is restored stays the first one.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn change(&self, value: &str) -> Result<()> {
        file::write(&self.path, value)
    }
}

impl Drop for Knob {
    fn drop(&mut self) {
        // Nothing is left to be told: the case is over, and the next one sets what it needs.
        let _ = file::write(&self.path, &self.before);
    }
}

/// Takes the chosen word of a file such as `always [madvise] never`; other text is taken as it is.
fn selected(text: &str) -> &str {
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(text, |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knob_restores_what_was_there_first() {
        let path = std::env::temp_dir().join(format!("patchproof-knob-{}", std::process::id()));
        std::fs::write(&path, "20\n").unwrap();
        let knob = Knob::set(&path, "1\n").unwrap();
        knob.change("7\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().next(), Some("7"));
        drop(knob);
        assert_eq!(std::fs::read_to_string(&path).unwrap().get(..2), Some("20"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_chosen_word_is_what_is_restored() {
        assert_eq!(selected("always [madvise] never"), "madvise");
        assert_eq!(selected("60"), "60");
    }
}
