//! The task that reads each record once and tells it to all.

use std::{sync::Arc, time::Duration};

use mpc_wallet_core::LogIndex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Batch, Event, Events};
use crate::{
    journal::{Outbox, OutboxEntry},
    read::ReadError,
};

/// Shortest time between two batches: under load each costs every listener one write, whatever is in it.
pub(super) const PACE: Duration = Duration::from_millis(10);

/// Records of one batch.
const BATCH: usize = 256;

/// Before another try after the journal could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the journal until the node stops.
pub(super) async fn follow(events: Events, outbox: Outbox, mut position: watch::Receiver<LogIndex>) {
    let outbox = Arc::new(outbox);
    let stop = events.0.stop.clone();
    let work = async {
        loop {
            position.borrow_and_update();
            let began = Instant::now();
            let newest = events.window().newest().position();
            match read(&outbox, newest).await {
                Ok(entries) if entries.is_empty() => {
                    if position.changed().await.is_err() {
                        return;
                    }
                }
                Ok(entries) => {
                    events.take_in(&entries);
                    sleep_until(began.checked_add(PACE).unwrap_or(began)).await;
                }
                Err(error) => {
                    tracing::error!(%error, "events cannot be read; listeners wait");
                    sleep(RETRY).await;
                }
            }
        }
    };
    let _ = stop.run_until_cancelled(work).await;
}

async fn read(outbox: &Arc<Outbox>, after: LogIndex) -> Result<Vec<OutboxEntry>, ReadError> {
    let outbox = Arc::clone(outbox);
    tokio::task::spawn_blocking(move || outbox.after(after, BATCH))
        .await
        .unwrap_or_else(|error| Err(ReadError(format!("a reader of the journal died: {error}"))))
}

impl Events {
    /// Keeps records and tells their events. Who begins to listen meanwhile hears each once: from what is kept, or as told.
    fn take_in(&self, entries: &[OutboxEntry]) {
        let mut window = self.window();
        let batch: Vec<Event> = entries.iter().filter_map(|entry| window.push(entry)).collect();
        self.tell(batch);
    }

    /// Tells events to all who listen.
    pub(super) fn tell(&self, batch: Vec<Event>) {
        if !batch.is_empty() {
            // Without a listener there is nobody to tell.
            let _ = self.0.told.send(Batch::from(batch));
        }
    }
}
