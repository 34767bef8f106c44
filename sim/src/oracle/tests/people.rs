//! People's decisions: runs that wait for them, and the same runs with one thing wrong.

use super::*;

/// Two people are asked about everything.
fn exam() -> Exam<HumanApproval> {
    Exam(HumanApproval::new(&cluster(), everybody(), 999, 2))
}

fn decision(by: u16, signer: u16, approve: bool) -> SignedDecision {
    let proposal = proposal(1, 1).body;
    let body = OperatorDecision {
        cluster: cluster().id(),
        txid: proposal.txid(),
        digest: proposal.digest(),
        node: node(by),
        operator: None,
        approve,
        comment: None,
        at: Timestamp(1),
    };
    Signed::new(body, &key(signer))
}

fn decided(by: u16, signer: u16, approve: bool) -> Fact {
    Fact::OperatorDecided(decision(by, signer, approve))
}

fn voted(voter: u16) -> Fact {
    Fact::Voted(approval(voter, &proposal(1, 1).body))
}

/// An exam in which node-1 knows the proposal and these facts.
fn knowing(facts: Vec<Fact>) -> Exam<HumanApproval> {
    let mut exam = exam();
    exam.durable(1, Fact::Proposed(Box::new(proposal(1, 1)))).unwrap();
    facts.into_iter().for_each(|fact| exam.durable(1, fact).unwrap());
    exam
}

#[test]
fn human_approval_objects_to_a_vote_before_enough_people_have_approved() {
    knowing(vec![decided(2, 2, true), decided(3, 3, true)]).durable(1, voted(1)).unwrap();
    for facts in [
        vec![],
        vec![decided(2, 2, true)],
        // Of one member, or of one who signed for another.
        vec![decided(2, 2, true), decided(2, 2, true)],
        vec![decided(2, 2, true), decided(3, 2, true)],
    ] {
        refuses(knowing(facts).durable(1, voted(1)), "of 2 people's approvals");
    }
    // What the journal does not say, the traffic does.
    let vote = Message::Vote(approval(1, &proposal(1, 1).body));
    refuses(knowing(vec![decided(2, 2, true)]).sent(1, &vote), "1 of 2 people's approvals");
    // Another's vote is his own affair, and a refusal needs nobody.
    knowing(vec![]).durable(1, voted(4)).unwrap();
    knowing(vec![]).durable(1, Fact::Voted(rejection(1, &proposal(1, 1).body))).unwrap();
}

#[test]
fn human_approval_objects_to_a_vote_after_a_refusal() {
    let facts = vec![decided(2, 2, true), decided(3, 3, true), decided(4, 4, false)];
    refuses(knowing(facts).durable(1, voted(1)), "which a person rejected at node-4");
}

#[test]
fn human_approval_lets_small_payments_pass_and_votes_that_come_back() {
    let mut small = Exam(HumanApproval::new(&cluster(), everybody(), 1_000, 2));
    small.durable(1, Fact::Proposed(Box::new(proposal(1, 1)))).unwrap();
    small.durable(1, voted(1)).unwrap();
    // Its decisions are gone with the journal; the vote was good when it was cast.
    let mut exam = knowing(vec![decided(2, 2, true), decided(3, 3, true), voted(1)]);
    let record = Record { at: Timestamp(1), fact: Fact::Proposed(Box::new(proposal(1, 1))) };
    exam.0.observe(&Observed::Restored { node: node(1), records: &[record] }).unwrap();
    exam.durable(1, voted(1)).unwrap();
}

#[test]
fn human_approval_objects_to_a_second_decision_of_an_honest_node() {
    let mut exam = knowing(vec![decided(1, 1, true)]);
    exam.durable(1, decided(1, 1, true)).unwrap();
    refuses(exam.durable(1, decided(1, 1, false)), "node-1 approves");
    let told = Message::OperatorDecision(decision(1, 1, false));
    refuses(knowing(vec![decided(1, 1, true)]).sent(1, &told), "and then rejects it");
    // In its name is not by it.
    knowing(vec![decided(1, 1, true)]).durable(2, decided(1, 3, false)).unwrap();
    // What nobody heard and no journal holds was never decided; what was said stays said.
    let mut lost = knowing(vec![decided(1, 1, true)]);
    lost.0.observe(&Observed::Restored { node: node(1), records: &[] }).unwrap();
    lost.durable(1, decided(1, 1, false)).unwrap();
    let mut said = knowing(vec![decided(1, 1, true)]);
    said.sent(1, &Message::OperatorDecision(decision(1, 1, true))).unwrap();
    said.0.observe(&Observed::Restored { node: node(1), records: &[] }).unwrap();
    refuses(said.durable(1, decided(1, 1, false)), "and then rejects it");
}
