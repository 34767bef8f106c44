//! `presig generate` and `presig pool-status`.

use serde_json::{Value, json};

use crate::{
    args::Output,
    client::Node,
    failure::Failure,
    output::{items, note, number, pairs, print, rows, text},
};

const PATH: &str = "/api/v1/presignatures";

/// Orders presignatures beyond what is kept in stock.
pub(crate) fn generate(node: &Node, count: u16, output: Output) -> Result<(), Failure> {
    let posted = node.post(PATH, &json!({ "count": count }), &[])?;
    note("ordered; they are made one by one, behind all payments; `presig pool-status` shows the stock");
    print(&posted.document, output, |document| {
        pairs([("key", text(document, "/key")), ("ordered", text(document, "/count"))])
    })
}

pub(crate) fn status(node: &Node, output: Output) -> Result<(), Failure> {
    print(&node.get(PATH)?, output, describe)
}

fn describe(document: &Value) -> String {
    let part = |member: &str| text(document, member);
    let available = number(document, "/available").unwrap_or_default();
    let low = number(document, "/low").unwrap_or_default();
    let running_low = if available < low { ", LOW" } else { "" };
    let bounds = format!("{} to {}, at most {}", part("/low"), part("/high"), part("/most"));
    let groups = items(document, "/groups").iter().map(|group| {
        let signers: Vec<_> = items(group, "/signers").iter().map(|node| text(node, "")).collect();
        [
            signers.join(" "),
            text(group, "/ready"),
            text(group, "/held"),
            text(group, "/alive"),
            text(group, "/in_use"),
            text(group, "/faults"),
        ]
    });
    [
        pairs([
            ("key", part("/key")),
            ("available", format!("{available}{running_low}")),
            ("kept for a group", bounds),
            ("ordered", part("/ordered")),
            ("making one", part("/making")),
            ("used by this node", part("/used")),
        ]),
        rows(["signers", "ready", "held here", "alive", "in use", "faults"], groups),
    ]
    .join("\n\n")
}
