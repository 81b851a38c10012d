//! Who calls, as it was established at the edge.

use std::{collections::BTreeSet, fmt};

/// The group that is administrator of a fleet whatever its rules say: given by client certificates alone.
pub const ADMINISTRATORS: &str = "writ:administrators";

/// By which way somebody showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Inlet {
    /// A person's or a pipeline's ID token of a configured OpenID Connect issuer.
    Oidc,
    /// A machine's client certificate.
    Certificate,
    /// A service token that the fleet itself gave out.
    ServiceToken,
    /// The break-glass administrator.
    BreakGlass,
    /// A cluster itself, by what it signed on the bus: it takes steps in its own life alone.
    Cluster,
    /// A dashboard that asks nobody who they are: it reads, and nothing else.
    Dashboard,
    /// Nothing was checked.
    Loopback,
}

impl Inlet {
    /// All of them.
    pub const ALL: [Inlet; 7] = [
        Inlet::Oidc,
        Inlet::Certificate,
        Inlet::ServiceToken,
        Inlet::BreakGlass,
        Inlet::Cluster,
        Inlet::Dashboard,
        Inlet::Loopback,
    ];

    /// The word for it, in audit records and in authors.
    pub fn as_str(self) -> &'static str {
        match self {
            Inlet::Oidc => "oidc",
            Inlet::Certificate => "mtls",
            Inlet::ServiceToken => "token",
            Inlet::BreakGlass => "break-glass",
            Inlet::Cluster => "cluster",
            Inlet::Dashboard => "dashboard",
            Inlet::Loopback => "unauthenticated",
        }
    }
}

impl fmt::Display for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody whose credential was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How they showed it.
    pub inlet: Inlet,
    /// The name, unique within the inlet.
    pub user: String,
    /// The groups that the inlet vouches for.
    pub groups: BTreeSet<String>,
}

/// As it is kept as the author of an edit: `oidc:alice@example.com`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.inlet, self.user)
    }
}
