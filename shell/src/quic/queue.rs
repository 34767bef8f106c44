//! The bounded queue between a caller that must not wait and a peer that may be slow.

use std::{collections::VecDeque, sync::Mutex};

use tokio::sync::Notify;

use super::{Channel, limits::Limits};

/// What gives way when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// The newest frame says all that matters: heartbeats.
    DropOldest,
    /// Order and completeness matter, and the layer above sends again.
    DropNew,
}

impl WhenFull {
    pub(super) fn of(channel: Channel) -> Self {
        match channel {
            Channel::Heartbeats => Self::DropOldest,
            Channel::MpcRounds | Channel::StateSync | Channel::Events => Self::DropNew,
        }
    }
}

/// Frames waiting for one peer on one channel, bounded in number and bytes.
#[derive(Debug)]
pub(super) struct OutQueue {
    waiting: Mutex<Waiting>,
    max_frames: usize,
    max_bytes: usize,
    when_full: WhenFull,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// Frames and payload bytes that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Frames that wait.
    pub frames: usize,
    /// Their payload bytes.
    pub bytes: usize,
}

impl OutQueue {
    pub(super) fn new(channel: Channel, limits: &Limits) -> Self {
        Self {
            waiting: Mutex::default(),
            max_frames: *limits.queue_frames.get(channel),
            max_bytes: *limits.queue_bytes.get(channel),
            when_full: WhenFull::of(channel),
            filled: Notify::new(),
        }
    }

    /// Takes the frame, or makes something give way. Returns how many frames were lost by it.
    pub(super) fn push(&self, frame: Vec<u8>) -> u64 {
        if frame.len() > self.max_bytes {
            return 1;
        }
        let mut lost = 0;
        {
            let mut waiting = super::locked(&self.waiting);
            while waiting.frames.len() >= self.max_frames || waiting.bytes + frame.len() > self.max_bytes {
                match self.when_full {
                    WhenFull::DropNew => return 1,
                    WhenFull::DropOldest => {
                        let Some(oldest) = waiting.frames.pop_front() else { break };
                        waiting.bytes -= oldest.len();
                        lost += 1;
                    }
                }
            }
            waiting.bytes += frame.len();
            waiting.frames.push_back(frame);
        }
        self.filled.notify_one();
        lost
    }

    /// The oldest frame; waits for one. For a single consumer.
    pub(super) async fn pop(&self) -> Vec<u8> {
        loop {
            // `notify_one` keeps a permit, so a frame pushed between the look and the wait is not missed.
            let frame = {
                let mut waiting = super::locked(&self.waiting);
                let frame = waiting.frames.pop_front();
                waiting.bytes -= frame.as_ref().map_or(0, Vec::len);
                frame
            };
            match frame {
                Some(frame) => return frame,
                None => self.filled.notified().await,
            }
        }
    }

    pub(super) fn depth(&self) -> QueueDepth {
        let waiting = super::locked(&self.waiting);
        QueueDepth { frames: waiting.frames.len(), bytes: waiting.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(channel: Channel) -> OutQueue {
        let mut limits = Limits::default();
        *limits.queue_frames.get_mut(channel) = 3;
        *limits.queue_bytes.get_mut(channel) = 10;
        OutQueue::new(channel, &limits)
    }

    #[tokio::test]
    async fn full_heartbeat_queue_forgets_the_oldest() {
        let queue = queue(Channel::Heartbeats);
        let lost: u64 = (0..5).map(|beat| queue.push(vec![beat])).sum();
        assert_eq!((lost, queue.depth()), (2, QueueDepth { frames: 3, bytes: 3 }));
        assert_eq!(queue.pop().await, vec![2]);
    }

    #[tokio::test]
    async fn full_channel_refuses_the_new_frame_and_keeps_the_order() {
        let queue = queue(Channel::MpcRounds);
        let lost: u64 = (0..5).map(|round| queue.push(vec![round])).sum();
        assert_eq!((lost, queue.depth().frames), (2, 3));
        for round in 0..3 {
            assert_eq!(queue.pop().await, vec![round]);
        }
        assert_eq!(queue.depth(), QueueDepth::default());
    }

    #[test]
    fn bytes_are_bounded_like_frames() {
        let queue = queue(Channel::Events);
        assert_eq!(queue.push(vec![0; 6]), 0);
        assert_eq!(queue.push(vec![0; 5]), 1, "eleven bytes do not fit in ten");
        assert_eq!(queue.push(vec![0; 4]), 0);
        assert_eq!(queue.depth(), QueueDepth { frames: 2, bytes: 10 });
        assert_eq!(queue.push(vec![0; 11]), 1, "a frame above the whole bound never fits");
    }
}
