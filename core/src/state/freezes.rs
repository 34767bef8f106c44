//! The freezes of the members and who has lifted them: of each member the last one that this node has heard of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    config::Cluster,
    freeze::{FreezeNotice, SignedFreeze, SignedLift},
    ids::NodeId,
    mutant,
    time::Timestamp,
};

/// What members have frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freezes {
    by: BTreeMap<NodeId, Frozen>,
}

/// A member's last freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// What it said.
    pub freeze: SignedFreeze,
    /// When this node learned it.
    pub learned: Timestamp,
    /// Who lifts it, by member.
    lifts: BTreeMap<NodeId, SignedLift>,
}

impl Frozen {
    /// Members that lift it, ascending.
    pub fn lifted_by(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.lifts.keys().copied()
    }

    /// Whether it stops signing: fewer than t members lift it.
    #[must_use]
    pub fn is_active(&self, cluster: &Cluster) -> bool {
        let spare = usize::from(mutant!(LiftedTooSoon));
        self.lifts.len().saturating_add(spare) < usize::from(cluster.threshold())
    }

    /// The freeze with its lifts, for a peer.
    #[must_use]
    pub fn notice(&self) -> FreezeNotice {
        FreezeNotice { freeze: self.freeze.clone(), lifts: self.lifts.values().cloned().collect() }
    }
}

impl Freezes {
    /// A member's later freeze takes the place of its earlier one.
    pub(super) fn freeze(&mut self, freeze: &SignedFreeze, learned: Timestamp) {
        let (node, at) = (freeze.body.node, freeze.body.at);
        let mut lifts = self.by.remove(&node).map(|frozen| frozen.lifts).unwrap_or_default();
        lifts.retain(|_, lift| lift.body.up_to >= at);
        self.by.insert(node, Frozen { freeze: freeze.clone(), learned, lifts });
    }

    /// Counts a lift, unless it is of an earlier freeze.
    pub(super) fn lift(&mut self, lift: &SignedLift) {
        if let Some(frozen) = self.by.get_mut(&lift.body.frozen_by)
            && lift.body.up_to >= frozen.freeze.body.at
        {
            frozen.lifts.insert(lift.body.node, lift.clone());
        }
    }

    /// The last freeze of a member, lifted or not.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<&Frozen> {
        self.by.get(&node)
    }

    /// The last freeze of each member that has made one, lifted or not.
    pub fn all(&self) -> impl Iterator<Item = &Frozen> {
        self.by.values()
    }

    /// What stops signing now, by member.
    pub fn active<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Frozen> {
        self.by.values().filter(|frozen| frozen.is_active(cluster))
    }
}
