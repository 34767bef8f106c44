//! One word each: no node contradicts its vote, its share or its message.

use super::*;

#[test]
fn once_objects_to_a_second_share_set_and_to_a_changed_word() {
    let proposal = proposal(1, 1);
    let session = session(&proposal.body);
    let id = session.id();
    let mut exam = Exam(Once::new(everybody()));
    exam.sent(1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
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
fn no_double_vote_forgets_what_a_restored_node_neither_said_nor_holds() {
    let proposal = proposal(1, 1);
    let approved = Record { at: Timestamp(1), fact: Fact::Voted(approval(2, &proposal.body)) };
    let held = |said: bool, journal: &[Record]| {
        let mut exam = Exam(NoDoubleVote::new(&cluster(), everybody()));
        exam.durable(2, approved.fact.clone()).unwrap();
        if said {
            exam.sent(2, &Message::Vote(approval(2, &proposal.body))).unwrap();
        }
        exam.0.observe(&Observed::Restored { node: node(2), records: journal }).unwrap();
        exam.durable(2, Fact::Voted(rejection(2, &proposal.body)))
    };
    held(false, &[]).unwrap();
    refuses(held(true, &[]), "voted Approve and then");
    refuses(held(false, std::slice::from_ref(&approved)), "voted Approve and then");
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
