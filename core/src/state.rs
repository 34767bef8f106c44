//! Durable state: what the journal says, and nothing else.
//!
//! [`State::apply`] is the one way it changes. A live node computes records and applies them here; a restarted node
//! applies the same records from disk; so both have the same state, and [`State::digest`] shows it.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use serde::Serialize;

use crate::{
    codec,
    config::Cluster,
    identity::Signed,
    ids::{KeyId, LogIndex, NodeId, PaymentId, PresignatureId, ProposalDigest, Scheme, SessionId},
    message::{Bundle, FinalTransaction, KeyProof, KeygenRequest, Mark},
    mutant,
    record::{BlockRef, Fact, Record},
    sometimes,
    time::Timestamp,
    tx::{IllegalTransition, SignedProposal, State as TxState, SubStatus},
    vote::{Decision, Decisions, Evidence, Tally, Violation},
    wallet_key::WalletKey,
};

/// A record that contradicts the records before it: a damaged journal or a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It speaks of a transaction never proposed.
    #[error("record about unknown transaction {0}")]
    UnknownTransaction(Txid),
    /// It moves a transaction where the lifecycle does not go.
    #[error("transaction {txid}: {source}")]
    Illegal {
        /// Which.
        txid: Txid,
        /// The move.
        source: IllegalTransition,
    },
    /// It uses a presignature a second time.
    #[error("presignature {0} was used before")]
    UsedTwice(PresignatureId),
}

/// All that this node durably knows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    position: LogIndex,
    past: Past,
    transactions: BTreeMap<Txid, TxRecord>,
    open: BTreeSet<Txid>,
    coins: BTreeMap<OutPoint, Txid>,
    payments: BTreeMap<PaymentId, Txid>,
    proposed: BTreeMap<PaymentId, Txid>,
    /// Proposals to replace a transaction, in the order they came.
    replacements: BTreeMap<Txid, Vec<Txid>>,
    sealed: BTreeMap<SessionId, SealedKey>,
    keys: BTreeMap<KeyId, KeyProof>,
    members: BTreeMap<NodeId, MemberRecord>,
    evidence: BTreeMap<[u8; 32], Evidence>,
    cursors: BTreeMap<NodeId, LogIndex>,
    marks: BTreeMap<NodeId, Signed<Mark>>,
    /// Presignatures used by this node, ever.
    used: BTreeSet<PresignatureId>,
    presigning_faults: BTreeMap<(KeyId, Vec<NodeId>), u32>,
    changes: BTreeMap<LogIndex, Txid>,
    freezes: Freezes,
    purse: Purse,
}

/// One transaction.
#[derive(Clone, Debug, Serialize)]
pub struct TxRecord {
    /// What was proposed.
    pub proposal: SignedProposal,
    /// Its digest.
    pub digest: ProposalDigest,
    /// Where it stands.
    pub state: TxState,
    /// Why.
    pub sub_status: SubStatus,
    /// When it got into this state.
    pub since: Timestamp,
    /// What the members said.
    pub tally: Tally,
    /// Whether a share of a signature left this node.
    pub share_released: bool,
    /// The final transaction.
    pub finished: Option<FinalTransaction>,
    /// The block that holds it.
    pub block: Option<BlockRef>,
    /// Depth in the chain.
    pub confirmations: u32,
    /// What operators decided about it.
    pub decisions: Decisions,
    /// Who asked this node for it, by the name of his API key.
    pub initiator: Option<String>,
    proposed: LogIndex,
    changed: LogIndex,
}

impl TxRecord {
    /// Its txid.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.proposal.body.txid()
    }

    /// Everything known about it, for a peer.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        Bundle {
            proposal: self.proposal.clone(),
            votes: self.tally.votes().cloned().collect(),
            promises: self.tally.promises().cloned().collect(),
            finished: self.finished.clone(),
            decisions: self.decisions.iter().cloned().collect(),
        }
    }

    /// The final transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        self.finished.as_ref().map(|finished| &finished.0)
    }
}

/// A sealed share, and the ceremony it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SealedKey {
    /// The ceremony.
    pub request: KeygenRequest,
    /// The public key.
    pub public_key: WalletKey,
}

/// What is held for and against a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberRecord {
    /// Votes seen.
    pub votes: u64,
    /// Violations ever recorded.
    pub violations: u64,
    /// Circumstantial faults since the last ban that count towards the next; silence does not.
    pub strikes: u32,
    /// End of its ban.
    pub banned_until: Option<Timestamp>,
}

impl State {
    /// Adds one fact. `me` is the node whose journal this is.
    ///
    /// # Errors
    /// [`ApplyError`] if the record contradicts the earlier ones; the state is then unchanged but for its position.
    pub fn apply(&mut self, me: NodeId, cluster: &Cluster, record: &Record) -> Result<(), ApplyError> {
        self.position = self.position.plus(1);
        match &record.fact {
            Fact::Booted { boot } => {
                self.past.start(*boot);
                if mutant!(VoteForgottenAtRestart) {
                    self.forget_votes_of(me, cluster);
                }
            }
            Fact::Proposed(proposal) => self.propose(me, proposal, record.at),
            Fact::Voted(vote) => {
                let tx = self.tx_mut(vote.body.txid)?;
                // A member's first vote stands; a later one counts for nothing and commits nothing.
                if tx.tally.vote_of(vote.body.voter).is_some() {
                    return Ok(());
                }
                tx.tally.add(vote.clone());
                self.member_mut(vote.body.voter).votes += 1;
                if vote.body.voter == me {
                    self.past.act();
                    if vote.body.decision == Decision::Approve && !mutant!(CoinsNotCommitted) {
                        self.commit_claims(vote.body.txid);
                    }
                }
            }
            Fact::Promised(promise) => {
                self.tx_mut(promise.body.txid)?.tally.add_promise(promise.clone());
                if promise.body.node == me {
                    self.past.act();
                }
            }
            Fact::Transition { txid, to, sub_status, .. } => {
                let at = record.at;
                let tx = self.transactions.get(txid).ok_or(ApplyError::UnknownTransaction(*txid))?;
                let next =
                    tx.state.advance(*to).map_err(|source| ApplyError::Illegal { txid: *txid, source })?;
                let undone = tx.state == TxState::Confirmed;
                let tx = self.tx_mut(*txid)?;
                tx.state = next;
                tx.sub_status = sub_status.clone();
                tx.since = at;
                let dead = tx.tally.is_dead(cluster) && tx.finished.is_none();
                if to.is_final() {
                    self.open.remove(txid);
                } else {
                    self.open.insert(*txid);
                }
                if to.is_final() && *to != TxState::Confirmed && dead {
                    sometimes!(CoinsFreed);
                    self.release_claims(me, cluster, *txid);
                } else if *to == TxState::Failed && *sub_status == SubStatus::Replaced {
                    self.spare_what_stays(*txid);
                } else if *to == TxState::Confirmed {
                    self.free_what_it_makes(*txid);
                    let tx = self.transactions.get(txid).ok_or(ApplyError::UnknownTransaction(*txid))?;
                    self.purse.spend(tx.proposal.body.coins());
                }
                if undone {
                    let tx = self.transactions.get(txid).ok_or(ApplyError::UnknownTransaction(*txid))?;
                    self.purse.take_back(&tx.proposal.body);
                }
                if to.is_final() && *to != TxState::Confirmed {
                    self.purse.unmake(*txid);
                }
            }
            Fact::SubStatusChanged { txid, sub_status } => {
                self.tx_mut(*txid)?.sub_status = sub_status.clone();
            }
            Fact::ShareReleased { txid, .. } => {
                self.tx_mut(*txid)?.share_released = true;
                self.past.act();
            }
            Fact::Signed(transaction) => {
                let txid = transaction.0.compute_txid();
                self.tx_mut(txid)?.finished = Some(transaction.clone());
                // A signature exists: whatever this node voted, the coins belong to it.
                self.commit_claims(txid);
            }
            Fact::Seen { txid, block, confirmations } => {
                let tx = self.tx_mut(*txid)?;
                tx.block = *block;
                tx.confirmations = *confirmations;
            }
            Fact::KeyShareSealed { request, public_key } => {
                self.sealed
                    .insert(request.id(), SealedKey { request: request.clone(), public_key: *public_key });
                self.past.act();
            }
            Fact::KeygenFailed { .. } => {}
            Fact::KeyActivated(proof) => {
                self.keys.insert(proof.request.key, proof.clone());
            }
            Fact::Proven(evidence) => {
                self.member_mut(evidence.accused()).violations += 1;
                self.evidence.insert(evidence.digest(), (**evidence).clone());
            }
            Fact::Struck { node, violation, .. } => {
                let member = self.member_mut(*node);
                member.violations += 1;
                // Silence is what a crash, a slow disk or a partition looks like: it is held on record, never for a ban.
                if *violation != Violation::Timeout {
                    member.strikes += 1;
                }
            }
            Fact::Banned { node, until, .. } => {
                let member = self.member_mut(*node);
                member.banned_until = Some(*until);
                member.strikes = 0;
            }
            Fact::Synced { peer, position } => {
                self.cursors.insert(*peer, *position);
            }
            Fact::Confirmed => self.past.confirm(),
            Fact::Quarantined { shown } => {
                self.past.fall_behind(*shown);
                // Whatever came from the peers came to the journal that is lost.
                self.cursors.clear();
            }
            Fact::Rejoined { boot } => self.past.rejoin(*boot, (self.position, record.at)),
            Fact::Shown(mark) => {
                self.marks.insert(mark.body.node, mark.clone());
            }
            Fact::PresignaturesUsed { presignatures, .. } => {
                if let Some(again) = presignatures.iter().find(|used| self.used.contains(&used.id)) {
                    return Err(ApplyError::UsedTwice(again.id));
                }
                self.used.extend(presignatures.iter().map(|used| used.id));
            }
            Fact::PresigningFailed { key, signers, .. } => {
                *self.presigning_faults.entry((*key, signers.clone())).or_default() += 1;
            }
            Fact::OperatorDecided(decision) => {
                let tx = self.tx_mut(decision.body.txid)?;
                // As with votes, a member's first decision stands.
                if tx.decisions.of(decision.body.node).is_some() {
                    return Ok(());
                }
                tx.decisions.add(decision.clone(), record.at);
                if decision.body.node == me {
                    self.past.act();
                }
            }
            Fact::Initiated { txid, initiator } => {
                self.tx_mut(*txid)?.initiator = Some(initiator.clone());
            }
            Fact::Frozen(freeze) => self.freezes.freeze(freeze, record.at),
            Fact::Lifted(lift) => self.freezes.lift(lift),
            Fact::CoinSeen { coin, key, value } => {
                self.purse.see(*coin, SeenCoin { key: *key, value: *value });
            }
            Fact::CoinLost { coin, key, value, by } => {
                let lost = SeenCoin { key: *key, value: *value };
                self.purse.lose(*coin, LostCoin { coin: lost, by: *by, at: record.at });
            }
        }
        Ok(())
    }

    /// What [`Mutant::VoteForgottenAtRestart`](crate::mutant::Mutant) does.
    fn forget_votes_of(&mut self, me: NodeId, cluster: &Cluster) {
        for txid in self.open.iter().copied().collect::<Vec<_>>() {
            self.release_claims(me, cluster, txid);
            let Some(tx) = self.transactions.get_mut(&txid) else { continue };
            let votes = std::mem::take(&mut tx.tally);
            votes.votes().filter(|vote| vote.body.voter != me).for_each(|vote| tx.tally.add(vote.clone()));
            votes.promises().for_each(|promise| tx.tally.add_promise(promise.clone()));
        }
    }

    fn propose(&mut self, me: NodeId, proposal: &SignedProposal, at: Timestamp) {
        let txid = proposal.body.txid();
        let position = self.position;
        if self.transactions.contains_key(&txid) {
            return;
        }
        if proposal.body.origin == me {
            self.past.act();
        }
        self.proposed.entry(proposal.body.payment).or_insert(txid);
        if let Some(original) = proposal.body.replaces {
            self.replacements.entry(original).or_default().push(txid);
        }
        self.transactions.entry(txid).or_insert_with(|| TxRecord {
            proposal: proposal.clone(),
            digest: proposal.body.digest(),
            state: TxState::Pending,
            sub_status: SubStatus::AwaitingVotes,
            since: at,
            tally: Tally::default(),
            share_released: false,
            finished: None,
            block: None,
            confirmations: 0,
            decisions: Decisions::default(),
            initiator: None,
            proposed: position,
            changed: position,
        });
        self.open.insert(txid);
        self.changes.insert(position, txid);
    }

    /// The transaction, marked as changed at this position.
    fn tx_mut(&mut self, txid: Txid) -> Result<&mut TxRecord, ApplyError> {
        let position = self.position;
        let tx = self.transactions.get_mut(&txid).ok_or(ApplyError::UnknownTransaction(txid))?;
        self.changes.remove(&tx.changed);
        self.changes.insert(position, txid);
        tx.changed = position;
        Ok(tx)
    }

    fn member_mut(&mut self, node: NodeId) -> &mut MemberRecord {
        self.members.entry(node).or_default()
    }

    /// Position of the last record.
    #[must_use]
    pub const fn position(&self) -> LogIndex {
        self.position
    }

    /// What this node knows of its own past.
    #[must_use]
    pub const fn past(&self) -> &Past {
        &self.past
    }

    /// Whether this node has used a presignature, ever.
    #[must_use]
    pub fn is_used(&self, id: &PresignatureId) -> bool {
        self.used.contains(id)
    }

    /// Presignatures that this node has used, ever.
    #[must_use]
    pub fn used_count(&self) -> usize {
        self.used.len()
    }

    /// How many presignings of these signers ended in a fault, as far as this node took part.
    #[must_use]
    pub fn presigning_faults(&self, key: KeyId, signers: &[NodeId]) -> u32 {
        self.presigning_faults.get(&(key, signers.to_vec())).copied().unwrap_or(0)
    }

    /// The highest mark of a peer on record.
    #[must_use]
    pub fn mark_of(&self, peer: NodeId) -> Option<&Signed<Mark>> {
        self.marks.get(&peer)
    }

    /// Whether this node may have said or done more about a transaction than it remembers: it is older than the node's
    /// return, and nothing on record rules out that a share of a signature on it has left (I7).
    #[must_use]
    pub fn is_doubtful(&self, me: NodeId, tx: &TxRecord) -> bool {
        let refused = tx.tally.vote_of(me).is_some_and(|vote| vote.body.decision != Decision::Approve);
        self.is_older_than_rejoin(tx) && !refused && tx.tally.promise_of(me).is_none()
    }

    /// Whether a transaction was proposed before the node rejoined, by the books as they stood then or, if it came later,
    /// by its origin's clock.
    #[must_use]
    pub fn is_older_than_rejoin(&self, tx: &TxRecord) -> bool {
        self.past
            .rejoined()
            .is_some_and(|(position, at)| tx.proposed < position || tx.proposal.body.created_at <= at)
    }

    /// One transaction.
    #[must_use]
    pub fn transaction(&self, txid: Txid) -> Option<&TxRecord> {
        self.transactions.get(&txid)
    }

    /// All transactions, by txid.
    pub fn transactions(&self) -> impl Iterator<Item = (Txid, &TxRecord)> {
        self.transactions.iter().map(|(txid, tx)| (*txid, tx))
    }

    /// Transactions that have not ended, by txid.
    pub fn open(&self) -> impl Iterator<Item = (Txid, &TxRecord)> {
        self.open.iter().filter_map(|txid| self.transactions.get(txid).map(|tx| (*txid, tx)))
    }

    /// How many transactions have not ended.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The first transaction ever proposed for a payment.
    #[must_use]
    pub fn proposed_for(&self, payment: PaymentId) -> Option<&TxRecord> {
        self.proposed.get(&payment).and_then(|txid| self.transactions.get(txid))
    }

    /// The newest active key of a scheme.
    #[must_use]
    pub fn current_key(&self, scheme: Scheme) -> Option<&KeyProof> {
        self.keys.iter().rev().find(|(id, _)| id.scheme == scheme).map(|(_, proof)| proof)
    }

    /// All active keys.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, &KeyProof)> {
        self.keys.iter()
    }

    /// A sealed share, by its ceremony.
    #[must_use]
    pub fn sealed(&self, ceremony: SessionId) -> Option<&SealedKey> {
        self.sealed.get(&ceremony)
    }

    /// All sealed shares.
    pub fn sealed_keys(&self) -> impl Iterator<Item = (&SessionId, &SealedKey)> {
        self.sealed.iter()
    }

    /// What is held for and against a member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> MemberRecord {
        self.members.get(&node).cloned().unwrap_or_default()
    }

    /// Whether a member is shut out at `now`.
    #[must_use]
    pub fn is_banned(&self, node: NodeId, now: Timestamp) -> bool {
        self.members.get(&node).and_then(|member| member.banned_until).is_some_and(|until| now < until)
    }

    /// All proofs of misbehaviour.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.values()
    }

    /// Whether this proof is known.
    #[must_use]
    pub fn has_evidence(&self, digest: &[u8; 32]) -> bool {
        self.evidence.contains_key(digest)
    }

    /// How far a peer's journal is known.
    #[must_use]
    pub fn cursor(&self, peer: NodeId) -> LogIndex {
        self.cursors.get(&peer).copied().unwrap_or_default()
    }

    /// Transactions that changed after `since`, oldest change first.
    pub fn changed_since(&self, since: LogIndex) -> impl Iterator<Item = (LogIndex, &TxRecord)> {
        self.changes
            .range(since.plus(1)..)
            .filter_map(|(index, txid)| self.transactions.get(txid).map(|tx| (*index, tx)))
    }

    /// What members have frozen.
    #[must_use]
    pub const fn freezes(&self) -> &Freezes {
        &self.freezes
    }

    /// The wallet's coins as they were seen in blocks.
    #[must_use]
    pub const fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Members banned at `now`.
    #[must_use]
    pub fn banned(&self, now: Timestamp) -> BTreeSet<NodeId> {
        self.members.keys().copied().filter(|node| self.is_banned(*node, now)).collect()
    }

    /// Digest of everything: equal for a live node and its replayed journal.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        codec::digest("mpc-wallet/state", self)
    }
}

mod claims;
mod freezes;
mod past;
mod purse;
#[cfg(test)]
mod tests;

pub use freezes::{Freezes, Frozen};
pub use past::Past;
pub use purse::{LostCoin, Purse, SeenCoin};
