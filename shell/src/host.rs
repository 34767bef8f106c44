//! The host's own resources: its clock, its entropy, its processors.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mpc_wallet_core::{Millis, Timestamp};

use crate::ports::Clock;

mod workers;

pub use workers::ThreadWorkers;

/// Wall-clock time at the start, monotonic from there: a clock set forward for a moment must not leave the node with
/// deadlines in the far future, nor one set back with deadlines that never come.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    anchor: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// Starts at the wall clock's time, or at `least` if the node has lived later than that already.
    #[must_use]
    pub fn start(least: Timestamp) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(millis(since_epoch));
        if wall < least {
            let behind_s = least.since(wall).0 / 1_000;
            tracing::warn!(
                behind_s,
                "the system clock is behind the node's own records: check the time service"
            );
        }
        Self { anchor: wall.max(least), since: Instant::now() }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.anchor.plus(Millis(millis(self.since.elapsed())))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let wait = moment.since(self.now());
        tokio::time::sleep(Duration::from_millis(wait.0)).await;
    }
}
