//! Each oracle is shown a run it must accept and the same run with one thing wrong that it must not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute::LockTime,
    hashes::Hash, transaction::Version,
};
use mpc_wallet_core::{
    BootId, Cluster, KeyId, LogIndex, NodeId, PaymentId, PolicyVersion, ProposalDigest, Scheme, SessionId,
    Timestamp, VoteKey,
    identity::Signed,
    message::{FinalTransaction, Message, MpcMessage, SignRequest, SigningSession, Subject},
    record::{Fact, Record},
    tx::{Prevout, Proposal, SignedProposal, State, SubStatus},
    vote::{Ballot, Decision, Evidence, Promise, RejectReason, Violation, Vote},
};

mod bounds;

use super::*;

const N: u16 = 5;
const T: u16 = 4;

fn node(number: u16) -> NodeId {
    NodeId::new(number)
}

fn key(number: u16) -> VoteKey {
    let mut secret = [9; 32];
    secret[0] = u8::try_from(number).unwrap();
    VoteKey::from_bytes(&secret).unwrap()
}

fn cluster() -> Cluster {
    Cluster::new(Network::Regtest, T, (1..=N).map(|i| (node(i), key(i).public())).collect()).unwrap()
}

fn everybody() -> Honest {
    (1..=N).map(node).collect()
}

/// All but node-2.
fn all_but_one() -> Honest {
    (1..=N).filter(|number| *number != 2).map(node).collect()
}

fn key_id() -> KeyId {
    KeyId { scheme: Scheme::Taproot, epoch: 1 }
}

fn recipient(number: u8) -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, number])
}

/// A transaction that spends coin number `coin` to recipient number `to`.
fn transaction(coin: u8, to: u8) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([coin; 32]), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::from_sat(1_000), script_pubkey: recipient(to) }],
    }
}

fn proposal(coin: u8, to: u8) -> SignedProposal {
    let body = Proposal {
        cluster: cluster().id(),
        key: key_id(),
        payment: PaymentId::from_bytes([to; 32]),
        origin: node(1),
        recipient: recipient(to),
        amount: Amount::from_sat(1_000),
        fee: Amount::from_sat(200),
        unsigned_tx: transaction(coin, to),
        prevouts: vec![Prevout { value: Amount::from_sat(1_200), script: recipient(0) }],
        metadata: None,
        created_at: Timestamp(1),
        expires_at: Timestamp(2),
    };
    Signed::new(body, &key(1))
}

fn vote(voter: u16, proposal: &Proposal, decision: Decision) -> Vote {
    let ballot = Ballot {
        cluster: cluster().id(),
        key: key_id(),
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: 1,
        voter: node(voter),
        decision,
        policy: PolicyVersion::from_bytes([0; 32]),
        expires_at: proposal.expires_at,
    };
    Signed::new(ballot, &key(voter))
}

fn approval(voter: u16, proposal: &Proposal) -> Vote {
    vote(voter, proposal, Decision::Approve)
}

fn rejection(voter: u16, proposal: &Proposal) -> Vote {
    vote(voter, proposal, Decision::Reject(RejectReason::Expired))
}

fn session(proposal: &Proposal) -> SigningSession {
    SigningSession {
        cluster: cluster().id(),
        key: key_id(),
        subject: Subject::Payment { txid: proposal.txid(), digest: proposal.digest() },
        leader: node(1),
        leader_boot: BootId(1),
        attempt: 1,
        signers: (1..=T).map(node).collect(),
        boots: (1..=T).map(|_| BootId(1)).collect(),
    }
}

fn mpc(from: u16, session: SessionId, sequence: u32, payload: &[u8]) -> Message {
    let body = MpcMessage {
        session,
        from: node(from),
        boot: BootId(1),
        to: None,
        sequence,
        payload: payload.to_vec(),
    };
    Message::Mpc(Signed::new(body, &key(from)))
}

/// An oracle under examination.
struct Exam<O>(O);

impl<O: Oracle> Exam<O> {
    fn durable(&mut self, number: u16, fact: Fact) -> Result<(), String> {
        self.0.observe(&Observed::Durable { node: node(number), record: &Record { at: Timestamp(1), fact } })
    }

    fn sent(&mut self, from: u16, message: &Message) -> Result<(), String> {
        let bytes = message.encode().unwrap();
        self.0.observe(&Observed::Sent { from: node(from), message, bytes: &bytes })
    }

    fn share(&mut self, number: u16, proposal: &Proposal) -> Result<(), String> {
        let session = session(proposal).id();
        self.durable(number, Fact::ShareReleased { txid: proposal.txid(), session })
    }
}

/// The refusal must come from the oracle's own reasoning: it names what happened.
#[track_caller]
fn refuses(verdict: Result<(), String>, words: &str) {
    let objection = verdict.expect_err("the oracle must object");
    assert!(objection.contains(words), "{objection}");
}

#[test]
fn paid_once_objects_to_a_second_payment_and_to_a_wrong_amount() {
    let asked = |amount| BTreeMap::from([(recipient(1), (String::from("payment-0"), amount))]);
    let first = transaction(1, 1);
    let second = transaction(2, 1);
    let mut oracle = PaidOnce::new(asked(1_000));
    oracle.observe(&Observed::Confirmed { transaction: &first }).unwrap();
    refuses(oracle.observe(&Observed::Confirmed { transaction: &second }), "is paid by");
    let mut oracle = PaidOnce::new(asked(999));
    refuses(oracle.observe(&Observed::Confirmed { transaction: &first }), "asked for 999");
}

#[test]
fn one_coin_one_family_objects_when_t_nodes_sign_a_coin_away_twice() {
    let (one, rival, other) = (proposal(1, 1), proposal(1, 2), proposal(2, 3));
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody()));
    for proposal in [&one, &rival, &other] {
        exam.durable(1, Fact::Proposed(Box::new(proposal.clone()))).unwrap();
    }
    for number in 1..=T {
        exam.share(number, &one.body).unwrap();
        exam.share(number, &other.body).unwrap();
    }
    for number in 1..T {
        exam.share(number, &rival.body).unwrap();
    }
    refuses(exam.share(5, &rival.body), "both spend");
}

#[test]
fn one_coin_one_family_counts_shares_in_raw_traffic_that_no_journal_admits() {
    let (one, rival) = (proposal(1, 1), proposal(1, 2));
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody()));
    let mut verdict = Ok(());
    for proposal in [&one, &rival] {
        exam.sent(1, &Message::VoteRequest(Box::new(proposal.clone()))).unwrap();
        let session = session(&proposal.body);
        let id = session.id();
        exam.sent(1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
        for number in 1..=T {
            verdict = exam.sent(number, &mpc(number, id, 1, b"share"));
        }
    }
    refuses(verdict, "both spend");
}

#[test]
fn one_coin_one_family_objects_to_two_finished_transactions_of_one_coin() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody()));
    exam.sent(1, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.durable(2, Fact::Signed(FinalTransaction(transaction(1, 1)))).unwrap();
    refuses(exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))), "both finished");
}

#[test]
fn threshold_objects_to_a_share_of_a_node_that_has_not_approved_itself() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(Threshold::new(&cluster(), everybody()));
    exam.durable(5, Fact::Proposed(Box::new(proposal.clone()))).unwrap();
    for voter in 1..=T {
        exam.sent(voter, &Message::Vote(approval(voter, &proposal.body))).unwrap();
    }
    refuses(exam.share(5, &proposal.body), "has not approved itself");
}

#[test]
fn threshold_objects_to_a_share_with_one_approval_too_few() {
    let proposal = proposal(1, 1);
    let prepared = |approvals: Vec<Vote>| {
        let mut exam = Exam(Threshold::new(&cluster(), everybody()));
        exam.durable(2, Fact::Proposed(Box::new(proposal.clone()))).unwrap();
        exam.durable(2, Fact::Voted(approval(2, &proposal.body))).unwrap();
        for vote in approvals {
            exam.sent(vote.body.voter.get(), &Message::Vote(vote)).unwrap();
        }
        exam
    };
    let approvals = |count: u16| (1..=count).map(|voter| approval(voter, &proposal.body)).collect::<Vec<_>>();
    prepared(approvals(T)).share(2, &proposal.body).unwrap();
    refuses(prepared(approvals(T - 1)).share(2, &proposal.body), "3 of 4 approvals");

    let mut doubled = approvals(T - 1);
    doubled.push(approval(1, &proposal.body));
    refuses(prepared(doubled).share(2, &proposal.body), "3 of 4 approvals");

    let mut forged = approvals(T);
    forged[3] = Signed { body: forged[3].body.clone(), signature: forged[2].signature };
    refuses(prepared(forged).share(2, &proposal.body), "3 of 4 approvals");

    let mut elsewhere = approvals(T);
    let mut ballot = elsewhere[3].body.clone();
    ballot.digest = ProposalDigest::from_bytes([7; 32]);
    elsewhere[3] = Signed::new(ballot, &key(4));
    refuses(prepared(elsewhere).share(2, &proposal.body), "3 of 4 approvals");

    let mut refused = approvals(T);
    refused[3] = rejection(4, &proposal.body);
    refuses(prepared(refused).share(2, &proposal.body), "3 of 4 approvals");
}

#[test]
fn threshold_objects_to_signing_traffic_and_to_finished_transactions_without_consent() {
    let proposal = proposal(1, 1);
    let session = session(&proposal.body);
    let mut exam = Exam(Threshold::new(&cluster(), everybody()));
    exam.sent(1, &Message::VoteRequest(Box::new(proposal.clone()))).unwrap();
    let request = Message::SignRequest(Box::new(SignRequest { session: session.clone(), certificate: None }));
    refuses(exam.sent(1, &request), "asked for signatures");
    refuses(exam.sent(2, &mpc(2, session.id(), 0, b"commitment")), "took part in signing");
    let finished = FinalTransaction(transaction(1, 1));
    refuses(exam.sent(3, &Message::Finished(finished.clone())), "passed on as finished");
    refuses(exam.durable(3, Fact::Signed(finished)), "is finished with 0 of 4");
    let transaction = transaction(1, 1);
    let broadcast = Observed::Broadcast { node: node(1), transaction: &transaction };
    refuses(exam.0.observe(&broadcast), "is broadcast");
}

#[test]
fn once_objects_to_a_second_share_set_and_to_a_changed_word() {
    let proposal = proposal(1, 1);
    let id = session(&proposal.body).id();
    let mut exam = Exam(Once::new(everybody()));
    exam.sent(2, &mpc(2, id, 0, b"commitment")).unwrap();
    exam.share(2, &proposal.body).unwrap();
    exam.sent(2, &mpc(2, id, 1, b"share")).unwrap();
    exam.sent(2, &mpc(2, id, 1, b"share")).unwrap();
    refuses(exam.sent(2, &mpc(2, id, 1, b"other")), "and then");
    refuses(exam.share(2, &proposal.body), "second share set");
    refuses(exam.sent(3, &mpc(3, id, 1, b"share")), "without a durable record");
    refuses(exam.sent(3, &mpc(2, id, 0, b"commitment")), "in the name of");
}

#[test]
fn no_double_vote_objects_to_two_signed_ballots_wherever_they_appear() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(NoDoubleVote::new(&cluster(), everybody()));
    exam.sent(2, &Message::Vote(approval(2, &proposal.body))).unwrap();
    exam.durable(3, Fact::Voted(approval(2, &proposal.body))).unwrap();
    let mut forged = rejection(2, &proposal.body);
    forged.signature = approval(2, &proposal.body).signature;
    exam.sent(4, &Message::Vote(forged)).unwrap();
    refuses(exam.durable(2, Fact::Voted(rejection(2, &proposal.body))), "voted Approve and then");
}

#[test]
fn no_false_accusation_objects_to_everything_but_silence() {
    let proposal = proposal(1, 1);
    let struck = |violation| Fact::Struck { node: node(2), violation, txid: None, detail: String::new() };
    let evidence = Evidence::DoubleVote {
        first: Box::new(approval(2, &proposal.body)),
        second: Box::new(rejection(2, &proposal.body)),
    };
    let mut exam = Exam(NoFalseAccusation::new(everybody()));
    exam.durable(1, struck(Violation::Timeout)).unwrap();
    let silence = Observed::Accused { by: node(1), node: node(2), violation: Some(Violation::Timeout) };
    exam.0.observe(&silence).unwrap();
    refuses(exam.durable(1, struck(Violation::InvalidSignature)), "invalid_signature");
    refuses(exam.durable(1, Fact::Proven(Box::new(evidence.clone()))), "proof against node-2");
    let banned = Fact::Banned { node: node(2), until: Timestamp(9), violation: Violation::Timeout };
    refuses(exam.durable(1, banned), "banned node-2");
    refuses(exam.sent(1, &Message::Accusation(Box::new(evidence))), "accusation of node-2");
    let ban = Observed::Accused { by: node(1), node: node(2), violation: None };
    refuses(exam.0.observe(&ban), "worth a ban");
}

#[test]
fn durable_before_sent_objects_to_effects_that_run_ahead_of_the_disk() {
    let mut exam = Exam(DurableBeforeSent::default());
    let released =
        |durable| Observed::Released { node: node(1), needs: LogIndex(7), durable: LogIndex(durable) };
    exam.0.observe(&released(7)).unwrap();
    refuses(exam.0.observe(&released(6)), "of which 6 are on disk");
}

#[test]
fn durable_before_sent_objects_to_statements_that_are_not_in_the_speakers_journal() {
    let proposal = proposal(1, 1);
    let txid = proposal.body.txid();
    let body = Promise { cluster: cluster().id(), txid, digest: proposal.body.digest(), node: node(2) };
    let promise = Signed::new(body, &key(2));
    let finished = FinalTransaction(transaction(1, 1));
    let broadcast = transaction(1, 1);
    let mut exam = Exam(DurableBeforeSent::default());
    refuses(exam.sent(2, &Message::Vote(approval(2, &proposal.body))), "its vote Approve");
    refuses(exam.sent(2, &Message::Promise(promise.clone())), "its promise");
    refuses(exam.sent(2, &Message::VoteRequest(Box::new(proposal.clone()))), "the proposal");
    refuses(exam.sent(2, &Message::Finished(finished.clone())), "the finished");
    refuses(exam.0.observe(&Observed::Promised { node: node(2), txid }), "promised a client");
    let seen = Observed::Broadcast { node: node(2), transaction: &broadcast };
    refuses(exam.0.observe(&seen), "broadcast");
    // Another's journal does not help, and the wrong vote does not either.
    exam.durable(3, Fact::Voted(approval(2, &proposal.body))).unwrap();
    refuses(exam.sent(2, &Message::Vote(approval(2, &proposal.body))), "its vote Approve");
    exam.durable(2, Fact::Proposed(Box::new(proposal.clone()))).unwrap();
    exam.durable(2, Fact::Voted(approval(2, &proposal.body))).unwrap();
    refuses(exam.sent(2, &Message::Vote(rejection(2, &proposal.body))), "its vote Reject");

    exam.durable(2, Fact::Promised(promise.clone())).unwrap();
    exam.durable(2, Fact::Signed(finished.clone())).unwrap();
    exam.sent(2, &Message::Vote(approval(2, &proposal.body))).unwrap();
    exam.sent(2, &Message::Promise(promise)).unwrap();
    exam.sent(2, &Message::VoteRequest(Box::new(proposal))).unwrap();
    exam.sent(2, &Message::Finished(finished)).unwrap();
    exam.0.observe(&Observed::Promised { node: node(2), txid }).unwrap();
    exam.0.observe(&seen).unwrap();
}

#[test]
fn replay_equals_live_objects_to_any_difference() {
    let compared = |journal| Observed::Compared {
        node: node(1),
        moment: "at its crash",
        node_digest: [1; 32],
        journal_digest: [journal; 32],
    };
    ReplayEqualsLive.observe(&compared(1)).unwrap();
    refuses(ReplayEqualsLive.observe(&compared(2)), "not what its journal says");
}

#[test]
fn lifecycle_objects_to_moves_off_the_table_and_from_the_wrong_place() {
    let proposal = proposal(1, 1);
    let moves = |from, to| Fact::Transition {
        txid: proposal.body.txid(),
        from,
        to,
        sub_status: SubStatus::AwaitingVotes,
        cause: String::new(),
    };
    let mut exam = Exam(Lifecycle::default());
    refuses(exam.durable(1, moves(State::Pending, State::Voting)), "before it is proposed");
    exam.durable(1, Fact::Proposed(Box::new(proposal.clone()))).unwrap();
    exam.durable(1, moves(State::Pending, State::Voting)).unwrap();
    refuses(exam.durable(1, moves(State::Approved, State::Signing)), "but stands in voting");
    refuses(exam.durable(1, moves(State::Voting, State::Signing)), "from voting to signing");
    exam.durable(1, moves(State::Voting, State::Rejected)).unwrap();
    refuses(exam.durable(1, moves(State::Rejected, State::Voting)), "from rejected to voting");
}

#[test]
fn no_secret_leaves_finds_the_mark_in_frames_and_journals() {
    let id = SessionId::from_bytes([1; 32]);
    let mut exam = Exam(NoSecretLeaves);
    exam.sent(1, &mpc(1, id, 0, b"MOCK-SECRET-LEA")).unwrap();
    refuses(exam.sent(1, &mpc(1, id, 0, b"..MOCK-SECRET-LEAK..")), "over the network");
    let detail = String::from("MOCK-SECRET-LEAK");
    let fact = Fact::Struck { node: node(2), violation: Violation::Timeout, txid: None, detail };
    refuses(exam.durable(1, fact), "into its journal");
}

#[test]
fn convergence_objects_to_the_unfinished_the_unknown_the_split_and_the_unpaid() {
    let txid = transaction(1, 1).compute_txid();
    let end = |states: [Option<&'static str>; 2]| -> BTreeMap<NodeId, NodeEnd> {
        let view = |state: Option<&'static str>| NodeEnd {
            transactions: state
                .map(|state| (txid, TransactionEnd { state, sub_status: String::from("why") }))
                .into_iter()
                .collect(),
        };
        states.into_iter().zip(1..).map(|(state, number)| (node(number), view(state))).collect()
    };
    let client = |answer, must_confirm, paid| {
        [Expected { label: String::from("payment-0"), answer, may_be_lost: false, must_confirm, paid }]
    };
    let settled = end([Some("confirmed"), Some("confirmed")]);
    convergence(&settled, &client(Ok(txid), true, true)).unwrap();
    convergence(&end([Some("failed"), Some("rejected")]), &client(Ok(txid), false, false)).unwrap();
    let objects = |nodes: &BTreeMap<NodeId, NodeEnd>, clients: &[Expected], words: &str| {
        let objection = convergence(nodes, clients).unwrap_err().to_string();
        assert!(objection.contains(words), "{objection}");
    };
    objects(&end([Some("confirmed"), Some("signing")]), &[], "node-2 signing/why");
    objects(&end([Some("confirmed"), None]), &[], "node-2 unknown");
    objects(&end([Some("confirmed"), Some("failed")]), &[], "node-2 failed/why");
    objects(&settled, &client(Ok(txid), true, false), "is not paid");
    objects(&settled, &client(Err(String::from("busy")), false, false), "never accepted: busy");
    objects(&end([None, None]), &client(Ok(txid), false, false), "nobody knows");
}

#[test]
fn conservation_objects_to_lost_invented_and_misdirected_money() {
    let good = Books {
        stolen: 0,
        funds: 1_000,
        paid: 300,
        fees: 20,
        on_chain: 680,
        by_node: BTreeMap::from([(node(1), 680)]),
        strangers: vec![],
    };
    conservation(&good).unwrap();
    refuses(conservation(&Books { on_chain: 679, ..good.clone() }), "are not the 679");
    refuses(conservation(&Books { fees: 21, ..good.clone() }), "less 21 fees");
    refuses(conservation(&Books { paid: 2_000, ..good.clone() }), "2000 paid");
    refuses(
        conservation(&Books { by_node: BTreeMap::from([(node(2), 1)]), ..good.clone() }),
        "node-2 sees 1",
    );
    refuses(conservation(&Books { strangers: vec![recipient(9)], ..good }), "nobody asked for");
}

fn struck(number: u16) -> Fact {
    let detail = String::new();
    Fact::Struck { node: node(number), violation: Violation::InvalidSignature, txid: None, detail }
}

fn double_vote(number: u16) -> Evidence {
    let proposal = proposal(1, 1);
    Evidence::DoubleVote {
        first: Box::new(approval(number, &proposal.body)),
        second: Box::new(rejection(number, &proposal.body)),
    }
}

#[test]
fn what_is_asked_of_each_node_is_asked_of_honest_nodes_only() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(OfHonest::new(all_but_one(), DurableBeforeSent::default()));
    exam.sent(2, &Message::Vote(approval(2, &proposal.body))).unwrap();
    refuses(exam.sent(3, &Message::Vote(approval(3, &proposal.body))), "its vote Approve");
    assert_eq!(exam.0.name(), "durable_before_sent");
}

#[test]
fn no_double_vote_lets_a_traitor_contradict_itself_and_nobody_else() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(NoDoubleVote::new(&cluster(), all_but_one()));
    for voter in [2, 3] {
        exam.sent(2, &Message::Vote(approval(voter, &proposal.body))).unwrap();
    }
    exam.sent(2, &Message::Vote(rejection(2, &proposal.body))).unwrap();
    refuses(exam.sent(2, &Message::Vote(rejection(3, &proposal.body))), "node-3 voted Approve and then");
}

#[test]
fn once_lets_a_traitor_change_its_words_and_still_learns_sessions_from_it() {
    let proposal = proposal(1, 1);
    let session = session(&proposal.body);
    let id = session.id();
    let mut exam = Exam(Once::new(all_but_one()));
    let request = SignRequest { session, certificate: None };
    exam.sent(2, &Message::SignRequest(Box::new(request))).unwrap();
    exam.sent(2, &mpc(2, id, 1, b"share")).unwrap();
    exam.sent(2, &mpc(2, id, 1, b"other")).unwrap();
    refuses(exam.sent(3, &mpc(3, id, 1, b"share")), "without a durable record");
}

#[test]
fn one_coin_one_family_counts_a_traitors_shares_and_not_its_claims() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), all_but_one()));
    exam.sent(2, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))).unwrap();
    let (one, rival) = (proposal(2, 3), proposal(2, 4));
    let mut verdict = Ok(());
    for proposal in [&one, &rival] {
        exam.sent(1, &Message::VoteRequest(Box::new(proposal.clone()))).unwrap();
        let session = session(&proposal.body);
        let id = session.id();
        exam.sent(1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
        for number in 1..=T {
            verdict = exam.sent(number, &mpc(number, id, 1, b"share"));
        }
    }
    refuses(verdict, "both spend");
}

#[test]
fn threshold_lets_a_traitor_call_for_signatures_and_no_honest_node_follow() {
    let proposal = proposal(1, 1);
    let session = session(&proposal.body);
    let id = session.id();
    let mut exam = Exam(Threshold::new(&cluster(), all_but_one()));
    exam.sent(1, &Message::VoteRequest(Box::new(proposal.clone()))).unwrap();
    exam.sent(2, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
    exam.sent(2, &mpc(2, id, 0, b"commitment")).unwrap();
    exam.sent(2, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    refuses(exam.sent(3, &mpc(3, id, 0, b"commitment")), "took part in signing with 0 of 4");
    let confirmed = transaction(1, 1);
    let seen = Observed::Confirmed { transaction: &confirmed };
    refuses(exam.0.observe(&seen), "is in a block with 0 of 4");
    // The traitor's approval counts as much as any.
    for voter in 1..=T {
        exam.sent(voter, &Message::Vote(approval(voter, &proposal.body))).unwrap();
    }
    exam.sent(3, &mpc(3, id, 0, b"commitment")).unwrap();
    exam.0.observe(&seen).unwrap();
}

#[test]
fn no_false_accusation_allows_what_is_said_of_traitors_and_by_them() {
    let mut exam = Exam(NoFalseAccusation::new(all_but_one()));
    exam.durable(1, struck(2)).unwrap();
    exam.durable(2, struck(1)).unwrap();
    exam.durable(1, Fact::Proven(Box::new(double_vote(2)))).unwrap();
    exam.sent(1, &Message::Accusation(Box::new(double_vote(2)))).unwrap();
    exam.sent(2, &Message::Accusation(Box::new(double_vote(3)))).unwrap();
    refuses(exam.durable(1, struck(3)), "invalid_signature against node-3");
    refuses(exam.sent(1, &Message::Accusation(Box::new(double_vote(3)))), "accusation of node-3");
}

#[test]
fn liars_accused_wants_two_ballots_in_two_journals_to_be_proof_for_everybody() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(LiarsAccused::new(&cluster(), all_but_one()));
    exam.durable(1, Fact::Voted(approval(2, &proposal.body))).unwrap();
    exam.durable(3, Fact::Voted(approval(2, &proposal.body))).unwrap();
    assert_eq!(exam.0.owed(), None, "one ballot, told twice");
    let mut forged = rejection(2, &proposal.body);
    forged.signature = approval(3, &proposal.body).signature;
    exam.durable(4, Fact::Voted(forged)).unwrap();
    assert_eq!(exam.0.owed(), None, "a ballot it has not signed");
    exam.durable(4, Fact::Voted(rejection(2, &proposal.body))).unwrap();
    let banned = || Fact::Banned { node: node(2), until: Timestamp(9), violation: Violation::DoubleVote };
    for honest in [1, 3, 4] {
        assert!(exam.0.owed().unwrap().contains("has not shut him out"));
        exam.durable(honest, banned()).unwrap();
    }
    assert!(exam.0.owed().unwrap().contains("node-5 has not"));
    exam.durable(2, banned()).unwrap();
    assert!(exam.0.owed().is_some(), "the liar's own books do not matter");
    exam.durable(5, banned()).unwrap();
    assert_eq!(exam.0.owed(), None);
}

#[test]
fn liars_accused_wants_whoever_hears_a_contradiction_to_act_on_it() {
    let proposal = proposal(1, 1);
    let hears = |exam: &mut Exam<LiarsAccused>, from: u16, message: &Message| {
        exam.0.observe(&Observed::Heard { node: node(1), from: node(from), message }).unwrap();
    };
    let mut exam = Exam(LiarsAccused::new(&cluster(), all_but_one()));
    exam.durable(1, Fact::Voted(approval(2, &proposal.body))).unwrap();
    hears(&mut exam, 3, &Message::Vote(rejection(2, &proposal.body)));
    assert!(exam.0.owed().unwrap().contains("node-1 heard node-2 contradict himself"));
    exam.durable(1, Fact::Booted { boot: BootId(2) }).unwrap();
    assert_eq!(exam.0.owed(), None, "what it forgot it cannot act on");

    let id = session(&proposal.body).id();
    hears(&mut exam, 2, &mpc(2, id, 0, b"one"));
    hears(&mut exam, 2, &mpc(2, id, 0, b"two"));
    assert_eq!(exam.0.owed(), None, "it may not take part in that session");
    exam.sent(1, &mpc(1, id, 1, b"share")).unwrap();
    assert!(exam.0.owed().is_some());
    exam.durable(1, Fact::Proven(Box::new(double_vote(2)))).unwrap();
    assert!(exam.0.owed().unwrap().contains("node-3 has not"), "proof travels");
}

#[test]
fn liars_accused_asks_nothing_about_honest_nodes_and_the_shut_out() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(LiarsAccused::new(&cluster(), all_but_one()));
    exam.durable(1, Fact::Voted(approval(3, &proposal.body))).unwrap();
    exam.durable(4, Fact::Voted(rejection(3, &proposal.body))).unwrap();
    assert_eq!(exam.0.owed(), None, "that is no_double_vote's affair");
    exam.durable(1, Fact::Banned { node: node(2), until: Timestamp(9), violation: Violation::DoubleVote })
        .unwrap();
    exam.durable(1, Fact::Voted(approval(2, &proposal.body))).unwrap();
    let message = Message::Vote(rejection(2, &proposal.body));
    exam.0.observe(&Observed::Heard { node: node(1), from: node(2), message: &message }).unwrap();
    assert_eq!(exam.0.owed(), None, "it does not listen any more");
}
