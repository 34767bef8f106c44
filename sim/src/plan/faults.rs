//! What can go wrong, as data. Each list of a plan names moments; nothing here happens by itself.

pub use mpc_wallet_byzantine::Deviation;
use mpc_wallet_core::{FencingEpoch, NodeId, tx::State as TxState};
use serde::{Deserialize, Serialize};

/// The backend is down from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
}

/// One node's backend answers from an old tip: it shows no block and no transaction that came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleTip {
    /// First millisecond; what the backend showed then it shows until the end.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
    /// Whose backend.
    pub node: u16,
}

/// The best chain loses its last blocks and an empty one longer by one takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorg {
    /// When.
    pub at: u64,
    /// How many blocks go.
    pub depth: u32,
    /// Whether their transactions are forgotten; otherwise they return to the mempool.
    pub forgets: bool,
}

/// The mempool drops everything of the wallet that waits in it, as after a restart of the backend's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    /// When.
    pub at: u64,
}

/// A coin of the wallet is spent by a transaction that this cluster never made, in a block: what the owner of a copied
/// key could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theft {
    /// When.
    pub at: u64,
}

/// The backend's fee estimates are multiplied for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeeSpike {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
    /// By how much.
    pub times: u32,
}

/// Which way a cut stops messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// What the group says is lost; it still hears.
    Outward,
    /// What the group should hear is lost; it still speaks.
    Inward,
}

/// Between two moments the nodes of a group reach each other and nobody else does reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
    /// Node numbers of one side.
    pub group: Vec<u16>,
    /// Which way.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub direction: Direction,
}

/// Links that work, and lose one kind of message all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// First millisecond.
    pub from: u64,
    /// First millisecond after.
    pub to: u64,
    /// Whose words; all nodes' if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<u16>,
    /// To whom; to all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<u16>,
    /// The message's name in the protocol, as the trace prints it: `Vote`, `Mpc`, `Finished`, …
    pub kind: String,
}

/// A node dies and comes back from its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// From when on.
    pub at: u64,
    /// Which node.
    pub node: u16,
    /// How long it stays down.
    pub down_for: u64,
    /// At which point of its work.
    pub when: CrashPoint,
    /// Only in a step that moves a transaction into this state; any step with records if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entering: Option<TxState>,
    /// What becomes of steps that were appended and not flushed.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub unsynced: Unsynced,
}

/// A node is stopped in order: it takes nothing more in, finishes what it has begun to write, seals its presignatures in a
/// file, and is started again later, with what the file holds and the file gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// When.
    pub at: u64,
    /// Which node.
    pub node: u16,
    /// How long it stays down.
    pub down_for: u64,
}

/// Where a crash hits the loop of step, append, commit, act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashPoint {
    /// At the very moment, whatever the node does.
    Now,
    /// The step was computed, nothing of it reached the disk.
    BeforeAppend,
    /// Its records are durable, none of its effects happened.
    AfterAppend,
    /// Some of its effects happened.
    BetweenEffects,
    /// As after an append, in a step that records presignatures as used: they are burnt, and no word of it has left.
    AfterBurn,
}

/// What a disk keeps of writes that no fsync covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsynced {
    /// The first few whole steps.
    #[default]
    Prefix,
    /// Any of them: the device reorders. A journal with checksums ends at the first that is missing.
    Subset,
    /// None.
    Lost,
}

/// Something is wrong with a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFault {
    /// From when on: it hits the next append.
    pub at: u64,
    /// Which node.
    pub node: u16,
    /// What.
    pub fault: DiskTrouble,
}

/// What can be wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskTrouble {
    /// The append fails and nothing of it is kept. The process ends and is started again.
    Refuses,
    /// The append fails and nobody can say what is kept: the process ends, and finds it or not.
    Unknown {
        /// Whether the records are there.
        kept: bool,
    },
    /// One fsync takes this many milliseconds.
    Stalls {
        /// How long.
        millis: u64,
    },
    /// The machine is replaced, and its journal comes from a backup this old; the file of kept presignatures too, if there
    /// was one then. Its sealed key shares, kept apart, are as they were.
    Restored {
        /// Age of the backup, in milliseconds.
        age: u64,
    },
}

/// What a node's clock shows, against the run's own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockFault {
    /// Which node.
    pub node: u16,
    /// Milliseconds it is ahead from the start of trouble on; behind if negative.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub offset: i64,
    /// Milliseconds it gains in a thousand seconds; loses if negative.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub drift_ppm: i32,
    /// Sudden changes: when, and by how many milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jumps: Vec<Jump>,
    /// Most milliseconds a tick comes late.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub late: u64,
    /// Every so many milliseconds a tick that nobody asked for; 0 for none.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub spurious: u64,
}

/// A clock is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// When.
    pub at: u64,
    /// By how many milliseconds; back if negative.
    pub by: i64,
}

/// A node is told who coordinates. Different nodes may be told different things: two holders, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// When.
    pub at: u64,
    /// Who is told.
    pub node: u16,
    /// Who holds the role; nobody named if absent.
    pub holder: Option<u16>,
}

impl Lease {
    /// What the node is told. Epochs go up and down: whoever gives the role away may have lost his memory, or lie.
    #[must_use]
    pub fn told(&self) -> Option<mpc_wallet_core::Lease> {
        let epoch = FencingEpoch(self.at.wrapping_mul(7_919) % 16);
        self.holder.map(|holder| mpc_wallet_core::Lease { holder: NodeId::new(holder), epoch })
    }
}

/// An operator stops all signing, at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// When.
    pub at: u64,
    /// At which node; if it is down then, nothing is frozen.
    pub node: u16,
}

/// An operator lifts what is frozen, at one node. What is still frozen after all faults have ended is lifted at every
/// honest node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lift {
    /// When.
    pub at: u64,
    /// At which node.
    pub node: u16,
}

/// A member that does not follow the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traitor {
    /// Which node.
    pub node: u16,
    /// How it deviates.
    pub deviation: Deviation,
    /// From when on; until then it is honest.
    #[serde(default)]
    pub from: u64,
}
