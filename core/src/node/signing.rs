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

use super::{Node, sessions::Session, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, JobId, NodeId, SessionId},
    message::{KeyProof, Message, MpcMessage, SignRequest, SigningSession, Subject},
    mpc::{KeyShare, Machine, SigningParams, Slot, Suite, ecdsa},
    mutant,
    pool::Stocked,
    record::UsedPresignature,
    session::Run,
    sometimes,
    time::{Millis, Timestamp},
    tx::{self, SubStatus},
    wallet,
};

/// Presignings of one leader that may be under way here while he begins the next.
const PRESIGNINGS_OF_A_LEADER: usize = 3;

/// A session says everything it has said again this many times within its life.
pub(super) const REPETITIONS: u64 = 6;

/// Volatile state of signing.
#[derive(Default)]
pub(super) struct Signing {
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) jobs: BTreeMap<JobId, SessionId>,
    /// Messages that overtook the request they belong to.
    pub(super) early: BTreeMap<SessionId, Vec<Signed<MpcMessage>>>,
    /// Sessions that wait for this node's own approval, the newest of each leader.
    pub(super) waiting: BTreeMap<(Txid, NodeId), SigningSession>,
    /// The last session joined on a subject for each leader. What was left is never joined again: its nonces are gone,
    /// and other words in the same place would look like a lie.
    pub(super) joined: BTreeMap<(NodeId, Subject), (BootId, u64)>,
    pub(super) suspects: BTreeMap<NodeId, Timestamp>,
    /// When the last session on a subject began or ended.
    pub(super) last_try: BTreeMap<Subject, Timestamp>,
    pub(super) tries: BTreeMap<Subject, u32>,
    pub(super) attempts: u64,
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
