//! One that hears.

use tokio::sync::broadcast::{self, error::RecvError};

use super::{Batch, Event, EventId, Events};
use crate::units;

/// Hears events, in order and each once, from a place in the journal on.
pub struct Listener {
    events: Events,
    /// Where it begins to listen.
    begins: EventId,
    missed: Option<Batch>,
    told: broadcast::Receiver<Batch>,
}

impl Listener {
    pub(super) fn new(events: Events, heard_last: Option<&str>) -> Self {
        let window = events.window();
        // While the window is held nothing is told: what is not in it comes through `told`.
        let (told, newest) = (events.0.told.subscribe(), window.newest());
        let missed = match heard_last.map(|id| window.after(id)) {
            None => Vec::new(),
            Some(Ok(missed)) => missed,
            Some(Err(gap)) => {
                events.0.streams.count_reset(gap.name());
                vec![Event::reset(newest, units::now(), gap.name())]
            }
        };
        drop(window);
        Self { events, begins: newest, missed: (!missed.is_empty()).then(|| missed.into()), told }
    }

    /// The newest record of the journal when it began. Who hears nothing, and listens again from here on, misses nothing.
    #[must_use]
    pub const fn begins(&self) -> EventId {
        self.begins
    }

    /// The next events; a `reset` if it has fallen too far behind. `None` when the node stops. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Batch> {
        if let Some(missed) = self.missed.take() {
            return Some(missed);
        }
        let stop = self.events.0.stop.clone();
        let heard = stop.run_until_cancelled(self.told.recv()).await?;
        match heard {
            Ok(batch) => Some(batch),
            Err(RecvError::Lagged(_)) => Some(self.reset()),
            Err(RecvError::Closed) => None,
        }
    }

    /// Goes on from the newest event.
    fn reset(&mut self) -> Batch {
        const REASON: &str = "too_slow";
        self.events.0.streams.count_reset(REASON);
        let window = self.events.window();
        self.told = self.events.0.told.subscribe();
        [Event::reset(window.newest(), units::now(), REASON)].into()
    }
}
