//! The HTML report in a browser (headless Chromium): nothing is loaded, nothing breaks out of the page's width,
//! links open what they lead to. Pictures of it are kept in target/pages, to be looked at.
//!
//! Part of the claims tier (`cargo xtask soak page`).

#![expect(clippy::unwrap_used, reason = "a helper fails as the test that calls it does")]

use harness::report::{self, Format};
use harness::run::{CellRecord, Event, FindingLine};
use harness::store::{RunDir, RunHeader};
use harness::verdict::{Class, Finding, Verdict};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where pages and pictures are kept.
fn keep() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_patchproof")).ancestors().nth(2);
    let dir = target.expect("the binary lies in a target folder").join("pages");
    std::fs::create_dir_all(&dir).expect("the target folder can be written");
    dir
}

/// A run of so many cells, a tenth of which fail.
fn run(runs: &Path, cells: u64) -> PathBuf {
    let mut dir = RunDir::create(runs, "page").unwrap();
    let header = RunHeader {
        v: 1,
        run: dir.id().to_owned(),
        spec: "/matrix.yaml".into(),
        root: "/".into(),
        cells: Vec::new(),
        shard: None,
        agent: "agent".into(),
        patchproof: "0".into(),
        args: Vec::new(),
        started: String::new(),
    };
    dir.write("run.json", &header).unwrap();
    let started = Event::RunStarted {
        run: dir.id().to_owned(),
        dir: dir.path().to_owned(),
        spec: "matrix.yaml".into(),
        cells: 1,
        kernels: 5,
        done: 0,
        notes: Vec::new(),
        defaults: String::new(),
    };
    dir.event(&started).unwrap();
    for i in 0..cells {
        let cell = cell(i);
        let progress = |s: u64| Event::CellProgress {
            cell: cell.id.clone(),
            elapsed_ms: 250 * s,
            budget_ms: 30_000,
            pages_verified: 500 * s,
            round_trips: 100 * s,
            counters: guest_counters(s),
        };
        dir.event(&Event::CellStarted {
            cell: cell.id.clone(),
        })
        .unwrap();
        for s in 1..=120 {
            dir.event(&progress(s)).unwrap();
        }
        let attempt = dir.path().join("cells").join(&cell.id).join("attempt-1");
        std::fs::create_dir_all(&attempt).unwrap();
        let console = format!("[    1.0] {}\n", "a console line that is rather long ".repeat(8)).repeat(300);
        std::fs::write(attempt.join("console.log"), console).unwrap();
        dir.event(&Event::CellDone(Box::new(cell))).unwrap();
    }
    dir.path().to_owned()
}

fn guest_counters(s: u64) -> std::collections::BTreeMap<guest_tests::catalogue::Counter, u64> {
    use guest_tests::catalogue::Counter::{
        PagesVerified, RoundTrips, SwapIn, SwapOut, ZswapLoad, ZswapStore,
    };
    let all = [PagesVerified, RoundTrips, SwapIn, SwapOut, ZswapLoad, ZswapStore];
    all.into_iter()
        .map(|counter| (counter, s * (90 + s % 7)))
        .collect()
}

fn cell(i: u64) -> CellRecord {
    let full = if i % 10 == 3 {
        let mut finding = Finding::new(
            Class::Hang,
            format!("{} without a blank", "a-long-word".repeat(40)),
        );
        finding.detail = "detail ".repeat(500);
        Verdict::fail(finding)
    } else {
        Verdict::Pass
    };
    let kernel = format!("kernel-{}", i % 5);
    let id = format!("{kernel}.small@qemu.case-{}.zswap_writeback", i / 5);
    CellRecord {
        group: id.clone(),
        repeat: format!("patchproof replay /a/rather/long/path/to/the/folder/of/a/run {id}"),
        id,
        kernel,
        machine: "small".into(),
        workload: "zswap_pressure".into(),
        verdict: full.word().into(),
        as_expected: full == Verdict::Pass || i % 20 == 3,
        reason: full.reason(),
        findings: full.findings().map(FindingLine::from).collect(),
        detect_s: (full != Verdict::Pass).then_some(i as f64 / 100.0 + 0.2),
        guest_s: 30.0,
        pages_verified: 60_000,
        round_trips: 12_000,
        boot_s: Some(2.0),
        attempts: 1,
        build_s: None,
        full,
        expected: "pass".into(),
    }
}

fn page(name: &str, cells: u64) -> PathBuf {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), cells);
    let page = keep().join(name);
    report::write(&run, Format::Html, Some(&page)).unwrap();
    page
}

/// Runs Chromium without a window; `None` where there is none.
fn chromium(args: &[String]) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    let mut all: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("--user-data-dir={}", profile.path().display()));
    all.extend_from_slice(args);
    let out = duct::cmd("chromium", all)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run();
    match out {
        Ok(out) => {
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            Some(String::from_utf8_lossy(&out.stdout).into_owned())
        }
        Err(e) => {
            eprintln!("not tested: chromium: {e}; `cargo xtask soak page` installs it");
            None
        }
    }
}

/// Opens a page (at `#at`) with a script of ours beside its own, and returns what that finds.
fn probe(page: &Path, at: &str, script: &str) -> Option<Value> {
    let html = std::fs::read_to_string(page).unwrap();
    let nonce = html
        .split("nonce-")
        .nth(1)
        .and_then(|rest| rest.get(..32))
        .unwrap()
        .to_owned();
    let own = format!(
        "<script nonce=\"{nonce}\">addEventListener('load', () => {{ document.title = JSON.stringify({script}) }})</script></body>"
    );
    let probed = page.with_extension("probe.html");
    std::fs::write(&probed, html.replace("</body>", &own)).unwrap();
    let url = format!("file://{}{at}", probed.display());
    let dom = chromium(&["--window-size=500,900".into(), "--dump-dom".into(), url])?;
    let title = dom
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split("</title>").next())
        .unwrap();
    Some(serde_json::from_str(title).unwrap_or_else(|e| panic!("{e}: {title}")))
}

/// Whether the claims tier was asked for.
fn soak() -> bool {
    std::env::var_os("PATCHPROOF_SOAK").is_some()
}

#[test]
fn the_page_holds_together_in_a_browser() {
    if !soak() {
        return;
    }
    let page = page("small.html", 40);
    // Narrower than a phone that no window of Chromium may be: the root is made so.
    let script = "(() => { document.documentElement.style.width = '390px'; document.querySelectorAll('details').forEach(d => d.open = true); \
        const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, pre, svg, .vh') && !e.matches('.vh') && getComputedStyle(e).clipPath === 'none' && e.getBoundingClientRect().right > 391 && e.offsetWidth > 0); \
        return { width: document.body.scrollWidth, wide: wide.map(e => e.className || e.tagName), loaded: performance.getEntriesByType('resource').length, \
        landmarks: ['header', 'main', 'footer'].map(l => document.querySelectorAll('body > ' + l).length), \
        unnamed: document.querySelectorAll('section:not([aria-labelledby])').length }; })()";
    let Some(found) = probe(&page, "", script) else {
        return;
    };
    assert!(found["width"].as_u64().unwrap() <= 390, "{found}");
    assert_eq!(found["wide"], Value::Array(Vec::new()), "{found}");
    assert_eq!(
        (found["loaded"].as_u64(), found["unnamed"].as_u64()),
        (Some(0), Some(0)),
        "{found}"
    );
    assert_eq!(found["landmarks"], serde_json::json!([1, 1, 1]));
    let open = "({ open: [...document.querySelectorAll('.cell')].filter(d => d.open).map(d => d.id), focus: document.activeElement.tagName })";
    let found = probe(&page, "#c17", open).unwrap();
    let open = found["open"].as_array().unwrap();
    assert!(
        open.contains(&"c17".into()) && !open.contains(&"c18".into()),
        "{found}"
    );
    assert_eq!(found["focus"], "SUMMARY", "{found}");
    for (name, size, dark) in [
        ("light", "1200,1600", false),
        ("dark", "1200,1600", true),
        ("phone", "390,2400", false),
    ] {
        let mut args = vec![
            format!("--window-size={size}"),
            format!("--screenshot={}", keep().join(format!("{name}.png")).display()),
        ];
        if dark {
            args.push("--blink-settings=preferredColorScheme=0".into());
        }
        args.push(format!("file://{}", page.display()));
        chromium(&args);
    }
}

#[test]
fn a_thousand_cells_open() {
    if !soak() {
        return;
    }
    let page = page("large.html", 1000);
    let bytes = std::fs::metadata(&page).unwrap().len();
    assert!(bytes < 5_000_000, "{bytes} bytes");
    let script = "({ cells: document.querySelectorAll('.cell').length, ms: performance.now() })";
    let Some(found) = probe(&page, "", script) else {
        return;
    };
    assert_eq!(found["cells"], 1000);
    println!(
        "a page of 1000 cells: {bytes} bytes, loaded after {} ms",
        found["ms"]
    );
}
