//! Configuration: what `init_cluster` writes loads, and what is wrong is told all at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bitcoin::{Network, hex::DisplayHex as _};
use mpc_wallet_core::{Millis, NodeId, mpc::Suites};
use mpc_wallet_shell::config::{
    ClusterFiles, ClusterPlan, ConfigErrors, InitError, LogFormat, Manifest, Settings, generate_identity,
    init_cluster, read_identity, read_password, read_secret,
};
use mpc_wallet_shell::events::Kind;
use tempfile::TempDir;

/// A fresh cluster with stand-ins for its certificates.
fn cluster(plan: &ClusterPlan) -> (TempDir, ClusterFiles) {
    let dir = TempDir::new().unwrap();
    let files = init_cluster(dir.path(), plan).unwrap();
    fs::create_dir(&files.certs).unwrap();
    fs::write(files.certs.join("ca.crt"), "").unwrap();
    for id in 1..=plan.nodes {
        fs::write(files.certs.join(format!("node{id}.crt")), "").unwrap();
        fs::write(files.certs.join(format!("node{id}.key")), "").unwrap();
    }
    (dir, files)
}

fn load(file: &Path, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Settings::load_with(file, environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

fn refused(file: &Path, environment: &[(&str, &str)]) -> ConfigErrors {
    load(file, environment).err().expect("refused")
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn a_new_cluster_loads_on_every_node() {
    let (dir, files) = cluster(&ClusterPlan::default());
    assert_eq!(files.nodes.len(), 5);
    for (id, file) in (1..).zip(&files.nodes) {
        let settings = load(file, &[]).map_err(|errors| errors.to_string()).unwrap();
        assert_eq!(settings.core.me, NodeId::new(id));
        assert_eq!(settings.core.cluster.network(), Network::Regtest);
        assert_eq!((settings.core.cluster.threshold(), settings.core.cluster.total()), (4, 5));
        assert_eq!(settings.core.suites, Suites::PRODUCTION);
        assert_eq!(settings.core.confirmations_required, 1);
        assert_eq!(settings.core.timing.chain_poll, Millis(500));
        assert_eq!(settings.quic.listen.port(), 9_100 + id);
        assert_eq!(settings.rest.listen.port(), 8_080 + id);
        assert_eq!(settings.rest.body_limit, 65_536);
        assert_eq!(settings.rest.request_timeout, Duration::from_secs(15));
        assert_eq!(settings.peers.len(), 4);
        assert!(!settings.peers.contains_key(&settings.core.me));
        assert_eq!(Some(&settings.identity.public()), settings.core.cluster.key(settings.core.me));
        assert_eq!(settings.data_dir, dir.path().join(format!("node-{id}/data")));
        assert_eq!(settings.log.format, LogFormat::Auto);
        assert_eq!(settings.chain.esplora, "http://127.0.0.1:3002");
        assert_eq!(settings.tls.check, Duration::from_secs(30));
        read_secret(&settings.secret_key_file).unwrap();
    }
    let manifest = Manifest::load(&files.manifest).unwrap();
    assert_eq!(manifest.addresses[&NodeId::new(3)], "127.0.0.1:9103");
}

#[test]
fn keys_are_their_owners_alone_and_never_overwritten() {
    let (dir, files) = cluster(&ClusterPlan::default());
    for name in ["identity.key", "secrets.key"] {
        let file = dir.path().join("node-1").join(name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap().len(), 65);
    }
    let identity = dir.path().join("node-1/identity.key");
    assert!(generate_identity(&identity).is_err());
    let again = init_cluster(dir.path(), &ClusterPlan::default());
    assert!(matches!(again, Err(InitError::Exists(path)) if path == files.manifest));

    fs::set_permissions(&identity, fs::Permissions::from_mode(0o640)).unwrap();
    let error = read_identity(&identity).err().unwrap().to_string();
    assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn an_unsafe_plan_writes_nothing() {
    let dir = TempDir::new().unwrap();
    for plan in [
        ClusterPlan { threshold: 2, ..ClusterPlan::default() },
        ClusterPlan { threshold: 6, ..ClusterPlan::default() },
        ClusterPlan { nodes: 1, threshold: 1, ..ClusterPlan::default() },
        ClusterPlan { rest_base_port: 65_533, ..ClusterPlan::default() },
    ] {
        assert!(init_cluster(dir.path(), &plan).is_err(), "{plan:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn every_mistake_is_told_at_once_with_its_remedy() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let file = &files.nodes[0];
    fs::write(
        file,
        r#"
colour = "red"
[node]
id = 0
data_dir = "data"
identity = "nowhere.key"
log_format = "loud"
[cluster]
manifest = "../cluster.toml"
[quic]
listen = "localhost"
[tls]
ca = "../certs/ca.crt"
cert = "../certs/missing.crt"
check_s = 0
[rest]
listen = "127.0.0.1:8081"
lisen = "127.0.0.1:8082"
request_timeout_ms = 5000
[chain]
esplora = "ftp://user:hunter2@example"
confirmations_required = 0
[secrets]
key_file = "secrets.key"
api_token = "abc"
[policy]
max_amount_sats = -1
min_fee_rate_sat_vb = "1.2345"
whitelist = ["bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]
[timing]
heartbeat = 0
chain_poll = 5
[limits]
inputs = "many"
"#,
    )
    .unwrap();
    let errors = refused(file, &[]);
    let keys: Vec<_> = errors.0.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "colour",
        "node.id",
        "node.identity",
        "node.log_format",
        "quic.listen",
        "tls.key",
        "tls.cert",
        "tls.check_s",
        "rest.lisen",
        "rest.request_timeout_ms",
        "chain.esplora",
        "chain.confirmations_required",
        "secrets.api_token",
        "policy.max_amount_sats",
        "policy.min_fee_rate_sat_vb",
        "policy.whitelist",
        "timing.heartbeat",
        "timing.chain_poll",
        "limits.inputs",
    ] {
        assert!(keys.contains(&key), "{key} in {errors}");
    }
    assert_eq!(keys.len(), 19, "{errors}");
    let text = errors.to_string();
    assert!(text.starts_with("19 problems in the configuration:\n"));
    assert!(text.contains(
        "node.toml: quic.listen = \"localhost\": expected an IP address and port, as in 127.0.0.1:9101 \
         (environment: MPC_WALLET_QUIC_LISTEN)"
    ));
    assert!(text.contains("tls.key is missing: expected the path of a PEM file"));
    assert!(!text.contains("hunter2") && !text.contains("abc"), "secrets are masked: {text}");
    drop(dir);
}

#[test]
fn the_environment_overrides_the_file() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    let settings = load(
        &files.nodes[0],
        &[
            ("MPC_WALLET_REST_LISTEN", "127.0.0.1:7000"),
            ("MPC_WALLET_NODE_DATA_DIR", "/var/lib/wallet"),
            ("MPC_WALLET_CHAIN_CONFIRMATIONS_REQUIRED", "3"),
            ("MPC_WALLET_POLICY_MAX_FEE_RATE_SAT_VB", "12.5"),
            ("MPC_WALLET_POLICY_WHITELIST", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
            ("MPC_WALLET_TIMING_VOTING_ROUND", "60000"),
            ("MPC_WALLET_LIMITS_INPUTS", "10"),
            ("MPC_WALLET_TIMING_ECDSA_KEY_GENERATION", "900000"),
            ("MPC_WALLET_TIMING_PRESIGNING", "30000"),
            ("MPC_WALLET_LIMITS_PRESIGNATURES_LOW", "0"),
            ("MPC_WALLET_LIMITS_PRESIGNATURES_HIGH", "8"),
            ("MPC_WALLET_LIMITS_PRESIGNATURES_MOST", "8"),
            ("MPC_WALLET_LIMITS_PRESIGNING_FAULTS", "1"),
            // The command line's variable, and somebody else's.
            ("MPC_WALLET_NODE", "http://127.0.0.1:8081"),
            ("MPC_WALLET_UNRELATED_THING", "x"),
        ],
    )
    .map_err(|errors| errors.to_string())
    .unwrap();
    assert_eq!(settings.rest.listen.port(), 7_000);
    assert_eq!(settings.data_dir, PathBuf::from("/var/lib/wallet"));
    assert_eq!(settings.core.confirmations_required, 3);
    assert_eq!(settings.core.policy.fee_rate_ceiling, 12_500);
    assert_eq!(settings.core.policy.whitelist.as_ref().unwrap().len(), 1);
    assert_eq!(settings.core.timing.voting_round, Millis(60_000));
    assert_eq!(settings.core.limits.inputs, 10);
    assert_eq!(settings.core.timing.ecdsa_key_generation, Millis(900_000));
    assert_eq!(settings.core.timing.presigning, Millis(30_000));
    let limits = &settings.core.limits;
    let stock = (limits.presignatures_low, limits.presignatures_high, limits.presignatures_most);
    assert_eq!((stock, limits.presigning_faults), ((0, 8, 8), 1));

    let errors = refused(&files.nodes[0], &[("MPC_WALLET_REST_LISEN", "127.0.0.1:7000")]);
    assert_eq!(errors.0[0].key, "rest.lisen");
}

#[test]
fn a_node_that_does_not_belong_is_told_so() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let errors = refused(&files.nodes[0], &[("MPC_WALLET_NODE_ID", "9")]);
    assert!(errors.to_string().contains("node-9 is not a member"), "{errors}");
    let errors = refused(&files.nodes[0], &[("MPC_WALLET_NODE_ID", "2")]);
    assert!(errors.to_string().contains("the identity key of node-2 belongs to"), "{errors}");
    drop(dir);
}

#[test]
fn mistakes_in_the_manifest_are_told_with_the_file() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    edit(&files.manifest, "network = \"regtest\"", "network = \"moon\"");
    edit(&files.manifest, "address = \"127.0.0.1:9102\"", "address = \"127.0.0.1\"\nweight = 2");
    let errors = refused(&files.nodes[0], &[]);
    let keys: Vec<_> = errors.0.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["network", "members[1].address", "members[1].weight"]);
    assert!(
        errors.0.iter().all(|problem| problem.file.ends_with("cluster.toml") && problem.variable.is_none())
    );
}

#[test]
fn an_unsafe_threshold_is_refused_with_the_remedy() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    edit(&files.manifest, "threshold = 4", "threshold = 2");
    let errors = refused(&files.nodes[0], &[]);
    assert!(errors.to_string().contains("choose at least 3"), "{errors}");
}

#[test]
fn a_file_that_is_no_toml_or_is_missing_is_told_with_the_line() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("node.toml");
    fs::write(&file, "[node]\nid = \n").unwrap();
    let errors = refused(&file, &[]);
    assert!(errors.to_string().contains("line 2 is not TOML"), "{errors}");
    let errors = refused(&dir.path().join("other.toml"), &[]);
    assert!(errors.0[0].expected.contains("cannot be read"), "{errors}");
}

#[test]
fn confirmations_depend_on_the_network() {
    for (network, blocks) in [(Network::Bitcoin, 6), (Network::Signet, 2), (Network::Testnet4, 2)] {
        let (_dir, files) = cluster(&ClusterPlan { network, ..ClusterPlan::default() });
        let settings = load(&files.nodes[0], &[]).map_err(|errors| errors.to_string()).unwrap();
        assert_eq!(settings.core.confirmations_required, blocks);
        assert_eq!(settings.core.timing.chain_poll, Millis(10_000));
    }
}

#[test]
fn limits_of_the_pool_must_fit_each_other_and_the_error_names_both() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    for (environment, told) in [
        (
            vec![("MPC_WALLET_LIMITS_PRESIGNATURES_LOW", "17")],
            "limits.presignatures_low = \"17\": exceeds limits.presignatures_high = 16; lower it, or raise that",
        ),
        (
            vec![("MPC_WALLET_LIMITS_PRESIGNATURES_HIGH", "257")],
            "limits.presignatures_high = \"257\": exceeds limits.presignatures_most = 256; lower it, or raise that",
        ),
        (
            vec![("MPC_WALLET_LIMITS_PRESIGNATURES_MOST", "1001")],
            "limits.presignatures_most = \"1001\": expected a whole number from 1 to 1000",
        ),
        (
            vec![("MPC_WALLET_LIMITS_PRESIGNATURES_LOW", "-1")],
            "limits.presignatures_low = \"-1\": expected a whole number from 0 to 1000",
        ),
        (
            vec![("MPC_WALLET_LIMITS_PRESIGNING_FAULTS", "0")],
            "limits.presigning_faults = \"0\": expected a whole number from 1",
        ),
    ] {
        let errors = refused(&files.nodes[0], &environment);
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert!(errors.to_string().contains(told), "{told} in {errors}");
    }
}

/// Primes that `mpc-wallet-cli primes generate` found; everybody knows them, so no key may be made with them.
const PUBLIC_PRIMES: &str = include_str!("public-primes.hex");

fn private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn primes_may_come_from_a_file_but_not_on_mainnet() {
    for (network, refusal) in [
        (Network::Regtest, None),
        (Network::Signet, None),
        (Network::Testnet4, None),
        (Network::Bitcoin, Some("is refused on mainnet")),
    ] {
        let (dir, files) = cluster(&ClusterPlan { network, ..ClusterPlan::default() });
        assert!(load(&files.nodes[0], &[]).is_ok_and(|settings| settings.primes.is_none()));
        private(&dir.path().join("node-1/primes.hex"), PUBLIC_PRIMES);
        let file = fs::read_to_string(&files.nodes[0]).unwrap();
        fs::write(&files.nodes[0], file + "\n[dkg]\nprimes_file = \"primes.hex\"\n").unwrap();
        match refusal {
            None => {
                let settings = load(&files.nodes[0], &[]).map_err(|errors| errors.to_string()).unwrap();
                let read = settings.primes.unwrap().to_secret_bytes().to_lower_hex_string();
                assert!(read == PUBLIC_PRIMES.trim(), "{network}");
            }
            Some(words) => {
                let errors = refused(&files.nodes[0], &[]);
                assert_eq!(errors.0.len(), 1, "{errors}");
                assert_eq!(errors.0[0].key, "dkg.primes_file");
                assert!(errors.to_string().contains(words), "{errors}");
            }
        }
    }
}

#[test]
fn a_file_that_holds_no_primes_is_refused_and_not_quoted() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let primes = dir.path().join("primes.hex");
    let environment = [("MPC_WALLET_DKG_PRIMES_FILE", primes.to_str().unwrap())];
    let digits = PUBLIC_PRIMES.trim();
    let damaged = digits.replacen('a', "b", 1);
    for (text, told) in [
        ("", "primes are damaged"),
        ("no digits", "does not hold primes as hexadecimal digits"),
        (&digits[..digits.len() - 2], "primes are damaged"),
        (&damaged, "primes are damaged"),
        (&digits.repeat(2), "does not hold primes as hexadecimal digits"),
    ] {
        private(&primes, text);
        let errors = refused(&files.nodes[0], &environment).to_string();
        assert!(errors.contains(told) && errors.contains("primes generate"), "{told} in {errors}");
        assert!(!errors.contains(&digits[100..120]), "{errors}");
    }
    private(&primes, digits);
    fs::set_permissions(&primes, fs::Permissions::from_mode(0o644)).unwrap();
    let errors = refused(&files.nodes[0], &environment).to_string();
    assert!(errors.contains("chmod 600"), "{errors}");
    fs::remove_file(&primes).unwrap();
    assert!(refused(&files.nodes[0], &environment).to_string().contains("No such file"));
}

const ENDPOINTS: (&str, &str) = ("MPC_WALLET_ETCD_ENDPOINTS", "http://127.0.0.1:2379, http://127.0.0.1:2479");

#[test]
fn etcd_is_optional_and_needs_nothing_but_endpoints() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    assert!(load(&files.nodes[0], &[]).is_ok_and(|settings| settings.etcd.is_none()));
    let settings = load(&files.nodes[0], &[ENDPOINTS]).map_err(|errors| errors.to_string()).unwrap();
    let etcd = settings.etcd.unwrap();
    assert_eq!(etcd.endpoints, ["http://127.0.0.1:2379", "http://127.0.0.1:2479"]);
    assert_eq!((etcd.ca, etcd.client, etcd.user), (None, None, None));
    assert_eq!((etcd.lease_ttl, etcd.request_timeout), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!(etcd.mirror_life, Duration::from_secs(86_400));
}

#[test]
fn etcd_takes_certificates_and_a_password_from_files() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let folder = dir.path().join("node-1");
    for name in ["etcd-ca.crt", "etcd.crt", "etcd.key"] {
        fs::write(folder.join(name), "").unwrap();
    }
    private(&folder.join("etcd.password"), "correct horse\n");
    let section = "\n[etcd]\nendpoints = [\"https://etcd-1:2379/\"]\nca = \"etcd-ca.crt\"\ncert = \"etcd.crt\"\n\
                   key = \"etcd.key\"\nuser = \"mpc\"\npassword_file = \"etcd.password\"\nlease_ttl_s = 10\n";
    let file = fs::read_to_string(&files.nodes[0]).unwrap();
    fs::write(&files.nodes[0], file + section).unwrap();
    let settings = load(&files.nodes[0], &[]).map_err(|errors| errors.to_string()).unwrap();
    let etcd = settings.etcd.unwrap();
    assert_eq!(etcd.endpoints, ["https://etcd-1:2379"]);
    assert_eq!(etcd.ca, Some(folder.join("etcd-ca.crt")));
    assert_eq!(etcd.client, Some((folder.join("etcd.crt"), folder.join("etcd.key"))));
    let (user, file) = etcd.user.unwrap();
    assert_eq!((user.as_str(), read_password(&file).unwrap().as_str()), ("mpc", "correct horse"));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let errors = refused(&files.nodes[0], &[]).to_string();
    assert!(errors.contains("chmod 600") && !errors.contains("correct horse"), "{errors}");
    private(&file, "two\nlines\n");
    assert!(refused(&files.nodes[0], &[]).to_string().contains("one password of 1 to 256 characters"));
}

#[test]
fn what_is_wrong_with_etcd_is_told_with_the_way_out() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let file = dir.path().join("some.pem");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    for (environment, told) in [
        (
            vec![("MPC_WALLET_ETCD_USER", "mpc")],
            vec!["etcd.endpoints is missing", "remove the section", "give both"],
        ),
        (
            vec![("MPC_WALLET_ETCD_ENDPOINTS", "etcd-1:2379")],
            vec!["etcd.endpoints = \"etcd-1:2379\": expected http(s) URLs"],
        ),
        (vec![ENDPOINTS, ("MPC_WALLET_ETCD_LEASE_TTL_S", "1")], vec!["whole seconds from 2 to 60"]),
        (
            vec![ENDPOINTS, ("MPC_WALLET_ETCD_REQUEST_TIMEOUT_MS", "2500")],
            vec!["asking 2 endpoints takes up to 5000 ms", "etcd.lease_ttl_s = 5 s"],
        ),
        (vec![ENDPOINTS, ("MPC_WALLET_ETCD_CERT", file)], vec!["etcd.key is missing", "write https://"]),
        (vec![("MPC_WALLET_ETCD_ENDPOINTS", "https://etcd-1:2379")], vec!["etcd.ca is missing"]),
        (vec![ENDPOINTS, ("MPC_WALLET_ETCD_CA", "nowhere.crt")], vec!["cannot be read", "nowhere.crt"]),
        (vec![ENDPOINTS, ("MPC_WALLET_ETCD_PREFIX", "/x")], vec!["etcd.prefix = \"/x\": unknown key"]),
    ] {
        let errors = refused(&files.nodes[0], &environment).to_string();
        assert!(told.iter().all(|words| errors.contains(words)), "{told:?} in {errors}");
    }
}

#[test]
fn the_record_is_optional_and_its_password_stands_in_no_shared_file() {
    let (dir, files) = cluster(&ClusterPlan::default());
    let file = &files.nodes[0];
    assert!(load(file, &[]).unwrap().postgres.is_none());

    let url = ("MPC_WALLET_POSTGRES_URL", "postgres://mpc_wallet@127.0.0.1:5432/mpc_wallet");
    let password = ("MPC_WALLET_POSTGRES_PASSWORD", "from the environment");
    let settings = load(file, &[url, password]).unwrap().postgres.unwrap();
    assert_eq!(settings.password.as_ref().unwrap().as_str(), "from the environment");
    assert_eq!((settings.pool_size, settings.batch_size, settings.ca), (4, 500, None));

    let secret = dir.path().join("node-1").join("postgres.password");
    fs::write(&secret, "from a file\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let from_file = ("MPC_WALLET_POSTGRES_PASSWORD_FILE", "postgres.password");
    let settings = load(file, &[url, from_file]).unwrap().postgres.unwrap();
    assert_eq!(settings.password.as_ref().unwrap().as_str(), "from a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(file, &[url, from_file]).to_string().contains("chmod 600"));
}

#[test]
fn what_is_wrong_with_the_record_is_told_without_a_password() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    let file = &files.nodes[0];
    let local = "postgres://mpc_wallet@127.0.0.1/mpc_wallet";
    let remote = "postgres://mpc_wallet@db.example/mpc_wallet";
    for (settings, words) in [
        (vec![("URL", "postgres://u:hunter2@127.0.0.1/d")], "postgres.url = \"***\": has a password in it"),
        (vec![("URL", "postgres://u@127.0.0.1/d?password=hunter2")], "has a password in it"),
        (vec![("URL", "host=127.0.0.1 user=u password=hunter2")], "expected a URL as in postgres://"),
        (vec![("POOL_SIZE", "4")], "postgres.url is missing"),
        (vec![("URL", remote)], "postgres.ca is missing: expected the path of the PEM file"),
        (vec![("URL", remote), ("CA", "none.pem")], "postgres.ca = \"none.pem\": cannot be read"),
        (vec![("URL", local), ("TLS", "maybe")], "postgres.tls = \"maybe\": expected off or required"),
        (vec![("URL", local), ("TLS", "required")], "postgres.ca is missing"),
        (vec![("URL", local), ("POOL_SIZE", "1")], "expected a number of connections from 2 to 32"),
        (vec![("URL", local), ("BATCH_SIZE", "0")], "expected a number of records from 1 to 10000"),
        (vec![("URL", local), ("PASWORD", "x")], "postgres.pasword"),
        (vec![("URL", local), ("PASSWORD", "hunter2"), ("PASSWORD_FILE", "f")], "remove one of the two"),
    ] {
        let names: Vec<_> =
            settings.iter().map(|(key, value)| (format!("MPC_WALLET_POSTGRES_{key}"), *value)).collect();
        let environment: Vec<_> = names.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let told = refused(file, &environment).to_string();
        assert!(told.contains(words), "{settings:?}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    let mut text = fs::read_to_string(file).unwrap();
    text.push_str(&format!("\n[postgres]\nurl = \"{local}\"\npassword = \"hunter2\"\n"));
    fs::write(file, text).unwrap();
    let told = refused(file, &[]).to_string();
    assert!(told.contains("does not belong in this file") && !told.contains("hunter2"), "{told}");
}

#[test]
fn where_coins_are_worth_something_the_api_is_for_holders_of_keys() {
    let (_dir, files) = cluster(&ClusterPlan { network: Network::Bitcoin, ..ClusterPlan::default() });
    let settings = load(&files.nodes[0], &[]).unwrap();
    let keyring = settings.rest.keyring.expect("the API is closed");
    assert!(keyring.authenticate(None).is_err(), "there is no key yet");

    edit(&files.nodes[0], "api_keys = \"api-keys.toml\"", "");
    let said = refused(&files.nodes[0], &[]).to_string();
    assert!(said.contains("rest.api_keys") && said.contains("mpc-wallet-cli key create"), "{said}");

    let (_dir, files) = cluster(&ClusterPlan::default());
    assert!(load(&files.nodes[0], &[]).unwrap().rest.keyring.is_none());
    let said = refused(&files.nodes[0], &[("MPC_WALLET_REST_API_KEYS", "missing.toml")]).to_string();
    assert!(said.contains("missing.toml") && said.contains("mpc-wallet-cli key create"), "{said}");
}

#[test]
fn people_are_asked_as_configured() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    const ABOVE: &str = "MPC_WALLET_POLICY_APPROVAL_ABOVE_SATS";
    const OPERATORS: &str = "MPC_WALLET_POLICY_APPROVAL_OPERATORS";
    let approval = |environment: &[(&str, &str)]| {
        let settings = load(&files.nodes[0], environment).map_err(|errors| errors.to_string()).unwrap();
        let asked = settings.core.policy.approval;
        asked.map(|approval| (approval.above.to_sat(), approval.operators))
    };
    assert_eq!(approval(&[]), None);
    assert_eq!(approval(&[(ABOVE, "100000")]), Some((100_000, 1)));
    assert_eq!(approval(&[(ABOVE, "0"), (OPERATORS, "5")]), Some((0, 5)));
    let wait = load(&files.nodes[0], &[("MPC_WALLET_TIMING_APPROVAL_WAIT", "7200000")]);
    let wait = wait.map_err(|errors| errors.to_string()).unwrap();
    assert_eq!(wait.core.timing.approval_wait, Millis(7_200_000));
    for (environment, words) in [
        (vec![(OPERATORS, "2")], "needs approval_above_sats"),
        (vec![(ABOVE, "1"), (OPERATORS, "6")], "at most 5: an operator decides at a node"),
        (vec![(ABOVE, "1"), (OPERATORS, "0")], "a whole number from 1"),
        (vec![(ABOVE, "2100000000000001")], "a whole number of satoshis"),
    ] {
        let errors = refused(&files.nodes[0], &environment).to_string();
        assert!(errors.contains(words), "{words} in {errors}");
    }
}

#[test]
fn probes_and_metrics_get_an_address_of_their_own_only_if_it_is_one() {
    let (_dir, files) = cluster(&ClusterPlan::default());
    let with = |address| [("MPC_WALLET_REST_OPERATIONS_LISTEN", address)];
    assert_eq!(load(&files.nodes[0], &[]).unwrap().rest.operations_listen, None);
    let settings = load(&files.nodes[0], &with("127.0.0.1:9464")).unwrap();
    assert_eq!(settings.rest.operations_listen, Some("127.0.0.1:9464".parse().unwrap()));
    for (address, told) in
        [("127.0.0.1:8081", "is rest.listen; give another port"), ("9464", "an IP address and port")]
    {
        let said = refused(&files.nodes[0], &with(address)).to_string();
        assert!(said.contains("rest.operations_listen") && said.contains(told), "{said}");
    }
}

#[test]
fn webhooks_have_an_address_a_secret_in_a_file_and_the_kinds_they_want() {
    let (dir, files) = cluster(&ClusterPlan::default());
    assert!(load(&files.nodes[0], &[]).map_err(|errors| errors.to_string()).unwrap().webhooks.is_empty());
    let secret = dir.path().join("node-1/webhook.secret");
    fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let mut text = fs::read_to_string(&files.nodes[0]).unwrap();
    text.push_str(
        "
[[webhook]]
url = \"https://accounting.example/hook?token=1\"
secret_file = \"webhook.secret\"
events = [\"transaction.created\", \"node.banned\"]
[[webhook]]
url = \"http://127.0.0.1:9999/\"
secret_file = \"webhook.secret\"
",
    );
    fs::write(&files.nodes[0], text).unwrap();
    let webhooks = load(&files.nodes[0], &[]).map_err(|errors| errors.to_string()).unwrap().webhooks;
    assert_eq!(webhooks.len(), 2);
    assert_eq!(webhooks[0].url.to_string(), "https://accounting.example/hook?token=1");
    assert_eq!(webhooks[0].events, [Kind::TransactionCreated, Kind::NodeBanned]);
    assert!(webhooks[0].takes(Kind::Reset) && !webhooks[0].takes(Kind::KeyFailed));
    assert!(webhooks[1].takes(Kind::KeyFailed));
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_without_its_secret() {
    for (block, network, problems) in [
        ("", "regtest", vec!["webhook[1].url", "webhook[1].secret_file", "expected an https URL"]),
        (
            "url = \"http://accounting.example/\"",
            "signet",
            vec!["write https, or have a receiver on this machine"],
        ),
        ("url = \"https://user:password@accounting.example/\"", "regtest", vec!["without user or password"]),
        (
            "url = \"https://a.example/\"\nevents = [\"wallet.balance\"]",
            "regtest",
            vec!["webhook[1].events", "is no kind of event that is posted; they are transaction.created, "],
        ),
        ("url = \"https://a.example/\"\nevents = []", "regtest", vec!["without the key all are posted"]),
        ("url = \"https://a.example/\"\nsecret_file = \"open\"", "regtest", vec!["mode 0644"]),
        ("url = \"https://a.example/\"\nsecret_file = \"short\"", "regtest", vec!["openssl rand -base64 32"]),
        (
            "url = \"https://a.example/\"\nsecret_file = \"fine\"\n[[webhook]]\nurl = \"https://a.example/\"\nsecret_file = \"fine\"",
            "regtest",
            vec!["webhook[2].url", "name all its events in one"],
        ),
        (
            "url = \"https://a.example/\"\nsecret_file = \"fine\"\n\
             [[webhook]]\nurl = \"https://a.example/\"\nsecret_file = \"fine\"",
            "regtest",
            vec!["webhook[2].url", "name all its events in one"],
        ),
        ("url = \"https://a.example/\"\nretries = 3", "regtest", vec!["webhook[1].retries", "unknown key"]),
    ] {
        let plan = ClusterPlan { network: network.parse().unwrap(), ..ClusterPlan::default() };
        let (dir, files) = cluster(&plan);
        for (name, text, mode) in [
            ("open", "whsec_secret", 0o644),
            ("short", "whsec_c2VjcmV0", 0o600),
            ("fine", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0o600),
        ] {
            let file = dir.path().join("node-1").join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let text = fs::read_to_string(&files.nodes[0]).unwrap();
        fs::write(&files.nodes[0], format!("{text}\n[[webhook]]\n{block}\n")).unwrap();
        let told = refused(&files.nodes[0], &[]).to_string();
        for problem in problems {
            assert!(told.contains(problem), "{block}: {told}");
        }
        assert!(!told.contains("MPC_WALLET_WEBHOOK") && !told.contains("c2VjcmV0"), "{told}");
    }
}
