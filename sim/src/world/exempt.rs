//! What a run with a traitor does not have to achieve. Each exemption has its reason in the protocol; all are here.
//!
//! - A client that asked a traitor may get no answer, or a false one: nobody else knows of its payment.
//! - A certified transaction that the honest members can neither sign nor give up without the traitor: some honest
//!   member has refused it, so that fewer than `t` honest signers are left, and too few are bound to free its coins.
//!   It waits until it expires, a day later (docs/protocol.md, "Known limits").
//!   A member that lost its disk and cannot say what it once promised is silent on what was proposed before (I7). With
//!   a traitor beside it, or an honest refusal in a cluster that tolerates nobody, that is one fault too many for such a
//!   transaction.
//! - A client while a coordinator lies about coins: whoever it asks gets coins that others have, or nobody has, and such
//!   a payment is refused. A grant is unsigned and a refusal is no offence, so nobody takes the role away.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    NodeId,
    state::{State as Memory, TxRecord},
    tx::State,
    vote::Decision,
};

use super::World;
use crate::{
    oracle::Honest,
    parts::client::{Client, ClientState},
    plan::{Deviation, FaultPlan},
};

/// What a member says of itself about a transaction.
enum Word {
    /// It would sign.
    Signs,
    /// It never will.
    Bound,
    /// It has not decided.
    Open,
    /// It may have, cannot remember, and so never will.
    Silent,
}

fn own_word(me: NodeId, memory: &Memory, tx: &TxRecord) -> Word {
    if tx.tally.promise_of(me).is_some() {
        return Word::Bound;
    }
    match tx.tally.vote_of(me).map(|vote| &vote.body.decision) {
        Some(Decision::Approve) => Word::Signs,
        Some(Decision::Reject(_)) => Word::Bound,
        None if memory.is_doubtful(me, tx) => Word::Silent,
        None => Word::Open,
    }
}

/// What the honest members that are up remember.
pub(crate) type Memories<'a> = BTreeMap<NodeId, &'a Memory>;

/// Whether the member that coordinates, the lowest that some honest node has not shut out, lies about coins.
pub(crate) fn coins_are_lies(plan: &FaultPlan, honest: &Honest, bans: &BTreeSet<(NodeId, NodeId)>) -> bool {
    plan.traitors.iter().any(|traitor| {
        let node = NodeId::new(traitor.node);
        let first = honest.first().is_some_and(|first| node < *first);
        let heard = honest.iter().any(|by| !bans.contains(&(*by, node)));
        traitor.deviation == Deviation::LyingCoordinator && first && heard
    })
}

/// Transactions that wait for a traitor, or for a word that is forgotten.
pub(crate) fn hostages(plan: &FaultPlan, honest: &Memories<'_>) -> BTreeSet<Txid> {
    let open: BTreeSet<Txid> =
        honest.values().flat_map(|memory| memory.open().map(|(txid, _)| txid)).collect();
    open.into_iter().filter(|txid| is_hostage(plan, honest, *txid)).collect()
}

fn is_hostage(plan: &FaultPlan, honest: &Memories<'_>, txid: Txid) -> bool {
    let threshold = usize::from(plan.threshold);
    let total = usize::from(plan.nodes);
    let tolerated = (total - threshold).min((2 * threshold).saturating_sub(total + 1));
    let (mut sign, mut bound, mut silent, mut certified) = (0, 0, 0, false);
    for (me, memory) in honest {
        let Some(tx) = memory.transaction(txid) else { return false };
        // A member that heard the other vote of an equivocator first has no certificate.
        certified |= matches!(tx.state, State::ThresholdReached | State::Approved | State::Signing);
        if !tx.state.is_unsigned() {
            return false;
        }
        match own_word(*me, memory, tx) {
            Word::Signs => sign += 1,
            Word::Bound => bound += 1,
            Word::Open => return false,
            Word::Silent => silent += 1,
        }
    }
    // Without consent those who can still refuse do, and end it; unless one of them does not know whether it may.
    let stuck = silent > 0 || (certified && !plan.traitors.is_empty());
    stuck && sign < threshold && bound < total - threshold + 1 + tolerated
}

/// Whether a client was promised a payment that waits for a traitor.
pub(crate) fn waits(client: &Client, hostages: &BTreeSet<Txid>) -> bool {
    matches!(&client.state, ClientState::Accepted { txid } if hostages.contains(txid))
}

impl World {
    /// Whether nothing is demanded for a client: a traitor had its request, or no honest member hands out coins.
    pub(super) fn is_betrayed(&self, client: usize) -> bool {
        self.betrayed.contains(&client) || coins_are_lies(&self.plan, &self.honest, &self.bans)
    }

    /// Transactions that wait for a traitor, or for a word that is forgotten.
    pub(super) fn hostages(&self) -> BTreeSet<Txid> {
        let live = self.hosts.iter().filter(|(node, _)| self.honest.contains(node));
        let memories = live.filter_map(|(node, host)| Some((*node, host.live.as_ref()?.node.state())));
        hostages(&self.plan, &memories.collect())
    }
}
