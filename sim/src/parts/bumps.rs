//! Clients that have waited long enough for a block: what they ask of a node.

use std::collections::BTreeSet;

use bitcoin::Txid;
use mpc_wallet_core::{
    state::State as Memory,
    step::{BumpRequest, Command},
};

use super::client::{Client, ClientState};
use crate::plan::Bump;

/// The command that a client gives, if its payment was accepted.
pub(crate) fn command(bump: &Bump, client: &Client, memory: &Memory) -> Option<Command> {
    let ClientState::Accepted { txid } = client.state else { return None };
    let txid = newest(memory, txid);
    Some(Command::Bump(BumpRequest { txid, fee_rate: bump.fee_rate, initiator: None }))
}

/// The last of a transaction and what takes its place, as a node knows it. Two that a liar has each take the other's place
/// have no last one; then it is any.
fn newest(memory: &Memory, first: Txid) -> Txid {
    let (mut last, mut seen) = (first, BTreeSet::new());
    while let Some(next) = memory.replacement_of(last)
        && seen.insert(next.txid())
    {
        last = next.txid();
    }
    last
}
