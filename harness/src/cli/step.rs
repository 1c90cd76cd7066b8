//! `step`: one step of `git bisect run`.

use super::hunt_args::Step;
use super::hunt_cell::{self, Chosen};
use super::run::config;
use super::show::Failure;
use crate::host::dirs;
use crate::hunt::bug::Wanted;
use crate::hunt::step::{Said, step};
use crate::run::{self, Single};
use crate::source::{self, Cancel, Source};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a mistake on the command line comes to: git takes every code up to 127 but 125 for a verdict on the commit.
pub(super) fn usage(code: u8) -> u8 {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if words.next().is_some_and(|word| word == "step") {
        BROKEN
    } else {
        code
    }
}

/// The exit code by which `git bisect run` ends its search.
const BROKEN: u8 = 128;

/// Never fails: an exit code that git takes for "bad" must come from a kernel alone.
pub(super) fn run(what: &Step, json: bool) -> u8 {
    // A panic of ours would be a code that git takes for "bad".
    let said = match std::panic::catch_unwind(|| tried(what, json)) {
        Ok(Ok(said)) => said,
        Ok(Err(failure)) => {
            super::show::failure(&failure, json);
            return BROKEN;
        }
        Err(_) => return BROKEN,
    };
    let words = match &said {
        Said::Good { trials } => format!("good: {trials} trials stayed quiet"),
        Said::Bad { seen } => format!("bad: {seen}"),
        Said::Skip { why } => format!("cannot be tested: {why}"),
        Said::Broken { why } => format!("the harness or the host broke: {why}"),
    };
    if json {
        println!(
            "{}",
            json!({ "v": 1, "event": "step", "said": said, "exit": said.exit() })
        );
    } else {
        println!("{words}");
    }
    said.exit()
}

fn tried(what: &Step, json: bool) -> Result<Said, Failure> {
    let Chosen { read, cell, wanted } = hunt_cell::choose(&what.trial, &[])?;
    let wanted = match wanted {
        // There is no bad end to learn from.
        Wanted::LikeBad => Wanted::Any,
        counted @ (Wanted::Any | Wanted::Named(_)) => counted,
    };
    let repo = std::path::absolute(&what.repo).map_err(|e| Failure::File(what.repo.clone(), e))?;
    let config = config(read, &what.how, run::Until::Judged)?;
    let kernel = config.spec.kernels.get(&cell.kernel);
    let kernel = kernel.ok_or_else(|| Failure::NoCell(cell.id.clone()))?;
    let mut request = match Single::request_of(&config, kernel) {
        Ok(request) => request,
        Err(e) => return Ok(Said::Broken { why: e.to_string() }),
    };
    request.source = if what.tree {
        Source::Dir { path: repo }
    } else {
        // With --no-checkout, git names the commit there.
        let rev = ["BISECT_HEAD", "HEAD"]
            .into_iter()
            .find(|rev| source::commit(&repo, rev, &Cancel::default()).is_ok());
        Source::Git {
            repo,
            rev: rev.unwrap_or("HEAD").to_owned(),
        }
    };
    let dir = dirs::state()?.join("steps");
    std::fs::create_dir_all(&dir).map_err(|e| Failure::File(dir.clone(), e))?;
    let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S-").to_string();
    let made = tempfile::Builder::new().prefix(&stamp).tempdir_in(&dir);
    let dir = made.map_err(|e| Failure::File(dir.clone(), e))?.keep();
    let single = Single::new(config, &dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Own(e.to_string()))?;
        let terminate = signal(SignalKind::terminate()).map_err(|e| Failure::Own(e.to_string()))?;
        tokio::spawn(watch_signals(interrupt, terminate, stop));
        let mut live = crate::hunt::report::Live::new(json, false);
        let show = |event: &run::Event| live.show(crate::hunt::Told::Run(event));
        Ok(step(&single, request, &cell, what.trials, &wanted, show, stopped).await)
    })
}

/// The first signal stops the step in good order, the second one at once.
async fn watch_signals(mut interrupt: Signal, mut terminate: Signal, stop: watch::Sender<bool>) {
    for second in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if second {
            std::process::exit(i32::from(BROKEN));
        }
        let _ = stop.send(true);
    }
}
