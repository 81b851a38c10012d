//! What happens is told as it happens, to whoever follows it.

use std::process::Stdio;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};
use writ_proto::v1::{AckState, DeleteRequest};

use crate::harness::{LIMIT, PROD, Shared, policy, role, run};

/// `writ events -w`, read line by line; ended with it.
struct Followed {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Followed {
    async fn start(fleet: &Shared, which: &[&str]) -> Followed {
        // All that is remembered, so that it does not matter when this begins.
        let line = [&["events", "-w", "--last", "4096", "-o", "json"], which].concat();
        let mut command = fleet.command(&line).await;
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Followed {
            _child: child,
            lines,
        }
    }

    /// The next one of a kind; what comes before it is passed over.
    async fn next(&mut self, what: &str) -> Value {
        loop {
            let line = timeout(LIMIT, self.lines.next_line())
                .await
                .unwrap_or_else(|_| panic!("{what} is not told"));
            let told: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
            assert_eq!(told["kind"], "Happening", "{told}");
            if told["what"] == what {
                return told;
            }
        }
    }
}

#[test]
fn an_edit_its_refusal_a_change_by_hand_and_a_deletion_are_told_one_by_one() {
    run(async |fleet| {
        let name = "events-told";
        let of = |verbs: &[&str]| {
            let objects = json!([role("ClusterRole", name, None, verbs)]);
            policy(name, PROD, objects, json!([]))
        };
        let mut followed = Followed::start(fleet, &[name]).await;
        fleet.apply_on(&of(&["get"]), &[PROD]).await;
        let edited = followed.next("edited").await;
        assert_eq!(
            (&edited["generation"], &edited["count"]),
            (&1.into(), &1.into())
        );
        let received = followed.next("received").await;
        assert_eq!(received["cluster"], PROD);
        let applied = followed.next("applied").await;
        assert_eq!(
            (&applied["policy"], &applied["region"]),
            (&name.into(), &"eu".into())
        );
        assert!(
            applied["afterMs"].as_u64() >= received["afterMs"].as_u64(),
            "{applied}"
        );

        let roles = fleet.objects(PROD, "ClusterRole", "");
        roles.delete(name, &DeleteParams::default()).await.unwrap();
        let repaired = followed.next("repaired").await;
        let object = repaired["objects"][0]["object"].as_str().unwrap();
        assert!(object.ends_with(name), "{repaired}");

        let refused = fleet.apply(&of(&["escalate"])).await;
        fleet.expect(&refused, PROD, AckState::Refused).await;
        let refused = followed.next("refused").await;
        assert_eq!(refused["reason"], "CeilingExceeded");
        assert!(
            refused["message"].as_str().unwrap().contains("escalate"),
            "{refused}"
        );

        let request = DeleteRequest {
            name: name.into(),
            ..Default::default()
        };
        fleet.policies().delete(request).await.unwrap();
        followed.next("deleted").await;
        assert_eq!(followed.next("removed").await["generation"], 3);

        // Once more, for people, and all that was.
        let said = fleet.writ(&["events", "--last", "4096", name]).await;
        let said = String::from_utf8(said.stdout).unwrap();
        for what in [
            "edited", "received", "applied", "repaired", "refused", "removed",
        ] {
            assert!(said.contains(&format!("  {what} ")), "{what}: {said}");
        }
        let none = fleet.writ(&["events", "events-never-was"]).await;
        assert!(none.status.success());
        assert!(String::from_utf8_lossy(&none.stderr).contains("nothing has happened"));
    });
}

#[test]
fn a_cluster_that_falls_silent_and_is_heard_again_is_told_of() {
    run(async |fleet| {
        let cluster = fleet.join().await;
        let mut followed = Followed::start(fleet, &["--cluster", &cluster]).await;
        fleet
            .while_away(&cluster, async {
                followed.next("silent").await;
            })
            .await;
        followed.next("heard").await;
    });
}
