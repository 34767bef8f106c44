//! What the API says of itself: its description, tags of documents, and the trail of what the node did.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use crate::support::{
    Past, REGTEST,
    client::{Answer, accepting, ask, assert_problem, get, pay},
    healthy, row, scripted, txid_of,
};
use axum::{body::Body, http::Request};
use mpc_wallet_core::{step::Command, tx::State};
use serde_json::{Value, json};

async fn description() -> Value {
    get(&accepting(), "/api/v1/openapi.json").await.json
}

fn operations(description: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

#[tokio::test]
async fn the_description_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let description = description().await;
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn what_asks_for_a_key_says_so_and_what_can_go_wrong_is_a_problem() {
    let description = description().await;
    let open: BTreeSet<_> = operations(&description)
        .filter(|(_, _, operation)| operation["security"].as_array().unwrap().is_empty())
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(open, BTreeSet::from(["/health", "/health/ready"]));
    for (method, path, operation) in operations(&description) {
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let content = response["content"].as_object().unwrap();
            let told = path == "/health/ready" || content.contains_key("application/problem+json");
            assert!(told, "{method} {path} {status}");
        }
        assert_eq!(responses.contains_key("413"), operation.get("requestBody").is_some(), "{method} {path}");
        assert_eq!(responses.contains_key("401"), !open.contains(path), "{method} {path}");
    }
}

#[tokio::test]
async fn every_documented_route_is_there_and_takes_the_parameters_it_names() {
    let node = accepting();
    let description = description().await;
    for (method, path, operation) in operations(&description).filter(|(method, _, _)| *method == "get") {
        let path = path.replace("{txid}", &txid_of(1));
        assert_ne!(get(&node, &path).await.status, 404, "{method} {path}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let answer = get(&node, &format!("{path}?{name}=")).await;
            assert!(!answer.text.contains("is not a parameter"), "{path} {name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_document_that_did_not_change_is_not_sent_again() {
    let node = accepting();
    let path = format!("/api/v1/transactions/{}", txid_of(1));
    let asked = async |tag: &str| -> Answer {
        let request = Request::get(&path).header("if-none-match", tag).body(Body::empty()).unwrap();
        ask(&node, request).await
    };
    let first = get(&node, &path).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = asked(&known).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{known}");
        assert_eq!(again.headers["etag"], tag.as_str());
    }
    node.memory.0.lock().unwrap().rows[0].confirmations = 1;
    let changed = asked(&tag).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.headers["etag"], tag.as_str());
    assert!(!get(&node, "/api/v1/transactions/0").await.headers.contains_key("etag"));
}

#[tokio::test]
async fn the_trail_pages_through_everything_newest_first() {
    let rows = (1..=5).map(|number| row(number, State::Voting)).collect();
    let node = scripted(healthy(), Past { rows, ..Past::default() }, Box::new(|_| None));
    let first = get(&node, "/api/v1/audit?limit=3").await;
    let positions = |answer: &Answer| -> Vec<i64> {
        let items = answer.json["items"].as_array().unwrap();
        items.iter().map(|item| item["position"].as_i64().unwrap()).collect()
    };
    assert_eq!(positions(&first), [5, 4, 3]);
    assert_eq!(first.json["items"][0]["event_type"], "node_started");
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let second = get(&node, &format!("/api/v1/audit?limit=3&cursor={cursor}")).await;
    assert_eq!(positions(&second), [2, 1]);
    assert_eq!(second.json["next_cursor"], Value::Null);
    assert_problem(&get(&node, "/api/v1/audit?limit=0").await, 400, "validation_failed");
}

#[tokio::test]
async fn a_payment_may_have_a_name_for_good() {
    let node = accepting();
    let named = |id: &str| json!({ "recipient": REGTEST, "amount_sats": 50_000, "external_id": id });
    assert_eq!(pay(&node, &named("order-17/2026")).await.status, 201);
    for wrong in ["", "with space", "ümlaut", &"x".repeat(65)] {
        let refused = pay(&node, &named(wrong)).await;
        assert_problem(&refused, 422, "validation_failed");
        assert_eq!(refused.json["errors"][0]["pointer"], "/external_id");
    }
    let commands = node.commands.lock().unwrap();
    let [Command::Pay(asked)] = commands.as_slice() else { panic!("one payment") };
    assert_eq!(asked.external_id.as_deref(), Some("order-17/2026"));
}

#[tokio::test]
async fn a_payment_is_found_by_its_name() {
    let node = accepting();
    node.memory.0.lock().unwrap().rows[0].external_id = Some("order-17".to_owned());
    let found = async |name: &str| get(&node, &format!("/api/v1/transactions?external_id={name}")).await;
    assert_eq!(found("order-17").await.json["items"][0]["external_id"], "order-17");
    assert_eq!(found("order-18").await.json["items"], json!([]));
    assert_problem(&found("").await, 400, "validation_failed");
}
