//! Clients in a plan that raise the fees of their payments. All of it is drawn from a stream of its own: the rest of the
//! plan is what it was before fees could be raised.

use super::{Profile, any_node};
use crate::{
    plan::{Bump, FaultPlan, Span},
    rng::Stream,
};

/// How often blocks come seldom in such a plan, in parts per million: a payment in a block has its fee.
const SLOW_BLOCKS: u32 = 600_000;

/// How often a rate is asked for, in parts per million; some are too low, and few reach the policy's limit.
const ASKS_FOR_RATE: u32 = 500_000;

/// Has the fees of some payments raised, some more than once, in some plans of every kind.
pub(super) fn enter(plan: &mut FaultPlan) {
    let mut draw = Stream::new(plan.seed, "plan/bumps");
    let odds = match plan.profile {
        Profile::Calm | Profile::Lossy | Profile::Crashy | Profile::Partition => 150_000,
        Profile::Byzantine | Profile::Swarm => 250_000,
    };
    if !draw.chance(odds) {
        return;
    }
    if draw.chance(SLOW_BLOCKS) {
        plan.chain.block_interval = Span { least: 8_000, most: 30_000 };
    }
    for _ in 0..draw.between(1, 8) {
        let last = u64::try_from(plan.payments.len().saturating_sub(1)).unwrap_or(0);
        let payment = usize::try_from(draw.between(0, last)).unwrap_or(0);
        let Some(asked) = plan.payments.get(payment).map(|payment| payment.at) else { return };
        let at = asked + 500 + draw.log_uniform(20_000);
        let fee_rate = draw.chance(ASKS_FOR_RATE).then(|| 2_000 + draw.log_uniform(500_000));
        plan.bumps.push(Bump { at, payment, node: any_node(plan.nodes, &mut draw), fee_rate });
    }
}
