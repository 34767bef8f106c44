//! I6: a dead transaction stays dead. Who is bound never to sign gives no share, and nobody calls a transaction dead
//! before enough members are bound.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, NodeId, SessionId,
    message::{Message, Subject},
    record::Fact,
    tx::{State, SubStatus},
    vote::{Decision, SignedPromise, Vote},
};

use super::{
    Observed, Oracle,
    shares::Sessions,
    statements::{self, Signatures},
};

/// Recounts, from raw traffic and journals, who is bound by refusal or promise, and who has given a share.
pub struct DeadStaysDead {
    /// n − t + 1 + f: even if f of them lie, fewer than t members are left that could sign.
    needed: usize,
    signatures: Signatures,
    bound: BTreeMap<Txid, BTreeSet<NodeId>>,
    sessions: BTreeMap<SessionId, Txid>,
    payments: Sessions,
    shares: BTreeSet<(NodeId, Txid)>,
}

impl DeadStaysDead {
    /// For a cluster.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let (n, t) = (usize::from(cluster.total()), usize::from(cluster.threshold()));
        let f = (n - t).min((2 * t).saturating_sub(n + 1));
        Self {
            needed: n - t + 1 + f,
            signatures: Signatures::new(cluster),
            bound: BTreeMap::new(),
            sessions: BTreeMap::new(),
            payments: Sessions::default(),
            shares: BTreeSet::new(),
        }
    }

    /// A member binds itself, as `witness` sees it.
    fn bind(&mut self, witness: NodeId, author: NodeId, txid: Txid) -> Result<(), String> {
        self.bound.entry(txid).or_default().insert(author);
        if witness == author && self.shares.contains(&(author, txid)) {
            return Err(format!("{author} promises never to sign {txid}, of which it has given a share"));
        }
        Ok(())
    }

    fn vote(&mut self, witness: NodeId, vote: &Vote) -> Result<(), String> {
        let ballot = &vote.body;
        if ballot.decision != Decision::Approve && self.signatures.verify(ballot.voter, vote) {
            return self.bind(witness, ballot.voter, ballot.txid);
        }
        Ok(())
    }

    fn promise(&mut self, witness: NodeId, promise: &SignedPromise) -> Result<(), String> {
        let body = &promise.body;
        if self.signatures.verify(body.node, promise) {
            return self.bind(witness, body.node, body.txid);
        }
        Ok(())
    }

    fn share(&mut self, node: NodeId, txid: Txid) -> Result<(), String> {
        self.shares.insert((node, txid));
        if self.bound.get(&txid).is_some_and(|bound| bound.contains(&node)) {
            return Err(format!("{node} gives a share of {txid}, which it is bound never to sign"));
        }
        Ok(())
    }

    fn record(&mut self, node: NodeId, fact: &Fact) -> Result<(), String> {
        if let Fact::Voted(vote) = fact {
            self.vote(node, vote)?;
        } else if let Fact::Promised(promise) = fact {
            self.promise(node, promise)?;
        } else if let Fact::ShareReleased { txid, session } = fact {
            self.sessions.insert(*session, *txid);
            self.share(node, *txid)?;
        } else if let Fact::Transition { txid, to, sub_status, .. } = fact {
            let dead = match to {
                State::Rejected | State::AbortedByzantine => true,
                State::Failed => *sub_status == SubStatus::Abandoned,
                State::Pending
                | State::Voting
                | State::ThresholdReached
                | State::Approved
                | State::Signing
                | State::Signed
                | State::Broadcasting
                | State::Confirmed => false,
            };
            let bound = self.bound.get(txid).map_or(0, BTreeSet::len);
            if dead && bound < self.needed {
                return Err(format!(
                    "{node} calls {txid} {to} with {bound} of {} members bound never to sign",
                    self.needed
                ));
            }
        }
        Ok(())
    }
}

impl Oracle for DeadStaysDead {
    fn name(&self) -> &'static str {
        "dead_stays_dead"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => self.record(*node, &record.fact),
            Observed::Sent { from, message, .. } => {
                for vote in statements::votes(message) {
                    self.vote(*from, vote)?;
                }
                for promise in statements::promises(message) {
                    self.promise(*from, promise)?;
                }
                if let Message::SignRequest(request) = message
                    && let Subject::Payment { txid, .. } = request.session.subject
                {
                    self.sessions.insert(request.session.id(), txid);
                }
                self.payments.learn(message);
                if let Message::Mpc(mpc) = message
                    && self.payments.holds_share(&mpc.body)
                    && let Some(txid) = self.sessions.get(&mpc.body.session).copied()
                {
                    self.share(*from, txid)?;
                }
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
