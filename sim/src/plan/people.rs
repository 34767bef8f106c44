//! People whom the policy asks, as data.

use serde::{Deserialize, Serialize};

/// A policy that asks people, the same at every member, and what they do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// They are asked about payments of more satoshis than this.
    pub above: u64,
    /// At so many members somebody must approve.
    pub operators: u16,
    /// How long they have, in milliseconds.
    pub wait: u64,
    /// When somebody looks.
    #[serde(default)]
    pub visits: Vec<Visit>,
}

/// Somebody looks at what is being voted on at a node, and decides about all of it alike: what he has decided about
/// before, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// When.
    pub at: u64,
    /// At which node.
    pub node: u16,
    /// Yes or no.
    pub approve: bool,
}
