//! What waits for the node's loop.

use prometheus::Error;
use tokio::sync::mpsc::WeakSender;

use super::Sheet;
use crate::{handle::Request, ports::TransportEvent};

/// The two queues that fill when the loop is slower than what comes.
pub struct Queues {
    /// Commands of clients.
    pub requests: WeakSender<Request>,
    /// What peers say.
    pub transport: WeakSender<TransportEvent>,
}

impl Queues {
    /// Shows how full they are; a queue whose writers are gone is empty.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn show(&self, sheet: &Sheet) -> Result<(), Error> {
        let depths = [("requests", depth(&self.requests)), ("transport", depth(&self.transport))];
        sheet.gauges(
            ("mpc_wallet_queue_waiting", "Inputs that wait for the node's loop."),
            ["queue"],
            depths.map(|(queue, (waiting, _))| ([queue.to_owned()], waiting)),
        )?;
        sheet.gauges(
            ("mpc_wallet_queue_capacity", "Inputs that may wait before their senders have to."),
            ["queue"],
            depths.map(|(queue, (_, capacity))| ([queue.to_owned()], capacity)),
        )
    }
}

/// Waiting, and the most that may.
fn depth<T>(queue: &WeakSender<T>) -> (usize, usize) {
    queue.upgrade().map_or((0, 0), |queue| {
        let capacity = queue.max_capacity();
        (capacity.saturating_sub(queue.capacity()), capacity)
    })
}
