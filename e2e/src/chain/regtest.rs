//! The handle by which tests and devnet hold a chain, and the state its faces share.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::{Address, Amount, BlockHash, OutPoint, Script, Transaction, Txid};
use serde::Serialize;
use tokio::sync::oneshot;

use super::bitcoind::Bitcoind;
use super::embedded::Embedded;
use super::faucet::Faucet;
use super::faults::Faults;
use super::ledger::{Ledger, script_key};
use super::node::Node;
use super::{control, esplora};

/// Fee rates in satoshi per vB by confirmation target in blocks, as `/fee-estimates` shows them.
pub type FeeEstimates = BTreeMap<u16, f64>;

/// How long requests under way may take to end when the chain stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Which node keeps the chain.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A chain in this process.
    Embedded,
    /// A real node from the folder that `scripts/install-bitcoind.sh` filled.
    Bitcoind {
        /// That folder.
        dir: PathBuf,
    },
}

/// How the chain behaves from the start.
#[derive(Debug, Clone, Default)]
pub struct RegtestOptions {
    /// Mine a block this often while the mempool is not empty; `None`: only on request.
    pub auto_mine: Option<Duration>,
    /// Folder in which the chain outlives the process; `None`: it ends with the handle. Of the embedded chain only
    /// the blocks are kept, not the mempool. One process at a time may use it.
    pub keep: Option<PathBuf>,
}

/// The best block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tip {
    /// Its height; genesis has 0.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// An output in the best chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Where it is.
    pub outpoint: OutPoint,
    /// Its value.
    pub amount: Amount,
    /// Height of its block.
    pub height: u32,
}

/// What the faces share.
pub(crate) struct Chain {
    node: Mutex<Box<dyn Node>>,
    faucet: Faucet,
    faults: Mutex<Faults>,
    fees: Mutex<FeeEstimates>,
}

pub(crate) type SharedChain = Arc<Chain>;

/// No state here is left half-changed by a panic that matters to a test which is failing anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chain {
    fn start(backend: Backend, keep: Option<&Path>) -> anyhow::Result<Self> {
        let mut node: Box<dyn Node> = match backend {
            Backend::Embedded => Box::new(keep.map_or_else(|| Ok(Embedded::new()), Embedded::kept_in)?),
            Backend::Bitcoind { dir } => Box::new(Bitcoind::start(&dir, keep)?),
        };
        let faucet = Faucet::new();
        if node.ledger().tip_height() == 0 {
            faucet.prepare(&mut *node)?;
        }
        let fees = FeeEstimates::from([(1, 2.0), (6, 1.0)]);
        Ok(Self { node: Mutex::new(node), faucet, faults: Mutex::default(), fees: Mutex::new(fees) })
    }

    /// Runs `task` on the node, brought up to date first. Blocks: async callers use a blocking thread.
    pub(crate) fn with_node<T>(
        &self,
        task: impl FnOnce(&mut dyn Node) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut node = lock(&self.node);
        node.refresh()?;
        task(&mut **node)
    }

    fn read<T>(&self, question: impl FnOnce(&Ledger) -> T) -> anyhow::Result<T> {
        self.with_node(|node| Ok(question(node.ledger())))
    }

    pub(crate) fn mine(&self, blocks: u32) -> anyhow::Result<Tip> {
        self.with_node(|node| {
            node.mine(blocks, self.faucet.script())?;
            tip_of(node.ledger())
        })
    }

    pub(crate) fn pay(&self, address: &Address, amount: Amount, count: u32) -> anyhow::Result<Txid> {
        self.with_node(|node| self.faucet.pay(node, address, amount, count))
    }

    pub(crate) fn invalidate(&self, depth: u32) -> anyhow::Result<Tip> {
        self.with_node(|node| {
            node.invalidate(depth)?;
            tip_of(node.ledger())
        })
    }

    pub(crate) fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        *lock(&self.faults) = faults;
    }

    pub(crate) fn fee_estimates(&self) -> FeeEstimates {
        lock(&self.fees).clone()
    }

    pub(crate) fn set_fee_estimates(&self, fees: FeeEstimates) {
        *lock(&self.fees) = fees;
    }

    /// Mines a block if anything waits for one.
    fn mine_if_waiting(&self) -> anyhow::Result<()> {
        self.with_node(|node| {
            if node.ledger().mempool().next().is_some() {
                node.mine(1, self.faucet.script())?;
            }
            Ok(())
        })
    }
}

fn tip_of(ledger: &Ledger) -> anyhow::Result<Tip> {
    let tip = ledger.tip().context("the chain has no genesis block")?;
    Ok(Tip { height: ledger.tip_height(), hash: tip.hash })
}

/// A running regtest chain with its HTTP face. Dropping it stops both.
///
/// The methods block for as long as the node takes (milliseconds) and may be called from any thread.
/// They bypass the face, so [`Faults`] do not touch them. Each errors when the node does not answer.
pub struct Regtest {
    chain: SharedChain,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Regtest {
    /// Starts a chain with twenty mature coinbases, or the one that was kept, and its face on `bind` (port 0
    /// picks a free one).
    /// Errors when the address is taken or the node does not start.
    pub fn start(backend: Backend, bind: SocketAddr, options: RegtestOptions) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(bind).with_context(|| format!("cannot listen on {bind}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let chain = Arc::new(Chain::start(backend, options.keep.as_deref())?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("regtest-face")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&chain);
        let thread = std::thread::Builder::new().name("regtest".into()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(served, listener, options, stopped)) {
                tracing::error!("the regtest face ended: {error:#}");
            }
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })?;
        Ok(Self { chain, address, stop: Some(stop), thread: Some(thread) })
    }

    /// Base URL of the Esplora face, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Mines blocks with what the mempool holds and returns the new tip.
    pub fn mine(&self, blocks: u32) -> anyhow::Result<Tip> {
        self.chain.mine(blocks)
    }

    /// Pays an address one output and confirms it by one block. Errors above 10,000 BTC, below the
    /// dust limit, or when the chain's coins are spent.
    pub fn fund(&self, address: &Address, amount: Amount) -> anyhow::Result<Txid> {
        self.chain.pay(address, amount, 1)
    }

    /// Pays an address `count` equal outputs in one transaction and confirms it by one block.
    /// Errors as [`Regtest::fund`], and above 1,000 outputs.
    pub fn fund_many(&self, address: &Address, amount: Amount, count: u32) -> anyhow::Result<Txid> {
        self.chain.pay(address, amount, count)
    }

    /// The best block.
    pub fn tip(&self) -> anyhow::Result<Tip> {
        self.chain.with_node(|node| tip_of(node.ledger()))
    }

    /// Blocks from the one that holds a transaction to the tip, both counted; 0 while it is in the
    /// mempool; `None` if it is unknown.
    pub fn confirmations(&self, txid: &Txid) -> anyhow::Result<Option<u32>> {
        self.chain.read(|ledger| {
            let record = ledger.get(txid)?;
            Some(
                record
                    .height
                    .map_or(0, |height| ledger.tip_height().saturating_sub(height).saturating_add(1)),
            )
        })
    }

    /// A transaction of the best chain or the mempool.
    pub fn transaction(&self, txid: &Txid) -> anyhow::Result<Option<Transaction>> {
        self.chain.read(|ledger| ledger.get(txid).map(|record| record.tx.clone()))
    }

    /// Ids of the unconfirmed transactions.
    pub fn mempool(&self) -> anyhow::Result<Vec<Txid>> {
        self.chain.read(|ledger| ledger.mempool().collect())
    }

    /// Transactions of the best chain that spend an outpoint: at most one, or the chain is broken.
    /// Read from the blocks themselves, so that it can serve as an oracle against double payment.
    pub fn spends_of(&self, outpoint: &OutPoint) -> anyhow::Result<Vec<Txid>> {
        self.chain.read(|ledger| {
            let transactions = ledger.blocks().iter().flat_map(|record| &record.block.txdata);
            transactions
                .filter(|tx| tx.input.iter().any(|input| input.previous_output == *outpoint))
                .map(Transaction::compute_txid)
                .collect()
        })
    }

    /// Every output of the best chain that pays a script, spent or not, oldest first. Read from the
    /// blocks themselves.
    pub fn payments_to(&self, script: &Script) -> anyhow::Result<Vec<Payment>> {
        self.chain.read(|ledger| {
            let mut payments = Vec::new();
            for (height, record) in (0..).zip(ledger.blocks()) {
                for tx in &record.block.txdata {
                    let txid = tx.compute_txid();
                    for (vout, output) in (0..).zip(&tx.output) {
                        if *output.script_pubkey == *script {
                            payments.push(Payment {
                                outpoint: OutPoint { txid, vout },
                                amount: output.value,
                                height,
                            });
                        }
                    }
                }
            }
            payments
        })
    }

    /// Sum of a script's unspent outputs, unconfirmed ones included.
    pub fn balance(&self, script: &Script) -> anyhow::Result<Amount> {
        self.chain
            .read(|ledger| ledger.unspent(&script_key(script)).iter().map(|coin| coin.output.value).sum())
    }

    /// Offers a transaction to the node, around the face. Errors with the node's refusal.
    pub fn broadcast(&self, tx: &Transaction) -> anyhow::Result<Txid> {
        self.chain.with_node(|node| Ok(node.submit(tx)?))
    }

    /// Disconnects the newest blocks; their transactions return to the mempool. Mine more blocks than
    /// that to complete a reorganisation.
    pub fn invalidate(&self, depth: u32) -> anyhow::Result<Tip> {
        self.chain.invalidate(depth)
    }

    /// Drops an unconfirmed transaction and its descendants, as a full mempool would. Errors on the
    /// bitcoind backend, which cannot, and for transactions that are not in the mempool.
    pub fn evict(&self, txid: &Txid) -> anyhow::Result<Vec<Txid>> {
        self.chain.with_node(|node| node.evict(txid))
    }

    /// Makes the face misbehave from the next request on.
    pub fn set_faults(&self, faults: Faults) {
        self.chain.set_faults(faults);
    }

    /// Replaces the estimates that the face shows.
    pub fn set_fee_estimates(&self, fees: FeeEstimates) {
        self.chain.set_fee_estimates(fees);
    }

    /// Stops the face and the node and waits for both.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Regtest {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    chain: SharedChain,
    listener: TcpListener,
    options: RegtestOptions,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let app = control::router(Arc::clone(&chain)).merge(esplora::router(Arc::clone(&chain)));
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = auto_mine(chain, options.auto_mine) => {}
        _ = stopped => {}
    }
    Ok(())
}

/// Mines whenever something waits; never returns.
async fn auto_mine(chain: SharedChain, every: Option<Duration>) {
    let Some(every) = every else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mined = Arc::clone(&chain);
        match tokio::task::spawn_blocking(move || mined.mine_if_waiting()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("cannot mine: {error:#}"),
            Err(error) => tracing::error!("mining ended abnormally: {error}"),
        }
    }
}
