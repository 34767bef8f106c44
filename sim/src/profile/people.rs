//! People in a plan. All of it is drawn from a stream of its own: a plan that asks nobody is what it was before anybody
//! could be asked.

use super::{TROUBLE, any_node};
use crate::{
    plan::{FaultPlan, Filter, People, Visit},
    rng::Stream,
};

/// How often a plan of mixed trouble asks people, in parts per million.
const SHARE: u32 = 200_000;

/// How often somebody approves, in parts per million.
const APPROVES: u32 = 900_000;

/// How often such a plan loses decisions on their way, in parts per million.
const LOSES: u32 = 300_000;

/// Gives some plans a policy that asks people.
pub(super) fn enter(plan: &mut FaultPlan) {
    let mut draw = Stream::new(plan.seed, "plan/people");
    if !draw.chance(SHARE) {
        return;
    }
    let operators = (*draw.pick(&[1, 1, 2, 2, 3]).unwrap_or(&1)).min(plan.nodes);
    // What is paid in calm, at the end, is less and asks nobody.
    let above = draw.between(1_000, 150_000);
    // Payments may wait for each other's coins: together they must end in time.
    let wait = draw.between(3_000, 25_000);
    let visit = |draw: &mut Stream| Visit {
        at: draw.below(TROUBLE),
        node: any_node(plan.nodes, draw),
        approve: draw.chance(APPROVES),
    };
    let visits = (0..draw.between(2, 25)).map(|_| visit(&mut draw)).collect();
    if draw.chance(LOSES) {
        let from = draw.below(TROUBLE - 5_000);
        plan.filters.push(Filter {
            from,
            to: from + draw.between(500, 30_000),
            sender: draw.chance(500_000).then(|| any_node(plan.nodes, &mut draw)),
            receiver: draw.chance(500_000).then(|| any_node(plan.nodes, &mut draw)),
            kind: String::from("OperatorDecision"),
        });
    }
    plan.people = Some(People { above, operators, wait, visits });
}
