//! People's part: taking down what an operator decides at this node, and hearing what others decided at theirs.
//!
//! What the decisions mean is in [`crate::vote`]; what a node does while it waits, in [`super::voting`].

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::Node;
use crate::{
    identity::Signed,
    ids::NodeId,
    message::Message,
    mutant,
    record::Fact,
    refusal::Refusal,
    sometimes,
    state::TxRecord,
    step::DecisionRequest,
    time::Millis,
    tx::{Proposal, State},
    vote::{OperatorDecision, Ruling, SignedDecision, Violation},
};

impl Node {
    /// Takes down a decision, once: durable before it is told, and after that only ever repeated.
    pub(super) fn take_decision(
        &mut self,
        request: DecisionRequest,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<Txid, Refusal> {
        let txid = request.txid;
        let tx = self.state.transaction(txid).ok_or(Refusal::UnknownTransaction(txid))?;
        let body = OperatorDecision {
            cluster: self.config.cluster.id(),
            txid,
            digest: tx.digest,
            node: self.config.me,
            operator: request.operator,
            approve: request.approve,
            comment: request.comment,
            at: self.now,
        };
        body.check().map_err(Refusal::UnfitDecision)?;
        match tx.decisions.of(self.config.me) {
            Some(made) if made.body.repeats(&body) => return Ok(txid),
            Some(made) if !mutant!(OperatorDecidesTwice) => {
                return Err(Refusal::AlreadyDecided {
                    operator: made.body.operator.clone(),
                    approve: made.body.approve,
                });
            }
            Some(_) | None => self.may_decide(tx, &body)?,
        }
        let decision = Signed::new(body, &self.identity);
        self.record(Fact::OperatorDecided(decision.clone()));
        self.broadcast(Message::OperatorDecision(decision));
        self.on_people_heard(txid, entropy);
        Ok(txid)
    }

    /// Whether there is something to decide, here and for him.
    fn may_decide(&self, tx: &TxRecord, body: &OperatorDecision) -> Result<(), Refusal> {
        if !self.asks_people(&tx.proposal.body) {
            return Err(Refusal::ApprovalNotRequired { state: tx.state });
        }
        if tx.state != State::Voting || tx.tally.promise_of(self.config.me).is_some() {
            return Err(Refusal::NotVoting { state: tx.state });
        }
        let named = body.operator.is_some() && body.operator == tx.initiator;
        if body.approve && named {
            return Err(Refusal::OwnPayment { operator: body.operator.clone().unwrap_or_default() });
        }
        if let Some(refusal) = self.unsound() {
            return Err(refusal);
        }
        // A decision that came to the journal which is lost may have been another (I5).
        if self.state.is_older_than_rejoin(tx) {
            return Err(Refusal::MayHaveDecided);
        }
        Ok(())
    }

    pub(super) fn on_operator_decision(
        &mut self,
        from: NodeId,
        decision: SignedDecision,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let txid = decision.body.txid;
        if self.count_decision(from, decision) {
            self.on_people_heard(txid, entropy);
        }
    }

    /// Takes another member's decision into the books; says whether it is new.
    pub(super) fn count_decision(&mut self, from: NodeId, decision: SignedDecision) -> bool {
        let (txid, node) = (decision.body.txid, decision.body.node);
        let Some(tx) = self.state.transaction(txid) else { return false };
        let known = tx.decisions.of(node);
        if known == Some(&decision) || !decision.body.is_about(&self.config.cluster, &tx.proposal.body) {
            return false;
        }
        let contradicts = known.is_some();
        let forgotten = node == self.config.me && !self.state.is_older_than_rejoin(tx);
        if !self.config.cluster.key(node).is_some_and(|key| decision.verify(key)) {
            sometimes!(DecisionForged);
            let detail = format!("a decision of an operator that {node} did not sign");
            self.strike(from, Violation::InvalidSignature, Some(txid), &detail);
            return false;
        }
        if let Err(unfit) = decision.body.check() {
            self.strike(node, Violation::ProtocolViolation, Some(txid), &format!("a decision: {unfit}"));
            return false;
        }
        if contradicts {
            // Whoever heard the other first goes on passing it on; shut out once, its author need not be struck for it.
            if self.is_banned(node) {
                return false;
            }
            let detail = "two different decisions of operators on one transaction";
            self.strike(node, Violation::ProtocolViolation, Some(txid), detail);
            return false;
        }
        if forgotten {
            self.on_forgotten(&format!("decision on {txid}"));
        }
        sometimes!(DecisionFromAnother, from != node);
        self.record(Fact::OperatorDecided(decision));
        true
    }

    /// The wait may be over. Whatever was looked at before people decided is looked at again.
    fn on_people_heard(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        self.voting.look_anew(txid);
        self.sync.forget(txid);
        self.attend(txid, entropy);
    }

    /// Whether this node's policy asks for people before it votes for this.
    pub(super) fn asks_people(&self, proposal: &Proposal) -> bool {
        self.config.policy.approval_of(proposal.amount).is_some()
    }

    /// What people say about a transaction, by this node's policy.
    pub(super) fn people_on(&self, tx: &TxRecord) -> Ruling {
        let ruling = tx.decisions.rule(self.config.policy.approval_of(tx.proposal.body.amount));
        if matches!(ruling, Ruling::Waiting { .. }) && mutant!(OperatorsNotAsked) {
            return Ruling::NotAsked;
        }
        if let Ruling::Rejected { at, .. } = ruling
            && mutant!(OperatorRefusalIgnored)
        {
            return Ruling::Approved(at);
        }
        ruling
    }

    /// Whether nothing but people keeps this node from voting.
    pub(super) fn awaits_people(&self, tx: &TxRecord) -> bool {
        let me = self.config.me;
        tx.tally.vote_of(me).is_none()
            && tx.tally.promise_of(me).is_none()
            && matches!(self.people_on(tx), Ruling::Waiting { .. })
    }

    /// How long a proposal of this node lives: while people are asked, the time they have comes on top.
    pub(super) fn life_of(&self, amount: bitcoin::Amount) -> Millis {
        match self.config.policy.approval_of(amount) {
            Some(_) => self.longest_life(),
            None => self.config.timing.proposal_life,
        }
    }

    /// How long a proposal of any member may live: its policy may ask people where this node's does not.
    pub(super) const fn longest_life(&self) -> Millis {
        let timing = &self.config.timing;
        Millis(timing.proposal_life.0.saturating_add(timing.approval_wait.0))
    }
}
