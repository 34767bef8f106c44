//! `cluster status`, `cluster wait` and `cluster nodes`.

use std::time::Duration;

use serde_json::Value;

use crate::{
    args::Output,
    client::Node,
    failure::{Exit, Failure},
    freeze,
    output::{items, number, pairs, print, rows, text},
    wait::{Sight, follow},
};

const STATUS: &str = "/api/v1/cluster/status";

pub(crate) fn status(node: &Node, output: Output) -> Result<(), Failure> {
    show(&node.get(STATUS)?, output)
}

/// Prints a status.
pub(crate) fn show(document: &Value, output: Output) -> Result<(), Failure> {
    print(document, output, describe)
}

/// Whether signing is stopped, and by whom.
fn frozen(document: &Value) -> String {
    match text(document, "/frozen_because").as_str() {
        "operator" => items(document, "/freezes").iter().map(freeze::describe).collect::<Vec<_>>().join("; "),
        "no_quorum" => "too few nodes are online to sign".to_owned(),
        _ => text(document, "/frozen"),
    }
}

/// Waits until the node has caught up, sees the chain and at least `online` members, or as many as sign.
pub(crate) fn wait(
    node: &Node,
    online: Option<u16>,
    timeout: Duration,
    output: Output,
) -> Result<(), Failure> {
    let (document, over) = follow(
        timeout,
        || node.get(STATUS),
        |document| {
            let missing = missing(document, online);
            let all = number(document, "/total_nodes").unwrap_or_default().saturating_add(2);
            Sight {
                words: missing.join("; "),
                events: Vec::new(),
                done: Some((all.saturating_sub(missing_parts(document)), all)),
                over: missing.is_empty(),
            }
        },
    )?;
    print(&document, output, describe)?;
    if over {
        return Ok(());
    }
    let message = format!("after {} s: {}", timeout.as_secs(), missing(&document, online).join("; "));
    Err(Failure::new(Exit::Unavailable, "not_ready", message))
}

/// What a node lacks, in words.
fn missing(document: &Value, online: Option<u16>) -> Vec<String> {
    let mut missing = Vec::new();
    let part = |member: &str| text(document, member);
    if !is_sound(document) {
        missing.push(match part("/standing/peers_told") {
            told if told == "-" => format!("the node is {}", part("/standing/name")),
            told => format!(
                "the node is {}: {told} of {} peers have told it",
                part("/standing/name"),
                part("/standing/peers_needed")
            ),
        });
    }
    let wanted = online.map_or_else(|| number(document, "/threshold"), |online| Some(online.into()));
    let seen = number(document, "/online_nodes");
    if seen < wanted {
        missing.push(format!(
            "{} of {} nodes are online, {} are wanted",
            part("/online_nodes"),
            part("/total_nodes"),
            wanted.unwrap_or_default()
        ));
    }
    if is_stale(document) {
        missing.push("the node has not seen the chain lately".to_owned());
    }
    missing
}

/// Members that are away, and one each for a node that catches up and for a chain that is not seen.
fn missing_parts(document: &Value) -> u64 {
    let count = |member: &str| number(document, member).unwrap_or_default();
    count("/total_nodes")
        .saturating_sub(count("/online_nodes"))
        .saturating_add(u64::from(!is_sound(document)))
        .saturating_add(u64::from(is_stale(document)))
}

fn is_sound(document: &Value) -> bool {
    text(document, "/standing/name") == "sound"
}

fn is_stale(document: &Value) -> bool {
    document.get("chain_stale") == Some(&Value::Bool(true))
}

fn describe(document: &Value) -> String {
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
        (
            "chain",
            format!("block {}", part("/chain/height")) + if is_stale(document) { ", STALE" } else { "" },
        ),
        ("open", format!("{} transactions", part("/open_transactions"))),
        ("policy", part("/policy_version")),
    ])
}

pub(crate) fn nodes(node: &Node, output: Output) -> Result<(), Failure> {
    let document = node.get("/api/v1/cluster/nodes")?;
    print(&document, output, |document| {
        rows(
            [
                "node",
                "status",
                "heard (s ago)",
                "version",
                "tip",
                "clock (ms)",
                "votes",
                "violations",
                "banned until",
            ],
            items(document, "/nodes").iter().map(|member| {
                [
                    "/node_id",
                    "/status",
                    "/seconds_since_heartbeat",
                    "/version",
                    "/tip_height",
                    "/clock_ahead_ms",
                    "/total_votes",
                    "/total_violations",
                    "/banned_until",
                ]
                .map(|pointer| text(member, pointer))
            }),
        )
    })
}
