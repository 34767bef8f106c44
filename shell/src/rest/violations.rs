//! What members did wrong, newest first.

use axum::{Json, extract::State};
use bitcoin::hex::DisplayHex;
use serde_json::{Value, json};

use super::{problem::Problem, query::Parameters, state::ApiState};
use crate::{read::ViolationRow, units::rfc3339};

/// `GET /api/v1/violations`
pub(super) async fn list(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let page = parameters.page()?;
    parameters.finish()?;
    let mut rows = state.read(move |queries| queries.violations(page.before, page.probe())).await?;
    let next_cursor = page.cut(&mut rows, |row| row.sequence);
    Ok(Json(json!({ "items": rows.iter().map(violation).collect::<Vec<_>>(), "next_cursor": next_cursor })))
}

fn violation(row: &ViolationRow) -> Value {
    json!({
        "node_id": row.node.get(),
        "violation_type": row.violation,
        "txid": row.txid,
        "detail": row.detail,
        "evidence": row.evidence.as_ref().map(|bytes| bytes.to_lower_hex_string()),
        "detected_at": rfc3339(row.detected_at),
    })
}
