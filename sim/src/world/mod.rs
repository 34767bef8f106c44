//! The world: a cluster of real cores on a virtual network, virtual disks, a virtual chain and a virtual clock.
//!
//! One loop takes the earliest event from the queue and lets it happen. Nothing waits for the machine it runs on,
//! and everything drawn comes from a named stream of the plan's seed, so a plan has exactly one run.
//!
//! A run has three parts. *Calm*: the nodes start, make a key together, and see the wallet's funds. *Trouble*: the
//! plan's faults and payments. *Recovery*, from `heal_at`: faults end, nodes come back, and all that was accepted
//! must end. Safety is judged at every step, liveness at the end.

mod backend;
mod bumping;
mod customers;
pub(crate) mod driver;
pub(crate) mod faults;
mod finish;
mod freezing;
pub(crate) mod host;
pub(crate) mod network;
mod parcel;
pub(crate) mod scheduler;
mod setup;
pub(crate) mod treason;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
};

use mpc_wallet_core::{
    KeyId, NodeId, RequestId, SessionId,
    chain::{ChainAnswer, ChainQuery},
    ids::{JobId, QueryId},
    step::{Input, JobResult},
};

use self::{
    host::{Host, HostError},
    network::Network,
    parcel::Parcel,
    scheduler::Scheduler,
};
use crate::{
    byzantine::Deviant,
    oracle::{Breach, Honest, Observed, Oracles, Watch},
    parts::{
        backend::{Backend, Upset, words},
        chain::Chain,
        client::{self, Client},
        hardware::Hardware,
        members::{self, Members},
        outcome::{Outcome, defect},
        phase::Phase,
        verdict::Scripts,
    },
    plan::{Bump, Crash, CrashPoint, DiskFault, FaultPlan, Freeze, Lease, Lift, Span, Stop, Visit},
    profile::CALM_NETWORK,
    rng::Stream,
    trace::{Log, Trace, TraceHash},
};

/// Most events of one run; a run of five minutes has some ten thousand a node.
const MAX_EVENTS: u64 = 20_000_000;

/// Most steps of one node in one millisecond: beyond this it spins.
const MAX_STEPS_PER_MS: u32 = 5_000;

/// Most messages a node sends in one virtual second: twenty payments at once take some hundreds. Beyond this nodes
/// answer each other's answers.
const MAX_SENT_PER_SECOND: u32 = 2_000;

/// What can happen.
enum Event {
    /// A parcel reaches a node.
    Deliver { from: NodeId, to: NodeId, parcel: Rc<Parcel> },
    /// A node wanted to be woken.
    Wake { node: NodeId, boot: u64 },
    /// A node notices whether it is connected to a peer.
    Notice { node: NodeId, peer: NodeId },
    /// An fsync returns.
    Flushed { node: NodeId, boot: u64 },
    /// A worker is done.
    Computed { node: NodeId, boot: u64, job: JobId, result: JobResult },
    /// A share is on disk.
    Sealed { node: NodeId, boot: u64, ceremony: SessionId, key: KeyId, secret: Vec<u8> },
    /// A question reaches the chain backend.
    Ask { node: NodeId, boot: u64, query: QueryId, question: ChainQuery },
    /// Its answer reaches the node.
    Answer { node: NodeId, boot: u64, answer: ChainAnswer },
    /// A block is found.
    Mine,
    /// Something is wrong with the chain.
    Upset(Upset),
    /// A client asks.
    Submit { client: usize },
    /// A client has waited long enough.
    Impatient { client: usize, request: RequestId },
    /// Somebody looks at what waits for people.
    Visit(Visit),
    /// A client asks for something else under the key it has used.
    Alter { client: usize, node: NodeId },
    /// A crash's time has come.
    Crash(Crash),
    /// A node is stopped in order.
    Stop(Stop),
    /// A node comes back.
    Restart(NodeId),
    /// A disk's time has come.
    Disk(DiskFault),
    /// A node hears who coordinates.
    Tell(Lease),
    /// A client has the fee of its payment raised.
    Bump(Bump),
    /// An operator stops all signing.
    Freeze(Freeze),
    /// An operator lifts that.
    Lift(Lift),
    /// Operators lift what is left.
    Thaw,
    /// A node is woken for nothing.
    Tick(NodeId),
    /// A cut begins.
    Cut(usize),
    /// It ends.
    Mend(usize),
    /// The cluster is watched until it is ready.
    Prepare,
    /// All faults end.
    Heal,
    /// The cluster is watched until it has finished.
    Judge,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// What did not hold; `None` if everything did.
    pub breach: Option<Breach>,
    /// All objections, the first of each oracle: more than one only if the run went on after it.
    pub objections: Vec<Breach>,
    /// Hash of the run.
    pub trace: TraceHash,
    /// Events in the trace.
    pub events: u64,
    /// Virtual milliseconds simulated.
    pub simulated: u64,
    /// What happened, counted.
    pub tally: Counts,
}

/// What happened in a run, counted: a run in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payments clients asked for.
    pub asked: u64,
    /// Payments accepted.
    pub accepted: u64,
    /// Payments the chain confirmed.
    pub paid: u64,
    /// Crashes.
    pub crashes: u64,
    /// Orderly stops.
    pub stops: u64,
    /// Messages sent.
    pub sent: u64,
    /// Copies of messages delivered.
    pub delivered: u64,
    /// Records made durable.
    pub records: u64,
    /// Bans that honest nodes put on record.
    pub bans: u64,
    /// Alerts that a peer is configured otherwise or was restored from a backup.
    pub alarms: u64,
    /// Faults that honest nodes put on record against others, silence left out.
    pub strikes: u64,
    /// Proofs that honest nodes put on record.
    pub proofs: u64,
}

impl Counts {
    /// Adds another run's.
    pub const fn add(&mut self, other: &Self) {
        let Self {
            asked,
            accepted,
            paid,
            crashes,
            stops,
            sent,
            delivered,
            records,
            bans,
            alarms,
            strikes,
            proofs,
        } = other;
        self.asked += *asked;
        self.accepted += *accepted;
        self.paid += *paid;
        self.crashes += *crashes;
        self.stops += *stops;
        self.sent += *sent;
        self.delivered += *delivered;
        self.records += *records;
        self.bans += *bans;
        self.alarms += *alarms;
        self.strikes += *strikes;
        self.proofs += *proofs;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            asked,
            accepted,
            paid,
            crashes,
            stops,
            sent,
            delivered,
            records,
            bans,
            alarms,
            strikes,
            proofs,
        } = self;
        write!(
            f,
            "ASKED={asked} ACCEPTED={accepted} PAID={paid} CRASHES={crashes} STOPS={stops} SENT={sent} DELIVERED={delivered} RECORDS={records} BANS={bans} ALARMS={alarms} STRIKES={strikes} PROOFS={proofs}"
        )
    }
}

/// One run.
pub struct World {
    plan: FaultPlan,
    phase: Phase,
    /// When trouble began: plan times count from here.
    origin: u64,
    queue: Scheduler<Event>,
    hosts: BTreeMap<NodeId, Host>,
    network: Network,
    backend: Backend,
    /// The wallets' scripts, as far as there are keys.
    wallets: Scripts,
    clients: Vec<Client>,
    requests: BTreeMap<RequestId, usize>,
    last_request: u64,
    oracles: Oracles,
    trace: Trace,
    tally: Counts,
    /// Draws that belong to no part in particular.
    random: Stream,
    /// The millisecond in which each node last stepped, and how often it has in it.
    spinning: BTreeMap<NodeId, (u64, u32)>,
    /// The second in which each node last sent something, and how much it has sent in it.
    talking: BTreeMap<NodeId, (u64, u32)>,
    /// Members that follow the protocol.
    honest: Honest,
    /// Members that have turned.
    traitors: BTreeMap<NodeId, Box<dyn Deviant>>,
    /// Who refuses connections of whom, as long as it runs.
    bans: BTreeSet<(NodeId, NodeId)>,
    /// Clients that have asked a traitor.
    betrayed: BTreeSet<usize>,
    /// What the ready-made checks last said was missing.
    missing: String,
}

impl World {
    /// A world at time 0, with every machine off.
    ///
    /// # Errors
    /// A plan that cannot be run.
    pub fn new(plan: FaultPlan, log: Option<Log>) -> anyhow::Result<Self> {
        plan.check()?;
        let seed = plan.seed;
        let Members { cluster, identities } = members::of(&plan)?;
        let hosts = identities
            .into_iter()
            .map(|(node, identity)| {
                let config = members::config(&plan, &cluster, node);
                (node, Host::new(config, identity, seed, Hardware::of(&plan, node)))
            })
            .collect();
        let honest = treason::honest(&plan);
        let clients = client::all(&plan);
        let payments = client::wanted(&clients);
        Ok(Self {
            phase: Phase::Calm,
            origin: 0,
            queue: Scheduler::new(Stream::new(seed, "schedule")),
            oracles: Oracles::new(&cluster, payments, &honest, plan.people.as_ref()),
            honest,
            traitors: BTreeMap::new(),
            bans: BTreeSet::new(),
            betrayed: BTreeSet::new(),
            hosts,
            network: Network::new(CALM_NETWORK, Stream::new(seed, "network")),
            backend: Backend::new(Chain::new()),
            wallets: Scripts::new(),
            tally: Counts { asked: u64::try_from(clients.len())?, ..Counts::default() },
            clients,
            requests: BTreeMap::new(),
            last_request: 0,
            trace: Trace::new(log),
            random: Stream::new(seed, "world"),
            spinning: BTreeMap::new(),
            talking: BTreeMap::new(),
            missing: String::new(),
            plan,
        })
    }

    /// Changes which oracles watch.
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.oracles.set_watch(watch);
        self
    }

    /// Lets everything happen.
    #[must_use]
    pub fn run(mut self) -> Report {
        let breach = self.live().err();
        if let Some(breach) = &breach {
            let at = self.queue.now();
            self.trace.event(at, None, format_args!("breach {breach}"));
        }
        self.unseed();
        let mut objections = self.oracles.objections().to_vec();
        objections.extend(breach.clone());
        Report {
            breach,
            objections,
            trace: self.trace.hash(),
            events: self.trace.lines(),
            simulated: self.queue.now(),
            tally: self.tally,
        }
    }

    fn live(&mut self) -> Outcome {
        self.begin();
        for _ in 0..MAX_EVENTS {
            let Some(event) = self.queue.next_event() else {
                return Err(defect("the queue ran dry"));
            };
            self.happen(event)?;
            if self.phase == Phase::Over {
                return Ok(());
            }
        }
        Err(defect("the run does not end"))
    }

    fn happen(&mut self, event: Event) -> Outcome {
        match event {
            Event::Deliver { from, to, parcel } => self.deliver(from, to, &parcel),
            Event::Wake { node, boot } => self.wake(node, boot),
            Event::Notice { node, peer } => self.notice(node, peer),
            Event::Flushed { node, boot } => self.flushed(node, boot),
            Event::Computed { node, boot, job, result } if self.is_boot(node, boot) => {
                self.note(node, format_args!("computed job {}", job.0));
                self.input(node, Input::Computed { job, result })
            }
            Event::Sealed { node, boot, ceremony, key, secret } if self.is_boot(node, boot) => {
                self.note(node, format_args!("sealed {key}"));
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.disk.seal(ceremony, key, secret);
                }
                self.input(node, Input::KeyShareSealed { ceremony })
            }
            Event::Ask { node, boot, query, question } => {
                self.ask(node, boot, query, &question);
                Ok(())
            }
            Event::Answer { node, boot, answer } if self.is_boot(node, boot) => {
                self.note(node, format_args!("chain {}", words(&answer.observation)));
                self.show_traitor(node, &answer.observation)?;
                self.input(node, Input::Chain(answer))
            }
            // Whatever was on its way to a node that died.
            Event::Computed { .. } | Event::Sealed { .. } | Event::Answer { .. } => Ok(()),
            Event::Mine => self.mine(),
            Event::Upset(upset) => self.upset(upset),
            Event::Submit { client } => self.submit(client),
            Event::Impatient { client, request } => {
                self.impatient(client, request);
                Ok(())
            }
            Event::Visit(visit) => self.visit(visit),
            Event::Alter { client, node } => self.alter(client, node),
            Event::Crash(crash) => self.crash_is_due(crash),
            Event::Stop(stop) => self.stop_is_due(stop),
            Event::Restart(node) => self.restart(node),
            Event::Disk(fault) => self.disk_fails(fault),
            Event::Tell(lease) => self.tell_lease(lease),
            Event::Bump(bump) => self.bump(&bump),
            Event::Freeze(freeze) => self.freeze(freeze),
            Event::Lift(lift) => self.lift(NodeId::new(lift.node)),
            Event::Thaw => self.thaw(),
            Event::Tick(node) => self.tick(node),
            Event::Cut(number) => {
                self.cut(number);
                Ok(())
            }
            Event::Mend(number) => {
                self.mend(number);
                Ok(())
            }
            Event::Prepare => self.prepare(),
            Event::Heal => self.heal(),
            Event::Judge => self.judge(),
        }
    }

    fn is_boot(&self, node: NodeId, boot: u64) -> bool {
        self.hosts.get(&node).and_then(Host::boot_number) == Some(boot)
    }

    fn note(&mut self, node: NodeId, what: fmt::Arguments<'_>) {
        self.trace.event(self.queue.now(), Some(node), what);
    }

    fn note_world(&mut self, what: fmt::Arguments<'_>) {
        self.trace.event(self.queue.now(), None, what);
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Outcome {
        self.oracles.observe(seen)
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }
}

impl From<HostError> for Breach {
    fn from(error: HostError) -> Self {
        Self { oracle: "replay_equals_live", detail: error.to_string() }
    }
}
