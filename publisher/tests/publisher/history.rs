//! The kept edits of a name.

use serde_json::json;
use tonic::Code;
use writ_proto::v1::{self, EditKind, EntryKind};

use crate::{
    fake::{apply, delete, policy},
    fleet::Fleet,
};

fn edits_of(name: &str) -> v1::ListEditsRequest {
    v1::ListEditsRequest {
        kind: EntryKind::Policy.into(),
        name: name.into(),
        ..Default::default()
    }
}

fn edit_of(name: &str, generation: u64) -> v1::GetEditRequest {
    v1::GetEditRequest {
        kind: EntryKind::Policy.into(),
        name: name.into(),
        generation,
        at_least: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_says_what_each_edit_did_and_goes_on_over_a_deletion() {
    let fleet = Fleet::start().await;
    let mut policies = fleet.policies();
    let mut first = apply(&policy("payments", "devs"));
    first.reason = "INC-1".into();
    first.request_id = "one".into();
    policies.apply(first).await.unwrap();
    policies
        .apply(apply(&policy("payments", "ops")))
        .await
        .unwrap();
    let mut moved = policy("payments", "ops");
    moved["spec"]["clusters"] = json!({"regions": ["us"]});
    policies.apply(apply(&moved)).await.unwrap();
    policies.delete(delete("payments")).await.unwrap();
    policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();

    let mut history = fleet.history();
    let told = history
        .list_edits(edits_of("payments"))
        .await
        .unwrap()
        .into_inner();
    let kinds: Vec<EditKind> = told.edits.iter().map(v1::Edit::kind).collect();
    assert_eq!(
        kinds,
        [
            EditKind::Created,
            EditKind::Changed,
            EditKind::Moved,
            EditKind::Deleted,
            EditKind::Recreated
        ]
    );
    assert_eq!((told.oldest_generation, told.kept_max), (1, 64));
    let first = &told.edits[0];
    assert_eq!(
        (
            first.reason.as_str(),
            first.request_id.as_str(),
            first.inlet.as_str()
        ),
        ("INC-1", "one", "grpc")
    );
    assert_eq!(
        (&first.scopes[..], &told.edits[2].scopes[..]),
        (&["eu.all".to_owned()][..], &["us.all".to_owned()][..])
    );
    let numbers: Vec<u64> = told
        .edits
        .iter()
        .map(|edit| edit.revision.unwrap().number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);

    let second = history.get_edit(edit_of("payments", 2)).await.unwrap();
    let second = second.into_inner();
    assert!(second.manifest.contains("\"ops\""), "{}", second.manifest);
    assert_eq!(second.latest_generation, 5);
    assert_eq!(second.edit.unwrap().kind(), EditKind::Changed);
    let gone = history.get_edit(edit_of("payments", 4)).await.unwrap();
    assert_eq!(gone.into_inner().manifest, "");
    let missing = history.list_edits(edits_of("other")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let missing = history.get_edit(edit_of("other", 0)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn evicted_edits_are_out_of_range_and_the_history_says_where_it_begins() {
    let fleet = Fleet::start().await;
    for number in 1..=70 {
        fleet
            .policies()
            .apply(apply(&policy("payments", &format!("g{number}"))))
            .await
            .unwrap();
    }
    let mut history = fleet.history();
    let told = history
        .list_edits(edits_of("payments"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((told.oldest_generation, told.edits.len()), (7, 64));
    assert_eq!(told.edits[0].kind(), EditKind::Put);
    assert_eq!(told.edits[1].kind(), EditKind::Changed);
    let evicted = history.get_edit(edit_of("payments", 6)).await.unwrap_err();
    assert_eq!(evicted.code(), Code::OutOfRange);
    assert!(
        evicted.message().contains("begins at payments@7"),
        "{}",
        evicted.message()
    );
    let kept = history.get_edit(edit_of("payments", 7)).await.unwrap();
    assert!(kept.into_inner().manifest.contains("\"g7\""));
}
