//! What a payment would be is what it then is, and asking for it changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bitcoin::Amount;
use mpc_wallet_core::{
    NodeId, Scheme,
    mpc::Suite,
    policy::PolicyBreach,
    refusal::Refusal,
    step::{Command, Outcome, PaymentRequest, Quote},
    tx::State,
};

use crate::support::{World, cluster_with_key, payment};

fn request(amount: u64) -> PaymentRequest {
    let Command::Pay(request) = payment(amount) else { panic!("a payment") };
    request
}

/// The next answer to a client of node-2.
fn answer(world: &mut World, command: Command) -> Outcome {
    let before = world.replies.len();
    world.ask(2, command);
    world.run_until("an answer", |world| world.replies.len() > before);
    world.replies.last().unwrap().clone()
}

fn quote(world: &mut World, request: PaymentRequest) -> Quote {
    let answer = answer(world, Command::Quote(request));
    let Outcome::Quoted(quote) = answer else { panic!("{answer:?}") };
    quote
}

#[test]
fn a_quote_is_what_the_payment_becomes_and_leaves_no_trace() {
    let mut world = cluster_with_key(Suite::Mock);
    let (overview, records) = (world.node(2).overview(), world.disks[&NodeId::new(2)].len());
    let asked = PaymentRequest { fee_rate: Some(2_000), ..request(50_000) };
    let quoted = quote(&mut world, asked.clone());
    // One input, a P2WPKH recipient and P2TR change: 142 vB.
    assert_eq!((quoted.fee.to_sat(), quoted.vsize, quoted.fee_rate()), (284, 142, 2_000));
    let spent: u64 = quoted.inputs.iter().map(|coin| coin.output.value.to_sat()).sum();
    assert_eq!(spent, 50_000 + quoted.fee.to_sat() + quoted.change.to_sat());
    assert_eq!(world.disks[&NodeId::new(2)].len(), records, "something was recorded");
    let after = world.node(2).overview();
    assert_eq!((after.open_transactions, &after.wallets), (0, &overview.wallets));
    assert_eq!(quote(&mut world, asked.clone()), quoted, "a quote holds no coin");

    let Outcome::Proposed { txid, replayed: false } = answer(&mut world, Command::Pay(asked)) else {
        panic!("{:?}", world.replies)
    };
    let made = &world.node(2).state().transaction(txid).unwrap().proposal.body;
    let coins: Vec<_> = quoted.inputs.iter().map(|coin| coin.outpoint).collect();
    assert_eq!((made.fee, made.coins().collect::<Vec<_>>(), made.key), (quoted.fee, coins, quoted.key));
    world.run_until("a confirmed payment", |world| world.all_have(1, State::Confirmed));
    world.assert_peace();
}

#[test]
fn a_quote_is_refused_for_what_the_payment_is_refused_for() {
    let mut world = cluster_with_key(Suite::Mock);
    let no_money = |outcome: &Outcome| {
        matches!(outcome, Outcome::Refused(Refusal::InsufficientFunds { spendable: 10_000_000, .. }))
    };
    type Same = fn(&Outcome) -> bool;
    let breach: Same =
        |outcome| matches!(outcome, Outcome::Refused(Refusal::Policy(PolicyBreach::Dust { .. })));
    for (asked, expected) in [
        (request(5), breach),
        (PaymentRequest { scheme: Scheme::Segwit, ..request(50_000) }, |outcome| {
            *outcome == Outcome::Refused(Refusal::NoKey(Scheme::Segwit))
        }),
        (PaymentRequest { fee_rate: Some(1), ..request(50_000) }, |outcome| {
            matches!(outcome, Outcome::Refused(Refusal::Policy(PolicyBreach::FeeRateTooLow { .. })))
        }),
        (PaymentRequest { metadata: Some("m".repeat(100_000)), ..request(50_000) }, |outcome| {
            matches!(outcome, Outcome::Refused(Refusal::MetadataTooLong { .. }))
        }),
    ] {
        let quoted = answer(&mut world, Command::Quote(asked.clone()));
        assert!(expected(&quoted), "{quoted:?}");
        assert_eq!(quoted, answer(&mut world, Command::Pay(asked)));
    }
    let quoted = answer(&mut world, Command::Quote(request(10_000_000)));
    assert!(no_money(&quoted), "{quoted:?}");
    assert_eq!(quoted, answer(&mut world, Command::Pay(request(10_000_000))));
    // With the fee beyond the node's own ceiling.
    let costly = PaymentRequest { fee_rate: Some(1_000_000), ..request(9_900_000) };
    let quoted = answer(&mut world, Command::Quote(costly.clone()));
    assert!(matches!(quoted, Outcome::Refused(_)), "{quoted:?}");
    assert_eq!(quoted, answer(&mut world, Command::Pay(costly)));
}

#[test]
fn a_key_that_has_made_a_payment_is_told_that_payment() {
    let mut world = cluster_with_key(Suite::Mock);
    let keyed = PaymentRequest { idempotency_key: Some("order-7".to_owned()), ..request(50_000) };
    quote(&mut world, keyed.clone());
    let Outcome::Proposed { txid, replayed: false } = answer(&mut world, Command::Pay(keyed.clone())) else {
        panic!("{:?}", world.replies)
    };
    assert_eq!(answer(&mut world, Command::Quote(keyed.clone())), Outcome::Proposed { txid, replayed: true });
    let other = PaymentRequest { amount: Amount::from_sat(60_000), ..keyed };
    assert_eq!(answer(&mut world, Command::Quote(other)), Outcome::Refused(Refusal::KeyReused { txid }));
}

#[test]
fn coins_that_an_open_payment_asks_for_are_not_offered() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(2, payment(50_000));
    // The wallet has one coin.
    world.run_until("a proposal", |world| world.node(2).state().open_count() == 1);
    let quoted = answer(&mut world, Command::Quote(request(50_000)));
    assert!(
        matches!(quoted, Outcome::Refused(Refusal::InsufficientFunds { spendable: 0, .. })),
        "{quoted:?}"
    );
}
