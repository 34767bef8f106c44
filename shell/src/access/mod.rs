//! Who may do what through a node's API: keys with roles, in a file beside the node's configuration.
//!
//! A key is 32 random bytes, shown once when it is made; the file holds its SHA-256, which tells nothing of it. Keys are
//! made and revoked on the node's machine, by whoever may write the file, and never through the API: nobody gets more
//! rights by having some. A change of the file takes effect within seconds.

mod key_file;
mod keyring;
mod token;

pub use key_file::{AccessError, ApiKey, KeyFile};
pub use keyring::{Denied, Grant, Keyring};
pub use token::Token;

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read everything.
    Viewer,
    /// Read, and propose payments.
    Initiator,
    /// Read, and decide on payments that wait for a person.
    Approver,
    /// Everything, key generation and presignatures included.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Initiator, Self::Approver, Self::Admin];

    /// Its name in files, on the command line and in errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Initiator => "initiator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether who has this role may do what asks for `other`.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self == other || self == Self::Admin || other == Self::Viewer
    }
}

#[cfg(test)]
mod tests {
    use super::Role::{self, Admin, Approver, Initiator, Viewer};

    #[test]
    fn who_proposes_does_not_decide_and_who_decides_does_not_propose() {
        let may = |role: Role| Role::ALL.map(|other| role.includes(other));
        assert_eq!(may(Viewer), [true, false, false, false]);
        assert_eq!(may(Initiator), [true, true, false, false]);
        assert_eq!(may(Approver), [true, false, true, false]);
        assert_eq!(may(Admin), [true; 4]);
        assert!(Role::ALL.into_iter().all(|role| Role::parse(role.name()) == Some(role)));
    }
}
