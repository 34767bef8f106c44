//! Do these coins exist, and are they unspent? On the way of every payment, so everything is asked at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bitcoin::{OutPoint, Transaction, Txid};
use esplora_client::{OutputStatus, TxStatus};
use futures_util::future::{try_join, try_join_all};
use mpc_wallet_core::chain::CoinStatus;

use super::{Esplora, api::block_of, error::BackendError};

/// A parent and where it is.
type Parent = (Arc<Transaction>, TxStatus);

impl Esplora {
    /// Answers for each coin, in the order asked.
    pub(super) async fn coins(
        &self,
        outpoints: Vec<OutPoint>,
    ) -> Result<Vec<(OutPoint, CoinStatus)>, BackendError> {
        let txids: BTreeSet<Txid> = outpoints.iter().map(|o| o.txid).collect();
        let parents = try_join_all(txids.into_iter().map(|txid| self.parent(txid)));
        let spenders = try_join_all(outpoints.iter().map(|coin| self.api.outspend(*coin)));
        self.verify_network().await?;
        let (parents, spenders) = try_join(parents, spenders).await?;
        let parents: BTreeMap<Txid, Parent> = parents.into_iter().flatten().collect();
        outpoints
            .into_iter()
            .zip(spenders)
            .map(|(coin, spender)| Ok((coin, status(coin, parents.get(&coin.txid), spender)?)))
            .collect()
    }

    /// A transaction and where it is. Its bytes may come from the cache; whether it still exists is always asked, because
    /// a mempool forgets.
    async fn parent(&self, txid: Txid) -> Result<Option<(Txid, Parent)>, BackendError> {
        let (status, transaction) = try_join(self.api.tx(txid), self.transaction(txid)).await?;
        Ok(status.zip(transaction).map(|(status, transaction)| (txid, (transaction, status))))
    }

    /// A transaction's bytes, proven to have that txid.
    pub(super) async fn transaction(&self, txid: Txid) -> Result<Option<Arc<Transaction>>, BackendError> {
        if let Some(held) = self.parents.get(txid) {
            return Ok(Some(held));
        }
        let fetched = self.api.raw(txid).await?.map(Arc::new);
        if let Some(transaction) = &fetched {
            self.parents.insert(txid, Arc::clone(transaction));
        }
        Ok(fetched)
    }
}

fn status(
    coin: OutPoint,
    parent: Option<&Parent>,
    spender: Option<OutputStatus>,
) -> Result<CoinStatus, BackendError> {
    let Some((parent, place)) = parent else { return Ok(CoinStatus::Unknown) };
    let exists = usize::try_from(coin.vout).is_ok_and(|index| index < parent.output.len());
    if spender.is_none() && exists {
        return Err(BackendError::Moving(format!("coin {coin} is known and unknown at once")));
    }
    Ok(CoinStatus::Known {
        parent: Transaction::clone(parent),
        height: block_of(&format!("/tx/{}", coin.txid), place)?.map(|b| b.height),
        spent_by: spender.filter(|s| s.spent).and_then(|s| s.txid),
    })
}
