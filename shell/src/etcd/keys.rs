//! Names and values in etcd, as operators read them with etcdctl. Values are JSON without secrets.

use bitcoin::Txid;
use mpc_wallet_core::{Cluster, NodeId, overview::Overview, tx::State};
use serde_json::{Value, json};

use crate::{
    config::network_name,
    read::{TransactionDetail, VoteRow},
    units::rfc3339,
};

/// Who coordinates; its revision is the fencing epoch.
pub(super) const COORDINATOR: &str = "/mpc/coordinator";

/// Who belongs to the cluster.
pub(super) const MANIFEST: &str = "/mpc/cluster/manifest";

/// What both of these begin with, and nothing that is written often.
pub(super) const WATCHED: &str = "/mpc/c";

pub(super) fn node(node: NodeId) -> String {
    format!("/mpc/nodes/{}", node.get())
}

pub(super) fn vote(txid: &Txid, node: NodeId) -> String {
    format!("/mpc/votes/{txid}/{}", node.get())
}

pub(super) fn state(txid: &Txid) -> String {
    format!("/mpc/tx/{txid}/state")
}

pub(super) fn coordinator_value(holder: NodeId) -> String {
    json!({ "node_id": holder.get() }).to_string()
}

/// The member that a coordinator's value names; `None` for anything else that stands there.
pub(super) fn parse_coordinator(value: &[u8], cluster: &Cluster) -> Option<NodeId> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let number = u16::try_from(value.get("node_id")?.as_u64()?).ok()?;
    cluster.members().find(|member| member.get() == number)
}

/// What names the cluster. Addresses do not: members may reach each other by different ones.
pub(super) fn manifest_value(cluster: &Cluster) -> Value {
    let members: Vec<Value> = cluster
        .members()
        .map(|node| json!({ "node_id": node.get(), "vote_key": cluster.key(node).map(ToString::to_string) }))
        .collect();
    json!({
        "cluster": cluster.id().to_string(),
        "network": network_name(cluster.network()),
        "threshold": cluster.threshold(),
        "members": members,
    })
}

/// Where a node can be found, and how it is.
pub(super) fn node_value(overview: &Overview, rest: &str, quic: &str) -> Value {
    json!({
        "node_id": overview.me.get(),
        "version": env!("CARGO_PKG_VERSION"),
        "rest": rest,
        "quic": quic,
        "boot": overview.boot.0,
        "standing": overview.standing.name(),
        "online_nodes": overview.online,
        "tip_height": overview.chain.as_ref().map(|chain| chain.tip.height),
    })
}

/// A vote, as the voter's record has it.
pub(super) fn vote_value(row: &VoteRow) -> Value {
    json!({
        "node_id": row.node.get(),
        "round": row.round,
        "decision": if row.approve { "approve" } else { "reject" },
        "reason": row.reason,
        "signature": row.signature,
    })
}

/// Where a transaction stands at the node that says so.
pub(super) fn state_value(detail: &TransactionDetail, by: NodeId) -> Value {
    json!({
        "state": detail.row.state.name(),
        "sub_status": detail.row.sub_status,
        "node_id": by.get(),
        "at": detail.timeline.last().map(|transition| rfc3339(transition.at)),
    })
}

/// How far a state's value says the transaction is, and who says so; `None` for anything else that stands there.
pub(super) fn parse_state(value: &[u8]) -> Option<(State, u16)> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let name = value.get("state")?.as_str()?;
    let state = State::ALL.into_iter().find(|state| state.name() == name)?;
    Some((state, u16::try_from(value.get("node_id")?.as_u64()?).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::Network;
    use mpc_wallet_core::VoteKey;

    use super::*;

    fn cluster() -> Cluster {
        let key = |id: u16| VoteKey::from_bytes(&[u8::try_from(id).unwrap(); 32]).unwrap().public();
        Cluster::new(Network::Regtest, 4, (1..=5).map(|id| (NodeId::new(id), key(id))).collect()).unwrap()
    }

    #[test]
    fn a_coordinator_reads_back_and_nothing_but_a_member_is_one() {
        let cluster = cluster();
        for member in cluster.members() {
            let value = coordinator_value(member);
            assert_eq!(parse_coordinator(value.as_bytes(), &cluster), Some(member));
        }
        for forged in [
            "",
            "7",
            "{}",
            "null",
            "{\"node_id\":0}",
            "{\"node_id\":6}",
            "{\"node_id\":65537}",
            "{\"node_id\":-1}",
        ] {
            assert_eq!(parse_coordinator(forged.as_bytes(), &cluster), None, "{forged}");
        }
        assert_eq!(parse_coordinator(&[0xff; 8], &cluster), None);
    }

    #[test]
    fn a_state_reads_back_and_nothing_else_is_one() {
        for state in State::ALL {
            let value = json!({ "state": state.name(), "node_id": 3 }).to_string();
            assert_eq!(parse_state(value.as_bytes()), Some((state, 3)));
        }
        for forged in ["", "[]", "{\"state\":\"paid\",\"node_id\":3}", "{\"state\":\"signed\"}"] {
            assert_eq!(parse_state(forged.as_bytes()), None, "{forged}");
        }
    }

    #[test]
    fn the_watched_prefix_holds_what_every_beat_looks_at_and_no_mirror() {
        let txid = "11".repeat(32).parse().unwrap();
        assert!(COORDINATOR.starts_with(WATCHED) && MANIFEST.starts_with(WATCHED));
        let busy = [vote(&txid, NodeId::new(1)), state(&txid), node(NodeId::new(1))];
        assert!(!busy.iter().any(|key| key.starts_with(WATCHED)));
    }

    #[test]
    fn the_manifest_shows_public_keys_and_what_names_the_cluster() {
        let value = manifest_value(&cluster());
        assert_eq!((&value["threshold"], value["members"].as_array().unwrap().len()), (&json!(4), 5));
        assert_eq!(value["members"][0]["vote_key"].as_str().unwrap().len(), 64);
    }
}
