//! A member's own judgement of a proposal: by its policy, its commitments and its view of the chain.
//!
//! Nothing that another node says decides here. What cannot be judged yet is looked at again; what is judged is said once, in
//! [`super::voting`].

use bitcoin::{OutPoint, Txid, absolute::LockTime};
use rand_core::CryptoRngCore;

use super::{Node, replacing::Standing, settling::LOST_PARENT, timers::Timer};
use crate::{
    chain::{ChainQuery, CoinStatus},
    identity::Signed,
    ids::QueryId,
    mutant,
    record::Fact,
    sometimes,
    time::Millis,
    tx::Proposal,
    vote::{Decision, RejectReason, Ruling},
    wallet::{self, Books, CoinVerdict},
};

/// Pause before a question that the chain backend could not answer yet is asked again.
const ASK_AGAIN: Millis = Millis(250);

/// After this long an unanswered question counts as lost; longer than any adapter takes to answer.
const ANSWER_LOST: Millis = Millis(20_000);

/// How far a proposal's expiry may lie beyond this node's own idea of its life, for clocks that differ.
const CLOCK_TOLERANCE: Millis = Millis(60_000);

/// What this node thinks of a proposal before it looks at the coins.
enum Judgement {
    Fine,
    NotYet,
    Refuse(RejectReason),
}

impl Node {
    /// Judges a proposal; what needs no look at the chain is decided at once.
    pub(super) fn consider(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        if !self.may_commit(txid) {
            return;
        }
        match self.judge(txid) {
            Judgement::Fine => self.look_at_coins(txid),
            Judgement::NotYet => {
                self.timers.set_by(Timer::Transaction(txid), self.now.plus(ASK_AGAIN));
            }
            Judgement::Refuse(reason) => self.cast(txid, Decision::Reject(reason), entropy),
        }
    }

    fn judge(&self, txid: Txid) -> Judgement {
        let Some(tx) = self.state.transaction(txid) else { return Judgement::NotYet };
        let proposal = &tx.proposal.body;
        let Some(wallet) = self.wallet(proposal.key.scheme) else { return Judgement::NotYet };
        if proposal.key != wallet.key {
            return if proposal.key > wallet.key {
                Judgement::NotYet
            } else {
                Judgement::Refuse(RejectReason::Key(proposal.key))
            };
        }
        let latest = self.now.plus(self.longest_life()).plus(CLOCK_TOLERANCE);
        if proposal.expires_at > latest {
            return Judgement::Refuse(RejectReason::Malformed("it expires too far ahead".to_owned()));
        }
        let vsize = match wallet::check_structure(wallet, proposal, &self.config.limits) {
            Ok(vsize) => vsize,
            Err(reason) => return Judgement::Refuse(reason),
        };
        if let Err(breach) = self.config.policy.check_proposal(proposal, vsize) {
            return Judgement::Refuse(RejectReason::Policy(breach));
        }
        match self.judge_replacement(proposal, vsize) {
            Some(Standing::May) | None => {}
            Some(Standing::NotYet) => return Judgement::NotYet,
            Some(Standing::MayNot(reason)) => return Judgement::Refuse(reason),
        }
        if self.stands_on_a_family(proposal) {
            return Judgement::NotYet;
        }
        if let Some(reason) = self.conflict(txid) {
            return Judgement::Refuse(reason);
        }
        if let Ruling::Rejected { by, .. } = self.people_on(tx) {
            sometimes!(PeopleReject);
            return Judgement::Refuse(RejectReason::OperatorRejected(by));
        }
        let reached = match proposal.unsigned_tx.lock_time {
            LockTime::Blocks(height) => {
                height.to_consensus_u32() <= self.settling.tip_height().saturating_add(1)
            }
            LockTime::Seconds(_) => false,
        };
        let frozen = self.is_frozen() && !mutant!(ApprovesWhileFrozen);
        if reached && !self.chain_is_stale() && !frozen { Judgement::Fine } else { Judgement::NotYet }
    }

    /// Whether it spends what a signed transaction makes that another signed one takes the place of: which of the two will be
    /// is decided soon, and other members may know already.
    fn stands_on_a_family(&self, proposal: &Proposal) -> bool {
        proposal.coins().any(|coin| {
            let holder = self.state.holder_of(&coin).and_then(|holder| self.state.transaction(holder));
            holder.is_some_and(|tx| tx.finished.is_some() && tx.proposal.body.replaces == Some(coin.txid))
        })
    }

    /// A commitment of this node that the proposal contradicts.
    fn conflict(&self, txid: Txid) -> Option<RejectReason> {
        let proposal = &self.state.transaction(txid)?.proposal.body;
        let other = |holder: &Txid| *holder != txid && !self.state.is_kin(*holder, proposal);
        if let Some(holder) = self.state.serving(proposal.payment).filter(other) {
            return Some(RejectReason::PaymentServed(holder));
        }
        if let Some(reason) = self.doubtful_claim(txid) {
            return Some(reason);
        }
        self.state.claims_of(proposal).into_iter().find_map(|coin| {
            self.state
                .holder_of(&coin)
                .filter(other)
                .map(|holder| RejectReason::CoinCommitted { coin: coin.to_string(), holder })
        })
    }

    /// An open transaction that this node may have approved before it lost its journal, and that wants the same.
    fn doubtful_claim(&self, txid: Txid) -> Option<RejectReason> {
        let proposal = &self.state.transaction(txid)?.proposal.body;
        self.state.past().rejoined()?;
        let doubtful = self
            .state
            .open()
            .filter(|(other, tx)| *other != txid && self.state.is_doubtful(self.config.me, tx));
        for (holder, tx) in doubtful {
            if self.state.is_kin(holder, proposal) {
                continue;
            }
            let held = &tx.proposal.body;
            if held.payment == proposal.payment {
                return Some(RejectReason::PaymentServed(holder));
            }
            let (claims, held) = (self.state.claims_of(proposal), self.state.claims_of(held));
            if let Some(coin) = claims.into_iter().find(|coin| held.contains(coin)) {
                return Some(RejectReason::CoinCommitted { coin: coin.to_string(), holder });
            }
        }
        None
    }

    /// Asks the chain about the inputs, unless an answer is on its way.
    pub(super) fn look_at_coins(&mut self, txid: Txid) {
        let waiting = self.voting.asked.get(&txid).is_some_and(|(_, at)| self.now.since(*at) < ANSWER_LOST);
        let resting = self.voting.not_before.get(&txid).is_some_and(|at| self.now < *at);
        if waiting || resting {
            return;
        }
        let Some(tx) = self.state.transaction(txid) else { return };
        let outpoints = tx.proposal.body.coins().collect();
        let query = self.ask_chain(ChainQuery::Coins { outpoints });
        self.voting.asked.insert(txid, (query, self.now));
    }

    /// The chain's word on the inputs of the transaction that asked.
    pub(super) fn on_coins(
        &mut self,
        query: QueryId,
        statuses: Option<&[(OutPoint, CoinStatus)]>,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let asker = self.voting.asked.iter().find(|(_, (asked, _))| *asked == query).map(|(txid, _)| *txid);
        let Some(txid) = asker else { return };
        self.voting.asked.remove(&txid);
        sometimes!(CoinsUnanswered, statuses.is_none());
        let Some(tx) = self.state.transaction(txid) else { return };
        let proposal = &tx.proposal.body;
        let trusted = |parent: Txid| {
            let finished = self.state.transaction(parent).is_some_and(|tx| tx.finished.is_some());
            finished && !self.state.is_contested(parent)
        };
        let yields = |spender: Txid| {
            let waits = self.state.transaction(spender).is_some_and(|tx| tx.block.is_none());
            waits && self.state.is_kin(spender, proposal)
        };
        let verdict = match (self.lost_coin(txid), statuses) {
            // The backend knows nothing of such a coin, and never will.
            (Some(coin), _) => CoinVerdict::Bad(RejectReason::Input {
                coin: coin.to_string(),
                problem: LOST_PARENT.to_owned(),
            }),
            (None, Some(statuses)) => {
                wallet::check_coins(proposal, statuses, Books { trusted: &trusted, yields: &yields })
            }
            (None, None) => CoinVerdict::NotYet("the chain backend did not answer".to_owned()),
        };
        let voted = tx.tally.vote_of(self.config.me).is_some();
        match verdict {
            CoinVerdict::Good => {
                self.voting.checked.insert(txid, self.now);
                if !voted && !tx.state.is_final() {
                    self.decide(txid, entropy);
                } else {
                    if mutant!(SecondVoteInJournal) {
                        self.vote_in_journal(txid);
                    }
                    self.attend(txid, entropy);
                }
            }
            CoinVerdict::NotYet(_) => {
                let again = self.now.plus(ASK_AGAIN);
                self.voting.not_before.insert(txid, again);
                self.timers.set_by(Timer::Transaction(txid), again);
            }
            CoinVerdict::Bad(reason) if !voted && tx.state.is_unsigned() => {
                self.cast(txid, Decision::Reject(reason), entropy);
            }
            CoinVerdict::Bad(_) => {
                sometimes!(ApprovedCoinGoesBad);
                self.promise_never_to_sign(txid);
            }
        }
    }

    /// The coins are good; the rest may have changed while the chain was asked.
    fn decide(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        match self.judge(txid) {
            Judgement::Fine if self.is_left_to_people(txid) => self.rest_while_people_decide(txid),
            Judgement::Fine => self.cast(txid, Decision::Approve, entropy),
            Judgement::NotYet => self.timers.set_by(Timer::Transaction(txid), self.now.plus(ASK_AGAIN)),
            Judgement::Refuse(reason) => self.cast(txid, Decision::Reject(reason), entropy),
        }
    }

    fn is_left_to_people(&self, txid: Txid) -> bool {
        let ruling = self.state.transaction(txid).map(|tx| self.people_on(tx));
        sometimes!(PeopleApprove, matches!(ruling, Some(Ruling::Approved(_))));
        matches!(ruling, Some(Ruling::Waiting { .. }))
    }

    /// All is well but for people's word. The coins are looked at now and then: if one goes bad, nobody need decide.
    fn rest_while_people_decide(&mut self, txid: Txid) {
        let again = self.now.plus(self.config.timing.recheck_after);
        self.voting.not_before.insert(txid, again);
        self.timers.set_by(Timer::Transaction(txid), again);
    }

    /// What [`Mutant::SecondVoteInJournal`](crate::mutant::Mutant) does.
    fn vote_in_journal(&mut self, txid: Txid) {
        let own = self.state.transaction(txid).and_then(|tx| tx.tally.vote_of(self.config.me));
        if let Some(mut ballot) = own.map(|vote| vote.body.clone()) {
            ballot.expires_at = ballot.expires_at.plus(Millis(1));
            self.record(Fact::Voted(Signed::new(ballot, &self.identity)));
        }
    }
}
