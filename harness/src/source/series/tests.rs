//! Tests of `series`.

use super::*;

const DIFF: &str = "Subject: [PATCH] mm: x\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

#[test]
fn folder_is_read_in_order_and_identified_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("points");
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(
        Series::load(&folder).unwrap_err().problem,
        SeriesProblem::NoDescription
    );
    std::fs::write(
        folder.join("series.yaml"),
        "title: t\nwhat: w\nkind: racepoint\nfits: [6.12..]\nlinks: []\n",
    )
    .unwrap();
    assert_eq!(Series::load(&folder).unwrap_err().problem, SeriesProblem::NoPatch);
    std::fs::write(folder.join("0002-site-zswap_writeback.patch"), DIFF).unwrap();
    std::fs::write(folder.join("0001-infra.patch"), DIFF.replace("+b", "+c")).unwrap();
    std::fs::write(folder.join("notes.txt"), "no patch").unwrap();
    let series = Series::load(&folder).unwrap();
    assert_eq!(
        (series.name.as_str(), series.kind),
        ("points", SeriesKind::Racepoint)
    );
    assert_eq!(
        series.patches.iter().map(Patch::site).collect::<Vec<_>>(),
        ["0001-infra", "zswap_writeback"]
    );
    assert_eq!(series.patches[0].subject, "mm: x");
    let id = series.id();
    let mut other = series.clone();
    other.name = "renamed".into();
    assert_eq!(other.id(), id);
    other.patches.reverse();
    assert_ne!(other.id(), id);
    let listed = "title: t\nwhat: w\nkind: fix\nfits: [6.12..]\npatches: [0002-site-zswap_writeback.patch, 0001-infra.patch]\n";
    std::fs::write(folder.join("series.yaml"), listed).unwrap();
    assert_eq!(Series::load(&folder).unwrap().patches[1].name, "0001-infra.patch");
    std::fs::write(folder.join("series.yaml"), "kind: nonsense\n").unwrap();
    assert!(matches!(
        Series::load(&folder).unwrap_err().problem,
        SeriesProblem::Description(_)
    ));
}

#[test]
fn racepoints_go_last_whatever_was_asked() {
    let make = |name: &str, kind| Series {
        name: name.into(),
        kind,
        title: String::new(),
        fits: vec![],
        patches: vec![],
    };
    let asked = [
        make("r", SeriesKind::Racepoint),
        make("b", SeriesKind::Defect),
        make("a", SeriesKind::Carry),
    ];
    assert_eq!(
        in_order(&asked)
            .iter()
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>(),
        ["b", "a", "r"]
    );
}

#[test]
fn crlf_throughout_is_undone_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.diff");
    std::fs::write(
        &file,
        DIFF.replace('\n', "\r\n")
            .strip_prefix("Subject: [PATCH] mm: x")
            .unwrap(),
    )
    .unwrap();
    let series = Series::load(&file).unwrap();
    assert!(!series.patches[0].bytes.contains(&b'\r') && series.patches[0].notes.len() == 1);
    let mixed = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n";
    std::fs::write(&file, mixed).unwrap();
    assert_eq!(Series::load(&file).unwrap().patches[0].bytes, mixed.as_bytes());
    std::fs::write(&file, "").unwrap();
    assert_eq!(Series::load(&file).unwrap().patches[0].bytes, b"");
}
