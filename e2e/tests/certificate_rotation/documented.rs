//! What docs/operations.md has an operator type.

use std::process::Command;

use mpc_wallet_e2e::cluster::{Cluster, cli_binary, repository};

/// The `sh` blocks below a heading, in order.
pub(crate) fn blocks(heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let section = section.split("\n##").next().unwrap();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs a block as it stands in the document, where the certificates are; `$N` and `$PID` are a node's number and process.
pub(crate) fn run(cluster: &Cluster, block: &str, node: Option<u16>) {
    let cli = cli_binary().unwrap();
    let path = std::env::join_paths(
        cli.parent()
            .map(std::path::Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut shell = Command::new("sh");
    shell.args(["-euc", block]).current_dir(cluster.folder()).env("PATH", path.unwrap());
    if let Some(node) = node {
        let pid = cluster.node(node).unwrap().pid().unwrap();
        shell.env("N", node.to_string()).env("PID", pid.to_string());
    }
    let scripts = cluster.folder().join("scripts");
    if !scripts.exists() {
        std::os::unix::fs::symlink(repository().join("scripts"), scripts).unwrap();
    }
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{block}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a block at each node in turn, and `after` it.
pub(crate) fn run_at_each(cluster: &Cluster, block: &str, mut after: impl FnMut(u16)) {
    assert!(block.contains("$N") || block.contains("$PID"), "not for one node: {block}");
    for node in cluster.nodes() {
        run(cluster, block, Some(node.id()));
        after(node.id());
    }
}
