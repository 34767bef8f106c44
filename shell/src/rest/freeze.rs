//! The emergency freeze: stop all signing at once, and lift that again.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use mpc_wallet_core::{
    NodeId, Timestamp,
    freeze::{MAX_REASON, WordsError, check_reason},
    overview::{FreezeView, Overview},
    step::{Command, Outcome},
};
use serde_json::{Value, json};

use super::{
    body::{Fields, invalid},
    cluster,
    problem::Problem,
    state::ApiState,
};
use crate::{access::Grant, units::rfc3339};

/// Who is named where the node asks nobody for a key.
const NOBODY_KNOWN: &str = "unauthenticated";

/// `POST /api/v1/cluster/freeze`: this node signs nothing any more, and tells the others. The answer is the status of the
/// cluster; when it comes the freeze is on this node's disk.
pub(super) async fn freeze(
    State(state): State<ApiState>,
    grant: Option<Extension<Grant>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let fields = Fields::read(&headers, body, state.options().body_limit).await?;
    let command = Command::Freeze { operator: operator(grant), reason: read_reason(fields)? };
    carry_out(&state, command).await
}

/// `POST /api/v1/cluster/lift`: this node lifts every freeze that it knows. Each is over when t nodes have lifted it.
pub(super) async fn lift(
    State(state): State<ApiState>,
    grant: Option<Extension<Grant>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let fields = Fields::read_if_any(&headers, body, state.options().body_limit).await?;
    if let Some(problem) = Problem::merge(fields.unknown("none").collect()) {
        return Err(problem);
    }
    carry_out(&state, Command::Lift { operator: operator(grant) }).await
}

async fn carry_out(state: &ApiState, command: Command) -> Result<Json<Value>, Problem> {
    match state.node().command(command).await? {
        Outcome::Frozen { .. } | Outcome::Lifted { .. } => Ok(Json(cluster::document(state))),
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Proposed { .. } | Outcome::KeygenStarted { .. } | Outcome::PresigningOrdered { .. } => {
            Err(Problem::internal())
        }
    }
}

fn operator(grant: Option<Extension<Grant>>) -> String {
    grant.map_or_else(|| NOBODY_KNOWN.to_owned(), |Extension(grant)| grant.name)
}

/// The one field of a freeze.
fn read_reason(mut fields: Fields) -> Result<String, Problem> {
    let reason = match fields.take("reason") {
        None => Err(format!("is required: say in 1 to {MAX_REASON} bytes why signing has to stop")),
        Some(Value::String(reason)) => match check_reason(&reason) {
            Ok(()) => Ok(reason),
            Err(error) => Err(format!("is not kept: {error}")),
        },
        Some(other) => Err(format!("must be a text; {other} is not")),
    };
    let reason = reason.map_err(|message| invalid("/reason", message));
    let problems = fields.unknown("reason").chain(reason.as_ref().err().cloned()).collect();
    Problem::merge(problems).map_or(reason, Err)
}

/// What cannot be frozen or lifted, as a problem.
pub(super) fn words(error: &WordsError) -> Problem {
    let pointer = match error {
        WordsError::Reason { .. } | WordsError::ReasonUnprintable => "/reason",
        WordsError::Operator { .. } => "Authorization",
    };
    invalid(pointer, error.to_string())
}

/// A payment that is refused because of a freeze: who, when and why.
pub(super) fn frozen(node: NodeId, operator: &str, reason: &str, at: Timestamp, needed: u16) -> Problem {
    let detail = format!(
        "The cluster is frozen by {operator} at {node} since {}: {reason}. Nothing is signed until {needed} nodes lift it.",
        rfc3339(at)
    );
    Problem::new(StatusCode::CONFLICT, "cluster_frozen", detail)
        .with("node_id", node.get())
        .with("operator", operator)
        .with("reason", reason)
        .with("frozen_at", rfc3339(at))
        .with("lifts_needed", needed)
}

/// Why nothing can be signed, if so: a person stopped it, or too few members are here.
pub(super) fn cause(overview: &Overview) -> Option<&'static str> {
    if overview.freezes.is_empty() {
        (!overview.has_quorum()).then_some("no_quorum")
    } else {
        Some("operator")
    }
}

/// A freeze that is not lifted, for documents. `lifts_needed` is how many nodes must lift it in all.
pub(super) fn document(freeze: &FreezeView, threshold: u16) -> Value {
    json!({
        "id": freeze.id.to_string(),
        "node_id": freeze.node.get(),
        "operator": freeze.operator,
        "reason": freeze.reason,
        "at": rfc3339(freeze.at),
        "lifted_by": freeze.lifted_by.iter().map(|node| node.get()).collect::<Vec<_>>(),
        "lifts_needed": threshold,
    })
}

/// A freeze in one sentence, for probes.
pub(super) fn sentence(freeze: &FreezeView, threshold: u16) -> String {
    let FreezeView { node, operator, reason, at, lifted_by, .. } = freeze;
    format!(
        "{operator} has frozen the cluster at {node} ({}): {reason}; {} of {threshold} nodes have lifted it",
        rfc3339(*at),
        lifted_by.len()
    )
}
