//! Whoever carries the journal elsewhere finds every durable record, in order, from any position or moment on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use mpc_wallet_core::{
    BootId, ClusterId, LogIndex, NodeId, Timestamp,
    record::{Fact, Record},
};
use mpc_wallet_shell::{
    journal::{Outbox, Store},
    ports::Journal,
};
use tempfile::TempDir;

/// A journal whose records were made at these moments, and a reader of it.
async fn journal(moments: &[u64]) -> (TempDir, Store, Outbox) {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path(), ClusterId::from_bytes([7; 32]), NodeId::new(1)).unwrap();
    let records = (1..).zip(moments).map(|(boot, at)| booted(boot, *at)).collect();
    store.append(records).await.unwrap();
    let outbox = store.outbox().unwrap();
    (dir, store, outbox)
}

fn booted(boot: u64, at: u64) -> Record {
    Record { at: Timestamp(at), fact: Fact::Booted { boot: BootId(boot) } }
}

fn positions(outbox: &Outbox, after: u64, limit: usize) -> Vec<u64> {
    outbox.after(LogIndex(after), limit).unwrap().into_iter().map(|entry| entry.position.0).collect()
}

#[tokio::test]
async fn records_come_in_order_from_a_position_on_also_those_written_meanwhile() {
    let (_dir, mut store, outbox) = journal(&[10, 20, 30]).await;
    let second = outbox.after(LogIndex(1), 1).unwrap().pop().unwrap();
    assert_eq!((second.position, second.record), (LogIndex(2), booted(2, 20)));
    assert_eq!(positions(&outbox, 0, 9), [1, 2, 3]);
    assert_eq!(positions(&outbox, 3, 9), [0_u64; 0]);
    store.append(vec![booted(4, 40)]).await.unwrap();
    assert_eq!(positions(&outbox, 3, 9), [4]);
}

#[tokio::test]
async fn the_position_before_a_moment_leaves_out_exactly_what_is_older() {
    let moments = [10, 20, 20, 20, 30, 50];
    let (_dir, _store, outbox) = journal(&moments).await;
    for moment in 0..=60 {
        let older = moments.iter().filter(|at| **at < moment).count();
        assert_eq!(
            outbox.before(Timestamp(moment)).unwrap(),
            LogIndex(older.try_into().unwrap()),
            "{moment}"
        );
    }
    let (_dir, _store, outbox) = journal(&[]).await;
    assert_eq!(outbox.before(Timestamp(5)).unwrap(), LogIndex(0));
}
