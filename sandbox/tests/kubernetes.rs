//! Real API servers, controllers and etcd, started through the wrapper.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use writ_sandbox::kubernetes::Kubernetes;
use writ_sandbox::parts::Parts;
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;

/// Everything that is waited for here takes seconds; this is for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

fn launcher() -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_writ-exec").into())
}

async fn start(folder: &Path) -> Kubernetes {
    let parts = Parts::find(&Progress::stderr()).await.unwrap();
    Kubernetes::start(&launcher(), &parts, folder)
        .await
        .unwrap()
}

/// Asks until the answer is yes.
async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_whole_and_keep_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let kubernetes = start(folder.path()).await;
    let begun = Instant::now();
    let (one, two) = tokio::try_join!(
        kubernetes.cluster("eu-prod-1", 2),
        kubernetes.cluster("us-prod-1", 1)
    )
    .unwrap();
    eprintln!("two clusters with three API servers: {:?}", begun.elapsed());

    for cluster in [&one, &two] {
        for client in cluster.clients() {
            let view = Api::<ClusterRole>::all(client.clone())
                .get("view")
                .await
                .unwrap();
            assert!(!view.rules.unwrap_or_default().is_empty(), "aggregated");
            let version = client.apiserver_version().await.unwrap();
            assert!(version.git_version.starts_with("v1."), "{version:?}");
        }
        assert!(
            !std::fs::read_to_string(cluster.token_file())
                .unwrap()
                .is_empty()
        );
    }

    let both: Vec<_> = one
        .clients()
        .map(|client| Api::<Namespace>::all(client.clone()))
        .collect();
    assert_eq!(both.len(), 2);
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "payments"}})).unwrap();
    both[0]
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    until(
        "the second API server shows what the first wrote",
        async || both[1].get_opt("payments").await.unwrap().is_some(),
    )
    .await;
    let other = Api::<Namespace>::all(two.client().clone());
    assert!(
        other.get_opt("payments").await.unwrap().is_none(),
        "another prefix of etcd"
    );

    both[0]
        .delete("payments", &DeleteParams::default())
        .await
        .unwrap();
    until("the namespace controller ends the namespace", async || {
        both[0].get_opt("payments").await.unwrap().is_none()
    })
    .await;
}
