//! No secret leaves its node.

use super::*;

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
