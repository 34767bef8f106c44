//! The wallet as the chain shows it.
//!
//! The tip is read last: then nothing in the view lies above it, unless a reorganisation came in between, which is noticed.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{BlockHash, OutPoint, ScriptBuf, TxOut, Txid};
use esplora_client::{TxStatus, Utxo};
use futures_util::future::{join, try_join, try_join_all};
use mpc_wallet_core::{
    chain::{ChainView, Coin, TxPresence},
    record::BlockRef,
};

use super::{Esplora, api::block_of, error::BackendError};

/// A block reward may be spent in the hundredth block after its own.
const MATURITY: u32 = 100;

/// What was found of a watched transaction, before its block is checked.
enum Trace {
    Present(Option<BlockRef>),
    Conflict { by: Txid, block: Option<BlockRef> },
    Nowhere,
}

impl Esplora {
    /// Answers a poll.
    pub(super) async fn poll(
        &self,
        scripts: Vec<ScriptBuf>,
        watch: Vec<Txid>,
    ) -> Result<ChainView, BackendError> {
        self.verify_network().await?;
        let data = try_join(self.unspent(scripts), self.presences(watch));
        let (data, fee_estimates) = join(data, self.api.fee_estimates()).await;
        let (mut coins, watched) = data?;
        let (tip, tip_time) = self.api.tip().await?;
        let highest = coins.iter().filter_map(|c| c.height).chain(watched.iter().filter_map(height)).max();
        if let Some(height) = highest.filter(|h| *h > tip.height) {
            let above = format!("height {height} is above the tip {}", tip.height);
            return Err(BackendError::Moving(above));
        }
        self.mark_coinbase(&mut coins, tip.height).await?;
        Ok(ChainView { tip, tip_time, fee_estimates, coins, watched })
    }

    /// Coins of the scripts. The server does not repeat the script; it is the one asked for.
    async fn unspent(&self, scripts: Vec<ScriptBuf>) -> Result<Vec<Coin>, BackendError> {
        let scripts: BTreeSet<ScriptBuf> = scripts.into_iter().collect();
        let lists = try_join_all(scripts.iter().map(|script| self.api.unspent(script))).await?;
        let mut coins = BTreeMap::<OutPoint, Coin>::new();
        for (script, list) in scripts.iter().zip(lists) {
            for utxo in list {
                let coin = coin(script, &utxo)?;
                let held = coins.entry(coin.outpoint).or_insert_with(|| coin.clone());
                // Listed twice while it moves from the mempool into a block.
                held.height = held.height.or(coin.height);
            }
        }
        Ok(coins.into_values().collect())
    }

    /// Marks block rewards among the coins where it matters, which is before they are mature.
    async fn mark_coinbase(&self, coins: &mut [Coin], tip: u32) -> Result<(), BackendError> {
        let young = |c: &&mut Coin| c.height.is_some_and(|h| tip.saturating_sub(h) < MATURITY);
        let marks = coins.iter_mut().filter(young).map(|coin| async {
            let txid = coin.outpoint.txid;
            let Some(parent) = self.transaction(txid).await? else {
                return Err(BackendError::Moving(format!("transaction {txid} is gone")));
            };
            coin.coinbase = parent.is_coinbase();
            Ok(())
        });
        try_join_all(marks).await.map(|_| ())
    }

    /// What became of the watched transactions.
    async fn presences(&self, watch: Vec<Txid>) -> Result<Vec<(Txid, TxPresence)>, BackendError> {
        let traces = try_join_all(watch.iter().map(|txid| self.trace(*txid))).await?;
        let named: BTreeSet<BlockHash> = traces.iter().filter_map(Trace::block).map(|b| b.hash).collect();
        let check = |hash| async move { Ok((hash, self.api.in_best_chain(hash).await?)) };
        let best: BTreeMap<BlockHash, bool> =
            try_join_all(named.into_iter().map(check)).await?.into_iter().collect();
        let settled = |block: Option<BlockRef>| block.filter(|b| best.get(&b.hash) == Some(&true));
        let presence = |trace: Trace| match trace {
            Trace::Nowhere => TxPresence::Absent,
            // In a block that left the best chain: it waits for another, until the server has caught up.
            Trace::Present(block) => settled(block).map_or(TxPresence::Mempool, TxPresence::Confirmed),
            Trace::Conflict { by, block } => TxPresence::Conflicted { by, block: settled(block) },
        };
        Ok(watch.into_iter().zip(traces.into_iter().map(presence)).collect())
    }

    async fn trace(&self, txid: Txid) -> Result<Trace, BackendError> {
        let path = format!("/tx/{txid}");
        if let Some(status) = self.api.tx(txid).await? {
            return Ok(Trace::Present(block_of(&path, &status)?));
        }
        // Its inputs are known only if it was sent from here.
        let Some(transaction) = self.sent.get(txid) else { return Ok(Trace::Nowhere) };
        let inputs = transaction.input.iter().map(|i| self.api.outspend(i.previous_output));
        let spends = try_join_all(inputs).await?;
        let mut found = Trace::Nowhere;
        for spend in spends.into_iter().flatten().filter(|s| s.spent) {
            let Some(by) = spend.txid else { continue };
            let block = spend.status.as_ref().map_or(Ok(None), |s: &TxStatus| block_of(&path, s))?;
            if by == txid {
                // It arrived between the two requests.
                return Ok(Trace::Present(block));
            }
            // A spender in a block outweighs one in the mempool.
            if found.block().is_none() {
                found = Trace::Conflict { by, block };
            }
        }
        Ok(found)
    }
}

impl Trace {
    const fn block(&self) -> Option<BlockRef> {
        match self {
            Self::Present(block) | Self::Conflict { block, .. } => *block,
            Self::Nowhere => None,
        }
    }
}

fn coin(script: &ScriptBuf, utxo: &Utxo) -> Result<Coin, BackendError> {
    let outpoint = OutPoint { txid: utxo.txid, vout: utxo.vout };
    let height = match (utxo.status.confirmed, utxo.status.block_height) {
        (false, _) => None,
        (true, Some(height)) => Some(height),
        (true, None) => {
            return Err(BackendError::malformed("utxo", format_args!("{outpoint} has no height")));
        }
    };
    let output = TxOut { value: utxo.value, script_pubkey: script.clone() };
    Ok(Coin { outpoint, output, height, coinbase: false })
}

const fn height((_, presence): &(Txid, TxPresence)) -> Option<u32> {
    match presence {
        TxPresence::Confirmed(block) | TxPresence::Conflicted { block: Some(block), .. } => {
            Some(block.height)
        }
        TxPresence::Absent | TxPresence::Mempool | TxPresence::Conflicted { block: None, .. } => None,
    }
}
