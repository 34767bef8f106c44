//! From a signature to a confirmation, and everything this node learns from the chain.
//!
//! Every node sends every finished transaction to its own backend: repeating is harmless, and no single backend can
//! hold a payment back. What the backend shows is believed for money coming in and for confirmations, never for what
//! may be signed.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    chain::{BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery, ChainView, Coin, TxPresence},
    ids::QueryId,
    message::FinalTransaction,
    mutant,
    overview::Balance,
    record::{BlockRef, Fact},
    sometimes,
    step::{Alert, Effect},
    time::{Millis, Timestamp},
    tx::{self, SubStatus},
    wallet::{self, Wallet},
};

/// Blocks beyond the required depth during which a confirmed transaction is still watched for reorganisations.
const WATCH_BEYOND: u32 = 10;

/// Why a coin will never be.
pub(super) const LOST_PARENT: &str = "an input of its parent was spent by another transaction";

/// After this long an unanswered look counts as lost.
const LOOK_LOST: Millis = Millis(20_000);

/// Soonest next look after something happened that one should see.
const SOON: Millis = Millis(200);

/// Volatile state of settling.
#[derive(Default)]
pub(super) struct Settling {
    view: Option<(ChainView, Timestamp)>,
    estimates: BTreeMap<u16, u64>,
    looking: Option<(QueryId, Timestamp)>,
    /// Transactions whose refusal was reported.
    refused: BTreeSet<Txid>,
    /// Transactions whose parents the backend did not know when last asked.
    orphans: BTreeSet<Txid>,
}

impl Settling {
    pub(super) fn forget(&mut self, txid: Txid) {
        self.refused.remove(&txid);
        self.orphans.remove(&txid);
    }

    pub(super) fn tip_height(&self) -> u32 {
        self.view.as_ref().map_or(0, |(view, _)| view.tip.height)
    }

    pub(super) fn coins(&self) -> impl Iterator<Item = &Coin> {
        self.view.iter().flat_map(|(view, _)| view.coins.iter())
    }

    pub(super) const fn fee_estimates(&self) -> &BTreeMap<u16, u64> {
        &self.estimates
    }

    pub(super) const fn view(&self) -> Option<&(ChainView, Timestamp)> {
        self.view.as_ref()
    }
}

impl Node {
    /// Age of the last good look; `None` before the first.
    pub(super) fn chain_age(&self) -> Option<Millis> {
        self.settling.view.as_ref().map(|(_, at)| self.now.since(*at))
    }

    pub(super) fn chain_is_stale(&self) -> bool {
        self.chain_age().is_none_or(|age| age > self.config.timing.chain_stale)
    }

    pub(super) fn poll_chain(&mut self) {
        self.timers.set(Timer::ChainPoll, self.now.plus(self.config.timing.chain_poll));
        if self.settling.looking.is_some_and(|(_, at)| self.now.since(at) < LOOK_LOST) {
            return;
        }
        let scripts = self.wallets.values().map(Wallet::script).collect();
        let deep = self.config.confirmations_required.saturating_add(WATCH_BEYOND);
        let watch = self
            .state
            .transactions()
            .filter(|(_, tx)| match tx.state {
                tx::State::Broadcasting => true,
                tx::State::Confirmed => tx.confirmations < deep,
                tx::State::Pending
                | tx::State::Voting
                | tx::State::ThresholdReached
                | tx::State::Approved
                | tx::State::Signing
                | tx::State::Signed
                | tx::State::Rejected
                | tx::State::Failed
                | tx::State::AbortedByzantine => false,
            })
            .map(|(txid, _)| txid)
            .collect();
        let query = self.ask_chain(ChainQuery::Poll { scripts, watch });
        self.settling.looking = Some((query, self.now));
    }

    pub(super) fn look_soon(&mut self) {
        self.timers.set_by(Timer::ChainPoll, self.now.plus(SOON));
    }

    pub(super) fn on_chain(&mut self, answer: ChainAnswer, entropy: &mut dyn CryptoRngCore) {
        let look = self.settling.looking.is_some_and(|(query, _)| query == answer.query);
        if look {
            self.settling.looking = None;
        }
        match answer.observation {
            ChainObservation::Poll(view) if look => self.on_view(view, entropy),
            ChainObservation::Poll(_) => {}
            ChainObservation::Coins(statuses) => {
                if !self.on_missing_coins(answer.query, Some(&statuses)) {
                    self.on_coins(answer.query, Some(&statuses), entropy);
                }
            }
            ChainObservation::Broadcast { txid, outcome } => self.on_broadcast_outcome(txid, outcome),
            ChainObservation::Unavailable(_) => {
                if !self.on_missing_coins(answer.query, None) {
                    self.on_coins(answer.query, None, entropy);
                }
            }
        }
    }

    fn on_view(&mut self, view: ChainView, entropy: &mut dyn CryptoRngCore) {
        let first = self.settling.view.is_none();
        let tip = view.tip;
        let watched = view.watched.clone();
        self.settling.estimates = view.fee_estimates.iter().copied().collect();
        self.settling.view = Some((view, self.now));
        for (txid, presence) in watched {
            self.on_presence(txid, presence, tip);
        }
        self.look_for_coins();
        self.timers.set_by(Timer::CoinQueue, self.now);
        if first {
            for txid in self.open_transactions() {
                self.attend(txid, entropy);
            }
        }
    }

    fn on_presence(&mut self, txid: Txid, presence: TxPresence, tip: BlockRef) {
        let Some(tx) = self.state.transaction(txid) else { return };
        let (state, known_block) = (tx.state, tx.block);
        if mutant!(ReorgIgnored) && state == tx::State::Confirmed {
            return;
        }
        match presence {
            TxPresence::Confirmed(block) => self.on_depth(txid, block, tip),
            TxPresence::Mempool | TxPresence::Absent | TxPresence::Conflicted { .. }
                if state == tx::State::Confirmed || known_block.is_some() =>
            {
                sometimes!(ReorgAfterConfirmation, state == tx::State::Confirmed);
                self.record(Fact::Seen { txid, block: None, confirmations: 0 });
                if !self.transition(
                    txid,
                    tx::State::Broadcasting,
                    SubStatus::ReorgedOut,
                    "its block left the best chain",
                ) {
                    self.set_sub_status(txid, SubStatus::ReorgedOut);
                }
                let detail = "its block left the best chain".to_owned();
                self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
                self.send_to_network(txid);
            }
            TxPresence::Mempool => self.accepted(txid),
            TxPresence::Absent => {
                if let Some(coin) = self.lost_coin(txid) {
                    let detail = format!("it spends {coin}: {LOST_PARENT}");
                    self.transition(txid, tx::State::Failed, SubStatus::InputSpent, &detail);
                    self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
                    return;
                }
                if tx.sub_status == SubStatus::InMempool {
                    sometimes!(DroppedFromMempool);
                    self.set_sub_status(txid, SubStatus::DroppedRebroadcasting);
                }
                self.send_to_network(txid);
            }
            TxPresence::Conflicted { by, block } if self.state.pays_alike(by, &tx.proposal.body) => {
                self.on_rival(
                    txid,
                    by,
                    block.map(|block| tip.height.saturating_sub(block.height).saturating_add(1)),
                );
            }
            TxPresence::Conflicted { by, block: Some(block) } => {
                let depth = tip.height.saturating_sub(block.height).saturating_add(1);
                if depth >= self.config.confirmations_required {
                    sometimes!(InputSpentByAnother);
                    let detail = format!("an input was spent by {by} in block {}", block.height);
                    self.transition(txid, tx::State::Failed, SubStatus::InputSpent, &detail);
                    self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
                } else {
                    self.set_sub_status(txid, SubStatus::ConflictSeen);
                }
            }
            TxPresence::Conflicted { by, block: None } => {
                if tx.sub_status != SubStatus::ConflictSeen {
                    let detail = format!("an input is being spent by {by}");
                    self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
                }
                self.set_sub_status(txid, SubStatus::ConflictSeen);
            }
        }
    }

    /// A coin that it spends and that will never be: its parent is a transaction of this wallet that cannot confirm.
    pub(super) fn lost_coin(&self, txid: Txid) -> Option<OutPoint> {
        let tx = self.state.transaction(txid)?;
        tx.proposal.body.coins().find(|coin| {
            self.state.transaction(coin.txid).is_some_and(|tx| {
                tx.state == tx::State::Failed
                    && matches!(tx.sub_status, SubStatus::InputSpent | SubStatus::Replaced)
            })
        })
    }

    fn on_depth(&mut self, txid: Txid, block: BlockRef, tip: BlockRef) {
        let Some(tx) = self.state.transaction(txid) else { return };
        let depth = tip.height.saturating_sub(block.height).saturating_add(1);
        let news = tx.block != Some(block) || tx.confirmations != depth;
        if news {
            self.record(Fact::Seen { txid, block: Some(block), confirmations: depth });
        }
        let cause = format!("block {} at height {}", block.hash, block.height);
        if depth >= self.config.confirmations_required {
            if self.transition(txid, tx::State::Confirmed, SubStatus::Settled, &cause) {
                self.on_winner(txid);
            }
        } else {
            self.set_sub_status(txid, SubStatus::Confirming);
        }
    }

    /// Takes a final transaction, made here or elsewhere; says whether it was news. The witnesses are its proof.
    pub(super) fn on_finished(
        &mut self,
        finished: FinalTransaction,
        entropy: &mut dyn CryptoRngCore,
    ) -> bool {
        let txid = finished.0.compute_txid();
        let Some(tx) = self.state.transaction(txid) else { return false };
        let proposal = &tx.proposal.body;
        let reopened =
            matches!(tx.state, tx::State::Rejected | tx::State::Failed | tx::State::AbortedByzantine);
        let valid = tx.finished.is_none()
            && self.wallets.get(&proposal.key).is_some_and(|wallet| {
                wallet::verify_finished(
                    wallet,
                    self.config.suites.of(wallet.key.scheme),
                    proposal,
                    &finished.0,
                )
            });
        if !valid {
            return false;
        }
        if reopened {
            // More liars than the cluster tolerates: the signature was impossible, and here it is.
            let detail = "a signature exists on a transaction that was given up".to_owned();
            self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
            return false;
        }
        sometimes!(FinishedDuringVote, tx.state == tx::State::Voting);
        self.record(Fact::Signed(finished));
        self.drop_sessions_of(txid);
        self.transition(txid, tx::State::Signed, SubStatus::NotYetSent, "every input's witness verifies");
        self.attend(txid, entropy);
        true
    }

    pub(super) fn start_broadcast(&mut self, txid: Txid) {
        if self.transition(txid, tx::State::Broadcasting, SubStatus::NotYetSent, "first broadcast attempt") {
            self.send_to_network(txid);
        }
    }

    pub(super) fn send_to_network(&mut self, txid: Txid) {
        let question = self.state.transaction(txid).and_then(|tx| {
            tx.transaction().map(|transaction| ChainQuery::Broadcast {
                transaction: transaction.clone(),
                prevouts: tx.proposal.body.spent_outputs(),
            })
        });
        if let Some(question) = question {
            self.ask_chain(question);
        }
    }

    fn accepted(&mut self, txid: Txid) {
        self.settling.refused.remove(&txid);
        self.settling.orphans.remove(&txid);
        if self
            .state
            .transaction(txid)
            .is_some_and(|tx| tx.state == tx::State::Broadcasting && tx.sub_status != SubStatus::Confirming)
        {
            self.set_sub_status(txid, SubStatus::InMempool);
            self.timers.set_by(Timer::CoinQueue, self.now);
        }
    }

    fn on_broadcast_outcome(&mut self, txid: Txid, outcome: BroadcastOutcome) {
        let waiting = self.state.transaction(txid).is_some_and(|tx| tx.state == tx::State::Broadcasting);
        if !waiting {
            return;
        }
        match outcome {
            BroadcastOutcome::Accepted => {
                self.accepted(txid);
                self.look_soon();
            }
            BroadcastOutcome::AlreadyConfirmed => self.look_soon(),
            // A parent may be on its way; when it is still missing, the usual looks are soon enough.
            BroadcastOutcome::InputsMissing => {
                if self.settling.orphans.insert(txid) {
                    self.look_soon();
                }
            }
            BroadcastOutcome::FeeTooLow => self.set_sub_status(txid, SubStatus::FeeTooLow),
            BroadcastOutcome::Temporary(_) => self.set_sub_status(txid, SubStatus::NotYetSent),
            BroadcastOutcome::Unknown(_) => {
                sometimes!(BroadcastUnknown);
                self.set_sub_status(txid, SubStatus::OutcomeUnknown);
            }
            // One backend's refusal is not the network's: the others' may accept, and a signed payment that looks dead
            // here invites paying again. It stays open, visibly, and a person is told once.
            BroadcastOutcome::Refused(code) => {
                if self.settling.refused.insert(txid) {
                    let detail = format!("the chain backend refuses it: {code}");
                    self.effects.push(Effect::Alert(Alert::Payment { txid, detail }));
                }
                self.set_sub_status(txid, SubStatus::BroadcastRejected(code));
            }
        }
    }

    /// Money by kind, as the last look at the chain and the open transactions show it.
    pub(super) fn balance(&self, wallet: &Wallet) -> Balance {
        let script = wallet.script();
        let coins: Vec<Coin> =
            self.settling.coins().filter(|coin| coin.output.script_pubkey == script).cloned().collect();
        let ours = |txid: Txid| self.state.transaction(txid).is_some_and(|tx| tx.finished.is_some());
        let locked = |coin: &OutPoint| self.state.holder_of(coin).is_some();
        let mut balance = wallet::balance(&coins, self.settling.tip_height(), &ours, &locked);
        balance.spendable = self.spendable_coins(wallet).iter().map(|candidate| candidate.value).sum();
        balance
    }
}
