//! Probes. Alive is not ready: an outage elsewhere must not make anybody restart this node.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use mpc_wallet_core::{Millis, Timestamp, overview::Overview};
use serde::Serialize;
use utoipa::ToSchema;

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

/// What probes are told.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy` or `degraded`; of readiness, `ready` or `not_ready`.
    status: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    version: &'static str,
    node_id: u16,
    /// What a payment needs, part by part; of readiness only.
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<BTreeMap<&'static str, ComponentHealth>>,
    /// What is wrong around the node, a sentence each. Payments go on all the same.
    degraded: Vec<String>,
    /// The cluster's record, on a node that feeds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<RecordHealth>,
}

/// One part.
#[derive(Serialize, ToSchema)]
struct ComponentHealth {
    ok: bool,
    detail: String,
}

/// How far PostgreSQL is behind.
#[derive(Serialize, ToSchema)]
struct RecordHealth {
    /// `up`, `degraded` or `down`
    status: &'static str,
    detail: String,
    records_waiting: u64,
    away_seconds: u64,
}

/// Says that the process answers
///
/// `degraded` tells of something that heals by itself or waits for a person; the status code stays 200, for a restart would
/// mend neither.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses((status = 200, description = "It answers.", body = Health)),
)]
pub(super) async fn alive(State(state): State<ApiState>) -> Json<Health> {
    let (overview, now) = state.present();
    let record = record(&state, &overview);
    let degraded = degraded(&state, &overview, record.as_ref());
    Json(Health {
        status: if degraded.is_empty() { "healthy" } else { "degraded" },
        timestamp: rfc3339(now),
        version: VERSION,
        node_id: overview.me.get(),
        components: None,
        degraded,
        postgres: record.as_ref().map(record_health),
    })
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

fn record_health(report: &Report) -> RecordHealth {
    RecordHealth {
        status: report.condition.name(),
        detail: report.detail.clone(),
        records_waiting: report.waiting,
        away_seconds: report.away.as_secs(),
    }
}

/// Says whether a payment posted now could be signed
///
/// What is `degraded` stops no payment: it stands beside the components, not among them.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    responses(
        (status = 200, description = "It could.", body = Health),
        (status = 503, description = "It could not; a component that is not `ok` says why.", body = Health),
    ),
)]
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Health>) {
    let (overview, now) = state.present();
    let components = components(&overview, now);
    let ready = components.iter().all(|component| component.ok);
    let record = record(&state, &overview);
    let document = Health {
        status: if ready { "ready" } else { "not_ready" },
        timestamp: rfc3339(now),
        version: VERSION,
        node_id: overview.me.get(),
        components: Some(
            components
                .into_iter()
                .map(|component| {
                    (component.name, ComponentHealth { ok: component.ok, detail: component.detail })
                })
                .collect(),
        ),
        degraded: degraded(&state, &overview, record.as_ref()),
        postgres: record.as_ref().map(record_health),
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(document))
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
