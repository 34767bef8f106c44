//! Nodes that start again: on their own journal, on an old one, on none (I7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_types, reason = "the world owns its ears, and the test reads what they heard")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at one kind of message and leaves the rest")]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use bitcoin::Txid;
use mpc_wallet_core::{
    BootId, LogIndex, Millis, NodeId,
    identity::Signed,
    message::{Mark, Message, Place, Standing},
    mpc::Suite,
    overview::StandingView,
    record::Fact,
    step::Alert,
    tx::State,
    vote::{Ballot, Decision},
};

use crate::support::{World, cluster_with_key, key, payment};

const RESTORED: u16 = 5;
const ME: NodeId = NodeId::new(RESTORED);

/// Everything that node-5 has ever signed and sent about itself: its ballots by transaction, and other binding words.
#[derive(Default)]
struct Words {
    ballots: BTreeMap<Txid, BTreeSet<Vec<u8>>>,
    promises: BTreeSet<Txid>,
    binding: usize,
}

fn own_votes(message: &Message) -> Vec<Ballot> {
    let votes = match message {
        Message::Vote(vote) => vec![vote.clone()],
        Message::Bundle(bundle) => bundle.votes.clone(),
        Message::SyncPage(page) => page.bundles.iter().flat_map(|bundle| bundle.votes.clone()).collect(),
        _ => vec![],
    };
    votes.into_iter().map(|vote| vote.body).filter(|ballot| ballot.voter == ME).collect()
}

impl Words {
    fn hear(&mut self, message: &Message) {
        for ballot in own_votes(message) {
            let said = format!("{:?}", ballot.decision).into_bytes();
            self.ballots.entry(ballot.txid).or_default().insert(said);
        }
        if let Message::Promise(promise) = message {
            self.promises.insert(promise.body.txid);
        }
        let binding = matches!(
            message,
            Message::Vote(_)
                | Message::Promise(_)
                | Message::Mpc(_)
                | Message::SignRequest(_)
                | Message::CoinGrant(_)
                | Message::VoteRequest(_)
                | Message::KeygenRequest(_)
                | Message::KeygenConfirm(_)
        );
        self.binding += usize::from(binding);
    }

    fn assert_one_vote_each(&self) {
        for (txid, said) in &self.ballots {
            assert_eq!(said.len(), 1, "node-5 voted twice on {txid}");
        }
    }
}

type Rule = Box<dyn FnMut(NodeId, NodeId, Message) -> Vec<Message>>;

/// Listens to node-5, and lets `rule` change what anybody says.
fn listen(world: &mut World, mut rule: Rule) -> Rc<RefCell<Words>> {
    let words = Rc::new(RefCell::new(Words::default()));
    let ears = Rc::clone(&words);
    world.tamper = Some(Box::new(move |from, to, message| {
        if from == ME {
            ears.borrow_mut().hear(&message);
        }
        rule(from, to, message)
    }));
    words
}

fn nothing() -> Rule {
    Box::new(|_, _, message| vec![message])
}

fn is_sound(world: &World, node: u16) -> bool {
    world.node(node).overview().standing == StandingView::Sound
}

/// How many records node-5 has now.
fn backup(world: &World) -> usize {
    world.disks[&ME].len()
}

/// How many records node-5 had before it voted on its latest transaction.
fn before_own_vote(world: &World) -> usize {
    let own = |fact: &Fact| matches!(fact, Fact::Voted(vote) if vote.body.voter == ME);
    world.disks[&ME].iter().rposition(|record| own(&record.fact)).unwrap()
}

fn was_quarantined(world: &World) -> bool {
    world.disks[&ME].iter().any(|record| matches!(record.fact, Fact::Quarantined { .. }))
}

fn alarms(world: &World) -> Vec<&str> {
    let own = |(by, alert): &(NodeId, Alert)| {
        *by == ME && matches!(alert, Alert::Configuration { node, .. } if *node == ME)
    };
    world
        .alerts
        .iter()
        .filter(|entry| own(entry))
        .map(|(_, alert)| match alert {
            Alert::Configuration { detail, .. } => detail.as_str(),
            _ => "",
        })
        .collect()
}

fn pay(world: &mut World, node: u16, nodes: &[u16], count: usize) {
    world.ask(node, payment(50_000));
    world.run_until("a confirmed payment", |world| world.have(nodes, count, State::Confirmed));
}

const ALL: [u16; 5] = [1, 2, 3, 4, 5];

#[test]
fn a_restored_node_knows_it_takes_its_votes_back_and_is_accused_of_nothing() {
    let mut world = cluster_with_key(Suite::Mock);
    let words = listen(&mut world, nothing());
    let old = backup(&world);
    pay(&mut world, 1, &ALL, 1);
    pay(&mut world, 2, &ALL, 2);
    world.restart(RESTORED, old);
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    assert!(was_quarantined(&world));
    world.run_until("what it has forgotten", |world| world.have(&[RESTORED], 2, State::Confirmed));
    let state = world.node(RESTORED).state();
    for (txid, tx) in state.transactions() {
        assert!(tx.tally.vote_of(ME).is_some(), "its own vote on {txid}");
    }
    // It votes and signs again: with node-1 gone it is needed.
    world.down.insert(NodeId::new(1));
    pay(&mut world, 2, &[2, 3, 4, 5], 3);
    let state = world.node(RESTORED).state();
    assert!(state.transactions().all(|(_, tx)| tx.tally.vote_of(ME).is_some()));
    words.borrow().assert_one_vote_each();
    assert_eq!(world.bans, BTreeSet::new());
    let alarms = alarms(&world);
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert!(alarms[0].contains("restored from a backup?") && alarms[1].contains("takes part again"));
}

#[test]
fn a_node_without_any_journal_gets_its_key_back_and_signs_with_real_shares() {
    let mut world = cluster_with_key(Suite::Givre);
    pay(&mut world, 1, &ALL, 1);
    world.restart(RESTORED, 0);
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    assert!(was_quarantined(&world));
    world.run_until("what it has forgotten", |world| world.have(&[RESTORED], 1, State::Confirmed));
    world.down.insert(NodeId::new(2));
    pay(&mut world, 1, &[1, 3, 4, 5], 2);
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn one_lost_vote_at_the_end_of_the_journal_is_enough_to_know() {
    let mut world = cluster_with_key(Suite::Mock);
    // Nothing gets beyond its votes.
    let words = listen(
        &mut world,
        Box::new(|_, _, message| match message {
            Message::SignRequest(_) => vec![],
            other => vec![other],
        }),
    );
    world.ask(1, payment(50_000));
    world.run_until("five votes everywhere", |world| {
        world
            .nodes
            .values()
            .all(|node| node.state().transactions().any(|(_, tx)| tx.tally.votes().count() == 5))
    });
    let keep = before_own_vote(&world);
    world.restart(RESTORED, keep);
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    assert!(was_quarantined(&world));
    world.tamper = None;
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    words.borrow().assert_one_vote_each();
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn a_forgotten_share_is_noticed_by_the_mark_alone() {
    let mut world = cluster_with_key(Suite::Mock);
    for count in 1..=12 {
        pay(&mut world, 1, &ALL, count);
        let released =
            |record: &mpc_wallet_core::record::Record| matches!(record.fact, Fact::ShareReleased { .. });
        if let Some(share) = world.disks[&ME].iter().rposition(released) {
            // Its votes are all there; only what it signed is not.
            world.restart(RESTORED, share);
            world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
            assert!(was_quarantined(&world));
            return;
        }
    }
    panic!("node-5 was never a signer in twelve payments");
}

#[test]
fn nothing_that_binds_is_said_before_enough_peers_have_answered() {
    let mut world = cluster_with_key(Suite::Mock);
    let deaf = Rc::new(Cell::new(true));
    let closed = Rc::clone(&deaf);
    let words = listen(
        &mut world,
        Box::new(move |from, to, message| match message {
            // Two answers of the three it needs.
            Message::SyncPage(_) if to == ME && from.get() > 2 && closed.get() => vec![],
            other => vec![other],
        }),
    );
    let old = backup(&world);
    world.restart(RESTORED, old);
    world.ask(RESTORED, payment(50_000));
    pay(&mut world, 1, &[1, 2, 3, 4], 1);
    world.pass(10_000);
    assert_eq!(world.node(RESTORED).overview().standing, StandingView::Confirming { told: 2, needed: 3 });
    assert_eq!(words.borrow().binding, 0);
    deaf.set(false);
    world.run_until("the node takes part", |world| is_sound(world, RESTORED));
    assert!(!was_quarantined(&world), "it has forgotten nothing");
    world.down.insert(NodeId::new(1));
    pay(&mut world, 2, &[2, 3, 4, 5], 2);
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn on_what_it_may_have_said_before_it_neither_votes_nor_promises() {
    let mut world = cluster_with_key(Suite::Mock);
    let words = listen(
        &mut world,
        Box::new(|from, _, message| match message {
            // Nobody hears what node-5 says of the payment, and nobody has a certificate.
            Message::Vote(_) if from.get() >= 3 => vec![],
            Message::Bundle(_) => vec![],
            Message::SyncPage(mut page) => {
                page.bundles.iter_mut().for_each(|b| b.votes.retain(|vote| vote.body.voter.get() < 3));
                vec![Message::SyncPage(page)]
            }
            other => vec![other],
        }),
    );
    world.ask(1, payment(50_000));
    let voted = |world: &World| {
        world.node(RESTORED).state().transactions().any(|(_, tx)| tx.tally.vote_of(ME).is_some())
    };
    world.run_until("a vote nobody hears", |world| voted(world));
    let keep = before_own_vote(&world);
    world.restart(RESTORED, keep);
    // Its mark has given it away.
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    assert!(was_quarantined(&world));
    let before = words.borrow().ballots.clone();
    world.run_until("the payment is given up", |world| world.all_have(1, State::Rejected));
    assert_eq!(words.borrow().promises, BTreeSet::new(), "a share may have left");
    assert_eq!(words.borrow().ballots, before);
    assert!(!voted(&world));
    world.tamper = None;
    pay(&mut world, 2, &ALL, 1);
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn a_recovered_approval_is_never_promised_away() {
    let mut world = cluster_with_key(Suite::Mock);
    let words = listen(
        &mut world,
        Box::new(|from, _, message| match message {
            // Each has its own vote and two others: no certificate.
            Message::Vote(_) if (2..=4).contains(&from.get()) => vec![],
            Message::Bundle(_) => vec![],
            Message::SyncPage(mut page) => {
                page.bundles
                    .iter_mut()
                    .for_each(|b| b.votes.retain(|vote| [1, 5].contains(&vote.body.voter.get())));
                vec![Message::SyncPage(page)]
            }
            other => vec![other],
        }),
    );
    world.ask(1, payment(50_000));
    world.run_until("its vote at a peer", |world| {
        world.node(1).state().transactions().any(|(_, tx)| tx.tally.vote_of(ME).is_some())
    });
    let keep = before_own_vote(&world);
    world.restart(RESTORED, keep);
    world.run_until("the payment is given up", |world| world.all_have(1, State::Rejected));
    assert!(was_quarantined(&world));
    let (_, tx) = world.node(RESTORED).state().transactions().next().unwrap();
    assert_eq!(tx.tally.vote_of(ME).unwrap().body.decision, Decision::Approve);
    assert_eq!(words.borrow().promises, BTreeSet::new());
    assert_eq!(world.node(RESTORED).state().committed_coins().count(), 0, "and its coins are free");
    words.borrow().assert_one_vote_each();
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn a_forged_mark_is_held_against_its_author_and_costs_the_node_nothing() {
    let mut world = cluster_with_key(Suite::Mock);
    let cluster = world.node(1).config().cluster.id();
    world.tamper = Some(Box::new(move |from, to, message| match message {
        Message::SyncPage(mut page) if from == NodeId::new(1) && to == ME => {
            let place = Place { boot: BootId(u64::MAX), deeds: u64::MAX };
            page.shown = Some(Signed::new(Mark { cluster, node: ME, place }, &key(1)));
            vec![Message::SyncPage(page)]
        }
        other => vec![other],
    }));
    let all = backup(&world);
    world.restart(RESTORED, all);
    world.run_until("the node takes part", |world| is_sound(world, RESTORED));
    assert!(!was_quarantined(&world));
    assert!(world.node(RESTORED).state().member(NodeId::new(1)).strikes >= 1);
}

#[test]
fn a_true_mark_shown_again_after_the_node_has_recovered_moves_nobody() {
    let mut world = cluster_with_key(Suite::Mock);
    let kept: Rc<RefCell<Option<Signed<Mark>>>> = Rc::default();
    let seen = Rc::clone(&kept);
    world.tamper = Some(Box::new(move |from, to, message| match message {
        Message::Heartbeat(heartbeat) if from == ME => {
            if let Standing::Sound(mark) = &heartbeat.standing
                && mark.body.place.boot.era() == 0
            {
                *seen.borrow_mut() = Some(mark.clone());
            }
            vec![Message::Heartbeat(heartbeat)]
        }
        Message::SyncPage(mut page) if from == NodeId::new(1) && to == ME => {
            page.shown = seen.borrow().clone();
            vec![Message::SyncPage(page)]
        }
        other => vec![other],
    }));
    let old = backup(&world);
    pay(&mut world, 1, &ALL, 1);
    world.restart(RESTORED, old);
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    let all = backup(&world);
    world.restart(RESTORED, all);
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    let quarantines =
        world.disks[&ME].iter().filter(|record| matches!(record.fact, Fact::Quarantined { .. })).count();
    assert_eq!(quarantines, 1);
    assert_eq!(world.node(RESTORED).state().past().boot().era(), 1);
}

#[test]
fn a_peer_that_never_ends_its_tale_delays_recovery_by_seconds() {
    let mut world = cluster_with_key(Suite::Mock);
    world.tamper = Some(Box::new(|from, to, message| match message {
        Message::SyncPage(mut page) if from == NodeId::new(1) && to == ME => {
            page.more = true;
            page.next = LogIndex(page.next.0 + 1);
            page.bundles.clear();
            vec![Message::SyncPage(page)]
        }
        other => vec![other],
    }));
    let old = backup(&world);
    pay(&mut world, 1, &ALL, 1);
    world.restart(RESTORED, old);
    let began = world.now;
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    let took = world.now.since(began).0;
    assert!((5_000..7_000).contains(&took), "{took} ms");
}

#[test]
fn a_restored_node_that_dies_while_it_recovers_goes_on_recovering() {
    let mut world = cluster_with_key(Suite::Mock);
    let words = listen(&mut world, nothing());
    let old = backup(&world);
    pay(&mut world, 1, &ALL, 1);
    world.restart(RESTORED, old);
    world.run_until("it knows", was_quarantined);
    let now = backup(&world);
    world.restart(RESTORED, now);
    let again = world.node(RESTORED).state().past().quarantine();
    assert!(again.is_some(), "the quarantine is on its disk");
    world.run_until("the node takes part again", |world| is_sound(world, RESTORED));
    world.run_until("what it has forgotten", |world| world.all_have(1, State::Confirmed));
    words.borrow().assert_one_vote_each();
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn an_ordinary_restart_costs_one_answer_and_no_time() {
    let mut world = cluster_with_key(Suite::Mock);
    pay(&mut world, 1, &ALL, 1);
    let all = backup(&world);
    world.restart(RESTORED, all);
    let began = world.now;
    world.run_until("the node takes part", |world| is_sound(world, RESTORED));
    assert_eq!(world.now, began, "no timer was needed");
    pay(&mut world, RESTORED, &ALL, 2);
    world.assert_peace();
}

#[test]
fn all_nodes_restart_at_once_and_pay() {
    let mut world = cluster_with_key(Suite::Mock);
    pay(&mut world, 1, &ALL, 1);
    for node in ALL {
        let all = world.disks[&NodeId::new(node)].len();
        world.restart(node, all);
    }
    let began = world.now;
    world.run_until("all take part", |world| ALL.iter().all(|node| is_sound(world, *node)));
    assert!(world.now.since(began) <= Millis(500), "{:?}", world.now.since(began));
    world.pass(1_000);
    pay(&mut world, 3, &ALL, 2);
    world.assert_peace();
}

#[test]
fn with_one_node_dead_another_restarts_and_is_needed_at_once() {
    let mut world = cluster_with_key(Suite::Mock);
    world.down.insert(NodeId::new(1));
    world.pass(3_000);
    let all = backup(&world);
    world.restart(RESTORED, all);
    world.run_until("the node takes part", |world| is_sound(world, RESTORED));
    world.pass(1_000);
    pay(&mut world, 2, &[2, 3, 4, 5], 1);
    assert_eq!(world.bans, BTreeSet::new());
}

#[test]
fn with_two_nodes_dead_a_restarted_one_waits_and_takes_part_when_one_returns() {
    let mut world = cluster_with_key(Suite::Mock);
    world.down.extend([NodeId::new(1), NodeId::new(2)]);
    let all = backup(&world);
    world.restart(RESTORED, all);
    world.pass(20_000);
    assert_eq!(world.node(RESTORED).overview().standing, StandingView::Confirming { told: 2, needed: 3 });
    world.down.remove(&NodeId::new(2));
    world.run_until("the node takes part", |world| is_sound(world, RESTORED));
    world.pass(1_000);
    pay(&mut world, 3, &[2, 3, 4, 5], 1);
}

#[test]
fn a_peer_that_has_restarted_itself_still_knows_what_it_saw() {
    let mut world = cluster_with_key(Suite::Mock);
    let old = backup(&world);
    pay(&mut world, 1, &ALL, 1);
    world.pass(6_000);
    // Everybody loses power, and one disk is replaced by its backup.
    for node in [1, 2, 3, 4] {
        let all = world.disks[&NodeId::new(node)].len();
        world.restart(node, all);
    }
    world.restart(RESTORED, old);
    // Not by its votes, but by its marks.
    world.tamper = Some(Box::new(|_, to, message| match message {
        Message::SyncPage(mut page) if to == ME => {
            page.bundles.clear();
            vec![Message::SyncPage(page)]
        }
        other => vec![other],
    }));
    world.run_until("all take part", |world| ALL.iter().all(|node| is_sound(world, *node)));
    assert!(was_quarantined(&world));
}
