//! Who may let clusters in and out, and what guards ask of them.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::Command;
use tonic::{Code, transport::Channel};
use writ_core::{enrol::Token, subject::BusSubject};
use writ_proto::v1::{
    self, access_service_client::AccessServiceClient, cluster_service_client::ClusterServiceClient,
};
use writ_sandbox::api::channel_of;
use writ_tests::hub::Hub;

use crate::{
    WRIT,
    asker::{Pairs, add, add_request, ask, cluster, enrolment_client, entry, hub, token_keys},
};

const NAME: &str = "eu-prod-1";

pub(crate) async fn writ(hub: &Hub, line: &[&str]) -> Output {
    Command::new(WRIT)
        .args(line)
        .args(["--fleet", &hub.fleet_file(&hub.address(0))])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

async fn apply(hub: &Hub, kind: &str, name: &str, spec: Value) {
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    let request = v1::ApplyRequest {
        manifest: manifest.to_string(),
        ..Default::default()
    };
    match kind {
        "ClusterPolicy" => hub.policies(0).apply(request).await.unwrap(),
        _ => AccessServiceClient::new(hub.channel(0))
            .apply(request)
            .await
            .unwrap(),
    };
}

/// Somebody with a certificate of their own.
fn clusters_of(hub: &Hub, user: &str) -> ClusterServiceClient<Channel> {
    let mut fleet = hub.api().user(user, None).unwrap();
    fleet.address = hub.address(0);
    ClusterServiceClient::new(channel_of(&fleet, None).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_is_judged_by_the_rights_of_now() {
    let hub = hub(1, &[]).await;
    let rule = json!({"subjects": [{"user": "mtls:roy"}], "role": "administrator"});
    let other = json!({"subjects": [{"user": "mtls:root"}], "role": "administrator"});
    apply(&hub, "AccessRule", "root", other).await;
    apply(&hub, "AccessRule", "roy", rule.clone()).await;
    let mut roy = clusters_of(&hub, "roy");
    let token = Token::new([1; 32]);
    let adds = add_request(NAME, Some(&token), "one");
    let reenrols = v1::ReenrolClusterRequest {
        name: NAME.to_owned(),
        request_id: "two".to_owned(),
        token: Some(token_keys(&token, NAME)),
        ..Default::default()
    };
    let first = roy.add(adds.clone()).await.unwrap().into_inner();
    assert!(!first.enrol_credentials.is_empty());
    roy.add(adds.clone()).await.unwrap();
    let anew = roy.reenrol(reenrols.clone()).await.unwrap().into_inner();
    roy.reenrol(reenrols.clone()).await.unwrap();

    let gone = v1::DeleteRequest {
        name: "roy".to_owned(),
        ..Default::default()
    };
    let mut access = AccessServiceClient::new(hub.channel(0));
    access.delete(gone).await.unwrap();
    let refused = roy.add(adds.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let refused = roy.reenrol(reenrols.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    // The same, as it was, once they may again.
    apply(&hub, "AccessRule", "roy", rule).await;
    let again = roy.reenrol(reenrols).await.unwrap().into_inner();
    let generation = |of: v1::EnrolResponse| of.edit.unwrap().generation;
    assert_eq!(generation(again), generation(anew));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_access_where_a_cluster_is_withdrawn_is_counted_and_confirmed() {
    let hub = hub(1, &[]).await;
    let pairs = Pairs::of(1);
    let kit = add(&hub, NAME, 1).await;
    let client = enrolment_client(&hub, NAME, &kit).await;
    let subject = BusSubject::Enrol(cluster(NAME));
    let outcome = ask(&hub, &client, &subject, &pairs, Some(&kit.token)).await;
    pairs.credentials(&outcome.unwrap());
    let groups: Vec<Value> = (0..11).map(|n| json!({"group": format!("g{n}")})).collect();
    let spec = json!({
        "clusters": {"all": true},
        "grants": [{"name": "g", "subjects": groups, "clusterRole": "view", "clusterWide": true}],
    });
    apply(&hub, "ClusterPolicy", "many", spec).await;

    let line = ["cluster", "remove", NAME, "--withdraw", "--timeout", "0s"];
    for given in [[].as_slice(), &["--confirm", "10"], &["--confirm", "12"]] {
        let said = writ(&hub, &[line.as_slice(), given].concat()).await;
        let told = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(9), "{told}");
        assert!(
            told.contains("11 subjects lose access in stage prod"),
            "{told}"
        );
        assert!(told.contains("--confirm 11"), "{told}");
        assert_eq!(entry(&hub, NAME).await.unwrap().phase, "active");
    }
    // The publisher asks whoever does not ask themselves.
    let step = v1::ChangeClusterRequest {
        name: NAME.to_owned(),
        ..Default::default()
    };
    let refused = hub.clusters(0).drain(step).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "active");

    let said = writ(&hub, &[line.as_slice(), &["--confirm", "11"]].concat()).await;
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("11 subjects lose access"), "{told}");
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "draining");
}
