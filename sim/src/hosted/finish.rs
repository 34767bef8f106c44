//! The end: has everything finished, do the books balance, and do all streams stand where they should.

use std::collections::BTreeMap;

use mpc_wallet_core::NodeId;

use super::{
    Event, Hosted, Outcome, Phase,
    stage::{Machine, Stage, locked},
};
use crate::{
    oracle::{Books, NodeEnd},
    parts::{
        client::Client,
        exempt::{Hostages, Memories},
        verdict::{self, BETWEEN_LOOKS, balanced, converged},
    },
};

impl Hosted {
    /// Looks whether everything has ended; if so, or if time is up, judges the run.
    pub(super) fn judge(&mut self) -> Outcome {
        let (clients, ends, on_chain, books, empty) = {
            let stage = locked(&self.stage);
            let memories: Memories<'_> =
                self.honest_machines(&stage).map(|(node, machine)| (node, &machine.shadow)).collect();
            let hostages = Hostages::among(&self.plan, &memories);
            let ends: BTreeMap<NodeId, NodeEnd> =
                memories.into_iter().map(|(node, memory)| (node, verdict::end(memory, &hostages))).collect();
            let (wallets, chain) = (&self.wallets, &stage.backend.chain);
            let excused = |index: usize, client: &Client| {
                self.betrayed.contains(&index) || hostages.keep_waiting(client, wallets, chain)
            };
            let clients = verdict::expectations(&self.plan, &self.clients, &stage.backend.chain, excused);
            let on_chain = stage.backend.chain.confirmed().map(|(txid, ..)| txid).collect();
            (clients, ends, on_chain, self.books(&stage), stage.backend.chain.waiting() == 0)
        };
        let late = self.queue.now().saturating_sub(self.origin) >= self.plan.until;
        let verdict = converged(&ends, &clients, &on_chain)
            .and_then(|()| balanced(&books))
            .and_then(|()| self.oracles.owed());
        let settled = self
            .clients
            .iter()
            .enumerate()
            .all(|(index, client)| client.is_settled() || self.betrayed.contains(&index))
            && empty;
        match verdict {
            Ok(()) if settled || late => self.conclude(&clients),
            Err(breach) if late => Err(breach),
            Ok(()) | Err(_) => {
                self.queue.after(BETWEEN_LOOKS, Event::Judge);
                Ok(())
            }
        }
    }

    fn honest_machines<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = (NodeId, &'a Machine)> {
        let machines = stage.machines.iter().map(|(node, machine)| (*node, machine));
        machines.filter(|(node, _)| self.honest.contains(node))
    }

    fn books(&self, stage: &Stage) -> Vec<Books> {
        let of_wallet = |scheme| Books {
            by_node: self
                .honest_machines(stage)
                .filter_map(|(node, machine)| Some((node, machine.balance(scheme)?)))
                .collect(),
            ..verdict::books(&self.plan, scheme, &self.wallets, (&self.clients, &stage.backend.chain))
        };
        self.plan.schemes().map(of_wallet).collect()
    }

    fn conclude(&mut self, clients: &[crate::oracle::Expected]) -> Outcome {
        for node in self.nodes() {
            let digests = {
                let stage = locked(&self.stage);
                let Some(machine) = stage.machines.get(&node) else { continue };
                machine.settled.map(|settled| machine.replayed(settled)).transpose()?
            };
            self.compare(node, "at the end", digests)?;
        }
        verdict::count(clients, &mut self.tally);
        self.note_world(format_args!("over"));
        self.phase = Phase::Over;
        Ok(())
    }

    /// Where every stream stands, so that a difference in draws alone shows in the hash.
    pub(super) fn unseed(&mut self) {
        let stage = locked(&self.stage);
        self.trace.unseed("schedule", self.queue.unseed());
        self.trace.unseed("weather", stage.weather.unseed());
        self.trace.unseed("world", self.random.clone().last_word());
        self.trace.unseed("stage", stage.random.clone().last_word());
        for (node, machine) in &stage.machines {
            self.trace.unseed(&format!("disk/{node}"), machine.disk.unseed());
            self.trace.unseed(&format!("workers/{node}"), machine.workers.unseed());
            self.trace.unseed(&format!("adapter/{node}"), machine.adapter.clone().last_word());
            if let Some(entropy) = &machine.entropy {
                self.trace.unseed(&format!("entropy/{node}"), locked(entropy).clone().last_word());
            }
        }
    }
}
