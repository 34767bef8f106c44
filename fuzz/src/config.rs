//! A node's configuration: it is refused with problems that name file and key on one line each and no secret, or it is
//! accepted, and then says the same when it is written out in full, in files and in the environment.
//!
//! The input is `node.toml`, then `cluster.toml` after a line `%% cluster`, then variables `KEY=VALUE` after a line
//! `%% environment`. Where a file is missing the one that initialisation wrote stands.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bitcoin::Address;
use mpc_wallet_core::NodeId;
use mpc_wallet_shell::{
    config::{ClusterPlan, ConfigErrors, LogFormat, PostgresSettings, Settings, init_cluster, network_name},
    units::fee_rate_to_decimal,
};
use toml::Value;

/// What `primes_file` may name.
const PRIMES: &str = include_str!("../../shell/tests/public-primes.hex");
const CLUSTER: &str = "\n%% cluster\n";
const ENVIRONMENT: &str = "\n%% environment\n";

/// A cluster of two on disk, and what must never be shown of it.
struct Folder {
    root: PathBuf,
    manifest: String,
    node: String,
    secrets: Vec<String>,
}

impl Folder {
    fn make() -> Self {
        let root = std::env::temp_dir().join(format!("mpc-wallet-fuzz-config-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let plan = ClusterPlan { nodes: 2, threshold: 2, ..ClusterPlan::default() };
        let files = init_cluster(&root, &plan).expect("a fresh cluster");
        fs::create_dir_all(&files.certs).expect("a folder");
        for name in ["ca.crt", "node1.crt", "node1.key"] {
            fs::write(files.certs.join(name), "").expect("a file");
        }
        let primes = root.join("node-1/primes.hex");
        fs::write(&primes, PRIMES).expect("a file");
        fs::set_permissions(&primes, fs::Permissions::from_mode(0o600)).expect("a mode");
        let read = |name: &str| fs::read_to_string(root.join(name)).expect("a file just written");
        Self {
            manifest: read("cluster.toml"),
            node: read("node-1/node.toml"),
            secrets: ["node-1/identity.key", "node-1/secrets.key", "node-1/primes.hex"]
                .map(|name| read(name).trim().to_owned())
                .into(),
            root,
        }
    }

    fn load(
        &self,
        node: &str,
        manifest: &str,
        environment: &[(String, String)],
    ) -> Result<Settings, ConfigErrors> {
        let file = self.root.join("node-1/node.toml");
        fs::write(&file, node).expect("a file");
        fs::write(self.root.join("cluster.toml"), manifest).expect("a file");
        Settings::load_with(&file, environment.iter().cloned())
    }
}

thread_local! {
    static FOLDER: Folder = Folder::make();
}

/// Reads a configuration.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    FOLDER.with(|folder| check(folder, text));
}

fn check(folder: &Folder, text: &str) {
    let (files, variables) = text.split_once(ENVIRONMENT).unwrap_or((text, ""));
    let (node, manifest) = files.split_once(CLUSTER).unwrap_or((files, ""));
    let node = if node.trim().is_empty() { &folder.node } else { node };
    let manifest = if manifest.trim().is_empty() { &folder.manifest } else { manifest };
    let environment: Vec<(String, String)> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    match folder.load(node, manifest, &environment) {
        Ok(settings) => check_accepted(folder, &settings, manifest),
        Err(errors) => {
            let text = errors.to_string();
            assert!(!errors.0.is_empty(), "refused for no reason");
            assert_eq!(text.lines().count(), 1 + errors.0.len(), "a line for each problem: {text:?}");
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "control characters: {text:?}");
            assert!(
                folder.secrets.iter().all(|secret| !text.contains(secret)),
                "a secret is shown: {text:?}"
            );
            for problem in &errors.0 {
                let line = problem.to_string();
                assert!(line.contains(&printable(&problem.key)) && !problem.expected.is_empty(), "{line:?}");
                assert_eq!(problem.variable.is_some(), line.contains("(environment: "), "{line:?}");
            }
        }
    }
}

/// Without what a terminal would obey.
fn printable(text: &str) -> String {
    let letter = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(letter).collect()
}

fn check_accepted(folder: &Folder, settings: &Settings, manifest: &str) {
    let shown = shown(settings);
    let entries = entries(settings, &folder.root);
    let same = |node: &str, environment: &[(String, String)], where_it_stands: &str| {
        let again = folder
            .load(node, manifest, environment)
            .unwrap_or_else(|errors| panic!("accepted, but not when written to {where_it_stands}: {errors}"));
        assert_eq!(shown, self::shown(&again), "written to {where_it_stands}");
    };
    same(&gathered(&entries), &[], "the file");
    let (listed, single): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, _, value)| value.is_array());
    let variables: Vec<_> = single
        .into_iter()
        .map(|(section, key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (format!("MPC_WALLET_{}_{}", section.to_uppercase(), key.to_uppercase()), text)
        })
        .collect();
    same(&gathered(&listed), &variables, "the environment");
}

type Entry = (&'static str, &'static str, Value);

/// TOML wants each section once.
fn gathered(entries: &[Entry]) -> String {
    let mut root = toml::Table::new();
    for (section, key, value) in entries {
        let table = root.entry(*section).or_insert_with(|| Value::Table(toml::Table::new()));
        table.as_table_mut().expect("a section").insert((*key).to_owned(), value.clone());
    }
    root.to_string()
}

/// Every key of `node.toml`, as these settings would have it.
fn entries(settings: &Settings, root: &Path) -> Vec<Entry> {
    let Settings { core, data_dir, secret_key_file, quic, tls, rest, chain, etcd, log, .. } = settings;
    let text = |text: String| Value::String(text);
    let path = |path: &Path| Value::String(path.to_str().expect("it came from text").to_owned());
    let number = |number: u64| Value::String(number.to_string());
    let count = |count: usize| Value::String(count.to_string());
    let (timing, limits, policy) = (&core.timing, &core.limits, &core.policy);
    let format = match log.format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
        LogFormat::Auto => "auto",
    };
    let timeout = u64::try_from(rest.request_timeout.as_millis()).expect("it came from a u64");
    let mut entries = vec![
        ("node", "id", number(core.me.get().into())),
        ("node", "data_dir", path(data_dir)),
        ("node", "identity", path(&root.join("node-1/identity.key"))),
        ("node", "log", text(log.filter.clone())),
        ("node", "log_format", text(format.to_owned())),
        ("cluster", "manifest", path(&root.join("cluster.toml"))),
        ("quic", "listen", text(quic.listen.to_string())),
        ("tls", "ca", path(&tls.ca)),
        ("tls", "cert", path(&tls.cert)),
        ("tls", "key", path(&tls.key)),
        ("tls", "check_s", number(tls.check.as_secs())),
        ("rest", "listen", text(rest.listen.to_string())),
        ("rest", "body_limit_bytes", count(rest.body_limit)),
        ("rest", "request_timeout_ms", number(timeout)),
        ("chain", "esplora", text(chain.esplora.clone())),
        ("chain", "poll_ms", number(timing.chain_poll.0)),
        ("chain", "confirmations_required", number(core.confirmations_required.into())),
        ("secrets", "key_file", path(secret_key_file)),
        ("policy", "min_fee_rate_sat_vb", text(fee_rate_to_decimal(policy.fee_rate_floor))),
        ("policy", "max_fee_rate_sat_vb", text(fee_rate_to_decimal(policy.fee_rate_ceiling))),
        ("policy", "max_fee_sats", number(policy.max_fee.to_sat())),
        ("policy", "min_output_sats", number(policy.min_output.to_sat())),
        ("timing", "heartbeat", number(timing.heartbeat.0)),
        ("timing", "offline_after", number(timing.offline_after.0)),
        ("timing", "coordinator_grace", number(timing.coordinator_grace.0)),
        ("timing", "voting_round", number(timing.voting_round.0)),
        ("timing", "approval_wait", number(timing.approval_wait.0)),
        ("timing", "proposal_life", number(timing.proposal_life.0)),
        ("timing", "signing_session", number(timing.signing_session.0)),
        ("timing", "key_generation", number(timing.key_generation.0)),
        ("timing", "ecdsa_key_generation", number(timing.ecdsa_key_generation.0)),
        ("timing", "presigning", number(timing.presigning.0)),
        ("timing", "stalled", number(timing.stalled.0)),
        ("timing", "coin_wait", number(timing.coin_wait.0)),
        ("timing", "chain_stale", number(timing.chain_stale.0)),
        ("timing", "recheck_after", number(timing.recheck_after.0)),
        ("timing", "ban", number(timing.ban.0)),
        ("limits", "open_transactions", count(limits.open_transactions)),
        ("limits", "waiting_requests", count(limits.waiting_requests)),
        ("limits", "sessions", count(limits.sessions)),
        ("limits", "early_messages", count(limits.early_messages)),
        ("limits", "inputs", count(limits.inputs)),
        ("limits", "metadata_bytes", count(limits.metadata_bytes)),
        ("limits", "unconfirmed_chain", count(limits.unconfirmed_chain)),
        ("limits", "strikes", number(limits.strikes.into())),
        ("limits", "presignatures_low", count(limits.presignatures_low)),
        ("limits", "presignatures_high", count(limits.presignatures_high)),
        ("limits", "presignatures_most", count(limits.presignatures_most)),
        ("limits", "presigning_faults", number(limits.presigning_faults.into())),
    ];
    if let Some(etcd) = etcd {
        let seconds = |span: std::time::Duration| number(span.as_secs());
        let timeout = u64::try_from(etcd.request_timeout.as_millis()).expect("it came from a u64");
        let endpoints = etcd.endpoints.iter().map(|endpoint| text(endpoint.clone())).collect();
        entries.extend([
            ("etcd", "endpoints", Value::Array(endpoints)),
            ("etcd", "lease_ttl_s", seconds(etcd.lease_ttl)),
            ("etcd", "request_timeout_ms", number(timeout)),
            ("etcd", "mirror_life_s", seconds(etcd.mirror_life)),
        ]);
        entries.extend(etcd.ca.iter().map(|ca| ("etcd", "ca", path(ca))));
        if let Some((cert, key)) = &etcd.client {
            entries.extend([("etcd", "cert", path(cert)), ("etcd", "key", path(key))]);
        }
        if let Some((user, password_file)) = &etcd.user {
            entries.extend([
                ("etcd", "user", text(user.clone())),
                ("etcd", "password_file", path(password_file)),
            ]);
        }
    }
    if settings.primes.is_some() {
        entries.push(("dkg", "primes_file", path(&root.join("node-1/primes.hex"))));
    }
    if let Some(postgres) = &settings.postgres {
        entries.push(("postgres", "url", text(postgres.url.clone())));
        entries.push(("postgres", "pool_size", count(postgres.pool_size)));
        entries.push(("postgres", "batch_size", count(postgres.batch_size)));
        match &postgres.ca {
            None => entries.push(("postgres", "tls", text("off".to_owned()))),
            Some(ca) => {
                entries.push(("postgres", "tls", text("required".to_owned())));
                entries.push(("postgres", "ca", path(ca)));
            }
        }
    }
    if let Some(approval) = policy.approval {
        entries.push(("policy", "approval_above_sats", number(approval.above.to_sat())));
        entries.push(("policy", "approval_operators", number(approval.operators.into())));
    }
    if let Some(address) = settings.rest.operations_listen {
        entries.push(("rest", "operations_listen", text(address.to_string())));
    }
    entries.push(("rest", "event_streams", count(settings.rest.event_streams)));
    if let Some(most) = policy.max_amount {
        entries.push(("policy", "max_amount_sats", number(most.to_sat())));
    }
    if let Some(whitelist) = &policy.whitelist {
        let network = core.cluster.network();
        let address = |script| Address::from_script(script, network).expect("it came from an address");
        let list = whitelist.iter().map(|script| text(address(script).to_string())).collect();
        entries.push(("policy", "whitelist", Value::Array(list)));
    }
    entries
}

/// Everything that the settings say, comparable.
fn shown(settings: &Settings) -> String {
    let Settings {
        core,
        identity,
        manifest: _,
        peers,
        data_dir,
        secret_key_file,
        quic,
        tls,
        rest,
        chain,
        etcd,
        log,
        primes,
        postgres,
        // Their secrets are in files that are not written back.
        webhooks: _,
    } = settings;
    // Without the manifest's path, which a file that is written back elsewhere names otherwise; and without the password,
    // which can be written back to neither place.
    let postgres = postgres.as_ref().map(|postgres| {
        let PostgresSettings { url, password: _, ca, pool_size, batch_size } = postgres;
        (url, ca, pool_size, batch_size)
    });
    let network = network_name(core.cluster.network());
    let me: NodeId = core.me;
    let identity = identity.public();
    format!(
        "{network} {me} {core:#?} {identity} {peers:#?} {data_dir:?} {secret_key_file:?} {quic:?} {tls:?} {rest:?} \
         {chain:?} {etcd:?} {log:?} {primes:?} {postgres:?}"
    )
}
