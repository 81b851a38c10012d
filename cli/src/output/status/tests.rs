//! What people see of a status, letter by letter.

use serde_json::Value;

use super::*;

fn stamp(seconds: i64, millis: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds,
        nanos: millis * 1_000_000,
    })
}

fn as_of() -> v1::AsOf {
    v1::AsOf {
        publisher: "publisher-1".into(),
        time: stamp(50_920, 0),
        edits_refused: String::new(),
        revision: Some(v1::Revision {
            epoch: 1,
            number: 10211,
        }),
    }
}

fn live() -> Option<v1::Liveness> {
    Some(v1::Liveness {
        state: v1::liveness::State::Live.into(),
        since: None,
        last_heard: stamp(50_918, 0),
    })
}

fn silent() -> Option<v1::Liveness> {
    Some(v1::Liveness {
        state: v1::liveness::State::Silent.into(),
        since: stamp(50_740, 0),
        last_heard: stamp(50_700, 0),
    })
}

fn status(clusters: Vec<v1::ClusterLine>) -> v1::StatusResponse {
    v1::StatusResponse {
        as_of: Some(as_of()),
        policies: vec![v1::PolicyStatus {
            policy: "payments-readers".into(),
            generation: 42,
            latest_generation: 42,
            revision: Some(v1::Revision {
                epoch: 1,
                number: 10200,
            }),
            committed_at: stamp(50_560, 0),
            deleted: false,
            counts: Some(v1::Counts {
                target: 12,
                applied: 10,
                refused: 1,
                silent: 1,
                later: 2,
                ..Default::default()
            }),
            clusters,
            ..Default::default()
        }],
        cluster: None,
    }
}

fn lines() -> Vec<v1::ClusterLine> {
    let line = |cluster: &str, state: v1::AckState| v1::ClusterLine {
        cluster: cluster.into(),
        region: "eu".into(),
        stage: "prod".into(),
        state: state.into(),
        membership: v1::Membership::Target.into(),
        liveness: live(),
        ..Default::default()
    };
    vec![
        v1::ClusterLine {
            received_at: stamp(50_560, 4),
            applied_at: stamp(50_560, 14),
            generation_held: 42,
            ..line("eu-prod-1", v1::AckState::Applied)
        },
        v1::ClusterLine {
            liveness: silent(),
            ..line("eu-prod-2", v1::AckState::Silent)
        },
        v1::ClusterLine {
            reason: "ForeignObject".into(),
            message: "1 object is not ours".into(),
            generation_held: 41,
            failing: vec![v1::FailingObject {
                object: "RoleBinding payments/reader".into(),
                reason: "ForeignObject".into(),
                message: "exists already and was not made by Writ".into(),
            }],
            ..line("eu-prod-3", v1::AckState::Refused)
        },
        v1::ClusterLine {
            membership: v1::Membership::Later.into(),
            received_at: stamp(50_900, 0),
            ..line("eu-prod-4", v1::AckState::Pending)
        },
    ]
}

#[test]
fn the_summary_is_one_line_with_exclusive_columns() {
    assert_eq!(
        text(&status(Vec::new()), false, &TimeZone::UTC, false),
        "POLICY            GEN  TARGET  APPLIED  PENDING  REFUSED  SILENT  LATER  AGE  AS OF\n\
         payments-readers  42   12      10       0        1        1       2      6m   14:08:40 (publisher-1, revision 10211)"
    );
}

#[test]
fn below_it_stands_every_cluster_and_what_failed_there() {
    let text = text(&status(lines()), false, &TimeZone::UTC, false);
    let (_, below) = text.split_once("\n\n").unwrap();
    assert_eq!(
        below,
        "CLUSTER    STATE                      RECEIVED  APPLIED  HOLDS  CLUSTER IS  REASON\n\
         eu-prod-1  applied                    +4ms      +14ms    @42    live        -\n\
         eu-prod-2  silent                     -         -        -      silent 3m   -\n\
         eu-prod-3  refused                    -         -        @41    live        ForeignObject\n\
         eu-prod-4  pending, received (later)  +5m40s    -        -      live        -\n\
         \n\
         eu-prod-3 (still in force there: @41): refused: ForeignObject: 1 object is not ours\n\
         \x20 RoleBinding payments/reader: ForeignObject: exists already and was not made by Writ"
    );
}

#[test]
fn an_older_generation_and_a_deletion_are_said() {
    let mut status = status(Vec::new());
    status.policies[0].latest_generation = 43;
    status.policies[0].deleted = true;
    let text = text(&status, false, &TimeZone::UTC, false);
    assert!(text.contains("payments-readers (deleted)"), "{text}");
    assert!(
        text.ends_with("payments-readers@42 is not the last generation: @43 is"),
        "{text}"
    );
}

#[test]
fn colours_only_come_with_a_word_beside_them() {
    let coloured = text(&status(lines()), false, &TimeZone::UTC, true);
    assert!(coloured.contains("\x1b[33meu-prod-2  silent"), "{coloured}");
    assert!(!text(&status(lines()), false, &TimeZone::UTC, false).contains('\x1b'));
}

#[test]
fn a_cluster_shows_where_it_is_not_good() {
    let status = v1::StatusResponse {
        as_of: Some(as_of()),
        policies: Vec::new(),
        cluster: Some(v1::ClusterStatus {
            cluster: "eu-prod-3".into(),
            region: "eu".into(),
            stage: "prod".into(),
            mode: "enforce".into(),
            liveness: live(),
            revision: Some(v1::Revision {
                epoch: 1,
                number: 10210,
            }),
            counts: Some(v1::Counts {
                target: 38,
                applied: 37,
                refused: 1,
                ..Default::default()
            }),
            exceptions: vec![v1::PolicyLine {
                policy: "payments-readers".into(),
                generation: 42,
                generation_held: 41,
                state: v1::AckState::Refused.into(),
                reason: "ForeignObject".into(),
                ..Default::default()
            }],
            kubernetes_version: "v1.36.3".into(),
            ..Default::default()
        }),
    };
    assert_eq!(
        text(&status, false, &TimeZone::UTC, false),
        "CLUSTER    REGION  STAGE  MODE     STATE  REVISION  POLICIES  APPLIED  PENDING  REFUSED  SILENT  KUBERNETES  AS OF\n\
         eu-prod-3  eu      prod   enforce  live   10210     38        37       0        1        0       v1.36.3     14:08:40 (publisher-1, revision 10211)\n\
         \n\
         POLICY            GEN  HOLDS  STATE    REASON\n\
         payments-readers  42   @41    refused  ForeignObject"
    );
    assert_eq!(names(&status), ["cluster/eu-prod-3"]);
}

#[test]
fn json_of_a_status_keeps_its_names() {
    let value: Value = serde_json::from_str(&json(&status(lines())).line()).unwrap();
    assert_eq!(value["apiVersion"], "cli.writ.dev/v1alpha1");
    assert_eq!(value["kind"], "Status");
    assert_eq!(value["policies"][0]["counts"]["silent"], 1);
    let first = &value["policies"][0]["clusters"][0];
    assert_eq!(first["state"], "applied");
    assert_eq!(first["membership"], "target");
    assert_eq!(first["appliedAt"], "1970-01-01T14:02:40.014Z");
    assert_eq!(
        value["policies"][0]["clusters"][2]["failing"][0]["reason"],
        "ForeignObject"
    );
}
