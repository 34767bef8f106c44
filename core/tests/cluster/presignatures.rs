//! The stock of presignatures: made ahead, used once, dropped with a restored journal, never in a payment's way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    sync::mpsc::{Receiver, channel},
};

use bitcoin::Amount;
use mpc_wallet_core::{
    Limits, Millis, NodeId, PresignatureId, Scheme,
    identity::Signed,
    message::{Message, Stock, Subject},
    mpc::{Suite, Suites},
    overview::{KeygenPhase, PoolView},
    pool::{KeptPresignatures, Stocked},
    record::Fact,
    step::{Alert, Command},
    tx::State,
};

use crate::support::{World, key, make_wallet, payment, spendable};

const LOW: usize = 2;
const HIGH: usize = 4;

fn segwit_payment(amount: u64) -> Command {
    let Command::Pay(mut request) = payment(amount) else { panic!("a payment") };
    request.scheme = Scheme::Segwit;
    Command::Pay(request)
}

fn pool(world: &World, node: u16) -> PoolView {
    world.node(node).overview().presignatures.expect("a key that uses presignatures")
}

/// Presignatures of the group in use that node-1 could use now.
fn ready(world: &World) -> usize {
    pool(world, 1).groups[0].ready
}

fn limits() -> Limits {
    Limits { presignatures_low: LOW, presignatures_high: HIGH, ..Limits::default() }
}

/// Five members with a SegWit wallet of these many coins, and a full stock.
fn cluster(coins: u64) -> World {
    let mut world = World::of(Suites::MOCK, limits());
    world.run_until("everybody online", all_speak);
    make_wallet(&mut world, Scheme::Segwit);
    let script = world.wallet_of(Scheme::Segwit).unwrap().script();
    for _ in 1..coins {
        world.ledger.fund(&script, Amount::from_sat(1_000_000));
    }
    world.run_until("a full stock", |world| ready(world) == HIGH);
    world
}

/// What every node recorded as used, and in how many sessions each.
fn used(world: &World) -> Vec<(NodeId, PresignatureId)> {
    let of = |node: &NodeId| {
        let records = world.disks[node].iter();
        records
            .filter_map(|record| match &record.fact {
                Fact::PresignaturesUsed { presignatures, .. } => Some(presignatures.clone()),
                _ => None,
            })
            .flatten()
            .map(|used| (*node, used.id))
            .collect::<Vec<_>>()
    };
    world.nodes.keys().flat_map(of).collect()
}

fn assert_used_once(world: &World) {
    let all = used(world);
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_payment_takes_one_presignature_for_each_input_and_the_stock_fills_again() {
    let mut world = cluster(1);
    world.ask(3, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(used(&world).len(), 4, "one at each signer");
    assert_used_once(&world);
    world.run_until("a full stock", |world| ready(world) >= LOW);
    world.assert_peace();
}

/// The reasons of being in a state that a node recorded, in order.
fn sub_statuses(world: &World, node: u16) -> Vec<String> {
    let records = world.disks[&NodeId::new(node)].iter();
    records
        .filter_map(|record| match &record.fact {
            Fact::Transition { sub_status, .. } | Fact::SubStatusChanged { sub_status, .. } => {
                Some(sub_status.to_string())
            }
            _ => None,
        })
        .collect()
}

#[test]
fn as_many_payments_as_there_is_stock_are_signed_at_once_and_the_next_completes_by_itself() {
    let mut world = cluster(12);
    // A group that stands by has some as well.
    world.run_until("all stock", |world| pool(world, 1).available() == HIGH + 3 * LOW);
    allow_presignings(&mut world, 0);
    let stock = HIGH + 3 * LOW;
    for number in 0..=stock {
        world.ask(1 + u16::try_from(number % 5).unwrap(), segwit_payment(50_000));
    }
    world.run_until("all confirmed", |world| world.all_have(stock + 1, State::Confirmed));
    assert_used_once(&world);
    let said = sub_statuses(&world, 1);
    assert!(said.iter().any(|said| said == "attempt_1"), "{said:?}");
    assert!(said.iter().any(|said| said == "attempt_1_without_presignatures"), "{said:?}");
    world.assert_peace();
}

/// Lets this many presignings of the group in use begin; those after them, and all others, are not heard of.
fn allow_presignings(world: &mut World, count: usize) {
    let mut begun = BTreeSet::new();
    world.tamper = Some(Box::new(move |_, _, message| match &message {
        Message::SignRequest(request) if request.session.subject == Subject::Presigning => {
            let known = begun.contains(&request.session.id());
            let passes = known || (request.session.leader == NodeId::new(1) && begun.len() < count);
            if passes {
                begun.insert(request.session.id());
            }
            if passes { vec![message] } else { vec![] }
        }
        _ => vec![message],
    }));
}

/// How many coins a payment takes of a wallet with one of ten million and two of one million, of which the two together
/// would be exact, and change is avoided.
fn inputs_with_stock_of(presignatures: usize) -> usize {
    let mut world = World::of(Suites::MOCK, limits());
    allow_presignings(&mut world, presignatures);
    world.run_until("everybody online", all_speak);
    make_wallet(&mut world, Scheme::Segwit);
    let script = world.wallet_of(Scheme::Segwit).unwrap().script();
    for _ in 0..2 {
        world.ledger.fund(&script, Amount::from_sat(1_000_000));
    }
    let funds = Amount::from_sat(12_000_000);
    world.run_until("all coins", |world| spendable(world.node(1), Scheme::Segwit) == funds);
    world.run_until("what there will be", |world| ready(world) == presignatures);
    let Command::Pay(mut request) = segwit_payment(2_000_000 - 178) else { panic!("a payment") };
    request.fee_rate = Some(1_000);
    world.ask(1, Command::Pay(request));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    let (_, tx) = world.node(1).state().transactions().next().unwrap();
    tx.proposal.body.prevouts.len()
}

#[test]
fn coins_are_chosen_so_that_the_stock_is_enough() {
    assert_eq!((inputs_with_stock_of(2), inputs_with_stock_of(1)), (2, 1));
}

/// Stops a node in order and starts it again: what it kept goes with it.
fn stop_and_start(world: &mut World, node: u16) {
    let kept = world.keep_presignatures(node).expect("a stock");
    world.restart_with(node, usize::MAX, Some(kept));
}

fn all_speak(world: &World) -> bool {
    world.nodes.values().all(|node| node.overview().standing.is_sound() && node.overview().online == 5)
}

#[test]
fn the_stock_outlives_an_orderly_stop() {
    let mut world = cluster(1);
    stop_and_start(&mut world, 2);
    assert_eq!(
        pool(&world, 2).groups.iter().map(|group| group.held).sum::<usize>(),
        0,
        "not before peers confirm"
    );
    allow_presignings(&mut world, 0);
    world.run_until("all speak", all_speak);
    world.run_until("the stock is known again", |world| ready(world) == HIGH);
    world.ask(2, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(used(&world).len(), 4);
    world.assert_peace();
}

#[test]
fn a_crash_takes_the_stock_and_the_others_drop_their_halves_of_it() {
    let mut world = cluster(1);
    let before = pool(&world, 1).groups[0].held;
    world.restart(2, usize::MAX);
    world.run_until("all speak", all_speak);
    assert_eq!((before, ready(&world)), (HIGH, 0));
    world.ask(2, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    world.run_until("a full stock", |world| ready(world) == HIGH);
    let held = pool(&world, 1).groups[0].held;
    assert!(held <= HIGH, "{held} held, {HIGH} ready");
    assert_used_once(&world);
    world.assert_peace();
}

#[test]
fn a_restored_node_drops_what_it_kept_and_pays_again() {
    let mut world = cluster(8);
    // A copy of the data directory as it was after the stop, the sealed file in it.
    let file = world.keep_presignatures(2).expect("a stock").to_secret_bytes().unwrap();
    let backup = world.disks[&NodeId::new(2)].len();
    let kept = || KeptPresignatures::from_secret_bytes(&file).unwrap();
    world.restart_with(2, usize::MAX, Some(kept()));
    world.run_until("all speak", all_speak);
    world.run_until("the stock is known again", |world| ready(world) == HIGH);
    world.ask(1, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    world.restart_with(2, backup, Some(kept()));
    world.run_until("all speak", all_speak);
    let dropped = |(_, alert): &(NodeId, Alert)| format!("{alert:?}").contains("presignatures are dropped");
    assert!(world.alerts.iter().any(dropped), "{:?}", world.alerts);
    world.ask(3, segwit_payment(100_000));
    world.run_until("another one", |world| world.have(&[1, 3, 4, 5], 2, State::Confirmed));
    assert_used_once(&world);
}

#[test]
fn what_was_kept_at_another_place_of_the_journal_is_dropped() {
    let mut world = cluster(1);
    let kept = world.keep_presignatures(2).expect("a stock");
    world.restart(2, usize::MAX);
    world.run_until("all speak", all_speak);
    world.restart_with(2, usize::MAX, Some(kept));
    world.run_until("all speak", all_speak);
    assert!(
        world.alerts.iter().any(|(_, alert)| format!("{alert:?}").contains("another place")),
        "{:?}",
        world.alerts
    );
}

#[test]
fn a_presignature_that_a_signer_lacks_costs_an_attempt_and_nothing_else() {
    let mut world = cluster(1);
    let kept = world.keep_presignatures(2).expect("a stock");
    let told: Vec<_> = kept.stock.iter().map(Stocked::id).collect();
    world.restart(2, usize::MAX);
    // Node-2 goes on telling what it held before.
    world.tamper = Some(Box::new(move |from, _, message| match message {
        Message::Stock(_) if from == NodeId::new(2) => {
            vec![Message::Stock(Stock { primes: false, presignatures: told.clone() })]
        }
        message => vec![message],
    }));
    world.run_until("all speak", all_speak);
    world.run_until("a stock that is none", |world| ready(world) > 0);
    world.ask(1, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    let said = sub_statuses(&world, 1);
    assert!(said.iter().any(|said| said == "retrying_other_subset"), "{said:?}");
    assert_used_once(&world);
}

#[test]
fn presignatures_can_be_ordered_at_any_node() {
    let mut world = cluster(1);
    world.ask(5, Command::Presign { count: 3 });
    world.run_until("more than the usual stock", |world| ready(world) == HIGH + 3);
    assert_eq!(pool(&world, 1).ordered, 0);
    world.assert_peace();
}

#[test]
fn a_key_waits_until_every_member_has_primes() {
    let mut world = World::of(Suites::MOCK, Limits::default());
    let held_back = Rc::new(Cell::new(true));
    let closed = Rc::clone(&held_back);
    world.tamper = Some(Box::new(move |from, _, message| match message {
        Message::Stock(_) if from == NodeId::new(5) && closed.get() => vec![],
        message => vec![message],
    }));
    world.run_until("everybody online", |world| world.nodes.values().all(|node| node.overview().online == 5));
    world.ask(2, Command::GenerateKey(Scheme::Segwit));
    world.run_until("an answer", |world| !world.replies.is_empty());
    let view = world.node(2).overview().keygen.expect("a ceremony that waits");
    assert_eq!((view.phase, view.waiting_for), (KeygenPhase::Preparing, vec![NodeId::new(5)]));
    held_back.set(false);
    world.run_until("an active key", |world| world.node(1).state().current_key(Scheme::Segwit).is_some());
}

#[test]
fn a_fault_in_presigning_is_told_and_payments_go_on() {
    let mut world = cluster(1);
    let cheat = NodeId::new(4);
    world.tamper = Some(Box::new(move |from, _, message| match message {
        // Everything that node-4 says in a run is wrong, under its own signature.
        Message::Mpc(mut said) if from == cheat => {
            if let Some(last) = said.body.payload.last_mut() {
                *last ^= 1;
            }
            vec![Message::Mpc(Signed::new(said.body, &key(4)))]
        }
        message => vec![message],
    }));
    world.ask(1, Command::Presign { count: 5 });
    world.run_until("an alert", |world| {
        world.alerts.iter().any(|(_, alert)| matches!(alert, Alert::Presigning { .. }))
    });
    world.ask(1, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.have(&[1, 2, 3, 5], 1, State::Confirmed));
    assert_used_once(&world);
}

/// Node-4 leaves every presigning that it is asked into. Says how often the groups with it were asked.
fn node_4_leaves_presignings(world: &mut World) -> Receiver<Vec<NodeId>> {
    let (seen, asked) = channel();
    world.tamper = Some(Box::new(move |_, to, message| match &message {
        Message::SignRequest(request) if request.session.subject == Subject::Presigning => {
            if to == NodeId::new(4) {
                seen.send(request.session.signers.clone()).unwrap();
            }
            vec![message]
        }
        Message::Mpc(said) if said.body.from == NodeId::new(4) => {
            let reason = "a proof does not hold".to_owned();
            vec![Message::SessionAbort { session: said.body.session, reason }]
        }
        _ => vec![message],
    }));
    asked
}

#[test]
fn a_group_whose_presignings_end_in_faults_presigns_no_more_and_a_group_without_the_cheat_does() {
    let mut world = cluster(1);
    let limit = world.node(1).config().limits.presigning_faults;
    let asked = node_4_leaves_presignings(&mut world);
    let group = [1, 2, 3, 4].map(NodeId::new);
    world.ask(1, Command::Presign { count: 9 });
    let key = pool(&world, 1).key;
    let others = [1, 2, 3, 5].map(NodeId::new);
    let held = |world: &World| {
        let groups = pool(world, 1).groups;
        groups.iter().find(|group| group.signers == others).map_or(0, |group| group.ready)
    };
    world.run_until("stock of those who finish", |world| held(world) >= LOW + 5);
    let later = world.now.plus(Millis(60_000));
    world.run_until("time for more tries", |world| world.now >= later);
    assert_eq!(world.node(1).state().presigning_faults(key, &group), limit);
    let tries = asked.try_iter().filter(|signers| *signers == group).count();
    assert_eq!(tries, usize::try_from(limit).unwrap());
    // The count is no matter of this boot.
    world.restart(1, usize::MAX);
    assert_eq!(world.node(1).state().presigning_faults(key, &group), limit);
}

#[test]
fn the_library_makes_the_key_the_stock_and_the_signatures() {
    let suites = Suites { taproot: Suite::Mock, segwit: Suite::Cggmp24 };
    let limits = Limits { presignatures_low: 0, ..Limits::default() };
    let mut world = World::of(suites, limits);
    world.give_toy_primes();
    world.run_until("everybody online", all_speak);
    make_wallet(&mut world, Scheme::Segwit);
    // Without stock, then with it.
    world.ask(3, segwit_payment(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(used(&world), []);
    world.ask(1, Command::Presign { count: 1 });
    world.run_until("a presignature", |world| ready(world) == 1);
    world.ask(3, segwit_payment(100_000));
    world.run_until("another one", |world| world.all_have(2, State::Confirmed));
    assert_eq!(used(&world).len(), 4);
    world.assert_peace();
}

#[test]
fn what_a_restarted_signer_has_lost_is_made_again() {
    let mut world = cluster(1);
    let records = world.disks[&NodeId::new(2)].len();
    world.restart(2, records);
    world.run_until("a node without stock", |world| ready(world) == 0);
    world.run_until("a full stock", |world| ready(world) == HIGH);
    world.assert_peace();
}

#[test]
fn a_signer_that_dies_while_presignatures_are_made_holds_nothing_up() {
    let mut world = cluster(1);
    world.ask(1, Command::Presign { count: 3 });
    world.run_until("a presigning", |world| pool(world, 1).making);
    world.down.insert(NodeId::new(3));
    let died = world.now;
    world.run_until("three more for those who are left", |world| {
        let group = &pool(world, 1).groups[0];
        !group.signers.contains(&NodeId::new(3)) && group.ready >= LOW + 3
    });
    assert!(world.now.since(died) < Millis(20_000), "a third of what a presigning may take");
}
