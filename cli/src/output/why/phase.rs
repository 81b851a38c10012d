//! What there is to say of a cluster that does not (fully) belong to the fleet, and what to do.

use writ_proto::v1;

use crate::output::words;

/// Nothing for an active cluster, which is told of by its policies.
pub(super) fn text(cluster: &v1::ClusterStatus) -> Option<String> {
    let name = &cluster.cluster;
    let mut lines = Vec::new();
    match cluster.phase.as_str() {
        "pending" => {
            lines.push(format!(
                "{name} is NOT good: it is registered, and not enrolled"
            ));
            for refused in &cluster.refused_requests {
                lines.push(format!("  a request was refused: {refused}"));
            }
            for fingerprint in &cluster.waiting {
                lines.push(format!("  keys ask to be let in: {fingerprint}"));
            }
            lines.push(match cluster.waiting.as_slice() {
                [] => format!("  Do: apply the manifest of `writ cluster add {name}` to it; where that is lost or its hour is over: `writ cluster reenrol {name}`"),
                _ => format!("  Do: compare with what the cluster itself shows (its log, ConfigMap writ-system/writ-state), then `writ cluster approve {name} --fingerprint …`"),
            });
        }
        "draining" if words::liveness_state(cluster.liveness.as_ref()) == "silent" => {
            lines.push(format!(
                "{name} is left with access: it was told to give everything back, and is silent"
            ));
            lines.push(format!("  Do: nothing, it gives it back when it meets the bus again; if it is gone for good: `writ cluster remove {name} --keep`"));
        }
        "draining" => {
            lines.push(format!(
                "{name} is leaving: it gives back what was applied there"
            ));
            for line in &cluster.exceptions {
                lines.push(
                    format!("  {} {}", line.policy, line.reason)
                        .trim_end()
                        .to_owned(),
                );
            }
        }
        "cutOff" => {
            lines.push(format!(
                "{name} is cut off: its keys are revoked, and what it says does not count"
            ));
            lines.push(format!("  Do one of: `writ cluster reenrol {name}` lets it in again, with new keys; `writ cluster remove {name} --keep` forgets it"));
        }
        _ => return None,
    }
    Some(lines.join("\n"))
}
