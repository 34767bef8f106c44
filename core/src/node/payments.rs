//! From a client's wish to a proposal.
//!
//! The node that a client asks stays responsible for the payment: it alone builds a transaction for it. Coins come
//! from the coordinator, one member at a time, so that nodes do not reach for the same ones. A grant is a courtesy:
//! when two coordinators contradict each other the votes decide, and a payment is refused, never doubled.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, Network, OutPoint, Txid};
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    codec,
    identity::Signed,
    ids::{NodeId, PaymentId, RequestId},
    message::{CoinGrant, CoinRequest, GrantedCoin, Message},
    record::Fact,
    refusal::Refusal,
    step::{Command, Effect, Outcome, PaymentRequest},
    time::{Millis, Timestamp},
    tx::{self, Prevout, Proposal, SubStatus},
    wallet::{self, Ask, Candidate, SelectionError, Wallet},
};

/// Blocks within which a payment should confirm when the client names no fee rate.
const CONFIRMATION_TARGET: u16 = 6;

/// How long granted coins stay reserved for a proposal that has not appeared.
const GRANT_LIFE: Millis = Millis(10_000);

/// Between two requests to a coordinator that does not answer.
const ASK_AGAIN: Millis = Millis(1_000);

/// What a client waits beyond the coordinator's own patience, for the way there and back.
const ANSWER_MARGIN: Millis = Millis(1_500);

/// Blocks before a block reward may be spent (consensus).
const COINBASE_MATURITY: u32 = 100;

/// Volatile state of payments.
#[derive(Default)]
pub(super) struct Payments {
    /// Clients of this node that wait for coins.
    asking: BTreeMap<PaymentId, Asking>,
    /// At the coordinator: who waits, in order of arrival.
    queue: Vec<Waiting>,
    /// At the coordinator: coins promised to payments not yet proposed.
    granted: BTreeMap<PaymentId, (CoinGrant, Timestamp)>,
    /// Grants of this node to itself, taken with entropy at hand.
    own_grants: Vec<CoinGrant>,
}

impl Payments {
    fn granted_coins(&self) -> impl Iterator<Item = OutPoint> + '_ {
        self.granted.values().flat_map(|(grant, _)| grant.inputs.iter().map(|coin| coin.outpoint))
    }
}

struct Asking {
    client: RequestId,
    request: PaymentRequest,
    asked: Option<NodeId>,
    give_up: Timestamp,
}

struct Waiting {
    from: NodeId,
    request: CoinRequest,
    give_up: Timestamp,
}

impl Node {
    pub(super) fn on_command(
        &mut self,
        client: RequestId,
        command: Command,
        entropy: &mut dyn CryptoRngCore,
    ) {
        match command {
            Command::Pay(request) => self.on_pay(client, request, entropy),
            Command::GenerateKey(scheme) => {
                let outcome = match self.start_keygen(scheme, entropy) {
                    Ok(key) => Outcome::KeygenStarted { key },
                    Err(refusal) => Outcome::Refused(refusal),
                };
                self.reply(client, outcome);
            }
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        self.effects.push(Effect::Reply { request, outcome });
    }

    fn on_pay(&mut self, client: RequestId, request: PaymentRequest, entropy: &mut dyn CryptoRngCore) {
        let payment = self.name_payment(&request, entropy);
        if let Err(outcome) = self.admit(payment, &request) {
            self.reply(client, outcome);
            return;
        }
        let give_up = self.now.plus(self.config.timing.coin_wait).plus(ANSWER_MARGIN);
        self.payments.asking.insert(payment, Asking { client, request, asked: None, give_up });
        self.ask_for_coins(payment);
    }

    /// The same idempotency key names the same payment at every node of the cluster.
    fn name_payment(&self, request: &PaymentRequest, entropy: &mut dyn CryptoRngCore) -> PaymentId {
        let cluster = self.config.cluster.id();
        PaymentId::from_bytes(match &request.idempotency_key {
            Some(key) => codec::digest("mpc-wallet/payment-by-key", &(cluster, key)),
            None => {
                let mut name = [0; 32];
                entropy.fill_bytes(&mut name);
                name
            }
        })
    }

    /// What can be said before any coin is looked for.
    fn admit(&self, payment: PaymentId, request: &PaymentRequest) -> Result<(), Outcome> {
        let refuse = |refusal| Err(Outcome::Refused(refusal));
        if let Some(tx) = self.state.proposed_for(payment) {
            let (made, txid) = (&tx.proposal.body, tx.txid());
            let same = made.recipient == request.recipient
                && made.amount == request.amount
                && made.metadata == request.metadata;
            return Err(if same {
                Outcome::Proposed { txid, replayed: true }
            } else {
                Outcome::Refused(Refusal::KeyReused { txid })
            });
        }
        if self.payments.asking.contains_key(&payment) {
            return refuse(Refusal::InProgress);
        }
        let limits = &self.config.limits;
        let size = request.metadata.as_ref().map_or(0, String::len);
        if size > limits.metadata_bytes {
            return refuse(Refusal::MetadataTooLong { size, limit: limits.metadata_bytes });
        }
        if self.wallet(request.scheme).is_none() {
            return refuse(Refusal::NoKey(request.scheme));
        }
        let policy = &self.config.policy;
        let rate = request.fee_rate.map_or(Ok(()), |rate| policy.check_fee_rate(rate));
        if let Err(breach) = policy.check_payment(&request.recipient, request.amount).and(rate) {
            return refuse(Refusal::Policy(breach));
        }
        if let Some(age) = self.chain_age().filter(|_| self.chain_is_stale()) {
            return refuse(Refusal::ChainStale { age_s: age.0 / 1_000 });
        }
        if self.state.open_count() + self.payments.asking.len() >= limits.open_transactions {
            return refuse(Refusal::Busy { limit: limits.open_transactions });
        }
        if !self.has_majority() {
            return refuse(self.no_quorum());
        }
        Ok(())
    }

    fn no_quorum(&self) -> Refusal {
        let cluster = &self.config.cluster;
        Refusal::NoQuorum { online: self.online(), total: cluster.total(), needed: cluster.threshold() }
    }

    fn ask_for_coins(&mut self, payment: PaymentId) {
        let coordinator = self.coordinator();
        let again = self.now.plus(ASK_AGAIN);
        let Some(asking) = self.payments.asking.get_mut(&payment) else { return };
        asking.asked = Some(coordinator);
        let wish = CoinRequest {
            payment,
            scheme: asking.request.scheme,
            recipient: asking.request.recipient.clone(),
            amount: asking.request.amount,
            fee_rate: asking.request.fee_rate,
        };
        let ring = again.min(asking.give_up);
        self.timers.set(Timer::Request(payment), ring);
        if coordinator == self.config.me {
            self.on_coin_request(coordinator, wish);
        } else {
            self.send(coordinator, Message::CoinRequest(wish));
        }
    }

    pub(super) fn on_request_timer(&mut self, payment: PaymentId) {
        let Some(asking) = self.payments.asking.get(&payment) else { return };
        if self.now < asking.give_up {
            self.ask_for_coins(payment);
            return;
        }
        let client = asking.client;
        self.payments.asking.remove(&payment);
        let refusal = if self.has_majority() { Refusal::NoCoordinator } else { self.no_quorum() };
        self.reply(client, Outcome::Refused(refusal));
    }

    /// The coordinator changed: clients of this node ask the new one at once.
    pub(super) fn ask_coordinator_again(&mut self) {
        let coordinator = self.coordinator();
        let waiting: Vec<PaymentId> = self
            .payments
            .asking
            .iter()
            .filter(|(_, asking)| asking.asked != Some(coordinator))
            .map(|(payment, _)| *payment)
            .collect();
        for payment in waiting {
            self.timers.set(Timer::Request(payment), self.now);
        }
    }

    /// A transaction for this payment has become known: a client of this node that waits for it is told.
    pub(super) fn answer_waiting_client(&mut self, payment: PaymentId) {
        let Some(asking) = self.payments.asking.get(&payment) else { return };
        let request = asking.request.clone();
        if let Err(outcome) = self.admit(payment, &request)
            && self.state.proposed_for(payment).is_some()
            && let Some(asking) = self.payments.asking.remove(&payment)
        {
            self.timers.clear(Timer::Request(payment));
            self.reply(asking.client, outcome);
        }
    }

    pub(super) fn on_coin_refusal(&mut self, from: NodeId, payment: PaymentId, refusal: Refusal) {
        if self.payments.asking.get(&payment).is_some_and(|asking| asking.asked == Some(from)) {
            self.give_refusal(payment, refusal);
        }
    }

    fn give_refusal(&mut self, payment: PaymentId, refusal: Refusal) {
        if let Some(asking) = self.payments.asking.remove(&payment) {
            self.timers.clear(Timer::Request(payment));
            self.reply(asking.client, Outcome::Refused(refusal));
        }
    }

    pub(super) fn on_coin_grant(&mut self, from: NodeId, grant: CoinGrant, entropy: &mut dyn CryptoRngCore) {
        let payment = grant.payment;
        let Some(asking) = self.payments.asking.get(&payment) else { return };
        if asking.asked != Some(from) {
            return;
        }
        // A coin this node is committed to elsewhere would only earn refusals: ask again a little later, when the
        // coordinator has heard of that commitment too.
        if grant.inputs.iter().any(|coin| self.state.holder_of(&coin.outpoint).is_some()) {
            return;
        }
        match self.propose(payment, grant, entropy) {
            Ok(txid) => {
                if let Some(asking) = self.payments.asking.remove(&payment) {
                    self.timers.clear(Timer::Request(payment));
                    self.reply(asking.client, Outcome::Proposed { txid, replayed: false });
                }
                self.attend(txid, entropy);
            }
            Err(refusal) => self.give_refusal(payment, refusal),
        }
    }

    fn propose(
        &mut self,
        payment: PaymentId,
        grant: CoinGrant,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<Txid, Refusal> {
        let inconsistent = |what: &str| Refusal::Internal(what.to_owned());
        let asking = self.payments.asking.get(&payment).ok_or_else(|| inconsistent("nobody asked"))?;
        let request = &asking.request;
        let wallet = self.wallet(request.scheme).ok_or(Refusal::NoKey(request.scheme))?;
        let proposal = Proposal {
            cluster: self.config.cluster.id(),
            key: wallet.key,
            payment,
            origin: self.config.me,
            recipient: request.recipient.clone(),
            amount: request.amount,
            fee: grant.fee,
            unsigned_tx: wallet::build(&wallet, &grant, &request.recipient, request.amount, entropy),
            prevouts: grant.inputs.into_iter().map(|coin| coin.output).collect(),
            metadata: request.metadata.clone(),
            created_at: self.now,
            expires_at: self.now.plus(self.config.timing.proposal_life),
        };
        let vsize = wallet::check_structure(&wallet, &proposal, &self.config.limits).map_err(|reason| {
            inconsistent(&format!("the coordinator's grant makes no transaction: {reason}"))
        })?;
        self.config.policy.check_proposal(&proposal, vsize).map_err(Refusal::Policy)?;
        let txid = proposal.txid();
        let signed = Signed::new(proposal, &self.identity);
        self.record(Fact::Proposed(Box::new(signed)));
        Ok(txid)
    }

    pub(super) fn on_coin_request(&mut self, from: NodeId, request: CoinRequest) {
        if let Some(tx) = self.state.proposed_for(request.payment) {
            // Another node has proposed it already: whoever asks for its client shall know that transaction.
            let bundle = tx.bundle();
            self.send(from, Message::Bundle(Box::new(bundle)));
            return;
        }
        if let Some((grant, _)) = self.payments.granted.get(&request.payment).cloned() {
            // Asked again: the grant was lost, or refused because a coin of it is taken.
            let proposed = self.proposed_coins();
            let free = |coin: &OutPoint| self.state.holder_of(coin).is_none() && !proposed.contains(coin);
            if grant.inputs.iter().all(|coin| free(&coin.outpoint)) {
                self.hand_over(from, grant);
                return;
            }
            self.payments.granted.remove(&request.payment);
        }
        let give_up = self.now.plus(self.config.timing.coin_wait);
        let known = self.payments.queue.iter().any(|w| w.request.payment == request.payment);
        if !known {
            if self.payments.queue.len() >= self.config.limits.waiting_requests {
                let limit = self.config.limits.waiting_requests;
                self.answer_refusal(from, request.payment, Refusal::Busy { limit });
                return;
            }
            self.payments.queue.push(Waiting { from, request, give_up });
        }
        self.serve_coin_queue();
    }

    /// Not the coordinator any more: those who wait ask the new one.
    pub(super) fn resign_as_coordinator(&mut self) {
        self.payments.queue.clear();
        self.payments.granted.clear();
    }

    /// Serves whoever can be served, in order of arrival; refuses those without hope or out of time.
    pub(super) fn serve_coin_queue(&mut self) {
        if !self.may_grant() || !self.has_majority() || self.chain_age().is_none() {
            if let Some(first) = self.payments.queue.iter().map(|waiting| waiting.give_up).min() {
                self.timers.set_by(Timer::CoinQueue, first.max(self.now.plus(ASK_AGAIN)));
            }
            return;
        }
        let now = self.now;
        let state = &self.state;
        self.payments
            .granted
            .retain(|payment, (_, until)| *until > now && state.proposed_for(*payment).is_none());
        for waiting in std::mem::take(&mut self.payments.queue) {
            match self.choose_coins(&waiting.request) {
                Ok(grant) => self.grant(waiting.from, grant),
                Err(Shortage::Final(refusal)) => {
                    self.answer_refusal(waiting.from, waiting.request.payment, refusal);
                }
                Err(Shortage::Temporary(refusal)) if now >= waiting.give_up => {
                    self.answer_refusal(waiting.from, waiting.request.payment, refusal);
                }
                Err(Shortage::Temporary(_)) => {
                    self.timers.set_by(Timer::CoinQueue, waiting.give_up);
                    self.payments.queue.push(waiting);
                }
            }
        }
    }

    fn grant(&mut self, to: NodeId, grant: CoinGrant) {
        let until = self.now.plus(GRANT_LIFE);
        self.payments.granted.insert(grant.payment, (grant.clone(), until));
        self.hand_over(to, grant);
    }

    fn hand_over(&mut self, to: NodeId, grant: CoinGrant) {
        if to == self.config.me {
            // Taken by a timer of this very step, with entropy at hand.
            self.payments.own_grants.push(grant);
            self.timers.set(Timer::OwnGrants, self.now);
        } else {
            self.send(to, Message::CoinGrant(grant));
        }
    }

    /// Coins that open transactions ask for; a proposal does so before anyone has committed them.
    fn proposed_coins(&self) -> BTreeSet<OutPoint> {
        self.state.open().flat_map(|(_, tx)| tx.proposal.body.coins().collect::<Vec<_>>()).collect()
    }

    pub(super) fn take_own_grants(&mut self, entropy: &mut dyn CryptoRngCore) {
        for grant in std::mem::take(&mut self.payments.own_grants) {
            self.on_coin_grant(self.config.me, grant, entropy);
        }
    }

    fn answer_refusal(&mut self, to: NodeId, payment: PaymentId, refusal: Refusal) {
        if to == self.config.me {
            self.give_refusal(payment, refusal);
        } else {
            self.send(to, Message::CoinRefusal { payment, refusal });
        }
    }

    fn choose_coins(&self, request: &CoinRequest) -> Result<CoinGrant, Shortage> {
        let refuse = Shortage::Final;
        let wallet = self.wallet(request.scheme).ok_or_else(|| refuse(Refusal::NoKey(request.scheme)))?;
        let policy = &self.config.policy;
        policy
            .check_payment(&request.recipient, request.amount)
            .map_err(|breach| refuse(Refusal::Policy(breach)))?;
        let fee_rate = match request.fee_rate {
            Some(rate) => rate,
            None => self.estimate_fee_rate().ok_or_else(|| refuse(Refusal::NoFeeEstimate))?,
        };
        policy.check_fee_rate(fee_rate).map_err(|breach| refuse(Refusal::Policy(breach)))?;
        let candidates = self.spendable_coins(&wallet);
        let ask = Ask {
            recipient: &request.recipient,
            amount: request.amount,
            fee_rate,
            max_inputs: self.config.limits.inputs,
        };
        let selection = wallet::select(&wallet, &candidates, &ask, policy).map_err(|error| match error {
            SelectionError::TooManyInputs { limit } => refuse(Refusal::TooManyInputs { limit }),
            SelectionError::Insufficient { needed } => self.shortage(&wallet, &candidates, needed),
        })?;
        policy.check_fee(selection.fee).map_err(|breach| refuse(Refusal::Policy(breach)))?;
        let inputs = selection
            .coins
            .iter()
            .filter_map(|outpoint| {
                let candidate = candidates.iter().find(|candidate| candidate.outpoint == *outpoint)?;
                Some(GrantedCoin {
                    outpoint: *outpoint,
                    output: Prevout { value: candidate.value, script: wallet.script() },
                })
            })
            .collect();
        Ok(CoinGrant {
            payment: request.payment,
            inputs,
            fee: selection.fee,
            change: selection.change,
            lock_time: self.settling.tip_height(),
        })
    }

    /// sat/kvB for the usual target; test networks have no fee market and pay the floor.
    fn estimate_fee_rate(&self) -> Option<u64> {
        let floor = self.config.policy.fee_rate_floor;
        let estimate = wallet::fee_rate_for(self.settling.fee_estimates(), CONFIRMATION_TARGET, floor);
        match self.config.cluster.network() {
            Network::Bitcoin => estimate,
            Network::Testnet | Network::Testnet4 | Network::Signet | Network::Regtest => {
                Some(estimate.unwrap_or(floor))
            }
        }
        .map(|rate| rate.min(self.config.policy.fee_rate_ceiling))
    }

    /// What a new payment may spend: free, mature, and either in a block or our own change in the mempool.
    pub(super) fn spendable_coins(&self, wallet: &Wallet) -> Vec<Candidate> {
        let tip = self.settling.tip_height();
        let script = wallet.script();
        let mut seen = BTreeSet::new();
        let mut candidates = Vec::new();
        let mut taken = self.proposed_coins();
        taken.extend(self.payments.granted_coins());
        let free =
            |outpoint: &OutPoint| self.state.holder_of(outpoint).is_none() && !taken.contains(outpoint);
        for coin in self.settling.coins() {
            let mature = match coin.height {
                Some(height) => {
                    !coin.coinbase || tip.saturating_sub(height).saturating_add(1) > COINBASE_MATURITY
                }
                None => self.change_may_be_spent(coin.outpoint.txid),
            };
            if coin.output.script_pubkey == script && mature && free(&coin.outpoint) {
                seen.insert(coin.outpoint);
                candidates.push(Candidate {
                    outpoint: coin.outpoint,
                    value: coin.output.value,
                    confirmed: coin.height.is_some(),
                });
            }
        }
        // Change in the mempool that the last look at the chain was too early to show.
        for (txid, outpoint, value) in self.fresh_change(wallet) {
            if !seen.contains(&outpoint) && self.change_may_be_spent(txid) && free(&outpoint) {
                candidates.push(Candidate { outpoint, value, confirmed: false });
            }
        }
        candidates
    }

    /// Outputs to this wallet of its own transactions that the mempool has and no block yet.
    fn fresh_change<'a>(
        &'a self,
        wallet: &Wallet,
    ) -> impl Iterator<Item = (Txid, OutPoint, Amount)> + use<'a> {
        let script = wallet.script();
        self.state
            .open()
            .filter(|(_, tx)| tx.state == tx::State::Broadcasting && tx.sub_status == SubStatus::InMempool)
            .flat_map(move |(txid, tx)| {
                let outputs = tx.proposal.body.unsigned_tx.output.iter();
                let script = script.clone();
                (0_u32..)
                    .zip(outputs)
                    .filter(move |(_, output)| output.script_pubkey == script)
                    .map(move |(vout, output)| (txid, OutPoint { txid, vout }, output.value))
            })
    }

    /// Whether an unconfirmed output of this transaction is our own change, accepted by the network, and not at the
    /// end of too long a chain of unconfirmed transactions.
    fn change_may_be_spent(&self, txid: Txid) -> bool {
        let accepted = self
            .state
            .transaction(txid)
            .is_some_and(|tx| tx.state == tx::State::Broadcasting && tx.sub_status == SubStatus::InMempool);
        accepted && self.unconfirmed_depth(txid, 0) < self.config.limits.unconfirmed_chain
    }

    fn unconfirmed_depth(&self, txid: Txid, below: usize) -> usize {
        let limit = self.config.limits.unconfirmed_chain;
        match self.state.transaction(txid) {
            Some(tx) if tx.block.is_none() && below < limit => {
                let parents = tx.proposal.body.coins().map(|coin| coin.txid);
                1 + parents.map(|parent| self.unconfirmed_depth(parent, below + 1)).max().unwrap_or(0)
            }
            Some(tx) if tx.block.is_none() => limit,
            Some(_) | None => 0,
        }
    }

    /// Whether waiting may help: locked coins may be freed, and change of open transactions will come.
    fn shortage(&self, wallet: &Wallet, candidates: &[Candidate], needed: Amount) -> Shortage {
        let spendable: u64 = candidates.iter().map(|candidate| candidate.value.to_sat()).sum();
        let balance = self.balance(wallet);
        let script = wallet.script();
        let change_to_come: u64 = self
            .state
            .open()
            .flat_map(|(_, tx)| tx.proposal.body.unsigned_tx.output.iter())
            .filter(|output| output.script_pubkey == script)
            .map(|output| output.value.to_sat())
            .sum();
        let granted: u64 = self
            .payments
            .granted
            .values()
            .flat_map(|(grant, _)| grant.inputs.iter().map(|coin| coin.output.value.to_sat()))
            .sum();
        let refusal = Refusal::InsufficientFunds {
            needed: needed.to_sat(),
            spendable,
            locked: balance.locked.to_sat(),
            unconfirmed: balance.untrusted_pending.to_sat(),
        };
        let hope = spendable.saturating_add(change_to_come).saturating_add(granted);
        if hope >= needed.to_sat() { Shortage::Temporary(refusal) } else { Shortage::Final(refusal) }
    }

    /// Clients of this node that wait for coins.
    pub(super) fn waiting_clients(&self) -> usize {
        self.payments.asking.len()
    }
}

/// Why there are no coins now.
enum Shortage {
    Temporary(Refusal),
    Final(Refusal),
}
