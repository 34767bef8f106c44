//! Probes. Alive is not ready: an outage elsewhere must not make anybody restart this node.

use axum::{Json, extract::State, http::StatusCode};
use mpc_wallet_core::{Millis, Timestamp, overview::Overview};
use serde_json::{Value, json};

use super::{
    cluster::{VERSION, is_stale},
    freeze,
    state::ApiState,
};
use crate::{
    etcd::EtcdHealth,
    postgres::{Condition, Report},
    units::rfc3339,
};

/// A driver that has shown nothing for so long is stuck; it speaks several times a second.
const DRIVER_SILENCE: Millis = Millis(10_000);

/// `GET /health`: the process answers. `degraded` tells of something that heals by itself or waits for a person; the
/// status code stays 200, for a restart would mend neither.
pub(super) async fn alive(State(state): State<ApiState>) -> Json<Value> {
    let (overview, now) = state.present();
    let record = record(&state, &overview);
    let degraded = degraded(&state, &overview, record.as_ref());
    let document = json!({
        "status": if degraded.is_empty() { "healthy" } else { "degraded" },
        "timestamp": rfc3339(now),
        "version": VERSION,
        "node_id": overview.me.get(),
        "degraded": degraded,
    });
    Json(with_record(document, record.as_ref()))
}

/// What is wrong around the node, a sentence each. The cluster's payments go on all the same, unless it is frozen.
fn degraded(state: &ApiState, overview: &Overview, record: Option<&Report>) -> Vec<String> {
    let mut notes = state.options().etcd.as_ref().map(EtcdHealth::notes).unwrap_or_default();
    notes.extend(state.options().certificates.iter().flat_map(|certificates| certificates.report().notes));
    notes.extend(
        record.filter(|record| record.condition != Condition::Up).map(|record| record.detail.clone()),
    );
    notes.extend(overview.freezes.iter().map(|active| freeze::sentence(active, overview.threshold)));
    notes
}

/// How the cluster's record is, on a node that feeds one.
fn record(state: &ApiState, overview: &Overview) -> Option<Report> {
    state.options().postgres.as_ref().map(|status| status.report(overview.position))
}

fn with_record(mut document: Value, record: Option<&Report>) -> Value {
    if let (Some(record), Value::Object(members)) = (record, &mut document) {
        let postgres = json!({
            "status": record.condition.name(),
            "detail": record.detail,
            "records_waiting": record.waiting,
            "away_seconds": record.away.as_secs(),
        });
        members.insert("postgres".to_owned(), postgres);
    }
    document
}

/// `GET /health/ready`: a payment posted now could be signed. 503 if not, with what is missing. What is `degraded` stops
/// no payment.
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Value>) {
    let (overview, now) = state.present();
    let components = components(&overview, now);
    let ready = components.iter().all(|component| component.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let listed: serde_json::Map<_, _> = components
        .into_iter()
        .map(|component| {
            (component.name.to_owned(), json!({ "ok": component.ok, "detail": component.detail }))
        })
        .collect();
    let record = record(&state, &overview);
    let document = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "timestamp": rfc3339(now),
        "version": VERSION,
        "node_id": overview.me.get(),
        "components": listed,
        "degraded": degraded(&state, &overview, record.as_ref()),
    });
    // Beside the components, not among them: no payment waits for the record.
    (status, Json(with_record(document, record.as_ref())))
}

struct Component {
    name: &'static str,
    ok: bool,
    detail: String,
}

fn components(overview: &Overview, now: Timestamp) -> [Component; 6] {
    let silence = now.since(overview.now);
    let chain = overview.chain.as_ref().map_or_else(
        || "the chain backend has not answered yet".to_owned(),
        |chain| format!("height {}, seen {} s ago", chain.tip.height, now.since(chain.as_of).0 / 1_000),
    );
    let keys: Vec<_> = overview.wallets.iter().map(|wallet| wallet.key.to_string()).collect();
    [
        Component {
            name: "driver",
            ok: silence <= DRIVER_SILENCE,
            detail: format!("last step {} s ago", silence.0 / 1_000),
        },
        Component {
            name: "standing",
            ok: overview.standing.is_sound(),
            detail: overview.standing.name().to_owned(),
        },
        Component {
            name: "quorum",
            ok: overview.has_quorum(),
            detail: format!(
                "{} of {} nodes online, {} needed",
                overview.online, overview.total, overview.threshold
            ),
        },
        Component {
            name: "key",
            ok: !keys.is_empty(),
            detail: if keys.is_empty() { "no key yet".to_owned() } else { keys.join(", ") },
        },
        Component { name: "chain", ok: !is_stale(overview, now), detail: chain },
        Component {
            name: "freeze",
            ok: overview.freezes.is_empty(),
            detail: overview.freezes.first().map_or_else(
                || "nobody has frozen the cluster".to_owned(),
                |first| freeze::sentence(first, overview.threshold),
            ),
        },
    ]
}
