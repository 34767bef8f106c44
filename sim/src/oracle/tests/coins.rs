//! Payments and coins: no payment is made twice, no coin is signed away twice.

use super::*;

/// The signing traffic of `T` members; gives the verdict on the last share.
fn shares_of_all(exam: &mut Exam<OneCoinOneFamily>, proposal: &SignedProposal) -> Result<(), String> {
    exam.sent(1, &Message::VoteRequest(Box::new(proposal.clone()))).unwrap();
    let session = session(&proposal.body);
    let id = session.id();
    exam.sent(1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
    for number in 1..T {
        exam.sent(number, &mpc(number, id, 1, b"share")).unwrap();
    }
    exam.sent(T, &mpc(T, id, 1, b"share"))
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
    shares_of_all(&mut exam, &one).unwrap();
    refuses(shares_of_all(&mut exam, &rival), "both spend");
}

#[test]
fn one_coin_one_family_objects_to_two_finished_transactions_of_one_coin() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody()));
    exam.sent(1, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.durable(2, Fact::Signed(FinalTransaction(transaction(1, 1)))).unwrap();
    refuses(exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))), "both finished");
}

#[test]
fn one_coin_one_family_counts_a_traitors_shares_and_not_its_claims() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), all_but_one()));
    exam.sent(2, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))).unwrap();
    let (one, rival) = (proposal(2, 3), proposal(2, 4));
    shares_of_all(&mut exam, &one).unwrap();
    refuses(shares_of_all(&mut exam, &rival), "both spend");
}
