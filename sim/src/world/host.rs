//! A host: one machine with a disk, workers, and a node that lives until it crashes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use mpc_wallet_core::{
    Config, Node, NodeId, Scheme, Timestamp, VoteKey,
    mpc::KeyShare,
    node::{ReplayError, SealedShare},
    pool::{KeptError, KeptPresignatures},
    record::{Fact, Record},
    state::{ApplyError, State},
    step::{Input, Step},
};

use crate::{
    byzantine::Setup,
    parts::{clock::Clock, disk::Disk, hardware::Hardware, verdict, workers::Workers},
    plan::{Crash, CrashPoint, DiskTrouble},
    rng::Stream,
};

/// Why a node could not be brought up or compared.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The disk does not read back.
    #[error("journal: {0}")]
    Codec(#[from] mpc_wallet_core::codec::CodecError),
    /// The journal contradicts itself.
    #[error("journal: {0}")]
    Apply(#[from] ApplyError),
    /// The node refuses its own journal.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// A sealed share does not read back.
    #[error("sealed key share: {0}")]
    Share(String),
    /// The file of kept presignatures does not read back.
    #[error("{0}")]
    Kept(#[from] KeptError),
    /// The drawn bytes are no vote key.
    #[error("identity: {0}")]
    Identity(#[from] mpc_wallet_core::identity::KeyError),
}

/// Digests of a node's state and of its journal applied to nothing.
pub(super) type Digests = ([u8; 32], [u8; 32]);

/// A node while it lives, with what dies with it.
pub(super) struct Live {
    pub(super) node: Node,
    pub(super) boot: u64,
    entropy: Stream,
    /// Steps whose records are not durable yet, each with the crash that waits for it.
    pub(super) waiting: VecDeque<(Step, Option<Crash>)>,
    /// Which boot of each peer the node was told is connected.
    pub(super) connected: BTreeMap<NodeId, u64>,
    /// When the next tick comes.
    pub(super) wake_at: Option<u64>,
    /// It is being stopped in order, for so long: it takes nothing more in.
    pub(super) stopping: Option<u64>,
}

impl Live {
    pub(super) fn step(&mut self, now: Timestamp, input: Input) -> Step {
        self.node.step(now, &mut self.entropy, input)
    }

    /// The entropy stream's next value, for the trace.
    pub(super) fn unseed(&self) -> u64 {
        self.entropy.clone().last_word()
    }
}

/// One machine.
pub(super) struct Host {
    config: Config,
    identity: [u8; 32],
    seed: u64,
    pub(super) disk: Disk,
    pub(super) workers: Workers,
    pub(super) clock: Clock,
    pub(super) live: Option<Live>,
    boots: u64,
    /// How many durable records the oracles have seen.
    pub(super) shown: usize,
    /// Crashes whose time has come and whose point has not.
    pub(super) armed: Vec<Crash>,
    /// What is wrong with the disk from the next append on.
    pub(super) failing: Option<DiskTrouble>,
}

impl Host {
    pub(super) fn new(config: Config, identity: [u8; 32], seed: u64, hardware: Hardware) -> Self {
        let Hardware { disk, workers, clock } = hardware;
        Self {
            config,
            identity,
            seed,
            disk,
            workers,
            clock,
            live: None,
            boots: 0,
            shown: 0,
            armed: vec![],
            failing: None,
        }
    }

    /// Starts the node from what is on disk.
    pub(super) fn boot(&mut self, now: u64) -> Result<&Live, HostError> {
        self.boots += 1;
        let records = self.disk.read(0)?;
        self.clock.boot(now, records.iter().map(|record| record.at).max().unwrap_or_default());
        let shares = shares(&self.disk)?;
        let identity = VoteKey::from_bytes(&self.identity)?;
        let mut node = Node::replay(self.config.clone(), identity, records, shares)?;
        if let Some(kept) = take_kept(&mut self.disk, now)? {
            node = node.with_presignatures(kept);
        }
        Ok(self.live.insert(Live {
            node,
            boot: self.boots,
            entropy: Stream::new(self.seed, &format!("entropy/{}/{}", self.config.me, self.boots)),
            waiting: VecDeque::new(),
            connected: BTreeMap::new(),
            wake_at: None,
            stopping: None,
        }))
    }

    /// What a copy of this machine would start from.
    pub(super) fn setup(&self) -> Result<Setup, HostError> {
        setup(&self.config, self.identity, self.seed, &self.disk)
    }

    /// The running boot, if the node is up.
    pub(super) fn boot_number(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.boot)
    }

    /// When the running node wants to be woken, as a moment of the run.
    pub(super) fn deadline(&self, now: u64) -> Option<u64> {
        let (at, _) = self.live.as_ref()?.node.deadline()?;
        Some(self.clock.when(at, now))
    }

    /// What the node says its wallet of this kind holds, in satoshis, mempool included.
    pub(super) fn balance(&self, scheme: Scheme) -> Option<u64> {
        self.live.as_ref().map(|live| verdict::total(&live.node.overview(), scheme))
    }

    /// Digests of the node's state and of its journal, undurable end included, applied to nothing.
    pub(super) fn digests(&self) -> Result<Option<Digests>, HostError> {
        let Some(live) = &self.live else { return Ok(None) };
        let mut state = State::default();
        for record in self.disk.read_all()? {
            state.apply(self.config.me, &self.config.cluster, &record)?;
        }
        Ok(Some((live.node.state().digest(), state.digest())))
    }

    /// The armed crash that this step sets off, if any.
    pub(super) fn triggered(&mut self, step: &Step) -> Option<Crash> {
        let index = self.armed.iter().position(|crash| hits(crash, step.records()))?;
        Some(self.armed.remove(index))
    }
}

/// The key shares on a disk.
///
/// # Errors
/// A share that does not read back.
pub(crate) fn shares(disk: &Disk) -> Result<Vec<SealedShare>, HostError> {
    disk.sealed()
        .map(|(ceremony, key, secret)| {
            let share =
                KeyShare::from_secret_bytes(secret).map_err(|e| HostError::Share(format!("{e:?}")))?;
            Ok(SealedShare { ceremony, key, share: Arc::new(share) })
        })
        .collect()
}

/// The presignatures that the last stop kept, taken from a disk.
///
/// # Errors
/// A file that does not read back.
pub(crate) fn take_kept(disk: &mut Disk, now: u64) -> Result<Option<KeptPresignatures>, HostError> {
    let kept = disk.take_kept(now).map(|secret| KeptPresignatures::from_secret_bytes(&secret));
    Ok(kept.transpose()?)
}

/// What a copy of a machine with this disk would start from.
///
/// # Errors
/// A disk that does not read back.
pub(crate) fn setup(config: &Config, identity: [u8; 32], seed: u64, disk: &Disk) -> Result<Setup, HostError> {
    Ok(Setup { config: config.clone(), identity, seed, journal: disk.read(0)?, shares: shares(disk)? })
}

/// Whether these records set a crash off.
pub(crate) fn hits(crash: &Crash, records: &[Record]) -> bool {
    if crash.when == CrashPoint::AfterBurn {
        return records.iter().any(|record| matches!(record.fact, Fact::PresignaturesUsed { .. }));
    }
    match crash.entering {
        None => !records.is_empty(),
        Some(state) => {
            records.iter().any(|record| matches!(&record.fact, Fact::Transition { to, .. } if *to == state))
        }
    }
}
