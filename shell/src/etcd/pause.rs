//! Between two attempts to reach etcd.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// Longest pause: how late a return is noticed at most.
const LONGEST: Duration = Duration::from_secs(5);

/// Each pause is twice the one before, up to [`LONGEST`].
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(LONGEST);
        pause
    }
}
