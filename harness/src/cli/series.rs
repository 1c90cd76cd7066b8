//! `series`.

use super::args::{Sandbox, Series};
use super::show::Failure;
use super::{Done, run};
use crate::host::Mode;
use crate::report;
use crate::run::Event;
use crate::series::{self, Wishes, touched::Wanted};
use crate::source;
use guest_tests::catalogue::Workload;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

pub(super) fn series(what: &Series, json: bool) -> Done {
    let wishes = wishes(what)?;
    let mut reporter = report::for_output(json, std::io::stdout().is_terminal());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    let (summary, result) = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        run::watch(stop)?;
        let show = |event: &Event| reporter.event(event);
        series::check(&wishes, show, stopped).await.map_err(Failure::from)
    })?;
    let dir = wishes.runs.join(&summary.run);
    super::history::remember(&dir);
    let mut all_written = true;
    if let (Some(to), Some(from)) = (&what.reply, &result.reply) {
        let copied = std::fs::read(from).and_then(|text| crate::host::fs::write_atomic(to, &text));
        if let Err(e) = copied {
            super::show::failure(&Failure::File(to.clone(), e), json);
            all_written = false;
        }
    }
    for (format, file) in &what.left.report {
        if let Err(e) = report::write(&dir, *format, Some(file)) {
            super::show::failure(&e.into(), json);
            all_written = false;
        }
    }
    // What was found of the series counts for more than a report that could not be written.
    Ok(if all_written || summary.exit == 1 {
        summary.exit
    } else {
        3
    })
}

fn wishes(what: &Series) -> Result<Wishes, Failure> {
    let wanted = match (what.all, what.workloads.as_slice()) {
        (true, _) => Wanted::All,
        (false, []) => Wanted::Touched,
        (false, names) => Wanted::Named(names.to_vec()),
    };
    if let Wanted::Named(names) = &wanted {
        let known: Vec<&str> = Workload::all().iter().map(|info| info.name).collect();
        if let Some(wrong) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            return Err(Failure::Usage(format!(
                "there is no workload {wrong}; there are {known}"
            )));
        }
    }
    let root = match &what.root {
        Some(root) => std::path::absolute(root).map_err(|e| Failure::File(root.clone(), e))?,
        None => root_here()?,
    };
    let cores = what.how.cores.or_else(|| {
        let n = std::thread::available_parallelism().ok()?;
        u32::try_from(n.get()).ok()
    });
    Ok(Wishes {
        given: what.series.clone(),
        repo: what.repo.clone(),
        base: what.base.clone(),
        wanted,
        budget: what.budget,
        looks: what.repeats,
        pairs_max: what.pairs_max,
        seed: what.seed,
        kconfigs: what.kconfigs.iter().map(|k| absolute(k)).collect(),
        accel: what.accel.clone(),
        sender: what.from.clone().or_else(|| source::git::user(Path::new("."))),
        root,
        runs: run::runs()?,
        cache: super::cache::open()?,
        sandbox: match what.how.sandbox {
            Sandbox::On => Mode::Bubblewrap,
            Sandbox::Off => Mode::Off,
        },
        cores: cores.unwrap_or(1),
        args: std::env::args().collect(),
    })
}

/// A fragment by its path is found from the run's folder too.
fn absolute(fragment: &str) -> String {
    if !fragment.contains('/') {
        return fragment.to_owned();
    }
    std::path::absolute(fragment).map_or_else(|_| fragment.to_owned(), |p| p.to_string_lossy().into_owned())
}

/// The nearest folder at or above this one that has kconfigs/ and patches/.
fn root_here() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|e| Failure::File(PathBuf::from("."), e))?;
    let has = |dir: &&Path| dir.join("kconfigs").is_dir() && dir.join("patches").is_dir();
    let found = here.ancestors().find(has).map(Path::to_owned);
    found.ok_or_else(|| Failure::NoRoot(here.clone()))
}
