//! What a run with more faults than the protocol tolerates does not have to achieve. Each exemption has its reason in the
//! protocol; all are here.
//!
//! - A client that asked a traitor may get no answer, or a false one: nobody else knows of its payment.
//! - A certified transaction that the honest members can neither sign nor give up without the traitor: some honest
//!   member has refused it, so that fewer than `t` honest signers are left, and too few are bound to free its coins.
//!   It waits until it expires, a day later (docs/protocol.md, "Known limits").
//!   A member that lost its disk and cannot say what it once promised is silent on what was proposed before (I7). With
//!   a traitor beside it, or an honest refusal in a cluster that tolerates nobody, that is one fault too many for such a
//!   transaction.
//! - A client whose money such transactions hold.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use mpc_wallet_core::{
    NodeId,
    state::{State as Memory, TxRecord},
    tx::State,
    vote::Decision,
};

use super::{
    chain::Chain,
    client::{Client, ClientState},
    verdict::Scripts,
};
use crate::plan::FaultPlan;

/// More than any fee here, in satoshis.
const FEE_ROOM: u64 = 100_000;

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

/// Transactions that wait for a traitor, or for a word that is forgotten.
pub(crate) struct Hostages {
    transactions: BTreeSet<Txid>,
    coins: BTreeSet<OutPoint>,
}

impl Hostages {
    /// Those among what the honest members remember.
    pub(crate) fn among(plan: &FaultPlan, honest: &Memories<'_>) -> Self {
        let open: BTreeSet<Txid> =
            honest.values().flat_map(|memory| memory.open().map(|(txid, _)| txid)).collect();
        let transactions: BTreeSet<Txid> =
            open.into_iter().filter(|txid| is_hostage(plan, honest, *txid)).collect();
        let records = transactions
            .iter()
            .filter_map(|txid| honest.values().find_map(|memory| memory.transaction(*txid)));
        let coins = records.flat_map(|tx| tx.proposal.body.coins().collect::<Vec<_>>()).collect();
        Self { transactions, coins }
    }

    /// Whether this is one.
    pub(crate) fn contains(&self, txid: &Txid) -> bool {
        self.transactions.contains(txid)
    }

    /// Whether a client waits for one, or for the money that they hold.
    pub(crate) fn keep_waiting(&self, client: &Client, wallets: &Scripts, chain: &Chain) -> bool {
        match &client.state {
            ClientState::Accepted { txid } => self.contains(txid),
            ClientState::Idle { .. } | ClientState::Asked { .. } if !self.coins.is_empty() => {
                let Some(wallet) = wallets.get(&client.payment.wallet.scheme()) else { return true };
                let coins = self.coins.iter().filter_map(|coin| chain.coin(coin));
                let own = coins.filter(|coin| coin.script_pubkey == *wallet);
                let held: u64 = own.map(|coin| coin.value.to_sat()).sum();
                let free = chain.balance(wallet).saturating_sub(held);
                free < client.payment.amount.saturating_add(FEE_ROOM)
            }
            ClientState::Idle { .. } | ClientState::Asked { .. } | ClientState::Unsure => false,
        }
    }
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
