//! Coins that strangers spend: noticed by who had seen them, and by nobody else.

use super::*;

fn coin(number: u32) -> OutPoint {
    OutPoint { vout: number, ..OutPoint::null() }
}

fn theft(of: OutPoint) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn { previous_output: of, ..TxIn::default() }],
        output: vec![],
    }
}

fn seen(number: u32) -> Fact {
    Fact::CoinSeen { coin: coin(number), key: key_id(), value: Amount::from_sat(9) }
}

fn lost(number: u32, by: Option<&Transaction>) -> Fact {
    let by = by.map(Transaction::compute_txid);
    Fact::CoinLost { coin: coin(number), key: key_id(), value: Amount::from_sat(9), by }
}

/// Two coins that node-1 has seen, and a thief who takes the first.
fn robbed() -> (Exam<Losses>, Transaction) {
    let mut exam = Exam(Losses::new(everybody()));
    exam.durable(1, seen(1)).unwrap();
    exam.durable(1, seen(2)).unwrap();
    assert_eq!(exam.0.owed(), None);
    let transaction = theft(coin(1));
    exam.0.observe(&Observed::Stolen { transaction: &transaction }).unwrap();
    (exam, transaction)
}

#[test]
fn losses_waits_for_everybody_who_had_seen_what_is_stolen() {
    let (mut exam, transaction) = robbed();
    assert!(exam.0.owed().unwrap().contains("node-1 has not noticed"));
    exam.durable(1, lost(1, Some(&transaction))).unwrap();
    assert_eq!(exam.0.owed(), None);
    // A journal from before the loss owes it again, one from before the coin nothing.
    let record = Record { at: Timestamp(1), fact: seen(1) };
    exam.0.observe(&Observed::Restored { node: node(1), records: &[record] }).unwrap();
    assert!(exam.0.owed().is_some());
    exam.0.observe(&Observed::Restored { node: node(1), records: &[] }).unwrap();
    assert_eq!(exam.0.owed(), None);
}

#[test]
fn losses_objects_to_what_no_thief_has_taken() {
    let (mut exam, transaction) = robbed();
    refuses(exam.durable(1, lost(2, Some(&transaction))), "no thief");
    refuses(exam.durable(1, lost(1, Some(&theft(coin(2))))), "no thief");
    refuses(exam.durable(1, lost(1, None)), "no thief");
}
