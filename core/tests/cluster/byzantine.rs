//! Five cores with one that lies, or with some that are away: payments go on, the liar is named, nobody else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a liar changes one kind of message and leaves the rest")]

use std::{cell::Cell, collections::BTreeSet, rc::Rc};

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use mpc_wallet_core::{
    FencingEpoch, NodeId, PaymentId, RequestId, Timestamp, codec,
    identity::Signed,
    message::{CoinGrant, GrantedCoin, Message},
    mpc::Suite,
    step::{Command, Input, Outcome, PaymentRequest, Receipt},
    tx::{Prevout, Proposal, State, SubStatus},
    vote::{Decision, RejectReason, Violation},
    wallet,
};

use crate::support::{World, cluster_with_key, key, payment};

const HONEST: [u16; 4] = [1, 2, 3, 4];
const LIAR: u16 = 5;
const CULPRIT: NodeId = NodeId::new(LIAR);

fn accusers(world: &World) -> BTreeSet<u16> {
    assert!(
        world.bans.iter().all(|(_, banned)| *banned == CULPRIT),
        "the innocent are banned: {:?}",
        world.bans
    );
    world.bans.iter().map(|(by, _)| by.get()).collect()
}

/// Pays until `done`, for the signers of a payment are not ours to choose. Gives how many payments it took.
fn pay_until(world: &mut World, done: impl Fn(&World) -> bool) -> usize {
    for count in 1..=12 {
        world.ask(1, payment(50_000));
        world.run_until("a confirmed payment at the honest", |world| {
            world.have(&HONEST, count, State::Confirmed)
        });
        if done(world) {
            return count;
        }
    }
    panic!("node-5 was never a signer in twelve payments");
}

#[test]
fn a_double_voter_is_proven_by_one_witness_banned_by_all_and_the_payment_confirms() {
    let mut world = cluster_with_key(Suite::Mock);
    world.tamper = Some(Box::new(|from, to, message| match message {
        // Only node-3 hears both stories.
        Message::Vote(vote) if from == CULPRIT && vote.body.voter == CULPRIT && to == NodeId::new(3) => {
            let mut body = vote.body.clone();
            body.decision = Decision::Reject(RejectReason::Expired);
            vec![Message::Vote(vote), Message::Vote(Signed::new(body, &key(LIAR)))]
        }
        other => vec![other],
    }));
    world.ask(1, payment(100_000));
    world.run_until("a confirmed payment at the honest", |world| world.have(&HONEST, 1, State::Confirmed));
    world.run_until("a ban by all", |world| world.bans.len() >= HONEST.len());
    assert_eq!(accusers(&world), BTreeSet::from(HONEST));
    for node in HONEST {
        let state = world.nodes[&NodeId::new(node)].state();
        let evidence = state.evidence().next().expect("the proof itself");
        assert_eq!(evidence.verify(&world.nodes[&NodeId::new(node)].config().cluster), Ok(()));
        assert_eq!((evidence.accused(), evidence.violation()), (CULPRIT, Violation::DoubleVote));
    }
}

#[test]
fn a_signer_that_never_answers_is_worked_around_and_not_banned() {
    let mut world = cluster_with_key(Suite::Mock);
    let swallowed = Rc::new(Cell::new(0_u32));
    let count = Rc::clone(&swallowed);
    world.tamper = Some(Box::new(move |from, _, message| match message {
        Message::Mpc(_) if from == CULPRIT => {
            count.set(count.get() + 1);
            vec![]
        }
        other => vec![other],
    }));
    pay_until(&mut world, |_| swallowed.get() > 0);
    assert_eq!(accusers(&world), BTreeSet::new(), "silence is no proof");
    let strikes: u32 =
        HONEST.iter().map(|node| world.nodes[&NodeId::new(*node)].state().member(CULPRIT).strikes).sum();
    assert_eq!(strikes, 0, "and does not count towards a ban");
}

fn spoil_the_share(world: &mut World) -> usize {
    world.tamper = Some(Box::new(|from, _, message| match message {
        Message::Mpc(said) if from == CULPRIT && said.body.sequence > 0 => {
            let mut body = said.body;
            *body.payload.last_mut().unwrap() ^= 1;
            vec![Message::Mpc(Signed::new(body, &key(LIAR)))]
        }
        other => vec![other],
    }));
    pay_until(world, |world| !world.bans.is_empty())
}

#[test]
fn a_bad_share_convicts_its_author_and_the_payment_confirms_with_the_rest() {
    let mut world = cluster_with_key(Suite::Mock);
    let paid = spoil_the_share(&mut world);
    assert!(accusers(&world).len() >= 3, "every honest signer of the session saw it: {:?}", world.bans);
    // And the next payment does not even ask it.
    world.ask(2, payment(60_000));
    world.run_until("one more payment", |world| world.have(&HONEST, paid + 1, State::Confirmed));
}

#[test]
fn a_bad_share_of_the_real_scheme_convicts_its_author_too() {
    let mut world = cluster_with_key(Suite::Givre);
    spoil_the_share(&mut world);
    assert!(accusers(&world).len() >= 3, "{:?}", world.bans);
}

#[test]
fn a_payment_waits_for_a_quorum_and_finishes_when_one_node_returns() {
    let mut world = cluster_with_key(Suite::Mock);
    world.down.extend([NodeId::new(4), NodeId::new(5)]);
    world.ask(1, payment(100_000));
    world.run_until("a payment that waits at those who are here", |world| {
        [1, 2, 3].iter().all(|node| {
            let state = world.nodes[&NodeId::new(*node)].state();
            state.transactions().any(|(_, tx)| tx.sub_status == SubStatus::WaitingForQuorum)
        })
    });
    assert!(world.have(&HONEST, 0, State::Confirmed));
    // Long after a round with a quorum would have been given up.
    let later = world.now.plus(mpc_wallet_core::Millis(120_000));
    world.run_until("two minutes", |world| world.now >= later);
    assert!(world.have(&[1, 2, 3], 0, State::Rejected), "waiting is not refusing");
    world.down.remove(&NodeId::new(4));
    world.run_until("a confirmed payment", |world| world.have(&HONEST, 1, State::Confirmed));
    assert_eq!(world.bans, BTreeSet::new(), "to be away is no crime");
}

/// A proposal of node-5 over these coins as it describes them, that keeps nothing for the wallet but change.
fn proposal(world: &mut World, coin: OutPoint, claimed: u64, fee: u64) -> Proposal {
    let wallet = world.wallet().unwrap();
    let recipient = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
    let output = Prevout { value: Amount::from_sat(claimed), script: wallet.script() };
    let amount = Amount::from_sat(100_000);
    let grant = CoinGrant {
        payment: PaymentId::from_bytes([0xee; 32]),
        inputs: vec![GrantedCoin { outpoint: coin, output: output.clone() }],
        fee: Amount::from_sat(fee),
        change: Amount::from_sat(claimed - 100_000 - fee),
        lock_time: world.ledger.tip().height,
        epoch: FencingEpoch(0),
    };
    Proposal {
        cluster: world.nodes[&CULPRIT].config().cluster.id(),
        key: wallet.key,
        payment: grant.payment,
        origin: CULPRIT,
        recipient: recipient.clone(),
        amount,
        fee: grant.fee,
        unsigned_tx: wallet::build(&wallet, &grant, &recipient, amount, &mut world.entropy),
        prevouts: vec![output],
        metadata: None,
        external_id: None,
        created_at: world.now,
        expires_at: Timestamp(world.now.0 + 3_600_000),
        replaces: None,
    }
}

/// Lets node-5 propose it to the others; it falls for one reason, and the coins stay free.
fn assert_rejected(desc: &str, world: &mut World, proposal: Proposal, code: &str) {
    let txid = proposal.txid();
    let signed = Signed::new(proposal, &key(LIAR));
    for node in HONEST {
        let message = Message::VoteRequest(Box::new(signed.clone()));
        world.queue.push_back((NodeId::new(node), Input::Message { from: CULPRIT, message }));
    }
    let standing = |world: &World, node: u16| {
        world.nodes[&NodeId::new(node)].state().transaction(txid).map(|tx| tx.state)
    };
    world.run_until(desc, |world| HONEST.iter().all(|node| standing(world, *node) == Some(State::Rejected)));
    for node in HONEST {
        let state = world.nodes[&NodeId::new(node)].state();
        let tx = state.transaction(txid).unwrap();
        let Some(Decision::Reject(reason)) =
            tx.tally.vote_of(NodeId::new(node)).map(|vote| &vote.body.decision)
        else {
            panic!("{desc}: node-{node} did not refuse")
        };
        assert_eq!(reason.code(), code, "{desc}: node-{node} says {reason}");
        assert_eq!(tx.sub_status, SubStatus::Votes(code.to_owned()), "{desc}");
        assert_eq!(state.committed_coins().count(), 0, "{desc}: node-{node} holds coins");
    }
    // The coins are free: a payment that needs them all goes through.
    let confirmed = world.ledger.transactions.len();
    world.ask(1, payment(9_000_000));
    world.run_until("a payment with the same coins", |world| {
        world.ledger.transactions.len() > confirmed && world.have(&HONEST, 1, State::Confirmed)
    });
}

/// A cluster, and the one coin of 10,000,000 sat that it has.
fn funded() -> (World, OutPoint) {
    let world = cluster_with_key(Suite::Mock);
    let script = world.wallet().unwrap().script();
    let coins: Vec<Txid> = world
        .ledger
        .transactions
        .iter()
        .filter(|(_, tx)| tx.output[0].script_pubkey == script)
        .map(|(txid, _)| *txid)
        .collect();
    assert_eq!(coins.len(), 1);
    (world, OutPoint { txid: coins[0], vout: 0 })
}

#[test]
fn an_origin_that_pays_the_miners_too_much_is_refused_by_policy() {
    let (mut world, coin) = funded();
    let greedy = proposal(&mut world, coin, 10_000_000, 500_000);
    assert_rejected("a fee above the ceiling", &mut world, greedy, "policy");
}

#[test]
fn an_origin_that_lies_about_the_value_of_a_coin_is_refused() {
    let (mut world, coin) = funded();
    let inflated = proposal(&mut world, coin, 20_000_000, 1_000);
    assert_rejected("a coin said to hold twice what it does", &mut world, inflated, "input");
}

#[test]
fn an_origin_that_spends_a_strangers_coin_is_refused() {
    let (mut world, _) = funded();
    let stranger = ScriptBuf::from_hex("0014000102030405060708090a0b0c0d0e0f10111213").unwrap();
    let foreign = world.ledger.fund(&stranger, Amount::from_sat(5_000_000));
    let theft = proposal(&mut world, foreign, 5_000_000, 1_000);
    assert_rejected("a coin that is not the wallet's", &mut world, theft, "input");
}

fn keyed(amount: u64) -> Command {
    let Command::Pay(request) = payment(amount) else { unreachable!("it is a payment") };
    Command::Pay(PaymentRequest { idempotency_key: Some("order 4711".to_owned()), ..request })
}

/// The same, by the name that it keeps.
fn named(amount: u64) -> Command {
    let Command::Pay(request) = payment(amount) else { unreachable!("it is a payment") };
    Command::Pay(PaymentRequest { external_id: Some("order 4711".to_owned()), ..request })
}

#[test]
fn an_idempotency_key_names_one_payment_at_every_node() {
    names_one_payment("mpc-wallet/payment-by-key", keyed);
}

#[test]
fn an_external_id_names_one_payment_at_every_node() {
    names_one_payment("mpc-wallet/payment-by-external-id", named);
}

fn names_one_payment(tag: &str, ask: fn(u64) -> Command) {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(2, ask(100_000));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    let Some(Outcome::Proposed { txid, replayed: false }) = world.replies.last().cloned() else {
        panic!("{:?}", world.replies)
    };
    let node = &world.nodes[&NodeId::new(4)];
    let named = codec::digest(tag, &(node.config().cluster.id(), "order 4711"));
    assert_eq!(node.state().serving(PaymentId::from_bytes(named)), Some(txid));
    for (desc, node, amount) in
        [("the same node", 2, 100_000), ("another node", 4, 100_000), ("another body", 4, 1_000)]
    {
        let before = world.replies.len();
        world.ask(node, ask(amount));
        world.run_until("a reply", |world| world.replies.len() > before);
        match (world.replies.last().unwrap(), amount) {
            (Outcome::Proposed { txid: again, replayed: true }, 100_000) => {
                assert_eq!(*again, txid, "{desc}")
            }
            (Outcome::Refused(refusal), 1_000) => {
                assert_eq!(refusal.code(), "idempotency_key_reused", "{desc}");
                assert!(refusal.to_string().contains(&txid.to_string()), "{desc}: {refusal}");
            }
            (other, _) => panic!("{desc}: {other:?}"),
        }
    }
    assert!(world.all_have(1, State::Confirmed), "and nothing more was paid");
    world.assert_peace();
}

#[test]
fn one_key_at_two_nodes_at_once_never_pays_twice() {
    let mut world = cluster_with_key(Suite::Mock);
    for node in [2, 4] {
        world.queue.push_back((
            NodeId::new(node),
            Input::Client { request: RequestId(u64::from(node)), command: keyed(100_000) },
        ));
    }
    world.run_until("two replies", |world| world.replies.len() >= 3);
    world.run_until("the end of every transaction", |world| {
        world.nodes.values().all(|node| node.state().open_count() == 0)
    });
    for (id, node) in &world.nodes {
        let confirmed = node.state().transactions().filter(|(_, tx)| tx.state == State::Confirmed).count();
        assert!(confirmed <= 1, "{id} has {confirmed} confirmed payments for one key");
    }
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn a_receipt_that_covers_too_little_releases_nothing() {
    let mut world = cluster_with_key(Suite::Mock);
    let id = NodeId::new(1);
    let grace = world.now.plus(world.nodes[&id].config().timing.coordinator_grace);
    world.run_until("a coordinator that grants at once", |world| world.now > grace && world.queue.is_empty());
    let node = world.nodes.get_mut(&id).unwrap();
    let before = node.position();
    let input = Input::Client { request: RequestId(9), command: payment(50_000) };
    let step = node.step(world.now, &mut world.entropy, input);
    assert!(!step.records().is_empty(), "the coordinator proposes at once");
    assert_eq!(step.last(), before.plus(u64::try_from(step.records().len()).unwrap()));
    let short = mpc_wallet_core::LogIndex(step.last().0 - 1);
    let last = step.last();
    let refused = node.commit(step, Receipt::up_to(short)).err().expect("no effects");
    assert_eq!((refused.needed, refused.durable), (last, short));
    assert_eq!(
        refused.to_string(),
        format!(
            "the step ends at journal position {}, the receipt covers {}: make its records durable first",
            last.0, short.0
        )
    );
}
