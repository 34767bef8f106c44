//! `dkg start` and `dkg status`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    args::Output,
    client::Node,
    failure::{Exit, Failure},
    output::{items, note, pairs, print, text},
    wait::follow,
};

const PATH: &str = "/api/v1/dkg";

pub(crate) fn status(node: &Node, output: Output) -> Result<(), Failure> {
    print(&node.get(PATH)?, output, describe)
}

/// Starts a key generation and, with a `timeout`, follows it to its end.
pub(crate) fn start(
    node: &Node,
    wallet_type: &str,
    timeout: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    let posted = node.post(PATH, &json!({ "type": wallet_type }), &[])?;
    let key = text(&posted.document, "/key");
    let Some(timeout) = timeout else {
        note("started; `dkg status` shows how far it is");
        return print(&posted.document, output, |document| {
            pairs([("key", text(document, "/key")), ("status", text(document, "/status"))])
        });
    };
    let (document, ended) = follow(
        timeout,
        || node.get(PATH),
        |document| {
            let phase = text(document, "/keygen/status");
            let ours = text(document, "/keygen/key") == key;
            let active = items(document, "/active_keys").contains(&Value::String(key.clone()));
            (format!("{key}: {phase}"), active || (ours && phase == "failed"))
        },
    )?;
    print(&document, output, describe)?;
    if !ended {
        let message = format!("{key} is not active after {} s; `dkg status` follows it", timeout.as_secs());
        return Err(Failure::new(Exit::OutcomeUnknown, "timeout", message));
    }
    if items(&document, "/active_keys").contains(&Value::String(key)) {
        Ok(())
    } else {
        let reason = text(&document, "/keygen/error");
        Err(Failure::new(Exit::Refused, "keygen_failed", format!("no key was made: {reason}")))
    }
}

fn describe(document: &Value) -> String {
    let part = |member: &str| text(document, member);
    let list = |pointer: &str| {
        let names: Vec<_> = items(document, pointer).iter().map(|item| text(item, "")).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(", ") }
    };
    pairs([
        ("key", part("/keygen/key")),
        ("status", part("/keygen/status")),
        ("waiting for", list("/keygen/waiting_for")),
        ("started", part("/keygen/started_at")),
        ("error", part("/keygen/error")),
        ("active keys", list("/active_keys")),
    ])
}
