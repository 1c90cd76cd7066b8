//! The order of things: builds, boot, workloads on base and on patched, and the search for the patch to blame.
//!
//! It drives something that builds and boots ([`Works`]): real kernels, or a fake in tests, and fills in the
//! [`Report`]. Not here: applying, checkpatch, the reply.

mod blame;
#[cfg(test)]
mod tests;

use super::compare::{Case, Next, Outcome, Signature};
use super::culprit::Culprit;
use super::matrix::CaseText;
use super::report::{CaseLine, Problem, Report, Word};
use super::sight::{seen, signature, tried_by, word_of};
use super::step::Step;
use crate::judge::{Comparison, Rule};
use crate::run::CellRecord;
use crate::verdict::Verdict;
use blame::Evidence;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// Something that builds and boots parts of a series; part 0 is the base, part `n` has the first `n` patches.
pub trait Works: Send {
    /// What ends everything: a record that cannot be written.
    type Error: Send;

    /// Builds a part.
    fn build(&mut self, part: usize) -> impl Future<Output = Result<Build, Self::Error>> + Send;

    /// Says what was not compiled, and what the compiler newly warns of, once all parts are built.
    fn look_at_builds(&mut self, report: &mut Report)
    -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes a case known.
    ///
    /// # Errors
    /// Where it cannot be recorded.
    fn add(&mut self, case: &CaseText) -> Result<(), Self::Error>;

    /// Runs a case on a part that was built, for the `nth` time, counted from 1; `None` where it was stopped.
    fn run(
        &mut self,
        part: usize,
        case: &str,
        nth: u32,
    ) -> impl Future<Output = Result<Option<CellRecord>, Self::Error>> + Send;

    /// Records and shows a step.
    ///
    /// # Errors
    /// Where it cannot be recorded.
    fn tell(&mut self, step: Step) -> Result<(), Self::Error>;
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq)]
pub enum Build {
    /// It is there; seconds, unless it was there before.
    Built(Option<f64>),
    /// The sources do not build.
    Broken {
        /// The file of the first error.
        file: Option<PathBuf>,
        /// Its line.
        line: Option<u32>,
        /// The first error.
        message: String,
    },
    /// We or the host broke.
    Infra(String),
    /// Somebody said stop.
    Stopped,
}

/// What is asked of a check.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is run beside the boot.
    pub cases: Vec<CaseText>,
    /// Pairs that are looked at where nothing is found.
    pub looks: u32,
    /// How sure a blame has to be, over all cases together.
    pub rule: Rule,
}

/// Why a check ends before its end.
enum End<E> {
    Error(E),
    /// The harness or the host broke; why.
    Broken(String),
    /// Somebody said stop.
    Stopped,
}

impl<E> From<E> for End<E> {
    fn from(error: E) -> Self {
        Self::Error(error)
    }
}

/// The case that only boots.
pub const BOOT: &str = "boot";
/// How long its guest stays up.
const BOOT_FOR: Duration = Duration::from_secs(2);
/// Shortest pressure of a pair that is tried.
const AGAIN_MIN: Duration = Duration::from_secs(4);

/// The case that boots and does next to nothing.
#[must_use]
pub fn boot_case() -> CaseText {
    CaseText {
        name: BOOT.to_owned(),
        workload: "canary".to_owned(),
        budget: BOOT_FOR,
    }
}

/// Checks a series of `report.patches`, and fills the report in.
///
/// # Errors
/// Those of [`Works`].
pub async fn check<W: Works>(works: &mut W, asked: &Asked, report: &mut Report) -> Result<(), W::Error> {
    let cases = asked.cases.len() + 1;
    let rule = Rule {
        false_blame: asked.rule.false_blame / cases as f64,
        ..asked.rule
    };
    (
        report.rates.false_blame,
        report.rates.false_clear,
        report.rates.odds,
    ) = (asked.rule.false_blame, asked.rule.false_clear, asked.rule.odds);
    let mut check = Check {
        works,
        asked,
        rule,
        report,
        cells: Vec::new(),
    };
    match check.all().await {
        Ok(()) => {}
        Err(End::Error(error)) => return Err(error),
        Err(End::Broken(why)) => {
            check
                .report
                .open
                .push(format!("the harness or the host broke: {why}"));
            check.report.exit = 3;
        }
        Err(End::Stopped) => {
            check.report.open.push("it was stopped before its end".to_owned());
            check.report.exit = 3;
        }
    }
    check.total();
    Ok(())
}

struct Check<'a, W> {
    works: &'a mut W,
    asked: &'a Asked,
    rule: Rule,
    report: &'a mut Report,
    cells: Vec<(u64, u64, f64)>,
}

impl<W: Works> Check<'_, W> {
    async fn all(&mut self) -> Result<(), End<W::Error>> {
        if !self.base().await? {
            return Ok(());
        }
        let whole = self.parts().await?;
        self.works.look_at_builds(self.report).await?;
        if !whole {
            return Ok(());
        }
        self.works.add(&boot_case())?;
        if !self.case(&boot_case(), 1).await? {
            return Ok(());
        }
        for case in &self.asked.cases {
            self.works.add(case)?;
            self.case(case, self.asked.looks).await?;
        }
        Ok(())
    }

    /// Builds the base; whether there is anything to compare with.
    async fn base(&mut self) -> Result<bool, End<W::Error>> {
        match self.works.build(0).await? {
            Build::Built(_) => Ok(true),
            Build::Broken { file, line, message } => {
                let at = super::report::place(file.as_ref(), line);
                self.report.open.push(format!(
                    "the base itself does not build ({at}{message}): there is nothing to compare with"
                ));
                Ok(false)
            }
            Build::Infra(why) => Err(End::Broken(why)),
            Build::Stopped => Err(End::Stopped),
        }
    }

    /// Builds every part; whether the whole series builds.
    async fn parts(&mut self) -> Result<bool, End<W::Error>> {
        let total = self.report.patches.len();
        let mut broken: Option<usize> = None;
        for part in 1..=total {
            let built = self.works.build(part).await?;
            let line = &mut self.report.patches[part - 1];
            match built {
                Build::Built(build_s) => {
                    (line.builds, line.build_s) = (Some(true), build_s);
                    if let Some(Problem::Build { mended_by, .. }) =
                        broken.take().and_then(|at| self.report.problems.get_mut(at))
                    {
                        *mended_by = Some(part);
                    }
                }
                Build::Broken {
                    file,
                    line: at,
                    message,
                } => {
                    line.builds = Some(false);
                    // Later parts break by the same until somebody mends it.
                    if broken.is_none() {
                        broken = Some(self.report.problems.len());
                        let problem = Problem::Build {
                            patch: part,
                            file,
                            line: at,
                            message,
                            mended_by: None,
                        };
                        self.report.problems.push(problem);
                    }
                }
                Build::Infra(why) => return Err(End::Broken(why)),
                Build::Stopped => return Err(End::Stopped),
            }
        }
        Ok(broken.is_none())
    }

    /// Compares one case; whether it makes sense to go on.
    async fn case(&mut self, text: &CaseText, looks: u32) -> Result<bool, End<W::Error>> {
        let whole = self.report.patches.len();
        let mut case = Case::new(looks, self.rule).map_err(|e| End::Broken(e.to_string()))?;
        let mut evidence: Option<Evidence> = None;
        loop {
            let (tried, nth) = match case.next() {
                Next::Look(nth) => (false, nth),
                Next::Try(nth) => (true, nth),
                Next::Done => break,
            };
            let again = evidence.as_ref().filter(|_| tried);
            let name = again.map_or(&text.name, |e| &e.again.name).clone();
            let patched = self.run(whole, &name, nth).await?;
            let base = self.run(0, &name, nth).await?;
            let (on_patched, on_base) = (seen(&patched), seen(&base));
            case.take(on_base.clone(), on_patched.clone());
            self.works.tell(Step::Pair {
                case: text.name.clone(),
                tried,
                nth,
                base: word_of(&base, &on_base),
                patched: word_of(&patched, &on_patched),
            })?;
            let Some(suspect) = case.suspect() else { continue };
            if let Some(evidence) = &mut evidence {
                evidence.culprit.take(whole, tried_by(&patched, &case));
                evidence.culprit.take(0, tried_by(&base, &case));
            } else {
                evidence = Some(self.suspect(text, suspect, patched)?);
            }
        }
        self.conclude(text, &case);
        if case.outcome() == Outcome::Worse
            && let Some(evidence) = evidence
        {
            self.blame(&case, evidence).await?;
        }
        Ok(text.name != BOOT || case.outcome() == Outcome::NothingNew)
    }

    /// Notes what raised a suspicion.
    fn suspect(
        &mut self,
        text: &CaseText,
        suspect: &Signature,
        record: CellRecord,
    ) -> Result<Evidence, End<W::Error>> {
        // From here on shorter runs, since it shows sooner.
        let again = self.again(text, &record)?;
        let own = |words: &str| -> End<W::Error> { End::Broken(words.to_owned()) };
        let culprit = Culprit::new(self.report.patches.len(), again.budget.as_secs_f64());
        let finding = record.full.findings().find(|f| signature(f) == *suspect).cloned();
        let least = Comparison::new(self.rule)
            .map_err(|e| End::Broken(e.to_string()))?
            .least();
        self.works.tell(Step::Suspected {
            case: text.name.clone(),
            finding: suspect.0.clone(),
            least,
        })?;
        Ok(Evidence {
            finding: finding.ok_or_else(|| own("what was suspected was never found"))?,
            record,
            again,
            culprit: culprit.ok_or_else(|| own("there is no patch to suspect"))?,
        })
    }

    /// The case that a suspicion is tried with: as long as it takes to show, and some more.
    fn again(&mut self, text: &CaseText, patched: &CellRecord) -> Result<CaseText, W::Error> {
        let budget = patched.detect_s.map_or(text.budget, |s| {
            let wanted = Duration::from_secs_f64((s * 4.0).clamp(0.0, 86_400.0)).max(AGAIN_MIN);
            wanted.min(text.budget)
        });
        let again = CaseText {
            name: format!("{}-again", text.name),
            budget,
            ..text.clone()
        };
        self.works.add(&again)?;
        Ok(again)
    }

    async fn run(&mut self, part: usize, case: &str, nth: u32) -> Result<CellRecord, End<W::Error>> {
        let record = self.works.run(part, case, nth).await?.ok_or(End::Stopped)?;
        if let Verdict::Infra { error } = &record.full {
            return Err(End::Broken(format!("{}: {error}", record.id)));
        }
        self.cells
            .push((record.round_trips, record.pages_verified, record.guest_s));
        Ok(record)
    }

    fn conclude(&mut self, text: &CaseText, case: &Case) {
        let (looked, tried) = case.pairs();
        let outcome = case.outcome();
        self.report.cases.push(CaseLine {
            case: text.name.clone(),
            outcome,
            looked,
            tried,
            would_have_shown: case.would_have_shown(),
            suspect: case.suspect().map(|s| s.0.clone()),
        });
        let name = &text.name;
        let on_base = case.on_base().map(|s| format!("{name}: {}", s.0));
        self.report.on_base.extend(on_base);
        let suspect = case.suspect().map_or("something", |s| s.0.as_str());
        let (on_base, on_patched) = case.findings();
        let open = match outcome {
            Outcome::NothingNew if case.would_have_shown().is_none() => Some(format!(
                "{name}: no run of the patched kernel came to its end, since it shows what base shows"
            )),
            Outcome::NothingNew | Outcome::Worse | Outcome::NotWorse => None,
            Outcome::NotAgain => Some(format!(
                "{name}: {suspect} was seen once on the patched kernel, and in none of {tried} more pairs"
            )),
            Outcome::Undecided => Some(format!(
                "{name}: {suspect} was seen in {on_patched} of {tried} runs of the patched kernel and in {on_base} of base, which does not decide it"
            )),
            Outcome::Unproved => Some(format!(
                "{name}: {}",
                case.unproved().unwrap_or("nothing was proved")
            )),
        };
        self.report.open.extend(open);
    }

    /// Sums up, and finds the one word.
    fn total(&mut self) {
        let report = &mut self.report;
        report.totals.cells = self.cells.len();
        for (round_trips, pages, guest_s) in &self.cells {
            report.totals.round_trips += round_trips;
            report.totals.pages_verified += pages;
            report.totals.guest_s += guest_s;
        }
        (report.verdict, report.exit) =
            match (report.problems.is_empty(), report.exit, report.open.is_empty()) {
                (false, _, _) => (Word::Fail, 1),
                (true, 3, _) => (Word::Infra, 3),
                (true, _, false) => (Word::Inconclusive, 4),
                (true, _, true) => (Word::Pass, 0),
            };
    }
}
