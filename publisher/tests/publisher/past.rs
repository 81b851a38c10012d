//! The fleet as it was: lists at a moment, and what a cluster was told.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tonic::Code;
use writ_proto::v1::{self, moment, render_response::Part};

use crate::{
    fake::{add, apply, cluster, delete, policy},
    fleet::Fleet,
};

fn at_revision(number: u64) -> Option<v1::Moment> {
    let revision = v1::Revision { epoch: 1, number };
    Some(v1::Moment {
        at: Some(moment::At::Revision(revision)),
    })
}

fn at_time(time: prost_types::Timestamp) -> Option<v1::Moment> {
    Some(v1::Moment {
        at: Some(moment::At::Time(time)),
    })
}

fn millis_before(time: prost_types::Timestamp, millis: i64) -> prost_types::Timestamp {
    let all = time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000 - millis;
    prost_types::Timestamp {
        seconds: all.div_euclid(1_000),
        nanos: i32::try_from(all.rem_euclid(1_000) * 1_000_000).unwrap(),
    }
}

/// All pages: name and generation, unknown names, and the place.
async fn list(
    fleet: &Fleet,
    mut at: Option<v1::Moment>,
) -> (BTreeMap<String, u64>, Vec<v1::UnknownEntry>, v1::Place) {
    let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
    let mut token = String::new();
    loop {
        let request = v1::ListAtRequest {
            at,
            names: vec![],
            filter: Some(v1::ListRequest {
                page_token: token,
                ..Default::default()
            }),
        };
        let page = fleet.history().list_policies(request).await.unwrap();
        let page = page.into_inner();
        let policies = page.policies.into_iter();
        found.extend(policies.map(|policy| (policy.name, policy.generation)));
        unknown.extend(page.unknown);
        let place = page.place.unwrap();
        if page.next_page_token.is_empty() {
            return (found, unknown, place);
        }
        token = page.next_page_token;
        at = Some(v1::Moment {
            at: place.revision.map(moment::At::Revision),
        });
    }
}

async fn edit_time(fleet: &Fleet, name: &str, generation: u64) -> prost_types::Timestamp {
    let request = v1::GetEditRequest {
        kind: v1::EntryKind::Policy.into(),
        name: name.into(),
        generation,
        at_least: None,
    };
    let got = fleet.history().get_edit(request).await.unwrap();
    got.into_inner().edit.unwrap().committed_at.unwrap()
}

/// Applies many at once; the publisher puts them in an order.
async fn apply_all(fleet: &Fleet, count: usize, group: &str) {
    let policies = fleet.policies();
    stream::iter(0..count)
        .for_each_concurrent(64, |number| {
            let mut policies = policies.clone();
            let request = apply(&policy(&format!("p{number:04}"), group));
            async move {
                policies.apply(request).await.unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_policies_than_one_batched_read_answers_are_listed_as_they_were() {
    const COUNT: usize = 1_100;
    let fleet = Fleet::start().await;
    apply_all(&fleet, COUNT, "devs").await;
    apply_all(&fleet, COUNT, "ops").await;
    fleet.policies().delete(delete("p0007")).await.unwrap();

    let count = u64::try_from(COUNT).unwrap();
    let since = std::time::Instant::now();
    let (first, unknown, place) = list(&fleet, at_revision(count)).await;
    eprintln!(
        "{COUNT} policies as they were, all changed since: {:?}",
        since.elapsed()
    );
    assert_eq!((first.len(), unknown.len()), (COUNT, 0));
    assert!(first.values().all(|generation| *generation == 1));
    assert_eq!(place.revision.unwrap().number, count);

    let (second, _, _) = list(&fleet, at_revision(2 * count)).await;
    assert_eq!(second.len(), COUNT);
    assert!(second.values().all(|generation| *generation == 2));

    // In the middle of the second round: a state that the log had, some changed and some not yet.
    let (middle, _, _) = list(&fleet, at_revision(count + 300)).await;
    assert_eq!(middle.len(), COUNT);
    assert_eq!(
        middle
            .values()
            .filter(|generation| **generation == 2)
            .count(),
        300
    );

    let (now, _, _) = list(&fleet, None).await;
    assert_eq!(now.len(), COUNT - 1);
    let (early, unknown, place) = list(&fleet, at_revision(40)).await;
    assert_eq!((early.len(), unknown.len()), (40, 0));
    assert_eq!(place.revision.unwrap().number, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_one_place_in_the_log() {
    let fleet = Fleet::start().await;
    let mut times = Vec::new();
    for group in ["a", "b", "c"] {
        fleet
            .policies()
            .apply(apply(&policy("payments", group)))
            .await
            .unwrap();
        let generation = u64::try_from(times.len()).unwrap() + 1;
        times.push(edit_time(&fleet, "payments", generation).await);
        // The next edit is of a later millisecond.
        let next = times.len() + 1;
        let name = format!("other-{next}");
        let mut stamp = *times.last().unwrap();
        while stamp == *times.last().unwrap() {
            let mut other = policy(&name, group);
            other["metadata"]["labels"] = json!({"n": uuid::Uuid::new_v4().to_string()});
            let made = fleet.policies().apply(apply(&other)).await.unwrap();
            stamp = edit_time(&fleet, &name, made.into_inner().generation).await;
        }
    }
    for (position, time) in times.iter().enumerate() {
        let generation = u64::try_from(position).unwrap() + 1;
        let (then, _, place) = list(&fleet, at_time(*time)).await;
        assert_eq!(then["payments"], generation);
        assert_eq!(place.committed_at, Some(*time));
        let (before, unknown, _) = list(&fleet, at_time(millis_before(*time, 1))).await;
        let expected = (generation > 1).then(|| generation - 1);
        assert_eq!(before.get("payments").copied(), expected);
        assert!(unknown.is_empty());
    }
    let (nothing, unknown, place) = list(&fleet, at_time(millis_before(times[0], 3_600_000))).await;
    assert_eq!((nothing.len(), unknown.len(), place.revision), (0, 0, None));

    let future = v1::ListAtRequest {
        at: at_time(millis_before(times[2], -3_600_000)),
        ..Default::default()
    };
    let refused = fleet.history().list_policies(future).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_the_kept_history_is_unknown_and_never_absent() {
    let fleet = Fleet::start().await;
    let mut policies = fleet.policies();
    policies
        .apply(apply(&policy("steady", "devs")))
        .await
        .unwrap();
    policies.apply(apply(&policy("busy", "g0"))).await.unwrap();
    policies
        .apply(apply(&policy("gone", "devs")))
        .await
        .unwrap();
    policies.delete(delete("gone")).await.unwrap();
    for number in 1..=70 {
        let request = apply(&policy("busy", &format!("g{number}")));
        policies.apply(request).await.unwrap();
    }
    policies
        .apply(apply(&policy("late", "devs")))
        .await
        .unwrap();
    policies.apply(apply(&policy("gone", "ops"))).await.unwrap();

    // Revision 3: steady, busy@1 and gone@1 were there; busy's first edits are evicted.
    let (then, unknown, _) = list(&fleet, at_revision(3)).await;
    assert_eq!(
        then.into_iter().collect::<Vec<_>>(),
        [("gone".to_owned(), 1), ("steady".to_owned(), 1)]
    );
    assert_eq!(unknown.len(), 1);
    assert_eq!(
        (unknown[0].name.as_str(), unknown[0].oldest_generation),
        ("busy", 8)
    );
    assert!(unknown[0].oldest_at.is_some());

    // Revision 4: gone was deleted; that it came back later does not matter.
    let (then, _, _) = list(&fleet, at_revision(4)).await;
    assert_eq!(then.into_keys().collect::<Vec<_>>(), ["steady"]);

    let names = v1::ListAtRequest {
        at: at_revision(4),
        names: ["busy", "gone", "late", "never", "steady"]
            .map(str::to_owned)
            .into(),
        filter: None,
    };
    let told = fleet
        .history()
        .list_policies(names)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.absent, ["gone", "late", "never"]);
    assert_eq!(told.policies.len(), 1);
    assert_eq!(told.unknown.len(), 1);
}

async fn render(fleet: &Fleet, at: Option<v1::Moment>) -> Result<Vec<Part>, tonic::Status> {
    let request = v1::RenderRequest {
        cluster: "eu-prod-1".into(),
        at,
        ..Default::default()
    };
    let mut parts = Vec::new();
    let mut answers = fleet.history().render(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        parts.push(answer.part.unwrap());
    }
    Ok(parts)
}

fn names(parts: &[Part]) -> Vec<(String, u64)> {
    let name = |part: &Part| match part {
        Part::Policy(policy) => Some((policy.name.clone(), policy.generation)),
        _ => None,
    };
    parts.iter().filter_map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_rendered_with_the_labels_and_the_scopes_that_held_then() {
    let fleet = Fleet::start().await;
    let mut labelled = policy("by-label", "devs");
    labelled["spec"]["clusters"] = json!({"matchLabels": {"team": "core"}});
    let mut selecting = policy("selecting", "ci");
    selecting["spec"]["grants"] = json!([{
        "name": "deploy", "subjects": [{"group": "ci"}], "clusterRole": "edit",
        "namespaceSelector": {"matchLabels": {"team": "pay"}},
    }]);
    let mut team = policy("team", "devs");
    team["spec"]["objects"] = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay", "labels": {"team": "pay"}}},
    ]);
    let mut policies = fleet.policies();
    policies.apply(apply(&labelled)).await.unwrap(); // 1
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap(); // 2
    policies.apply(apply(&selecting)).await.unwrap(); // 3
    policies.apply(apply(&team)).await.unwrap(); // 4
    let mut relabelled: Value = cluster("eu-prod-1");
    relabelled["metadata"]["labels"] = json!({"team": "other"});
    fleet.clusters().apply(apply(&relabelled)).await.unwrap(); // 5
    let mut moved = team.clone();
    moved["spec"]["clusters"] = json!({"regions": ["us"]});
    policies.apply(apply(&moved)).await.unwrap(); // 6

    let missing = render(&fleet, at_revision(1)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let expected = |names: &[&str]| -> Vec<(String, u64)> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    };
    let then = render(&fleet, at_revision(4)).await.unwrap();
    assert_eq!(names(&then), expected(&["by-label", "selecting", "team"]));
    let Part::Head(head) = &then[0] else {
        panic!("the head comes first")
    };
    assert_eq!(head.cluster.as_ref().unwrap().labels["team"], "core");
    let Some(Part::Policy(policy)) = then.get(2) else {
        panic!("the second policy")
    };
    assert_eq!(policy.grants[0].namespaces, ["pay"]);
    assert_eq!(policy.objects.len(), 1);

    // Relabelled: the policy by label is not for it any more, while its other ones are.
    let then = render(&fleet, at_revision(5)).await.unwrap();
    assert_eq!(names(&then), expected(&["selecting", "team"]));
    // Moved to another region: gone, and its namespace with it.
    let now = render(&fleet, None).await.unwrap();
    assert_eq!(names(&now), expected(&["selecting"]));
    let Some(Part::Policy(policy)) = now.get(1) else {
        panic!("the policy")
    };
    assert!(policy.grants[0].namespaces.is_empty() && policy.objects.is_empty());
}
