//! Who holds the coordinator's role, by the one key that says so.
//!
//! A key that a lease bounds and that names a member is a term of the role; its revision, which only ever grows, is the
//! term's fencing epoch. Anything else in its place (no lease, no member, this node under an earlier lease) was not
//! written by a node that lives, and whoever is fit replaces it.

use etcd_client::{Client, Compare, CompareOp, Error, KeyValue, PutOptions, Txn, TxnOp};
use mpc_wallet_core::{Cluster, FencingEpoch, Lease, NodeId};

use super::{
    keys::{self, COORDINATOR},
    link::{EtcdError, Link},
};

/// What stands in the key.
#[derive(Debug, PartialEq, Eq)]
enum Seat {
    /// Nobody's; it was last written at this revision, or never if 0.
    Free(i64),
    /// Another member's.
    Taken(Lease),
    /// This node's.
    Own(Lease),
}

/// Looks at a role that others take or write at the same time.
const LOOKS: usize = 3;

/// A node in the election.
pub(super) struct Candidate<'a> {
    pub(super) me: NodeId,
    pub(super) cluster: &'a Cluster,
    /// The etcd lease that bounds its term.
    pub(super) lease: i64,
    /// Whether it could do the work.
    pub(super) fit: bool,
}

impl Candidate<'_> {
    /// Looks who holds the role; takes it if it is free, gives it up if this node is not fit for it.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn settle(&self, link: &mut Link) -> Result<Option<Lease>, EtcdError> {
        for _ in 0..LOOKS {
            let look = |client: Client| async move { client.kv_client().get(COORDINATOR, None).await };
            let found = link.ask(look).await?;
            match (self.seat(found.kvs().first()), self.fit) {
                (Seat::Taken(lease), _) | (Seat::Own(lease), true) => return Ok(Some(lease)),
                (Seat::Own(lease), false) => {
                    resign(link, lease).await?;
                    return Ok(None);
                }
                (Seat::Free(_), false) => return Ok(None),
                (Seat::Free(revision), true) => {
                    if let Some(lease) = self.claim(link, revision).await? {
                        return Ok(Some(lease));
                    }
                }
            }
        }
        Ok(None)
    }

    fn seat(&self, found: Option<&KeyValue>) -> Seat {
        let Some(found) = found else { return Seat::Free(0) };
        let epoch = FencingEpoch(u64::try_from(found.mod_revision()).unwrap_or_default());
        match keys::parse_coordinator(found.value(), self.cluster) {
            Some(holder) if holder == self.me && found.lease() == self.lease => {
                Seat::Own(Lease { holder, epoch })
            }
            Some(holder) if holder != self.me && found.lease() != 0 => Seat::Taken(Lease { holder, epoch }),
            Some(_) | None => Seat::Free(found.mod_revision()),
        }
    }

    /// `None` if somebody else was quicker.
    async fn claim(&self, link: &mut Link, revision: i64) -> Result<Option<Lease>, EtcdError> {
        let (value, lease) = (keys::coordinator_value(self.me), self.lease);
        let claim = Txn::new()
            .when([Compare::mod_revision(COORDINATOR, CompareOp::Equal, revision)])
            .and_then([TxnOp::put(COORDINATOR, value, Some(PutOptions::new().with_lease(lease)))]);
        let outcome = link.ask(|client: Client| commit(client, claim.clone())).await?;
        let revision = outcome.header().map_or(0, etcd_client::ResponseHeader::revision);
        let epoch = FencingEpoch(u64::try_from(revision).unwrap_or_default());
        Ok(outcome.succeeded().then_some(Lease { holder: self.me, epoch }))
    }
}

async fn resign(link: &mut Link, own: Lease) -> Result<(), EtcdError> {
    let revision = i64::try_from(own.epoch.0).unwrap_or(i64::MAX);
    let resignation = Txn::new()
        .when([Compare::mod_revision(COORDINATOR, CompareOp::Equal, revision)])
        .and_then([TxnOp::delete(COORDINATOR, None)]);
    link.ask(|client: Client| commit(client, resignation.clone())).await?;
    Ok(())
}

pub(super) async fn commit(client: Client, txn: Txn) -> Result<etcd_client::TxnResponse, Error> {
    client.kv_client().txn(txn).await
}
