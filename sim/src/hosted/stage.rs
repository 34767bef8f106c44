//! What the hosts and the world around them share: machines, chain, weather, and what has been seen.
//!
//! A host reaches it through a [`Hand`], which belongs to one boot. When the machine has lost power, or is another boot,
//! the hand does nothing any more: whatever still runs on the host until the simulation takes it away has no effect.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bitcoin::Transaction;
use mpc_wallet_core::{
    Channel, Config, Lease, LogIndex, NodeId, Scheme, Timestamp, message::Message, overview::Overview,
    record::Record, state::State, step::Alert,
};
use mpc_wallet_shell::handle::Request;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    byzantine::Deviant,
    oracle::Breach,
    parts::{backend::Backend, clock::Clock, disk::Disk, hardware::Hardware, verdict, workers::Workers},
    plan::{Crash, DiskTrouble, FaultPlan},
    rng::Stream,
    world::{
        faults::Death,
        host::{HostError, hits},
        network::Network,
    },
};

/// Most messages a node sends in one virtual second; beyond this nodes answer each other's answers.
const MAX_SENT_PER_SECOND: u32 = 2_000;

/// Most times a node's loop is woken in one virtual millisecond: beyond this it spins.
const MAX_WAKES_PER_MS: u32 = 5_000;

/// Something a host did, on its way to oracles and trace.
pub(super) struct Sighting {
    /// Millisecond of the run.
    pub(super) at: u64,
    pub(super) node: NodeId,
    pub(super) what: Seen,
}

/// What it did.
pub(super) enum Seen {
    /// In words, for the trace alone.
    Words(String),
    Durable(Box<Record>),
    Released {
        needs: LogIndex,
        durable: LogIndex,
    },
    Sent {
        /// `None` if a traitor's bytes are none.
        message: Option<Box<Message>>,
        bytes: Vec<u8>,
    },
    Got {
        from: NodeId,
        channel: Channel,
        bytes: Vec<u8>,
    },
    Broadcast(Transaction),
    Banned(NodeId),
    Alert(Alert),
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    On,
    /// It has just died; the simulation will take its host away.
    Dying(Death),
}

/// How clients, operators and etcd reach a running node.
pub(super) struct Door {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) overview: watch::Receiver<Arc<Overview>>,
    pub(super) leases: mpsc::Sender<Option<Lease>>,
    pub(super) stop: CancellationToken,
}

/// One machine: what outlives its boots.
pub(super) struct Machine {
    pub(super) config: Config,
    pub(super) identity: [u8; 32],
    pub(super) power: Power,
    pub(super) boots: u64,
    pub(super) disk: Disk,
    pub(super) workers: Workers,
    pub(super) clock: Clock,
    /// Draws of the network adapter.
    pub(super) adapter: Stream,
    pub(super) entropy: Option<Arc<Mutex<Stream>>>,
    /// All durable records applied to nothing.
    pub(super) shadow: State,
    /// Number of records in it.
    pub(super) shown: usize,
    /// Where the running node was when it last showed itself, and its digest.
    pub(super) settled: Option<(LogIndex, [u8; 32])>,
    /// Crashes whose time has come and whose point has not.
    pub(super) armed: Vec<Crash>,
    /// What is wrong with the disk from the next append on.
    pub(super) failing: Option<DiskTrouble>,
    /// A crash between effects under way, and how many effects still get out.
    pub(super) allowance: Option<(Crash, u64)>,
    pub(super) door: Option<Door>,
    /// It was told to stop, for so long.
    pub(super) stopping: Option<u64>,
    /// What bends the words of this machine, once its member has turned; it outlives boots.
    pub(super) deviant: Option<Box<dyn Deviant>>,
    sent: (u64, u32),
    woken: (u64, u32),
}

impl Machine {
    pub(super) fn new(config: Config, identity: [u8; 32], hardware: Hardware, adapter: Stream) -> Self {
        let Hardware { disk, workers, clock } = hardware;
        Self {
            config,
            identity,
            power: Power::Off,
            boots: 0,
            disk,
            workers,
            clock,
            adapter,
            entropy: None,
            shadow: State::default(),
            shown: 0,
            settled: None,
            armed: vec![],
            failing: None,
            allowance: None,
            door: None,
            stopping: None,
            deviant: None,
            sent: (0, 0),
            woken: (0, 0),
        }
    }

    /// The machine dies now; the first cause counts.
    pub(super) fn die(&mut self, death: Death) {
        if self.power == Power::On {
            self.power = Power::Dying(death);
        }
    }

    /// The armed crash that these records set off, if any.
    pub(super) fn triggered(&mut self, records: &[Record]) -> Option<Crash> {
        let index = self.armed.iter().position(|crash| hits(crash, records))?;
        Some(self.armed.remove(index))
    }

    /// A journal's beginning, applied to nothing.
    ///
    /// # Errors
    /// A journal that contradicts itself.
    pub(super) fn follow(&self, records: &[Record]) -> Result<State, HostError> {
        let mut state = State::default();
        for record in records {
            state.apply(self.config.me, &self.config.cluster, record)?;
        }
        Ok(state)
    }

    /// The digest a node showed at some position, and that of as much of its journal.
    ///
    /// # Errors
    /// A journal that contradicts itself.
    pub(super) fn replayed(&self, settled: (LogIndex, [u8; 32])) -> Result<([u8; 32], [u8; 32]), HostError> {
        let (position, node_digest) = settled;
        let records = self.disk.read_all()?;
        let count = usize::try_from(position.0).unwrap_or(usize::MAX).min(records.len());
        let state = self.follow(records.get(..count).unwrap_or_default())?;
        Ok((node_digest, state.digest()))
    }

    /// What the running node says its wallet of this kind holds, in satoshis, mempool included.
    pub(super) fn balance(&self, scheme: Scheme) -> Option<u64> {
        let overview = Arc::clone(&self.door.as_ref()?.overview.borrow());
        Some(verdict::total(&overview, scheme))
    }
}

/// All that the hosts share.
pub(super) struct Stage {
    pub(super) plan: FaultPlan,
    /// When trouble began, as a moment of the run; `None` in calm.
    pub(super) origin: Option<u64>,
    /// Whether the plan's faults happen now.
    pub(super) troubled: bool,
    pub(super) machines: BTreeMap<NodeId, Machine>,
    /// What becomes of a frame before it reaches the wire.
    pub(super) weather: Network,
    pub(super) backend: Backend,
    pub(super) random: Stream,
    pub(super) seen: Vec<Sighting>,
    /// Something that must not be, found on a host.
    pub(super) defect: Option<Breach>,
}

impl Stage {
    /// Milliseconds of the plan's own time, while its faults happen.
    pub(super) fn plan_time(&self, now: u64) -> Option<u64> {
        self.origin.filter(|_| self.troubled).map(|origin| now.saturating_sub(origin))
    }

    pub(super) fn fail(&mut self, oracle: &'static str, detail: String) {
        self.defect.get_or_insert(Breach { oracle, detail });
    }
}

/// One boot's access to the stage.
#[derive(Clone)]
pub(super) struct Hand {
    stage: Arc<Mutex<Stage>>,
    pub(super) me: NodeId,
    boot: u64,
}

/// The stage, locked. A panic elsewhere ends the run anyway, so poisoning carries no meaning.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hand {
    pub(super) const fn new(stage: Arc<Mutex<Stage>>, me: NodeId, boot: u64) -> Self {
        Self { stage, me, boot }
    }

    /// Milliseconds since the start of the run, on this host's clock.
    pub(super) fn now() -> u64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Does something with the stage and this machine, if it is still this boot and has power.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Stage, u64) -> R) -> Option<R> {
        let mut stage = locked(&self.stage);
        let machine = stage.machines.get(&self.me)?;
        (machine.power == Power::On && machine.boots == self.boot).then(|| act(&mut stage, Self::now()))
    }

    /// As [`Hand::with`], with the machine alone.
    pub(super) fn machine<R>(&self, act: impl FnOnce(&mut Machine) -> R) -> Option<R> {
        self.with(|stage, _| stage.machines.get_mut(&self.me).map(act)).flatten()
    }

    /// What this machine's clock shows.
    pub(super) fn clock(&self) -> Timestamp {
        let now = Self::now();
        self.machine(|machine| machine.clock.show(now)).unwrap_or_else(|| Clock::new(None).show(now))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.with(|_, _| ()).is_some()
    }

    /// Lets oracles and trace see something.
    pub(super) fn show(&self, what: Seen) {
        self.with(|stage, at| stage.seen.push(Sighting { at, node: self.me, what }));
    }

    pub(super) fn fail(&self, detail: String) {
        self.with(|stage, _| stage.fail("contract", detail));
    }

    /// An effect is about to get out. `false` if the machine dies before it.
    pub(super) fn effect(&self) -> bool {
        self.machine(|machine| match &mut machine.allowance {
            None => true,
            Some((_, left)) if *left > 0 => {
                *left -= 1;
                true
            }
            Some((crash, _)) => {
                let death = Death::of(*crash);
                machine.allowance = None;
                machine.die(death);
                false
            }
        })
        .unwrap_or(false)
    }

    /// Counts a message.
    ///
    /// # Errors
    /// How many there were within this second, if they are too many: nodes answer each other's answers.
    pub(super) fn count_sent(&self) -> Result<(), u32> {
        let second = Self::now() / 1_000;
        let sent = self.machine(|machine| {
            machine.sent = if machine.sent.0 == second { (second, machine.sent.1 + 1) } else { (second, 1) };
            machine.sent.1
        });
        sent.filter(|sent| *sent > MAX_SENT_PER_SECOND).map_or(Ok(()), Err)
    }

    /// Counts a look at the clock; finds loops that never sleep. `false` if this is one.
    pub(super) fn count_wake(&self) -> bool {
        let now = Self::now();
        let woken = self.machine(|machine| {
            machine.woken = if machine.woken.0 == now { (now, machine.woken.1 + 1) } else { (now, 1) };
            machine.woken.1
        });
        let spins = woken.is_some_and(|woken| woken > MAX_WAKES_PER_MS);
        if spins {
            self.fail(format!("the loop of {} never sleeps", self.me));
        }
        !spins
    }
}
