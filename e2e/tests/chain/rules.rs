//! What the mempool takes and refuses, in Bitcoin Core's words.

use bitcoin::absolute::LockTime;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid, Witness, hashes::Hash as _};
use mpc_wallet_e2e::chain::Regtest;

use crate::support::{FEE, Wallet, broadcast, coin_of, on_each_backend, pay, post, unsigned};

/// Asserts a refusal: the code exactly, the text by its beginning.
#[track_caller]
fn assert_refused(chain: &Regtest, tx: &Transaction, code: i32, text: &str) {
    let (status, body) = broadcast(chain, tx);
    assert_eq!(status, 400, "{body}");
    let error = body.strip_prefix("sendrawtransaction RPC error: ").expect(&body);
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["code"], code, "{body}");
    assert!(error["message"].as_str().unwrap().starts_with(text), "expected {text}, got {body}");
}

#[track_caller]
fn assert_taken(chain: &Regtest, tx: &Transaction) -> Txid {
    let (status, body) = broadcast(chain, tx);
    assert_eq!((status, body), (200, tx.compute_txid().to_string()));
    tx.compute_txid()
}

#[test]
fn payments_signed_for_taproot_and_segwit_confirm() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(1);
        let coins =
            [wallet.coin(chain, &wallet.taproot(), 100_000), wallet.coin(chain, &wallet.segwit(), 50_000)];
        let tx = wallet.spend(&coins, &[pay(&wallet.segwit(), 120_000), pay(&wallet.taproot(), 29_000)]);
        let txid = assert_taken(chain, &tx);
        assert_eq!(chain.confirmations(&txid).unwrap(), Some(0));
        chain.mine(2).unwrap();
        assert_eq!(chain.confirmations(&txid).unwrap(), Some(2));
        assert_eq!(chain.spends_of(&coins[0].0).unwrap(), vec![txid]);
    });
}

#[test]
fn witnesses_that_do_not_satisfy_their_script_are_refused() {
    on_each_backend(|chain| {
        let (wallet, thief) = (Wallet::new(2), Wallet::new(3));
        for address in [wallet.taproot(), wallet.segwit()] {
            let coin = wallet.coin(chain, &address, 100_000);
            let stolen = thief.forward(&coin, &thief.taproot(), FEE);
            assert_refused(chain, &stolen, -26, "mempool-script-verify-flag-failed");
            let mut altered = wallet.forward(&coin, &wallet.taproot(), FEE);
            altered.output[0].value = Amount::from_sat(90_000);
            assert_refused(chain, &altered, -26, "mempool-script-verify-flag-failed");
        }
    });
}

#[test]
fn taproot_signature_over_a_wrong_amount_is_refused() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(4);
        let coins: Vec<_> = (0..2).map(|_| wallet.coin(chain, &wallet.taproot(), 100_000)).collect();
        let mut tx = unsigned(&[coins[0].0, coins[1].0], &[pay(&wallet.taproot(), 190_000)]);
        let lied = TxOut { value: Amount::from_sat(100_001), ..coins[1].1.clone() };
        wallet.sign(&mut tx, &[coins[0].1.clone(), lied]);
        assert_refused(chain, &tx, -26, "mempool-script-verify-flag-failed");
    });
}

#[test]
fn inputs_that_are_unknown_or_spent_are_missing() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(5);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let unknown = (OutPoint { txid: Txid::all_zeros(), vout: 7 }, coin.1.clone());
        let tx = wallet.forward(&unknown, &wallet.taproot(), FEE);
        assert_refused(chain, &tx, -25, "bad-txns-inputs-missingorspent");
        assert_taken(chain, &wallet.forward(&coin, &wallet.taproot(), FEE));
        chain.mine(1).unwrap();
        let again = wallet.forward(&coin, &wallet.segwit(), FEE);
        assert_refused(chain, &again, -25, "bad-txns-inputs-missingorspent");
    });
}

#[test]
fn transaction_already_known_is_accepted_in_the_mempool_and_refused_in_the_chain() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(6);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let tx = wallet.forward(&coin, &wallet.taproot(), FEE);
        assert_taken(chain, &tx);
        assert_taken(chain, &tx);
        chain.mine(1).unwrap();
        assert_refused(chain, &tx, -27, "Transaction outputs already in utxo set");
    });
}

#[test]
fn dust_low_fees_high_fees_and_overspending_are_refused() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(7);
        let coin = wallet.coin(chain, &wallet.taproot(), 10_000_000);
        let coins = std::slice::from_ref(&coin);
        let dust = wallet.spend(coins, &[pay(&wallet.taproot(), 329), pay(&wallet.segwit(), 9_990_000)]);
        assert_refused(chain, &dust, -26, "dust");
        let least = wallet.spend(coins, &[pay(&wallet.taproot(), 330), pay(&wallet.segwit(), 293)]);
        assert_refused(chain, &least, -26, "dust");
        let cheap = wallet.forward(&coin, &wallet.taproot(), 110);
        assert_eq!(cheap.vsize(), 111);
        assert_refused(chain, &cheap, -26, "min relay fee not met, 110 < 111");
        let dear = wallet.forward(&coin, &wallet.taproot(), 2_000_000);
        assert_refused(chain, &dear, -25, "Fee exceeds maximum configured by user");
        let over = wallet.spend(coins, &[pay(&wallet.taproot(), 10_000_001)]);
        assert_refused(chain, &over, -26, "bad-txns-in-belowout, value in (0.10) < value out (0.10000001)");
        assert_taken(chain, &wallet.forward(&coin, &wallet.taproot(), 111));
    });
}

#[test]
fn conflict_is_refused_unless_the_first_signals_and_the_second_pays_more() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(8);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let mut last = unsigned(&[coin.0], &[pay(&wallet.taproot(), 99_000)]);
        last.input[0].sequence = Sequence::MAX;
        wallet.sign(&mut last, std::slice::from_ref(&coin.1));
        assert_taken(chain, &last);
        assert_refused(chain, &wallet.forward(&coin, &wallet.segwit(), 50_000), -26, "txn-mempool-conflict");

        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let first = assert_taken(chain, &wallet.forward(&coin, &wallet.taproot(), 1_000));
        let child_coin = (OutPoint { txid: first, vout: 0 }, pay(&wallet.taproot(), 99_000));
        let child = assert_taken(chain, &wallet.forward(&child_coin, &wallet.taproot(), 1_000));
        assert_refused(
            chain,
            &wallet.forward(&coin, &wallet.segwit(), 900),
            -26,
            "insufficient fee, rejecting replacement",
        );
        assert_refused(
            chain,
            &wallet.forward(&coin, &wallet.segwit(), 2_050),
            -26,
            "insufficient fee, rejecting replacement",
        );
        let bumped = assert_taken(chain, &wallet.forward(&coin, &wallet.segwit(), 3_000));
        assert_eq!(chain.mempool().unwrap(), vec![bumped]);
        assert_eq!(chain.confirmations(&first).unwrap(), None);
        assert_eq!(chain.confirmations(&child).unwrap(), None);
    });
}

#[test]
fn chain_of_unconfirmed_transactions_ends_at_twenty_five() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(9);
        let mut coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        for _ in 0..25 {
            let tx = wallet.forward(&coin, &wallet.taproot(), 500);
            assert_taken(chain, &tx);
            coin = coin_of(&tx, &wallet.taproot());
        }
        let next = wallet.forward(&coin, &wallet.taproot(), 500);
        assert_refused(chain, &next, -26, "too-long-mempool-chain");
        chain.mine(1).unwrap();
        assert_taken(chain, &next);
    });
}

#[test]
fn coinbase_cannot_be_spent_before_a_hundred_blocks() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(10);
        let open_script = ScriptBuf::from_bytes(vec![0x51]);
        let coinbase = chain.payments_to(&open_script.to_p2wsh()).unwrap().pop().unwrap();
        let mut tx =
            unsigned(&[coinbase.outpoint], &[pay(&wallet.taproot(), coinbase.amount.to_sat() - FEE)]);
        tx.input[0].witness = Witness::from_slice(&[open_script.as_bytes()]);
        assert_refused(
            chain,
            &tx,
            -26,
            "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 1",
        );
        chain.mine(98).unwrap();
        assert_refused(
            chain,
            &tx,
            -26,
            "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 99",
        );
        chain.mine(1).unwrap();
        assert_taken(chain, &tx);
    });
}

#[test]
fn locks_open_with_the_block_after_them() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(11);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let tip = chain.tip().unwrap().height;
        let mut locked = unsigned(&[coin.0], &[pay(&wallet.taproot(), 99_000)]);
        locked.lock_time = LockTime::from_height(tip + 1).unwrap();
        wallet.sign(&mut locked, std::slice::from_ref(&coin.1));
        assert_refused(chain, &locked, -26, "non-final");
        let mut young = unsigned(&[coin.0], &[pay(&wallet.taproot(), 99_000)]);
        young.input[0].sequence = Sequence::from_height(2);
        wallet.sign(&mut young, std::slice::from_ref(&coin.1));
        assert_refused(chain, &young, -26, "non-BIP68-final");
        chain.mine(1).unwrap();
        assert_taken(chain, &locked);
        chain.mine(1).unwrap();

        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let mut aged = unsigned(&[coin.0], &[pay(&wallet.taproot(), 99_000)]);
        aged.input[0].sequence = Sequence::from_height(1);
        wallet.sign(&mut aged, std::slice::from_ref(&coin.1));
        assert_taken(chain, &aged);
    });
}

#[test]
fn malformed_transactions_are_refused() {
    on_each_backend(|chain| {
        for body in ["", "zz", "0200", "deadbeef"] {
            let (status, text) = post(chain, "/tx", body);
            assert_eq!(status, 400);
            assert!(text.starts_with("sendrawtransaction RPC error: {\"code\":-22"), "{text}");
        }
        let wallet = Wallet::new(12);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let mut twice = unsigned(&[coin.0, coin.0], &[pay(&wallet.taproot(), 99_000)]);
        wallet.sign(&mut twice, &[coin.1.clone(), coin.1.clone()]);
        assert_refused(chain, &twice, -26, "bad-txns-inputs-duplicate");
        let odd =
            TxOut { value: Amount::from_sat(99_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51; 30]) };
        assert_refused(chain, &wallet.spend(&[coin], &[odd]), -26, "scriptpubkey");
    });
}
