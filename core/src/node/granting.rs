//! The coordinator's part in a payment: which coins may it spend?
//!
//! Requests are served in order of arrival; one that cannot be served yet waits a while, because change of open
//! transactions may be on its way. A grant is kept until its proposal appears, and given again when asked again.
//!
//! A member whose grant lapsed (it crashed, or it is greedy) comes after all others, has one grant at a time, and for a
//! shorter time, until it uses one. No member can fill the queue.
//!
//! Who coordinates is each member's own view, and views can differ for as long as a ban lasts. So every member serves
//! whoever asks it: the coordinator at once, others when the asker has insisted for [`INSISTED`].

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Network, OutPoint};
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{NodeId, PaymentId},
    message::{CoinGrant, CoinRequest, GrantedCoin, Message},
    refusal::Refusal,
    sometimes,
    time::{Millis, Timestamp},
    tx::Prevout,
    wallet::{self, Ask, SelectionError},
};

/// Blocks within which a payment should confirm when the client names no fee rate.
const CONFIRMATION_TARGET: u16 = 6;

/// How long granted coins stay reserved for a proposal that has not appeared.
const GRANT_LIFE: Millis = Millis(10_000);

/// The same for a member that let its last grant lapse: enough to propose, too short to keep others waiting.
const SHORT_GRANT_LIFE: Millis = Millis(2_000);

/// Between two looks at a queue that this node may not serve yet.
const LOOK_AGAIN: Millis = Millis(1_000);

/// How long somebody has to ask a node that does not coordinate, as it sees it, until it serves all the same. Longer than
/// members differ about who coordinates when nobody lies, short enough for the asker's client.
const INSISTED: Millis = Millis(2_000);

/// Volatile state of granting.
#[derive(Default)]
pub(super) struct Granting {
    /// Who waits, in order of arrival.
    queue: Vec<Waiting>,
    /// Coins promised to payments not yet proposed.
    granted: BTreeMap<PaymentId, Granted>,
    /// Members whose last grant lapsed.
    lapsed: BTreeSet<NodeId>,
    /// Grants of this node to itself, taken with entropy at hand.
    own_grants: Vec<CoinGrant>,
}

/// Coins promised to a member for a payment, for a while.
struct Granted {
    to: NodeId,
    grant: CoinGrant,
    until: Timestamp,
}

impl Granting {
    /// Coins promised to payments that nobody has proposed yet.
    pub(super) fn granted_coins(&self) -> impl Iterator<Item = &GrantedCoin> + '_ {
        self.granted.values().flat_map(|granted| &granted.grant.inputs)
    }

    /// Forgets grants that are over, and notes who made use of his.
    fn end_grants(&mut self, now: Timestamp, is_proposed: impl Fn(PaymentId) -> bool) {
        let mut used = BTreeSet::new();
        let mut lapsed = BTreeSet::new();
        self.granted.retain(|payment, granted| {
            let proposed = is_proposed(*payment);
            let over = now >= granted.until;
            if proposed {
                used.insert(granted.to);
            } else if over {
                lapsed.insert(granted.to);
            }
            !proposed && !over
        });
        sometimes!(GrantLapses, !lapsed.is_empty());
        self.lapsed.extend(lapsed);
        self.lapsed.retain(|node| !used.contains(node));
    }

    /// Whether a member has used its turn: only one that is not trusted with more than one grant has.
    fn has_had_its_turn(&self, node: NodeId) -> bool {
        self.lapsed.contains(&node) && self.granted.values().any(|granted| granted.to == node)
    }

    fn life_for(&self, node: NodeId) -> Millis {
        if self.lapsed.contains(&node) { SHORT_GRANT_LIFE } else { GRANT_LIFE }
    }

    /// When the first grant lapses.
    fn first_end(&self) -> Option<Timestamp> {
        self.granted.values().map(|granted| granted.until).min()
    }
}

struct Waiting {
    from: NodeId,
    request: CoinRequest,
    since: Timestamp,
    give_up: Timestamp,
}

/// Why there are no coins now.
pub(super) enum Shortage {
    /// Waiting may help.
    Temporary(Refusal),
    /// It will not.
    Final(Refusal),
}

impl Node {
    pub(super) fn on_coin_request(&mut self, from: NodeId, request: CoinRequest) {
        if let Some(tx) = self.state.proposed_for(request.payment) {
            // Another node has proposed it already: whoever asks for its client shall know that transaction.
            let bundle = tx.bundle();
            self.send(from, Message::Bundle(Box::new(bundle)));
            return;
        }
        if let Some(refusal) = self.frozen() {
            self.answer_refusal(from, request.payment, refusal);
            return;
        }
        // A grant that is over is not handed out again: the next in the queue gets its coins.
        self.end_grants();
        if let Some(granted) = self.granting.granted.get(&request.payment) {
            // One payment, one builder: two members with the same coins would make two proposals of it.
            if granted.to != from {
                self.answer_refusal(from, request.payment, Refusal::InProgress);
                return;
            }
            // Asked again: the grant was lost, or refused because a coin of it is taken.
            let grant = granted.grant.clone();
            let proposed = self.proposed_coins();
            let free = |coin: &OutPoint| self.state.holder_of(coin).is_none() && !proposed.contains(coin);
            if grant.inputs.iter().all(|coin| free(&coin.outpoint)) {
                self.hand_over(from, grant);
                return;
            }
            self.granting.granted.remove(&request.payment);
        }
        let known = self.granting.queue.iter().any(|w| w.request.payment == request.payment);
        if !known {
            let limit =
                (self.config.limits.waiting_requests / usize::from(self.config.cluster.total())).max(1);
            let of_asker = self.granting.queue.iter().filter(|waiting| waiting.from == from).count();
            if of_asker >= limit {
                self.answer_refusal(from, request.payment, Refusal::QueueFull { limit });
                return;
            }
            let give_up = self.now.plus(self.config.timing.coin_wait);
            self.granting.queue.push(Waiting { from, request, since: self.now, give_up });
        }
        self.serve_coin_queue();
    }

    /// Not the coordinator any more: those who wait ask the new one.
    pub(super) fn resign_as_coordinator(&mut self) {
        sometimes!(CoordinatorLeavesGrants, !self.granting.granted.is_empty());
        self.granting.queue.clear();
        self.granting.granted.clear();
    }

    /// Nobody gets coins now: those who wait are told why.
    pub(super) fn refuse_coin_queue(&mut self, refusal: &Refusal) {
        for waiting in std::mem::take(&mut self.granting.queue) {
            self.answer_refusal(waiting.from, waiting.request.payment, refusal.clone());
        }
    }

    fn end_grants(&mut self) {
        let state = &self.state;
        self.granting.end_grants(self.now, |payment| state.proposed_for(payment).is_some());
    }

    /// Serves whoever can be served, in order of arrival; refuses those without hope or out of time.
    pub(super) fn serve_coin_queue(&mut self) {
        self.end_grants();
        let now = self.now;
        let mut queue = std::mem::take(&mut self.granting.queue);
        queue.sort_by_key(|waiting| self.granting.lapsed.contains(&waiting.from));
        for waiting in queue {
            if self.is_served_by_this_node(&waiting) {
                self.serve(waiting);
            } else if now < waiting.give_up {
                self.timers.set_by(Timer::CoinQueue, now.plus(LOOK_AGAIN));
                self.granting.queue.push(waiting);
            }
        }
    }

    fn is_served_by_this_node(&self, waiting: &Waiting) -> bool {
        let own = waiting.from == self.config.me && self.chooses_for_itself(waiting.request.payment);
        let insisted = self.now.since(waiting.since) >= INSISTED;
        sometimes!(ServesWithoutCoordinating, insisted && !own && self.is_sound() && !self.may_grant());
        (self.may_grant() || (self.is_sound() && (own || insisted)))
            && self.has_majority()
            && self.chain_age().is_some()
    }

    fn serve(&mut self, waiting: Waiting) {
        if !self.granting.has_had_its_turn(waiting.from) {
            match self.choose_coins(&waiting.request) {
                Ok(grant) => {
                    self.grant(waiting.from, grant);
                    return;
                }
                Err(Shortage::Final(refusal)) => {
                    self.answer_refusal(waiting.from, waiting.request.payment, refusal);
                    return;
                }
                Err(Shortage::Temporary(refusal)) if self.now >= waiting.give_up => {
                    self.answer_refusal(waiting.from, waiting.request.payment, refusal);
                    return;
                }
                Err(Shortage::Temporary(_)) => {}
            }
        } else if self.now >= waiting.give_up {
            // Its client has given up as well.
            return;
        }
        let next = self.granting.first_end().map_or(waiting.give_up, |end| end.min(waiting.give_up));
        self.timers.set_by(Timer::CoinQueue, next);
        self.granting.queue.push(waiting);
    }

    fn grant(&mut self, to: NodeId, grant: CoinGrant) {
        let until = self.now.plus(self.granting.life_for(to));
        self.granting.granted.insert(grant.payment, Granted { to, grant: grant.clone(), until });
        self.hand_over(to, grant);
    }

    fn hand_over(&mut self, to: NodeId, grant: CoinGrant) {
        // A grant may be older than the term in which it is given again.
        let grant = CoinGrant { epoch: self.own_epoch(), ..grant };
        if to == self.config.me {
            // Taken by a timer of this very step, with entropy at hand.
            self.granting.own_grants.push(grant);
            self.timers.set(Timer::OwnGrants, self.now);
        } else {
            self.send(to, Message::CoinGrant(grant));
        }
    }

    pub(super) fn take_own_grants(&mut self, entropy: &mut dyn CryptoRngCore) {
        for grant in std::mem::take(&mut self.granting.own_grants) {
            self.on_coin_grant(self.config.me, grant, entropy);
        }
    }

    fn answer_refusal(&mut self, to: NodeId, payment: PaymentId, refusal: Refusal) {
        if to == self.config.me {
            self.give_refusal(payment, refusal);
        } else {
            let epoch = self.own_epoch();
            self.send(to, Message::CoinRefusal { payment, refusal, epoch });
        }
    }

    /// Coins for a request, of those that are free at this moment; promises nothing.
    pub(super) fn choose_coins(&self, request: &CoinRequest) -> Result<CoinGrant, Shortage> {
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
        let candidates = self.spendable_coins(wallet);
        let ask = Ask {
            recipient: &request.recipient,
            amount: request.amount,
            fee_rate,
            max_inputs: self.config.limits.inputs,
        };
        // Where each input takes a presignature and stock is low, fewer inputs sign at once and more sign late.
        let thrifty = self
            .inputs_in_stock(wallet.key)
            .filter(|stock| *stock < self.config.limits.presignatures_low)
            .map(|stock| Ask { max_inputs: stock.clamp(1, ask.max_inputs), ..ask })
            .and_then(|ask| wallet::select(wallet, &candidates, &ask, policy).ok());
        sometimes!(FewerInputsForStock, thrifty.is_some());
        let selection = thrifty.map_or_else(|| wallet::select(wallet, &candidates, &ask, policy), Ok);
        let selection = selection.map_err(|error| match error {
            SelectionError::TooManyInputs { limit } => refuse(Refusal::TooManyInputs { limit }),
            SelectionError::Insufficient { needed } => self.shortage(wallet, &candidates, needed),
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
            epoch: self.own_epoch(),
        })
    }

    /// sat/kvB for the usual target; test networks have no fee market and pay the floor.
    pub(super) fn estimate_fee_rate(&self) -> Option<u64> {
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
}
