//! `cluster freeze` and `cluster lift`.

use serde_json::{Value, json};

use crate::{
    args::Output,
    client::Node,
    cluster,
    confirm::confirm,
    failure::Failure,
    output::{items, note, number, text},
};

const STATUS: &str = "/api/v1/cluster/status";

/// Stops all signing.
pub(crate) fn freeze(node: &Node, reason: &str, yes: bool, output: Output) -> Result<(), Failure> {
    if !yes {
        let status = node.get(STATUS)?;
        note(&format!(
            "{}   node {}: all nodes stop signing at once and refuse payments. What is signed already is still sent. \
             {} nodes must lift it.",
            text(&status, "/network").to_uppercase(),
            text(&status, "/node_id"),
            text(&status, "/threshold"),
        ));
        confirm("Freeze the cluster?", "nothing was frozen")?;
    }
    let posted = node.post("/api/v1/cluster/freeze", &json!({ "reason": reason }), &[])?;
    note("frozen; `cluster lift` at enough nodes ends it");
    cluster::show(&posted.document, output)
}

/// Lifts what is frozen, as far as this node is asked.
pub(crate) fn lift(node: &Node, yes: bool, output: Output) -> Result<(), Failure> {
    if !yes {
        let status = node.get(STATUS)?;
        note(&format!(
            "{}   node {} lifts what follows; when {} nodes have, waiting payments are signed:",
            text(&status, "/network").to_uppercase(),
            text(&status, "/node_id"),
            text(&status, "/threshold"),
        ));
        items(&status, "/freezes").iter().for_each(|freeze| note(&describe(freeze)));
        confirm("Lift it?", "nothing was lifted")?;
    }
    let posted = node.post("/api/v1/cluster/lift", &json!({}), &[])?;
    note(match number(&posted.document, "/freezes/0/lifts_needed") {
        Some(_) => "lifted at this node; others must follow",
        None => "lifted: signing goes on",
    });
    cluster::show(&posted.document, output)
}

/// One freeze in a line.
pub(crate) fn describe(freeze: &Value) -> String {
    let lifts: Vec<_> = items(freeze, "/lifted_by").iter().map(|node| text(node, "")).collect();
    let lifted = if lifts.is_empty() { "nobody".to_owned() } else { format!("nodes {}", lifts.join(", ")) };
    format!(
        "by {} at node {} since {}: {} (lifted by {lifted}; {} nodes must)",
        text(freeze, "/operator"),
        text(freeze, "/node_id"),
        text(freeze, "/at"),
        text(freeze, "/reason"),
        text(freeze, "/lifts_needed"),
    )
}
