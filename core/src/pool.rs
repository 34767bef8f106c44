//! The presignatures that a node holds, each for one signature of one group of signers (I4).
//!
//! A presignature is in here once and is moved out of here into its one use; nothing is ever put back. What peers hold is
//! hearsay and serves time alone: a presignature that another signer turns out to lack is lost, not dangerous.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    codec::{self, CodecError},
    ids::{BootId, KeyId, LogIndex, NodeId, PresignatureId},
    mpc::ecdsa::{Presignature, PresignatureError},
    record::UsedPresignature,
    time::{Millis, Timestamp},
};

/// A presignature in stock.
#[derive(Debug)]
pub struct Stocked {
    /// The secret.
    pub presignature: Presignature,
    /// What all know of it.
    pub label: Label,
}

/// What all signers know of a presignature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The key it signs for.
    pub key: KeyId,
    /// Its signers, ascending.
    pub signers: Vec<NodeId>,
    /// When it was made.
    pub made_at: Timestamp,
    /// How long that took.
    pub took: Millis,
}

impl Stocked {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> PresignatureId {
        PresignatureId::from_bytes(self.presignature.id())
    }

    /// What [`Mutant::PresignatureReused`](crate::mutant::Mutant) does.
    #[cfg(feature = "mutants")]
    pub(crate) fn copy_for_a_planted_bug(&self) -> Option<Self> {
        let presignature = Presignature::from_secret_bytes(&self.presignature.to_secret_bytes()).ok()?;
        Some(Self { presignature, label: self.label.clone() })
    }

    pub(crate) fn as_used(&self) -> UsedPresignature {
        UsedPresignature { id: self.id(), made_at: self.label.made_at, took: self.label.took }
    }
}

/// What this node holds, and what it has heard of others.
#[derive(Default)]
pub(crate) struct Pool {
    own: BTreeMap<PresignatureId, Stocked>,
    theirs: BTreeMap<NodeId, BTreeSet<PresignatureId>>,
}

impl Pool {
    /// Takes a presignature in; says whether it is a new one.
    pub(crate) fn add(&mut self, stocked: Stocked) -> bool {
        let id = stocked.id();
        let new = !self.own.contains_key(&id);
        if new {
            self.own.insert(id, stocked);
        }
        new
    }

    /// A peer told all it holds. What it should hold and has not for so long that it must have heard of it will never be
    /// used: it is dropped.
    pub(crate) fn hear(&mut self, from: NodeId, holds: BTreeSet<PresignatureId>, made_before: Timestamp) {
        self.own.retain(|id, stocked| {
            let lost = stocked.label.signers.contains(&from)
                && stocked.label.made_at < made_before
                && !holds.contains(id);
            !lost
        });
        self.theirs.insert(from, holds);
    }

    /// What a member held is unknown from now on.
    pub(crate) fn forget_member(&mut self, node: NodeId) {
        self.theirs.remove(&node);
    }

    /// Drops what belongs to any other key.
    pub(crate) fn keep_only(&mut self, key: KeyId) {
        self.own.retain(|_, stocked| stocked.label.key == key);
    }

    /// Drops everything; says how much that was.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.own).len()
    }

    /// How many of a group this node holds.
    pub(crate) fn held(&self, key: KeyId, signers: &[NodeId]) -> usize {
        self.of(key, signers).count()
    }

    /// Those of a group that every signer says it holds, `me` being this node.
    pub(crate) fn ready(&self, key: KeyId, signers: &[NodeId], me: NodeId) -> Vec<PresignatureId> {
        let others: Vec<NodeId> = signers.iter().copied().filter(|signer| *signer != me).collect();
        let all_hold = |id: &PresignatureId| {
            others.iter().all(|node| self.theirs.get(node).is_some_and(|ids| ids.contains(id)))
        };
        self.of(key, signers).map(|(id, _)| *id).filter(all_hold).collect()
    }

    /// The groups there are presignatures of.
    pub(crate) fn groups(&self, key: KeyId) -> BTreeSet<&[NodeId]> {
        let of_key = self.own.values().filter(|stocked| stocked.label.key == key);
        of_key.map(|stocked| stocked.label.signers.as_slice()).collect()
    }

    /// Moves presignatures out, in the order asked for: all of them or none, and none twice.
    pub(crate) fn take(
        &mut self,
        key: KeyId,
        signers: &[NodeId],
        ids: &[PresignatureId],
    ) -> Option<Vec<Stocked>> {
        let distinct: BTreeSet<&PresignatureId> = ids.iter().collect();
        let fits = |id: &PresignatureId| {
            self.own
                .get(id)
                .is_some_and(|stocked| stocked.label.key == key && stocked.label.signers == signers)
        };
        if distinct.len() != ids.len() || !ids.iter().all(fits) {
            return None;
        }
        Some(ids.iter().filter_map(|id| self.own.remove(id)).collect())
    }

    /// The names of all there is.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PresignatureId> + '_ {
        self.own.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Moves everything out.
    pub(crate) fn drain(&mut self) -> Vec<Stocked> {
        std::mem::take(&mut self.own).into_values().collect()
    }

    fn of<'a>(
        &'a self,
        key: KeyId,
        signers: &'a [NodeId],
    ) -> impl Iterator<Item = (&'a PresignatureId, &'a Stocked)> {
        self.own
            .iter()
            .filter(move |(_, stocked)| stocked.label.key == key && stocked.label.signers == signers)
    }
}

/// The pool of a node that was stopped in order, to go on with after the next start. Good for that start alone: the host
/// deletes it, durably, before it gives it to the node.
#[derive(Debug)]
pub struct KeptPresignatures {
    /// The boot that kept them.
    pub boot: BootId,
    /// The journal's last position then.
    pub position: LogIndex,
    /// Themselves.
    pub stock: Vec<Stocked>,
}

/// Why bytes are no kept presignatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// Not an encoding of them.
    #[error("kept presignatures: {0}; delete the file, others will be made")]
    Codec(#[from] CodecError),
    /// One of them is damaged.
    #[error(transparent)]
    Presignature(#[from] PresignatureError),
}

/// What precedes the secrets.
#[derive(Serialize, Deserialize)]
struct Contents {
    boot: BootId,
    position: LogIndex,
    /// Each label, and how many bytes its secret takes.
    items: Vec<(Label, u32)>,
}

/// Bytes of the length in front of [`Contents`].
const LENGTH: usize = 4;

impl KeptPresignatures {
    /// For encrypted storage.
    ///
    /// # Errors
    /// None for what this crate makes.
    pub fn to_secret_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeptError> {
        let oversized = |_| CodecError::Malformed("too large".to_owned());
        let secrets: Vec<_> =
            self.stock.iter().map(|stocked| stocked.presignature.to_secret_bytes()).collect();
        let items = self
            .stock
            .iter()
            .zip(&secrets)
            .map(|(stocked, secret)| {
                Ok((stocked.label.clone(), u32::try_from(secret.len()).map_err(oversized)?))
            })
            .collect::<Result<_, CodecError>>()?;
        let contents = codec::encode(&Contents { boot: self.boot, position: self.position, items })?;
        let length = u32::try_from(contents.len()).map_err(oversized)?;
        // Room for all: growing would leave copies of the secrets behind in freed memory.
        let room = LENGTH + contents.len() + secrets.iter().map(|secret| secret.len()).sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&contents);
        for secret in &secrets {
            bytes.extend_from_slice(secret);
        }
        Ok(bytes)
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote. The caller erases `bytes`, wherever they are.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, KeptError> {
        let short = || KeptError::Codec(CodecError::Malformed("it ends too soon".to_owned()));
        let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or_else(short)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| short())?;
        let (contents, mut rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let Contents { boot, position, items } = codec::decode(contents, bytes.len())?;
        let mut stock = Vec::new();
        for (label, length) in items {
            let length = usize::try_from(length).map_err(|_| short())?;
            let (secret, others) = rest.split_at_checked(length).ok_or_else(short)?;
            rest = others;
            stock.push(Stocked { presignature: Presignature::from_secret_bytes(secret)?, label });
        }
        if rest.is_empty() { Ok(Self { boot, position, stock }) } else { Err(short()) }
    }
}
