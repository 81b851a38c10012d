//! The order of a plan's waves.

/// What a wave is about. Waves run one after the other, in this order:
///
/// - What others lean on comes first: the namespace, then the accounts that bindings name.
/// - LimitRanges before ResourceQuotas: a quota on requests refuses every pod that states none, and
///   the range is what states them.
/// - Quotas and roles before bindings: whoever gets access finds its bounds in place.
/// - What takes access away comes only when what gives it stands, so that a renamed grant leaves no
///   gap. Bindings go first, before the roles and accounts that they name, because the token of a
///   removed ServiceAccount lives on for some seconds.
/// - What bounds access goes after the access itself, and Namespaces last of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Namespaces are applied.
    Namespaces,
    /// ServiceAccounts are applied.
    Accounts,
    /// LimitRanges are applied.
    LimitRanges,
    /// ResourceQuotas are applied.
    Quotas,
    /// Roles and ClusterRoles are applied.
    Roles,
    /// RoleBindings and ClusterRoleBindings are applied.
    Bindings,
    /// All other kinds are applied.
    Rest,
    /// RoleBindings and ClusterRoleBindings are taken away.
    RemoveBindings,
    /// All other kinds are taken away.
    RemoveRest,
    /// Roles and ClusterRoles are taken away.
    RemoveRoles,
    /// ServiceAccounts are taken away.
    RemoveAccounts,
    /// ResourceQuotas and LimitRanges are taken away.
    RemoveQuotas,
    /// Namespaces lose our marks and stay, or are deleted where their policy said so.
    RemoveNamespaces,
}

impl Phase {
    /// When an object of that kind is applied.
    pub fn applies(kind: &str) -> Phase {
        match kind {
            "Namespace" => Phase::Namespaces,
            "ServiceAccount" => Phase::Accounts,
            "LimitRange" => Phase::LimitRanges,
            "ResourceQuota" => Phase::Quotas,
            "Role" | "ClusterRole" => Phase::Roles,
            "RoleBinding" | "ClusterRoleBinding" => Phase::Bindings,
            _ => Phase::Rest,
        }
    }

    /// When an object of that kind is taken away.
    pub fn removes(kind: &str) -> Phase {
        match Phase::applies(kind) {
            Phase::Namespaces => Phase::RemoveNamespaces,
            Phase::Accounts => Phase::RemoveAccounts,
            Phase::LimitRanges | Phase::Quotas => Phase::RemoveQuotas,
            Phase::Roles => Phase::RemoveRoles,
            Phase::Bindings => Phase::RemoveBindings,
            _ => Phase::RemoveRest,
        }
    }
}
