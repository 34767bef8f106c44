//! What a node knows of its own past: how much it has done, and whether it has forgotten something (I7).

use serde::Serialize;

use crate::{
    ids::{BootId, LogIndex},
    message::Place,
    time::Timestamp,
};

/// A node's own past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Past {
    boot: BootId,
    deeds: u64,
    speaks: bool,
    shown: Place,
    quarantine: Option<BootId>,
    rejoined: Option<(LogIndex, Timestamp)>,
}

impl Past {
    /// A new boot, which has not been confirmed yet.
    pub(super) const fn start(&mut self, boot: BootId) {
        self.boot = boot;
        self.speaks = false;
    }

    pub(super) const fn confirm(&mut self) {
        self.speaks = true;
        self.show();
    }

    /// The node has committed itself to something.
    pub(super) const fn act(&mut self) {
        self.deeds = self.deeds.saturating_add(1);
        self.show();
    }

    const fn show(&mut self) {
        // What is recovered in quarantine is recorded in a boot that no peer takes notice of.
        if self.speaks {
            self.shown = Place { boot: self.boot, deeds: self.deeds };
        }
    }

    pub(super) const fn fall_behind(&mut self, shown: BootId) {
        self.speaks = false;
        self.quarantine = Some(shown);
    }

    pub(super) const fn rejoin(&mut self, boot: BootId, at: (LogIndex, Timestamp)) {
        self.boot = boot;
        self.quarantine = None;
        self.rejoined = Some(at);
        self.confirm();
    }

    /// The current boot.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// Whether the node takes part in this boot: its peers have confirmed that it has forgotten nothing.
    #[must_use]
    pub const fn speaks(&self) -> bool {
        self.speaks
    }

    /// The latest place that this node can have shown to anyone. Whoever has seen a later one has seen a journal that
    /// this is not.
    #[must_use]
    pub const fn shown(&self) -> Place {
        self.shown
    }

    /// The highest boot known to have been shown, while the node is in quarantine.
    #[must_use]
    pub const fn quarantine(&self) -> Option<BootId> {
        self.quarantine
    }

    /// Where in its journal, and when by its clock, the node last rejoined after a quarantine.
    #[must_use]
    pub const fn rejoined(&self) -> Option<(LogIndex, Timestamp)> {
        self.rejoined
    }
}
