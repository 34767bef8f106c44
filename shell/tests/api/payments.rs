//! `POST /api/v1/transactions` over a scripted node: every answer that a payer can meet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use crate::support::{
    Past, REGTEST,
    client::{accepting, ask, assert_problem, pay, payment, post, refusing, txid},
    healthy, quoted, row, scripted, txid_of,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use mpc_wallet_core::{
    KeyId, Scheme,
    policy::PolicyBreach,
    refusal::Refusal,
    step::{Command, Outcome},
    tx::State,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_payment_is_answered_with_201_where_it_is_and_what_it_is() {
    let node = accepting();
    let body = json!({
        "recipient": REGTEST, "amount_sats": 50_000, "metadata": "invoice 7", "type": "taproot", "fee_rate": 1.5,
    });
    let answer = pay(&node, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.headers["location"], format!("/api/v1/transactions/{}", txid_of(1)));
    assert!(!answer.headers.contains_key("idempotency-replayed"));
    assert_eq!(answer.json["txid"], txid_of(1));
    assert_eq!(answer.json["state"], "voting");
    assert_eq!(answer.json["recipient"], REGTEST);
    assert_eq!(answer.json["amount_sats"], 50_000);
    assert_eq!(answer.json["fee_sats"], 154);
    assert_eq!(answer.json["created_at"], "2023-11-14T22:13:20Z");
    let commands = node.commands.lock().unwrap();
    let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
    assert_eq!(asked.fee_rate, Some(1_500));
    assert_eq!(asked.amount.to_sat(), 50_000);
    assert_eq!(asked.metadata.as_deref(), Some("invoice 7"));
    assert_eq!(asked.idempotency_key, None);
}

#[tokio::test]
async fn a_dry_run_tells_what_the_payment_would_be_and_asks_for_none() {
    let node = scripted(healthy(), Past::default(), Box::new(|_| Some(quoted())));
    let body = json!({ "recipient": REGTEST, "amount_sats": 50_000, "metadata": "invoice 7" });
    let answer = post(&node, "/api/v1/transactions?dry_run=true", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(!answer.headers.contains_key("location"));
    let expected = json!({
        "dry_run": true,
        "type": "taproot",
        "key": "taproot-1",
        "recipient": REGTEST,
        "amount_sats": 50_000,
        "fee_sats": 213,
        "fee_rate_sat_vb": 1.5,
        "vsize": 142,
        "change_sats": 49_787,
        "inputs": [{
            "outpoint": format!("{}:4294967295", "00".repeat(32)),
            "address": REGTEST,
            "amount_sats": 100_000,
        }],
        "outputs": [
            { "address": REGTEST, "amount_sats": 50_000, "kind": "recipient" },
            { "address": REGTEST, "amount_sats": 49_787, "kind": "change" },
        ],
        "metadata": "invoice 7",
        "external_id": null,
    });
    assert_eq!(answer.json, expected);
    let commands = node.commands.lock().unwrap();
    assert!(matches!(commands.as_slice(), [Command::Quote(asked)] if asked.amount.to_sat() == 50_000));
}

#[tokio::test]
async fn a_dry_run_of_a_payment_that_was_made_shows_it_and_one_that_is_said_wrongly_is_no_payment() {
    let past = Past { rows: vec![row(1, State::Voting)], ..Past::default() };
    let script = |_| Some(Outcome::Proposed { txid: txid(1), replayed: true });
    let node = scripted(healthy(), past, Box::new(script));
    let body = payment().to_string();
    let answer = post(&node, "/api/v1/transactions?dry_run=true", &body).await;
    assert_eq!((answer.status, &answer.json["txid"]), (StatusCode::OK, &json!(txid_of(1))));
    assert_eq!(answer.headers["idempotency-replayed"], "true");
    for query in ["dry_run=yes", "dry_run", "dryrun=true", "dry_run=true&dry_run=false"] {
        let answer = post(&node, &format!("/api/v1/transactions?{query}"), &body).await;
        assert_problem(&answer, 400, "validation_failed");
    }
    let answer = post(&node, "/api/v1/transactions?dry_run=false", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let commands = node.commands.lock().unwrap();
    assert!(matches!(commands.as_slice(), [Command::Quote(_), Command::Pay(_)]), "{commands:?}");
}

#[tokio::test]
async fn a_payment_whose_row_is_not_there_yet_is_still_reported_as_proposed() {
    let node = accepting();
    node.memory.0.lock().unwrap().rows.clear();
    let answer = pay(&node, &payment()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.json["state"], "pending");
    assert_eq!(answer.json["recipient"], REGTEST);
    assert_eq!(answer.json["fee_sats"], Value::Null);
}

#[tokio::test]
async fn an_idempotency_key_is_taken_bare_or_quoted_and_a_replay_is_flagged() {
    let past = Past { rows: vec![row(1, State::Voting)], ..Past::default() };
    let script = |_| Some(Outcome::Proposed { txid: txid(1), replayed: true });
    let node = scripted(healthy(), past, Box::new(script));
    for key in ["order-7", "\"order-7\""] {
        let request = Request::post("/api/v1/transactions")
            .header("content-type", "application/json; charset=utf-8")
            .header("idempotency-key", key)
            .body(Body::from(payment().to_string()))
            .unwrap();
        let answer = ask(&node, request).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.headers["idempotency-replayed"], "true");
    }
    for command in node.commands.lock().unwrap().iter() {
        let Command::Pay(asked) = command else { panic!("a payment") };
        assert_eq!(asked.idempotency_key.as_deref(), Some("order-7"));
    }
    let empty = Request::post("/api/v1/transactions")
        .header("content-type", "application/json")
        .header("idempotency-key", "\"\"")
        .body(Body::from(payment().to_string()))
        .unwrap();
    assert_problem(&ask(&node, empty).await, 400, "invalid_idempotency_key");
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_reach_no_node() {
    let node = accepting();
    for body in ["", "{", "[]", "7", "null", "{\"recipient\":\"a\",}", "\u{0}"] {
        assert_problem(&post(&node, "/api/v1/transactions", body).await, 400, "malformed_json");
    }
    let twice = format!("{{\"recipient\":\"{REGTEST}\",\"amount_sats\":1,\"amount_sats\":1000000}}");
    let answer = post(&node, "/api/v1/transactions", &twice).await;
    assert_problem(&answer, 400, "malformed_json");
    assert!(answer.json["detail"].as_str().unwrap().contains("\"amount_sats\" is given twice"));

    let request = Request::post("/api/v1/transactions").header("content-type", "text/plain");
    let answer = ask(&node, request.body(Body::from(payment().to_string())).unwrap()).await;
    assert_problem(&answer, 415, "unsupported_media_type");
    let answer = ask(&node, Request::post("/api/v1/transactions").body(Body::from("{}")).unwrap()).await;
    assert_problem(&answer, 415, "unsupported_media_type");

    let answer = post(&node, "/api/v1/transactions", &"x".repeat(10 << 20)).await;
    assert_problem(&answer, 413, "body_too_large");
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let node = accepting();
    let body = json!({ "recipient": 7, "amount_sats": -5, "memo": "typo", "fee_rate": "fast" });
    let answer = pay(&node, &body).await;
    assert_problem(&answer, 422, "validation_failed");
    let pointers: Vec<_> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/recipient", "/amount_sats", "/fee_rate", "/memo"]);
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_unusable_amount_is_refused_with_a_useful_sentence() {
    let node = accepting();
    for (amount, words) in [
        (json!(0), "at least 1 satoshi"),
        (json!(-5), "-5 is negative"),
        (json!(-0.5), "-0.5 is negative"),
        (json!(0.5), "0.5 is not (1 BTC is 100000000 satoshis)"),
        (json!(1e3), "must be a whole number"),
        (json!("50000"), "without quotes"),
        (json!(true), "must be a whole number"),
        (json!(null), "is required"),
        (json!(2_100_000_000_000_001u64), "can ever exist"),
        (json!(u64::MAX), "can ever exist"),
    ] {
        let answer = pay(&node, &json!({ "recipient": REGTEST, "amount_sats": amount })).await;
        assert_problem(&answer, 422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["pointer"], "/amount_sats");
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{amount}: {detail}");
    }
}

#[tokio::test]
async fn an_unusable_recipient_is_refused_with_its_own_code() {
    let node = accepting();
    for (recipient, code) in [
        ("", "invalid_address"),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081", "invalid_address"),
        ("bitcoin:bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "invalid_address"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "wrong_network"),
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "wrong_network"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "wrong_network"),
        // A pay-to-anchor output.
        ("bcrt1pfeesnyr2tx", "unsupported_address_type"),
    ] {
        let answer = pay(&node, &json!({ "recipient": recipient, "amount_sats": 50_000 })).await;
        assert_problem(&answer, 422, code);
        assert_eq!(answer.json["errors"][0]["pointer"], "/recipient");
    }
    let mistyped =
        json!({ "recipient": "BCRT1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KYGT081", "amount_sats": 50_000 });
    let answer = pay(&node, &mistyped).await;
    assert!(answer.text.contains("its checksum is wrong"), "{}", answer.text);
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let answer = pay(&node, &json!({ "recipient": mainnet, "amount_sats": 50_000 })).await;
    let detail = answer.json["detail"].as_str().unwrap();
    assert!(detail.contains("mainnet") && detail.contains("regtest"), "{detail}");
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_refusal_of_the_core_has_its_status_code_and_numbers() {
    let key = KeyId { scheme: Scheme::Taproot, epoch: 1 };
    let policy = Refusal::Policy;
    for (refusal, status, retry) in [
        (Refusal::NoKey(Scheme::Taproot), 409, false),
        (Refusal::UnsupportedScheme(Scheme::Segwit), 422, false),
        (Refusal::TooManyInputs { limit: 25 }, 422, false),
        (policy(PolicyBreach::Amount { amount: 2, limit: 1 }), 403, false),
        (policy(PolicyBreach::NotWhitelisted), 403, false),
        (policy(PolicyBreach::FeeRateTooLow { rate: 1, floor: 2 }), 422, false),
        (policy(PolicyBreach::FeeRateTooHigh { rate: 2, ceiling: 1 }), 422, false),
        (policy(PolicyBreach::FeeTooHigh { fee: 2, limit: 1 }), 422, false),
        (policy(PolicyBreach::Dust { amount: 1, limit: 546 }), 422, false),
        (Refusal::ChainStale { age_s: 200 }, 503, true),
        (Refusal::NoFeeEstimate, 503, true),
        (Refusal::NoQuorum { online: 3, total: 5, needed: 4 }, 503, true),
        (Refusal::NoCoordinator, 503, true),
        (Refusal::Busy { limit: 1_000 }, 503, true),
        (Refusal::KeyReused { txid: txid(1) }, 422, false),
        (Refusal::InProgress, 409, true),
        (Refusal::MetadataTooLong { size: 2_000, limit: 1_024 }, 422, false),
        (Refusal::KeygenRunning(key), 409, false),
        (Refusal::KeyExists(key), 409, false),
        (Refusal::NotEveryoneOnline { online: 4, total: 5 }, 503, true),
        (Refusal::Internal("two coins in one place".to_owned()), 500, false),
    ] {
        let code = refusal.code();
        let answer = pay(&refusing(refusal), &payment()).await;
        assert_problem(&answer, status, code);
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{code}");
        assert!(!answer.text.contains("two coins"), "the inside stays inside");
    }
    let refusal = Refusal::InsufficientFunds {
        needed: 2_501_410,
        spendable: 1_900_000,
        locked: 700_000,
        unconfirmed: 1,
    };
    let answer = pay(&refusing(refusal), &payment()).await;
    assert_problem(&answer, 422, "insufficient_funds");
    assert_eq!(answer.json["needed_sats"], 2_501_410);
    assert_eq!(answer.json["spendable_sats"], 1_900_000);
    assert_eq!(answer.json["missing_sats"], 601_410);
    assert_eq!(answer.json["locked_sats"], 700_000);
    let answer =
        pay(&refusing(policy(PolicyBreach::FeeRateTooHigh { rate: 2_500, ceiling: 1_000 })), &payment())
            .await;
    assert_eq!(answer.json["detail"], "Fee rate 2.5 sat/vB exceeds this cluster's ceiling of 1 sat/vB.");
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_the_outcome_open() {
    let node = scripted(healthy(), Past::default(), Box::new(|_| None));
    let answer = pay(&node, &payment()).await;
    assert_problem(&answer, 504, "outcome_unknown");
}

#[tokio::test]
async fn a_node_that_stopped_says_so() {
    let node = scripted(healthy(), Past::default(), Box::new(|_| panic!("the driver dies")));
    let answer = pay(&node, &payment()).await;
    assert_problem(&answer, 503, "node_stopping");
    assert!(answer.headers.contains_key("retry-after"));
}
