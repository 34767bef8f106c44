//! A cluster under a real Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use mpc_wallet_e2e::cluster::{Api, Cluster, ClusterOptions, wait_for};
use mpc_wallet_e2e::servers::Prometheus;
use mpc_wallet_e2e::servers::prometheus::promtool;
use mpc_wallet_e2e::suite::{mining_options, pay_at_once};

use crate::shipped::{alerts, documented, panels};

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(120);

/// What promtool says of a name or type that is fixed, and why it is so.
const KNOWN: [(&str, &str); 1] = [(
    "mpc_wallet_transactions_total non-counter metrics should not have \"_total\" suffix",
    "the name is part of the product's specification; docs/metrics.md says what it counts",
)];

/// Panels without a line on this cluster: it has neither of the servers, no SegWit key and no backup.
const EMPTY: [&str; 4] =
    ["PostgreSQL: records waiting", "etcd answers", "Presignatures", "Since the last backup"];

/// Whether an expression yields at least one number.
fn yields_numbers(prometheus: &Prometheus, expression: &str) -> anyhow::Result<bool> {
    let series = prometheus.query(expression)?;
    Ok(series.iter().any(|one| one["value"][1].as_str().is_some_and(|value| value != "NaN")))
}

fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn metrics_dashboard_and_alerts_tell_of_payments_and_of_a_node_that_died() {
    let options = ClusterOptions { operations: true, ..mining_options() };
    let cluster = Cluster::start(&options).unwrap();
    let targets = cluster.operations().unwrap();
    let prometheus = Prometheus::start(&targets).unwrap();
    wait_for("Prometheus to have scraped all nodes", SOON, || {
        let up = prometheus.query("up{job=\"mpc-wallet\"} == 1")?;
        anyhow::ensure!(up.len() == 5, "{up:?}");
        Ok(())
    })
    .unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 4).unwrap();
    let orders = [(1, 10_000), (2, 20_000), (3, 30_000)];
    for payment in pay_at_once(&cluster, "observed", &orders, SOON).unwrap() {
        for node in 1..=5 {
            cluster.wait_state(node, &payment.txid, "confirmed", SOON).unwrap();
        }
    }

    check_scrape(&Api::new(format!("http://{}", targets[0])));
    assert_eq!(cluster.node(1).unwrap().api().get("/metrics").unwrap().status, 404);
    check_panels(&prometheus);
    for alert in alerts() {
        prometheus.query(&alert.expression).unwrap_or_else(|error| panic!("{}: {error:#}", alert.name));
    }
    for calm in ["NodeDown", "QuorumLost", "QuorumMarginGone", "NodeStuck", "ChainBackendSilent"] {
        assert_eq!(holds(&prometheus, calm), 0, "{calm}");
    }

    cluster.node(5).unwrap().kill9().unwrap();
    for alarming in ["NodeDown", "QuorumMarginGone", "PeerUnreachable"] {
        wait_for(&format!("{alarming} to be true"), SOON, || {
            anyhow::ensure!(holds(&prometheus, alarming) > 0, "it is not");
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(holds(&prometheus, "QuorumLost"), 0);
}

/// For how many series an alert's expression is true.
fn holds(prometheus: &Prometheus, name: &str) -> usize {
    let alert = alerts().into_iter().find(|alert| alert.name == name).unwrap();
    prometheus.query(&alert.expression).unwrap().len()
}

/// What a live node shows is what the table has, and promtool finds no fault with it that has no reason.
fn check_scrape(node: &Api) {
    let text = node.get("/metrics").unwrap().text;
    let (shown, documented) = (families(&text), documented());
    for name in &shown {
        assert!(documented.contains_key(name), "{name} is not in docs/metrics.md");
    }
    for (name, _) in documented.iter().filter(|(_, always)| **always) {
        assert!(shown.contains(name), "{name} is in docs/metrics.md and not shown");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let said = promtool(&["check", "metrics"], Some(file.path())).unwrap_err().to_string();
    let complaints: Vec<&str> =
        said.lines().map(|line| line.trim_start_matches("promtool check metrics: ")).collect();
    assert_eq!(complaints, KNOWN.map(|(complaint, _reason)| complaint));
}

fn check_panels(prometheus: &Prometheus) {
    let panels = panels();
    for (title, expressions) in &panels {
        for expression in expressions {
            prometheus.query(expression).unwrap_or_else(|error| panic!("{title}: {error:#}"));
        }
    }
    for (title, expressions) in panels.iter().filter(|(title, _)| !EMPTY.contains(&title.as_str())) {
        wait_for(&format!("the panel {title} to show something"), SOON, || {
            let shows = expressions.iter().map(|expression| yields_numbers(prometheus, expression));
            anyhow::ensure!(shows.collect::<anyhow::Result<Vec<_>>>()?.contains(&true), "{expressions:?}");
            Ok(())
        })
        .unwrap();
    }
}
