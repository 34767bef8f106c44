//! What this node has learned and done, as its journal has it.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{problem::Problem, query::Parameters, schema::Page, state::ApiState};
use crate::{read::AuditRow, units::rfc3339};

/// A fact of this node's journal.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEvent {
    /// Its place in the journal.
    position: i64,
    #[schema(examples(
        "transaction_proposed",
        "vote_received",
        "state_changed",
        "violation_detected",
        "node_banned"
    ))]
    event_type: String,
    /// Whose act it was; this node's own if nobody else's.
    node_id: u16,
    /// The payment concerned.
    #[schema(required)]
    txid: Option<String>,
    /// By type of event.
    details: Map<String, Value>,
    /// When this node learned it.
    #[schema(format = DateTime)]
    timestamp: String,
}

/// Lists what this node has learned and done, newest first
///
/// Every node has a trail of its own; the cluster's, chained by hashes, is in PostgreSQL (`mpc-wallet-cli audit verify`).
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "cluster",
    params(
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 200, description = "Most items; 50 if not given."),
        ("cursor" = Option<i64>, Query, description = "A `next_cursor` of this list."),
    ),
    responses((status = 200, description = "One page.", body = Page<AuditEvent>)),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Page<AuditEvent>>, Problem> {
    let page = parameters.page()?;
    parameters.finish()?;
    let (overview, _) = state.present();
    let mut rows = state.read(|queries| queries.audit(overview.me, page.before, page.probe()))?;
    let next_cursor = page.cut(&mut rows, |row| row.sequence);
    Ok(Json(Page { items: rows.into_iter().map(event).collect(), next_cursor }))
}

fn event(row: AuditRow) -> AuditEvent {
    AuditEvent {
        position: row.sequence,
        event_type: row.event.to_owned(),
        node_id: row.node.get(),
        txid: row.txid,
        details: row.details,
        timestamp: rfc3339(row.at),
    }
}
