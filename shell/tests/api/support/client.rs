//! Asks a scripted node through the router, without a socket.

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use bitcoin::Txid;
use mpc_wallet_core::{
    refusal::Refusal,
    step::{Command, Outcome},
    tx::State,
};
use mpc_wallet_shell::rest::router;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Past, REGTEST, ScriptedNode, healthy, quoted, row, scripted, txid_of};

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status: parts.status, headers: parts.headers, text, json }
    }
}

pub async fn ask(node: &ScriptedNode, request: Request<Body>) -> Answer {
    Answer::of(router(node.state.clone()).oneshot(request).await.unwrap()).await
}

pub async fn get(node: &ScriptedNode, path: &str) -> Answer {
    ask(node, Request::get(path).body(Body::empty()).unwrap()).await
}

pub async fn post(node: &ScriptedNode, path: &str, body: &str) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    ask(node, request.body(Body::from(body.to_owned())).unwrap()).await
}

pub async fn pay(node: &ScriptedNode, body: &Value) -> Answer {
    post(node, "/api/v1/transactions", &body.to_string()).await
}

pub fn payment() -> Value {
    json!({ "recipient": REGTEST, "amount_sats": 50_000 })
}

pub fn txid(number: u8) -> Txid {
    txid_of(number).parse().unwrap()
}

/// A healthy node that proposes whatever it is asked to, as transaction 1, and asks nobody about it.
pub fn accepting() -> ScriptedNode {
    let past = Past { rows: vec![row(1, State::Voting)], ..Past::default() };
    scripted(healthy(), past, Box::new(|command| Some(proposed(&command))))
}

/// How such a node answers.
pub fn proposed(command: &Command) -> Outcome {
    if let Command::Quote(_) = command {
        return quoted();
    }
    if let Command::Bump(bump) = command
        && bump.txid != txid(1)
    {
        return Outcome::Refused(Refusal::UnknownTransaction(bump.txid));
    }
    let Command::Decide(decision) = command else {
        return Outcome::Proposed { txid: txid(1), replayed: false };
    };
    Outcome::Refused(if decision.txid == txid(1) {
        Refusal::ApprovalNotRequired { state: State::Voting }
    } else {
        Refusal::UnknownTransaction(decision.txid)
    })
}

/// Takes orders of presignatures, and nothing else.
pub fn ordered(command: &Command) -> Outcome {
    let Command::Presign { count } = command else { panic!("{command:?} is no order") };
    Outcome::PresigningOrdered { count: *count }
}

pub fn refusing(refusal: Refusal) -> ScriptedNode {
    let script = move |_| Some(Outcome::Refused(refusal.clone()));
    scripted(healthy(), Past::default(), Box::new(script))
}

#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.json["code"], code, "{}", answer.text);
    assert_eq!(answer.json["status"], status);
    assert_eq!(answer.json["type"], format!("urn:mpc-wallet:problem:{code}"));
    for member in ["title", "detail", "instance", "request_id"] {
        assert!(!answer.json[member].as_str().unwrap().is_empty(), "{member}");
    }
    assert_eq!(answer.headers["x-request-id"], answer.json["request_id"].as_str().unwrap());
}
