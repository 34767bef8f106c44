//! A coordinator that lies about coins, one that some have shut out, and a member that hoards them: clients of the honest
//! get their payments all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::mpsc;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid, hashes::Hash};
use mpc_wallet_core::{
    NodeId, PaymentId, Scheme, codec,
    message::{CoinGrant, CoinRequest, Message},
    mpc::Suite,
    step::{Input, Outcome},
    time::Millis,
    tx::State,
};

use crate::support::{World, cluster_with_key, payment};

/// The lowest live member.
const COORDINATOR: NodeId = NodeId::new(1);

/// A cluster whose coordinator changes what it grants to others.
fn lying_about(mut lie: impl FnMut(&mut CoinGrant) + 'static) -> World {
    let mut world = cluster_with_key(Suite::Mock);
    world.tamper = Some(Box::new(move |from, _, mut message| {
        if let Message::CoinGrant(grant) = &mut message
            && from == COORDINATOR
        {
            lie(grant);
        }
        vec![message]
    }));
    world
}

fn invent(grant: &mut CoinGrant) {
    grant.inputs[0].outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 0 };
}

fn assert_paid(world: &mut World) {
    world.ask(2, payment(50_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert!(world.all_have(0, State::Rejected), "no proposal was wasted");
    world.assert_peace();
}

/// Node-5 asks the coordinator for coins that it will never spend.
fn hoard(world: &mut World, number: usize) {
    let request = CoinRequest {
        payment: PaymentId::from_bytes(codec::digest("hoard", &number)),
        scheme: Scheme::Taproot,
        recipient: ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap(),
        amount: Amount::from_sat(50_000),
        fee_rate: None,
    };
    let message = Message::CoinRequest(request);
    world.queue.push_back((COORDINATOR, Input::Message { from: NodeId::new(5), message }));
}

#[test]
fn coins_that_nobody_has_are_not_proposed() {
    assert_paid(&mut lying_about(invent));
}

#[test]
fn a_grant_that_makes_no_transaction_is_no_answer() {
    assert_paid(&mut lying_about(|grant| grant.fee *= 2));
}

#[test]
fn a_grant_that_burns_money_is_no_answer() {
    assert_paid(&mut lying_about(|grant| {
        grant.fee += grant.change;
        grant.change = Amount::ZERO;
    }));
}

#[test]
fn one_false_grant_is_asked_for_again_and_the_coordinator_keeps_its_part() {
    let mut lies = 1;
    let mut world = lying_about(move |grant| {
        if lies > 0 {
            lies -= 1;
            invent(grant);
        }
    });
    let asked = world.now;
    assert_paid(&mut world);
    // Its own choice would have come two questions later.
    let made = world.node(2).state().transactions().next().unwrap().1.proposal.body.created_at;
    assert!(made.since(asked).0 < 2_000, "after {} ms", made.since(asked).0);
}

#[test]
fn a_member_that_hoards_coins_comes_after_all_others() {
    let mut world = cluster_with_key(Suite::Mock);
    // The wallet has one coin. The first grant lapses while others wait behind it.
    for number in 0..20 {
        hoard(&mut world, number);
    }
    let refused =
        |world: &World| world.replies.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
    world.ask(2, payment(50_000));
    world.run_until("the first grant's end", |world| refused(world) == 1);
    for number in 20..40 {
        hoard(&mut world, number);
    }
    world.ask(2, payment(50_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(refused(&world), 1, "{:?}", world.replies);
}

#[test]
fn a_grant_that_is_over_is_not_handed_out_again() {
    let (seen, granted) = mpsc::channel();
    let mut world = cluster_with_key(Suite::Mock);
    world.tamper = Some(Box::new(move |_, to, message| {
        if let Message::CoinGrant(_) = message {
            seen.send(to).unwrap();
        }
        vec![message]
    }));
    hoard(&mut world, 0);
    world.run_until("a grant", |_| granted.try_recv() == Ok(NodeId::new(5)));
    let end = world.now.plus(Millis(10_000));
    let comes_near = |world: &World| world.queue.is_empty() && end.since(world.now) <= Millis(3_000);
    world.run_until("almost its end", comes_near);
    world.ask(2, payment(50_000));
    world.run_until("node-2 waits for the wallet's only coin", comes_near);
    // Node-5 asks again in the moment in which its grant ends.
    assert!(world.now < end);
    world.now = end;
    hoard(&mut world, 0);
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    assert_eq!(granted.try_recv(), Ok(NodeId::new(2)));
}

#[test]
fn a_member_cannot_fill_the_queue_of_all() {
    let mut world = cluster_with_key(Suite::Mock);
    let room = world.node(1).config().limits.waiting_requests;
    for number in 0..=room {
        hoard(&mut world, number);
    }
    world.run_until("all requests", |world| world.queue.is_empty());
    let busy = |outcome: &Outcome| matches!(outcome, Outcome::Refused(refusal) if refusal.code() == "busy");
    world.ask(2, payment(50_000));
    world.run_until("a reply", |world| world.replies.len() > 1);
    assert!(!world.replies.iter().any(busy), "{:?}", world.replies);
}
