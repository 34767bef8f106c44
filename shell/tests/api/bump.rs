//! Higher fees over a scripted node: what reaches the node, what is answered, what links the two.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of fact or message and leaves the rest"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{num::NonZeroU32, sync::Arc};

use crate::support::{
    Past, ScriptedNode,
    client::{ask, assert_problem, get, post, refusing, txid},
    guarded, healthy, row, scripted, txid_of,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use mpc_wallet_core::{
    NodeId, Timestamp,
    policy::PolicyBreach,
    refusal::Refusal,
    step::{BumpRequest, Command, Outcome},
    tx::State,
};
use mpc_wallet_shell::access::{KeyFile, Keyring, Role};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;

/// Transaction 1 is broadcast, and 2 takes its place.
fn replaced() -> Past {
    let mut original = row(1, State::Broadcasting);
    original.replaced_by = Some(txid_of(2));
    let mut replacement = row(2, State::Pending);
    replacement.replaces = Some(txid_of(1));
    Past { rows: vec![original, replacement], ..Past::default() }
}

fn bumping() -> ScriptedNode {
    let script = |_| Some(Outcome::Proposed { txid: txid(2), replayed: false });
    scripted(healthy(), replaced(), Box::new(script))
}

fn path() -> String {
    format!("/api/v1/transactions/{}/bump", txid_of(1))
}

fn asked(node: &ScriptedNode) -> Vec<BumpRequest> {
    let commands = node.commands.lock().unwrap();
    let bump = |command: &Command| match command {
        Command::Bump(bump) => bump.clone(),
        other => panic!("{other:?}"),
    };
    commands.iter().map(bump).collect()
}

#[tokio::test]
async fn a_higher_fee_is_asked_for_in_the_name_of_the_key_and_shows_the_replacement() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let mut keys = KeyFile::default();
    let token = keys.create("ann", Role::Initiator, OffsetDateTime::UNIX_EPOCH).unwrap();
    keys.write(&file).unwrap();
    let keyring = Keyring::load(&file, NonZeroU32::new(60_000).unwrap()).unwrap();
    let script = |_| Some(Outcome::Proposed { txid: txid(2), replayed: false });
    let node = guarded(healthy(), replaced(), Box::new(script), Some(Arc::new(keyring)));
    let request = Request::post(path())
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", token.reveal()));
    let answer = ask(&node, request.body(Body::from(r#"{"fee_rate":12.5}"#)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.headers["location"], format!("/api/v1/transactions/{}", txid_of(2)));
    assert_eq!(answer.json["txid"], txid_of(2));
    assert_eq!(answer.json["replaces"], txid_of(1));
    assert!(answer.json["timeline"].is_array(), "{}", answer.text);
    let wanted = BumpRequest { txid: txid(1), fee_rate: Some(12_500), initiator: Some("ann".to_owned()) };
    assert_eq!(asked(&node), [wanted]);
}

#[tokio::test]
async fn without_a_rate_or_a_body_the_fee_is_left_to_the_node() {
    let node = bumping();
    let bare = Request::post(path()).body(Body::empty()).unwrap();
    assert_eq!(ask(&node, bare).await.status, StatusCode::CREATED);
    for body in ["{}", "null", r#"{"fee_rate":null}"#] {
        assert_eq!(post(&node, &path(), body).await.status, StatusCode::CREATED, "{body}");
    }
    let none = BumpRequest { txid: txid(1), fee_rate: None, initiator: None };
    let made = asked(&node);
    assert!(made.len() == 4 && made.iter().all(|bump| *bump == none), "{made:?}");
    post(&node, &path(), r#"{"fee_rate":"7"}"#).await;
    assert_eq!(asked(&node).last().unwrap().fee_rate, Some(7_000));
}

#[tokio::test]
async fn a_request_that_is_not_understood_reaches_no_node() {
    let node = bumping();
    for (body, pointer) in [
        (json!({ "fee_rate": "fast" }), "/fee_rate"),
        (json!({ "fee_rate": -1 }), "/fee_rate"),
        (json!({ "fee_rate": 1.0001 }), "/fee_rate"),
        (json!({ "feerate": 5 }), "/feerate"),
        (json!({ "amount_sats": 5 }), "/amount_sats"),
    ] {
        let answer = post(&node, &path(), &body.to_string()).await;
        assert_problem(&answer, 422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
    assert_problem(&post(&node, &path(), "{").await, 400, "malformed_json");
    assert_problem(&post(&node, "/api/v1/transactions/xyz/bump", "{}").await, 400, "invalid_txid");
    assert!(asked(&node).is_empty());
}

#[tokio::test]
async fn every_refusal_of_a_higher_fee_has_its_status_and_its_numbers() {
    let high = PolicyBreach::FeeRateTooHigh { rate: 5_000_000, ceiling: 1_000_000 };
    for (refusal, status, member, value) in [
        (Refusal::UnknownTransaction(txid(1)), 404, "code", json!("not_found")),
        (Refusal::NotReplaceable { txid: txid(1), state: State::Voting }, 409, "state", json!("voting")),
        (Refusal::InBlock { txid: txid(1), height: 7 }, 409, "block_height", json!(7)),
        (Refusal::ReplacedBefore { by: txid(2) }, 409, "replaced_by", json!(txid_of(2))),
        (Refusal::ChangeSpent { by: txid(3) }, 409, "spent_by", json!(txid_of(3))),
        (
            Refusal::ReplacementTooCheap { rate: 1_500, fee: 231, least: 308, least_rate: 2_000 },
            422,
            "minimum_fee_sats",
            json!(308),
        ),
        (Refusal::ChangeTooSmall { fee: 900, available: 300 }, 422, "available_sats", json!(300)),
        (Refusal::Policy(high), 422, "code", json!("fee_too_high")),
        (Refusal::NoQuorum { online: 2, total: 5, needed: 4 }, 503, "online_nodes", json!(2)),
    ] {
        let code = refusal.code();
        let answer = post(&refusing(refusal), &path(), "{}").await;
        assert_problem(&answer, status, code);
        assert_eq!(answer.json[member], value, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_refusal_names_the_other_transaction_as_it_is_written() {
    let other = txid(0xab);
    let answer = post(&refusing(Refusal::ReplacedBefore { by: other }), &path(), "{}").await;
    let detail = answer.json["detail"].as_str().unwrap();
    assert!(detail.starts_with(&other.to_string()) && detail.ends_with('.'), "{detail}");
    let cheap = Refusal::ReplacementTooCheap { rate: 1_500, fee: 231, least: 308, least_rate: 2_001 };
    let answer = post(&refusing(cheap), &path(), "{}").await;
    assert_eq!(
        answer.json["detail"],
        "A replacement at 1.5 sat/vB pays 231 sat; the network takes none below 308 sat, ask for at least 2.001 sat/vB."
    );
}

#[tokio::test]
async fn a_frozen_cluster_raises_no_fee() {
    let frozen = Refusal::Frozen {
        node: NodeId::new(3),
        operator: "ann".to_owned(),
        reason: "a laptop is missing".to_owned(),
        at: Timestamp(1_700_000_000_000),
        needed: 4,
    };
    assert_problem(&post(&refusing(frozen), &path(), "{}").await, 409, "cluster_frozen");
}

#[tokio::test]
async fn a_replacement_stands_even_if_it_cannot_be_read() {
    let node = bumping();
    node.memory.0.lock().unwrap().broken = true;
    let answer = post(&node, &path(), "{}").await;
    assert_eq!((answer.status, &answer.json["txid"]), (StatusCode::CREATED, &json!(txid_of(2))));
}

#[tokio::test]
async fn a_payment_and_its_replacement_name_each_other_alone_and_in_lists() {
    let node = bumping();
    let original = get(&node, &format!("/api/v1/transactions/{}", txid_of(1))).await.json;
    assert_eq!((&original["replaces"], &original["replaced_by"]), (&json!(null), &json!(txid_of(2))));
    let items = get(&node, "/api/v1/transactions").await.json["items"].clone();
    assert_eq!((&items[0]["replaces"], &items[0]["replaced_by"]), (&json!(txid_of(1)), &json!(null)));
}
