//! The REST API over a scripted node: what it shows, and every way it says no. Payments have a file of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{sync::Arc, time::Duration};

use crate::support::{
    INTERNAL_KEY, Past, REGTEST, SEGWIT_KEY,
    client::{accepting, ask, assert_problem, get, pay, post, refusing, txid},
    healthy, now, row, scripted, txid_of, with_segwit,
};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use mpc_wallet_core::{
    KeyId, Millis, NodeId, Scheme, Timestamp,
    refusal::Refusal,
    step::{Command, Outcome},
    tx::State,
};
use mpc_wallet_shell::{
    read::{Encodings, PresignatureRow, TransactionRow, ViolationRow},
    rest::serve,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_wallet_without_key_shows_nothing_and_pays_nothing() {
    let node = refusing(Refusal::NoKey(Scheme::Segwit));
    for path in ["/api/v1/wallet/address?type=segwit", "/api/v1/wallet/balance?type=segwit"] {
        let answer = get(&node, path).await;
        assert_problem(&answer, 409, "no_key");
        assert_eq!(answer.json["detail"], "The cluster has no segwit key yet; start key generation first.");
    }
    let body = json!({ "recipient": REGTEST, "amount_sats": 50_000, "type": "segwit" });
    assert_problem(&pay(&node, &body).await, 409, "no_key");
    let commands = node.commands.lock().unwrap();
    let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
    assert_eq!(asked.scheme, Scheme::Segwit);
}

#[tokio::test]
async fn a_wallet_of_no_kind_is_refused() {
    let node = accepting();
    for path in ["/api/v1/wallet/address", "/api/v1/wallet/balance", "/api/v1/transactions"] {
        for name in ["gold", "Segwit", ""] {
            let answer = get(&node, &format!("{path}?type={name}")).await;
            assert_problem(&answer, 400, "validation_failed");
            assert!(answer.text.contains("must be taproot or segwit"), "{}", answer.text);
        }
    }
    for name in [json!("gold"), json!(7)] {
        let body = json!({ "recipient": REGTEST, "amount_sats": 50_000, "type": name });
        let answer = pay(&node, &body).await;
        assert_problem(&answer, 422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["pointer"], "/type");
    }
    assert_problem(&post(&node, "/api/v1/dkg", "{\"type\":\"gold\"}").await, 422, "validation_failed");
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_build_without_the_machines_says_so_when_a_key_is_asked_for() {
    let node = refusing(Refusal::UnsupportedScheme(Scheme::Segwit));
    let answer = post(&node, "/api/v1/dkg", "{\"type\":\"segwit\"}").await;
    assert_problem(&answer, 422, "unsupported_wallet");
    assert!(answer.json["detail"].as_str().unwrap().contains("cannot make segwit keys"), "{}", answer.text);
    let commands = node.commands.lock().unwrap();
    assert_eq!(commands.as_slice(), [Command::GenerateKey(Scheme::Segwit)]);
}

#[tokio::test]
async fn each_wallet_is_shown_by_itself() {
    let node = scripted(with_segwit(), Past::default(), Box::new(|_| None));
    let answer = get(&node, "/api/v1/wallet/balance?type=segwit").await;
    assert_eq!((&answer.json["type"], &answer.json["spendable_sats"]), (&json!("segwit"), &json!(7_000)));
    for path in ["/api/v1/wallet/balance?type=taproot", "/api/v1/wallet/balance"] {
        let answer = get(&node, path).await;
        assert_eq!(answer.json["type"], "taproot", "{path}");
        assert_eq!(answer.json["spendable_sats"], 80_000, "{path}");
    }
    let answer = get(&node, "/api/v1/cluster/status").await;
    assert_eq!(answer.json["keys"][0]["public_key"], INTERNAL_KEY);
    assert_eq!(answer.json["keys"][1]["key"], "segwit-1");
    assert_eq!(answer.json["keys"][1]["public_key"], SEGWIT_KEY);
}

#[tokio::test]
async fn the_segwit_address_is_that_of_bip_84() {
    let node = scripted(with_segwit(), Past::default(), Box::new(|_| None));
    let answer = get(&node, "/api/v1/wallet/address?type=segwit").await;
    assert_eq!(answer.json["script_type"], "p2wpkh");
    assert_eq!(answer.json["script_pubkey"], "0014c0cebcd6c3d3ca8c75dc5ec62ebe55330ef910e2");
    let address = answer.json["address"].as_str().unwrap();
    assert!(address.starts_with("bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8z"), "{address}");
    assert_eq!(answer.json["uri"], format!("bitcoin:{address}"));
    assert_eq!(answer.json["public_key"], SEGWIT_KEY);
    assert_eq!(answer.json["key"], "segwit-1");
    let descriptor = answer.json["descriptor"].as_str().unwrap();
    assert!(descriptor.starts_with(&format!("wpkh({SEGWIT_KEY})#")), "{descriptor}");
}

#[tokio::test]
async fn a_list_may_be_of_one_wallet() {
    let rows = (1..=4).map(|n| {
        let scheme = if n % 2 == 0 { Scheme::Segwit } else { Scheme::Taproot };
        TransactionRow { scheme: scheme.to_string(), ..row(n, State::Voting) }
    });
    let past = Past { rows: rows.collect(), ..Past::default() };
    let node = scripted(with_segwit(), past, Box::new(|_| None));
    for (query, numbers) in
        [("type=segwit", vec![4, 2]), ("type=taproot", vec![3, 1]), ("", vec![4, 3, 2, 1])]
    {
        let answer = get(&node, &format!("/api/v1/transactions?{query}")).await;
        let seen: Vec<_> =
            answer.json["items"].as_array().unwrap().iter().map(|item| item["txid"].clone()).collect();
        assert_eq!(seen, numbers.into_iter().map(|n| json!(txid_of(n))).collect::<Vec<_>>(), "{query}");
    }
}

#[tokio::test]
async fn lists_page_through_everything_newest_first() {
    let rows = (1..=5).map(|n| row(n, if n % 2 == 0 { State::Confirmed } else { State::Voting })).collect();
    let node = scripted(healthy(), Past { rows, ..Past::default() }, Box::new(|_| None));
    let mut seen = Vec::new();
    let mut path = "/api/v1/transactions?limit=2".to_owned();
    loop {
        let answer = get(&node, &path).await;
        assert_eq!(answer.status, StatusCode::OK);
        seen.extend(answer.json["items"].as_array().unwrap().iter().map(|item| item["txid"].clone()));
        let Some(cursor) = answer.json["next_cursor"].as_str() else { break };
        path = format!("/api/v1/transactions?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(|n| json!(txid_of(n))));

    let answer = get(&node, "/api/v1/transactions?state=confirmed,signed").await;
    assert_eq!(answer.json["items"].as_array().unwrap().len(), 2);
    for query in
        ["state=lost", "limit=0", "limit=201", "limit=x", "cursor=!", "colour=red", "limit=1&limit=2"]
    {
        let answer = get(&node, &format!("/api/v1/transactions?{query}")).await;
        assert_problem(&answer, 400, "validation_failed");
    }
}

#[tokio::test]
async fn one_transaction_comes_with_votes_timeline_and_links() {
    let node = accepting();
    let answer = get(&node, &format!("/api/v1/transactions/{}", txid_of(1))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json["votes"][0]["node_id"], 2);
    assert_eq!(answer.json["votes"][0]["approve"], true);
    assert_eq!(
        answer.json["vote_count"],
        json!({
            "required": 4, "total": 5, "approved": 1, "rejected": 0, "missing": [1, 3, 4, 5],
        })
    );
    assert_eq!(answer.json["timeline"][0]["to"], "pending");
    assert_eq!(answer.json["confirmations_required"], 1);
    assert_eq!(answer.json["signed_tx"], Value::Null);
    assert_eq!(answer.json["links"]["self"], format!("/api/v1/transactions/{}", txid_of(1)));
}

#[tokio::test]
async fn a_transaction_shows_the_presignatures_that_were_used_for_it() {
    let used = PresignatureRow {
        id: "0f".repeat(32),
        protocol: "cggmp24".to_owned(),
        generation_time: Millis(850),
        generated_at: Timestamp(1_700_000_000_000),
        used_at: Timestamp(1_700_000_100_250),
    };
    let past = Past { rows: vec![row(1, State::Signing)], presignatures: vec![used], ..Past::default() };
    let node = scripted(with_segwit(), past, Box::new(|_| None));
    let answer = get(&node, &format!("/api/v1/transactions/{}", txid_of(1))).await;
    assert_eq!(
        answer.json["presignatures"],
        json!([{
            "id": "0f".repeat(32),
            "protocol": "cggmp24",
            "generation_time_ms": 850,
            "generated_at": "2023-11-14T22:13:20Z",
            "used_at": "2023-11-14T22:15:00.25Z",
        }])
    );
}

#[tokio::test]
async fn a_signed_transaction_is_shown_decoded_and_raw() {
    use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
    let mut signed = row(1, State::Broadcasting);
    let output = |script, sats| TxOut { value: Amount::from_sat(sats), script_pubkey: script };
    let tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: bitcoin::OutPoint::new(txid(9), 1),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[[0u8; 64]]),
        }],
        output: vec![
            output(ScriptBuf::from_bytes(signed.recipient_script.clone()), 50_000),
            output(ScriptBuf::from_bytes([&[0x51, 0x20], [3u8; 32].as_slice()].concat()), 1_000),
        ],
    };
    signed.fee_sats = u64::try_from(tx.vsize()).unwrap() * 3 / 2 + 1;
    let encodings = Encodings { signed_tx: Some(bitcoin::consensus::serialize(&tx)), ..Encodings::default() };
    let past = Past { rows: vec![signed], encodings, ..Past::default() };
    let node = scripted(healthy(), past, Box::new(|_| None));
    let answer = get(&node, &format!("/api/v1/transactions/{}", txid_of(1))).await;
    assert_eq!(answer.json["signed_tx"], bitcoin::consensus::encode::serialize_hex(&tx));
    assert_eq!(answer.json["inputs"][0]["outpoint"], format!("{}:1", txid(9)));
    assert_eq!(answer.json["outputs"][0]["kind"], "recipient");
    assert_eq!(answer.json["outputs"][0]["address"], REGTEST);
    assert_eq!(answer.json["outputs"][1]["kind"], "change");
    assert_eq!(answer.json["vsize"], tx.vsize());
    assert!(answer.json["fee_rate_sat_vb"].to_string().starts_with("1.5"), "{}", answer.json);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_no_txid_is_400() {
    let node = accepting();
    for suffix in ["", "/approve", "/reject"] {
        let known = format!("/api/v1/transactions/{}{suffix}", txid_of(1));
        let unknown = format!("/api/v1/transactions/{}{suffix}", txid_of(2));
        let bad = format!("/api/v1/transactions/xyz{suffix}");
        if suffix.is_empty() {
            assert_problem(&get(&node, &unknown).await, 404, "not_found");
            assert_problem(&get(&node, &bad).await, 400, "invalid_txid");
            assert_eq!(
                get(&node, &known.to_uppercase().replace("/API/V1/TRANSACTIONS", "/api/v1/transactions"))
                    .await
                    .status,
                200
            );
        } else {
            assert_problem(&post(&node, &unknown, "").await, 404, "not_found");
            assert_problem(&post(&node, &bad, "").await, 400, "invalid_txid");
            assert_problem(&post(&node, &known, "").await, 409, "approval_not_required");
        }
    }
    assert_problem(&get(&node, "/api/v1/nothing").await, 404, "not_found");
    assert_problem(&get(&node, "/api/v1/transactions/%ff").await, 400, "bad_request");
    let answer = ask(
        &node,
        Request::builder().method(Method::DELETE).uri("/api/v1/transactions").body(Body::empty()).unwrap(),
    )
    .await;
    assert_problem(&answer, 405, "method_not_allowed");
    let allow = answer.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn the_balance_splits_the_money_and_says_how_fresh_it_is() {
    let node = accepting();
    let answer = get(&node, "/api/v1/wallet/balance?type=taproot").await;
    assert_eq!(answer.json["confirmed_balance_sats"], 100_000);
    assert_eq!(answer.json["unconfirmed_balance_sats"], 23_000);
    assert_eq!(answer.json["total_balance_sats"], 123_000);
    assert_eq!(answer.json["locked_sats"], 40_000);
    assert_eq!(answer.json["spendable_sats"], 80_000);
    assert_eq!(answer.json["as_of"]["height"], 101);
    assert_eq!(answer.json["stale"], false);
    let zeros = "0".repeat(64);
    let lost = json!([{ "coin": format!("{zeros}:7"), "amount_sats": 5_000, "spent_by": zeros, "at": "1970-01-01T00:00:01Z" }]);
    assert_eq!(answer.json["lost_coins"], lost);
    let mut stale = healthy();
    stale.chain.as_mut().unwrap().as_of = Timestamp(now().0 - 121_000);
    node.overview.send_replace(stale.into());
    assert_eq!(get(&node, "/api/v1/wallet/balance").await.json["stale"], true);
    let mut empty = healthy();
    empty.wallets.clear();
    node.overview.send_replace(empty.into());
    assert_problem(&get(&node, "/api/v1/wallet/balance").await, 409, "no_key");
    assert_problem(&get(&node, "/api/v1/wallet/address").await, 409, "no_key");
}

#[tokio::test]
async fn the_address_is_the_tweaked_key_of_bip_341() {
    let answer = get(&accepting(), "/api/v1/wallet/address?type=taproot").await;
    assert_eq!(
        answer.json["script_pubkey"],
        "512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"
    );
    let address = answer.json["address"].as_str().unwrap();
    assert!(address.starts_with("bcrt1p"));
    assert_eq!(answer.json["uri"], format!("bitcoin:{address}"));
    let descriptor = answer.json["descriptor"].as_str().unwrap();
    assert!(descriptor.starts_with(&format!("tr({INTERNAL_KEY})#")));
    assert_eq!(answer.json["network"], "regtest");
}

#[tokio::test]
async fn the_cluster_is_shown_as_the_node_sees_it() {
    let node = accepting();
    let answer = get(&node, "/api/v1/cluster/status").await;
    assert_eq!(answer.json["healthy"], true);
    assert_eq!(answer.json["total_nodes"], 5);
    assert_eq!(answer.json["online_nodes"], 5);
    assert_eq!(answer.json["threshold"], 4);
    assert_eq!(answer.json["consensus_reached"], true);
    assert_eq!(answer.json["coordinator"], 1);
    assert_eq!(answer.json["frozen"], false);
    assert_eq!(answer.json["versions"], json!({ env!("CARGO_PKG_VERSION"): 5 }));
    assert_eq!(answer.json["chain"]["fee_estimates"], json!({ "1": 12.5, "6": 2 }));
    let answer = get(&node, "/api/v1/cluster/nodes").await;
    assert_eq!(answer.json["nodes"].as_array().unwrap().len(), 5);
    let first = &answer.json["nodes"][0];
    assert_eq!(first["node_id"], 1);
    assert_eq!(first["status"], "online");
    assert_eq!(first["seconds_since_heartbeat"], 0);
    assert_eq!(first["total_votes"], 3);
    assert_eq!(first["banned_until"], Value::Null);

    let mut small = healthy();
    small.online = 3;
    node.overview.send_replace(small.into());
    let answer = get(&node, "/api/v1/cluster/status").await;
    assert_eq!(answer.json["healthy"], false);
    assert_eq!(answer.json["frozen"], true);
    assert_eq!(answer.json["quorum_margin"], -1);
}

#[tokio::test]
async fn alive_is_not_ready() {
    let node = accepting();
    let alive = get(&node, "/health").await;
    assert_eq!(alive.json["status"], "healthy");
    assert_eq!(alive.json["node_id"], 1);
    assert_eq!(alive.json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(get(&node, "/health/ready").await.status, StatusCode::OK);

    let mut no_quorum = healthy();
    no_quorum.online = 3;
    let mut no_key = healthy();
    no_key.wallets.clear();
    let mut no_chain = healthy();
    no_chain.chain = None;
    let mut stuck = healthy();
    stuck.now = Timestamp(now().0 - 60_000);
    for (component, overview) in
        [("quorum", no_quorum), ("key", no_key), ("chain", no_chain), ("driver", stuck)]
    {
        node.overview.send_replace(overview.into());
        let answer = get(&node, "/health/ready").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{component}");
        assert_eq!(answer.json["components"][component]["ok"], false, "{}", answer.text);
        assert_eq!(get(&node, "/health").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn key_generation_is_started_once_and_followed() {
    let key = KeyId { scheme: Scheme::Taproot, epoch: 1 };
    let node = scripted(healthy(), Past::default(), Box::new(move |_| Some(Outcome::KeygenStarted { key })));
    let answer = post(&node, "/api/v1/dkg", "{\"type\":\"taproot\"}").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json["key"], "taproot-1");
    assert_eq!(answer.headers["location"], "/api/v1/dkg");
    let answer = get(&node, "/api/v1/dkg").await;
    assert_eq!(answer.json["keygen"]["status"], "active");
    assert_eq!(answer.json["active_keys"], json!(["taproot-1"]));
    assert_problem(&post(&node, "/api/v1/dkg", "{}").await, 422, "validation_failed");
    assert_problem(
        &post(&refusing(Refusal::KeyExists(key)), "/api/v1/dkg", "{\"type\":\"taproot\"}").await,
        409,
        "key_exists",
    );
}

#[tokio::test]
async fn violations_are_listed_with_their_evidence() {
    let violation = |sequence| ViolationRow {
        sequence,
        node: NodeId::new(5),
        violation: "double_vote".to_owned(),
        txid: Some(txid_of(1)),
        detail: "two votes in round 1".to_owned(),
        evidence: Some(vec![0xab, 0xcd]),
        detected_at: Timestamp(0),
    };
    let past = Past { violations: vec![violation(1), violation(2)], ..Past::default() };
    let node = scripted(healthy(), past, Box::new(|_| None));
    let answer = get(&node, "/api/v1/violations?limit=1").await;
    assert_eq!(answer.json["items"][0]["violation_type"], "double_vote");
    assert_eq!(answer.json["items"][0]["evidence"], "abcd");
    assert_eq!(answer.json["next_cursor"], "2");
}

#[tokio::test]
async fn metrics_show_the_present_and_what_others_registered() {
    let node = accepting();
    let answer = get(&node, "/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "mpc_wallet_active_nodes 5",
        "mpc_wallet_threshold_status 1",
        "mpc_wallet_transactions_total{state=\"voting\"} 1",
        "mpc_wallet_transactions_total{state=\"confirmed\"} 0",
        "mpc_wallet_votes_total{node_id=\"5\"} 3",
        "mpc_wallet_chain_tip_height 101",
        concat!("mpc_wallet_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(answer.text.contains(line), "{line} in\n{}", answer.text);
    }
    assert!(!answer.text.contains(&txid_of(1)) && !answer.text.contains("bcrt1"));
}

#[tokio::test]
async fn every_answer_has_an_id_and_closed_headers() {
    let node = accepting();
    let request = Request::get("/health").header("x-request-id", "mine-1").header("origin", "http://evil");
    let answer = ask(&node, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["x-request-id"], "mine-1");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    for id in ["with space", &"x".repeat(200)] {
        let request = Request::get("/health").header("x-request-id", id).body(Body::empty()).unwrap();
        assert_ne!(ask(&node, request).await.headers["x-request-id"], id);
    }
}

#[tokio::test]
async fn a_broken_store_is_a_503_that_tells_nothing_about_it() {
    let node = accepting();
    node.memory.0.lock().unwrap().broken = true;
    for path in [
        "/api/v1/transactions".to_owned(),
        format!("/api/v1/transactions/{}", txid_of(1)),
        "/metrics".to_owned(),
    ] {
        let answer = get(&node, &path).await;
        assert_problem(&answer, 503, "storage_unavailable");
        assert!(!answer.text.contains("SELECT"));
    }
    assert_eq!(get(&node, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_panic_is_a_500_with_a_reference_and_the_node_lives() {
    let node = accepting();
    let memory = Arc::clone(&node.memory);
    // Poisons the lock, so that every later question to the store panics.
    let poisoner = std::thread::spawn(move || {
        let _past = memory.0.lock().unwrap();
        panic!("on purpose");
    });
    assert!(poisoner.join().is_err());
    let answer = get(&node, "/api/v1/transactions").await;
    assert_problem(&answer, 500, "internal");
    assert!(!answer.text.contains("Poison"));
    assert_eq!(get(&node, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn over_a_socket_an_oversized_body_is_answered_and_a_shutdown_ends_in_order() {
    let node = accepting();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, node.state.clone(), async { drop(stopped.await) }));
    let status = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let body = vec![b'x'; 10 << 20];
        let url = format!("{base}/api/v1/transactions");
        agent.post(url).content_type("application/json").send(&body).unwrap().status()
    });
    assert_eq!(status.await.unwrap(), 413);
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
}
