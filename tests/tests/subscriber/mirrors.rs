//! What the definitions of the mirrors let stand.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn mirrors(fixture: &Fixture, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "writ.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "writ.dev/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Api::all_with(fixture.admin.clone(), &resource)
}

fn cluster() -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "us-prod-1"},
        "spec": {"region": "us", "stage": "prod", "mode": "enforce", "visibility": "fleet"},
        "status": {"generation": 1, "revision": "7", "signed": "", "phase": "Active"},
    })
}

fn policy() -> Value {
    let revision = json!({"epoch": 1, "number": 7});
    let record = json!({
        "asOf": revision, "word": revision, "generation": 1, "hash": "00", "feed": "policy.all.all",
        "removed": false, "done": true, "objects": [{"apiVersion": "v1", "kind": "Namespace", "name": "a"}],
    });
    json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "payments"},
        "spec": {"enforcement": "correct", "objects": []},
        "status": {
            "state": "Applied", "generation": 1, "revision": "7", "signed": "", "record": record,
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_says_what_no_subscriber_says_is_refused() {
    let fixture = Fixture::start().await;
    let clusters = mirrors(&fixture, "Cluster", "clusters");
    let policies = mirrors(&fixture, "ClusterPolicy", "clusterpolicies");
    let refused = [
        (
            &clusters,
            cluster(),
            "/metadata/name",
            json!("us.prod"),
            "DNS label",
        ),
        (
            &clusters,
            cluster(),
            "/spec/region",
            json!("all"),
            "`all` is no place",
        ),
        (
            &clusters,
            cluster(),
            "/spec/mode",
            json!("destroy"),
            "spec.mode",
        ),
        (
            &clusters,
            cluster(),
            "/status",
            json!({}),
            "status.generation",
        ),
        (
            &policies,
            policy(),
            "/metadata/name",
            json!("a.b"),
            "DNS label",
        ),
        (
            &policies,
            policy(),
            "/spec/enforcement",
            json!("maybe"),
            "spec.enforcement",
        ),
        (
            &policies,
            policy(),
            "/status/state",
            json!("Perfect"),
            "status.state",
        ),
        (
            &policies,
            policy(),
            "/status/record/objects/0",
            json!({"name": "a"}),
            "names its kind",
        ),
    ];
    for (api, good, pointer, value, words) in refused {
        let mut bad = good;
        *bad.pointer_mut(pointer).unwrap() = value;
        let object = serde_json::from_value(bad).unwrap();
        let error = api
            .create(&PostParams::default(), &object)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(words), "{pointer}: {error}");
    }
    for (api, good) in [(&clusters, cluster()), (&policies, policy())] {
        let object = serde_json::from_value(good).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}
