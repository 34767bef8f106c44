//! People's decisions on payments: made here, and shown.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use bitcoin::Txid;
use mpc_wallet_core::{
    Timestamp, policy,
    step::{Command, DecisionRequest, Outcome},
    vote::MAX_COMMENT_BYTES,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoResponses, ToSchema};

use super::{
    access::Caller,
    body::{Fields, invalid},
    problem::Problem,
    query::parse_txid,
    state::ApiState,
    transactions::{self, Shown},
};
use crate::{
    read::{DecisionRow, TransactionDetail},
    units::rfc3339,
};

/// What people have to say about a payment.
#[derive(Serialize, ToSchema)]
pub(super) struct Approval {
    /// Whether this node's policy asks people about it.
    required: bool,
    /// Payments above this wait for people; `null` where the policy never asks.
    #[schema(required)]
    above_sats: Option<u64>,
    /// Nodes at which an operator must approve.
    #[schema(required)]
    operators_required: Option<u16>,
    decisions: Vec<Decision>,
    /// So many more must approve.
    missing: usize,
}

/// What an operator decided at a node, which has signed it.
#[derive(Serialize, ToSchema)]
struct Decision {
    node_id: u16,
    /// Name of the API key; `null` where none was asked for.
    #[schema(required)]
    operator: Option<String>,
    approve: bool,
    #[schema(required)]
    comment: Option<String>,
    /// BIP-340, hexadecimal digits.
    signature: String,
    /// By that node's clock.
    #[schema(required, format = DateTime)]
    at: Option<String>,
}

/// What goes with a decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the schema of what `comment` takes")]
struct Comment {
    /// For the audit trail; at most 256 bytes.
    comment: Option<String>,
}

/// A decision as it comes: by whom, on which payment, and what goes with it.
type Asked = (State<ApiState>, Caller, Path<String>, HeaderMap, Body);

/// Why a decision is refused.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "the description of what `decide` refuses")]
enum NotKept {
    #[response(status = 404, description = "No payment of this cluster, as far as this node knows.")]
    Unknown,
    #[response(
        status = 409,
        description = "No person is asked, the vote is over, or this node has decided already."
    )]
    Refused,
}

/// Approves a payment that waits for people
///
/// The decision is this node's, signed, and final. Who posted a payment at this node does not approve it here.
#[utoipa::path(
    post,
    path = "/api/v1/transactions/{txid}/approve",
    tag = "transactions",
    params(("txid" = String, Path, pattern = "^[0-9a-fA-F]{64}$")),
    request_body = Option<Comment>,
    responses((status = 200, description = "It is on disk.", body = Shown), NotKept),
)]
pub(super) async fn approve(asked: Asked) -> Result<Json<Shown>, Problem> {
    decide(asked, true).await
}

/// Rejects a payment that waits for people
///
/// One refusal ends it at every node that asks people. The decision is this node's, signed, and final.
#[utoipa::path(
    post,
    path = "/api/v1/transactions/{txid}/reject",
    tag = "transactions",
    params(("txid" = String, Path, pattern = "^[0-9a-fA-F]{64}$")),
    request_body = Option<Comment>,
    responses((status = 200, description = "It is on disk.", body = Shown), NotKept),
)]
pub(super) async fn reject(asked: Asked) -> Result<Json<Shown>, Problem> {
    decide(asked, false).await
}

async fn decide(
    (State(state), Caller(operator), Path(txid), headers, body): Asked,
    approve: bool,
) -> Result<Json<Shown>, Problem> {
    let canonical = parse_txid(&txid)?;
    let txid: Txid = canonical.parse().map_err(|_| Problem::internal())?;
    let comment = comment(&headers, body, state.options().body_limit).await?;
    let request = DecisionRequest { txid, approve, operator, comment };
    let Outcome::Decided { .. } = state.ask(Command::Decide(request)).await? else {
        return Err(Problem::internal());
    };
    Ok(Json(transactions::show_or_name(&state, canonical)))
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

impl Approval {
    /// Whether this node's policy asks people about a transaction, and what they have said.
    pub(super) fn of(detail: &TransactionDetail, policy: Option<&policy::Approval>) -> Self {
        let asks = policy.filter(|policy| detail.row.amount_sats > policy.above.to_sat());
        let approvals = detail.decisions.iter().filter(|decision| decision.approve).count();
        let missing = asks.map(|policy| usize::from(policy.operators).saturating_sub(approvals));
        Self {
            required: asks.is_some(),
            above_sats: policy.map(|policy| policy.above.to_sat()),
            operators_required: policy.map(|policy| policy.operators),
            decisions: detail.decisions.iter().map(decision).collect(),
            missing: missing.unwrap_or(0),
        }
    }
}

fn decision(decision: &DecisionRow) -> Decision {
    Decision {
        node_id: decision.node.get(),
        operator: decision.operator.clone(),
        approve: decision.approve,
        comment: decision.comment.clone(),
        signature: decision.signature.clone(),
        at: shown(decision.decided_at),
    }
}

/// A moment of another node's clock; `null` if no calendar has it.
fn shown(at: Timestamp) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800_000;
    (at.0 < YEAR_10000).then(|| rfc3339(at))
}
