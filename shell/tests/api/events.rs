//! The stream of events over a real journal and a scripted present.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::events::{Node, banned, life, txid};
use crate::support::{client::assert_problem, healthy};
use mpc_wallet_core::{
    BootId, NodeId, Timestamp,
    overview::MemberStatus,
    record::{Fact, Record},
};
use mpc_wallet_shell::access::{KeyFile, Keyring, Role, Token};
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// More records than are kept for listeners that come back.
const MORE_THAN_KEPT: u64 = 10_000;
/// More batches than a listener may be behind.
const MORE_THAN_QUEUED: u16 = 300;

#[tokio::test]
async fn a_payment_is_told_step_by_step_with_ascending_ids() {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    let opening = stream.next().await;
    assert_eq!((opening.retry.as_deref(), opening.event.as_deref()), (Some("3000"), None));
    assert!(opening.id.is_some());
    node.append(life()).await;

    let mut told = Vec::new();
    let mut last = 0;
    while told.last().is_none_or(|(kind, _)| kind != "key.failed") {
        let block = stream.next().await;
        let id = block.id.clone().unwrap();
        assert_eq!(block.json()["id"], id);
        assert_eq!(block.json()["type"], block.event.clone().unwrap());
        assert_eq!(block.json()["at"], "1970-01-01T00:00:03Z");
        let position: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
        assert!(position > last, "{position} after {last}");
        last = position;
        told.push((block.event.clone().unwrap(), block.json()));
    }
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "transaction.created",
            "transaction.updated",
            "transaction.vote",
            "transaction.vote",
            "violation.recorded",
            "node.banned",
            "transaction.updated",
            "transaction.updated",
            "transaction.updated",
            "transaction.reorged",
            "wallet.coin_lost",
            "key.failed",
        ]
    );
    for (place, field, value) in [
        (0, "txid", json!(txid())),
        (0, "amount_sats", json!(10_000)),
        (0, "proposed_by", json!(4)),
        (0, "replaces", json!(null)),
        (1, "from", json!("pending")),
        (1, "to", json!("voting")),
        (2, "approve", json!(true)),
        (3, "approve", json!(false)),
        (3, "node_id", json!(2)),
        (4, "violation_type", json!("timeout")),
        (5, "node_id", json!(5)),
        (6, "sub_status", json!("retrying_other_subset")),
        (7, "confirmations", json!(6)),
        (7, "block", json!({ "height": 101, "hash": "08".repeat(32) })),
        (8, "block", json!(null)),
        (9, "sub_status", json!("reorged_out")),
        (10, "wallet", json!("taproot")),
        (10, "coin", json!(format!("{}:1", txid()))),
        (10, "amount_sats", json!(700)),
        (10, "spent_by", json!(txid())),
        (11, "key", json!("segwit-1")),
    ] {
        assert_eq!(told[place].1[field], value, "{field} of {:?}", told[place]);
    }
}

#[tokio::test]
async fn who_comes_back_hears_exactly_what_was_missed_even_after_a_restart() {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    let begins = stream.next().await.id.unwrap();
    node.append(vec![banned(1), banned(2)]).await;
    let first = stream.next_event().await;
    assert_eq!(first.json()["node_id"], 1);
    drop(stream);

    node.append(vec![banned(3)]).await;
    let mut again = node.listen(first.id.as_deref()).await;
    assert_eq!(again.numbers(2).await, [2, 3]);
    // What is new follows what was missed, each once.
    node.append(vec![banned(4)]).await;
    assert_eq!(again.numbers(1).await, [4]);

    let mut node = node.restart();
    let mut again = node.listen(first.id.as_deref()).await;
    assert_eq!(again.numbers(3).await, [2, 3, 4]);
    // Who heard nothing at all has the place where it began.
    let mut from_begin = node.listen(Some(&begins)).await;
    node.append(vec![banned(5)]).await;
    assert_eq!(from_begin.numbers(5).await, [1, 2, 3, 4, 5]);
    assert_eq!(again.numbers(1).await, [5]);
}

#[tokio::test]
async fn what_cannot_be_resumed_begins_with_a_reset_and_goes_on() {
    let (_, known) = node_with_an_event().await;
    let tag = known.rsplit('-').next().unwrap();
    let cases = [
        ("no id", "latest".to_owned(), "unknown_id"),
        ("of another node", known.replacen('1', "2", 1), "unknown_id"),
        ("newer than the newest", format!("1-900000-{tag}"), "unknown_id"),
        ("another record at its position", known.replace(tag, "00000001"), "unknown_id"),
    ];
    for (desc, id, reason) in cases {
        let (mut node, known) = node_with_an_event().await;
        let mut stream = node.listen(Some(&id)).await;
        let reset = stream.next_event().await;
        assert_eq!(
            (reset.event.as_deref(), &reset.json()["reason"]),
            (Some("reset"), &json!(reason)),
            "{desc}"
        );
        assert_eq!(reset.id.as_deref(), Some(known.as_str()), "{desc}");
        node.append(vec![banned(2)]).await;
        assert_eq!(stream.numbers(1).await, [2], "{desc}");
    }
}

/// A node that has told one event, and its id.
async fn node_with_an_event() -> (Node, String) {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    stream.next().await;
    node.append(vec![banned(1)]).await;
    let id = stream.next_event().await.id.unwrap();
    (node, id)
}

#[tokio::test]
async fn an_id_older_than_what_is_kept_is_reset_also_after_a_restart() {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    let begins = stream.next().await.id.unwrap();
    let boots = (0..MORE_THAN_KEPT)
        .map(|boot| Record { at: Timestamp(3_000), fact: Fact::Booted { boot: BootId(boot) } });
    node.append(boots.collect()).await;
    node.append(vec![banned(1)]).await;
    let newest = stream.next_event().await.id.unwrap();
    for _ in 0..2 {
        let reset = node.listen(Some(&begins)).await.next_event().await;
        assert_eq!((reset.event.as_deref(), &reset.json()["reason"]), (Some("reset"), &json!("too_old")));
        assert_eq!(reset.id.as_ref(), Some(&newest));
        node = node.restart();
    }
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_reset_and_holds_nobody_up() {
    let mut node = Node::new().await;
    let mut slow = node.listen(None).await;
    slow.next().await;
    let mut quick = node.listen(None).await;
    for number in 1..=MORE_THAN_QUEUED {
        node.append(vec![banned(number)]).await;
        assert_eq!(quick.numbers(1).await, [number]);
    }
    let reset = slow.next_event().await;
    assert_eq!((reset.event.as_deref(), &reset.json()["reason"]), (Some("reset"), &json!("too_slow")));
    node.append(vec![banned(1)]).await;
    assert_eq!(slow.numbers(1).await, [1]);
    let resumed = node.listen(reset.id.as_deref()).await.numbers(1).await;
    assert_eq!(resumed, [1]);
}

#[tokio::test]
async fn changes_of_the_present_are_told_without_an_id() {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    stream.next().await;
    let mut present = healthy();
    present.members[4].status = MemberStatus::Offline;
    present.online = 4;
    present.coordinator = Some(NodeId::new(2));
    present.wallets[0].balance.spendable = bitcoin::Amount::from_sat(1);
    present.chain.as_mut().unwrap().tip.height = 102;
    // The same again changes nothing.
    node.overview.send_replace(Arc::new(present.clone()));
    let mut told = Vec::new();
    for _ in 0..4 {
        let block = stream.next_event().await;
        assert_eq!((block.id.as_deref(), block.json()["id"].as_str()), (None, None), "{block:?}");
        told.push((block.event.clone().unwrap(), block.json()));
    }
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["cluster.node", "cluster.quorum", "wallet.balance", "chain.tip"]);
    assert_eq!((&told[0].1["node_id"], &told[0].1["status"]), (&json!(5), &json!("offline")));
    assert_eq!((&told[1].1["online_nodes"], &told[1].1["coordinator"]), (&json!(4), &json!(2)));
    assert_eq!(told[2].1["spendable_sats"], 1);
    assert_eq!(told[3].1["height"], 102);
    node.overview.send_replace(Arc::new(present));
    node.append(vec![banned(1)]).await;
    assert_eq!(stream.numbers(1).await, [1]);
}

#[tokio::test]
async fn silence_is_broken_by_a_heartbeat() {
    let node = Node::new().await;
    let mut stream = node.listen(None).await;
    stream.next().await;
    for _ in 0..2 {
        let began = Instant::now();
        let block = stream.next().await;
        assert_eq!((block.comment.as_deref(), block.id), (Some("keep-alive"), None));
        assert!(began.elapsed() >= crate::support::events::HEARTBEAT / 2, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_answer_may_not_be_stored_or_held_back_and_takes_no_parameters() {
    let node = Node::new().await;
    let stream = node.listen(None).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(stream.headers[name], value);
    }
    let refused = node.get("/api/v1/events?last_event_id=1", None).await;
    assert_problem(&refused, 400, "validation_failed");
}

#[tokio::test]
async fn streams_outlive_the_time_limit_of_requests_and_end_with_the_node() {
    let mut node = Node::new().await;
    let mut stream = node.listen(None).await;
    stream.next().await;
    tokio::time::sleep(crate::support::options(None).request_timeout * 2).await;
    node.append(vec![banned(1)]).await;
    assert_eq!(stream.numbers(1).await, [1]);
    node.stop.cancel();
    assert!(stream.ends().await);
}

/// A file of keys and what a client shows for each.
fn keys(names: &[&str]) -> (TempDir, Arc<Keyring>, Vec<String>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("api-keys.toml");
    let mut file = KeyFile::default();
    let mut create = |name: &str| file.create(name, Role::Viewer, OffsetDateTime::UNIX_EPOCH).unwrap();
    let shown = names.iter().map(|name| format!("Bearer {}", Token::reveal(&create(name)))).collect();
    file.write(&path).unwrap();
    let keyring = Keyring::load(&path, NonZeroU32::new(60_000).unwrap()).unwrap();
    (dir, Arc::new(keyring), shown)
}

#[tokio::test]
async fn streams_are_limited_by_key_and_in_all_and_a_closed_one_makes_room() {
    let (_dir, keyring, shown) = keys(&["one", "two", "three"]);
    let node = Node::guarded(keyring);
    let mut open = Vec::new();
    for _ in 0..crate::support::events::PER_KEY {
        open.push(node.listen_as(&shown[0], None).await);
    }
    let refused = node.get("/api/v1/events", Some(&shown[0])).await;
    assert_problem(&refused, 429, "too_many_streams");
    assert_eq!(refused.headers["retry-after"], "15");
    while open.len() < crate::support::events::IN_ALL {
        open.push(node.listen_as(&shown[1], None).await);
    }
    let refused = node.get("/api/v1/events", Some(&shown[2])).await;
    assert_problem(&refused, 503, "too_many_streams");
    assert_eq!(refused.headers["retry-after"], "15");
    assert_eq!(refused.json["limit"], crate::support::events::IN_ALL);
    open.remove(0);
    open.push(node.listen_as(&shown[0], None).await);
}

#[tokio::test]
async fn a_revoked_key_ends_its_stream_and_no_other() {
    let (dir, keyring, shown) = keys(&["stays", "goes"]);
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&keyring).follow(stop.clone()));
    // It has seen the file as it is now.
    tokio::task::yield_now().await;
    let mut node = Node::guarded(keyring);
    let mut stays = node.listen_as(&shown[0], None).await;
    let mut goes = node.listen_as(&shown[1], None).await;
    stays.next().await;
    goes.next().await;

    let path = dir.path().join("api-keys.toml");
    let mut file = KeyFile::read(&path).unwrap();
    file.revoke("goes").unwrap();
    // The name alone is no key.
    file.create("goes", Role::Viewer, OffsetDateTime::UNIX_EPOCH).unwrap();
    file.write(&path).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(10), goes.ends()).await.unwrap());
    node.append(vec![banned(1)]).await;
    assert_eq!(stays.numbers(1).await, [1]);
    stop.cancel();
}

#[tokio::test]
async fn a_node_without_a_journal_says_that_it_has_nothing_to_tell() {
    let node = crate::support::client::accepting();
    let refused = crate::support::client::get(&node, "/api/v1/events").await;
    assert_problem(&refused, 503, "no_events");
}
