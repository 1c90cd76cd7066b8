//! Pictures made of numbers only: scales and sparklines.

use crate::store::Sample;
use guest_tests::catalogue::Counter;

/// A logarithmic scale of seconds.
pub(super) struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    /// A scale that shows everything from at most `low` up to `last`; none where there is nothing to show.
    pub(super) fn new(low: f64, last: f64) -> Option<Self> {
        (last > 0.0).then(|| Self {
            low,
            high: 10_f64.powf((last * 1.05).max(low * 10.0).log10().ceil()),
        })
    }

    fn share(&self, s: f64) -> f64 {
        let (low, high) = (self.low.ln(), self.high.ln());
        ((s.max(self.low).ln() - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Where a time stands, in per cent.
    pub(super) fn percent(&self, s: f64) -> String {
        format!("{:.1}", 100.0 * self.share(s))
    }

    /// A mark at every power of ten.
    pub(super) fn marks(&self) -> Vec<(String, String)> {
        let mut at = self.low;
        let mut marks = Vec::new();
        while at <= self.high * 1.001 {
            marks.push((
                self.percent(at),
                if at < 1.0 {
                    format!("{at:.1} s")
                } else {
                    format!("{at:.0} s")
                },
            ));
            at *= 10.0;
        }
        marks
    }
}

/// Width and height of a sparkline's own coordinates.
const SPARK: (f64, f64) = (100.0, 24.0);

/// The path of a counter's rate over time, at most `points_max` points; empty where it never counted.
pub(super) fn spark(samples: &[Sample], counter: Counter, points_max: usize) -> String {
    let at = |s: &Sample| (s.elapsed_ms, s.counters.get(&counter).copied().unwrap_or(0));
    let end = samples.last().map_or((0, 0), at);
    if end.1 == 0 || end.0 == 0 {
        return String::new();
    }
    let step = samples.len().div_ceil(points_max.max(2)).max(1);
    let mut rates = Vec::new();
    let mut before = (0, 0);
    for (i, sample) in samples.iter().enumerate() {
        let now = at(sample);
        let last = i + 1 == samples.len();
        if ((i + 1) % step == 0 || last) && now.0 > before.0 {
            rates.push((
                now.0,
                now.1.saturating_sub(before.1) as f64 / (now.0 - before.0) as f64,
            ));
            before = now;
        }
    }
    let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let (width, height) = SPARK;
    let mut path = format!("M0 {height:.0}");
    for (ms, rate) in rates {
        // A step from sample to sample: the rate between them is all that is known.
        let (x, y) = (
            width * ms as f64 / end.0 as f64,
            (height - 1.0) * (1.0 - rate / most) + 0.5,
        );
        path.push_str(&format!("V{y:.0}H{x:.0}"));
    }
    path.push_str("V24");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_rate_from_left_to_right() {
        let sample = |elapsed_ms, n| Sample {
            elapsed_ms,
            counters: [(Counter::RoundTrips, n)].into(),
        };
        // 100/s, then 50/s, then nothing.
        let samples = [sample(1000, 100), sample(2000, 150), sample(4000, 150)];
        assert_eq!(
            spark(&samples, Counter::RoundTrips, 60),
            "M0 24V0H25V12H50V24H100V24"
        );
        assert_eq!(spark(&samples, Counter::SwapIn, 60), "");
        assert_eq!(spark(&[], Counter::SwapIn, 60), "");
    }

    #[test]
    fn a_logarithmic_scale_spans_what_it_shows() {
        assert!(LogScale::new(0.1, 0.0).is_none());
        let scale = LogScale::new(0.1, 7.0).unwrap();
        assert_eq!(
            (scale.percent(0.01), scale.percent(1.0), scale.percent(10.0)),
            ("0.0".into(), "50.0".into(), "100.0".into())
        );
        let marks: Vec<String> = scale.marks().into_iter().map(|(_, word)| word).collect();
        assert_eq!(marks, ["0.1 s", "1 s", "10 s"]);
    }
}
