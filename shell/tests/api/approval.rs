//! People's decisions over a scripted node: who may decide, what reaches the node, what is shown.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of fact or message and leaves the rest"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{num::NonZeroU32, sync::Arc};

use crate::support::{
    Past, REGTEST, ScriptedNode,
    client::{Answer, accepting, ask, assert_problem, get, payment, post, refusing, txid},
    guarded, healthy, row, scripted, txid_of,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, consensus::serialize};
use mpc_wallet_core::{
    NodeId, Timestamp,
    overview::Overview,
    policy::Approval,
    refusal::Refusal,
    step::{Command, DecisionRequest, Outcome},
    tx::State,
    vote::UnfitDecision,
};
use mpc_wallet_shell::{
    access::{KeyFile, Keyring, Role},
    read::DecisionRow,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

/// A node whose policy asks two people about payments of more than 10,000 sat.
fn asking() -> Overview {
    let approval = Approval { above: Amount::from_sat(10_000), operators: 2 };
    Overview { approval: Some(approval), ..healthy() }
}

fn decision(node: u16, operator: &str, approve: bool) -> DecisionRow {
    DecisionRow {
        node: NodeId::new(node),
        operator: Some(operator.to_owned()),
        approve,
        comment: Some("invoice 7".to_owned()),
        signature: "ab".repeat(64),
        decided_at: Timestamp(1_700_000_000_000),
    }
}

fn waiting() -> Past {
    let mut waits = row(1, State::Voting);
    waits.sub_status = "awaiting_approval".to_owned();
    Past { rows: vec![waits], decisions: vec![decision(3, "ann", true)], ..Past::default() }
}

fn deciding() -> ScriptedNode {
    scripted(asking(), waiting(), Box::new(|_| Some(Outcome::Decided { txid: txid(1) })))
}

fn path(verb: &str) -> String {
    format!("/api/v1/transactions/{}{verb}", txid_of(1))
}

fn decisions(node: &ScriptedNode) -> Vec<DecisionRequest> {
    let commands = node.commands.lock().unwrap();
    let decision = |command: &Command| match command {
        Command::Decide(decision) => decision.clone(),
        other => panic!("{other:?}"),
    };
    commands.iter().map(decision).collect()
}

async fn send(node: &ScriptedNode, path: &str, key: Option<&str>, body: &Value) -> Answer {
    let mut request = Request::post(path).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    ask(node, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_decision_is_made_in_the_name_of_the_key_and_shows_the_transaction() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let mut keys = KeyFile::default();
    let token = keys.create("ann", Role::Approver, OffsetDateTime::UNIX_EPOCH).unwrap();
    let admin = keys.create("bob", Role::Admin, OffsetDateTime::UNIX_EPOCH).unwrap();
    keys.write(&file).unwrap();
    let keyring = Keyring::load(&file, NonZeroU32::new(60_000).unwrap()).unwrap();
    let script = |command| match command {
        Command::Pay(_) => Some(Outcome::Proposed { txid: txid(1), replayed: false }),
        _ => Some(Outcome::Decided { txid: txid(1) }),
    };
    let node = guarded(asking(), waiting(), Box::new(script), Some(Arc::new(keyring)));
    let body = json!({ "comment": "checked by telephone" });
    let answer = send(&node, &path("/approve"), Some(token.reveal()), &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json["sub_status"], "awaiting_approval");
    assert_eq!(
        answer.json["approval"],
        json!({
            "required": true,
            "above_sats": 10_000,
            "operators_required": 2,
            "decisions": [{
                "node_id": 3, "operator": "ann", "approve": true, "comment": "invoice 7",
                "signature": "ab".repeat(64), "at": "2023-11-14T22:13:20Z",
            }],
            "missing": 1,
        })
    );
    let comment = Some("checked by telephone".to_owned());
    let wanted = DecisionRequest { txid: txid(1), approve: true, operator: Some("ann".to_owned()), comment };
    assert_eq!(decisions(&node), [wanted]);
    // Whoever asks for a payment is named to the node as well, which keeps him from approving it.
    node.commands.lock().unwrap().clear();
    send(&node, "/api/v1/transactions", Some(admin.reveal()), &payment()).await;
    let commands = node.commands.lock().unwrap();
    let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
    assert_eq!(asked.initiator.as_deref(), Some("bob"));
}

#[tokio::test]
async fn an_open_api_decides_in_nobodys_name_and_needs_no_body() {
    let node = deciding();
    let bare = Request::post(path("/reject")).body(Body::empty()).unwrap();
    assert_eq!(ask(&node, bare).await.status, StatusCode::OK);
    for body in ["{}", r#"{"comment":null}"#, r#"{"comment":""}"#] {
        assert_eq!(post(&node, &path("/reject"), body).await.status, StatusCode::OK, "{body}");
    }
    let none = DecisionRequest { txid: txid(1), approve: false, operator: None, comment: None };
    let made = decisions(&node);
    assert!(made.len() == 4 && made.iter().all(|decision| *decision == none), "{made:?}");
}

#[tokio::test]
async fn a_decision_that_is_not_understood_reaches_no_node() {
    let node = deciding();
    for (body, pointer) in [
        (json!({ "comment": 7 }), "/comment"),
        (json!({ "coment": "x" }), "/coment"),
        (json!({ "approve": false }), "/approve"),
    ] {
        let answer = post(&node, &path("/approve"), &body.to_string()).await;
        assert_problem(&answer, 422, "validation_failed");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
    assert_problem(&post(&node, &path("/approve"), "{").await, 400, "malformed_json");
    let text = Request::post(path("/approve")).header("content-type", "text/plain");
    let answer = ask(&node, text.body(Body::from("{}")).unwrap()).await;
    assert_problem(&answer, 415, "unsupported_media_type");
    assert!(decisions(&node).is_empty());
}

#[tokio::test]
async fn every_refusal_of_a_decision_has_its_status_and_its_numbers() {
    let decided = Refusal::AlreadyDecided { operator: Some("ann".to_owned()), approve: true };
    let own = Refusal::OwnPayment { operator: "ann".to_owned() };
    for (refusal, status, code) in [
        (Refusal::UnknownTransaction(txid(1)), 404, "not_found"),
        (Refusal::ApprovalNotRequired { state: State::Voting }, 409, "approval_not_required"),
        (Refusal::NotVoting { state: State::Signed }, 409, "invalid_state"),
        (decided, 409, "already_decided"),
        (own, 403, "own_payment"),
        (Refusal::MayHaveDecided, 409, "may_have_decided"),
        (Refusal::UnfitDecision(UnfitDecision::Comment(300)), 422, "validation_failed"),
        (Refusal::Confirming { told: 1, needed: 3 }, 503, "confirming"),
    ] {
        let node = refusing(refusal);
        assert_problem(&post(&node, &path("/approve"), "{}").await, status, code);
    }
    let node = refusing(Refusal::NotVoting { state: State::Signed });
    assert_eq!(post(&node, &path("/approve"), "{}").await.json["state"], "signed");
}

#[tokio::test]
async fn a_decision_stands_even_if_its_transaction_cannot_be_read() {
    let node = deciding();
    node.memory.0.lock().unwrap().broken = true;
    let answer = post(&node, &path("/approve"), "{}").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json["txid"], txid_of(1));
}

#[tokio::test]
async fn what_waits_for_people_is_one_request_away() {
    let node = deciding();
    node.memory.0.lock().unwrap().rows.push(row(2, State::Voting));
    let answer = get(&node, "/api/v1/transactions?awaiting=approval&type=taproot").await;
    let items = answer.json["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["txid"]).collect::<Vec<_>>(), [&json!(txid_of(1))]);
    for (states, count) in [("voting,signing", 1), ("signing", 0)] {
        let answer = get(&node, &format!("/api/v1/transactions?awaiting=approval&state={states}")).await;
        assert_eq!(answer.json["items"].as_array().unwrap().len(), count, "{states}");
    }
    for wrong in ["awaiting=votes", "awaiting="] {
        let answer = get(&node, &format!("/api/v1/transactions?{wrong}")).await;
        assert_problem(&answer, 400, "validation_failed");
    }
}

#[tokio::test]
async fn where_nobody_is_asked_the_transaction_says_so() {
    let answer = get(&accepting(), &path("")).await;
    assert_eq!(
        answer.json["approval"],
        json!({
            "required": false, "above_sats": null, "operators_required": null, "decisions": [], "missing": 0,
        })
    );
    let at_the_limit = Approval { above: Amount::from_sat(50_000), operators: 1 };
    let overview = Overview { approval: Some(at_the_limit), ..healthy() };
    let past = Past { rows: vec![row(1, State::Voting)], ..Past::default() };
    let answer = get(&scripted(overview, past, Box::new(|_| None)), &path("")).await;
    assert_eq!(answer.json["approval"]["required"], false);
}

#[tokio::test]
async fn who_is_to_decide_sees_what_the_transaction_spends_and_pays_before_it_is_signed() {
    let mut past = waiting();
    let recipient = ScriptBuf::from_bytes(past.rows[0].recipient_script.clone());
    let ours = ScriptBuf::from_bytes([&[0x51, 0x20], [3u8; 32].as_slice()].concat());
    let output = |script, sats| TxOut { value: Amount::from_sat(sats), script_pubkey: script };
    let tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: bitcoin::OutPoint::new(txid(9), 1),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output: vec![output(recipient, 50_000), output(ours.clone(), 1_000)],
    };
    past.encodings.unsigned_tx = serialize(&tx);
    past.encodings.prevouts = serialize(&vec![output(ours, 51_154)]);
    let node = scripted(asking(), past, Box::new(|_| None));
    let answer = get(&node, &path("")).await;
    let input = &answer.json["inputs"][0];
    assert_eq!(
        (&input["amount_sats"], &input["outpoint"]),
        (&json!(51_154), &json!(format!("{}:1", txid(9))))
    );
    assert!(input["address"].as_str().unwrap().starts_with("bcrt1p"), "{input}");
    assert_eq!(answer.json["outputs"][0]["address"], REGTEST);
    assert_eq!(answer.json["outputs"][1]["kind"], "change");
    // A key-path spend with a P2WPKH and a P2TR output.
    assert_eq!(answer.json["vsize"], 142);
    assert_eq!(answer.json["fee_rate_sat_vb"].to_string(), "1.084");
}
