//! Whether coins exist and are unspent.

use bitcoin::{Transaction, consensus::encode::serialize};
use mpc_wallet_core::chain::{ChainObservation, ChainQuery, CoinStatus};

use crate::{
    server::{Server, ask},
    wallet::{coin, deposit},
};

fn known(parent: &Transaction, height: Option<u32>) -> CoinStatus {
    CoinStatus::Known { parent: parent.clone(), height, spent_by: None }
}

#[tokio::test]
async fn coins_are_answered_in_the_order_asked() {
    let server = Server::start().await;
    let chain = server.client().await;
    let [confirmed, mempool, spent, unknown] = [1, 2, 3, 4].map(|n| deposit(n, 1000));
    server.knows(&confirmed, Some(150));
    server.knows(&mempool, None);
    server.knows(&spent, Some(7));
    server.spent(spent.compute_txid(), 0, mempool.compute_txid(), None);
    // What servers really say about outputs they have never heard of.
    let txid = unknown.compute_txid();
    server.say(&format!("GET /tx/{txid}/status"), 200, r#"{"confirmed":false}"#);
    server.say(&format!("GET /tx/{txid}/outspend/0"), 200, r#"{"spent":false}"#);

    let outpoints = vec![coin(&unknown, 0), coin(&spent, 0), coin(&mempool, 0), coin(&confirmed, 0)];
    let answer = ask(&chain, ChainQuery::Coins { outpoints: outpoints.clone() }).await;
    let spent_by = Some(mempool.compute_txid());
    let statuses = [
        CoinStatus::Unknown,
        CoinStatus::Known { parent: spent, height: Some(7), spent_by },
        known(&mempool, None),
        known(&confirmed, Some(150)),
    ];
    assert_eq!(answer, ChainObservation::Coins(outpoints.into_iter().zip(statuses).collect()));
}

#[tokio::test]
async fn a_parent_with_another_txid_is_a_lie() {
    let server = Server::start().await;
    let chain = server.client().await;
    let (asked, sent) = (deposit(1, 1000), deposit(1, 2000));
    server.knows(&asked, Some(1));
    let route = format!("GET /tx/{}/raw", asked.compute_txid());
    server.clear(&route);
    server.say(&route, 200, serialize(&sent));
    let answer = ask(&chain, ChainQuery::Coins { outpoints: vec![coin(&asked, 0)] }).await;
    let ChainObservation::Unavailable(reason) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("the backend lies"), "{reason}");
    assert!(reason.contains(&sent.compute_txid().to_string()), "{reason}");
}

#[tokio::test]
async fn a_parent_is_fetched_once_and_its_presence_asked_each_time() {
    let server = Server::start().await;
    let chain = server.client().await;
    let parent = deposit(1, 1000);
    let txid = parent.compute_txid();
    let question = || ChainQuery::Coins { outpoints: vec![coin(&parent, 0), coin(&parent, 0)] };
    let both = |status: CoinStatus| {
        ChainObservation::Coins(vec![(coin(&parent, 0), status.clone()), (coin(&parent, 0), status)])
    };
    server.knows(&parent, None);
    assert_eq!(ask(&chain, question()).await, both(known(&parent, None)));
    server.knows(&parent, Some(200));
    assert_eq!(ask(&chain, question()).await, both(known(&parent, Some(200))));
    server.clear(&format!("GET /tx/{txid}"));
    assert_eq!(ask(&chain, question()).await, both(CoinStatus::Unknown));
    assert_eq!(server.asked(&format!("GET /tx/{txid}/raw")), 1);
}
