//! Coins that a stranger spends: who had seen one says in the end that it is lost, and nobody says so of any other.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use mpc_wallet_core::{
    NodeId,
    record::{Fact, Record},
};

use super::{Honest, Observed, Oracle};

/// Compares what each journal says of coins with what was stolen.
pub struct Losses {
    honest: Honest,
    stolen: BTreeMap<OutPoint, Txid>,
    /// Coins that a journal has as seen, and whether as lost since.
    books: BTreeMap<NodeId, BTreeMap<OutPoint, bool>>,
}

impl Losses {
    /// For these honest members, of whose journals it is shown the records.
    #[must_use]
    pub const fn new(honest: Honest) -> Self {
        Self { honest, stolen: BTreeMap::new(), books: BTreeMap::new() }
    }

    fn enter(&mut self, node: NodeId, record: &Record) {
        let books = self.books.entry(node).or_default();
        if let Fact::CoinSeen { coin, .. } = &record.fact {
            books.insert(*coin, false);
        } else if let Fact::CoinLost { coin, .. } = &record.fact {
            books.insert(*coin, true);
        }
    }
}

impl Oracle for Losses {
    fn name(&self) -> &'static str {
        "losses"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Stolen { transaction } => {
                let txid = transaction.compute_txid();
                self.stolen.extend(transaction.input.iter().map(|input| (input.previous_output, txid)));
                Ok(())
            }
            Observed::Durable { node, record } => {
                self.enter(*node, record);
                if let Fact::CoinLost { coin, by, .. } = &record.fact
                    && (by.is_none() || self.stolen.get(coin) != by.as_ref())
                {
                    return Err(format!("{node} calls {coin} lost to {by:?}, which is no thief"));
                }
                Ok(())
            }
            Observed::Restored { node, records } => {
                self.books.remove(node);
                for record in *records {
                    self.enter(*node, record);
                }
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Sent { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }

    fn owed(&self) -> Option<String> {
        let stolen: BTreeSet<&OutPoint> = self.stolen.keys().collect();
        self.honest.iter().find_map(|node| {
            let books = self.books.get(node)?;
            let silent = books.iter().find(|(coin, told)| stolen.contains(coin) && !**told);
            silent.map(|(coin, _)| format!("{node} has not noticed that {coin} is stolen"))
        })
    }
}
