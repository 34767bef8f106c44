//! What happens at this node, told to whoever listens: streams of server-sent events, and webhooks.
//!
//! **The journal is the source.** A record that means something to a client is one [`Event`]; its id names the record's
//! position, so ids ascend, outlive restarts, and say exactly what a listener has missed. The journal's writer tells the
//! new position after each commit; one thread then reads the new records once, and every listener gets the same bytes. What is only of the present (a balance, a peer, the tip) is taken from the node's overview, has no id and is never
//! sent twice: whoever missed it reads it anew.
//!
//! | rule | what goes wrong without it |
//! |---|---|
//! | an id holds node and digest of its record beside the position | a listener resumes at another node, or at a journal put back from a backup, and misses events without a word |
//! | what is kept for listeners that come back is a number of records | memory that grows, or a resumption that costs a walk over the disk for each of hundreds |
//! | a listener that is too slow gets a `reset` instead of its backlog | one that does not read holds memory of the node |
//! | nothing here is asked by, or waits in, the driver loop | a listener slows down payments |
//!
//! Parts: `id` and `kind` name an event, `fact` says what a record means, `present` what a change of the overview means,
//! `frames` how events are written, `window` is what is kept, `reader` the thread that tells, `listener` one that hears, `streams`
//! counts them.

mod fact;
mod frames;
mod id;
mod kind;
mod listener;
mod present;
mod reader;
mod streams;
mod window;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use axum::body::Bytes;
use mpc_wallet_core::{LogIndex, NodeId, Timestamp, overview::Overview};
use prometheus::Registry;
use serde_json::{Map, Value, json};
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{journal::Outbox, read::ReadError, units::rfc3339};

pub(crate) use fact::event as of_record;
pub use id::EventId;
pub use kind::Kind;
pub use listener::Listener;
pub use streams::{Full, Limits, Slot};

use streams::Streams;
use window::Window;

/// Batches that a listener may be behind before it is reset; under load one comes every [`reader::PACE`].
const QUEUE: usize = 256;

/// Something that happened, serialised once for everybody. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place, if it lasts.
    pub id: Option<EventId>,
    /// What it is.
    pub kind: Kind,
    /// A JSON object: `type`, `at`, `id` if it has one, and what belongs to its kind.
    pub body: Arc<str>,
}

impl Event {
    fn new(id: Option<EventId>, kind: Kind, at: Timestamp, details: Value) -> Self {
        let mut members = match details {
            Value::Object(members) => members,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        };
        members.insert("type".to_owned(), kind.name().into());
        members.insert("at".to_owned(), rfc3339(at).into());
        if let Some(id) = id {
            members.insert("id".to_owned(), id.to_string().into());
        }
        Self { id, kind, body: Value::Object(members).to_string().into() }
    }

    /// Tells a listener that events may be missing before this place: it must read everything anew.
    pub(crate) fn reset(id: EventId, at: Timestamp, reason: &str) -> Self {
        Self::new(Some(id), Kind::Reset, at, json!({ "reason": reason }))
    }
}

/// The events of one node. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    window: Mutex<Window>,
    /// Several events in order, as all listeners get them.
    told: broadcast::Sender<Bytes>,
    streams: Streams,
    stop: CancellationToken,
}

/// What events are made from.
pub struct Sources {
    /// Whose they are.
    pub me: NodeId,
    /// The journal.
    pub outbox: Outbox,
    /// Its newest position, told after each commit.
    pub position: watch::Receiver<LogIndex>,
    /// The present.
    pub overview: watch::Receiver<Arc<Overview>>,
}

/// Why a node has no events.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be read.
    #[error("events: {0}; check the disk")]
    Journal(#[from] ReadError),
    /// Somebody else uses the names of its metrics.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// Nobody could read.
    #[error("events: no thread: {0}; raise the limit on threads of this user or service")]
    Thread(#[from] io::Error),
}

impl Events {
    /// Reads what is kept for listeners that come back, and begins to tell; `registry` shows how many listen. Blocks for the
    /// time of reading some thousand records. Streams and tasks end with `stop`.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        sources: Sources,
        limits: Limits,
        registry: &Registry,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let Sources { me, outbox, position, overview } = sources;
        let window = Mutex::new(Window::read(me, &outbox)?);
        let (told, _) = broadcast::channel(QUEUE);
        let streams = Streams::new(limits, registry)?;
        let events = Self(Arc::new(Shared { window, told, streams, stop }));
        let (reading, runtime) = (events.clone(), Handle::current());
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || reader::follow(&reading, &outbox, position, &runtime))?;
        tokio::spawn(present::follow(events.clone(), overview));
        Ok(events)
    }

    /// A place for one stream of whoever holds this key; `None` where no keys are asked for. It is given back when it is
    /// dropped.
    ///
    /// # Errors
    /// [`Full`].
    pub fn admit(&self, key: Option<&str>) -> Result<Slot, Full> {
        self.0.streams.admit(key)
    }

    /// Listens from now on, or from the event that was heard last. What cannot be resumed begins with a `reset`.
    pub async fn listen(&self, heard_last: Option<&str>) -> Listener {
        Listener::new(self.clone(), heard_last).await
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
