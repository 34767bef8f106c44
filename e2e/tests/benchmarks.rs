//! The benchmark runs and fills its tables, on few payments: that its figures are good is not for a busy machine to say.
//! docs/performance.md has those of a quiet one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::process::Command;

use mpc_wallet_e2e::cluster::cli_binary;

/// What the benchmark prints.
fn bench(arguments: &[&str]) -> String {
    let program = cli_binary().unwrap().with_file_name("mpc-wallet-bench");
    let output = Command::new(program).args(arguments).output().unwrap();
    let (report, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    report.into_owned()
}

/// The cells of a row, without its name.
fn row<'a>(report: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("| {name} |");
    let line = report.lines().find_map(|line| line.strip_prefix(&start));
    let line = line.unwrap_or_else(|| panic!("no row {name} in\n{report}"));
    line.trim_end_matches('|').split('|').map(str::trim).collect()
}

fn milliseconds(cell: &str) -> f64 {
    cell.strip_suffix(" ms")
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{cell} is no time"))
}

#[test]
fn what_a_payment_costs_is_measured_alone_and_with_others() {
    let report = bench(&["--sequential", "3", "--each", "1", "--in-flight", "2"]);
    assert_eq!(row(&report, "payments"), ["3", "2"], "{report}");
    for clock in ["node's clock", "client's clock"] {
        let (p50, p99) = (row(&report, &format!("p50, {clock}")), row(&report, &format!("p99, {clock}")));
        for (p50, p99) in p50.into_iter().zip(p99) {
            assert!(0.0 < milliseconds(p50) && milliseconds(p50) <= milliseconds(p99), "{report}");
        }
    }
}

#[test]
fn what_the_servers_and_their_outages_cost_is_measured_and_all_accounts_agree_afterwards() {
    let report = bench(&["--sequential", "3", "--servers", "2"]);
    for name in ["embedded stores", "PostgreSQL and etcd"] {
        assert_eq!(row(&report, name)[0], "3", "{report}");
    }
    for away in ["both up", "PostgreSQL away", "etcd without quorum", "both away", "both back, catching up"] {
        let cells = row(&report, away);
        assert!(cells[0].parse::<u32>().unwrap() > 0 && milliseconds(cells[1]) > 0.0, "{report}");
        assert!(cells[3].parse::<f64>().unwrap() > 0.0, "{report}");
    }
    assert!(report.contains("agreed with the nodes and the chain"), "{report}");
}

#[test]
fn how_soon_listeners_hear_and_how_fast_the_api_answers_meanwhile_is_measured() {
    let report = bench(&["--listeners", "10", "--in-flight", "2", "--each", "2"]);
    let rows = [
        "event, from durable to heard",
        "any of the reads below",
        "GET balance",
        "GET cluster status",
        "GET transaction",
        "GET list of transactions",
    ];
    let named = |row: &str| ["posted evenly", "all at once"].map(|way| format!("{row}, {way}"));
    for name in rows.into_iter().flat_map(named) {
        let cells = row(&report, &name);
        assert!(cells[0].parse::<u32>().unwrap() > 0, "{report}");
        let [p50, p99, most] = [1, 2, 3].map(|column| milliseconds(cells[column]));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= most, "{report}");
    }
    // Two listeners at each node, and all of them heard all of the payments, in both ways, from proposal to confirmation.
    assert!(report.contains("4 payments") && report.contains("10 listeners heard all"), "{report}");
}
