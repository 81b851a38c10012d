//! An edit's way as one trace, at a collector that speaks the real protocol.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::{Request, metadata::MetadataValue};
use writ_proto::v1::ApplyRequest;

use crate::harness::{LIMIT, Shared, collector::Seen, policy, role, run, wait_for};

/// Two clusters that no other test does anything to.
type Two = [String; 2];

/// A policy of both clusters.
fn of_both(two: &Two, name: &str) -> Value {
    let objects = json!([role("ClusterRole", name, None, &["get"])]);
    let mut policy = policy(name, &two[0], objects, json!([]));
    policy["spec"]["clusters"]["names"] = json!(two);
    policy
}

async fn apply(fleet: &Shared, two: &Two, name: &str, trace: &str) {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), of_both(two, name).to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let line = ["apply", "-f", path, "--wait", "--timeout", "60s"];
    let mut command = fleet.command(&line).await;
    // As a pipeline that has a trace calls it.
    if !trace.is_empty() {
        command.env("TRACEPARENT", trace);
    }
    let said = command.output().await.unwrap();
    assert!(said.status.success(), "{said:?}");
}

/// The span of an edit.
async fn edit_of(fleet: &Shared, name: &str) -> Seen {
    wait_for(
        &format!("the edit of {name} is at the collector"),
        async || {
            let is_it = |span: &Seen| span.name == "edit" && span.says("writ.name") == name;
            fleet.collector.spans().into_iter().find(is_it)
        },
    )
    .await
}

/// The spans of an edit's trace, once there are as many as there are to be.
async fn trace_of(fleet: &Shared, trace: &str, count: usize) -> Vec<Seen> {
    wait_for(&format!("trace {trace} has {count} spans"), async || {
        let spans = fleet.collector.trace(trace);
        (spans.len() >= count).then_some(spans)
    })
    .await
}

/// An edit, its commit, and in each of two clusters: received, applied, acked, acknowledged.
const SPANS: usize = 2 + 2 * 4;

fn one<'a>(spans: &'a [Seen], name: &str, of: (&str, &str)) -> &'a Seen {
    let mut found = spans
        .iter()
        .filter(|span| span.name == name && span.of() == of);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {name} of {of:?} in {spans:#?}"));
    assert!(found.next().is_none(), "two {name} of {of:?}");
    span
}

const PUBLISHER: (&str, &str) = ("writ-publisher", "");

/// The whole way, each step under the one before; answers the edit.
fn check_way<'a>(two: &Two, spans: &'a [Seen], name: &str) -> &'a Seen {
    assert_eq!(spans.len(), SPANS, "{spans:#?}");
    let edit = one(spans, "edit", PUBLISHER);
    let commit = one(spans, "commit", PUBLISHER);
    assert_eq!(commit.parent, edit.id);
    for cluster in two {
        let there = ("writ-subscriber", cluster.as_str());
        let receive = one(spans, "receive", there);
        let apply = one(spans, "apply", there);
        let ack = one(spans, "ack", there);
        assert_eq!(receive.parent, commit.id);
        assert_eq!(apply.parent, receive.id);
        assert_eq!(ack.parent, apply.id);
        assert_eq!(
            (apply.says("writ.name"), apply.says("writ.state")),
            (name, "applied")
        );
        let mut back = spans.iter().filter(|span| {
            span.name == "acknowledged" && span.says("k8s.cluster.name") == *cluster
        });
        let back = back.next().unwrap();
        assert_eq!(
            (back.of(), back.parent.as_str()),
            (PUBLISHER, ack.id.as_str())
        );
        let ordered = [commit, receive, apply, ack, back].map(|span| span.start_ns);
        assert!(ordered.is_sorted(), "{ordered:?}");
        assert!(apply.end_ns <= ack.end_ns);
        for span in [commit, receive, apply, back] {
            assert_eq!(span.says("writ.revision"), edit.says("writ.revision"));
        }
        for (name, value) in [
            (
                "deployment.environment.name",
                cluster.split('-').nth(1).unwrap(),
            ),
            ("writ.region", "eu"),
        ] {
            assert_eq!(apply.resource.get(name).map(String::as_str), Some(value));
        }
    }
    edit
}

/// One after the other: they ask what the one collector holds, and one takes it away.
#[test]
fn an_edit_is_one_trace_from_the_call_to_the_ack() {
    run(async |fleet| {
        let two = &[fleet.join().await, fleet.join().await];
        begins_where_nobody_has_one(fleet, two).await;
        goes_on_in_the_callers(fleet, two).await;
        is_not_made_of_garbage(fleet, two).await;
        Box::pin(is_linked_where_it_was_read_later(fleet, two)).await;
        costs_nothing_without_a_collector(fleet, two).await;
    });
}

async fn begins_where_nobody_has_one(fleet: &Shared, two: &Two) {
    apply(fleet, two, "traced", "").await;
    let edit = edit_of(fleet, "traced").await;
    let spans = trace_of(fleet, &edit.trace, SPANS).await;
    assert_eq!(check_way(two, &spans, "traced").parent, "");
    // And nothing of it is in another trace.
    let revision = edit.says("writ.revision");
    for span in fleet.collector.spans() {
        let is_of_it = span.says("writ.revision") == revision && span.name != "edit";
        assert!(!is_of_it || span.trace == edit.trace, "{span:?}");
    }
}

async fn goes_on_in_the_callers(fleet: &Shared, two: &Two) {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    apply(
        fleet,
        two,
        "traced-by-caller",
        &format!("00-{trace}-{span}-01"),
    )
    .await;
    let edit = edit_of(fleet, "traced-by-caller").await;
    assert_eq!((edit.trace.as_str(), edit.parent.as_str()), (trace, span));
    let spans = trace_of(fleet, trace, SPANS).await;
    check_way(two, &spans, "traced-by-caller");

    // A caller that records nothing has nothing recorded.
    let unsampled = format!("00-{}-{span}-00", "5".repeat(32));
    apply(fleet, two, "untraced-by-caller", &unsampled).await;
    apply(fleet, two, "traced-after", "").await;
    let after = edit_of(fleet, "traced-after").await;
    trace_of(fleet, &after.trace, SPANS).await;
    let is_of_it = |span: &Seen| span.says("writ.name") == "untraced-by-caller";
    assert!(!fleet.collector.spans().iter().any(is_of_it));
}

async fn is_not_made_of_garbage(fleet: &Shared, two: &Two) {
    let good = "00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, values) in [
        ("traced-garbage", vec!["garbage".to_owned()]),
        ("traced-large", vec!["0".repeat(8_000)]),
        (
            "traced-zero",
            vec![format!("00-{}-{}-01", "0".repeat(32), "0".repeat(16))],
        ),
        ("traced-twice", vec![good.to_owned(), good.to_owned()]),
    ] {
        let mut request = Request::new(ApplyRequest {
            manifest: of_both(two, name).to_string(),
            ..Default::default()
        });
        for value in values {
            let value = MetadataValue::try_from(value).unwrap();
            request.metadata_mut().append("traceparent", value);
        }
        fleet.policies().apply(request).await.unwrap();
        let edit = edit_of(fleet, name).await;
        let spans = trace_of(fleet, &edit.trace, SPANS).await;
        assert_eq!(check_way(two, &spans, name).parent, "");
    }
}

async fn is_linked_where_it_was_read_later(fleet: &Shared, two: &Two) {
    let name = "traced-later";
    fleet
        .while_away(&two[0], async {
            fleet.apply_on(&of_both(two, name), &[&two[1]]).await;
        })
        .await;
    let edit = edit_of(fleet, name).await;
    let commit = wait_for("the commit is at the collector", async || {
        let spans = fleet.collector.trace(&edit.trace);
        spans.into_iter().find(|span| span.name == "commit")
    })
    .await;
    let apply = wait_for("the edit is applied there, in another trace", async || {
        let mut spans = fleet.collector.spans().into_iter();
        spans.find(|span| {
            let is_there = span.of() == ("writ-subscriber", two[0].as_str());
            is_there && span.name == "apply" && span.says("writ.name") == name
        })
    })
    .await;
    assert_ne!(apply.trace, edit.trace);
    let spans = fleet.collector.trace(&apply.trace);
    let receive = one(&spans, "receive", ("writ-subscriber", two[0].as_str()));
    assert_eq!(receive.parent, "");
    assert_eq!(receive.links, [(commit.trace, commit.id)]);
    assert_eq!(apply.parent, receive.id);
}

/// How often a process has logged something.
fn logged(log: &Path, what: &str) -> usize {
    std::fs::read_to_string(log).unwrap().matches(what).count()
}

async fn costs_nothing_without_a_collector(fleet: &Shared, two: &Two) {
    const LOST: &str = "spans do not reach the collector";
    const BACK: &str = "spans reach the collector again";
    let logs = [
        "publisher-1".to_owned(),
        format!("{}.subscriber", two[0]),
        format!("{}.subscriber", two[1]),
    ];
    let logs = logs.map(|name| fleet.dir.join(format!("logs/{name}.log")));
    let before = logs.each_ref().map(|log| logged(log, LOST));
    fleet.collector.stop().await;
    for number in 0..3 {
        let begun = Instant::now();
        fleet
            .apply_on(
                &of_both(two, &format!("traced-by-nobody-{number}")),
                &[&two[0], &two[1]],
            )
            .await;
        // As without: what hangs on the collector would take its ten seconds.
        assert!(
            begun.elapsed() < Duration::from_secs(5).min(LIMIT),
            "{:?}",
            begun.elapsed()
        );
    }
    for (log, before) in logs.iter().zip(before) {
        wait_for("a process says that it loses spans", async || {
            (logged(log, LOST) > before).then_some(())
        })
        .await;
    }
    fleet.collector.come_back().await;
    apply(fleet, two, "traced-again", "").await;
    let edit = edit_of(fleet, "traced-again").await;
    let spans = trace_of(fleet, &edit.trace, SPANS).await;
    check_way(two, &spans, "traced-again");
    for (log, before) in logs.iter().zip(before) {
        // Once, whatever was lost.
        assert_eq!(logged(log, LOST), before + 1, "{}", log.display());
        assert_eq!(logged(log, BACK), before + 1, "{}", log.display());
    }
}
