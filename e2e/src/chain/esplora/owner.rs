//! The routes about one script, named by its address or by its hash.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, Txid};
use serde_json::{Value, json};

use super::super::ledger::{Ledger, ScriptKey, TxRecord, script_key};
use super::super::regtest::SharedChain;
use super::{Answer, FaceError, ask, parse, shape};

/// Coins of one script above which the real server refuses to list them.
const MAX_COINS: usize = 500;
/// Unconfirmed transactions of one history answer.
const MEMPOOL_PAGE: usize = 50;
/// Confirmed transactions of one history answer.
const CHAIN_PAGE: usize = 25;

#[derive(Clone, Copy)]
enum OwnerKind {
    Address,
    ScriptHash,
}

impl OwnerKind {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::ScriptHash => "scripthash",
        }
    }

    fn key(self, text: &str) -> Result<ScriptKey, FaceError> {
        match self {
            Self::ScriptHash => parse(text),
            Self::Address => {
                let unchecked: Address<NetworkUnchecked> =
                    text.parse().map_err(|_| FaceError::BadRequest("Invalid Bitcoin address".into()))?;
                let address = unchecked
                    .require_network(Network::Regtest)
                    .map_err(|_| FaceError::BadRequest("Address on invalid network".into()))?;
                Ok(script_key(&address.script_pubkey()))
            }
        }
    }
}

/// `/address/…` and `/scripthash/…`.
pub(super) fn routes() -> Router<SharedChain> {
    let mut router = Router::new();
    for kind in [OwnerKind::Address, OwnerKind::ScriptHash] {
        let base = format!("/{}/{{owner}}", kind.name());
        let on = |rest: &str| format!("{base}{rest}");
        router =
            router
                .route(
                    &base,
                    get(move |State(chain): State<SharedChain>, Path(owner): Path<String>| {
                        stats(chain, kind, owner)
                    }),
                )
                .route(
                    &on("/utxo"),
                    get(move |State(chain): State<SharedChain>, Path(owner): Path<String>| {
                        utxo(chain, kind, owner)
                    }),
                )
                .route(
                    &on("/txs"),
                    get(move |State(chain): State<SharedChain>, Path(owner): Path<String>| {
                        history(chain, kind, owner, Page::Newest)
                    }),
                )
                .route(
                    &on("/txs/mempool"),
                    get(move |State(chain): State<SharedChain>, Path(owner): Path<String>| {
                        history(chain, kind, owner, Page::Mempool)
                    }),
                )
                .route(
                    &on("/txs/chain"),
                    get(move |State(chain): State<SharedChain>, Path(owner): Path<String>| {
                        history(chain, kind, owner, Page::Chain(None))
                    }),
                )
                .route(
                    &on("/txs/chain/{last}"),
                    get(
                        move |State(chain): State<SharedChain>,
                              Path((owner, last)): Path<(String, String)>| async move {
                            let last = parse(&last)?;
                            history(chain, kind, owner, Page::Chain(Some(last))).await
                        },
                    ),
                );
    }
    router
}

enum Page {
    Newest,
    Mempool,
    /// The confirmed transactions older than this one.
    Chain(Option<Txid>),
}

async fn stats(chain: SharedChain, kind: OwnerKind, owner: String) -> Answer {
    let key = kind.key(&owner)?;
    ask(chain, move |ledger| {
        let summary = json!({
            kind.name(): owner,
            "chain_stats": summary(ledger, &key, |record| record.height.is_some()),
            "mempool_stats": summary(ledger, &key, |record| record.height.is_none()),
        });
        Ok(Json(summary).into_response())
    })
    .await
}

fn summary(ledger: &Ledger, key: &ScriptKey, counted: impl Fn(&TxRecord) -> bool) -> Value {
    let mut funded = (0u32, 0u64);
    let mut spent = (0u32, 0u64);
    let mut transactions = 0u32;
    let add = |(count, sum): &mut (u32, u64), sats: u64| {
        *count = count.saturating_add(1);
        *sum = sum.saturating_add(sats);
    };
    for (_, record) in ledger.history(key).into_iter().filter(|(_, record)| counted(record)) {
        transactions = transactions.saturating_add(1);
        for output in record.tx.output.iter().filter(|output| script_key(&output.script_pubkey) == *key) {
            add(&mut funded, output.value.to_sat());
        }
        let inputs = record.tx.input.iter().filter_map(|input| ledger.output(&input.previous_output));
        for output in inputs.filter(|output| script_key(&output.script_pubkey) == *key) {
            add(&mut spent, output.value.to_sat());
        }
    }
    json!({
        "funded_txo_count": funded.0, "funded_txo_sum": funded.1,
        "spent_txo_count": spent.0, "spent_txo_sum": spent.1,
        "tx_count": transactions,
    })
}

async fn utxo(chain: SharedChain, kind: OwnerKind, owner: String) -> Answer {
    let key = kind.key(&owner)?;
    ask(chain, move |ledger| {
        let coins = ledger.unspent(&key);
        if coins.len() > MAX_COINS {
            return Err(FaceError::BadRequest(format!(
                "Too many unspent transaction outputs (>{MAX_COINS}). Contact support to raise limits."
            )));
        }
        let coins: Vec<Value> = coins
            .iter()
            .map(|coin| {
                json!({
                    "txid": coin.outpoint.txid,
                    "vout": coin.outpoint.vout,
                    "status": shape::status(ledger, coin.height),
                    "value": coin.output.value.to_sat(),
                })
            })
            .collect();
        Ok(Json(coins).into_response())
    })
    .await
}

async fn history(chain: SharedChain, kind: OwnerKind, owner: String, page: Page) -> Answer {
    let key = kind.key(&owner)?;
    ask(chain, move |ledger| {
        let (waiting, confirmed): (Vec<_>, Vec<_>) =
            ledger.history(&key).into_iter().partition(|(_, record)| record.height.is_none());
        let (unconfirmed_limit, confirmed_limit, after) = match page {
            Page::Newest => (MEMPOOL_PAGE, CHAIN_PAGE, None),
            Page::Mempool => (MEMPOOL_PAGE, 0, None),
            Page::Chain(last) => (0, CHAIN_PAGE, last),
        };
        let start = match after {
            None => 0,
            Some(last) => confirmed
                .iter()
                .position(|(txid, _)| *txid == last)
                .map_or(confirmed.len(), |position| position.saturating_add(1)),
        };
        let unconfirmed = waiting.into_iter().take(unconfirmed_limit);
        let confirmed = confirmed.into_iter().skip(start).take(confirmed_limit);
        let transactions: Vec<Value> = unconfirmed
            .chain(confirmed)
            .map(|(txid, record)| shape::transaction(ledger, txid, record))
            .collect();
        Ok(Json(transactions).into_response())
    })
    .await
}
