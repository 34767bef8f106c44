//! Operators that stop all signing, and lift that again.

use super::{Profile, TROUBLE, any_node};
use crate::{
    plan::{FaultPlan, Freeze, Lift},
    rng::Stream,
};

/// Enters one or two freezes with their lifts, in some plans of every kind that has trouble. Drawn from a stream of its own,
/// so that the rest of the plan is what it was.
pub(super) fn enter(plan: &mut FaultPlan) {
    let mut draw = Stream::new(plan.seed, "plan/freezes");
    let odds = match plan.profile {
        Profile::Calm => 0,
        Profile::Lossy | Profile::Crashy | Profile::Partition | Profile::Byzantine => 100_000,
        Profile::Swarm => 250_000,
    };
    if !draw.chance(odds) {
        return;
    }
    for _ in 0..draw.between(1, 2) {
        freeze(plan, &mut draw);
    }
}

fn freeze(plan: &mut FaultPlan, draw: &mut Stream) {
    // A freeze of an idle cluster shows little: most come soon after a client asked.
    let busy = draw.pick(&plan.payments).map(|payment| payment.at).filter(|at| *at < TROUBLE - 12_000);
    let at = match busy.filter(|_| draw.chance(700_000)) {
        Some(asked) => asked + draw.log_uniform(1_500),
        None => draw.below(TROUBLE - 12_000),
    };
    plan.freezes.push(Freeze { at, node: any_node(plan.nodes, draw) });
    // In some plans one lift is missing until the end of all faults.
    let late = draw.chance(250_000);
    let wanted = plan.threshold - u16::from(late);
    let from = at + 500 + draw.log_uniform(8_000);
    let first = draw.below(u64::from(plan.nodes));
    for turn in 0..wanted {
        let node = 1 + u16::try_from((first + u64::from(turn)) % u64::from(plan.nodes)).unwrap_or(0);
        plan.lifts.push(Lift { at: from + draw.log_uniform(3_000), node });
    }
}
