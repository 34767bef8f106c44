//! Worker threads: work is done at once, its result comes back later, or never if the node dies first.

use mpc_wallet_core::step::{JobResult, Work};

use crate::{plan::Span, rng::Stream};

/// The workers of one node.
pub(crate) struct Workers {
    takes: Span,
    random: Stream,
}

impl Workers {
    /// Workers that need this long for each job.
    #[must_use]
    pub(crate) const fn new(takes: Span, random: Stream) -> Self {
        Self { takes, random }
    }

    /// Does the work; the result is to be delivered after the milliseconds returned.
    pub(crate) fn run(&mut self, work: Work) -> (u64, JobResult) {
        (self.random.between(self.takes.least, self.takes.most), work.run())
    }

    /// The stream's next value, for the trace.
    #[must_use]
    pub(crate) fn unseed(&self) -> u64 {
        self.random.clone().last_word()
    }
}
