//! What PostgreSQL and etcd cost a payment, and what it costs that they are away.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::{Cluster, ClusterOptions, Kind};
use mpc_wallet_e2e::record::{Comparison, wait_until_agreed};
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::servers::etcd::Etcd;

use super::cluster::{BLOCK_EVERY, PACE, pay};
use super::sample::Samples;

/// Coins of each cluster; what a payment leaves of one comes back with the next block.
const COINS: u32 = 200;
/// What each holds: enough together for hours of payments.
const COIN_SATS: u64 = 1_000_000;
/// Until everything must be told after the last outage.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// Members of etcd without which it has no quorum.
const QUORUM: [u16; 2] = [1, 2];

/// What was measured.
pub(crate) struct Measured {
    /// POST → signed by the node's clock, in turn at either cluster.
    embedded: Samples,
    with_both: Samples,
    /// Payments at a steady pace, by what was away.
    phases: Vec<(&'static str, Samples)>,
    outage: Duration,
    agreed: Comparison,
    told_within: Duration,
}

/// Two clusters of five, one on both servers, pay in turn, `payments` each. Then the one loses its servers for `outage`
/// each time, while it pays.
pub(crate) fn measure(payments: u32, outage: Duration) -> anyhow::Result<Measured> {
    let (postgres, etcd) = (Postgres::start()?, Etcd::start()?);
    let embedded = cluster(|options| options)?;
    let cluster = cluster(|options| options.with_postgres(&postgres).with_etcd(&etcd))?;
    let mut cost = (Samples::default(), Samples::default());
    eprintln!("measuring {payments} payments in turn at a cluster without and one with both servers");
    for number in 0..payments {
        cost.0.add(pay(&embedded, Kind::Taproot, "cost", number)?.0);
        cost.1.add(pay(&cluster, Kind::Taproot, "cost", number)?.0);
    }
    embedded.stop()?;

    let mut phases = Vec::new();
    let mut watch = |name: &'static str| {
        eprintln!("measuring {} s: {name}", outage.as_secs());
        phases.push((name, steadily(&cluster, name, outage)?));
        anyhow::Ok(())
    };
    watch("both up")?;
    postgres.kill()?;
    watch("PostgreSQL away")?;
    postgres.resume()?;
    watch("PostgreSQL back, catching up")?;
    lose_quorum(&etcd)?;
    watch("etcd without quorum")?;
    regain_quorum(&etcd)?;
    watch("etcd back")?;
    postgres.kill()?;
    lose_quorum(&etcd)?;
    watch("both away")?;
    postgres.resume()?;
    regain_quorum(&etcd)?;
    watch("both back, catching up")?;

    let began = Instant::now();
    let agreed = wait_until_agreed(&cluster, &postgres, Some(&etcd), TOLD_WITHIN)?;
    let told_within = began.elapsed();
    cluster.stop()?;
    Ok(Measured { embedded: cost.0, with_both: cost.1, phases, outage, agreed, told_within })
}

/// A cluster that can pay and has paid.
fn cluster(servers: impl FnOnce(ClusterOptions) -> ClusterOptions) -> anyhow::Result<Cluster> {
    let options = ClusterOptions { auto_mine: Some(BLOCK_EVERY), ..ClusterOptions::default() };
    let cluster = Cluster::start(&servers(options))?;
    cluster.run_dkg()?;
    cluster.fund(COIN_SATS, COINS)?;
    pay(&cluster, Kind::Taproot, "warm-up", 0)?;
    Ok(cluster)
}

/// Pays at a steady pace for so long.
fn steadily(cluster: &Cluster, tag: &str, how_long: Duration) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    let end = Instant::now().checked_add(how_long).context("the clock is at its end")?;
    for number in 0.. {
        if Instant::now() >= end {
            break;
        }
        std::thread::sleep(PACE);
        samples.add(pay(cluster, Kind::Taproot, tag, number)?.0);
    }
    Ok(samples)
}

fn lose_quorum(etcd: &Etcd) -> anyhow::Result<()> {
    QUORUM.into_iter().try_for_each(|member| etcd.kill(member))
}

fn regain_quorum(etcd: &Etcd) -> anyhow::Result<()> {
    QUORUM.into_iter().try_for_each(|member| etcd.start_member(member))?;
    etcd.wait_until_serving()
}

impl Measured {
    /// The measurements as Markdown tables.
    pub(crate) fn table(&self) -> String {
        let mut text = "| POST → signed, one at a time, by the node's clock | payments | p50 | p99 | p50 against the first \
                        |\n|---|---|---|---|---|\n"
            .to_owned();
        let mut rows = |first: &Samples, rows: &mut dyn Iterator<Item = (&str, &Samples)>| {
            for (name, samples) in rows {
                let (p50, p99) = (samples.percentile(50), samples.percentile(99));
                let ratio = samples.ratio(first);
                let _ = writeln!(text, "| {name} | {} | {p50} | {p99} | {ratio} |", samples.len());
            }
        };
        let pair = [("embedded stores", &self.embedded), ("PostgreSQL and etcd", &self.with_both)];
        rows(&self.embedded, &mut pair.into_iter());
        if let Some((_, first)) = self.phases.first() {
            rows(first, &mut self.phases.iter().map(|(name, samples)| (*name, samples)));
        }
        let _ = writeln!(
            text,
            "\nEach of the last {} for {} s, with a payment every {} ms. {} ms after the last payment {} transactions, {} \
             votes, {} rows of the audit chain and {} keys in etcd agreed with the nodes and the chain.",
            self.phases.len(),
            self.outage.as_secs(),
            PACE.as_millis(),
            self.told_within.as_millis(),
            self.agreed.transactions,
            self.agreed.votes,
            self.agreed.audit_rows,
            self.agreed.mirrors,
        );
        text
    }
}
