//! The end: has everything finished, do the books balance, and do all streams stand where they should.

use std::collections::BTreeMap;

use bitcoin::{Amount, Txid};
use mpc_wallet_core::NodeId;

use super::{Client, ClientState, Event, Host, Outcome, Phase, World};
use crate::oracle::{
    Books, Breach, Expected, NodeEnd, Observed, TransactionEnd, confirmed_is_true, conservation, convergence,
};

/// Between two looks at a cluster that recovers.
pub(super) const BETWEEN_LOOKS: u64 = 1_000;

impl World {
    /// Looks whether everything has ended; if so, or if time is up, judges the run.
    pub(super) fn judge(&mut self) -> Outcome {
        let clients = self.expectations();
        let late = self.queue.now().saturating_sub(self.origin) >= self.plan.until;
        let ends = self.ends();
        let on_chain = self.chain.confirmed().map(|(txid, ..)| txid).collect();
        let mut verdict = convergence(&ends, &clients)
            .and_then(|()| confirmed_is_true(&ends, &on_chain))
            .map_err(|unfinished| Breach { oracle: "convergence", detail: unfinished.to_string() });
        if late && let Err(unfinished) = verdict {
            verdict = self.oracles.object(unfinished);
        }
        let verdict = verdict
            .and_then(|()| {
                conservation(&self.books()).map_err(|detail| Breach { oracle: "conservation", detail })
            })
            .and_then(|()| self.oracles.owed());
        let settled = self
            .clients
            .iter()
            .enumerate()
            .all(|(index, client)| client.is_settled() || self.is_betrayed(index))
            && self.chain.waiting() == 0;
        match verdict {
            Ok(()) if settled || late => self.conclude(),
            Err(breach) if late => {
                self.oracles.object(breach)?;
                self.conclude()
            }
            Ok(()) | Err(_) => {
                self.queue.after(BETWEEN_LOOKS, Event::Judge);
                Ok(())
            }
        }
    }

    fn conclude(&mut self) -> Outcome {
        for node in self.nodes() {
            let digests = self.hosts.get(&node).map(Host::digests).transpose()?.flatten();
            if let Some((node_digest, journal_digest)) = digests {
                let moment = "at the end";
                self.observe(&Observed::Compared { node, moment, node_digest, journal_digest })?;
            }
        }
        let clients = self.expectations();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.tally.accepted = count(clients.iter().filter(|client| client.answer.is_ok()).count());
        self.tally.paid = count(clients.iter().filter(|client| client.paid).count());
        self.note_world(format_args!("over"));
        self.phase = Phase::Over;
        Ok(())
    }

    fn ends(&self) -> BTreeMap<NodeId, NodeEnd> {
        let hostages = self.hostages();
        self.honest
            .iter()
            .map(|node| {
                let transactions = self
                    .hosts
                    .get(node)
                    .and_then(|host| host.live.as_ref())
                    .into_iter()
                    .flat_map(|live| live.node.state().transactions())
                    .filter(|(txid, _)| !hostages.contains(txid))
                    .map(|(txid, tx)| {
                        let end =
                            TransactionEnd { state: tx.state.name(), sub_status: tx.sub_status.to_string() };
                        (txid, end)
                    })
                    .collect();
                (*node, NodeEnd { transactions })
            })
            .collect()
    }

    fn expectations(&self) -> Vec<Expected> {
        let paid: BTreeMap<_, Txid> = self
            .chain
            .confirmed()
            .flat_map(|(txid, transaction, _)| {
                transaction.output.iter().map(move |output| (&output.script_pubkey, txid))
            })
            .collect();
        let untroubled = self.plan.is_untroubled();
        let hostages = self.hostages();
        let waits = |client: &Client| matches!(&client.state, ClientState::Accepted { txid } if hostages.contains(txid));
        self.clients
            .iter()
            .enumerate()
            .filter(|(index, client)| {
                client.state != ClientState::Unsure && !self.is_betrayed(*index) && !waits(client)
            })
            .map(|(_, client)| Expected {
                label: client.label.clone(),
                answer: match &client.state {
                    ClientState::Accepted { txid } => Ok(*txid),
                    ClientState::Idle { last } => {
                        Err(last.clone().unwrap_or_else(|| String::from("it has not asked yet")))
                    }
                    ClientState::Asked { node, .. } => Err(format!("{node} has not answered")),
                    ClientState::Unsure => Err(String::from("it lost its answer")),
                },
                must_confirm: untroubled || client.payment.at >= self.plan.heal_at,
                paid: paid.contains_key(&client.recipient),
            })
            .collect()
    }

    fn books(&self) -> Books {
        let funds = self.plan.chain.funds.iter().sum();
        let mut books = Books { funds, stolen: self.chain.stolen(), ..Books::default() };
        let Some(wallet) = &self.wallet else { return books };
        for (_, transaction, _) in self.chain.confirmed() {
            let inputs: Vec<Option<Amount>> =
                transaction.input.iter().map(|input| self.chain.value_of(&input.previous_output)).collect();
            // What funds the wallet spends coins this chain has never seen.
            if inputs.iter().any(Option::is_none) {
                continue;
            }
            let received: u64 = inputs.into_iter().flatten().map(Amount::to_sat).sum();
            let sent: u64 = transaction.output.iter().map(|output| output.value.to_sat()).sum();
            books.fees += received.saturating_sub(sent);
            for output in &transaction.output {
                if self.clients.iter().any(|client| client.recipient == output.script_pubkey) {
                    books.paid += output.value.to_sat();
                } else if output.script_pubkey != *wallet {
                    books.strangers.push(output.script_pubkey.clone());
                }
            }
        }
        books.on_chain = self.chain.balance(wallet);
        let honest = self.hosts.iter().filter(|(node, _)| self.honest.contains(node));
        books.by_node = honest.filter_map(|(node, host)| Some((*node, host.balance()?))).collect();
        books
    }

    /// Where every stream stands, so that a difference in draws alone shows in the hash.
    pub(super) fn unseed(&mut self) {
        self.trace.unseed("schedule", self.queue.unseed());
        self.trace.unseed("network", self.network.unseed());
        self.trace.unseed("world", self.random.clone().last_word());
        for (node, host) in &self.hosts {
            self.trace.unseed(&format!("disk/{node}"), host.disk.unseed());
            self.trace.unseed(&format!("workers/{node}"), host.workers.unseed());
            if let Some(word) = host.live.as_ref().map(super::host::Live::unseed) {
                self.trace.unseed(&format!("entropy/{node}"), word);
            }
        }
    }
}
