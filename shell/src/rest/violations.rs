//! What members did wrong, newest first.

use axum::{Json, extract::State};
use bitcoin::hex::DisplayHex;
use serde::Serialize;
use utoipa::ToSchema;

use super::{problem::Problem, query::Parameters, schema::Page, state::ApiState};
use crate::{read::ViolationRow, units::rfc3339};

/// What a member did wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct Violation {
    /// Who.
    node_id: u16,
    #[schema(examples("double_vote", "invalid_signature", "protocol_violation", "timeout"))]
    violation_type: String,
    /// The payment concerned.
    #[schema(required)]
    txid: Option<String>,
    detail: String,
    /// Proof that convinces anybody (`mpc-wallet-cli evidence verify`), hexadecimal digits; `null` if this node alone saw it.
    #[schema(required)]
    evidence: Option<String>,
    #[schema(format = DateTime)]
    detected_at: String,
}

/// Lists what members did wrong, newest first
#[utoipa::path(
    get,
    path = "/api/v1/violations",
    tag = "cluster",
    params(
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 200, description = "Most items; 50 if not given."),
        ("cursor" = Option<i64>, Query, description = "A `next_cursor` of this list."),
    ),
    responses((status = 200, description = "One page.", body = Page<Violation>)),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Page<Violation>>, Problem> {
    let page = parameters.page()?;
    parameters.finish()?;
    let mut rows = state.read(|queries| queries.violations(page.before, page.probe()))?;
    let next_cursor = page.cut(&mut rows, |row| row.sequence);
    Ok(Json(Page { items: rows.iter().map(violation).collect(), next_cursor }))
}

fn violation(row: &ViolationRow) -> Violation {
    Violation {
        node_id: row.node.get(),
        violation_type: row.violation.clone(),
        txid: row.txid.clone(),
        detail: row.detail.clone(),
        evidence: row.evidence.as_ref().map(|bytes| bytes.to_lower_hex_string()),
        detected_at: rfc3339(row.detected_at),
    }
}
