//! Access rules as they are understood: who, as what, where, and what may be granted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Identity, Inlet};
use crate::{
    model::RbacSubject,
    name::{Name, Region, Stage},
    scope::Scope,
};

/// The text that stands for any name where a prefix may stand.
pub const ANY: &str = "*";

/// What somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, and edits policies as far as `mayGrant` goes.
    Editor,
    /// Reads, edits policies, clusters, access rules and, where nothing bounds them, everything else.
    Administrator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Editor, Role::Administrator];

    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessSubject {
    /// One user of an inlet.
    User(Inlet, String),
    /// Everybody in a group that the inlet vouches for.
    Group(Inlet, String),
}

impl AccessSubject {
    /// Reads `oidc:alice@example.com` as a user; the inlet has to be one that rules can name.
    pub fn user(text: &str) -> Option<AccessSubject> {
        split(text).map(|(inlet, user)| AccessSubject::User(inlet, user))
    }

    /// Reads `mtls:operators` as a group.
    pub fn group(text: &str) -> Option<AccessSubject> {
        split(text).map(|(inlet, group)| AccessSubject::Group(inlet, group))
    }

    /// Whether the identity is meant.
    pub fn is(&self, identity: &Identity) -> bool {
        match self {
            AccessSubject::User(inlet, user) => *inlet == identity.inlet && *user == identity.user,
            AccessSubject::Group(inlet, group) => {
                *inlet == identity.inlet && identity.groups.contains(group)
            }
        }
    }
}

/// The break-glass administrator needs no rule, and none can take anything from them.
fn split(text: &str) -> Option<(Inlet, String)> {
    let (inlet, name) = text.split_once(':')?;
    let inlet = Inlet::ALL.into_iter().find(|of| of.as_str() == inlet)?;
    let is_nameable = !matches!(
        inlet,
        Inlet::BreakGlass | Inlet::Cluster | Inlet::Dashboard | Inlet::Loopback
    ) && !name.is_empty()
        && name.trim() == name;
    is_nameable.then(|| (inlet, name.to_owned()))
}

impl fmt::Display for AccessSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessSubject::User(inlet, user) => write!(f, "user {inlet}:{user}"),
            AccessSubject::Group(inlet, group) => write!(f, "group {inlet}:{group}"),
        }
    }
}

/// Beginnings of names, one of which has to fit; [`ANY`] fits every name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefixes(pub BTreeSet<String>);

impl Prefixes {
    /// Whether a name begins with one of them.
    pub fn fit(&self, name: &str) -> bool {
        self.is_any() || self.0.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Whether every name fits.
    pub fn is_any(&self) -> bool {
        self.0.contains(ANY)
    }

    /// Whether every name that fits others fits these, too.
    pub fn cover(&self, others: &Prefixes) -> bool {
        self.is_any()
            || others
                .0
                .iter()
                .all(|other| other != ANY && self.0.iter().any(|prefix| other.starts_with(prefix)))
    }
}

impl fmt::Display for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self
            .0
            .iter()
            .map(|prefix| match prefix.as_str() {
                ANY => ANY.to_owned(),
                prefix => format!("{prefix}*"),
            })
            .collect();
        if texts.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&texts.join(", "))
    }
}

/// Where a rule holds; what is not given bounds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// These regions.
    pub regions: Option<BTreeSet<Region>>,
    /// These stages.
    pub stages: Option<BTreeSet<Stage>>,
    /// Names of policies that begin so.
    pub names: Option<Prefixes>,
}

impl Bounds {
    /// Whether nothing is bounded.
    pub fn are_none(&self) -> bool {
        *self == Bounds::default()
    }

    /// Whether all that a scope reaches is inside.
    pub fn hold(&self, scope: &Scope) -> bool {
        fn inside<T: Ord>(bound: Option<&BTreeSet<T>>, value: Option<&T>) -> bool {
            bound.is_none_or(|bound| value.is_some_and(|value| bound.contains(value)))
        }
        inside(self.regions.as_ref(), scope.region.as_ref())
            && inside(self.stages.as_ref(), scope.stage.as_ref())
    }

    /// Whether something that a scope reaches is inside.
    pub fn meet(&self, scope: &Scope) -> bool {
        fn met<T: Ord>(bound: Option<&BTreeSet<T>>, value: Option<&T>) -> bool {
            bound.is_none_or(|bound| value.is_none_or(|value| bound.contains(value)))
        }
        met(self.regions.as_ref(), scope.region.as_ref())
            && met(self.stages.as_ref(), scope.stage.as_ref())
    }

    /// Whether other bounds are inside these.
    pub fn cover(&self, other: &Bounds) -> bool {
        fn covers<T: Ord>(own: Option<&BTreeSet<T>>, other: Option<&BTreeSet<T>>) -> bool {
            own.is_none_or(|own| other.is_some_and(|other| other.is_subset(own)))
        }
        covers(self.regions.as_ref(), other.regions.as_ref())
            && covers(self.stages.as_ref(), other.stages.as_ref())
            && self
                .names
                .as_ref()
                .is_none_or(|own| other.names.as_ref().is_some_and(|other| own.cover(other)))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(what: &str, of: Option<&BTreeSet<T>>) -> Option<String> {
            let words: Vec<String> = of?.iter().map(T::to_string).collect();
            Some(format!("{what} {}", words.join(", ")))
        }
        let names = self.names.as_ref().map(|of| format!("names {of}"));
        let parts = [
            list("regions", self.regions.as_ref()),
            list("stages", self.stages.as_ref()),
            names,
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => f.write_str("the whole fleet"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

/// One line of what roles may hold, as RBAC has them. Names of resources are not bounded: a role that
/// names some holds less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantedRule {
    /// API groups; `""` is the core group, `*` any.
    pub api_groups: BTreeSet<String>,
    /// Resources, as RBAC writes them: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: BTreeSet<String>,
    /// Verbs, or `*`.
    pub verbs: BTreeSet<String>,
    /// URLs, the last character of which may be `*`.
    pub urls: BTreeSet<String>,
}

/// What an editor's policies may hold and give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MayGrant {
    /// ClusterRoles that exist in the clusters, by name.
    pub cluster_roles: BTreeSet<String>,
    /// What the policy's own Roles and ClusterRoles may hold, at most.
    pub rules: Vec<GrantedRule>,
    /// Whether in the whole cluster.
    pub cluster_wide: bool,
    /// In which namespaces; the policy's other objects stay inside, too.
    pub namespaces: Prefixes,
    /// To which users.
    pub users: Prefixes,
    /// To which groups.
    pub groups: Prefixes,
    /// To which service accounts, as `namespace/name`.
    pub service_accounts: Prefixes,
}

impl MayGrant {
    /// Whether a subject may be granted to.
    pub fn is_for(&self, subject: &RbacSubject) -> bool {
        match subject {
            RbacSubject::User(name) => self.users.fit(name),
            RbacSubject::Group(name) => self.groups.fit(name),
            RbacSubject::ServiceAccount { namespace, name } => {
                self.service_accounts.fit(&format!("{namespace}/{name}"))
            }
        }
    }
}

/// Who may do what, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Its name.
    pub name: Name,
    /// Labels, for people and tools.
    pub labels: BTreeMap<String, String>,
    /// Annotations, likewise.
    pub annotations: BTreeMap<String, String>,
    /// Whom it is for; never empty.
    pub subjects: BTreeSet<AccessSubject>,
    /// As what.
    pub role: Role,
    /// Where.
    pub bounds: Bounds,
    /// What an editor may grant; of other roles nothing is said.
    pub may_grant: MayGrant,
}

impl AccessRule {
    /// Whether it is for an identity.
    pub fn is_for(&self, identity: &Identity) -> bool {
        self.subjects.iter().any(|subject| subject.is(identity))
    }

    /// Whether it makes somebody administrator of the whole fleet.
    pub fn is_of_all(&self) -> bool {
        self.role == Role::Administrator && self.bounds.are_none()
    }
}
