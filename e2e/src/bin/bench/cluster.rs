//! Payments on a real cluster, timed from outside and by the nodes themselves.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::{Cluster, ClusterOptions, Kind};
use mpc_wallet_e2e::suite::payee;

use super::machine::{cpu_time, memory};
use super::sample::{Samples, millis};

/// A block comes this often while a transaction waits.
pub(super) const BLOCK_EVERY: Duration = Duration::from_secs(1);
/// What each payment sends.
pub(super) const PAYMENT_SATS: u64 = 5_000;
/// What each coin holds; there is one for each payment.
pub(super) const COIN_SATS: u64 = 20_000;
/// Between two looks of a client.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest that one payment may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest that the presignatures may take: seconds of processor time at each of four nodes for each.
const STOCK_WITHIN: Duration = Duration::from_secs(3_600);
/// Between an order for presignatures and their being made at full speed.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two payments while something is watched that takes longer than they do, and that payments shall meet all of.
pub(super) const PACE: Duration = Duration::from_millis(200);
/// Payments without a pause for each paced one: so many take about as long.
const HURRIED: u32 = 5;
/// How long the cluster's idle cost is watched.
const IDLE: Duration = Duration::from_secs(5);

/// What one way of paying cost.
#[derive(Default)]
struct Phase {
    node: Samples,
    client: Samples,
    cpu: Duration,
    took: Duration,
}

/// What was measured.
pub(crate) struct Measured {
    sequential: Phase,
    crowded: Phase,
    segwit: Option<Segwit>,
    idle_cpu: Duration,
    memory: Vec<(u64, u64)>,
    nodes: u32,
}

/// The other wallet, and what its background work does to payments: each one at a time.
struct Segwit {
    /// Taproot payments right before: at a steady pace, and without a pause.
    taproot: [Phase; 2],
    /// SegWit payments from stock.
    from_stock: Phase,
    /// Taproot payments while presignatures are made at full speed: at the same pace, and without a pause.
    during_refill: [Phase; 2],
    /// How many were made meanwhile.
    made: usize,
}

/// Starts a cluster and has it pay; with `segwit` presignatures from the other wallet as well.
pub(crate) fn measure(sequential: u32, in_flight: u32, each: u32, segwit: u32) -> anyhow::Result<Measured> {
    // Nothing is presigned but what is ordered.
    let options = ClusterOptions { auto_mine: Some(BLOCK_EVERY), ..ClusterOptions::default() }
        .set("limits", "presignatures_low", 0)
        .set("limits", "presignatures_high", 0);
    let cluster = Cluster::start(&options)?;
    cluster.run_dkg()?;
    let payments =
        sequential.saturating_mul(5).saturating_add(in_flight.saturating_mul(each)).saturating_add(segwit);
    // Some more, because a coin is busy until its payment is in a block.
    cluster.fund(COIN_SATS, payments.saturating_add(in_flight).saturating_add(10).min(1_000))?;
    pay(&cluster, Kind::Taproot, "warm-up", 0)?;

    let before = total_cpu(&cluster)?;
    let end = Instant::now().checked_add(IDLE).context("the clock is at its end")?;
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let idle_cpu = total_cpu(&cluster)?.saturating_sub(before);

    let at_once = Duration::ZERO;
    let in_sequence = in_turn(&cluster, Kind::Taproot, "sequential", sequential, at_once)?;
    let crowded = phase(&cluster, || crowd(&cluster, in_flight, each))?;
    let segwit = (segwit > 0).then(|| other_wallet(&cluster, segwit, sequential)).transpose()?;
    let memory = cluster.nodes().iter().map(|node| memory(node.pid().context("a node ended")?));
    let memory = memory.collect::<anyhow::Result<_>>()?;
    let nodes = u32::try_from(cluster.nodes().len())?;
    cluster.stop()?;
    Ok(Measured { sequential: in_sequence, crowded, segwit, idle_cpu, memory, nodes })
}

/// Makes the SegWit wallet with this many presignatures, and pays with them; then refills while the Taproot wallet pays.
fn other_wallet(cluster: &Cluster, presignatures: u32, taproot: u32) -> anyhow::Result<Segwit> {
    let count = u16::try_from(presignatures)?;
    cluster.make_key(Kind::Segwit, |_| {})?;
    cluster.fund_wallet(Kind::Segwit, COIN_SATS, presignatures.saturating_add(10))?;
    let order = || {
        let ordered = cluster.node(1)?.api().presign(count)?;
        anyhow::ensure!(ordered.status == 202, "{}", ordered.text);
        Ok(())
    };
    order()?;
    cluster.wait_for_stock(usize::from(count), STOCK_WITHIN)?;
    let both_ways = |tag: &str| {
        let paced = in_turn(cluster, Kind::Taproot, &format!("{tag}, paced"), taproot, PACE)?;
        let hurried = taproot.saturating_mul(HURRIED);
        anyhow::Ok([paced, in_turn(cluster, Kind::Taproot, tag, hurried, Duration::ZERO)?])
    };
    let before = both_ways("before")?;
    let from_stock = in_turn(cluster, Kind::Segwit, "segwit", presignatures, PACE)?;
    order()?;
    std::thread::sleep(WARM_UP);
    let stock = || anyhow::Ok(cluster.node(1)?.api().presignatures()?.available);
    let at_first = stock()?;
    let during_refill = both_ways("during")?;
    let made = stock()?.saturating_sub(at_first);
    Ok(Segwit { taproot: before, from_stock, during_refill, made })
}

/// One payment after the other, with a pause before each.
fn in_turn(
    cluster: &Cluster,
    kind: Kind,
    tag: &str,
    payments: u32,
    pause: Duration,
) -> anyhow::Result<Phase> {
    phase(cluster, || {
        let mut samples = (Samples::default(), Samples::default());
        for number in 0..payments {
            std::thread::sleep(pause);
            let (node, client) = pay(cluster, kind, tag, number)?;
            samples.0.add(node);
            samples.1.add(client);
        }
        Ok(samples)
    })
}

fn phase(
    cluster: &Cluster,
    work: impl FnOnce() -> anyhow::Result<(Samples, Samples)>,
) -> anyhow::Result<Phase> {
    let (before, began) = (total_cpu(cluster)?, Instant::now());
    let (node, client) = work()?;
    Ok(Phase { node, client, took: began.elapsed(), cpu: total_cpu(cluster)?.saturating_sub(before) })
}

fn crowd(cluster: &Cluster, in_flight: u32, each: u32) -> anyhow::Result<(Samples, Samples)> {
    let mut samples = (Samples::default(), Samples::default());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..in_flight)
            .map(|client| {
                scope.spawn(move || {
                    let mut samples = (Samples::default(), Samples::default());
                    for turn in 0..each {
                        let number = client.saturating_mul(each).saturating_add(turn);
                        let (node, wall) = pay(cluster, Kind::Taproot, "crowd", number)?;
                        samples.0.add(node);
                        samples.1.add(wall);
                    }
                    Ok::<_, anyhow::Error>(samples)
                })
            })
            .collect();
        for client in clients {
            let (node, wall) = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            samples.0.extend(node);
            samples.1.extend(wall);
        }
        Ok(samples)
    })
}

/// One payment, at the node whose turn it is: from pending to signed by that node's clock, and from POST to the
/// answer that says so by ours.
pub(super) fn pay(
    cluster: &Cluster,
    kind: Kind,
    tag: &str,
    number: u32,
) -> anyhow::Result<(Duration, Duration)> {
    let nodes = u32::try_from(cluster.nodes().len())?;
    let node = cluster.nodes().get(usize::try_from(number % nodes)?).context("no such node")?;
    let payee = payee(tag, number)?.to_string();
    let began = Instant::now();
    let txid = node.api().pay(kind, &payee, PAYMENT_SATS)?.txid;
    loop {
        let seen = node.api().transaction(&txid)?;
        if let (Some(pending), Some(signed)) = (seen.entered("pending"), seen.entered("signed")) {
            let millis = u64::try_from(signed.saturating_sub(pending))?;
            return Ok((Duration::from_millis(millis), began.elapsed()));
        }
        anyhow::ensure!(!seen.is_final() && began.elapsed() < PATIENCE, "{txid} is {}", seen.standing());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// CPU time of all nodes together.
fn total_cpu(cluster: &Cluster) -> anyhow::Result<Duration> {
    cluster.nodes().iter().map(|node| cpu_time(node.pid().context("a node ended")?)).sum()
}

impl Measured {
    /// The measurements as a Markdown table.
    pub(crate) fn table(&self, in_flight: u32) -> String {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let idle_share = micros(self.idle_cpu)
            .saturating_mul(10_000)
            .checked_div(micros(IDLE).saturating_mul(self.nodes.into()))
            .unwrap_or(0);
        let cost = |phase: &Phase| {
            let payments = u64::try_from(phase.node.len()).unwrap_or(u64::MAX);
            let shares = payments.saturating_mul(self.nodes.into());
            millis(micros(phase.cpu).checked_div(shares).unwrap_or(0))
        };
        let rate = |phase: &Phase| {
            let payments = u64::try_from(phase.node.len()).unwrap_or(u64::MAX);
            payments.saturating_mul(10_000_000).checked_div(micros(phase.took)).unwrap_or(0)
        };
        let mut text = format!("| POST → signed | one at a time | {in_flight} in flight |\n|---|---|---|\n");
        let mut row = |name: &str, value: &dyn Fn(&Phase) -> String| {
            let _ = writeln!(text, "| {name} | {} | {} |", value(&self.sequential), value(&self.crowded));
        };
        row("payments", &|phase| phase.node.len().to_string());
        row("p50, node's clock", &|phase| phase.node.percentile(50));
        row("p99, node's clock", &|phase| phase.node.percentile(99));
        row("p50, client's clock", &|phase| phase.client.percentile(50));
        row("p99, client's clock", &|phase| phase.client.percentile(99));
        row("payments a second", &|phase| format!("{}.{}", rate(phase) / 10, rate(phase) % 10));
        row("CPU per payment and node, all work included", &cost);
        let (low, high) = (self.memory.iter().map(|at| at.0).min(), self.memory.iter().map(|at| at.1).max());
        let megabytes = |kilobytes: Option<u64>| kilobytes.unwrap_or(0) / 1_024;
        let _ = writeln!(
            text,
            "\nIdle CPU per node: {}.{:02} % of a processor. Memory (RSS) per node: {} MB at least, {} MB at its highest.",
            idle_share / 100,
            idle_share % 100,
            megabytes(low),
            megabytes(high),
        );
        if let Some(segwit) = &self.segwit {
            text.push_str(&segwit.table());
        }
        text
    }
}

impl Segwit {
    fn table(&self) -> String {
        let [paced, hurried] = &self.taproot;
        let [paced_refill, hurried_refill] = &self.during_refill;
        let phases = [&self.from_stock, paced, paced_refill, hurried, hurried_refill];
        let row = |name: &str, value: fn(&Phase) -> String| {
            let values = phases.map(value);
            format!("| {name} | {} |\n", values.join(" | "))
        };
        let mut text = "\n| POST → signed, one at a time | SegWit from stock | Taproot | during a refill \
                        | Taproot, back to back | during a refill |\n|---|---|---|---|---|---|\n"
            .to_owned();
        text.push_str(&row("payments", |phase| phase.node.len().to_string()));
        text.push_str(&row("p50, node's clock", |phase| phase.node.percentile(50)));
        text.push_str(&row("p99, node's clock", |phase| phase.node.percentile(99)));
        text.push_str(&row("p50, client's clock", |phase| phase.client.percentile(50)));
        text.push_str(&row("p99, client's clock", |phase| phase.client.percentile(99)));
        let took: u64 = self.during_refill.iter().map(|phase| phase.took.as_secs()).sum();
        let made = self.made;
        let _ = writeln!(text, "\nMade during the refill's {took} s: {made} presignatures.");
        text
    }
}
