//! A node's clock, as production reads it: wall-clock time at the start of a boot and monotonic from there, never behind
//! the node's own last record. It may be ahead or behind, run fast or slow; a clock that is set shows at the next boot.

use mpc_wallet_core::Timestamp;

use crate::plan::ClockFault;

/// Virtual time 0 by a right clock, milliseconds since the Unix epoch.
const EPOCH: u64 = 1_700_100_000_000;

/// Parts per million.
const MILLION: i128 = 1_000_000;

/// One clock. Moments of the run are milliseconds since its start; moments of the node are [`Timestamp`]s.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    fault: Option<ClockFault>,
    /// When the plan's time began, as a moment of the run; before that the clock is not set.
    origin: Option<u64>,
    /// Added to what the wall clock shows, for this boot.
    ahead: i128,
}

impl Clock {
    /// A clock with this fault.
    pub(crate) const fn new(fault: Option<ClockFault>) -> Self {
        Self { fault, origin: None, ahead: 0 }
    }

    /// The plan's time begins now: its moments count from here.
    pub(crate) const fn begin(&mut self, now: u64) {
        self.origin = Some(now);
    }

    /// The node boots, and has lived until `least` already.
    pub(crate) fn boot(&mut self, now: u64, least: Timestamp) {
        self.ahead = self.offset(now);
        let shows = self.show(now);
        if shows < least {
            self.ahead += i128::from(least.0) - i128::from(shows.0);
        }
    }

    fn offset(&self, now: u64) -> i128 {
        let Some(fault) = &self.fault else { return 0 };
        let due = |at: u64| self.origin.is_some_and(|origin| origin.saturating_add(at) <= now);
        let jumps = fault.jumps.iter().filter(|jump| due(jump.at)).map(|jump| i128::from(jump.by));
        i128::from(fault.offset) + jumps.sum::<i128>()
    }

    fn drift_ppm(&self) -> i128 {
        self.fault.as_ref().map_or(0, |fault| i128::from(fault.drift_ppm))
    }

    /// What the clock shows.
    pub(crate) fn show(&self, now: u64) -> Timestamp {
        let gained = i128::from(now) * self.drift_ppm() / MILLION;
        let shown = i128::from(EPOCH) + i128::from(now) + gained + self.ahead;
        Timestamp(u64::try_from(shown).unwrap_or(0))
    }

    /// The first moment of the run at which it shows `at`, not before `now`.
    pub(crate) fn when(&self, at: Timestamp, now: u64) -> u64 {
        let mut moment = now;
        // Drift is far below one in two, so each round comes closer by more than half.
        for _ in 0..64 {
            let missing = at.0.saturating_sub(self.show(moment).0);
            if missing == 0 {
                break;
            }
            moment = moment.saturating_add(missing.div_ceil(2).max(1));
        }
        moment
    }

    /// Most milliseconds that a tick of this node comes late.
    pub(crate) fn late(&self) -> u64 {
        self.origin.and(self.fault.as_ref()).map_or(0, |fault| fault.late)
    }

    /// Milliseconds between ticks that nobody asked for; 0 for none.
    pub(crate) fn spurious(&self) -> u64 {
        self.fault.as_ref().map_or(0, |fault| fault.spurious)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Jump;

    fn fault() -> ClockFault {
        ClockFault { node: 1, offset: 0, drift_ppm: 0, jumps: vec![], late: 0, spurious: 0 }
    }

    #[test]
    fn a_right_clock_shows_the_run() {
        let clock = Clock::new(None);
        assert_eq!(clock.show(5), Timestamp(EPOCH + 5));
        assert_eq!(clock.when(Timestamp(EPOCH + 9), 5), 9);
        assert_eq!(clock.when(Timestamp(EPOCH), 5), 5, "the past is now");
    }

    #[test]
    fn a_clock_that_is_set_shows_it_at_the_next_boot() {
        let mut clock = Clock::new(Some(ClockFault { jumps: vec![Jump { at: 100, by: -50 }], ..fault() }));
        clock.begin(1_000);
        assert_eq!(clock.show(1_200), Timestamp(EPOCH + 1_200));
        clock.boot(1_300, Timestamp(0));
        assert_eq!(clock.show(1_300), Timestamp(EPOCH + 1_250));
        clock.boot(1_400, Timestamp(EPOCH + 2_000));
        assert_eq!(clock.show(1_400), Timestamp(EPOCH + 2_000), "never behind its own records");
    }

    #[test]
    fn a_drifting_clock_still_reaches_every_moment() {
        for drift_ppm in [-200_000, -500, 0, 500, 200_000] {
            let mut clock = Clock::new(Some(ClockFault { drift_ppm, offset: 30, ..fault() }));
            clock.begin(1_000);
            for ahead in [1u64, 7, 999, 30_000] {
                let goal = Timestamp(clock.show(2_000).0 + ahead);
                let moment = clock.when(goal, 2_000);
                assert!(clock.show(moment) >= goal && moment >= 2_000);
                assert!(clock.show(moment - 1) < goal, "no later than needed: drift {drift_ppm}");
            }
        }
    }
}
