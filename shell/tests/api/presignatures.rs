//! The SegWit wallet's own part of the API: its stock of presignatures, and how its key comes about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use crate::support::{
    Past,
    client::{assert_problem, get, ordered, post},
    healthy, scripted, with_pool,
};
use axum::http::StatusCode;
use mpc_wallet_core::{
    KeyId, NodeId, Scheme, Timestamp,
    mpc::Stage,
    overview::{KeygenPhase, KeygenView},
    refusal::Refusal,
    step::{Command, Outcome},
};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/presignatures";
const SEGWIT: KeyId = KeyId { scheme: Scheme::Segwit, epoch: 1 };

#[tokio::test]
async fn the_stock_is_shown_by_group_of_signers_and_only_living_groups_count() {
    let node = scripted(with_pool(), Past::default(), Box::new(|_| None));
    let answer = get(&node, PATH).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json,
        json!({
            "key": "segwit-1", "low": 4, "high": 16, "most": 256,
            "available": 9, "ordered": 3, "making": true, "used": 21,
            "groups": [
                { "signers": [1, 2, 3, 4], "ready": 7, "held": 8, "alive": true, "in_use": true, "faults": 0 },
                { "signers": [1, 2, 3, 5], "ready": 2, "held": 2, "alive": true, "in_use": false, "faults": 1 },
                { "signers": [2, 3, 4, 5], "ready": 4, "held": 4, "alive": false, "in_use": false, "faults": 0 },
            ],
        })
    );
    assert_problem(&get(&node, &format!("{PATH}?key=segwit-1")).await, 400, "validation_failed");
    let metrics = get(&node, "/metrics").await;
    assert!(metrics.text.contains("mpc_wallet_presignatures_available 9"), "{}", metrics.text);
}

#[tokio::test]
async fn without_a_key_that_uses_presignatures_there_is_no_stock_and_no_order() {
    let node = scripted(healthy(), Past::default(), Box::new(|_| None));
    assert_problem(&get(&node, PATH).await, 409, "no_key");
    assert_problem(&post(&node, PATH, r#"{"count":1}"#).await, 409, "no_key");
    assert!(node.commands.lock().unwrap().is_empty());
    assert!(!get(&node, "/metrics").await.text.contains("mpc_wallet_presignatures_available"));
}

#[tokio::test]
async fn an_order_is_accepted_with_the_count_that_was_ordered() {
    let script = |command: Command| Some(ordered(&command));
    let node = scripted(with_pool(), Past::default(), Box::new(script));
    for count in [1, 256] {
        let answer = post(&node, PATH, &json!({ "count": count }).to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json["count"], count);
        assert_eq!(answer.json["key"], "segwit-1");
        assert_eq!(answer.headers["location"], PATH);
    }
    let commands = node.commands.lock().unwrap();
    assert_eq!(*commands, [Command::Presign { count: 1 }, Command::Presign { count: 256 }]);
}

#[tokio::test]
async fn an_order_that_is_no_count_within_the_limit_is_refused_before_the_node_hears_of_it() {
    let node = scripted(with_pool(), Past::default(), Box::new(|_| None));
    for (body, words) in [
        ("{}", "is required: a whole number from 1 to 256"),
        (r#"{"count":0}"#, "must be a whole number from 1 to 256; 0 is not"),
        (r#"{"count":257}"#, "257 is not"),
        (r#"{"count":70000}"#, "70000 is not"),
        (r#"{"count":-1}"#, "-1 is not"),
        (r#"{"count":1.5}"#, "1.5 is not"),
        (r#"{"count":"5"}"#, "\\\"5\\\" is not"),
    ] {
        let answer = post(&node, PATH, body).await;
        assert_problem(&answer, 422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["pointer"], "/count", "{body}");
        assert!(answer.text.contains(words), "{words} in {}", answer.text);
    }
    let answer = post(&node, PATH, r#"{"count":5,"kount":6}"#).await;
    assert_problem(&answer, 422, "validation_failed");
    assert_eq!(answer.json["errors"][0]["pointer"], "/kount");
    let answer = post(&node, PATH, r#"{"kount":6}"#).await;
    assert_eq!(answer.json["errors"].as_array().unwrap().len(), 2, "{}", answer.text);
    assert_problem(&post(&node, PATH, "5").await, 400, "malformed_json");
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_nodes_own_refusal_of_an_order_is_passed_on() {
    let refusal = Refusal::NoQuorum { online: 3, total: 5, needed: 4 };
    let script = move |_| Some(Outcome::Refused(refusal.clone()));
    let node = scripted(with_pool(), Past::default(), Box::new(script));
    assert_problem(&post(&node, PATH, r#"{"count":5}"#).await, 503, "no_quorum");
}

fn keygen(phase: KeygenPhase, waiting_for: &[u16], stage: Option<Stage>) -> KeygenView {
    let waiting_for = waiting_for.iter().copied().map(NodeId::new).collect();
    KeygenView { key: SEGWIT, phase, waiting_for, started: Timestamp(1_000), stage }
}

#[tokio::test]
async fn a_started_key_generation_says_whether_it_prepares_or_runs() {
    for (phase, status) in [(KeygenPhase::Preparing, "preparing"), (KeygenPhase::Running, "running")] {
        let mut overview = healthy();
        overview.keygen = Some(keygen(phase, &[2, 3], None));
        let script = |_| Some(Outcome::KeygenStarted { key: SEGWIT });
        let node = scripted(overview, Past::default(), Box::new(script));
        let answer = post(&node, "/api/v1/dkg", r#"{"type":"segwit"}"#).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!((&answer.json["key"], &answer.json["status"]), (&json!("segwit-1"), &json!(status)));
    }
}

#[tokio::test]
async fn a_key_generation_shows_its_stage_and_who_is_waited_for() {
    let stage = Stage { name: "auxiliary information", round: 2, rounds: 3 };
    let mut overview = healthy();
    overview.keygen = Some(keygen(KeygenPhase::Running, &[4], Some(stage)));
    let node = scripted(overview, Past::default(), Box::new(|_| None));
    let answer = get(&node, "/api/v1/dkg").await;
    let shown = &answer.json["keygen"];
    assert_eq!(shown["status"], "running");
    assert_eq!(shown["stage"], json!({ "name": "auxiliary information", "round": 2, "rounds": 3 }));
    assert_eq!(shown["waiting_for"], json!([4]));

    let mut overview = healthy();
    overview.keygen = Some(keygen(KeygenPhase::Preparing, &[2, 5], None));
    node.overview.send_replace(overview.into());
    let answer = get(&node, "/api/v1/dkg").await;
    assert_eq!(answer.json["keygen"]["status"], "preparing");
    assert_eq!(answer.json["keygen"]["stage"], Value::Null);
    assert_eq!(answer.json["keygen"]["waiting_for"], json!([2, 5]));
}
