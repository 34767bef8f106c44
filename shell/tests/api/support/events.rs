//! A node with a real journal and real events behind its API, and a client that reads streams.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime, hashes::Hash as _, transaction::Version,
};
use http_body_util::BodyExt as _;
use mpc_wallet_core::{
    BootId, ClusterId, KeyId, NodeId, PaymentId, PolicyVersion, Scheme, Timestamp, VoteKey,
    identity::Signed,
    overview::Overview,
    record::{BlockRef, Fact, Record},
    tx::{Prevout, Proposal, State, SubStatus},
    vote::{Ballot, Decision, FIRST_ROUND, RejectReason, Violation},
};
use mpc_wallet_shell::{
    access::Keyring,
    events::{Events, Limits, Sources},
    handle::NodeHandle,
    journal::Store,
    ports::Journal as _,
    rest::{ApiOptions, ApiState, router},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{client::Answer, healthy, options};

/// Streams that a node of these tests serves for one key.
pub const PER_KEY: usize = 3;
/// And in all.
pub const IN_ALL: usize = 5;

/// Between two signs of life: longer than anything else that these tests wait for in vain.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

const CLUSTER: ClusterId = ClusterId::from_bytes([7; 32]);
const ME: NodeId = NodeId::new(1);
const KEY: KeyId = KeyId { scheme: Scheme::Taproot, epoch: 1 };

/// A node that writes what it is told to.
pub struct Node {
    pub overview: watch::Sender<Arc<Overview>>,
    pub stop: CancellationToken,
    pub store: Store,
    state: ApiState,
    dir: TempDir,
}

impl Node {
    /// A node with an open API.
    pub async fn new() -> Self {
        let mut node = Self::open(TempDir::new().unwrap(), None);
        node.append(vec![Record { at: Timestamp(1), fact: Fact::Booted { boot: BootId(1) } }]).await;
        node
    }

    /// A node for holders of these keys.
    pub fn guarded(keyring: Arc<Keyring>) -> Self {
        Self::open(TempDir::new().unwrap(), Some(keyring))
    }

    /// Ends it and starts it again on the same journal.
    pub fn restart(self) -> Self {
        self.stop.cancel();
        let Self { store, dir, .. } = self;
        drop(store);
        Self::open(dir, None)
    }

    fn open(dir: TempDir, keyring: Option<Arc<Keyring>>) -> Self {
        let (store, _) = Store::open(dir.path(), CLUSTER, ME).unwrap();
        let (overview, view) = watch::channel(Arc::new(healthy()));
        let stop = CancellationToken::new();
        let sources = Sources {
            me: ME,
            outbox: store.outbox().unwrap(),
            position: store.position(),
            overview: view.clone(),
        };
        let options = options(keyring);
        let limits = Limits { in_all: IN_ALL, per_key: PER_KEY, heartbeat: HEARTBEAT };
        let events = Events::start(sources, limits, &options.registry, stop.clone()).unwrap();
        let options = ApiOptions { events: Some(events), ..options };
        let (requests, _) = mpsc::channel(1);
        let handle = NodeHandle::new(requests, view, Arc::new(store.read_model().unwrap()));
        Self { overview, stop, store, state: ApiState::new(handle, options), dir }
    }

    /// Makes records durable.
    pub async fn append(&mut self, records: Vec<Record>) {
        self.store.append(records).await.unwrap();
    }

    /// An answer that ends.
    pub async fn get(&self, path: &str, shown: Option<&str>) -> Answer {
        let (headers, body, status) = self.ask(path, shown, None).await;
        let bytes = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, json }
    }

    /// Listens, from now on or from after an event.
    pub async fn listen(&self, heard_last: Option<&str>) -> Stream {
        self.begin(None, heard_last).await
    }

    /// As [`Self::listen`], showing a key.
    pub async fn listen_as(&self, shown: &str, heard_last: Option<&str>) -> Stream {
        self.begin(Some(shown), heard_last).await
    }

    async fn begin(&self, shown: Option<&str>, heard_last: Option<&str>) -> Stream {
        let (headers, body, status) = self.ask("/api/v1/events", shown, heard_last).await;
        assert_eq!(status, 200);
        Stream { headers, body, text: String::new() }
    }

    async fn ask(
        &self,
        path: &str,
        shown: Option<&str>,
        heard_last: Option<&str>,
    ) -> (HeaderMap, Body, axum::http::StatusCode) {
        let mut request = Request::get(path);
        for (name, value) in [("authorization", shown), ("last-event-id", heard_last)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response =
            router(self.state.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.headers, body, parts.status)
    }
}

/// The body of a stream.
pub struct Stream {
    pub headers: HeaderMap,
    body: Body,
    text: String,
}

/// What stands between two empty lines.
#[derive(Debug, Default)]
pub struct Block {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: String,
    pub retry: Option<String>,
    pub comment: Option<String>,
}

impl Block {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    fn read(text: &str) -> Self {
        let mut block = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(": ").unwrap();
            let value = value.to_owned();
            match field {
                "id" => block.id = Some(value),
                "event" => block.event = Some(value),
                "data" => block.data.push_str(&value),
                "retry" => block.retry = Some(value),
                "" => block.comment = Some(value),
                other => panic!("field {other}"),
            }
        }
        block
    }
}

impl Stream {
    /// The next block, whatever it is.
    pub async fn next(&mut self) -> Block {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (Block::read(block), rest.to_owned());
                self.text = rest;
                return block;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap();
            let data = frame.expect("the stream ended").unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next block with a name.
    pub async fn next_event(&mut self) -> Block {
        let named = async {
            loop {
                let block = self.next().await;
                if block.event.is_some() {
                    return block;
                }
            }
        };
        // Signs of life alone are no event.
        tokio::time::timeout(PATIENCE, named).await.unwrap()
    }

    /// The nodes that the next events, all of [`banned`], speak of.
    pub async fn numbers(&mut self, count: usize) -> Vec<u16> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let block = self.next_event().await;
            assert_eq!(block.event.as_deref(), Some("node.banned"), "{block:?}");
            numbers.push(u16::try_from(block.json()["node_id"].as_u64().unwrap()).unwrap());
        }
        numbers
    }

    /// Whether it ends, after whatever else it says.
    pub async fn ends(&mut self) -> bool {
        let end = async { while self.body.frame().await.is_some() {} };
        tokio::time::timeout(PATIENCE, end).await.is_ok()
    }
}

fn at(fact: Fact) -> Record {
    Record { at: Timestamp(3_000), fact }
}

/// A fact that tells its number.
pub fn banned(number: u16) -> Record {
    at(Fact::Banned { node: NodeId::new(number), until: Timestamp(9_000), violation: Violation::Timeout })
}

fn vote_key(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

fn payment() -> Proposal {
    let recipient = ScriptBuf::from_bytes(vec![0x51; 34]);
    Proposal {
        cluster: CLUSTER,
        key: KEY,
        payment: PaymentId::from_bytes([5; 32]),
        origin: NodeId::new(4),
        recipient: recipient.clone(),
        amount: Amount::from_sat(10_000),
        fee: Amount::from_sat(321),
        unsigned_tx: Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([9; 32]), 1),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![TxOut { value: Amount::from_sat(10_000), script_pubkey: recipient }],
        },
        prevouts: vec![Prevout { value: Amount::from_sat(10_321), script: ScriptBuf::new() }],
        metadata: None,
        external_id: None,
        created_at: Timestamp(1_000),
        expires_at: Timestamp(90_000),
        replaces: None,
    }
}

/// Of the payment of [`life`].
pub fn txid() -> String {
    payment().txid().to_string()
}

fn voted(node: u16, decision: Decision) -> Record {
    let proposal = payment();
    let ballot = Ballot {
        cluster: CLUSTER,
        key: KEY,
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: FIRST_ROUND,
        voter: NodeId::new(node),
        decision,
        policy: PolicyVersion::from_bytes([6; 32]),
        expires_at: proposal.expires_at,
    };
    at(Fact::Voted(Signed::new(ballot, &vote_key(node))))
}

/// What can happen to a payment and beside it, one record for each kind of event and some that are none.
pub fn life() -> Vec<Record> {
    let proposal = payment();
    let txid = proposal.txid();
    let block = BlockRef { height: 101, hash: BlockHash::from_byte_array([8; 32]) };
    vec![
        at(Fact::Proposed(Box::new(Signed::new(proposal, &vote_key(4))))),
        at(Fact::Transition {
            txid,
            from: State::Pending,
            to: State::Voting,
            sub_status: SubStatus::AwaitingVotes,
            cause: "it is out".to_owned(),
        }),
        voted(1, Decision::Approve),
        at(Fact::Confirmed),
        voted(2, Decision::Reject(RejectReason::Expired)),
        at(Fact::Struck {
            node: NodeId::new(5),
            violation: Violation::Timeout,
            txid: Some(txid),
            detail: "no vote".to_owned(),
        }),
        banned(5),
        at(Fact::SubStatusChanged { txid, sub_status: SubStatus::RetryingOtherSubset }),
        at(Fact::Seen { txid, block: Some(block), confirmations: 6 }),
        at(Fact::Seen { txid, block: None, confirmations: 0 }),
        at(Fact::SubStatusChanged { txid, sub_status: SubStatus::ReorgedOut }),
        at(Fact::CoinSeen { coin: OutPoint { txid, vout: 1 }, key: KEY, value: Amount::from_sat(700) }),
        at(Fact::CoinLost {
            coin: OutPoint { txid, vout: 1 },
            key: KEY,
            value: Amount::from_sat(700),
            by: Some(txid),
        }),
        at(Fact::KeygenFailed {
            key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
            reason: "a member left".to_owned(),
        }),
    ]
}
