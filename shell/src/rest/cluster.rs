//! The cluster as this node sees it.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bitcoin::Network;
use mpc_wallet_core::{
    Timestamp,
    overview::{ChainTip, MemberView, Overview, StandingView, WalletView},
};
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::{
    freeze::{self, Freeze},
    problem::Problem,
    query::Parameters,
    schema::{MemberStatusName, StandingName, WalletType},
    state::ApiState,
    wallet::{public_key, receive_address},
};
use crate::{
    config::network_name,
    units::{fee_rate_to_decimal, rfc3339, rfc3339_of_unix},
};

/// This software's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The cluster as this node sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct ClusterStatus {
    /// Whether a payment posted now would go through.
    healthy: bool,
    /// The node that answers.
    node_id: u16,
    network: &'static str,
    total_nodes: u16,
    online_nodes: u16,
    /// So many members must approve, and so many sign.
    threshold: u16,
    /// So many members may lie without harm.
    faults_tolerated: u16,
    /// Whether enough members are here to decide anything.
    consensus_reached: bool,
    /// Members beyond the threshold; negative below it.
    quorum_margin: i32,
    /// Whether nothing can be signed.
    frozen: bool,
    /// `operator`: a person stopped it, and `freezes` has more on that; `no_quorum`: too few members are here.
    #[schema(required, value_type = Option<String>, pattern = "^(operator|no_quorum)$")]
    frozen_because: Option<&'static str>,
    /// What stops signing and is not lifted.
    freezes: Vec<Freeze>,
    /// Who gives out coins and chooses signers.
    #[schema(required)]
    coordinator: Option<u16>,
    coordination: Coordination,
    /// Software version → members that run it.
    versions: BTreeMap<String, u32>,
    /// Digest of this node's policy.
    policy_version: String,
    /// Keys that can sign.
    keys: Vec<Key>,
    /// `null` before the chain backend's first answer.
    #[schema(required)]
    chain: Option<Chain>,
    /// Whether that answer is too old to approve anything on.
    chain_stale: bool,
    /// Payments that have not ended.
    open_transactions: usize,
    signing_sessions: usize,
    /// Facts in this node's journal.
    journal_position: u64,
    standing: Standing,
}

/// A key that can sign.
#[derive(Serialize, ToSchema)]
struct Key {
    key: String,
    r#type: WalletType,
    epoch: u32,
    /// Before any tweak, hexadecimal digits.
    public_key: String,
    address: String,
}

/// What makes the coordinator one.
#[derive(Serialize, ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Coordination {
    /// A lease in etcd, with its fencing epoch.
    Lease {
        /// Grows with each lease.
        epoch: u64,
    },
    /// The lowest live node is it.
    EmbeddedRule,
}

/// Whether a node takes part, and if not, how many peers have told it what they saw of it.
#[derive(Serialize, ToSchema)]
struct Standing {
    name: StandingName,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers_told: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers_needed: Option<usize>,
}

/// The best block, and when it was last heard of.
#[derive(Serialize, ToSchema)]
pub(super) struct Tip {
    height: u32,
    hash: String,
    /// In its header.
    #[schema(format = DateTime)]
    time: String,
    #[schema(format = DateTime)]
    observed_at: String,
}

/// The chain.
#[derive(Serialize, ToSchema)]
struct Chain {
    #[serde(flatten)]
    tip: Tip,
    /// What the backend thinks a transaction must pay: target in blocks → sat/vB. It may have gaps, or nothing at all.
    #[schema(value_type = BTreeMap<String, f64>)]
    fee_estimates: BTreeMap<String, Number>,
}

/// All members as this node sees them.
#[derive(Serialize, ToSchema)]
pub(super) struct Nodes {
    total_nodes: u16,
    online_nodes: u16,
    threshold: u16,
    nodes: Vec<Member>,
}

/// One member.
#[derive(Serialize, ToSchema)]
struct Member {
    node_id: u16,
    name: String,
    status: MemberStatusName,
    is_self: bool,
    is_coordinator: bool,
    #[schema(required, format = DateTime)]
    last_heartbeat: Option<String>,
    #[schema(required)]
    seconds_since_heartbeat: Option<u64>,
    total_votes: u64,
    total_violations: u64,
    #[schema(required, format = DateTime)]
    banned_until: Option<String>,
    #[schema(required)]
    version: Option<String>,
    #[schema(required)]
    tip_height: Option<u32>,
    #[schema(required)]
    policy_version: Option<String>,
    /// End of the certificate that it has shown.
    #[schema(required, format = DateTime)]
    certificate_expires_at: Option<String>,
    /// Its clock against this node's at its last heartbeat, in ms; the way of the heartbeat counts as behind.
    #[schema(required)]
    clock_ahead_ms: Option<i64>,
}

/// Shows how the cluster is
#[utoipa::path(
    get,
    path = "/api/v1/cluster/status",
    tag = "cluster",
    responses((status = 200, description = "The cluster as this node sees it.", body = ClusterStatus)),
)]
pub(super) async fn status(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<ClusterStatus>, Problem> {
    parameters.finish()?;
    Ok(Json(document(&state)))
}

/// The status as it is now.
pub(super) fn document(state: &ApiState) -> ClusterStatus {
    let (overview, now) = state.present();
    let network = state.options().network;
    let frozen = freeze::cause(&overview);
    let quorum = overview.has_quorum();
    ClusterStatus {
        healthy: frozen.is_none() && !overview.wallets.is_empty() && !is_stale(&overview, now),
        node_id: overview.me.get(),
        network: network_name(network),
        total_nodes: overview.total,
        online_nodes: overview.online,
        threshold: overview.threshold,
        faults_tolerated: overview.faults_tolerated,
        consensus_reached: quorum,
        quorum_margin: i32::from(overview.online) - i32::from(overview.threshold),
        frozen: frozen.is_some(),
        frozen_because: frozen,
        freezes: overview.freezes.iter().map(|active| Freeze::of(active, overview.threshold)).collect(),
        coordinator: overview.coordinator.map(|node| node.get()),
        coordination: coordination(&overview),
        versions: versions(&overview),
        policy_version: overview.policy.to_string(),
        keys: overview.wallets.iter().map(|wallet| key(wallet, network)).collect(),
        chain: overview.chain.as_ref().map(chain),
        chain_stale: is_stale(&overview, now),
        open_transactions: overview.open_transactions,
        signing_sessions: overview.sessions,
        journal_position: overview.position.0,
        standing: standing(overview.standing),
    }
}

fn key(wallet: &WalletView, network: Network) -> Key {
    Key {
        key: wallet.key.to_string(),
        r#type: WalletType(wallet.scheme()),
        epoch: wallet.key.epoch,
        public_key: public_key(wallet),
        address: receive_address(wallet, network).to_string(),
    }
}

fn coordination(overview: &Overview) -> Coordination {
    overview.lease.map_or(Coordination::EmbeddedRule, |lease| Coordination::Lease { epoch: lease.epoch.0 })
}

const fn standing(standing: StandingView) -> Standing {
    let (peers_told, peers_needed) = match standing {
        StandingView::Sound => (None, None),
        StandingView::Confirming { told, needed } | StandingView::Quarantined { told, needed } => {
            (Some(told), Some(needed))
        }
    };
    Standing { name: StandingName(standing), peers_told, peers_needed }
}

fn versions(overview: &Overview) -> BTreeMap<String, u32> {
    let mut versions = BTreeMap::new();
    for version in overview.members.iter().filter_map(|member| version_of(member, overview)) {
        *versions.entry(version.to_owned()).or_insert(0) += 1;
    }
    versions
}

fn version_of<'a>(member: &'a MemberView, overview: &Overview) -> Option<&'a str> {
    if member.node == overview.me { Some(VERSION) } else { member.version.as_deref() }
}

/// Lists the members
#[utoipa::path(
    get,
    path = "/api/v1/cluster/nodes",
    tag = "cluster",
    responses((status = 200, description = "All members as this node sees them.", body = Nodes)),
)]
pub(super) async fn nodes(
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Nodes>, Problem> {
    parameters.finish()?;
    let (overview, now) = state.present();
    let certificates = state.options().certificates.as_ref().map(|certificates| certificates.report());
    let nodes = overview
        .members
        .iter()
        .map(|view| {
            let end = certificates.as_ref().and_then(|report| report.end_of(view.node));
            member(view, &overview, now, end)
        })
        .collect();
    Ok(Json(Nodes {
        total_nodes: overview.total,
        online_nodes: overview.online,
        threshold: overview.threshold,
        nodes,
    }))
}

/// One member; `certificate_end` is that of the certificate which it has shown, in unix seconds.
fn member(view: &MemberView, overview: &Overview, now: Timestamp, certificate_end: Option<i64>) -> Member {
    // A node hears itself at every moment.
    let heard = if view.node == overview.me { Some(now) } else { view.last_heartbeat };
    Member {
        node_id: view.node.get(),
        name: view.node.to_string(),
        status: MemberStatusName(view.status),
        is_self: view.node == overview.me,
        is_coordinator: overview.coordinator == Some(view.node),
        last_heartbeat: heard.map(rfc3339),
        seconds_since_heartbeat: heard.map(|moment| now.since(moment).0 / 1_000),
        total_votes: view.total_votes,
        total_violations: view.total_violations,
        banned_until: view.banned_until.map(rfc3339),
        version: version_of(view, overview).map(str::to_owned),
        tip_height: view.tip_height,
        policy_version: view.policy.map(|policy| policy.to_string()),
        certificate_expires_at: certificate_end.map(rfc3339_of_unix),
        clock_ahead_ms: clock_ahead(view, overview),
    }
}

/// How far its clock is ahead of this node's, in ms, as its last heartbeat showed; the way of the heartbeat, usually a few
/// ms, counts as behind.
fn clock_ahead(member: &MemberView, overview: &Overview) -> Option<i64> {
    if member.node == overview.me {
        return Some(0);
    }
    let millis = |moment: Timestamp| i64::try_from(moment.0).unwrap_or(i64::MAX);
    let (clock, heard) = member.clock.zip(member.last_heartbeat)?;
    Some(millis(clock).saturating_sub(millis(heard)))
}

fn chain(chain: &ChainTip) -> Chain {
    let estimate =
        |(target, rate): (&u16, &u64)| Some((target.to_string(), fee_rate_to_decimal(*rate).parse().ok()?));
    Chain { tip: tip(chain), fee_estimates: chain.fee_estimates.iter().filter_map(estimate).collect() }
}

pub(super) fn tip(chain: &ChainTip) -> Tip {
    Tip {
        height: chain.tip.height,
        hash: chain.tip.hash.to_string(),
        time: rfc3339(Timestamp(chain.tip_time.saturating_mul(1_000))),
        observed_at: rfc3339(chain.as_of),
    }
}

/// Whether the view of the chain is too old to approve anything on.
pub(super) fn is_stale(overview: &Overview, now: Timestamp) -> bool {
    overview.chain.as_ref().is_none_or(|chain| now.since(chain.as_of) > chain.stale_after)
}
