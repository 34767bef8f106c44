//! The end: has everything finished, do the books balance, and do all streams stand where they should.

use std::collections::BTreeMap;

use mpc_wallet_core::NodeId;

use super::{Client, Event, Host, Outcome, Phase, World};
use crate::{
    oracle::{Books, Expected, NodeEnd, Observed},
    parts::{
        exempt::Hostages,
        verdict::{self, BETWEEN_LOOKS, balanced, converged},
    },
};

impl World {
    /// Looks whether everything has ended; if so, or if time is up, judges the run.
    pub(super) fn judge(&mut self) -> Outcome {
        let clients = self.expectations();
        let late = self.queue.now().saturating_sub(self.origin) >= self.plan.until;
        let ends = self.ends();
        let on_chain = self.backend.chain.confirmed().map(|(txid, ..)| txid).collect();
        let mut verdict = converged(&ends, &clients, &on_chain);
        if late && let Err(unfinished) = verdict {
            verdict = self.oracles.object(unfinished);
        }
        let verdict = verdict.and_then(|()| balanced(&self.books())).and_then(|()| self.oracles.owed());
        let settled = self
            .clients
            .iter()
            .enumerate()
            .all(|(index, client)| client.is_settled() || self.betrayed.contains(&index))
            && self.backend.chain.waiting() == 0;
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
        verdict::count(&clients, &mut self.tally);
        self.note_world(format_args!("over"));
        self.phase = Phase::Over;
        Ok(())
    }

    fn hostages(&self) -> Hostages {
        let live = self.hosts.iter().filter(|(node, _)| self.honest.contains(node));
        let memories = live.filter_map(|(node, host)| Some((*node, host.live.as_ref()?.node.state())));
        Hostages::among(&self.plan, &memories.collect())
    }

    fn ends(&self) -> BTreeMap<NodeId, NodeEnd> {
        let hostages = self.hostages();
        let end = |host: &Host| host.live.as_ref().map(|live| verdict::end(live.node.state(), &hostages));
        let ends = |node: &NodeId| self.hosts.get(node).and_then(end).unwrap_or_default();
        self.honest.iter().map(|node| (*node, ends(node))).collect()
    }

    fn expectations(&self) -> Vec<Expected> {
        let hostages = self.hostages();
        let (wallets, chain) = (&self.wallets, &self.backend.chain);
        let excused = |index: usize, client: &Client| {
            self.betrayed.contains(&index) || hostages.keep_waiting(client, wallets, chain)
        };
        verdict::expectations(&self.plan, &self.clients, &self.backend.chain, excused)
    }

    fn books(&self) -> Vec<Books> {
        let honest: Vec<_> = self.hosts.iter().filter(|(node, _)| self.honest.contains(node)).collect();
        let of_wallet = |scheme| Books {
            by_node: honest.iter().filter_map(|(node, host)| Some((**node, host.balance(scheme)?))).collect(),
            ..verdict::books(&self.plan, scheme, &self.wallets, (&self.clients, &self.backend.chain))
        };
        self.plan.schemes().map(of_wallet).collect()
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
