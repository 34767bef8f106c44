//! The end: has everything finished, do the books balance, and do all streams stand where they should.

use std::collections::BTreeMap;

use mpc_wallet_core::NodeId;

use super::{Event, Host, Outcome, Phase, World};
use crate::{
    oracle::{Books, Breach, Expected, NodeEnd, Observed, conservation, convergence},
    parts::verdict,
};

/// Between two looks at a cluster that recovers.
pub(super) const BETWEEN_LOOKS: u64 = 1_000;

impl World {
    /// Looks whether everything has ended; if so, or if time is up, judges the run.
    pub(super) fn judge(&mut self) -> Outcome {
        let clients = self.expectations();
        let late = self.queue.now().saturating_sub(self.origin) >= self.plan.until;
        let verdict = convergence(&self.ends(), &clients)
            .map_err(|unfinished| Breach { oracle: "convergence", detail: unfinished.to_string() })
            .and_then(|()| {
                conservation(&self.books()).map_err(|detail| Breach { oracle: "conservation", detail })
            });
        let settled = self.clients.iter().all(super::Client::is_settled) && self.backend.chain.waiting() == 0;
        match verdict {
            Ok(()) if settled || late => self.conclude(),
            Err(breach) if late => Err(breach),
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
        let end = |host: &Host| host.live.as_ref().map(|live| verdict::end(live.node.state()));
        self.hosts.iter().map(|(node, host)| (*node, end(host).unwrap_or_default())).collect()
    }

    fn expectations(&self) -> Vec<Expected> {
        verdict::expectations(&self.plan, &self.clients, &self.backend.chain)
    }

    fn books(&self) -> Books {
        let by_node = self.hosts.iter().filter_map(|(node, host)| Some((*node, host.balance()?)));
        let wallet = self.wallet.as_ref();
        Books {
            by_node: by_node.collect(),
            ..verdict::books(&self.plan, wallet, &self.clients, &self.backend.chain)
        }
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
