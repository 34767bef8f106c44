//! Transactions by txid, which never change, bounded by size; the least recently used go first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bitcoin::{Transaction, Txid};

/// A cache of transactions.
pub(super) struct TransactionCache {
    limit: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// Counts uses, to order them.
    uses: u64,
    /// Serialised bytes held.
    bytes: usize,
    by_txid: HashMap<Txid, (u64, Arc<Transaction>)>,
    by_use: BTreeMap<u64, Txid>,
}

impl TransactionCache {
    /// A cache of at most this many serialised bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, entries: Mutex::default() }
    }

    /// The transaction, if it is held.
    pub(super) fn get(&self, txid: Txid) -> Option<Arc<Transaction>> {
        let mut entries = self.lock();
        let transaction = entries.remove(txid)?;
        entries.put(txid, Arc::clone(&transaction));
        Some(transaction)
    }

    /// Holds a transaction; one larger than the whole cache is not held.
    pub(super) fn insert(&self, txid: Txid, transaction: Arc<Transaction>) {
        let mut entries = self.lock();
        entries.remove(txid);
        entries.put(txid, transaction);
        while entries.bytes > self.limit {
            let Some((_, oldest)) = entries.by_use.pop_first() else { break };
            entries.remove(oldest);
        }
    }

    /// No code panics while holding the lock; a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn put(&mut self, txid: Txid, transaction: Arc<Transaction>) {
        self.uses += 1;
        self.bytes += transaction.total_size();
        self.by_use.insert(self.uses, txid);
        self.by_txid.insert(txid, (self.uses, transaction));
    }

    fn remove(&mut self, txid: Txid) -> Option<Arc<Transaction>> {
        let (used, transaction) = self.by_txid.remove(&txid)?;
        self.by_use.remove(&used);
        self.bytes -= transaction.total_size();
        Some(transaction)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use bitcoin::{Amount, ScriptBuf, TxOut, absolute::LockTime, transaction::Version};

    use super::*;

    fn transaction(value: u64) -> (Txid, Arc<Transaction>) {
        let output = vec![TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() }];
        let transaction =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![], output };
        (transaction.compute_txid(), Arc::new(transaction))
    }

    #[test]
    fn the_least_recently_used_transaction_leaves_first() {
        let [(a, ta), (b, tb), (c, tc)] = [1, 2, 3].map(transaction);
        let cache = TransactionCache::new(ta.total_size() * 2);
        cache.insert(a, ta);
        cache.insert(b, Arc::clone(&tb));
        cache.insert(b, tb);
        assert!(cache.get(a).is_some());
        cache.insert(c, tc);
        assert!(cache.get(b).is_none());
        assert!(cache.get(a).is_some() && cache.get(c).is_some());
    }

    #[test]
    fn a_transaction_larger_than_the_cache_is_not_held() {
        let (a, ta) = transaction(1);
        let cache = TransactionCache::new(ta.total_size() - 1);
        cache.insert(a, ta);
        assert!(cache.get(a).is_none());
    }
}
