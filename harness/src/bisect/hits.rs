//! How a bad kernel may behave, which nobody knows beforehand: a grid over the share of trials in which
//! the bug can show at all and the hazard with which it then does.
//!
//! A trial of a bad kernel finds the bug by `t` with a chance of `h·(1 − e^(−λt))`. `h` below 1 is luck
//! that a boot has or has not; a small `λ` is a race that needs patience. A finding's time tells them
//! apart: that is why a quiet 60 s counts for more than a quiet 5 s, and how much more is learned.

/// Shares of trials in which the bug can show at all, in steps of about 1.6.
const SHARES: [f64; 11] = [0.018, 0.03, 0.05, 0.085, 0.14, 0.22, 0.35, 0.5, 0.7, 0.88, 0.995];
/// Hazards in units of one trial's length: how many times over the bug would show in a full one.
const HAZARDS: [f64; 7] = [0.3, 0.7, 1.5, 3.0, 6.0, 12.0, 24.0];
/// How many repeats of one commit are thought through ahead.
pub(super) const REPEATS: [u32; 7] = [1, 2, 4, 8, 14, 24, 40];

/// The grid, and what is read from it again and again.
#[derive(Debug, Clone)]
pub(super) struct Hits {
    points: Vec<Point>,
    /// False alarms a second, on any kernel.
    alarm: f64,
    /// For each of [`REPEATS`], the chance of a bad kernel to stay quiet that often, a point.
    quiet: Vec<Vec<f64>>,
    /// The expected seconds of a trial of a bad kernel, a point.
    run_s: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    share: f64,
    /// A second.
    hazard: f64,
    /// Natural logarithm of the prior.
    prior: f64,
}

impl Point {
    /// The chance that a bad kernel stays quiet so long.
    fn quiet(self, seconds: f64) -> f64 {
        1.0 - self.share * (1.0 - (-self.hazard * seconds).exp())
    }
}

impl Hits {
    /// For trials of `trial_s` seconds, and `alarm` false alarms in one.
    pub(super) fn new(trial_s: f64, alarm: f64) -> Self {
        let mut points: Vec<Point> = Vec::new();
        for share in SHARES {
            for hazard in HAZARDS {
                points.push(Point {
                    share,
                    hazard: hazard / trial_s,
                    prior: 0.0,
                });
            }
        }
        let each = -(points.len() as f64).ln();
        points.iter_mut().for_each(|p| p.prior = each);
        let quiet = REPEATS
            .iter()
            .map(|&k| {
                points
                    .iter()
                    .map(|p| p.quiet(trial_s).powf(f64::from(k)))
                    .collect()
            })
            .collect();
        let run_s = points
            .iter()
            .map(|p| (1.0 - p.share) * trial_s + p.share * (1.0 - (-p.hazard * trial_s).exp()) / p.hazard)
            .collect();
        Self {
            points,
            alarm: alarm / trial_s,
            quiet,
            run_s,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn prior(&self) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().map(|p| p.prior)
    }

    /// Log-likelihood of a finding after so many seconds: for each point on a bad kernel, and on a good one.
    pub(super) fn found(&self, after_s: f64) -> (Vec<f64>, f64) {
        let bad = self.points.iter().map(|p| {
            let own = p.share * p.hazard * (-p.hazard * after_s).exp();
            (own + self.alarm * p.quiet(after_s)).ln() - self.alarm * after_s
        });
        (bad.collect(), self.alarm.ln() - self.alarm * after_s)
    }

    /// The same for so many quiet seconds.
    pub(super) fn stayed_quiet(&self, for_s: f64) -> (Vec<f64>, f64) {
        let bad = self
            .points
            .iter()
            .map(|p| p.quiet(for_s).ln() - self.alarm * for_s);
        (bad.collect(), -self.alarm * for_s)
    }

    /// For the `n`th of [`REPEATS`], the chance at each point that a bad kernel stays quiet throughout.
    pub(super) fn quiet(&self, n: usize) -> &[f64] {
        &self.quiet[n]
    }

    /// Expected seconds of a trial of a bad kernel, at each point.
    pub(super) fn run_s(&self) -> &[f64] {
        &self.run_s
    }

    /// The chance of a finding within `seconds` on a bad kernel, at each point.
    pub(super) fn rates(&self, seconds: f64) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().map(move |p| 1.0 - p.quiet(seconds))
    }
}
