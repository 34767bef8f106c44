//! Tells the log when the backend goes and when it comes back, once each.

use std::sync::{Mutex, PoisonError};

use super::error::BackendError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Untried,
    Up,
    Down,
    /// It serves another chain or lies: nothing that waiting repairs.
    Wrong,
}

/// The state of the backend as last seen.
pub(super) struct Health {
    url: String,
    state: Mutex<State>,
}

impl Health {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), state: Mutex::new(State::Untried) }
    }

    /// A question was answered.
    pub(super) fn answered(&self) {
        if self.change(State::Up) {
            tracing::info!(backend = %self.url, "the chain backend answers");
        }
    }

    /// A question was not answered.
    pub(super) fn failed(&self, error: &BackendError) {
        match error {
            // The backend is well; the chain moved.
            BackendError::Moving(_) => {}
            BackendError::Unreachable { .. }
            | BackendError::Status { .. }
            | BackendError::Malformed { .. } => {
                if self.change(State::Down) {
                    tracing::warn!(backend = %self.url, %error, "the chain backend gives no usable answer");
                }
            }
            BackendError::Lying(_) | BackendError::WrongNetwork { .. } => {
                if self.change(State::Wrong) {
                    tracing::error!(backend = %self.url, %error, "the chain backend cannot be trusted");
                }
            }
        }
    }

    fn change(&self, to: State) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, to) != to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_state_is_told_once() {
        let health = Health::new("http://host");
        let told = [State::Up, State::Up, State::Down, State::Down, State::Wrong, State::Up];
        assert_eq!(told.map(|to| health.change(to)), [true, false, true, false, true, true]);
    }
}
