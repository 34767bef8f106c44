//! From consent to a signature.
//!
//! One member leads: it picks `t` signers among those who are here, and starts a session. The coordinator leads first;
//! if nothing happens the next in line does, so a leader who will not lead costs a pause. Every signer checks consent
//! for itself before it takes part, computes what to sign from the transaction it approved, and records that its share
//! is about to leave before it leaves (I3, I4, I6). A session that fails is forgotten with its nonces, and another one
//! begins with other signers. Sessions that overlap are harmless: they sign the same message under their own nonces.

use std::{collections::BTreeMap, sync::Arc};

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, JobId, NodeId, SessionId},
    message::{FinalTransaction, KeyProof, Message, MpcMessage, SignRequest, SigningSession, Subject},
    mpc::{Fault, KeyShare, Machine, Output, Progress, SigningParams, Slot, Suite, ecdsa},
    mutant,
    pool::Stocked,
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

/// Presignings of one leader that may be under way here while he begins the next.
const PRESIGNINGS_OF_A_LEADER: usize = 3;

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
    began: Timestamp,
    /// Whether a share of a signature has left.
    released: bool,
    /// Presignatures that were moved into it.
    used: Vec<UsedPresignature>,
    /// Whether it computes for seconds rather than milliseconds.
    slow: bool,
}

/// What a session runs.
struct Part {
    machine: Box<dyn Machine>,
    used: Vec<UsedPresignature>,
}

impl Node {
    /// Leads, waits for the leader, or says that it waits for members.
    pub(super) fn attend_signing(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        if self.attend_abandoned(txid) {
            return;
        }
        if self.signing_is_frozen() {
            self.signing.waiting.retain(|(of, _), _| *of != txid);
            self.set_sub_status(txid, SubStatus::Frozen);
            self.watch(txid);
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
        // Presignings under way are not begun anew while they may succeed: each costs every signer seconds.
        let slow = |session: &Session| session.slow && session.what.subject == subject;
        let hopeless = |session: &Session| session.slow && !self.may_succeed(&session.what);
        let busy = |session: &Session| (leads(session) || slow(session)) && !hopeless(session);
        if self.signing.sessions.values().any(busy) {
            self.watch(txid);
            return;
        }
        let able = self.able_signers(Some(txid));
        if able.len() < usize::from(self.config.cluster.threshold()) {
            self.set_sub_status(txid, SubStatus::WaitingForQuorum);
        } else {
            if matches!(tx.sub_status, SubStatus::WaitingForQuorum | SubStatus::Frozen) {
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
            Subject::Presigning => {
                if self.would_presign(session) {
                    self.join(request.session, entropy);
                }
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
        let Some(share) = self.share_for(&session) else { return };
        let (Ok(me), Some(signers)) = (u16::try_from(me), slots(&session.signers)) else { return };
        let Some(part) = self.part_in(&session, &share, (Slot(me), signers), entropy) else { return };
        let Part { machine, used } = part;
        let slow = share.suite().presigns() && used.is_empty();
        let tries = self.tries(subject).saturating_add(1);
        self.signing.tries.insert(subject, tries);
        self.end_older_sessions(&session);
        self.signing.joined.insert(place, mark);
        let run = Run::new(id, (self.config.me, self.boot), session.signers.clone(), machine);
        if let Subject::Payment { txid, .. } = subject {
            let attempt =
                if slow { SubStatus::PresigningAttempt(tries) } else { SubStatus::SigningAttempt(tries) };
            let cause = format!("session led by {} with {:?}", session.leader, session.signers);
            if !self.transition(txid, tx::State::Signing, attempt.clone(), &cause) {
                self.set_sub_status(txid, attempt);
            }
        }
        let began = self.now;
        self.signing.sessions.insert(id, Session { what: session, run, began, released: false, used, slow });
        let life = self.session_life(slow);
        self.timers.set(Timer::Session(id), self.now.plus(life));
        self.timers.set(Timer::SessionRepeat(id), self.now.plus(Millis(life.0 / REPETITIONS)));
        for message in self.signing.early.remove(&id).unwrap_or_default() {
            sometimes!(WordsBeforeSession);
            self.hear_in_session(id, message);
        }
        self.give_work(id);
    }

    pub(super) const fn session_life(&self, slow: bool) -> Millis {
        if slow { self.config.timing.presigning } else { self.config.timing.signing_session }
    }

    /// This node's part in a session, if its own books consent to it. Presignatures are moved out of the pool for good,
    /// whatever becomes of the session.
    fn part_in(
        &mut self,
        session: &SigningSession,
        share: &Arc<KeyShare>,
        (me, signers): (Slot, Vec<Slot>),
        entropy: &mut dyn CryptoRngCore,
    ) -> Option<Part> {
        let mut seed = [0; 32];
        let execution_id = *session.id().as_bytes();
        if session.subject == Subject::Presigning {
            entropy.fill_bytes(&mut seed);
            let params = ecdsa::PresigningParams { execution_id, me, signers };
            let machine = Suite::presigning(Arc::clone(share), &params, seed).ok()?;
            return Some(Part { machine, used: Vec::new() });
        }
        let messages = self.consent(session)?;
        if session.presignatures.is_empty() {
            if share.suite().presigns() && self.is_halted(session.key, &session.signers) {
                return None;
            }
            entropy.fill_bytes(&mut seed);
            let params = SigningParams { execution_id, me, signers, messages };
            let machine = Suite::signing(Arc::clone(share), params, seed).ok()?;
            return Some(Part { machine, used: Vec::new() });
        }
        let Subject::Payment { txid, .. } = session.subject else { return None };
        let preimages = wallet::key_hash_preimages(&self.state.transaction(txid)?.proposal.body).ok()?;
        if preimages.len() != session.presignatures.len() {
            return None;
        }
        let Some(stock) = self.take_presignatures(session) else {
            sometimes!(PresignatureMissing);
            let reason = "a presignature is not in stock here".to_owned();
            self.send(session.leader, Message::SessionAbort { session: session.id(), reason });
            return None;
        };
        self.stock_changed();
        let used = stock.iter().map(Stocked::as_used).collect();
        let presignatures = stock.into_iter().map(|stocked| stocked.presignature).collect();
        let params = ecdsa::OnlineParams { execution_id, me, signers, preimages };
        let machine = Suite::online(share, presignatures, &params).ok()?;
        Some(Part { machine, used })
    }

    /// A leader that starts anew has given up its earlier sessions on the subject; so nobody can pile them up. Of
    /// presignings some may still be under way: their leader has ended his part when others compute the last of theirs.
    fn end_older_sessions(&mut self, newest: &SigningSession) {
        let mut older: Vec<(BootId, u64, SessionId)> = self
            .signing
            .sessions
            .iter()
            .filter(|(_, session)| {
                session.what.subject == newest.subject && session.what.leader == newest.leader
            })
            .map(|(id, session)| (session.what.leader_boot, session.what.attempt, *id))
            .collect();
        older.sort_unstable();
        if newest.subject == Subject::Presigning && newest.leader != self.config.me {
            older.truncate(older.len().saturating_sub(PRESIGNINGS_OF_A_LEADER));
        }
        for (.., id) in older {
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
            Subject::Presigning => None,
        }
    }

    fn share_for(&self, session: &SigningSession) -> Option<Arc<KeyShare>> {
        match session.subject {
            Subject::Payment { .. } | Subject::Presigning => self.share_of(session.key),
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

    /// A change of stock may be what open payments wait for.
    pub(super) fn attend_those_without_presignatures(&mut self, entropy: &mut dyn CryptoRngCore) {
        let waiting: Vec<Txid> = self
            .state
            .open()
            .filter(|(_, tx)| tx.sub_status == SubStatus::WaitingForPresignatures)
            .map(|(txid, _)| txid)
            .collect();
        for txid in waiting {
            self.attend(txid, entropy);
        }
    }
}

/// Members as slots of the key: node-1 has slot 0.
pub(super) fn slots(nodes: &[NodeId]) -> Option<Vec<Slot>> {
    nodes.iter().map(|node| node.get().checked_sub(1).map(Slot)).collect()
}
