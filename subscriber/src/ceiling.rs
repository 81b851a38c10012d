//! Reads the ceiling and proves that the API server enforces it.
//!
//! Owns the proof: a handful of objects that no ceiling allows, each against one admission policy,
//! are created by dry-run, and every one has to be denied by that policy. Promises a [`Ceiling`] only
//! if all of them were denied just now; whoever writes, asks first, again every [`PROOF_PERIOD_S`]
//! and when the `PolicyCeiling` changed. Never writes anything, and never takes an answer that it
//! does not know for a denial: no proof is [`NotEnforced`].
//!
//! One policy is not asked by itself: that for foreign Roles, the twin of the one for foreign
//! ClusterRoles. Deletions are judged by the fence, which is.

use futures::future::try_join_all;
use serde_json::{Value, json};
use writ_core::ceiling::{self, Ceiling, NAME, PROBE_NAMESPACE};
use writ_core::model::{OWN_NAMESPACE, ObjectRef};
use writ_core::plan::POLICY;

use crate::cluster::{ClusterApi, Error, ErrorKind};
use crate::resource::POLICY_CEILINGS;

/// How long a proof holds. Whoever may take a binding of the ceiling away is the cluster's
/// administrator; the subscriber's own rights do not reach it, so this bounds mistakes, not attacks.
pub const PROOF_PERIOD_S: u64 = 30;

/// What a probe names where it needs a name. It never comes to exist.
const PROBE: &str = "writ:ceiling-probe";
/// The ClusterRole of `deploy/ceiling.yaml` that is nobody's to bind.
const PROBE_ROLE: &str = "ceiling-probe.writ.dev";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Why the ceiling cannot be relied on. Nothing may be written then.
#[derive(Debug, thiserror::Error)]
pub enum NotEnforced {
    /// There is none.
    #[error(
        "there is no PolicyCeiling named {NAME}: apply deploy/crds.yaml and deploy/ceiling.yaml"
    )]
    Missing,
    /// It could not be read.
    #[error("PolicyCeiling/{NAME} could not be read")]
    Unread(#[source] Error),
    /// It says what this version does not understand.
    #[error("PolicyCeiling/{NAME} is not understood")]
    NotUnderstood(#[source] ceiling::Error),
    /// The API server would have created what no ceiling allows.
    #[error(
        "the API server would allow {what}: admission policy {policy} or its binding is missing \
         or does not deny; apply deploy/ceiling.yaml"
    )]
    Allowed {
        /// The policy that should have denied it.
        policy: &'static str,
        /// What it should have denied.
        what: &'static str,
    },
    /// The API server refused it, and not because of the policy; so nothing is proven.
    #[error("admission policy {policy} could not be seen to deny {what}")]
    Unproven {
        /// The policy that should have denied it.
        policy: &'static str,
        /// What it should have denied.
        what: &'static str,
        /// The answer instead.
        #[source]
        answer: Error,
    },
}

impl NotEnforced {
    /// Whether asking again soon is worth while: the API server gave no usable answer.
    pub fn is_transient(&self) -> bool {
        match self {
            NotEnforced::Unread(error) | NotEnforced::Unproven { answer: error, .. } => {
                matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Server)
            }
            NotEnforced::Missing | NotEnforced::NotUnderstood(_) | NotEnforced::Allowed { .. } => {
                false
            }
        }
    }
}

/// Asks a cluster for its ceiling.
#[derive(Debug, Clone)]
pub struct CeilingGuard<C> {
    api: C,
}

impl<C: ClusterApi> CeilingGuard<C> {
    /// Asks through that API.
    pub fn new(api: C) -> CeilingGuard<C> {
        CeilingGuard { api }
    }

    /// Reads the ceiling and proves that it is in force. One read and a handful of dry-runs, side by
    /// side; nothing is kept between calls.
    ///
    /// # Errors
    /// If the ceiling is missing or not understood, or if any policy was not seen to deny.
    pub async fn examine(&self) -> Result<Ceiling, NotEnforced> {
        let at = POLICY_CEILINGS.reference(None, NAME);
        let read = self.api.get(&at).await;
        let found = match read {
            Ok(Some(found)) => found,
            Ok(None) => return Err(NotEnforced::Missing),
            // The definition is not there, so the object is not either.
            Err(error) if error.kind == ErrorKind::NotServed => return Err(NotEnforced::Missing),
            Err(error) => return Err(NotEnforced::Unread(error)),
        };
        let ceiling = Ceiling::parse(&found).map_err(NotEnforced::NotUnderstood)?;
        try_join_all(probes().iter().map(|probe| self.try_probe(probe))).await?;
        Ok(ceiling)
    }

    async fn try_probe(&self, probe: &Probe) -> Result<(), NotEnforced> {
        let Probe { policy, what, .. } = *probe;
        match self.api.dry_run(&probe.reference(), &probe.content).await {
            Ok(_) => Err(NotEnforced::Allowed { policy, what }),
            Err(answer) if probe.is_denied_by_policy(&answer) => Ok(()),
            Err(answer) => Err(NotEnforced::Unproven {
                policy,
                what,
                answer,
            }),
        }
    }
}

/// What no ceiling allows, because of one policy.
struct Probe {
    policy: &'static str,
    /// A policy that denies the same under a stricter ceiling and may be named in its place.
    stricter: Option<&'static str>,
    what: &'static str,
    content: Value,
}

impl Probe {
    fn reference(&self) -> ObjectRef {
        let text = |pointer: &str| Some(self.content.pointer(pointer)?.as_str()?.to_owned());
        ObjectRef {
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }

    /// The name of the policy in the API server's own words: a webhook, or a policy of somebody
    /// else, that refuses everything would prove nothing.
    fn is_denied_by_policy(&self, answer: &Error) -> bool {
        let names = |policy: &str| {
            let denied = format!("ValidatingAdmissionPolicy '{policy}'");
            answer.message.contains(&denied)
        };
        answer.kind == ErrorKind::Ceiling
            && (names(self.policy) || self.stricter.is_some_and(names))
            && answer.message.contains("denied request: CeilingExceeded:")
    }
}

/// The probes. Each breaks a rule of its policy that no field of the ceiling can lift, and no rule
/// of another policy, so that the answer does not depend on the order in which policies are asked.
fn probes() -> [Probe; 5] {
    let marks = || json!({POLICY: "ceiling-probe"});
    let role_ref = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    [
        Probe {
            policy: "writ-ceiling-fence",
            stricter: None,
            what: "a ServiceAccount in Writ's own namespace",
            content: json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "ceiling-probe", "namespace": OWN_NAMESPACE, "labels": marks()},
            }),
        },
        Probe {
            policy: "writ-ceiling-objects",
            stricter: None,
            what: "a Namespace that is protected",
            content: json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": PROBE_NAMESPACE, "labels": marks()},
            }),
        },
        Probe {
            policy: "writ-ceiling-roles",
            stricter: None,
            what: "a ClusterRole with a name of Kubernetes",
            content: json!({
                "apiVersion": RBAC, "kind": "ClusterRole",
                "metadata": {"name": format!("system:{PROBE}"), "labels": marks()}, "rules": [],
            }),
        },
        Probe {
            policy: "writ-ceiling-bindings",
            stricter: None,
            what: "a ClusterRoleBinding for the subscriber itself",
            content: json!({
                "apiVersion": RBAC, "kind": "ClusterRoleBinding",
                "metadata": {"name": PROBE, "labels": marks()}, "roleRef": role_ref(PROBE),
                "subjects": [{
                    "kind": "ServiceAccount", "name": "writ-subscriber", "namespace": OWN_NAMESPACE,
                }],
            }),
        },
        Probe {
            policy: "writ-ceiling-bound-clusterroles",
            // With `bindOwnClusterRoles: false` every ClusterRole that is not listed is denied.
            stricter: Some("writ-ceiling-bindings"),
            what: "a ClusterRoleBinding of a ClusterRole that is not Writ's",
            content: json!({
                "apiVersion": RBAC, "kind": "ClusterRoleBinding",
                "metadata": {"name": PROBE, "labels": marks()}, "roleRef": role_ref(PROBE_ROLE),
            }),
        },
    ]
}
