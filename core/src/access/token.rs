//! Service tokens as they are understood.

use std::collections::BTreeSet;

use super::{Identity, Inlet};
use crate::{hash::Hash, name::Name};

/// A token that the fleet itself gave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceToken {
    /// Its name, which is the user's.
    pub name: Name,
    /// SHA-256 of the token.
    pub hash: Hash,
    /// The groups that its bearer is in.
    pub groups: BTreeSet<String>,
    /// Until when it is taken, in seconds since 1970.
    pub expires_s: u64,
}

impl ServiceToken {
    /// Who its bearer is; nothing once it has expired.
    pub fn identity(&self, now_s: u64) -> Option<Identity> {
        (now_s < self.expires_s).then(|| Identity {
            inlet: Inlet::ServiceToken,
            user: self.name.to_string(),
            groups: self.groups.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_with_its_second() {
        let token = ServiceToken {
            name: Name::parse("ci").unwrap(),
            hash: Hash::of(b"secret"),
            groups: ["pipelines".to_owned()].into(),
            expires_s: 100,
        };
        assert_eq!(token.identity(99).unwrap().to_string(), "token:ci");
        assert_eq!(token.identity(100), None);
    }
}
