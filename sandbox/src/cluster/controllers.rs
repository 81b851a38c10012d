//! The controllers of one cluster, in its kube-controller-manager. Without them `view` and
//! `edit` hold no rules and namespaces never go away.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, Client};

use super::access::Access;
use super::certs::Certificates;
use super::{Context, Error};
use crate::files;
use crate::parts::Part;
use crate::process::{Process, STOP_LIMIT, Spec};

/// What access policy leans on; nothing here runs pods.
const CONTROLLERS: [&str; 6] = [
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "garbage-collector-controller",
];

/// How long the controllers may take to show their first work: 2 s on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// Requests a second to the API server: the default of 20 delays namespaces that go away.
const REQUESTS_PER_S: &str = "100";
/// The same for a moment.
const REQUESTS_BURST: &str = "200";

/// A running controller manager.
#[derive(Debug)]
pub(super) struct Controllers {
    process: Process,
}

impl Controllers {
    /// Starts them and waits until their work is seen: aggregated roles have rules, and the
    /// default namespace has its account.
    pub(super) async fn start(
        context: &Context<'_>,
        certificates: &Certificates,
        admin: &Access,
        log: &Path,
    ) -> Result<Self, Error> {
        let kubeconfig = context.folder.join("controller-manager.kubeconfig");
        let own = admin.kubeconfig_for(&certificates.controller_manager)?;
        files::write(&kubeconfig, own)?;
        let name = format!("kube-controller-manager {}", context.name);
        let program = context.parts.path(Part::KubeControllerManager);
        let spec = Spec::new(name, program, log.to_owned())
            .flag("kubeconfig", &kubeconfig)
            .flag("leader-elect", "false")
            .flag("controllers", CONTROLLERS.join(","))
            // Each controller acts as its own account; the manager itself may do little.
            .flag("use-service-account-credentials", "true")
            .flag(
                "service-account-private-key-file",
                certificates.account_key_file(),
            )
            .flag("root-ca-file", certificates.authority_file())
            .flag("kube-api-qps", REQUESTS_PER_S)
            .flag("kube-api-burst", REQUESTS_BURST)
            // Its own port serves nothing that is needed here.
            .flag("secure-port", "0");
        let process = context.launcher.start(spec).await?;
        let client = &admin.client;
        let seen =
            async || (is_aggregated(client).await && has_account(client).await).then_some(());
        process
            .ready("its controllers were seen to work", READY_LIMIT, seen)
            .await?;
        Ok(Self { process })
    }

    pub(super) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}

async fn is_aggregated(client: &Client) -> bool {
    let view = Api::<ClusterRole>::all(client.clone())
        .get_opt("view")
        .await;
    matches!(view, Ok(Some(ClusterRole { rules: Some(rules), .. })) if !rules.is_empty())
}

async fn has_account(client: &Client) -> bool {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    matches!(accounts.get_opt("default").await, Ok(Some(_)))
}
