//! I5, the other half: whoever contradicts himself before honest nodes is shut out by all of them.
//!
//! What counts is what honest nodes have in hand, because nobody can prove what he never saw: two different ballots of
//! one member in one round about one proposal, each in the journal of an honest node; or two different words for one place of one
//! session, both heard by one honest node while it took part. Two commitments told to two signers are no proof in this
//! protocol: the session breaks off and both look suspect for a while.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::{
    BootId, Cluster, NodeId, ProposalDigest, SessionId,
    identity::Signed,
    message::{Message, MpcMessage},
    record::Fact,
    vote::{Ballot, Vote},
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

/// A place where a member has one vote: voter, proposal, round. A transaction that is made again is another proposal.
type Booth = (NodeId, ProposalDigest, u32);

/// A place where a member may say one thing: run, boot, listener, sequence.
type Place = (NodeId, BootId, Option<NodeId>, u32);

/// After the faults, every honest node has shut out whoever honest nodes can convict.
pub struct LiarsAccused {
    honest: Honest,
    signatures: Signatures,
    /// The first ballot recorded by any honest node for each place.
    recorded: BTreeMap<Booth, Ballot>,
    /// What each honest node has recorded, for comparison with what it hears.
    books: BTreeMap<(NodeId, Booth), Ballot>,
    /// What each honest node heard in each session.
    words: BTreeMap<(NodeId, SessionId), BTreeMap<Place, MpcMessage>>,
    /// Who contradicted himself in a session, by listener.
    split: BTreeSet<(NodeId, SessionId, NodeId)>,
    /// Contradictions that one node heard and has not acted on.
    pending: BTreeSet<(NodeId, NodeId)>,
    /// Liars that everybody must shut out.
    convicted: BTreeSet<NodeId>,
    /// Who has shut out whom.
    shut: BTreeSet<(NodeId, NodeId)>,
}

const fn booth(ballot: &Ballot) -> Booth {
    (ballot.voter, ballot.digest, ballot.round)
}

impl LiarsAccused {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest) -> Self {
        Self {
            honest,
            signatures: Signatures::new(cluster),
            recorded: BTreeMap::new(),
            books: BTreeMap::new(),
            words: BTreeMap::new(),
            split: BTreeSet::new(),
            pending: BTreeSet::new(),
            convicted: BTreeSet::new(),
            shut: BTreeSet::new(),
        }
    }

    fn is_traitor(&self, node: NodeId) -> bool {
        !self.honest.contains(&node)
    }

    fn record(&mut self, node: NodeId, vote: &Vote) {
        let ballot = &vote.body;
        let place = booth(ballot);
        if self.is_traitor(ballot.voter) && self.signatures.verify(ballot.voter, vote) {
            if self.recorded.entry(place).or_insert_with(|| ballot.clone()) != ballot {
                self.convicted.insert(ballot.voter);
            }
            self.books.entry((node, place)).or_insert_with(|| ballot.clone());
        }
    }

    fn hear_vote(&mut self, node: NodeId, vote: &Vote) {
        let ballot = &vote.body;
        let known = self.books.get(&(node, booth(ballot)));
        let contradicts = known.is_some_and(|known| known != ballot && known.cluster == ballot.cluster);
        if contradicts && self.signatures.verify(ballot.voter, vote) {
            self.pending.insert((node, ballot.voter));
        }
    }

    fn hear_word(&mut self, node: NodeId, from: NodeId, word: &Signed<MpcMessage>) {
        let body = &word.body;
        if body.from != from || !self.is_traitor(from) || !self.signatures.verify(from, word) {
            return;
        }
        // Only places of the protocol: two rounds.
        if body.to.is_some_and(|to| to != node) || body.sequence > super::shares::FIRST_SHARE {
            return;
        }
        let heard = self.words.entry((node, body.session)).or_default();
        let place = (from, body.boot, body.to, body.sequence);
        // What is said under another boot stands beside the first and is not looked at.
        let other_boot = heard.keys().any(|(who, boot, to, sequence)| {
            (*who, *to, *sequence) == (from, body.to, body.sequence) && *boot != body.boot
        });
        if !other_boot && heard.entry(place).or_insert_with(|| body.clone()) != body {
            self.split.insert((node, body.session, from));
        }
    }

    /// A share leaves: its session was alive, with everything in it that was heard so far.
    fn takes_part(&mut self, node: NodeId, session: SessionId) {
        let liars: Vec<NodeId> = self
            .split
            .iter()
            .filter(|(listener, split, _)| (*listener, *split) == (node, session))
            .map(|(.., liar)| *liar)
            .collect();
        self.pending.extend(liars.into_iter().map(|liar| (node, liar)));
    }
}

impl Oracle for LiarsAccused {
    fn name(&self) -> &'static str {
        "liars_accused"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } if self.honest.contains(node) => {
                if let Fact::Voted(vote) = &record.fact {
                    self.record(*node, vote);
                } else if let Fact::Proven(evidence) = &record.fact {
                    // Proof travels.
                    self.convicted.insert(evidence.accused());
                    self.shut.insert((*node, evidence.accused()));
                    self.pending.remove(&(*node, evidence.accused()));
                } else if let Fact::Banned { node: banned, .. } = &record.fact {
                    self.shut.insert((*node, *banned));
                    self.pending.remove(&(*node, *banned));
                } else if let Fact::Booted { .. } = &record.fact {
                    // What it heard and had not written down it has forgotten.
                    self.pending.retain(|(listener, _)| listener != node);
                    self.split.retain(|(listener, ..)| listener != node);
                    self.words.retain(|(listener, _), _| listener != node);
                }
                Ok(())
            }
            Observed::Heard { node, from, message } if self.honest.contains(node) => {
                // A node does not listen to whom it has shut out.
                if self.shut.contains(&(*node, *from)) {
                    return Ok(());
                }
                for vote in statements::votes(message) {
                    if !self.shut.contains(&(*node, vote.body.voter)) {
                        self.hear_vote(*node, vote);
                    }
                }
                if let Message::Mpc(word) = message {
                    self.hear_word(*node, *from, word);
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } if self.honest.contains(from) => {
                if let Message::Mpc(word) = message
                    && word.body.sequence >= super::shares::FIRST_SHARE
                {
                    self.takes_part(*from, word.body.session);
                }
                Ok(())
            }
            Observed::Durable { .. }
            | Observed::Restored { .. }
            | Observed::Heard { .. }
            | Observed::Sent { .. }
            | Observed::Released { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }

    fn owed(&self) -> Option<String> {
        // A relayed vote may reach a node after it has shut the liar out.
        if let Some((node, liar)) = self.pending.iter().find(|place| !self.shut.contains(place)) {
            return Some(format!("{node} heard {liar} contradict himself and has not shut him out"));
        }
        self.convicted.iter().find_map(|liar| {
            let lenient = self.honest.iter().find(|node| !self.shut.contains(&(**node, *liar)))?;
            Some(format!("honest nodes can convict {liar}, and {lenient} has not shut him out"))
        })
    }
}
