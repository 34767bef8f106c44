//! The node: the one place where the parts meet.
//!
//! Each file is one duty: [`peers`] who is here and who coordinates, [`fencing`] what is
//! believed about that from outside, [`payments`] from a client's wish to a proposal,
//! [`granting`] the coordinator's coins, [`quoting`] what a payment would be,
//! [`voting`] from a proposal to consent, [`approving`] where people are asked, [`signing`] and [`leading`] from consent to a signature, [`settling`] from a signature to a
//! confirmation, [`losses`] what leaves without one, [`freezing`] what stops all that, [`keygen`] making keys, [`stock`] and [`presigning`] what is made ahead and used once, [`sync`] catching up, [`standing`] whether this node may speak, [`conduct`] what
//! members did wrong.
//!
//! Progress is level-triggered: [`Node::attend`] looks at where a transaction stands and does what that asks for. It
//! may be called at any time, twice or late, so no event is ever waited for that a crash or a lost message could take
//! away.

mod approving;
mod conduct;
mod fencing;
mod freezing;
mod granting;
mod judging;
mod keygen;
mod leading;
mod losses;
mod overview;
mod payments;
mod peers;
mod presigning;
mod quoting;
mod replacing;
mod sessions;
mod settling;
mod signing;
mod spendable;
mod standing;
mod stock;
mod sync;
mod timers;
mod voting;

use std::{collections::BTreeMap, sync::Arc};

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use self::timers::{Timer, Timers};
use crate::{
    chain::ChainQuery,
    config::{Config, ConfigError},
    identity::VoteKey,
    ids::{BootId, JobId, KeyId, LogIndex, NodeId, QueryId, Scheme, SessionId},
    message::Message,
    mpc::KeyShare,
    mutant,
    record::{Fact, Record},
    sometimes,
    state::{ApplyError, State},
    step::{Alert, Effect, Input, NotDurable, Receipt, Step},
    time::{Millis, Timestamp},
    tx::{self, SubStatus},
    wallet::Wallet,
};

/// Why a node cannot start from what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal contradicts itself at a record.
    #[error("journal record {position}: {source}")]
    Journal {
        /// Which record, from 1.
        position: u64,
        /// How.
        source: ApplyError,
    },
}

/// A sealed key share as the host found it at start.
pub struct SealedShare {
    /// The ceremony it came from.
    pub ceremony: SessionId,
    /// The key.
    pub key: KeyId,
    /// The secret.
    pub share: Arc<KeyShare>,
}

/// One member of the cluster.
pub struct Node {
    config: Config,
    identity: VoteKey,
    state: State,
    /// Highest time seen; the host's clock may jump back, this does not.
    now: Timestamp,
    boot: BootId,
    /// When this boot's first step ran.
    started: Option<Timestamp>,
    timers: Timers,
    records: Vec<Record>,
    effects: Vec<Effect>,
    counter: u64,
    shares: BTreeMap<SessionId, Arc<KeyShare>>,
    /// Of every active key: the tweak is curve arithmetic, which a look at the coins must not pay again.
    wallets: BTreeMap<KeyId, Wallet>,
    peers: peers::Peers,
    fencing: fencing::Fencing,
    payments: payments::Payments,
    granting: granting::Granting,
    voting: voting::Voting,
    signing: signing::Signing,
    settling: settling::Settling,
    losses: losses::Losses,
    keygen: keygen::Keygen,
    stock: stock::Stock,
    presigning: presigning::Presigning,
    sync: sync::Sync,
    standing: standing::Standing,
}

impl Node {
    /// A node as its journal left it, with the key shares its host could open. A new node has no records. The first
    /// step of this boot records the boot itself.
    ///
    /// # Errors
    /// [`ReplayError`] if configuration, identity or journal are unfit.
    pub fn replay(
        config: Config,
        identity: VoteKey,
        records: impl IntoIterator<Item = Record>,
        shares: Vec<SealedShare>,
    ) -> Result<Self, ReplayError> {
        let listed = *config.cluster.key(config.me).ok_or(ConfigError::NotAMember(config.me))?;
        let actual = identity.public();
        if actual != listed {
            return Err(ConfigError::WrongKey { node: config.me, actual, listed }.into());
        }
        let mut state = State::default();
        let mut now = Timestamp::default();
        for record in records {
            now = now.max(record.at);
            state
                .apply(config.me, &config.cluster, &record)
                .map_err(|source| ReplayError::Journal { position: state.position().0, source })?;
        }
        let boot = state.past().boot().next();
        let mut node = Self {
            identity,
            now,
            boot,
            started: None,
            timers: Timers::default(),
            records: Vec::new(),
            effects: Vec::new(),
            counter: 0,
            shares: shares.into_iter().map(|sealed| (sealed.ceremony, sealed.share)).collect(),
            wallets: BTreeMap::new(),
            peers: peers::Peers::default(),
            fencing: fencing::Fencing::default(),
            payments: payments::Payments::default(),
            granting: granting::Granting::default(),
            voting: voting::Voting::default(),
            signing: signing::Signing::default(),
            settling: settling::Settling::default(),
            losses: losses::Losses::default(),
            keygen: keygen::Keygen::default(),
            stock: stock::Stock::default(),
            presigning: presigning::Presigning::default(),
            sync: sync::Sync::default(),
            standing: standing::Standing::default(),
            config,
            state,
        };
        node.open_wallets();
        Ok(node)
    }

    /// Takes one input and computes what follows from it. Time that runs backwards counts as standing still.
    pub fn step(&mut self, now: Timestamp, entropy: &mut dyn CryptoRngCore, input: Input) -> Step {
        self.now = self.now.max(now);
        if self.started.is_none() {
            self.start(entropy);
        }
        match input {
            Input::Message { from, message } => self.on_message(from, message, entropy),
            Input::Garbage { from, problem } => self.on_garbage(from, &problem),
            Input::OtherVersion { from, version } => self.on_other_version(from, version),
            Input::PeerUp(peer) => self.on_peer_up(peer, entropy),
            Input::PeerDown(peer) => self.on_peer_down(peer, entropy),
            Input::Client { request, command } => self.on_command(request, command, entropy),
            Input::Chain(answer) => self.on_chain(answer, entropy),
            Input::Computed { job, result } => self.on_computed(job, result, entropy),
            Input::KeyShareSealed { ceremony } => self.on_share_sealed(ceremony, entropy),
            Input::Lease(holder) => self.on_lease(holder, entropy),
            Input::Tick => {}
        }
        while let Some(timer) = self.timers.pop(self.now) {
            self.on_timer(timer, entropy);
        }
        Step {
            last: self.state.position(),
            records: std::mem::take(&mut self.records),
            effects: std::mem::take(&mut self.effects),
        }
    }

    /// Releases a step's effects. Steps are committed in the order they were made; one receipt may cover many.
    ///
    /// # Errors
    /// [`NotDurable`] if the receipt does not cover the step's records; nothing is released.
    pub fn commit(&mut self, step: Step, receipt: Receipt) -> Result<Vec<Effect>, NotDurable> {
        if receipt.position() < step.last {
            return Err(NotDurable { needed: step.last, durable: receipt.position() });
        }
        Ok(step.effects)
    }

    /// When the node next wants a [`Input::Tick`], and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        if self.started.is_none() {
            return Some((self.now, "first step of this boot"));
        }
        self.timers.next()
    }

    /// The durable state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn start(&mut self, entropy: &mut dyn CryptoRngCore) {
        self.started = Some(self.now);
        let boot = self.boot;
        self.check_kept();
        self.record(Fact::Booted { boot });
        self.start_peers();
        self.start_stock(entropy);
        self.start_standing(entropy);
        self.start_freezing();
        self.timers.set(Timer::ChainPoll, self.now);
        self.timers.set(Timer::Sync, self.now.plus(sync::REPAIR_INTERVAL));
        for (node, until) in self
            .state
            .banned(self.now)
            .into_iter()
            .filter_map(|node| self.state.member(node).banned_until.map(|until| (node, until)))
            .collect::<Vec<_>>()
        {
            self.effects.push(Effect::Ban { node, until });
        }
        for txid in self.open_transactions() {
            sometimes!(
                WokeInsideSigning,
                self.state.transaction(txid).is_some_and(|tx| tx.state == tx::State::Signing)
            );
            sometimes!(
                WokeAfterShare,
                self.state.transaction(txid).is_some_and(|tx| tx.share_released && tx.finished.is_none())
            );
            self.attend(txid, entropy);
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, entropy: &mut dyn CryptoRngCore) {
        sometimes!(BannedMemberSpeaks, self.is_banned(from));
        if from == self.config.me || self.config.cluster.key(from).is_none() || self.is_banned(from) {
            return;
        }
        match message {
            Message::Heartbeat(heartbeat) => self.on_heartbeat(from, heartbeat, entropy),
            Message::CoinRequest(request) => self.on_coin_request(from, request),
            Message::CoinGrant(grant) => self.on_coin_grant(from, grant, entropy),
            Message::CoinRefusal { payment, refusal, epoch } => {
                self.on_coin_refusal(from, payment, refusal, epoch);
            }
            Message::VoteRequest(proposal) => self.on_vote_request(from, *proposal, entropy),
            Message::Vote(vote) => self.on_vote(from, vote, entropy),
            Message::Promise(promise) => self.on_promise(from, promise, entropy),
            Message::Accusation(evidence) => self.on_accusation(from, *evidence),
            Message::Finished(transaction) => {
                self.on_finished(transaction, entropy);
            }
            Message::SignRequest(request) => self.on_sign_request(from, *request, entropy),
            Message::Mpc(message) => self.on_mpc(from, message),
            Message::SessionAbort { session, reason } => {
                self.on_session_abort(from, session, &reason, entropy)
            }
            Message::KeygenRequest(request) => self.on_keygen_request(request, entropy),
            Message::KeygenConfirm(confirm) => self.on_keygen_confirm(confirm, entropy),
            Message::KeyActive(proof) => self.on_key_proof(&proof),
            Message::Bundle(bundle) => self.on_bundle(from, *bundle, entropy),
            Message::SyncRequest { since, challenge } => self.on_sync_request(from, since, challenge),
            Message::SyncPage(page) => self.on_sync_page(from, page, entropy),
            Message::Stock(told) => self.on_stock(from, told, entropy),
            Message::PresignOrder { count } => self.on_presign_order(count),
            Message::OperatorDecision(decision) => self.on_operator_decision(from, decision, entropy),
            Message::Freezes(told) => self.on_freezes(from, told, entropy),
        }
    }

    fn on_timer(&mut self, timer: Timer, entropy: &mut dyn CryptoRngCore) {
        match timer {
            Timer::Heartbeat => self.send_heartbeat(),
            Timer::PeerSilent(_) => self.on_membership_change(entropy),
            Timer::CoordinatorGrace => self.serve_coin_queue(),
            Timer::Lease => self.on_lease_timer(entropy),
            Timer::ChainPoll => self.poll_chain(),
            Timer::CoinQueue => self.serve_coin_queue(),
            Timer::OwnGrants => self.take_own_grants(entropy),
            Timer::Request(payment) => self.on_request_timer(payment),
            Timer::Transaction(txid) => self.on_transaction_timer(txid, entropy),
            Timer::Session(session) => self.on_session_timeout(session, entropy),
            Timer::SessionRepeat(session) => self.repeat_session(session),
            Timer::Keygen => self.on_keygen_timeout(),
            Timer::KeygenRepeat => self.repeat_keygen(),
            Timer::Sync => self.repair(),
            Timer::Standing => self.on_standing_timer(entropy),
            Timer::Primes => self.find_primes(entropy),
            Timer::Stock => self.tell_stock(),
            Timer::Presigning => self.attend_presigning(entropy),
            Timer::Freezes => self.repeat_freezes(),
        }
    }

    /// Does what a transaction's place in its life asks for. Safe to call at any time.
    fn attend(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        let Some(tx) = self.state.transaction(txid) else { return };
        if tx.finished.is_some() && tx.state.is_unsigned() {
            self.transition(
                txid,
                tx::State::Signed,
                SubStatus::NotYetSent,
                "a finished transaction is on record",
            );
        }
        let Some(tx) = self.state.transaction(txid) else { return };
        match tx.state {
            tx::State::Pending => self.open_voting(txid, entropy),
            tx::State::Voting => self.attend_voting(txid, entropy),
            tx::State::ThresholdReached => self.attend_certified(txid, entropy),
            tx::State::Approved | tx::State::Signing => self.attend_signing(txid, entropy),
            tx::State::Signed => self.start_broadcast(txid),
            tx::State::Broadcasting
            | tx::State::Confirmed
            | tx::State::Rejected
            | tx::State::Failed
            | tx::State::AbortedByzantine => {}
        }
    }

    fn open_transactions(&self) -> Vec<Txid> {
        let mut open: Vec<Txid> = self.state.open().map(|(txid, _)| txid).collect();
        if mutant!(HashOrderLeaks) {
            let keyed = std::hash::RandomState::new();
            open.sort_by_key(|txid| std::hash::BuildHasher::hash_one(&keyed, txid));
        }
        open
    }

    /// Makes a fact: applied now, durable before any effect of this step leaves.
    fn record(&mut self, fact: Fact) {
        let mut record = Record { at: self.now, fact };
        let deeds = self.state.past().shown().deeds;
        let applied = self.state.apply(self.config.me, &self.config.cluster, &record);
        if mutant!(LiveStateAhead) {
            record.at = record.at.plus(Millis(1));
        }
        match applied {
            Ok(()) => {
                self.records.push(record);
                // Peers are to know of a deed as soon as they hear its words (I7).
                if self.is_sound() && self.state.past().shown().deeds > deeds {
                    self.timers.set_by(Timer::Heartbeat, self.now);
                }
            }
            // Only a defect of this crate gets here. Dropping the fact could contradict what is already said, so it
            // stays in the journal, where replay will stop at it, and a person is told.
            Err(error) => {
                self.records.push(record);
                self.effects.push(Effect::Alert(Alert::Configuration {
                    node: self.config.me,
                    detail: format!("internal inconsistency, restart will refuse: {error}"),
                }));
            }
        }
    }

    /// Moves a transaction if the lifecycle allows it; says whether it did.
    fn transition(&mut self, txid: Txid, to: tx::State, sub_status: SubStatus, cause: &str) -> bool {
        let Some(from) = self.state.transaction(txid).map(|tx| tx.state) else { return false };
        if !from.may_become(to) {
            return false;
        }
        let from = if mutant!(TransitionFromElsewhere) { tx::State::Pending } else { from };
        self.record(Fact::Transition { txid, from, to, sub_status, cause: cause.to_owned() });
        if to.is_final() {
            self.forget(txid);
        }
        self.timers.set_by(Timer::CoinQueue, self.now);
        true
    }

    /// Drops what is remembered only while a transaction is open.
    fn forget(&mut self, txid: Txid) {
        self.timers.clear(Timer::Transaction(txid));
        self.voting.forget(txid);
        self.sync.forget(txid);
        self.settling.forget(txid);
        self.drop_sessions_of(txid);
    }

    fn set_sub_status(&mut self, txid: Txid, sub_status: SubStatus) {
        if self.state.transaction(txid).is_some_and(|tx| tx.sub_status != sub_status) {
            self.record(Fact::SubStatusChanged { txid, sub_status });
        }
    }

    fn send(&mut self, to: NodeId, message: Message) {
        if to != self.config.me && !self.is_banned(to) {
            self.effects.push(Effect::Send { to, message });
        }
    }

    fn broadcast(&mut self, message: Message) {
        self.effects.push(Effect::Broadcast(message));
    }

    fn ask_chain(&mut self, question: ChainQuery) -> QueryId {
        let query = QueryId(self.next_number());
        self.effects.push(Effect::Chain { query, question });
        query
    }

    fn next_job(&mut self) -> JobId {
        JobId(self.next_number())
    }

    const fn next_number(&mut self) -> u64 {
        self.counter = self.counter.saturating_add(1);
        self.counter
    }

    /// Derives the wallets of the active keys.
    fn open_wallets(&mut self) {
        let network = self.config.cluster.network();
        self.wallets = self
            .state
            .keys()
            .map(|(key, proof)| (*key, Wallet::new(*key, proof.public_key, network)))
            .collect();
    }

    /// The wallet of the newest active key of a scheme.
    fn wallet(&self, scheme: Scheme) -> Option<&Wallet> {
        self.wallets.get(&self.state.current_key(scheme)?.request.key)
    }

    /// The secret share of a key, if this node holds it.
    fn share_of(&self, key: KeyId) -> Option<Arc<KeyShare>> {
        let (_, proof) = self.state.keys().find(|(id, _)| **id == key)?;
        self.shares.get(&proof.request.id()).cloned()
    }

    /// The node's idea of now: never less than any record's time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Position of the last record.
    #[must_use]
    pub const fn position(&self) -> LogIndex {
        self.state.position()
    }
}
