//! What is written down: the state, and the log that git takes.

use super::*;
use crate::bisect::state::{Header, line, resume};

/// A finished search of a range in which commit 3 of 8 is the culprit, and its file.
fn finished() -> (Search, String) {
    let history = linear(8);
    let rule = Rule::default();
    let mut search = Search::new(history.clone(), &[], rule).unwrap();
    search_all(&mut search, |commit, nth| match commit {
        4 => Outcome::Skip { why: Skip::Build },
        _ => kernel(&history, 3, 0.6, commit, nth),
    });
    let mut file = line(&Header::new(&history, &[], rule));
    search.log().iter().for_each(|trial| file.push_str(&line(trial)));
    (search, file)
}

#[test]
fn wherever_it_was_cut_off_it_goes_on_the_same() {
    let (whole, file) = finished();
    let history = linear(8);
    let first = file.find('\n').unwrap() + 1;
    for cut in (first..=file.len()).step_by(7) {
        let mut search = resume(&file[..cut], linear(8)).unwrap();
        let kept = search.log().len();
        assert_eq!(search.log(), &whole.log()[..kept]);
        assert_eq!(kept, file[first..cut].matches('\n').count());
        search_all(&mut search, |commit, nth| match commit {
            4 => Outcome::Skip { why: Skip::Build },
            _ => kernel(&history, 3, 0.6, commit, nth),
        });
        assert_eq!(search.log(), whole.log(), "cut at {cut}");
        // To the bit.
        assert_eq!(search.candidates(), whole.candidates());
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let (_, file) = finished();
    let check = |text: &str, history: History, expected: &str| {
        let problem = resume(text, history).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{problem}");
    };
    check("", linear(8), "line 1 of the log: it is empty");
    check(
        &file,
        linear(9),
        "line 1 of the log: it is of another range of commits",
    );
    check(
        &file.replace("\"v\":1", "\"v\":2"),
        linear(8),
        "line 1 of the log: it is of version 2, this reads 1",
    );
    let (head, rest) = file.split_once('\n').unwrap();
    check(
        &format!("{head}\nnonsense\n{rest}"),
        linear(8),
        "line 2 of the log: expected",
    );
    let stranger = rest.replacen("\"c8\"", "\"c9\"", 1);
    check(
        &format!("{head}\n{stranger}"),
        linear(8),
        "line 2 of the log: c9 is no commit of this range",
    );
    let backwards = rest.replacen("\"boot_s\":3.0", "\"boot_s\":-3.0", 1);
    check(
        &format!("{head}\n{backwards}"),
        linear(8),
        "line 2 of the log: a trial of c8 took no valid time",
    );
}

#[test]
fn the_log_is_gits_and_loses_nothing() {
    let (search, _) = finished();
    let log = gitlog::write(&search, |commit| format!("mm: change {commit}"));
    let mut lines = log.lines().filter(|line| !line.starts_with("# patchproof: "));
    assert_eq!(lines.next(), Some("git bisect start"));
    assert_eq!(
        lines.next(),
        Some("# status: waiting for both good and bad commits")
    );
    assert_eq!(lines.next(), Some("# bad: [c8] mm: change 8"));
    assert_eq!(lines.next(), Some("git bisect bad c8"));
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("git bisect "))
        .collect();
    assert!(
        told.contains(&"git bisect good c2") && told.contains(&"git bisect bad c3"),
        "{told:?}"
    );
    assert!(log.ends_with("# first bad commit: [c3] mm: change 3\n"), "{log}");
    assert_eq!(gitlog::read(&log).unwrap(), search.log());
}

#[test]
fn a_log_of_gits_own_counts_as_what_it_is() {
    let log = "git bisect start\n# bad: [c8] x\ngit bisect bad c8\n# good: [c0] y\ngit bisect good c0\n\
               git bisect good c4\ngit bisect skip c6 c7\n# first bad commit: [c5] z\n";
    let trials = gitlog::read(log).unwrap();
    let mut search = Search::new(linear(8), &[], Rule::default()).unwrap();
    for trial in trials {
        search.record(trial).unwrap();
    }
    // A word makes bad less likely, not impossible; and a skip is a skip.
    assert!(
        search.bad()[4] < 0.2 && search.bad()[4] > 0.01,
        "{}",
        search.bad()[4]
    );
    assert!(search.tally(6).skip.is_some() && search.tally(7).skip.is_some());
    assert_eq!(search.next_nth(8, &[]), 0);
    let terms = gitlog::read("git bisect start '--term-new=slow' 'c8' 'c0'\ngit bisect slow c5").unwrap();
    let terms: Vec<_> = terms.into_iter().map(|t| (t.commit, t.outcome)).collect();
    let told = |commit: &str, bad: bool| (commit.to_owned(), Outcome::Told { bad });
    assert_eq!(terms, [told("c8", true), told("c0", false), told("c5", true)]);
    let problem = gitlog::read("git bisect start\nrm -rf /")
        .unwrap_err()
        .to_string();
    assert_eq!(
        problem,
        "line 2 of the log: `rm -rf /` is no line of a bisect log"
    );
    let problem = gitlog::read("git bisect fast c1").unwrap_err().to_string();
    assert_eq!(
        problem,
        "line 1 of the log: `git bisect fast` tells nothing about a commit"
    );
}
