//! The protocol of a threshold Bitcoin wallet, as pure step functions.
//!
//! `n` nodes own a wallet together and none holds its key. A payment is proposed at one node, judged by every node
//! for itself, voted on with signatures, and signed by `t` of them together. This crate decides; a host does: it
//! feeds [`step::Input`]s into a [`Node`], makes the records of each [`step::Step`] durable, and only then gets the
//! effects to carry out. Nothing here reads a clock, draws randomness of its own, or touches a file or socket.

pub mod chain;
pub mod codec;
pub mod config;
#[cfg(test)]
mod fixture;
pub mod freeze;
pub mod identity;
pub mod ids;
pub mod message;
#[cfg(test)]
mod model;
pub mod mpc;
pub mod mutant;
mod named;
pub mod node;
pub mod overview;
pub mod policy;
pub mod pool;
pub mod record;
pub mod refusal;
mod session;
pub mod sometimes;
pub mod state;
pub mod step;
pub mod time;
pub mod tx;
pub mod vote;
pub mod wallet;
pub mod wallet_key;

pub use config::{Cluster, Config, ConfigError, Limits, Timing};
pub use identity::{VoteKey, VotePublicKey};
pub use ids::{
    BootId, Channel, ClusterId, FencingEpoch, FreezeId, JobId, KeyId, Lease, LogIndex, NodeId, PaymentId,
    PolicyVersion, PresignatureId, ProposalDigest, QueryId, RequestId, Scheme, SessionId,
};
pub use node::Node;
pub use time::{Millis, Timestamp};
pub use wallet_key::WalletKey;
