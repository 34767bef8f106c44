//! The cluster as this node sees it.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use mpc_wallet_core::{
    Timestamp,
    overview::{ChainTip, MemberView, Overview, StandingView},
};
use serde_json::{Map, Value, json};

use super::{
    freeze,
    problem::Problem,
    query::Parameters,
    state::ApiState,
    wallet::{public_key, receive_address},
};
use crate::{
    config::network_name,
    units::{fee_rate_to_decimal, rfc3339, rfc3339_of_unix},
};

/// This software's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /api/v1/cluster/status`. `healthy`: a payment posted now would go through. `consensus_reached`: enough
/// members are here to decide anything. `frozen`: nothing can be signed; `frozen_because` tells whether an `operator` has
/// stopped it, which `freezes` has more on, or there is `no_quorum`.
pub(super) async fn status(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    parameters.finish()?;
    Ok(Json(document(&state)))
}

/// The status as it is now.
pub(super) fn document(state: &ApiState) -> Value {
    let (overview, now) = state.present();
    let network = state.options().network;
    let frozen = freeze::cause(&overview);
    let quorum = overview.has_quorum();
    let keys: Vec<_> = overview
        .wallets
        .iter()
        .map(|wallet| {
            json!({
                "key": wallet.key.to_string(),
                "type": wallet.scheme().to_string(),
                "epoch": wallet.key.epoch,
                "public_key": public_key(wallet),
                "address": receive_address(wallet, network).to_string(),
            })
        })
        .collect();
    json!({
        "healthy": frozen.is_none() && !overview.wallets.is_empty() && !is_stale(&overview, now),
        "node_id": overview.me.get(),
        "network": network_name(network),
        "total_nodes": overview.total,
        "online_nodes": overview.online,
        "threshold": overview.threshold,
        "faults_tolerated": overview.faults_tolerated,
        "consensus_reached": quorum,
        "quorum_margin": i32::from(overview.online) - i32::from(overview.threshold),
        "frozen": frozen.is_some(),
        "frozen_because": frozen,
        "freezes": overview
            .freezes
            .iter()
            .map(|active| freeze::document(active, overview.threshold))
            .collect::<Vec<_>>(),
        "coordinator": overview.coordinator.map(|node| node.get()),
        "coordination": coordination(&overview),
        "versions": versions(&overview),
        "policy_version": overview.policy.to_string(),
        "keys": keys,
        "chain": overview.chain.as_ref().map(chain),
        "chain_stale": is_stale(&overview, now),
        "open_transactions": overview.open_transactions,
        "signing_sessions": overview.sessions,
        "journal_position": overview.position.0,
        "standing": standing(overview.standing),
    })
}

/// What makes the coordinator one: a lease in etcd with its fencing epoch, or the rule that the lowest live node does it.
fn coordination(overview: &Overview) -> Value {
    match overview.lease {
        Some(lease) => json!({ "by": "lease", "epoch": lease.epoch.0 }),
        None => json!({ "by": "embedded_rule" }),
    }
}

/// Whether the node takes part, and if not, how many peers have told it what they saw of it.
fn standing(standing: StandingView) -> Value {
    match standing {
        StandingView::Sound => json!({ "name": standing.name() }),
        StandingView::Confirming { told, needed } | StandingView::Quarantined { told, needed } => {
            json!({ "name": standing.name(), "peers_told": told, "peers_needed": needed })
        }
    }
}

/// Software version → members that run it.
fn versions(overview: &Overview) -> BTreeMap<&str, u32> {
    let mut versions = BTreeMap::new();
    for version in overview.members.iter().filter_map(|member| version_of(member, overview)) {
        *versions.entry(version).or_insert(0) += 1;
    }
    versions
}

fn version_of<'a>(member: &'a MemberView, overview: &Overview) -> Option<&'a str> {
    if member.node == overview.me { Some(VERSION) } else { member.version.as_deref() }
}

/// `GET /api/v1/cluster/nodes`
pub(super) async fn nodes(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    parameters.finish()?;
    let (overview, now) = state.present();
    let certificates = state.options().certificates.as_ref().map(|certificates| certificates.report());
    let nodes: Vec<_> = overview
        .members
        .iter()
        .map(|member| {
            let end = certificates.as_ref().and_then(|report| report.end_of(member.node));
            node(member, &overview, now, end)
        })
        .collect();
    Ok(Json(json!({
        "total_nodes": overview.total,
        "online_nodes": overview.online,
        "threshold": overview.threshold,
        "nodes": nodes,
    })))
}

/// One member; `certificate_end` is that of the certificate which it has shown, in unix seconds.
fn node(member: &MemberView, overview: &Overview, now: Timestamp, certificate_end: Option<i64>) -> Value {
    // A node hears itself at every moment.
    let heard = if member.node == overview.me { Some(now) } else { member.last_heartbeat };
    json!({
        "node_id": member.node.get(),
        "name": member.node.to_string(),
        "status": member.status.name(),
        "is_self": member.node == overview.me,
        "is_coordinator": overview.coordinator == Some(member.node),
        "last_heartbeat": heard.map(rfc3339),
        "seconds_since_heartbeat": heard.map(|moment| now.since(moment).0 / 1_000),
        "total_votes": member.total_votes,
        "total_violations": member.total_violations,
        "banned_until": member.banned_until.map(rfc3339),
        "version": version_of(member, overview),
        "tip_height": member.tip_height,
        "policy_version": member.policy.map(|policy| policy.to_string()),
        "certificate_expires_at": certificate_end.map(rfc3339_of_unix),
    })
}

/// The best block, and what the backend thinks a transaction must pay: target in blocks → sat/vB. It may have gaps, or
/// nothing at all.
fn chain(chain: &ChainTip) -> Value {
    let estimates: Map<_, _> = chain
        .fee_estimates
        .iter()
        .filter_map(|(target, rate)| {
            let rate = fee_rate_to_decimal(*rate).parse::<serde_json::Number>().ok()?;
            Some((target.to_string(), Value::Number(rate)))
        })
        .collect();
    let mut document = tip(chain);
    if let Value::Object(members) = &mut document {
        members.insert("fee_estimates".to_owned(), Value::Object(estimates));
    }
    document
}

/// The best block, and when it was last heard of.
pub(super) fn tip(chain: &ChainTip) -> Value {
    json!({
        "height": chain.tip.height,
        "hash": chain.tip.hash.to_string(),
        "time": rfc3339(Timestamp(chain.tip_time.saturating_mul(1_000))),
        "observed_at": rfc3339(chain.as_of),
    })
}

/// Whether the view of the chain is too old to approve anything on.
pub(super) fn is_stale(overview: &Overview, now: Timestamp) -> bool {
    overview.chain.as_ref().is_none_or(|chain| now.since(chain.as_of) > chain.stale_after)
}
