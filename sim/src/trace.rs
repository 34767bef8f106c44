//! The trace: a SHA-256 chain over everything that happens, so that two runs are equal exactly if their hashes are.

use std::fmt;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use mpc_wallet_core::NodeId;

/// Hash of a whole run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceHash([u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bitcoin::hex::DisplayHex::as_hex(&self.0))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes one line for each event.
pub type Log = Box<dyn FnMut(&str)>;

/// Where a run reports what happens.
pub struct Trace {
    state: [u8; 32],
    lines: u64,
    line: String,
    log: Option<Log>,
}

impl Trace {
    /// An empty trace; `log` gets one line for each event.
    #[must_use]
    pub fn new(log: Option<Log>) -> Self {
        Self { state: [0; 32], lines: 0, line: String::new(), log }
    }

    /// Adds an event: when, where (`None` is the world itself), and what. The words must not depend on anything
    /// but the plan: no addresses, no wall clock.
    pub fn event(&mut self, at: u64, node: Option<NodeId>, what: fmt::Arguments<'_>) {
        use fmt::Write;
        self.line.clear();
        // Writing into a string cannot fail.
        let _ = match node {
            Some(node) => write!(self.line, "{at:>8} {node} {what}"),
            None => write!(self.line, "{at:>8} world  {what}"),
        };
        self.absorb();
    }

    /// Adds the state of a random stream at the end of a run: a difference in the number of draws shows even where
    /// no event differs.
    pub fn unseed(&mut self, label: &str, word: u64) {
        use fmt::Write;
        self.line.clear();
        let _ = write!(self.line, "unseed {label} {word:016x}");
        self.absorb();
    }

    fn absorb(&mut self) {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.state);
        // The state has a fixed length in front, so the line needs no length of its own.
        engine.input(self.line.as_bytes());
        self.state = sha256::Hash::from_engine(engine).to_byte_array();
        self.lines += 1;
        if let Some(log) = &mut self.log {
            log(&self.line);
        }
    }

    /// Hash of everything so far.
    #[must_use]
    pub const fn hash(&self) -> TraceHash {
        TraceHash(self.state)
    }

    /// Number of events so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }
}

/// First eight hexadecimal digits of the SHA-256 of some bytes: tells contents apart in a line for people.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    let hash = sha256::Hash::hash(bytes).to_byte_array();
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(events: &[(u64, &str)]) -> TraceHash {
        let mut trace = Trace::new(None);
        for (at, what) in events {
            trace.event(*at, None, format_args!("{what}"));
        }
        trace.hash()
    }

    #[test]
    fn the_hash_depends_on_every_event_its_time_and_its_order() {
        let base = hash_of(&[(1, "a"), (2, "b")]);
        assert_eq!(base, hash_of(&[(1, "a"), (2, "b")]));
        assert_ne!(base, hash_of(&[(1, "a"), (3, "b")]));
        assert_ne!(base, hash_of(&[(2, "b"), (1, "a")]));
        assert_ne!(base, hash_of(&[(1, "a")]));
    }
}
