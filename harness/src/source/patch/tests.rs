//! Tests of `patch`.

use super::*;

fn paths(text: &str) -> Vec<(Option<String>, Option<String>)> {
    let show = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
    read(text.as_bytes())
        .unwrap()
        .iter()
        .map(|f| (show(&f.old), show(&f.new)))
        .collect()
}

fn pair(old: &str, new: &str) -> (Option<String>, Option<String>) {
    let some = |s: &str| (!s.is_empty()).then(|| s.to_owned());
    (some(old), some(new))
}

#[test]
fn every_shape_of_header_names_its_files() {
    for (text, expect) in [
        (
            "--- a/mm/x.c\n+++ b/mm/x.c\n@@ -1 +1 @@ f()\n-a\n+b\n",
            pair("mm/x.c", "mm/x.c"),
        ),
        (
            "--- a/mm/x.c\t2024-01-01\n+++ b/mm/x.c\t2024\n@@ -1 +1 @@\n-a\n+b\n",
            pair("mm/x.c", "mm/x.c"),
        ),
        (
            "diff --git a/n b/n\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n",
            pair("", "n"),
        ),
        (
            "diff --git a/e b/e\nnew file mode 100644\nindex 0..e69de29\n",
            pair("", "e"),
        ),
        (
            "diff --git a/g b/g\ndeleted file mode 100644\nindex 1..0\n--- a/g\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
            pair("g", ""),
        ),
        (
            "diff --git a/o b/n d\nsimilarity index 100%\nrename from o\nrename to n d\n",
            pair("o", "n d"),
        ),
        (
            "diff --git a/s h b/s h\nold mode 100644\nnew mode 100755\n",
            pair("s h", "s h"),
        ),
        (
            "diff --git \"a/\\303\\244.c\" \"b/\\303\\244.c\"\nold mode 100644\nnew mode 100755\n",
            pair("ä.c", "ä.c"),
        ),
        (
            "diff --git a/l.bin b/l.bin\nindex 1..2 100644\nGIT binary patch\nliteral 3\nKc${Nk\n\nliteral 0\nHcmV?d00001\n\n",
            pair("l.bin", "l.bin"),
        ),
    ] {
        assert_eq!(paths(text), [expect], "{text}");
    }
}

#[test]
fn lines_of_a_hunk_are_counted_not_guessed() {
    let text = "--- a/x\n+++ b/x\n@@ -1,3 +1,4 @@ one\n a\n--- a/../evil\n+++ b/../evil\n+two\n c\n@@ -9 +10 @@\n-z\n+y\n-- \n2.39\n";
    let files = read(text.as_bytes()).unwrap();
    assert_eq!(files.len(), 1);
    let hunks = &files[0].hunks;
    assert_eq!(hunks[0].added, ["++ b/../evil", "two"]);
    assert_eq!(
        (hunks[1].number, hunks[1].old_start, hunks[1].header.as_str()),
        (2, 9, "@@ -9 +10 @@")
    );
}

#[test]
fn what_leads_out_of_the_tree_is_refused() {
    let new = |path: &str| format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n");
    for path in [
        "b/../../etc/passwd",
        "/etc/passwd",
        "b/.git/config",
        "b/mm/.GIT/hooks/x",
        "b/a/../../x",
    ] {
        assert!(
            matches!(read(new(path).as_bytes()), Err(PatchDefect::Escapes { .. })),
            "{path}"
        );
    }
    let rename = "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to ../y\n";
    assert!(matches!(
        read(rename.as_bytes()),
        Err(PatchDefect::Escapes { .. })
    ));
    let link = |target: &str| {
        format!(
            "diff --git a/d/l b/d/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/d/l\n@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
        )
    };
    assert!(read(link("../x").as_bytes()).is_ok());
    for target in ["../../x", "/etc/passwd", "a/../../../x"] {
        assert!(
            matches!(
                read(link(target).as_bytes()),
                Err(PatchDefect::LinkEscapes { .. })
            ),
            "{target}"
        );
    }
    let module = "diff --git a/m b/m\nnew file mode 160000\nindex 0..1\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1\n";
    assert!(matches!(
        read(module.as_bytes()),
        Err(PatchDefect::Submodule { .. })
    ));
}

#[test]
fn nothing_and_half_a_hunk_are_told() {
    assert_eq!(read(b""), Err(PatchDefect::Empty));
    assert_eq!(read(b"Just a mail.\n"), Err(PatchDefect::Empty));
    let cut = b"--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n";
    assert_eq!(read(cut), Err(PatchDefect::CutOff { line: 6 }));
    assert!(matches!(
        read(&vec![b'x'; MAX_PATCH_BYTES + 1]),
        Err(PatchDefect::Huge { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_lines_of_a_patch_are_read_without_a_panic(picks in proptest::collection::vec(0..12_usize, 0..40)) {
        const LINES: [&str; 12] = ["diff --git a/x b/x", "diff --git \"a/", "--- a/x", "+++ b/x", "@@ -1,2 +1,2 @@",
            "@@ -0,0 +4294967295 @@", " a", "-b", "+c", "rename to \"\\", "\\ No newline", ""];
        let text: Vec<&str> = picks.iter().map(|p| LINES[*p]).collect();
        let _ = read(text.join("\n").as_bytes());
    }
}
