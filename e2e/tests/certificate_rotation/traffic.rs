//! Payments, one after another, while something else happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_books, payee};

use super::{COIN, COINS, SOON};

/// How the payments are getting on.
#[derive(Default)]
pub(crate) struct Traffic {
    stop: AtomicBool,
    made: AtomicUsize,
    trouble: Mutex<Option<String>>,
}

impl Traffic {
    /// Waits until so many more payments are on their way than are now.
    pub(crate) fn wait_for_more(&self, count: usize) {
        let goal = self.made.load(Ordering::SeqCst) + count;
        let waited = wait_for(&format!("{goal} payments"), SOON, || {
            if let Some(trouble) = &*self.trouble.lock().unwrap() {
                return Ok(Err(trouble.clone()));
            }
            let made = self.made.load(Ordering::SeqCst);
            anyhow::ensure!(made >= goal, "{made} were made");
            Ok(Ok(()))
        });
        waited.unwrap().unwrap();
    }
}

/// Ends the payments, also when the test fails.
struct EndOf<'a>(&'a Traffic);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// Has payments made without a break while `work` is done: each is taken by the node that is asked, at the first time of asking. In
/// the end all of them are confirmed at every node and in the blocks, once and in full.
pub(crate) fn while_payments_flow(cluster: &Cluster, tag: &str, work: impl FnOnce(&Traffic)) {
    let traffic = Traffic::default();
    let payments = std::thread::scope(|scope| {
        let payer = scope.spawn(|| {
            pay_until_stopped(cluster, tag, &traffic).inspect_err(|error| {
                *traffic.trouble.lock().unwrap() = Some(format!("{error:#}"));
            })
        });
        {
            let _end = EndOf(&traffic);
            work(&traffic);
        }
        payer.join().unwrap().unwrap()
    });
    for payment in &payments {
        for node in cluster.nodes() {
            cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
    }
    check_books(cluster, COIN * u64::from(COINS), &payments).unwrap();
}

fn pay_until_stopped(cluster: &Cluster, tag: &str, traffic: &Traffic) -> anyhow::Result<Vec<Expected>> {
    let mut payments = Vec::new();
    let mut slowest = Duration::ZERO;
    let nodes = cluster.nodes().iter().cycle();
    for (number, node) in (0..).zip(nodes) {
        if traffic.stop.load(Ordering::SeqCst) {
            break;
        }
        let (payee, sats, begin) = (payee(tag, number)?, 5_000 + u64::from(number), Instant::now());
        let taken = cluster.pay(node.id(), &payee, sats);
        let txid = taken.with_context(|| format!("payment {number} at node {}", node.id()))?.txid;
        cluster.wait_on_chain(&txid, SOON)?;
        slowest = slowest.max(begin.elapsed());
        payments.push(Expected { txid, payee, sats });
        traffic.made.fetch_add(1, Ordering::SeqCst);
    }
    println!("{tag}: {} payments, the slowest in {slowest:?}", payments.len());
    Ok(payments)
}
