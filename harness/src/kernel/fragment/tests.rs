//! Tests of `fragment`.

use super::*;

fn asked(text: &str) -> Vec<Asked> {
    parse(Path::new("x.config"), text).unwrap()
}

#[test]
fn every_shape_of_line_is_read() {
    let lines = asked(
        "# a comment, CONFIG_A=y in it\n\nCONFIG_A=y\nCONFIG_B=n\n# CONFIG_C is not set\nCONFIG_D=\"a # b\" # optional: why not\nCONFIG_E=0x10\nCONFIG_F=m   # override: needed\n# CONFIG_G is not set # optional: old\n",
    );
    let shown: Vec<_> = lines.iter().map(|a| (a.text(), a.line)).collect();
    let expect = [
        ("CONFIG_A=y", 3),
        ("# CONFIG_B is not set", 4),
        ("# CONFIG_C is not set", 5),
        ("CONFIG_D=\"a # b\"", 6),
        ("CONFIG_E=0x10", 7),
        ("CONFIG_F=m", 8),
        ("# CONFIG_G is not set", 9),
    ];
    assert_eq!(shown, expect.map(|(t, n)| (t.to_owned(), n)));
    assert_eq!(lines[3].optional.as_deref(), Some("why not"));
    assert_eq!(lines[5].overrides.as_deref(), Some("needed"));
    assert_eq!(lines[6].optional.as_deref(), Some("old"));
}

#[test]
fn near_misses_are_told_all_at_once() {
    let text = "CONFIG_A\nA=y\nCONFIG_B=\nCONFIG_C=y z\n#CONFIG_D=y\nCONFIG_E=\"open\nCONFIG_=y\n";
    let errors = parse(Path::new("x.config"), text).unwrap_err();
    assert_eq!(errors.len(), 7, "{errors:?}");
    assert_eq!(
        errors[0].to_string(),
        "x.config:1: \"CONFIG_A\" is not a configuration line"
    );
}

#[test]
fn fragments_that_disagree_name_both_places() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mm = write("mm.config", "CONFIG_SWAP=y\n# CONFIG_KSM is not set\n");
    let ksm = write("ksm.config", "CONFIG_SWAP=y\n\nCONFIG_KSM=y\n");
    let error = merge(&[mm.clone(), ksm]).unwrap_err().remove(0).to_string();
    assert!(
        error.contains("ksm.config:3: CONFIG_KSM=y contradicts"),
        "{error}"
    );
    assert!(error.contains("mm.config:2: # CONFIG_KSM is not set"), "{error}");
    let ksm = write("ksm.config", "CONFIG_KSM=y # override: nightly wants it\n");
    let merged = merge(&[mm.clone(), ksm]).unwrap();
    assert_eq!(merged.text(None), "CONFIG_KSM=y\nCONFIG_SWAP=y\n");
    assert_eq!(merged.text(Some(&["SWAP".to_owned()].into())), "CONFIG_SWAP=y\n");
    assert_ne!(merged.id(), merge(&[mm]).unwrap().id());
    assert!(matches!(
        merge(&["/nonexistent.config".into()]).unwrap_err()[0],
        FragmentError::Read { .. }
    ));
}

#[test]
fn only_lines_that_are_not_honoured_are_unmet() {
    let mut merged = Merged::default();
    for one in asked(
        "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y # optional: old\nCONFIG_D=n\n# CONFIG_E is not set\nCONFIG_F=8\n",
    ) {
        assert_eq!(merged.add(one), None);
    }
    let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_E=m\nCONFIG_F=80\n";
    let unmet: Vec<_> = merged.unmet(config).iter().map(|a| a.symbol.as_str()).collect();
    assert_eq!(unmet, ["B", "E", "F"]);
}

#[test]
fn the_reason_is_the_most_telling_one() {
    let about = |depends: &[&str], has_prompt| kconfig::About {
        depends: depends.iter().map(|d| (*d).to_owned()).collect(),
        has_prompt,
    };
    let line = &asked("CONFIG_Y=y")[0];
    assert_eq!(why(line, "", None), "there is no such symbol in this tree");
    assert_eq!(
        why(line, "", Some(&about(&["MMU", "SWAP"], true))),
        "depends on MMU && SWAP"
    );
    assert_eq!(
        why(line, "CONFIG_Y=m\n", Some(&about(&["A"], true))),
        "it says CONFIG_Y=m; depends on A"
    );
    assert!(why(line, "", Some(&about(&[], false))).contains("only selected by other options"));
}
