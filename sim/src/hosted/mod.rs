//! The second lane: the shell's own loop on simulated hosts.
//!
//! Where [`crate::world`] drives cores itself, here production does: each node is a host of the turmoil simulator that runs
//! `mpc_wallet_shell::driver::run` on an executor of its own with virtual time, talks to its peers over simulated TCP,
//! and is killed and started again. Everything around it is this crate's: journal, key shares, chain backend, workers
//! and clock behind the shell's ports. Plan, oracles, judgement and report are the first lane's.
//!
//! | part | what it is |
//! |---|---|
//! | [`stage`] | what hosts share with the world around them |
//! | [`host`] | what runs on a host |
//! | [`journal`], [`ports`], [`transport`] | the shell's ports |
//! | [`link`], [`wire`] | connections between hosts |
//! | [`treason`] | hosts whose members lie |
//! | [`setup`], [`faults`], [`clients`], [`finish`] | the run around them |
//!
//! The world moves in steps of one millisecond: first what the plan wants to happen now, then every host up to its next
//! wait, in an order that the seed draws; then what the hosts did is shown to the oracles, in the order in which they did
//! it. A plan has exactly one run here too, though not the first lane's: other draws, other delays.

mod clients;
mod faults;
mod finish;
mod host;
mod journal;
mod link;
mod ports;
mod setup;
mod stage;
mod transport;
mod treason;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use mpc_wallet_core::{NodeId, RequestId, message::Message, step::Alert};
use rand_core::RngCore;
use turmoil::Sim;

use self::{
    clients::Waiting,
    faults::Cuts,
    stage::{Machine, Seen, Sighting, Stage, locked},
};
use crate::{
    oracle::{Honest, Observed, Oracles},
    parts::{
        backend::{Backend, Upset, Upsetting},
        chain::Chain,
        client::{self, Client},
        clock::Clock,
        hardware::Hardware,
        members::{self, Members},
        outcome::{Outcome, defect},
        phase::Phase,
        verdict::Scripts,
    },
    plan::{Bump, Crash, DiskFault, FaultPlan, Lease, Span, Stop, Visit},
    profile::CALM_NETWORK,
    rng::Stream,
    trace::{Log, Trace, short_hash},
    world::{
        Counts, Report,
        driver::{describe, name},
        network::Network,
        scheduler::Scheduler,
        treason::honest,
    },
};

/// The simulation's step: the resolution of everything here, and of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// Segments and pending connections that a simulated socket holds. It panics beyond the latter.
const SOCKET_CAPACITY: usize = 4_096;

/// What the world does to the hosts, and when it looks.
enum Event {
    Mine,
    Submit { client: usize },
    Impatient { client: usize, request: RequestId },
    Crash(Crash),
    Stop(Stop),
    Restart(NodeId),
    Booted(NodeId),
    Tell(Lease),
    Bump(Bump),
    Freeze(NodeId),
    Lift(NodeId),
    Thaw,
    Disk(DiskFault),
    Upset(Upset),
    Alter { client: usize, node: NodeId },
    Visit(Visit),
    Cut(usize),
    Mend(usize),
    Prepare,
    Heal,
    Judge,
}

/// One run.
struct Hosted {
    plan: FaultPlan,
    phase: Phase,
    /// When trouble began: plan times count from here.
    origin: u64,
    queue: Scheduler<Event>,
    sim: Sim<'static>,
    stage: Arc<Mutex<Stage>>,
    cuts: Cuts,
    /// The wallets' scripts, as far as there are keys.
    wallets: Scripts,
    clients: Vec<Client>,
    waiting: BTreeMap<RequestId, Waiting>,
    last_request: u64,
    oracles: Oracles,
    trace: Trace,
    tally: Counts,
    random: Stream,
    /// Members that follow the protocol.
    honest: Honest,
    /// Who refuses connections of whom, as long as it runs.
    bans: BTreeSet<(NodeId, NodeId)>,
    /// Clients that have asked a traitor.
    betrayed: BTreeSet<usize>,
    /// What the ready-made checks last said was missing.
    missing: String,
}

/// Runs a plan to its end. A panic of the core or the shell's loop is a breach like any other.
///
/// # Errors
/// A plan that cannot be run.
pub fn run(plan: FaultPlan, log: Option<Log>) -> anyhow::Result<Report> {
    let hosted = Hosted::new(plan, log)?;
    // The run is moved in and gone after a panic, so no broken state is seen.
    catch_unwind(AssertUnwindSafe(|| hosted.run())).map_err(|cause| crate::panicked(&*cause))
}

impl Hosted {
    fn new(plan: FaultPlan, log: Option<Log>) -> anyhow::Result<Self> {
        plan.check()?;
        let seed = plan.seed;
        let Members { cluster, identities } = members::of(&plan)?;
        let clients = client::all(&plan);
        let payments = client::wanted(&clients);
        let honest = honest(&plan);
        let oracles = Oracles::new(&cluster, payments, &honest, plan.people.as_ref());
        let machines: BTreeMap<NodeId, Machine> = identities
            .into_iter()
            .map(|(node, identity)| {
                let config = members::config(&plan, &cluster, node);
                let adapter = Stream::new(seed, &format!("adapter/{node}"));
                (node, Machine::new(config, identity, Hardware::of(&plan, node), adapter))
            })
            .collect();
        let stage = Arc::new(Mutex::new(Stage {
            plan: plan.clone(),
            origin: None,
            troubled: false,
            machines,
            weather: Network::new(CALM_NETWORK, Stream::new(seed, "weather")),
            backend: Backend::new(Chain::new()),
            random: Stream::new(seed, "stage"),
            seen: vec![],
            defect: None,
        }));
        Ok(Self {
            phase: Phase::Calm,
            origin: 0,
            queue: Scheduler::new(Stream::new(seed, "schedule")),
            sim: simulation(seed, &stage),
            stage,
            cuts: Cuts::default(),
            wallets: Scripts::new(),
            tally: Counts { asked: u64::try_from(clients.len())?, ..Counts::default() },
            clients,
            waiting: BTreeMap::new(),
            last_request: 0,
            oracles,
            trace: Trace::new(log),
            random: Stream::new(seed, "world"),
            honest,
            bans: BTreeSet::new(),
            betrayed: BTreeSet::new(),
            missing: String::new(),
            plan,
        })
    }

    fn run(mut self) -> Report {
        let breach = self.live().err();
        let at = self.now();
        if let Some(breach) = &breach {
            self.trace.event(at, None, format_args!("breach {breach}"));
        }
        self.unseed();
        Report {
            objections: breach.iter().cloned().collect(),
            breach,
            trace: self.trace.hash(),
            events: self.trace.lines(),
            simulated: at,
            tally: self.tally,
        }
    }

    fn live(&mut self) -> Outcome {
        self.begin();
        loop {
            let now = self.now();
            while let Some(event) = self.queue.due(now) {
                self.happen(event)?;
                if self.phase == Phase::Over {
                    return Ok(());
                }
            }
            self.sim.step().map_err(|error| defect(format!("a host ends badly: {error}")))?;
            self.look()?;
        }
    }

    /// Milliseconds since the start of the run.
    fn now(&self) -> u64 {
        u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn happen(&mut self, event: Event) -> Outcome {
        match event {
            Event::Mine => self.mine(),
            Event::Submit { client } => {
                self.submit(client);
                Ok(())
            }
            Event::Impatient { client, request } => {
                self.impatient(client, request);
                Ok(())
            }
            Event::Crash(crash) => self.crash_is_due(crash),
            Event::Stop(stop) => {
                self.stop_is_due(stop);
                Ok(())
            }
            Event::Restart(node) => self.restart(node),
            Event::Booted(node) => self.booted(node),
            Event::Disk(fault) => self.disk_fails(fault),
            Event::Upset(upset) => self.upset(upset),
            Event::Alter { client, node } => {
                self.alter(client, node);
                Ok(())
            }
            Event::Visit(visit) => {
                self.visit(visit);
                Ok(())
            }
            Event::Tell(lease) => {
                self.tell_lease(lease);
                Ok(())
            }
            Event::Bump(bump) => {
                self.bump(&bump);
                Ok(())
            }
            Event::Freeze(node) => {
                self.freeze(node);
                Ok(())
            }
            Event::Lift(node) => {
                self.lift(node);
                Ok(())
            }
            Event::Thaw => {
                self.thaw();
                Ok(())
            }
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

    /// Shows the oracles what the hosts did, buries the dead, and takes the answers of the living.
    fn look(&mut self) -> Outcome {
        self.observe()?;
        self.bury()?;
        self.observe()?;
        self.hear()
    }

    fn observe(&mut self) -> Outcome {
        let (seen, defect) = {
            let mut stage = locked(&self.stage);
            (std::mem::take(&mut stage.seen), stage.defect.take())
        };
        for Sighting { at, node, what } in seen {
            self.see(at, node, what)?;
        }
        defect.map_or(Ok(()), Err)
    }

    fn see(&mut self, at: u64, node: NodeId, what: Seen) -> Outcome {
        match what {
            Seen::Words(words) => {
                self.trace.event(at, Some(node), format_args!("{words}"));
                Ok(())
            }
            Seen::Durable(record) => {
                self.tally.records += 1;
                if self.honest.contains(&node) {
                    self.tally.blame(&record.fact);
                }
                let mut line = String::new();
                describe(&record.fact, &mut line);
                self.trace.event(at, Some(node), format_args!("durable {line}"));
                self.oracles.observe(&Observed::Durable { node, record: &record })
            }
            Seen::Released { needs, durable } => {
                self.oracles.observe(&Observed::Released { node, needs, durable })
            }
            Seen::Sent { message, bytes } => {
                self.tally.sent += 1;
                message.map_or(Ok(()), |message| {
                    self.oracles.observe(&Observed::Sent { from: node, message: &message, bytes: &bytes })
                })
            }
            Seen::Got { from, channel, bytes } => {
                self.tally.delivered += 1;
                let message = match Message::decode(channel, &bytes) {
                    Ok(message) => message,
                    Err(e) if self.honest.contains(&from) => {
                        return Err(defect(format!("{from} sent {node} what does not decode: {e}")));
                    }
                    Err(e) => {
                        self.trace.event(at, Some(node), format_args!("got garbage from {from}: {e}"));
                        return Ok(());
                    }
                };
                let words = format_args!("got {} {} from {from}", name(&message), short_hash(&bytes));
                self.trace.event(at, Some(node), words);
                if self.plan.traitors.is_empty() {
                    return Ok(());
                }
                self.oracles.observe(&Observed::Heard { node, from, message: &message })
            }
            Seen::Broadcast(transaction) => {
                let words = format_args!("broadcasts {}", transaction.compute_txid());
                self.trace.event(at, Some(node), words);
                self.oracles.observe(&Observed::Broadcast { node, transaction: &transaction })
            }
            Seen::Banned(accused) => {
                self.bans.insert((node, accused));
                self.oracles.observe(&Observed::Accused { by: node, node: accused, violation: None })
            }
            Seen::Alert(Alert::Misbehaviour { node: accused, violation, .. }) => {
                let violation = Some(violation);
                self.oracles.observe(&Observed::Accused { by: node, node: accused, violation })
            }
            Seen::Alert(
                Alert::Payment { .. } | Alert::Coin { .. } | Alert::Presigning { .. } | Alert::Freeze { .. },
            ) => Ok(()),
            Seen::Alert(Alert::Configuration { .. }) => {
                self.tally.alarms += 1;
                Ok(())
            }
        }
    }

    fn note(&mut self, node: NodeId, what: fmt::Arguments<'_>) {
        self.trace.event(self.queue.now(), Some(node), what);
    }

    fn note_world(&mut self, what: fmt::Arguments<'_>) {
        self.trace.event(self.queue.now(), None, what);
    }

    fn nodes(&self) -> Vec<NodeId> {
        (1..=self.plan.nodes).map(NodeId::new).collect()
    }

    fn upset(&mut self, upset: Upset) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let Upsetting { node, words, stolen } = locked(&self.stage).backend.upset(upset);
        self.trace.event(self.queue.now(), node, format_args!("{words}"));
        match &stolen {
            Some(transaction) => Ok(self.oracles.observe(&Observed::Stolen { transaction })?),
            None => Ok(()),
        }
    }

    fn mine(&mut self) -> Outcome {
        let mined: Vec<bitcoin::Transaction> = {
            let mut stage = locked(&self.stage);
            let mined = stage.backend.chain.mine();
            mined.iter().filter_map(|txid| stage.backend.chain.transaction(txid).cloned()).collect()
        };
        let height = locked(&self.stage).backend.chain.tip().height;
        self.note_world(format_args!("block {height} of {} transactions", mined.len()));
        for transaction in &mined {
            self.oracles.observe(&Observed::Confirmed { transaction })?;
        }
        let Span { least, most } = self.plan.chain.block_interval;
        let next = self.random.between(least, most);
        self.queue.after(next, Event::Mine);
        Ok(())
    }
}

/// One host for each machine, all off.
fn simulation(seed: u64, stage: &Arc<Mutex<Stage>>) -> Sim<'static> {
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + Duration::from_millis(Clock::new(None).show(0).0))
        .rng_seed(Stream::new(seed, "turmoil").next_u64())
        .tick_duration(TICK)
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(TICK)
        .tcp_capacity(SOCKET_CAPACITY)
        .enable_random_order()
        .build();
    let nodes: Vec<NodeId> = locked(stage).machines.keys().copied().collect();
    for node in nodes {
        let stage = Arc::clone(stage);
        sim.host(node.to_string(), move || host::software(Arc::clone(&stage), node));
        sim.crash(node.to_string());
    }
    sim
}
