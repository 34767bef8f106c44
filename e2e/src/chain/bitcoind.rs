//! A real node in regtest, driven over RPC: the validator that is not ours.
//!
//! It is started from the folder that `scripts/install-bitcoind.sh` fills, with a private data
//! directory (or one that is kept), no peers and no wallet. It has no address index, so its blocks and mempool are copied
//! into a [`Ledger`] before every answer.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Block, BlockHash, Network, ScriptBuf, Transaction, Txid, constants};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::embedded::BlockClock;
use super::ledger::Ledger;
use super::node::{Node, Rejection, SubmitError};
use super::rpc::{Rpc, RpcError};

/// How long the node may take until it answers RPC.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to write its state when it is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How often its answer is awaited meanwhile.
const START_POLL: Duration = Duration::from_millis(20);

/// The policy that the embedded chain restates, set rather than left to a distribution's defaults:
/// standard transactions only, 1 sat/vB, replacement on signal.
const ARGUMENTS: [&str; 16] = [
    "-regtest",
    "-server",
    "-listen=0",
    "-connect=0",
    "-dnsseed=0",
    "-natpmp=0",
    "-disablewallet",
    "-printtoconsole=0",
    "-rpcworkqueue=64",
    "-dbcache=16",
    "-acceptnonstdtxn=0",
    "-minrelaytxfee=0.00001",
    "-incrementalrelayfee=0.00001",
    "-dustrelayfee=0.00003",
    "-mempoolreplacement=fee,optin",
    "-maxmempool=64",
];

/// A running bitcoind with the copy of its chain. Dropping it ends the process and its data.
pub(crate) struct Bitcoind {
    process: Process,
    rpc: Rpc,
    ledger: Ledger,
    clock: BlockClock,
}

struct Process {
    child: Child,
    data: Data,
}

/// Where the node writes.
enum Data {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Data {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        // Where nothing of its data outlives it, it need not end in order.
        if matches!(self.process.data, Data::Kept(_)) && self.rpc.call::<Value>("stop", json!([])).is_ok() {
            let patience = Instant::now().checked_add(STOP_TIMEOUT);
            while matches!(self.process.child.try_wait(), Ok(None)) && patience > Some(Instant::now()) {
                std::thread::sleep(START_POLL);
            }
        }
    }
}

impl Bitcoind {
    /// Starts `dir/bitcoind` on a free port and waits until it answers. Errors when it is missing,
    /// ends early or stays silent for a minute. With `keep` its data stays there.
    pub(crate) fn start(dir: &Path, keep: Option<&Path>) -> anyhow::Result<Self> {
        let data = match keep {
            None => Data::Temporary(tempfile::Builder::new().prefix("mpc-wallet-bitcoind-").tempdir()?),
            Some(keep) => {
                std::fs::create_dir_all(keep).with_context(|| format!("cannot make {}", keep.display()))?;
                Data::Kept(keep.to_owned())
            }
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let program = dir.join("bitcoind");
        let child = Command::new(&program)
            .args(ARGUMENTS)
            .arg(format!("-datadir={}", data.path().display()))
            .arg(format!("-rpcport={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("cannot start {}: run scripts/install-bitcoind.sh {0}", program.display())
            })?;
        let mut process = Process { child, data };
        let rpc = process.await_rpc(port)?;
        let mut ledger = Ledger::default();
        ledger.connect(constants::genesis_block(Network::Regtest));
        let mut node = Self { process, rpc, ledger, clock: BlockClock::default() };
        node.refresh().with_context(|| node.process.last_words())?;
        Ok(node)
    }

    /// Follows the best chain: back to the fork, then forward.
    fn follow_blocks(&mut self) -> Result<(), RpcError> {
        let mut hash: BlockHash = self.rpc.call("getbestblockhash", json!([]))?;
        let mut branch: Vec<Block> = Vec::new();
        while self.ledger.height_of(&hash).is_none() {
            let block: Block = self.rpc.call_decoded("getblock", json!([hash, 0]))?;
            hash = block.header.prev_blockhash;
            branch.push(block);
        }
        while self.ledger.tip().is_some_and(|tip| tip.hash != hash) {
            self.ledger.disconnect();
        }
        for block in branch.into_iter().rev() {
            self.ledger.connect(block);
        }
        Ok(())
    }

    fn follow_mempool(&mut self) -> Result<(), RpcError> {
        let theirs: Vec<Txid> = self.rpc.call("getrawmempool", json!([]))?;
        let ours: Vec<Txid> = self.ledger.mempool().collect();
        for txid in ours.iter().filter(|txid| !theirs.contains(txid)) {
            self.ledger.remove_unconfirmed(txid);
        }
        let mut arrived: Vec<Transaction> = Vec::new();
        for txid in theirs.iter().filter(|txid| !ours.contains(txid)) {
            match self.rpc.call_decoded("getrawtransaction", json!([txid])) {
                Ok(tx) => arrived.push(tx),
                // It left the mempool between two calls; the next refresh sees where it went.
                Err(RpcError::Refused { .. }) => {}
                Err(unreachable) => return Err(unreachable),
            }
        }
        // The node lists them in no order, and a child can be indexed only after its parents.
        loop {
            let known = |tx: &Transaction, ledger: &Ledger| {
                tx.input.iter().all(|input| ledger.get(&input.previous_output.txid).is_some())
            };
            let (ready, waiting): (Vec<_>, Vec<_>) =
                arrived.into_iter().partition(|tx| known(tx, &self.ledger));
            if ready.is_empty() {
                return Ok(());
            }
            ready.into_iter().for_each(|tx| self.ledger.add_unconfirmed(tx));
            arrived = waiting;
        }
    }
}

impl Process {
    fn await_rpc(&mut self, port: u16) -> anyhow::Result<Rpc> {
        let cookie = self.data.path().join("regtest").join(".cookie");
        let deadline = Instant::now().checked_add(START_TIMEOUT).context("the clock is at its end")?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("bitcoind ended at start ({status}): {}", self.last_words());
            }
            if let Ok(rpc) = Rpc::with_cookie(&cookie, port)
                && rpc.call::<u32>("getblockcount", json!([])).is_ok()
            {
                return Ok(rpc);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "bitcoind did not answer within {START_TIMEOUT:?}: {}",
                self.last_words()
            );
            std::thread::sleep(START_POLL);
        }
    }

    /// The end of its log, for error messages.
    fn last_words(&self) -> String {
        let log =
            std::fs::read_to_string(self.data.path().join("regtest").join("debug.log")).unwrap_or_default();
        let mut lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.reverse();
        format!("last lines of its log:\n{}", lines.join("\n"))
    }
}

impl Node for Bitcoind {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn refresh(&mut self) -> anyhow::Result<()> {
        self.follow_blocks()?;
        self.follow_mempool()?;
        Ok(())
    }

    fn submit(&mut self, tx: &Transaction) -> Result<Txid, SubmitError> {
        let answer = self.rpc.call("sendrawtransaction", json!([serialize_hex(tx)]));
        let txid = answer.map_err(|error| match error {
            RpcError::Refused { code, message } => Rejection { code, message }.into(),
            unreachable @ RpcError::Unreachable { .. } => SubmitError::Unreachable(unreachable.into()),
        })?;
        self.refresh().map_err(SubmitError::Unreachable)?;
        Ok(txid)
    }

    fn mine(&mut self, blocks: u32, script: &ScriptBuf) -> anyhow::Result<()> {
        let address =
            Address::from_script(script, Network::Regtest).context("the coinbase script has no address")?;
        self.rpc.call::<Value>("setmocktime", json!([self.clock.next_batch()]))?;
        self.rpc.call::<Value>("generatetoaddress", json!([blocks, address.to_string()]))?;
        self.refresh()?;
        if let Some(tip) = self.ledger.tip() {
            self.clock.mined(tip.block.header.time);
        }
        Ok(())
    }

    fn invalidate(&mut self, depth: u32) -> anyhow::Result<()> {
        self.refresh()?;
        let tip = self.ledger.tip_height();
        anyhow::ensure!(depth <= tip, "cannot disconnect {depth} blocks: only {tip} lie above genesis");
        let first = tip.saturating_sub(depth).saturating_add(1);
        if let Some(hash) = self.ledger.block_at(first).map(|block| block.hash) {
            self.rpc.call::<Value>("invalidateblock", json!([hash]))?;
        }
        self.refresh()
    }

    fn evict(&mut self, _txid: &Txid) -> anyhow::Result<Vec<Txid>> {
        anyhow::bail!(
            "bitcoind cannot drop one transaction from its mempool; run this test on the embedded backend"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use bitcoin::Amount;

    use super::super::embedded::Embedded;
    use super::super::faucet::Faucet;
    use super::*;

    #[test]
    fn real_node_accepts_every_block_of_the_embedded_chain() {
        let Some(dir) = std::env::var_os("MPC_WALLET_BITCOIND_DIR") else {
            use std::io::Write as _;
            let note = "embedded blocks: NOT checked by a real node; set MPC_WALLET_BITCOIND_DIR\n";
            std::io::stderr().write_all(note.as_bytes()).unwrap();
            return;
        };
        let mut embedded = Embedded::new();
        let faucet = Faucet::new();
        faucet.prepare(&mut embedded).unwrap();
        let address = Address::from_script(faucet.script(), Network::Regtest).unwrap();
        for count in [1, 7] {
            faucet.pay(&mut embedded, &address, Amount::from_int_btc(60), count).unwrap();
        }
        embedded.invalidate(1).unwrap();
        // Past the first halving.
        embedded.mine(60, faucet.script()).unwrap();

        let node = Bitcoind::start(Path::new(&dir), None).unwrap();
        for (height, record) in embedded.ledger().blocks().iter().enumerate().skip(1) {
            let verdict: Option<String> =
                node.rpc.call("submitblock", json!([serialize_hex(&record.block)])).unwrap();
            assert_eq!(verdict, None, "block {height}");
        }
        let best: BlockHash = node.rpc.call("getbestblockhash", json!([])).unwrap();
        assert_eq!(best, embedded.ledger().tip().unwrap().hash);
    }
}
