//! The wallet as the chain shows it.

use bitcoin::{Amount, OutPoint, TxOut, Txid};
use mpc_wallet_core::{
    chain::{BroadcastOutcome, ChainObservation, ChainQuery, Coin, TxPresence},
    record::BlockRef,
};
use serde_json::json;

use crate::{
    server::{Server, ask, block, poll, status, time_of, utxo_route},
    wallet::{coin, coinbase, deposit, other_script, payment, script},
};

fn at(height: u32) -> BlockRef {
    BlockRef { height, hash: block(height) }
}

fn expected(outpoint: OutPoint, sat: u64, height: Option<u32>, coinbase: bool) -> Coin {
    let output = TxOut { value: Amount::from_sat(sat), script_pubkey: script() };
    Coin { outpoint, output, height, coinbase }
}

#[tokio::test]
async fn the_view_holds_the_tip_and_the_estimates_there_are() {
    let server = Server::start().await;
    let chain = server.client().await;
    for (answer, code, estimates) in [
        ("{}", 200, vec![]),
        (r#"{"144":1.0,"2":12.3456,"1008":0.1}"#, 203, vec![(2, 12_346), (144, 1000), (1008, 100)]),
        ("not available", 503, vec![]),
        ("[]", 200, vec![]),
    ] {
        server.clear("GET /fee-estimates");
        server.say("GET /fee-estimates", code, answer);
        let view = poll(&chain, &[], &[]).await.unwrap();
        assert_eq!((view.tip, view.tip_time), (at(200), time_of(200)));
        assert_eq!(view.fee_estimates, estimates, "{answer}");
    }
}

#[tokio::test]
async fn coins_are_listed_once_each_with_the_script_asked_for() {
    let server = Server::start().await;
    let chain = server.client().await;
    let parent = deposit(1, 5000);
    server.knows(&parent, Some(190));
    let nulls = json!({"confirmed": false, "block_height": null, "block_hash": null, "block_time": null});
    let list = json!([
        {"txid": parent.compute_txid(), "vout": 0, "value": 5000, "status": {"confirmed": false}},
        {"txid": parent.compute_txid(), "vout": 0, "value": 5000, "status": status(Some(190))},
        {"txid": deposit(2, 1).compute_txid(), "vout": 3, "value": 700, "status": nulls},
    ]);
    server.utxos(&script(), &list);
    server.utxos(&other_script(), &json!([]));
    let mut view = poll(&chain, &[&script(), &other_script(), &script()], &[]).await.unwrap();
    view.coins.sort_by_key(|c| c.height);
    let unconfirmed = OutPoint::new(deposit(2, 1).compute_txid(), 3);
    assert_eq!(
        view.coins,
        [expected(unconfirmed, 700, None, false), expected(coin(&parent, 0), 5000, Some(190), false)]
    );
    assert_eq!(server.asked(&utxo_route(&script())), 1);
}

#[tokio::test]
async fn only_young_coins_have_their_parent_looked_at_for_a_block_reward() {
    let server = Server::start().await;
    let chain = server.client().await;
    let (young, mature, payment) = (coinbase(1), coinbase(2), deposit(1, 5000));
    server.knows(&young, Some(101));
    server.knows(&mature, Some(100));
    server.knows(&payment, Some(200));
    let entry = |tx: &bitcoin::Transaction, height| json!({"txid": tx.compute_txid(), "vout": 0, "value": tx.output[0].value.to_sat(), "status": status(Some(height))});
    server.utxos(&script(), &json!([entry(&young, 101), entry(&mature, 100), entry(&payment, 200)]));
    for _ in 0..2 {
        let mut view = poll(&chain, &[&script()], &[]).await.unwrap();
        view.coins.sort_by_key(|c| c.height);
        assert_eq!(view.coins.iter().map(|c| c.coinbase).collect::<Vec<_>>(), [false, true, false]);
    }
    let raw = |tx: &bitcoin::Transaction| server.asked(&format!("GET /tx/{}/raw", tx.compute_txid()));
    assert_eq!([raw(&young), raw(&mature), raw(&payment)], [1, 0, 1]);
}

#[tokio::test]
async fn too_many_coins_are_explained() {
    let server = Server::start().await;
    let chain = server.client().await;
    server.say(&utxo_route(&script()), 400, "Too many unspent transaction outputs (>500).");
    let reason = poll(&chain, &[&script()], &[]).await.unwrap_err();
    assert!(reason.contains("Too many unspent") && reason.contains("utxos-limit"), "{reason}");
}

#[tokio::test]
async fn a_view_that_moved_while_it_was_read_is_not_given() {
    let server = Server::start().await;
    let chain = server.client().await;
    let list =
        json!([{"txid": deposit(1, 1).compute_txid(), "vout": 0, "value": 1, "status": status(Some(201))}]);
    server.utxos(&script(), &list);
    let reason = poll(&chain, &[&script()], &[]).await.unwrap_err();
    assert!(reason.contains("height 201 is above the tip 200"), "{reason}");
}

#[tokio::test]
async fn watched_transactions_are_where_the_best_chain_has_them() {
    let server = Server::start().await;
    let chain = server.client().await;
    let [confirmed, mempool, stale, unknown] = [1, 2, 3, 4].map(|n| deposit(n, 1000));
    server.knows(&confirmed, Some(180));
    server.in_best_chain(180, true);
    server.knows(&mempool, None);
    server.knows(&stale, Some(199));
    server.in_best_chain(199, false);
    // 200 for a transaction nobody has heard of.
    server.say(&format!("GET /tx/{}/status", unknown.compute_txid()), 200, r#"{"confirmed":false}"#);
    let watch = [&confirmed, &mempool, &stale, &unknown].map(bitcoin::Transaction::compute_txid);
    let view = poll(&chain, &[], &watch).await.unwrap();
    let presences =
        [TxPresence::Confirmed(at(180)), TxPresence::Mempool, TxPresence::Mempool, TxPresence::Absent];
    assert_eq!(view.watched, watch.into_iter().zip(presences).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_absent_transaction_sent_from_here_names_what_spent_its_coin() {
    let server = Server::start().await;
    let chain = server.client().await;
    let (payment, prevouts) = payment();
    let txid = payment.compute_txid();
    let inputs: Vec<OutPoint> = payment.input.iter().map(|i| i.previous_output).collect();
    for input in &inputs {
        let route = format!("GET /tx/{}/outspend/{}", input.txid, input.vout);
        server.say(&route, 200, r#"{"spent":false}"#);
    }
    // Sent elsewhere, as far as this adapter knows.
    assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, TxPresence::Absent)]);

    server.say(
        "POST /tx",
        400,
        r#"sendrawtransaction RPC error: {"code":-26,"message":"txn-mempool-conflict"}"#,
    );
    let sent = ask(&chain, ChainQuery::Broadcast { transaction: payment, prevouts }).await;
    assert_eq!(sent, ChainObservation::Broadcast { txid, outcome: BroadcastOutcome::InputsMissing });
    assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, TxPresence::Absent)]);

    let [a, b]: [Txid; 2] = [8, 9].map(|n| deposit(n, 1).compute_txid());
    server.spent(inputs[0].txid, 0, a, None);
    let conflict = TxPresence::Conflicted { by: a, block: None };
    assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, conflict)]);

    server.spent(inputs[1].txid, 0, b, Some(199));
    server.in_best_chain(199, true);
    let conflict = TxPresence::Conflicted { by: b, block: Some(at(199)) };
    assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, conflict)]);

    server.in_best_chain(199, false);
    let conflict = TxPresence::Conflicted { by: b, block: None };
    assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, conflict)]);
}

#[tokio::test]
async fn a_transaction_that_a_dearer_one_has_replaced_is_too_cheap_and_names_it() {
    let server = Server::start().await;
    let chain = server.client().await;
    let (payment, prevouts) = payment();
    let txid = payment.compute_txid();
    let inputs: Vec<OutPoint> = payment.input.iter().map(|i| i.previous_output).collect();
    let replacement = deposit(8, 1).compute_txid();
    let refusal = format!("insufficient fee, rejecting replacement {txid}, less fees than conflicting txs");
    let error = serde_json::json!({ "code": -26, "message": refusal });
    server.say("POST /tx", 400, format!("sendrawtransaction RPC error: {error}"));
    let sent = ask(&chain, ChainQuery::Broadcast { transaction: payment, prevouts }).await;
    assert_eq!(sent, ChainObservation::Broadcast { txid, outcome: BroadcastOutcome::FeeTooLow });
    for (height, block) in [(None, None), (Some(199), Some(at(199)))] {
        server.in_best_chain(199, true);
        for input in &inputs {
            server.spent(input.txid, input.vout, replacement, height);
        }
        let conflict = TxPresence::Conflicted { by: replacement, block };
        assert_eq!(poll(&chain, &[], &[txid]).await.unwrap().watched, [(txid, conflict)]);
    }
}
