//! Who holds which coin, and that replay equals live over whole histories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use bitcoin::Witness;
use proptest::prelude::*;

use super::*;
use crate::{
    fixture::{cluster, coin, promise, proposal, signed, vote},
    record::UsedPresignature,
    time::Millis,
    vote::RejectReason,
};

const ME: NodeId = NodeId::new(1);

/// A journal and the state it makes, four of five.
struct Book {
    cluster: Cluster,
    state: State,
    records: Vec<Record>,
}

impl Book {
    fn new() -> Self {
        Self { cluster: cluster(5, 4), state: State::default(), records: vec![] }
    }

    fn add(&mut self, fact: Fact) -> Result<(), ApplyError> {
        let at = Timestamp(u64::try_from(self.records.len()).unwrap());
        let record = Record { at, fact };
        let done = self.state.apply(ME, &self.cluster, &record);
        if done.is_ok() {
            self.records.push(record);
        }
        done
    }

    fn propose(&mut self, number: u8, coins: &[u8]) -> Txid {
        let proposal = proposal(&self.cluster, number, coins);
        let txid = proposal.txid();
        self.add(Fact::Proposed(Box::new(signed(proposal)))).unwrap();
        txid
    }

    fn vote(&mut self, txid: Txid, voter: u16, decision: Decision) {
        let body = self.state.transaction(txid).unwrap().proposal.body.clone();
        self.add(Fact::Voted(vote(&self.cluster, &body, voter, decision))).unwrap();
    }

    fn promise(&mut self, txid: Txid, node: u16) {
        let body = self.state.transaction(txid).unwrap().proposal.body.clone();
        self.add(Fact::Promised(promise(&self.cluster, &body, node))).unwrap();
    }

    fn go(&mut self, txid: Txid, to: TxState, sub_status: SubStatus) -> Result<(), ApplyError> {
        let from = self.state.transaction(txid).map_or(TxState::Pending, |tx| tx.state);
        self.add(Fact::Transition { txid, from, to, sub_status, cause: String::new() })
    }

    fn sign(&mut self, txid: Txid) {
        let mut tx = self.state.transaction(txid).unwrap().proposal.body.unsigned_tx.clone();
        for input in &mut tx.input {
            input.witness = Witness::from_slice(&[[1; 64]]);
        }
        self.add(Fact::Signed(FinalTransaction(tx))).unwrap();
    }

    fn holder(&self, number: u8) -> Option<Txid> {
        self.state.holder_of(&coin(number))
    }
}

fn refusal() -> Decision {
    Decision::Reject(RejectReason::Expired)
}

#[test]
fn coins_are_committed_by_the_own_approval_only() {
    let mut book = Book::new();
    let txid = book.propose(1, &[1, 2]);
    assert_eq!(book.holder(1), None, "a proposal commits nothing");
    book.vote(txid, 2, Decision::Approve);
    assert_eq!(book.holder(1), None, "somebody else's approval commits nothing");
    book.vote(txid, 1, Decision::Approve);
    assert_eq!((book.holder(1), book.holder(2)), (Some(txid), Some(txid)));
    assert_eq!(book.state.serving(book.state.transaction(txid).unwrap().proposal.body.payment), Some(txid));
}

#[test]
fn the_own_refusal_or_promise_commits_nothing() {
    let mut book = Book::new();
    let refused = book.propose(1, &[1]);
    book.vote(refused, 1, refusal());
    let promised = book.propose(2, &[2]);
    book.promise(promised, 1);
    assert_eq!(book.state.committed_coins().count(), 0);
}

#[test]
fn a_second_own_vote_commits_nothing_after_a_refusal() {
    let mut book = Book::new();
    let txid = book.propose(1, &[1]);
    book.vote(txid, 1, refusal());
    book.vote(txid, 1, Decision::Approve);
    assert_eq!(book.holder(1), None);
    assert_eq!(book.state.member(ME).votes, 1);
}

#[test]
fn a_finished_signature_commits_the_coins_whatever_this_node_said() {
    let mut book = Book::new();
    let txid = book.propose(1, &[1]);
    book.vote(txid, 1, refusal());
    book.sign(txid);
    assert_eq!(book.holder(1), Some(txid));
}

#[test]
fn coins_are_released_only_when_no_signature_can_exist() {
    for (desc, bound, released) in [
        ("nobody is bound", 0, false),
        ("approval is impossible, yet liars could sign", 2, false),
        ("n − t + 1 + f members are bound", 3, true),
    ] {
        let mut book = Book::new();
        let txid = book.propose(1, &[1]);
        book.go(txid, TxState::Voting, SubStatus::AwaitingVotes).unwrap();
        book.vote(txid, 1, Decision::Approve);
        for node in 0..bound {
            book.promise(txid, 2 + node);
        }
        book.go(txid, TxState::Rejected, SubStatus::Expired).unwrap();
        assert_eq!(book.holder(1).is_none(), released, "{desc}");
    }
}

#[test]
fn a_signed_transaction_keeps_its_coins_whatever_one_backend_says() {
    for (desc, end, sub_status) in [
        ("confirmed", TxState::Confirmed, SubStatus::Settled),
        ("refused by the network", TxState::Failed, SubStatus::BroadcastRejected("x".into())),
        ("an input is spent", TxState::Failed, SubStatus::InputSpent),
    ] {
        let mut book = Book::new();
        let txid = book.propose(1, &[1]);
        book.go(txid, TxState::Voting, SubStatus::AwaitingVotes).unwrap();
        // Even promises do not free it: they were lies, for here is the signature.
        for node in 2..=4 {
            book.promise(txid, node);
        }
        book.sign(txid);
        book.go(txid, TxState::Signed, SubStatus::NotYetSent).unwrap();
        book.go(txid, TxState::Broadcasting, SubStatus::NotYetSent).unwrap();
        book.go(txid, end, sub_status).unwrap();
        assert!(book.holder(1).is_some(), "{desc}");
    }
}

#[test]
fn the_first_holder_of_a_coin_stays() {
    let mut book = Book::new();
    let first = book.propose(1, &[1, 2]);
    let second = book.propose(2, &[2, 3]);
    book.vote(first, 1, Decision::Approve);
    book.vote(second, 1, Decision::Approve);
    assert_eq!((book.holder(1), book.holder(2), book.holder(3)), (Some(first), Some(first), Some(second)));
}

#[test]
fn an_illegal_transition_is_refused_and_changes_nothing() {
    let mut book = Book::new();
    let txid = book.propose(1, &[1]);
    let before = book.state.position();
    let refused = book.go(txid, TxState::Confirmed, SubStatus::Settled).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("transaction {txid}: a transaction cannot go from pending to confirmed")
    );
    let tx = book.state.transaction(txid).unwrap();
    assert_eq!((tx.state, &tx.sub_status), (TxState::Pending, &SubStatus::AwaitingVotes));
    assert_eq!(book.state.changed_since(before).count(), 0, "no peer is told of a change");
    assert_eq!(book.state.position(), before.plus(1), "the journal has the record all the same");
}

#[test]
fn a_record_about_an_unknown_transaction_is_refused() {
    let mut book = Book::new();
    let known = proposal(&book.cluster, 1, &[1]);
    let txid = known.txid();
    for fact in [
        Fact::Voted(vote(&book.cluster, &known, 1, Decision::Approve)),
        Fact::Promised(promise(&book.cluster, &known, 1)),
        Fact::SubStatusChanged { txid, sub_status: SubStatus::Abandoning },
        Fact::ShareReleased { txid, session: SessionId::from_bytes([1; 32]) },
        Fact::Signed(FinalTransaction(known.unsigned_tx.clone())),
        Fact::Seen { txid, block: None, confirmations: 0 },
    ] {
        assert_eq!(book.add(fact.clone()), Err(ApplyError::UnknownTransaction(txid)), "{fact:?}");
    }
    assert_eq!(
        book.go(txid, TxState::Voting, SubStatus::AwaitingVotes),
        Err(ApplyError::UnknownTransaction(txid))
    );
    assert_eq!(book.state.committed_coins().count(), 0);
}

#[test]
fn silence_is_recorded_without_a_strike_and_a_ban_starts_the_count_anew() {
    let mut book = Book::new();
    let node = NodeId::new(3);
    let struck = |violation| Fact::Struck { node, violation, txid: None, detail: String::new() };
    book.add(struck(Violation::Timeout)).unwrap();
    book.add(struck(Violation::ProtocolViolation)).unwrap();
    let member = book.state.member(node);
    assert_eq!((member.violations, member.strikes), (2, 1));
    let until = Timestamp(100);
    book.add(Fact::Banned { node, until, violation: Violation::ProtocolViolation }).unwrap();
    assert_eq!((book.state.member(node).violations, book.state.member(node).strikes), (2, 0));
    assert!(book.state.is_banned(node, Timestamp(99)) && !book.state.is_banned(node, until));
}

#[test]
fn peers_are_told_each_transaction_once_at_its_last_change() {
    let mut book = Book::new();
    let first = book.propose(1, &[1]);
    let second = book.propose(2, &[2]);
    book.vote(first, 2, Decision::Approve);
    let changed: Vec<Txid> = book.state.changed_since(LogIndex(0)).map(|(_, tx)| tx.txid()).collect();
    assert_eq!(changed, [second, first]);
    assert_eq!(book.state.changed_since(book.state.position()).count(), 0);
}

/// What a generated history tries; what the journal could not hold is left out.
#[derive(Clone, Debug)]
enum Deed {
    Boot,
    Propose(usize),
    Vote(usize, u16, bool),
    Promise(usize, u16),
    Move(usize, usize, bool),
    Sign(usize),
    Release(usize),
    Strike(u16),
    Sync(u16),
}

fn deed() -> impl Strategy<Value = Deed> {
    let tx = 0_usize..4;
    prop_oneof![
        1 => Just(Deed::Boot),
        3 => tx.clone().prop_map(Deed::Propose),
        6 => (tx.clone(), 1_u16..=5, prop::bool::weighted(0.7)).prop_map(|(t, n, yes)| Deed::Vote(t, n, yes)),
        3 => (tx.clone(), 1_u16..=5).prop_map(|(t, n)| Deed::Promise(t, n)),
        9 => (tx.clone(), 0..TxState::ALL.len(), prop::bool::weighted(0.2))
            .prop_map(|(t, s, lost)| Deed::Move(t, s, lost)),
        1 => tx.clone().prop_map(Deed::Sign),
        1 => tx.prop_map(Deed::Release),
        1 => (1_u16..=5).prop_map(Deed::Strike),
        1 => (1_u16..=5).prop_map(Deed::Sync),
    ]
}

/// Coins of the four proposals: every one contends with another.
const COINS: [&[u8]; 4] = [&[1, 2], &[2, 3], &[3], &[1, 4]];

impl Book {
    /// Does it, if the journal of a correct node could say so.
    fn attempt(&mut self, deed: &Deed) {
        let txids: Vec<Txid> =
            (0_u8..).zip(COINS).map(|(i, coins)| proposal(&self.cluster, i, coins).txid()).collect();
        let known = |book: &Self, tx: usize| book.state.transaction(txids[tx]).is_some();
        match *deed {
            Deed::Boot => self.add(Fact::Booted { boot: self.state.past().boot().next() }).unwrap(),
            Deed::Propose(tx) if !known(self, tx) => {
                self.propose(u8::try_from(tx).unwrap(), COINS[tx]);
            }
            Deed::Vote(tx, node, yes) if known(self, tx) => {
                self.vote(txids[tx], node, if yes { Decision::Approve } else { refusal() });
            }
            Deed::Promise(tx, node) if known(self, tx) => self.promise(txids[tx], node),
            Deed::Move(tx, to, lost) if known(self, tx) => {
                let to = TxState::ALL[to];
                let why = if lost { SubStatus::InputSpent } else { SubStatus::Abandoned };
                if self.state.transaction(txids[tx]).is_some_and(|tx| tx.state.may_become(to)) {
                    self.go(txids[tx], to, why).unwrap();
                }
            }
            Deed::Sign(tx) if known(self, tx) => self.sign(txids[tx]),
            Deed::Release(tx) if known(self, tx) => {
                let session = SessionId::from_bytes([3; 32]);
                self.add(Fact::ShareReleased { txid: txids[tx], session }).unwrap();
            }
            Deed::Strike(node) => {
                let (node, violation) = (NodeId::new(node), Violation::ProtocolViolation);
                self.add(Fact::Struck { node, violation, txid: None, detail: String::new() }).unwrap();
            }
            Deed::Sync(node) => {
                let position = self.state.position();
                self.add(Fact::Synced { peer: NodeId::new(node), position }).unwrap();
            }
            Deed::Propose(_)
            | Deed::Vote(..)
            | Deed::Promise(..)
            | Deed::Move(..)
            | Deed::Sign(_)
            | Deed::Release(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replay_equals_live_and_no_coin_ever_changes_hands(deeds in prop::collection::vec(deed(), 0..60)) {
        let mut book = Book::new();
        for deed in &deeds {
            let before: BTreeMap<OutPoint, Txid> =
                book.state.committed_coins().map(|(coin, txid)| (*coin, txid)).collect();
            book.attempt(deed);
            for (coin, holder) in &before {
                let tx = book.state.transaction(*holder).unwrap();
                match book.state.holder_of(coin) {
                    Some(now) => prop_assert_eq!(now, *holder, "{} goes over without a release", coin),
                    None => {
                        let bound = tx.tally.bound_not_to_sign().len();
                        let never_signed = bound >= 3 && tx.finished.is_none();
                        let lost = tx.sub_status == SubStatus::InputSpent;
                        prop_assert!(tx.state.is_final() && tx.state != TxState::Confirmed);
                        prop_assert!(never_signed || lost, "{} is freed with {} bound", coin, bound);
                    }
                }
            }
            for (coin, holder) in book.state.committed_coins() {
                let tx = book.state.transaction(holder).unwrap();
                let approved =
                    tx.tally.vote_of(ME).is_some_and(|vote| vote.body.decision == Decision::Approve);
                prop_assert!(approved || tx.finished.is_some(), "{} is held without own approval", coin);
            }
        }
        let mut again = State::default();
        for record in &book.records {
            // Through the bytes, as a restarted node would.
            let read: Record = codec::decode(&codec::encode(record).unwrap(), usize::MAX).unwrap();
            again.apply(ME, &book.cluster, &read).unwrap();
        }
        prop_assert_eq!(book.state.digest(), again.digest());
    }
}

#[test]
fn no_presignature_is_used_twice_in_one_journal() {
    let mut book = Book::new();
    let txid = book.propose(1, &[1]);
    let used = |numbers: &[u8], session: u8| Fact::PresignaturesUsed {
        txid,
        session: SessionId::from_bytes([session; 32]),
        presignatures: numbers
            .iter()
            .map(|number| UsedPresignature {
                id: PresignatureId::from_bytes([*number; 32]),
                made_at: Timestamp(1),
                took: Millis(1),
            })
            .collect(),
    };
    book.add(used(&[1, 2], 1)).unwrap();
    let again = book.add(used(&[3, 2], 2));
    assert_eq!(again, Err(ApplyError::UsedTwice(PresignatureId::from_bytes([2; 32]))));
    assert_eq!(book.state.used_count(), 2, "a record that is refused uses nothing");
    book.add(used(&[3], 2)).unwrap();
}
