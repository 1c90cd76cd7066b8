//! Replies, whole.

use super::*;
use crate::series::compare::Outcome;
use crate::series::intake::Part;
use crate::series::report::{CaseLine, Rates, Shown, Totals};
use crate::series::touched::Chosen;
use crate::source::{Letter, Patch};

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox {
        name: name.to_owned(),
        address: address.to_owned(),
    }
}

const TITLES: [&str; 3] = ["mm/zswap: one", "mm/zswap: two", "mm/zswap: three"];

fn submission() -> Submission {
    let letter = |n: usize, title: &str| Letter {
        subject: format!("[PATCH v2 {n}/3] {title}"),
        title: title.to_owned(),
        message_id: Some(format!("{n}-jane@example.org")),
        references: vec!["0-jane@example.org".into()],
        from: Some(mailbox("Jane Doe", "jane@example.org")),
        to: vec![mailbox("", "linux-mm@kvack.org")],
        cc: vec![
            mailbox("Roe, John", "john@example.org"),
            mailbox("CI", "ci@example.net"),
        ],
        ..Letter::default()
    };
    let part = |(index, title): (usize, &&str)| Part {
        patch: Patch {
            name: String::new(),
            subject: (*title).to_owned(),
            bytes: vec![],
            notes: vec![],
        },
        letter: Some(letter(index + 1, title)),
    };
    Submission {
        title: "mm/zswap: all".into(),
        parts: TITLES.iter().enumerate().map(part).collect(),
        cover: Some(Letter {
            references: vec![],
            ..letter(0, "mm/zswap: all")
        }),
        ..Submission::default()
    }
}

fn report() -> Report {
    let patch = |(index, title): (usize, &&str)| PatchLine {
        number: index + 1,
        title: (*title).to_owned(),
        builds: Some(true),
        ..PatchLine::default()
    };
    Report {
        title: "mm/zswap: all".into(),
        patches: TITLES.iter().enumerate().map(patch).collect(),
        base: "linux-source-6.12 6.12.117-1".into(),
        verdict: Word::Pass,
        workloads: vec![Chosen {
            workload: "zswap_pressure".into(),
            because: "mm/zswap.c".into(),
        }],
        cases: vec![CaseLine {
            case: "zswap_pressure".into(),
            outcome: Outcome::NothingNew,
            looked: 2,
            tried: 0,
            would_have_shown: Some(0.776),
            suspect: None,
        }],
        totals: Totals {
            cells: 6,
            round_trips: 30_251,
            pages_verified: 140_032,
            guest_s: 128.0,
        },
        rates: Rates {
            false_blame: 0.01,
            false_clear: 0.05,
            odds: 10.0,
        },
        sandbox: true,
        run: "20260301-101500-series-x-aB3x".into(),
        again: "patchproof series SERIES --base linux-source-6.12 --budget 30s --seed 1".into(),
        ..Report::default()
    }
}

fn around() -> Circumstances {
    Circumstances {
        sender: Some(mailbox("CI", "ci@example.net")),
        date: "Sun, 01 Mar 2026 12:00:00 +0000".into(),
        environment: vec!["compiler: gcc 12".into()],
    }
}

fn finding() -> Problem {
    Problem::Finding(Box::new(FindingProblem {
        case: "zswap_pressure".into(),
        class: "foreign".into(),
        title: "page 826: expected generation 2, found generation 5 of page 12".into(),
        patches: vec![2],
        confidence: 0.971,
        shown: vec![
            Shown {
                patches: 0,
                runs: 8,
                found: 0,
            },
            Shown {
                patches: 1,
                runs: 2,
                found: 0,
            },
            Shown {
                patches: 2,
                runs: 3,
                found: 3,
            },
            Shown {
                patches: 3,
                runs: 8,
                found: 8,
            },
        ],
        detect_s: Some(1.7),
        evidence: vec!["swap slot 77 was free before".into()],
        repeat: "patchproof replay /runs/x p3.ci@qemu.zswap_pressure.off#1".into(),
    }))
}

#[test]
fn a_finding_is_told_to_whoever_sent_the_patch() {
    let report = Report {
        verdict: Word::Fail,
        problems: vec![finding()],
        on_base: vec!["zswap_pressure: warning in foo".into()],
        ..report()
    };
    insta::assert_snapshot!("finding", reply(&report, &submission(), &around()));
}

#[test]
fn an_all_clear_says_what_was_proved_and_what_was_not_looked_at() {
    let report = Report {
        not_exercised: vec!["net/ipv4/tcp.c".into()],
        ..report()
    };
    insta::assert_snapshot!("all_clear", reply(&report, &submission(), &around()));
}

#[test]
fn a_patch_that_does_not_build_is_answered_itself_and_a_commit_gets_its_fixes_tag() {
    let mut report = Report {
        verdict: Word::Fail,
        problems: vec![Problem::Build {
            patch: 3,
            file: Some("mm/zswap.c".into()),
            line: Some(1630),
            message: "implicit declaration of function ‘zswap_fetch’".into(),
            mended_by: None,
        }],
        ..report()
    };
    report.patches[2].commit = Some("0123456789abcdef0123456789abcdef01234567".into());
    let text = reply(&report, &submission(), &around());
    assert!(text.contains("In-Reply-To: <3-jane@example.org>\n"), "{text}");
    assert!(
        text.contains("References: <0-jane@example.org>\n <3-jane@example.org>\n"),
        "{text}"
    );
    assert!(
        text.contains("    mm/zswap.c:1630: error: implicit declaration"),
        "{text}"
    );
    assert!(
        text.contains("| Fixes: 0123456789ab (\"mm/zswap: three\")\n"),
        "{text}"
    );
}

#[test]
fn a_report_that_no_archive_keeps_has_no_link_to_one() {
    let mut private = submission();
    private.parts[1]
        .letter
        .as_mut()
        .expect("it came by mail")
        .to
        .clear();
    let report = Report {
        verdict: Word::Fail,
        problems: vec![finding()],
        ..report()
    };
    let text = reply(&report, &private, &around());
    assert!(
        text.contains("| Reported-by: ") && !text.contains("Closes:"),
        "{text}"
    );
}

#[test]
fn without_a_sender_nobody_is_made_up() {
    let report = Report {
        verdict: Word::Fail,
        problems: vec![finding()],
        ..report()
    };
    let text = reply(&report, &submission(), &Circumstances::default());
    for header in ["\nFrom:", "Message-ID:", "Reported-by:", "Closes:"] {
        assert!(!format!("\n{text}").contains(header), "{header} in {text}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_sender_writes_stays_where_it_is_quoted(
        subject in ".{0,60}", name in ".{0,30}", title in "(?s).{0,60}", said in "(?s).{0,80}",
    ) {
        let mut from = submission();
        let letter = from.parts[1].letter.as_mut().expect("it came by mail");
        // As the reader of mails leaves them: one line, no control characters.
        letter.subject = subject.replace(|c: char| c.is_control() || c.is_whitespace(), " ");
        letter.from = Some(mailbox(&name.replace(|c: char| c.is_control() || c.is_whitespace(), " "), "jane@example.org"));
        let mut report = Report { verdict: Word::Fail, problems: vec![finding()], ..report() };
        report.patches[1].title = title;
        if let Some(Problem::Finding(finding)) = report.problems.first_mut() {
            finding.evidence = said.split('\n').map(str::to_owned).collect();
        }
        let text = reply(&report, &from, &around());
        let (head, _) = text.split_once("\n\n").expect("headers end");
        let names: Vec<&str> = head
            .lines()
            .filter(|line| !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap_or_default())
            .collect();
        proptest::prop_assert_eq!(names, [
            "From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version",
            "Content-Type", "Content-Transfer-Encoding",
        ]);
        proptest::prop_assert!(head.is_ascii());
    }
}
