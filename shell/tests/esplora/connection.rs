//! Reaching the server: its network, retries, limits, connections.

use std::time::{Duration, Instant};

use bitcoin::Network;
use mpc_wallet_core::chain::{ChainObservation, ChainQuery};
use mpc_wallet_shell::esplora::{ConnectError, Esplora, EsploraConfig};

use crate::{
    server::{Server, ask, poll},
    wallet::{coin, deposit},
};

#[tokio::test]
async fn a_server_of_another_network_is_refused_naming_both() {
    let server = Server::start().await;
    let error = Esplora::connect(server.config(), Network::Testnet4).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::WrongNetwork { expected: Network::Testnet4, .. }));
    let text = error.to_string();
    assert!(text.contains("serves regtest") && text.contains("runs on testnet4"), "{text}");
}

#[tokio::test]
async fn a_server_down_at_start_is_verified_before_its_first_answer() {
    let server = Server::start().await;
    server.clear("GET /block-height/0");
    server.say("GET /block-height/0", 503, "starting");
    server.say("GET /block-height/0", 503, "starting");
    server.genesis("", Network::Regtest);
    let chain = server.client().await;
    assert!(poll(&chain, &[], &[]).await.unwrap_err().contains("503"));
    assert_eq!(server.asked("GET /blocks"), 0);
    poll(&chain, &[], &[]).await.unwrap();
    poll(&chain, &[], &[]).await.unwrap();
    assert_eq!(server.asked("GET /block-height/0"), 3);
}

#[tokio::test]
async fn a_server_of_another_network_found_late_gives_no_answers() {
    let server = Server::start().await;
    server.clear("GET /block-height/0");
    server.say("GET /block-height/0", 502, "");
    server.genesis("", Network::Bitcoin);
    let chain = server.client().await;
    let reason = poll(&chain, &[], &[]).await.unwrap_err();
    assert!(reason.contains("serves bitcoin") && reason.contains("runs on regtest"), "{reason}");
    assert!(matches!(chain.check_network().await, Err(ConnectError::WrongNetwork { .. })));
}

#[tokio::test]
async fn a_refused_connection_is_unavailable_and_not_fatal() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let config = EsploraConfig { retries: 1, ..EsploraConfig::new(url) };
    let chain = Esplora::connect(config, Network::Regtest).await.unwrap();
    let reason = poll(&chain, &[], &[]).await.unwrap_err();
    assert!(reason.contains("no answer"), "{reason}");
}

#[tokio::test]
async fn unusable_addresses_are_refused_with_the_reason() {
    for (url, reason) in [
        ("ftp://host/api", "http"),
        ("host", "http"),
        ("http://user:secret@host/api", "credentials"),
        ("http://host/api?key=1", "query"),
        ("http:// host", "uri"),
    ] {
        let error =
            Esplora::connect(EsploraConfig::new(url), Network::Regtest).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn the_base_path_is_kept_and_its_trailing_slash_is_not_doubled() {
    let server = Server::start().await;
    server.genesis("/signet/api", Network::Regtest);
    let config = EsploraConfig { url: format!("{}/signet/api/", server.url), ..server.config() };
    Esplora::connect(config, Network::Regtest).await.unwrap().check_network().await.unwrap();
    assert_eq!(server.asked("GET /signet/api/block-height/0"), 1);
}

#[tokio::test]
async fn a_passing_error_is_retried() {
    let server = Server::start().await;
    let config = EsploraConfig { retries: 2, ..server.config() };
    let chain = Esplora::connect(config, Network::Regtest).await.unwrap();
    server.clear("GET /blocks/tip/hash");
    server.say("GET /blocks/tip/hash", 500, "Transaction missing prevouts");
    server.say("GET /blocks/tip/hash", 429, "slow down");
    server.tip_in_the_end(200);
    poll(&chain, &[], &[]).await.unwrap();
    assert_eq!(server.asked("GET /blocks/tip/hash"), 3);
}

#[tokio::test]
async fn a_lasting_error_is_not_retried() {
    let server = Server::start().await;
    let config = EsploraConfig { retries: 2, ..server.config() };
    let chain = Esplora::connect(config, Network::Regtest).await.unwrap();
    server.clear("GET /blocks/tip/hash");
    server.say("GET /blocks/tip/hash", 403, "<html>\n forbidden </html>");
    assert!(poll(&chain, &[], &[]).await.unwrap_err().contains("HTTP 403: <html> forbidden </html>"));
    assert_eq!(server.asked("GET /blocks/tip/hash"), 1);
}

#[tokio::test]
async fn a_server_that_never_answers_is_bounded_in_time() {
    let server = Server::start().await;
    for (request, answer, words) in [(200, 10_000, "/blocks/tip/hash"), (10_000, 200, "question")] {
        let config = EsploraConfig {
            request_timeout: Duration::from_millis(request),
            answer_timeout: Duration::from_millis(answer),
            ..server.config()
        };
        let chain = Esplora::connect(config, Network::Regtest).await.unwrap();
        server.clear("GET /blocks/tip/hash");
        server.hang("GET /blocks/tip/hash");
        let start = Instant::now();
        let reason = poll(&chain, &[], &[]).await.unwrap_err();
        assert!(reason.contains(words) && reason.contains("nothing within 200ms"), "{reason}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Server::start().await;
    let chain = server.client().await;
    server.clear("GET /blocks/tip/hash");
    server.say("GET /blocks/tip/hash", 200, vec![b'0'; 100_000]);
    let reason = poll(&chain, &[], &[]).await.unwrap_err();
    assert!(reason.contains("limit 65536 bytes"), "{reason}");
}

#[tokio::test]
async fn connections_are_few_and_kept() {
    let server = Server::start().await;
    let chain = server.client().await;
    let parents: Vec<_> = (1..=20).map(|n| deposit(n, 1000)).collect();
    for parent in &parents {
        server.knows(parent, None);
    }
    for _ in 0..5 {
        let outpoints = parents.iter().map(|p| coin(p, 0)).collect();
        let answer = ask(&chain, ChainQuery::Coins { outpoints }).await;
        assert!(matches!(answer, ChainObservation::Coins(coins) if coins.len() == 20));
    }
    assert_eq!(server.asked("GET /tx/"), 20 * 3 + 4 * 20 * 2);
    assert!(server.connections() <= 8, "{} connections", server.connections());
}
