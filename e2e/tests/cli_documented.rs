//! docs/cli.md is true: every example of it is run on one cluster, from its making to its end, and prints what is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use bitcoin::hex::DisplayHex as _;
use mpc_wallet_core::{
    BootId, NodeId, SessionId, VoteKey, codec, identity::Signed, message::MpcMessage, vote::Evidence,
};
use mpc_wallet_e2e::cluster::{Cluster, Kind, cli_binary, repository, wait_for};
use mpc_wallet_e2e::documented::{Step, steps};
use mpc_wallet_e2e::suite::{mining_options, payee};
use mpc_wallet_shell::config::read_identity;

const SOON: Duration = Duration::from_secs(30);

fn document() -> String {
    fs::read_to_string(repository().join("docs/cli.md")).unwrap()
}

/// The cluster, and what its reader has found out so far.
struct Desk {
    cluster: Cluster,
    variables: Vec<(String, String)>,
    /// A node that was started with other settings.
    guarded: Option<Child>,
}

impl Desk {
    fn new() -> Self {
        let cluster = Cluster::start(&mining_options()).unwrap();
        let url = |id: u16| cluster.node(id).unwrap().url().to_owned();
        let variables = [
            ("MPC_WALLET_NODE", url(1)),
            ("NODE2", url(2)),
            ("NODE3", url(3)),
            ("NODE4", url(4)),
            ("TO", payee("documented", 0).unwrap().to_string()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { cluster, variables, guarded: None }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// What a reader of the document notes: the txid of the last payment, and an API key.
    fn note(&mut self, printed: &str) {
        for line in printed.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["txid", txid] = words.as_slice() {
                self.set("TXID", txid);
            }
            if words.len() == 1 && words[0].starts_with("mpcw_") {
                self.set("KEY", words[0]);
            }
        }
    }

    fn prepare(&mut self, what: &str) {
        match what {
            "the wallet is paid" => self.cluster.fund(10_000_000, 3).unwrap(),
            "node 5 loses its disk" => {
                let node = self.cluster.node(5).unwrap();
                node.kill9().unwrap();
                fs::remove_dir_all(node.config().with_file_name("data")).unwrap();
            }
            "node 5 is started" => {
                self.cluster.start_all().unwrap();
                self.cluster.wait_until_connected().unwrap();
            }
            "an export of the audit log and a proof are there" => self.write_papers(),
            "node 4 asks for API keys" => self.guard_node_4(),
            "nodes 3, 4 and 5 are stopped" => {
                if let Some(mut guarded) = self.guarded.take() {
                    guarded.kill().unwrap();
                    guarded.wait().unwrap();
                }
                for id in [3, 5] {
                    self.cluster.node(id).unwrap().terminate(SOON).unwrap();
                }
                wait_for("node 1 to miss them", SOON, || {
                    let online = self.cluster.node(1)?.api().cluster()?.online_nodes;
                    anyhow::ensure!(online == 2, "{online} online");
                    Ok(())
                })
                .unwrap();
            }
            other => panic!("the document wants what nobody does: {other}"),
        }
    }

    fn write_papers(&self) {
        let folder = self.cluster.folder();
        let export = fs::read_to_string(repository().join("shell/tests/data/audit.jsonl")).unwrap();
        fs::write(folder.join("audit.jsonl"), &export).unwrap();
        fs::write(folder.join("altered.jsonl"), export.replacen("vote_received", "vote_retracted", 1))
            .unwrap();
        let liar = read_identity(&folder.join("node-3/identity.key")).unwrap();
        fs::write(folder.join("proof.hex"), equivocation(&liar, 2)).unwrap();
        fs::write(folder.join("hearsay.hex"), equivocation(&liar, 1)).unwrap();
    }

    fn guard_node_4(&mut self) {
        let node = self.cluster.node(4).unwrap();
        node.terminate(SOON).unwrap();
        let keys = self.cluster.folder().join("api-keys.toml");
        let log = fs::File::create(self.cluster.folder().join("logs/guarded.log")).unwrap();
        let mut command = node.command();
        command.env("MPC_WALLET_REST_API_KEYS", keys).stdout(Stdio::null()).stderr(log);
        self.guarded = Some(command.spawn().unwrap());
        wait_for("node 4 to answer", SOON, || {
            let status = node.api().get("/health")?.status;
            anyhow::ensure!(status == 200, "GET /health answered {status}");
            Ok(())
        })
        .unwrap();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(guarded) = &mut self.guarded {
            // It may have ended already.
            let _ = guarded.kill();
            let _ = guarded.wait();
        }
    }
}

/// Two messages of one place in one session; they contradict each other if `second` is not 1.
fn equivocation(liar: &VoteKey, second: u8) -> String {
    let said = |payload: u8| {
        let body = MpcMessage {
            session: SessionId::from_bytes([5; 32]),
            from: NodeId::new(3),
            boot: BootId(1),
            to: None,
            sequence: 1,
            payload: vec![payload],
        };
        Box::new(Signed::new(body, liar))
    };
    let evidence = Evidence::Equivocation { first: said(1), second: said(second) };
    codec::encode(&evidence).unwrap().to_lower_hex_string()
}

#[test]
fn every_example_of_the_document_prints_what_it_shows() {
    let mut desk = Desk::new();
    let programs = cli_binary().unwrap().parent().unwrap().to_owned();
    let mut examples = 0;
    for step in steps(&document(), "console") {
        match step {
            Step::Prepare(what) => desk.prepare(&what),
            Step::Run(example) => {
                let printed = example.run(desk.cluster.folder(), &programs, &desk.variables).unwrap();
                desk.note(&printed);
                examples += 1;
            }
        }
    }
    assert!(examples >= 60, "{examples} examples were found");
    let unspent = desk.cluster.node(1).unwrap().api().balance(Kind::Taproot).unwrap();
    assert!(unspent.total_balance_sats > 0);
}
