//! The pure check and the admission policies say the same of the same objects.

#[path = "../../../core/src/ceiling/tests/documents.rs"]
mod documents;

use writ_core::ceiling::Ceiling;
use writ_core::model::{Object, ObjectRef};
use writ_core::plan::marked;
use writ_subscriber::ceiling::CeilingGuard;
use writ_subscriber::cluster::{ClusterApi, ErrorKind};
use writ_subscriber::kube_api::KubeApi;

use crate::guard::api;
use crate::kubectl::{Fixture, until};
use documents::{Case, cases, ceiling_named};

/// Whether the API server refuses the object, and with which words.
async fn refusal(api: &KubeApi, case: &Case) -> Option<String> {
    let policy = "table".parse().unwrap();
    let content = marked(&policy, &case.object.content);
    let error = api.dry_run(&case.object.reference, &content).await.err()?;
    assert_eq!(error.kind, ErrorKind::Ceiling, "{}: {error}", case.name);
    Some(error.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pure_check_and_the_api_server_agree_on_every_object_of_the_table() {
    let fixture = Fixture::start().await;
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: payments}}";
    fixture.admin(&["create", "-f", "-"], Some(namespace)).await;
    let api = api(&fixture).await;
    let guard = CeilingGuard::new(api.clone());
    let mut disagree = Vec::new();
    for name in ["default", "open"] {
        if name == "open" {
            fixture
                .admin(&["replace", "-f", "-"], Some(documents::OPEN))
                .await;
        }
        let ceiling = ceiling_named(name);
        assert_eq!(guard.examine().await.unwrap().hash(), ceiling.hash());
        let cases: Vec<Case> = cases()
            .into_iter()
            .filter(|case| case.under == name)
            .collect();
        // The API server's cache of the ceiling follows within milliseconds.
        let first = cases.iter().find(|case| case.refused.is_none()).unwrap();
        until("the ceiling is in force", async || {
            refusal(&api, first).await.is_none()
        })
        .await;
        for case in &cases {
            let (pure, server) = (ceiling.check(&case.object), refusal(&api, case).await);
            if pure.is_err() != server.is_some() {
                disagree.push(format!("{}: {pure:?}, {server:?}", case.name));
            }
        }
    }
    assert!(disagree.is_empty(), "{}", disagree.join("\n"));
}
