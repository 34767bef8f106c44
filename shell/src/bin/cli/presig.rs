//! `presig generate` and `presig pool-status`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    args::Output,
    client::Node,
    failure::{Exit, Failure},
    output::{items, note, number, pairs, print, rows, text},
    wait::{Sight, follow},
};

const PATH: &str = "/api/v1/presignatures";

/// Orders presignatures beyond what is kept in stock and, with a `timeout`, follows them until all are made.
pub(crate) fn generate(
    node: &Node,
    count: u16,
    timeout: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    let posted = node.post(PATH, &json!({ "count": count }), &[])?;
    if let Some(timeout) = timeout {
        return until_made(node, timeout, output);
    }
    note("ordered; they are made one by one, behind all payments; `presig pool-status` shows the stock");
    print(&posted.document, output, |document| {
        pairs([("key", text(document, "/key")), ("ordered", text(document, "/count"))])
    })
}

/// Follows what is ordered, by whomever, until none of it is left to be made.
fn until_made(node: &Node, timeout: Duration, output: Output) -> Result<(), Failure> {
    let mut most = 1;
    let (document, over) = follow(
        timeout,
        || node.get(PATH),
        |document| {
            let left = number(document, "/ordered").unwrap_or_default();
            most = most.max(left);
            Sight {
                words: format!("{left} to be made, {} available", text(document, "/available")),
                events: Vec::new(),
                done: Some((most.saturating_sub(left), most)),
                over: left == 0,
            }
        },
    )?;
    print(&document, output, describe)?;
    if over {
        return Ok(());
    }
    let message = format!(
        "{} presignatures are not made after {} s; they go on by themselves, `presig pool-status` follows them",
        text(&document, "/ordered"),
        timeout.as_secs()
    );
    Err(Failure::new(Exit::OutcomeUnknown, "timeout", message))
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
