//! Accusations: none of an honest node, and every proven liar shut out.

use super::*;

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
fn liars_accused_lets_a_member_vote_on_a_transaction_that_is_made_again() {
    let first = proposal(1, 1).body;
    let again = Proposal { metadata: Some(String::from("made again")), ..first.clone() };
    assert_eq!(first.txid(), again.txid());
    let mut exam = Exam(LiarsAccused::new(&cluster(), all_but_one()));
    exam.durable(1, Fact::Voted(approval(2, &first))).unwrap();
    exam.durable(3, Fact::Voted(approval(2, &again))).unwrap();
    let message = Message::Vote(approval(2, &again));
    exam.0.observe(&Observed::Heard { node: node(1), from: node(3), message: &message }).unwrap();
    assert_eq!(exam.0.owed(), None, "who was restored from a backup may not know that he voted");
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
