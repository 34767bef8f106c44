//! Moving the chain: faucet, mining, reorganisation, eviction.

use std::time::{Duration, Instant};

use bitcoin::Amount;
use mpc_wallet_e2e::chain::RegtestOptions;

use crate::support::{
    FEE, Wallet, bitcoind, broadcast, coin_of, embedded, eventually, get, on_each_backend, post,
};

#[test]
fn fresh_chain_funds_a_wallet_within_a_second() {
    let started = Instant::now();
    let chain = embedded(RegtestOptions::default());
    let wallet = Wallet::new(31);
    let txid = chain.fund_many(&wallet.taproot(), Amount::from_sat(1_000_000), 20).unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
    assert_eq!(chain.confirmations(&txid).unwrap(), Some(1));
}

#[test]
fn faucet_pays_by_http_and_mines_when_it_runs_short() {
    on_each_backend(|chain| {
        let address = Wallet::new(32).segwit();
        let body = format!("{{\"address\":\"{address}\",\"amount_sats\":150000000000,\"count\":2}}");
        let (status, text) = post(chain, "/regtest/faucet", &body);
        assert_eq!(status, 200, "{text}");
        let paid = chain.payments_to(&address.script_pubkey()).unwrap();
        assert_eq!(
            paid.iter().map(|payment| payment.amount).collect::<Vec<_>>(),
            vec![Amount::from_int_btc(1_500); 2]
        );
        assert_eq!(chain.balance(&address.script_pubkey()).unwrap(), Amount::from_int_btc(3_000));
    });
}

#[test]
fn control_routes_refuse_nonsense_with_a_sentence() {
    let chain = embedded(RegtestOptions::default());
    let address = Wallet::new(33).taproot();
    let tip = chain.tip().unwrap();
    let cases = [
        ("dust", "/regtest/faucet", format!("{{\"address\":\"{address}\",\"amount_sats\":1}}")),
        (
            "too much",
            "/regtest/faucet",
            format!("{{\"address\":\"{address}\",\"amount_sats\":2000000000000}}"),
        ),
        (
            "no outputs",
            "/regtest/faucet",
            format!("{{\"address\":\"{address}\",\"amount_sats\":1000,\"count\":0}}"),
        ),
        ("below genesis", "/regtest/invalidate", "{\"depth\":100000}".into()),
        ("too many blocks", "/regtest/mine", "{\"blocks\":100001}".into()),
        ("not in the mempool", "/regtest/evict", format!("{{\"txid\":\"{}\"}}", "00".repeat(32))),
    ];
    for (desc, path, body) in cases {
        let (status, text) = post(&chain, path, &body);
        assert_eq!(status, 400, "{desc}: {text}");
        assert!(text.len() > 10, "{desc}: {text}");
    }
    assert_eq!(chain.tip().unwrap(), tip);
}

#[test]
fn reorganisation_returns_transactions_to_the_mempool() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(34);
        let coin = wallet.coin(chain, &wallet.taproot(), 100_000);
        let parent = wallet.forward(&coin, &wallet.taproot(), FEE);
        let child = wallet.forward(&coin_of(&parent, &wallet.taproot()), &wallet.segwit(), FEE);
        assert_eq!(broadcast(chain, &parent).0, 200);
        let confirming = chain.mine(1).unwrap();
        assert_eq!(broadcast(chain, &child).0, 200);

        let fork = chain.invalidate(1).unwrap();
        assert_eq!(fork.height, confirming.height - 1);
        assert_eq!(chain.confirmations(&parent.compute_txid()).unwrap(), Some(0));
        assert_eq!(chain.confirmations(&child.compute_txid()).unwrap(), Some(0));
        let (_, status) = get(chain, &format!("/block/{}/status", confirming.hash));
        assert!(status.contains("\"in_best_chain\":false"), "{status}");

        chain.mine(2).unwrap();
        assert_eq!(chain.confirmations(&parent.compute_txid()).unwrap(), Some(2));
        assert_eq!(chain.confirmations(&child.compute_txid()).unwrap(), Some(2));
        assert_eq!(chain.spends_of(&coin.0).unwrap(), vec![parent.compute_txid()]);
        let (_, now) = get(chain, &format!("/block-height/{}", confirming.height));
        assert_ne!(now, confirming.hash.to_string());
    });
}

#[test]
fn reorganisation_repeated_at_once_never_repeats_a_block() {
    on_each_backend(|chain| {
        let mut seen = vec![chain.tip().unwrap().hash];
        for _ in 0..5 {
            chain.invalidate(1).unwrap();
            let tip = chain.mine(1).unwrap();
            assert!(!seen.contains(&tip.hash));
            seen.push(tip.hash);
        }
    });
}

#[test]
fn evicted_transaction_is_gone_with_its_descendants_and_can_come_back() {
    let chain = embedded(RegtestOptions::default());
    let wallet = Wallet::new(35);
    let coin = wallet.coin(&chain, &wallet.taproot(), 100_000);
    let parent = wallet.forward(&coin, &wallet.taproot(), FEE);
    let child = wallet.forward(&coin_of(&parent, &wallet.taproot()), &wallet.segwit(), FEE);
    chain.broadcast(&parent).unwrap();
    chain.broadcast(&child).unwrap();
    assert_eq!(chain.evict(&parent.compute_txid()).unwrap().len(), 2);
    assert!(chain.mempool().unwrap().is_empty());
    assert_eq!(chain.balance(&wallet.taproot().script_pubkey()).unwrap(), Amount::from_sat(100_000));
    chain.broadcast(&parent).unwrap();
    assert_eq!(chain.mempool().unwrap(), vec![parent.compute_txid()]);
    if let Some(node) = bitcoind() {
        assert!(node.evict(&parent.compute_txid()).unwrap_err().to_string().contains("embedded"));
    }
}

#[test]
fn auto_mining_confirms_what_waits_and_then_rests() {
    let chain = embedded(RegtestOptions { auto_mine: Some(Duration::from_millis(20)), keep: None });
    let wallet = Wallet::new(36);
    let coin = wallet.coin(&chain, &wallet.taproot(), 100_000);
    let before = chain.tip().unwrap().height;
    let txid = chain.broadcast(&wallet.forward(&coin, &wallet.taproot(), FEE)).unwrap();
    eventually("confirmation", || chain.confirmations(&txid).unwrap() == Some(1));
    assert_eq!(chain.tip().unwrap().height, before + 1);
}

#[test]
fn stopped_chain_frees_its_port() {
    let chain = embedded(RegtestOptions::default());
    let address = chain.url().trim_start_matches("http://").to_owned();
    chain.stop();
    assert!(std::net::TcpStream::connect(&address).is_err());
}
