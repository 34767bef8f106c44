//! The commands of docs/coordination.md do what it says.

use std::process::Command;

use mpc_wallet_e2e::cluster::repository;

use super::mirroring::wait_until_mirrored;
use super::{funded, pay_everywhere};

/// Every `etcdctl` line of the document with what it must print, which stands in the comment above it: `# prints: WORD`.
fn commands() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository().join("docs/coordination.md")).unwrap();
    let mut expected = None;
    let mut commands = Vec::new();
    for line in text.lines() {
        if let Some(word) = line.strip_prefix("# prints: ") {
            expected = Some(word.to_owned());
        } else if line.starts_with("etcdctl ") {
            commands.push((line.to_owned(), expected.take().expect("a word that the command prints")));
        }
    }
    commands
}

#[test]
fn every_documented_command_prints_what_it_promises() {
    let (etcd, cluster) = funded(10);
    let payments = pay_everywhere(&cluster, "documented");
    wait_until_mirrored(&etcd, &cluster, &payments);
    let commands = commands();
    assert!(commands.len() >= 6, "{commands:?}");
    for (command, word) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_ENDPOINTS", etcd.endpoints())
            .env("TXID", &payments[0].txid)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(&word), "{command}: {text}");
    }
}
