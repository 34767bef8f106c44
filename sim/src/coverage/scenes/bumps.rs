//! Scenes of clients that raise the fee of a payment.

use super::quiet;
use crate::{
    FaultPlan,
    plan::{Bump, ChainPlan, Filter, Payment, Span, StaleTip},
};

/// Payments of one moment, and blocks at a fixed interval.
fn payments(seed: u64, block_interval: u64) -> FaultPlan {
    let block_interval = Span { least: block_interval, most: block_interval };
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
    FaultPlan { bumps: vec![bump(10_000, 0, 2), bump(15_000, 0, 3)], ..payments(seed, 40_000) }
}

/// Blocks come while fees are raised, and the members look at the chain a little later.
pub(super) fn block_in_between(seed: u64) -> FaultPlan {
    let bumps = (0..4).flat_map(|payment| (0..4).map(move |n: u16| (payment, n)));
    let moment = |n: u16| 7_500 + 1_700 * u64::from(n);
    FaultPlan {
        bumps: bumps.map(|(payment, n)| bump(moment(n), payment, 1 + n)).collect(),
        ..payments(seed, 6_000)
    }
}

/// One member hears of a replacement and of no signature.
pub(super) fn without_the_original(seed: u64) -> FaultPlan {
    let deaf =
        |kind: &str| Filter { from: 0, to: 16_000, sender: None, receiver: Some(5), kind: kind.to_owned() };
    FaultPlan {
        bumps: vec![bump(10_000, 0, 2)],
        filters: ["Finished", "Bundle", "SyncPage", "SignRequest"].map(deaf).into(),
        ..payments(seed, 40_000)
    }
}

/// A member that sees no new block has the fee raised of what is in one.
pub(super) fn behind_the_chain(seed: u64) -> FaultPlan {
    let plan = payments(seed, 6_000);
    let stale = vec![StaleTip { from: 6_500, to: 30_000, node: 2 }];
    FaultPlan {
        bumps: (0..4).map(|payment| bump(25_000, payment, 2)).collect(),
        chain: ChainPlan { stale, ..plan.chain },
        ..plan
    }
}
