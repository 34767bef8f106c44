//! The emergency freeze: one member's word stops all signing, `t` members' words lift it.
//!
//! Both are statements under the vote keys, so nobody can stop the cluster in another's name, and everybody can see who
//! did it and why. A freeze is told by its moment: a member's later freeze has a later one, by its own clock or beyond
//! its last one. A lift covers all that a member had frozen up to a moment; so a member that shows its peers different
//! freezes cannot keep them from lifting what it said, and one freeze of each member is all that has to be kept.
//!
//! One traitor can stop payments, which is what one member is meant to be able to do. It cannot start any: lifts of
//! `t` members are more than all traitors can sign, as long as the cluster tolerates them.

use serde::{Deserialize, Serialize};

use crate::{
    codec,
    identity::{Signed, Statement},
    ids::{ClusterId, FreezeId, NodeId},
    time::Timestamp,
};

/// Longest name of an operator, in characters.
pub const MAX_OPERATOR: usize = 64;

/// Longest reason, in bytes.
pub const MAX_REASON: usize = 256;

/// "No more money leaves until `t` of us say so."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member that says so.
    pub node: NodeId,
    /// On whose behalf: the name of an API key, 1 to [`MAX_OPERATOR`] printable characters.
    pub operator: String,
    /// Why, for people: 1 to [`MAX_REASON`] bytes without control characters.
    pub reason: String,
    /// When, by the member's clock; later than all that it froze before.
    pub at: Timestamp,
}

impl Freeze {
    /// Whether its words can be an honest node's.
    ///
    /// # Errors
    /// [`WordsError`].
    pub fn check(&self) -> Result<(), WordsError> {
        check_operator(&self.operator).and_then(|()| check_reason(&self.reason))
    }

    /// Its name for people and records.
    #[must_use]
    pub fn id(&self) -> FreezeId {
        FreezeId::from_bytes(codec::digest("mpc-wallet/freeze-id", self))
    }
}

impl Statement for Freeze {
    const TAG: &'static str = "mpc-wallet/freeze";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// "What this member has frozen until then may go on, as far as I am asked."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose freezes.
    pub frozen_by: NodeId,
    /// Up to and with this moment.
    pub up_to: Timestamp,
    /// The member that lifts.
    pub node: NodeId,
    /// On whose behalf, as in [`Freeze::operator`].
    pub operator: String,
}

impl Statement for Lift {
    const TAG: &'static str = "mpc-wallet/lift";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// A freeze and its author's signature.
pub type SignedFreeze = Signed<Freeze>;

/// A lift and its author's signature.
pub type SignedLift = Signed<Lift>;

/// A freeze with all the lifts of it that a member knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeNotice {
    /// What was frozen.
    pub freeze: SignedFreeze,
    /// Who lifts it.
    pub lifts: Vec<SignedLift>,
}

/// Why words for a freeze or a lift are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum WordsError {
    /// Nobody could tell why everything stands still.
    #[error("the reason has {size} bytes; say in 1 to {MAX_REASON} bytes why signing has to stop")]
    Reason {
        /// Bytes given.
        size: usize,
    },
    /// It would play tricks on the terminal of whoever reads it.
    #[error("the reason has control characters; write it in one line of plain text")]
    ReasonUnprintable,
    /// A name that no key of an API has.
    #[error(
        "the operator's name has {size} characters; it has 1 to {MAX_OPERATOR}, and no control characters"
    )]
    Operator {
        /// Characters given.
        size: usize,
    },
}

/// Whether a name can be an operator's.
///
/// # Errors
/// [`WordsError::Operator`].
pub fn check_operator(name: &str) -> Result<(), WordsError> {
    let size = name.chars().count();
    let fits = (1..=MAX_OPERATOR).contains(&size) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(WordsError::Operator { size }) }
}

/// Whether a text can be a reason.
///
/// # Errors
/// [`WordsError::Reason`] and [`WordsError::ReasonUnprintable`].
pub fn check_reason(reason: &str) -> Result<(), WordsError> {
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(WordsError::Reason { size: reason.len() });
    }
    if reason.chars().any(char::is_control) { Err(WordsError::ReasonUnprintable) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_a_line_and_a_record() {
        for (reason, verdict) in [
            ("key of node-2 may be stolen".to_owned(), Ok(())),
            ("é".repeat(128), Ok(())),
            ("é".repeat(129), Err(WordsError::Reason { size: 258 })),
            (String::new(), Err(WordsError::Reason { size: 0 })),
            ("  ".to_owned(), Err(WordsError::Reason { size: 2 })),
            ("a\u{1b}[2Jb".to_owned(), Err(WordsError::ReasonUnprintable)),
        ] {
            assert_eq!(check_reason(&reason), verdict, "{reason:?}");
        }
        for (name, verdict) in [
            ("ops-1".to_owned(), Ok(())),
            ("é".repeat(64), Ok(())),
            ("o".repeat(65), Err(WordsError::Operator { size: 65 })),
            (String::new(), Err(WordsError::Operator { size: 0 })),
            ("a\nb".to_owned(), Err(WordsError::Operator { size: 3 })),
        ] {
            assert_eq!(check_operator(&name), verdict, "{name:?}");
        }
    }
}
