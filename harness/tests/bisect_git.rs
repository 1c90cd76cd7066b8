//! Our log of a bisection through git's own eyes: `git bisect replay` takes it and names the same commit,
//! in a history with merges; and what `git bisect log` says is read back.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use harness::bisect::{History, Outcome, Rule, Search, Skip, Step, Trial, gitlog};
use harness::host::{Cmd, set_self_exe};
use std::path::Path;

fn git(repo: &Path, args: &[&str]) -> String {
    let own = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "init.defaultBranch=main",
    ];
    let done = Cmd::new("git").args(own).args(args).cwd(repo).run().unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.success(), "git {args:?}: {err}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Eighteen commits, two of them merges of a side branch.
fn repo(dir: &Path) {
    git(dir, &["init", "--quiet"]);
    let commit = |name: &str| git(dir, &["commit", "--quiet", "--allow-empty", "-m", name]);
    commit("good end");
    for round in 0..2 {
        (0..3).for_each(|n| drop(commit(&format!("main {round}.{n}"))));
        git(
            dir,
            &["checkout", "--quiet", "-b", &format!("side{round}"), "HEAD~2"],
        );
        (0..3).for_each(|n| drop(commit(&format!("side {round}.{n}"))));
        git(dir, &["checkout", "--quiet", "main"]);
        git(
            dir,
            &[
                "merge",
                "--quiet",
                "--no-ff",
                "-m",
                &format!("merge {round}"),
                &format!("side{round}"),
            ],
        );
    }
    commit("bad end");
}

fn history(dir: &Path) -> History {
    let list = git(
        dir,
        &["rev-list", "--topo-order", "--reverse", "--parents", "HEAD"],
    );
    let commits = list.lines().map(|line| {
        let mut ids = line.split(' ').map(str::to_owned);
        (ids.next().unwrap(), ids.collect())
    });
    History::merged(commits.collect()).unwrap()
}

#[test]
fn git_replays_our_log_and_names_the_same_commit() {
    set_self_exe(env!("CARGO_BIN_EXE_patchproof"));
    let dir = tempfile::tempdir().unwrap();
    repo(dir.path());
    let history = history(dir.path());
    let culprits = (1..history.len()).step_by(3);
    let mut agreed = 0;
    for culprit in culprits {
        let mut search = Search::new(history.clone(), &[], Rule::default()).unwrap();
        let answer = loop {
            let commit = match search.step(&[]) {
                Step::Try(choice) => choice.commit,
                Step::Done(answer) => break answer,
                other @ (Step::Wait | Step::Bad(_)) => panic!("{other:?}"),
            };
            let nth = search.next_nth(commit, &[]);
            // In every second trial; one commit, far from the culprit, does not build.
            let outcome = if commit == (culprit + 7) % (history.len() - 2) + 1 {
                Outcome::Skip { why: Skip::Build }
            } else if history.contains(commit, culprit) && nth % 2 == 1 {
                Outcome::Found { after_s: 4.0 }
            } else {
                Outcome::Quiet { for_s: 30.0 }
            };
            search
                .record(Trial {
                    commit: history.id(commit).to_owned(),
                    nth,
                    outcome,
                    build_s: 0.0,
                    boot_s: 1.0,
                    run_s: 30.0,
                    seen: None,
                })
                .unwrap();
        };
        assert!(answer.named.contains(&culprit), "{culprit}: {answer:?}");
        let log = gitlog::write(&search, |commit| {
            git(dir.path(), &["log", "-1", "--format=%s", history.id(commit)])
        });
        let file = dir.path().join("log");
        std::fs::write(&file, &log).unwrap();
        git(dir.path(), &["bisect", "replay", file.to_str().unwrap()]);
        // git's log holds what it understood: every mark of ours.
        let theirs = git(dir.path(), &["bisect", "log"]);
        for mark in log
            .lines()
            .filter(|line| line.starts_with("git bisect ") && !line.ends_with("start"))
        {
            assert!(theirs.contains(mark), "git did not take `{mark}`:\n{theirs}");
        }
        if let [one] = answer.named.as_slice() {
            let named = format!("# first bad commit: [{}]", history.id(*one));
            assert!(
                theirs.contains(&named),
                "{culprit}: git named another:\n{theirs}\nours:\n{log}"
            );
            agreed += 1;
        }
        assert!(
            gitlog::read(&theirs).is_ok(),
            "git's own log is not understood:\n{theirs}"
        );
        git(dir.path(), &["bisect", "reset"]);
    }
    assert!(agreed > 0, "git named no commit at all");
}
