//! A client's body through the real router, up to the command that reaches the node: it is refused with a problem that
//! says why, or the command says what the body says and nothing else.
//!
//! The first byte chooses the route and, by its highest bit, an idempotency key, which then is the first line of the
//! rest. Everything else is the body.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, StatusCode, header},
};
use bitcoin::{Address, Amount, Network, Txid, hashes::Hash as _};
use mpc_wallet_core::{
    BootId, FreezeId, KeyId, LogIndex, NodeId, PolicyVersion, Scheme, Timestamp,
    freeze::{check_operator, check_reason},
    overview::{Overview, PoolView, StandingView},
    step::{Command, Outcome, PaymentRequest},
    tx::State,
};
use mpc_wallet_shell::{
    handle::{self, NodeHandle},
    metrics::{RequestMetrics, Sources},
    read::{AuditRow, Filter, Queries, ReadError, TransactionDetail, TransactionRow, ViolationRow},
    rest::{ApiOptions, ApiState, router},
};
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tower::ServiceExt as _;

const NETWORK: Network = Network::Regtest;
/// Small, so that a fuzzer's inputs reach it.
const BODY_LIMIT: usize = 2_048;
/// More than any answer to a body of that size.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Most presignatures that may be ordered.
const MOST_PRESIGNATURES: usize = 256;
const TXID: [u8; 32] = [0x11; 32];

/// A read model without a past.
struct Blank;

impl Queries for Blank {
    fn transaction(&self, _: &str) -> Result<Option<TransactionDetail>, ReadError> {
        Ok(None)
    }

    fn transactions(&self, _: &Filter) -> Result<Vec<TransactionRow>, ReadError> {
        Ok(Vec::new())
    }

    fn counts(&self) -> Result<Vec<(State, u64)>, ReadError> {
        Ok(Vec::new())
    }

    fn violations(&self, _: Option<i64>, _: usize) -> Result<Vec<ViolationRow>, ReadError> {
        Ok(Vec::new())
    }

    fn audit(&self, _: NodeId, _: Option<i64>, _: usize) -> Result<Vec<AuditRow>, ReadError> {
        Ok(Vec::new())
    }
}

/// The router over a node that does what it is told, and remembers what that was.
struct Service {
    runtime: Runtime,
    router: Router,
    commands: Arc<Mutex<Vec<Command>>>,
    _overview: watch::Sender<Arc<Overview>>,
}

impl Service {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (requests, mut inbox) = mpsc::channel::<handle::Request>(1);
        let (overview, view) = watch::channel(Arc::new(nobody()));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&commands);
        runtime.spawn(async move {
            while let Some(request) = inbox.recv().await {
                let outcome = match &request.command {
                    Command::Pay(_) | Command::Quote(_) | Command::Bump(_) => {
                        Outcome::Proposed { txid: Txid::from_byte_array(TXID), replayed: false }
                    }
                    Command::GenerateKey(scheme) => {
                        Outcome::KeygenStarted { key: KeyId { scheme: *scheme, epoch: 1 } }
                    }
                    Command::Presign { count } => Outcome::PresigningOrdered { count: *count },
                    Command::Decide(decision) => Outcome::Decided { txid: decision.txid },
                    Command::Freeze { .. } => Outcome::Frozen { freeze: FreezeId::from_bytes([0x11; 32]) },
                    Command::Lift { .. } => Outcome::Lifted { freezes: Vec::new() },
                };
                seen.lock().expect("one thread").push(request.command);
                drop(request.reply.send(outcome));
            }
        });
        let registry = prometheus::Registry::new();
        let options = ApiOptions {
            requests: RequestMetrics::register(&registry).expect("an empty registry"),
            sources: Sources::default(),
            operations: false,
            network: NETWORK,
            confirmations_required: 1,
            body_limit: BODY_LIMIT,
            request_timeout: Duration::from_secs(10),
            keyring: None,
            certificates: None,
            registry,
            events: None,
            etcd: None,
            postgres: None,
        };
        let node = NodeHandle::new(requests, view, Arc::new(Blank));
        Self { runtime, router: router(ApiState::new(node, options)), commands, _overview: overview }
    }

    fn ask(&self, request: Request<Body>) -> (StatusCode, String, Bytes, Vec<Command>) {
        let router = self.router.clone();
        let (status, kind, bytes) = self.runtime.block_on(async move {
            let response = router.oneshot(request).await.expect("the router always answers");
            let (parts, body) = response.into_parts();
            let kind = parts.headers.get(header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
            (parts.status, kind, to_bytes(body, ANSWER_LIMIT).await.expect("a short answer"))
        });
        (status, kind, bytes, std::mem::take(&mut *self.commands.lock().expect("one thread")))
    }
}

thread_local! {
    static SERVICE: Service = Service::start();
}

/// Posts a body.
pub fn target(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let path = match choice & 7 {
        0 => "/api/v1/transactions".to_owned(),
        1 => "/api/v1/dkg".to_owned(),
        4 => "/api/v1/cluster/freeze".to_owned(),
        5 => "/api/v1/cluster/lift".to_owned(),
        6 => "/api/v1/presignatures".to_owned(),
        2 => format!("/api/v1/transactions/{}/approve", "11".repeat(32)),
        3 => format!("/api/v1/transactions/{}/bump", "11".repeat(32)),
        _ => format!("/api/v1/transactions/{}/reject", "11".repeat(32)),
    };
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let mut body = rest;
    let mut key = None;
    if choice & 0x80 != 0 {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        body = rest.get(end + 1..).unwrap_or_default();
        key = rest.get(..end);
        request = request.header("idempotency-key", key.unwrap_or_default());
    }
    // A header that HTTP itself cannot carry never reaches the router.
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    let (status, kind, answer, commands) = SERVICE.with(|service| service.ask(request));
    let shown = String::from_utf8_lossy(&answer).into_owned();
    let document: Value = serde_json::from_slice(&answer).unwrap_or_else(|e| panic!("{e} in {shown}"));
    assert!(!status.is_server_error(), "{status}: {shown}");
    assert_eq!(commands.len(), usize::from(status.is_success()), "{status}: {shown}");
    if !status.is_success() {
        assert_eq!(kind, "application/problem+json", "{status}: {shown}");
        assert_eq!(document["status"], status.as_u16(), "{shown}");
        let word = |name: &str| document[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(word("code") && word("detail") && word("title"), "{shown}");
    }
    assert!(status != StatusCode::PAYLOAD_TOO_LARGE || body.len() > BODY_LIMIT, "{shown}");
    for command in commands {
        assert!(body.len() <= BODY_LIMIT, "more was read than is allowed");
        let fields = fields(body);
        match command {
            Command::Pay(payment) | Command::Quote(payment) => check_payment(&payment, &fields, key),
            Command::GenerateKey(scheme) => {
                assert_eq!(named(&fields), Some(scheme));
                assert!(fields.keys().all(|name| name == "type"), "an unknown field passed: {fields:?}");
            }
            Command::Presign { count } => {
                assert_eq!(fields.get("count").and_then(Value::as_u64), Some(count.into()));
                assert!((1..=MOST_PRESIGNATURES).contains(&count.into()), "{count} were ordered");
                assert!(fields.keys().all(|name| name == "count"), "an unknown field passed: {fields:?}");
            }
            Command::Decide(decision) => {
                assert_eq!(decision.approve, choice & 7 == 2);
                let said = fields.get("comment").and_then(Value::as_str).filter(|text| !text.is_empty());
                assert_eq!(decision.comment.as_deref(), said);
                assert!(fields.keys().all(|name| name == "comment"), "an unknown field passed: {fields:?}");
            }
            Command::Bump(bump) => {
                check_fee_rate(bump.fee_rate, &fields);
                assert!(fields.keys().all(|name| name == "fee_rate"), "an unknown field passed: {fields:?}");
            }
            Command::Freeze { operator, reason } => {
                assert_eq!(fields.get("reason").and_then(Value::as_str), Some(reason.as_str()));
                assert_eq!(check_operator(&operator).and_then(|()| check_reason(&reason)), Ok(()));
                assert!(fields.keys().all(|name| name == "reason"), "an unknown field passed: {fields:?}");
            }
            Command::Lift { operator } => {
                assert_eq!(check_operator(&operator), Ok(()));
                assert!(fields.is_empty(), "an unknown field passed: {fields:?}");
            }
        }
    }
}

/// The body as its author means it; `null` is the same as nothing, and so is no body where none is needed.
fn fields(body: &[u8]) -> BTreeMap<String, Value> {
    if body.is_empty() {
        return BTreeMap::new();
    }
    let object: Option<BTreeMap<String, Value>> =
        serde_json::from_slice(body).expect("an object was accepted");
    object.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn named(fields: &BTreeMap<String, Value>) -> Option<Scheme> {
    match fields.get("type")?.as_str()? {
        "taproot" => Some(Scheme::Taproot),
        "segwit" => Some(Scheme::Segwit),
        _ => None,
    }
}

fn check_payment(payment: &PaymentRequest, fields: &BTreeMap<String, Value>, key: Option<&[u8]>) {
    let known = ["recipient", "amount_sats", "metadata", "external_id", "type", "fee_rate"];
    assert!(fields.keys().all(|name| known.contains(&name.as_str())), "an unknown field passed: {fields:?}");
    assert_eq!(fields.get("amount_sats").and_then(Value::as_u64), Some(payment.amount.to_sat()));
    assert!((1..=Amount::MAX_MONEY.to_sat()).contains(&payment.amount.to_sat()));
    let text = fields.get("recipient").and_then(Value::as_str).expect("a recipient");
    let meant = text.parse::<Address<_>>().expect("an address").require_network(NETWORK).expect("of regtest");
    assert_eq!(meant.script_pubkey(), payment.recipient);
    assert_eq!(
        fields.get("metadata").map(|text| text.as_str().expect("a string")),
        payment.metadata.as_deref()
    );
    assert_eq!(fields.get("external_id").and_then(Value::as_str), payment.external_id.as_deref());
    assert!(payment.external_id.as_ref().is_none_or(|id| (1..=64).contains(&id.len())));
    assert_eq!(
        named(fields).or(fields.get("type").is_none().then_some(Scheme::Taproot)),
        Some(payment.scheme)
    );
    check_fee_rate(payment.fee_rate, fields);
    assert_eq!(payment.idempotency_key.is_some(), key.is_some());
    if let (Some(sent), Some(taken)) = (key, &payment.idempotency_key) {
        assert!((1..=255).contains(&taken.len()) && !taken.contains(['"', '\\']));
        assert!(String::from_utf8_lossy(sent).contains(taken.as_str()));
    }
}

fn check_fee_rate(taken: Option<u64>, fields: &BTreeMap<String, Value>) {
    let per_kvb = fields.get("fee_rate").map(|rate| {
        let rate = rate.as_str().map_or_else(|| rate.to_string(), str::to_owned);
        (rate.parse::<f64>().expect("a number") * 1_000.0).round()
    });
    // Up to 2⁵³ a float tells all integers apart; above, the rate is as near as it can be.
    assert_eq!(per_kvb, taken.map(|rate| rate as f64), "{fields:?}");
}

/// What the API says of a node that has seen nothing yet but a key that uses presignatures.
fn nobody() -> Overview {
    Overview {
        me: NodeId::new(1),
        now: Timestamp(0),
        total: 5,
        threshold: 4,
        faults_tolerated: 1,
        online: 1,
        coordinator: None,
        lease: None,
        policy: PolicyVersion::from_bytes([0; 32]),
        approval: None,
        boot: BootId(0),
        position: LogIndex(0),
        standing: StandingView::Sound,
        members: Vec::new(),
        wallets: Vec::new(),
        keygen: None,
        presignatures: Some(PoolView {
            key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
            low: 0,
            high: 0,
            most: MOST_PRESIGNATURES,
            ordered: 0,
            making: false,
            used: 0,
            groups: Vec::new(),
        }),
        chain: None,
        open_transactions: 0,
        sessions: 0,
        freezes: Vec::new(),
    }
}
