//! Whoever names the coordinator from outside is late, forgetful or lies: payments go on, and an answer of an earlier term
//! is not the one that is used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::mpsc;

use mpc_wallet_core::{
    FencingEpoch, Lease, NodeId,
    message::Message,
    mpc::Suite,
    refusal::Refusal,
    step::{Input, Outcome},
    time::Millis,
    tx::State,
};

use crate::support::{World, cluster_with_key, payment};

const fn lease(holder: u16, epoch: u64) -> Lease {
    Lease { holder: NodeId::new(holder), epoch: FencingEpoch(epoch) }
}

/// Tells a node who coordinates, and lets what follows from that happen.
fn tell(world: &mut World, node: u16, lease: Option<Lease>) {
    world.queue.push_back((NodeId::new(node), Input::Lease(lease)));
    world.run_until("the node to hear of it", |world| world.queue.is_empty());
}

fn tell_all(world: &mut World, lease: Option<Lease>) {
    for node in 1..=5 {
        tell(world, node, lease);
    }
}

/// Has node-2 pay, and returns how long it took until the transaction was proposed, in milliseconds.
fn pay(world: &mut World) -> u64 {
    let before = world.node(2).state().transactions().count();
    let asked = world.now;
    world.ask(2, payment(50_000));
    world.run_until("a confirmed payment", |world| world.all_have(before + 1, State::Confirmed));
    let made = world.node(2).state().transactions().map(|(_, tx)| tx.proposal.body.created_at).max().unwrap();
    made.since(asked).0
}

/// The epochs of all answers about coins, with who gave them.
fn watched(world: &mut World) -> mpsc::Receiver<(NodeId, u64)> {
    let (seen, epochs) = mpsc::channel();
    world.tamper = Some(Box::new(move |from, _, message| {
        if let Message::CoinGrant(grant) = &message {
            seen.send((from, grant.epoch.0)).unwrap();
        }
        vec![message]
    }));
    epochs
}

#[test]
fn the_holder_of_the_lease_grants_coins_under_its_epoch_and_without_a_lease_the_lowest_under_none() {
    let mut world = cluster_with_key(Suite::Mock);
    let epochs = watched(&mut world);
    tell_all(&mut world, Some(lease(4, 17)));
    pay(&mut world);
    assert_eq!(epochs.try_iter().collect::<Vec<_>>(), [(NodeId::new(4), 17)]);
    assert_eq!(world.node(2).overview().lease, Some(lease(4, 17)));
    tell_all(&mut world, None);
    pay(&mut world);
    assert_eq!(epochs.try_iter().collect::<Vec<_>>(), [(NodeId::new(1), 0)]);
    assert_eq!(world.node(2).overview().lease, None);
    world.assert_peace();
}

#[test]
fn a_holder_that_is_not_here_is_no_coordinator() {
    let mut world = cluster_with_key(Suite::Mock);
    for holder in [9, 5] {
        world.down.insert(NodeId::new(5));
        world.nodes.keys().filter(|id| id.get() != 5).for_each(|id| {
            world.queue.push_back((*id, Input::PeerDown(NodeId::new(5))));
        });
        tell_all(&mut world, Some(lease(holder, 3)));
        let overview = world.node(2).overview();
        assert_eq!((overview.coordinator, overview.lease), (Some(NodeId::new(1)), None));
    }
}

#[test]
fn an_answer_of_an_earlier_term_is_asked_for_again() {
    let mut world = cluster_with_key(Suite::Mock);
    tell_all(&mut world, Some(lease(4, 17)));
    world.pass(1_000);
    // The grant was on its way while others had the role: only the asker knows the new term yet.
    let epochs = watched(&mut world);
    tell(&mut world, 2, Some(lease(4, 30)));
    world.ask(2, payment(50_000));
    world.run_until("the late grant", |_| epochs.try_recv() == Ok((NodeId::new(4), 17)));
    tell(&mut world, 4, Some(lease(4, 30)));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(epochs.try_iter().collect::<Vec<_>>(), [(NodeId::new(4), 30)]);
    world.assert_peace();
}

#[test]
fn a_refusal_of_an_earlier_term_is_no_answer() {
    let mut world = cluster_with_key(Suite::Mock);
    tell_all(&mut world, Some(lease(4, 30)));
    world.pass(1_000);
    world.ask(2, payment(50_000));
    let asked = |world: &World| {
        world.queue.iter().find_map(|(_, input)| {
            let Input::Message { message: Message::CoinRequest(request), .. } = input else { return None };
            Some(request.payment)
        })
    };
    world.run_until("the request", |world| asked(world).is_some());
    let payment = asked(&world).unwrap();
    let message = Message::CoinRefusal { payment, refusal: Refusal::NoFeeEstimate, epoch: FencingEpoch(17) };
    world.queue.push_front((NodeId::new(2), Input::Message { from: NodeId::new(4), message }));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert!(!world.replies.iter().any(|reply| matches!(reply, Outcome::Refused(_))), "{:?}", world.replies);
}

#[test]
fn an_epoch_that_no_coordinator_has_costs_each_payment_one_question_more_and_no_time() {
    let mut world = cluster_with_key(Suite::Mock);
    tell_all(&mut world, Some(lease(4, 3)));
    tell(&mut world, 2, Some(lease(4, u64::MAX)));
    world.pass(1_000);
    let epochs = watched(&mut world);
    assert!(pay(&mut world) < 1_000);
    assert_eq!(epochs.try_iter().count(), 2);
    // From then on the node knows better, until it is told again.
    assert!(pay(&mut world) < 1_000);
    assert_eq!(epochs.try_iter().count(), 1);
    world.assert_peace();
}

#[test]
fn a_role_that_changes_hands_all_the_time_is_not_followed() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(2, payment(50_000));
    for turn in 0..200_u64 {
        let holder = u16::try_from(turn % 5).unwrap() + 1;
        tell_all(&mut world, Some(lease(holder, turn)));
        let end = world.now.plus(Millis(100));
        world.run_until("a tenth of a second", |world| world.now >= end);
    }
    assert!(world.all_have(1, State::Confirmed), "{:?}", world.replies);
    let overview = world.node(2).overview();
    assert_eq!(
        (overview.coordinator, overview.lease),
        (Some(NodeId::new(1)), None),
        "the embedded rule serves"
    );

    world.pass(61_000);
    assert_eq!(world.node(2).overview().lease, Some(lease(5, 199)), "and later leases are heeded again");
    pay(&mut world);
}
