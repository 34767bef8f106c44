//! From a client's wish to a proposal.
//!
//! The node that a client asks stays responsible for the payment: it alone builds a transaction for it. Coins come
//! from the coordinator, one member at a time, so that nodes do not reach for the same ones. A grant is a courtesy:
//! when two coordinators contradict each other the votes decide, and a payment is refused, never doubled.
//!
//! It is not believed either. A grant that makes no transaction, or names coins that this node knows to be taken or,
//! having looked, knows nothing of, may be late or a lie; it is asked for again, and after [`USELESS_GRANTS`] of them
//! the node chooses coins by itself, for this payment: nodes that choose for themselves reach for the same coins, so that
//! a coordinator which was only late must not be passed over any longer.

use std::collections::BTreeMap;

use bitcoin::{Txid, absolute::LockTime};
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    codec,
    identity::Signed,
    ids::{FencingEpoch, NodeId, PaymentId, RequestId},
    message::{CoinGrant, CoinRequest, Message},
    mutant,
    policy::PolicyBreach,
    record::Fact,
    refusal::Refusal,
    sometimes,
    step::{Command, Effect, Outcome, PaymentRequest},
    time::{Millis, Timestamp},
    tx::{self, MAX_EXTERNAL_ID_BYTES, Proposal},
    wallet,
};

/// Between two requests to a coordinator that does not answer.
const ASK_AGAIN: Millis = Millis(1_000);

/// What a client waits beyond the coordinator's own patience, for the way there and back.
const ANSWER_MARGIN: Millis = Millis(1_500);

/// So many grants in a row for one payment may be of no use; then the coordinator is not asked any more.
const USELESS_GRANTS: u32 = 2;

/// Volatile state of payments.
#[derive(Default)]
pub(super) struct Payments {
    /// Clients of this node that wait for coins.
    asking: BTreeMap<PaymentId, Asking>,
}

struct Asking {
    client: RequestId,
    request: PaymentRequest,
    asked: Option<NodeId>,
    /// Grants of others that were of no use.
    useless: u32,
    /// Whether an answer of an earlier term has been asked for again.
    asked_anew: bool,
    since: Timestamp,
    give_up: Timestamp,
}

/// What speaks against a grant.
enum Doubt {
    /// This node is committed to one of its coins elsewhere.
    Taken,
    /// This node has never seen one of its coins.
    Unknown,
}

/// What is asked of whoever grants coins for a payment.
pub(super) fn coin_request(payment: PaymentId, request: &PaymentRequest) -> CoinRequest {
    CoinRequest {
        payment,
        scheme: request.scheme,
        recipient: request.recipient.clone(),
        amount: request.amount,
        fee_rate: request.fee_rate,
    }
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
            Command::Presign { count } => {
                let outcome = match self.order_presignatures(count) {
                    Ok(count) => Outcome::PresigningOrdered { count },
                    Err(refusal) => Outcome::Refused(refusal),
                };
                self.reply(client, outcome);
            }
            Command::Decide(decision) => {
                let outcome = match self.take_decision(decision, entropy) {
                    Ok(txid) => Outcome::Decided { txid },
                    Err(refusal) => Outcome::Refused(refusal),
                };
                self.reply(client, outcome);
            }
            Command::Quote(request) => {
                let outcome = self.quote(&request, entropy);
                self.reply(client, outcome);
            }
            Command::Freeze { operator, reason } => {
                let outcome = self.on_freeze_command(operator, reason, entropy);
                self.reply(client, outcome);
            }
            Command::Lift { operator } => {
                let outcome = self.on_lift_command(&operator, entropy);
                self.reply(client, outcome);
            }
            Command::Bump(request) => {
                let outcome = match self.bump(&request, entropy) {
                    Ok(txid) => Outcome::Proposed { txid, replayed: false },
                    Err(refusal) => Outcome::Refused(refusal),
                };
                self.reply(client, outcome);
            }
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        self.effects.push(Effect::Reply { request, outcome });
    }

    fn on_pay(&mut self, client: RequestId, mut request: PaymentRequest, entropy: &mut dyn CryptoRngCore) {
        if mutant!(AnotherAmount) {
            request.amount -= bitcoin::Amount::ONE_SAT;
        }
        let payment = self.name_payment(&request, entropy);
        if let Err(outcome) = self.admit(payment, &request) {
            self.reply(client, outcome);
            return;
        }
        let since = self.now;
        let give_up = since.plus(self.config.timing.coin_wait).plus(ANSWER_MARGIN);
        let asking = Asking { client, request, asked: None, useless: 0, asked_anew: false, since, give_up };
        self.payments.asking.insert(payment, asking);
        self.ask_for_coins(payment);
    }

    /// The same external id, or the same idempotency key, names the same payment at every node of the cluster.
    pub(super) fn name_payment(
        &self,
        request: &PaymentRequest,
        entropy: &mut dyn CryptoRngCore,
    ) -> PaymentId {
        let cluster = self.config.cluster.id();
        if let Some(id) = &request.external_id {
            return tx::named_payment(cluster, id);
        }
        PaymentId::from_bytes(match &request.idempotency_key {
            Some(key) if !mutant!(IdempotencyKeyIgnored) => {
                codec::digest("mpc-wallet/payment-by-key", &(cluster, key))
            }
            Some(_) | None => {
                let mut name = [0; 32];
                entropy.fill_bytes(&mut name);
                name
            }
        })
    }

    /// What can be said before any coin is looked for.
    pub(super) fn admit(&self, payment: PaymentId, request: &PaymentRequest) -> Result<(), Outcome> {
        let refuse = |refusal| Err(Outcome::Refused(refusal));
        if let Some(tx) = self.state.standing_for(payment) {
            let (made, txid) = (&tx.proposal.body, tx.txid());
            let same = made.key.scheme == request.scheme
                && made.recipient == request.recipient
                && made.amount == request.amount
                && made.metadata == request.metadata;
            sometimes!(IdempotentReplay, same);
            sometimes!(IdempotentReplayAfterRestart, same && self.boot.0 > 1);
            sometimes!(KeyReused, !same);
            return Err(if same {
                Outcome::Proposed { txid, replayed: true }
            } else {
                Outcome::Refused(Refusal::KeyReused { txid })
            });
        }
        if self.payments.asking.contains_key(&payment) {
            return refuse(Refusal::InProgress);
        }
        if let Some(refusal) = self.frozen() {
            return refuse(refusal);
        }
        let limits = &self.config.limits;
        let size = request.metadata.as_ref().map_or(0, String::len);
        if size > limits.metadata_bytes {
            return refuse(Refusal::MetadataTooLong { size, limit: limits.metadata_bytes });
        }
        let size = request.external_id.as_ref().map_or(0, String::len);
        if size > MAX_EXTERNAL_ID_BYTES {
            return refuse(Refusal::ExternalIdTooLong { size, limit: MAX_EXTERNAL_ID_BYTES });
        }
        if self.wallet(request.scheme).is_none() {
            return refuse(Refusal::NoKey(request.scheme));
        }
        let policy = &self.config.policy;
        let rate = request.fee_rate.map_or(Ok(()), |rate| policy.check_fee_rate(rate));
        if let Err(breach) = policy.check_payment(&request.recipient, request.amount).and(rate) {
            return refuse(Refusal::Policy(breach));
        }
        self.ready_to_propose().map_err(Outcome::Refused)
    }

    /// Whether anything may be proposed now, whatever it is.
    pub(super) fn ready_to_propose(&self) -> Result<(), Refusal> {
        if let Some(refusal) = self.frozen() {
            return Err(refusal);
        }
        if let Some(age) = self.chain_age().filter(|_| self.chain_is_stale()) {
            return Err(Refusal::ChainStale { age_s: age.0 / 1_000 });
        }
        let limit = self.config.limits.open_transactions;
        if self.state.open_count() + self.payments.asking.len() >= limit {
            return Err(Refusal::Busy { limit });
        }
        if !self.has_majority() {
            return Err(self.no_quorum());
        }
        self.unsound().map_or(Ok(()), Err)
    }

    pub(super) fn no_quorum(&self) -> Refusal {
        let cluster = &self.config.cluster;
        Refusal::NoQuorum { online: self.online(), total: cluster.total(), needed: cluster.threshold() }
    }

    /// Whether this node has reason not to ask the coordinator for coins of this payment.
    pub(super) fn chooses_for_itself(&self, payment: PaymentId) -> bool {
        self.payments.asking.get(&payment).is_some_and(|asking| asking.useless >= USELESS_GRANTS)
    }

    /// Who is asked for coins.
    fn granter(&self, payment: PaymentId) -> NodeId {
        if self.chooses_for_itself(payment) { self.config.me } else { self.coordinator() }
    }

    fn ask_for_coins(&mut self, payment: PaymentId) {
        let granter = self.granter(payment);
        let again = self.now.plus(ASK_AGAIN);
        let Some(asking) = self.payments.asking.get_mut(&payment) else { return };
        asking.asked = Some(granter);
        let wish = coin_request(payment, &asking.request);
        let ring = again.min(asking.give_up);
        self.timers.set(Timer::Request(payment), ring);
        if granter == self.config.me {
            self.on_coin_request(granter, wish);
        } else {
            self.send(granter, Message::CoinRequest(wish));
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
        let waiting: Vec<PaymentId> = self
            .payments
            .asking
            .iter()
            .filter(|(payment, asking)| asking.asked != Some(self.granter(**payment)))
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

    pub(super) fn on_coin_refusal(
        &mut self,
        from: NodeId,
        payment: PaymentId,
        refusal: Refusal,
        epoch: FencingEpoch,
    ) {
        let asked = self.payments.asking.get(&payment).is_some_and(|asking| asking.asked == Some(from));
        if asked && !self.puts_off_late_answer(from, payment, epoch) {
            self.give_refusal(payment, refusal);
        }
    }

    /// Asks for coins once more without delay. `false` if that was done before for this payment.
    pub(super) fn ask_anew(&mut self, payment: PaymentId) -> bool {
        let Some(asking) = self.payments.asking.get_mut(&payment).filter(|asking| !asking.asked_anew) else {
            return false;
        };
        asking.asked_anew = true;
        self.timers.set(Timer::Request(payment), self.now);
        true
    }

    pub(super) fn give_refusal(&mut self, payment: PaymentId, refusal: Refusal) {
        if let Some(asking) = self.payments.asking.remove(&payment) {
            self.timers.clear(Timer::Request(payment));
            self.reply(asking.client, Outcome::Refused(refusal));
        }
    }

    pub(super) fn refuse_waiting_clients(&mut self, refusal: &Refusal) {
        for payment in self.payments.asking.keys().copied().collect::<Vec<_>>() {
            self.give_refusal(payment, refusal.clone());
        }
    }

    pub(super) fn on_coin_grant(&mut self, from: NodeId, grant: CoinGrant, entropy: &mut dyn CryptoRngCore) {
        let payment = grant.payment;
        let Some(asking) = self.payments.asking.get(&payment) else { return };
        if asking.asked != Some(from) || !self.is_sound() {
            sometimes!(GrantFromAnother, asking.asked != Some(from));
            return;
        }
        if let Some(refusal) = self.frozen() {
            self.give_refusal(payment, refusal);
            return;
        }
        let since = asking.since;
        if self.puts_off_late_answer(from, payment, grant.epoch) {
            return;
        }
        if self.state.proposed_for(payment).is_some() {
            self.answer_waiting_client(payment);
            return;
        }
        // The request timer asks again a little later: the coordinator may have heard of a commitment by then, or this
        // node of a coin.
        match self.doubt(&grant) {
            Some(Doubt::Unknown) if self.settling.view().is_none_or(|(_, at)| *at < since) => {
                self.look_soon();
                return;
            }
            Some(Doubt::Unknown | Doubt::Taken) => {
                self.on_useless_grant(from, payment);
                return;
            }
            None => {}
        }
        match self.propose(payment, grant, entropy) {
            Ok(txid) => {
                if let Some(asking) = self.payments.asking.remove(&payment) {
                    self.timers.clear(Timer::Request(payment));
                    self.reply(asking.client, Outcome::Proposed { txid, replayed: false });
                }
                self.attend(txid, entropy);
            }
            Err(_) if from != self.config.me => self.on_useless_grant(from, payment),
            Err(refusal) => self.give_refusal(payment, refusal),
        }
    }

    /// A coin this node is committed to elsewhere would only earn refusals, and one that nobody has would wait for votes
    /// until the round is over.
    fn doubt(&self, grant: &CoinGrant) -> Option<Doubt> {
        if grant.inputs.iter().any(|coin| self.state.holder_of(&coin.outpoint).is_some()) {
            sometimes!(GrantOfTakenCoin);
            return Some(Doubt::Taken);
        }
        let known = grant.inputs.iter().all(|coin| self.knows_coin(&coin.outpoint, &coin.output));
        sometimes!(GrantOfUnknownCoin, !known);
        (!known).then_some(Doubt::Unknown)
    }

    fn on_useless_grant(&mut self, from: NodeId, payment: PaymentId) {
        self.look_soon();
        if from == self.config.me {
            return;
        }
        let Some(asking) = self.payments.asking.get_mut(&payment) else { return };
        asking.useless = asking.useless.saturating_add(1);
        sometimes!(ChoosesForItself, asking.useless >= USELESS_GRANTS);
    }

    fn propose(
        &mut self,
        payment: PaymentId,
        grant: CoinGrant,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<Txid, Refusal> {
        let asking = self.payments.asking.get(&payment);
        let asking = asking.ok_or_else(|| Refusal::Internal("nobody asked".to_owned()))?;
        let (proposal, vsize) = self.draw_up(payment, &asking.request, grant, entropy)?;
        self.check_granted_fee(&proposal, asking.request.fee_rate, vsize).map_err(Refusal::Policy)?;
        let initiator = asking.request.initiator.clone();
        let txid = proposal.txid();
        self.put_forward(proposal, initiator);
        Ok(txid)
    }

    /// Proposes, and says who wanted it.
    pub(super) fn put_forward(&mut self, proposal: Proposal, initiator: Option<String>) {
        let txid = proposal.txid();
        let signed = Signed::new(proposal, &self.identity);
        self.record(Fact::Proposed(Box::new(signed)));
        if let Some(initiator) = initiator {
            self.record(Fact::Initiated { txid, initiator });
        }
    }

    /// The proposal that a grant makes of a request, and the size of its signed transaction in vB.
    pub(super) fn draw_up(
        &self,
        payment: PaymentId,
        request: &PaymentRequest,
        grant: CoinGrant,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<(Proposal, u64), Refusal> {
        let inconsistent = |what: &str| Refusal::Internal(what.to_owned());
        let wallet = self.wallet(request.scheme).ok_or(Refusal::NoKey(request.scheme))?;
        let mut unsigned_tx = wallet::build(wallet, &grant, &request.recipient, request.amount, entropy);
        // The same payment made again after an earlier one died could be the very same transaction, of which the
        // members remember the end. Another lock time makes it another one.
        while self.state.transaction(unsigned_tx.compute_txid()).is_some() {
            let height = unsigned_tx.lock_time.to_consensus_u32();
            unsigned_tx.lock_time = LockTime::from_consensus(
                height.checked_sub(1).ok_or_else(|| inconsistent("this transaction was made before"))?,
            );
        }
        let proposal = Proposal {
            cluster: self.config.cluster.id(),
            key: wallet.key,
            payment,
            origin: self.config.me,
            recipient: request.recipient.clone(),
            amount: request.amount,
            fee: grant.fee,
            unsigned_tx,
            prevouts: grant.inputs.into_iter().map(|coin| coin.output).collect(),
            metadata: request.metadata.clone(),
            external_id: request.external_id.clone(),
            created_at: self.now,
            expires_at: self.now.plus(self.life_of(request.amount)),
            replaces: None,
        };
        let vsize = wallet::check_structure(wallet, &proposal, &self.config.limits).map_err(|reason| {
            inconsistent(&format!("the coordinator's grant makes no transaction: {reason}"))
        })?;
        self.config.policy.check_proposal(&proposal, vsize).map_err(Refusal::Policy)?;
        Ok((proposal, vsize))
    }

    /// The coordinator chose the fee; it may not exceed what the client asked for, or twice this node's own estimate, by
    /// more than a change output that was not worth making.
    pub(super) fn check_granted_fee(
        &self,
        proposal: &Proposal,
        asked: Option<u64>,
        vsize: u64,
    ) -> Result<(), PolicyBreach> {
        let rate = asked.or_else(|| self.estimate_fee_rate().map(|rate| rate.saturating_mul(2)));
        let Some(rate) = rate else { return Ok(()) };
        let folded = self.config.policy.least_output(&proposal.recipient).to_sat().saturating_mul(2);
        let limit = wallet::fee_for(rate, vsize).to_sat().saturating_add(folded);
        if proposal.fee.to_sat() > limit {
            return Err(PolicyBreach::FeeTooHigh { fee: proposal.fee.to_sat(), limit });
        }
        Ok(())
    }

    /// Clients of this node that wait for coins.
    pub(super) fn waiting_clients(&self) -> usize {
        self.payments.asking.len()
    }
}
