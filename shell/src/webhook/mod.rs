//! Events for other programs: each is posted to an address, signed, until it is taken.
//!
//! **The journal is the outbox**, as it is for PostgreSQL: a deliverer reads the records from a position of its own on, posts
//! those that are events, one after the other, and remembers how far it has come. A receiver that is away costs no memory and
//! holds nobody up. What is posted follows the scheme of Standard Webhooks (standardwebhooks.com): `webhook-id`,
//! `webhook-timestamp`, and `webhook-signature`, an HMAC-SHA256 over both and the body.
//!
//! | rule | what goes wrong without it |
//! |---|---|
//! | the cursor moves after the receiver has taken the event | an event is lost in a crash; so some come twice, under the same id |
//! | one event at a time, in order | a receiver sees a payment confirmed before it was proposed |
//! | the cursor is written once a second at most | webhooks compete with payments for the disk |
//! | a receiver that is away for too long gets a `reset` instead of the backlog | hours of old news, each waiting for an answer |
//! | the secret is in a file of its own and in no log, and neither is the address | who reads logs can forge events, or post where only this node should |
//!
//! Parts: `deliverer` is the task of one webhook, `signature` what it signs with.

mod deliverer;
mod signature;

use std::{io, time::Duration};

use mpc_wallet_core::NodeId;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio_util::sync::CancellationToken;

use crate::{
    config::WebhookSettings,
    https,
    journal::{OpenError, Store},
    read::ReadError,
};

pub use signature::{NotASecret, Secret};

use deliverer::Deliverer;

/// Longest that a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Why nothing can be delivered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// It fails.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Somebody else uses the names of the metrics.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// TLS cannot be set up.
    #[error("webhooks: TLS: {0}")]
    Tls(#[from] io::Error),
}

/// What is counted, by the webhook's number in the configuration.
#[derive(Clone)]
struct Metrics {
    deliveries: IntCounterVec,
    waiting: IntGaugeVec,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let deliveries = IntCounterVec::new(
            Opts::new(
                "mpc_wallet_webhook_deliveries_total",
                "Attempts to post an event, by what came of them.",
            ),
            &["webhook", "result"],
        )?;
        let waiting = IntGaugeVec::new(
            Opts::new(
                "mpc_wallet_webhook_waiting_records",
                "Records of the journal that a webhook is behind.",
            ),
            &["webhook"],
        )?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Self { deliveries, waiting })
    }
}

/// Starts to deliver the events of a journal to every webhook, until `stop`.
///
/// # Errors
/// [`StartError`].
pub fn start(
    webhooks: Vec<WebhookSettings>,
    (me, journal): (NodeId, &Store),
    registry: &Registry,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    if webhooks.is_empty() {
        return Ok(());
    }
    let metrics = Metrics::register(registry)?;
    for (number, settings) in (1_usize..).zip(webhooks) {
        let client = https::client(CONNECT_WITHIN, 1)?;
        let name = number.to_string();
        let deliverer = Deliverer::new(me, (name, settings), journal, client, metrics.clone())?;
        tokio::spawn(deliverer.run(stop.clone()));
    }
    Ok(())
}
