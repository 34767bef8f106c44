//! The second wallet of a plan, and what goes wrong with its presignatures. All of it is drawn from streams of its own: a
//! plan without the second wallet is what it was before there was one.

use super::{Classes, TROUBLE, any_node};
use crate::{
    plan::{Crash, CrashPoint, FaultPlan, Stop, Wallet},
    rng::Stream,
};

/// How often a plan of mixed trouble has a SegWit wallet, in parts per million.
const SHARE: u32 = 200_000;

/// How often one of its payments comes from it, in parts per million.
const FROM_SEGWIT: u32 = 600_000;

/// Gives some plans a SegWit wallet.
pub(super) fn enter(plan: &mut FaultPlan, classes: Classes) {
    let mut draw = Stream::new(plan.seed, "plan/segwit");
    if !draw.chance(SHARE) {
        return;
    }
    // As in the other wallet: one coin is more than all payments need.
    plan.chain.segwit_funds = (0..draw.between(3, 12)).map(|_| draw.between(2_000_000, 20_000_000)).collect();
    for payment in &mut plan.payments {
        if draw.chance(FROM_SEGWIT) {
            payment.wallet = Wallet::Segwit;
        }
    }
    let mut trouble = Stream::new(plan.seed, "plan/segwit/trouble");
    if classes.crashes {
        plan.stops = stops(plan.nodes, &mut trouble);
        plan.crashes.extend(burns(plan.nodes, &mut trouble));
    }
}

/// Nodes that are stopped in order.
fn stops(nodes: u16, draw: &mut Stream) -> Vec<Stop> {
    let stop = |draw: &mut Stream| Stop {
        at: draw.below(TROUBLE - 5_000),
        node: any_node(nodes, draw),
        down_for: draw.log_uniform(10_000),
    };
    (0..draw.below(5)).map(|_| stop(draw)).collect()
}

/// Nodes that die when they have recorded that they use presignatures, and have not used them.
fn burns(nodes: u16, draw: &mut Stream) -> Vec<Crash> {
    let burn = |draw: &mut Stream| Crash {
        at: draw.below(TROUBLE - 5_000),
        node: any_node(nodes, draw),
        down_for: draw.log_uniform(10_000),
        when: CrashPoint::AfterBurn,
        entering: None,
        unsynced: super::unsynced(draw),
    };
    (0..draw.below(3)).map(|_| burn(draw)).collect()
}
