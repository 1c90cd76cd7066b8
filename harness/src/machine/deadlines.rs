//! How long a machine may take, for what, and who is being waited for now. Pure.
//!
//! The deadlines are ordered by cause: the guest's own watchdogs (hung tasks 10 to 20 s, soft
//! lockups 20 s) speak before `silence` runs out, so that a hang has a name before it is ended.

use super::accel::Accel;
use super::backend::Backend;
use guest_tests::protocol::{Body, CaseRequest, Frame};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How much longer everything may take under software emulation. Nothing else scales a deadline.
const EMULATION_FACTOR: u32 = 2;

/// How much longer the way to the agent may take over a distribution's user land.
const USERLAND_FACTOR: u32 = 3;

/// How long a visit may last at most: longer than anybody stays.
const VISIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a machine may take, each part by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of QEMU to the first frame.
    pub first_frame: Duration,
    /// From one frame to the next.
    pub silence: Duration,
    /// From a case's start to its end, on top of its budget: set-up and teardown.
    pub case_end: Duration,
    /// From the last frame (or the news of a panic) to the end of QEMU.
    pub power_off: Duration,
    /// From an NMI, by which a guest that hangs is asked what its CPUs do, to its last words. Zero does not ask.
    pub last_words: Duration,
}

impl Deadlines {
    /// What is fair on an accelerator.
    #[must_use]
    pub fn on(accel: Accel) -> Self {
        let base = Self {
            first_frame: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            case_end: Duration::from_secs(30),
            power_off: Duration::from_secs(10),
            last_words: Duration::from_secs(5),
        };
        match accel {
            Accel::Kvm => base,
            Accel::Tcg => base.times(EMULATION_FACTOR),
        }
    }

    /// What is fair on a backend: one boots a user land of a whole distribution before the agent starts.
    #[must_use]
    pub fn of(self, backend: &Backend) -> Self {
        match backend {
            Backend::Qemu => self,
            Backend::Virtme(_) => Self {
                first_frame: self.first_frame * USERLAND_FACTOR,
                ..self
            },
        }
    }

    /// What is fair where somebody logs in by hand: nothing is waited for, not even the boot, which the
    /// visitor's own patience ends.
    #[must_use]
    pub fn for_a_visit(self) -> Self {
        Self {
            silence: VISIT_MAX,
            case_end: VISIT_MAX,
            // The suite, which sends the first frame, is not started.
            first_frame: VISIT_MAX,
            ..self
        }
    }

    fn times(self, factor: u32) -> Self {
        Self {
            first_frame: self.first_frame * factor,
            silence: self.silence * factor,
            case_end: self.case_end * factor,
            power_off: self.power_off * factor,
            last_words: self.last_words * factor,
        }
    }
}

/// What a machine is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// The first frame: the guest never reached the agent.
    FirstFrame,
    /// Another frame: the guest makes no progress.
    NextFrame,
    /// The end of a case: it talks, but does not come to an end.
    CaseEnd,
    /// Power-off after the last frame or a panic.
    PowerOff,
}

impl Awaited {
    /// Words for people; fits after "waited in vain for ".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::FirstFrame => "the guest's first frame",
            Self::NextFrame => "another frame",
            Self::CaseEnd => "the end of the case",
            Self::PowerOff => "the guest to power off",
        }
    }
}

/// Follows a machine and says what is awaited until when.
#[derive(Debug)]
pub(super) struct Watch {
    deadlines: Deadlines,
    budgets: HashMap<String, Duration>,
    next: (Instant, Awaited),
    case_end: Option<Instant>,
    leaving: bool,
}

impl Watch {
    pub(super) fn new(deadlines: Deadlines, cases: &[CaseRequest], now: Instant) -> Self {
        let budget = |c: &CaseRequest| (c.id.clone(), Duration::from_millis(c.budget_ms));
        Self {
            deadlines,
            budgets: cases.iter().map(budget).collect(),
            next: (now + deadlines.first_frame, Awaited::FirstFrame),
            case_end: None,
            leaving: false,
        }
    }

    pub(super) fn frame(&mut self, frame: &Frame, now: Instant) {
        if self.leaving {
            return;
        }
        self.next = (now + self.deadlines.silence, Awaited::NextFrame);
        match &frame.body {
            Body::Start(start) => {
                let budget = self.budgets.get(&start.case).copied().unwrap_or_default();
                self.case_end = now.checked_add(budget + self.deadlines.case_end);
            }
            Body::End(_) => self.case_end = None,
            Body::Done(_) => self.leave(now),
            Body::Hello(_) | Body::Progress(_) | Body::Finding(_) | Body::Coverage(_) => {}
        }
    }

    /// The guest is on its way out; nothing it says any more puts that off.
    pub(super) fn leave(&mut self, now: Instant) {
        if !self.leaving {
            self.leaving = true;
            self.case_end = None;
            self.next = (now + self.deadlines.power_off, Awaited::PowerOff);
        }
    }

    /// What is awaited, and until when.
    pub(super) fn awaited(&self) -> (Instant, Awaited) {
        match self.case_end {
            Some(end) if end < self.next.0 => (end, Awaited::CaseEnd),
            Some(_) | None => self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_tests::catalogue::Workload;
    use guest_tests::protocol::{Done, End, Outcome, Progress, Start};

    fn deadlines() -> Deadlines {
        let [first_frame, silence, case_end, power_off, last_words] =
            [20, 30, 40, 10, 5].map(Duration::from_secs);
        Deadlines {
            first_frame,
            silence,
            case_end,
            power_off,
            last_words,
        }
    }

    fn frame(body: Body) -> Frame {
        Frame {
            seq: 0,
            t_ns: 0,
            body,
        }
    }

    fn progress() -> Body {
        Body::Progress(Progress {
            case: "c".into(),
            elapsed_ms: 0,
            counters: Default::default(),
            steal_ms: 0,
        })
    }

    fn end() -> Body {
        Body::End(End {
            case: "c".into(),
            outcome: Outcome::Completed,
            pressure_ms: 0,
            counters: Default::default(),
            racepoint_hits: Default::default(),
            holds_timed_out: 0,
            steal_ms: 0,
        })
    }

    /// Plays frames at given seconds; tells what is awaited then, and until which second.
    fn play(frames: &[(u64, Body)]) -> (u64, Awaited) {
        let workload = Workload::build("zswap_pressure", &Default::default()).unwrap();
        let case = CaseRequest {
            id: "c".into(),
            workload,
            seed: 1,
            budget_ms: 60_000,
            racepoints: Vec::new(),
        };
        let start = Instant::now();
        let mut watch = Watch::new(deadlines(), &[case], start);
        for (at, body) in frames {
            watch.frame(&frame(body.clone()), start + Duration::from_secs(*at));
        }
        let (until, what) = watch.awaited();
        ((until - start).as_secs(), what)
    }

    #[test]
    fn each_phase_awaits_its_own_thing() {
        let start = || Body::Start(Start { case: "c".into() });
        let done = || Body::Done(Done { cases: 1, taint: 0 });
        assert_eq!(play(&[]), (20, Awaited::FirstFrame));
        assert_eq!(play(&[(5, progress())]), (35, Awaited::NextFrame));
        assert_eq!(play(&[(5, start())]), (35, Awaited::NextFrame));
        // 5 s + 60 s of budget + 40 s: progress does not put it off.
        assert_eq!(play(&[(5, start()), (90, progress())]), (105, Awaited::CaseEnd));
        assert_eq!(play(&[(5, start()), (90, end())]), (120, Awaited::NextFrame));
        assert_eq!(
            play(&[(5, start()), (90, end()), (91, done())]),
            (101, Awaited::PowerOff)
        );
        assert_eq!(play(&[(91, done()), (100, progress())]), (101, Awaited::PowerOff));
    }

    #[test]
    fn a_case_that_nobody_planned_has_no_budget() {
        assert_eq!(
            play(&[(5, Body::Start(Start { case: "x".into() })), (44, progress())]),
            (45, Awaited::CaseEnd)
        );
    }

    #[test]
    fn emulation_gives_more_time_to_everything() {
        let (kvm, tcg) = (Deadlines::on(Accel::Kvm), Deadlines::on(Accel::Tcg));
        assert_eq!(tcg, kvm.times(EMULATION_FACTOR));
        assert!(
            kvm.silence > Duration::from_secs(20),
            "the guest's watchdogs speak first"
        );
    }
}
