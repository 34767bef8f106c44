//! Durations in whole microseconds, and what is said of many of them.

use std::time::Duration;

/// Many measurements of one thing, in microseconds.
#[derive(Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, span: Duration) {
        self.0.push(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn of_all(parts: &[Self]) -> Self {
        Self(parts.iter().flat_map(|part| &part.0).copied().collect())
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that `percent` of a hundred do not exceed (nearest rank), in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> String {
        self.rank(percent).map_or_else(|| "–".to_owned(), millis)
    }

    /// The median as a multiple of another's, with two decimals.
    pub(crate) fn ratio(&self, other: &Self) -> String {
        let hundredths = self.rank(50).zip(other.rank(50));
        let hundredths = hundredths.and_then(|(own, other)| own.saturating_mul(100).checked_div(other));
        hundredths.map_or_else(|| "–".to_owned(), |ratio| format!("{}.{:02}", ratio / 100, ratio % 100))
    }

    fn rank(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
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

    #[test]
    fn ratios_are_of_medians() {
        let (mut one, mut other) = (Samples::default(), Samples::default());
        one.add(Duration::from_millis(25));
        other.add(Duration::from_millis(20));
        assert_eq!((one.ratio(&other), other.ratio(&one)), ("1.25".into(), "0.80".into()));
        assert_eq!(one.ratio(&Samples::default()), "–");
    }
}
