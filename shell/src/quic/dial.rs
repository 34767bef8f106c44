//! Keeps the connection to one peer with a higher id: dials, serves, waits, dials again.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{Connection, Endpoint, RecvStream};
use rand_core::{OsRng, RngCore};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    connection::{self, Opening, describe},
    endpoint::{finish, judged, verifier},
    peers::Peer,
    verify::{Role, VerdictSlot},
};

/// Runs until told to stop.
pub(super) async fn keep(
    context: Arc<Context>,
    endpoint: Endpoint,
    peer: Arc<Peer>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(context.limits.backoff_min, context.limits.backoff_max);
    let mut last_failure = String::new();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = peer.allowed() => {}
        }
        match Box::pin(dial(&context, &endpoint, &peer)).await {
            Ok((connection, first)) => {
                last_failure.clear();
                let began = Instant::now();
                let serving = connection::serve(
                    Arc::clone(&context),
                    Arc::clone(&peer),
                    connection,
                    Opening::Dialled(first),
                );
                Box::pin(serving).await;
                // A connection that fell at once is a failure too, or a peer that always hangs up would be dialled in a loop.
                if began.elapsed() >= context.limits.backoff_max {
                    backoff.reset();
                }
            }
            Err(failure) => {
                // A peer may be down for days: one line when the reason changes, not one a second.
                if failure.reason != last_failure {
                    let Failure { address, presented, reason } = &failure;
                    tracing::warn!(peer = %peer.id, peer_address = %address, presented_name = presented, reason, "cannot connect to a peer");
                    last_failure = failure.reason;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// Why a dial led nowhere, for one log line.
struct Failure {
    address: String,
    presented: String,
    reason: String,
}

/// Tries each address that the name resolves to now, and returns an admitted connection.
async fn dial(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    peer: &Peer,
) -> Result<(Connection, RecvStream), Failure> {
    let failed =
        |reason: String| Failure { address: peer.address.clone(), presented: "(none)".into(), reason };
    let resolved = tokio::time::timeout(context.limits.handshake, tokio::net::lookup_host(&peer.address))
        .await
        .map_err(|_| failed(format!("name not resolved within {:?}", context.limits.handshake)))?
        .map_err(|error| failed(format!("name cannot be resolved: {error}")))?;
    let mut last = failed("the name resolves to no address".into());
    for address in resolved {
        let verdict = VerdictSlot::default();
        match attempt(context, endpoint, peer, address, &verdict).await {
            Ok(admitted) => return Ok(admitted),
            Err(reason) => {
                let (presented, reason) = judged(&verdict, reason);
                last = Failure { address: address.to_string(), presented, reason };
            }
        }
    }
    Err(last)
}

async fn attempt(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    peer: &Peer,
    address: SocketAddr,
    verdict: &VerdictSlot,
) -> Result<(Connection, RecvStream), String> {
    let identity = context.certificates.current();
    let verifier = verifier(context, &identity, Role::Dialling(peer.id), verdict);
    let crypto = identity.client(verifier).map_err(|error| error.to_string())?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::clone(&context.transport));
    let connecting =
        endpoint.connect_with(config, address, &peer.id.to_string()).map_err(|error| error.to_string())?;
    let connection = finish(connecting, &context.limits).await?;
    // In TLS 1.3 the dialler is done before the acceptor has looked at its certificate. The first stream says that it has.
    match tokio::time::timeout(context.limits.handshake, connection.accept_uni()).await {
        Ok(Ok(first)) => Ok((connection, first)),
        Ok(Err(error)) => Err(format!("not admitted: {}", describe(&error))),
        Err(_) => Err(format!("not admitted within {:?}", context.limits.handshake)),
    }
}

/// Exponential back-off with full jitter: a random wait below a bound that doubles, so that nodes restarted together do not dial together.
struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, bound: min }
    }

    fn reset(&mut self) {
        self.bound = self.min;
    }

    fn next_wait(&mut self) -> Duration {
        let bound = u64::try_from(self.bound.as_micros()).unwrap_or(u64::MAX).max(1);
        self.bound = self.bound.saturating_mul(2).min(self.max);
        Duration::from_micros(OsRng.next_u64() % bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_bound_that_doubles_up_to_the_maximum() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(1500));
        let mut backoff = Backoff::new(min, max);
        for bound in [100, 200, 400, 800, 1500, 1500] {
            assert!(backoff.next_wait() < Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.next_wait() < min);
    }
}
