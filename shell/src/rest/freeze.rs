//! The emergency freeze: stop all signing at once, and lift that again.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use mpc_wallet_core::{
    NodeId, Timestamp,
    freeze::{MAX_REASON, WordsError, check_reason},
    overview::{FreezeView, Overview},
    step::Command,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    access::Caller,
    body::{Fields, invalid},
    cluster::{self, ClusterStatus},
    problem::Problem,
    state::ApiState,
};
use crate::units::rfc3339;

/// Who is named where the node asks nobody for a key.
const NOBODY_KNOWN: &str = "unauthenticated";

/// A freeze that is not lifted.
#[derive(Serialize, ToSchema)]
pub(super) struct Freeze {
    id: String,
    /// Where it was frozen.
    node_id: u16,
    /// By whom: the name of an API key.
    operator: String,
    reason: String,
    /// By that node's clock.
    #[schema(format = DateTime)]
    at: String,
    /// Nodes that have lifted it.
    lifted_by: Vec<u16>,
    /// So many must, in all.
    lifts_needed: u16,
}

/// Why signing has to stop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the schema of what `read_reason` takes")]
struct NewFreeze {
    /// For all operators and the record: 1 to 256 bytes without control characters.
    #[schema(min_length = 1, max_length = 256)]
    reason: String,
}

/// Nothing is to be said with a lift.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLift {}

/// A freeze or a lift as it comes: by whom, and what goes with it.
type Asked = (State<ApiState>, Caller, HeaderMap, Body);

/// Stops all signing
///
/// This node signs nothing any more, and tells the others. When the answer comes the freeze is on this node's disk.
#[utoipa::path(
    post,
    path = "/api/v1/cluster/freeze",
    tag = "cluster",
    request_body = NewFreeze,
    responses(
        (status = 200, description = "The cluster as it is now.", body = ClusterStatus),
        (status = 409, description = "This node's freeze is active already."),
    ),
)]
pub(super) async fn freeze(asked: Asked) -> Result<Json<ClusterStatus>, Problem> {
    let (State(state), caller, headers, body) = asked;
    let fields = Fields::read(&headers, body, state.options().body_limit).await?;
    let command = Command::Freeze { operator: operator(caller), reason: read_reason(fields)? };
    carry_out(&state, command).await
}

/// Lifts every freeze that this node knows, for this node
///
/// Each is over when as many nodes as the threshold have lifted it.
#[utoipa::path(
    post,
    path = "/api/v1/cluster/lift",
    tag = "cluster",
    request_body = Option<NewLift>,
    responses(
        (status = 200, description = "The cluster as it is now.", body = ClusterStatus),
        (status = 409, description = "Nothing is frozen, as far as this node knows."),
    ),
)]
pub(super) async fn lift(asked: Asked) -> Result<Json<ClusterStatus>, Problem> {
    let (State(state), caller, headers, body) = asked;
    let fields = Fields::read_if_any(&headers, body, state.options().body_limit).await?;
    if let Some(problem) = Problem::merge(fields.unknown("none").collect()) {
        return Err(problem);
    }
    carry_out(&state, Command::Lift { operator: operator(caller) }).await
}

async fn carry_out(state: &ApiState, command: Command) -> Result<Json<ClusterStatus>, Problem> {
    state.ask(command).await?;
    Ok(Json(cluster::document(state)))
}

fn operator(Caller(name): Caller) -> String {
    name.unwrap_or_else(|| NOBODY_KNOWN.to_owned())
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

impl Freeze {
    pub(super) fn of(freeze: &FreezeView, threshold: u16) -> Self {
        Self {
            id: freeze.id.to_string(),
            node_id: freeze.node.get(),
            operator: freeze.operator.clone(),
            reason: freeze.reason.clone(),
            at: rfc3339(freeze.at),
            lifted_by: freeze.lifted_by.iter().map(|node| node.get()).collect(),
            lifts_needed: threshold,
        }
    }
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
