//! What records tell of transactions that have not ended, as far as metrics need it.

use std::collections::BTreeMap;

use bitcoin::Txid;
use mpc_wallet_core::{
    Millis, Scheme, Timestamp,
    record::{Fact, Record},
    tx::{State, SubStatus},
    vote::Violation,
};

/// What of a record is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Proposed { txid: Txid, scheme: Scheme, at: Timestamp },
    Moved { txid: Txid, from: State, to: State, replaced: bool, at: Timestamp },
    Violated(Violation),
    KeygenEnded { scheme: Scheme, active: bool },
    PresigningFault,
    CoinLost,
}

impl Sight {
    pub(super) fn of(record: &Record) -> Option<Self> {
        let at = record.at;
        match &record.fact {
            Fact::Proposed(proposal) => {
                let (txid, scheme) = (proposal.body.txid(), proposal.body.key.scheme);
                Some(Self::Proposed { txid, scheme, at })
            }
            Fact::Transition { txid, from, to, sub_status, .. } => {
                let replaced = *sub_status == SubStatus::Replaced;
                Some(Self::Moved { txid: *txid, from: *from, to: *to, replaced, at })
            }
            Fact::Proven(evidence) => Some(Self::Violated(evidence.violation())),
            Fact::Struck { violation, .. } => Some(Self::Violated(*violation)),
            Fact::KeyActivated(proof) => {
                Some(Self::KeygenEnded { scheme: proof.request.key.scheme, active: true })
            }
            Fact::KeygenFailed { key, .. } => Some(Self::KeygenEnded { scheme: key.scheme, active: false }),
            Fact::PresigningFailed { .. } => Some(Self::PresigningFault),
            Fact::CoinLost { .. } => Some(Self::CoinLost),
            Fact::Booted { .. }
            | Fact::Voted(_)
            | Fact::Promised(_)
            | Fact::SubStatusChanged { .. }
            | Fact::ShareReleased { .. }
            | Fact::Signed(_)
            | Fact::Seen { .. }
            | Fact::KeyShareSealed { .. }
            | Fact::Banned { .. }
            | Fact::Synced { .. }
            | Fact::Confirmed
            | Fact::Quarantined { .. }
            | Fact::Rejoined { .. }
            | Fact::Shown(_)
            | Fact::PresignaturesUsed { .. }
            | Fact::OperatorDecided(_)
            | Fact::Initiated { .. }
            | Fact::Frozen(_)
            | Fact::Lifted(_)
            | Fact::CoinSeen { .. } => None,
        }
    }
}

/// Spans that a record completes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Completed {
    /// Proposal to enough votes.
    pub(super) voting: Option<Millis>,
    /// Time in state signing.
    pub(super) signing: Option<(Scheme, Millis)>,
    /// Proposal to an end.
    pub(super) life: Option<(Scheme, State, Millis)>,
}

/// Transactions that have not ended. It is as large as there are such.
#[derive(Debug, Default)]
pub(super) struct Story {
    open: BTreeMap<Txid, Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Kind of the wallet, and when this node learned of the transaction; `None` once it has ended before.
    proposed: Option<(Scheme, Timestamp)>,
    state: State,
    since: Timestamp,
}

impl Story {
    /// Goes on by one record.
    pub(super) fn take(&mut self, sight: &Sight) -> Completed {
        match *sight {
            Sight::Proposed { txid, scheme, at } => {
                let first = Open { proposed: Some((scheme, at)), state: State::Pending, since: at };
                self.open.entry(txid).or_insert(first);
                Completed::default()
            }
            Sight::Moved { txid, from, to, at, .. } => self.moved(txid, from, to, at),
            Sight::Violated(_) | Sight::KeygenEnded { .. } | Sight::PresigningFault | Sight::CoinLost => {
                Completed::default()
            }
        }
    }

    fn moved(&mut self, txid: Txid, from: State, to: State, at: Timestamp) -> Completed {
        let before = self.open.remove(&txid);
        // A transaction that a reorganisation reopens has ended before and is not timed again.
        let proposed = before.and_then(|open| open.proposed);
        if !to.is_final() {
            self.open.insert(txid, Open { proposed, state: to, since: at });
        }
        let Some((scheme, learned)) = proposed else { return Completed::default() };
        let signing = before.filter(|_| from == State::Signing && to == State::Signed);
        Completed {
            voting: (to == State::ThresholdReached).then(|| at.since(learned)),
            signing: signing.map(|open| (scheme, at.since(open.since))),
            life: to.is_final().then(|| (scheme, to, at.since(learned))),
        }
    }

    /// Since when the transaction longest in this state is in it.
    pub(super) fn oldest(&self, state: State) -> Option<Timestamp> {
        self.open.values().filter(|open| open.state == state).map(|open| open.since).min()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;

    use super::*;

    fn payment() -> Txid {
        Txid::from_byte_array([7; 32])
    }

    fn proposed(at: u64) -> Sight {
        Sight::Proposed { txid: payment(), scheme: Scheme::Segwit, at: Timestamp(at) }
    }

    fn moved(from: State, to: State, at: u64) -> Sight {
        Sight::Moved { txid: payment(), from, to, replaced: false, at: Timestamp(at) }
    }

    #[test]
    fn a_payment_is_timed_once_from_proposal_to_its_first_end() {
        let mut story = Story::default();
        let mut seen = Vec::new();
        for sight in [
            proposed(1_000),
            // A repetition is no second beginning.
            proposed(1_500),
            moved(State::Pending, State::Voting, 1_600),
            moved(State::Voting, State::ThresholdReached, 2_000),
            moved(State::ThresholdReached, State::Approved, 2_001),
            moved(State::Approved, State::Signing, 2_002),
            moved(State::Signing, State::Signed, 2_502),
            moved(State::Signed, State::Broadcasting, 2_503),
            moved(State::Broadcasting, State::Confirmed, 9_000),
            moved(State::Confirmed, State::Broadcasting, 10_000),
            moved(State::Broadcasting, State::Confirmed, 12_000),
        ] {
            let completed = story.take(&sight);
            if completed != Completed::default() {
                seen.push(completed);
            }
        }
        let nothing = Completed::default();
        let expected = [
            Completed { voting: Some(Millis(1_000)), ..nothing },
            Completed { signing: Some((Scheme::Segwit, Millis(500))), ..nothing },
            Completed { life: Some((Scheme::Segwit, State::Confirmed, Millis(8_000))), ..nothing },
        ];
        assert_eq!(seen, expected);
        assert!(story.open.is_empty(), "what has ended takes no memory");
    }

    #[test]
    fn a_signature_that_arrives_from_peers_was_not_made_here_and_is_not_timed() {
        let mut story = Story::default();
        story.take(&proposed(1_000));
        story.take(&moved(State::Pending, State::Voting, 1_100));
        assert_eq!(story.take(&moved(State::Voting, State::Signed, 1_200)), Completed::default());
    }

    #[test]
    fn the_age_of_a_state_is_that_of_the_transaction_longest_in_it() {
        let mut story = Story::default();
        let other = Txid::from_byte_array([8; 32]);
        story.take(&proposed(1_000));
        story.take(&Sight::Proposed { txid: other, scheme: Scheme::Taproot, at: Timestamp(3_000) });
        assert_eq!(story.oldest(State::Pending), Some(Timestamp(1_000)));
        story.take(&moved(State::Pending, State::Rejected, 4_000));
        assert_eq!(story.oldest(State::Pending), Some(Timestamp(3_000)));
        assert_eq!(story.oldest(State::Voting), None);
    }
}
