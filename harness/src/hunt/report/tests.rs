//! Reports of a made-up search: what they say, and that nothing of what a kernel or a commit says gets out of its
//! place.

use super::*;
use crate::bisect::{Outcome, Rule, Search, Seen, Skip, Step, Trial};
use crate::hunt::bug::Wanted;
use crate::hunt::check::{Verified, What};
use crate::hunt::folder::Header;
use crate::source::Commit;

const EVIL: &str = "<script>alert(1)</script>\"'\u{202e}\u{1b}[31m\nBcc: everybody";

/// A finished search of eight commits with odd subjects; commit 5 is the culprit, commit 2 does not build.
fn kept() -> Kept {
    let id = |n: usize| format!("{n:040x}");
    let commits: Vec<Commit> = (0..=8)
        .map(|n| Commit {
            id: id(n),
            parents: if n == 0 { vec![] } else { vec![id(n - 1)] },
            subject: if n == 5 {
                format!("mm: {EVIL}")
            } else {
                format!("mm: change {n}")
            },
            author: "A <a@example.com>".into(),
            files: vec!["mm/zswap.c".into()],
        })
        .collect();
    let range = Range::Git {
        repo: "/linux".into(),
        good: "v1".into(),
        bad: "v2".into(),
        commits,
    };
    let mut search = Search::new(range.history().unwrap(), &[], Rule::default()).unwrap();
    while let Step::Try(choice) = search.step(&[]) {
        let nth = search.next_nth(choice.commit, &[]);
        let outcome = match choice.commit {
            2 => Outcome::Skip { why: Skip::Build },
            5.. => Outcome::Found { after_s: 2.0 },
            _ => Outcome::Quiet { for_s: 30.0 },
        };
        search.record(trial(&id(choice.commit), nth, outcome)).unwrap();
    }
    let header = Header {
        v: 1,
        paths: vec![],
        matrix: "/m.yaml".into(),
        root: "/".into(),
        cell: "k.small@qemu.pressure.off".into(),
        budget_s: 30.0,
        bug: Wanted::LikeBad,
        rule: *search.rule(),
        weights: vec![],
        verify: true,
        sandbox: true,
        agent: "a".into(),
        patchproof: "0".into(),
        args: vec![
            "/bin/patchproof".into(),
            "bisect".into(),
            "--finding".into(),
            EVIL.into(),
        ],
        started: "2026-01-01T00:00:00Z".into(),
        range,
    };
    let mut kept = Kept {
        candidates: header.range.candidates(),
        header,
        search,
        verified: vec![],
    };
    for (check, commit, outcome) in [
        (What::ParentClean, id(4), Outcome::Quiet { for_s: 30.0 }),
        (What::CulpritAgain, id(5), Outcome::Found { after_s: 1.0 }),
        (
            What::RevertedClean,
            crate::hunt::check::REVERTED.to_owned(),
            Outcome::Quiet { for_s: 30.0 },
        ),
    ] {
        for nth in 0..if check == What::CulpritAgain { 1 } else { 3 } {
            kept.verified.push(Verified {
                check,
                trial: trial(&commit, 100 + nth, outcome),
            });
        }
    }
    kept
}

fn trial(commit: &str, nth: u32, outcome: Outcome) -> Trial {
    let found = matches!(outcome, Outcome::Found { .. });
    Trial {
        commit: commit.to_owned(),
        nth,
        outcome,
        build_s: if nth == 0 { 30.0 } else { 0.0 },
        boot_s: 2.0,
        run_s: 10.0,
        seen: found.then(|| Seen {
            verdict: "fail".into(),
            class: Some("foreign".into()),
            title: format!("page 7 {EVIL}"),
            ..Seen::default()
        }),
    }
}

fn rendered(format: Format) -> String {
    let kept = kept();
    render(&View::of("20260101-x", &kept), &kept, format).unwrap()
}

#[test]
fn the_view_says_what_was_found_and_what_held() {
    let kept = kept();
    let view = View::of("x", &kept);
    assert!(view.good, "{}", view.title);
    assert!(
        view.title.starts_with("the culprit is 000000000000 (mm: "),
        "{}",
        view.title
    );
    let held: Vec<_> = view.checks.iter().map(|c| c.words).collect();
    assert_eq!(held, ["held", "held", "held"]);
    assert_eq!(
        view.beliefs.len(),
        kept.search.log().len(),
        "one after each trial of the search"
    );
    assert_eq!(view.trials.len(), view.beliefs.len() + kept.verified.len());
    let object = view.object();
    assert_eq!((&object["v"], &object["event"]), (&1.into(), &"bisect".into()));
    assert_eq!(object["named"][0]["id"], format!("{:040x}", 5));
}

#[test]
fn nothing_that_others_said_gets_out_of_its_place() {
    let page = rendered(Format::Html);
    assert!(page.contains("default-src 'none'") && !page.contains("script-src"));
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
    for format in [Format::Text, Format::Mail] {
        let text = rendered(format);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(
            !text.lines().any(|line| line.starts_with("Bcc:")),
            "no header is smuggled in: {text}"
        );
    }
}

#[test]
fn the_mail_is_filled_in() {
    let mail = rendered(Format::Mail);
    assert!(mail.starts_with("Subject: [REGRESSION] mm: "), "{mail}");
    assert!(mail.contains("Fixes: 000000000000 (\"mm: "), "{mail}");
    let paragraphs: Vec<&str> = mail.split("\n\n").collect();
    assert!(
        paragraphs
            .iter()
            .any(|p| p.trim() == "#regzbot introduced: 000000000000"),
        "a paragraph of its own"
    );
}

#[test]
fn the_log_names_the_same_commit() {
    let log = rendered(Format::Log);
    assert!(log.starts_with("git bisect start\n"));
    assert!(
        log.contains(&format!("# first bad commit: [{:040x}]", 5)),
        "{log}"
    );
    assert!(!log.contains("\"seen\""), "what was seen is in the report");
}

#[test]
fn a_search_that_goes_on_has_no_mail_and_says_so() {
    let mut kept = kept();
    kept.search = Search::new(kept.header.range.history().unwrap(), &[], Rule::default()).unwrap();
    kept.verified.clear();
    let view = View::of("x", &kept);
    assert_eq!(view.title, "the search goes on: there is no answer yet");
    assert_eq!(render(&view, &kept, Format::Mail).unwrap(), "");
    assert!(
        render(&view, &kept, Format::Html)
            .unwrap()
            .contains("no answer yet")
    );
}
