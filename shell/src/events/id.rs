//! Names of events.

use std::{fmt, num::ParseIntError, str::FromStr};

use mpc_wallet_core::{LogIndex, NodeId};

use crate::journal::OutboxEntry;

/// Hexadecimal digits of a record's digest that an id holds.
const TAG_DIGITS: usize = 8;

/// Where a record stands: whose journal, at which position, and 32 bits of its digest, because a journal that was put back
/// from a backup has other records at the same positions. Written `1-18233-9f3a12bc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    node: NodeId,
    position: LogIndex,
    tag: u32,
}

/// Not the name of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event's id, which is as in 1-18233-9f3a12bc")]
pub struct NotAnId;

impl From<ParseIntError> for NotAnId {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl EventId {
    /// Of the record at a position, by the hexadecimal digest of its encoding.
    pub(crate) fn new(node: NodeId, position: LogIndex, digest: &str) -> Self {
        let digits = digest.get(..TAG_DIGITS).unwrap_or_default();
        Self { node, position, tag: u32::from_str_radix(digits, 16).unwrap_or(0) }
    }

    /// Of a record in the journal of `node`.
    pub(crate) fn of(node: NodeId, entry: &OutboxEntry) -> Self {
        Self::new(node, entry.position, &entry.digest)
    }

    /// Before everything.
    pub(crate) const fn origin(node: NodeId) -> Self {
        Self { node, position: LogIndex(0), tag: 0 }
    }

    /// Whether it names a record of this node.
    pub(super) fn is_of(self, node: NodeId) -> bool {
        self.node == node
    }

    /// The record's position in the node's journal.
    #[must_use]
    pub const fn position(self) -> LogIndex {
        self.position
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:08x}", self.node.get(), self.position.0, self.tag)
    }
}

impl FromStr for EventId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(NotAnId);
        let id = Self {
            node: NodeId::new(part()?.parse()?),
            position: LogIndex(part()?.parse()?),
            tag: u32::from_str_radix(part()?, 16)?,
        };
        // One way to write each.
        if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let id = EventId::new(NodeId::new(3), LogIndex(18_233), &"0f3a12bc".repeat(8));
        assert_eq!(id.to_string(), "3-18233-0f3a12bc");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        for text in
            ["", "7", "3-18233", "3-18233-f3a12bc", "3-18233-0F3A12BC", "3-+1-0f3a12bc", "3-1-0f3a12bc-"]
        {
            assert_eq!(text.parse::<EventId>(), Err(NotAnId), "{text}");
        }
    }
}
