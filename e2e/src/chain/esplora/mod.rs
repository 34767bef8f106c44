//! The Esplora HTTP face: Blockstream's `API.md` as far as wallets use it.
//!
//! Answers, status codes and texts follow the real server, traps included: `/tx/:txid/status` is 200
//! for unknown transactions, `/outspend` calls unknown outpoints unspent, a script with more than 500
//! coins is refused, and a failed broadcast is 400 with the node's error in plain text.

mod owner;
mod shape;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use bitcoin::consensus::encode::{deserialize_hex, serialize, serialize_hex};
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use serde_json::json;

use super::faults;
use super::ledger::{Ledger, TxRecord};
use super::node::{Rejection, SubmitError};
use super::regtest::{FeeEstimates, SharedChain};

/// A refusal, in plain text as the real server gives it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaceError {
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0:#}")]
    Backend(anyhow::Error),
}

impl IntoResponse for FaceError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Backend(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

type Answer = Result<Response, FaceError>;

/// The Esplora routes, behind the faults.
pub(crate) fn router(chain: SharedChain) -> Router {
    Router::new()
        .route("/blocks/tip/height", get(tip_height))
        .route("/blocks/tip/hash", get(tip_hash))
        .route("/block-height/{height}", get(block_height))
        .route("/block/{hash}", get(block))
        .route("/block/{hash}/status", get(block_status))
        .route("/tx/{txid}", get(tx))
        .route("/tx/{txid}/raw", get(tx_raw))
        .route("/tx/{txid}/hex", get(tx_hex))
        .route("/tx/{txid}/status", get(tx_status))
        .route("/tx/{txid}/outspend/{vout}", get(outspend))
        .route("/tx/{txid}/outspends", get(outspends))
        .route("/fee-estimates", get(fee_estimates))
        .route("/mempool", get(mempool))
        .route("/tx", post(broadcast))
        .merge(owner::routes())
        .route_layer(middleware::from_fn_with_state(SharedChain::clone(&chain), faults::inject))
        .with_state(chain)
}

/// Answers from the ledger, on a thread where waiting for the node holds nobody up.
async fn ask(chain: SharedChain, question: impl FnOnce(&Ledger) -> Answer + Send + 'static) -> Answer {
    let asked = tokio::task::spawn_blocking(move || chain.with_node(|node| Ok(question(node.ledger()))));
    asked.await.map_err(|error| FaceError::Backend(error.into()))?.map_err(FaceError::Backend)?
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, FaceError> {
    text.parse().map_err(|_| FaceError::BadRequest("Invalid hex string".into()))
}

fn known<'l>(ledger: &'l Ledger, txid: &Txid) -> Result<&'l TxRecord, FaceError> {
    ledger.get(txid).ok_or(FaceError::NotFound("Transaction not found"))
}

async fn tip_height(State(chain): State<SharedChain>) -> Answer {
    ask(chain, |ledger| Ok(ledger.tip_height().to_string().into_response())).await
}

async fn tip_hash(State(chain): State<SharedChain>) -> Answer {
    ask(chain, |ledger| {
        let tip = ledger.tip().ok_or(FaceError::NotFound("Block not found"))?;
        Ok(tip.hash.to_string().into_response())
    })
    .await
}

async fn block_height(State(chain): State<SharedChain>, Path(height): Path<String>) -> Answer {
    let height: u32 = height.parse().map_err(|_| FaceError::BadRequest("Invalid number".into()))?;
    ask(chain, move |ledger| {
        let block = ledger.block_at(height).ok_or(FaceError::NotFound("Block not found"))?;
        Ok(block.hash.to_string().into_response())
    })
    .await
}

async fn block(State(chain): State<SharedChain>, Path(hash): Path<String>) -> Answer {
    let hash: BlockHash = parse(&hash)?;
    ask(chain, move |ledger| {
        let height = ledger.height_of(&hash).ok_or(FaceError::NotFound("Block not found"))?;
        let record = ledger.block_at(height).ok_or(FaceError::NotFound("Block not found"))?;
        Ok(Json(shape::block(record, height)).into_response())
    })
    .await
}

async fn block_status(State(chain): State<SharedChain>, Path(hash): Path<String>) -> Answer {
    let hash: BlockHash = parse(&hash)?;
    ask(chain, move |ledger| {
        let status = match ledger.height_of(&hash) {
            Some(height) => {
                let next = ledger.block_at(height.saturating_add(1)).map(|block| block.hash);
                json!({ "in_best_chain": true, "height": height, "next_best": next })
            }
            None => json!({ "in_best_chain": false, "height": null, "next_best": null }),
        };
        Ok(Json(status).into_response())
    })
    .await
}

async fn tx(State(chain): State<SharedChain>, Path(txid): Path<String>) -> Answer {
    let txid: Txid = parse(&txid)?;
    ask(
        chain,
        move |ledger| Ok(Json(shape::transaction(ledger, txid, known(ledger, &txid)?)).into_response()),
    )
    .await
}

async fn tx_raw(State(chain): State<SharedChain>, Path(txid): Path<String>) -> Answer {
    let txid: Txid = parse(&txid)?;
    ask(chain, move |ledger| {
        let raw = serialize(&known(ledger, &txid)?.tx);
        Ok(([(header::CONTENT_TYPE, "application/octet-stream")], raw).into_response())
    })
    .await
}

async fn tx_hex(State(chain): State<SharedChain>, Path(txid): Path<String>) -> Answer {
    let txid: Txid = parse(&txid)?;
    ask(chain, move |ledger| Ok(serialize_hex(&known(ledger, &txid)?.tx).into_response())).await
}

async fn tx_status(State(chain): State<SharedChain>, Path(txid): Path<String>) -> Answer {
    let txid: Txid = parse(&txid)?;
    ask(chain, move |ledger| {
        let height = ledger.get(&txid).and_then(|record| record.height);
        Ok(Json(shape::status(ledger, height)).into_response())
    })
    .await
}

async fn outspend(State(chain): State<SharedChain>, Path((txid, vout)): Path<(String, String)>) -> Answer {
    let txid: Txid = parse(&txid)?;
    let vout: u32 = vout.parse().map_err(|_| FaceError::BadRequest("Invalid number".into()))?;
    ask(chain, move |ledger| Ok(Json(shape::outspend(ledger, &OutPoint { txid, vout })).into_response()))
        .await
}

async fn outspends(State(chain): State<SharedChain>, Path(txid): Path<String>) -> Answer {
    let txid: Txid = parse(&txid)?;
    ask(chain, move |ledger| {
        let outputs = (0..).zip(&known(ledger, &txid)?.tx.output);
        let spends: Vec<_> =
            outputs.map(|(vout, _)| shape::outspend(ledger, &OutPoint { txid, vout })).collect();
        Ok(Json(spends).into_response())
    })
    .await
}

async fn fee_estimates(State(chain): State<SharedChain>) -> Json<FeeEstimates> {
    Json(chain.fee_estimates())
}

async fn mempool(State(chain): State<SharedChain>) -> Answer {
    ask(chain, |ledger| Ok(Json(shape::mempool(ledger)).into_response())).await
}

async fn broadcast(State(chain): State<SharedChain>, body: String) -> Answer {
    let Ok(tx) = deserialize_hex::<Transaction>(body.trim()) else {
        let message = "TX decode failed. Make sure the tx has at least one input.".into();
        return Err(refused(&Rejection { code: -22, message }));
    };
    let submitted = tokio::task::spawn_blocking(move || chain.with_node(|node| Ok(node.submit(&tx))));
    match submitted.await.map_err(|error| FaceError::Backend(error.into()))?.map_err(FaceError::Backend)? {
        Ok(txid) => Ok(txid.to_string().into_response()),
        Err(SubmitError::Rejected(rejection)) => Err(refused(&rejection)),
        Err(SubmitError::Unreachable(cause)) => Err(FaceError::Backend(cause)),
    }
}

fn refused(rejection: &Rejection) -> FaceError {
    let Rejection { code, message } = rejection;
    let error = json!({ "code": code, "message": message });
    FaceError::BadRequest(format!("sendrawtransaction RPC error: {error}"))
}
