//! Scenes of clients that raise the fee of a payment.

use super::quiet;
use crate::{
    FaultPlan,
    plan::{Bump, ChainPlan, Filter, Payment, Span, StaleTip},
};

const SIX_SECONDS: Span = Span { least: 6_000, most: 6_000 };

const FORTY_SECONDS: Span = Span { least: 40_000, most: 40_000 };

/// Payments of one moment, and blocks at this interval.
fn payments(seed: u64, block_interval: Span) -> FaultPlan {
    FaultPlan {
        payments: (0..4).map(|n| Payment::new(5_000, 1 + n, 100_000)).collect(),
        chain: ChainPlan { block_interval, ..quiet(seed).chain },
        ..quiet(seed)
    }
}

const fn bump(at: u64, payment: usize, node: u16) -> Bump {
    Bump { at, payment, node, fee_rate: None }
}

/// No block comes for long, and the fee of one payment is raised twice.
pub(super) fn raised_twice(seed: u64) -> FaultPlan {
    FaultPlan { bumps: vec![bump(10_000, 0, 2), bump(15_000, 0, 3)], ..payments(seed, FORTY_SECONDS) }
}

/// A block comes while fees are raised, and the members look at the chain a little later.
pub(super) fn block_in_between(seed: u64) -> FaultPlan {
    let moment = |n: usize| 8_500 + 500 * u64::try_from(n).unwrap_or(0);
    FaultPlan {
        payments: (0..12).map(|n| Payment::new(5_000, 1 + n % 5, 100_000)).collect(),
        bumps: (0..12).map(|payment| bump(moment(payment), payment, 3)).collect(),
        chain: ChainPlan { block_interval: SIX_SECONDS, ..ChainPlan::quiet(vec![2_000_000; 12]) },
        ..quiet(seed)
    }
}

/// One member hears of a replacement and of no signature.
pub(super) fn without_the_original(seed: u64) -> FaultPlan {
    let deaf =
        |kind: &str| Filter { from: 0, to: 16_000, sender: None, receiver: Some(5), kind: kind.to_owned() };
    FaultPlan {
        bumps: vec![bump(10_000, 0, 2)],
        filters: ["Finished", "Bundle", "SyncPage", "SignRequest"].map(deaf).into(),
        ..payments(seed, FORTY_SECONDS)
    }
}

/// A member that sees no new block has the fee raised of what is in one.
pub(super) fn behind_the_chain(seed: u64) -> FaultPlan {
    let plan = payments(seed, SIX_SECONDS);
    let stale = vec![StaleTip { from: 6_500, to: 30_000, node: 2 }];
    FaultPlan {
        bumps: (0..4).map(|payment| bump(25_000, payment, 2)).collect(),
        chain: ChainPlan { stale, ..plan.chain },
        ..plan
    }
}
