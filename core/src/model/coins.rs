//! Which transaction holds which coin and which payment, retold from the whole history.
//!
//! The rules, from the specification: a node's own approval takes what is free, and so does a signature, whatever the
//! node said. What is taken stays taken until its transaction ends unsigned and `n − t + 1 + f` members are bound never
//! to sign it. A node votes once.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid, Witness};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{explore, lifecycle::is_a_move, reached};
use crate::{
    config::Cluster,
    fixture::{cluster, coin, promise, proposal, signed, vote},
    ids::{NodeId, PaymentId},
    message::FinalTransaction,
    record::{Fact, Record},
    state::State,
    time::Timestamp,
    tx::{Proposal, State as TxState, SubStatus},
    vote::{Decision, RejectReason},
};

const ME: u16 = 2;
const N: u16 = 5;
const T: u16 = 4;
/// n − t + 1 + f of this cluster.
const BOUND_TO_RELEASE: usize = 3;

/// Payment and coins of each transaction: every one contends with another, two for one payment.
const TRANSACTIONS: [(u8, &[u8]); 5] = [(1, &[1, 2]), (1, &[2, 3]), (2, &[3]), (3, &[4, 1]), (4, &[4, 5])];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Propose,
    Approve(u16),
    Reject(u16),
    Promise(u16),
    Sign,
    /// To a state by its place in [`TxState::ALL`].
    Move(usize),
}

type Step = (usize, Deed);

/// What happened, in order, without what the journal refused.
#[derive(Clone, Debug, Default)]
struct Model {
    history: Vec<Step>,
    refused: bool,
}

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    coins: BTreeMap<u8, usize>,
    payments: BTreeMap<u8, usize>,
}

impl Model {
    fn known(&self, tx: usize) -> bool {
        self.history.contains(&(tx, Deed::Propose))
    }

    fn state(&self, tx: usize) -> &'static str {
        let mut latest_first = self.history.iter().rev().filter(|(of, _)| *of == tx);
        latest_first
            .find_map(|(_, deed)| match deed {
                Deed::Move(to) => Some(TxState::ALL[*to].name()),
                Deed::Propose | Deed::Approve(_) | Deed::Reject(_) | Deed::Promise(_) | Deed::Sign => None,
            })
            .unwrap_or("pending")
    }

    /// About so many are bound: a refusal after an approval is counted here, and binds nobody.
    fn bound(&self, tx: usize) -> usize {
        let words = self.history.iter().filter_map(|(of, deed)| match deed {
            Deed::Promise(node) | Deed::Reject(node) => (*of == tx).then_some(*node),
            Deed::Propose | Deed::Approve(_) | Deed::Sign | Deed::Move(_) => None,
        });
        words.collect::<BTreeSet<u16>>().len()
    }

    /// Everything told anew from the first day.
    fn held(&self) -> Held {
        let mut held = Held::default();
        let mut voted = BTreeSet::new();
        let mut bound: [BTreeSet<u16>; TRANSACTIONS.len()] = Default::default();
        let mut is_signed = [false; TRANSACTIONS.len()];
        for (tx, deed) in &self.history {
            let tx = *tx;
            let mut takes = false;
            match deed {
                Deed::Propose => {}
                Deed::Approve(node) => takes = voted.insert((tx, *node)) && *node == ME,
                Deed::Reject(node) => {
                    if voted.insert((tx, *node)) {
                        bound[tx].insert(*node);
                    }
                }
                Deed::Promise(node) => {
                    bound[tx].insert(*node);
                }
                Deed::Sign => (takes, is_signed[tx]) = (true, true),
                Deed::Move(to) => {
                    let over =
                        ["rejected", "failed", "aborted_byzantine"].contains(&TxState::ALL[*to].name());
                    if over && !is_signed[tx] && bound[tx].len() >= BOUND_TO_RELEASE {
                        held.coins.retain(|_, holder| *holder != tx);
                        held.payments.retain(|_, holder| *holder != tx);
                    }
                }
            }
            if takes {
                let (payment, coins) = TRANSACTIONS[tx];
                for number in coins {
                    held.coins.entry(*number).or_insert(tx);
                }
                held.payments.entry(payment).or_insert(tx);
            }
        }
        held
    }
}

struct Strife;

impl ReferenceStateMachine for Strife {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let state = model.clone();
        (0..TRANSACTIONS.len())
            .prop_flat_map(move |tx| {
                let node = 1..=N;
                let (known, from) = (state.known(tx), state.state(tx));
                let ripe = state.bound(tx) >= BOUND_TO_RELEASE || from == "pending";
                let is_next = |to: &usize| is_a_move(from, TxState::ALL[*to].name());
                let next: Vec<usize> = (0..TxState::ALL.len()).filter(is_next).collect();
                let next = if next.is_empty() { vec![0] } else { next };
                let deed = prop_oneof![
                    if known { 1 } else { 20 } => Just(Deed::Propose),
                    4 => Just(Deed::Approve(ME)),
                    1 => node.clone().prop_map(Deed::Approve),
                    2 => node.clone().prop_map(Deed::Reject),
                    8 => node.prop_map(Deed::Promise),
                    1 => Just(Deed::Sign),
                    // A walk that ends its transactions before they are bound sees no release.
                    if ripe { 12 } else { 1 } => prop::sample::select(next).prop_map(Deed::Move),
                    1 => (0..TxState::ALL.len()).prop_map(Deed::Move),
                ];
                (Just(tx), deed)
            })
            .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        let (tx, deed) = *step;
        let legal = match deed {
            Deed::Propose => true,
            Deed::Move(to) => model.known(tx) && is_a_move(model.state(tx), TxState::ALL[to].name()),
            Deed::Approve(_) | Deed::Reject(_) | Deed::Promise(_) | Deed::Sign => model.known(tx),
        };
        model.refused = !legal;
        if legal {
            model.history.push(*step);
        }
        model
    }
}

/// The journal of a node.
struct Book {
    cluster: Cluster,
    proposals: Vec<Proposal>,
    state: State,
    /// Who held what before the last step.
    before: Held,
}

impl Book {
    fn fact(&self, (tx, deed): Step) -> Fact {
        let proposal = &self.proposals[tx];
        match deed {
            Deed::Propose => Fact::Proposed(Box::new(signed(proposal.clone()))),
            Deed::Approve(node) => Fact::Voted(vote(&self.cluster, proposal, node, Decision::Approve)),
            Deed::Reject(node) => {
                let decision = Decision::Reject(RejectReason::Expired);
                Fact::Voted(vote(&self.cluster, proposal, node, decision))
            }
            Deed::Promise(node) => Fact::Promised(promise(&self.cluster, proposal, node)),
            Deed::Sign => {
                let mut transaction = proposal.unsigned_tx.clone();
                for input in &mut transaction.input {
                    input.witness = Witness::from_slice(&[[1; 64]]);
                }
                Fact::Signed(FinalTransaction(transaction))
            }
            Deed::Move(to) => Fact::Transition {
                txid: proposal.txid(),
                from: TxState::Pending,
                to: TxState::ALL[to],
                sub_status: SubStatus::Abandoned,
                cause: String::new(),
            },
        }
    }

    fn number(&self, txid: Txid) -> usize {
        self.proposals.iter().position(|proposal| proposal.txid() == txid).unwrap()
    }

    fn held(&self) -> Held {
        let outpoints: BTreeMap<OutPoint, u8> = (1..=5).map(|number| (coin(number), number)).collect();
        let coins = self.state.committed_coins().map(|(outpoint, holder)| {
            assert_eq!(self.state.holder_of(outpoint), Some(holder));
            (outpoints[outpoint], self.number(holder))
        });
        let payments = (1..=4).filter_map(|number| {
            let holder = self.state.serving(PaymentId::from_bytes([number; 32]))?;
            Some((number, self.number(holder)))
        });
        Held { coins: coins.collect(), payments: payments.collect() }
    }
}

impl StateMachineTest for Book {
    type SystemUnderTest = Self;
    type Reference = Strife;

    fn init_test(_: &Model) -> Self {
        let cluster = cluster(N, T);
        let proposals = (0_u64..).zip(TRANSACTIONS).map(|(number, (payment, coins))| {
            let mut proposal = proposal(&cluster, payment, coins);
            proposal.created_at = Timestamp(number);
            proposal
        });
        let proposals = proposals.collect();
        Self { cluster, proposals, state: State::default(), before: Held::default() }
    }

    fn apply(mut book: Self, model: &Model, step: Step) -> Self {
        book.before = book.held();
        let record = Record { at: Timestamp(book.state.position().0), fact: book.fact(step) };
        let done = book.state.apply(NodeId::new(ME), &book.cluster, &record);
        assert_eq!(done.is_err(), model.refused, "{step:?}: {done:?}");
        let (before, after) = (&book.before.coins, book.held().coins);
        let (tx, deed) = step;
        let others = |coin| before.get(coin).is_some_and(|holder| *holder != tx);
        let contested = TRANSACTIONS[tx].1.iter().any(others);
        reached(match deed {
            _ if model.refused => "refused by the journal",
            Deed::Approve(ME) | Deed::Sign if after.len() > before.len() => "takes coins",
            Deed::Approve(ME) | Deed::Sign if contested => "finds coins taken",
            Deed::Approve(ME) => "approves again or too late",
            Deed::Sign => "is signed again",
            Deed::Approve(_) | Deed::Reject(_) | Deed::Promise(_) => "somebody speaks",
            Deed::Propose => "proposed",
            Deed::Move(_) if after.len() < before.len() => "gives coins back",
            Deed::Move(to) if TxState::ALL[to].is_final() && before.values().any(|holder| *holder == tx) => {
                "ends and keeps its coins"
            }
            Deed::Move(_) => "moves",
        });
        book
    }

    fn check_invariants(book: &Self, model: &Model) {
        let held = book.held();
        assert_eq!(held, model.held());
        for (coin, holder) in &book.before.coins {
            let now = held.coins.get(coin);
            assert!(now.is_none_or(|now| now == holder), "coin {coin} goes over without a release");
        }
        for holder in held.coins.values() {
            let approved = model.history.contains(&(*holder, Deed::Approve(ME)));
            assert!(approved || model.history.contains(&(*holder, Deed::Sign)), "held without consent");
        }
    }
}

#[test]
fn coins_and_payments_are_held_as_the_whole_history_says() {
    explore::<Book>(
        384,
        80,
        &[
            ("refused by the journal", 1000),
            ("takes coins", 250),
            ("finds coins taken", 200),
            ("approves again or too late", 200),
            ("is signed again", 40),
            ("somebody speaks", 1500),
            ("proposed", 600),
            ("gives coins back", 12),
            ("ends and keeps its coins", 60),
            ("moves", 400),
        ],
    );
}
