//! The executor of one kernel: from its words in the matrix to something that can be booted, or to
//! the verdict that its cells get instead.

use super::dispatch::{Config, infra};
use super::evidence::with_causes;
use super::{Event, KernelRecord};
use crate::kernel::{self, BuildStep, Built, KernelError};
use crate::source::{Cancel, Inexact, Note, Series, SeriesError, SeriesKind, SeriesProblem, Source};
use crate::spec::{KernelSpec, Reference, SourceSpec};
use crate::verdict::{Class, Finding, Verdict};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What came of making a kernel.
#[derive(Debug)]
pub enum Made {
    /// It can be booted.
    Ready {
        /// The kernel; it stays in the cache while this lives.
        built: Arc<Built>,
        /// Its record.
        record: KernelRecord,
    },
    /// Its cells come to this.
    Failed(Verdict),
}

/// Finds or makes one kernel of the matrix. Blocking work runs on a thread of its own.
pub(super) async fn make(
    config: &Config,
    name: &str,
    events: mpsc::Sender<Event>,
    cancel: watch::Receiver<bool>,
) -> Made {
    let Some(spec) = config.plan.kernels.get(name) else {
        return Made::Failed(infra(format!("the plan has no kernel {name}")));
    };
    match request(config, spec) {
        Ok(request) => make_requested(config, name, request, events, cancel).await,
        Err(e) => Made::Failed(series_verdict(&e)),
    }
}

/// Finds or makes a kernel; `name` is what events call it.
pub(super) async fn make_requested(
    config: &Config,
    name: &str,
    request: kernel::Request,
    events: mpsc::Sender<Event>,
    mut cancel: watch::Receiver<bool>,
) -> Made {
    let stop = Cancel::default();
    let (cache, halt) = (config.cache.clone(), stop.clone());
    let kernel = name.to_owned();
    let progress: kernel::Progress = Arc::new(move |step| {
        let (what, done, total) = words(step);
        let step = Event::KernelStep {
            kernel: kernel.clone(),
            done,
            total,
            what,
        };
        // A build is faster than a slow reader: a step that nobody had time for is left out.
        let _ = events.try_send(step);
    });
    let mut making = tokio::task::spawn_blocking(move || kernel::ensure(&request, &cache, &progress, &halt));
    let ended = tokio::select! {
        ended = &mut making => ended,
        () = stopped(&mut cancel) => {
            stop.stop();
            making.await
        }
    };
    match ended {
        Ok(Ok(built)) => {
            let (built, record) = ready(name, built);
            Made::Ready { built, record }
        }
        Ok(Err(e)) => Made::Failed(verdict(&e)),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

/// Waits until somebody says stop; what is borrowed for looking is given back at once.
async fn stopped(cancel: &mut watch::Receiver<bool>) {
    let _ = cancel.wait_for(|stop| *stop).await;
}

/// A kernel that is there, and its record.
pub(super) fn ready(name: &str, built: Built) -> (Arc<Built>, KernelRecord) {
    let record = KernelRecord {
        kernel: name.to_owned(),
        key: built.key.clone(),
        dir: built.dir.clone(),
        build_s: built.build_s,
        cached: built.cached,
        notes: notes(&built.record),
    };
    (Arc::new(built), record)
}

fn notes(record: &kernel::KernelRecord) -> Vec<String> {
    let inexact = record.notes.iter().map(note_words);
    let dropped = record
        .racepoints
        .dropped
        .iter()
        .map(|(site, why)| format!("racepoint {site} does not fit this kernel and is left out: {why}"));
    inexact.chain(dropped).collect()
}

/// How one patch fitted less than exactly, for people.
pub(crate) fn note_words(note: &Note) -> String {
    let file = note
        .file
        .as_ref()
        .map_or_else(String::new, |f| format!(" ({})", f.display()));
    let how = match &note.what {
        Inexact::Offset { hunk, lines } => format!("hunk {hunk} applied {lines:+} lines from where it says"),
        Inexact::Fuzz { context } => format!("applied with less context than it has ({context})"),
        Inexact::ThreeWay => "merged three ways with the version it was made on".to_owned(),
        Inexact::Converted { how } => format!("converted first: {how}"),
    };
    format!("{}/{}{file}: {how}", note.series, note.patch)
}

/// What a kernel of a matrix is made of.
pub(super) fn request(config: &Config, spec: &KernelSpec) -> Result<kernel::Request, SeriesError> {
    let place = |reference: &Reference, dir: &str, suffix: &str| match reference {
        Reference::Named(name) => config.root.join(dir).join(format!("{name}{suffix}")),
        Reference::Path(path) => path.clone(),
    };
    let series = spec
        .series
        .iter()
        .map(|s| Series::load(&place(s, "patches", "")))
        .collect::<Result<_, _>>()?;
    Ok(kernel::Request {
        source: source(&spec.source),
        series,
        fragments: spec
            .kconfigs
            .iter()
            .map(|k| place(k, "kconfigs", ".config"))
            .collect(),
        jobs: config.cores as usize,
        sandbox: config.sandbox,
    })
}

/// A matrix's word for a source, as something that can be had.
pub(super) fn source(spec: &SourceSpec) -> Source {
    match spec {
        SourceSpec::Debian { package } => Source::Debian {
            package: package.clone(),
        },
        SourceSpec::Dir { path } => Source::Dir { path: path.clone() },
        SourceSpec::Tarball { path } => Source::Tarball { path: path.clone() },
        SourceSpec::Git { repo, rev } => Source::Git {
            repo: PathBuf::from(repo),
            rev: rev.clone(),
        },
        SourceSpec::Image { path } => Source::Image { path: path.clone() },
    }
}

/// A step in words, with how far the build is.
pub(super) fn words(step: BuildStep) -> (String, u64, Option<u64>) {
    let said = |what: String| (what, 0, None);
    match step {
        BuildStep::Compiling { what, done, total } => (what, done, total),
        BuildStep::Waiting => said("waiting for another run that makes it".to_owned()),
        BuildStep::Unpacking { source } => said(format!("unpacking {source}")),
        BuildStep::Applying { patches } => said(format!("applying {patches} patches")),
        BuildStep::Moved { files } => said(format!("{files} files changed")),
        BuildStep::Configuring => said("configuring".to_owned()),
        BuildStep::Storing => said("storing".to_owned()),
    }
}

/// What the cells of a kernel that could not be made come to.
pub(super) fn verdict(error: &KernelError) -> Verdict {
    match error {
        KernelError::Apply(failure) if failure.kind != SeriesKind::Racepoint => {
            Verdict::fail(Finding::new(Class::Apply, with_causes(failure.as_ref())))
        }
        KernelError::Config(missing) => {
            let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Verdict::fail(Finding::new(Class::Config, lines.join("; ")))
        }
        KernelError::Build(failure) => {
            Verdict::fail(Finding::new(Class::Build, with_causes(failure.as_ref())))
        }
        KernelError::Fragments(wrong) => {
            let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            infra(lines.join("; "))
        }
        KernelError::Apply(_)
        | KernelError::Source(_)
        | KernelError::DoesNotFit { .. }
        | KernelError::ImageIsReady
        | KernelError::Infra(_) => infra(explained(error)),
    }
}

/// A series that can't even be read is a finding about it, unless its files are missing.
fn series_verdict(error: &SeriesError) -> Verdict {
    if matches!(error.problem, SeriesProblem::Read { .. }) {
        return infra(with_causes(error));
    }
    Verdict::fail(Finding::new(Class::Apply, with_causes(error)))
}

/// An error with its causes and what to do about it.
fn explained(error: &KernelError) -> String {
    let help = miette::Diagnostic::help(error).map_or_else(String::new, |h| format!(" ({h})"));
    format!("{}{help}", with_causes(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ApplyFailure;

    fn apply(kind: SeriesKind) -> Verdict {
        verdict(&KernelError::Apply(Box::new(ApplyFailure {
            series: "s".into(),
            kind,
            patch: "0001.patch".into(),
            file: Some("mm/zswap.c".into()),
            hunk: Some((2, "@@ -1,3 +1,4 @@".into())),
            reason: "it does not fit".into(),
        })))
    }

    #[test]
    fn a_series_that_does_not_apply_is_red_and_our_own_racepoints_are_not() {
        let failed = apply(SeriesKind::Carry);
        let first = failed.findings().next().expect("a finding");
        assert_eq!(first.class, Class::Apply);
        assert!(
            first.title.contains("0001.patch") && first.title.contains("mm/zswap.c"),
            "{}",
            first.title
        );
        assert_eq!(apply(SeriesKind::Racepoint).word(), "infra");
    }

    #[test]
    fn a_kernel_that_lacks_a_line_of_its_configuration_is_red() {
        let failed = verdict(&KernelError::Config(Vec::new()));
        assert_eq!(failed.findings().next().map(|f| f.class), Some(Class::Config));
        assert_eq!(verdict(&KernelError::ImageIsReady).word(), "infra");
    }
}
