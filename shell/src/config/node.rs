//! `node.toml`: one node's own settings, ready to start from.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::Uri;
use bitcoin::Network;
use mpc_wallet_core::{
    Config, Millis, NodeId, VoteKey,
    config::ConfigError,
    mpc::{Suites, ecdsa::Primes},
};

use super::{
    etcd::{EtcdSettings, read_etcd},
    keys::{read_identity, read_primes, read_secret},
    manifest::{Manifest, parse_id},
    policy::{parse_millis, read_limits, read_policy, read_timing},
    postgres::{PostgresSettings, password_in_file, read_postgres},
    problem::ConfigErrors,
    reader::{Reader, settle},
    webhook::{WebhookSettings, read_webhooks},
};
use crate::access::Keyring;

/// Everything a node starts from.
pub struct Settings {
    /// For the core.
    pub core: Config,
    /// The node's vote key; it matches the manifest.
    pub identity: VoteKey,
    /// The manifest's file.
    pub manifest: PathBuf,
    /// The other members' QUIC addresses, `host:port`.
    pub peers: BTreeMap<NodeId, String>,
    /// Where journal and sealed shares live.
    pub data_dir: PathBuf,
    /// File of the key that seals shares; [`read_secret`] has read it once.
    pub secret_key_file: PathBuf,
    /// The peers' door.
    pub quic: QuicSettings,
    /// Certificates.
    pub tls: TlsSettings,
    /// The clients' door.
    pub rest: RestSettings,
    /// The chain backend.
    pub chain: ChainSettings,
    /// Where coordination is kept; `None` coordinates by the embedded rule.
    pub etcd: Option<EtcdSettings>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Primes for the first SegWit key generation of this run; never on mainnet.
    pub primes: Option<Primes>,
    /// The cluster's record; `None`: this node keeps no part of it.
    pub postgres: Option<PostgresSettings>,
    /// Where events are posted.
    pub webhooks: Vec<WebhookSettings>,
}

/// `[quic]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicSettings {
    /// Where peers connect.
    pub listen: SocketAddr,
}

/// `[tls]`, all PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The cluster's certificate authority.
    pub ca: PathBuf,
    /// This node's certificate, common name `node-N`.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Between two looks at the files for new ones, and at the peers' certificates. In whole seconds.
    pub check: Duration,
}

/// `[rest]`
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// After this long a request is answered, whatever it waits for.
    pub request_timeout: Duration,
    /// Whose requests are taken; `None`, which only a private chain allows: everybody's.
    pub keyring: Option<Arc<Keyring>>,
    /// Where probes and Prometheus connect, without keys; `None`: at `listen`, where `/metrics` asks for one.
    pub operations_listen: Option<SocketAddr>,
    /// Most streams of events at once.
    pub event_streams: usize,
}

/// `[chain]`; the poll interval is in [`Config::timing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSettings {
    /// Base URL of an Esplora API.
    pub esplora: String,
}

/// `log` and `log_format` of `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives as in `RUST_LOG`, which wins over them.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
    /// For people on a terminal, JSON elsewhere.
    Auto,
}

/// What `[rest]` does without being told.
const BODY_LIMIT: usize = 64 * 1024;
/// Longer than a payment waits for coins.
const REQUEST_TIMEOUT: Millis = Millis(15_000);
/// Seconds between two looks at the certificates: soon enough for who has just put new ones in place.
const CERTIFICATE_CHECK: u64 = 30;
/// Time that an answer needs beyond the wait for coins.
const ANSWER_MARGIN: Millis = Millis(1_000);
/// Twenty a second: a dashboard that watches a payment asks for a few.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_200).unwrap();
/// Streams of events at once: a listener that is up to date costs a socket and some kilobytes.
const EVENT_STREAMS: usize = 500;
/// The way to a file of API keys.
const MAKE_KEYS: &str = "`mpc-wallet-cli key create --file FILE --name NAME --role ROLE` makes one";
/// Every section of `node.toml`.
const SECTIONS: [&str; 13] = [
    "node", "cluster", "quic", "tls", "rest", "chain", "secrets", "policy", "timing", "limits", "dkg",
    "etcd", "postgres",
];

/// Blocks until a payment counts as confirmed, unless configured: reorganisations are rare and shallow on mainnet,
/// free on the others.
const fn default_confirmations(network: Network) -> u32 {
    match network {
        Network::Bitcoin => 6,
        Network::Testnet | Network::Testnet4 | Network::Signet => 2,
        Network::Regtest => 1,
    }
}

impl Settings {
    /// Reads `node.toml`, the manifest and key files it names, and the process's environment.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        // Lossy: a variable that is not Unicode is no valid setting, and its problem will quote it.
        let environment = std::env::vars_os()
            .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Self::load_with(file, environment)
    }

    /// As [`Settings::load`], with another environment.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn load_with(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::open(file, true);
        let password_in_file = password_in_file(&reader);
        reader.overlay(&SECTIONS, environment);

        let (manifest_file, (manifest, manifest_problems)) = read_manifest(&mut reader);
        let node = read_node(&mut reader);
        let quic = read_listen(&mut reader, "quic", |_| Some(()));
        let tls = read_tls(&mut reader);
        let timing = read_timing(&mut reader);
        let network = manifest.as_ref().map(|manifest| manifest.cluster.network());
        let rest = read_rest(&mut reader, timing.coin_wait, network);
        let policy = read_policy(&mut reader, manifest.as_ref().map(|manifest| &manifest.cluster));
        let limits = read_limits(&mut reader);
        let chain = read_chain(&mut reader, timing);
        let secret_key_file = read_key_path(&mut reader, "secrets", "key_file");
        let primes = read_dkg(&mut reader, network);
        let etcd = read_etcd(&mut reader);
        let postgres = read_postgres(&mut reader, password_in_file);
        let webhooks = read_webhooks(&mut reader, network);

        if let (Some(manifest), Some(node)) = (&manifest, &node) {
            check_identity(&mut reader, manifest, node.id, &node.identity);
        }

        let settings = (|| {
            let (manifest, node, chain) = (manifest?, node?, chain?);
            let Manifest { cluster, mut addresses } = manifest;
            addresses.remove(&node.id);
            let confirmations =
                chain.confirmations.unwrap_or_else(|| default_confirmations(cluster.network()));
            Some(Self {
                core: Config {
                    me: node.id,
                    cluster,
                    policy,
                    timing: chain.timing,
                    limits,
                    confirmations_required: confirmations,
                    suites: Suites::PRODUCTION,
                },
                identity: node.identity,
                manifest: manifest_file?,
                peers: addresses,
                data_dir: node.data_dir,
                secret_key_file: secret_key_file?,
                quic: QuicSettings { listen: quic?.0 },
                tls: tls?,
                rest: rest?,
                chain: ChainSettings { esplora: chain.esplora },
                etcd,
                log: node.log,
                primes,
                postgres,
                webhooks,
            })
        })();
        settle(settings, reader.finish().into_iter().chain(manifest_problems))
    }
}

/// The manifest's path, and what is in it.
fn read_manifest(reader: &mut Reader) -> (Option<PathBuf>, (Option<Manifest>, Vec<super::ConfigProblem>)) {
    let mut section = reader.section("cluster");
    let path = section.required("manifest", "the path of cluster.toml", non_empty);
    section.finish();
    let path = path.map(|path| reader.resolve(&path));
    let manifest = path.as_deref().map_or((None, Vec::new()), Manifest::read);
    (path, manifest)
}

struct Node {
    id: NodeId,
    data_dir: PathBuf,
    identity: VoteKey,
    log: LogSettings,
}

fn read_node(reader: &mut Reader) -> Option<Node> {
    let mut section = reader.section("node");
    let id = section.required("id", "this node's number in the manifest, from 1", parse_id);
    let data_dir = section.required("data_dir", "a folder for the journal", non_empty);
    let identity = section.required("identity", "the path of the identity key", non_empty);
    let filter = section.optional("log", "log directives such as info or info,quinn=warn", |text| {
        text.parse::<tracing_subscriber::filter::Targets>().ok().map(|_| text.to_owned())
    });
    let format = section.optional("log_format", "json, text or auto", |text| match text {
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        "auto" => Some(LogFormat::Auto),
        _ => None,
    });
    section.finish();
    let identity = identity.and_then(|path| {
        let resolved = reader.resolve(&path);
        read_identity(&resolved)
            .map_err(|error| reader.note("node.identity", Some(&path), error.to_string()))
            .ok()
    });
    Some(Node {
        id: id?,
        data_dir: reader.resolve(&data_dir?),
        identity: identity?,
        log: LogSettings {
            filter: filter.unwrap_or_else(|| "info".to_owned()),
            format: format.unwrap_or(LogFormat::Auto),
        },
    })
}

/// A section with a listening address and perhaps more.
fn read_listen<T>(
    reader: &mut Reader,
    name: &'static str,
    more: impl FnOnce(&mut super::reader::Section<'_>) -> Option<T>,
) -> Option<(SocketAddr, T)> {
    let mut section = reader.section(name);
    let listen = section.required("listen", "an IP address and port, as in 127.0.0.1:9101", |text| {
        text.parse::<SocketAddr>().ok()
    });
    let rest = more(&mut section);
    section.finish();
    Some((listen?, rest?))
}

fn read_rest(reader: &mut Reader, coin_wait: Millis, network: Option<Network>) -> Option<RestSettings> {
    let (listen, (body_limit, timeout, keys, (operations_listen, event_streams))) =
        read_listen(reader, "rest", |section| {
            let body_limit =
                section.optional("body_limit_bytes", "a number of bytes from 1024 to 16777216", |text| {
                    text.parse::<usize>().ok().filter(|limit| (1_024..=16 * 1024 * 1024).contains(limit))
                });
            let timeout = section
                .optional("request_timeout_ms", "milliseconds, a whole number from 1", parse_millis)
                .unwrap_or(REQUEST_TIMEOUT);
            let least = Millis(coin_wait.0.saturating_add(ANSWER_MARGIN.0));
            if timeout < least {
                section.note(
                    "request_timeout_ms",
                    Some(&timeout.0.to_string()),
                    format!(
                        "a payment may wait timing.coin_wait = {} for coins; give at least {}",
                        coin_wait.0, least.0
                    ),
                );
            }
            let keys = section.optional("api_keys", "the path of a file of API keys", non_empty);
            let rate =
                section.optional("requests_per_minute", "a whole number from 1, for each key", |text| {
                    text.parse().ok()
                });
            let operations = section.optional(
                "operations_listen",
                "an IP address and port, as in 127.0.0.1:9464",
                |text| text.parse::<SocketAddr>().ok(),
            );
            let event_streams = section.optional("event_streams", "a whole number from 1 to 10000", |text| {
                text.parse::<usize>().ok().filter(|streams| (1..=10_000).contains(streams))
            });
            let keys = (keys, rate.unwrap_or(REQUESTS_PER_MINUTE));
            let event_streams = event_streams.unwrap_or(EVENT_STREAMS);
            Some((body_limit.unwrap_or(BODY_LIMIT), timeout, keys, (operations, event_streams)))
        })?;
    if operations_listen == Some(listen) {
        let remedy = "is rest.listen; give another port, or leave it out to have /metrics there";
        reader.note("rest.operations_listen", Some(&listen.to_string()), remedy);
    }
    let keyring = read_keyring(reader, (keys.0.as_deref(), keys.1), network)?;
    let request_timeout = Duration::from_millis(timeout.0);
    Some(RestSettings { listen, body_limit, request_timeout, keyring, operations_listen, event_streams })
}

/// The keys of clients. Without any the API is open, which is for private chains.
fn read_keyring(
    reader: &mut Reader,
    (path, per_minute): (Option<&str>, NonZeroU32),
    network: Option<Network>,
) -> Option<Option<Arc<Keyring>>> {
    let Some(path) = path else {
        let open = network.is_none_or(|network| network == Network::Regtest);
        if !open {
            reader.note("rest.api_keys", None, format!("the path of a file of API keys; {MAKE_KEYS}"));
        }
        return open.then_some(None);
    };
    match Keyring::load(&reader.resolve(path), per_minute) {
        Ok(keyring) => Some(Some(Arc::new(keyring))),
        Err(error) => {
            reader.note("rest.api_keys", Some(path), format!("{error}; {MAKE_KEYS}"));
            None
        }
    }
}

fn read_tls(reader: &mut Reader) -> Option<TlsSettings> {
    let mut section = reader.section("tls");
    let paths = ["ca", "cert", "key"].map(|key| section.required(key, "the path of a PEM file", non_empty));
    let check = section
        .optional("check_s", "whole seconds from 1 to 3600", |text| {
            text.parse::<u64>().ok().filter(|seconds| (1..=3_600).contains(seconds))
        })
        .unwrap_or(CERTIFICATE_CHECK);
    section.finish();
    let [ca, cert, key] = paths;
    let mut existing = |key: &str, path: Option<String>| {
        let path = path?;
        let resolved = reader.resolve(&path);
        if let Err(error) = std::fs::File::open(&resolved) {
            let remedy = format!("cannot be read ({error}); scripts/generate-certs.sh makes certificates");
            reader.note(&format!("tls.{key}"), Some(&path), remedy);
        }
        Some(resolved)
    };
    let (ca, cert, key) = (existing("ca", ca), existing("cert", cert), existing("key", key));
    Some(TlsSettings { ca: ca?, cert: cert?, key: key?, check: Duration::from_secs(check) })
}

struct Chain {
    esplora: String,
    timing: mpc_wallet_core::Timing,
    confirmations: Option<u32>,
}

fn read_chain(reader: &mut Reader, mut timing: mpc_wallet_core::Timing) -> Option<Chain> {
    let mut section = reader.section("chain");
    let esplora = section.required("esplora", "an http(s) URL of an Esplora API", parse_url);
    let poll = section.optional("poll_ms", "milliseconds, a whole number from 1", parse_millis);
    timing.chain_poll = poll.unwrap_or(timing.chain_poll);
    if timing.chain_stale <= timing.chain_poll {
        section.note(
            "poll_ms",
            Some(&timing.chain_poll.0.to_string()),
            format!(
                "must be below timing.chain_stale = {}, or the view is always stale",
                timing.chain_stale.0
            ),
        );
    }
    let confirmations =
        section.optional("confirmations_required", "a number of blocks from 1 to 100", |text| {
            text.parse::<u32>().ok().filter(|blocks| (1..=100).contains(blocks))
        });
    section.finish();
    Some(Chain { esplora: esplora?, timing, confirmations })
}

fn read_key_path(reader: &mut Reader, section: &'static str, key: &str) -> Option<PathBuf> {
    let mut table = reader.section(section);
    let path = table.required(key, "the path of the key that seals shares", non_empty);
    table.finish();
    let path = path?;
    let resolved = reader.resolve(&path);
    if let Err(error) = read_secret(&resolved) {
        reader.note(&format!("{section}.{key}"), Some(&path), error.to_string());
    }
    Some(resolved)
}

/// `[dkg]`: primes from a file spare tests and demonstrations the minute that a node takes to find some. They are given
/// to the node at every start, so a key that is generated anew has the primes of the old one: fit for coins without value.
fn read_dkg(reader: &mut Reader, network: Option<Network>) -> Option<Primes> {
    let mut section = reader.section("dkg");
    let path = section.optional("primes_file", "the path of a file with primes", non_empty);
    if network == Some(Network::Bitcoin)
        && let Some(path) = &path
    {
        let remedy = "is refused on mainnet: whoever has read this file can compute the node's key share from what \
                      it says later; remove the key, and the node finds primes that nobody else has seen";
        section.note("primes_file", Some(path), remedy);
        section.finish();
        return None;
    }
    section.finish();
    let path = path?;
    read_primes(&reader.resolve(&path))
        .map_err(|error| reader.note("dkg.primes_file", Some(&path), error.to_string()))
        .ok()
}

/// The node must be a member, under the key it holds.
fn check_identity(reader: &mut Reader, manifest: &Manifest, me: NodeId, identity: &VoteKey) {
    let actual = identity.public();
    match manifest.cluster.key(me) {
        None => reader.note(
            "node.id",
            Some(&me.get().to_string()),
            format!("{}; the manifest lists 1 to {}", ConfigError::NotAMember(me), manifest.cluster.total()),
        ),
        Some(listed) if *listed != actual => {
            reader.note_file(ConfigError::WrongKey { node: me, actual, listed: *listed }.to_string());
        }
        Some(_) => {}
    }
}

pub(super) fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn parse_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    (web && uri.host().is_some_and(|host| !host.is_empty())).then(|| text.trim_end_matches('/').to_owned())
}
