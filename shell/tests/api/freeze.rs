//! The emergency freeze in the API: who stopped the cluster is named wherever it matters, and a request that does not say
//! why is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{num::NonZeroU32, sync::Arc};

use crate::support::{
    Past, ScriptedNode,
    client::{ask, assert_problem, get, pay, payment, post, refusing},
    guarded, healthy, scripted,
};
use axum::{body::Body, http::Request};
use mpc_wallet_core::{
    FreezeId, NodeId, Timestamp,
    freeze::WordsError,
    overview::{FreezeView, Overview},
    refusal::Refusal,
    step::{Command, Outcome},
};
use mpc_wallet_shell::access::{KeyFile, Keyring, Role};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;

const FREEZE: &str = "/api/v1/cluster/freeze";
const LIFT: &str = "/api/v1/cluster/lift";
const STATUS: &str = "/api/v1/cluster/status";
const ID: FreezeId = FreezeId::from_bytes([0xf1; 32]);

fn frozen() -> Overview {
    let mut overview = healthy();
    overview.freezes = vec![FreezeView {
        id: ID,
        node: NodeId::new(3),
        operator: "ops-3".to_owned(),
        reason: "a laptop is lost".to_owned(),
        at: Timestamp(1_700_000_000_000),
        lifted_by: vec![NodeId::new(1), NodeId::new(2)],
    }];
    overview
}

/// A node that freezes and lifts as it is told.
fn obeying(overview: Overview) -> ScriptedNode {
    let script = |command| {
        let freeze = matches!(command, Command::Freeze { .. });
        Some(if freeze { Outcome::Frozen { freeze: ID } } else { Outcome::Lifted { freezes: vec![ID] } })
    };
    scripted(overview, Past::default(), Box::new(script))
}

#[tokio::test]
async fn a_freeze_is_answered_with_the_status_that_names_it() {
    let node = obeying(frozen());
    let answer = post(&node, FREEZE, r#"{"reason":"a laptop is lost"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let expected = json!([{
        "id": ID.to_string(),
        "node_id": 3,
        "operator": "ops-3",
        "reason": "a laptop is lost",
        "at": "2023-11-14T22:13:20Z",
        "lifted_by": [1, 2],
        "lifts_needed": 4,
    }]);
    assert_eq!(answer.json["freezes"], expected);
    let status = get(&node, STATUS).await;
    for (member, value) in [
        ("frozen", json!(true)),
        ("frozen_because", json!("operator")),
        ("healthy", json!(false)),
        ("consensus_reached", json!(true)),
        ("freezes", expected),
    ] {
        assert_eq!(status.json[member], value, "{member}");
    }
    let asked = node.commands.lock().unwrap();
    let (operator, reason) = ("unauthenticated".to_owned(), "a laptop is lost".to_owned());
    assert_eq!(*asked, [Command::Freeze { operator, reason }]);
}

#[tokio::test]
async fn nothing_is_frozen_when_nobody_froze_it_and_a_quorum_is_there() {
    let status = get(&obeying(healthy()), STATUS).await;
    assert_eq!(status.json["frozen"], false);
    assert_eq!((&status.json["frozen_because"], &status.json["freezes"]), (&json!(null), &json!([])));
    let mut few = healthy();
    few.online = 3;
    let status = get(&obeying(few), STATUS).await;
    assert_eq!((&status.json["frozen"], &status.json["frozen_because"]), (&json!(true), &json!("no_quorum")));
}

#[tokio::test]
async fn probes_and_metrics_tell_of_a_freeze() {
    let node = obeying(frozen());
    let alive = get(&node, "/health").await;
    assert_eq!((alive.status.as_u16(), &alive.json["status"]), (200, &json!("degraded")));
    let told = "ops-3 has frozen the cluster at node-3 (2023-11-14T22:13:20Z): a laptop is lost; 2 of 4 nodes have lifted it";
    assert_eq!(alive.json["degraded"], json!([told]));
    let ready = get(&node, "/health/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json["components"]["freeze"], json!({ "ok": false, "detail": told }));
    assert!(get(&node, "/metrics").await.text.contains("\nmpc_wallet_frozen 1\n"));
    let calm = obeying(healthy());
    assert_eq!(get(&calm, "/health/ready").await.status, 200);
    assert!(get(&calm, "/metrics").await.text.contains("\nmpc_wallet_frozen 0\n"));
}

#[tokio::test]
async fn a_payment_is_refused_with_who_when_and_why() {
    let node = refusing(Refusal::Frozen {
        node: NodeId::new(3),
        operator: "ops-3".to_owned(),
        reason: "a laptop is lost".to_owned(),
        at: Timestamp(1_700_000_000_000),
        needed: 4,
    });
    let answer = pay(&node, &payment()).await;
    assert_problem(&answer, 409, "cluster_frozen");
    for (member, value) in [
        ("node_id", json!(3)),
        ("operator", json!("ops-3")),
        ("reason", json!("a laptop is lost")),
        ("frozen_at", json!("2023-11-14T22:13:20Z")),
        ("lifts_needed", json!(4)),
    ] {
        assert_eq!(answer.json[member], value, "{member}");
    }
    let detail = answer.json["detail"].as_str().unwrap();
    let told = "The cluster is frozen by ops-3 at node-3 since 2023-11-14T22:13:20Z: a laptop is lost.";
    assert!(detail.starts_with(told), "{detail}");
}

#[tokio::test]
async fn a_freeze_that_does_not_say_why_never_reaches_the_node() {
    let node = obeying(healthy());
    let long = json!({ "reason": "x".repeat(257) }).to_string();
    for (body, words) in [
        ("{}", "is required: say in 1 to 256 bytes why"),
        (r#"{"reason":""}"#, "the reason has 0 bytes"),
        (r#"{"reason":"  "}"#, "the reason has 2 bytes"),
        (r#"{"reason":7}"#, "must be a text; 7 is not"),
        (r#"{"reason":"a\nb"}"#, "control characters"),
        (&*long, "the reason has 257 bytes"),
        (r#"{"reason":"why","until":"noon"}"#, "is not a field of this request; it has reason"),
    ] {
        let answer = post(&node, FREEZE, body).await;
        assert_problem(&answer, 422, "validation_failed");
        assert!(answer.json["detail"].as_str().unwrap().contains(words), "{}", answer.text);
    }
    assert_problem(&post(&node, FREEZE, "").await, 400, "malformed_json");
    assert!(node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lift_needs_no_body_and_takes_no_field() {
    let node = obeying(frozen());
    let bare = Request::post(LIFT).body(Body::empty()).unwrap();
    assert_eq!(ask(&node, bare).await.status, 200);
    assert_eq!(post(&node, LIFT, "{}").await.status, 200);
    assert_problem(&post(&node, LIFT, r#"{"all":true}"#).await, 422, "validation_failed");
    let operator = "unauthenticated".to_owned();
    let lift = Command::Lift { operator };
    assert_eq!(*node.commands.lock().unwrap(), [lift.clone(), lift]);
}

#[tokio::test]
async fn what_cannot_be_frozen_or_lifted_is_a_conflict() {
    let answer = post(&refusing(Refusal::AlreadyFrozen(ID)), FREEZE, r#"{"reason":"why"}"#).await;
    assert_problem(&answer, 409, "already_frozen");
    assert_eq!(answer.json["freeze_id"], ID.to_string());
    assert_problem(&post(&refusing(Refusal::NotFrozen), LIFT, "{}").await, 409, "not_frozen");
    let unfit = refusing(Refusal::Words(WordsError::ReasonUnprintable));
    assert_problem(&post(&unfit, FREEZE, r#"{"reason":"why"}"#).await, 422, "validation_failed");
}

#[tokio::test]
async fn the_operator_is_the_name_of_the_key() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let mut keys = KeyFile::default();
    let token = keys.create("alice", Role::Admin, OffsetDateTime::UNIX_EPOCH).unwrap();
    keys.write(&file).unwrap();
    let keyring = Arc::new(Keyring::load(&file, NonZeroU32::new(600).unwrap()).unwrap());
    let script = Box::new(|_| Some(Outcome::Lifted { freezes: vec![] }));
    let node = guarded(healthy(), Past::default(), script, Some(keyring));
    let request = Request::post(LIFT).header("authorization", format!("Bearer {}", token.reveal()));
    assert_eq!(ask(&node, request.body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(*node.commands.lock().unwrap(), [Command::Lift { operator: "alice".to_owned() }]);
}
