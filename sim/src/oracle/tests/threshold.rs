//! Consent: shares, signing and finished transactions need enough approvals.

use super::*;

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
