//! Names of things: one type for each meaning, so that none is mistaken for another.

use std::fmt;

use bitcoin::hex::{DisplayHex, FromHex};
use serde::{Deserialize, Serialize};

/// A member of the cluster, `node-1` to `node-n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u16);

impl NodeId {
    /// The node with this number; members count from 1.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the hash that names it.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The hash itself.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads 64 hexadecimal digits; `None` for anything else.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                <[u8; 32]>::from_hex(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.as_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.as_hex())
            }
        }
    };
}

hash_id!(
    /// The cluster: a digest of its members, threshold and network, bound into everything signed.
    ClusterId
);
hash_id!(
    /// One payment a client asked for. Every transaction made for it shares an input with the others (I1).
    PaymentId
);
hash_id!(
    /// Digest of a proposal: the unsigned transaction, its prevouts and all that was promised about them.
    ProposalDigest
);
hash_id!(
    /// One run of one multi-party protocol; as execution id it binds all that the run is about.
    SessionId
);
hash_id!(
    /// A presignature: the same at all its signers.
    PresignatureId
);
hash_id!(
    /// An emergency freeze: a digest of who stopped signing, when and why.
    FreezeId
);
hash_id!(
    /// Digest of a policy: two nodes with the same one judge alike.
    PolicyVersion
);

/// What kind of key and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scheme {
    /// FROST signatures under a BIP-341 key without script path (P2TR).
    Taproot,
    /// Threshold ECDSA signatures under a key that the script names by its hash (P2WPKH, BIP-141).
    Segwit,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Taproot, Self::Segwit];

    /// Its name in documents, requests and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taproot => "taproot",
            Self::Segwit => "segwit",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which key: its scheme and how many keys of that scheme came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId {
    /// Kind of key.
    pub scheme: Scheme,
    /// First key is epoch 1.
    pub epoch: u32,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.scheme, self.epoch)
    }
}

/// Position in a node's journal; the first record has index 1, 0 is "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// The position `count` records later.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// How many times a node's journal was opened; volatile secrets belong to one boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BootId(pub u64);

impl BootId {
    /// How often the node has recovered from a lost or replaced journal. Within an era boots count by one.
    #[must_use]
    pub const fn era(self) -> u64 {
        self.0 >> 32
    }

    /// The boot to rejoin with when a peer has shown `self` as the highest: the first of the next era. A peer that is
    /// away may have seen some later boots of this era; none of them reaches the next.
    #[must_use]
    pub const fn next_era(self) -> Self {
        Self(self.era().saturating_add(1) << 32)
    }

    /// The boot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Orders the terms of the coordinator's role: a later holder's is higher, for as long as whoever names the holders
/// keeps its own order. 0 is "by no lease".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FencingEpoch(pub u64);

/// The coordinator's role, as an outside system has given it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: NodeId,
    /// Its term.
    pub epoch: FencingEpoch,
}

/// A client's request, numbered by the host; replies carry it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A computation handed to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// A question to the chain backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// The stream a message travels on; each has its own retention and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Multi-party computation: worthless once its session is over.
    MpcRounds,
    /// Catching up: bulky, patient, repeated until it arrives.
    StateSync,
    /// Liveness: only the newest counts.
    Heartbeats,
    /// Proposals, votes, promises, signatures, evidence.
    Events,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::MpcRounds, Self::StateSync, Self::Heartbeats, Self::Events];

    /// Its name in documents, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MpcRounds => "mpc_rounds",
            Self::StateSync => "state_sync",
            Self::Heartbeats => "heartbeats",
            Self::Events => "events",
        }
    }
}
