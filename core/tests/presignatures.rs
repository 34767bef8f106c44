//! The stock of presignatures: made ahead, used once, dropped with a restored journal, never in a payment's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use bitcoin::Amount;
use mpc_wallet_core::{
    Limits, Millis, NodeId, PresignatureId, Scheme, mpc::Suites, overview::PoolView, record::Fact,
    step::Command, tx::State,
};

mod support;
use support::{World, make_wallet, payment};

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

/// Five members with a SegWit wallet of these many coins, and a full stock.
fn cluster(coins: u64) -> World {
    let limits = Limits { presignatures_low: LOW, presignatures_high: HIGH, ..Limits::default() };
    let mut world = World::of(Suites::MOCK, limits);
    world.run_until("everybody online", |world| world.nodes.values().all(|node| node.overview().online == 5));
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
