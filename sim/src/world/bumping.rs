//! Clients that raise the fee of a payment on its way.

use mpc_wallet_core::{NodeId, RequestId, step::Input};

use super::{Outcome, World};
use crate::{parts::bumps, plan::Bump};

impl World {
    /// Gives a node the command, if it is up and honest and the payment was accepted. Nobody waits for the answer.
    pub(super) fn bump(&mut self, bump: &Bump) -> Outcome {
        let node = NodeId::new(bump.node);
        let live = self.hosts.get(&node).and_then(|host| host.live.as_ref());
        let live = live.filter(|_| self.honest.contains(&node));
        let command = live
            .zip(self.clients.get(bump.payment))
            .and_then(|(live, client)| bumps::command(bump, client, live.node.state()));
        let Some(command) = command else { return Ok(()) };
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.note(node, format_args!("asked for {command:?}"));
        self.input(node, Input::Client { request, command })
    }
}
