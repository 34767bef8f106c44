//! Raising a fee: the dearer transaction takes the place of the one that no block takes, whichever confirms ends the other, and
//! the payment is made once. What is not the same payment of the same coins gets no vote.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one kind of answer and leaves the rest")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bitcoin::{Amount, OutPoint, Txid};
use mpc_wallet_core::{
    NodeId, Scheme,
    identity::Signed,
    message::Message,
    mpc::Suite,
    refusal::Refusal,
    step::{BumpRequest, Command, Input, Outcome, PaymentRequest},
    tx::{Proposal, State, SubStatus},
    vote::{Decision, RejectReason},
};

use crate::support::{World, cluster_with_key, key, payment, spendable};

const ALL: [u16; 5] = [1, 2, 3, 4, 5];

fn bump(world: &mut World, node: u16, txid: Txid, fee_rate: Option<u64>) -> Result<Txid, Refusal> {
    world.replies.clear();
    world.ask(node, Command::Bump(BumpRequest { txid, fee_rate, initiator: None }));
    world.run_until("an answer", |world| !world.replies.is_empty());
    match world.replies.remove(0) {
        Outcome::Proposed { txid, replayed: false } => {
            world.run_until("node-1 hears of it", |world| world.node(1).state().transaction(txid).is_some());
            Ok(txid)
        }
        Outcome::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn pay(world: &mut World, amount: u64) -> Txid {
    world.replies.clear();
    world.ask(1, payment(amount));
    world.run_until("an answer", |world| !world.replies.is_empty());
    match world.replies.remove(0) {
        Outcome::Proposed { txid, .. } => txid,
        other => panic!("{other:?}"),
    }
}

fn is(world: &World, txid: Txid, state: State, sub_status: &SubStatus) -> bool {
    ALL.iter().all(|node| {
        let tx = world.node(*node).state().transaction(txid);
        tx.is_some_and(|tx| tx.state == state && tx.sub_status == *sub_status)
    })
}

fn proposal(world: &World, txid: Txid) -> Proposal {
    world.node(1).state().transaction(txid).unwrap().proposal.body.clone()
}

/// A payment in the mempool of a chain that mines when it is told to.
fn waiting_payment() -> (World, Txid) {
    let mut world = cluster_with_key(Suite::Mock);
    world.ledger.waits = true;
    let txid = pay(&mut world, 50_000);
    world.run_until("it waits in the mempool", |world| {
        is(world, txid, State::Broadcasting, &SubStatus::InMempool)
    });
    (world, txid)
}

/// The same, and a signed transaction in its place.
fn replaced_payment() -> (World, Txid, Txid) {
    let (mut world, original) = waiting_payment();
    let replacement = bump(&mut world, 3, original, Some(20_000)).unwrap();
    world.run_until("the dearer one waits in its place", |world| {
        is(world, replacement, State::Broadcasting, &SubStatus::InMempool)
            && is(world, original, State::Broadcasting, &SubStatus::BeingReplaced)
    });
    (world, original, replacement)
}

fn change_of(world: &World, txid: Txid) -> OutPoint {
    let script = world.wallet().unwrap().script();
    let outputs = proposal(world, txid).unsigned_tx.output;
    let vout = outputs.iter().position(|output| output.script_pubkey == script).unwrap();
    OutPoint { txid, vout: u32::try_from(vout).unwrap() }
}

#[test]
fn the_dearer_transaction_confirms_and_the_payment_is_made_once() {
    let (mut world, original, replacement) = replaced_payment();
    let (old, new) = (proposal(&world, original), proposal(&world, replacement));
    assert_eq!(new.replaces, Some(original));
    assert_eq!((&new.recipient, new.amount, new.payment), (&old.recipient, old.amount, old.payment));
    assert!(new.coins().eq(old.coins()));
    assert!(new.fee > old.fee, "{} is not above {}", new.fee, old.fee);
    for node in ALL {
        let state = world.node(node).state();
        assert_eq!(state.replacement_of(original).unwrap().txid(), replacement);
        assert_eq!(spendable(world.node(node), Scheme::Taproot), Amount::ZERO, "either change may never be");
    }
    world.ledger.mine(replacement);
    world.run_until("an end", |world| {
        is(world, replacement, State::Confirmed, &SubStatus::Settled)
            && is(world, original, State::Failed, &SubStatus::Replaced)
    });
    world.assert_peace();
    world.ledger.waits = false;
    let next = pay(&mut world, 60_000);
    world.run_until("its change is spent", |world| is(world, next, State::Confirmed, &SubStatus::Settled));
    assert!(proposal(&world, next).coins().eq([change_of(&world, replacement)]));
}

#[test]
fn the_original_may_confirm_all_the_same_and_its_change_is_free_then() {
    let (mut world, original, replacement) = replaced_payment();
    world.ledger.mine(original);
    world.run_until("an end", |world| {
        is(world, original, State::Confirmed, &SubStatus::Settled)
            && is(world, replacement, State::Failed, &SubStatus::Replaced)
    });
    world.assert_peace();
    world.ledger.waits = false;
    let next = pay(&mut world, 60_000);
    world.run_until("its change is spent", |world| is(world, next, State::Confirmed, &SubStatus::Settled));
    assert!(proposal(&world, next).coins().eq([change_of(&world, original)]));
}

#[test]
fn who_asks_for_the_payment_again_is_told_the_transaction_that_counts() {
    for miner_takes_the_first in [true, false] {
        let mut world = cluster_with_key(Suite::Mock);
        world.ledger.waits = true;
        let Command::Pay(request) = payment(50_000) else { unreachable!() };
        let named =
            || Command::Pay(PaymentRequest { external_id: Some("order-17".into()), ..request.clone() });
        let answer = |world: &mut World| {
            world.replies.clear();
            world.ask(1, named());
            world.run_until("an answer", |world| !world.replies.is_empty());
            world.replies.remove(0)
        };
        let Outcome::Proposed { txid: first, replayed: false } = answer(&mut world) else { panic!() };
        world.run_until("the mempool", |world| is(world, first, State::Broadcasting, &SubStatus::InMempool));
        let second = bump(&mut world, 3, first, None).unwrap();
        world.run_until("its place", |world| is(world, second, State::Broadcasting, &SubStatus::InMempool));
        assert_eq!(answer(&mut world), Outcome::Proposed { txid: second, replayed: true });
        let (wins, loses) = if miner_takes_the_first { (first, second) } else { (second, first) };
        world.ledger.mine(wins);
        world.run_until("an end", |world| {
            is(world, wins, State::Confirmed, &SubStatus::Settled)
                && is(world, loses, State::Failed, &SubStatus::Replaced)
        });
        assert_eq!(answer(&mut world), Outcome::Proposed { txid: wins, replayed: true });
    }
}

#[test]
fn a_replacement_is_replaced_in_turn() {
    let (mut world, original, second) = replaced_payment();
    let third = bump(&mut world, 5, second, None).unwrap();
    world.run_until("the third waits", |world| is(world, third, State::Broadcasting, &SubStatus::InMempool));
    world.ledger.mine(third);
    world.run_until("an end", |world| {
        is(world, third, State::Confirmed, &SubStatus::Settled)
            && is(world, second, State::Failed, &SubStatus::Replaced)
            && is(world, original, State::Failed, &SubStatus::Replaced)
    });
    world.assert_peace();
}

#[test]
fn a_restarted_node_remembers_both() {
    let (mut world, original, replacement) = replaced_payment();
    let before = world.node(2).state().digest();
    let kept = world.disks[&NodeId::new(2)].len();
    world.restart(2, kept);
    assert_eq!(world.node(2).state().digest(), before);
    world.ledger.mine(replacement);
    world.run_until("an end", |world| {
        is(world, replacement, State::Confirmed, &SubStatus::Settled)
            && is(world, original, State::Failed, &SubStatus::Replaced)
    });
}

#[test]
fn what_cannot_be_replaced_is_refused_with_the_reason() {
    let (mut world, original, replacement) = replaced_payment();
    assert_eq!(bump(&mut world, 4, original, None), Err(Refusal::ReplacedBefore { by: replacement }));
    let unknown = change_of(&world, original).txid;
    world.ledger.mine(replacement);
    world.run_until("an end", |world| is(world, replacement, State::Confirmed, &SubStatus::Settled));
    let height = world.ledger.tip().height;
    assert_eq!(bump(&mut world, 4, replacement, None), Err(Refusal::InBlock { txid: replacement, height }));
    world.run_until("the other's end", |world| is(world, unknown, State::Failed, &SubStatus::Replaced));
    let state = State::Failed;
    assert_eq!(bump(&mut world, 4, original, None), Err(Refusal::NotReplaceable { txid: original, state }));
}

#[test]
fn the_fee_has_to_rise_by_what_the_network_asks_and_within_policy() {
    let (mut world, original) = waiting_payment();
    let old = proposal(&world, original);
    let refused = bump(&mut world, 2, original, Some(1_500)).unwrap_err();
    let Refusal::ReplacementTooCheap { rate: 1_500, least, least_rate, .. } = refused else {
        panic!("{refused}")
    };
    let size = old.fee.to_sat();
    assert_eq!((least, least_rate), (2 * size, 2_000), "the fixture pays 1 sat/vB");
    assert_eq!(bump(&mut world, 2, original, Some(10_000_000)).unwrap_err().code(), "fee_too_high");
    let replacement = bump(&mut world, 2, original, Some(least_rate)).unwrap();
    assert_eq!(proposal(&world, replacement).fee.to_sat(), least);
}

#[test]
fn nothing_is_replaced_whose_change_is_being_spent_nor_spent_what_is_being_replaced() {
    let (mut world, original) = waiting_payment();
    let child = pay(&mut world, 60_000);
    assert!(proposal(&world, child).coins().eq([change_of(&world, original)]));
    assert_eq!(bump(&mut world, 3, original, None), Err(Refusal::ChangeSpent { by: child }));

    // The other way round: the child comes when the replacement has votes.
    let (mut world, original) = waiting_payment();
    let replacement = bump(&mut world, 3, original, None).unwrap();
    world.run_until("votes", |world| {
        ALL.iter().all(|node| {
            let tx = world.node(*node).state().transaction(replacement);
            tx.is_some_and(|tx| tx.tally.vote_of(NodeId::new(*node)).is_some())
        })
    });
    let coin = change_of(&world, original);
    for node in ALL {
        assert_eq!(world.node(node).state().holder_of(&coin), Some(replacement), "node-{node}");
    }
}

/// A payment in the mempool and a proposal to take its place that is signed by nobody: shares are lost.
fn unsigned_replacement() -> (World, Txid, Txid) {
    let (mut world, original) = waiting_payment();
    let lost = |message: &Message| matches!(message, Message::Mpc(said) if said.body.sequence > 0);
    world.tamper = Some(Box::new(move |_, _, message| if lost(&message) { vec![] } else { vec![message] }));
    let replacement = bump(&mut world, 3, original, None).unwrap();
    world.run_until("shares that have left", |world| {
        let released = |node: &u16| {
            world.node(*node).state().transaction(replacement).is_some_and(|tx| tx.share_released)
        };
        ALL.iter().filter(|node| released(node)).count() >= 1
    });
    (world, original, replacement)
}

#[test]
fn a_replacement_that_only_a_liar_could_finish_is_no_theft_when_it_confirms() {
    let (mut world, original, replacement) = unsigned_replacement();
    world.ledger.place(proposal(&world, replacement).unsigned_tx);
    world.run_until("an end", |world| is(world, original, State::Failed, &SubStatus::Replaced));
    world.assert_peace();
}

#[test]
fn the_change_of_a_confirmed_original_is_free_though_its_replacement_is_never_signed() {
    let (mut world, original, replacement) = unsigned_replacement();
    let coin = change_of(&world, original);
    assert!(ALL.iter().any(|node| world.node(*node).state().holder_of(&coin) == Some(replacement)));
    world.ledger.mine(original);
    world.run_until("an end", |world| is(world, original, State::Confirmed, &SubStatus::Settled));
    for node in ALL {
        assert_eq!(world.node(node).state().holder_of(&coin), None, "node-{node}");
    }
    world.tamper = None;
    world.ledger.waits = false;
    let next = pay(&mut world, 60_000);
    world.run_until("its change is spent", |world| is(world, next, State::Confirmed, &SubStatus::Settled));
    assert!(proposal(&world, next).coins().eq([coin]));
}

#[test]
fn a_payment_stands_with_what_is_signed() {
    let (world, original, replacement) = unsigned_replacement();
    let payment = proposal(&world, replacement).payment;
    for node in ALL {
        assert_eq!(world.node(node).state().standing_for(payment).unwrap().txid(), original, "node-{node}");
    }
}

/// Why the members refuse another's proposal to take the original's place, otherwise than it should. None of them approves it.
fn rejections_of(edit: impl Fn(&mut Proposal)) -> Vec<RejectReason> {
    let (mut world, original) = waiting_payment();
    world.replies.clear();
    world.ask(5, Command::Bump(BumpRequest { txid: original, fee_rate: Some(20_000), initiator: None }));
    world.run_until("an answer", |world| !world.replies.is_empty());
    let own = world.node(5).state().transactions();
    let mut forged =
        own.map(|(_, tx)| tx.proposal.body.clone()).find(|body| body.replaces.is_some()).unwrap();
    // Nobody has heard of the honest one.
    world.queue.clear();
    world.down.insert(NodeId::new(5));
    edit(&mut forged);
    let txid = forged.txid();
    let request = Message::VoteRequest(Box::new(Signed::new(forged, &key(5))));
    for node in [1, 2, 3, 4] {
        let input = Input::Message { from: NodeId::new(5), message: request.clone() };
        world.queue.push_back((NodeId::new(node), input));
    }
    let vote_of = |world: &World, node: u16| {
        let tx = world.node(node).state().transaction(txid)?;
        tx.tally.vote_of(NodeId::new(node)).map(|vote| vote.body.decision.clone())
    };
    world.run_until("judgement", |world| {
        [1, 2, 3, 4].iter().all(|node| {
            let promised =
                |tx: &mpc_wallet_core::state::TxRecord| tx.tally.promise_of(NodeId::new(*node)).is_some();
            vote_of(world, *node).is_some()
                || world.node(*node).state().transaction(txid).is_some_and(promised)
        })
    });
    let votes = [1, 2, 3, 4].into_iter().filter_map(|node| vote_of(&world, node));
    let reasons = votes.map(|decision| match decision {
        Decision::Reject(reason) => reason,
        Decision::Approve => panic!("approved"),
    });
    let reasons: Vec<_> = reasons.collect();
    assert!(reasons.len() >= 2, "{reasons:?}");
    reasons
}

#[test]
fn what_pays_another_or_something_else_or_too_little_gets_no_vote() {
    let thief = bitcoin::ScriptBuf::from_hex("00140000000000000000000000000000000000000000").unwrap();
    let pay_thief = |p: &mut Proposal| {
        let recipient = p.recipient.clone();
        let output =
            p.unsigned_tx.output.iter_mut().find(|output| output.script_pubkey == recipient).unwrap();
        output.script_pubkey = thief.clone();
        p.recipient = thief.clone();
    };
    let less = |p: &mut Proposal| {
        let recipient = p.recipient.clone();
        let output =
            p.unsigned_tx.output.iter_mut().find(|output| output.script_pubkey == recipient).unwrap();
        output.value -= Amount::from_sat(1_000);
        p.amount -= Amount::from_sat(1_000);
        p.fee += Amount::from_sat(1_000);
    };
    let cheap = |p: &mut Proposal| {
        let recipient = p.recipient.clone();
        let change =
            p.unsigned_tx.output.iter_mut().find(|output| output.script_pubkey != recipient).unwrap();
        let back = p.fee - Amount::from_sat(200);
        change.value += back;
        p.fee -= back;
    };
    for (what, reasons) in [
        ("pays", rejections_of(pay_thief)),
        ("pays another recipient, or another amount", rejections_of(less)),
        ("the network takes none", rejections_of(cheap)),
        ("payment", rejections_of(|p| p.metadata = Some("another".to_owned()))),
    ] {
        for reason in reasons {
            assert_eq!(reason.code(), "replacement", "{reason}");
            assert!(reason.to_string().contains(what), "{what}: {reason}");
        }
    }
    // Without the word that it replaces, it is a second transaction for the payment.
    for reason in rejections_of(|p| p.replaces = None) {
        assert_eq!(reason.code(), "payment_served", "{reason}");
    }
}
