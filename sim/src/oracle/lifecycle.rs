//! The lifecycle of a transaction, as the specification draws it.

use std::collections::BTreeMap;

use bitcoin::Txid;
use mpc_wallet_core::{
    NodeId,
    record::{Fact, Record},
};

use super::{Observed, Oracle};

/// Every move the specification knows, by the names of the API. A signature may arrive from peers in any state
/// before `signed`, because a node may have slept through the vote.
const MOVES: [(&str, &str); 20] = [
    ("pending", "voting"),
    ("pending", "rejected"),
    ("voting", "threshold_reached"),
    ("voting", "signed"),
    ("voting", "rejected"),
    ("voting", "failed"),
    ("threshold_reached", "approved"),
    ("threshold_reached", "signed"),
    ("threshold_reached", "failed"),
    ("approved", "signing"),
    ("approved", "signed"),
    ("approved", "failed"),
    ("signing", "signed"),
    ("signing", "failed"),
    ("signing", "aborted_byzantine"),
    ("signed", "broadcasting"),
    ("signed", "failed"),
    ("broadcasting", "confirmed"),
    ("broadcasting", "failed"),
    ("confirmed", "broadcasting"),
];

/// At each node, a transaction begins in `pending` and moves by the table, from where it stands.
#[derive(Default)]
pub struct Lifecycle {
    stands: BTreeMap<(NodeId, Txid), &'static str>,
}

impl Oracle for Lifecycle {
    fn name(&self) -> &'static str {
        "lifecycle"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        if let Observed::Restored { node, records } = seen {
            self.stands.retain(|(whose, _), _| whose != node);
            return records.iter().try_for_each(|record| self.follow(*node, record));
        }
        let Observed::Durable { node, record } = seen else { return Ok(()) };
        self.follow(*node, record)
    }
}

impl Lifecycle {
    fn follow(&mut self, node: NodeId, record: &Record) -> Result<(), String> {
        if let Fact::Proposed(proposal) = &record.fact {
            self.stands.entry((node, proposal.body.txid())).or_insert("pending");
        }
        if let Fact::Transition { txid, from, to, .. } = &record.fact {
            let Some(stands) = self.stands.get_mut(&(node, *txid)) else {
                return Err(format!("at {node}, {txid} moves before it is proposed"));
            };
            let (from, to) = (from.name(), to.name());
            if *stands != from {
                return Err(format!("at {node}, {txid} moves from {from} but stands in {stands}"));
            }
            if !MOVES.contains(&(from, to)) {
                return Err(format!("at {node}, {txid} moves from {from} to {to}"));
            }
            *stands = to;
        }
        Ok(())
    }
}
