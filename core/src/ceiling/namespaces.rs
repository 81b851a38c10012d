//! Namespaces under the ceiling: the level of pod security.

use serde::Deserialize;
use serde_json::Value;

use super::{Ceiling, PodSecurity, Violation};

const LEVEL: &str = "pod-security.kubernetes.io/enforce";

impl Ceiling {
    /// Checks the level that a Namespace says. That a level is not taken away from a Namespace that
    /// has one is checked by the API server alone, which sees both.
    pub(super) fn check_pod_security(&self, content: &Value) -> Result<(), Violation> {
        let level = &content["metadata"]["labels"][LEVEL];
        // The API server's own expression takes an empty label for an absent one.
        let Some(said) = level.as_str().filter(|said| !said.is_empty()) else {
            return if self.pod_security_required {
                let what = format!("no label {LEVEL}");
                Err(Violation::not_allowed(what, "podSecurityRequired"))
            } else {
                Ok(())
            };
        };
        match PodSecurity::deserialize(level) {
            Ok(level) if level >= self.pod_security_minimum => Ok(()),
            _ => {
                let what = format!("label {LEVEL}: {said:?}");
                Err(Violation::not_allowed(what, "podSecurityMinimum"))
            }
        }
    }
}
