//! Who has which coin and which payment, by this node's commitments (I1, I2).
//!
//! A transaction claims the coins it spends and the payment it serves. One that replaces another also claims what the other
//! makes: those coins will never be if it confirms, so nothing else may be built on them.
//!
//! A family is a transaction and what replaces it: one payment, one set of coins, so that at most one of them confirms and
//! whichever does pays the same. The first of them holds the claims, and none of them contradicts another that is finished.

use bitcoin::{OutPoint, TxOut, Txid};

use super::{State, TxRecord};
use crate::{
    config::Cluster,
    ids::{NodeId, PaymentId},
    mutant,
    tx::{Proposal, State as TxState},
    vote::Decision,
};

impl State {
    /// Gives the transaction its coins and its payment, unless another holds them.
    pub(super) fn commit_claims(&mut self, txid: Txid) {
        let Some(tx) = self.transactions.get(&txid) else { return };
        let (claims, payment) = (self.claims_of(&tx.proposal.body), tx.proposal.body.payment);
        for coin in claims {
            self.coins.entry(coin).or_insert(txid);
        }
        self.payments.entry(payment).or_insert(txid);
    }

    /// Frees what a provably dead transaction held.
    pub(super) fn release_claims(&mut self, me: NodeId, cluster: &Cluster, txid: Txid) {
        self.coins.retain(|_, holder| *holder != txid);
        self.payments.retain(|_, holder| *holder != txid);
        if self.past.rejoined().is_none() {
            return;
        }
        // Approvals taken back from peers come in any order, and of two on one coin the dead one may have come first.
        let approved = |tx: &&TxRecord| {
            tx.tally.vote_of(me).is_some_and(|vote| vote.body.decision == Decision::Approve)
                && (tx.finished.is_some() || !tx.tally.is_dead(cluster))
        };
        let holders: Vec<Txid> = self.transactions.values().filter(approved).map(TxRecord::txid).collect();
        for holder in holders {
            self.commit_claims(holder);
        }
    }

    /// The transaction that holds a coin, by this node's commitment (I2).
    #[must_use]
    pub fn holder_of(&self, coin: &OutPoint) -> Option<Txid> {
        self.coins.get(coin).copied()
    }

    /// All committed coins and their holders.
    pub fn committed_coins(&self) -> impl Iterator<Item = (&OutPoint, Txid)> {
        self.coins.iter().map(|(coin, txid)| (coin, *txid))
    }

    /// The transaction this node is committed to for a payment (I1).
    #[must_use]
    pub fn serving(&self, payment: PaymentId) -> Option<Txid> {
        self.payments.get(&payment).copied()
    }

    /// The coins that approving a proposal commits: what it spends, and what the transaction makes that it replaces.
    #[must_use]
    pub fn claims_of(&self, proposal: &Proposal) -> Vec<OutPoint> {
        let mut claims: Vec<OutPoint> = proposal.coins().collect();
        if let Some(original) = self.original_of(proposal)
            && original.state != TxState::Confirmed
            && !mutant!(ReplacedChangeIsFree)
        {
            let txid = original.txid();
            let outputs = original.proposal.body.unsigned_tx.output.len();
            claims.extend((0_u32..).take(outputs).map(|vout| OutPoint { txid, vout }));
        }
        claims
    }

    /// The transaction that a proposal replaces, if it is one of its family and signed.
    #[must_use]
    pub fn original_of(&self, proposal: &Proposal) -> Option<&TxRecord> {
        let original = proposal.replaces?;
        self.is_kin(original, proposal).then(|| self.transactions.get(&original)).flatten()
    }

    /// Whether the transaction is finished and of the proposal's family: for the same payment, of the same coins, to the same
    /// recipient, and one of the two replaces something.
    #[must_use]
    pub fn is_kin(&self, txid: Txid, proposal: &Proposal) -> bool {
        self.transactions.get(&txid).is_some_and(|tx| {
            let other = &tx.proposal.body;
            tx.finished.is_some()
                && (other.replaces.is_some() || proposal.replaces.is_some())
                && other.payment == proposal.payment
                && other.pays_like(proposal)
                && other.coins().eq(proposal.coins())
        })
    }

    /// Whether a transaction in the books spends the proposal's coins and pays its recipient its amount, by what its txid
    /// names: whoever proposed it, as whatever, and whoever has its signature.
    #[must_use]
    pub fn pays_alike(&self, txid: Txid, proposal: &Proposal) -> bool {
        self.transactions.get(&txid).is_some_and(|tx| {
            let other = &tx.proposal.body;
            let pays = |output: &TxOut| {
                output.value == proposal.amount && output.script_pubkey == proposal.recipient
            };
            other.coins().eq(proposal.coins()) && other.unsigned_tx.output.iter().any(pays)
        })
    }

    /// The transaction that replaces this one, or is to: the last one proposed, but for those that were given up.
    #[must_use]
    pub fn replacement_of(&self, txid: Txid) -> Option<&TxRecord> {
        let original = self.transactions.get(&txid)?;
        let replaces = |tx: &&TxRecord| {
            let body = &tx.proposal.body;
            let lives = tx.finished.is_some() || !tx.state.is_final();
            // Whoever pays more comes after whoever pays less, so nothing replaces itself by way of others.
            lives && self.is_kin(txid, body) && body.fee > original.proposal.body.fee
        };
        let proposed = self.replacements.get(&txid)?.iter().rev();
        proposed.filter_map(|txid| self.transactions.get(txid)).find(replaces)
    }

    /// The transaction that a payment stands or falls with now: of its first family the one that confirmed, or else the last
    /// that is signed.
    #[must_use]
    pub fn standing_for(&self, payment: PaymentId) -> Option<&TxRecord> {
        let mut tx = self.proposed_for(payment)?;
        while tx.state != TxState::Confirmed
            && let Some(next) = self.replacement_of(tx.txid()).filter(|next| next.finished.is_some())
        {
            tx = next;
        }
        Some(tx)
    }

    /// Whether another transaction with the same coins may confirm instead of this one: nothing is to be built on either
    /// before one of them has.
    #[must_use]
    pub fn is_contested(&self, txid: Txid) -> bool {
        let replaces = |tx: &TxRecord| tx.proposal.body.replaces.is_some();
        self.transactions.get(&txid).is_some_and(replaces) || self.replacement_of(txid).is_some()
    }

    /// It has confirmed: what it makes is, whatever was to take its place.
    pub(super) fn free_what_it_makes(&mut self, txid: Txid) {
        let took_its_place = |holder: &Txid| {
            self.transactions.get(holder).is_some_and(|tx| tx.proposal.body.replaces == Some(txid))
        };
        self.coins.retain(|coin, holder| coin.txid != txid || !took_its_place(holder));
    }

    /// Another of its family has confirmed, and this one never will: what the family made is nobody's any more.
    pub(super) fn spare_what_stays(&mut self, txid: Txid) {
        let Some(tx) = self.transactions.get(&txid) else { return };
        let spent: Vec<OutPoint> = tx.proposal.body.coins().collect();
        self.coins.retain(|coin, holder| *holder != txid || spent.contains(coin));
    }
}
