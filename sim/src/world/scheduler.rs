//! What happens next: a queue of events by time, ties broken by a random draw, then by the order of scheduling.
//!
//! The random tie-break makes simultaneous events a race whose outcome the seed decides: without it the world would
//! always let the first scheduled win, and half of all orders would never be seen.

use std::{cmp::Ordering, collections::BinaryHeap};

use rand_core::RngCore;

use crate::rng::Stream;

struct Entry<E> {
    at: u64,
    tie: u32,
    sequence: u64,
    event: E,
}

impl<E> Entry<E> {
    const fn key(&self) -> (u64, u32, u64) {
        (self.at, self.tie, self.sequence)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    // Reversed: the standard heap gives the greatest first, the world wants the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// The queue and the virtual clock.
pub(crate) struct Scheduler<E> {
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Entry<E>>,
    ties: Stream,
}

impl<E> Scheduler<E> {
    /// An empty queue at time 0.
    #[must_use]
    pub(crate) const fn new(ties: Stream) -> Self {
        Self { now: 0, sequence: 0, queue: BinaryHeap::new(), ties }
    }

    /// Milliseconds since the start of the run.
    #[must_use]
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// Schedules an event `delay` milliseconds from now.
    pub(crate) fn after(&mut self, delay: u64, event: E) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Schedules an event at a moment; the past means now.
    pub(crate) fn at(&mut self, at: u64, event: E) {
        let tie = self.ties.next_u32();
        self.ranked(at, tie, event);
    }

    /// Schedules an event with a tie-break of the caller's: events of one moment and tie keep their order.
    pub(crate) fn ranked(&mut self, at: u64, tie: u32, event: E) {
        let entry = Entry { at: at.max(self.now), tie, sequence: self.sequence, event };
        self.sequence += 1;
        self.queue.push(entry);
    }

    /// Takes the next event and moves the clock to it.
    pub(crate) fn next_event(&mut self) -> Option<E> {
        let entry = self.queue.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// Takes the next event if its time has come by `now`, for a clock that somebody else moves.
    #[cfg(feature = "turmoil")]
    pub(crate) fn due(&mut self, now: u64) -> Option<E> {
        if self.queue.peek().is_some_and(|entry| entry.at <= now) {
            return self.next_event();
        }
        self.now = now;
        None
    }

    /// The stream's next value, for the trace.
    #[must_use]
    pub(crate) fn unseed(&self) -> u64 {
        self.ties.clone().last_word()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_come_in_time_order_and_the_clock_follows() {
        let mut queue = Scheduler::new(Stream::new(1, "t"));
        queue.after(5, 'b');
        queue.after(1, 'a');
        queue.after(9, 'c');
        assert_eq!(queue.next_event(), Some('a'));
        assert_eq!(queue.now(), 1);
        queue.at(0, 'p');
        assert_eq!(queue.next_event(), Some('p'));
        assert_eq!(queue.now(), 1, "the past is now");
        assert_eq!(queue.next_event(), Some('b'));
        assert_eq!(queue.next_event(), Some('c'));
        assert_eq!(queue.next_event(), None);
    }

    #[test]
    fn events_of_one_moment_and_tie_keep_their_order() {
        let mut queue = Scheduler::new(Stream::new(1, "t"));
        for item in 0..50 {
            queue.ranked(1, 7, item);
        }
        for item in 0..50 {
            assert_eq!(queue.next_event(), Some(item));
        }
    }

    #[test]
    fn ties_are_broken_by_the_seed_not_by_the_order_of_scheduling() {
        let order = |seed| {
            let mut queue = Scheduler::new(Stream::new(seed, "t"));
            for item in 0..20 {
                queue.after(1, item);
            }
            let mut seen = vec![];
            while let Some(item) = queue.next_event() {
                seen.push(item);
            }
            seen
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), (0..20).collect::<Vec<_>>());
    }
}
