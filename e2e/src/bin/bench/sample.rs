//! Durations in whole microseconds, and what is said of many of them.

use std::time::Duration;

/// Many measurements of one thing, in microseconds.
#[derive(Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, span: Duration) {
        self.0.push(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that `percent` of a hundred do not exceed (nearest rank), in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).map_or_else(|| "–".to_owned(), |micros| millis(*micros))
    }
}

/// Microseconds as milliseconds with one decimal; two below ten.
pub(crate) fn millis(micros: u64) -> String {
    if micros < 10_000 {
        format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
    } else {
        format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples = Samples::default();
        for milli in (1..=100).rev() {
            samples.add(Duration::from_millis(milli));
        }
        assert_eq!((samples.percentile(50), samples.percentile(99)), ("50.0 ms".into(), "99.0 ms".into()));
        assert_eq!(millis(1_239), "1.23 ms");
        assert_eq!(Samples::default().percentile(50), "–");
    }
}
