//! `cluster status` and `cluster nodes`.

use serde_json::Value;

use crate::{
    args::Output,
    client::Node,
    failure::Failure,
    freeze,
    output::{items, pairs, print, rows, text},
};

pub(crate) fn status(node: &Node, output: Output) -> Result<(), Failure> {
    show(&node.get("/api/v1/cluster/status")?, output)
}

/// Prints a status.
pub(crate) fn show(document: &Value, output: Output) -> Result<(), Failure> {
    print(document, output, |document| {
        let part = |member: &str| text(document, member);
        let keys: Vec<_> = items(document, "/keys").iter().map(|key| text(key, "/key")).collect();
        pairs([
            ("network", part("/network").to_uppercase()),
            ("healthy", part("/healthy")),
            ("frozen", frozen(document)),
            (
                "nodes",
                format!(
                    "{} of {} online, {} needed (margin {})",
                    part("/online_nodes"),
                    part("/total_nodes"),
                    part("/threshold"),
                    part("/quorum_margin")
                ),
            ),
            ("tolerates", format!("{} faulty", part("/faults_tolerated"))),
            ("coordinator", part("/coordinator")),
            ("seen by", format!("node {} ({})", part("/node_id"), part("/standing/name"))),
            ("keys", if keys.is_empty() { "none yet: dkg start".to_owned() } else { keys.join(", ") }),
            ("chain", format!("block {}", part("/chain/height")) + stale(document)),
            ("open", format!("{} transactions", part("/open_transactions"))),
            ("policy", part("/policy_version")),
        ])
    })
}

/// Whether signing is stopped, and by whom.
fn frozen(document: &Value) -> String {
    match text(document, "/frozen_because").as_str() {
        "operator" => items(document, "/freezes").iter().map(freeze::describe).collect::<Vec<_>>().join("; "),
        "no_quorum" => "too few nodes are online to sign".to_owned(),
        _ => text(document, "/frozen"),
    }
}

fn stale(document: &Value) -> &'static str {
    if document.get("chain_stale") == Some(&Value::Bool(true)) { ", STALE" } else { "" }
}

pub(crate) fn nodes(node: &Node, output: Output) -> Result<(), Failure> {
    let document = node.get("/api/v1/cluster/nodes")?;
    print(&document, output, |document| {
        rows(
            ["node", "status", "heard (s ago)", "version", "tip", "votes", "violations", "banned until"],
            items(document, "/nodes").iter().map(|member| {
                [
                    "/node_id",
                    "/status",
                    "/seconds_since_heartbeat",
                    "/version",
                    "/tip_height",
                    "/total_votes",
                    "/total_violations",
                    "/banned_until",
                ]
                .map(|pointer| text(member, pointer))
            }),
        )
    })
}
