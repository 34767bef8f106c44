//! How soon listeners hear of what happens, and how fast the API answers meanwhile.
//!
//! The listeners are spread over the nodes. Each of the paying clients posts a payment, waits until an event says that it is
//! confirmed, and posts the next. First they post evenly over the time between two blocks, then all at once after each block,
//! which is more than this machine can do at once: what is measured then is the queue for its processors. An event's delay is from the time
//! that its record has, which is when the node began to make it durable, to the end of its block at the listener, by one
//! clock. Events without an id are of the present and have no such time; they are read and not counted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::{Api, Cluster, ClusterOptions, EventStream, EventView, Kind, wait_for};
use mpc_wallet_e2e::suite::payee;
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::cluster::{BLOCK_EVERY, COIN_SATS, PAYMENT_SATS, pay};
use super::sample::Samples;

/// Longest that one payment may take, blocks included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until every listener must have heard everything.
const HEARD_WITHIN: Duration = Duration::from_secs(30);
/// So long nothing may happen any more before the count is taken.
const QUIET: Duration = Duration::from_secs(2);
/// Between two looks of each node at the chain, as often as blocks come; ten seconds on a public network.
const LOOK_EVERY: Duration = BLOCK_EVERY;
/// Between two reads of the one client that reads.
const READ_EVERY: Duration = Duration::from_millis(10);
/// What that client asks for in turn, and what it is called.
const READS: [&str; 4] = ["GET balance", "GET cluster status", "GET transaction", "GET list of transactions"];

/// A server of Esplora lists 500 coins; past these the change of earlier payments pays.
const MOST_COINS: u32 = 400;

/// Ways to post, and what they are called.
const WAYS: [&str; 2] = ["posted evenly", "all at once"];

/// What was measured.
pub(crate) struct Measured {
    listeners: usize,
    in_flight: u32,
    payments: u32,
    ways: Vec<Way>,
}

/// What was measured while clients posted in one way.
struct Way {
    took: Duration,
    delays: Samples,
    reads: Vec<Samples>,
}

/// What listeners share.
#[derive(Default)]
struct Hall {
    board: Board,
    /// Index in [`WAYS`] of the way that is measured now.
    way: AtomicUsize,
    /// The delays of each listener, by way.
    delays: Mutex<Vec<[Samples; WAYS.len()]>>,
    complaints: Mutex<Vec<anyhow::Error>>,
}

/// Payments that some listener has heard to be confirmed.
#[derive(Default)]
struct Board {
    confirmed: Mutex<BTreeSet<String>>,
    news: Condvar,
}

impl Board {
    fn note(&self, event: &EventView) {
        if event.kind != "transaction.updated" || !event.body.contains(r#""to":"confirmed""#) {
            return;
        }
        let txid = serde_json::from_str::<Value>(&event.body).ok();
        let txid = txid.and_then(|body| Some(body.get("txid")?.as_str()?.to_owned()));
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).extend(txid);
        self.news.notify_all();
    }

    fn wait(&self, txid: &str) -> anyhow::Result<()> {
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let (_confirmed, timeout) = self
            .news
            .wait_timeout_while(confirmed, PATIENCE, |confirmed| !confirmed.contains(txid))
            .unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!timeout.timed_out(), "nobody heard within {PATIENCE:?} that {txid} is confirmed");
        Ok(())
    }
}

/// Starts a cluster, has this many listeners, and has so many clients pay `each` times.
pub(crate) fn measure(listeners: usize, in_flight: u32, each: u32) -> anyhow::Result<Measured> {
    anyhow::ensure!(listeners > 0, "there must be a listener");
    let options = ClusterOptions { auto_mine: Some(BLOCK_EVERY), ..ClusterOptions::default() }.set(
        "chain",
        "poll_ms",
        LOOK_EVERY.as_millis(),
    );
    let cluster = Cluster::start(&options)?;
    cluster.run_dkg()?;
    let payments = in_flight.saturating_mul(each);
    let coins = payments.saturating_mul(2).saturating_add(in_flight).saturating_add(10);
    cluster.fund(COIN_SATS, coins.min(MOST_COINS))?;
    let nodes = u32::try_from(cluster.nodes().len())?;
    for number in 0..nodes {
        pay(&cluster, Kind::Taproot, "warm-up", number)?;
    }
    wait_for_rest(&cluster)?;

    let hall = Hall::default();
    let heard: Vec<AtomicUsize> = (0..listeners).map(|_| AtomicUsize::new(0)).collect();
    let streams = (0..listeners).map(|number| EventStream::open(node_of(&cluster, number)?.url()));
    let streams: Vec<_> = streams.collect::<anyhow::Result<_>>()?;
    let measured = std::thread::scope(|scope| {
        for (stream, count) in streams.into_iter().zip(&heard) {
            let hall = &hall;
            scope.spawn(move || listen(stream, count, hall));
        }
        let measured: anyhow::Result<Vec<_>> = (0..WAYS.len())
            .map(|way| {
                eprintln!("measuring {listeners} listeners, {in_flight} clients, {each} payments each");
                hall.way.store(way, Ordering::Relaxed);
                let measured = pay_and_read(&cluster, &hall.board, (way, in_flight, each))?;
                wait_for_rest(&cluster)?;
                all_heard(&cluster, &heard)?;
                Ok(measured)
            })
            .collect();
        // Ends the streams, and with them the listeners, for which this scope waits.
        let ended = cluster.nodes().iter().try_for_each(|node| node.kill9());
        ended.and(measured)
    })?;
    let mut complaints = hall.complaints.into_inner().unwrap_or_else(PoisonError::into_inner);
    complaints.pop().map_or(Ok(()), Err)?;
    let mut ways: Vec<Way> =
        measured.into_iter().map(|(took, reads)| Way { took, delays: Samples::default(), reads }).collect();
    for delays in hall.delays.into_inner().unwrap_or_else(PoisonError::into_inner) {
        ways.iter_mut().zip(delays).for_each(|(way, delays)| way.delays.extend(delays));
    }
    Ok(Measured { listeners, in_flight, payments, ways })
}

/// Has all clients pay in one way, and one more read meanwhile. Returns how long it took, and the reads.
fn pay_and_read(
    cluster: &Cluster,
    board: &Board,
    (way, in_flight, each): (usize, u32, u32),
) -> anyhow::Result<(Duration, Vec<Samples>)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(cluster, &done));
        let began = Instant::now();
        let paid = pay_all(cluster, board, (way, in_flight, each));
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        let reads = reader.join().map_err(|_| anyhow::anyhow!("the reading client panicked"))?;
        paid?;
        anyhow::Ok((took, reads?))
    })
}

/// The node of a listener or client.
fn node_of(cluster: &Cluster, number: usize) -> anyhow::Result<&Api> {
    let index = number.checked_rem(cluster.nodes().len()).context("no nodes")?;
    Ok(cluster.nodes().get(index).context("no such node")?.api())
}

/// Hears until the stream ends.
fn listen(stream: EventStream, count: &AtomicUsize, hall: &Hall) {
    let mut heard: [Samples; WAYS.len()] = Default::default();
    let mut lasting = stream.filter(|event| event.id.is_some());
    let complete = lasting.try_for_each(|event| {
        let delay = delay(SystemTime::now(), &event)?;
        if let Some(samples) = heard.get_mut(hall.way.load(Ordering::Relaxed)) {
            samples.add(delay);
        }
        hall.board.note(&event);
        count.fetch_add(1, Ordering::Relaxed);
        anyhow::Ok(())
    });
    hall.delays.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    hall.complaints.lock().unwrap_or_else(PoisonError::into_inner).extend(complete.err());
}

/// What is read of every event's body.
#[derive(Deserialize)]
struct Told<'a> {
    at: &'a str,
}

/// From an event's time to its arrival. Errors if it is a `reset`, which says that events were lost.
fn delay(heard: SystemTime, event: &EventView) -> anyhow::Result<Duration> {
    anyhow::ensure!(event.kind != "reset", "a listener was reset: {}", event.body);
    let Told { at } = serde_json::from_str(&event.body)?;
    let at = SystemTime::from(OffsetDateTime::parse(at, &Rfc3339)?);
    // A clock with whole milliseconds may seem to be ahead.
    Ok(heard.duration_since(at).unwrap_or_default())
}

/// All clients pay, in one way.
fn pay_all(
    cluster: &Cluster,
    board: &Board,
    (way, in_flight, each): (usize, u32, u32),
) -> anyhow::Result<()> {
    let apart =
        if way == 0 { BLOCK_EVERY.checked_div(in_flight).unwrap_or_default() } else { Duration::ZERO };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..in_flight)
            .map(|client| {
                let tag = format!("{} {client}", WAYS.get(way).unwrap_or(&"other"));
                let pause = apart.saturating_mul(client);
                scope.spawn(move || {
                    (client..client.saturating_add(each)).try_for_each(|number| {
                        std::thread::sleep(pause);
                        pay_until_confirmed(cluster, board, &tag, number)
                    })
                })
            })
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })
}

/// One payment, at the node whose turn it is.
fn pay_until_confirmed(cluster: &Cluster, board: &Board, tag: &str, number: u32) -> anyhow::Result<()> {
    let payee = payee(tag, number)?.to_string();
    let node = node_of(cluster, usize::try_from(number)?)?;
    board.wait(&node.pay(Kind::Taproot, &payee, PAYMENT_SATS)?.txid)
}

/// One more client, which only reads.
fn read(cluster: &Cluster, done: &AtomicBool) -> anyhow::Result<Vec<Samples>> {
    go_first();
    let newest = cluster.node(1)?.api().transactions()?.first().context("no payment")?.txid.clone();
    let paths = [
        "/api/v1/wallet/balance".to_owned(),
        "/api/v1/cluster/status".to_owned(),
        format!("/api/v1/transactions/{newest}"),
        "/api/v1/transactions".to_owned(),
    ];
    let mut samples: Vec<Samples> = READS.iter().map(|_| Samples::default()).collect();
    for turn in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let node = node_of(cluster, turn)?;
        for (path, samples) in paths.iter().zip(&mut samples) {
            std::thread::sleep(READ_EVERY);
            let began = Instant::now();
            let reply = node.get(path)?;
            samples.add(began.elapsed());
            anyhow::ensure!(reply.status == 200, "{path}: {}", reply.text);
        }
    }
    Ok(samples)
}

/// Lets the calling thread run whenever it can: a client that measures shall not wait for a processor that it shares with the
/// nodes, with other clients and with all listeners. Where that is not allowed it waits, and so the figures are larger.
#[cfg(target_os = "linux")]
fn go_first() {
    use thread_priority::{
        RealtimeThreadSchedulePolicy::RoundRobin, ThreadPriority, ThreadSchedulePolicy::Realtime,
        set_thread_priority_and_policy, thread_native_id,
    };
    let policy = Realtime(RoundRobin);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        eprintln!("the reading client waits for processors like everybody: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn go_first() {}

/// Waits until no node has anything under way.
fn wait_for_rest(cluster: &Cluster) -> anyhow::Result<()> {
    wait_for("all payments to end at all nodes", PATIENCE, || {
        for node in cluster.nodes() {
            let status: Value = node.api().get("/api/v1/cluster/status")?.read()?;
            let open = status.get("open_transactions").and_then(Value::as_u64);
            anyhow::ensure!(open == Some(0), "node {} has {open:?} under way", node.id());
        }
        Ok(())
    })
}

/// Waits until nothing comes any more, and checks that all listeners of a node have heard equally much.
fn all_heard(cluster: &Cluster, heard: &[AtomicUsize]) -> anyhow::Result<()> {
    let counts = || heard.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let mut last = (Instant::now(), counts());
    wait_for("every listener to have heard the same", HEARD_WITHIN, || {
        let now = counts();
        if now != last.1 {
            last = (Instant::now(), now);
        }
        anyhow::ensure!(last.0.elapsed() > QUIET, "events still come");
        let nodes = cluster.nodes().len();
        let same = last.1.iter().zip(last.1.iter().skip(nodes)).all(|(one, other)| one == other);
        anyhow::ensure!(same && last.1.iter().all(|count| *count > 0), "they have heard {:?}", last.1);
        Ok(())
    })
}

impl Measured {
    /// The measurements as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "| {} listeners, {} payments in flight | count | p50 | p99 | most |\n|---|---|---|---|---|\n",
            self.listeners, self.in_flight
        );
        for (name, way) in WAYS.into_iter().zip(&self.ways) {
            let all_reads = Samples::of_all(&way.reads);
            let rows =
                [("event, from durable to heard", &way.delays), ("any of the reads below", &all_reads)];
            for (what, samples) in rows.into_iter().chain(READS.into_iter().zip(&way.reads)) {
                let [p50, p99, most] = [50, 99, 100].map(|percent| samples.percentile(percent));
                let _ = writeln!(text, "| {what}, {name} | {} | {p50} | {p99} | {most} |", samples.len());
            }
        }
        let took: Vec<_> = self.ways.iter().map(|way| format!("{} ms", way.took.as_millis())).collect();
        let _ = writeln!(
            text,
            "\n{} payments took {} until the last was confirmed, with a block every {} ms; {} listeners heard all that \
             their nodes told, and none was reset.",
            self.payments,
            took.join(" and "),
            BLOCK_EVERY.as_millis(),
            self.listeners,
        );
        text
    }
}
