//! `series.yaml`, good and bad.

use std::path::Path;

use super::super::series::{Fit, Kind, SeriesFile, parse};

const GOOD: &str = "\
title: zswap writes back a recycled slot
what: |
  Drops the second look at the tree.
  Data of one page ends up in another.
kind: defect
fits: [linux-source-6.12, 6.10, 6.1..6.12, 6.12..]
links: ['https://git.example/c/04fc7816089c']
patches: [0001-drop-the-recheck.patch]
";

fn read(text: &str) -> Result<SeriesFile, String> {
    parse(Path::new("patches/x/series.yaml"), text.as_bytes()).map_err(|e| e.render_plain())
}

#[test]
fn a_good_one() {
    let series = read(GOOD).unwrap();
    assert_eq!(series.kind, Kind::Defect);
    assert!(series.what.lines().count() == 2 && series.what.ends_with("another."));
    // 6.10 is a release, not the number 6.1.
    assert_eq!(
        series.fits[1],
        Fit::Releases {
            first: (6, 10),
            last: Some((6, 10))
        }
    );
    let takes = |package, release| {
        series
            .fits
            .iter()
            .map(|f| f.takes(package, release))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        takes(Some("linux-source-6.12"), (6, 12)),
        [true, false, true, true]
    );
    assert_eq!(takes(None, (6, 10)), [false, true, true, false]);
    assert_eq!(takes(None, (7, 0)), [false, false, false, true]);
    assert_eq!(takes(None, (5, 15)), [false; 4]);
}

#[test]
fn bad_ones() {
    let wrong = |from: &str, to: &str| read(&GOOD.replace(from, to)).unwrap_err();
    let shown = [
        wrong("kind: defect", "kind: bug"),
        wrong("kind: defect", "kind: defekt"),
        wrong("title:", "titel:"),
        wrong("zswap writes back a recycled slot", "\"two\\nlines\""),
        wrong("6.1..6.12", "6.12..6.1, six, '6.12.3', 6"),
        wrong("[linux-source-6.12, 6.10, 6.1..6.12, 6.12..]", "[]"),
        wrong("https://git.example", "gopher://git.example"),
        wrong("0001-drop-the-recheck.patch", "../x.patch, -x.patch, readme.txt"),
        wrong("[0001-drop-the-recheck.patch]", "[a.patch, a.patch]"),
        wrong("[0001-drop-the-recheck.patch]", "a.patch"),
        read("[]").unwrap_err(),
        read("{}").unwrap_err(),
        read("").unwrap_err(),
    ];
    insta::assert_snapshot!(shown.join("--\n"), @r#"
    patches/x/series.yaml:5:7: error: `kind` must be one of `defect`, `racepoint`, `fix`, `carry`, not `bug`
      5 | kind: bug
        |       ^^^
    --
    patches/x/series.yaml:5:7: error: `kind` must be one of `defect`, `racepoint`, `fix`, `carry`, not `defekt`; did you mean `defect`?
      5 | kind: defekt
        |       ^^^^^^
    --
    patches/x/series.yaml:1:1: error: unknown key `titel`; did you mean `title`?
      1 | titel: zswap writes back a recycled slot
        | ^^^^^
    --
    patches/x/series.yaml:1:8: error: `title` must be one line
      1 | title: "two\nlines"
        |        ^^^^^^^^^^^^
      help: the rest belongs to `what`
    --
    patches/x/series.yaml:6:33: error: the range `6.12..6.1` ends before it starts
      6 | fits: [linux-source-6.12, 6.10, 6.12..6.1, six, '6.12.3', 6, 6.12..]
        |                                 ^^^^^^^^^
    patches/x/series.yaml:6:49: error: `6.12.3` is neither a package nor a range of releases
      6 | fits: [linux-source-6.12, 6.10, 6.12..6.1, six, '6.12.3', 6, 6.12..]
        |                                                 ^^^^^^^^
      help: for example `linux-source-6.12`, `6.12`, `6.1..6.12` or `6.12..`
    patches/x/series.yaml:6:59: error: `6` is neither a package nor a range of releases
      6 | fits: [linux-source-6.12, 6.10, 6.12..6.1, six, '6.12.3', 6, 6.12..]
        |                                                           ^
      help: for example `linux-source-6.12`, `6.12`, `6.1..6.12` or `6.12..`
    --
    patches/x/series.yaml:6:7: error: `fits` must name at least one source
      6 | fits: []
        |       ^^
    --
    patches/x/series.yaml:7:9: error: `gopher://git.example/c/04fc7816089c` is not a web address
      7 | links: ['gopher://git.example/c/04fc7816089c']
        |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    --
    patches/x/series.yaml:8:11: error: `../x.patch` is not the name of a patch in this folder
      8 | patches: [../x.patch, -x.patch, readme.txt]
        |           ^^^^^^^^^^
      help: for example `0001-one-thing.patch`
    patches/x/series.yaml:8:23: error: `-x.patch` is not the name of a patch in this folder
      8 | patches: [../x.patch, -x.patch, readme.txt]
        |                       ^^^^^^^^
      help: for example `0001-one-thing.patch`
    patches/x/series.yaml:8:33: error: `readme.txt` is not the name of a patch in this folder
      8 | patches: [../x.patch, -x.patch, readme.txt]
        |                                 ^^^^^^^^^^
      help: for example `0001-one-thing.patch`
    --
    patches/x/series.yaml:8:10: error: the patch `a.patch` is listed twice
      8 | patches: [a.patch, a.patch]
        |          ^^^^^^^^^^^^^^^^^^
    --
    patches/x/series.yaml:8:10: error: `patches` must be a list, not `a.patch`
      8 | patches: a.patch
        |          ^^^^^^^
      help: write `patches: [a.patch]`
    --
    patches/x/series.yaml:1:1: error: a series file must be a map, not an empty list
      1 | []
        | ^^
    --
    patches/x/series.yaml:1:1: error: the file lacks the key `title`
      1 | {}
        | ^
    patches/x/series.yaml:1:1: error: the file lacks the key `what`
      1 | {}
        | ^
    patches/x/series.yaml:1:1: error: the file lacks the key `kind`
      1 | {}
        | ^
    patches/x/series.yaml:1:1: error: the file lacks the key `fits`
      1 | {}
        | ^
    --
    patches/x/series.yaml: error: the file is empty
    "#);
}
