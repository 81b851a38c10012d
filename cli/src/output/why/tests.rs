//! What `why` says, letter by letter, and how it ends.

use super::*;

fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn as_of() -> Option<v1::AsOf> {
    Some(v1::AsOf {
        publisher: "publisher-1".into(),
        time: stamp(10_000),
        revision: None,
        edits_refused: String::new(),
    })
}

fn heard(state: v1::liveness::State) -> Option<v1::Liveness> {
    let silent = state == v1::liveness::State::Silent;
    Some(v1::Liveness {
        state: state.into(),
        since: stamp(9_700).filter(|_| silent),
        last_heard: stamp(if silent { 9_695 } else { 9_998 }),
    })
}

fn cluster(counts: (u32, u32, u32, u32), exceptions: Vec<v1::PolicyLine>) -> v1::ClusterStatus {
    let (applied, pending, refused, silent) = counts;
    let state = if silent > 0 {
        v1::liveness::State::Silent
    } else {
        v1::liveness::State::Live
    };
    v1::ClusterStatus {
        cluster: "eu-prod-3".into(),
        region: "eu".into(),
        stage: "prod".into(),
        mode: "enforce".into(),
        liveness: heard(state),
        counts: Some(v1::Counts {
            target: applied + pending + refused + silent,
            applied,
            pending,
            refused,
            silent,
            ..Default::default()
        }),
        exceptions,
        ..Default::default()
    }
}

fn line(policy: &str, state: v1::AckState, reason: &str) -> v1::PolicyLine {
    v1::PolicyLine {
        policy: policy.into(),
        generation: 42,
        state: state.into(),
        reason: reason.into(),
        ..Default::default()
    }
}

fn refused() -> v1::PolicyLine {
    let message = "rule 2: verb \"escalate\": PolicyCeiling/default denies it";
    v1::PolicyLine {
        message: message.into(),
        failing: vec![v1::FailingObject {
            object: "Role payments/reader".into(),
            reason: "CeilingExceeded".into(),
            message: message.into(),
        }],
        received_at: stamp(9_640),
        last_applied_generation: 41,
        ..line("payments-readers", v1::AckState::Refused, "CeilingExceeded")
    }
}

fn finding(cluster: v1::ClusterStatus) -> Finding {
    Finding::new(cluster, as_of(), None)
}

#[test]
fn a_refusal_is_told_with_its_object_what_was_applied_before_and_what_to_do() {
    let finding = finding(cluster((37, 0, 1, 0), vec![refused()]));
    assert_eq!(
        finding.text(),
        "\
eu-prod-3 is NOT good: 1 refused of 38 policies; live (last heard 2s ago), 1 generation behind
  payments-readers@42  refused, received 6m ago  CeilingExceeded
     Role payments/reader: rule 2: verb \"escalate\": PolicyCeiling/default denies it
     last applied in full: @41
  Do one of:
    - Take out of the policy what the message names: `writ get policy payments-readers -o yaml`
    - Ask the owner of eu-prod-3 to widen the ceiling: `kubectl --context eu-prod-3 edit policyceilings.writ.dev default`; it is in force at once, and the subscriber tries again within 30 s
    - Where a role of the cluster \"may not be bound\": its owner labels it, `kubectl --context eu-prod-3 label KIND NAME writ.dev/bindable=true`, or lists it in the ceiling's `bindableClusterRoles`
    - Leave eu-prod-3 out of the policy: `spec.clusters.exclude`
  More: writ explain CeilingExceeded"
    );
    assert_eq!(finding.exit(), Exit::Refused);
}

#[test]
fn a_good_cluster_is_one_line() {
    let good = finding(cluster((38, 0, 0, 0), vec![]));
    assert_eq!(
        good.text(),
        "eu-prod-3 is good: 38 of 38 policies applied; live (last heard 2s ago)"
    );
    assert_eq!(good.exit(), Exit::Done);
    let idle = finding(cluster((0, 0, 0, 0), vec![]));
    assert_eq!(
        idle.text(),
        "eu-prod-3 is good: no policy is for it; live (last heard 2s ago)"
    );
}

#[test]
fn a_silent_cluster_is_never_good_whatever_it_said_before() {
    let mut lines = vec![line("common-roles", v1::AckState::Silent, "")];
    lines.push(line("payments", v1::AckState::Silent, "ForeignObject"));
    let silent = finding(cluster((0, 0, 0, 2), lines));
    let text = silent.text();
    assert!(
        text.starts_with(
            "eu-prod-3 is NOT good: silent 5m (last heard 5m5s ago); what it holds now is not known\n  \
             Before it fell silent it had said:\n  payments@42  silent  ForeignObject\n  Do one of:\n    - \
             Look whether its subscriber runs: `kubectl --context eu-prod-3 -n writ-system get pods`\n"
        ),
        "{text}"
    );
    assert_eq!(silent.exit(), Exit::Silent);

    let mut without_policies = cluster((0, 0, 0, 0), vec![]);
    without_policies.liveness = heard(v1::liveness::State::Silent);
    assert_eq!(finding(without_policies).exit(), Exit::Silent);
    let mut never = cluster((0, 0, 0, 0), vec![]);
    never.liveness = None;
    let never = finding(never);
    assert_eq!(never.exit(), Exit::TimedOut);
    assert!(
        never
            .text()
            .starts_with("eu-prod-3 is NOT good: never heard\n  Do one of:"),
        "{}",
        never.text()
    );
}

#[test]
fn refusals_are_told_before_what_waits_and_each_reason_is_advised_on_once() {
    let lines = vec![
        line("a", v1::AckState::Pending, "RoleMissing"),
        line("b", v1::AckState::Refused, "ForeignObject"),
        line("c", v1::AckState::Refused, "ForeignObject"),
        line("d", v1::AckState::Pending, ""),
    ];
    let finding = finding(cluster((0, 2, 2, 0), lines));
    let text = finding.text();
    let places: Vec<_> = [
        "\n  b@42  refused",
        "\n  c@42  refused",
        "\n  a@42  pending",
        "\n  d@42  pending",
        "\n  ForeignObject, do one of:",
        "\n  RoleMissing, do one of:",
        "\n  Waiting, do one of:",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}")))
    .collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(text.matches("ForeignObject, do one of:").count(), 1);
    assert!(text.contains("`writ get policy POLICY -o yaml`"), "{text}");
    assert_eq!(finding.exit(), Exit::Refused);
}

#[test]
fn an_observing_cluster_says_what_it_would_do() {
    let mut would = line("payments", v1::AckState::Pending, "Observing");
    would.failing = vec![v1::FailingObject {
        object: "Role payments/reader".into(),
        reason: "Observing".into(),
        message: "would create".into(),
    }];
    let same = line("common-roles", v1::AckState::Pending, "Observing");
    let mut observing = cluster((0, 2, 0, 0), vec![same.clone(), would]);
    observing.mode = "observe".into();
    let differs = finding(observing);
    assert!(
        differs.text().starts_with(
            "\
eu-prod-3 only observes: 1 of 2 policies would change it; live (last heard 2s ago)
  payments@42  would change  Observing
     Role payments/reader: would create
  Do one of:
"
        ),
        "{}",
        differs.text()
    );
    assert_eq!(differs.exit(), Exit::Differs);

    let mut observing = cluster((0, 1, 0, 0), vec![same]);
    observing.mode = "observe".into();
    let same = finding(observing);
    assert_eq!(
        same.text(),
        "eu-prod-3 only observes: nothing would be changed; live (last heard 2s ago)"
    );
    assert_eq!(same.exit(), Exit::Done);
}

#[test]
fn one_policy_is_judged_alone() {
    let policy = v1::PolicyStatus {
        policy: "common-roles".into(),
        generation: 7,
        ..Default::default()
    };
    let applied = v1::ClusterLine {
        cluster: "eu-prod-3".into(),
        state: v1::AckState::Applied.into(),
        liveness: heard(v1::liveness::State::Live),
        ..Default::default()
    };
    let whole = cluster((37, 0, 1, 0), vec![refused()]);
    let alone = Finding::new(whole.clone(), as_of(), Some((policy.clone(), applied)));
    assert_eq!(
        alone.text(),
        "common-roles@7 on eu-prod-3 is good: applied; live (last heard 2s ago)"
    );
    assert_eq!(alone.exit(), Exit::Done);

    let waits = v1::ClusterLine {
        cluster: "eu-prod-3".into(),
        state: v1::AckState::Pending.into(),
        reason: "NamespaceMissing".into(),
        liveness: heard(v1::liveness::State::Live),
        ..Default::default()
    };
    let alone = Finding::new(whole, as_of(), Some((policy, waits)));
    assert!(
        alone.text().starts_with(
            "common-roles@7 on eu-prod-3 is NOT good: pending; live (last heard 2s ago)\n  \
             common-roles@7  pending  NamespaceMissing\n  Do one of:\n"
        ),
        "{}",
        alone.text()
    );
    assert_eq!(alone.exit(), Exit::TimedOut);
}

#[test]
fn scripts_get_the_verdict_the_lines_and_the_advice() {
    let finding = finding(cluster((37, 0, 1, 0), vec![refused()]));
    let value: Value = serde_json::from_str(&finding.json().line()).unwrap();
    assert_eq!(value["apiVersion"], "cli.writ.dev/v1alpha1");
    assert_eq!(value["kind"], "Why");
    assert_eq!(value["good"], false);
    assert_eq!(value["verdict"], "refused");
    assert_eq!(value["counts"]["target"], 38);
    assert_eq!(value["policies"][0]["reason"], "CeilingExceeded");
    assert_eq!(value["policies"][0]["lastAppliedGeneration"], 41);
    assert_eq!(value["advice"][0]["reason"], "CeilingExceeded");
    assert_eq!(value["advice"][0]["doOneOf"].as_array().unwrap().len(), 4);
}

#[test]
fn what_a_cluster_wrote_moves_no_cursor_and_a_flood_is_cut() {
    let mut line = line("p", v1::AckState::Refused, "Invalid");
    line.message = "one\n\u{1b}[2Jtwo".into();
    let many = vec![line; 30];
    let text = finding(cluster((0, 0, 30, 0), many)).text();
    assert!(!text.contains('\u{1b}'));
    assert!(text.contains("… and 10 more"), "{text}");
}

#[test]
fn what_was_changed_by_hand_is_told_beside_a_good_word() {
    let mut good = cluster((2, 0, 0, 0), Vec::new());
    let object = v1::FailingObject {
        object: "RoleBinding payments/writ:payments:owners".into(),
        reason: "Drift".into(),
        message: "Deleted by kubectl-edit, put back".into(),
    };
    good.drift = vec![v1::DriftLine {
        policy: "payments".into(),
        generation: 42,
        seen_at: stamp(9_880),
        repaired_at: stamp(9_880),
        objects: vec![object],
    }];
    let finding = Finding::new(good, as_of(), None);
    assert_eq!(finding.exit(), Exit::Done);
    let text = finding.text();
    let told = "\n  Changed by hand lately:\n     2m ago  payments@42  RoleBinding payments/writ:payments:owners: Deleted by kubectl-edit, put back";
    assert!(text.ends_with(told), "{text}");
    let json = serde_json::to_value(finding.json()).unwrap();
    assert_eq!(json["drift"][0]["objects"][0]["reason"], "Drift");
}

#[test]
fn a_cluster_for_which_two_speak_is_never_good() {
    let mut forked = cluster((1, 0, 0, 0), vec![]);
    forked.forked = "run a of the subscriber speaks again after run b took over".into();
    let finding = Finding::new(forked, None, None);
    assert_eq!(finding.exit(), Exit::Refused);
    let text = finding.text();
    assert!(
        text.starts_with("eu-prod-3 is NOT good: two hold its keys: run a"),
        "{text}"
    );
    assert!(text.contains("writ cluster reenrol eu-prod-3"), "{text}");
}

#[test]
fn a_cluster_that_is_not_active_says_why_and_what_to_do() {
    let told = |phase: &str, change: fn(&mut v1::ClusterStatus)| {
        let mut cluster = cluster((0, 0, 0, 0), vec![]);
        cluster.phase = phase.into();
        change(&mut cluster);
        let finding = finding(cluster);
        (finding.text(), finding.exit())
    };
    let (text, exit) = told("pending", |cluster| {
        cluster.waiting = vec!["3f2a-0b1c".into()];
        cluster.refused_requests = vec!["TokenUsed 11aa-22bb".into()];
    });
    assert_eq!(exit, Exit::TimedOut);
    for part in [
        "not enrolled",
        "TokenUsed 11aa-22bb",
        "3f2a-0b1c",
        "writ cluster approve",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let (text, exit) = told("cutOff", |_| {});
    assert!(text.contains("writ cluster reenrol"), "{text}");
    assert_eq!(exit, Exit::Refused);
    let (text, _) = told("draining", |_| {});
    assert!(text.contains("is leaving"), "{text}");
}
