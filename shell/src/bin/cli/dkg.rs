//! `dkg start` and `dkg status`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    args::Output,
    client::Node,
    failure::{Exit, Failure},
    output::{items, note, number, pairs, print, text},
    wait::{Sight, follow},
};

const PATH: &str = "/api/v1/dkg";

/// How long a key generation of this kind is waited for, unless the person says.
pub(crate) fn patience(wallet_type: &str) -> Duration {
    // Primes take each member minutes, the ceremony's auxiliary information another few.
    Duration::from_secs(if wallet_type == "segwit" { 3_600 } else { 300 })
}

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
            pairs([("key", text(document, "/key")), ("status", explained(text(document, "/status")))])
        });
    };
    let (document, ended) = follow(
        timeout,
        || node.get(PATH),
        |document| {
            let ours = text(document, "/keygen/key") == key;
            let active = items(document, "/active_keys").contains(&Value::String(key.clone()));
            let failed = ours && text(document, "/keygen/status") == "failed";
            Sight {
                words: progress(&key, document),
                events: Vec::new(),
                done: Some(done(document)),
                over: active || failed,
            }
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

/// One line of it, for a spinner.
fn progress(key: &str, document: &Value) -> String {
    let mut line = format!("{key}: {}", text(document, "/keygen/status"));
    for (words, part) in [("", stage(document)), ("waiting for ", list(document, "/keygen/waiting_for"))] {
        if part != "-" {
            line.push_str(&format!("; {words}{part}"));
        }
    }
    line
}

/// The phases of a key generation, in order.
const PHASES: [&str; 4] = ["preparing", "running", "confirming", "proving"];

/// How far it is, in hundredths of a phase; phases do not take the same time.
fn done(document: &Value) -> (u64, u64) {
    const PHASE: u64 = 100;
    let status = text(document, "/keygen/status");
    let before = PHASES.iter().take_while(|phase| **phase != status).count() as u64;
    let part = |member: &str| number(document, &format!("/keygen/stage/{member}"));
    let within = match (part("round"), part("rounds")) {
        (Some(round), Some(rounds)) => {
            round.saturating_sub(1).saturating_mul(PHASE).checked_div(rounds).unwrap_or_default()
        }
        _ => 0,
    };
    (before.saturating_mul(PHASE).saturating_add(within), PHASE.saturating_mul(PHASES.len() as u64))
}

/// What is being computed, `-` if the protocol does not say.
fn stage(document: &Value) -> String {
    match text(document, "/keygen/stage/name") {
        name if name == "-" => name,
        name => {
            let part = |member: &str| text(document, &format!("/keygen/stage/{member}"));
            format!("{name}, round {} of {}", part("round"), part("rounds"))
        }
    }
}

/// What a status means where its name does not say it.
fn explained(status: String) -> String {
    if status == "preparing" {
        "preparing: members look for primes, minutes of processor time each; it goes on by itself".to_owned()
    } else {
        status
    }
}

fn list(document: &Value, pointer: &str) -> String {
    let names: Vec<_> = items(document, pointer).iter().map(|item| text(item, "")).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn describe(document: &Value) -> String {
    let part = |member: &str| text(document, member);
    let list = |pointer: &str| list(document, pointer);
    pairs([
        ("key", part("/keygen/key")),
        ("status", explained(part("/keygen/status"))),
        ("stage", stage(document)),
        ("waiting for", list("/keygen/waiting_for")),
        ("started", part("/keygen/started_at")),
        ("error", part("/keygen/error")),
        ("active keys", list("/active_keys")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_phase_and_a_later_round_are_further() {
        let at = |status: &str, round: u64| {
            let stage = json!({ "name": "keygen", "round": round, "rounds": 4 });
            done(&json!({ "keygen": { "status": status, "stage": stage } }))
        };
        assert_eq!(at("running", 1), (100, 400));
        assert_eq!(at("running", 3), (150, 400));
        assert_eq!(done(&json!({ "keygen": { "status": "preparing" } })), (0, 400));
        assert_eq!(done(&json!({ "keygen": { "status": "proving" } })), (300, 400));
        assert_eq!(done(&json!({ "keygen": { "status": "active" } })), (400, 400));
        assert_eq!(
            done(&json!({ "keygen": { "status": "running", "stage": { "rounds": 0, "round": 0 } } })).0,
            100
        );
    }
}
