//! What reads each record once and tells it to all: a thread, because on a busy machine every change of threads on the way to
//! the listeners is a wait for a processor.

use std::{
    thread,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use mpc_wallet_core::LogIndex;
use tokio::{runtime::Handle, sync::watch};

use super::{Event, Events, frames};
use crate::{
    journal::{Outbox, OutboxEntry},
    read::ReadError,
};

/// Shortest time between two batches: under load each costs every listener one write, whatever is in it.
pub(super) const PACE: Duration = Duration::from_millis(15);

/// Records of one batch.
const BATCH: usize = 256;

/// Before another try after the journal could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the journal until the node stops or nothing more is written.
pub(super) fn follow(
    events: &Events,
    outbox: &Outbox,
    mut position: watch::Receiver<LogIndex>,
    runtime: &Handle,
) {
    let stop = events.0.stop.clone();
    let mut began = Instant::now();
    while matches!(runtime.block_on(stop.run_until_cancelled(position.changed())), Some(Ok(()))) {
        thread::sleep(PACE.saturating_sub(began.elapsed()));
        began = Instant::now();
        while let Err(error) = tell_new(events, outbox, runtime) {
            tracing::error!(%error, "events cannot be read; listeners wait");
            if runtime.block_on(stop.run_until_cancelled(tokio::time::sleep(RETRY))).is_none() {
                return;
            }
        }
    }
}

/// Tells what was written since the last time.
fn tell_new(events: &Events, outbox: &Outbox, runtime: &Handle) -> Result<(), ReadError> {
    loop {
        let newest = events.window().newest().position();
        let entries = outbox.after(newest, BATCH)?;
        if entries.is_empty() {
            return Ok(());
        }
        runtime.block_on(events.take_in(&entries));
    }
}

impl Events {
    /// Keeps records and tells their events. Who begins to listen meanwhile hears each once: from what is kept, or as told.
    async fn take_in(&self, entries: &[OutboxEntry]) {
        let me = self.window().me();
        let known: Vec<_> = entries.iter().map(|entry| super::window::Kept::of(me, entry)).collect();
        let batch: Vec<Event> = known.iter().filter_map(|kept| kept.event.clone()).collect();
        let frames = frames::of_events(&batch).await;
        let mut window = self.window();
        known.into_iter().for_each(|kept| window.push(kept));
        self.send(frames);
    }

    /// Tells what is only of the present.
    pub(super) async fn tell(&self, batch: &[Event]) {
        let frames = frames::of_events(batch).await;
        self.send(frames);
    }

    fn send(&self, frames: Bytes) {
        if !frames.is_empty() {
            // Without a listener there is nobody to tell.
            let _ = self.0.told.send(frames);
        }
    }
}
