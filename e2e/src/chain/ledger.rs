//! What the best chain and the mempool hold, indexed for the questions an Esplora client asks.
//!
//! The ledger decides nothing: a node ([`super::node::Node`]) tells it which blocks and transactions
//! it took, and the face and the test oracles read it. At any moment it describes one best chain and
//! one mempool that does not conflict with it.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Txid};

/// SHA-256 of a script, the key of Esplora's `/scripthash` routes (hex in this byte order).
pub(crate) type ScriptKey = sha256::Hash;

/// Hashes a script the way Esplora keys it.
pub(crate) fn script_key(script: &bitcoin::Script) -> ScriptKey {
    sha256::Hash::hash(script.as_bytes())
}

/// A block of the best chain.
pub(crate) struct BlockRecord {
    pub(crate) hash: BlockHash,
    pub(crate) block: Block,
    /// Median of the last eleven timestamps, this block's included, in seconds since 1970.
    pub(crate) median_time: u32,
}

/// A transaction of the best chain or of the mempool.
pub(crate) struct TxRecord {
    pub(crate) tx: Transaction,
    /// Height of the block that holds it; `None` while it waits in the mempool.
    pub(crate) height: Option<u32>,
    /// Place in the order in which the ledger learnt of transactions.
    pub(crate) sequence: u64,
    /// The scripts it pays and spends.
    scripts: BTreeSet<ScriptKey>,
}

/// An unspent output of some script.
pub(crate) struct Coin {
    pub(crate) outpoint: OutPoint,
    pub(crate) output: TxOut,
    /// Height of the block that created it; `None` while unconfirmed.
    pub(crate) height: Option<u32>,
    pub(crate) coinbase: bool,
}

/// The best chain, the mempool and their indexes.
#[derive(Default)]
pub(crate) struct Ledger {
    blocks: Vec<BlockRecord>,
    heights: BTreeMap<BlockHash, u32>,
    transactions: BTreeMap<Txid, TxRecord>,
    mempool: BTreeMap<u64, Txid>,
    spends: BTreeMap<OutPoint, (Txid, u32)>,
    history: BTreeMap<ScriptKey, BTreeSet<Txid>>,
    next_sequence: u64,
}

impl Ledger {
    /// Height of the best block; the genesis block has height 0.
    pub(crate) fn tip_height(&self) -> u32 {
        u32::try_from(self.blocks.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The best block; `None` only before the genesis block is connected.
    pub(crate) fn tip(&self) -> Option<&BlockRecord> {
        self.blocks.last()
    }

    /// The best chain from genesis to tip.
    pub(crate) fn blocks(&self) -> &[BlockRecord] {
        &self.blocks
    }

    /// The block of the best chain at a height.
    pub(crate) fn block_at(&self, height: u32) -> Option<&BlockRecord> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    /// Height of a block in the best chain; `None` if it is unknown or was disconnected.
    pub(crate) fn height_of(&self, hash: &BlockHash) -> Option<u32> {
        self.heights.get(hash).copied()
    }

    /// A transaction of the best chain or the mempool.
    pub(crate) fn get(&self, txid: &Txid) -> Option<&TxRecord> {
        self.transactions.get(txid)
    }

    /// Unconfirmed transactions, parents before children.
    pub(crate) fn mempool(&self) -> impl DoubleEndedIterator<Item = Txid> + '_ {
        self.mempool.values().copied()
    }

    /// The output that an outpoint names, spent or not.
    pub(crate) fn output(&self, outpoint: &OutPoint) -> Option<&TxOut> {
        let vout = usize::try_from(outpoint.vout).ok()?;
        self.transactions.get(&outpoint.txid)?.tx.output.get(vout)
    }

    /// Who spends an outpoint, in the best chain or the mempool, and by which input.
    pub(crate) fn spender(&self, outpoint: &OutPoint) -> Option<(Txid, u32)> {
        self.spends.get(outpoint).copied()
    }

    /// Inputs minus outputs in satoshi; 0 for a coinbase or when a spent output is unknown.
    pub(crate) fn fee(&self, tx: &Transaction) -> u64 {
        if tx.is_coinbase() {
            return 0;
        }
        let spent: Option<u64> =
            tx.input.iter().map(|input| Some(self.output(&input.previous_output)?.value.to_sat())).sum();
        let paid: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
        spent.unwrap_or(0).saturating_sub(paid)
    }

    /// Every transaction that pays or spends a script, newest first: the mempool, then the chain
    /// from the tip down.
    pub(crate) fn history(&self, script: &ScriptKey) -> Vec<(Txid, &TxRecord)> {
        let txids = self.history.get(script).into_iter().flatten();
        let mut found: Vec<_> =
            txids.filter_map(|txid| Some((*txid, self.transactions.get(txid)?))).collect();
        found.sort_by_key(|(_, record)| {
            std::cmp::Reverse((record.height.map_or(u64::MAX, u64::from), record.sequence))
        });
        found
    }

    /// Outputs of a script that nothing in the best chain or the mempool spends, oldest first.
    pub(crate) fn unspent(&self, script: &ScriptKey) -> Vec<Coin> {
        let mut coins = Vec::new();
        for (txid, record) in self.history(script).into_iter().rev() {
            for (vout, output) in (0..).zip(&record.tx.output) {
                let outpoint = OutPoint { txid, vout };
                if script_key(&output.script_pubkey) == *script && !self.spends.contains_key(&outpoint) {
                    coins.push(Coin {
                        outpoint,
                        output: output.clone(),
                        height: record.height,
                        coinbase: record.tx.is_coinbase(),
                    });
                }
            }
        }
        coins
    }

    /// Appends a block. Its transactions leave the mempool, and so does whatever conflicts with them.
    pub(crate) fn connect(&mut self, block: Block) {
        for tx in block.txdata.iter().filter(|tx| !tx.is_coinbase()) {
            let txid = tx.compute_txid();
            for input in &tx.input {
                if let Some((other, _)) = self.spender(&input.previous_output)
                    && other != txid
                {
                    self.remove_with_descendants(&other);
                }
            }
            self.forget(&txid);
        }
        let height = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        for tx in &block.txdata {
            self.learn(tx.clone(), Some(height));
        }
        let hash = block.block_hash();
        let mut times: Vec<u32> = self.blocks.iter().rev().take(10).map(|b| b.block.header.time).collect();
        times.push(block.header.time);
        times.sort_unstable();
        let median_time = times.get(times.len() / 2).copied().unwrap_or(block.header.time);
        self.heights.insert(hash, height);
        self.blocks.push(BlockRecord { hash, block, median_time });
    }

    /// Removes the best block and returns it; its transactions are unknown afterwards.
    pub(crate) fn disconnect(&mut self) -> Option<Block> {
        let record = self.blocks.pop()?;
        self.heights.remove(&record.hash);
        for tx in record.block.txdata.iter().rev() {
            self.forget(&tx.compute_txid());
        }
        Some(record.block)
    }

    /// Takes a transaction into the mempool. The caller has checked it, and its parents are known.
    pub(crate) fn add_unconfirmed(&mut self, tx: Transaction) {
        if !self.transactions.contains_key(&tx.compute_txid()) {
            self.learn(tx, None);
        }
    }

    /// Drops an unconfirmed transaction and everything in the mempool that spends it; returns the
    /// dropped ones. Does nothing to confirmed transactions.
    pub(crate) fn remove_with_descendants(&mut self, txid: &Txid) -> Vec<Transaction> {
        let mut dropped = Vec::new();
        for gone in self.descendants(txid) {
            dropped.extend(self.forget(&gone));
        }
        dropped
    }

    /// Drops one unconfirmed transaction, for a node that decides about its children itself.
    pub(crate) fn remove_unconfirmed(&mut self, txid: &Txid) {
        if self.get(txid).is_some_and(|record| record.height.is_none()) {
            self.forget(txid);
        }
    }

    /// An unconfirmed transaction and all unconfirmed transactions that depend on it; empty if it is
    /// not in the mempool.
    pub(crate) fn descendants(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.closure(*txid, |record, id| {
            (0..record.tx.output.len())
                .filter_map(|vout| {
                    Some(self.spender(&OutPoint { txid: id, vout: u32::try_from(vout).ok()? })?.0)
                })
                .collect()
        })
    }

    /// An unconfirmed transaction and all unconfirmed transactions that it depends on; empty if it
    /// is not in the mempool.
    pub(crate) fn ancestors(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.closure(*txid, |record, _| {
            record.tx.input.iter().map(|input| input.previous_output.txid).collect()
        })
    }

    fn closure(&self, start: Txid, next: impl Fn(&TxRecord, Txid) -> Vec<Txid>) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut open = vec![start];
        while let Some(txid) = open.pop() {
            let Some(record) = self.get(&txid).filter(|record| record.height.is_none()) else {
                continue;
            };
            if found.insert(txid) {
                open.extend(next(record, txid));
            }
        }
        found
    }

    fn learn(&mut self, tx: Transaction, height: Option<u32>) {
        let txid = tx.compute_txid();
        let scripts = self.scripts_of(&tx);
        for script in &scripts {
            self.history.entry(*script).or_default().insert(txid);
        }
        if !tx.is_coinbase() {
            for (vin, input) in (0..).zip(&tx.input) {
                self.spends.insert(input.previous_output, (txid, vin));
            }
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.saturating_add(1);
        if height.is_none() {
            self.mempool.insert(sequence, txid);
        }
        self.transactions.insert(txid, TxRecord { tx, height, sequence, scripts });
    }

    fn forget(&mut self, txid: &Txid) -> Option<Transaction> {
        let record = self.transactions.remove(txid)?;
        self.mempool.remove(&record.sequence);
        for input in &record.tx.input {
            if self.spends.get(&input.previous_output).is_some_and(|(spender, _)| spender == txid) {
                self.spends.remove(&input.previous_output);
            }
        }
        for script in &record.scripts {
            if let Some(txids) = self.history.get_mut(script) {
                txids.remove(txid);
            }
        }
        Some(record.tx)
    }

    fn scripts_of(&self, tx: &Transaction) -> BTreeSet<ScriptKey> {
        let spent = tx.input.iter().filter_map(|input| self.output(&input.previous_output));
        tx.output.iter().chain(spent).map(|output| script_key(&output.script_pubkey)).collect()
    }
}
