//! Coins that leave the wallet without the cluster: every node that had seen one says so, once, and says so of no other.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one kind of fact and leaves the rest")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bitcoin::{Amount, OutPoint, Txid};
use mpc_wallet_core::{NodeId, Scheme, message::Message, mpc::Suite, record::Fact, step::Alert, tx::State};

use crate::support::{World, cluster_with_key, payment};

const ALL: [u16; 5] = [1, 2, 3, 4, 5];
const MINUTE: u64 = 60_000;

/// What a node has on record as lost, and to whom.
fn lost(world: &World, node: u16) -> Vec<(OutPoint, Option<Txid>)> {
    let records = world.disks[&NodeId::new(node)].iter();
    let losses = records.filter_map(|record| match record.fact {
        Fact::CoinLost { coin, by, .. } => Some((coin, by)),
        _ => None,
    });
    losses.collect()
}

fn alarmed(world: &World) -> Vec<u16> {
    let alerts = world.alerts.iter().filter(|(_, alert)| matches!(alert, Alert::Coin { .. }));
    let mut nodes: Vec<u16> = alerts.map(|(node, _)| node.get()).collect();
    nodes.sort_unstable();
    nodes
}

fn the_coin(world: &World) -> OutPoint {
    world.node(1).overview().wallets[0].coins[0].outpoint
}

/// Five nodes that have seen their one coin, long in step.
fn cluster() -> World {
    let mut world = cluster_with_key(Suite::Mock);
    world.pass(MINUTE);
    world
}

/// Nothing reaches this node, and nothing that it says reaches others.
fn cut_off(world: &mut World, nodes: &'static [u16]) {
    world.tamper = Some(Box::new(|from, to, message| {
        let apart = nodes.contains(&from.get()) != nodes.contains(&to.get());
        if apart { vec![] } else { vec![message] }
    }));
}

#[test]
fn a_coin_that_a_stranger_spends_is_told_by_every_node_once() {
    let mut world = cluster();
    let coin = the_coin(&world);
    let thief = world.ledger.steal(coin);
    world.pass(10 * MINUTE);
    for node in ALL {
        assert_eq!(lost(&world, node), [(coin, Some(thief))], "node-{node}");
        let (_, kept) = world.node(node).state().purse().lost().next().unwrap();
        assert_eq!((kept.coin.value, kept.by), (Amount::from_sat(10_000_000), Some(thief)));
        assert_eq!(kept.coin.key.scheme, Scheme::Taproot);
    }
    assert_eq!(alarmed(&world), ALL);
    // A restart tells nothing anew.
    world.restart(3, usize::MAX);
    world.pass(MINUTE);
    assert_eq!((lost(&world, 3).len(), alarmed(&world).len()), (1, 5));
}

#[test]
fn what_the_cluster_spends_is_no_loss() {
    let mut world = cluster();
    for number in 1..4 {
        world.ask(1, payment(50_000));
        world.run_until("it is paid", |world| world.all_have(number, State::Confirmed));
        world.pass(2 * MINUTE);
    }
    world.assert_peace();
    for node in ALL {
        // The change of the last payment is all there is.
        assert_eq!(world.node(node).state().purse().seen().collect::<Vec<_>>(), [&the_coin(&world)]);
    }
}

#[test]
fn who_is_cut_off_from_the_others_calls_nobody_a_thief() {
    let mut world = cluster();
    cut_off(&mut world, &[5]);
    world.pass(MINUTE);
    world.ask(1, payment(50_000));
    world.run_until("four have paid", |world| world.have(&[1, 2, 3, 4], 1, State::Confirmed));
    world.pass(30 * MINUTE);
    assert_eq!((lost(&world, 5), alarmed(&world)), (vec![], vec![]));
    world.tamper = None;
    world.run_until("the fifth knows", |world| world.all_have(1, State::Confirmed));
    world.pass(2 * MINUTE);
    assert_eq!((lost(&world, 5), alarmed(&world)), (vec![], vec![]));
}

#[test]
fn a_minority_waits_until_enough_are_here_to_have_heard_of_every_payment() {
    let mut world = cluster();
    let coin = the_coin(&world);
    cut_off(&mut world, &[4, 5]);
    world.pass(MINUTE);
    let thief = world.ledger.steal(coin);
    world.pass(2 * MINUTE);
    // Of three, one would know of what any four have signed, even if another lies; of two not.
    assert_eq!(alarmed(&world), [1, 2, 3]);
    world.tamper = None;
    world.run_until("all tell it", |world| ALL.iter().all(|node| !lost(world, *node).is_empty()));
    assert_eq!(lost(&world, 5), [(coin, Some(thief))]);
}

#[test]
fn who_was_down_meanwhile_misses_the_coin_when_it_is_back() {
    let mut world = cluster();
    let coin = the_coin(&world);
    world.down.insert(NodeId::new(2));
    let thief = world.ledger.steal(coin);
    world.pass(MINUTE);
    world.restart(2, usize::MAX);
    world.run_until("it tells", |world| !lost(world, 2).is_empty());
    assert_eq!(lost(&world, 2), [(coin, Some(thief))]);
}

#[test]
fn a_deposit_that_leaves_the_chain_is_given_up_after_an_hour_and_may_come_back() {
    let mut world = cluster();
    let coin = the_coin(&world);
    let deposit = world.ledger.transactions.remove(&coin.txid).unwrap();
    for _ in 0..10 {
        world.pass(5 * MINUTE);
    }
    assert_eq!(alarmed(&world), [0; 0]);
    world.pass(12 * MINUTE);
    assert_eq!(alarmed(&world), ALL);
    assert_eq!(lost(&world, 1), [(coin, None)]);
    world.ledger.place(deposit);
    world.pass(MINUTE);
    let purse = world.node(1).state().purse();
    assert!(purse.coin(&coin).is_some() && purse.lost().next().is_none());
}

#[test]
fn a_coin_that_a_payment_lost_to_a_thief_is_told_by_who_had_missed_it_before() {
    let mut world = cluster();
    let coin = the_coin(&world);
    world.ledger.waits = true;
    // The fifth hears of the payment and takes no part in its signature, of which it never hears.
    world.tamper = Some(Box::new(|_, to, message| {
        let of_signing = matches!(
            message,
            Message::SignRequest(_) | Message::Finished(_) | Message::Bundle(_) | Message::SyncPage(_)
        );
        if to.get() == 5 && of_signing { vec![] } else { vec![message] }
    }));
    world.ask(1, payment(50_000));
    world.run_until("it waits in the mempool", |world| world.have(&[1, 2, 3, 4], 1, State::Broadcasting));
    world.pass(5 * MINUTE);
    assert_eq!(alarmed(&world), [0; 0]);
    let (_, tx) = world.node(5).state().transactions().next().unwrap();
    assert!(tx.finished.is_none());
    let thief = world.ledger.steal(coin);
    world.pass(5 * MINUTE);
    for node in ALL {
        assert_eq!(lost(&world, node), [(coin, Some(thief))], "node-{node}");
    }
}

#[test]
fn a_coin_whose_payment_lost_its_block_may_be_lost_again() {
    let mut world = cluster();
    let coin = the_coin(&world);
    world.ask(1, payment(50_000));
    world.run_until("it is paid", |world| world.all_have(1, State::Confirmed));
    let (paid, _) = world.node(1).state().transactions().next().unwrap();
    world.ledger.waits = true;
    world.ledger.transactions.remove(&paid);
    let thief = world.ledger.steal(coin);
    world.pass(5 * MINUTE);
    for node in ALL {
        assert_eq!(lost(&world, node), [(coin, Some(thief))], "node-{node}");
    }
}
