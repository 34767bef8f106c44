//! A chain inside this process: real blocks and transactions, no network, nothing to download.
//!
//! It is a sole miner, so it never meets a foreign block: what it mines comes from its own mempool,
//! whose door is [`super::policy`]. Blocks are complete (BIP34 height, witness commitment, merkle
//! root, regtest proof of work), and start from the genesis block that the bitcoin crate defines.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::OP_0;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Weight, Witness, WitnessMerkleNode, constants, transaction,
};

use super::blockfile::BlockFile;
use super::ledger::Ledger;
use super::node::{Node, SubmitError};
use super::policy;

/// Regtest halves the subsidy this often.
const HALVING_INTERVAL: u32 = 150;
/// Weight that a block leaves for its header and coinbase.
const RESERVED: Weight = Weight::from_wu(4_000);

/// The embedded node.
pub(crate) struct Embedded {
    ledger: Ledger,
    clock: BlockClock,
    kept: Option<BlockFile>,
}

/// Timestamps for mined blocks. Each batch begins later than every block before it, whether still in
/// the chain or not, so a block mined after a reorganisation never has the hash of the one it replaces.
#[derive(Default)]
pub(crate) struct BlockClock {
    latest: u32,
}

impl BlockClock {
    /// Seconds since 1970 for the next batch of blocks: now, or a second after the latest block. The
    /// first batch is an hour old, so that its many blocks do not run ahead of the clock: each block
    /// must be later than the median of eleven before it.
    pub(crate) fn next_batch(&mut self) -> u32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        if self.latest == 0 { now.saturating_sub(3_600) } else { now.max(self.latest.saturating_add(1)) }
    }

    /// Takes note of a mined block's timestamp.
    pub(crate) fn mined(&mut self, time: u32) {
        self.latest = self.latest.max(time);
    }
}

impl Embedded {
    /// A chain that holds the regtest genesis block.
    pub(crate) fn new() -> Self {
        let mut ledger = Ledger::default();
        ledger.connect(constants::genesis_block(Network::Regtest));
        Self { ledger, clock: BlockClock::default(), kept: None }
    }

    /// The chain that `dir/blocks` holds, or a new one that will be kept there. Errors when the file is unreadable.
    pub(crate) fn kept_in(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (kept, blocks) = BlockFile::open(&dir.join("blocks"))?;
        let mut node = Self::new();
        for block in blocks {
            node.clock.mined(block.header.time);
            node.ledger.connect(block);
        }
        node.kept = Some(kept);
        Ok(node)
    }

    /// Brings the file in line with the chain, whose genesis block it lacks.
    fn keep(&mut self) -> anyhow::Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let height = usize::try_from(self.ledger.tip_height())?;
        if height < kept.len() {
            kept.cut(height)?;
        }
        for record in self.ledger.blocks().iter().skip(kept.len().saturating_add(1)) {
            kept.append(&record.block)?;
        }
        Ok(())
    }

    /// Puts back into the mempool what it still allows, parents before children.
    fn readmit(&mut self, transactions: Vec<Transaction>) {
        for tx in transactions {
            if policy::check(&self.ledger, &tx).is_ok_and(|evicted| evicted.is_empty()) {
                self.ledger.add_unconfirmed(tx);
            }
        }
    }

    fn template(&self) -> Vec<Transaction> {
        let mut room = Weight::MAX_BLOCK.checked_sub(RESERVED).unwrap_or(Weight::ZERO);
        let mut chosen = Vec::new();
        for record in self.ledger.mempool().filter_map(|txid| self.ledger.get(&txid)) {
            // Parents come first: once something does not fit, its children must not overtake it.
            let Some(left) = room.checked_sub(record.tx.weight()) else {
                break;
            };
            room = left;
            chosen.push(record.tx.clone());
        }
        chosen
    }

    fn assemble(
        &self,
        transactions: Vec<Transaction>,
        script: &ScriptBuf,
        time: u32,
    ) -> anyhow::Result<Block> {
        let tip = self.ledger.tip().context("the chain has no genesis block")?;
        let height = self.ledger.tip_height().checked_add(1).context("the chain is full")?;
        let fees: u64 = transactions.iter().map(|tx| self.ledger.fee(tx)).sum();
        let mut txdata = vec![coinbase(height, fees, script)];
        txdata.extend(transactions);
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(0x2000_0000),
                prev_blockhash: tip.hash,
                merkle_root: TxMerkleNode::all_zeros(),
                time: time.max(tip.median_time.saturating_add(1)),
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce: 0,
            },
            txdata,
        };
        commit_to_witnesses(&mut block)?;
        block.header.merkle_root = block.compute_merkle_root().context("the block is empty")?;
        let target = block.header.target();
        while !target.is_met_by(block.block_hash()) {
            block.header.nonce =
                block.header.nonce.checked_add(1).context("no nonce meets regtest's target")?;
        }
        Ok(block)
    }
}

/// A coinbase that pays subsidy and fees to a script, with the height in its input (BIP34).
fn coinbase(height: u32, fees: u64, script: &ScriptBuf) -> Transaction {
    let halvings = height.checked_div(HALVING_INTERVAL).unwrap_or(u32::MAX);
    let subsidy = Amount::from_int_btc(50).to_sat().checked_shr(halvings).unwrap_or(0);
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height.into()).push_opcode(OP_0).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0u8; 32]]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(subsidy.saturating_add(fees)),
            script_pubkey: script.clone(),
        }],
    }
}

/// Adds the output by which a coinbase commits to every witness in the block (BIP141).
fn commit_to_witnesses(block: &mut Block) -> anyhow::Result<()> {
    let root: WitnessMerkleNode = block.witness_root().context("the block is empty")?;
    let commitment = Block::compute_witness_commitment(&root, &[0u8; 32]);
    let mut data = [0u8; 36];
    let (magic, hash) = data.split_at_mut(4);
    magic.copy_from_slice(&[0xaa, 0x21, 0xa9, 0xed]);
    hash.copy_from_slice(commitment.as_byte_array());
    let coinbase = block.txdata.first_mut().context("the block has no coinbase")?;
    coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return(data) });
    Ok(())
}

impl Node for Embedded {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn refresh(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn submit(&mut self, tx: &Transaction) -> Result<Txid, SubmitError> {
        let txid = tx.compute_txid();
        if self.ledger.get(&txid).is_some_and(|record| record.height.is_none()) {
            return Ok(txid);
        }
        for evicted in policy::check(&self.ledger, tx)? {
            self.ledger.remove_with_descendants(&evicted);
        }
        self.ledger.add_unconfirmed(tx.clone());
        Ok(txid)
    }

    fn mine(&mut self, blocks: u32, script: &ScriptBuf) -> anyhow::Result<()> {
        let time = self.clock.next_batch();
        for _ in 0..blocks {
            let block = self.assemble(self.template(), script, time)?;
            self.clock.mined(block.header.time);
            self.ledger.connect(block);
        }
        self.keep()
    }

    fn invalidate(&mut self, depth: u32) -> anyhow::Result<()> {
        let tip = self.ledger.tip_height();
        anyhow::ensure!(depth <= tip, "cannot disconnect {depth} blocks: only {tip} lie above genesis");
        let waiting: Vec<Txid> = self.ledger.mempool().collect();
        let mut returning: Vec<Transaction> = Vec::new();
        for _ in 0..depth {
            let block = self.ledger.disconnect().context("the chain is shorter than it says")?;
            let transactions = block.txdata.into_iter().filter(|tx| !tx.is_coinbase());
            returning.splice(0..0, transactions);
        }
        for txid in waiting {
            if let Some(tx) = self.ledger.get(&txid).map(|record| record.tx.clone()) {
                self.ledger.remove_unconfirmed(&txid);
                returning.push(tx);
            }
        }
        self.readmit(returning);
        self.keep()
    }

    fn evict(&mut self, txid: &Txid) -> anyhow::Result<Vec<Txid>> {
        let dropped = self.ledger.remove_with_descendants(txid);
        anyhow::ensure!(!dropped.is_empty(), "transaction {txid} is not in the mempool");
        Ok(dropped.iter().map(Transaction::compute_txid).collect())
    }
}
