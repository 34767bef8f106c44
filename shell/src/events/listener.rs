//! One that hears.

use std::collections::VecDeque;

use axum::body::Bytes;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};

use super::{Event, Events, frames};
use crate::units;

/// Hears events, in order and each once, from a place in the journal on, as the bytes of a stream.
pub struct Listener {
    events: Events,
    /// What comes before anything that is told.
    first: VecDeque<Bytes>,
    told: broadcast::Receiver<Bytes>,
}

impl Listener {
    pub(super) async fn new(events: Events, heard_last: Option<&str>) -> Self {
        let (told, newest, missed) = {
            let window = events.window();
            // While the window is held nothing is told: what is not in it comes through `told`.
            (events.0.told.subscribe(), window.newest(), heard_last.map(|id| window.after(id)))
        };
        // Who hears nothing, and listens again from where it began, misses nothing.
        let mut first: VecDeque<_> = [frames::opening(heard_last.is_none().then_some(newest)).await].into();
        match missed {
            None => {}
            Some(Ok(missed)) => first.push_back(frames::of_events(&missed).await),
            Some(Err(gap)) => {
                events.0.streams.count_reset(gap.name());
                let reset = Event::reset(newest, units::now(), gap.name());
                first.push_back(frames::of_events(&[reset]).await);
            }
        }
        Self { events, first, told }
    }

    /// What to send next; a `reset` if it has fallen too far behind, a sign of life if nothing happens. `None` when the node
    /// stops. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.pop_front() {
            return Some(first);
        }
        let stop = self.events.0.stop.clone();
        let heartbeat = self.events.0.streams.heartbeat();
        match stop.run_until_cancelled(timeout(heartbeat, self.told.recv())).await? {
            Ok(Ok(told)) => Some(told),
            Ok(Err(RecvError::Lagged(_))) => Some(self.reset().await),
            Ok(Err(RecvError::Closed)) => None,
            Err(_) => Some(frames::heartbeat().await),
        }
    }

    /// Goes on from the newest event.
    async fn reset(&mut self) -> Bytes {
        const REASON: &str = "too_slow";
        self.events.0.streams.count_reset(REASON);
        let newest = {
            let window = self.events.window();
            self.told = self.events.0.told.subscribe();
            window.newest()
        };
        frames::of_events(&[Event::reset(newest, units::now(), REASON)]).await
    }
}
