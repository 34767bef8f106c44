//! What members did wrong, and what follows.
//!
//! Proof bans at once, here and, because proof travels, everywhere. A share that fails its check is proof for every
//! signer that got it. Circumstance is counted, and bans when there is too much of it; silence is only recorded.

use bitcoin::Txid;

use super::Node;
use crate::{
    ids::NodeId,
    message::Message,
    mutant,
    record::Fact,
    sometimes,
    step::{Alert, Effect},
    vote::{Evidence, Violation},
};

impl Node {
    pub(super) fn on_garbage(&mut self, from: NodeId, problem: &str) {
        if from != self.config.me && self.config.cluster.key(from).is_some() && !self.is_banned(from) {
            self.strike(from, Violation::ProtocolViolation, None, problem);
        }
    }

    pub(super) fn on_accusation(&mut self, from: NodeId, evidence: Evidence) {
        match evidence.verify(&self.config.cluster) {
            Err(_) if mutant!(EvidenceNotChecked) => self.prove(evidence, false),
            Ok(()) => self.prove(evidence, false),
            Err(error) => {
                sometimes!(FalseAccusation);
                self.strike(from, Violation::ProtocolViolation, None, &format!("false accusation: {error}"));
            }
        }
    }

    /// Records verified proof and bans its subject; a first-hand witness tells everybody.
    pub(super) fn prove(&mut self, evidence: Evidence, first_hand: bool) {
        // One proof is enough for as long as its ban lasts; more would only fill the books.
        let enough = self.state.has_evidence(&evidence.digest()) || self.is_banned(evidence.accused());
        if enough || mutant!(ProofUnused) {
            return;
        }
        let (accused, violation) = (evidence.accused(), evidence.violation());
        self.record(Fact::Proven(Box::new(evidence.clone())));
        if first_hand {
            self.broadcast(Message::Accusation(Box::new(evidence)));
        }
        self.ban(accused, violation, "proven by its own signatures");
    }

    /// Counts a circumstantial fault; too many of them ban.
    pub(super) fn strike(&mut self, node: NodeId, violation: Violation, txid: Option<Txid>, detail: &str) {
        self.record(Fact::Struck { node, violation, txid, detail: detail.to_owned() });
        if self.state.member(node).strikes >= self.config.limits.strikes {
            self.ban(node, violation, detail);
        }
    }

    /// Shuts a member out, on proof that convinces this node.
    pub(super) fn convict(&mut self, node: NodeId, txid: Option<Txid>, detail: &str) {
        if node == self.config.me {
            return;
        }
        self.record(Fact::Struck {
            node,
            violation: Violation::ProtocolViolation,
            txid,
            detail: detail.to_owned(),
        });
        self.ban(node, Violation::ProtocolViolation, detail);
    }

    fn ban(&mut self, node: NodeId, violation: Violation, detail: &str) {
        self.effects.push(Effect::Alert(Alert::Misbehaviour { node, violation, detail: detail.to_owned() }));
        if node == self.config.me {
            return;
        }
        if self.is_banned(node) {
            return;
        }
        let until = self.now.plus(self.config.timing.ban);
        self.record(Fact::Banned { node, until, violation });
        self.effects.push(Effect::Ban { node, until });
    }
}
