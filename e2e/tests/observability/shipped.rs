//! The files that ship: correct by themselves, and in step with each other.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_e2e::cluster::repository;
use mpc_wallet_e2e::servers::prometheus::{promtool, shipped};
use serde_json::Value;

/// One alert as its file has it.
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) expression: String,
    /// Everything between its name and the next one's.
    text: String,
}

/// The alerts of both files of rules.
pub(crate) fn alerts() -> Vec<Alert> {
    let files = ["node.yml", "cluster.yml"].map(|file| read(&format!("docker/prometheus/rules/{file}")));
    let alerts: Vec<Alert> =
        files.iter().flat_map(|file| file.split("- alert: ").skip(1)).map(alert).collect();
    assert!(alerts.len() > 30, "{} alerts were read", alerts.len());
    alerts
}

fn alert(text: &str) -> Alert {
    let (name, _) = text.split_once('\n').unwrap();
    let (_, expression) = text.split_once("expr: ").unwrap();
    let (expression, _) = expression.split_once("for: ").unwrap();
    let expression = expression.trim_start_matches(">-").split_whitespace().collect::<Vec<_>>().join(" ");
    Alert { name: name.to_owned(), expression, text: text.to_owned() }
}

/// Each panel of the dashboard with its expressions, as Grafana sends them for all nodes and the last ten minutes.
pub(crate) fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("docker/grafana/mpc-wallet.json")).unwrap();
    assert_eq!(dashboard["uid"], "mpc-wallet");
    let filled = |expression: &str| expression.replace("$__rate_interval", "10m").replace("$node", ".*");
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    panels
        .map(|panel| {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let targets = panel["targets"].as_array().unwrap();
            let expressions: Vec<String> =
                targets.iter().map(|target| filled(target["expr"].as_str().unwrap())).collect();
            assert!(!expressions.is_empty(), "{}", panel["title"]);
            (panel["title"].as_str().unwrap().to_owned(), expressions)
        })
        .collect()
}

/// The table of metrics: which there are, and which of them any node shows at any time.
pub(crate) fn documented() -> BTreeMap<String, bool> {
    let table = read("docs/metrics.md");
    let rows = table.lines().filter(|line| line.starts_with("| `mpc_wallet_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[5].is_empty())
    })
    .collect()
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn promtool_finds_no_fault_with_configuration_rules_and_their_tests() {
    promtool(&["check", "config", "prometheus.yml"], None).unwrap();
    promtool(&["check", "rules", "rules/node.yml", "rules/cluster.yml"], None).unwrap();
    let mut test = vec!["test".to_owned(), "rules".to_owned()];
    for file in std::fs::read_dir(shipped().join("tests")).unwrap() {
        test.push(file.unwrap().path().display().to_string());
    }
    assert_eq!(test.len(), 5, "three files of tests");
    promtool(&test.iter().map(String::as_str).collect::<Vec<_>>(), None).unwrap();
}

#[test]
fn promtool_does_find_fault() {
    assert!(promtool(&["check", "rules", "prometheus.yml"], None).is_err());
}

#[test]
fn every_alert_waits_says_what_is_wrong_is_tested_and_has_its_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let tests: String = ["cluster", "node", "node_days"]
        .map(|file| read(&format!("docker/prometheus/tests/{file}.yml")))
        .concat();
    let alerts = alerts();
    for Alert { name, text, .. } in &alerts {
        for part in ["for: ", "severity: ", "scope: ", "summary: "] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        let link = format!("runbook_url: docs/runbook.md#{}\n", name.to_lowercase());
        assert!(text.contains(&link), "{name} has no {link}");
        assert!(sections.contains(name.as_str()), "{name} has no section in docs/runbook.md");
        assert!(tests.contains(&format!("- name: {name}\n")), "{name} has no test");
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
    assert_eq!(sections, names, "sections without an alert");
}

#[test]
fn alerts_and_panels_ask_for_metrics_that_exist() {
    let documented = documented();
    let mut expressions: Vec<String> = alerts().into_iter().map(|alert| alert.expression).collect();
    expressions.extend(panels().into_iter().flat_map(|(_, expressions)| expressions));
    let mut found = 0;
    for expression in &expressions {
        for name in expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            if name.starts_with("mpc_wallet_") {
                found += 1;
                let family = name.strip_suffix("_bucket").unwrap_or(name);
                assert!(documented.contains_key(family), "{name} is not in docs/metrics.md: {expression}");
            }
        }
    }
    assert!(found > expressions.len() / 2, "{found} names in {} expressions", expressions.len());
}
