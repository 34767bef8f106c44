//! The second wallet of a cluster: P2WPKH beside Taproot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bitcoin::Amount;
use mpc_wallet_core::{
    NodeId, Scheme,
    message::Message,
    mpc::Suite,
    refusal::Refusal,
    step::{Command, Input, Outcome},
    tx::State,
};

use crate::support::{World, cluster_with_key, make_wallet, payment, spendable};

fn payment_from(scheme: Scheme, amount: u64, idempotency_key: Option<&str>) -> Command {
    let Command::Pay(mut request) = payment(amount) else { panic!("a payment") };
    request.scheme = scheme;
    request.idempotency_key = idempotency_key.map(str::to_owned);
    Command::Pay(request)
}

fn answer(world: &mut World, node: u16, command: Command) -> Outcome {
    let before = world.replies.len();
    world.ask(node, command);
    world.run_until("a reply", |world| world.replies.len() > before);
    world.replies.last().unwrap().clone()
}

#[test]
fn a_cluster_pays_from_either_wallet_and_mixes_them_up_nowhere() {
    let mut world = cluster_with_key(Suite::Mock);
    make_wallet(&mut world, Scheme::Segwit);
    let scripts = Scheme::ALL.map(|scheme| world.wallet_of(scheme).unwrap().script());
    world.ask(3, payment_from(Scheme::Segwit, 100_000, None));
    world.run_until("a confirmed payment at every node", |world| world.all_have(1, State::Confirmed));
    world.ask(4, payment_from(Scheme::Taproot, 200_000, None));
    world.run_until("another one", |world| world.all_have(2, State::Confirmed));
    world.assert_peace();
    for node in world.nodes.values() {
        for (_, tx) in node.state().transactions() {
            let proposal = &tx.proposal.body;
            let mine = &scripts[usize::from(proposal.key.scheme == Scheme::Segwit)];
            assert!(proposal.prevouts.iter().all(|coin| coin.script == *mine), "{proposal:?}");
            let change =
                proposal.unsigned_tx.output.iter().find(|out| out.script_pubkey != proposal.recipient);
            assert_eq!(&change.unwrap().script_pubkey, mine);
        }
        let finished = node.state().transactions().filter_map(|(_, tx)| tx.transaction());
        let elements: Vec<_> = finished.map(|tx| tx.input[0].witness.len()).collect();
        assert!(elements.contains(&1) && elements.contains(&2), "{elements:?}");
    }
    world.run_until("the change of both at every node", |world| {
        world.nodes.values().all(|node| {
            let left = Scheme::ALL.map(|scheme| spendable(node, scheme));
            left[0] < Amount::from_sat(9_800_000)
                && left[0] > Amount::from_sat(9_790_000)
                && left[1] < Amount::from_sat(9_900_000)
                && left[1] > Amount::from_sat(9_890_000)
        })
    });
}

#[test]
fn a_wallet_without_key_pays_nothing() {
    let mut world = cluster_with_key(Suite::Mock);
    let outcome = answer(&mut world, 1, payment_from(Scheme::Segwit, 100_000, None));
    assert_eq!(outcome, Outcome::Refused(Refusal::NoKey(Scheme::Segwit)));
}

#[test]
fn the_money_of_one_wallet_does_not_pay_for_the_other() {
    let mut world = cluster_with_key(Suite::Mock);
    make_wallet(&mut world, Scheme::Segwit);
    let outcome = answer(&mut world, 1, payment_from(Scheme::Segwit, 15_000_000, None));
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.code(), "insufficient_funds");
}

#[test]
fn an_idempotency_key_of_one_wallet_is_not_one_of_the_other() {
    let mut world = cluster_with_key(Suite::Mock);
    make_wallet(&mut world, Scheme::Segwit);
    let first = answer(&mut world, 1, payment_from(Scheme::Taproot, 100_000, Some("order 7")));
    let Outcome::Proposed { txid, replayed: false } = first else { panic!("{first:?}") };
    let again = answer(&mut world, 1, payment_from(Scheme::Taproot, 100_000, Some("order 7")));
    assert_eq!(again, Outcome::Proposed { txid, replayed: true });
    let other = answer(&mut world, 1, payment_from(Scheme::Segwit, 100_000, Some("order 7")));
    assert_eq!(other, Outcome::Refused(Refusal::KeyReused { txid }));
}

#[test]
fn a_build_without_the_machines_makes_no_segwit_key_whoever_asks() {
    let mut world = cluster_with_key(Suite::Givre);
    let outcome = answer(&mut world, 1, Command::GenerateKey(Scheme::Segwit));
    assert_eq!(outcome, Outcome::Refused(Refusal::UnsupportedScheme(Scheme::Segwit)));

    // A member whose build has them asks all the same.
    let mut other = cluster_with_key(Suite::Mock);
    let mut asked = Vec::new();
    let before = other.replies.len();
    other.ask(2, Command::GenerateKey(Scheme::Segwit));
    while other.replies.len() == before {
        let (node, input) = other.queue.pop_front().unwrap();
        other.step(node, input);
    }
    for (node, input) in &other.queue {
        if let Input::Message { from, message: Message::KeygenRequest(request) } = input
            && request.body.key.scheme == Scheme::Segwit
        {
            asked.push((*node, *from, request.clone()));
        }
    }
    assert_eq!(asked.len(), 4, "the request is on its way to the others");
    for (node, from, request) in asked {
        world.step(node, Input::Message { from, message: Message::KeygenRequest(request) });
        let view = world.node(node.get()).overview().keygen.unwrap();
        assert_eq!(view.key.scheme, Scheme::Taproot, "{node} has begun nothing");
    }
    assert_eq!(world.node(NodeId::new(1).get()).overview().wallets.len(), 1);
}
