//! What a wallet is for, on a whole cluster.

use std::time::Duration;

use anyhow::Context as _;
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, Network, Txid};

use super::view::{AddressView, KeygenRun, Kind, PaymentView, TransactionView};
use super::wait::wait_for;
use super::{Cluster, NodeProcess};

/// Until five processes have found each other.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Until a key is made; seconds on an idle machine.
const DKG_WITHIN: Duration = Duration::from_secs(90);
/// Until an ECDSA key is made: about a minute of processor time at each node, of which five may share two processors.
const ECDSA_DKG_WITHIN: Duration = Duration::from_secs(900);
/// Until the nodes have looked at the chain.
const SEE_WITHIN: Duration = Duration::from_secs(20);

impl Cluster {
    /// Waits until every running node sees all running nodes online and the same coordinator. Returns its number.
    pub fn wait_until_connected(&self) -> anyhow::Result<u16> {
        let running: Vec<&NodeProcess> = self.nodes().iter().filter(|node| node.is_running()).collect();
        let expected = u16::try_from(running.len())?;
        wait_for("every node to see every other and one coordinator", CONNECT_WITHIN, || {
            let mut coordinators = Vec::new();
            for node in &running {
                let view = node.api().cluster()?;
                anyhow::ensure!(
                    view.online_nodes == expected,
                    "node {} sees {} of {expected} nodes online",
                    node.id(),
                    view.online_nodes
                );
                coordinators.push(view.coordinator);
            }
            coordinators.dedup();
            match coordinators.as_slice() {
                [Some(coordinator)] => Ok(*coordinator),
                several => anyhow::bail!("the nodes name as coordinator: {several:?}"),
            }
        })
    }

    /// Makes the Taproot wallet's key and waits until every node shows the same address.
    pub fn run_dkg(&self) -> anyhow::Result<Address> {
        self.make_key(Kind::Taproot, |_| {})
    }

    /// Makes the key of a wallet and waits until every node shows the same address; `progress` is told how far it is.
    pub fn make_key(&self, kind: Kind, progress: impl Fn(&KeygenRun)) -> anyhow::Result<Address> {
        self.wait_until_connected()?;
        let node = self.node(1)?;
        let started = node.api().start_dkg(kind)?;
        anyhow::ensure!((200..300).contains(&started.status), "DKG: {} {}", started.status, started.text);
        let within = match kind {
            Kind::Taproot => DKG_WITHIN,
            Kind::Segwit => ECDSA_DKG_WITHIN,
        };
        wait_for(&format!("the {} key to be active", kind.name()), within, || {
            let dkg = node.api().dkg()?;
            if let Some(run) = &dkg.keygen {
                progress(run);
            }
            anyhow::ensure!(dkg.has(kind), "node 1 says {:?}", dkg.keygen);
            Ok(())
        })?;
        self.address_of(kind)
    }

    /// The Taproot wallet's address, once every running node shows the same. Errors before key generation.
    pub fn address(&self) -> anyhow::Result<Address> {
        self.address_of(Kind::Taproot)
    }

    /// A wallet's address, once every running node shows the same. Errors before key generation.
    pub fn address_of(&self, kind: Kind) -> anyhow::Result<Address> {
        let address = wait_for("one address at all nodes", SEE_WITHIN, || {
            let mut shown: Vec<String> = Vec::new();
            for node in self.nodes().iter().filter(|node| node.is_running()) {
                let AddressView { address } = node.api().address(kind)?;
                shown.push(address);
            }
            shown.dedup();
            match shown.as_slice() {
                [address] => Ok(address.clone()),
                several => anyhow::bail!("the nodes show {several:?}"),
            }
        })?;
        Ok(address.parse::<Address<NetworkUnchecked>>()?.require_network(Network::Regtest)?)
    }

    /// Gives the Taproot wallet `count` confirmed coins of `sats` each, and waits until every running node sees them.
    pub fn fund(&self, sats: u64, count: u32) -> anyhow::Result<()> {
        self.fund_wallet(Kind::Taproot, sats, count)
    }

    /// Gives a wallet `count` confirmed coins of `sats` each, and waits until every running node sees them.
    pub fn fund_wallet(&self, kind: Kind, sats: u64, count: u32) -> anyhow::Result<()> {
        let address = self.address_of(kind)?;
        self.chain().fund_many(&address, Amount::from_sat(sats), count)?;
        let expected = self.chain().balance(&address.script_pubkey())?.to_sat();
        self.wait_for_balance(kind, expected)
    }

    /// Waits until every running node shows this confirmed balance, and nothing unconfirmed.
    pub fn wait_for_balance(&self, kind: Kind, sats: u64) -> anyhow::Result<()> {
        wait_for(&format!("a balance of {sats} sat at every node"), SEE_WITHIN, || {
            for node in self.nodes().iter().filter(|node| node.is_running()) {
                let balance = node.api().balance(kind)?;
                anyhow::ensure!(
                    (balance.confirmed_balance_sats, balance.total_balance_sats) == (sats, sats),
                    "node {} shows {balance:?}",
                    node.id()
                );
            }
            Ok(())
        })
    }

    /// Has a node propose a payment from the Taproot wallet.
    pub fn pay(&self, node: u16, address: &Address, sats: u64) -> anyhow::Result<PaymentView> {
        self.pay_from(Kind::Taproot, node, address, sats)
    }

    /// Has a node propose a payment.
    pub fn pay_from(
        &self,
        kind: Kind,
        node: u16,
        address: &Address,
        sats: u64,
    ) -> anyhow::Result<PaymentView> {
        self.node(node)?.api().pay(kind, &address.to_string(), sats)
    }

    /// Waits until some running node has this many presignatures that a payment could use; who is no signer of the group
    /// in use has none of them.
    pub fn wait_for_stock(&self, count: usize, within: Duration) -> anyhow::Result<()> {
        wait_for(&format!("{count} presignatures in stock"), within, || {
            let mut most = 0;
            for node in self.nodes().iter().filter(|node| node.is_running()) {
                most = most.max(node.api().presignatures()?.available);
            }
            anyhow::ensure!(most >= count, "there are {most}");
            Ok(())
        })
    }

    /// A transaction as a node sees it.
    pub fn transaction(&self, node: u16, txid: &str) -> anyhow::Result<TransactionView> {
        self.node(node)?.api().transaction(txid)
    }

    /// Waits until a node shows a transaction in a state. Errors at once when it ends in another.
    pub fn wait_state(
        &self,
        node: u16,
        txid: &str,
        state: &str,
        within: Duration,
    ) -> anyhow::Result<TransactionView> {
        let node = self.node(node)?;
        let seen = wait_for(&format!("{txid} to be {state} at node {}", node.id()), within, || {
            let seen = node.api().transaction(txid)?;
            anyhow::ensure!(seen.state == state || seen.is_final(), "it is {}", seen.standing());
            Ok(seen)
        })?;
        anyhow::ensure!(seen.state == state, "{txid} ended as {}, not {state}", seen.standing());
        Ok(seen)
    }

    /// Waits until a node shows that a confirmed transaction is on its way again, after a reorganisation.
    pub fn wait_reopened(&self, node: u16, txid: &str, within: Duration) -> anyhow::Result<TransactionView> {
        let node = self.node(node)?;
        wait_for(&format!("{txid} to be reopened at node {}", node.id()), within, || {
            let seen = node.api().transaction(txid)?;
            anyhow::ensure!(seen.state == "broadcasting", "it is {}", seen.standing());
            Ok(seen)
        })
    }

    /// Waits until a node shows the end of a transaction.
    pub fn wait_final(&self, node: u16, txid: &str, within: Duration) -> anyhow::Result<TransactionView> {
        let node = self.node(node)?;
        wait_for(&format!("{txid} to end at node {}", node.id()), within, || {
            let seen = node.api().transaction(txid)?;
            anyhow::ensure!(seen.is_final(), "it is {}", seen.standing());
            Ok(seen)
        })
    }

    /// Waits until a transaction stands in a mempool or block of the chain.
    pub fn wait_on_chain(&self, txid: &str, within: Duration) -> anyhow::Result<bitcoin::Transaction> {
        let txid: Txid = txid.parse()?;
        wait_for(&format!("{txid} to reach the chain"), within, || {
            self.chain().transaction(&txid)?.context("the chain does not know it")
        })
    }
}
