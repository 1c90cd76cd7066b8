//! Looks functions up: in a small program made for it, in this test binary, and in broken files.

use super::{LinesError, Place, SourceLine, clean, has_lines, relative, resolve};
use object::{Object, ObjectSymbol};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A static program with debug information, from `probe.c` beside it.
const PROBE: &[u8] = include_bytes!("probe.elf");
const LONG: Duration = Duration::from_secs(600);

fn place(symbol: &str, offset: u64, size: Option<u64>, exact: bool) -> Place {
    Place {
        symbol: symbol.to_owned(),
        offset,
        size,
        exact,
    }
}

fn file(dir: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("vmlinux");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `function file:line` of each function at each place.
fn told(found: &[Vec<SourceLine>]) -> Vec<Vec<String>> {
    let one = |at: &SourceLine| format!("{} {}:{}", at.function, at.file, at.line);
    found
        .iter()
        .map(|lines| lines.iter().map(one).collect())
        .collect()
}

#[test]
fn functions_are_told_apart_by_size_and_inlined_ones_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, PROBE);
    assert!(has_lines(&path));
    let cases = [
        (
            place("probe_outer", 0x3, Some(0x20), true),
            vec!["probe_inlined probe.c:12", "probe_outer probe.c:24"],
        ),
        // Where the call of probe_twin returns to: the line of the call, not of what comes behind it.
        (
            place("probe_outer", 0xb, Some(0x20), false),
            vec!["probe_outer probe.c:26"],
        ),
        (
            place("probe_twin", 0, Some(0x10), true),
            vec!["probe_twin probe.c:17"],
        ),
        (
            place("probe_twin", 0, Some(0x50), true),
            vec!["probe_twin probe.c:31"],
        ),
        // As a symbol table without padding has it.
        (
            place("probe_twin", 0, Some(0x42), true),
            vec!["probe_twin probe.c:31"],
        ),
        // Two of that name, and nothing that tells which.
        (place("probe_twin", 0, None, true), vec![]),
        // Another kernel's function of that name.
        (place("probe_outer", 0x3, Some(0x40), true), vec![]),
        (place("probe_outer", 0x30, Some(0x20), true), vec![]),
        (place("probe_outer", u64::MAX, None, true), vec![]),
        (place("no_such_function", 0, None, true), vec![]),
    ];
    let wanted: Vec<Place> = cases.iter().map(|(place, _)| place.clone()).collect();
    let found = resolve(&path, &wanted, LONG).unwrap();
    let expect: Vec<Vec<&str>> = cases.into_iter().map(|(_, lines)| lines).collect();
    assert_eq!(told(&found), expect);
    let late = resolve(&path, &wanted, Duration::ZERO).unwrap();
    assert_eq!(
        late,
        vec![Vec::new(); wanted.len()],
        "nothing is looked up past the deadline"
    );
}

/// A function whose place in the source the test below knows.
#[inline(never)]
fn found_in_this_binary(x: u64) -> u64 {
    std::hint::black_box(x).rotate_left(3)
}
const FOUND_LINE: u32 = line!() - 3;

#[test]
fn a_function_of_this_test_binary_is_found_in_its_own_debug_information() {
    assert_eq!(found_in_this_binary(1), 8);
    let own = std::env::current_exe().unwrap();
    let bytes = std::fs::read(&own).unwrap();
    let elf = object::File::parse(&*bytes).unwrap();
    let symbol = elf
        .symbols()
        .find(|s| s.name().is_ok_and(|n| n.contains("20found_in_this_binary")));
    let symbol = symbol.expect("the function is in the symbol table");
    let wanted = [place(symbol.name().unwrap(), 0, Some(symbol.size()), true)];
    let found = resolve(&own, &wanted, LONG).expect("test binaries have debug information");
    let last = found[0].last().expect("the function is found");
    assert!(last.function.contains("found_in_this_binary"), "{last:?}");
    assert!(last.file.ends_with("lines/tests.rs"), "{last:?}");
    assert!(
        (FOUND_LINE..FOUND_LINE + 3).contains(&last.line),
        "{last:?} {FOUND_LINE}"
    );
}

#[test]
fn what_is_no_vmlinux_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = [place("main", 0, None, true)];
    let refused = |path: &Path| resolve(path, &wanted, LONG).expect_err("it is no vmlinux");
    assert!(matches!(refused(&dir.path().join("none")), LinesError::Read(..)));
    assert!(matches!(
        refused(&file(&dir, b"hello")),
        LinesError::Malformed(..)
    ));
    assert!(matches!(refused(&file(&dir, b"")), LinesError::Malformed(..)));
    // The section names lose their debug information.
    let at = PROBE.windows(11).position(|w| w == b".debug_line").unwrap();
    let mut stripped = PROBE.to_vec();
    stripped[at + 1] = b'x';
    let path = file(&dir, &stripped);
    assert!(!has_lines(&path) && !has_lines(&dir.path().join("none")));
    assert!(matches!(refused(&path), LinesError::NoDebugInfo(..)));
}

#[test]
fn names_from_a_file_are_fit_to_be_printed() {
    assert_eq!(clean("zs_free"), "zs_free");
    assert_eq!(clean("a\u{1b}[31mb\nc"), "a[31mbc");
    assert!(clean(&"é".repeat(999)).len() <= super::NAME_LEN_MAX);
    assert_eq!(relative("/src/mm/zswap.c", "/src"), "mm/zswap.c");
    assert_eq!(relative("/src/./mm/zswap.c", "/src"), "mm/zswap.c");
    assert_eq!(relative("/srcs/mm/zswap.c", "/src"), "/srcs/mm/zswap.c");
    assert_eq!(relative("mm/zswap.c", ""), "mm/zswap.c");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn broken_files_are_survived(
        cut in prop::option::weighted(0.3, 0..PROBE.len()),
        blows in prop::collection::vec((0..PROBE.len(), any::<u8>()), 1..24),
    ) {
        let mut broken = PROBE.to_vec();
        for (at, byte) in blows {
            broken[at] = byte;
        }
        broken.truncate(cut.unwrap_or(PROBE.len()));
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, &broken);
        let wanted = [
            place("probe_outer", 0x3, None, true),
            place("probe_second", 0x5, None, false),
            place("probe_twin", 0, Some(0x50), true),
        ];
        let has = has_lines(&path);
        match resolve(&path, &wanted, LONG) {
            Ok(found) => prop_assert!(has && found.len() == wanted.len()),
            Err(LinesError::NoDebugInfo(_)) => prop_assert!(!has),
            Err(_) => {}
        }
    }
}
