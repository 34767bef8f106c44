//! The clients in front of the cluster, and the answers they get.

use mpc_wallet_core::{
    NodeId, RequestId,
    step::{Command, Outcome as Reply},
};
use mpc_wallet_shell::handle::Request;
use tokio::sync::oneshot;

use super::{
    Event, Hosted, Outcome,
    stage::{Power, locked},
};
use crate::{
    oracle::Observed,
    parts::{
        bumps,
        client::{Client, ClientState, PATIENCE, PAUSE, Reaction, lose_answers_of},
        operators::{BETWEEN_LIFTS, is_asked_to_lift, operator, reason},
        people::decisions,
    },
    plan::{Bump, Visit},
};

/// A question that a node has taken and not answered.
pub(super) struct Waiting {
    pub(super) node: NodeId,
    pub(super) answer: oneshot::Receiver<Reply>,
    /// Whose; nobody waits for the answer of a proxy that has hung up.
    pub(super) client: Option<usize>,
}

impl Hosted {
    /// Hands a command to a running node. `None` if it takes none.
    pub(super) fn ask(&mut self, node: NodeId, command: Command, client: Option<usize>) -> Option<RequestId> {
        let (reply, answer) = oneshot::channel();
        {
            let stage = locked(&self.stage);
            let machine = stage.machines.get(&node).filter(|machine| machine.power == Power::On)?;
            machine.door.as_ref()?.requests.try_send(Request { command, reply }).ok()?;
        }
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.waiting.insert(request, Waiting { node, answer, client });
        Some(request)
    }

    pub(super) fn submit(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else { return };
        let ClientState::Idle { .. } = client.state else { return };
        let node = client.choose(self.plan.nodes, &mut self.random);
        let also = client.payment.also_at.map(NodeId::new);
        if [Some(node), also].into_iter().flatten().any(|node| !self.honest.contains(&node)) {
            self.betrayed.insert(index);
        }
        let wanted = client.request();
        let what = format!("asked for {} of {} sat", client.label, client.payment.amount);
        let also_at = client.asks_also_at();
        let asked = self.ask(node, Command::Pay(wanted.clone()), Some(index));
        let Some(client) = self.clients.get_mut(index) else { return };
        match asked {
            Some(request) => {
                client.state = ClientState::Asked { request, node };
                self.queue.after(PATIENCE, Event::Impatient { client: index, request });
                self.note(node, format_args!("{what}"));
            }
            None => {
                client.state = ClientState::Idle { last: Some(format!("{node} is down")) };
                self.queue.after(PAUSE, Event::Submit { client: index });
            }
        }
        if let Some(other) = also_at
            && self.ask(other, Command::Pay(wanted), None).is_some()
        {
            self.note(other, format_args!("{what}, as well"));
        }
    }

    pub(super) fn impatient(&mut self, index: usize, request: RequestId) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if client.give_up(request) {
            self.queue.after(PAUSE, Event::Submit { client: index });
        }
    }

    /// Somebody looks at a node, and decides what is to be decided there.
    pub(super) fn visit(&mut self, visit: Visit) {
        let node = NodeId::new(visit.node);
        let commands = {
            let stage = locked(&self.stage);
            let Some(machine) = stage.machines.get(&node) else { return };
            decisions(visit, &machine.shadow)
        };
        for command in commands {
            let words = format!("hears {command:?}");
            if self.ask(node, command, None).is_some() {
                self.note(node, format_args!("{words}"));
            }
        }
    }

    /// Requests on their way to a node that died.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        self.waiting.retain(|_, waiting| waiting.node != node);
        for client in lose_answers_of(&mut self.clients, node) {
            self.queue.after(PAUSE, Event::Submit { client });
        }
    }

    /// Takes the answers that have come.
    pub(super) fn hear(&mut self) -> Outcome {
        let mut heard = vec![];
        self.waiting.retain(|request, waiting| match waiting.answer.try_recv() {
            Ok(outcome) => {
                heard.push((*request, waiting.node, waiting.client, outcome));
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            Err(oneshot::error::TryRecvError::Closed) => false,
        });
        for (request, node, client, outcome) in heard {
            self.reply(request, node, client, &outcome)?;
        }
        Ok(())
    }

    fn reply(&mut self, request: RequestId, node: NodeId, client: Option<usize>, outcome: &Reply) -> Outcome {
        self.note(node, format_args!("replies {outcome:?}"));
        if let Reply::Proposed { txid, .. } = outcome {
            self.oracles.observe(&Observed::Promised { node, txid: *txid })?;
        }
        let Some(index) = client else { return Ok(()) };
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        match client.hear(request, outcome) {
            Reaction::None => {}
            Reaction::AskAgain => self.queue.after(PAUSE, Event::Submit { client: index }),
            Reaction::Alter => self.queue.after(PAUSE, Event::Alter { client: index, node }),
        }
        Ok(())
    }

    /// Another amount under the key of a payment that was accepted: it must be refused.
    pub(super) fn alter(&mut self, index: usize, node: NodeId) {
        let Some(wanted) = self.clients.get(index).and_then(Client::altered_request) else { return };
        let what = format!("asked for payment-{index} of {} sat instead", wanted.amount.to_sat());
        if self.ask(node, Command::Pay(wanted), None).is_some() {
            self.note(node, format_args!("{what}"));
        }
    }

    /// Gives a node the command, if it is up and honest and the payment was accepted. Nobody waits for the answer.
    pub(super) fn bump(&mut self, bump: &Bump) {
        let node = NodeId::new(bump.node);
        let command = {
            let stage = locked(&self.stage);
            let machine = stage.machines.get(&node).filter(|_| self.honest.contains(&node));
            machine
                .zip(self.clients.get(bump.payment))
                .and_then(|(machine, client)| bumps::command(bump, client, &machine.shadow))
        };
        let Some(command) = command else { return };
        let words = format!("asked for {command:?}");
        if self.ask(node, command, None).is_some() {
            self.note(node, format_args!("{words}"));
        }
    }

    pub(super) fn freeze(&mut self, node: NodeId) {
        self.order(node, Command::Freeze { operator: operator(node), reason: reason() });
    }

    pub(super) fn lift(&mut self, node: NodeId) {
        self.order(node, Command::Lift { operator: operator(node) });
    }

    /// Gives a node a command of its operator, if it is up; a traitor's operator is nobody.
    fn order(&mut self, node: NodeId, command: Command) {
        let what = format!("its operator says {command:?}");
        if self.honest.contains(&node) && self.ask(node, command, None).is_some() {
            self.note(node, format_args!("{what}"));
        }
    }

    /// After all faults operators lift what is left, each once, until nothing is.
    pub(super) fn thaw(&mut self) {
        let asked: Vec<NodeId> = {
            let stage = locked(&self.stage);
            let is_asked = |node: &NodeId| {
                let door = stage.machines.get(node).and_then(|machine| machine.door.as_ref());
                door.is_some_and(|door| is_asked_to_lift(&door.overview.borrow()))
            };
            self.honest.iter().copied().filter(is_asked).collect()
        };
        for node in asked {
            self.lift(node);
        }
        self.queue.after(BETWEEN_LIFTS, Event::Thaw);
    }
}
