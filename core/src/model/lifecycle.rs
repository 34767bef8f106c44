//! The lives of a few transactions, against a list of moves taken from the specification.

use std::collections::BTreeMap;

use bitcoin::Txid;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{explore, reached};
use crate::{
    codec,
    config::Cluster,
    fixture::{cluster, proposal, signed},
    ids::{LogIndex, NodeId},
    record::{Fact, Record},
    state::{ApplyError, State},
    time::Timestamp,
    tx::{State as TxState, SubStatus},
};

/// Which states may follow which, by their names: the main line, then the ways out of it, then the ways back.
pub(super) const MOVES: [&str; 20] = [
    "pending → voting",
    "voting → threshold_reached",
    "threshold_reached → approved",
    "approved → signing",
    "signing → signed",
    "signed → broadcasting",
    "broadcasting → confirmed",
    // Refused, or out of time.
    "pending → rejected",
    "voting → rejected",
    // Given up, or an input is gone.
    "voting → failed",
    "threshold_reached → failed",
    "approved → failed",
    "signing → failed",
    "signed → failed",
    "broadcasting → failed",
    "signing → aborted_byzantine",
    // A node that slept learns of the signature.
    "voting → signed",
    "threshold_reached → signed",
    "approved → signed",
    // A block is undone.
    "confirmed → broadcasting",
];

/// Whether the list has a move.
pub(super) fn is_a_move(from: &str, to: &str) -> bool {
    MOVES.contains(&format!("{from} → {to}").as_str())
}

/// States in which a story is over.
const ENDS: [&str; 4] = ["confirmed", "rejected", "failed", "aborted_byzantine"];

const TRANSACTIONS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Propose(u8),
    /// To a state by its place in [`TxState::ALL`], with an attempt's number as reason.
    Move(u8, usize, u32),
    Explain(u8, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    state: &'static str,
    reason: SubStatus,
    since: u64,
    /// Number of the record that last changed it.
    changed: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    records: u64,
    lives: BTreeMap<u8, Life>,
    /// What the last record met with.
    met: &'static str,
}

struct Story;

impl ReferenceStateMachine for Story {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let tx = 0..TRANSACTIONS;
        // Most moves are legal ones, or no walk would leave the first states.
        let legal: Vec<Step> = model
            .lives
            .iter()
            .flat_map(|(tx, life)| {
                let to = (0..TxState::ALL.len()).filter(|to| is_a_move(life.state, TxState::ALL[*to].name()));
                to.map(|to| Step::Move(*tx, to, 1))
            })
            .collect();
        let any =
            (tx.clone(), 0..TxState::ALL.len(), 0..3_u32).prop_map(|(tx, to, why)| Step::Move(tx, to, why));
        let other = prop_oneof![
            2 => tx.clone().prop_map(Step::Propose),
            3 => any,
            1 => (tx, 0..3_u32).prop_map(|(tx, why)| Step::Explain(tx, why)),
        ];
        if legal.is_empty() {
            return other.boxed();
        }
        prop_oneof![5 => prop::sample::select(legal), 3 => other].boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.records += 1;
        let (now, changed) = (model.records, model.records);
        let known = |tx| model.lives.contains_key(tx);
        model.met = match step {
            Step::Propose(tx) if known(tx) => "proposed again",
            Step::Propose(tx) => {
                let reason = SubStatus::AwaitingVotes;
                model.lives.insert(*tx, Life { state: "pending", reason, since: now, changed });
                "proposed"
            }
            Step::Move(tx, ..) | Step::Explain(tx, _) if !known(tx) => "unknown transaction",
            Step::Explain(tx, why) => {
                let life = model.lives.get_mut(tx).unwrap();
                (life.reason, life.changed) = (SubStatus::SigningAttempt(*why), changed);
                "explained"
            }
            Step::Move(tx, to, why) => {
                let life = model.lives.get_mut(tx).unwrap();
                let to = TxState::ALL[*to].name();
                if is_a_move(life.state, to) {
                    let met = match (life.state, to) {
                        ("confirmed", _) => "reopened",
                        (_, to) if ENDS.contains(&to) => "ended",
                        _ => "moved",
                    };
                    *life = Life { state: to, reason: SubStatus::SigningAttempt(*why), since: now, changed };
                    met
                } else if ENDS.contains(&life.state) {
                    "move after the end"
                } else {
                    "illegal move"
                }
            }
        };
        model
    }
}

/// A journal and the state it makes.
struct Book {
    cluster: Cluster,
    txids: Vec<Txid>,
    state: State,
    records: Vec<Record>,
}

impl Book {
    fn fact(&self, step: &Step) -> Fact {
        let txid = |tx: &u8| self.txids[usize::from(*tx)];
        match step {
            Step::Propose(tx) => Fact::Proposed(Box::new(signed(proposal(&self.cluster, *tx, &[*tx])))),
            Step::Move(tx, to, why) => {
                let (txid, to, sub_status) = (txid(tx), TxState::ALL[*to], SubStatus::SigningAttempt(*why));
                Fact::Transition { txid, from: TxState::Pending, to, sub_status, cause: String::new() }
            }
            Step::Explain(tx, why) => {
                Fact::SubStatusChanged { txid: txid(tx), sub_status: SubStatus::SigningAttempt(*why) }
            }
        }
    }
}

impl StateMachineTest for Book {
    type SystemUnderTest = Self;
    type Reference = Story;

    fn init_test(_: &Model) -> Self {
        let cluster = cluster(5, 4);
        let txids = (0..TRANSACTIONS).map(|tx| proposal(&cluster, tx, &[tx]).txid()).collect();
        Self { cluster, txids, state: State::default(), records: vec![] }
    }

    fn apply(mut book: Self, model: &Model, step: Step) -> Self {
        let record = Record { at: Timestamp(model.records), fact: book.fact(&step) };
        let done = book.state.apply(NodeId::new(1), &book.cluster, &record);
        let expected = match &done {
            Ok(()) => !["unknown transaction", "illegal move", "move after the end"].contains(&model.met),
            Err(ApplyError::UnknownTransaction(_)) => model.met == "unknown transaction",
            Err(ApplyError::UsedTwice(_)) => false,
            Err(ApplyError::Illegal { .. }) => ["illegal move", "move after the end"].contains(&model.met),
        };
        assert!(expected, "{step:?} meets with {done:?} instead of {}", model.met);
        reached(model.met);
        book.records.push(record);
        book
    }

    fn check_invariants(book: &Self, model: &Model) {
        assert_eq!(
            book.state.position(),
            LogIndex(model.records),
            "a refused record is in the journal all the same"
        );
        let lives: BTreeMap<u8, Life> = (0..TRANSACTIONS)
            .filter_map(|tx| {
                let record = book.state.transaction(book.txids[usize::from(tx)])?;
                let (state, reason) = (record.state.name(), record.sub_status.clone());
                let changed =
                    book.state.changed_since(LogIndex(0)).find(|(_, other)| other.txid() == record.txid());
                let changed = changed.map_or(0, |(index, _)| index.0);
                Some((tx, Life { state, reason, since: record.since.0, changed }))
            })
            .collect();
        assert_eq!(lives, model.lives);
        let mut open: Vec<Txid> = model
            .lives
            .iter()
            .filter(|(_, life)| !ENDS.contains(&life.state))
            .map(|(tx, _)| book.txids[usize::from(*tx)])
            .collect();
        open.sort();
        assert_eq!(book.state.open().map(|(txid, _)| txid).collect::<Vec<_>>(), open);
        assert_eq!(book.state.open_count(), open.len());
    }

    fn teardown(book: Self, _: Model) {
        let mut again = State::default();
        for record in &book.records {
            let bytes = codec::encode(record).unwrap();
            let read: Record = codec::decode(&bytes, bytes.len()).unwrap();
            // Refused again if it was refused before.
            let _ = again.apply(NodeId::new(1), &book.cluster, &read);
        }
        assert_eq!(again.digest(), book.state.digest(), "replay equals live");
    }
}

#[test]
fn transactions_move_only_as_the_specification_says() {
    explore::<Book>(
        256,
        60,
        &[
            ("proposed", 200),
            ("proposed again", 500),
            ("unknown transaction", 300),
            ("moved", 200),
            ("ended", 200),
            ("reopened", 10),
            ("illegal move", 30),
            ("move after the end", 500),
            ("explained", 200),
        ],
    );
}
