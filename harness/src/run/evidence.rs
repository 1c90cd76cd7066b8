//! From what a machine left to what a verdict is made of (pure).

use crate::console;
use crate::machine::{Awaited, FrameLog, MachineEnd, MachineRun, StreamEnd};
use crate::spec::{Expectation, ExpectedVerdict, FindingView};
use crate::verdict::{Class, Ending, HostShare, Stream, Verdict, Waited};
use guest_tests::catalogue::Counter;
use guest_tests::protocol::Body;
use std::collections::BTreeMap;

/// How the machine ended, in the verdict's words.
pub(super) fn ending(end: &MachineEnd) -> Ending {
    match end {
        MachineEnd::PoweredOff => Ending::PoweredOff,
        MachineEnd::Panicked => Ending::Panicked,
        MachineEnd::Reset => Ending::Reset,
        MachineEnd::Cancelled => Ending::Cancelled,
        MachineEnd::Deadline { awaited } => Ending::Deadline(match awaited {
            Awaited::FirstFrame => Waited::FirstFrame,
            Awaited::NextFrame => Waited::NextFrame,
            Awaited::CaseEnd => Waited::CaseEnd,
            Awaited::PowerOff => Waited::PowerOff,
        }),
        MachineEnd::Killed { signal: Some(signal) } => {
            Ending::Emulator(format!("QEMU was killed by signal {signal}"))
        }
        MachineEnd::Killed { signal: None } => {
            Ending::Emulator("QEMU was told by a signal to quit".to_owned())
        }
        MachineEnd::QemuExited { status, stderr } => {
            Ending::Emulator(format!("QEMU gave up with status {status}: {}", stderr.trim()))
        }
        MachineEnd::NotStarted(e) => {
            Ending::Emulator(format!("the machine did not start: {}", with_causes(e)))
        }
        MachineEnd::HostFailed(e) => Ending::Emulator(with_causes(e)),
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let next = e.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = e.source();
    }
    text
}

/// The most of a guest's last words that a verdict quotes, in bytes.
const LAST_WORDS_LEN_MAX: usize = 16 << 10;
/// What the kernel says of an NMI that no device sent.
const NMI: &[u8] = b"NMI received for unknown reason";

/// Where the answer to our NMI begins in a console: with the line that tells of the last one. A guest that
/// could not answer any more has none.
pub(super) fn answer_at(console: &[u8]) -> usize {
    let told = console.windows(NMI.len()).rposition(|at| at == NMI);
    told.map_or(console.len(), |at| {
        console[..at]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |end| end + 1)
    })
}

/// The beginning of some console text, for people.
pub(super) fn text_of(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(LAST_WORDS_LEN_MAX)]).into_owned()
}

/// How the frames ended, in the verdict's words. A gap counts before what came after it.
pub(super) fn stream(log: &FrameLog) -> Stream {
    if let Some(gap) = log.gaps.first() {
        return Stream::OutOfOrder {
            expected: gap.expected,
            found: gap.found,
        };
    }
    match &log.end {
        StreamEnd::Clean => Stream::Clean,
        StreamEnd::CutOff { .. } => Stream::CutOff,
        StreamEnd::Broken { at, why } => Stream::Broken(format!("at byte {at}: {why}")),
        StreamEnd::Open => Stream::Broken("their stream was still open when the machine was gone".to_owned()),
    }
}

/// What the host gave the machine.
pub(super) fn host_share(run: &MachineRun, cpus: u32) -> HostShare {
    HostShare {
        cpu_s: run.usage.cpu_s,
        wait_s: run.usage.cpu_wait_s,
        wall_s: run.wall_s,
        cpus,
    }
}

/// Whether a verdict came out as expected; without an expectation, a kernel is expected to pass. A
/// broken harness is expected by its own word only.
pub(super) fn as_expected(expected: Option<&Expectation>, verdict: &Verdict) -> bool {
    let want = expected.map_or(ExpectedVerdict::Pass, |e| e.verdict);
    let reason = expected.and_then(|e| e.reason.as_ref());
    if reason.is_some_and(|pattern| !pattern.is_match(&verdict.reason())) {
        return false;
    }
    match (want, verdict) {
        (ExpectedVerdict::Infra, Verdict::Infra { .. }) => true,
        (_, Verdict::Infra { .. }) => false,
        (ExpectedVerdict::Any, _)
        | (ExpectedVerdict::Pass, Verdict::Pass)
        | (ExpectedVerdict::Inconclusive, Verdict::Inconclusive { .. })
        | (ExpectedVerdict::Skip, Verdict::Skip { .. }) => true,
        (ExpectedVerdict::Fail, Verdict::Fail { first, .. }) => {
            let view = FindingView {
                class: first.class.word(),
                title: &first.title,
                splat: matches!(first.class, Class::Splat(_)),
                function: first.function.as_deref(),
            };
            expected.is_none_or(|e| {
                e.finding.is_empty() || e.finding.iter().any(|pattern| pattern.matches(&view))
            })
        }
        (
            ExpectedVerdict::Pass
            | ExpectedVerdict::Fail
            | ExpectedVerdict::Inconclusive
            | ExpectedVerdict::Skip
            | ExpectedVerdict::Infra,
            Verdict::Pass | Verdict::Fail { .. } | Verdict::Inconclusive { .. } | Verdict::Skip { .. },
        ) => false,
    }
}

/// The figures of a cell's record.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) detect_s: Option<f64>,
    pub(super) guest_s: f64,
    pub(super) boot_s: Option<f64>,
    counters: BTreeMap<Counter, u64>,
}

impl Figures {
    /// Takes them from the frames: from the end of the case or, where it has none, the last progress.
    pub(super) fn of(run: &MachineRun, verdict: &Verdict, console: Option<&[u8]>) -> Self {
        let mut figures = Self {
            boot_s: run.boot_s,
            ..Self::default()
        };
        let marks: BTreeMap<u64, u64> = console
            .map(console::marks)
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut start_ns = None;
        for frame in run.frames.frames() {
            match &frame.body {
                Body::Start(_) => start_ns = Some(marks.get(&frame.seq).copied().unwrap_or(frame.t_ns)),
                Body::Progress(progress) => {
                    figures.counters.clone_from(&progress.counters);
                    figures.guest_s = progress.elapsed_ms as f64 / 1e3;
                }
                Body::End(end) => {
                    figures.counters.clone_from(&end.counters);
                    figures.guest_s = end.pressure_ms as f64 / 1e3;
                }
                Body::Hello(_) | Body::Finding(_) | Body::Coverage(_) | Body::Done(_) => {}
            }
        }
        let first_ns = verdict.findings().next().and_then(|f| f.t_ns);
        figures.detect_s = first_ns
            .zip(start_ns)
            .map(|(found, start)| found.saturating_sub(start) as f64 / 1e9);
        figures
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Kind;
    use crate::spec::FINDING_CLASSES;
    use crate::verdict::Finding;
    use guest_tests::model;

    #[test]
    fn every_class_can_be_expected_by_its_word() {
        use model::Class::{
            Faulted, Flipped, Foreign, Garbage, Poison, Resurrected, Spliced, Stale, Torn, Zeroed,
        };
        let mismatches = [
            Stale,
            Foreign,
            Torn,
            Spliced,
            Zeroed,
            Resurrected,
            Flipped,
            Poison,
            Garbage,
            Faulted,
        ];
        let splats = [
            Kind::Kasan,
            Kind::Kmsan,
            Kind::Kcsan,
            Kind::Kfence,
            Kind::Ubsan,
            Kind::Hang,
            Kind::Lockdep,
            Kind::Warning,
            Kind::Atomic,
            Kind::Leak,
            Kind::Reboot,
            Kind::Oops,
        ];
        let others = [
            Class::Hang,
            Class::Oom,
            Class::Leak,
            Class::Conservation,
            Class::Taint,
            Class::Lost,
            Class::Boot,
            Class::Apply,
            Class::Config,
            Class::Build,
        ];
        let all = mismatches
            .map(Class::Mismatch)
            .into_iter()
            .chain(splats.map(Class::Splat))
            .chain(others);
        for class in all {
            assert!(FINDING_CLASSES.contains(&class.word()), "{}", class.word());
        }
    }

    #[test]
    fn what_a_guest_answers_to_our_nmi_is_no_cause() {
        let own =
            "[ 1.0] patchproof: frame 3\r\n[ 2.0] Uhhuh. NMI received for unknown reason 21 on CPU 1.\r\n";
        let answer = "[ 9.0] Uhhuh. NMI received for unknown reason 30 on CPU 0.\r\n[ 9.1] Kernel panic - not syncing: NMI: Not continuing\r\n";
        let console = format!("{own}{answer}");
        assert_eq!(answer_at(console.as_bytes()), own.len());
        assert_eq!(answer_at(b"[ 1.0] nothing\n"), 15);
        assert_eq!(answer_at(b""), 0);
        assert_eq!(text_of(&[b'x'; LAST_WORDS_LEN_MAX + 1]).len(), LAST_WORDS_LEN_MAX);
    }

    #[test]
    fn without_an_expectation_only_a_pass_is_expected() {
        assert!(as_expected(None, &Verdict::Pass));
        for verdict in [
            Verdict::fail(Finding::new(Class::Lost, "x")),
            Verdict::Skip { why: "x".into() },
            Verdict::Inconclusive {
                why: vec!["x".into()],
            },
            Verdict::Infra { error: "x".into() },
        ] {
            assert!(!as_expected(None, &verdict), "{verdict:?}");
        }
    }

    #[test]
    fn a_gap_in_the_frames_counts_before_what_came_after_it() {
        let mut log = FrameLog::default();
        log.end = StreamEnd::Clean;
        assert_eq!(stream(&log), Stream::Clean);
        log.end = StreamEnd::CutOff { at: 3 };
        assert_eq!(stream(&log), Stream::CutOff);
        log.gaps.push(crate::machine::frames::Gap {
            expected: 2,
            found: 4,
        });
        assert_eq!(
            stream(&log),
            Stream::OutOfOrder {
                expected: 2,
                found: 4
            }
        );
    }
}
