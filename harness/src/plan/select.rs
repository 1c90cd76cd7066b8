//! Keeping some cells of a plan.

use std::collections::HashSet;

use super::{Cell, Plan, PlanError};

/// How many ids an error names.
const CLOSEST: usize = 5;
/// How many cells are compared with a pattern that selects none: the comparison is not cheap.
const COMPARED_MAX: usize = 2_000;

impl Plan {
    /// Keeps the cells that any of the patterns selects; without a pattern, all.
    ///
    /// A pattern with `*` or `?` must match the whole id; any other must be a part of it.
    ///
    /// # Errors
    /// [`PlanError::NoCell`] for a pattern that selects none, even where another one does: a slip must
    /// not look like a smaller success.
    pub fn select<S: AsRef<str>>(&self, patterns: &[S]) -> Result<Self, PlanError> {
        if patterns.is_empty() {
            return Ok(self.clone());
        }
        for pattern in patterns.iter().map(AsRef::as_ref) {
            if !self.cells.iter().any(|cell| selects(pattern, &cell.id)) {
                return Err(PlanError::NoCell {
                    pattern: pattern.to_owned(),
                    closest: closest(pattern, &self.cells),
                });
            }
        }
        let kept = |cell: &&Cell| patterns.iter().any(|p| selects(p.as_ref(), &cell.id));
        let cells = self.cells.iter().filter(kept).cloned().collect();
        Ok(Self {
            path: self.path.clone(),
            kernels: self.kernels.clone(),
            cells,
        }
        .with_used_kernels())
    }

    /// The cell of that id: one of the plan, or a repeat of one that has no such number there.
    #[must_use]
    pub fn cell(&self, id: &str) -> Option<Cell> {
        if let Some(cell) = self.cells.iter().find(|cell| cell.id == id) {
            return Some(cell.clone());
        }
        let (stem, repeat) = id.rsplit_once('#')?;
        let repeat = repeat.parse().ok().filter(|n| *n > 0)?;
        let cell = self.cells.iter().find(|cell| cell.stem == stem)?;
        Some(cell.again(repeat))
    }

    /// Leaves out kernels that no cell uses: they are not built.
    pub(super) fn with_used_kernels(mut self) -> Self {
        let used: HashSet<&str> = self.cells.iter().map(|c| c.kernel.as_str()).collect();
        self.kernels.retain(|name, _| used.contains(name.as_str()));
        self
    }
}

/// Whether a pattern selects a cell: a glob with `*` and `?` for the whole id, or a part of it.
#[must_use]
pub fn selects(pattern: &str, id: &str) -> bool {
    if pattern.is_empty() {
        false
    } else if pattern.contains(['*', '?']) {
        glob(pattern.as_bytes(), id.as_bytes())
    } else {
        id.contains(pattern)
    }
}

/// Matches a whole text; takes time in proportion to the product of the lengths at most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match star {
                // The last star takes one character more.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

fn closest(pattern: &str, cells: &[Cell]) -> Vec<String> {
    let wanted: String = pattern.chars().filter(|c| !"*?".contains(*c)).take(256).collect();
    let likeness = |id: &str| {
        // A pattern is mostly a part of an id: the parts count as well as the whole.
        id.split(['.', '@', '#'])
            .chain([id])
            .map(|part| strsim::jaro_winkler(&wanted, part))
            .fold(0.0, f64::max)
    };
    let mut scored: Vec<(f64, &str)> = cells
        .iter()
        .take(COMPARED_MAX)
        .map(|c| (likeness(&c.id), c.id.as_str()))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
        .into_iter()
        .take(CLOSEST)
        .map(|(_, id)| id.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_ids() {
        for (pattern, id, want) in [
            ("fixed.*", "fixed.small@qemu.a.off", true),
            ("*.off", "fixed.small@qemu.a.off", true),
            ("*qemu*", "fixed.small@qemu.a.off", true),
            ("f?xed.*.off", "fixed.small@qemu.a.off", true),
            ("fixed.*.on", "fixed.small@qemu.a.off", false),
            ("?", "", false),
            ("*", "", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("*a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), id.as_bytes()), want, "{pattern} on {id}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!glob(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
    }
}
