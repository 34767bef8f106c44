//! Making keys. All members take part; a key is used only after it has proven that it can sign.
//!
//! A member starts the ceremony and the machines run. Every member seals its share on disk, then says so together
//! with a digest of the public result. When all have said the same, `t` of them sign a fixed message that is no
//! Bitcoin signature hash; the signature activates the key everywhere. A ceremony that breaks off leaves sealed shares
//! that nobody will ever use, and no key.

use std::{collections::BTreeMap, sync::Arc};

use rand_core::CryptoRngCore;

use super::{Node, signing::slots, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, JobId, KeyId, NodeId, Scheme, SessionId},
    message::{KeyProof, KeygenConfirm, KeygenRequest, Message, MpcMessage, SigningSession, Subject},
    mpc::{Advance, KeyShare, KeygenParams, Machine, Output, Progress},
    mutant,
    overview::{KeygenPhase, KeygenView},
    record::Fact,
    refusal::Refusal,
    session::{Heard, Run},
    sometimes,
    step::{Alert, Effect, Priority},
    time::{Millis, Timestamp},
    wallet::Wallet,
    wallet_key::WalletKey,
};

/// Between two repetitions of what was said in a ceremony, at first.
const REPEAT: Millis = Millis(500);

/// Longest pause between two repetitions, reached where a ceremony is long and its messages large.
const LONGEST_REPEAT: Millis = Millis(30_000);

/// Volatile state of key generation.
#[derive(Default)]
pub(super) struct Keygen {
    ceremony: Option<Ceremony>,
    ended: Option<KeygenView>,
    attempts: u64,
    /// The last ceremony begun for each initiator: what broke off is never begun again under the same name.
    begun: BTreeMap<NodeId, (BootId, u64)>,
    /// A ceremony that waits for every member's primes, since when.
    wanted: Option<(Scheme, Timestamp)>,
}

/// What has been said in a ceremony, in bytes, is little up to here: repeating it often costs nothing.
const LITTLE: usize = 64 * 1024;

struct Ceremony {
    id: SessionId,
    request: Signed<KeygenRequest>,
    run: Run,
    started: Timestamp,
    pause: Millis,
    share: Option<Arc<KeyShare>>,
    confirm: Option<Signed<KeygenConfirm>>,
    confirms: BTreeMap<NodeId, KeygenConfirm>,
    /// An invitation to prove the key that came before everybody's confirmation.
    invited: Option<SigningSession>,
}

impl Ceremony {
    fn key(&self) -> KeyId {
        self.request.body.key
    }

    fn initiator(&self) -> NodeId {
        self.request.body.initiator
    }
}

impl Node {
    pub(super) fn start_keygen(
        &mut self,
        scheme: Scheme,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<KeyId, Refusal> {
        if !self.config.suites.of(scheme).makes(scheme) {
            return Err(Refusal::UnsupportedScheme(scheme));
        }
        if let Some(proof) = self.state.current_key(scheme) {
            return Err(Refusal::KeyExists(proof.request.key));
        }
        let key = KeyId { scheme, epoch: 1 };
        if let Some(ceremony) = &self.keygen.ceremony {
            return Err(Refusal::KeygenRunning(ceremony.key()));
        }
        if let Some(refusal) = self.unsound() {
            return Err(refusal);
        }
        let (online, total) = (self.online(), self.config.cluster.total());
        if online < total {
            return Err(Refusal::NotEveryoneOnline { online, total });
        }
        if self.presigning_suite(scheme).is_some() && !self.without_primes().is_empty() {
            self.keygen.wanted = Some((scheme, self.now));
            return Ok(key);
        }
        self.initiate(key, entropy);
        Ok(key)
    }

    /// Begins the ceremony that waits for primes, once every member has some and is here.
    pub(super) fn attend_wanted_key(&mut self, entropy: &mut dyn CryptoRngCore) {
        let Some((scheme, _)) = self.keygen.wanted else { return };
        if self.state.current_key(scheme).is_some() {
            self.keygen.wanted = None;
            return;
        }
        let ready = self.without_primes().is_empty() && self.online() >= self.config.cluster.total();
        if ready && self.is_sound() && self.keygen.ceremony.is_none() {
            self.keygen.wanted = None;
            self.initiate(KeyId { scheme, epoch: 1 }, entropy);
        }
    }

    /// Whether a ceremony is under way that primes were given to.
    pub(super) fn is_making_presigning_key(&self) -> bool {
        self.keygen
            .ceremony
            .as_ref()
            .is_some_and(|ceremony| self.presigning_suite(ceremony.key().scheme).is_some())
    }

    fn initiate(&mut self, key: KeyId, entropy: &mut dyn CryptoRngCore) {
        self.keygen.attempts = self.keygen.attempts.saturating_add(1);
        let request = KeygenRequest {
            cluster: self.config.cluster.id(),
            key,
            initiator: self.config.me,
            boot: self.boot,
            attempt: self.keygen.attempts,
            boots: self.config.cluster.members().map(|node| self.boot_of(node)).collect(),
        };
        let request = Signed::new(request, &self.identity);
        self.broadcast(Message::KeygenRequest(request.clone()));
        self.begin(request, entropy);
    }

    pub(super) fn on_keygen_request(
        &mut self,
        request: Signed<KeygenRequest>,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let body = &request.body;
        let signed = self.config.cluster.key(body.initiator).is_some_and(|key| request.verify(key));
        let wanted = body.cluster == self.config.cluster.id()
            && body.key.epoch == 1
            && self.config.suites.of(body.key.scheme).makes(body.key.scheme)
            && self.state.current_key(body.key.scheme).is_none()
            && self.state.sealed(body.id()).is_none();
        let mine = self.config.cluster.members().position(|node| node == self.config.me);
        let same_boot = mine.and_then(|mine| body.boots.get(mine)) == Some(&self.boot)
            && body.boots.len() == usize::from(self.config.cluster.total());
        let mark = (body.boot, body.attempt);
        let again = self.keygen.begun.get(&body.initiator).is_some_and(|newest| mark <= *newest);
        if !signed || !wanted || again || !same_boot || !self.is_sound() {
            return;
        }
        // Of two ceremonies started at once the smaller id goes on, at every member alike; a newer one of the same
        // initiator replaces the older, which it has given up.
        let yields = self.keygen.ceremony.as_ref().is_none_or(|current| {
            let newer = current.initiator() == body.initiator
                && (body.boot, body.attempt) > (current.request.body.boot, current.request.body.attempt);
            let smaller =
                current.share.is_none() && current.initiator() != body.initiator && body.id() < current.id;
            newer || smaller
        });
        if yields {
            self.begin(request, entropy);
        }
    }

    fn begin(&mut self, request: Signed<KeygenRequest>, entropy: &mut dyn CryptoRngCore) {
        let id = request.body.id();
        let members: Vec<NodeId> = self.config.cluster.members().collect();
        let me = slots(&[self.config.me]).and_then(|slots| slots.first().copied());
        let Some(me) = me else { return };
        let params = KeygenParams {
            execution_id: *id.as_bytes(),
            me,
            parties: self.config.cluster.total(),
            threshold: self.config.cluster.threshold(),
        };
        let mut seed = [0; 32];
        entropy.fill_bytes(&mut seed);
        let scheme = request.body.key.scheme;
        let suite = self.config.suites.of(scheme);
        let machine = if self.presigning_suite(scheme).is_some() {
            let Some(primes) = self.take_primes() else {
                // Its initiator heard that all have primes; whoever has lost his since looks for others and joins later,
                // because the request is repeated.
                self.fail_keygen("another took its place");
                return;
            };
            self.stock_changed();
            suite.keygen_with_primes(params, primes, seed)
        } else {
            suite.keygen(params, seed)
        };
        self.keygen.begun.insert(request.body.initiator, (request.body.boot, request.body.attempt));
        let Ok(machine) = machine else { return };
        self.keygen.ceremony = Some(Ceremony {
            id,
            request,
            run: Run::new(id, (self.config.me, self.boot), members, machine),
            started: self.now,
            pause: REPEAT,
            share: None,
            confirm: None,
            confirms: BTreeMap::new(),
            invited: None,
        });
        let timing = &self.config.timing;
        let long = self.presigning_suite(scheme).is_some();
        let life = if long { timing.ecdsa_key_generation } else { timing.key_generation };
        self.timers.set(Timer::Keygen, self.now.plus(life));
        self.timers.set(Timer::KeygenRepeat, self.now.plus(REPEAT));
        for message in self.take_early(id) {
            self.hear_in_keygen(message);
        }
        self.give_keygen_work();
    }

    /// Takes a message if it belongs to the ceremony under way.
    pub(super) fn hear_in_keygen(&mut self, message: Signed<MpcMessage>) -> bool {
        let Some(ceremony) = &mut self.keygen.ceremony else { return false };
        if ceremony.id != message.body.session {
            return false;
        }
        match ceremony.run.hear(message) {
            Heard::New | Heard::Nothing => self.give_keygen_work(),
            Heard::Equivocation(evidence) => {
                let reason = format!("{} told two stories", evidence.accused());
                self.prove(*evidence, true);
                self.fail_keygen(&reason);
            }
        }
        true
    }

    fn give_keygen_work(&mut self) {
        let job = self.next_job();
        let priority = if self.is_making_presigning_key() { Priority::Background } else { Priority::Urgent };
        if let Some(work) = self.keygen.ceremony.as_mut().and_then(|ceremony| ceremony.run.work(job)) {
            self.effects.push(Effect::Compute { job, work, priority });
        }
    }

    pub(super) fn on_keygen_computed(&mut self, job: JobId, machine: Box<dyn Machine>, advance: Advance) {
        let Some(ceremony) = &mut self.keygen.ceremony else { return };
        let Some((saying, progress)) = ceremony.run.returned(job, machine, advance, &self.identity) else {
            return;
        };
        let audience: Vec<(Vec<NodeId>, Signed<MpcMessage>)> =
            saying.into_iter().map(|message| (ceremony.run.audience(&message.body), message)).collect();
        let id = ceremony.id;
        for (nodes, message) in audience {
            for node in nodes {
                self.send(node, Message::Mpc(message.clone()));
            }
        }
        match progress {
            Progress::Running => self.give_keygen_work(),
            Progress::Finished(Output::KeyShare(share)) => self.seal(share),
            Progress::Finished(Output::Presignature(_) | Output::Signatures(_)) => {}
            Progress::Failed(fault) => {
                let culprits =
                    self.keygen.ceremony.as_ref().map(|c| c.run.nodes(&fault.culprits)).unwrap_or_default();
                let reason = fault.reason.to_string();
                for culprit in culprits {
                    self.convict(culprit, None, &reason);
                }
                self.broadcast(Message::SessionAbort { session: id, reason: reason.clone() });
                self.fail_keygen(&reason);
            }
        }
    }

    fn seal(&mut self, share: KeyShare) {
        let Some(ceremony) = &mut self.keygen.ceremony else { return };
        let share = Arc::new(share);
        ceremony.share = Some(Arc::clone(&share));
        let (id, key) = (ceremony.id, ceremony.key());
        self.effects.push(Effect::SealKeyShare { ceremony: id, key, share });
    }

    pub(super) fn on_share_sealed(&mut self, id: SessionId, entropy: &mut dyn CryptoRngCore) {
        let Some(ceremony) = self.keygen.ceremony.as_ref().filter(|ceremony| ceremony.id == id) else {
            return;
        };
        let Some(share) = ceremony.share.clone() else { return };
        if ceremony.confirm.is_some() {
            return;
        }
        let request = ceremony.request.body.clone();
        let public_key = WalletKey::from(share.point());
        let confirm = KeygenConfirm {
            ceremony: id,
            node: self.config.me,
            public_key,
            public_digest: share.public_digest(),
        };
        let confirm = Signed::new(confirm, &self.identity);
        self.shares.insert(id, share);
        self.record(Fact::KeyShareSealed { request, public_key });
        self.broadcast(Message::KeygenConfirm(confirm.clone()));
        if let Some(ceremony) = &mut self.keygen.ceremony {
            ceremony.confirm = Some(confirm.clone());
            ceremony.confirms.insert(self.config.me, confirm.body);
        }
        self.attend_keygen(entropy);
    }

    pub(super) fn on_keygen_confirm(
        &mut self,
        confirm: Signed<KeygenConfirm>,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let node = confirm.body.node;
        let signed = self.config.cluster.key(node).is_some_and(|key| confirm.verify(key));
        let Some(ceremony) = &mut self.keygen.ceremony else { return };
        if signed && ceremony.id == confirm.body.ceremony {
            ceremony.confirms.entry(node).or_insert(confirm.body);
            self.attend_keygen(entropy);
        }
    }

    /// The public key of the ceremony under way, if every member has confirmed the same result.
    pub(super) fn key_to_prove(&self, id: SessionId) -> Option<WalletKey> {
        let ceremony = self.keygen.ceremony.as_ref().filter(|ceremony| ceremony.id == id)?;
        let mine = &ceremony.confirm.as_ref()?.body;
        let agreed = mutant!(KeyProvenTooSoon)
            || self.config.cluster.members().all(|node| {
                ceremony.confirms.get(&node).is_some_and(|theirs| {
                    theirs.public_key == mine.public_key && theirs.public_digest == mine.public_digest
                })
            });
        agreed.then_some(mine.public_key)
    }

    /// Keeps an invitation to prove the ceremony's key until all confirmations are here.
    pub(super) fn keep_invitation(&mut self, id: SessionId, session: SigningSession) {
        if let Some(ceremony) = self.keygen.ceremony.as_mut().filter(|ceremony| ceremony.id == id) {
            ceremony.invited = Some(session);
        }
    }

    /// The initiator leads the proof, again and again until it succeeds or time is up.
    pub(super) fn attend_keygen(&mut self, entropy: &mut dyn CryptoRngCore) {
        let Some(ceremony) = &self.keygen.ceremony else { return };
        let (id, key, leads) = (ceremony.id, ceremony.key(), ceremony.initiator() == self.config.me);
        let subject = Subject::KeyProof { ceremony: id };
        let agreed = self.key_to_prove(id).is_some();
        let invited =
            self.keygen.ceremony.as_mut().filter(|_| agreed).and_then(|ceremony| ceremony.invited.take());
        if let Some(session) = invited {
            self.join(session, entropy);
        }
        if leads && agreed && !self.any_session(|session| session.subject == subject) {
            let able = self.able_signers(None);
            if able.len() >= usize::from(self.config.cluster.threshold()) {
                self.lead(subject, key, &able, entropy);
            }
        }
    }

    pub(super) fn on_key_signature(&mut self, ceremony: SessionId, signature: [u8; 64]) {
        let proof =
            self.keygen.ceremony.as_ref().filter(|current| current.id == ceremony).and_then(|current| {
                Some(KeyProof {
                    request: current.request.body.clone(),
                    public_key: current.confirm.as_ref()?.body.public_key,
                    signature,
                })
            });
        if let Some(proof) = proof {
            self.on_key_proof(&proof);
            self.broadcast(Message::KeyActive(proof));
        }
    }

    /// Activates a key that this node holds a sealed share of, on proof that it signs. Nobody can plant a key: what
    /// was not made here is not believed, however well it signs.
    pub(super) fn on_key_proof(&mut self, proof: &KeyProof) {
        let id = proof.request.id();
        let known = self.state.keys().any(|(key, _)| *key == proof.request.key);
        let recorded = self.state.sealed(id).is_some_and(|sealed| sealed.public_key == proof.public_key);
        // A journal older than the key does not know the share that lies sealed beside it.
        let held =
            self.shares.get(&id).is_some_and(|share| WalletKey::from(share.point()) == proof.public_key);
        if known || !(recorded || held) {
            return;
        }
        let message = KeyProof::message(id, &proof.public_key);
        let wallet = Wallet::new(proof.request.key, proof.public_key, self.config.cluster.network());
        let suite = self.config.suites.of(proof.request.key.scheme);
        if !wallet.verifies(suite, &message, &proof.signature) {
            return;
        }
        if !recorded {
            let (request, public_key) = (proof.request.clone(), proof.public_key);
            self.record(Fact::KeyShareSealed { request, public_key });
        }
        self.record(Fact::KeyActivated(proof.clone()));
        self.open_wallets();
        self.stock_changed();
        if let Some(ceremony) = self.keygen.ceremony.take() {
            self.keygen.ended = Some(view(&ceremony, KeygenPhase::Active, Vec::new()));
        }
        self.timers.clear(Timer::Keygen);
        self.timers.clear(Timer::KeygenRepeat);
        if !self.shares.contains_key(&id) {
            self.effects.push(Effect::Alert(Alert::Configuration {
                node: self.config.me,
                detail: format!(
                    "key {} is active but its share could not be opened: this node cannot sign",
                    proof.request.key
                ),
            }));
        }
        self.look_soon();
    }

    pub(super) fn repeat_keygen(&mut self) {
        let Some(ceremony) = &self.keygen.ceremony else { return };
        let mut sends: Vec<(NodeId, Message)> = Vec::new();
        for message in ceremony.run.said() {
            for node in ceremony.run.audience(&message.body) {
                sends.push((node, Message::Mpc(message.clone())));
            }
        }
        let request = (ceremony.initiator() == self.config.me).then(|| ceremony.request.clone());
        let confirm = ceremony.confirm.clone();
        if let Some(request) = request {
            self.broadcast(Message::KeygenRequest(request));
        }
        for (node, message) in sends {
            self.send(node, message);
        }
        if let Some(confirm) = confirm {
            self.broadcast(Message::KeygenConfirm(confirm));
        }
        if let Some(ceremony) = &mut self.keygen.ceremony {
            let long = ceremony.run.said_bytes() > LITTLE;
            if long {
                ceremony.pause = Millis(ceremony.pause.0.saturating_mul(2)).min(LONGEST_REPEAT);
            }
            let next = self.now.plus(ceremony.pause);
            self.timers.set(Timer::KeygenRepeat, next);
        }
    }

    pub(super) fn on_keygen_timeout(&mut self) {
        let Some(view) = self.keygen_view() else { return };
        let silent: Vec<String> = view.waiting_for.iter().map(ToString::to_string).collect();
        let reason = match (view.phase, silent.is_empty()) {
            (KeygenPhase::Active | KeygenPhase::Failed(_), _) => return,
            (_, true) => "it took too long".to_owned(),
            (_, false) => format!("no answer from {}", silent.join(", ")),
        };
        self.fail_keygen(&reason);
    }

    pub(super) fn on_keygen_abort(&mut self, from: NodeId, id: SessionId, reason: &str) {
        if self.keygen.ceremony.as_ref().is_some_and(|ceremony| ceremony.id == id && ceremony.share.is_none())
        {
            self.fail_keygen(&format!("{from} left: {reason}"));
        }
    }

    pub(super) fn fail_keygen(&mut self, reason: &str) {
        let Some(ceremony) = self.keygen.ceremony.take() else { return };
        sometimes!(CeremonyFails);
        self.timers.clear(Timer::Keygen);
        self.timers.clear(Timer::KeygenRepeat);
        self.record(Fact::KeygenFailed { key: ceremony.key(), reason: reason.to_owned() });
        self.keygen.ended = Some(view(&ceremony, KeygenPhase::Failed(reason.to_owned()), Vec::new()));
        // Its primes are gone with it.
        self.timers.set_by(Timer::Primes, self.now);
    }

    /// The ceremony under way, or the last one that ended in this boot.
    pub(super) fn keygen_view(&self) -> Option<KeygenView> {
        let Some(ceremony) = &self.keygen.ceremony else {
            return match self.keygen.wanted {
                Some((scheme, started)) => Some(KeygenView {
                    key: KeyId { scheme, epoch: 1 },
                    phase: KeygenPhase::Preparing,
                    waiting_for: self.without_primes(),
                    started,
                    stage: None,
                }),
                None => self.keygen.ended.clone(),
            };
        };
        let (phase, waiting_for) = if ceremony.confirm.is_none() {
            (KeygenPhase::Running, ceremony.run.silent())
        } else if self.key_to_prove(ceremony.id).is_none() {
            let missing =
                self.config.cluster.members().filter(|node| !ceremony.confirms.contains_key(node)).collect();
            (KeygenPhase::Confirming, missing)
        } else {
            (KeygenPhase::Proving, Vec::new())
        };
        Some(view(ceremony, phase, waiting_for))
    }
}

fn view(ceremony: &Ceremony, phase: KeygenPhase, waiting_for: Vec<NodeId>) -> KeygenView {
    let stage = ceremony.run.stage().filter(|_| phase == KeygenPhase::Running);
    KeygenView { key: ceremony.key(), phase, waiting_for, started: ceremony.started, stage }
}
