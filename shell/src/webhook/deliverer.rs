//! The task of one webhook.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{Request, header},
};
use bitcoin::hex::DisplayHex as _;
use http_body_util::{BodyExt as _, Full, Limited};
use mpc_wallet_core::{LogIndex, NodeId};
use ring::digest::{SHA256, digest};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Metrics, StartError};
use crate::{
    config::WebhookSettings,
    events::{self, Event, EventId},
    https::{self, HttpsClient},
    journal::{Cursors, Outbox, OutboxEntry, Store},
    read::ReadError,
    units,
};

/// Waits after the first, second, … failure in a row; the last one from then on.
const WAITS: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1_800),
    Duration::from_secs(3_600),
];
/// Longest that a receiver may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Largest answer whose connection is used again, in bytes; answers are not read otherwise.
const ANSWER: usize = 64 * 1024;
/// Records that a webhook may be behind before it gets a `reset` instead: some thousands of payments.
const WINDOW: u64 = 50_000;
/// Records read at once.
const BATCH: usize = 64;
/// Shortest time between two writes of the cursor.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Before another try after the journal could not be read.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Posts events to one address.
pub(super) struct Deliverer {
    me: NodeId,
    name: String,
    /// Names its cursor.
    reader: String,
    settings: WebhookSettings,
    outbox: Arc<Outbox>,
    cursors: Cursors,
    position: watch::Receiver<LogIndex>,
    client: HttpsClient,
    metrics: Metrics,
    /// The last record that is done with.
    cursor: EventId,
    /// Whether the receiver must be told that events before the cursor are missing.
    gap: bool,
    /// Until the cursor must be written, if it has moved since it was.
    save_at: Option<Instant>,
    failures: usize,
}

/// The receiver has been away for too long.
struct TooOld;

impl Deliverer {
    /// Goes on where the webhook was; a new one begins now. Blocks for a few reads.
    pub(super) fn new(
        me: NodeId,
        (name, settings): (String, WebhookSettings),
        journal: &Store,
        client: HttpsClient,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let (outbox, cursors) = (journal.outbox()?, journal.cursors()?);
        let reader = reader(&settings);
        let newest = newest(me, &outbox)?;
        let (cursor, gap) = match cursors.get(&reader)? {
            None => (newest, false),
            Some(kept) => match find(me, &outbox, &kept)? {
                Some(cursor) => (cursor, false),
                None => (newest, true),
            },
        };
        Ok(Self {
            me,
            name,
            reader,
            settings,
            outbox: Arc::new(outbox),
            cursors,
            position: journal.position(),
            client,
            metrics,
            cursor,
            gap,
            save_at: Some(Instant::now()),
            failures: 0,
        })
    }

    /// Delivers until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let work = async {
            loop {
                let Err(error) = self.deliver().await else { return };
                tracing::error!(webhook = self.name, %error, "the journal cannot be read; events wait");
                tokio::time::sleep(READ_AGAIN).await;
            }
        };
        let _ = stop.run_until_cancelled(work).await;
        self.save().await;
    }

    /// Delivers until the journal ends.
    async fn deliver(&mut self) -> Result<(), ReadError> {
        if self.gap {
            self.reset("unknown_id").await?;
        }
        loop {
            let after = self.cursor.position();
            let entries = self.read(move |outbox| outbox.after(after, BATCH)).await?;
            if entries.is_empty() && !self.more().await {
                return Ok(());
            }
            for entry in entries {
                if self.hand_over(&entry).await.is_err() {
                    self.reset("too_old").await?;
                    break;
                }
                self.done(EventId::of(self.me, &entry)).await;
            }
        }
    }

    /// Tells the receiver that events are missing, and goes on from the newest record.
    async fn reset(&mut self, reason: &str) -> Result<(), ReadError> {
        let me = self.me;
        let newest = self.read(move |outbox| newest(me, outbox)).await?;
        let reset = Event::reset(newest, units::now(), reason);
        while !self.attempt(newest, &reset).await {
            self.wait_out_failure().await;
        }
        self.gap = false;
        self.done(newest).await;
        Ok(())
    }

    /// Has the receiver take a record's event, if it is one that it wants.
    async fn hand_over(&mut self, entry: &OutboxEntry) -> Result<(), TooOld> {
        let Some(event) = events::of_record(self.me, entry) else { return Ok(()) };
        if !self.settings.takes(event.kind) {
            return Ok(());
        }
        while self.behind(entry.position) <= WINDOW {
            if self.attempt(EventId::of(self.me, entry), &event).await {
                return Ok(());
            }
            self.wait_out_failure().await;
        }
        Err(TooOld)
    }

    /// Posts an event once; whether it was taken.
    async fn attempt(&mut self, id: EventId, event: &Event) -> bool {
        let posted = self.post(&id.to_string(), &event.body).await;
        let result = if posted.is_ok() { "taken" } else { "failed" };
        self.metrics.deliveries.with_label_values(&[self.name.as_str(), result]).inc();
        match posted {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(
                        webhook = self.name,
                        attempts = self.failures,
                        "the receiver takes events again"
                    );
                }
                self.failures = 0;
                true
            }
            Err(reason) => {
                if self.failures == 0 {
                    tracing::warn!(webhook = self.name, %reason, "the receiver did not take an event; it is sent again");
                }
                self.failures = self.failures.saturating_add(1);
                false
            }
        }
    }

    async fn post(&self, id: &str, body: &Arc<str>) -> Result<(), String> {
        let timestamp = (units::now().0 / 1_000).to_string();
        let request = Request::post(self.settings.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("mpc-wallet/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", self.settings.secret.sign(id, &timestamp, body))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| https::causes(&error))?;
            let status = response.status();
            // Read so that the connection can be used again; what it says is of no interest.
            let _ = Limited::new(response.into_body(), ANSWER).collect().await;
            if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
        };
        timeout(ANSWER_WITHIN, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())))
    }

    /// Waits until another attempt is due.
    async fn wait_out_failure(&mut self) {
        let wait = WAITS.get(self.failures.saturating_sub(1)).or(WAITS.last()).copied().unwrap_or_default();
        let now = Instant::now();
        let due = now.checked_add(wait).unwrap_or(now);
        while Instant::now() < due {
            tokio::select! {
                () = sleep_until(due) => {}
                () = save_due(self.save_at) => self.save().await,
                changed = self.position.changed() => {
                    self.show_depth();
                    if changed.is_err() {
                        sleep_until(due).await;
                    }
                }
            }
        }
    }

    /// Waits for another record; `false` when there will be none.
    async fn more(&mut self) -> bool {
        loop {
            tokio::select! {
                changed = self.position.changed() => return changed.is_ok(),
                () = save_due(self.save_at) => self.save().await,
            }
        }
    }

    /// A record is done with.
    async fn done(&mut self, cursor: EventId) {
        self.cursor = cursor;
        self.show_depth();
        let now = Instant::now();
        match self.save_at {
            None => self.save_at = Some(now.checked_add(SAVE_EVERY).unwrap_or(now)),
            Some(due) if due <= now => self.save().await,
            Some(_) => {}
        }
    }

    /// Makes the cursor durable if it has moved. A journal that writes no more ends the node anyway.
    async fn save(&mut self) {
        if self.save_at.take().is_some()
            && let Err(error) = self.cursors.set(&self.reader, &self.cursor.to_string()).await
        {
            tracing::warn!(webhook = self.name, %error, "where the receiver is could not be remembered");
        }
    }

    fn show_depth(&self) {
        let behind = i64::try_from(self.behind(self.cursor.position())).unwrap_or(i64::MAX);
        self.metrics.waiting.with_label_values(&[self.name.as_str()]).set(behind);
    }

    /// Records after a position.
    fn behind(&self, position: LogIndex) -> u64 {
        self.position.borrow().0.saturating_sub(position.0)
    }

    /// Reads the journal, off the event loop.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Outbox) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let outbox = Arc::clone(&self.outbox);
        tokio::task::spawn_blocking(move || question(&outbox))
            .await
            .unwrap_or_else(|error| Err(ReadError(format!("a reader of the journal died: {error}"))))
    }
}

/// Names a webhook's cursor without its address, which may hold a secret.
fn reader(settings: &WebhookSettings) -> String {
    let address = digest(&SHA256, settings.url.to_string().as_bytes());
    format!("webhook {}", address.as_ref().to_lower_hex_string())
}

/// The newest record.
fn newest(me: NodeId, outbox: &Outbox) -> Result<EventId, ReadError> {
    let last = outbox.last()?;
    Ok(outbox.digest_at(last)?.map_or(EventId::origin(me), |digest| EventId::new(me, last, &digest)))
}

/// The record that a cursor names; `None` if it is not in this journal.
fn find(me: NodeId, outbox: &Outbox, kept: &str) -> Result<Option<EventId>, ReadError> {
    let Ok(kept) = kept.parse::<EventId>() else { return Ok(None) };
    if kept == EventId::origin(me) {
        return Ok(Some(kept));
    }
    let digest = outbox.digest_at(kept.position())?;
    Ok(digest.map(|digest| EventId::new(me, kept.position(), &digest)).filter(|found| *found == kept))
}

async fn save_due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
