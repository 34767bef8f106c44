//! A node's disk: the journal as encoded records, and the sealed key shares beside it.
//!
//! Records are appended a step at a time, in order and all or nothing, as the journal's port demands. They become
//! durable when an fsync that began after the append returns; one fsync covers all that was appended before it began
//! (group commit). A crash keeps what is durable and, of the rest, a prefix of whole steps of unknown length: the
//! machine may have written more than it promised, never with a hole and never half a step.

use std::collections::BTreeMap;

use mpc_wallet_core::{
    KeyId, LogIndex, SessionId,
    codec::{self, CodecError},
    record::Record,
    step::Receipt,
};

use crate::{plan::Span, rng::Stream};

/// Longest record a journal accepts, in bytes.
const MAX_RECORD: usize = 1024 * 1024;

/// What survives a crash, and what may not.
pub(crate) struct Disk {
    records: Vec<Vec<u8>>,
    durable: usize,
    /// Where steps end that are not durable yet, ascending.
    ends: Vec<usize>,
    /// How many records the fsync under way covers.
    flushing: Option<usize>,
    sealed: BTreeMap<SessionId, (KeyId, Vec<u8>)>,
    fsync: Span,
    random: Stream,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub(crate) const fn new(fsync: Span, random: Stream) -> Self {
        Self {
            records: vec![],
            durable: 0,
            ends: vec![],
            flushing: None,
            sealed: BTreeMap::new(),
            fsync,
            random,
        }
    }

    /// Appends records; they are not durable yet.
    ///
    /// # Errors
    /// A record that cannot be encoded, which is a defect of the core.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), CodecError> {
        for record in records {
            self.records.push(codec::encode(record)?);
        }
        if !records.is_empty() {
            self.ends.push(self.records.len());
        }
        Ok(())
    }

    /// Starts an fsync if there is something to flush and none runs; the answer is how long it takes.
    pub(crate) fn start_flush(&mut self) -> Option<u64> {
        if self.flushing.is_some() || self.durable == self.records.len() {
            return None;
        }
        self.flushing = Some(self.records.len());
        Some(self.random.between(self.fsync.least, self.fsync.most))
    }

    /// The fsync returned; the answer is how many records became durable by it.
    pub(crate) fn finish_flush(&mut self) -> usize {
        let covered = self.flushing.take().unwrap_or(self.durable);
        let new = covered - self.durable;
        self.durable = covered;
        self.ends.retain(|end| *end > covered);
        new
    }

    /// What is promised to be on disk.
    #[must_use]
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt::up_to(position(self.durable))
    }

    /// The machine dies. What was appended and not flushed survives up to the end of a random step; the answer is how
    /// many such records do.
    pub(crate) fn crash(&mut self) -> usize {
        let before = self.durable;
        let steps = u64::try_from(self.ends.len()).unwrap_or(u64::MAX);
        let kept = usize::try_from(self.random.below(steps.saturating_add(1))).unwrap_or(0);
        self.durable = kept.checked_sub(1).and_then(|last| self.ends.get(last).copied()).unwrap_or(before);
        self.records.truncate(self.durable);
        self.ends.clear();
        self.flushing = None;
        self.durable - before
    }

    /// Durable records from `skip` on, decoded as a starting node would read them.
    ///
    /// # Errors
    /// A record that does not read back, which is a defect of the core.
    pub(crate) fn read(&self, skip: usize) -> Result<Vec<Record>, CodecError> {
        let durable = self.durable.saturating_sub(skip);
        self.records.iter().skip(skip).take(durable).map(|bytes| codec::decode(bytes, MAX_RECORD)).collect()
    }

    /// Everything appended, durable or not.
    ///
    /// # Errors
    /// A record that does not read back, which is a defect of the core.
    pub(crate) fn read_all(&self) -> Result<Vec<Record>, CodecError> {
        self.records.iter().map(|bytes| codec::decode(bytes, MAX_RECORD)).collect()
    }

    /// Position of the last durable record.
    #[must_use]
    pub(crate) fn durable(&self) -> LogIndex {
        position(self.durable)
    }

    /// Position of the last record appended.
    #[must_use]
    pub(crate) fn appended(&self) -> LogIndex {
        position(self.records.len())
    }

    /// How long sealing a share takes: a write and an fsync of its own.
    pub(crate) fn seal_delay(&mut self) -> u64 {
        self.random.between(self.fsync.least, self.fsync.most.saturating_mul(2))
    }

    /// Keeps a share's secret bytes for good.
    pub(crate) fn seal(&mut self, ceremony: SessionId, key: KeyId, secret: Vec<u8>) {
        self.sealed.insert(ceremony, (key, secret));
    }

    /// All sealed shares.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = (SessionId, KeyId, &[u8])> {
        self.sealed.iter().map(|(ceremony, (key, secret))| (*ceremony, *key, secret.as_slice()))
    }

    /// The stream's next value, for the trace.
    #[must_use]
    pub(crate) fn unseed(&self) -> u64 {
        self.random.clone().last_word()
    }
}

fn position(count: usize) -> LogIndex {
    LogIndex(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use mpc_wallet_core::{BootId, Timestamp, record::Fact};

    use super::*;

    fn record(boot: u64) -> Record {
        Record { at: Timestamp(boot), fact: Fact::Booted { boot: BootId(boot) } }
    }

    fn disk(seed: u64) -> Disk {
        Disk::new(Span { least: 3, most: 3 }, Stream::new(seed, "disk"))
    }

    #[test]
    fn a_receipt_covers_only_what_was_appended_before_its_fsync_began() {
        let mut disk = disk(1);
        disk.append(&[record(1)]).unwrap();
        assert_eq!(disk.receipt().position(), LogIndex(0));
        assert_eq!(disk.start_flush(), Some(3));
        disk.append(&[record(2), record(3)]).unwrap();
        assert_eq!(disk.start_flush(), None, "one fsync at a time");
        assert_eq!(disk.finish_flush(), 1);
        assert_eq!(disk.receipt().position(), LogIndex(1));
        assert_eq!(disk.start_flush(), Some(3));
        assert_eq!(disk.finish_flush(), 2, "group commit");
        assert_eq!(disk.start_flush(), None);
        assert_eq!(disk.read(1).unwrap(), [record(2), record(3)]);
    }

    #[test]
    fn a_crash_keeps_the_durable_and_a_prefix_of_whole_steps() {
        let mut kept = std::collections::BTreeSet::new();
        let all: Vec<Record> = (1..=4).map(record).collect();
        for seed in 0..60 {
            let mut disk = disk(seed);
            disk.append(&all[..1]).unwrap();
            disk.start_flush();
            disk.finish_flush();
            disk.append(&all[1..3]).unwrap();
            disk.append(&[]).unwrap();
            disk.append(&all[3..]).unwrap();
            kept.insert(disk.crash());
            let survivors = disk.read(0).unwrap();
            assert_eq!(survivors, all[..survivors.len()]);
            assert_eq!(disk.appended(), disk.durable());
        }
        assert_eq!(kept, [0, 2, 3].into());
    }
}
