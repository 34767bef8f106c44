//! Presignatures: one session for each, and the journal knows it first.

use mpc_wallet_core::{PresignatureId, record::UsedPresignature};

use super::*;

fn id(number: u8) -> PresignatureId {
    PresignatureId::from_bytes([number; 32])
}

/// The session of this attempt, which uses these presignatures.
fn online(attempt: u64, presignatures: &[u8]) -> SigningSession {
    let presignatures = presignatures.iter().copied().map(id).collect();
    let key = KeyId { scheme: Scheme::Segwit, epoch: 1 };
    SigningSession { attempt, presignatures, key, ..session(&proposal(1, 1).body) }
}

fn asked(session: &SigningSession) -> Message {
    Message::SignRequest(Box::new(SignRequest { session: session.clone(), certificate: None }))
}

fn used(session: &SigningSession) -> Fact {
    let one = |id: &PresignatureId| UsedPresignature { id: *id, made_at: Timestamp(1), took: Millis(1) };
    let presignatures = session.presignatures.iter().map(one).collect();
    Fact::PresignaturesUsed { txid: proposal(1, 1).body.txid(), session: session.id(), presignatures }
}

fn exam() -> Exam<PresignatureOnce> {
    Exam(PresignatureOnce::new(all_but_one()))
}

/// Forgets a node's journal.
fn restore(exam: &mut Exam<PresignatureOnce>, number: u16) {
    exam.0.observe(&Observed::Restored { node: node(number), records: &[] }).unwrap();
}

#[test]
fn presignature_once_objects_to_words_before_the_record_and_lets_them_be_repeated() {
    let session = online(1, &[1, 2]);
    let mut exam = exam();
    exam.sent(1, &asked(&session)).unwrap();
    refuses(exam.sent(3, &mpc(3, session.id(), 0, b"share")), "without a durable record");
    exam.durable(4, used(&session)).unwrap();
    refuses(exam.sent(3, &mpc(3, session.id(), 0, b"share")), "without a durable record");
    exam.sent(4, &mpc(4, session.id(), 0, b"share")).unwrap();
    exam.sent(4, &mpc(4, session.id(), 0, b"share")).unwrap();
}

#[test]
fn presignature_once_objects_to_a_record_for_another_session() {
    let (one, other) = (online(1, &[1]), online(2, &[1]));
    let mut exam = exam();
    exam.sent(1, &asked(&other)).unwrap();
    exam.durable(3, used(&one)).unwrap();
    refuses(exam.sent(3, &mpc(3, other.id(), 0, b"share")), "without a durable record");
    refuses(exam.durable(3, used(&other)), "as in session");
}

#[test]
fn presignature_once_remembers_words_that_a_restored_journal_does_not() {
    let (one, other) = (online(1, &[1, 2]), online(2, &[2, 3]));
    let mut exam = exam();
    exam.sent(1, &asked(&one)).unwrap();
    exam.sent(1, &asked(&other)).unwrap();
    exam.durable(3, used(&one)).unwrap();
    exam.sent(3, &mpc(3, one.id(), 0, b"share")).unwrap();
    restore(&mut exam, 3);
    exam.durable(3, used(&other)).unwrap();
    refuses(exam.sent(3, &mpc(3, other.id(), 0, b"share")), "uses presignature");
    // What was on record and never said may be used after all: nobody has seen it.
    exam.durable(4, used(&one)).unwrap();
    restore(&mut exam, 4);
    exam.durable(4, used(&other)).unwrap();
    exam.sent(4, &mpc(4, other.id(), 0, b"share")).unwrap();
}

#[test]
fn presignature_once_lets_a_traitor_waste_its_own() {
    let (one, other) = (online(1, &[1]), online(2, &[1]));
    let mut exam = exam();
    for session in [&one, &other] {
        exam.sent(2, &asked(session)).unwrap();
        exam.sent(2, &mpc(2, session.id(), 0, b"share")).unwrap();
    }
    exam.sent(3, &mpc(3, session(&proposal(1, 1).body).id(), 0, b"no presignatures")).unwrap();
}

/// A frame that opens a round, with a body of so many bytes.
fn opening(body: usize) -> Vec<u8> {
    [vec![7; 32], vec![0, 0, 33], vec![9; body]].concat()
}

#[test]
fn once_knows_where_the_shares_of_each_kind_of_session_are() {
    let mut exam = Exam(Once::new(everybody()));
    let (stocked, interactive) = (online(1, &[1]), online(2, &[]));
    for session in [&stocked, &interactive] {
        exam.sent(1, &asked(session)).unwrap();
    }
    refuses(exam.sent(3, &mpc(3, stocked.id(), 0, b"share")), "without a durable record");
    exam.sent(4, &mpc(4, interactive.id(), 0, &opening(33))).unwrap();
    exam.sent(4, &mpc(4, interactive.id(), 1, &[1; 300])).unwrap();
    refuses(exam.sent(4, &mpc(4, interactive.id(), 2, &opening(64))), "without a durable record");
}
