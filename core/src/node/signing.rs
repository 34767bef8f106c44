//! From consent to a signature.
//!
//! One member leads: it picks `t` signers among those who are here, and starts a session. The coordinator leads first;
//! if nothing happens the next in line does, so a leader who will not lead costs a pause. Every signer checks consent
//! for itself before it takes part, computes what to sign from the transaction it approved, and records that its share
//! is about to leave before it leaves (I3, I4, I6). A session that fails is forgotten with its nonces, and another one
//! begins with other signers. Sessions that overlap are harmless: they sign the same message under their own nonces.

use std::collections::BTreeMap;

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, JobId, NodeId, SessionId},
    message::{FinalTransaction, KeyProof, Message, MpcMessage, SignRequest, SigningSession, Subject},
    mpc::{Fault, Output, Progress, SigningParams, Slot, Suite},
    mutant,
    record::Fact,
    session::{Heard, Run},
    sometimes,
    step::{Alert, Effect, JobResult},
    time::{Millis, Timestamp},
    tx::{self, SubStatus},
    vote::Violation,
    wallet,
};

/// How long a member that was silent in a session is chosen last.
const SUSPICION: Millis = Millis(15_000);

/// Longest message kept for a session that has not begun here; honest ones have at most a few kilobytes.
const EARLY_BYTES: usize = 16 * 1024;

/// Most such messages of one sender for one session: a protocol's rounds, to everyone and to this node.
const EARLY_OF_SENDER: usize = 8;

/// A session says everything it has said again this many times within its life.
const REPETITIONS: u64 = 6;

/// Volatile state of signing.
#[derive(Default)]
pub(super) struct Signing {
    pub(super) sessions: BTreeMap<SessionId, Session>,
    jobs: BTreeMap<JobId, SessionId>,
    /// Messages that overtook the request they belong to.
    early: BTreeMap<SessionId, Vec<Signed<MpcMessage>>>,
    /// Sessions that wait for this node's own approval, the newest of each leader.
    waiting: BTreeMap<(Txid, NodeId), SigningSession>,
    /// The last session joined on a subject for each leader. What was left is never joined again: its nonces are gone,
    /// and other words in the same place would look like a lie.
    joined: BTreeMap<(NodeId, Subject), (BootId, u64)>,
    pub(super) suspects: BTreeMap<NodeId, Timestamp>,
    /// When the last session on a subject began or ended.
    pub(super) last_try: BTreeMap<Subject, Timestamp>,
    pub(super) tries: BTreeMap<Subject, u32>,
    pub(super) attempts: u64,
}

/// A session this node takes part in.
pub(super) struct Session {
    what: SigningSession,
    run: Run,
}

impl Node {
    /// Leads, waits for the leader, or says that it waits for members.
    pub(super) fn attend_signing(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        if self.attend_abandoned(txid) {
            return;
        }
        let waiting: Vec<(Txid, NodeId)> =
            self.signing.waiting.keys().filter(|(of, _)| *of == txid).copied().collect();
        for place in waiting {
            if let Some(session) = self.signing.waiting.remove(&place) {
                self.join(session, entropy);
            }
        }
        let Some(tx) = self.state.transaction(txid) else { return };
        let subject = Subject::Payment { txid, digest: tx.digest };
        let key = tx.proposal.body.key;
        // Only an own session holds this node back: whoever leads and gets nowhere must not keep others from leading.
        let leads =
            |session: &Session| session.what.subject == subject && session.what.leader == self.config.me;
        if self.signing.sessions.values().any(leads) {
            self.watch(txid);
            return;
        }
        let able = self.able_signers(Some(txid));
        if able.len() < usize::from(self.config.cluster.threshold()) {
            self.set_sub_status(txid, SubStatus::WaitingForQuorum);
        } else {
            if tx.sub_status == SubStatus::WaitingForQuorum {
                self.set_sub_status(txid, SubStatus::ChoosingSigners);
            }
            self.lead_when_due(subject, key, &able, entropy);
        }
        self.watch(txid);
    }

    pub(super) fn on_sign_request(
        &mut self,
        from: NodeId,
        request: SignRequest,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let session = &request.session;
        let threshold = usize::from(self.config.cluster.threshold());
        let proper = session.cluster == self.config.cluster.id()
            && session.leader == from
            && session.signers.len() == threshold
            && session.boots.len() == threshold
            && session.signers.is_sorted_by(|a, b| a < b)
            && session.signers.iter().all(|node| self.config.cluster.key(*node).is_some());
        if !proper || !session.signers.contains(&self.config.me) {
            return;
        }
        if let Some(known) = self.signing.sessions.get(&session.id()) {
            // The same session asked again gets the same words again.
            let repeat: Vec<_> = known.run.said().to_vec();
            for message in repeat.into_iter().filter(|message| message.body.to.is_none_or(|to| to == from)) {
                self.send(from, Message::Mpc(message));
            }
            return;
        }
        match session.subject {
            Subject::Payment { txid, digest } => {
                let open = self
                    .state
                    .transaction(txid)
                    .is_some_and(|tx| tx.digest == digest && tx.state.is_unsigned());
                if !open {
                    return;
                }
                // Gives the leader its time once, not at every new attempt.
                self.signing.last_try.entry(session.subject).or_insert(self.now);
                for vote in request.certificate.iter().flat_map(|certificate| certificate.approvals.clone()) {
                    self.count_vote(from, vote);
                }
                self.signing.waiting.insert((txid, from), request.session);
                self.attend(txid, entropy);
            }
            Subject::KeyProof { ceremony } => {
                self.keep_invitation(ceremony, request.session);
                self.attend_keygen(entropy);
            }
        }
    }

    /// Takes part in a session, if this node's own books consent to it.
    pub(super) fn join(&mut self, session: SigningSession, entropy: &mut dyn CryptoRngCore) {
        let (id, subject) = (session.id(), session.subject);
        let (place, mark) = ((session.leader, subject), (session.leader_boot, session.attempt));
        let already = self.signing.joined.get(&place).is_some_and(|newest| mark <= *newest);
        sometimes!(SessionOfferedAgain, already);
        let again = already && !mutant!(SessionJoinedAgain);
        if again || !self.is_sound() || self.signing.sessions.len() >= self.config.limits.sessions {
            return;
        }
        let Some(me) = session.signers.iter().position(|node| *node == self.config.me) else { return };
        if session.boots.get(me) != Some(&self.boot) && !mutant!(SessionOfAnotherBoot) {
            sometimes!(SessionNamesOldBoot);
            return;
        }
        let Some(messages) = self.consent(&session) else { return };
        let Some(share) = self.share_for(&session) else { return };
        let (Ok(me), Some(signers)) = (u16::try_from(me), slots(&session.signers)) else { return };
        let params = SigningParams { execution_id: *id.as_bytes(), me: Slot(me), signers, messages };
        let mut seed = [0; 32];
        entropy.fill_bytes(&mut seed);
        let Ok(machine) = Suite::signing(share, params, seed) else { return };
        let tries = self.tries(subject).saturating_add(1);
        self.signing.tries.insert(subject, tries);
        self.end_older_sessions(&session);
        self.signing.joined.insert(place, mark);
        let run = Run::new(id, (self.config.me, self.boot), session.signers.clone(), machine);
        if let Subject::Payment { txid, .. } = subject {
            let attempt = SubStatus::SigningAttempt(tries);
            let cause = format!("session led by {} with {:?}", session.leader, session.signers);
            if !self.transition(txid, tx::State::Signing, attempt.clone(), &cause) {
                self.set_sub_status(txid, attempt);
            }
        }
        self.signing.sessions.insert(id, Session { what: session, run });
        let life = self.config.timing.signing_session;
        self.timers.set(Timer::Session(id), self.now.plus(life));
        self.timers.set(Timer::SessionRepeat(id), self.now.plus(Millis(life.0 / REPETITIONS)));
        for message in self.signing.early.remove(&id).unwrap_or_default() {
            sometimes!(WordsBeforeSession);
            self.hear_in_session(id, message);
        }
        self.give_work(id);
    }

    /// A leader that starts anew has given up its earlier sessions on the subject; so nobody can pile them up.
    fn end_older_sessions(&mut self, newest: &SigningSession) {
        let older: Vec<SessionId> = self
            .signing
            .sessions
            .iter()
            .filter(|(_, session)| {
                session.what.subject == newest.subject && session.what.leader == newest.leader
            })
            .map(|(id, _)| *id)
            .collect();
        for id in older {
            self.end_session(id);
        }
    }

    /// What this node would sign in the session, if it consents: `t` valid approvals in hand for exactly this
    /// proposal and its own re-check passed, or all members' confirmations of a new key.
    fn consent(&self, session: &SigningSession) -> Option<Vec<[u8; 32]>> {
        match session.subject {
            Subject::Payment { txid, digest } => {
                let tx = self.state.transaction(txid)?;
                let approved = matches!(tx.state, tx::State::Approved | tx::State::Signing);
                let proposal = &tx.proposal.body;
                let certificate = tx.tally.certificate(&self.config.cluster)?;
                if mutant!(AnotherSighash) {
                    let mut other = proposal.clone();
                    other.unsigned_tx.lock_time = bitcoin::absolute::LockTime::ZERO;
                    return wallet::sighashes(&other).ok();
                }
                let consented = certificate.verify(&self.config.cluster, proposal).is_ok();
                let same = tx.digest == digest && proposal.key == session.key;
                (approved && consented && same && self.may_sign(txid))
                    .then(|| wallet::sighashes(proposal).ok())
                    .flatten()
            }
            Subject::KeyProof { ceremony } => {
                self.key_to_prove(ceremony).map(|public_key| vec![KeyProof::message(ceremony, &public_key)])
            }
        }
    }

    fn share_for(&self, session: &SigningSession) -> Option<std::sync::Arc<crate::mpc::KeyShare>> {
        match session.subject {
            Subject::Payment { .. } => self.share_of(session.key),
            Subject::KeyProof { ceremony } => self.shares.get(&ceremony).cloned(),
        }
    }

    pub(super) fn on_mpc(&mut self, from: NodeId, message: Signed<MpcMessage>) {
        let id = message.body.session;
        if message.body.from != from {
            let detail = format!("a computation message in the name of {}", message.body.from);
            self.strike(from, Violation::ProtocolViolation, None, &detail);
            return;
        }
        if !self.config.cluster.key(from).is_some_and(|key| message.verify(key)) {
            self.strike(from, Violation::InvalidSignature, None, "a computation message it did not sign");
            return;
        }
        if self.signing.sessions.contains_key(&id) {
            self.hear_in_session(id, message);
            self.give_work(id);
        } else if !self.hear_in_keygen(message.clone()) {
            self.keep_early(message);
        }
    }

    fn keep_early(&mut self, message: Signed<MpcMessage>) {
        sometimes!(ShareWithoutSession, message.body.sequence > 0);
        let limit = self.config.limits.early_messages;
        let early = &mut self.signing.early;
        if message.body.payload.len() > EARLY_BYTES || message.body.to.is_some_and(|to| to != self.config.me)
        {
            return;
        }
        if early.len() >= self.config.limits.sessions && !early.contains_key(&message.body.session) {
            sometimes!(EarlyMessagesFull);
            early.pop_first();
        }
        let kept = early.entry(message.body.session).or_default();
        let of_sender = kept.iter().filter(|kept| kept.body.from == message.body.from).count();
        if kept.len() < limit && of_sender < EARLY_OF_SENDER && !kept.contains(&message) {
            kept.push(message);
        }
    }

    pub(super) fn take_early(&mut self, id: SessionId) -> Vec<Signed<MpcMessage>> {
        self.signing.early.remove(&id).unwrap_or_default()
    }

    fn hear_in_session(&mut self, id: SessionId, message: Signed<MpcMessage>) {
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        match session.run.hear(message) {
            Heard::New | Heard::Nothing => {}
            Heard::Equivocation(evidence) => self.prove(*evidence, true),
        }
    }

    fn give_work(&mut self, id: SessionId) {
        let job = self.next_job();
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        if let Some(work) = session.run.work(job) {
            self.signing.jobs.insert(job, id);
            self.effects.push(Effect::Compute { job, work });
        }
    }

    pub(super) fn on_computed(&mut self, job: JobId, result: JobResult, entropy: &mut dyn CryptoRngCore) {
        let JobResult::Advanced { machine, advance } = result;
        let Some(id) = self.signing.jobs.remove(&job) else {
            self.on_keygen_computed(job, machine, advance);
            return;
        };
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        let Some((saying, progress)) = session.run.returned(job, machine, advance, &self.identity) else {
            return;
        };
        let subject = session.what.subject;
        let releases_share = saying.iter().any(|message| message.body.sequence > 0);
        if releases_share && let Subject::Payment { txid, .. } = subject {
            // The last look before the share leaves, and the mark that it has left.
            if !self.may_sign(txid) {
                self.end_session(id);
                return;
            }
            if !mutant!(ShareWithoutRecord) {
                self.record(Fact::ShareReleased { txid, session: id });
            }
        }
        for message in saying {
            self.say(id, message);
        }
        match progress {
            Progress::Running => self.give_work(id),
            Progress::Finished(Output::Signatures(signatures)) => {
                sometimes!(LaterAttemptSigns, self.tries(subject) > 1);
                self.end_session(id);
                self.on_signatures(subject, &signatures, entropy);
            }
            Progress::Finished(Output::KeyShare(_) | Output::Presignature(_)) => self.end_session(id),
            Progress::Failed(fault) => self.on_fault(id, subject, &fault, entropy),
        }
    }

    fn say(&mut self, id: SessionId, message: Signed<MpcMessage>) {
        let audience = self
            .signing
            .sessions
            .get(&id)
            .map(|session| session.run.audience(&message.body))
            .unwrap_or_default();
        for node in audience {
            self.send(node, Message::Mpc(message.clone()));
        }
    }

    pub(super) fn repeat_session(&mut self, id: SessionId) {
        let Some(session) = self.signing.sessions.get(&id) else { return };
        let (said, silent) = (session.run.said().to_vec(), session.run.silent());
        if session.what.leader == self.config.me {
            // The request itself may have been lost.
            let request = SignRequest {
                session: session.what.clone(),
                certificate: self.certificate_of(&session.what),
            };
            for signer in silent {
                self.send(signer, Message::SignRequest(Box::new(request.clone())));
            }
        }
        for message in said {
            self.say(id, message);
        }
        let pause = Millis(self.config.timing.signing_session.0 / REPETITIONS);
        self.timers.set(Timer::SessionRepeat(id), self.now.plus(pause));
    }

    fn on_signatures(&mut self, subject: Subject, signatures: &[[u8; 64]], entropy: &mut dyn CryptoRngCore) {
        match subject {
            Subject::Payment { txid, .. } => {
                let finished = self
                    .state
                    .transaction(txid)
                    .and_then(|tx| {
                        let proposal = &tx.proposal.body;
                        wallet::finish(self.wallets.get(&proposal.key)?, proposal, signatures)
                    })
                    .map(FinalTransaction);
                if let Some(finished) = finished
                    && self.on_finished(finished.clone(), entropy)
                {
                    self.broadcast(Message::Finished(finished));
                }
            }
            Subject::KeyProof { ceremony } => {
                if let Some(signature) = signatures.first() {
                    self.on_key_signature(ceremony, *signature);
                }
            }
        }
    }

    fn on_fault(&mut self, id: SessionId, subject: Subject, fault: &Fault, entropy: &mut dyn CryptoRngCore) {
        let Some(session) = self.signing.sessions.get(&id) else { return };
        let culprits = session.run.nodes(&fault.culprits);
        let suspects = session.run.nodes(&fault.suspects());
        let peers: Vec<NodeId> =
            session.what.signers.iter().copied().filter(|node| *node != self.config.me).collect();
        let txid = match subject {
            Subject::Payment { txid, .. } => Some(txid),
            Subject::KeyProof { .. } => None,
        };
        for culprit in culprits {
            sometimes!(BadShareBlamed);
            self.convict(culprit, txid, &fault.reason.to_string());
        }
        for suspect in suspects {
            self.signing.suspects.insert(suspect, self.now.plus(SUSPICION));
        }
        for peer in peers {
            self.send(peer, Message::SessionAbort { session: id, reason: fault.reason.to_string() });
        }
        self.fail_session(id, subject, entropy);
    }

    pub(super) fn on_session_abort(
        &mut self,
        from: NodeId,
        id: SessionId,
        reason: &str,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let Some(session) = self.signing.sessions.get(&id) else {
            self.on_keygen_abort(from, id, reason);
            return;
        };
        // Only a signer may end it, and only by words: nobody is blamed for a complaint alone.
        if session.what.signers.contains(&from) {
            let subject = session.what.subject;
            let detail = format!("{from} left a signing session: {reason}");
            self.effects.push(Effect::Alert(Alert::Configuration { node: from, detail }));
            self.fail_session(id, subject, entropy);
        }
    }

    pub(super) fn on_session_timeout(&mut self, id: SessionId, entropy: &mut dyn CryptoRngCore) {
        let Some(session) = self.signing.sessions.get(&id) else { return };
        sometimes!(SessionTimesOut);
        let subject = session.what.subject;
        let leads = session.what.leader == self.config.me;
        for node in session.run.silent() {
            let until = self.now.plus(SUSPICION);
            let known = self.signing.suspects.insert(node, until).is_some_and(|until| self.now < until);
            // Who is here and yet says nothing is put on record, once in a while; who is gone is just gone.
            if leads && !known && self.is_live(node) {
                let txid = match subject {
                    Subject::Payment { txid, .. } => Some(txid),
                    Subject::KeyProof { .. } => None,
                };
                let kind = if mutant!(SilenceHeldAgainst) {
                    Violation::ProtocolViolation
                } else {
                    Violation::Timeout
                };
                self.strike(node, kind, txid, "silent in a signing session while reachable");
            }
        }
        self.fail_session(id, subject, entropy);
    }

    fn fail_session(&mut self, id: SessionId, subject: Subject, entropy: &mut dyn CryptoRngCore) {
        self.end_session(id);
        match subject {
            Subject::Payment { txid, .. } => {
                if self.state.transaction(txid).is_some_and(|tx| tx.state == tx::State::Signing) {
                    self.set_sub_status(txid, SubStatus::RetryingOtherSubset);
                }
                self.attend(txid, entropy);
            }
            Subject::KeyProof { .. } => self.attend_keygen(entropy),
        }
    }

    fn end_session(&mut self, id: SessionId) {
        if let Some(session) = self.signing.sessions.remove(&id)
            && session.what.leader == self.config.me
        {
            self.signing.last_try.insert(session.what.subject, self.now);
        }
        self.signing.jobs.retain(|_, session| *session != id);
        self.timers.clear(Timer::Session(id));
        self.timers.clear(Timer::SessionRepeat(id));
    }

    /// Forgets the sessions of a transaction, and with them their nonces.
    pub(super) fn drop_sessions_of(&mut self, txid: Txid) {
        let of_it =
            |subject: &Subject| matches!(subject, Subject::Payment { txid: other, .. } if *other == txid);
        let ids: Vec<SessionId> = self
            .signing
            .sessions
            .iter()
            .filter(|(_, session)| of_it(&session.what.subject))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end_session(id);
        }
        self.signing.waiting.retain(|(of, _), _| *of != txid);
        self.signing.joined.retain(|(_, subject), _| !of_it(subject));
        self.signing.last_try.retain(|subject, _| !of_it(subject));
        self.signing.tries.retain(|subject, _| !of_it(subject));
    }

    /// Forgets every session, and with them all nonces.
    pub(super) fn drop_all_sessions(&mut self) {
        for id in self.signing.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(id);
        }
        self.signing.waiting.clear();
        self.signing.early.clear();
    }

    pub(super) fn session_count(&self) -> usize {
        self.signing.sessions.len()
    }

    /// Whether a session on this subject is running here.
    pub(super) fn has_session_on(&self, subject: Subject) -> bool {
        self.signing.sessions.values().any(|session| session.what.subject == subject)
    }
}

/// Members as slots of the key: node-1 has slot 0.
pub(super) fn slots(nodes: &[NodeId]) -> Option<Vec<Slot>> {
    nodes.iter().map(|node| node.get().checked_sub(1).map(Slot)).collect()
}
