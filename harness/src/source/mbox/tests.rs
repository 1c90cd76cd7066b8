//! Tests of `mbox` and `thread`.

use super::*;
use crate::source::thread;
use crate::source::{Patch, SeriesProblem};

const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

fn mail(subject: &str, body: &str) -> String {
    format!("From 0123abc Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {subject}\n\n{body}\n")
}

fn patches(bytes: &[u8]) -> Result<Vec<Patch>, SeriesProblem> {
    Ok(thread::pick(letters(bytes)?)?.into_patches())
}

fn subjects(mbox: &str) -> Vec<String> {
    patches(mbox.as_bytes())
        .unwrap()
        .into_iter()
        .map(|p| p.subject)
        .collect()
}

#[test]
fn order_is_what_the_count_says_and_the_cover_letter_is_no_patch() {
    let mbox = [
        mail("[PATCH v2 2/2] mm: two", DIFF),
        mail("[PATCH v2 0/2] mm: cover", &format!("It quotes:\n{DIFF}")),
        mail("[PATCH v2 1/2] mm:\n one", DIFF),
        mail("Re: [PATCH v2 1/2] mm: one", &format!("> look\n{DIFF}")),
    ]
    .concat();
    assert_eq!(subjects(&mbox), ["mm: one", "mm: two"]);
    assert_eq!(patches(mbox.as_bytes()).unwrap()[1].name, "0002-mm-two.patch");
}

#[test]
fn gaps_doubles_and_strangers_are_told() {
    let check = |subjects: &[&str]| {
        let mbox: String = subjects.iter().map(|s| mail(s, DIFF)).collect();
        patches(mbox.as_bytes()).unwrap_err()
    };
    assert_eq!(
        check(&["[PATCH 1/3] a", "[PATCH 3/3] c"]),
        SeriesProblem::Missing {
            numbers: vec![2],
            more: 0,
            total: 3
        }
    );
    let mbox = mail("[PATCH 1/1] a", DIFF) + &mail("[PATCH 1/1] b", &DIFF.replace("+b", "+c"));
    assert_eq!(
        patches(mbox.as_bytes()).unwrap_err(),
        SeriesProblem::Twice { number: 1, total: 1 }
    );
    assert!(matches!(
        check(&["[PATCH 1/4294967295] a"]),
        SeriesProblem::Missing {
            more: 4_294_967_289,
            ..
        }
    ));
    assert!(matches!(
        check(&["[PATCH 1/1] a", "[PATCH] b"]),
        SeriesProblem::Stray { .. }
    ));
}

#[test]
fn transfer_encodings_and_escapes_are_undone() {
    let escaped = mail(
        "[PATCH] mm: x",
        &format!(">From here on\n>>From there\n\nFrom now on it works\n{DIFF}"),
    );
    let found = patches(escaped.as_bytes()).unwrap();
    let body = String::from_utf8_lossy(&found[0].bytes).into_owned();
    assert!(
        body.starts_with("From here on\n>From there\n\nFrom now on it works\n--- a/x"),
        "{body}"
    );
    let quoted = "From 1 Mon Sep 17 00:00:00 2001\nSubject: =?utf-8?q?=5BPATCH=5D_mm=3A_=C3=A4?=\nContent-Transfer-Encoding: quoted-printable\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a=3D1\n+b=\n=3D2\n";
    let found = patches(quoted.as_bytes()).unwrap();
    assert_eq!(found[0].subject, "mm: ä");
    assert!(found[0].bytes.ends_with(b"-a=1\n+b=2\n"));
    // The same patch in base64.
    let coded = "From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] m\nContent-Transfer-Encoding: base64\n\nLS0tIGEveAorKysgYi94CkBAIC0xICsxIEBACi1hCitiCg==\n";
    assert_eq!(patches(coded.as_bytes()).unwrap()[0].bytes, DIFF.as_bytes());
}

#[test]
fn a_patch_is_found_in_an_attachment() {
    let text = format!(
        "From: a@b\nSubject: [PATCH] m\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/plain\n\nhello\n--B\nContent-Type: text/x-patch\n\n{DIFF}--B--\n"
    );
    assert!(patches(text.as_bytes()).unwrap()[0].bytes.starts_with(b"--- a/x"));
}

fn picked(mbox: &str) -> thread::Picked {
    thread::pick(letters(mbox.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_newest_complete_version_wins_and_that_is_said() {
    let part = |subject: &str, line: &str| mail(subject, &DIFF.replace("+b", line));
    let both = part("[PATCH 1/2] a", "+1") + &part("[PATCH 2/2] b", "+2");
    let newer = part("[PATCH v3 2/2] b", "+4") + &part("[PATCH v3 1/2] a", "+3");
    let found = picked(&(newer.clone() + &both));
    assert!(found.letters[0].patch.as_ref().unwrap().ends_with(b"+3\n\n"));
    assert_eq!(
        found.notes,
        ["v3 is taken, the newest; v1 and what is older is left out"]
    );
    let torn = part("[PATCH v3 2/2] b", "+4") + &both;
    let found = picked(&torn);
    assert_eq!(found.letters[0].version, (1, 0));
    assert_eq!(
        found.notes,
        ["v3 is not complete (patch 1/2 is missing): v1 is taken, the newest that is"]
    );
    // Sent to two lists.
    let found = picked(&(newer.clone() + &newer));
    assert_eq!((found.letters.len(), found.notes.len()), (2, 2));
    let missing = part("[PATCH v2 3/5] c", "+1");
    let why = patches(missing.as_bytes()).unwrap_err().to_string();
    assert_eq!(why, "patches 1/5, 2/5, 4/5, 5/5 are missing");
}

#[test]
fn versions_are_read_however_they_are_spelled() {
    for (subject, version) in [
        ("[PATCH] x", (1, 0)),
        ("[PATCH v2 1/3] x", (2, 0)),
        ("[RFC PATCH V3 1/3] x", (3, 0)),
        ("[PATCHv4] x", (4, 0)),
        ("[PATCH v2.1 1/3] x", (2, 1)),
        ("[PATCH mm-unstable v10 01/12] x", (10, 0)),
        ("[RFC v2][PATCH 1/2] x", (2, 0)),
        ("[PATCH 6.12.y] x v7", (1, 0)),
    ] {
        assert_eq!(version_of(subject), version, "{subject}");
    }
}

#[test]
fn a_letter_keeps_who_wrote_to_whom_and_its_base() {
    let text = "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: =?utf-8?q?J=C3=A4ne?= <jane@example.org>\nTo: linux-mm@kvack.org, \"Doe, John\" <john@example.org>\nCc: linux-mm@kvack.org\nMessage-ID: <1@x>\nIn-Reply-To: <0@x>\nReferences: <a@x> <0@x>\nSubject: [PATCH 1/1] m\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\nbase-commit: 0123456789abcdef0123456789abcdef01234567\n--\n2.39\n";
    let found = letters(text.as_bytes()).unwrap().remove(0);
    let from = found.from.unwrap();
    assert_eq!(
        (from.name.as_str(), from.address.as_str()),
        ("Jäne", "jane@example.org")
    );
    assert_eq!(found.to[1].name, "Doe, John");
    assert_eq!(found.references, ["a@x", "0@x"]);
    assert_eq!(found.message_id.as_deref(), Some("1@x"));
    let hash = Some("0123456789abcdef0123456789abcdef01234567");
    assert_eq!(
        (found.commit.as_deref(), found.base_commit.as_deref()),
        (hash, hash)
    );
}

#[test]
fn headers_of_a_hostile_sender_carry_no_second_line() {
    let text = "Subject: =?utf-8?q?=5BPATCH=5D_x=0ABcc=3A_all=40example=2Eorg=E2=80=AE?=\nFrom: =?utf-8?q?a=0D=0ABcc=3A?= <a@b\n\tBcc: c@d>\nTo: <x@y>, <`id`@z/../..>, \"a\\\nb\" <ok@example.org>, -oQ/tmp@example.org\nMessage-ID: <1@x\n\t y@z>\nReferences: <a b@c> <fine@c> <no-at>\n\n--- a/x\n+++ b/x\n";
    let found = letters(text.as_bytes()).unwrap().remove(0);
    assert_eq!(found.subject, "[PATCH] x Bcc: all@example.org");
    assert_eq!(found.references, ["fine@c"]);
    let all = found.from.iter().chain(&found.to);
    for mailbox in all {
        assert!(is_address(&mailbox.address), "{mailbox:?}");
        assert!(!mailbox.name.contains(char::is_control), "{mailbox:?}");
        assert!(!mailbox.address.starts_with('-'), "{mailbox:?}");
    }
}

#[test]
fn parts_inside_of_parts_without_end_are_refused() {
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    let deep: String = (0..100_000).map(level).collect();
    let error = letters((String::from("From: a@b\n") + &deep).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("parts inside of parts"), "{error}");
    let fine: String = (0..20).map(level).collect();
    assert!(letters((String::from("From: a@b\n") + &fine).as_bytes()).is_ok());
}

proptest::proptest! {
    #[test]
    fn anything_that_looks_like_a_thread_is_read_without_a_panic(
        mails in proptest::collection::vec(
            ("(\\[(RFC )?PATCH( v[0-9]{1,3})?( [0-9]{1,10}/[0-9]{1,10})?\\] ?)?.{0,20}", "(To|Cc|From|References|Message-ID|Content-Type|Content-Transfer-Encoding): .{0,40}", "(--- a/x\n\\+\\+\\+ b/x\n)?.{0,40}"),
            0..6,
        )
    ) {
        let mbox: String = mails
            .iter()
            .map(|(subject, header, body)| format!("From 1 Mon Sep 17 00:00:00 2001\n{header}\nSubject: {subject}\n\n{body}\n\n"))
            .collect();
        if let Ok(letters) = letters(mbox.as_bytes()) {
            let has = letters.iter().filter(|l| l.patch.is_some()).count();
            if let Ok(picked) = thread::pick(letters) {
                assert!(picked.letters.len() <= has && picked.letters.iter().all(|l| l.patch.is_some()));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = patches(&[b"From 1 Mon Sep 17 00:00:00 2001\n".as_slice(), &bytes].concat());
    }
}
