//! The Esplora face, read by a client that is not ours and by hand where it has traps.

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Network, Txid, hashes::Hash as _};
use esplora_client::Builder;
use mpc_wallet_e2e::chain::{ErrorFault, Faults, FeeEstimates, Regtest, RegtestOptions};

use crate::support::{FEE, Wallet, broadcast, coin_of, embedded, get, on_each_backend, post};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn esplora_client_follows_a_coin_from_funding_to_spending() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(21);
        let (address, target) = (wallet.taproot(), wallet.segwit());
        let coin = wallet.coin(chain, &address, 100_000);
        let tx = wallet.forward(&coin, &target, FEE);
        let txid = tx.compute_txid();
        let client = Builder::new(&chain.url()).max_retries(0).build_async().unwrap();
        block_on(async {
            let tip = chain.tip().unwrap();
            assert_eq!(client.get_height().await.unwrap(), tip.height);
            assert_eq!(client.get_tip_hash().await.unwrap(), tip.hash);
            let genesis = client.get_block_hash(0).await.unwrap();
            assert_eq!(genesis, genesis_block(Network::Regtest).block_hash());
            let block = client.get_block_info(&tip.hash).await.unwrap();
            assert_eq!((block.height, block.tx_count), (tip.height, 2));
            assert!(client.get_block_status(&tip.hash).await.unwrap().in_best_chain);

            let coins = client.get_address_utxos(&address).await.unwrap();
            assert_eq!(coins.len(), 1);
            assert_eq!(
                (coins[0].txid, coins[0].vout, coins[0].value),
                (coin.0.txid, coin.0.vout, coin.1.value)
            );
            assert_eq!(coins[0].status.block_hash, Some(tip.hash));
            assert_eq!(client.get_scripthash_utxos(&address.script_pubkey()).await.unwrap(), coins);

            client.broadcast(&tx).await.unwrap();
            assert!(client.get_address_utxos(&address).await.unwrap().is_empty());
            let info = client.get_tx_info(&txid).await.unwrap().unwrap();
            assert_eq!((info.fee.to_sat(), info.weight, info.status.confirmed), (FEE, tx.weight(), false));
            assert_eq!(info.previous_outputs(), vec![Some(coin.1.clone())]);
            assert_eq!(info.to_tx(), tx);
            assert_eq!(client.get_tx(&txid).await.unwrap().unwrap(), tx);
            assert_eq!(client.get_mempool_stats().await.unwrap().total_fee.to_sat(), FEE);
            let spend = client.get_output_status(&coin.0.txid, coin.0.vout.into()).await.unwrap().unwrap();
            assert_eq!((spend.spent, spend.txid, spend.vin), (true, Some(txid), Some(0)));

            let stats = client.get_address_stats(&target).await.unwrap();
            assert_eq!(
                (stats.chain_stats.tx_count, stats.mempool_stats.funded_txo_sum.to_sat()),
                (0, 99_000)
            );
            chain.mine(1).unwrap();
            let stats = client.get_address_stats(&target).await.unwrap();
            assert_eq!((stats.chain_stats.tx_count, stats.mempool_stats.tx_count), (1, 0));
            assert!(client.get_tx_status(&txid).await.unwrap().confirmed);
            let history = client.get_address_txs(&address, None).await.unwrap();
            assert_eq!(history.iter().map(|tx| tx.txid).collect::<Vec<_>>(), vec![txid, coin.0.txid]);
            assert!(client.get_tx_outspends(&coin.0.txid).await.unwrap()[coin.0.vout as usize].spent);
            assert!(client.get_fee_estimates().await.unwrap().contains_key(&6));
        });
    });
}

#[test]
fn raw_and_hex_are_the_transaction() {
    on_each_backend(|chain| {
        let wallet = Wallet::new(22);
        let txid = chain.fund(&wallet.taproot(), Amount::from_sat(5_000)).unwrap();
        let tx = chain.transaction(&txid).unwrap().unwrap();
        let hex = get(chain, &format!("/tx/{txid}/hex"));
        assert_eq!(hex, (200, bitcoin::consensus::encode::serialize_hex(&tx)));
        let mut raw = ureq::get(format!("{}/tx/{txid}/raw", chain.url())).call().unwrap();
        assert_eq!(raw.body_mut().read_to_vec().unwrap(), serialize(&tx));
    });
}

#[test]
fn unknown_things_are_answered_like_the_real_server_does() {
    let chain = embedded(RegtestOptions::default());
    let none = Txid::all_zeros();
    let mainnet = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
    let cases = [
        ("status of an unknown transaction", format!("/tx/{none}/status"), 200, "{\"confirmed\":false}"),
        ("spend of an unknown outpoint", format!("/tx/{none}/outspend/0"), 200, "{\"spent\":false}"),
        ("spends of an unknown transaction", format!("/tx/{none}/outspends"), 404, "Transaction not found"),
        ("an unknown transaction", format!("/tx/{none}"), 404, "Transaction not found"),
        ("an unknown raw transaction", format!("/tx/{none}/raw"), 404, "Transaction not found"),
        ("a txid that is none", "/tx/xyz".into(), 400, "Invalid hex string"),
        ("an unknown block", format!("/block/{none}"), 404, "Block not found"),
        ("a height above the tip", "/block-height/99999".into(), 404, "Block not found"),
        ("an address that is none", "/address/xyz/utxo".into(), 400, "Invalid Bitcoin address"),
        ("a mainnet address", format!("/address/{mainnet}"), 400, "Address on invalid network"),
    ];
    for (desc, path, status, body) in cases {
        assert_eq!(get(&chain, &path), (status, body.to_owned()), "{desc}");
    }
}

#[test]
fn script_with_more_than_five_hundred_coins_is_not_listed() {
    let chain = embedded(RegtestOptions::default());
    let address = Wallet::new(23).taproot();
    chain.fund_many(&address, Amount::from_sat(1_000), 500).unwrap();
    let (status, body) = get(&chain, &format!("/address/{address}/utxo"));
    let listed: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    assert_eq!((status, listed.len()), (200, 500));
    chain.fund(&address, Amount::from_sat(1_000)).unwrap();
    let (status, body) = get(&chain, &format!("/address/{address}/utxo"));
    assert_eq!(status, 400);
    assert!(body.starts_with("Too many unspent transaction outputs"), "{body}");
}

#[test]
fn history_pages_by_twenty_five() {
    let chain = embedded(RegtestOptions::default());
    let address = Wallet::new(24).segwit();
    let mut expected: Vec<Txid> =
        (0..60).map(|_| chain.fund(&address, Amount::from_sat(1_000)).unwrap()).collect();
    expected.reverse();
    let client = Builder::new(&chain.url()).build_async().unwrap();
    let mut seen: Vec<Txid> = Vec::new();
    block_on(async {
        loop {
            let page = client.get_address_txs(&address, seen.last().copied()).await.unwrap();
            assert!(page.len() <= 25);
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|tx| tx.txid));
        }
    });
    assert_eq!(seen, expected);
}

#[test]
fn fee_estimates_can_be_set() {
    let chain = embedded(RegtestOptions::default());
    assert_eq!(get(&chain, "/fee-estimates"), (200, "{\"1\":2.0,\"6\":1.0}".to_owned()));
    chain.set_fee_estimates(FeeEstimates::from([(1, 87.5)]));
    assert_eq!(get(&chain, "/fee-estimates"), (200, "{\"1\":87.5}".to_owned()));
    assert_eq!(post(&chain, "/regtest/fee-estimates", "{\"2\":3.5}").0, 200);
    assert_eq!(get(&chain, "/fee-estimates"), (200, "{\"2\":3.5}".to_owned()));
}

fn set_faults(chain: &Regtest, errors: ErrorFault, delay_ms: u64) {
    let faults = serde_json::to_string(&Faults { errors, delay_ms }).unwrap();
    assert_eq!(post(chain, "/regtest/faults", &faults).0, 200);
}

#[test]
fn faults_hit_the_face_and_leave_the_control_routes_alone() {
    let chain = embedded(RegtestOptions::default());
    for (errors, status) in
        [(ErrorFault::Unavailable, 503), (ErrorFault::RateLimited, 429), (ErrorFault::Garbage, 200)]
    {
        set_faults(&chain, errors, 0);
        let (got, body) = get(&chain, "/blocks/tip/height");
        assert_eq!(got, status);
        assert!(body.parse::<u32>().is_err());
    }
    set_faults(&chain, ErrorFault::Hang, 0);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(200))).build().into();
    assert!(matches!(
        agent.get(format!("{}/blocks/tip/height", chain.url())).call(),
        Err(ureq::Error::Timeout(_))
    ));
    set_faults(&chain, ErrorFault::None, 150);
    let asked = Instant::now();
    assert_eq!(get(&chain, "/blocks/tip/height").0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(150));
}

#[test]
fn lost_reply_hides_a_broadcast_that_happened() {
    let chain = embedded(RegtestOptions::default());
    let wallet = Wallet::new(25);
    let coin = wallet.coin(&chain, &wallet.taproot(), 100_000);
    let tx = wallet.forward(&coin, &wallet.taproot(), FEE);
    chain.set_faults(Faults { errors: ErrorFault::ReplyLost, delay_ms: 0 });
    assert_eq!(broadcast(&chain, &tx).0, 504);
    assert_eq!(get(&chain, &format!("/tx/{}", tx.compute_txid())).0, 200);
    assert_eq!(
        coin_of(&chain.transaction(&tx.compute_txid()).unwrap().unwrap(), &wallet.taproot()).0.vout,
        0
    );
}
