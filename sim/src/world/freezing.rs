//! Operators that stop all signing, and lift that again.

use mpc_wallet_core::{
    NodeId, RequestId,
    step::{Command, Input},
};

use super::{Event, Freeze, Outcome, Phase, World};
use crate::parts::operators::{BETWEEN_LIFTS, is_asked_to_lift, operator, reason};

impl World {
    pub(super) fn freeze(&mut self, freeze: Freeze) -> Outcome {
        let node = NodeId::new(freeze.node);
        self.order(node, Command::Freeze { operator: operator(node), reason: reason() })
    }

    pub(super) fn lift(&mut self, node: NodeId) -> Outcome {
        self.order(node, Command::Lift { operator: operator(node) })
    }

    /// Gives a node a command of its operator, if it is up; a traitor's operator is nobody.
    fn order(&mut self, node: NodeId, command: Command) -> Outcome {
        if self.phase == Phase::Calm || !self.honest.contains(&node) {
            return Ok(());
        }
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.note(node, format_args!("its operator says {command:?}"));
        self.input(node, Input::Client { request, command })
    }

    /// After all faults operators lift what is left, each once, until nothing is.
    pub(super) fn thaw(&mut self) -> Outcome {
        for node in self.honest.clone() {
            let live = self.hosts.get(&node).and_then(|host| host.live.as_ref());
            if live.is_some_and(|live| is_asked_to_lift(&live.node.overview())) {
                self.lift(node)?;
            }
        }
        self.queue.after(BETWEEN_LIFTS, Event::Thaw);
        Ok(())
    }
}
