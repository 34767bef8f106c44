//! Payments that wait for people.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of fact or message and leaves the rest"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use bitcoin::{Amount, Txid};
use mpc_wallet_core::{
    Millis, Node, NodeId,
    identity::Signed,
    message::Message,
    mpc::Suite,
    policy::Approval,
    record::Fact,
    refusal::Refusal,
    state::TxRecord,
    step::{Command, DecisionRequest, Input, Outcome, PaymentRequest},
    tx::{State, SubStatus},
    vote::{Decision, RejectReason, Violation},
};

use crate::support::{World, key, payment, with_key};

const LIMIT: u64 = 50_000;
const LARGE: u64 = LIMIT + 1;
const WAIT: Millis = Millis(300_000);
const ALL: [u16; 5] = [1, 2, 3, 4, 5];

/// Five nodes that ask two people above [`LIMIT`], and three coins.
fn cluster() -> World {
    let approval = Approval { above: Amount::from_sat(LIMIT), operators: 2 };
    let world = World::new(Suite::Mock).configured(|config| {
        config.policy.approval = Some(approval);
        config.timing.approval_wait = WAIT;
    });
    let mut world = with_key(world);
    let script = world.wallet().unwrap().script();
    for value in [1_000_000, 2_000_000] {
        world.ledger.fund(&script, Amount::from_sat(value));
    }
    world.pass(2_000);
    world
}

/// The answer to a command.
fn answer(world: &mut World, node: u16, command: Command) -> Outcome {
    let before = world.replies.len();
    world.ask(node, command);
    world.run_until("an answer", |world| world.replies.len() > before);
    world.replies[before].clone()
}

fn propose(world: &mut World, node: u16, amount: u64) -> Txid {
    match answer(world, node, payment(amount)) {
        Outcome::Proposed { txid, .. } => txid,
        other => panic!("{other:?}"),
    }
}

fn tx(world: &World, node: u16, txid: Txid) -> Option<&TxRecord> {
    world.node(node).state().transaction(txid)
}

fn waits(world: &World, nodes: &[u16], txid: Txid) -> bool {
    nodes.iter().all(|node| {
        tx(world, *node, txid)
            .is_some_and(|tx| tx.state == State::Voting && tx.sub_status == SubStatus::AwaitingApproval)
    })
}

/// A large payment that waits everywhere.
fn waiting(world: &mut World) -> Txid {
    let txid = propose(world, 1, LARGE);
    world.run_until("a payment that waits for people", |world| waits(world, &ALL, txid));
    txid
}

fn request(txid: Txid, operator: &str, approve: bool) -> DecisionRequest {
    DecisionRequest { txid, approve, operator: Some(operator.to_owned()), comment: None }
}

fn decide(world: &mut World, node: u16, txid: Txid, operator: &str, approve: bool) -> Outcome {
    answer(world, node, Command::Decide(request(txid, operator, approve)))
}

fn approve(world: &mut World, node: u16, txid: Txid) {
    assert_eq!(decide(world, node, txid, "ann", true), Outcome::Decided { txid });
}

fn ended(world: &World, nodes: &[u16], txid: Txid, state: State) -> bool {
    nodes.iter().all(|node| tx(world, *node, txid).is_some_and(|tx| tx.state == state))
}

fn has_voted(world: &World, txid: Txid) -> bool {
    ALL.iter().any(|node| tx(world, *node, txid).is_some_and(|tx| tx.tally.votes().next().is_some()))
}

#[test]
fn a_small_payment_goes_through_and_a_large_one_waits_for_two_people() {
    let mut world = cluster();
    let large = waiting(&mut world);
    let small = propose(&mut world, 2, LIMIT);
    world.run_until("the small one", |world| ended(world, &ALL, small, State::Confirmed));
    approve(&mut world, 2, large);
    // Longer than a voting round: one approval is not enough, however long it stands.
    world.pass(60_000);
    assert!(waits(&world, &ALL, large) && !has_voted(&world, large));
    approve(&mut world, 4, large);
    world.run_until("the large one", |world| ended(world, &ALL, large, State::Confirmed));
    world.assert_peace();
    for node in ALL {
        let decisions = &tx(&world, node, large).unwrap().decisions;
        let who: Vec<_> = decisions.iter().map(|decision| decision.body.node.get()).collect();
        assert_eq!(who, [2, 4], "node-{node}");
    }
}

#[test]
fn one_refusal_ends_it_whoever_approved_before() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    approve(&mut world, 3, txid);
    assert_eq!(decide(&mut world, 5, txid, "bob", false), Outcome::Decided { txid });
    world.run_until("the end", |world| ended(world, &ALL, txid, State::Rejected));
    world.assert_peace();
    for node in ALL {
        let tx = tx(&world, node, txid).unwrap();
        assert_eq!(tx.sub_status.to_string(), "votes:operator_rejected");
        let vote = tx.tally.vote_of(NodeId::new(node)).unwrap();
        let reason = RejectReason::OperatorRejected(NodeId::new(5));
        assert_eq!(vote.body.decision, Decision::Reject(reason), "node-{node}");
    }
    // Its coins are free again.
    let again = waiting(&mut world);
    assert_ne!(again, txid);
}

#[test]
fn without_people_it_waits_as_long_as_it_may_and_expires() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    world.pass(WAIT.0 - 60_000);
    assert!(waits(&world, &ALL, txid));
    world.pass(120_000);
    assert!(ended(&world, &ALL, txid, State::Rejected));
    assert_eq!(tx(&world, 1, txid).unwrap().sub_status, SubStatus::Expired);
    world.assert_peace();
    waiting(&mut world);
}

#[test]
fn a_node_that_was_away_learns_the_decisions_and_votes() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    // With two away nothing can be signed; the clock of the round stands still.
    for node in [4, 5] {
        world.down.insert(NodeId::new(node));
    }
    world.pass(5_000);
    approve(&mut world, 1, txid);
    approve(&mut world, 2, txid);
    world.pass(60_000);
    let records = world.disks[&NodeId::new(5)].len();
    world.restart(5, records);
    world.run_until("the payment", |world| ended(world, &[1, 2, 3, 5], txid, State::Confirmed));
    let state = world.node(5).state();
    let decisions = &state.transaction(txid).unwrap().decisions;
    assert_eq!(decisions.iter().count(), 2);
    assert!(tx(&world, 5, txid).unwrap().tally.vote_of(NodeId::new(5)).is_some());
}

#[test]
fn who_is_told_no_is_told_why() {
    let mut world = cluster();
    let asked_by = |name: &str, amount| match payment(amount) {
        Command::Pay(request) => Command::Pay(PaymentRequest { initiator: Some(name.to_owned()), ..request }),
        other => other,
    };
    let Outcome::Proposed { txid, .. } = answer(&mut world, 1, asked_by("ann", LARGE)) else { panic!() };
    world.run_until("a payment that waits", |world| waits(world, &ALL, txid));
    let refused = |outcome: Outcome| match outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let unknown = refused(decide(&mut world, 1, "11".repeat(32).parse().unwrap(), "ann", true));
    assert_eq!(unknown.code(), "not_found");
    // Whoever asked cannot approve, but may think better of it; at another node he is not known.
    let own = refused(decide(&mut world, 1, txid, "ann", true));
    assert_eq!(own, Refusal::OwnPayment { operator: "ann".to_owned() });
    assert_eq!(decide(&mut world, 1, txid, "bob", true), Outcome::Decided { txid });
    // Once more is no second decision; anything else is.
    assert_eq!(decide(&mut world, 1, txid, "bob", true), Outcome::Decided { txid });
    for (operator, approve) in [("bob", false), ("cat", true)] {
        let refusal = refused(decide(&mut world, 1, txid, operator, approve));
        assert_eq!(refusal, Refusal::AlreadyDecided { operator: Some("bob".to_owned()), approve: true });
        assert_eq!(
            refusal.to_string(),
            "bob has approved this transaction at this node; a node decides once about a transaction"
        );
    }
    let comment = Some("c".repeat(257));
    let long = Command::Decide(DecisionRequest { comment, ..request(txid, "ann", true) });
    assert_eq!(refused(answer(&mut world, 2, long)).code(), "validation_failed");
    approve(&mut world, 2, txid);
    world.run_until("the payment", |world| ended(world, &ALL, txid, State::Confirmed));
    assert_eq!(
        refused(decide(&mut world, 3, txid, "dan", false)),
        Refusal::NotVoting { state: State::Confirmed }
    );
    let small = propose(&mut world, 2, LIMIT);
    assert_eq!(refused(decide(&mut world, 2, small, "dan", true)).code(), "approval_not_required");
    let decided = world.disks[&NodeId::new(1)].iter();
    let own = |fact: &Fact| match fact {
        Fact::OperatorDecided(decision) => decision.body.node == NodeId::new(1),
        _ => false,
    };
    assert_eq!(decided.filter(|record| own(&record.fact)).count(), 1);
}

#[test]
fn a_coin_that_is_gone_refuses_the_payment_and_nobody_need_decide() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    let coin = tx(&world, 1, txid).unwrap().proposal.body.coins().next().unwrap();
    world.ledger.steal(coin);
    world.run_until("the end", |world| ended(world, &ALL, txid, State::Rejected));
    assert_eq!(tx(&world, 1, txid).unwrap().sub_status.to_string(), "votes:input");
}

#[test]
fn coins_are_looked_at_after_people_have_approved() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    // Far from the next look of its own.
    let coin = tx(&world, 1, txid).unwrap().proposal.body.coins().next().unwrap();
    approve(&mut world, 1, txid);
    world.ledger.steal(coin);
    approve(&mut world, 2, txid);
    world.run_until("the end", |world| ended(world, &ALL, txid, State::Rejected));
    for node in ALL {
        let tx = tx(&world, node, txid).unwrap();
        assert_eq!(tx.tally.approvals().count(), 0, "node-{node}");
    }
}

#[test]
fn a_decision_in_anothers_name_counts_for_nothing_and_is_held_against_its_bearer() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    approve(&mut world, 1, txid);
    let made = tx(&world, 1, txid).unwrap().decisions.of(NodeId::new(1)).unwrap().clone();
    let mut body = made.body;
    body.node = NodeId::new(2);
    let forged = Signed::new(body, &key(3));
    let liar = NodeId::new(3);
    let message = Message::OperatorDecision(forged);
    world.queue.push_back((NodeId::new(4), Input::Message { from: liar, message }));
    world.pass(60_000);
    assert!(waits(&world, &ALL, txid));
    assert_eq!(tx(&world, 4, txid).unwrap().decisions.of(NodeId::new(2)), None);
    let struck = world.disks[&NodeId::new(4)].iter().any(|record| {
        matches!(&record.fact, Fact::Struck { node, violation: Violation::InvalidSignature, .. } if *node == liar)
    });
    assert!(struck);
}

#[test]
fn two_contrary_decisions_of_one_member_leave_the_first_and_are_held_against_it() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    approve(&mut world, 3, txid);
    world
        .run_until("it is heard", |world| tx(world, 4, txid).unwrap().decisions.of(NodeId::new(3)).is_some());
    let mut body = tx(&world, 3, txid).unwrap().decisions.of(NodeId::new(3)).unwrap().body.clone();
    body.approve = false;
    let message = Message::OperatorDecision(Signed::new(body, &key(3)));
    world.queue.push_back((NodeId::new(4), Input::Message { from: NodeId::new(5), message }));
    world.pass(5_000);
    assert!(waits(&world, &ALL, txid));
    assert!(tx(&world, 4, txid).unwrap().decisions.of(NodeId::new(3)).unwrap().body.approve);
    let struck: BTreeSet<NodeId> = world.disks[&NodeId::new(4)]
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Struck { node, .. } => Some(*node),
            _ => None,
        })
        .collect();
    assert_eq!(struck, BTreeSet::from([NodeId::new(3)]));
}

#[test]
fn a_node_that_lost_its_decision_takes_it_back_and_makes_no_other() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    let before = world.disks[&NodeId::new(5)].len();
    approve(&mut world, 5, txid);
    world.pass(1_000);
    world.restart(5, before);
    world.run_until("its decision is back", |world| {
        tx(world, 5, txid).is_some_and(|tx| tx.decisions.of(NodeId::new(5)).is_some())
    });
    let Outcome::Refused(refusal) = decide(&mut world, 5, txid, "ann", false) else { panic!() };
    assert_eq!(refusal.code(), "already_decided");
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn a_restored_node_leaves_decisions_that_it_may_have_made_to_others() {
    let mut world = cluster();
    let old = world.disks[&NodeId::new(5)].len();
    let txid = waiting(&mut world);
    let other = another(&mut world);
    approve(&mut world, 5, other);
    world.restart(5, old);
    world.run_until("it has recovered", |world| world.node(5).overview().standing.is_sound());
    world.run_until("the payment", |world| waits(world, &[5], txid));
    let Outcome::Refused(refusal) = decide(&mut world, 5, txid, "ann", false) else { panic!() };
    assert_eq!(refusal.code(), "may_have_decided");
    approve(&mut world, 1, txid);
    approve(&mut world, 2, txid);
    world.run_until("the payment", |world| ended(world, &[1, 2, 3, 4], txid, State::Confirmed));
}

/// Another payment that waits everywhere.
fn another(world: &mut World) -> Txid {
    let txid = propose(world, 2, LARGE);
    world.run_until("another payment that waits", |world| waits(world, &ALL, txid));
    txid
}

#[test]
fn a_restart_forgets_neither_the_wait_nor_the_decisions() {
    let mut world = cluster();
    let txid = waiting(&mut world);
    approve(&mut world, 1, txid);
    world.pass(1_000);
    for node in ALL {
        let records = world.disks[&NodeId::new(node)].len();
        world.restart(node, records);
    }
    world.pass(10_000);
    assert!(waits(&world, &ALL, txid));
    for (id, node) in &world.nodes {
        let again =
            Node::replay(node.config().clone(), key(id.get()), world.disks[id].clone(), vec![]).unwrap();
        assert_eq!(again.state().digest(), node.state().digest(), "{id}");
    }
    approve(&mut world, 2, txid);
    world.run_until("the payment", |world| ended(world, &ALL, txid, State::Confirmed));
}
