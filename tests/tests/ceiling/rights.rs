//! What the account may do, as a reviewed text: least privilege is a list that somebody has read.

use crate::kubectl::{Fixture, Who, until};

const SUBSCRIBER: &str = include_str!("rights/subscriber.txt");
const OBSERVER: &str = include_str!("rights/observer.txt");

/// `kubectl auth can-i --list` cluster-wide and in the subscriber's own namespace, one right a line.
async fn rights(fixture: &Fixture) -> String {
    let mut text = String::new();
    for (title, namespace) in [("everywhere", "default"), ("writ-system", "writ-system")] {
        let list = ["auth", "can-i", "--list", "--no-headers", "-n", namespace];
        let answer = fixture.kubectl(Who::Subscriber, &list, None).await;
        assert!(answer.succeeded, "{}", answer.text);
        let mut lines: Vec<String> = answer.text.lines().map(spaced).collect();
        lines.sort();
        text.push_str(&format!("# {title}\n{}\n", lines.join("\n")));
    }
    text
}

/// The columns' widths depend on the other lines.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscriber_and_the_observer_may_do_what_was_reviewed_and_no_more() {
    let fixture = Fixture::start().await;
    let found = rights(&fixture).await;
    assert_eq!(found, SUBSCRIBER, "rights/subscriber.txt, found:\n{found}");

    fixture.deploy("observer.yaml").await;
    fixture
        .admin(&["delete", "clusterrolebinding", "writ-subscriber"], None)
        .await;
    until("the rights are taken away", async || {
        let asked = ["auth", "can-i", "create", "clusterroles"];
        !fixture
            .kubectl(Who::Subscriber, &asked, None)
            .await
            .succeeded
    })
    .await;
    let found = rights(&fixture).await;
    assert_eq!(found, OBSERVER, "rights/observer.txt, found:\n{found}");
}
