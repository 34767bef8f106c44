//! Sending a transaction.

use std::time::Duration;

use bitcoin::{Amount, Network, Transaction, TxOut, consensus::encode::serialize_hex};
use mpc_wallet_core::chain::{BroadcastOutcome, ChainObservation, ChainQuery};
use mpc_wallet_shell::esplora::{Esplora, EsploraConfig};

use crate::{
    server::{Server, ask},
    wallet::{other_script, payment, segwit_payment},
};

async fn send(chain: &Esplora, transaction: Transaction, prevouts: Vec<TxOut>) -> BroadcastOutcome {
    let sent = transaction.compute_txid();
    match ask(chain, ChainQuery::Broadcast { transaction, prevouts }).await {
        ChainObservation::Broadcast { txid, outcome } => {
            assert_eq!(txid, sent);
            outcome
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signed_payment_is_sent_and_accepted() {
    for (payment, prevouts) in [payment(), segwit_payment()] {
        let server = Server::start().await;
        let chain = server.client().await;
        server.say("POST /tx", 200, payment.compute_txid().to_string());
        let hex = serialize_hex(&payment);
        assert_eq!(send(&chain, payment, prevouts).await, BroadcastOutcome::Accepted);
        assert_eq!(server.body("POST /tx"), hex);
    }
}

#[tokio::test]
async fn what_consensus_refuses_never_leaves() {
    let server = Server::start().await;
    let chain = server.client().await;
    type Damage = fn(&mut Transaction, &mut Vec<TxOut>);
    let cases: [(&str, &str, Damage); 8] = [
        ("a flipped bit in the second signature", "input 1", |tx, _| {
            let mut signature = tx.input[1].witness[0].to_vec();
            signature[40] ^= 1;
            tx.input[1].witness = bitcoin::Witness::from_slice(&[signature]);
        }),
        ("a witness of garbage", "input 0", |tx, _| {
            tx.input[0].witness = bitcoin::Witness::from_slice(&[[7; 64]]);
        }),
        ("no witness", "input 0", |tx, _| tx.input[0].witness.clear()),
        ("a false amount of the other input", "input 0", |_, prevouts| {
            prevouts[1].value = Amount::from_sat(50_001);
        }),
        ("an output changed after signing", "input 0", |tx, _| {
            tx.output[0].value = Amount::from_sat(99_999);
        }),
        ("more paid than spent", "pays", |tx, _| tx.output[0].value = Amount::from_sat(200_000)),
        ("a missing output", "1 outputs given for 2 inputs", |_, prevouts| {
            prevouts.pop();
        }),
        ("no input", "0 outputs given for 0 inputs", |tx, prevouts| {
            tx.input.clear();
            prevouts.clear();
        }),
    ];
    for (what, words, damage) in cases {
        let (mut transaction, mut prevouts) = payment();
        damage(&mut transaction, &mut prevouts);
        let outcome = send(&chain, transaction, prevouts).await;
        let BroadcastOutcome::Refused(reason) = outcome else { panic!("{what}: {outcome:?}") };
        assert!(reason.starts_with("consensus: ") && reason.contains(words), "{what}: {reason}");
    }
    assert_eq!(server.asked("POST"), 0);
}

#[tokio::test]
async fn what_consensus_refuses_of_p2wpkh_never_leaves() {
    let server = Server::start().await;
    let chain = server.client().await;
    let swap = |tx: &mut Transaction, element: usize, change: fn(&mut Vec<u8>)| {
        let mut elements = tx.input[1].witness.to_vec();
        change(&mut elements[element]);
        tx.input[1].witness = bitcoin::Witness::from_slice(&elements);
    };
    type Damage<'a> = &'a dyn Fn(&mut Transaction, &mut Vec<TxOut>);
    let cases: [(&str, &str, Damage); 8] = [
        ("a flipped bit in the signature", "input 1", &|tx, _| swap(tx, 0, |bytes| bytes[20] ^= 1)),
        ("another type byte", "input 1", &|tx, _| swap(tx, 0, |bytes| *bytes.last_mut().unwrap() = 2)),
        ("another key", "input 1", &|tx, _| swap(tx, 1, |bytes| bytes[0] ^= 1)),
        ("one element too many", "input 1", &|tx, _| tx.input[1].witness.push([1])),
        ("no witness", "input 0", &|tx, _| tx.input[0].witness.clear()),
        ("a false amount of this input", "input 1", &|_, prevouts| {
            prevouts[1].value = Amount::from_sat(50_001);
        }),
        ("a coin of another", "input 1", &|_, prevouts| prevouts[1].script_pubkey = other_script()),
        ("an output changed after signing", "input 0", &|tx, _| {
            tx.output[0].value = Amount::from_sat(99_999);
        }),
    ];
    for (what, words, damage) in cases {
        let (mut transaction, mut prevouts) = segwit_payment();
        damage(&mut transaction, &mut prevouts);
        let outcome = send(&chain, transaction, prevouts).await;
        let BroadcastOutcome::Refused(reason) = outcome else { panic!("{what}: {outcome:?}") };
        assert!(reason.starts_with("consensus: ") && reason.contains(words), "{what}: {reason}");
    }
    assert_eq!(server.asked("POST"), 0);
}

#[tokio::test]
async fn an_ambiguous_answer_is_settled_by_asking_where_the_transaction_is() {
    let missing = r#"sendrawtransaction RPC error: {"code":-25,"message":"bad-txns-inputs-missingorspent"}"#;
    for (code, body, place, expected) in [
        (200, "ok", Some(None), BroadcastOutcome::Accepted),
        (400, missing, Some(None), BroadcastOutcome::Accepted),
        (400, missing, Some(Some(200)), BroadcastOutcome::AlreadyConfirmed),
        (400, missing, None, BroadcastOutcome::InputsMissing),
        (504, "<html>Gateway Time-out</html>", Some(None), BroadcastOutcome::Accepted),
        (
            504,
            "<html>Gateway Time-out</html>",
            None,
            BroadcastOutcome::Unknown("HTTP 504: <html>Gateway Time-out</html>".into()),
        ),
    ] {
        let server = Server::start().await;
        let chain = server.client().await;
        let (payment, prevouts) = payment();
        server.say("POST /tx", code, body);
        if let Some(height) = place {
            server.knows(&payment, height);
        }
        assert_eq!(send(&chain, payment, prevouts).await, expected, "{body}");
        assert_eq!(server.asked("POST /tx"), 1);
    }
}

#[tokio::test]
async fn a_clear_answer_is_believed_without_asking_further() {
    let server = Server::start().await;
    let chain = server.client().await;
    for (message, expected) in [
        ("min relay fee not met, 10 < 14", BroadcastOutcome::FeeTooLow),
        ("Transaction outputs already in utxo set", BroadcastOutcome::AlreadyConfirmed),
        ("txn-already-in-mempool", BroadcastOutcome::Accepted),
    ] {
        let (payment, prevouts) = payment();
        server.clear("POST /tx");
        let body = format!(r#"sendrawtransaction RPC error: {{"code":-26,"message":"{message}"}}"#);
        server.say("POST /tx", 400, body);
        assert_eq!(send(&chain, payment, prevouts).await, expected);
    }
    assert_eq!(server.asked("GET /tx/"), 0);
}

#[tokio::test]
async fn a_post_that_is_never_answered_is_unknown_and_posted_once() {
    for (request, answer) in [(200, 10_000), (10_000, 200)] {
        let server = Server::start().await;
        let config = EsploraConfig {
            request_timeout: Duration::from_millis(request),
            answer_timeout: Duration::from_millis(answer),
            retries: 3,
            ..server.config()
        };
        let chain = Esplora::connect(config, Network::Regtest).await.unwrap();
        let (payment, prevouts) = payment();
        server.hang("POST /tx");
        let outcome = send(&chain, payment, prevouts).await;
        assert!(matches!(outcome, BroadcastOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(server.asked("POST /tx"), 1);
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_of_unknown_network() {
    let server = Server::start().await;
    server.clear("GET /block-height/0");
    let chain = server.client().await;
    let (transaction, prevouts) = payment();
    let answer = ask(&chain, ChainQuery::Broadcast { transaction, prevouts }).await;
    assert!(matches!(answer, ChainObservation::Unavailable(_)), "{answer:?}");
    assert_eq!(server.asked("POST"), 0);
}
