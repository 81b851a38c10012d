//! Reads: never older than asked for, the same after a restart; health, reflection and the beat.

use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use writ_bus::{
    accounts,
    batch::{Batch, Message, Outcome, commit},
    live::{self, Signal},
    read,
    streams::Stream,
};
use writ_core::{
    beat::Beat,
    envelope::{Keyring, SigningKey},
    name::{Name, Region, Stage},
    revision::Revision,
    root::Root,
    subject::BusSubject,
};
use writ_proto::{log, v1};

use crate::{
    fake::{FakeCluster, add, apply, cluster, delete, policy},
    fleet::{DEADLINE, Fleet, connect, signing_key, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ahead_of_the_log_is_unavailable_and_never_older() {
    let fleet = Fleet::start().await;
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let at_least = Some(v1::Revision {
        epoch: 1,
        number: 9,
    });
    let request = v1::GetRequest {
        name: "payments".into(),
        at_least,
        at_least_generation: 0,
    };
    let refused = fleet.policies().get(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("up to revision 1"),
        "{}",
        refused.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_publisher_holds_what_the_first_one_held() {
    let mut fleet = Fleet::start().await;
    for name in ["eu-prod-1", "eu-prod-2"] {
        fleet.clusters().add(add(&cluster(name))).await.unwrap();
    }
    for name in ["a", "b", "c"] {
        fleet
            .policies()
            .apply(apply(&policy(name, "devs")))
            .await
            .unwrap();
    }
    fleet.policies().delete(delete("b")).await.unwrap();
    let list = v1::ListRequest {
        with_manifests: true,
        ..Default::default()
    };
    let policies = fleet
        .policies()
        .list(list.clone())
        .await
        .unwrap()
        .into_inner()
        .policies;
    let clusters = fleet
        .clusters()
        .list(list.clone())
        .await
        .unwrap()
        .into_inner()
        .clusters;
    fleet.restart_publisher().await;

    let after = fleet
        .policies()
        .list(list.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(after.policies, policies);
    assert_eq!(after.as_of.unwrap().revision.unwrap().number, 6);
    let names = |of: Vec<v1::Cluster>| of.into_iter().map(|c| (c.name, c.generation, c.manifest));
    let after = fleet
        .clusters()
        .list(list)
        .await
        .unwrap()
        .into_inner()
        .clusters;
    assert!(names(after).eq(names(clusters)));
    let next = fleet
        .policies()
        .apply(apply(&policy("b", "devs")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((next.generation, next.revision.unwrap().number), (3, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_pages_and_can_be_narrowed() {
    let fleet = Fleet::start().await;
    for name in ["a", "b", "c"] {
        fleet
            .policies()
            .apply(apply(&policy(name, "devs")))
            .await
            .unwrap();
    }
    let mut request = v1::ListRequest {
        page_size: 2,
        ..Default::default()
    };
    let first = fleet
        .policies()
        .list(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.policies.len(), first.next_page_token.as_str()),
        (2, "b")
    );
    request.page_token = first.next_page_token;
    let last = fleet
        .policies()
        .list(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (last.policies.len(), last.next_page_token.as_str()),
        (1, "")
    );

    let count = async |request: v1::ListRequest| {
        fleet
            .policies()
            .list(request)
            .await
            .unwrap()
            .into_inner()
            .policies
            .len()
    };
    let of_region = |region: &str| v1::ListRequest {
        region: region.into(),
        ..Default::default()
    };
    assert_eq!(
        (count(of_region("eu")).await, count(of_region("us")).await),
        (3, 0)
    );
    let label = |value: &str| v1::ListRequest {
        match_labels: [("team".to_owned(), value.to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(
        (count(label("payments")).await, count(label("core")).await),
        (3, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    let fleet = Fleet::start().await;
    let request = HealthCheckRequest {
        service: "writ.v1.PolicyService".into(),
    };
    let health = HealthClient::new(fleet.channel())
        .check(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(fleet.channel())
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answers
        .into_inner()
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("not a list of services")
    };
    let names: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for service in ["AckService", "ClusterService", "PolicyService"] {
        assert!(names.contains(&format!("writ.v1.{service}")), "{names:?}");
    }
    assert!(
        !names.iter().any(|name| name.starts_with("writ.log")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_hear_a_signed_beat_of_the_log() {
    let fleet = Fleet::start().await;
    let listener = FakeCluster::connect(&fleet, "eu-prod-1").await;
    let (region, stage) = (Region::parse("eu").unwrap(), Stage::parse("prod").unwrap());
    let mut heard = live::listen_as_cluster(listener.client(), &region, &stage)
        .await
        .unwrap();
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let trusted = Keyring::new([signing_key().public()]);
    let beat = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(Signal::Message {
                subject: BusSubject::Beat,
                bytes,
                ..
            }) = heard.next().await
            {
                return log::open::<Beat>(&BusSubject::Beat, &bytes, &trusted)
                    .unwrap()
                    .value;
            }
        }
    });
    let beat = beat.await.expect("a beat comes");
    assert_eq!(
        (beat.revision.number, beat.publisher.as_str()),
        (1, "publisher-1")
    );
    assert_eq!(beat.expires_after_ms, 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_verify_in_the_log_is_alarmed_and_edits_go_on() {
    let fleet = Fleet::start().await;
    let first = fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let first = first.into_inner().revision.unwrap();
    // A thief with the publisher's identity on the bus, and without its signing key.
    let inbox = accounts::publisher_inbox(&Name::parse("publisher-1").unwrap());
    let thief = connect(&fleet.url, fleet.publisher_login(), inbox)
        .await
        .unwrap();
    let root = read::last_by_subject(&thief, Stream::Log, &BusSubject::Root)
        .await
        .unwrap()
        .unwrap();
    let forged = Root {
        revision: Revision {
            epoch: 1,
            number: 99,
        },
        ..Root::default()
    };
    let bytes = log::seal(&forged, &SigningKey::from_seed(&[7; 32]))
        .bytes
        .into();
    let message = Message {
        subject: BusSubject::Root,
        bytes,
    };
    let batch = Batch::new(vec![message], root.sequence).unwrap();
    let outcome = commit(&thief, &batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");

    until("the alarm is raised", async || {
        fleet.log().contains("not_verified").then_some(())
    })
    .await;
    let next = fleet
        .policies()
        .apply(apply(&policy("payments", "others")))
        .await
        .unwrap();
    let next = next.into_inner().revision.unwrap();
    assert_eq!(next.number, first.number + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_ends_cleanly_when_it_is_asked_to() {
    let mut fleet = Fleet::start().await;
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let request = v1::StatusRequest::default();
    let mut watch = fleet
        .acks()
        .watch_status(request)
        .await
        .unwrap()
        .into_inner();
    assert!(watch.next().await.unwrap().is_ok());
    let status = fleet.end_publisher().await;
    assert!(status.success(), "{status}\n{}", fleet.log());
    while let Some(answer) = watch.next().await {
        if let Err(ended) = answer {
            assert_eq!(ended.code(), Code::Unavailable);
            break;
        }
    }
}
