//! Who computes: blocking threads for what a payment waits for, threads of their own for everything else.
//!
//! A refill of presignatures keeps processors busy for seconds, a search for primes for a minute. Such work runs under the
//! scheduler's policy for idle time (`SCHED_IDLE`): a thread that a payment waits for takes its processor at once, and the
//! scheduler counts a processor that does nothing else as free. Niceness alone lets such a thread wait for the end of a
//! time slice. The way back is not open to every process and the threads of the runtime are shared, so none of them is
//! ever lowered.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
};

use mpc_wallet_core::step::{JobResult, Priority, Work};
use tokio::sync::{Semaphore, oneshot};

use crate::ports::Workers;

/// Runs machines off the event loop, for each priority as many at a time as there are processors.
#[derive(Debug, Clone)]
pub struct ThreadWorkers {
    urgent: Arc<Semaphore>,
    background: Sender<Job>,
}

/// Background work, and where its result goes.
struct Job {
    work: Work,
    reply: oneshot::Sender<JobResult>,
}

impl ThreadWorkers {
    /// One worker of each kind for each processor. The background threads end with the last clone.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (background, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..processors {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name("background".to_owned()).spawn(move || work_through(&jobs))?;
        }
        Ok(Self { urgent: Arc::new(Semaphore::new(processors)), background })
    }
}

impl Workers for ThreadWorkers {
    async fn run(&self, work: Work, priority: Priority) -> Option<JobResult> {
        match priority {
            Priority::Urgent => {
                let _permit = self.urgent.acquire().await.ok()?;
                tokio::task::spawn_blocking(move || attempt(work)).await.ok().flatten()
            }
            Priority::Background => {
                let (reply, result) = oneshot::channel();
                self.background.send(Job { work, reply }).ok()?;
                result.await.ok()
            }
        }
    }
}

/// Does jobs until nobody can give any more.
fn work_through(jobs: &Mutex<Receiver<Job>>) {
    yield_to_others();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { work, reply }) = next else { return };
        if let Some(result) = attempt(work) {
            // Whoever asked may have stopped.
            let _ = reply.send(result);
        }
    }
}

/// Does the work. A panic in it costs its session, not the worker.
fn attempt(work: Work) -> Option<JobResult> {
    let result = catch_unwind(AssertUnwindSafe(|| work.run())).ok();
    if result.is_none() {
        tracing::error!("a machine panicked; its session will time out");
    }
    result
}

/// Puts the calling thread behind all that is not idle work, for good. Other systems have no such policy for one thread:
/// there the work competes like any other.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    use thread_priority::{
        NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy::Normal,
        set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
    };
    let outcome = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, Normal(Idle));
    // The call resets the niceness as well, which a process that was started with one may not; idle work has no use for it.
    let is_idle = thread_schedule_policy().is_ok_and(|policy| policy == Normal(Idle));
    if let Err(error) = outcome
        && !is_idle
    {
        tracing::warn!(%error, "background work may delay payments: its threads cannot be made idle work");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use mpc_wallet_core::mpc::{Advance, Machine, Progress, Slot};
    use thread_priority::{
        NormalThreadSchedulePolicy::Idle, ThreadSchedulePolicy, ThreadSchedulePolicy::Normal,
        thread_schedule_policy,
    };

    use super::*;

    /// Notes under which policy it ran; told to, it panics afterwards.
    struct Probe {
        seen: mpsc::Sender<ThreadSchedulePolicy>,
        fails: bool,
    }

    impl Machine for Probe {
        fn receive(&mut self, _: Slot, _: &[u8]) {}

        fn advance(&mut self) -> Advance {
            self.seen.send(policy()).unwrap();
            assert!(!self.fails, "on purpose");
            Advance { outgoing: Vec::new(), progress: Progress::Running }
        }

        fn waiting_for(&self) -> Vec<Slot> {
            Vec::new()
        }
    }

    fn policy() -> ThreadSchedulePolicy {
        thread_schedule_policy().unwrap()
    }

    /// The policy that a job ran under, and whether it brought a result.
    async fn probe(workers: &ThreadWorkers, priority: Priority, fails: bool) -> (ThreadSchedulePolicy, bool) {
        let (seen, told) = mpsc::channel();
        let work = Work::Advance { machine: Box::new(Probe { seen, fails }), inbox: Vec::new() };
        let result = workers.run(work, priority).await;
        (told.recv().unwrap(), result.is_some())
    }

    #[tokio::test]
    async fn background_work_yields_and_urgent_work_does_not_however_they_alternate() {
        let workers = ThreadWorkers::start().unwrap();
        let own = policy();
        assert_ne!(own, Normal(Idle));
        for _ in 0..32 {
            assert_eq!(probe(&workers, Priority::Background, false).await, (Normal(Idle), true));
            assert_eq!(probe(&workers, Priority::Urgent, false).await, (own, true));
        }
        assert_eq!(policy(), own);
    }

    #[tokio::test]
    async fn a_machine_that_panics_costs_its_own_result_and_no_worker() {
        let workers = ThreadWorkers::start().unwrap();
        let more_than_workers = 4 * std::thread::available_parallelism().unwrap().get();
        for priority in [Priority::Background, Priority::Urgent] {
            for _ in 0..more_than_workers {
                assert!(!probe(&workers, priority, true).await.1);
            }
            assert!(probe(&workers, priority, false).await.1);
        }
    }
}
