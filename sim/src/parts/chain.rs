//! An honest chain in the manner of regtest: real transactions with real txids, a mempool, blocks at intervals.
//!
//! It can be undone from the tip, forget its mempool, and be robbed: [`Chain::reorganise`], [`Chain::evict`],
//! [`Chain::steal`]. It refuses what a Bitcoin node refuses: missing or spent inputs, more out than in, a fee below the relay floor,
//! and a witness that does not verify for exactly this transaction. What waits for a block gives way to what pays enough more,
//! whatever it signals. Time and failures are the world's business.

mod mempool;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime,
    hashes::{Hash, HashEngine, sha256},
    transaction::Version,
};
use mpc_wallet_core::{
    chain::{BroadcastOutcome, ChainObservation, ChainQuery, ChainView, Coin, CoinStatus, TxPresence},
    record::BlockRef,
};

use super::purse::Purse;

/// Relay floor of 1 sat/vB.
const RELAY_FLOOR_SAT_PER_KVB: u64 = 1_000;

/// Time of the genesis block's header, seconds since the Unix epoch; each block adds ten minutes.
const GENESIS_TIME: u64 = 1_700_000_000;

#[derive(Clone)]
struct Known {
    transaction: Transaction,
    block: Option<BlockRef>,
}

/// The ledger and its backend.
#[derive(Clone)]
pub(crate) struct Chain {
    wallets: Vec<Purse>,
    tip: BlockRef,
    known: BTreeMap<Txid, Known>,
    spenders: BTreeMap<OutPoint, Txid>,
    /// Transactions refused or evicted for a conflict: the backend can then tell what became of them.
    losers: BTreeMap<Txid, Transaction>,
    mempool: Vec<Txid>,
    funded: u64,
    /// Nothing up to this block is ever undone: the wallet's funds are in it, or a theft or the winner of a family, which a
    /// cluster may take for final as soon as it is as deep as payments must be.
    anchored: u32,
    /// Number of times the tip was undone, so that no block comes twice.
    undone: u32,
    stolen: BTreeSet<Txid>,
    /// Estimates are multiplied by this.
    fee_times: u64,
}

impl Chain {
    /// A chain of one block.
    #[must_use]
    pub(crate) fn new() -> Self {
        let tip = BlockRef { height: 100, hash: BlockHash::all_zeros() };
        Self {
            wallets: vec![],
            tip,
            known: BTreeMap::new(),
            spenders: BTreeMap::new(),
            losers: BTreeMap::new(),
            mempool: vec![],
            funded: 0,
            anchored: tip.height,
            undone: 0,
            stolen: BTreeSet::new(),
            fee_times: 1,
        }
    }

    /// Gives a wallet one confirmed coin for each amount.
    pub(crate) fn fund(&mut self, wallet: Purse, amounts: &[u64]) {
        for &amount in amounts {
            self.funded += 1;
            let source = sha256::Hash::hash(&self.funded.to_be_bytes()).to_byte_array();
            let transaction = Transaction {
                version: Version::TWO,
                lock_time: LockTime::ZERO,
                input: vec![TxIn {
                    previous_output: OutPoint { txid: Txid::from_byte_array(source), vout: 0 },
                    script_sig: ScriptBuf::new(),
                    sequence: Sequence::MAX,
                    witness: Witness::new(),
                }],
                output: vec![TxOut {
                    value: Amount::from_sat(amount),
                    script_pubkey: wallet.script().clone(),
                }],
            };
            let txid = transaction.compute_txid();
            self.known.insert(txid, Known { transaction, block: None });
            self.mempool.push(txid);
        }
        self.wallets.push(wallet);
        self.mine();
        self.anchored = self.tip.height;
    }

    /// Puts the whole mempool into a block; gives its transactions.
    pub(crate) fn mine(&mut self) -> Vec<Txid> {
        let mined = std::mem::take(&mut self.mempool);
        let mut engine = sha256::Hash::engine();
        engine.input(self.tip.hash.as_byte_array());
        engine.input(&self.tip.height.to_be_bytes());
        engine.input(&self.undone.to_be_bytes());
        for txid in &mined {
            engine.input(txid.as_byte_array());
        }
        let hash = BlockHash::from_byte_array(sha256::Hash::from_engine(engine).to_byte_array());
        self.tip = BlockRef { height: self.tip.height + 1, hash };
        for txid in &mined {
            if let Some(known) = self.known.get_mut(txid) {
                known.block = Some(self.tip);
            }
        }
        self.anchor_winners();
        mined
    }

    /// Undoes the last `depth` blocks, as far as the wallet's funds, and finds empty ones, one more, in their place. What was
    /// in them returns to the mempool, or is forgotten with all that spends it. Gives the transactions that lost their
    /// block.
    pub(crate) fn reorganise(&mut self, depth: u32, forgets: bool) -> Vec<Txid> {
        let depth = depth.min(self.tip.height.saturating_sub(self.anchored));
        let last = self.tip.height.saturating_sub(depth);
        let undone: Vec<Txid> = self
            .known
            .iter()
            .filter(|(txid, known)| {
                !self.stolen.contains(*txid) && known.block.is_some_and(|block| block.height > last)
            })
            .map(|(txid, _)| *txid)
            .collect();
        for txid in &undone {
            if let Some(known) = self.known.get_mut(txid) {
                known.block = None;
            }
        }
        self.undone += 1;
        self.tip.height = last;
        let waiting = std::mem::take(&mut self.mempool);
        for _ in 0..=depth {
            self.mine();
        }
        self.mempool = undone.iter().copied().chain(waiting).collect();
        if forgets {
            for txid in &undone {
                self.forget(*txid);
            }
        }
        undone
    }

    /// The mempool is lost; gives what was in it.
    pub(crate) fn evict(&mut self) -> Vec<Txid> {
        let lost = self.mempool.clone();
        for txid in &lost {
            self.forget(*txid);
        }
        lost
    }

    fn forget(&mut self, txid: Txid) {
        let Some(known) = self.known.remove(&txid) else { return };
        self.mempool.retain(|other| *other != txid);
        for input in &known.transaction.input {
            self.spenders.remove(&input.previous_output);
        }
        let children: Vec<Txid> = self
            .spenders
            .iter()
            .filter(|(outpoint, _)| outpoint.txid == txid)
            .map(|(_, spender)| *spender)
            .collect();
        for child in children {
            self.forget(child);
        }
    }

    /// Somebody with a wallet's key, though not one of its members, takes the greatest confirmed coin into a block
    /// of his own. A transaction of the mempool that wanted the coin has lost it. Gives his transaction, `None` if there
    /// is nothing to take.
    pub(crate) fn steal(&mut self) -> Option<Transaction> {
        let best = self
            .known
            .iter()
            .filter(|(_, known)| known.block.is_some())
            .flat_map(|(txid, known)| {
                (0u32..)
                    .zip(&known.transaction.output)
                    .map(|(vout, output)| (OutPoint { txid: *txid, vout }, output))
            })
            .filter(|(outpoint, output)| {
                let spender = self.spenders.get(outpoint).and_then(|by| self.known.get(by));
                self.wallet_of(output).is_some() && spender.is_none_or(|by| by.block.is_none())
            })
            .max_by_key(|(outpoint, output)| (output.value, *outpoint))
            .map(|(outpoint, output)| (outpoint, output.value));
        let (outpoint, value) = best?;
        if let Some(robbed) = self.spenders.get(&outpoint).copied() {
            if let Some(known) = self.known.get(&robbed) {
                self.losers.insert(robbed, known.transaction.clone());
            }
            self.forget(robbed);
        }
        let transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn { previous_output: outpoint, ..TxIn::default() }],
            output: vec![TxOut { value, script_pubkey: ScriptBuf::from_bytes(vec![0x51]) }],
        };
        let txid = transaction.compute_txid();
        self.spenders.insert(outpoint, txid);
        self.stolen.insert(txid);
        let waiting = std::mem::replace(&mut self.mempool, vec![txid]);
        self.known.insert(txid, Known { transaction: transaction.clone(), block: None });
        self.mine();
        self.mempool = waiting;
        self.anchored = self.tip.height;
        Some(transaction)
    }

    /// Satoshis of a wallet that are gone by theft, as the chain stands now: a thief's coin may be undone with its parent.
    #[must_use]
    pub(crate) fn stolen(&self, script: &ScriptBuf) -> u64 {
        let thefts = self.stolen.iter().filter_map(|txid| self.known.get(txid));
        let taken = thefts.flat_map(|known| &known.transaction.input);
        let coins = taken.filter_map(|input| self.coin(&input.previous_output));
        coins.filter(|coin| coin.script_pubkey == *script).map(|coin| coin.value.to_sat()).sum()
    }

    /// The wallet that a coin belongs to.
    fn wallet_of(&self, coin: &TxOut) -> Option<&Purse> {
        self.wallets.iter().find(|wallet| coin.script_pubkey == *wallet.script())
    }

    /// From now on estimates are this many times what they are.
    pub(crate) const fn multiply_fees(&mut self, times: u64) {
        self.fee_times = times;
    }

    /// Best block.
    #[must_use]
    pub(crate) const fn tip(&self) -> BlockRef {
        self.tip
    }

    /// Answers a question as of now.
    pub(crate) fn answer(&mut self, question: &ChainQuery) -> ChainObservation {
        match question {
            ChainQuery::Poll { scripts, watch } => ChainObservation::Poll(self.view(scripts, watch)),
            ChainQuery::Coins { outpoints } => ChainObservation::Coins(
                outpoints.iter().map(|outpoint| (*outpoint, self.coin_status(outpoint))).collect(),
            ),
            ChainQuery::Broadcast { transaction, .. } => {
                let txid = transaction.compute_txid();
                ChainObservation::Broadcast { txid, outcome: self.broadcast(transaction) }
            }
        }
    }

    fn view(&self, scripts: &[ScriptBuf], watch: &[Txid]) -> ChainView {
        ChainView {
            tip: self.tip,
            tip_time: GENESIS_TIME + u64::from(self.tip.height) * 600,
            fee_estimates: [(1, 8_000), (6, 3_000), (144, 1_200)]
                .map(|(blocks, rate)| (blocks, rate * self.fee_times))
                .to_vec(),
            coins: self.unspent(scripts),
            watched: watch.iter().map(|txid| (*txid, self.presence(txid))).collect(),
        }
    }

    fn unspent(&self, scripts: &[ScriptBuf]) -> Vec<Coin> {
        let mut coins = vec![];
        for (txid, known) in &self.known {
            for (vout, output) in (0u32..).zip(&known.transaction.output) {
                let outpoint = OutPoint { txid: *txid, vout };
                if scripts.contains(&output.script_pubkey) && !self.spenders.contains_key(&outpoint) {
                    let height = known.block.map(|block| block.height);
                    coins.push(Coin { outpoint, output: output.clone(), height, coinbase: false });
                }
            }
        }
        coins
    }

    fn presence(&self, txid: &Txid) -> TxPresence {
        if let Some(known) = self.known.get(txid) {
            return known.block.map_or(TxPresence::Mempool, TxPresence::Confirmed);
        }
        let rival = self.losers.get(txid).and_then(|loser| {
            loser.input.iter().find_map(|input| self.spenders.get(&input.previous_output).copied())
        });
        rival.map_or(TxPresence::Absent, |by| TxPresence::Conflicted {
            by,
            block: self.known.get(&by).and_then(|known| known.block),
        })
    }

    fn coin_status(&self, outpoint: &OutPoint) -> CoinStatus {
        self.known.get(&outpoint.txid).map_or(CoinStatus::Unknown, |known| CoinStatus::Known {
            parent: known.transaction.clone(),
            height: known.block.map(|block| block.height),
            spent_by: self.spenders.get(outpoint).copied(),
        })
    }

    fn broadcast(&mut self, transaction: &Transaction) -> BroadcastOutcome {
        let txid = transaction.compute_txid();
        match self.known.get(&txid) {
            Some(Known { block: Some(_), .. }) => return BroadcastOutcome::AlreadyConfirmed,
            Some(_) => return BroadcastOutcome::Accepted,
            None => {}
        }
        let Some(prevouts) = self.prevouts(transaction) else {
            self.losers.insert(txid, transaction.clone());
            return BroadcastOutcome::InputsMissing;
        };
        let received: u64 = prevouts.iter().map(|output| output.value.to_sat()).sum();
        let paid: u64 = transaction.output.iter().map(|output| output.value.to_sat()).sum();
        let Some(fee) = received.checked_sub(paid) else {
            return BroadcastOutcome::Refused(String::from("bad-txns-in-belowout"));
        };
        if !self.allows(transaction, &prevouts) {
            return BroadcastOutcome::Refused(String::from("mandatory-script-verify-flag-failed"));
        }
        let vsize = u64::try_from(transaction.vsize()).unwrap_or(u64::MAX);
        if fee.saturating_mul(1_000) < vsize.saturating_mul(RELAY_FLOOR_SAT_PER_KVB) {
            return BroadcastOutcome::FeeTooLow;
        }
        if !self.make_way(transaction, fee, vsize) {
            self.losers.insert(txid, transaction.clone());
            return BroadcastOutcome::InputsMissing;
        }
        self.losers.remove(&txid);
        for input in &transaction.input {
            self.spenders.insert(input.previous_output, txid);
        }
        self.known.insert(txid, Known { transaction: transaction.clone(), block: None });
        self.mempool.push(txid);
        BroadcastOutcome::Accepted
    }

    /// What a transaction spends, if all of it is there and none of it is spent in a block.
    fn prevouts(&self, transaction: &Transaction) -> Option<Vec<TxOut>> {
        let free = |coin: &OutPoint| {
            let spender = self.spenders.get(coin).and_then(|by| self.known.get(by));
            spender.is_none_or(|by| by.block.is_none())
        };
        let coins = transaction.input.iter().map(|input| input.previous_output);
        coins.map(|coin| self.coin(&coin).filter(|_| free(&coin)).cloned()).collect()
    }

    /// Whether every coin's wallet allows that it is spent like this.
    fn allows(&self, transaction: &Transaction, prevouts: &[TxOut]) -> bool {
        prevouts.iter().enumerate().all(|(index, coin)| {
            self.wallet_of(coin).is_some_and(|wallet| wallet.allows(transaction, index, prevouts))
        })
    }

    /// The output a coin names, if the chain has it.
    pub(crate) fn coin(&self, outpoint: &OutPoint) -> Option<&TxOut> {
        let vout = usize::try_from(outpoint.vout).ok()?;
        self.known.get(&outpoint.txid)?.transaction.output.get(vout)
    }

    /// Everything in blocks that was not stolen, and where.
    pub(crate) fn confirmed(&self) -> impl Iterator<Item = (Txid, &Transaction, BlockRef)> {
        self.known
            .iter()
            .filter(|(txid, _)| !self.stolen.contains(*txid))
            .filter_map(|(txid, known)| known.block.map(|block| (*txid, &known.transaction, block)))
    }

    /// A transaction in the chain or the mempool.
    #[must_use]
    pub(crate) fn transaction(&self, txid: &Txid) -> Option<&Transaction> {
        self.known.get(txid).map(|known| &known.transaction)
    }

    /// Satoshis on a wallet's script, mempool included.
    #[must_use]
    pub(crate) fn balance(&self, script: &ScriptBuf) -> u64 {
        self.unspent(std::slice::from_ref(script)).iter().map(|coin| coin.output.value.to_sat()).sum()
    }

    /// How many transactions wait for a block.
    #[must_use]
    pub(crate) const fn waiting(&self) -> usize {
        self.mempool.len()
    }
}
