//! Webhooks over a real journal, to a receiver of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use crate::support::events::{banned, life};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use mpc_wallet_core::{
    BootId, ClusterId, NodeId, Timestamp,
    record::{Fact, Record},
};
use mpc_wallet_shell::{
    config::WebhookSettings,
    events::Kind,
    journal::Store,
    ports::Journal as _,
    webhook::{self, Secret},
};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// The secret of standard-webhooks' own tests.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// More records than a webhook may be behind.
const MORE_THAN_WINDOW: u64 = 50_010;
/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was posted.
#[derive(Debug)]
struct Posted {
    headers: HeaderMap,
    body: String,
    answered: u16,
}

impl Posted {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The node that a posted [`banned`] speaks of.
    fn number(&self) -> u64 {
        assert_eq!(self.json()["type"], "node.banned", "{self:?}");
        self.json()["node_id"].as_u64().unwrap()
    }
}

/// Answers as told, and 204 when nothing was.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<u16>>>);

struct Receiver {
    url: String,
    script: Script,
    posted: mpsc::UnboundedReceiver<Posted>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, posted) = mpsc::unbounded_channel();
        let script = Script::default();
        let take = async |State((script, tell)): State<(Script, mpsc::UnboundedSender<Posted>)>,
                          headers: HeaderMap,
                          body: Bytes| {
            let answered = script.0.lock().unwrap().pop_front().unwrap_or(204);
            let body = String::from_utf8(body.to_vec()).unwrap();
            tell.send(Posted { headers, body, answered }).unwrap();
            StatusCode::from_u16(answered).unwrap()
        };
        let router = Router::new().route("/hook", post(take)).with_state((script.clone(), tell));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, script, posted }
    }

    fn answer(&self, statuses: &[u16]) {
        self.script.0.lock().unwrap().extend(statuses);
    }

    async fn next(&mut self) -> Posted {
        tokio::time::timeout(PATIENCE, self.posted.recv()).await.unwrap().unwrap()
    }
}

/// A node as far as webhooks go.
struct Node {
    store: Store,
    registry: Registry,
    stop: CancellationToken,
}

impl Node {
    fn start(dir: &Path, receiver: &Receiver, events: &[Kind]) -> Self {
        let me = NodeId::new(1);
        let (store, _) = Store::open(dir, ClusterId::from_bytes([7; 32]), me).unwrap();
        let settings = WebhookSettings {
            url: receiver.url.parse().unwrap(),
            secret: Secret::parse(SECRET).unwrap(),
            events: events.to_vec(),
        };
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        webhook::start(vec![settings], (me, &store), &registry, &stop).unwrap();
        Self { store, registry, stop }
    }

    async fn append(&mut self, records: Vec<Record>) {
        self.store.append(records).await.unwrap();
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    async fn until(&self, test: impl Fn(&str) -> bool) {
        let met = async {
            while !test(&self.metrics()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, met).await;
        assert!(waited.is_ok(), "{}", self.metrics());
    }

    /// Ends as a node does: the deliverer hears of it before the journal is closed.
    async fn end(self) {
        self.stop.cancel();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_are_posted_in_order_and_signed_for_whoever_has_the_secret() {
    let (dir, mut receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let mut node = Node::start(dir.path(), &receiver, &[]);
    node.append(life()).await;
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "key.failed") {
        let posted = receiver.next().await;
        assert_eq!(posted.json()["id"], posted.header("webhook-id"));
        assert_eq!(posted.header("content-type"), "application/json");
        let seconds: u64 = posted.header("webhook-timestamp").parse().unwrap();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(seconds) < 60, "{seconds} at {now}");
        assert_eq!(documented_check(dir.path(), &posted), posted.header("webhook-signature"));
        kinds.push(posted.json()["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 12);
    assert_eq!(kinds[..3], ["transaction.created", "transaction.updated", "transaction.vote"]);
    node.until(|metrics| {
        metrics.contains("mpc_wallet_webhook_deliveries_total{result=\"taken\",webhook=\"1\"} 12")
            && metrics.contains("mpc_wallet_webhook_waiting_records{webhook=\"1\"} 0")
    })
    .await;
}

/// What the documentation's command says that the signature must be.
fn documented_check(dir: &Path, posted: &Posted) -> String {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let blocks = guide.split("```");
    let command = blocks.skip(1).step_by(2).find(|block| block.contains("openssl dgst")).unwrap();
    fs::write(dir.join("secret"), format!("{SECRET}\n")).unwrap();
    fs::write(dir.join("body.json"), &posted.body).unwrap();
    let output = Command::new("sh")
        .args(["-c", command.trim_start_matches("sh")])
        .current_dir(dir)
        .env("WEBHOOK_ID", posted.header("webhook-id"))
        .env("WEBHOOK_TIMESTAMP", posted.header("webhook-timestamp"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again_before_anything_else_and_holds_nobody_up() {
    let (dir, mut receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let mut node = Node::start(dir.path(), &receiver, &[]);
    receiver.answer(&[500]);
    node.append(vec![banned(1)]).await;
    let refused = receiver.next().await;
    assert_eq!((refused.number(), refused.answered), (1, 500));
    node.append(vec![banned(2)]).await;
    node.until(|metrics| metrics.contains("mpc_wallet_webhook_waiting_records{webhook=\"1\"} 2")).await;
    let again = receiver.next().await;
    assert_eq!((again.number(), again.header("webhook-id")), (1, refused.header("webhook-id")));
    assert_eq!(receiver.next().await.number(), 2);
    node.until(|metrics| metrics.contains("deliveries_total{result=\"failed\",webhook=\"1\"} 1")).await;
}

#[tokio::test]
async fn a_restarted_node_goes_on_where_its_receiver_is() {
    let (dir, mut receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let mut node = Node::start(dir.path(), &receiver, &[]);
    node.append(vec![banned(1)]).await;
    assert_eq!(receiver.next().await.number(), 1);
    node.until(|metrics| metrics.contains("waiting_records{webhook=\"1\"} 0")).await;
    // Refused to the end of this run.
    receiver.answer(&[503]);
    node.append(vec![banned(2)]).await;
    assert_eq!(receiver.next().await.answered, 503);
    node.end().await;

    let (mut store, _) = Store::open(dir.path(), ClusterId::from_bytes([7; 32]), NodeId::new(1)).unwrap();
    store.append(vec![banned(3)]).await.unwrap();
    drop(store);
    let mut node = Node::start(dir.path(), &receiver, &[]);
    node.append(vec![banned(4)]).await;
    // What was taken may come again after a crash, but not after an orderly end.
    for number in 2..=4 {
        assert_eq!(receiver.next().await.number(), number);
    }
}

#[tokio::test]
async fn only_the_kinds_that_are_wanted_are_posted() {
    let (dir, mut receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let mut node = Node::start(dir.path(), &receiver, &[Kind::TransactionReorged, Kind::NodeBanned]);
    node.append(life()).await;
    assert_eq!(receiver.next().await.number(), 5);
    assert_eq!(receiver.next().await.json()["type"], "transaction.reorged");
    node.append(vec![banned(6)]).await;
    assert_eq!(receiver.next().await.number(), 6);
}

#[tokio::test]
async fn a_receiver_that_was_away_for_too_long_is_told_to_begin_anew() {
    let (dir, mut receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let mut node = Node::start(dir.path(), &receiver, &[Kind::NodeBanned]);
    let boots = (0..MORE_THAN_WINDOW)
        .map(|boot| Record { at: Timestamp(3_000), fact: Fact::Booted { boot: BootId(boot) } });
    node.append([banned(1)].into_iter().chain(boots).collect()).await;
    let posted = receiver.next().await;
    assert_eq!((&posted.json()["type"], &posted.json()["reason"]), (&json!("reset"), &json!("too_old")));
    node.append(vec![banned(2)]).await;
    assert_eq!(receiver.next().await.number(), 2);
}
