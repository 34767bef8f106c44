//! A session under way: what its parties say, what is computed, and how it ends.

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, signing::REPETITIONS, timers::Timer};
use crate::{
    identity::Signed,
    ids::{JobId, NodeId, SessionId},
    message::{FinalTransaction, Message, MpcMessage, SignRequest, SigningSession, Subject},
    mpc::{Fault, Output, Progress},
    mutant,
    record::{Fact, UsedPresignature},
    session::{Heard, Run},
    sometimes,
    step::{Alert, Effect, JobResult, Priority},
    time::{Millis, Timestamp},
    tx::{self, SubStatus},
    vote::Violation,
    wallet,
};

/// How long a member that was silent in a session is chosen last.
const SUSPICION: Millis = Millis(15_000);

/// Most bytes kept of one sender for a session that has not begun here. Honest ones say no more than their first round
/// before they have heard this node: a few kilobytes for each input, at most.
const EARLY_BYTES: usize = 128 * 1024;

/// Most such messages of one sender for one session: a protocol's rounds, to everyone and to this node.
const EARLY_OF_SENDER: usize = 8;

/// A session this node takes part in.
pub(super) struct Session {
    pub(super) what: SigningSession,
    pub(super) run: Run,
    pub(super) began: Timestamp,
    /// Whether a share of a signature has left.
    pub(super) released: bool,
    /// Presignatures that were moved into it.
    pub(super) used: Vec<UsedPresignature>,
    /// Whether it computes for seconds rather than milliseconds.
    pub(super) slow: bool,
}

impl Node {
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
        if message.body.to.is_some_and(|to| to != self.config.me) {
            return;
        }
        if early.len() >= self.config.limits.sessions && !early.contains_key(&message.body.session) {
            sometimes!(EarlyMessagesFull);
            early.pop_first();
        }
        let kept = early.entry(message.body.session).or_default();
        let of_sender = || kept.iter().filter(|kept| kept.body.from == message.body.from);
        let bytes = of_sender().map(|kept| kept.body.payload.len()).sum::<usize>();
        let fits = of_sender().count() < EARLY_OF_SENDER
            && bytes.saturating_add(message.body.payload.len()) <= EARLY_BYTES;
        if kept.len() < limit && fits && !kept.contains(&message) {
            kept.push(message);
        }
    }

    pub(super) fn take_early(&mut self, id: SessionId) -> Vec<Signed<MpcMessage>> {
        self.signing.early.remove(&id).unwrap_or_default()
    }

    pub(super) fn hear_in_session(&mut self, id: SessionId, message: Signed<MpcMessage>) {
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        match session.run.hear(message) {
            Heard::New | Heard::Nothing => {}
            Heard::Equivocation(evidence) => self.prove(*evidence, true),
        }
    }

    pub(super) fn give_work(&mut self, id: SessionId) {
        let job = self.next_job();
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        let priority = match session.what.subject {
            Subject::Payment { .. } => Priority::Urgent,
            Subject::KeyProof { .. } if !session.slow => Priority::Urgent,
            Subject::KeyProof { .. } | Subject::Presigning => Priority::Background,
        };
        if let Some(work) = session.run.work(job) {
            self.signing.jobs.insert(job, id);
            self.effects.push(Effect::Compute { job, work, priority });
        }
    }

    pub(super) fn on_computed(&mut self, job: JobId, result: JobResult, entropy: &mut dyn CryptoRngCore) {
        let (machine, advance) = match result {
            JobResult::Advanced { machine, advance } => (machine, advance),
            JobResult::Primes(primes) => {
                self.on_primes(job, primes, entropy);
                return;
            }
        };
        let Some(id) = self.signing.jobs.remove(&job) else {
            self.on_keygen_computed(job, machine, advance);
            return;
        };
        let Some(session) = self.signing.sessions.get_mut(&id) else { return };
        let has_released = machine.has_released();
        let Some((saying, progress)) = session.run.returned(job, machine, advance, &self.identity) else {
            return;
        };
        let subject = session.what.subject;
        let releases_share = has_released && !std::mem::replace(&mut session.released, has_released);
        let presignatures = if releases_share { std::mem::take(&mut session.used) } else { Vec::new() };
        if releases_share && let Subject::Payment { txid, .. } = subject {
            // The last look before the share leaves, and the mark that it has left.
            if !self.may_sign(txid) {
                self.end_session(id);
                return;
            }
            if !presignatures.is_empty() && !mutant!(PresignatureBurntLate) {
                self.record(Fact::PresignaturesUsed { txid, session: id, presignatures });
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
            Progress::Finished(Output::Presignature(presignature)) => {
                let ended =
                    self.signing.sessions.get(&id).map(|session| (session.what.clone(), session.began));
                self.end_session(id);
                if let Some((what, began)) = ended.filter(|(what, _)| what.subject == Subject::Presigning) {
                    self.on_presignature(&what, began, presignature, entropy);
                }
            }
            Progress::Finished(Output::KeyShare(_)) => self.end_session(id),
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
        let (said, silent, slow) = (session.run.said().to_vec(), session.run.silent(), session.slow);
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
        let pause = Millis(self.session_life(slow).0 / REPETITIONS);
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
            Subject::Presigning => {}
        }
    }

    fn on_fault(&mut self, id: SessionId, subject: Subject, fault: &Fault, entropy: &mut dyn CryptoRngCore) {
        let Some(session) = self.signing.sessions.get(&id) else { return };
        let culprits = session.run.nodes(&fault.culprits);
        let suspects = session.run.nodes(&fault.suspects());
        let peers: Vec<NodeId> =
            session.what.signers.iter().copied().filter(|node| *node != self.config.me).collect();
        let (what, slow) = (session.what.clone(), session.slow);
        let txid = match subject {
            Subject::Payment { txid, .. } => Some(txid),
            Subject::KeyProof { .. } | Subject::Presigning => None,
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
        self.fail_slow_session(&what, slow, &fault.reason.to_string());
        self.fail_session(id, subject, entropy);
    }

    /// A fault where presignatures are made, in stock or for one payment, is counted.
    fn fail_slow_session(&mut self, what: &SigningSession, slow: bool, reason: &str) {
        match what.subject {
            Subject::Presigning => self.on_presigning_failed(what, Some(reason)),
            Subject::Payment { .. } if slow => self.count_presigning_fault(what, reason),
            Subject::Payment { .. } | Subject::KeyProof { .. } => {}
        }
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
            let (what, slow) = (session.what.clone(), session.slow);
            let detail = format!("{from} left a signing session: {reason}");
            self.effects.push(Effect::Alert(Alert::Configuration { node: from, detail }));
            self.fail_slow_session(&what, slow, &format!("{from} left: {reason}"));
            self.fail_session(id, what.subject, entropy);
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
                    Subject::KeyProof { .. } | Subject::Presigning => None,
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
        let what = self.signing.sessions.get(&id).map(|session| session.what.clone());
        self.end_session(id);
        match subject {
            Subject::Presigning => {
                if let Some(what) = what {
                    self.on_presigning_failed(&what, None);
                }
            }
            Subject::Payment { txid, .. } => {
                if self.state.transaction(txid).is_some_and(|tx| tx.state == tx::State::Signing) {
                    self.set_sub_status(txid, SubStatus::RetryingOtherSubset);
                }
                self.attend(txid, entropy);
            }
            Subject::KeyProof { .. } => self.attend_keygen(entropy),
        }
    }

    pub(super) fn end_session(&mut self, id: SessionId) {
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

    /// Ends every session of a payment: what its parties have said is not said again.
    pub(super) fn drop_payment_sessions(&mut self) {
        let of_payment = |what: &SigningSession| matches!(what.subject, Subject::Payment { .. });
        let ids: Vec<SessionId> = self
            .signing
            .sessions
            .iter()
            .filter(|(_, session)| of_payment(&session.what))
            .map(|(id, _)| *id)
            .collect();
        sometimes!(FrozenInsideSession, !ids.is_empty());
        for id in ids {
            self.end_session(id);
        }
        self.signing.waiting.retain(|_, session| !of_payment(session));
    }

    /// Forgets every session, and with them all nonces.
    pub(super) fn drop_all_sessions(&mut self) {
        for id in self.signing.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(id);
        }
        self.signing.waiting.clear();
        self.signing.early.clear();
    }

    /// Sessions that somebody waits for.
    pub(super) fn session_count(&self) -> usize {
        let awaited = |session: &&Session| session.what.subject != Subject::Presigning;
        self.signing.sessions.values().filter(awaited).count()
    }

    /// Whether such a session is running here.
    pub(super) fn any_session(&self, is_it: impl Fn(&SigningSession) -> bool) -> bool {
        self.signing.sessions.values().any(|session| is_it(&session.what))
    }
}
