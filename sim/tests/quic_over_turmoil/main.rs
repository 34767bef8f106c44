//! The third lane: production's QUIC transport, with its TLS, over the simulated network.
//!
//! TLS draws its own randomness, so runs differ in bytes and times, and only outcomes are asserted: each test waits for
//! what must happen, within a generous virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod certificates;
mod socket;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use mpc_wallet_core::{Channel, NodeId};
use mpc_wallet_shell::quic::{Event, Limits, Quic, QuicConfig, TlsFiles};
use turmoil::{Sim, net::UdpSocket};

use self::{certificates::Authority, socket::SimulatedSocket};

const PORT: u16 = 4433;

/// Virtual time in which everything that a test waits for happens.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a node's transport told it, over all its boots.
type Diary = Arc<Mutex<Vec<Event>>>;

struct Cluster {
    sim: Sim<'static>,
    diaries: BTreeMap<u16, Diary>,
    _folders: Vec<tempfile::TempDir>,
}

const fn id(number: u16) -> NodeId {
    NodeId::new(number)
}

/// Nodes that greet each peer when it is up. Each has a certificate of the authority given for it.
fn cluster(nodes: &[(u16, &Authority)]) -> Cluster {
    let mut sim = turmoil::Builder::new()
        .epoch(std::time::UNIX_EPOCH + Duration::from_secs(1_700_100_000))
        .rng_seed(7)
        .tick_duration(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .simulation_duration(Duration::MAX)
        .udp_capacity(4_096)
        .build();
    let addresses: BTreeMap<NodeId, String> = nodes
        .iter()
        .map(|(number, _)| (id(*number), format!("{}:{PORT}", sim.lookup(id(*number).to_string()))))
        .collect();
    let (mut diaries, mut folders) = (BTreeMap::new(), vec![]);
    for (number, authority) in nodes {
        let folder = tempfile::TempDir::new().unwrap();
        let tls = authority.issue(&id(*number).to_string(), folder.path());
        folders.push(folder);
        let diary = Diary::default();
        diaries.insert(*number, Arc::clone(&diary));
        let (addresses, me) = (addresses.clone(), id(*number));
        sim.host(me.to_string(), move || node(me, addresses.clone(), tls.clone(), Arc::clone(&diary)));
    }
    Cluster { sim, diaries, _folders: folders }
}

async fn node(me: NodeId, peers: BTreeMap<NodeId, String>, tls: TlsFiles, diary: Diary) -> turmoil::Result {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let socket = Arc::new(SimulatedSocket(UdpSocket::bind(listen).await?));
    let (events, mut inbox) = tokio::sync::mpsc::channel(64);
    let quic =
        Quic::start_on(socket, QuicConfig { me, listen, peers, tls, limits: Limits::default() }, events)?;
    while let Some(event) = inbox.recv().await {
        if let Event::Up { peer } = &event {
            quic.send(*peer, Channel::Events, format!("hello from {me}").into_bytes());
        }
        diary.lock().unwrap().push(event);
    }
    Ok(())
}

impl Cluster {
    /// Lets time pass until something is true.
    fn until(&mut self, what: &str, holds: impl Fn(&BTreeMap<u16, Diary>) -> bool) {
        let end = self.sim.elapsed() + DEADLINE;
        while !holds(&self.diaries) {
            assert!(self.sim.elapsed() < end, "never happened: {what}; {:?}", self.diaries);
            self.sim.step().unwrap();
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            self.sim.step().unwrap();
        }
    }

    fn forget(&mut self) {
        for diary in self.diaries.values() {
            diary.lock().unwrap().clear();
        }
    }

    fn until_both_greeted(&mut self) {
        self.until("a greeting each way", |diaries| greeted(diaries, 1, 2) && greeted(diaries, 2, 1));
    }
}

fn has(diaries: &BTreeMap<u16, Diary>, node: u16, wanted: impl Fn(&Event) -> bool) -> bool {
    diaries[&node].lock().unwrap().iter().any(wanted)
}

fn greeted(diaries: &BTreeMap<u16, Diary>, node: u16, by: u16) -> bool {
    let payload = format!("hello from {}", id(by)).into_bytes();
    let greeting = Event::Frame { from: id(by), channel: Channel::Events, payload };
    has(diaries, node, |event| *event == greeting)
}

fn is_down(diaries: &BTreeMap<u16, Diary>, node: u16, peer: u16) -> bool {
    has(diaries, node, |event| matches!(event, Event::Down { peer: lost, .. } if *lost == id(peer)))
}

#[test]
fn two_nodes_prove_who_they_are_and_talk_both_ways() {
    let authority = Authority::new();
    let mut cluster = cluster(&[(1, &authority), (2, &authority)]);
    cluster.until_both_greeted();
    assert!(!is_down(&cluster.diaries, 1, 2) && !is_down(&cluster.diaries, 2, 1));
}

#[test]
fn a_node_with_a_strangers_certificate_is_never_up() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut cluster = cluster(&[(1, &authority), (2, &authority), (3, &stranger)]);
    cluster.until_both_greeted();
    cluster.pass(Duration::from_secs(10));
    for node in [1, 2] {
        assert!(!has(&cluster.diaries, node, |event| *event == Event::Up { peer: id(3) }), "{node}");
    }
    assert!(cluster.diaries[&3].lock().unwrap().is_empty(), "and it believes nobody");
}

#[test]
fn a_cut_is_noticed_on_both_sides_and_mended() {
    let authority = Authority::new();
    let mut cluster = cluster(&[(1, &authority), (2, &authority)]);
    cluster.until_both_greeted();
    cluster.forget();
    cluster.sim.partition("node-1", "node-2");
    cluster.until("both notice", |diaries| is_down(diaries, 1, 2) && is_down(diaries, 2, 1));
    cluster.pass(Duration::from_secs(5));
    assert!(!greeted(&cluster.diaries, 1, 2) && !greeted(&cluster.diaries, 2, 1));
    cluster.sim.repair("node-1", "node-2");
    cluster.until_both_greeted();
}

#[test]
fn a_node_that_dies_unheard_is_missed_and_welcomed_back() {
    let authority = Authority::new();
    let mut cluster = cluster(&[(1, &authority), (2, &authority)]);
    for dying in [2, 1] {
        let other = 3 - dying;
        cluster.until_both_greeted();
        cluster.forget();
        let name = id(dying).to_string();
        cluster.sim.partition(id(1).to_string(), id(2).to_string());
        cluster.sim.crash(name.as_str());
        cluster.sim.repair(id(1).to_string(), id(2).to_string());
        cluster.until("its peer misses it", |diaries| is_down(diaries, other, dying));
        cluster.sim.bounce(name.as_str());
        cluster.until_both_greeted();
    }
}
