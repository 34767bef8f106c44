//! What a person decided about a payment, in the words of the node at which he decided it.
//!
//! A policy may ask for people: [`Approval`] of them, at as many different members, above an amount. Each decision is
//! a statement under the key of the *node* where an operator made it; the operator is a name in it, as that node's list
//! of API keys has it. One node makes one decision about a transaction, once, durable before it is told to anybody. Every node
//! keeps the decisions of all and counts them by itself:
//!
//! - **Approvals** of as many members as the policy asks for let a node vote as ever, by its own checks, made again then.
//! - **One refusal is enough**: every node whose policy asks votes against the payment. To refuse is the safe side,
//!   where a mistake costs a second payment and not the money, and who refused stands in every node's record by name.
//! - A node whose policy asks nobody votes at once.
//!
//! A member that lies can claim that a person approved at it, or refused. So only more than `f` approvals prove that
//! a person of an honest member was asked; and a liar can hold up large payments until he is shut out of the cluster.
//! Two contrary decisions of one member: whichever a node hears first stays, and saying both is held against the member.

use std::collections::BTreeMap;

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use crate::{
    config::Cluster,
    identity::{Signed, Statement},
    ids::{ClusterId, NodeId, ProposalDigest},
    policy::Approval,
    time::Timestamp,
    tx::Proposal,
};

/// Longest name of an operator, in characters; names of API keys are shorter.
pub const MAX_OPERATOR_CHARS: usize = 64;

/// Longest comment, in bytes.
pub const MAX_COMMENT_BYTES: usize = 256;

/// A decision, and the signature of the node that vouches for it.
pub type SignedDecision = Signed<OperatorDecision>;

/// The content of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDecision {
    /// The cluster.
    pub cluster: ClusterId,
    /// The transaction.
    pub txid: Txid,
    /// The proposal of it that the operator was shown.
    pub digest: ProposalDigest,
    /// The node at which he decided.
    pub node: NodeId,
    /// Who, by the name of his API key; `None` where the node's API asks for no keys.
    pub operator: Option<String>,
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// When, by the node's clock.
    pub at: Timestamp,
}

impl Statement for OperatorDecision {
    const TAG: &'static str = "mpc-wallet/operator-decision";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// Why a decision cannot be taken down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum UnfitDecision {
    /// The name is empty or too long.
    #[error("an operator's name has 1 to {MAX_OPERATOR_CHARS} characters; this one has {0}")]
    Name(usize),
    /// The comment is too long.
    #[error("the comment has {0} bytes, at most {MAX_COMMENT_BYTES} are kept; shorten it")]
    Comment(usize),
    /// Something in it cannot be printed.
    #[error("the {0} contains control characters; use printable text only")]
    Unprintable(UnfitPart),
}

/// A part of a decision that a person writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnfitPart {
    /// Who.
    Name,
    /// Why.
    Comment,
}

impl std::fmt::Display for UnfitPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "operator's name",
            Self::Comment => "comment",
        })
    }
}

impl OperatorDecision {
    /// Whether it speaks of exactly this proposal of this cluster.
    #[must_use]
    pub fn is_about(&self, cluster: &Cluster, proposal: &Proposal) -> bool {
        self.cluster == cluster.id() && self.txid == proposal.txid() && self.digest == proposal.digest()
    }

    /// Checks what people wrote in it.
    ///
    /// # Errors
    /// A name or comment that is too long or cannot be printed.
    pub fn check(&self) -> Result<(), UnfitDecision> {
        if let Some(name) = &self.operator {
            let length = name.chars().count();
            if !(1..=MAX_OPERATOR_CHARS).contains(&length) {
                return Err(UnfitDecision::Name(length));
            }
            if name.contains(char::is_control) {
                return Err(UnfitDecision::Unprintable(UnfitPart::Name));
            }
        }
        match &self.comment {
            Some(comment) if comment.len() > MAX_COMMENT_BYTES => Err(UnfitDecision::Comment(comment.len())),
            Some(comment) if comment.contains(char::is_control) => {
                Err(UnfitDecision::Unprintable(UnfitPart::Comment))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the other is this decision once more: by the same person, to the same end, with the same words.
    #[must_use]
    pub fn repeats(&self, other: &Self) -> bool {
        Self { at: other.at, ..self.clone() } == *other
    }
}

/// What people have decided about one transaction, as far as a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decisions {
    by_node: BTreeMap<NodeId, (SignedDecision, Timestamp)>,
}

/// What follows from the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The policy asks nobody.
    NotAsked,
    /// So many approvals are missing.
    Waiting {
        /// At least 1.
        missing: u16,
    },
    /// Enough people said yes, the last of them at this moment.
    Approved(Timestamp),
    /// Somebody said no.
    Rejected {
        /// The member at which he did.
        by: NodeId,
        /// When this was heard.
        at: Timestamp,
    },
}

impl Decisions {
    /// Adds a decision heard at `at`; the first of a member stays.
    pub fn add(&mut self, decision: SignedDecision, at: Timestamp) {
        self.by_node.entry(decision.body.node).or_insert((decision, at));
    }

    /// What was decided at a member.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<&SignedDecision> {
        self.by_node.get(&node).map(|(decision, _)| decision)
    }

    /// All of them, by member.
    pub fn iter(&self) -> impl Iterator<Item = &SignedDecision> {
        self.by_node.values().map(|(decision, _)| decision)
    }

    /// What they come to under a policy that asks for `approval`, if it does.
    #[must_use]
    pub fn rule(&self, approval: Option<&Approval>) -> Ruling {
        let Some(approval) = approval else { return Ruling::NotAsked };
        let refusal = self.by_node.values().find(|(decision, _)| !decision.body.approve);
        if let Some((decision, at)) = refusal {
            return Ruling::Rejected { by: decision.body.node, at: *at };
        }
        let mut heard: Vec<Timestamp> = self.by_node.values().map(|(_, at)| *at).collect();
        heard.sort_unstable();
        // A policy that asks for none would be one that asks nobody.
        let needed = usize::from(approval.operators.max(1));
        match heard.get(needed - 1) {
            Some(at) => Ruling::Approved(*at),
            None => Ruling::Waiting { missing: u16::try_from(needed - heard.len()).unwrap_or(u16::MAX) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, key, proposal};
    use bitcoin::Amount;

    fn decision(node: u16, approve: bool) -> SignedDecision {
        let cluster = cluster(5, 4);
        let proposal = proposal(&cluster, 1, &[1]);
        let body = OperatorDecision {
            cluster: cluster.id(),
            txid: proposal.txid(),
            digest: proposal.digest(),
            node: NodeId::new(node),
            operator: Some("ann".to_owned()),
            approve,
            comment: None,
            at: Timestamp(7),
        };
        Signed::new(body, &key(node))
    }

    fn ruling(operators: u16, heard: &[(u16, bool)]) -> Ruling {
        let mut decisions = Decisions::default();
        for (at, (node, approve)) in (100..).zip(heard) {
            decisions.add(decision(*node, *approve), Timestamp(at));
        }
        decisions.rule(Some(&Approval { above: Amount::ZERO, operators }))
    }

    #[test]
    fn approvals_of_different_members_add_up_and_one_refusal_ends_it() {
        let no = |by, at| Ruling::Rejected { by: NodeId::new(by), at: Timestamp(at) };
        for (desc, operators, heard, expected) in [
            ("nobody", 2, &[][..], Ruling::Waiting { missing: 2 }),
            ("one of two", 2, &[(4, true)], Ruling::Waiting { missing: 1 }),
            ("one member twice", 2, &[(4, true), (4, true)], Ruling::Waiting { missing: 1 }),
            ("two of two", 2, &[(4, true), (1, true)], Ruling::Approved(Timestamp(101))),
            ("more than enough", 2, &[(4, true), (1, true), (2, true)], Ruling::Approved(Timestamp(101))),
            ("one refuses", 2, &[(4, false)], no(4, 100)),
            ("one refuses after enough approved", 1, &[(4, true), (2, false)], no(2, 101)),
            ("who approved refuses too", 2, &[(4, true), (4, false)], Ruling::Waiting { missing: 1 }),
            ("a number that asks nobody asks one", 0, &[], Ruling::Waiting { missing: 1 }),
        ] {
            assert_eq!(ruling(operators, heard), expected, "{desc}");
        }
        assert_eq!(Decisions::default().rule(None), Ruling::NotAsked);
    }

    #[test]
    fn what_people_write_has_bounds() {
        type Change = fn(&mut OperatorDecision);
        let table: [(Change, Result<(), UnfitDecision>); 9] = [
            (|_| {}, Ok(())),
            (|body| body.operator = None, Ok(())),
            (|body| body.operator = Some("ä".repeat(64)), Ok(())),
            (|body| body.operator = Some("ä".repeat(65)), Err(UnfitDecision::Name(65))),
            (|body| body.operator = Some(String::new()), Err(UnfitDecision::Name(0))),
            (
                |body| body.operator = Some("a\u{7}".to_owned()),
                Err(UnfitDecision::Unprintable(UnfitPart::Name)),
            ),
            (|body| body.comment = Some("c".repeat(256)), Ok(())),
            (|body| body.comment = Some("ä".repeat(129)), Err(UnfitDecision::Comment(258))),
            (
                |body| body.comment = Some("a\0b".to_owned()),
                Err(UnfitDecision::Unprintable(UnfitPart::Comment)),
            ),
        ];
        for (row, (change, expected)) in table.into_iter().enumerate() {
            let mut body = decision(1, true).body;
            change(&mut body);
            assert_eq!(body.check(), expected, "row {row}");
        }
    }

    #[test]
    fn a_decision_is_repeated_by_the_same_person_with_the_same_words_at_any_time() {
        type Change = fn(&mut OperatorDecision);
        let first = decision(1, true).body;
        let table: [(Change, bool); 4] = [
            (|body| body.at = Timestamp(9), true),
            (|body| body.approve = false, false),
            (|body| body.operator = Some("bob".to_owned()), false),
            (|body| body.comment = Some("looks right".to_owned()), false),
        ];
        for (row, (change, expected)) in table.into_iter().enumerate() {
            let mut again = first.clone();
            change(&mut again);
            assert_eq!(first.repeats(&again), expected, "row {row}");
        }
    }

    #[test]
    fn a_decision_is_about_one_proposal_of_one_cluster() {
        let ours = cluster(5, 4);
        let body = decision(1, true).body;
        assert!(body.is_about(&ours, &proposal(&ours, 1, &[1])));
        assert!(!body.is_about(&ours, &proposal(&ours, 2, &[1])));
        assert!(!body.is_about(&cluster(5, 3), &proposal(&ours, 1, &[1])));
    }
}
