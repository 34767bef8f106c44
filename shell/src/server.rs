//! A node in production: every adapter behind its port, one driver loop, one HTTP face, one orderly end.

use std::{net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::Duration};

use mpc_wallet_core::{
    Node,
    node::{ReplayError, SealedShare},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    driver::{self, DriverError, Lines, Ports},
    esplora::{ConnectError, Esplora, EsploraConfig},
    etcd::{self, Address, EtcdHealth, Presence},
    events::{self, Events},
    handle::NodeHandle,
    host::{SystemClock, ThreadWorkers},
    journal::{OpenError, Store},
    metrics::{ChainMetrics, Counted, RecordMetrics, Sources, Timed, backup, peers, process, queues::Queues},
    ports::{Transport, TransportEvent},
    postgres::{Feeder, SetupError},
    quic::{self, Certificates, Quic, QuicConfig, QuicError, TlsFiles},
    read::Queries,
    rest::{self, ApiOptions, ApiState},
    secrets::{SealedSecrets, SecretsError},
    units, webhook,
};

/// Frames and connection changes that may wait for the loop; beyond it QUIC's flow control holds the peers back.
const TRANSPORT_EVENTS: usize = 1_024;

/// Client commands that may wait for the loop; beyond it clients wait.
const REQUESTS: usize = 256;

/// Streams of events of one API key: a dozen open pages, and programs beside them.
const STREAMS_PER_KEY: usize = 20;

/// Between two signs of life on a stream of events: proxies close what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Longest a question to the chain backend may take: the core counts an answer as lost after 20 s.
const CHAIN_ANSWER: Duration = Duration::from_secs(15);

/// Why a node does not start, or stops by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody can write there.
    #[error("data directory {path}: {source}; create it or correct [node] data_dir", path = path.display())]
    DataDirectory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The key shares cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The journal does not make a node.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The peers' door cannot be opened.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// The door of clients, or that of probes and Prometheus, cannot be opened.
    #[error("cannot serve HTTP on {address}: {source}; free the port or change [rest] {key}")]
    Rest {
        /// Where.
        address: SocketAddr,
        /// The setting that says so.
        key: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The cluster's record cannot be set up.
    #[error(transparent)]
    Postgres(#[from] SetupError),
    /// The chain backend's settings are unusable.
    #[error(transparent)]
    Chain(#[from] ConnectError),
    /// Two adapters claim one metric.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// Nobody could be told.
    #[error(transparent)]
    Events(#[from] events::StartError),
    /// Nobody could be posted to.
    #[error(transparent)]
    Webhooks(#[from] webhook::StartError),
    /// Nobody could compute.
    #[error("worker threads: {0}; raise the limit on threads of this user or service")]
    Workers(std::io::Error),
    /// The loop ended.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Runs a node until `stop`, then ends in order: no new clients, signing drained, peers told, everything on disk,
/// presignatures kept for the next start. At each `reload` it looks at its certificate files, and not only when it is time to.
///
/// # Errors
/// [`ServerError`], with what to do about it.
pub async fn run(
    settings: Settings,
    stop: CancellationToken,
    reload: Arc<Notify>,
) -> Result<(), ServerError> {
    Box::pin(run_behind(settings, stop, reload, |quic, heard| (quic, heard))).await
}

/// As [`run`], with something of the caller's between the loop and the network: `between` is given both ends of the
/// network, what is said and what is heard, and gives the loop others. Suites put faults there; production nothing.
///
/// # Errors
/// As [`run`].
pub async fn run_behind<T: Transport>(
    settings: Settings,
    stop: CancellationToken,
    reload: Arc<Notify>,
    between: impl FnOnce(Arc<Quic>, mpsc::Receiver<TransportEvent>) -> (T, mpsc::Receiver<TransportEvent>),
) -> Result<(), ServerError> {
    let me = settings.core.me;
    let cluster = settings.core.cluster.id();
    let data_dir = settings.data_dir.clone();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data_dir)
        .map_err(|source| ServerError::DataDirectory { path: data_dir.clone(), source })?;
    let (journal, records) = Store::open(&data_dir, cluster, me)?;
    let read_model: Arc<dyn Queries> = Arc::new(journal.read_model()?);
    let secrets = SealedSecrets::open(&data_dir, &settings.secret_key_file, cluster, me)?;
    let shares = secrets
        .load_all()?
        .into_iter()
        .map(|(ceremony, key, share)| SealedShare { ceremony, key, share: Arc::new(share) })
        .collect();
    let mut options = ApiOptions::from_settings(&settings)?;
    let counted = RecordMetrics::register(&options.registry, &records)?;
    let chain_metrics = ChainMetrics::register(&options.registry)?;
    if settings.etcd.is_some() {
        options.etcd = Some(EtcdHealth::register(&options.registry)?);
    }
    let (replayed, network) = (records.len(), settings.core.cluster.network());
    let (members, voting_round) = (settings.core.cluster.clone(), settings.core.timing.voting_round);
    let node = Node::replay(settings.core, settings.identity, records, shares)?;
    let node = match settings.primes {
        Some(primes) => node.with_primes(primes),
        None => node,
    };

    let esplora =
        EsploraConfig { answer_timeout: CHAIN_ANSWER, ..EsploraConfig::new(settings.chain.esplora) };
    let esplora = Esplora::connect(esplora, network).await?;
    let (arriving, (inbox, transport_events)) = quic_events();
    let tls = TlsFiles { ca: settings.tls.ca, cert: settings.tls.cert, key: settings.tls.key };
    let peers = settings.peers.into_iter().filter(|(peer, _)| *peer != me).collect();
    let limits = quic::Limits { certificate_check: settings.tls.check, ..quic::Limits::default() };
    let quic = Quic::start(QuicConfig { me, listen: settings.quic.listen, peers, tls, limits }, arriving)?;
    let transport = Arc::new(quic);
    options.certificates = Some(Arc::clone(transport.certificates()));
    let reloading = tokio::spawn(look_when_told(Arc::clone(transport.certificates()), reload, stop.clone()));

    let workers = ThreadWorkers::start().map_err(ServerError::Workers)?;
    let address = settings.rest.listen;
    let listener = listen(address, "listen").await?;
    let operations = match settings.rest.operations_listen {
        Some(address) => Some(listen(address, "operations_listen").await?),
        None => None,
    };
    // As late as may be, because a start that fails after this has lost them.
    let node = match secrets.take_presignatures()? {
        Some(kept) => node.with_presignatures(kept),
        None => node,
    };
    let (requests, request_line) = mpsc::channel(REQUESTS);
    let (overview, overview_line) = watch::channel(Arc::new(node.overview()));
    let outbox = journal.outbox()?;
    let (coordination, etcd_tasks) = settings
        .etcd
        .zip(options.etcd.clone())
        .map(|(settings, health)| {
            let presence = Presence {
                me,
                cluster: members.clone(),
                address: Address::of(address, transport.local_addr()),
                overview: overview_line.clone(),
                outbox,
                queries: Arc::clone(&read_model),
            };
            etcd::start(settings, presence, health, &stop)
        })
        .unzip();
    let record = match settings.postgres {
        Some(postgres) => {
            let teller = (me, members, voting_round);
            Some(Feeder::start(postgres, teller, journal.outbox()?, overview_line.clone())?)
        }
        None => None,
    };
    options.postgres = record.as_ref().map(Feeder::status);
    let sources = events::Sources {
        me,
        outbox: journal.outbox()?,
        position: journal.position(),
        overview: overview_line.clone(),
    };
    let limits = events::Limits {
        in_all: settings.rest.event_streams,
        per_key: STREAMS_PER_KEY,
        heartbeat: HEARTBEAT,
    };
    webhook::start(settings.webhooks, (me, &journal), &options.registry, &stop)?;
    options.events = Some(Events::start(sources, limits, &options.registry, stop.clone())?);
    let queues = Queues { requests: requests.downgrade(), transport: inbox };
    observe(&mut options.sources, &transport, queues, counted.clone(), data_dir);
    let keyring = options.keyring.clone();
    let handle = NodeHandle::new(requests, overview_line, read_model);
    let api = ApiState::new(handle, options);
    tracing::info!(node = %me, cluster = %cluster, network = %network, rest = %address,
        quic = %transport.local_addr(), records = replayed, version = env!("CARGO_PKG_VERSION"), "node is up");

    match keyring {
        Some(keyring) => drop(tokio::spawn(keyring.follow(stop.clone()))),
        None => tracing::warn!("the API is open: whoever reaches it may pay; [rest] api_keys closes it"),
    }
    let probes = operations.map(|listener| {
        tokio::spawn(rest::serve_operations(listener, api.clone(), stop.clone().cancelled_owned()))
    });
    let api = tokio::spawn(rest::serve(listener, api, stop.clone().cancelled_owned()));
    let (said, heard) = between(Arc::clone(&transport), transport_events);
    let ports = Ports {
        transport: said,
        journal: Counted::new(journal, counted),
        secrets: Arc::new(secrets),
        chain: Arc::new(Timed::new(esplora, chain_metrics)),
        coordination,
        clock: Arc::new(SystemClock::start(node.now())),
        workers: Arc::new(workers),
        entropy: rand_core::OsRng,
    };
    let lines = Lines {
        transport: heard,
        requests: request_line,
        overview,
        alarm: Box::new(driver::log_alert),
        stop: stop.clone(),
    };
    let ended = driver::run(node, ports, lines).await;
    // Whatever ended the loop, clients are told and peers see a closed connection rather than silence.
    stop.cancel();
    for http in [Some(api), probes].into_iter().flatten() {
        match http.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "HTTP ended badly"),
            Err(error) => tracing::warn!(%error, "HTTP ended badly"),
        }
    }
    if let Some(tasks) = etcd_tasks {
        tasks.ended().await;
    }
    if let Err(error) = reloading.await {
        tracing::warn!(%error, "the task that reloads certificates ended badly");
    }
    if let Ok(quic) = Arc::try_unwrap(transport) {
        quic.shutdown().await;
    }
    if let Some(record) = record {
        record.stop().await;
    }
    ended?;
    tracing::info!(node = %me, "node stopped in order");
    Ok(())
}

/// Looks at the certificates at each request, until `stop`. What it finds is in the log.
async fn look_when_told(certificates: Arc<Certificates>, reload: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = reload.notified() => {}
        }
        let certificates = Arc::clone(&certificates);
        if let Ok(Ok(false)) = tokio::task::spawn_blocking(move || certificates.look()).await {
            tracing::info!("the certificate files are those in use");
        }
    }
}

/// Opens a door for HTTP; `key` is the setting of `[rest]` that says where.
async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Rest { address, key, source })
}

/// Has the parts of the node asked for their numbers at each scrape.
fn observe(sources: &mut Sources, quic: &Quic, queues: Queues, counted: RecordMetrics, data_dir: PathBuf) {
    let watch = quic.watch();
    sources.add(move |sheet| peers::show(sheet, &watch.stats()));
    sources.add(move |sheet| queues.show(sheet));
    sources.add(move |sheet| counted.show_ages(sheet, units::now()));
    sources.add(move |sheet| backup::show(sheet, &data_dir));
    let started = units::now();
    sources.add(move |sheet| process::show(sheet, started));
}

/// What waits for the loop, and a view of how much that is.
type Inbox = (mpsc::WeakSender<TransportEvent>, mpsc::Receiver<TransportEvent>);

/// The transport's events in the driver's words.
fn quic_events() -> (mpsc::Sender<quic::Event>, Inbox) {
    let (events, mut incoming) = mpsc::channel::<quic::Event>(TRANSPORT_EVENTS);
    let (outgoing, transport_events) = mpsc::channel(TRANSPORT_EVENTS);
    let waiting = outgoing.downgrade();
    tokio::spawn(async move {
        while let Some(event) = incoming.recv().await {
            if outgoing.send(TransportEvent::from(event)).await.is_err() {
                return;
            }
        }
    });
    (events, (waiting, transport_events))
}
