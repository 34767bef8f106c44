//! From cold machines to a cluster that can pay, in calm unless the plan wants otherwise; then the plan's events are put
//! on the queue.

use mpc_wallet_core::{Scheme, WalletKey, step::Command};

use super::{Event, Hosted, Outcome, Phase, defect, stage::locked};
use crate::parts::{
    backend::upsets,
    calm::{BETWEEN_LOOKS, PATIENCE, SWITCH_ON, wallet},
};

impl Hosted {
    pub(super) fn begin(&mut self) {
        for node in self.nodes() {
            let delay = self.random.below(SWITCH_ON);
            self.queue.after(delay, Event::Restart(node));
        }
        self.queue.after(BETWEEN_LOOKS, Event::Prepare);
        self.queue.after(self.plan.chain.block_interval.least, Event::Mine);
        if self.plan.ceremony_in_trouble {
            self.start_trouble();
        }
    }

    /// Asks for a key until there is one, funds the wallet, and begins when all nodes see the money. In trouble one node
    /// with a key is enough, and what the others lack is judged at the end.
    pub(super) fn prepare(&mut self) -> Outcome {
        if self.plan.ceremony_in_trouble {
            self.make_key(1)?;
            if self.wallet.is_none() {
                self.queue.after(BETWEEN_LOOKS, Event::Prepare);
            }
            return Ok(());
        }
        if self.queue.now() > PATIENCE {
            return Err(defect(format!("the cluster did not get ready in calm: {}", self.missing)));
        }
        if self.wallet.is_none() {
            self.make_key(self.nodes().len())?;
        } else if self.sees_funds() {
            self.start_trouble();
            return Ok(());
        }
        self.queue.after(BETWEEN_LOOKS, Event::Prepare);
        Ok(())
    }

    /// Asks for a key while nobody has one; funds it when so many have.
    fn make_key(&mut self, holders: usize) -> Outcome {
        let keys: Vec<WalletKey> = locked(&self.stage)
            .machines
            .values()
            .filter_map(|machine| machine.shadow.current_key(Scheme::Taproot))
            .map(|proof| proof.public_key)
            .collect();
        if keys.len() < holders {
            self.missing = format!("keys at {} of {holders} nodes", keys.len());
            if keys.is_empty() {
                let command = Command::GenerateKey(Scheme::Taproot);
                self.nodes().into_iter().find_map(|node| self.ask(node, command.clone(), None));
            }
            return Ok(());
        }
        let (script, key) = wallet(&keys)?;
        self.note_world(format_args!("funds {} coins", self.plan.chain.funds.len()));
        locked(&self.stage).backend.chain.fund(script.clone(), key, &self.plan.chain.funds);
        self.wallet = Some(script);
        Ok(())
    }

    fn sees_funds(&mut self) -> bool {
        let funds: u64 = self.plan.chain.funds.iter().sum();
        let stage = locked(&self.stage);
        let seen: Vec<u64> = stage.machines.values().filter_map(super::stage::Machine::balance).collect();
        self.missing = format!("of {funds} sat the nodes see {seen:?}");
        seen.len() == stage.machines.len() && seen.iter().all(|sat| *sat == funds)
    }

    fn start_trouble(&mut self) {
        self.note_world(format_args!("ready"));
        self.phase = Phase::Trouble;
        self.origin = self.queue.now();
        {
            let mut stage = locked(&self.stage);
            stage.origin = Some(self.origin);
            stage.troubled = true;
            stage.weather.set_profile(self.plan.network);
            for machine in stage.machines.values_mut() {
                machine.clock.begin(self.origin);
            }
        }
        let at = |moment: u64| self.origin.saturating_add(moment);
        for (client, payment) in self.plan.payments.iter().enumerate() {
            self.queue.at(at(payment.at), Event::Submit { client });
        }
        for (number, partition) in self.plan.partitions.iter().enumerate() {
            self.queue.at(at(partition.from), Event::Cut(number));
            self.queue.at(at(partition.to), Event::Mend(number));
        }
        for crash in &self.plan.crashes {
            self.queue.at(at(crash.at), Event::Crash(*crash));
        }
        for fault in &self.plan.disks {
            self.queue.at(at(fault.at), Event::Disk(*fault));
        }
        for (moment, upset) in upsets(&self.plan.chain) {
            self.queue.at(at(moment), Event::Upset(upset));
        }
        for lease in &self.plan.leases {
            self.queue.at(at(lease.at), Event::Tell(*lease));
        }
        self.queue.at(at(self.plan.heal_at), Event::Heal);
    }
}
