//! What a meddler does in a duel: short sequences, drawn so that most steps can have an effect.
//!
//! The generator follows where the page and the bystander would be if every step did what it is for, and
//! prefers steps that change that: a page that is out is read, one that is in is paged out, and so the
//! slot that one leaves goes to the other. Some steps are drawn without that, since guesses are wrong.

use rand_core::Rng;

/// One step of a meddler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reads the page that is moved, where it was: its slot comes free.
    ReadSource,
    /// Pages it out again.
    PageOutSource,
    /// Reads the bystander.
    ReadBystander,
    /// Pages the bystander out.
    PageOutBystander,
    /// Drops the page (`MADV_DONTNEED`).
    DropSource,
    /// Fills the place where it was with something else.
    FillSource,
    /// Reads where it goes.
    ReadDestination,
    /// Pages out where it goes.
    PageOutDestination,
    /// Fills where it goes.
    FillDestination,
    /// Asks for the page to be read ahead.
    WillNeedSource,
    /// Reclaims a little of everything: what is only cached goes.
    Squeeze,
}

/// All steps, with how often they are drawn.
const STEPS: [(Step, u32); 11] = [
    (Step::ReadSource, 24),
    (Step::PageOutSource, 24),
    (Step::ReadBystander, 24),
    (Step::PageOutBystander, 24),
    (Step::DropSource, 8),
    (Step::FillSource, 24),
    (Step::ReadDestination, 1),
    (Step::PageOutDestination, 1),
    (Step::FillDestination, 1),
    (Step::WillNeedSource, 1),
    (Step::Squeeze, 1),
];
/// One step in so many is drawn whatever its effect.
const ANY_ONE_IN: u32 = 16;
/// The most parts and the most steps of a part.
pub const PARTS_MAX: usize = 3;
const STEPS_MAX: usize = 4;

/// Where things are, as far as the steps so far tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// The page is mapped.
    pub source_in: bool,
    /// There is no page.
    pub source_gone: bool,
    /// The bystander is mapped.
    pub bystander_in: bool,
    /// No slot is free unless one was left.
    pub free_slots: u32,
}

impl Guess {
    /// Whether a step would change anything.
    fn has_effect(self, step: Step) -> bool {
        match step {
            Step::ReadSource => !self.source_in && !self.source_gone,
            Step::PageOutSource => self.source_in && self.free_slots > 0,
            Step::ReadBystander => !self.bystander_in,
            Step::PageOutBystander => self.bystander_in && self.free_slots > 0,
            Step::DropSource => !self.source_gone,
            Step::FillSource => self.source_gone,
            Step::ReadDestination
            | Step::PageOutDestination
            | Step::FillDestination
            | Step::WillNeedSource
            | Step::Squeeze => true,
        }
    }

    fn after(self, step: Step) -> Self {
        if !self.has_effect(step) {
            return self;
        }
        let left = self.free_slots.saturating_add(1);
        let taken = self.free_slots.saturating_sub(1);
        match step {
            Step::ReadSource => Self {
                source_in: true,
                free_slots: left,
                ..self
            },
            Step::PageOutSource => Self {
                source_in: false,
                free_slots: taken,
                ..self
            },
            Step::ReadBystander => Self {
                bystander_in: true,
                free_slots: left,
                ..self
            },
            Step::PageOutBystander => Self {
                bystander_in: false,
                free_slots: taken,
                ..self
            },
            Step::DropSource => Self {
                source_gone: true,
                source_in: false,
                free_slots: if self.source_in { self.free_slots } else { left },
                ..self
            },
            Step::FillSource => Self {
                source_gone: false,
                source_in: true,
                ..self
            },
            Step::ReadDestination
            | Step::PageOutDestination
            | Step::FillDestination
            | Step::WillNeedSource
            | Step::Squeeze => self,
        }
    }
}

/// Draws the parts of a duel: what is done at the first place where the mover may be held, at the
/// second, and so on. Without holds the parts follow each other.
pub fn draw(rng: &mut impl Rng, mut guess: Guess) -> Vec<Vec<Step>> {
    let parts = [1, 2, 2, PARTS_MAX][rng.next_u32() as usize % 4];
    let mut script = Vec::with_capacity(parts);
    for _ in 0..parts {
        // Two steps are the likeliest: one page leaves its slot and another one takes it.
        let len = [1, 2, 2, 2, 2, 3, 3, STEPS_MAX][rng.next_u32() as usize % 8];
        let mut part = Vec::with_capacity(len);
        for _ in 0..len {
            let step = one(rng, guess);
            guess = guess.after(step);
            part.push(step);
        }
        script.push(part);
    }
    script
}

fn one(rng: &mut impl Rng, guess: Guess) -> Step {
    let any = rng.next_u32().is_multiple_of(ANY_ONE_IN);
    let allowed = |(step, weight): &(Step, u32)| (any || guess.has_effect(*step)).then_some((*step, *weight));
    let total: u32 = STEPS.iter().filter_map(allowed).map(|(_, weight)| weight).sum();
    let mut left = rng.next_u32() % total.max(1);
    for (step, weight) in STEPS.iter().filter_map(allowed) {
        if left < weight {
            return step;
        }
        left -= weight;
    }
    Step::ReadSource
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    const OUT: Guess = Guess {
        source_in: false,
        source_gone: false,
        bystander_in: true,
        free_slots: 0,
    };

    fn scripts(n: u64) -> Vec<Vec<Vec<Step>>> {
        (0..n)
            .map(|seed| draw(&mut Pcg64Mcg::seed_from_u64(seed), OUT))
            .collect()
    }

    #[test]
    fn scripts_are_short_and_every_step_comes_up() {
        let all = scripts(2000);
        assert!(all.iter().all(|s| (1..=PARTS_MAX).contains(&s.len())));
        assert!(all.iter().flatten().all(|p| (1..=STEPS_MAX).contains(&p.len())));
        let steps: std::collections::HashSet<Step> = all.into_iter().flatten().flatten().collect();
        assert_eq!(steps.len(), STEPS.len());
    }

    #[test]
    fn a_slot_that_changes_hands_and_comes_back_is_likely_in_any_form() {
        let (mut twice, mut at_once) = (0, 0);
        for script in scripts(2000) {
            let (mut guess, mut lent, mut back) = (OUT, false, false);
            for part in &script {
                let before = guess;
                guess = part.iter().fold(guess, |guess, step| guess.after(*step));
                let is_out = !guess.source_in && !guess.source_gone;
                // Within one part the page came in and left again: the slot, or one just freed, is its own.
                let came_in = part.contains(&Step::ReadSource);
                at_once += u32::from(came_in && before == OUT && guess == OUT);
                back |= lent && is_out && guess.bystander_in;
                lent |= guess.source_in && !guess.bystander_in;
            }
            twice += u32::from(back);
        }
        assert!(twice > 40, "{twice} of 2000: one in fifty");
        assert!(at_once > 200, "{at_once} of 2000: one in ten");
    }

    #[test]
    fn a_step_without_effect_leaves_the_guess_alone() {
        assert_eq!(OUT.after(Step::PageOutBystander), OUT);
        let read = OUT.after(Step::ReadSource);
        assert!(read.source_in && read.free_slots == 1);
        assert_eq!(read.after(Step::PageOutSource), OUT);
        let gone = OUT.after(Step::DropSource);
        assert!(gone.source_gone && gone.free_slots == 1 && gone.after(Step::FillSource).source_in);
    }
}
