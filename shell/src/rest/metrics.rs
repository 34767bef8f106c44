//! What Prometheus scrapes: this node's present, and whatever the other adapters registered.

use axum::{
    extract::State,
    http::{HeaderName, header},
};
use mpc_wallet_core::{
    Timestamp,
    overview::{MemberStatus, Overview, StandingView},
    tx::State as TxState,
};
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector};

use super::{cluster::VERSION, problem::Problem, state::ApiState};
use crate::{postgres::Report, quic::CertificateReport};

const TEXT_FORMAT: [(HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Shows what Prometheus scrapes
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus' text format.", content_type = "text/plain", body = String)),
)]
pub(super) async fn scrape(
    State(state): State<ApiState>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let counts = state.read(|queries| queries.counts()).await?;
    let (overview, now) = state.present();
    let record = state.options().postgres.as_ref().map(|status| status.report(overview.position));
    let text = present(&overview, now, &counts).and_then(|registry| {
        if let Some(record) = &record {
            add_record(&registry, record)?;
        }
        if let Some(certificates) = &state.options().certificates {
            add_certificates(&registry, &certificates.report())?;
        }
        let mut families = registry.gather();
        families.extend(state.options().registry.gather());
        TextEncoder::new().encode_to_string(&families)
    });
    match text {
        Ok(text) => Ok((TEXT_FORMAT, text)),
        Err(error) => {
            tracing::error!(%error, "metrics could not be encoded");
            Err(Problem::internal())
        }
    }
}

/// The node's view of the present, made anew for each scrape: it is copied, not counted, so it cannot drift.
fn present(
    overview: &Overview,
    now: Timestamp,
    counts: &[(TxState, u64)],
) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: i64| {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        add(&registry, gauge)
    };
    gauge(
        "mpc_wallet_active_nodes",
        "Members reachable and not banned, this node included.",
        overview.online.into(),
    )?;
    gauge(
        "mpc_wallet_threshold_status",
        "1 if enough members are reachable to sign, else 0.",
        overview.has_quorum().into(),
    )?;
    gauge(
        "mpc_wallet_quarantined",
        "1 while this node recovers because its journal is older than what its peers have seen, else 0.",
        matches!(overview.standing, StandingView::Quarantined { .. }).into(),
    )?;
    gauge(
        "mpc_wallet_frozen",
        "Freezes that are not lifted, as this node knows; while there is one, nothing is signed.",
        whole(overview.freezes.len()),
    )?;
    let banned = overview.members.iter().filter(|member| member.status == MemberStatus::Banned).count();
    gauge("mpc_wallet_banned_nodes", "Members shut out for misbehaviour.", whole(banned))?;
    gauge(
        "mpc_wallet_open_transactions",
        "Transactions that have not ended.",
        whole(overview.open_transactions),
    )?;
    gauge("mpc_wallet_signing_sessions", "Signing sessions under way.", whole(overview.sessions))?;
    if let Some(pool) = &overview.presignatures {
        gauge(
            "mpc_wallet_presignatures_available",
            "Presignatures that a payment could use now; absent without a key that uses any.",
            whole(pool.available()),
        )?;
    }
    if let Some(chain) = &overview.chain {
        gauge("mpc_wallet_chain_tip_height", "Height of the best block.", chain.tip.height.into())?;
        let tip = Timestamp(chain.tip_time.saturating_mul(1_000));
        gauge(
            "mpc_wallet_chain_tip_age_seconds",
            "Seconds since the time in the best block's header.",
            whole(now.since(tip).0 / 1_000),
        )?;
        gauge(
            "mpc_wallet_chain_view_age_seconds",
            "Seconds since the chain backend last answered.",
            whole(now.since(chain.as_of).0 / 1_000),
        )?;
    }
    let transactions = IntGaugeVec::new(
        Opts::new("mpc_wallet_transactions_total", "Transactions this node knows, by state."),
        &["state"],
    )?;
    for state in TxState::ALL {
        let count = counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
        transactions.get_metric_with_label_values(&[state.name()])?.set(whole(count));
    }
    add(&registry, transactions)?;
    let votes = IntCounterVec::new(
        Opts::new("mpc_wallet_votes_total", "Votes counted, by the member that cast them."),
        &["node_id"],
    )?;
    for member in &overview.members {
        let counter = votes.get_metric_with_label_values(&[member.node.get().to_string()])?;
        counter.inc_by(member.total_votes);
    }
    add(&registry, votes)?;
    let build = IntGaugeVec::new(
        Opts::new("mpc_wallet_build_info", "Always 1; the labels tell the software."),
        &["version"],
    )?;
    build.get_metric_with_label_values(&[VERSION])?.set(1);
    add(&registry, build)?;
    Ok(registry)
}

/// How far PostgreSQL is behind; absent on a node that feeds none.
fn add_record(registry: &Registry, record: &Report) -> Result<(), prometheus::Error> {
    for (name, help, value) in [
        ("mpc_wallet_postgres_connections", "Open connections to PostgreSQL.", whole(record.connections)),
        (
            "mpc_wallet_postgres_outbox_records",
            "Records of the journal that are not in PostgreSQL yet.",
            whole(record.waiting),
        ),
        (
            "mpc_wallet_postgres_away_seconds",
            "Seconds since facts could last be written to PostgreSQL; 0 while they can.",
            whole(record.away.as_secs()),
        ),
    ] {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        add(registry, gauge)?;
    }
    Ok(())
}

/// When certificates end, and how often new ones were taken or refused.
fn add_certificates(registry: &Registry, report: &CertificateReport) -> Result<(), prometheus::Error> {
    let expiry = IntGaugeVec::new(
        Opts::new(
            "mpc_wallet_certificate_expiry_timestamp_seconds",
            "End of a certificate in unix seconds: own, of the CA that ends first, of each connected peer's connection.",
        ),
        &["which", "node"],
    )?;
    let own = report.me.get().to_string();
    expiry.get_metric_with_label_values(&["own", &own])?.set(report.own);
    expiry.get_metric_with_label_values(&["ca", ""])?.set(report.ca);
    for (peer, end) in &report.peers {
        expiry.get_metric_with_label_values(&["peer", &peer.get().to_string()])?.set(*end);
    }
    add(registry, expiry)?;
    let reloads = IntCounterVec::new(
        Opts::new(
            "mpc_wallet_certificate_reloads_total",
            "Times that new certificate files were found, by what came of it.",
        ),
        &["result"],
    )?;
    reloads.get_metric_with_label_values(&["taken"])?.inc_by(report.taken);
    reloads.get_metric_with_label_values(&["refused"])?.inc_by(report.refused);
    add(registry, reloads)
}

fn add(registry: &Registry, metric: impl Collector + 'static) -> Result<(), prometheus::Error> {
    registry.register(Box::new(metric))
}

fn whole(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
