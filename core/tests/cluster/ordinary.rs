//! Five cores in a world without faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use mpc_wallet_core::{
    Node, NodeId, RequestId,
    mpc::Suite,
    step::{Input, Outcome},
    tx::State,
};

use crate::support::{cluster_with_key, key, payment};

#[test]
fn five_nodes_make_a_key_and_pay_with_real_signatures() {
    let mut world = cluster_with_key(Suite::Givre);
    world.ask(4, payment(100_000));
    world.run_until("a confirmed payment at every node", |world| world.all_have(1, State::Confirmed));
    world.assert_peace();
    assert!(matches!(world.replies.last(), Some(Outcome::Proposed { replayed: false, .. })));
    for (id, node) in &world.nodes {
        let (_, tx) = node.state().transactions().next().unwrap();
        assert!(tx.tally.approvals().count() >= 4, "{id}");
    }
}

#[test]
fn payments_chain_on_the_change_of_one_coin() {
    let mut world = cluster_with_key(Suite::Mock);
    for node in 1..=5 {
        world.queue.push_back((
            NodeId::new(node),
            Input::Client { request: RequestId(u64::from(node)), command: payment(50_000) },
        ));
    }
    world.run_until("five confirmed payments at every node", |world| world.all_have(5, State::Confirmed));
    world.assert_peace();
}

#[test]
fn replay_of_the_journal_is_the_live_state() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(3, payment(70_000));
    world.run_until("a confirmed payment at every node", |world| world.all_have(1, State::Confirmed));
    world.assert_peace();
    for (id, node) in &world.nodes {
        let again =
            Node::replay(node.config().clone(), key(id.get()), world.disks[id].clone(), vec![]).unwrap();
        assert_eq!(again.state().digest(), node.state().digest(), "{id}");
    }
}

#[test]
fn more_than_there_is_is_refused_at_once_with_the_numbers() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(5, payment(20_000_000));
    let before = world.replies.len();
    world.run_until("a reply", |world| world.replies.len() > before);
    let Some(Outcome::Refused(refusal)) = world.replies.last() else { panic!("{:?}", world.replies) };
    assert_eq!(refusal.code(), "insufficient_funds");
    assert!(world.all_have(0, State::Voting));
}
