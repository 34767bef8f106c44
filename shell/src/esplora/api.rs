//! The routes of Esplora this wallet uses, one method each, with their traps disarmed.
//!
//! - `/tx/:txid/status` answers 200 for a transaction nobody has heard of, so existence is asked of `/tx/:txid`.
//! - Heights and hashes asked separately race, so the tip is a hash first and then that block.
//! - Fields of an unconfirmed status may be null or absent; unknown fields are allowed everywhere.

use std::str::FromStr;

use axum::body::Bytes;
use bitcoin::{
    BlockHash, OutPoint, Script, Transaction, Txid,
    consensus::encode,
    hashes::{Hash, sha256},
};
use esplora_client::{BlockStatus, OutputStatus, TxStatus, Utxo};
use mpc_wallet_core::record::BlockRef;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    error::BackendError,
    fees,
    http::{Http, LARGE, Reply, SMALL},
};

/// The part of `/block/:hash` that matters; esplora-client's `BlockInfo` insists on a dozen more fields.
#[derive(Deserialize)]
struct Block {
    id: BlockHash,
    height: u32,
    timestamp: u64,
}

/// The part of `/tx/:txid` that matters; the transaction itself comes from the raw route, which can be verified.
#[derive(Deserialize)]
struct Tx {
    txid: Txid,
    status: TxStatus,
}

/// A typed view of one server.
pub(super) struct Api {
    http: Http,
}

impl Api {
    pub(super) const fn new(http: Http) -> Self {
        Self { http }
    }

    /// Hash of block 0.
    pub(super) async fn genesis(&self) -> Result<BlockHash, BackendError> {
        self.text("/block-height/0").await
    }

    /// The best block and the time in its header.
    pub(super) async fn tip(&self) -> Result<(BlockRef, u64), BackendError> {
        let hash: BlockHash = self.text("/blocks/tip/hash").await?;
        let path = format!("/block/{hash}");
        let Some(block) = self.json::<Block>(&path, SMALL).await? else {
            return Err(BackendError::Moving(format!("tip {hash} is gone")));
        };
        if block.id != hash {
            return Err(BackendError::malformed(&path, format_args!("it describes block {}", block.id)));
        }
        Ok((BlockRef { height: block.height, hash }, block.timestamp))
    }

    /// Whether a block is part of the best chain.
    pub(super) async fn in_best_chain(&self, block: BlockHash) -> Result<bool, BackendError> {
        let status: Option<BlockStatus> = self.json(&format!("/block/{block}/status"), SMALL).await?;
        Ok(status.is_some_and(|s| s.in_best_chain))
    }

    /// Fee estimates: target in blocks → sat/kvB, ascending. A server without estimates has none; that must not hide the
    /// coins, so any trouble with this route alone is an empty answer.
    pub(super) async fn fee_estimates(&self) -> Vec<(u16, u64)> {
        match self.json("/fee-estimates", SMALL).await {
            Ok(estimates) => estimates.map(|e| fees::estimates(&e)).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "no fee estimates");
                Vec::new()
            }
        }
    }

    /// Unspent outputs of a script, mempool included; an output may be listed twice.
    pub(super) async fn unspent(&self, script: &Script) -> Result<Vec<Utxo>, BackendError> {
        let path = format!("/scripthash/{}/utxo", sha256::Hash::hash(script.as_bytes()));
        match self.json(&path, LARGE).await {
            Ok(list) => Ok(list.unwrap_or_default()),
            // electrs refuses to list more than `utxos-limit` (500) outputs, and does not page.
            Err(BackendError::Status { path, status: status @ 400, text }) => {
                let text =
                    format!("{text}; raise the server's utxos-limit or consolidate the coins of {script}");
                Err(BackendError::Status { path, status, text })
            }
            Err(other) => Err(other),
        }
    }

    /// Where a transaction is; `None` if neither in the mempool nor in the chain.
    pub(super) async fn tx(&self, txid: Txid) -> Result<Option<TxStatus>, BackendError> {
        let path = format!("/tx/{txid}");
        let Some(tx) = self.json::<Tx>(&path, LARGE).await? else { return Ok(None) };
        if tx.txid != txid {
            return Err(BackendError::malformed(&path, format_args!("it describes transaction {}", tx.txid)));
        }
        Ok(Some(tx.status))
    }

    /// A transaction, proven to have that txid.
    pub(super) async fn raw(&self, txid: Txid) -> Result<Option<Transaction>, BackendError> {
        let path = format!("/tx/{txid}/raw");
        let Some(bytes) = self.http.get(&path, LARGE).await? else { return Ok(None) };
        let transaction: Transaction =
            encode::deserialize(&bytes).map_err(|e| BackendError::malformed(&path, e))?;
        let computed = transaction.compute_txid();
        if computed != txid {
            return Err(BackendError::Lying(format!("asked for transaction {txid}, it sent {computed}")));
        }
        Ok(Some(transaction))
    }

    /// What spends an output. `None` on 404; an output nobody has heard of may also be reported unspent.
    pub(super) async fn outspend(&self, coin: OutPoint) -> Result<Option<OutputStatus>, BackendError> {
        let path = format!("/tx/{}/outspend/{}", coin.txid, coin.vout);
        let status: Option<OutputStatus> = self.json(&path, SMALL).await?;
        if status.as_ref().is_some_and(|s| s.spent && s.txid.is_none()) {
            return Err(BackendError::malformed(&path, "spent, but by no transaction"));
        }
        Ok(status)
    }

    /// Sends a transaction, once.
    pub(super) async fn send(&self, transaction: &Transaction) -> Result<Reply, BackendError> {
        self.http.post("/tx", encode::serialize_hex(transaction)).await
    }

    async fn text<T: FromStr>(&self, path: &str) -> Result<T, BackendError> {
        let body = self.http.get(path, SMALL).await?.ok_or_else(|| BackendError::Status {
            path: path.to_owned(),
            status: 404,
            text: "is this an Esplora server, and the path before this right?".into(),
        })?;
        let text = String::from_utf8_lossy(&body);
        text.trim().parse().map_err(|_| BackendError::malformed(path, format_args!("{} bytes", body.len())))
    }

    async fn json<T: DeserializeOwned>(&self, path: &str, cap: usize) -> Result<Option<T>, BackendError> {
        let parse = |body: Bytes| serde_json::from_slice(&body).map_err(|e| BackendError::malformed(path, e));
        self.http.get(path, cap).await?.map(parse).transpose()
    }
}

/// The block a status names; `None` if it is unconfirmed.
pub(super) fn block_of(path: &str, status: &TxStatus) -> Result<Option<BlockRef>, BackendError> {
    match (status.confirmed, status.block_height, status.block_hash) {
        (false, _, _) => Ok(None),
        (true, Some(height), Some(hash)) => Ok(Some(BlockRef { height, hash })),
        (true, _, _) => Err(BackendError::malformed(path, "confirmed, but in no block")),
    }
}
