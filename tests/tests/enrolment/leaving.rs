//! Clusters that are cut off, and that leave.

use std::time::{Duration, Instant};

use tonic::Code;
use writ_core::{
    ack::Counts,
    enrol::{Outcome, Refusal},
    subject::BusSubject,
};
use writ_proto::v1;
use writ_tests::{
    hub::{Hub, until},
    voice::Voice,
};

use crate::asker::{
    Kit, Pairs, add, ask_within, cluster, enrolment_client, entry, hub, sender, try_connect,
};

const NAME: &str = "eu-prod-1";
const INBOX: &str = "_INBOX.eu.eu-prod-1";

async fn enrolled(hub: &Hub, pairs: &Pairs) -> (Kit, Outcome) {
    let kit = add(hub, NAME, 1).await;
    let client = enrolment_client(hub, NAME, &kit).await;
    let subject = BusSubject::Enrol(cluster(NAME));
    let outcome = crate::asker::ask(hub, &client, &subject, pairs, Some(&kit.token)).await;
    (kit, outcome.unwrap())
}

fn step() -> v1::ChangeClusterRequest {
    v1::ChangeClusterRequest {
        name: NAME.to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_cut_off_is_refused_for_good_and_its_acks_count_no_more() {
    let hub = hub(1, &[]).await;
    let pairs = Pairs::of(1);
    let (kit, outcome) = enrolled(&hub, &pairs).await;
    let client = try_connect(&hub, pairs.credentials(&outcome), INBOX)
        .await
        .unwrap();
    let policy = writ_tests::hub::policy("payments", "devs");
    let apply = v1::ApplyRequest {
        manifest: policy.to_string(),
        ..Default::default()
    };
    let made = hub.policies(0).apply(apply).await.unwrap().into_inner();
    assert_eq!(made.target_count, 1);

    let at = Instant::now();
    let cut = hub.clusters(0).cut_off(step()).await.unwrap().into_inner();
    let committed = at.elapsed();
    while client.is_connected() {
        assert!(at.elapsed() < Duration::from_secs(10), "it stays connected");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "cut off: committed after {committed:?}, disconnected after {:?}",
        at.elapsed()
    );
    let again = try_connect(&hub, pairs.credentials(&outcome), INBOX).await;
    assert!(again.is_none(), "the bus takes it no more");
    let of = v1::status_request::Of::Policy(v1::PolicyVersion {
        name: "payments".to_owned(),
        generation: 0,
    });
    let status = v1::StatusRequest {
        of: Some(of),
        at_least: cut.revision,
        ..Default::default()
    };
    let status = hub.acks(0).get_status(status).await.unwrap().into_inner();
    let counts = status.policies[0].counts.unwrap();
    assert_eq!((counts.target, counts.aside), (0, 1));
    let line = &status.policies[0].clusters[0];
    assert_eq!(line.membership(), v1::Membership::CutOff);
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "cutOff");

    // It asks in every way that it has, by its keys and by others.
    let refused = Some(Outcome::Refused(Refusal::CutOff));
    let by_token = enrolment_client(&hub, NAME, &kit).await;
    let enrol = BusSubject::Enrol(cluster(NAME));
    for pairs in [&pairs, &Pairs::of(2)] {
        let again = crate::asker::ask(&hub, &by_token, &enrol, pairs, Some(&kit.token)).await;
        assert_eq!(again, refused);
    }
    let shown = entry(&hub, NAME).await.unwrap().refused;
    assert!(
        shown.len() == 2 && shown.iter().all(|line| line.starts_with("CutOff ")),
        "{shown:?}"
    );
    let renew = BusSubject::Renew(sender(NAME));
    let time = Duration::from_secs(2);
    let renewed = ask_within(&hub, &client, &renew, &pairs, None, time).await;
    assert!(renewed.is_none() || renewed == refused, "{renewed:?}");
    // Applying its document changes nothing about that.
    let stated = v1::ApplyRequest {
        manifest: serde_json::json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": NAME},
            "spec": {"region": "eu", "stage": "prod", "phase": "active"},
        })
        .to_string(),
        ..Default::default()
    };
    let error = hub.clusters(0).apply(stated).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_leaves_when_it_says_that_nothing_is_left_and_not_before() {
    let hub = hub(2, &[]).await;
    let pairs = Pairs::of(1);
    let (_, outcome) = enrolled(&hub, &pairs).await;
    let client = try_connect(&hub, pairs.credentials(&outcome), INBOX)
        .await
        .unwrap();
    let ack = writ_core::envelope::SigningKey::from_seed(&pairs.ack);
    let mut voice = Voice::new(client, sender(NAME), ack);

    let told = hub.clusters(0).drain(step()).await.unwrap().into_inner();
    let told = told.revision.unwrap();
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "draining");
    let at = writ_core::revision::Revision {
        epoch: told.epoch,
        number: told.number,
    };
    // From before it was told, and while something is left.
    let before = writ_core::revision::Revision {
        number: at.number - 1,
        ..at
    };
    let held = Counts {
        applied: 1,
        ..Counts::default()
    };
    voice.say(before, Counts::default(), vec![]).await;
    voice.say(at, held, vec![]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "draining");
    voice.say(at, Counts::default(), vec![]).await;
    until("it has left", async || {
        entry(&hub, NAME).await.is_none().then_some(())
    })
    .await;
}
