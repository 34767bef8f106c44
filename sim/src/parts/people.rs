//! Those whom the policy asks: what somebody does who looks at a node.

use mpc_wallet_core::{
    NodeId,
    state::State as Memory,
    step::{Command, DecisionRequest},
    tx::State,
};

use crate::plan::Visit;

/// His decisions about all that is being voted on there, in order of txid.
pub(crate) fn decisions(visit: Visit, memory: &Memory) -> Vec<Command> {
    let operator = format!("operator-of-{}", NodeId::new(visit.node));
    memory
        .open()
        .filter(|(_, tx)| tx.state == State::Voting)
        .map(|(txid, _)| {
            Command::Decide(DecisionRequest {
                txid,
                approve: visit.approve,
                operator: Some(operator.clone()),
                comment: None,
            })
        })
        .collect()
}
