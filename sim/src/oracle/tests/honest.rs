//! What is asked of honest nodes is asked of nobody else.

use super::*;

#[test]
fn what_is_asked_of_each_node_is_asked_of_honest_nodes_only() {
    let proposal = proposal(1, 1);
    let mut exam = Exam(OfHonest::new(all_but_one(), DurableBeforeSent::default()));
    exam.sent(2, &Message::Vote(approval(2, &proposal.body))).unwrap();
    refuses(exam.sent(3, &Message::Vote(approval(3, &proposal.body))), "its vote Approve");
    assert_eq!(exam.0.name(), "durable_before_sent");
}
