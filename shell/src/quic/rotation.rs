//! Certificates that are replaced while traffic flows.
//!
//! A node looks at its three files again and again, and when told to. What has changed is checked as at the start. If it is good, every
//! handshake from then on uses it; if not, the old material stays in use and the refusal is told until the files are good.
//!
//! Connections live on with the certificates that they were made with, each until that of its peer has expired or its CA is trusted no
//! more; then it is closed, and dialled anew with what both have on disk by now. One at a time: a node that let go of all its peers at
//! once would be without a quorum until they are back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::UnixTime;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    NodeId,
    connection::{CloseCode, Link},
    locked,
    peers::{Peer, Peers},
    tls::{Identity, Material, TlsError, TlsFiles},
    verify::{self, Refusal, Role},
};
use crate::units::rfc3339_of_unix;

/// Seconds before its end in which a certificate is worth a warning.
const WARNING: i64 = 14 * DAY;
const DAY: i64 = 24 * 60 * 60;
/// Longest wait for a peer to connect anew before the next connection is closed: several dials. Who has no good certificate never does.
const RETURN: Duration = Duration::from_secs(1);
/// Between two looks whether it has.
const GLANCE: Duration = Duration::from_millis(10);

/// The certificates in use, and the files that they come from.
pub struct Certificates {
    files: TlsFiles,
    peers: Arc<Peers>,
    identity: RwLock<Arc<Identity>>,
    /// Why what lies on disk is not in use.
    refusal: Mutex<Option<String>>,
    /// What was told in the log last.
    told: Mutex<Vec<String>>,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// What probes and metrics tell of the certificates. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateReport {
    /// This node.
    pub me: NodeId,
    /// End of this node's certificate.
    pub own: i64,
    /// End of the CA in `ca.crt` that ends first.
    pub ca: i64,
    /// End of the certificate that each connected peer's connection was made with.
    pub peers: BTreeMap<NodeId, i64>,
    /// Times that new files came into use since the start.
    pub taken: u64,
    /// Times that new files were refused since the start, each reason counted once until it changes.
    pub refused: u64,
    /// What an operator should know, a sentence each; none while all is well.
    pub notes: Vec<String>,
}

impl CertificateReport {
    /// End of the certificate that a node shows now; `None` for one that is not connected.
    #[must_use]
    pub fn end_of(&self, node: NodeId) -> Option<i64> {
        if node == self.me { Some(self.own) } else { self.peers.get(&node).copied() }
    }
}

impl Certificates {
    pub(super) fn new(files: TlsFiles, identity: Identity, peers: Arc<Peers>) -> Self {
        Self {
            files,
            peers,
            identity: RwLock::new(Arc::new(identity)),
            refusal: Mutex::default(),
            told: Mutex::default(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What handshakes use now.
    pub(super) fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files, uses them if they have changed, and closes connections whose peer would no longer be let in. Says whether
    /// they had changed. Reads files and waits for peers to come back: not for an async task's own thread.
    ///
    /// # Errors
    /// Anything that [`super::Quic::start`] would refuse; then the old material stays in use.
    pub fn look(&self) -> Result<bool, TlsError> {
        let result = self.renew();
        self.tell();
        for peer in self.peers.iter() {
            if let Some(closed) = self.review(peer) {
                await_successor(peer, &closed);
            }
        }
        result
    }

    fn renew(&self) -> Result<bool, TlsError> {
        // Held throughout, so that two looks at once do not overtake each other.
        let mut refusal = locked(&self.refusal);
        match self.changed() {
            Ok(None) => {
                *refusal = None;
                Ok(false)
            }
            Ok(Some(identity)) => {
                let (expires, ca_expires) =
                    (rfc3339_of_unix(identity.not_after), rfc3339_of_unix(identity.authority.not_after));
                *self.identity.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
                *refusal = None;
                self.taken.fetch_add(1, Ordering::Relaxed);
                tracing::info!(expires, ca_expires, "new certificates are in use");
                Ok(true)
            }
            Err(error) => {
                let reason = error.to_string();
                if refusal.replace(reason.clone()).as_ref() != Some(&reason) {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// What is on disk, if it is something else than what is in use.
    fn changed(&self) -> Result<Option<Identity>, TlsError> {
        let material = Material::read(&self.files)?;
        if material.digest() == self.current().digest {
            return Ok(None);
        }
        Identity::check(&material, &self.files, self.peers.me).map(Some)
    }

    /// Closes the peer's connection if its certificate would not be accepted now, and returns it then.
    pub(super) fn review(&self, peer: &Peer) -> Option<Arc<Link>> {
        let link = peer.newest()?;
        let role = if peer.id > self.peers.me { Role::Dialling(peer.id) } else { Role::Accepting };
        let authority = &self.current().authority;
        let checked = match link.chain.split_first() {
            Some((leaf, intermediates)) => {
                verify::check(authority, role, leaf, intermediates, UnixTime::now())
            }
            None => Err(Refusal::Malformed),
        };
        let refusal = checked.err()?;
        link.close(CloseCode::Certificate, &refusal.to_string());
        Some(link)
    }

    /// The state of all certificates now.
    #[must_use]
    pub fn report(&self) -> CertificateReport {
        let identity = self.current();
        let expiries =
            self.peers.iter().filter_map(|peer| peer.certificate_expiry().map(|end| (peer.id, end)));
        CertificateReport {
            me: self.peers.me,
            own: identity.not_after,
            ca: identity.authority.not_after,
            peers: expiries.collect(),
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            notes: self.notes(&identity),
        }
    }

    fn notes(&self, identity: &Identity) -> Vec<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let refusal = locked(&self.refusal).clone();
        let refusal =
            refusal.map(|why| format!("new certificates are refused, the old ones stay in use: {why}"));
        let own = ending(identity.not_after, now)
            .map(|end| format!("this node's certificate {end}; without a new one peers refuse this node"));
        let ca = ending(identity.authority.not_after, now)
            .map(|end| format!("a CA in {} {end}; put a new one beside it", self.files.ca.display()));
        [refusal, own, ca].into_iter().flatten().collect()
    }

    /// Logs what was not so at the last look.
    fn tell(&self) {
        let notes = self.notes(&self.current());
        let mut told = locked(&self.told);
        for note in notes.iter().filter(|note| !told.contains(note)) {
            tracing::warn!(note, "certificates need an operator");
        }
        *told = notes;
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Waits for a connection in the place of one that was closed, for a bounded time.
fn await_successor(peer: &Peer, closed: &Arc<Link>) {
    let began = Instant::now();
    while !peer.serves_another(closed) && began.elapsed() < RETURN {
        std::thread::sleep(GLANCE);
    }
}

/// Looks again and again until told to stop. The files have just been read: the first look is not at once.
pub(super) async fn keep(certificates: Arc<Certificates>, every: Duration, stop: CancellationToken) {
    certificates.tell();
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = next.tick() => {}
        }
        let certificates = Arc::clone(&certificates);
        // Its outcome is in the log and in the report.
        let _looked = tokio::task::spawn_blocking(move || certificates.look()).await;
    }
}

/// How an end that is near or past is told; `None` while it is far.
fn ending(end: i64, now: i64) -> Option<String> {
    match end.saturating_sub(now) {
        left if left >= WARNING => None,
        left if left >= 0 => Some(format!("expires on {}, in {} days", rfc3339_of_unix(end), left / DAY)),
        _ => Some(format!("has expired on {}", rfc3339_of_unix(end))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fortnight_of_a_certificate_and_its_end_are_told() {
        let end = 1_800_000_000;
        for (now, told) in [
            (end - WARNING, None),
            (end - WARNING + 1, Some("expires on 2027-01-15T08:00:00Z, in 13 days")),
            (end, Some("expires on 2027-01-15T08:00:00Z, in 0 days")),
            (end + 1, Some("has expired on 2027-01-15T08:00:00Z")),
        ] {
            assert_eq!(ending(end, now).as_deref(), told, "{now}");
        }
    }
}
