//! The loop's own promises, over ports that exist only here: what becomes of presignatures at its end.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bitcoin::Network;
use mpc_wallet_core::{
    Channel, Cluster, Config, KeyId, Limits, LogIndex, Node, NodeId, SessionId, Timestamp, Timing, VoteKey,
    chain::{ChainAnswer, ChainQuery},
    ids::QueryId,
    mpc::{KeyShare, Suites},
    policy::Policy,
    pool::KeptPresignatures,
    record::Record,
    step::{JobResult, Priority, Receipt, Work},
};
use mpc_wallet_shell::{
    driver::{self, DriverError, Lines, Ports},
    etcd::EtcdCoordination,
    host::SystemClock,
    ports::{Chain, Journal, JournalFailure, SecretStore, Transport, Workers},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Appended,
    Kept { any: bool },
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Event>>>);

impl Diary {
    fn write(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct Silence;

impl Transport for Silence {
    fn send(&self, _: NodeId, _: Channel, _: Vec<u8>) {}
    fn ban(&self, _: NodeId, _: Timestamp) {}
}

impl Chain for Silence {
    async fn ask(&self, _: QueryId, _: ChainQuery) -> ChainAnswer {
        pending().await
    }
}

impl Workers for Silence {
    async fn run(&self, _: Work, _: Priority) -> Option<JobResult> {
        pending().await
    }
}

struct MemoryJournal {
    diary: Diary,
    position: u64,
    broken: bool,
}

impl Journal for MemoryJournal {
    async fn append(&mut self, records: Vec<Record>) -> Result<Receipt, JournalFailure> {
        if self.broken {
            return Err(JournalFailure("disk full".to_owned()));
        }
        self.position += u64::try_from(records.len()).unwrap();
        self.diary.write(Event::Appended);
        Ok(Receipt::up_to(LogIndex(self.position)))
    }
}

impl SecretStore for Diary {
    async fn seal(&self, _: SessionId, _: KeyId, _: &KeyShare) -> Result<(), JournalFailure> {
        Ok(())
    }

    async fn keep_presignatures(&self, kept: Option<KeptPresignatures>) -> Result<(), JournalFailure> {
        self.write(Event::Kept { any: kept.is_some() });
        Ok(())
    }
}

fn node() -> Node {
    let key = |id: u8| VoteKey::from_bytes(&[id; 32]).unwrap();
    let members: BTreeMap<_, _> = (1..=3).map(|id| (NodeId::new(id.into()), key(id).public())).collect();
    let config = Config {
        me: NodeId::new(1),
        cluster: Cluster::new(Network::Regtest, 2, members).unwrap(),
        policy: Policy::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        confirmations_required: 1,
        suites: Suites::PRODUCTION,
    };
    Node::replay(config, key(1), [], Vec::new()).unwrap()
}

/// Runs a new node until it has appended something, then stops it.
async fn run(broken: bool) -> (Result<(), DriverError>, Vec<Event>) {
    let node = node();
    let diary = Diary::default();
    let (_events, transport) = mpsc::channel(1);
    let (_requests, requests) = mpsc::channel(1);
    let (overview, mut seen) = watch::channel(Arc::new(node.overview()));
    let stop = CancellationToken::new();
    let ports = Ports {
        transport: Silence,
        journal: MemoryJournal { diary: diary.clone(), position: 0, broken },
        secrets: Arc::new(diary.clone()),
        chain: Arc::new(Silence),
        coordination: None::<EtcdCoordination>,
        clock: Arc::new(SystemClock::start(node.now())),
        workers: Arc::new(Silence),
        entropy: rand_core::OsRng,
    };
    let alarm = Box::new(driver::log_alert);
    let lines = Lines { transport, requests, overview, alarm, stop: stop.clone() };
    let order = tokio::spawn(async move {
        // Without a journal that works nothing is ever published.
        let _ = seen.wait_for(|view| view.position > LogIndex(0)).await;
        stop.cancel();
    });
    let ended = tokio::time::timeout(Duration::from_secs(20), Box::pin(driver::run(node, ports, lines)))
        .await
        .expect("the loop ends when it is told to");
    order.abort();
    let events = diary.0.lock().unwrap().clone();
    (ended, events)
}

#[tokio::test]
async fn an_orderly_stop_settles_presignatures_once_after_the_last_record() {
    let (ended, events) = run(false).await;
    ended.unwrap();
    let (last, before) = events.split_last().unwrap();
    // A node that no peer has confirmed has nothing to keep, and says that too: what was kept before is void.
    assert_eq!(*last, Event::Kept { any: false });
    assert!(!before.is_empty() && before.iter().all(|event| *event == Event::Appended));
}

#[tokio::test]
async fn a_loop_that_fails_keeps_no_presignatures() {
    let (ended, events) = run(true).await;
    assert!(matches!(ended, Err(DriverError::Journal(_))));
    assert_eq!(events, []);
}
