//! How five stories become one row.
//!
//! Each node tells its own story of a transaction, in order, along the lifecycle. All tell the same story, but each from
//! where it stands: one has slept through the vote, one has no part in the signature, one tells today what happened
//! yesterday. The row in `transactions` is as far as anybody has told, under one rule:
//!
//! > A node's move from `from` to `to` moves the row from where it is to `to` if the lifecycle has that move. If it has
//! > not, the node lags (or leads with an end that the row reaches another way), and the row stays.
//!
//! with four cases that need a word:
//!
//! - **Reopened.** Only a node that itself goes from `confirmed` to `broadcasting` reopens a confirmed row, and only by news
//!   from after the confirmation; a `confirmed` from before the reorganisation does not confirm again. Both go by the
//!   tellers' clocks; a skew is put right by the next word.
//! - **Rejected late.** A transaction that some nodes saw certified and others did not ends `failed` for the first and
//!   `rejected` for the others. A row past the vote takes either as `failed`.
//! - **Failed after confirmed.** A reorganisation and a lost input, told in one go, pass through `broadcasting`.
//! - **Input spent, or replaced.** What a chain backend shows to one node ends nothing for good: the row takes such an end
//!   when f + 1 nodes tell it, or all that feed the database if they are fewer. Every other end rests on promises that were
//!   signed (I6), and one teller is enough.
//!
//! What a node tells that the row does not take is not lost: `transaction_views` holds each node's own state. A row never
//! holds up a node: every record is either written or, by this rule, already outdone.

use mpc_wallet_core::{Timestamp, tx::State};

/// Where the shared row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) state: State,
    /// When it came there, by the clock of the node that told.
    pub(super) since: Timestamp,
    /// When a reorganisation took it back, if one did.
    pub(super) reopened: Option<Timestamp>,
}

/// One node's move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) at: Timestamp,
}

/// The moves that bring the row to where it is by this word, each legal after the one before; none if it stays.
pub(super) fn moves(row: Row, told: Told) -> Vec<State> {
    match (row.state, told.to) {
        (State::Confirmed, State::Broadcasting) => {
            let news = told.from == State::Confirmed && told.at >= row.since;
            if news { vec![told.to] } else { Vec::new() }
        }
        (State::Broadcasting, State::Confirmed) => {
            let outdated = row.reopened.is_some_and(|reopened| told.at < reopened);
            if outdated { Vec::new() } else { vec![told.to] }
        }
        (State::Confirmed, State::Failed) => vec![State::Broadcasting, State::Failed],
        (State::ThresholdReached | State::Approved | State::Signing, State::Rejected) => vec![State::Failed],
        (at, to) if at.may_become(to) => vec![to],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use State::*;

    use super::*;

    fn row(state: State) -> Row {
        Row { state, since: Timestamp(10), reopened: None }
    }

    fn told(from: State, to: State, at: u64) -> Told {
        Told { from, to, at: Timestamp(at) }
    }

    #[test]
    fn a_row_moves_by_these_words_and_by_no_others() {
        let reopened = Row { reopened: Some(Timestamp(20)), ..row(Broadcasting) };
        for (desc, row, told, expected) in [
            ("the next step", row(Pending), told(Pending, Voting, 11), vec![Voting]),
            ("a step told before", row(Approved), told(Pending, Voting, 11), vec![]),
            ("the same step", row(Voting), told(Pending, Voting, 10), vec![]),
            ("a signature past a step", row(Approved), told(Voting, Signed, 9), vec![Signed]),
            ("a late sleeper", row(Confirmed), told(Signed, Broadcasting, 99), vec![]),
            ("a reorganisation", row(Confirmed), told(Confirmed, Broadcasting, 11), vec![Broadcasting]),
            ("an old reorganisation", row(Confirmed), told(Confirmed, Broadcasting, 9), vec![]),
            ("a confirmation before it", reopened, told(Broadcasting, Confirmed, 19), vec![]),
            ("a confirmation after it", reopened, told(Broadcasting, Confirmed, 20), vec![Confirmed]),
            (
                "a lost input after it",
                row(Confirmed),
                told(Broadcasting, Failed, 11),
                vec![Broadcasting, Failed],
            ),
            ("rejected in the vote", row(Voting), told(Voting, Rejected, 11), vec![Rejected]),
            ("rejected elsewhere", row(Signing), told(Voting, Rejected, 11), vec![Failed]),
            ("an end after an end", row(Rejected), told(Signing, Failed, 11), vec![]),
            ("a rejection after a signature", row(Signed), told(Voting, Rejected, 11), vec![]),
        ] {
            assert_eq!(moves(row, told), expected, "{desc}");
        }
    }

    #[test]
    fn whatever_is_told_every_move_is_one_of_the_lifecycle() {
        for state in State::ALL {
            for (from, to) in State::ALL.into_iter().flat_map(|from| State::ALL.map(|to| (from, to))) {
                let mut at = state;
                for next in moves(row(state), told(from, to, 11)) {
                    assert!(at.may_become(next), "{state} is told {from} → {to}: {at} → {next}");
                    at = next;
                }
            }
        }
    }

    #[test]
    fn after_its_word_no_row_is_behind_a_node_that_told_everything() {
        // Two nodes go different legal ways to the same end, in any interleaving.
        let signer = [Voting, ThresholdReached, Approved, Signing, Signed, Broadcasting, Confirmed];
        let sleeper = [Voting, Signed, Broadcasting, Confirmed];
        for mask in 0_u32..1 << (signer.len() + sleeper.len()) {
            if mask.count_ones() as usize != sleeper.len() {
                continue;
            }
            let (mut ways, mut stands) = ([signer.iter(), sleeper.iter()], [Pending, Pending]);
            let mut row = row(Pending);
            for turn in 0..signer.len() + sleeper.len() {
                let who = (mask >> turn & 1) as usize;
                let Some(to) = ways[who].next() else { continue };
                for next in moves(row, told(stands[who], *to, 11)) {
                    row.state = next;
                }
                stands[who] = *to;
                assert!(row.state >= stands[0] && row.state >= stands[1], "{mask:b}: {row:?} {stands:?}");
            }
            assert_eq!(row.state, Confirmed);
        }
    }
}
