//! Leading: whose turn it is to start a signing session, and whom it asks.

use std::collections::BTreeSet;

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{KeyId, NodeId, PresignatureId},
    message::{Message, SignRequest, SigningSession, Subject},
    sometimes,
    time::Millis,
    tx::SubStatus,
    vote::Certificate,
};

/// Pause before the next attempt on a subject, for each attempt made.
const RETRY_PAUSE: Millis = Millis(100);

/// Longest such pause.
const LONGEST_RETRY_PAUSE: Millis = Millis(2_000);

impl Node {
    /// Members that could sign: here, not shut out, not bound otherwise.
    pub(super) fn able_signers(&self, txid: Option<Txid>) -> Vec<NodeId> {
        let bound: BTreeSet<NodeId> = txid
            .and_then(|txid| self.state.transaction(txid))
            .map(|tx| tx.tally.bound_not_to_sign())
            .unwrap_or_default();
        self.live().into_iter().filter(|node| !bound.contains(node)).collect()
    }

    /// Starts a session if it is this node's turn: the coordinator's at once, the others' later and later.
    pub(super) fn lead_when_due(
        &mut self,
        subject: Subject,
        key: KeyId,
        able: &[NodeId],
        entropy: &mut dyn CryptoRngCore,
    ) {
        if !self.is_sound() {
            return;
        }
        let coordinator = self.coordinator();
        let mut line: Vec<NodeId> = vec![coordinator];
        line.extend(self.live().into_iter().filter(|node| *node != coordinator));
        let rank = line.iter().position(|node| *node == self.config.me).unwrap_or(line.len());
        let slow = self
            .choose_signers_and_stock(subject, key, able)
            .is_some_and(|(_, stock)| stock.is_empty() && self.presigning_suite(key.scheme).is_some());
        let patience = self.session_life(slow).0.saturating_mul(u64::try_from(rank).unwrap_or(u64::MAX));
        let pause = RETRY_PAUSE.0.saturating_mul(u64::from(self.tries(subject))).min(LONGEST_RETRY_PAUSE.0);
        let last = *self.signing.last_try.entry(subject).or_insert(self.now);
        let due = last.plus(Millis(patience.saturating_add(pause)));
        if self.now < due {
            if let Subject::Payment { txid, .. } = subject {
                self.timers.set_by(Timer::Transaction(txid), due);
            }
            return;
        }
        self.lead(subject, key, able, entropy);
    }

    pub(super) fn lead(
        &mut self,
        subject: Subject,
        key: KeyId,
        able: &[NodeId],
        entropy: &mut dyn CryptoRngCore,
    ) {
        if !self.is_sound() || self.signing.sessions.len() >= self.config.limits.sessions {
            return;
        }
        let Some((signers, presignatures)) = self.choose_signers_and_stock(subject, key, able) else {
            if let Subject::Payment { txid, .. } = subject {
                self.set_sub_status(txid, SubStatus::WaitingForPresignatures);
            }
            return;
        };
        let session = self.new_session(key, subject, signers, presignatures);
        let certificate = self.certificate_of(&session);
        if certificate.is_none() && matches!(subject, Subject::Payment { .. }) {
            return;
        }
        let request = SignRequest { session, certificate };
        for signer in request.session.signers.clone() {
            self.send(signer, Message::SignRequest(Box::new(request.clone())));
        }
        self.signing.last_try.insert(subject, self.now);
        if request.session.signers.contains(&self.config.me) {
            self.join(request.session, entropy);
        }
    }

    /// The next session that this node leads.
    pub(super) fn new_session(
        &mut self,
        key: KeyId,
        subject: Subject,
        signers: Vec<NodeId>,
        presignatures: Vec<PresignatureId>,
    ) -> SigningSession {
        self.signing.attempts = self.signing.attempts.saturating_add(1);
        SigningSession {
            cluster: self.config.cluster.id(),
            key,
            subject,
            leader: self.config.me,
            leader_boot: self.boot,
            attempt: self.signing.attempts,
            boots: signers.iter().map(|signer| self.boot_of(*signer)).collect(),
            signers,
            presignatures,
        }
    }

    /// Who signs, and with which presignatures: with those in stock, if some group has enough; else they are made in the
    /// session itself, by a group that may. `None` if none may.
    fn choose_signers_and_stock(
        &self,
        subject: Subject,
        key: KeyId,
        able: &[NodeId],
    ) -> Option<(Vec<NodeId>, Vec<PresignatureId>)> {
        let signers = self.choose_signers(subject, able);
        let Subject::Payment { txid, .. } = subject else { return Some((signers, Vec::new())) };
        if self.presigning_suite(key.scheme).is_none() {
            return Some((signers, Vec::new()));
        }
        let inputs = self.state.transaction(txid)?.proposal.body.unsigned_tx.input.len();
        if let Some(stocked) = self.choose_stock(key, able, inputs) {
            return Some(stocked);
        }
        sometimes!(SignsWithoutStock);
        let groups = std::iter::once(signers).chain(self.signing_groups(key));
        groups
            .filter(|group| group.iter().all(|node| able.contains(node)))
            .find(|group| !self.is_halted(key, group))
            .map(|group| (group, Vec::new()))
    }

    /// Consent to what a session signs; a key proof needs none.
    pub(super) fn certificate_of(&self, session: &SigningSession) -> Option<Certificate> {
        match session.subject {
            Subject::Payment { txid, .. } => {
                self.state.transaction(txid).and_then(|tx| tx.tally.certificate(&self.config.cluster))
            }
            Subject::KeyProof { .. } | Subject::Presigning => None,
        }
    }

    /// `t` signers: those who answered lately before those who did not, the leader first, the rest in an order that
    /// differs from payment to payment so that all shares are used and the work is spread.
    fn choose_signers(&self, subject: Subject, able: &[NodeId]) -> Vec<NodeId> {
        let me = self.config.me;
        let mut ranked: Vec<(bool, bool, [u8; 32], NodeId)> = able
            .iter()
            .map(|node| {
                let suspect = self.signing.suspects.get(node).is_some_and(|until| self.now < *until);
                let spread =
                    crate::codec::digest("mpc-wallet/signer-order", &(subject, self.tries(subject), node));
                (suspect, *node != me, spread, *node)
            })
            .collect();
        ranked.sort_unstable();
        let mut signers: Vec<NodeId> = ranked
            .into_iter()
            .take(usize::from(self.config.cluster.threshold()))
            .map(|(.., node)| node)
            .collect();
        signers.sort_unstable();
        signers
    }

    pub(super) fn tries(&self, subject: Subject) -> u32 {
        self.signing.tries.get(&subject).copied().unwrap_or(0)
    }
}
