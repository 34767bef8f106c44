//! The running node, and the cluster as it sees it.

use std::collections::BTreeMap;

use mpc_wallet_core::Timestamp;
use mpc_wallet_shell::{config::Settings, units::now};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Check, Verdict,
    servers::{CLOCK_MS, clock, difference},
};
use crate::{
    client::Node,
    failure::Failure,
    output::{items, number, text},
};

/// The node that is asked.
pub(super) struct Running {
    pub(super) node: Node,
    pub(super) address: String,
    /// What it is if it does not answer.
    pub(super) if_silent: Verdict,
}

impl Running {
    pub(super) fn check(&self, settings: Option<&Settings>, checks: &mut Vec<Check>) {
        if let Err(failure) = self.look(settings, checks) {
            let told = failure.to_string();
            let told: Vec<_> = told.lines().map(str::trim).collect();
            let detail = format!("{}: {}", self.address, told.join("; "));
            checks.push(Check { name: "node", verdict: self.if_silent, detail });
        }
    }

    fn look(&self, settings: Option<&Settings>, checks: &mut Vec<Check>) -> Result<(), Failure> {
        let before = now();
        let health = self.node.get("/health")?;
        // The answer was written some time between the two.
        let middle = Timestamp(before.0.midpoint(now().0));
        checks.push(judge_health(&self.address, &health));
        if let Some(its) = moment(&text(&health, "/timestamp")) {
            checks.push(clock("node clock", "the node's", difference(its, middle)));
        }
        let status = self.node.get("/api/v1/cluster/status")?;
        let nodes = self.node.get("/api/v1/cluster/nodes")?;
        checks.extend(settings.map(|settings| same_node(settings, &status)));
        checks.extend([standing(&status), quorum(&status), view_of_chain(&status), keys(&status)]);
        let nodes = items(&nodes, "/nodes");
        checks.extend([members(nodes), versions(nodes), policies(nodes), clocks(nodes)]);
        Ok(())
    }
}

fn judge_health(address: &str, health: &Value) -> Check {
    const NAME: &str = "node";
    let told = format!(
        "node-{} answers at {address}, version {}",
        text(health, "/node_id"),
        text(health, "/version")
    );
    let notes: Vec<_> = items(health, "/degraded").iter().map(|note| text(note, "")).collect();
    if notes.is_empty() {
        Check::ok(NAME, told)
    } else {
        Check::warn(NAME, format!("{told}; {}", notes.join("; ")))
    }
}

/// Whether the node that answers is the one configured, and runs by this configuration.
fn same_node(settings: &Settings, status: &Value) -> Check {
    const NAME: &str = "node configuration";
    let (me, policy) = (settings.core.me.get(), settings.core.policy.version().to_string());
    if number(status, "/node_id") != Some(me.into()) {
        let found = text(status, "/node_id");
        return Check::fail(
            NAME,
            format!("node-{found} answers, the configuration is of node-{me}; correct --node"),
        );
    }
    if text(status, "/policy_version") == policy {
        Check::ok(NAME, "the running node judges by the policy of this file")
    } else {
        Check::warn(
            NAME,
            "the running node judges by another policy than this file has; restart it to take the file's",
        )
    }
}

fn standing(status: &Value) -> Check {
    const NAME: &str = "standing";
    match text(status, "/standing/name").as_str() {
        "sound" => Check::ok(NAME, "the node takes part"),
        name => Check::warn(
            NAME,
            format!(
                "the node is {name}: {} of {} peers have told it what they saw of it; it goes on by itself",
                text(status, "/standing/peers_told"),
                text(status, "/standing/peers_needed")
            ),
        ),
    }
}

fn quorum(status: &Value) -> Check {
    const NAME: &str = "quorum";
    let margin = status.pointer("/quorum_margin").and_then(Value::as_i64).unwrap_or(-1);
    let told = format!(
        "{} of {} nodes online, {} needed, margin {margin}",
        text(status, "/online_nodes"),
        text(status, "/total_nodes"),
        text(status, "/threshold"),
    );
    match margin {
        ..0 => Check::fail(NAME, format!("{told}; nothing can be signed: bring nodes back")),
        0 => Check::warn(NAME, format!("{told}; the next node that fails stops payments: stop nothing else")),
        1.. => Check::ok(NAME, told),
    }
}

fn view_of_chain(status: &Value) -> Check {
    const NAME: &str = "node's chain";
    let told =
        format!("block {}, seen {}", text(status, "/chain/height"), text(status, "/chain/observed_at"));
    if status.get("chain_stale") == Some(&Value::Bool(true)) {
        Check::fail(NAME, format!("{told}: too long ago, nothing is approved; look at its chain backend"))
    } else {
        Check::ok(NAME, told)
    }
}

fn keys(status: &Value) -> Check {
    const NAME: &str = "keys";
    let keys: Vec<_> = items(status, "/keys").iter().map(|key| text(key, "/key")).collect();
    if keys.is_empty() {
        Check::warn(NAME, "the cluster has no key yet; mpc-wallet-cli dkg start makes one")
    } else {
        Check::ok(NAME, keys.join(", "))
    }
}

fn members(nodes: &[Value]) -> Check {
    const NAME: &str = "peers";
    let elsewhere: Vec<_> = nodes
        .iter()
        .filter(|node| text(node, "/status") != "online")
        .map(|node| format!("node-{} is {}", text(node, "/node_id"), text(node, "/status")))
        .collect();
    if elsewhere.is_empty() {
        Check::ok(NAME, format!("all {} are online", nodes.len()))
    } else {
        Check::warn(NAME, elsewhere.join(", "))
    }
}

fn versions(nodes: &[Value]) -> Check {
    same("versions", nodes, "/version", Verdict::Warn, "finish the upgrade")
}

fn policies(nodes: &[Value]) -> Check {
    let remedy = "payments that one policy refuses lack that node's vote: give all nodes the same [policy]";
    same("policies", nodes, "/policy_version", Verdict::Fail, remedy)
}

/// Whether every node that is known to have something has the same.
fn same(name: &'static str, nodes: &[Value], member: &str, otherwise: Verdict, remedy: &str) -> Check {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| text(node, member) != "-") {
        holders.entry(text(node, member)).or_default().push(format!("node-{}", text(node, "/node_id")));
    }
    let mut told: Vec<_> =
        holders.iter().map(|(value, nodes)| format!("{value} at {}", nodes.join(", "))).collect();
    match holders.len() {
        0 | 1 => Check::ok(name, told.pop().unwrap_or_else(|| "nobody has said".to_owned())),
        _ => Check { name, verdict: otherwise, detail: format!("{}; {remedy}", told.join("; ")) },
    }
}

fn clocks(nodes: &[Value]) -> Check {
    const NAME: &str = "peers' clocks";
    let ahead = |node: &Value| node.get("clock_ahead_ms").and_then(Value::as_i64);
    let off: Vec<_> = nodes
        .iter()
        .filter_map(|node| Some((node, ahead(node).filter(|ahead| ahead.unsigned_abs() > CLOCK_MS)?)))
        .map(|(node, ahead)| format!("node-{} by {ahead} ms", text(node, "/node_id")))
        .collect();
    if off.is_empty() {
        let worst = nodes.iter().filter_map(ahead).map(i64::unsigned_abs).max().unwrap_or(0);
        Check::ok(NAME, format!("within {worst} ms of the node's"))
    } else {
        Check::warn(NAME, format!("off the node's: {}; set them by NTP (chrony)", off.join(", ")))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos().checked_div(1_000_000)?).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_margin_of_none_is_a_warning_and_a_missing_quorum_a_failure() {
        for (margin, verdict) in [(1, Verdict::Ok), (0, Verdict::Warn), (-1, Verdict::Fail)] {
            assert_eq!(quorum(&json!({ "quorum_margin": margin })).verdict, verdict, "{margin}");
        }
    }

    #[test]
    fn nodes_that_judge_differently_are_named() {
        let nodes = |policies: [Option<&str>; 3]| -> Vec<Value> {
            (1..)
                .zip(policies)
                .map(|(id, policy)| json!({ "node_id": id, "policy_version": policy }))
                .collect()
        };
        assert_eq!(policies(&nodes([Some("a"), Some("a"), None])).verdict, Verdict::Ok);
        let differing = policies(&nodes([Some("a"), Some("b"), Some("a")]));
        assert_eq!(differing.verdict, Verdict::Fail);
        assert!(differing.detail.contains("b at node-2"), "{}", differing.detail);
    }

    #[test]
    fn a_clock_that_is_off_names_its_node() {
        let nodes =
            [json!({ "node_id": 1, "clock_ahead_ms": 0 }), json!({ "node_id": 2, "clock_ahead_ms": -1_500 })];
        let judged = clocks(&nodes);
        assert_eq!(judged.verdict, Verdict::Warn);
        assert!(judged.detail.contains("node-2 by -1500 ms"), "{}", judged.detail);
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(Timestamp(1_500)));
    }
}
