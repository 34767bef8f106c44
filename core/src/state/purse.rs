//! The wallet's coins as this node has seen them in blocks, until they are spent.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Txid};
use serde::Serialize;

use crate::{ids::KeyId, time::Timestamp, tx::Proposal};

/// A coin that was in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeenCoin {
    /// Whose key it belongs to.
    pub key: KeyId,
    /// How much it is.
    pub value: Amount,
}

/// A coin that is gone, and not by a transaction of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LostCoin {
    /// What it was.
    pub coin: SeenCoin,
    /// What spends it; `None` if its own transaction left the chain.
    pub by: Option<Txid>,
    /// When that was put on record.
    pub at: Timestamp,
}

/// Coins seen in blocks: those that no transaction of the cluster has taken out for good, and those that were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purse {
    seen: BTreeMap<OutPoint, SeenCoin>,
    lost: BTreeMap<OutPoint, LostCoin>,
}

impl Purse {
    /// A coin, if it has been seen and is not accounted for.
    #[must_use]
    pub fn coin(&self, coin: &OutPoint) -> Option<SeenCoin> {
        self.seen.get(coin).copied()
    }

    /// Coins that were seen and are not accounted for.
    pub fn seen(&self) -> impl Iterator<Item = &OutPoint> {
        self.seen.keys()
    }

    /// Coins that were lost, ever.
    pub fn lost(&self) -> impl Iterator<Item = (&OutPoint, &LostCoin)> {
        self.lost.iter()
    }

    /// It is in a block, perhaps again.
    pub(super) fn see(&mut self, outpoint: OutPoint, coin: SeenCoin) {
        self.lost.remove(&outpoint);
        self.seen.insert(outpoint, coin);
    }

    /// It is gone.
    pub(super) fn lose(&mut self, outpoint: OutPoint, lost: LostCoin) {
        self.seen.remove(&outpoint);
        self.lost.insert(outpoint, lost);
    }

    /// A transaction of the cluster has spent them for good.
    pub(super) fn spend(&mut self, coins: impl Iterator<Item = OutPoint>) {
        for coin in coins {
            self.seen.remove(&coin);
        }
    }

    /// A transaction that had spent coins for good has lost its block: they may be spent otherwise now.
    pub(super) fn take_back(&mut self, proposal: &Proposal) {
        let key = proposal.key;
        let coins = proposal.coins().zip(&proposal.prevouts);
        self.seen.extend(coins.map(|(coin, prevout)| (coin, SeenCoin { key, value: prevout.value })));
    }

    /// A transaction of the cluster will never be, nor will what it makes.
    pub(super) fn unmake(&mut self, txid: Txid) {
        self.seen.retain(|coin, _| coin.txid != txid);
    }
}
