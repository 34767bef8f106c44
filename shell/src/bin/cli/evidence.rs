//! Proof of misbehaviour, verified without a node: the manifest is all that it takes.

use std::path::Path;

use bitcoin::hex::FromHex as _;
use mpc_wallet_core::{Channel, codec, message::max_message_bytes, vote::Evidence};
use mpc_wallet_shell::config::Manifest;
use serde_json::{Value, json};

use crate::{
    args::Output,
    failure::{Exit, Failure},
    output::{pairs, print, text},
};

/// Where documents keep the proof: violations of the API, rows of the record.
const MEMBERS: [&str; 2] = ["evidence", "proof"];

pub(crate) fn verify(file: &Path, manifest: &Path, output: Output) -> Result<(), Failure> {
    let cluster = Manifest::load(manifest)
        .map_err(|error| Failure::new(Exit::Usage, "no_manifest", error.to_string()))?
        .cluster;
    let content = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, "no_evidence", format!("{}: {error}", file.display())))?;
    let unreadable =
        |reason: String| Failure::new(Exit::Usage, "no_evidence", format!("{}: {reason}", file.display()));
    let bytes = Vec::from_hex(&digits(&content)).map_err(|_| {
        unreadable(
            "expected hexadecimal digits, or a JSON document with them in `evidence` or `proof`".to_owned(),
        )
    })?;
    let evidence: Evidence = codec::decode(&bytes, max_message_bytes(Channel::StateSync))
        .map_err(|error| unreadable(format!("no evidence of this version: {error}")))?;
    evidence.verify(&cluster).map_err(|error| {
        Failure::new(
            Exit::Refused,
            "evidence_proves_nothing",
            format!("{error}; the evidence convicts nobody of this cluster"),
        )
    })?;
    let document = json!({
        "proven": true,
        "cluster": cluster.id().to_string(),
        "node_id": evidence.accused().get(),
        "violation_type": evidence.violation().name(),
    });
    print(&document, output, |document| {
        pairs([
            (
                "proven",
                format!("{} by node {}", text(document, "/violation_type"), text(document, "/node_id")),
            ),
            ("cluster", text(document, "/cluster")),
        ])
    })
}

/// The digits of a file that holds nothing else, or of a document's member.
fn digits(content: &str) -> String {
    let member = |document: &Value| {
        MEMBERS.iter().find_map(|name| document.get(name).and_then(Value::as_str)).map(str::to_owned)
    };
    let in_document = serde_json::from_str(content).ok().as_ref().and_then(member);
    in_document.unwrap_or_else(|| content.trim().to_owned())
}
