//! Real clusters and kubectl, as the administrator or with the subscriber's token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use writ_sandbox::cluster::Cluster;
use writ_sandbox::kubernetes::Kubernetes;
use writ_sandbox::parts::{Part, Parts};
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;

/// Everything that is waited for takes seconds; this is for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

/// Who runs kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The cluster's administrator.
    Admin,
    /// Whoever has the subscriber's token.
    Subscriber,
}

/// One real cluster with the ceiling in force.
pub(crate) struct Fixture {
    kubectl: PathBuf,
    token: String,
    pub(crate) cluster: Cluster,
    // Dropped after the cluster: etcd, then the files.
    _kubernetes: Kubernetes,
    folder: TempDir,
}

/// What kubectl answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    /// Both streams.
    pub(crate) text: String,
}

impl Fixture {
    pub(crate) async fn start() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::find(&Progress::stderr()).await.unwrap();
        let launcher = Launcher::writ(env!("CARGO_BIN_EXE_writ-under-test").into());
        let kubernetes = Kubernetes::start(&launcher, &parts, folder.path())
            .await
            .unwrap();
        let cluster = kubernetes.cluster("eu-prod-1", 1).await.unwrap();
        fs::write(
            folder.path().join("admin.kubeconfig"),
            cluster.kubeconfig().unwrap(),
        )
        .unwrap();
        Fixture {
            kubectl: parts.path(Part::Kubectl).to_owned(),
            token: fs::read_to_string(cluster.token_file()).unwrap(),
            cluster,
            _kubernetes: kubernetes,
            folder,
        }
    }

    /// Runs kubectl; `input` is what `-f -` reads.
    pub(crate) async fn kubectl(&self, who: Who, run: &[&str], input: Option<&str>) -> Answer {
        let mut command = Command::new(&self.kubectl);
        match who {
            Who::Admin => {
                let kubeconfig = self.folder.path().join("admin.kubeconfig");
                command.arg("--kubeconfig").arg(kubeconfig);
            }
            Who::Subscriber => {
                command
                    .env("KUBECONFIG", "/dev/null")
                    .arg("--server")
                    .arg(self.cluster.endpoints().next().unwrap())
                    .arg("--certificate-authority")
                    .arg(self.cluster.authority_file())
                    .arg(format!("--token={}", self.token.trim()));
            }
        }
        let child = command
            .args(run)
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A kubectl that reads nothing may have closed its end already.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        Answer {
            succeeded: output.status.success(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// As the administrator, who is never refused.
    pub(crate) async fn admin(&self, run: &[&str], input: Option<&str>) -> String {
        let answer = self.kubectl(Who::Admin, run, input).await;
        assert!(answer.succeeded, "{run:?}: {}", answer.text);
        answer.text
    }

    /// Creates objects as the administrator.
    pub(crate) async fn create(&self, objects: &[Value]) {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.admin(&["create", "-f", "-"], Some(&list.to_string()))
            .await;
    }

    /// Applies a file of `deploy/` as the administrator.
    pub(crate) async fn deploy(&self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy")
            .join(file);
        let path = path.to_str().unwrap();
        self.admin(
            &["apply", "--server-side", "--force-conflicts", "-f", path],
            None,
        )
        .await;
    }
}

/// Asks until the answer is yes.
pub(crate) async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
