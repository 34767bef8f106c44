//! What `/metrics` shows against `docs/metrics.md`, what it counts, and where it is answered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::support::{
    Past,
    client::{Answer, get},
    guarded, now, row, with_options, with_pool,
};
use axum::{body::Body, http::Request};
use mpc_wallet_core::{
    LogIndex, NodeId, Scheme, Timestamp,
    record::{Fact, Record},
    step::Receipt,
    tx::{State, SubStatus},
    vote::Violation,
};
use mpc_wallet_shell::{
    etcd::EtcdHealth,
    metrics::{
        ChainMetrics, Counted, RecordMetrics, RequestMetrics, Scrape, Sources, backup, peers, process,
        queues::Queues, render,
    },
    ports::{Journal, JournalFailure},
    postgres::{Condition, Report},
    quic::{CertificateReport, PeerStats, PerChannel, QueueDepth},
    rest::{ApiState, operations_router},
};
use prometheus::Registry;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

const TABLE: &str = include_str!("../../../docs/metrics.md");

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

/// The table: what each metric is said to be.
fn documented() -> BTreeMap<String, Shape> {
    let code = |text: &str| text.trim().trim_matches('`').to_owned();
    let mut metrics = BTreeMap::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| `mpc_wallet_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "{line}");
        assert!(!cells[3].is_empty() && !cells[6].is_empty(), "unit and meaning: {line}");
        let labels = cells[4].split(',').map(code).filter(|label| !label.is_empty()).collect();
        let before = metrics.insert(code(cells[1]), (cells[2].to_owned(), labels));
        assert!(before.is_none(), "twice: {line}");
    }
    metrics
}

/// What a scrape shows, by family.
fn shown(text: &str) -> BTreeMap<String, Shape> {
    let mut metrics: BTreeMap<String, Shape> = BTreeMap::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((series, labels)) = line.split_once('{') {
            let labels = labels.rsplit_once('}').unwrap().0;
            let parts = ["_bucket", "_sum", "_count"];
            let family = parts
                .iter()
                .find_map(|part| series.strip_suffix(part))
                .filter(|name| metrics.contains_key(*name));
            let (_, known) = metrics.get_mut(family.unwrap_or(series)).unwrap();
            let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            known.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    metrics
}

/// A scrape of a node that has everything: both wallets, PostgreSQL, etcd, peers, a backup.
fn complete() -> String {
    let registry = Registry::new();
    let requests = RequestMetrics::register(&registry).unwrap();
    requests.answered(Some("/health"), &"GET".parse().unwrap(), "200".parse().unwrap(), Duration::ZERO);
    RecordMetrics::register(&registry, &[]).unwrap();
    ChainMetrics::register(&registry).unwrap();
    EtcdHealth::register(&registry).unwrap();
    let events = RecordMetrics::register(&Registry::new(), &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(mpc_wallet_shell::backup::LAST_BACKUP_FILE), "1700000000").unwrap();
    let peer = PeerStats {
        connected: true,
        rtt: Some(Duration::from_millis(3)),
        connections: 1,
        dropped_frames: PerChannel::from_fn(|_| 0),
        queue: PerChannel::from_fn(|_| QueueDepth::default()),
        banned_until: None,
    };
    let stats = BTreeMap::from([(NodeId::new(2), peer)]);
    let queues =
        Queues { requests: mpsc::channel(1).0.downgrade(), transport: mpsc::channel(1).0.downgrade() };
    let mut sources = Sources::default();
    sources.add(move |sheet| peers::show(sheet, &stats));
    sources.add(move |sheet| queues.show(sheet));
    sources.add(move |sheet| events.show_ages(sheet, now()));
    sources.add(move |sheet| backup::show(sheet, dir.path()));
    sources.add(|sheet| process::show(sheet, now()));
    let record = Report {
        condition: Condition::Up,
        away: Duration::ZERO,
        waiting: 0,
        connections: 1,
        detail: String::new(),
    };
    let certificates = CertificateReport {
        me: NodeId::new(1),
        own: 1,
        ca: 2,
        peers: BTreeMap::new(),
        taken: 0,
        refused: 0,
        notes: Vec::new(),
    };
    let scrape = Scrape {
        overview: &with_pool(),
        now: now(),
        counts: &[],
        record: Some(&record),
        certificates: Some(&certificates),
        sources: &sources,
        registry: &registry,
    };
    render(&scrape).unwrap()
}

/// What only streams and webhooks show; their own tests see them.
const ELSEWHERE: [&str; 4] = [
    "mpc_wallet_event_streams",
    "mpc_wallet_event_resets_total",
    "mpc_wallet_webhook_deliveries_total",
    "mpc_wallet_webhook_waiting_records",
];

#[test]
fn the_table_lists_every_metric_as_it_is_and_no_other() {
    let mut documented = documented();
    for name in ELSEWHERE {
        assert!(documented.remove(name).is_some(), "{name} is not in docs/metrics.md");
    }
    assert_eq!(shown(&complete()), documented);
}

#[test]
fn two_sources_of_one_name_are_an_error_and_not_a_guess() {
    let mut sources = Sources::default();
    sources.add(|sheet| sheet.gauge("mpc_wallet_members", "Again.", 1));
    let scrape = Scrape {
        overview: &with_pool(),
        now: now(),
        counts: &[],
        record: None,
        certificates: None,
        sources: &sources,
        registry: &Registry::new(),
    };
    assert!(render(&scrape).is_err());
}

/// Writes nothing, or fails.
struct Disk {
    position: u64,
    broken: bool,
}

impl Journal for Disk {
    async fn append(&mut self, records: Vec<Record>) -> Result<Receipt, JournalFailure> {
        if self.broken {
            return Err(JournalFailure("on purpose".to_owned()));
        }
        self.position += records.len() as u64;
        Ok(Receipt::up_to(LogIndex(self.position)))
    }
}

fn struck() -> Record {
    let fact = Fact::Struck {
        node: NodeId::new(3),
        violation: Violation::InvalidSignature,
        txid: None,
        detail: String::new(),
    };
    Record { at: Timestamp(1), fact }
}

fn reorganised() -> Record {
    let fact = Fact::Transition {
        txid: crate::support::client::txid(1),
        from: State::Confirmed,
        to: State::Broadcasting,
        sub_status: SubStatus::AwaitingVotes,
        cause: String::new(),
    };
    Record { at: Timestamp(1), fact }
}

fn text_of(registry: &Registry) -> String {
    prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[tokio::test]
async fn records_are_counted_once_they_are_durable_and_never_those_of_an_earlier_life() {
    let registry = Registry::new();
    let metrics = RecordMetrics::register(&registry, &[struck(), reorganised()]).unwrap();
    let violations =
        |count: u8| format!("mpc_wallet_byzantine_violations_total{{type=\"invalid_signature\"}} {count}\n");
    assert!(text_of(&registry).contains(&violations(0)));
    let mut journal = Counted::new(Disk { position: 0, broken: false }, metrics.clone());
    journal.append(vec![struck(), reorganised()]).await.unwrap();
    let text = text_of(&registry);
    assert!(text.contains(&violations(1)), "{text}");
    let moved = "mpc_wallet_state_transitions_total{from=\"confirmed\",to=\"broadcasting\"} 1\n";
    assert!(text.contains(moved), "{text}");
    let mut journal = Counted::new(Disk { position: 0, broken: true }, metrics);
    journal.append(vec![struck()]).await.unwrap_err();
    assert!(text_of(&registry).contains(&violations(1)));
}

#[test]
fn every_kind_of_series_is_there_before_the_first_event() {
    let registry = Registry::new();
    RecordMetrics::register(&registry, &[]).unwrap();
    let text = text_of(&registry);
    for scheme in Scheme::ALL {
        let series = format!("mpc_wallet_dkg_rounds_total{{result=\"failed\",scheme=\"{scheme}\"}} 0\n");
        assert!(text.contains(&series), "{series} in\n{text}");
    }
    for kind in Violation::ALL {
        let series = format!("mpc_wallet_byzantine_violations_total{{type=\"{kind}\"}} 0\n");
        assert!(text.contains(&series), "{series} in\n{text}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_template_and_not_by_path() {
    let node = with_options(with_pool(), Past::default(), Box::new(|_| None), |options| {
        options.request_timeout = Duration::from_secs(60);
    });
    for path in ["/api/v1/transactions/00", "/api/v1/transactions/11", "/nothing/22"] {
        get(&node, path).await;
    }
    let text = get(&node, "/metrics").await.text;
    let of = "mpc_wallet_http_requests_total{method=\"GET\",route=";
    for series in [
        format!("{of}\"/api/v1/transactions/{{txid}}\",status=\"400\"}} 2\n"),
        format!("{of}\"none\",status=\"404\"}} 1\n"),
    ] {
        assert!(text.contains(&series), "{series} in\n{text}");
    }
}

async fn operations(state: &ApiState, path: &str) -> Answer {
    let request = Request::get(path).body(Body::empty()).unwrap();
    Answer::of(operations_router(state.clone()).oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_listener_of_their_own_answers_probes_and_scrapes_without_keys_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("api-keys.toml");
    mpc_wallet_shell::access::KeyFile::default().write(&file).unwrap();
    let keyring = mpc_wallet_shell::access::Keyring::load(&file, 60.try_into().unwrap()).unwrap();
    let past = Past { rows: vec![row(1, State::Voting)], ..Past::default() };
    let node = guarded(with_pool(), past, Box::new(|_| None), Some(Arc::new(keyring)));
    for path in ["/health", "/health/ready", "/metrics"] {
        assert_eq!(operations(&node.state, path).await.status, 200, "{path}");
    }
    for path in ["/", "/api/v1/cluster/status", "/api/v1/transactions", "/dashboard/js/api.js"] {
        assert_eq!(operations(&node.state, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn with_a_listener_of_their_own_the_api_shows_no_metrics_and_keeps_its_probes() {
    let node =
        with_options(with_pool(), Past::default(), Box::new(|_| None), |options| options.operations = true);
    assert_eq!(get(&node, "/metrics").await.status, 404);
    for path in ["/health", "/health/ready"] {
        assert_eq!(get(&node, path).await.status, 200, "{path}");
    }
}
