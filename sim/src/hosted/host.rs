//! What runs on a host: the shell's loop, from the journal on the machine's disk until the power goes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use mpc_wallet_core::{Node, NodeId, VoteKey};
use mpc_wallet_shell::driver::{self, Lines, Ports};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    journal::DiskJournal,
    link,
    ports::{Entropy, HostChain, HostClock, HostCoordination, HostSecrets, HostWorkers},
    stage::{Door, Hand, Seen, Stage, locked},
    transport::Wires,
};
use crate::{
    oracle::Breach,
    rng::Stream,
    world::{
        faults::Death,
        host::{HostError, shares},
    },
};

/// Frames and connection changes that may wait for the loop, as in production.
const TRANSPORT_EVENTS: usize = 1_024;

/// Client commands that may wait for the loop, as in production.
const REQUESTS: usize = 256;

/// What a machine starts with.
struct Boot {
    hand: Hand,
    node: Node,
    entropy: Arc<Mutex<Stream>>,
    peers: BTreeSet<NodeId>,
}

/// The host's software. It ends with the host, or by a panic, which ends the run.
pub(super) async fn software(stage: Arc<Mutex<Stage>>, me: NodeId) -> turmoil::Result {
    let boot = {
        let mut locked = locked(&stage);
        match read_back(&mut locked, me) {
            Ok((boot, node, entropy, peers)) => {
                Boot { hand: Hand::new(Arc::clone(&stage), me, boot), node, entropy, peers }
            }
            Err(error) => {
                locked.defect.get_or_insert(Breach::from(error));
                return Ok(());
            }
        }
    };
    Box::pin(live(boot)).await;
    std::future::pending().await
}

type ReadBack = (u64, Node, Arc<Mutex<Stream>>, BTreeSet<NodeId>);

fn read_back(stage: &mut Stage, me: NodeId) -> Result<ReadBack, HostError> {
    let seed = stage.plan.seed;
    let peers: BTreeSet<NodeId> = stage.machines.keys().copied().collect();
    let Some(machine) = stage.machines.get_mut(&me) else {
        return Err(HostError::Share(format!("{me} has no machine")));
    };
    let records = machine.disk.read(0)?;
    machine.clock.boot(Hand::now(), records.iter().map(|record| record.at).max().unwrap_or_default());
    let shares = shares(&machine.disk)?;
    let identity = VoteKey::from_bytes(&machine.identity)?;
    let node = Node::replay(machine.config.clone(), identity, records, shares)?;
    let boot = machine.boots;
    let entropy = Arc::new(Mutex::new(Stream::new(seed, &format!("entropy/{me}/{boot}"))));
    machine.entropy = Some(Arc::clone(&entropy));
    machine.settled = Some((node.position(), node.state().digest()));
    Ok((boot, node, entropy, peers))
}

async fn live(boot: Boot) {
    let Boot { hand, node, entropy, peers } = boot;
    let (events, transport) = mpsc::channel(TRANSPORT_EVENTS);
    let (requests, request_line) = mpsc::channel(REQUESTS);
    let (leases, lease_line) = mpsc::channel(REQUESTS);
    let (overview, overview_line) = watch::channel(Arc::new(node.overview()));
    let stop = CancellationToken::new();
    let door = Door { requests, overview: overview_line, leases, stop: stop.clone() };
    hand.machine(|machine| machine.door = Some(door));
    let wires = Wires::new(hand.clone(), &peers, events);
    link::open(&wires);
    let ports = Ports {
        transport: wires,
        journal: DiskJournal::new(hand.clone()),
        secrets: Arc::new(HostSecrets(hand.clone())),
        chain: Arc::new(HostChain(hand.clone())),
        coordination: HostCoordination(lease_line),
        clock: Arc::new(HostClock(hand.clone())),
        workers: Arc::new(HostWorkers(hand.clone())),
        entropy: Entropy(entropy),
    };
    let operator = hand.clone();
    let lines = Lines {
        transport,
        requests: request_line,
        overview,
        alarm: Box::new(move |alert| operator.show(Seen::Alert(alert.clone()))),
        stop,
    };
    let end = driver::run(node, ports, lines).await;
    let by_order = hand.machine(|machine| machine.stopping).flatten().filter(|_| end.is_ok());
    let words = match (end, by_order) {
        (Err(error), _) => error.to_string(),
        (Ok(()), Some(_)) => String::from("it was told to stop"),
        (Ok(()), None) => String::from("it had nothing to wait for"),
    };
    hand.show(Seen::Words(format!("the process ends: {words}")));
    let death = by_order.map_or(Death::of_disk("of its process", false), Death::by_order);
    hand.machine(|machine| machine.die(death));
}
