//! The `/regtest` routes, by which tests and people move the chain.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, Network, Txid};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Faults;
use super::regtest::{Chain, FeeEstimates, SharedChain};

/// Blocks of one request, so that a slip of the finger ends.
const MAX_BLOCKS: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mine {
    blocks: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    address: Address<NetworkUnchecked>,
    amount_sats: u64,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    depth: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evict {
    txid: Txid,
}

/// The control routes. Refusals are 400 with a sentence.
pub(crate) fn router(chain: SharedChain) -> Router {
    Router::new()
        .route("/regtest/mine", post(mine))
        .route("/regtest/faucet", post(faucet))
        .route("/regtest/invalidate", post(invalidate))
        .route("/regtest/evict", post(evict))
        .route("/regtest/faults", post(faults))
        .route("/regtest/fee-estimates", post(fee_estimates))
        .with_state(chain)
}

async fn answer(
    chain: SharedChain,
    task: impl FnOnce(&Chain) -> anyhow::Result<Value> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || task(&chain)).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn mine(State(chain): State<SharedChain>, Json(Mine { blocks }): Json<Mine>) -> Response {
    answer(chain, move |chain| {
        anyhow::ensure!(blocks <= MAX_BLOCKS, "blocks is {blocks}; mine at most {MAX_BLOCKS} at a time");
        Ok(serde_json::to_value(chain.mine(blocks)?)?)
    })
    .await
}

async fn faucet(State(chain): State<SharedChain>, Json(pay): Json<Pay>) -> Response {
    answer(chain, move |chain| {
        let address = pay.address.require_network(Network::Regtest)?;
        let txid = chain.pay(&address, Amount::from_sat(pay.amount_sats), pay.count)?;
        Ok(json!({ "txid": txid }))
    })
    .await
}

async fn invalidate(
    State(chain): State<SharedChain>,
    Json(Invalidate { depth }): Json<Invalidate>,
) -> Response {
    answer(chain, move |chain| Ok(serde_json::to_value(chain.invalidate(depth)?)?)).await
}

async fn evict(State(chain): State<SharedChain>, Json(Evict { txid }): Json<Evict>) -> Response {
    answer(chain, move |chain| {
        let evicted = chain.with_node(|node| node.evict(&txid))?;
        Ok(json!({ "evicted": evicted }))
    })
    .await
}

async fn faults(State(chain): State<SharedChain>, Json(faults): Json<Faults>) -> Json<Value> {
    chain.set_faults(faults);
    Json(json!({}))
}

async fn fee_estimates(State(chain): State<SharedChain>, Json(fees): Json<FeeEstimates>) -> Json<Value> {
    chain.set_fee_estimates(fees);
    Json(json!({}))
}
