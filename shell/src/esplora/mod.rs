//! The chain port over an Esplora server (Blockstream's, mempool.space's, or electrs of either behind one's own node).
//!
//! What is believed: nothing that can move money. Raw transactions are hashed; amounts and scripts come from them. The
//! server can hide or delay, which the core sees as a stale or unavailable backend. Each node should use another server.
//!
//! What leaves: only transactions that consensus code has verified here, each posted once a question.
//!
//! The network is told apart by the hash of block 0, checked before the first answer. All signets share one; a custom
//! signet is indistinguishable from the public one here.

mod api;
mod broadcast;
mod cache;
mod classify;
mod coins;
mod consensus;
mod error;
mod fees;
mod health;
mod http;
mod poll;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bitcoin::{Network, Transaction, TxOut, constants::genesis_block};
use mpc_wallet_core::{
    chain::{BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery},
    ids::QueryId,
    record::BlockRef,
};
use tokio::time::timeout;

use self::{api::Api, cache::TransactionCache, error::BackendError, health::Health, http::Http};
use crate::ports::Chain;

/// Bytes of raw parents kept: a few thousand usual ones, at least eight of the largest.
const PARENT_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of own transactions kept to look for conflicts; weeks of payments.
const SENT_BYTES: usize = 8 * 1024 * 1024;

/// Where the server is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EsploraConfig {
    /// Base of all routes, `http://` or `https://`, such as `https://mempool.space/testnet4/api`.
    pub url: String,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time for one request, connecting included.
    pub request_timeout: Duration,
    /// Longest time for one question, all its requests and retries included.
    pub answer_timeout: Duration,
    /// How often a GET that met 429, 500, 502, 503, 504 or a broken connection is repeated.
    pub retries: u32,
}

/// Networks that a genesis hash can be told by; all signets share one.
const KNOWN_NETWORKS: [Network; 5] =
    [Network::Bitcoin, Network::Testnet, Network::Testnet4, Network::Signet, Network::Regtest];

impl EsploraConfig {
    /// The usual limits: connect 5 s, request 15 s, answer 30 s, 3 retries.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(30),
            retries: 3,
        }
    }
}

/// Why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is unusable.
    #[error("Esplora address {url:?}: {reason}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server serves another chain.
    #[error("{url} serves {found}, this node runs on {expected}; correct its address or the network")]
    WrongNetwork {
        /// The address.
        url: String,
        /// The network of this node.
        expected: Network,
        /// The network of the server, or its hash of block 0.
        found: String,
    },
    /// The server gives no usable answer now; later it may.
    #[error("{url} gives no usable answer: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
}

/// An Esplora server behind the chain port.
pub struct Esplora {
    url: String,
    api: Api,
    network: Network,
    network_verified: AtomicBool,
    answer_timeout: Duration,
    parents: TransactionCache,
    sent: TransactionCache,
    health: Health,
}

impl Esplora {
    /// Prepares the adapter and verifies the server's network, for at most the answer's time limit. A server that is down
    /// is no error: it is verified before its first answer, and until then questions are answered with `Unavailable`.
    ///
    /// # Errors
    /// [`ConnectError::Url`] if the address is unusable; [`ConnectError::WrongNetwork`] if the server serves another chain.
    pub async fn connect(config: EsploraConfig, network: Network) -> Result<Self, ConnectError> {
        let esplora = Self {
            api: Api::new(Http::new(&config)?),
            health: Health::new(&config.url),
            url: config.url,
            network,
            network_verified: AtomicBool::new(false),
            answer_timeout: config.answer_timeout,
            parents: TransactionCache::new(PARENT_BYTES),
            sent: TransactionCache::new(SENT_BYTES),
        };
        match esplora.check_network().await {
            Ok(()) | Err(ConnectError::Unreachable { .. }) => Ok(esplora),
            Err(error @ (ConnectError::Url { .. } | ConnectError::WrongNetwork { .. })) => Err(error),
        }
    }

    /// Verifies that the server serves this node's network, by the hash of block 0. Once verified, answers at once.
    ///
    /// # Errors
    /// [`ConnectError::WrongNetwork`] or [`ConnectError::Unreachable`].
    pub async fn check_network(&self) -> Result<(), ConnectError> {
        let url = self.url.clone();
        match self.bounded(self.verify_network()).await {
            Ok(()) => Ok(()),
            Err(BackendError::WrongNetwork { expected, found }) => {
                Err(ConnectError::WrongNetwork { url, expected, found })
            }
            Err(
                error @ (BackendError::Unreachable { .. }
                | BackendError::Status { .. }
                | BackendError::Malformed { .. }
                | BackendError::Moving(_)
                | BackendError::Lying(_)),
            ) => Err(ConnectError::Unreachable { url, reason: error.to_string() }),
        }
    }

    /// The best block and its header's time, unix seconds, as the server has them.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`].
    pub async fn tip(&self) -> Result<(BlockRef, u64), ConnectError> {
        let tip = self.bounded(self.api.tip()).await;
        tip.map_err(|error| ConnectError::Unreachable { url: self.url.clone(), reason: error.to_string() })
    }

    async fn verify_network(&self) -> Result<(), BackendError> {
        if self.network_verified.load(Ordering::Relaxed) {
            return Ok(());
        }
        let found = self.api.genesis().await?;
        let hash_of = |network: Network| genesis_block(network).block_hash();
        if found != hash_of(self.network) {
            let name = KNOWN_NETWORKS.into_iter().find(|network| hash_of(*network) == found);
            let found = name.map_or_else(
                || format!("an unknown chain with genesis {found}"),
                |network| network.to_string(),
            );
            return Err(BackendError::WrongNetwork { expected: self.network, found });
        }
        self.network_verified.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Bounds a question in time and notes how the backend fared.
    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = timeout(self.answer_timeout, answer).await.unwrap_or_else(|_| {
            let reason = format!("nothing within {:?}", self.answer_timeout);
            Err(BackendError::Unreachable { path: "question".into(), reason })
        });
        match &answer {
            Ok(_) => self.health.answered(),
            Err(error) => self.health.failed(error),
        }
        answer
    }

    /// Verifies with consensus code, then sends.
    async fn verify_and_send(&self, transaction: Transaction, prevouts: Vec<TxOut>) -> ChainObservation {
        let txid = transaction.compute_txid();
        let transaction = Arc::new(transaction);
        let verified = {
            let transaction = Arc::clone(&transaction);
            // Hundreds of inputs take tens of milliseconds: too long for the event loop.
            tokio::task::spawn_blocking(move || consensus::verify(&transaction, &prevouts)).await
        };
        match verified {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let outcome = BroadcastOutcome::Refused(format!("consensus: {error}"));
                return ChainObservation::Broadcast { txid, outcome };
            }
            Err(error) => return ChainObservation::Unavailable(format!("consensus check: {error}")),
        }
        self.sent.insert(txid, Arc::clone(&transaction));
        match timeout(self.answer_timeout, self.broadcast(&transaction)).await {
            Ok(Ok(outcome)) => {
                self.note_broadcast(&outcome);
                ChainObservation::Broadcast { txid, outcome }
            }
            Ok(Err(error)) => {
                self.health.failed(&error);
                ChainObservation::Unavailable(error.to_string())
            }
            Err(_) => {
                let reason = format!("no answer within {:?}; it may have been sent", self.answer_timeout);
                ChainObservation::Broadcast { txid, outcome: BroadcastOutcome::Unknown(reason) }
            }
        }
    }

    /// Whoever judged the transaction was there; an unknown outcome says nothing.
    fn note_broadcast(&self, outcome: &BroadcastOutcome) {
        if !matches!(outcome, BroadcastOutcome::Unknown(_)) {
            self.health.answered();
        }
    }
}

impl Chain for Esplora {
    async fn ask(&self, query: QueryId, question: ChainQuery) -> ChainAnswer {
        let unavailable = |error: BackendError| ChainObservation::Unavailable(error.to_string());
        let observation = match question {
            ChainQuery::Poll { scripts, watch } => {
                let view = self.bounded(self.poll(scripts, watch)).await;
                view.map_or_else(unavailable, ChainObservation::Poll)
            }
            ChainQuery::Coins { outpoints } => {
                let coins = self.bounded(self.coins(outpoints)).await;
                coins.map_or_else(unavailable, ChainObservation::Coins)
            }
            ChainQuery::Broadcast { transaction, prevouts } => {
                self.verify_and_send(transaction, prevouts).await
            }
        };
        ChainAnswer { query, observation }
    }
}
