//! The manifest: members, threshold and network, the same file on every node.

use std::{collections::BTreeMap, path::Path};

use bitcoin::Network;
use mpc_wallet_core::{Cluster, NodeId, VotePublicKey};

use super::{
    problem::{ConfigErrors, ConfigProblem},
    reader::{Reader, settle},
};

/// The cluster, and where its members listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Checked members, threshold and network.
    pub cluster: Cluster,
    /// Each member's QUIC address, `host:port`; the host may be a name.
    pub addresses: BTreeMap<NodeId, String>,
}

/// The network's name in files, the API and the command line.
#[must_use]
pub const fn network_name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "mainnet",
        Network::Testnet => "testnet",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

/// Names that [`parse_network`] takes, for messages.
pub(super) const NETWORKS: &str = "mainnet, testnet, testnet4, signet or regtest";

/// Reads a network's name; the library's name of mainnet, `bitcoin`, is taken too.
#[must_use]
pub fn parse_network(text: &str) -> Option<Network> {
    match text {
        "mainnet" | "bitcoin" => Some(Network::Bitcoin),
        "testnet" => Some(Network::Testnet),
        "testnet4" => Some(Network::Testnet4),
        "signet" => Some(Network::Signet),
        "regtest" => Some(Network::Regtest),
        _ => None,
    }
}

/// `host:port` with a port that can be dialled.
pub(super) fn parse_host_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let dialable = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0);
    dialable.then(|| text.to_owned())
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        let (manifest, problems) = Self::read(file);
        settle(manifest, problems)
    }

    /// Reads a manifest with the list of its problems; no problems means there is one.
    pub(super) fn read(file: &Path) -> (Option<Self>, Vec<ConfigProblem>) {
        let mut reader = Reader::open(file, false);
        let mut top = reader.top(&["network", "threshold"]);
        let network = top.required("network", NETWORKS, parse_network);
        let threshold = top.required("threshold", "the number of approvals a payment needs", |text| {
            text.parse::<u16>().ok().filter(|threshold| *threshold > 0)
        });
        top.finish();

        let (mut keys, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        let mut complete = true;
        for (index, table) in reader.tables("members").into_iter().enumerate() {
            let mut member = reader.item(format!("members[{index}]"), table);
            let id = member.required("id", "the member's number, from 1", parse_id);
            let address = member.required("address", "host:port of its QUIC listener", parse_host_port);
            let key = member.required(
                "vote_key",
                "the 64 hexadecimal digits that `mpc-wallet-cli identity generate` printed",
                |text| VotePublicKey::from_hex(text).ok(),
            );
            if let (Some(id), Some(address), Some(key)) = (id, address, key) {
                if keys.insert(id, key).is_some() {
                    member.note("id", Some(&id.get().to_string()), "a number that no other member has");
                }
                addresses.insert(id, address);
            } else {
                complete = false;
            }
            member.finish();
        }

        let mut cluster = None;
        if let (Some(network), Some(threshold), true) = (network, threshold, complete) {
            match Cluster::new(network, threshold, keys) {
                Ok(good) => cluster = Some(good),
                Err(error) => reader.note_file(error.to_string()),
            }
        }
        (cluster.map(|cluster| Self { cluster, addresses }), reader.finish())
    }
}

/// A member's number.
pub(super) fn parse_id(text: &str) -> Option<NodeId> {
    text.parse::<u16>().ok().filter(|id| *id > 0).map(NodeId::new)
}
