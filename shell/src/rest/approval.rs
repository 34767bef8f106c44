//! People's decisions on payments: made here, and shown.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use bitcoin::Txid;
use mpc_wallet_core::{
    Timestamp,
    policy::Approval,
    step::{Command, DecisionRequest, Outcome},
    vote::MAX_COMMENT_BYTES,
};
use serde_json::{Value, json};

use super::{
    access::Caller,
    body::{Fields, invalid},
    problem::Problem,
    query::parse_txid,
    state::ApiState,
    transactions,
};
use crate::{
    read::{DecisionRow, TransactionDetail},
    units::rfc3339,
};

/// `POST /api/v1/transactions/{txid}/approve`
pub(super) async fn approve(
    State(state): State<ApiState>,
    caller: Caller,
    Path(txid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    decide(state, caller, &txid, true, (headers, body)).await
}

/// `POST /api/v1/transactions/{txid}/reject`
pub(super) async fn reject(
    State(state): State<ApiState>,
    caller: Caller,
    Path(txid): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    decide(state, caller, &txid, false, (headers, body)).await
}

async fn decide(
    state: ApiState,
    Caller(operator): Caller,
    txid: &str,
    approve: bool,
    (headers, body): (HeaderMap, Body),
) -> Result<Json<Value>, Problem> {
    let canonical = parse_txid(txid)?;
    let txid: Txid = canonical.parse().map_err(|_| Problem::internal())?;
    let comment = comment(&headers, body, state.options().body_limit).await?;
    let request = DecisionRequest { txid, approve, operator, comment };
    match state.node().command(Command::Decide(request)).await? {
        Outcome::Decided { .. } => {}
        Outcome::Refused(refusal) => return Err(refusal.into()),
        Outcome::Proposed { .. } | Outcome::KeygenStarted { .. } | Outcome::PresigningOrdered { .. } => {
            return Err(Problem::internal());
        }
    }
    Ok(Json(transactions::show_or_name(&state, canonical).await))
}

/// The one field of the body, which may be left out, and so may the body.
async fn comment(headers: &HeaderMap, body: Body, limit: usize) -> Result<Option<String>, Problem> {
    const POINTER: &str = "/comment";
    let mut fields = Fields::read_if_any(headers, body, limit).await?;
    let comment = match fields.take("comment") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(POINTER, format!("must be a string of at most {MAX_COMMENT_BYTES} bytes"))),
    };
    let (comment, mut problems) = match comment {
        Ok(comment) => (comment, Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    problems.extend(fields.unknown("comment"));
    match Problem::merge(problems) {
        Some(problem) => Err(problem),
        None => Ok(comment),
    }
}

/// Whether this node's policy asks people about a transaction, and what they have said.
pub(super) fn document(detail: &TransactionDetail, policy: Option<&Approval>) -> Value {
    let asks = policy.filter(|policy| detail.row.amount_sats > policy.above.to_sat());
    let approvals = detail.decisions.iter().filter(|decision| decision.approve).count();
    let missing = asks.map(|policy| usize::from(policy.operators).saturating_sub(approvals));
    json!({
        "required": asks.is_some(),
        "above_sats": policy.map(|policy| policy.above.to_sat()),
        "operators_required": policy.map(|policy| policy.operators),
        "decisions": detail.decisions.iter().map(decision).collect::<Vec<_>>(),
        "missing": missing.unwrap_or(0),
    })
}

fn decision(decision: &DecisionRow) -> Value {
    json!({
        "node_id": decision.node.get(),
        "operator": decision.operator,
        "approve": decision.approve,
        "comment": decision.comment,
        "signature": decision.signature,
        "at": shown(decision.decided_at),
    })
}

/// A moment of another node's clock; `null` if no calendar has it.
fn shown(at: Timestamp) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800_000;
    (at.0 < YEAR_10000).then(|| rfc3339(at))
}
