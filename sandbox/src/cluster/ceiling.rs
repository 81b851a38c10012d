//! Waits until an API server enforces the ceiling. Admission policies are not in force the moment
//! that they are stored: each API server takes them up within a second or two.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use kube::Client;
use serde_json::{Value, json};

use super::Error;

/// How long that may take.
const ENFORCED_LIMIT: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const POLL_PERIOD: Duration = Duration::from_millis(50);
/// Whom the policies are about.
const IDENTITY: &str = "system:serviceaccount:writ-system:writ-subscriber";

/// Asks, in the subscriber's name and by dry-run, for what two policies of `deploy/ceiling.yaml`
/// deny, until both do: one with the PolicyCeiling as its parameter, and one of the last, which has
/// ClusterRoles. An API server takes up all the policies that it knows of at once, so these stand
/// for the others.
pub(super) async fn enforced(server: &Client) -> Result<(), Error> {
    let labels = json!({"writ.dev/policy": "probe"});
    let protected = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "writ-ceiling-probe", "labels": labels},
    });
    let group = "rbac.authorization.k8s.io";
    let foreign = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": "writ:probe", "labels": labels},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "ceiling-probe.writ.dev"},
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let denied = async {
        while !is_denied(server, "/api/v1/namespaces", &protected).await
            || !is_denied(server, bindings, &foreign).await
        {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    let limit_s = ENFORCED_LIMIT.as_secs();
    tokio::time::timeout(ENFORCED_LIMIT, denied)
        .await
        .map_err(|_| Error::NotEnforced { limit_s })
}

async fn is_denied(server: &Client, path: &str, object: &Value) -> bool {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{path}?dryRun=All"))
        .header("Impersonate-User", IDENTITY)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes());
    let Ok(request) = request else { return false };
    match server.request_text(request).await {
        Err(kube::Error::Api(status)) => {
            status.code == StatusCode::FORBIDDEN.as_u16()
                && status.message.contains("denied request: CeilingExceeded:")
        }
        _ => false,
    }
}
