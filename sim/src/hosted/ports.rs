//! The smaller ports of a host: clock, workers, key shares, chain backend, coordination, entropy.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use mpc_wallet_core::{
    KeyId, Lease, NodeId, SessionId, Timestamp,
    chain::{ChainAnswer, ChainObservation, ChainQuery},
    ids::QueryId,
    mpc::KeyShare,
    pool::KeptPresignatures,
    step::{JobResult, Priority, Work},
};
use mpc_wallet_shell::ports::{Chain, Clock, Coordination, JournalFailure, SecretStore, Workers};
use rand_core::{CryptoRng, RngCore};

use super::stage::{Hand, Seen, Stage, locked};
use crate::{parts::backend::words, plan::Span, rng::Stream};

async fn sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// The host's clock, on the run's epoch.
pub(super) struct HostClock(pub(super) Hand);

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        self.0.clock()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        if !self.0.count_wake() {
            return pending().await;
        }
        let now = Hand::now();
        let wait = self.0.machine(|machine| {
            let wait = machine.clock.when(moment, now).saturating_sub(now);
            let late = machine.adapter.below(machine.clock.late().saturating_add(1));
            // A tick that nobody asked for is a wait that ends too early.
            let spurious = Some(machine.clock.spurious()).filter(|every| *every > 0);
            wait.saturating_add(late).min(spurious.unwrap_or(u64::MAX))
        });
        match wait {
            Some(wait) => sleep(wait).await,
            None => pending().await,
        }
    }
}

/// Workers that do the work at once and say so later.
pub(super) struct HostWorkers(pub(super) Hand);

impl Workers for HostWorkers {
    async fn run(&self, work: Work, _: Priority) -> Option<JobResult> {
        let done = self.0.machine(|machine| {
            // A panic in a task of its own would be lost with the task.
            catch_unwind(AssertUnwindSafe(|| machine.workers.run(work)))
        });
        let (takes, result) = match done {
            None => return pending().await,
            Some(Err(_)) => {
                self.0.fail(format!("a job of {} panics", self.0.me));
                return pending().await;
            }
            Some(Ok(done)) => done,
        };
        sleep(takes).await;
        let lost = self.0.with(|stage, _| stage.troubled && stage.random.chance(stage.plan.lost_jobs));
        match lost {
            None => pending().await,
            Some(true) => None,
            Some(false) => Some(result),
        }
    }
}

/// Key shares on the machine's disk.
pub(super) struct HostSecrets(pub(super) Hand);

impl SecretStore for HostSecrets {
    async fn seal(&self, ceremony: SessionId, key: KeyId, share: &KeyShare) -> Result<(), JournalFailure> {
        let secret = share.to_secret_bytes().map_err(|e| JournalFailure(format!("{e:?}")))?.to_vec();
        let Some(takes) = self.0.machine(|machine| machine.disk.seal_delay()) else { return pending().await };
        sleep(takes).await;
        match self.0.machine(|machine| machine.disk.seal(ceremony, key, secret)) {
            Some(()) => Ok(()),
            None => pending().await,
        }
    }

    async fn keep_presignatures(&self, _: Option<KeptPresignatures>) -> Result<(), JournalFailure> {
        Ok(())
    }
}

/// The chain backend.
pub(super) struct HostChain(pub(super) Hand);

impl Chain for HostChain {
    async fn ask(&self, query: QueryId, question: ChainQuery) -> ChainAnswer {
        if let ChainQuery::Broadcast { transaction, .. } = &question {
            self.0.show(Seen::Broadcast(transaction.clone()));
        }
        self.travel().await;
        let me = self.0.me;
        let Some(observation) = self.0.with(|stage, now| observe(stage, now, me, &question)) else {
            return pending().await;
        };
        self.travel().await;
        self.0.show(Seen::Words(format!("chain {}", words(&observation))));
        self.0.shown(&observation);
        ChainAnswer { query, observation }
    }
}

impl HostChain {
    /// Half the way to the backend and back.
    async fn travel(&self) {
        let takes = self.0.with(|stage, _| {
            let Span { least, most } = stage.plan.chain.answer;
            stage.random.between(least, most) / 2
        });
        match takes {
            Some(takes) => sleep(takes).await,
            None => pending().await,
        }
    }
}

fn observe(stage: &mut Stage, now: u64, me: NodeId, question: &ChainQuery) -> ChainObservation {
    let outages = &stage.plan.chain.outages;
    let down = stage
        .plan_time(now)
        .is_some_and(|now| outages.iter().any(|outage| (outage.from..outage.to).contains(&now)));
    stage.backend.answer(me, question, down, &mut stage.random)
}

/// What the node is told about the coordinator.
pub(super) struct HostCoordination(pub(super) tokio::sync::mpsc::Receiver<Option<Lease>>);

impl Coordination for HostCoordination {
    async fn next(&mut self) -> Option<Lease> {
        match self.0.recv().await {
            Some(lease) => lease,
            None => pending().await,
        }
    }
}

/// The plan's entropy for one boot, where the end of the run can look at it.
pub(super) struct Entropy(pub(super) Arc<Mutex<Stream>>);

impl RngCore for Entropy {
    fn next_u32(&mut self) -> u32 {
        locked(&self.0).next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        locked(&self.0).next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        locked(&self.0).fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        locked(&self.0).try_fill_bytes(dest)
    }
}

// As for the stream inside: simulated nodes are given this where production gives the operating system's generator.
impl CryptoRng for Entropy {}
