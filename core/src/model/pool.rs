//! What a pool of presignatures holds, retold from the whole history.
//!
//! The rules: a presignature is handed out once, to its own group, and all that are asked for or none. What a peer tells
//! replaces what it told before; what it should have known for long and does not name is given up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{explore, reached};
use crate::{
    ids::{KeyId, NodeId, PresignatureId, Scheme},
    mpc::{Slot, ecdsa::Presignature},
    pool::{Label, Pool, Stocked},
    time::{Millis, Timestamp},
};

const ME: NodeId = NodeId::new(1);
const KEY: KeyId = KeyId { scheme: Scheme::Segwit, epoch: 1 };
const NEXT_KEY: KeyId = KeyId { scheme: Scheme::Segwit, epoch: 2 };
const GROUPS: [[u16; 2]; 2] = [[1, 2], [1, 3]];
const COUNT: u8 = 8;

#[derive(Clone, Debug)]
enum Deed {
    /// Presignature by number; its group and its key follow from the number.
    Add(u8),
    /// By a group.
    Take {
        group: usize,
        key: KeyId,
        numbers: Vec<u8>,
    },
    /// A peer tells what it holds; what was made before the given number of deeds is old enough to be known.
    Hear {
        from: u16,
        holds: BTreeSet<u8>,
        made_before: usize,
    },
    Forget(u16),
    KeepOnly(KeyId),
    Drain,
}

const fn group_of(number: u8) -> usize {
    if number.is_multiple_of(2) { 0 } else { 1 }
}

const fn key_of(number: u8) -> KeyId {
    if number < COUNT - 2 { KEY } else { NEXT_KEY }
}

fn stocked(number: u8, made_at: Timestamp) -> Stocked {
    let signers = GROUPS[group_of(number)];
    let slots = signers.map(|node| Slot(node - 1)).to_vec();
    Stocked {
        presignature: Presignature::fixture(number, slots),
        label: Label {
            key: key_of(number),
            signers: signers.map(NodeId::new).to_vec(),
            made_at,
            took: Millis(1),
        },
    }
}

fn id(number: u8) -> PresignatureId {
    stocked(number, Timestamp(0)).id()
}

/// Everything that happened, in order.
#[derive(Clone, Debug, Default)]
struct Model {
    history: Vec<Deed>,
}

impl Model {
    /// What is held, and when it was made, told anew from the first day; and what each peer told last.
    fn tell(&self) -> (BTreeMap<u8, usize>, BTreeMap<u16, BTreeSet<u8>>) {
        let mut held = BTreeMap::new();
        let mut told = BTreeMap::new();
        for (at, deed) in self.history.iter().enumerate() {
            match deed {
                Deed::Add(number) => {
                    held.entry(*number).or_insert(at);
                }
                Deed::Take { numbers, .. } => {
                    if fits(&held, deed) {
                        held.retain(|number, _| !numbers.contains(number));
                    }
                }
                Deed::Hear { from, holds, made_before } => {
                    let lacks = |number: &u8, made: usize| {
                        GROUPS[group_of(*number)].contains(from)
                            && made < *made_before
                            && !holds.contains(number)
                    };
                    held.retain(|number, made| !lacks(number, *made));
                    told.insert(*from, holds.clone());
                }
                Deed::Forget(node) => {
                    told.remove(node);
                }
                Deed::KeepOnly(key) => held.retain(|number, _| key_of(*number) == *key),
                Deed::Drain => held.clear(),
            }
        }
        (held, told)
    }

    fn ready(&self, group: usize) -> BTreeSet<u8> {
        let (held, told) = self.tell();
        let peer = GROUPS[group][1];
        let all_hold = |number: &u8| told.get(&peer).is_some_and(|holds| holds.contains(number));
        held.into_keys()
            .filter(|number| group_of(*number) == group && key_of(*number) == KEY && all_hold(number))
            .collect()
    }
}

/// Whether a request to take can be met: distinct, all here, all of that group and key.
fn fits(held: &BTreeMap<u8, usize>, deed: &Deed) -> bool {
    let Deed::Take { group, key, numbers } = deed else { return false };
    let distinct: BTreeSet<&u8> = numbers.iter().collect();
    distinct.len() == numbers.len()
        && numbers
            .iter()
            .all(|number| held.contains_key(number) && group_of(*number) == *group && key_of(*number) == *key)
}

struct Trade;

impl ReferenceStateMachine for Trade {
    type State = Model;
    type Transition = Deed;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Deed> {
        let number = 0..COUNT;
        let (held, _) = model.tell();
        let held: Vec<u8> = if held.is_empty() { vec![0] } else { held.into_keys().collect() };
        let one = prop::sample::select(held.clone()).prop_map(|number| Deed::Take {
            group: group_of(number),
            key: key_of(number),
            numbers: vec![number],
        });
        let some = (0..2_usize, prop::collection::vec(prop::sample::select(held.clone()), 1..4))
            .prop_map(|(group, numbers)| Deed::Take { group, key: KEY, numbers });
        let of_one_group: Vec<u8> =
            held.iter().copied().filter(|number| key_of(*number) == KEY && group_of(*number) == 0).collect();
        let all = Just(Deed::Take { group: 0, key: KEY, numbers: of_one_group });
        let time = 0..=model.history.len();
        let hear = (2..=3_u16, prop::collection::btree_set(number.clone(), 0..8), time)
            .prop_map(|(from, holds, made_before)| Deed::Hear { from, holds, made_before });
        prop_oneof![
            8 => number.prop_map(Deed::Add),
            2 => one,
            2 => some,
            1 => all,
            4 => hear,
            1 => (2..=3_u16).prop_map(Deed::Forget),
            1 => prop::sample::select(vec![KEY, NEXT_KEY]).prop_map(Deed::KeepOnly),
            1 => Just(Deed::Drain),
        ]
        .boxed()
    }

    fn apply(mut model: Model, deed: &Deed) -> Model {
        model.history.push(deed.clone());
        model
    }
}

/// A pool, and what has been handed out.
struct Shop {
    pool: Pool,
    deeds: u64,
}

impl StateMachineTest for Shop {
    type SystemUnderTest = Self;
    type Reference = Trade;

    fn init_test(_: &Model) -> Self {
        Self { pool: Pool::default(), deeds: 0 }
    }

    fn apply(mut shop: Self, model: &Model, deed: Deed) -> Self {
        let before = Model { history: model.history[..model.history.len() - 1].to_vec() };
        let (held, _) = before.tell();
        let at = |deeds: usize| Timestamp(u64::try_from(deeds).unwrap());
        reached(match &deed {
            Deed::Add(number) => {
                let new = shop.pool.add(stocked(*number, Timestamp(shop.deeds)));
                assert_eq!(new, !held.contains_key(number));
                if new { "is made" } else { "is there already" }
            }
            Deed::Take { group, key, numbers } => {
                let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
                let taken = shop.pool.take(*key, &GROUPS[*group].map(NodeId::new), &ids);
                assert_eq!(taken.is_some(), fits(&held, &deed), "{deed:?} of {held:?}");
                let got: Option<Vec<_>> = taken.map(|taken| taken.iter().map(Stocked::id).collect());
                let met = got.is_some();
                assert!(got.is_none_or(|got| got == ids), "in the order asked for");
                match (met, numbers.len()) {
                    (true, 0) => "nothing is asked for",
                    (false, _) => "asked for what is not there",
                    (true, 1) => "is used",
                    (true, _) => "are used together",
                }
            }
            Deed::Hear { from, holds, made_before } => {
                let holds = holds.iter().map(|number| id(*number)).collect();
                shop.pool.hear(NodeId::new(*from), holds, at(*made_before));
                if model.tell().0.len() < held.len() { "turn out to be lost" } else { "a peer tells" }
            }
            Deed::Forget(node) => {
                shop.pool.forget_member(NodeId::new(*node));
                "a peer restarts"
            }
            Deed::KeepOnly(key) => {
                shop.pool.keep_only(*key);
                "the key changes"
            }
            Deed::Drain => {
                assert_eq!(shop.pool.drain().len(), held.len());
                "everything goes"
            }
        });
        shop.deeds += 1;
        shop
    }

    fn check_invariants(shop: &Self, model: &Model) {
        let (held, _) = model.tell();
        let ids: BTreeSet<_> = shop.pool.ids().collect();
        assert_eq!(ids, held.keys().map(|number| id(*number)).collect());
        assert_eq!(shop.pool.is_empty(), held.is_empty());
        for (group, signers) in GROUPS.iter().enumerate() {
            let signers = signers.map(NodeId::new);
            let of_group =
                held.keys().filter(|number| group_of(**number) == group && key_of(**number) == KEY);
            assert_eq!(shop.pool.held(KEY, &signers), of_group.count());
            let ready: BTreeSet<_> = shop.pool.ready(KEY, &signers, ME).into_iter().collect();
            assert_eq!(ready, model.ready(group).into_iter().map(id).collect());
        }
    }
}

#[test]
fn a_pool_holds_and_hands_out_what_the_whole_history_says() {
    explore::<Shop>(
        256,
        60,
        &[
            ("is made", 1000),
            ("is there already", 200),
            ("asked for what is not there", 400),
            ("is used", 300),
            ("are used together", 30),
            ("nothing is asked for", 20),
            ("turn out to be lost", 80),
            ("a peer tells", 300),
            ("a peer restarts", 100),
            ("the key changes", 100),
            ("everything goes", 100),
        ],
    );
}
