//! Any one node stops all signing, and t nodes lift it: what is under way waits, what is forged counts for nothing, and
//! who was away or has lost its journal learns of it before it does anything.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of fact or message and leaves the rest"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use mpc_wallet_core::{
    ClusterId, Millis, NodeId, Scheme, Timestamp,
    freeze::{Freeze, FreezeNotice, Lift, SignedFreeze, SignedLift, WordsError},
    identity::Signed,
    message::{FreezeNotices, Message},
    mpc::Suite,
    overview::FreezeView,
    record::{Fact, Record},
    refusal::Refusal,
    step::{Alert, Command, Input, Outcome},
    tx::{State, SubStatus},
    vote::{Decision, Vote},
};

use crate::support::{World, cluster_with_key, key, payment};

const ALL: [u16; 5] = [1, 2, 3, 4, 5];

fn freeze(world: &mut World, node: u16) {
    let (operator, reason) = (format!("ops-{node}"), "a laptop is lost".to_owned());
    world.ask(node, Command::Freeze { operator, reason });
}

fn lift(world: &mut World, node: u16) {
    world.ask(node, Command::Lift { operator: format!("ops-{node}") });
}

fn is_frozen(world: &World, node: u16) -> bool {
    !world.node(node).overview().freezes.is_empty()
}

fn all_frozen(world: &World) -> bool {
    ALL.iter().all(|node| is_frozen(world, *node))
}

fn none_frozen(world: &World) -> bool {
    ALL.iter().all(|node| !is_frozen(world, *node))
}

/// Lets time pass, with all that it brings.
fn pass(world: &mut World, millis: u64) {
    let end = world.now.plus(Millis(millis));
    world.run_until("time to pass", |world| world.now >= end && world.queue.is_empty());
}

/// Nobody was blamed; operators were told of freezes, and of nothing else.
fn assert_peace(world: &World) {
    assert!(world.bans.is_empty(), "{:?}", world.bans);
    let other = world.alerts.iter().find(|(_, alert)| !matches!(alert, Alert::Freeze { .. }));
    assert_eq!(other, None);
}

/// Has node-1 pay, and stops it where all have consented and no share has left.
fn payment_in_signing(world: &mut World) {
    let lost = |message: &Message| matches!(message, Message::Mpc(_));
    world.tamper = Some(Box::new(move |_, _, message| if lost(&message) { vec![] } else { vec![message] }));
    world.ask(1, payment(50_000));
    world.run_until("a payment in signing", |world| world.have(&[1], 1, State::Signing));
}

fn waits_frozen(world: &World) -> bool {
    ALL.iter().all(|node| {
        let mut transactions = world.node(*node).state().transactions();
        transactions.all(|(_, tx)| tx.sub_status == SubStatus::Frozen)
    })
}

/// What a node put on record while a freeze was active in its own journal, and must not have.
fn breaks_freeze(node: NodeId, records: &[Record]) -> Option<&Fact> {
    let (mut frozen, mut lifts) = (false, 0);
    records.iter().map(|record| &record.fact).find(|fact| {
        if matches!(fact, Fact::Frozen(_)) {
            (frozen, lifts) = (true, 0);
        } else if matches!(fact, Fact::Lifted(_)) {
            lifts += 1;
        }
        let approves = |vote: &Vote| vote.body.voter == node && vote.body.decision == Decision::Approve;
        let forbidden = matches!(fact, Fact::Voted(vote) if approves(vote))
            || matches!(fact, Fact::Transition { to: State::Approved | State::Signing, .. })
            || matches!(fact, Fact::ShareReleased { .. } | Fact::PresignaturesUsed { .. })
            || matches!(fact, Fact::Proposed(proposal) if proposal.body.origin == node);
        frozen && lifts < 4 && forbidden
    })
}

#[test]
fn one_node_freezes_and_every_node_refuses_payments_and_names_who_when_and_why() {
    let mut world = cluster_with_key(Suite::Mock);
    world.replies.clear();
    let before = world.now;
    freeze(&mut world, 3);
    world.run_until("a freeze everywhere", all_frozen);
    let view = world.node(3).overview().freezes[0].clone();
    assert_eq!(world.replies, [Outcome::Frozen { freeze: view.id }]);
    assert_eq!((view.node, view.operator.as_str()), (NodeId::new(3), "ops-3"));
    assert!(view.at >= before && view.lifted_by.is_empty());
    for node in ALL {
        world.replies.clear();
        world.ask(node, payment(50_000));
        world.run_until("an answer", |world| !world.replies.is_empty());
        let refusal = Refusal::Frozen {
            node: NodeId::new(3),
            operator: "ops-3".to_owned(),
            reason: "a laptop is lost".to_owned(),
            at: view.at,
            needed: 4,
        };
        assert_eq!(world.replies, [Outcome::Refused(refusal.clone())]);
        assert_eq!(refusal.code(), "cluster_frozen");
        assert_eq!(world.node(node).overview().freezes, std::slice::from_ref(&view), "node-{node}");
    }
    pass(&mut world, 60_000);
    assert!(world.all_have(0, State::Pending) && all_frozen(&world));
    assert_peace(&world);
}

#[test]
fn a_payment_under_way_waits_and_goes_on_when_four_lift_it() {
    let mut world = cluster_with_key(Suite::Mock);
    payment_in_signing(&mut world);
    freeze(&mut world, 3);
    world.tamper = None;
    world.run_until("a freeze everywhere", all_frozen);
    pass(&mut world, 120_000);
    assert!(waits_frozen(&world));
    assert_eq!(world.node(1).overview().sessions, 0);
    for node in [1, 2, 5] {
        lift(&mut world, node);
        // Twice is once.
        lift(&mut world, node);
    }
    pass(&mut world, 60_000);
    assert!(
        all_frozen(&world) && waits_frozen(&world),
        "three of five lift nothing, and the freezer has no say"
    );
    lift(&mut world, 4);
    world.run_until("the payment", |world| world.all_have(1, State::Confirmed));
    assert!(none_frozen(&world));
    let text = |alert: &Alert| matches!(alert, Alert::Freeze { detail, .. } if detail.contains("lifted"));
    assert!(world.alerts.iter().any(|(_, alert)| text(alert)));
    assert_peace(&world);
}

#[test]
fn wherever_a_freeze_falls_in_a_payment_no_share_and_no_approval_follow_it() {
    let mut interrupted = 0;
    for moment in (0..340).step_by(6) {
        let mut world = cluster_with_key(Suite::Mock);
        // By then the coordinator grants at once, and all that follows is without a pause.
        pass(&mut world, 5_000);
        world.ask(1, payment(50_000));
        for _ in 0..moment {
            if let Some((node, input)) = world.queue.pop_front() {
                world.step(node, input);
            }
        }
        freeze(&mut world, 2);
        world.run_until("a freeze everywhere", all_frozen);
        pass(&mut world, 20_000);
        for (node, records) in &world.disks {
            assert_eq!(breaks_freeze(*node, records), None, "{node}, frozen after {moment} inputs");
        }
        let open = world.node(1).overview().open_transactions;
        interrupted += open;
        for node in [1, 2, 3, 4] {
            lift(&mut world, node);
        }
        world.run_until("the freeze to be lifted", none_frozen);
        pass(&mut world, 60_000);
        let over = |world: &World| world.nodes.values().all(|node| node.state().open_count() == 0);
        assert!(over(&world), "frozen after {moment} inputs: nothing stays open");
        assert!(open == 0 || world.all_have(1, State::Confirmed), "frozen after {moment} inputs");
        assert_peace(&world);
    }
    assert!(interrupted > 10, "only {interrupted} of the freezes met an open payment");
}

#[test]
fn a_freeze_and_its_lifts_outlive_a_restart_of_all_nodes() {
    let mut world = cluster_with_key(Suite::Mock);
    payment_in_signing(&mut world);
    freeze(&mut world, 5);
    world.run_until("a freeze everywhere", all_frozen);
    world.tamper = None;
    for node in [1, 2, 3] {
        lift(&mut world, node);
    }
    pass(&mut world, 1_000);
    for node in ALL {
        world.restart(node, usize::MAX);
    }
    pass(&mut world, 30_000);
    assert!(all_frozen(&world) && waits_frozen(&world));
    assert_eq!(world.node(5).overview().freezes[0].lifted_by, [1, 2, 3].map(NodeId::new));
    lift(&mut world, 4);
    world.run_until("the payment", |world| world.all_have(1, State::Confirmed));
}

#[test]
fn who_slept_through_the_lifts_is_not_frozen_alone() {
    let mut world = cluster_with_key(Suite::Mock);
    freeze(&mut world, 5);
    world.run_until("a freeze everywhere", all_frozen);
    world.down.insert(NodeId::new(5));
    for node in [1, 2, 3, 4] {
        lift(&mut world, node);
    }
    pass(&mut world, 5_000);
    assert!([1, 2, 3, 4].iter().all(|node| !is_frozen(&world, *node)));
    world.restart(5, usize::MAX);
    assert!(is_frozen(&world, 5));
    world.run_until("word of the lifts", none_frozen);
    assert_peace(&world);
}

#[test]
fn who_slept_through_the_freeze_hears_of_it() {
    let mut world = cluster_with_key(Suite::Mock);
    world.down.insert(NodeId::new(4));
    freeze(&mut world, 5);
    pass(&mut world, 10_000);
    world.down.remove(&NodeId::new(4));
    // Its connections never broke: only repetition helps.
    world.run_until("a freeze everywhere", all_frozen);
}

#[test]
fn a_lost_word_costs_seconds() {
    let mut world = cluster_with_key(Suite::Mock);
    let lost = |message: &Message| matches!(message, Message::Freezes(_));
    world.tamper = Some(Box::new(move |_, _, message| if lost(&message) { vec![] } else { vec![message] }));
    freeze(&mut world, 5);
    pass(&mut world, 1_000);
    assert!(!is_frozen(&world, 1));
    world.tamper = None;
    let before = world.now;
    world.run_until("a freeze everywhere", all_frozen);
    assert!(world.now.since(before) <= Millis(3_000), "{:?}", world.now.since(before));
}

#[test]
fn who_lost_its_journal_does_not_speak_before_it_knows_the_freeze() {
    let mut world = cluster_with_key(Suite::Mock);
    let keep = world.disks[&NodeId::new(4)].len();
    world.ask(1, payment(50_000));
    world.run_until("a payment", |world| world.all_have(1, State::Confirmed));
    freeze(&mut world, 2);
    world.run_until("a freeze everywhere", all_frozen);
    // Nothing that a peer tells by itself gets through, only answers.
    let lost = |message: &Message| matches!(message, Message::Freezes(told) if told.answers.is_none());
    world.tamper = Some(Box::new(move |_, _, message| if lost(&message) { vec![] } else { vec![message] }));
    world.restart(4, keep);
    world.run_until("node-4 to take part", |world| world.node(4).overview().standing.is_sound());
    let records = &world.disks[&NodeId::new(4)][keep..];
    let frozen = records.iter().position(|record| matches!(record.fact, Fact::Frozen(_)));
    let rejoined = records.iter().position(|record| matches!(record.fact, Fact::Rejoined { .. }));
    assert!(frozen.unwrap() < rejoined.unwrap());
    assert!(is_frozen(&world, 4));
}

#[test]
fn without_word_of_what_is_frozen_nobody_who_starts_speaks() {
    let mut world = cluster_with_key(Suite::Mock);
    let lost = |to, message: &Message| to == NodeId::new(4) && matches!(message, Message::Freezes(_));
    world.tamper =
        Some(Box::new(move |_, to, message| if lost(to, &message) { vec![] } else { vec![message] }));
    world.restart(4, usize::MAX);
    pass(&mut world, 60_000);
    assert!(!world.node(4).overview().standing.is_sound());
    world.tamper = None;
    world.run_until("node-4 to take part", |world| world.node(4).overview().standing.is_sound());
}

#[test]
fn freezing_twice_lifting_nothing_and_unfit_words_are_refused() {
    let mut world = cluster_with_key(Suite::Mock);
    let mut refused = |command: Command| {
        world.replies.clear();
        world.ask(3, command);
        world.run_until("an answer", |world| !world.replies.is_empty());
        match world.replies.pop() {
            Some(Outcome::Refused(refusal)) => Ok(refusal),
            other => Err(other),
        }
    };
    let freeze = |operator: &str, reason: &str| Command::Freeze {
        operator: operator.to_owned(),
        reason: reason.to_owned(),
    };
    assert_eq!(refused(Command::Lift { operator: "ops".to_owned() }), Ok(Refusal::NotFrozen));
    assert_eq!(refused(freeze("ops", "")), Ok(Refusal::Words(WordsError::Reason { size: 0 })));
    assert_eq!(refused(freeze("ops", "a\nb")), Ok(Refusal::Words(WordsError::ReasonUnprintable)));
    assert_eq!(refused(freeze("", "why")), Ok(Refusal::Words(WordsError::Operator { size: 0 })));
    let Err(Some(Outcome::Frozen { freeze: id })) = refused(freeze("ops", "why")) else {
        panic!("no freeze")
    };
    assert_eq!(refused(freeze("other", "why not")), Ok(Refusal::AlreadyFrozen(id)));
    let unfit = Command::Lift { operator: "o".repeat(65) };
    assert_eq!(refused(unfit), Ok(Refusal::Words(WordsError::Operator { size: 65 })));
}

#[test]
fn a_node_freezes_again_after_its_freeze_was_lifted_even_within_the_same_millisecond() {
    let mut world = cluster_with_key(Suite::Mock);
    let mut before = None;
    for _ in 0..3 {
        freeze(&mut world, 3);
        world.run_until("a freeze everywhere", all_frozen);
        let view = world.node(1).overview().freezes[0].clone();
        assert!(before < Some(view.at), "{before:?} {:?}", view.at);
        before = Some(view.at);
        for node in [1, 2, 4, 5] {
            lift(&mut world, node);
        }
        world.run_until("the freeze to be lifted", none_frozen);
    }
    assert_peace(&world);
}

#[test]
fn two_freezes_at_once_are_lifted_together() {
    let mut world = cluster_with_key(Suite::Mock);
    freeze(&mut world, 3);
    freeze(&mut world, 4);
    world.run_until("both freezes everywhere", |world| {
        world.nodes.values().all(|node| node.overview().freezes.len() == 2)
    });
    for node in [2, 3, 4, 5] {
        lift(&mut world, node);
    }
    world.run_until("both to be lifted", none_frozen);
    assert_peace(&world);
}

#[test]
fn keys_are_made_while_the_cluster_is_frozen() {
    let mut world = cluster_with_key(Suite::Mock);
    world.give_toy_primes();
    freeze(&mut world, 3);
    world.run_until("a freeze everywhere", all_frozen);
    world.ask(2, Command::GenerateKey(Scheme::Segwit));
    world.run_until("another key", |world| {
        world.nodes.values().all(|node| node.state().current_key(Scheme::Segwit).is_some())
    });
    assert!(all_frozen(&world));
}

/// A freeze of a member, as its own key signs it.
fn signed(world: &World, node: u16, at: Timestamp, reason: &str) -> SignedFreeze {
    let cluster = world.node(1).config().cluster.id();
    let (operator, reason) = ("ops".to_owned(), reason.to_owned());
    Signed::new(Freeze { cluster, node: NodeId::new(node), operator, reason, at }, &key(node))
}

fn signed_lift(cluster: ClusterId, frozen: &SignedFreeze, node: u16, signer: u16) -> SignedLift {
    let Freeze { node: frozen_by, at: up_to, .. } = frozen.body;
    let body = Lift { cluster, frozen_by, up_to, node: NodeId::new(node), operator: "ops".to_owned() };
    Signed::new(body, &key(signer))
}

/// node-5 tells a node of a freeze.
fn tell(world: &mut World, to: u16, freeze: &SignedFreeze, lifts: &[SignedLift]) {
    let notice = FreezeNotice { freeze: freeze.clone(), lifts: lifts.to_vec() };
    let message = Message::Freezes(FreezeNotices { answers: None, notices: vec![notice] });
    world.queue.push_back((NodeId::new(to), Input::Message { from: NodeId::new(5), message }));
}

#[test]
fn what_is_forged_counts_for_nothing_and_is_held_against_who_brought_it() {
    let mut world = cluster_with_key(Suite::Mock);
    let cluster = world.node(1).config().cluster.id();
    let strikes = |world: &World| world.node(1).state().member(NodeId::new(5)).strikes;
    let mut in_anothers_name = signed(&world, 5, world.now, "mine");
    in_anothers_name.body.node = NodeId::new(2);
    tell(&mut world, 1, &in_anothers_name, &[]);
    pass(&mut world, 10);
    assert_eq!((is_frozen(&world, 1), strikes(&world)), (false, 1));
    let unfit = signed(&world, 5, world.now, "\u{1b}[2J");
    tell(&mut world, 1, &unfit, &[]);
    pass(&mut world, 10);
    assert_eq!((is_frozen(&world, 1), strikes(&world)), (false, 2));
    let true_one = signed(&world, 5, world.now, "true");
    let forged: Vec<_> = [2, 3, 4].map(|node| signed_lift(cluster, &true_one, node, 5)).to_vec();
    tell(&mut world, 1, &true_one, &forged[..2]);
    pass(&mut world, 10);
    assert_eq!((is_frozen(&world, 1), strikes(&world)), (true, 4), "a forged lift lifts nothing");
    assert!(world.node(1).overview().freezes[0].lifted_by.is_empty());
    // One member's lift is one, however often it is told.
    let once = signed_lift(cluster, &true_one, 3, 3);
    tell(&mut world, 1, &true_one, &vec![once; 5]);
    pass(&mut world, 10);
    assert_eq!(world.node(1).overview().freezes[0].lifted_by, [NodeId::new(3)]);
}

#[test]
fn a_liar_that_tells_everybody_another_freeze_is_lifted_all_the_same() {
    let mut world = cluster_with_key(Suite::Mock);
    let start = world.now;
    for node in [1, 2, 3, 4] {
        let other = signed(&world, 5, start.plus(Millis(u64::from(node) % 3)), &format!("for node-{node}"));
        tell(&mut world, node, &other, &[]);
    }
    // What it says of the freezes of others, and to itself, is of no interest.
    world.down.insert(NodeId::new(5));
    world.run_until("the last one to count everywhere", |world| {
        let last = |freezes: &[FreezeView]| freezes.iter().any(|freeze| freeze.at == start.plus(Millis(2)));
        [1, 2, 3, 4].iter().all(|node| last(&world.node(*node).overview().freezes))
    });
    for node in [1, 2, 3, 4] {
        lift(&mut world, node);
    }
    world.run_until("the freeze to be lifted", |world| {
        [1, 2, 3, 4].iter().all(|node| !is_frozen(world, *node))
    });
    // What was lifted is not frozen again by what came before it.
    let earlier = signed(&world, 5, start.plus(Millis(1)), "for node-1");
    for node in [1, 2, 3, 4] {
        tell(&mut world, node, &earlier, &[]);
    }
    pass(&mut world, 20_000);
    assert!([1, 2, 3, 4].iter().all(|node| !is_frozen(&world, *node)));
}

#[test]
fn a_liar_that_freezes_on_and_on_fills_no_journal() {
    let mut world = cluster_with_key(Suite::Mock);
    for second in 0..1_000 {
        let freeze = signed(&world, 5, world.now.plus(Millis(second)), "again");
        tell(&mut world, 1, &freeze, &[]);
    }
    pass(&mut world, 5_000);
    let kept = world.disks[&NodeId::new(1)].iter().filter(|record| matches!(record.fact, Fact::Frozen(_)));
    assert_eq!(kept.count(), 1);
}
