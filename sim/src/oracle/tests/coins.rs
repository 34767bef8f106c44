//! Payments and coins: no payment is made twice, no coin is signed away twice.

use super::*;

/// Two clients' payments.
fn asked() -> Payments {
    (1..=2).map(|number| (recipient(number), (format!("payment-{number}"), 1_000))).collect()
}

/// A proposal of coin number `coin` that pays recipient number `to` and gives `change` back to the wallet.
fn with_change(coin: u8, to: u8, change: u64) -> SignedProposal {
    let mut body = proposal(coin, to).body;
    let back = TxOut { value: Amount::from_sat(change), script_pubkey: recipient(0) };
    body.unsigned_tx.output.push(back);
    Signed::new(body, &key(1))
}

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
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody(), asked()));
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
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody(), asked()));
    shares_of_all(&mut exam, &one).unwrap();
    refuses(shares_of_all(&mut exam, &rival), "both spend");
}

#[test]
fn one_coin_one_family_objects_to_two_finished_transactions_of_one_coin() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody(), asked()));
    exam.sent(1, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.durable(2, Fact::Signed(FinalTransaction(transaction(1, 1)))).unwrap();
    refuses(exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))), "both finished");
}

#[test]
fn one_coin_one_family_counts_a_traitors_shares_and_not_its_claims() {
    let mut exam = Exam(OneCoinOneFamily::new(&cluster(), all_but_one(), asked()));
    exam.sent(2, &Message::Finished(FinalTransaction(transaction(1, 1)))).unwrap();
    exam.sent(3, &Message::Finished(FinalTransaction(transaction(1, 2)))).unwrap();
    let (one, rival) = (proposal(2, 3), proposal(2, 4));
    shares_of_all(&mut exam, &one).unwrap();
    refuses(shares_of_all(&mut exam, &rival), "both spend");
}

#[test]
fn one_coin_one_family_allows_the_same_payment_of_the_same_coins_and_nothing_else() {
    let original = with_change(1, 1, 5_000);
    let second = |proposal: &SignedProposal| {
        let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody(), asked()));
        shares_of_all(&mut exam, &original).unwrap();
        shares_of_all(&mut exam, proposal)
    };
    second(&with_change(1, 1, 4_000)).unwrap();
    second(&proposal(1, 1)).unwrap();
    refuses(second(&with_change(1, 2, 4_000)), "are no family");
    let edited = |edit: fn(&mut Transaction)| {
        let mut body = with_change(1, 1, 4_000).body;
        edit(&mut body.unsigned_tx);
        Signed::new(body, &key(1))
    };
    let less = edited(|transaction| transaction.output[0].value = Amount::from_sat(999));
    let aside = edited(|transaction| transaction.output[1].script_pubkey = recipient(9));
    let more_coins = edited(|transaction| transaction.input.extend(super::transaction(2, 1).input));
    for stranger in [less, aside, more_coins] {
        refuses(second(&stranger), "are no family");
    }
}

#[test]
fn one_coin_one_family_objects_to_what_is_built_on_what_a_replacement_destroys() {
    let (original, replacement) = (with_change(1, 1, 5_000), with_change(1, 1, 4_000));
    let mut child = proposal(2, 2).body;
    child.unsigned_tx.input[0].previous_output = OutPoint { txid: original.body.txid(), vout: 1 };
    let child = Signed::new(child, &key(1));
    for order in [[&original, &child, &replacement], [&original, &replacement, &child]] {
        let [first, second, last] = order;
        let signed = || {
            let mut exam = Exam(OneCoinOneFamily::new(&cluster(), everybody(), asked()));
            shares_of_all(&mut exam, first).unwrap();
            exam
        };
        let mut exam = signed();
        shares_of_all(&mut exam, second).unwrap();
        refuses(shares_of_all(&mut exam, last), "takes its place");
        // In a block the original makes what it makes.
        let mut exam = signed();
        let transaction = &original.body.unsigned_tx;
        exam.0.observe(&Observed::Confirmed { transaction }).unwrap();
        shares_of_all(&mut exam, second).unwrap();
        shares_of_all(&mut exam, last).unwrap();
    }
}

#[test]
fn paid_once_takes_another_of_the_same_coins_for_the_same_payment() {
    let asked = BTreeMap::from([(recipient(1), (String::from("payment-1"), 1_000))]);
    let mut oracle = PaidOnce::new(asked);
    for transaction in [transaction(1, 1), with_change(1, 1, 4_000).body.unsigned_tx] {
        oracle.observe(&Observed::Confirmed { transaction: &transaction }).unwrap();
    }
    refuses(oracle.observe(&Observed::Confirmed { transaction: &transaction(2, 1) }), "is paid by");
}
