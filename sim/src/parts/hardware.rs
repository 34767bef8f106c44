//! What every machine is made of, each part with draws of its own.

use mpc_wallet_core::NodeId;

use super::{clock::Clock, disk::Disk, workers::Workers};
use crate::{plan::FaultPlan, rng::Stream};

/// A machine's parts that outlive its boots.
pub(crate) struct Hardware {
    pub(crate) disk: Disk,
    pub(crate) workers: Workers,
    pub(crate) clock: Clock,
}

impl Hardware {
    /// The machine that a plan means for a member.
    pub(crate) fn of(plan: &FaultPlan, node: NodeId) -> Self {
        let seed = plan.seed;
        let fault = plan.clocks.iter().find(|clock| NodeId::new(clock.node) == node);
        Self {
            disk: Disk::new(plan.fsync, Stream::new(seed, &format!("disk/{node}"))),
            workers: Workers::new(plan.job, Stream::new(seed, &format!("workers/{node}"))),
            clock: Clock::new(fault.cloned()),
        }
    }
}
