//! What a run with a traitor does not have to achieve. Each exemption has its reason in the protocol; all are here.
//!
//! - A client that asked a traitor may get no answer, or a false one: nobody else knows of its payment.
//! - A certified transaction that the honest members can neither sign nor give up without the traitor: some honest
//!   member has refused it, so that fewer than `t` honest signers are left, and too few are bound to free its coins.
//!   It waits until it expires, a day later (docs/protocol.md, "Known limits").
//! - A client while a coordinator lies about coins: whoever it asks gets coins that others have, or nobody has, and such
//!   a payment is refused. A grant is unsigned and a refusal is no offence, so nobody takes the role away.

use std::collections::BTreeSet;

use bitcoin::Txid;
use mpc_wallet_core::{Node, NodeId, state::TxRecord, tx::State, vote::Decision};

use super::World;
use crate::plan::Deviation;

/// What a member says of itself about a transaction.
enum Word {
    /// It would sign.
    Signs,
    /// It never will.
    Bound,
    /// It has not decided.
    Open,
}

fn own_word(me: NodeId, tx: &TxRecord) -> Word {
    if tx.tally.promise_of(me).is_some() {
        return Word::Bound;
    }
    match tx.tally.vote_of(me).map(|vote| &vote.body.decision) {
        Some(Decision::Approve) => Word::Signs,
        Some(Decision::Reject(_)) => Word::Bound,
        None => Word::Open,
    }
}

impl World {
    /// Honest nodes that are up.
    pub(super) fn honest_nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.hosts
            .iter()
            .filter(|(node, _)| self.honest.contains(node))
            .filter_map(|(node, host)| Some((*node, &host.live.as_ref()?.node)))
    }

    /// Whether nothing is demanded for a client: a traitor had its request, or no honest member hands out coins.
    pub(super) fn is_betrayed(&self, client: usize) -> bool {
        self.betrayed.contains(&client) || self.coins_are_lies()
    }

    /// Whether the member that coordinates, the lowest that some honest node has not shut out, lies about coins.
    fn coins_are_lies(&self) -> bool {
        self.plan.traitors.iter().any(|traitor| {
            let node = NodeId::new(traitor.node);
            let first = self.honest.first().is_some_and(|first| node < *first);
            let heard = self.honest.iter().any(|by| !self.bans.contains(&(*by, node)));
            traitor.deviation == Deviation::LyingCoordinator && first && heard
        })
    }

    /// Transactions that wait for a traitor.
    pub(super) fn hostages(&self) -> BTreeSet<Txid> {
        if self.plan.traitors.is_empty() {
            return BTreeSet::new();
        }
        let open: BTreeSet<Txid> =
            self.honest_nodes().flat_map(|(_, node)| node.state().open().map(|(txid, _)| txid)).collect();
        open.into_iter().filter(|txid| self.is_hostage(*txid)).collect()
    }

    fn is_hostage(&self, txid: Txid) -> bool {
        let threshold = usize::from(self.plan.threshold);
        let total = usize::from(self.plan.nodes);
        let tolerated = (total - threshold).min((2 * threshold).saturating_sub(total + 1));
        let (mut sign, mut bound) = (0, 0);
        for (me, node) in self.honest_nodes() {
            let Some(tx) = node.state().transaction(txid) else { return false };
            let certified = matches!(tx.state, State::ThresholdReached | State::Approved | State::Signing);
            if !certified {
                return false;
            }
            match own_word(me, tx) {
                Word::Signs => sign += 1,
                Word::Bound => bound += 1,
                Word::Open => return false,
            }
        }
        sign < threshold && bound < total - threshold + 1 + tolerated
    }
}
