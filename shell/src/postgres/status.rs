//! How the record is: up, away for so long, or down until somebody does something.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use mpc_wallet_core::LogIndex;

use super::fault::Fault;

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Facts arrive.
    Up,
    /// PostgreSQL is away; facts wait in the journal and will arrive.
    Degraded,
    /// It is there and refuses; nothing arrives until somebody does something.
    Down,
}

impl Condition {
    /// The API's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The record at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In a word.
    pub condition: Condition,
    /// Time since facts last could be told; zero while they can.
    pub away: Duration,
    /// Records of the journal that are not told yet. Before the first contact since the start: all of them, because only
    /// PostgreSQL knows which it has.
    pub waiting: u64,
    /// Open connections.
    pub connections: usize,
    /// In a sentence.
    pub detail: String,
}

/// Shared between the feed and whoever asks; cheap to clone.
#[derive(Clone)]
pub struct Status(Arc<(Pool, Mutex<Known>)>);

struct Known {
    cursor: Option<LogIndex>,
    trouble: Option<Trouble>,
}

struct Trouble {
    since: Instant,
    refused: bool,
    reason: String,
}

impl Status {
    /// Before the first contact: away since now.
    pub(super) fn new(pool: Pool) -> Self {
        let trouble = Trouble { since: Instant::now(), refused: false, reason: "connecting".to_owned() };
        Self(Arc::new((pool, Mutex::new(Known { cursor: None, trouble: Some(trouble) }))))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Facts up to here are durable in PostgreSQL. Returns how long they could not be told before.
    pub(super) fn told(&self, cursor: LogIndex) -> Option<Duration> {
        let mut known = self.known();
        known.cursor = Some(cursor);
        known.trouble.take().map(|trouble| trouble.since.elapsed())
    }

    /// Facts cannot be told. Returns whether that is news: it went away, or it refuses for another reason.
    pub(super) fn lost(&self, fault: &Fault) -> bool {
        let mut known = self.known();
        let refused = matches!(fault, Fault::Refused(_));
        let reason = fault.to_string();
        let since = known.trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        let news = known
            .trouble
            .as_ref()
            .is_none_or(|before| before.reason == "connecting" || refused && before.reason != reason);
        known.trouble = Some(Trouble { since, refused, reason });
        news
    }

    pub(super) fn is_up(&self) -> bool {
        self.known().trouble.is_none()
    }

    /// How the record is while the journal's newest record is at `position`.
    #[must_use]
    pub fn report(&self, position: LogIndex) -> Report {
        let connections = self.0.0.status().size;
        let known = self.known();
        let waiting = position.0.saturating_sub(known.cursor.unwrap_or_default().0);
        let Some(trouble) = &known.trouble else {
            let detail = format!("{waiting} records waiting");
            return Report { condition: Condition::Up, away: Duration::ZERO, waiting, connections, detail };
        };
        let away = trouble.since.elapsed();
        let seconds = away.as_secs();
        let (condition, what) = if trouble.refused {
            (Condition::Down, format!("PostgreSQL refuses: {}; for {seconds} s", trouble.reason))
        } else {
            (Condition::Degraded, format!("PostgreSQL away for {seconds} s"))
        };
        let most = if known.cursor.is_none() { "up to " } else { "" };
        let detail = format!("{what}, {most}{waiting} records waiting");
        Report { condition, away, waiting, connections, detail }
    }
}
