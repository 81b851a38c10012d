//! Spans on their way to a collector that speaks TLS.

use tonic::transport::Identity;
use writ_proto::v1::ApplyRequest;
use writ_sandbox::api::ApiKeys;
use writ_tests::hub::{Hub, Size, policy};

use crate::harness::{collector::Collector, wait_for};

const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");

async fn apply(hub: &Hub, name: &str) {
    let manifest = policy(name, "devs").to_string();
    let request = ApplyRequest {
        manifest,
        ..Default::default()
    };
    hub.policies(0).apply(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_believed_by_the_authority_that_is_named_and_by_no_other() {
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    ApiKeys::make(&own).unwrap();
    ApiKeys::make(&other).unwrap();
    let read = |name: &str| std::fs::read(own.join(name)).unwrap();
    let identity = Identity::from_pem(read("serving.pem"), read("serving.key"));
    let collector = Collector::start_over_tls(identity).await;
    hub.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    hub.variable("OTEL_BSP_SCHEDULE_DELAY", "200");

    let authority = |folder: &std::path::Path| folder.join("ca.pem").display().to_string();
    hub.variable("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority(&other));
    hub.start_publisher(0).await;
    // An edit does not wait for it.
    apply(&hub, "to-a-stranger").await;
    wait_for("the publisher says why spans are lost", async || {
        let log = hub.publisher_log(0);
        let mut lost = log
            .lines()
            .filter(|line| line.contains("spans do not reach the collector"));
        lost.any(|line| line.contains("certificate")).then_some(())
    })
    .await;
    assert!(collector.spans().is_empty());

    hub.kill_publisher(0).await;
    hub.variable("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority(&own));
    hub.start_publisher(0).await;
    apply(&hub, "to-the-collector").await;
    wait_for("the edit is at the collector", async || {
        let mut spans = collector.spans().into_iter();
        spans.find(|span| span.name == "edit" && span.says("writ.name") == "to-the-collector")
    })
    .await;
}
