//! One kube-apiserver: RBAC, the default admission plugins, priority and fairness on. Several
//! of one cluster share its etcd prefix and its certificates.

use std::path::Path;
use std::time::Duration;

use super::access::Access;
use super::certs::Certificates;
use super::{Context, Error};
use crate::parts::Part;
use crate::process::{self, Launcher, Process, STOP_LIMIT, Spec};

/// How long an API server may take to serve: 1–2 s alone on an idle machine, ten times that
/// when six start at once on two busy cores.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// How long one question for readiness may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Addresses of Services; nothing routes them here.
const SERVICE_RANGE: &str = "10.0.0.0/24";

/// A running API server and the administrator's way to it.
#[derive(Debug)]
pub(super) struct ApiServer {
    launcher: Launcher,
    spec: Spec,
    process: Process,
    pub(super) access: Access,
}

impl ApiServer {
    /// Starts one and waits until it says that it is ready, bootstrap roles included.
    pub(super) async fn start(
        context: &Context<'_>,
        certificates: &Certificates,
        name: &str,
        log: &Path,
    ) -> Result<Self, Error> {
        let started = process::on_free_port(async |port| {
            let spec = spec(context, certificates, name, port, log);
            let process = context.launcher.start(spec.clone()).await?;
            let url = format!("https://127.0.0.1:{port}");
            Starting { spec, process, url }.ready().await
        });
        let Starting { spec, process, url } = started.await?;
        let access = Access::admin(context.name, &url, certificates).await?;
        let server = Self {
            launcher: context.launcher.clone(),
            spec,
            process,
            access,
        };
        server.ready().await?;
        Ok(server)
    }

    async fn ready(&self) -> Result<(), process::Error> {
        let ready = async || {
            let probe = tokio::time::timeout(PROBE_LIMIT, self.access.is_ready()).await;
            probe.unwrap_or(false).then_some(())
        };
        let what = "it answered that it is ready";
        self.process.ready(what, READY_LIMIT, ready).await
    }

    /// Kills it (SIGKILL); what it stored stays in etcd.
    pub(super) async fn kill(&self) {
        self.process.kill().await;
    }

    /// Starts it again after its end, on the same port and etcd.
    pub(super) async fn start_again(&mut self) -> Result<(), process::Error> {
        self.process = self.launcher.start(self.spec.clone()).await?;
        self.ready().await
    }

    pub(super) async fn pause(&self) {
        self.process.pause().await;
    }

    pub(super) async fn resume(&self) {
        self.process.resume().await;
    }

    pub(super) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}

/// A server that runs, of which it is not known yet whether it got its port.
struct Starting {
    spec: Spec,
    process: Process,
    url: String,
}

impl Starting {
    /// Waits until the port is bound, so that a taken one is noticed and another is tried.
    async fn ready(self) -> Result<Self, process::Error> {
        let address = self.url.trim_start_matches("https://").to_owned();
        let open = async || tokio::net::TcpStream::connect(&address).await.ok();
        self.process
            .ready("it took connections", READY_LIMIT, open)
            .await?;
        Ok(self)
    }
}

fn spec(
    context: &Context<'_>,
    certificates: &Certificates,
    name: &str,
    port: u16,
    log: &Path,
) -> Spec {
    Spec::new(
        name,
        context.parts.path(Part::KubeApiserver),
        log.to_owned(),
    )
    .flag("etcd-servers", context.etcd)
    .flag("etcd-prefix", format!("/{}", context.name))
    .flag("bind-address", "127.0.0.1")
    .flag("advertise-address", "127.0.0.1")
    .flag("secure-port", port.to_string())
    // An Endpoints object may not name a loopback address, so nothing writes one.
    .flag("endpoint-reconciler-type", "none")
    .flag("service-cluster-ip-range", SERVICE_RANGE)
    .flag("authorization-mode", "RBAC")
    .flag("client-ca-file", certificates.authority_file())
    .flag("tls-cert-file", certificates.serving_file())
    .flag("tls-private-key-file", certificates.serving_key_file())
    .flag(
        "service-account-issuer",
        "https://kubernetes.default.svc.cluster.local",
    )
    .flag(
        "service-account-key-file",
        certificates.account_public_key_file(),
    )
    .flag(
        "service-account-signing-key-file",
        certificates.account_key_file(),
    )
}
