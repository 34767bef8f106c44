//! A scripted Esplora: it says what a test tells it to, and remembers what it was asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use bitcoin::{
    BlockHash, Network, ScriptBuf, Transaction, Txid,
    consensus::encode::serialize,
    constants::genesis_block,
    hashes::{Hash, sha256},
};
use mpc_wallet_core::{
    chain::{ChainObservation, ChainQuery, ChainView},
    ids::QueryId,
};
use mpc_wallet_shell::{
    esplora::{Esplora, EsploraConfig},
    ports::Chain,
};

/// One scripted answer.
#[derive(Clone)]
enum Line {
    Say(u16, Vec<u8>),
    Hang,
}

#[derive(Default)]
struct Script {
    lines: BTreeMap<String, VecDeque<Line>>,
    asked: Vec<(String, Vec<u8>)>,
    connections: BTreeSet<SocketAddr>,
}

/// The server. What no line covers is a 404.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let line = {
        let mut script = script.lock().unwrap();
        script.connections.insert(peer);
        let key = format!("{method} {}", uri.path());
        script.asked.push((key.clone(), body.to_vec()));
        let lines = script.lines.entry(key).or_default();
        // The last line is repeated.
        if lines.len() > 1 { lines.pop_front() } else { lines.front().cloned() }
    };
    match line {
        None => (StatusCode::NOT_FOUND, "Transaction not found").into_response(),
        Some(Line::Say(status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Some(Line::Hang) => std::future::pending().await,
    }
}

impl Server {
    /// A server of regtest with a tip at height 200, and nothing else.
    pub async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let server = Self { url, script };
        server.genesis("", Network::Regtest);
        server.tip(200);
        server
    }

    fn line(&self, route: &str, line: Line) {
        self.script.lock().unwrap().lines.entry(route.to_owned()).or_default().push_back(line);
    }

    /// Adds an answer to a route such as `GET /tx/…`; the last one repeats.
    pub fn say(&self, route: &str, status: u16, body: impl Into<Vec<u8>>) {
        self.line(route, Line::Say(status, body.into()));
    }

    /// Lets a route never answer.
    pub fn hang(&self, route: &str) {
        self.line(route, Line::Hang);
    }

    /// Forgets what a route was told to say.
    pub fn clear(&self, route: &str) {
        self.script.lock().unwrap().lines.remove(route);
    }

    pub fn genesis(&self, base: &str, network: Network) {
        self.say(&format!("GET {base}/block-height/0"), 200, genesis_block(network).block_hash().to_string());
    }

    /// Sets the tip.
    pub fn tip(&self, height: u32) {
        self.clear("GET /blocks/tip/hash");
        self.tip_in_the_end(height);
    }

    /// Sets the tip to be told after what the route says first.
    pub fn tip_in_the_end(&self, height: u32) {
        let hash = block(height);
        self.say("GET /blocks/tip/hash", 200, hash.to_string());
        let body =
            serde_json::json!({"id": hash, "height": height, "timestamp": time_of(height), "extra": []});
        self.say(&format!("GET /block/{hash}"), 200, body.to_string());
        self.in_best_chain(height, true);
    }

    pub fn in_best_chain(&self, height: u32, best: bool) {
        let route = format!("GET /block/{}/status", block(height));
        self.clear(&route);
        self.say(&route, 200, serde_json::json!({ "in_best_chain": best }).to_string());
    }

    pub fn utxos(&self, script: &ScriptBuf, list: &serde_json::Value) {
        self.say(&utxo_route(script), 200, list.to_string());
    }

    /// Knows a transaction, in the mempool or at a height.
    pub fn knows(&self, transaction: &Transaction, height: Option<u32>) {
        let txid = transaction.compute_txid();
        self.clear(&format!("GET /tx/{txid}"));
        let body = serde_json::json!({"txid": txid, "status": status(height), "vin": [], "fee": 1});
        self.say(&format!("GET /tx/{txid}"), 200, body.to_string());
        self.say(&format!("GET /tx/{txid}/raw"), 200, serialize(transaction));
        for vout in 0..transaction.output.len() {
            self.say(&format!("GET /tx/{txid}/outspend/{vout}"), 200, r#"{"spent":false}"#);
        }
    }

    pub fn spent(&self, txid: Txid, vout: u32, by: Txid, height: Option<u32>) {
        let route = format!("GET /tx/{txid}/outspend/{vout}");
        self.clear(&route);
        let body = serde_json::json!({"spent": true, "txid": by, "vin": 0, "status": status(height)});
        self.say(&route, 200, body.to_string());
    }

    /// How often routes beginning so were asked.
    pub fn asked(&self, route: &str) -> usize {
        self.script.lock().unwrap().asked.iter().filter(|(asked, _)| asked.starts_with(route)).count()
    }

    /// The body of the only question to a route.
    pub fn body(&self, route: &str) -> String {
        let script = self.script.lock().unwrap();
        let [body] = script.asked.iter().filter(|(asked, _)| asked == route).collect::<Vec<_>>()[..] else {
            panic!("{route} was not asked once")
        };
        String::from_utf8(body.1.clone()).unwrap()
    }

    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections.len()
    }

    pub fn config(&self) -> EsploraConfig {
        EsploraConfig { retries: 0, ..EsploraConfig::new(&self.url) }
    }

    pub async fn client(&self) -> Esplora {
        Esplora::connect(self.config(), Network::Regtest).await.unwrap()
    }
}

pub fn utxo_route(script: &ScriptBuf) -> String {
    format!("GET /scripthash/{}/utxo", sha256::Hash::hash(script.as_bytes()))
}

/// Electrs leaves the block fields out while unconfirmed.
pub fn status(height: Option<u32>) -> serde_json::Value {
    match height {
        Some(height) => serde_json::json!({
            "confirmed": true, "block_height": height, "block_hash": block(height), "block_time": time_of(height),
        }),
        None => serde_json::json!({ "confirmed": false }),
    }
}

/// The hash of the test's block at a height.
pub fn block(height: u32) -> BlockHash {
    BlockHash::hash(&height.to_be_bytes())
}

pub fn time_of(height: u32) -> u64 {
    1_700_000_000 + u64::from(height)
}

/// Asks, and insists on an answer soon.
pub async fn ask(chain: &Esplora, question: ChainQuery) -> ChainObservation {
    let answer =
        tokio::time::timeout(Duration::from_secs(20), chain.ask(QueryId(9), question)).await.unwrap();
    assert_eq!(answer.query, QueryId(9));
    answer.observation
}

pub async fn poll(chain: &Esplora, scripts: &[&ScriptBuf], watch: &[Txid]) -> Result<ChainView, String> {
    let scripts = scripts.iter().copied().cloned().collect();
    match ask(chain, ChainQuery::Poll { scripts, watch: watch.to_vec() }).await {
        ChainObservation::Poll(view) => Ok(view),
        ChainObservation::Unavailable(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}
