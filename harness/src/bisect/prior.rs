//! How likely a commit is to be the culprit before anything was tried: what it touches shapes that, and
//! excludes nothing.

/// What a commit touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    /// Files below the paths that were named.
    pub inside: u32,
    /// Other files.
    pub outside: u32,
}

/// Of a commit that touches none of the named paths, beside one that does.
const OUTSIDE: f64 = 0.1;
/// Of a commit that changes nothing by itself, such as a clean merge.
const EMPTY: f64 = 0.02;

impl Touched {
    /// From the files of a commit and the paths that were named; without any path all count as named.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = &'a str>, paths: &[String]) -> Self {
        let below = |file: &str, path: &str| {
            let path = path.trim_end_matches('/');
            let rest = file.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut touched = Self::default();
        for file in files {
            if paths.is_empty() || paths.iter().any(|path| below(file, path)) {
                touched.inside += 1;
            } else {
                touched.outside += 1;
            }
        }
        touched
    }

    /// The prior weight: 1 for a commit inside of the paths, less for others, never 0.
    #[must_use]
    pub fn weight(self) -> f64 {
        match (self.inside, self.outside) {
            (0, 0) => EMPTY,
            (0, _) => OUTSIDE,
            (_, _) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_or_a_file_and_no_prefix_of_a_name() {
        let paths = ["mm/".to_owned(), "drivers/block/zram".to_owned()];
        let check = |files: &[&str], inside: u32, outside: u32| {
            let touched = Touched::new(files.iter().copied(), &paths);
            assert_eq!(touched, Touched { inside, outside }, "{files:?}");
            assert!(touched.weight() > 0.0);
        };
        check(&["mm/zswap.c", "drivers/block/zram/zram_drv.c"], 2, 0);
        check(&["mm-tools/x.c", "arch/x86/mm/init.c", "mm/vmscan.c"], 1, 2);
        check(&[], 0, 0);
        assert_eq!(Touched::new(["fs/a.c"], &[]).weight(), 1.0);
        assert!(Touched::new(["fs/a.c"], &paths).weight() < 1.0);
    }
}
