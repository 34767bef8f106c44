//! A node's disk: the journal as encoded records, and the sealed key shares beside it.
//!
//! Records are appended a step at a time, in order and all or nothing, as the journal's port demands. They become
//! durable when an fsync that began after the append returns; one fsync covers all that was appended before it began
//! (group commit). A crash keeps what is durable and, of the rest, whole steps up to the first that is missing: the
//! machine may have written more than it promised, never with a hole and never half a step. The disk knows how long it
//! was at every fsync, so that an old backup can take its place.
//!
//! A node that is stopped in order leaves a sealed file of presignatures. The next start takes it away before anything
//! else; only a backup of that time still has it.

use std::collections::BTreeMap;

use mpc_wallet_core::{
    KeyId, LogIndex, SessionId,
    codec::{self, CodecError},
    record::Record,
    step::Receipt,
};

use crate::{
    plan::{Span, Unsynced},
    rng::{MILLION, Stream},
};

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
    /// How long the next fsync takes, if longer than it should.
    stall: Option<u64>,
    /// When how many records had become durable.
    history: Vec<(u64, usize)>,
    /// The file of kept presignatures.
    kept: Option<Vec<u8>>,
    /// What that file became, and when.
    kept_history: Vec<(u64, Option<Vec<u8>>)>,
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
            stall: None,
            history: vec![],
            kept: None,
            kept_history: vec![],
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
        let usual = self.random.between(self.fsync.least, self.fsync.most);
        Some(self.stall.take().map_or(usual, |stall| usual.max(stall)))
    }

    /// The next fsync takes this many milliseconds.
    pub(crate) const fn stall(&mut self, millis: u64) {
        self.stall = Some(millis);
    }

    /// The fsync returned at `now`; the answer is how many records became durable by it.
    pub(crate) fn finish_flush(&mut self, now: u64) -> usize {
        let covered = self.flushing.take().unwrap_or(self.durable);
        let new = covered - self.durable;
        self.durable = covered;
        self.ends.retain(|end| *end > covered);
        self.history.push((now, covered));
        new
    }

    /// All that was appended is on disk, and nobody was told.
    pub(crate) fn keep_all(&mut self) {
        self.durable = self.records.len();
        self.ends.clear();
        self.flushing = None;
    }

    /// Keeps presignatures' secret bytes for the next start.
    pub(crate) fn keep(&mut self, now: u64, secret: Vec<u8>) {
        self.kept_history.push((now, Some(secret.clone())));
        self.kept = Some(secret);
    }

    /// Removes the file of kept presignatures, and gives what was in it.
    pub(crate) fn take_kept(&mut self, now: u64) -> Option<Vec<u8>> {
        let kept = self.kept.take()?;
        self.kept_history.push((now, None));
        Some(kept)
    }

    /// A backup takes the disk's place, as old as `since`; the answer is how many records are gone.
    pub(crate) fn restore(&mut self, since: u64) -> usize {
        self.kept_history.retain(|(at, _)| *at <= since);
        self.kept = self.kept_history.last().and_then(|(_, kept)| kept.clone());
        let then =
            self.history.iter().take_while(|(at, _)| *at <= since).last().map_or(0, |(_, count)| *count);
        let gone = self.records.len().saturating_sub(then);
        self.records.truncate(then);
        self.durable = self.records.len();
        self.history.retain(|(_, count)| *count <= then);
        self.ends.clear();
        self.flushing = None;
        gone
    }

    /// What is promised to be on disk.
    #[must_use]
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt::up_to(position(self.durable))
    }

    /// The machine dies. What was appended and not flushed survives up to the end of some step; the answer is how many such
    /// records do.
    pub(crate) fn crash(&mut self, unsynced: Unsynced) -> usize {
        let before = self.durable;
        let kept = match unsynced {
            Unsynced::Prefix => {
                let steps = u64::try_from(self.ends.len()).unwrap_or(u64::MAX);
                usize::try_from(self.random.below(steps.saturating_add(1))).unwrap_or(0)
            }
            Unsynced::Subset => {
                let written: Vec<bool> = self.ends.iter().map(|_| self.random.chance(MILLION / 2)).collect();
                written.iter().take_while(|written| **written).count()
            }
            Unsynced::Lost => 0,
        };
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
        assert_eq!(disk.finish_flush(0), 1);
        assert_eq!(disk.receipt().position(), LogIndex(1));
        assert_eq!(disk.start_flush(), Some(3));
        assert_eq!(disk.finish_flush(0), 2, "group commit");
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
            disk.finish_flush(0);
            disk.append(&all[1..3]).unwrap();
            disk.append(&[]).unwrap();
            disk.append(&all[3..]).unwrap();
            kept.insert(disk.crash(Unsynced::Prefix));
            let survivors = disk.read(0).unwrap();
            assert_eq!(survivors, all[..survivors.len()]);
            assert_eq!(disk.appended(), disk.durable());
        }
        assert_eq!(kept, [0, 2, 3].into());
    }

    #[test]
    fn a_reordering_device_loses_everything_behind_the_first_hole() {
        let mut kept = std::collections::BTreeMap::new();
        for seed in 0..200 {
            let mut disk = disk(seed);
            for boot in 1..=3 {
                disk.append(&[record(boot)]).unwrap();
            }
            *kept.entry(disk.crash(Unsynced::Subset)).or_insert(0) += 1;
            disk.append(&[record(9)]).unwrap();
            assert_eq!(disk.crash(Unsynced::Lost), 0);
        }
        assert!(kept[&0] > kept[&1] && kept[&1] > kept[&2] && kept.contains_key(&3), "{kept:?}");
    }

    #[test]
    fn kept_presignatures_are_taken_once_and_are_in_the_backups_of_their_time_alone() {
        let restored = |since| {
            let mut disk = disk(1);
            disk.keep(100, vec![1]);
            assert_eq!((disk.take_kept(200), disk.take_kept(200)), (Some(vec![1]), None));
            disk.keep(300, vec![2]);
            disk.restore(since);
            (disk.take_kept(400), disk.take_kept(400))
        };
        for (since, kept) in [(99, None), (150, Some(vec![1])), (250, None), (350, Some(vec![2]))] {
            assert_eq!(restored(since), (kept, None), "{since}");
        }
    }

    #[test]
    fn a_backup_holds_what_was_durable_then() {
        let mut disk = disk(1);
        for boot in 1..=3 {
            disk.append(&[record(boot)]).unwrap();
            disk.start_flush();
            disk.finish_flush(boot * 100);
        }
        assert_eq!(disk.restore(250), 1);
        assert_eq!(disk.read(0).unwrap(), [record(1), record(2)]);
        assert_eq!(disk.restore(50), 2);
        assert_eq!(disk.durable(), LogIndex(0));
    }
}
