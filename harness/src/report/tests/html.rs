//! The page: what it holds, what it must not hold, and what it weighs.

use super::record;
use crate::report::Format;
use crate::run::Versioned;
use crate::store::Record;
use crate::store::sample::{self, cell, foreign};
use crate::verdict::Verdict;

#[test]
fn what_a_kernel_says_is_text_on_the_page() {
    let (_dir, record) = record(Some(1));
    let page = Format::Html.render(&record).unwrap();
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert!(page.contains("&lt;script&gt;alert(1)"), "the title is there");
    assert!(
        page.contains("<mark>&lt;/pre&gt;"),
        "the console too, with the splat marked"
    );
    assert!(!page.contains('\u{1b}') && !page.contains('\0'));
}

#[test]
fn nothing_outside_of_the_page_is_loaded() {
    let (_dir, record) = record(Some(1));
    let page = Format::Html.render(&record).unwrap();
    for loads in ["src=", "<link", "<img", "<iframe", "@import", "url(", "fetch("] {
        assert!(!page.contains(loads), "{loads}");
    }
    let links = page.match_indices("href=\"").map(|(at, m)| &page[at + m.len()..]);
    assert!(links.clone().count() > 3);
    assert!(links.into_iter().all(|target| target.starts_with('#')));
    let nonce = |before: &str| {
        page.split(before)
            .nth(1)
            .and_then(|rest| rest.get(..32))
            .map(str::to_owned)
    };
    assert_eq!(nonce("script-src 'nonce-"), nonce("<script nonce=\""));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_nonce_follows_from_what_the_page_says() {
    let nonce = |exit| {
        let (_dir, record) = record(exit);
        let page = Format::Html.render(&record).unwrap();
        page.split("nonce-")
            .nth(1)
            .and_then(|rest| rest.get(..32))
            .map(str::to_owned)
    };
    assert_ne!(nonce(Some(1)), nonce(None));
}

#[test]
fn every_link_leads_to_a_cell() {
    let (_dir, record) = record(Some(1));
    let page = Format::Html.render(&record).unwrap();
    for (at, m) in page.match_indices("href=\"#") {
        let id = page[at + m.len()..].split('"').next().unwrap();
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    // The map of the mismatch is not at a finding that says something else.
    assert!(!page.contains("class=\"map\""));
}

#[test]
fn a_mismatch_is_drawn_at_its_finding() {
    let dir = tempfile::tempdir().unwrap();
    let title = sample::mismatch().title();
    let run = sample::run(
        dir.path(),
        "m",
        "a",
        &[cell("k", "m@qemu.c.off", None, foreign(&title), false)],
        Some(1),
    );
    let page = Format::Html.render(&Record::read(&run).unwrap()).unwrap();
    assert_eq!(page.matches("<rect").count(), 64);
    assert!(page.contains("page 9, generation 1"));
}

#[test]
fn a_thousand_cells_stay_below_five_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    let run = sample::run(dir.path(), "large", "a", &[], None);
    let mut lines = std::fs::read(run.join("events.jsonl")).unwrap();
    let console = "[    1.000000] a line of a console that says something\n".repeat(200);
    for i in 0..1000 {
        let full = if i % 2 == 0 {
            Verdict::Pass
        } else {
            foreign(&format!("page {i}: {}", "long ".repeat(400)))
        };
        let cell = cell(
            &format!("kernel{}", i % 5),
            &format!("small@qemu.case{}.off", i / 5),
            None,
            full,
            true,
        );
        let attempt = run.join("cells").join(&cell.id).join("attempt-1");
        std::fs::create_dir_all(&attempt).unwrap();
        std::fs::write(attempt.join("console.log"), &console).unwrap();
        for event in sample::events_of(&cell, 30) {
            serde_json::to_writer(&mut lines, &Versioned::now(event)).unwrap();
            lines.push(b'\n');
        }
    }
    std::fs::write(run.join("events.jsonl"), lines).unwrap();
    let page = Format::Html.render(&Record::read(&run).unwrap()).unwrap();
    assert_eq!(page.matches("<details id=\"c").count(), 1000);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}
