//! Journals: what is said is in them, what is in them reads back, and follows the table.

use super::*;

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
