//! The commands against a publisher that is a few lines long: what is sent, in which order, what is
//! printed, and how it ends.

mod support;

use std::fs;

use support::{Publisher, Ran, refuse, run, run_with};
use tonic::{Code, Status};
use writ_proto::v1;

const CLUSTER: &str = "apiVersion: writ.dev/v1alpha1\nkind: Cluster\nmetadata: {name: eu-prod-1}\nspec: {region: eu, stage: prod}\n";
const PAYMENTS: &str = "apiVersion: writ.dev/v1alpha1\nkind: ClusterPolicy\nmetadata: {name: payments}\nspec: {clusters: {all: true}}\n";
const BROKEN: &str =
    "apiVersion: writ.dev/v1alpha1\nkind: ClusterPolicy\nmetadata: {name: broken}\nspec: {}\n";

#[tokio::test]
async fn apply_checks_everything_then_sends_clusters_before_policies() {
    let publisher = Publisher::start().await;
    let Ran { code, out, err } = run_with(
        &publisher,
        "apply -f -",
        &format!("{PAYMENTS}---\n{CLUSTER}"),
    )
    .await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "cluster/eu-prod-1@1 created\nclusterpolicy/payments@1 created\n"
    );
    let log = publisher.log();
    let (checks, edits) = log.split_at(2);
    assert!(
        checks.iter().all(|line| line.starts_with("check ")),
        "{log:?}"
    );
    assert_eq!(
        edits,
        ["apply cluster/eu-prod-1", "apply clusterpolicy/payments"]
    );
}

#[tokio::test]
async fn applying_again_says_unchanged_and_a_new_content_says_changed() {
    let publisher = Publisher::start().await;
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    assert_eq!(
        run_with(&publisher, "apply -f -", PAYMENTS).await.out,
        "clusterpolicy/payments@1 unchanged\n"
    );
    let more = PAYMENTS.replace("all: true", "regions: [eu]");
    assert_eq!(
        run_with(&publisher, "apply -f -", &more).await.out,
        "clusterpolicy/payments@2 changed\n"
    );
}

#[tokio::test]
async fn one_refused_document_stores_nothing_and_names_its_fields() {
    let publisher = Publisher::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.yaml");
    fs::write(&file, format!("{CLUSTER}---\n{PAYMENTS}---\n{BROKEN}")).unwrap();
    let Ran { code, out, err } = run(&publisher, &format!("apply -f {}", file.display())).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        format!(
            "{0}: document 3 (ClusterPolicy broken): spec.clusters: is missing\n\
             {0}: document 3 (ClusterPolicy broken): spec.grants: is empty\n\
             error: 2 problems in the input; nothing was stored\n",
            file.display()
        )
    );
    assert!(
        publisher
            .log()
            .iter()
            .all(|line| line.starts_with("check "))
    );
}

#[tokio::test]
async fn a_malformed_document_is_told_before_the_publisher_is_asked() {
    let publisher = Publisher::start().await;
    let Ran { code, err, .. } =
        run_with(&publisher, "apply -f -", &format!("{PAYMENTS}---\na: [1\n")).await;
    assert_eq!(code, 1);
    assert!(
        err.starts_with("standard input: document 2, line "),
        "{err}"
    );
    assert_eq!(publisher.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_says_what_would_be() {
    let publisher = Publisher::start().await;
    let Ran { code, out, .. } = run_with(&publisher, "apply --dry-run -f -", PAYMENTS).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "clusterpolicy/payments created (dry run)\n")
    );
    assert_eq!(publisher.log(), ["check clusterpolicy/payments"]);
}

#[tokio::test]
async fn a_run_that_stops_midway_says_exactly_what_landed() {
    let second = PAYMENTS.replace("payments", "later");
    let input = format!("{CLUSTER}---\n{PAYMENTS}---\n{second}");
    let publisher = Publisher::start().await;
    publisher.fail_edit_of("payments", Status::resource_exhausted("the log is full"));
    let Ran { code, out, err } = run_with(&publisher, "apply -f -", &input).await;
    // Both policies were under way when the first one failed.
    assert_eq!(
        (code, out.as_str()),
        (
            1,
            "cluster/eu-prod-1@1 created\nclusterpolicy/later@1 created\n"
        )
    );
    assert_eq!(
        err,
        "landed:      standard input: document 1 (Cluster eu-prod-1): created, generation 1\n\
         not landed:  standard input: document 2 (ClusterPolicy payments): a limit is reached: the log is full\n\
         landed:      standard input: document 3 (ClusterPolicy later): created, generation 1\n\
         error: stopped: 2 of 3 documents landed, 1 did not: a limit is reached: the log is full\n"
    );

    let publisher = Publisher::start().await;
    publisher.fail_edit_of("eu-prod-1", Status::aborted("it is at 7"));
    let Ran { code, out, err } = run_with(&publisher, "apply -f -", &input).await;
    assert_eq!((code, out.as_str()), (7, ""));
    assert_eq!(
        err,
        "not landed:  standard input: document 1 (Cluster eu-prod-1): conflict: it is at 7\n\
         not sent:    standard input: document 2 (ClusterPolicy payments)\n\
         not sent:    standard input: document 3 (ClusterPolicy later)\n\
         error: stopped: 0 of 3 documents landed, 1 did not, 2 not sent: conflict: it is at 7\n"
    );
}

#[tokio::test]
async fn an_old_base_generation_is_a_conflict() {
    let publisher = Publisher::start().await;
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    let Ran { code, err, .. } = run_with(&publisher, "apply --base 7 -f -", PAYMENTS).await;
    assert_eq!(code, 7);
    assert!(
        err.contains("conflict: the current generation is 1"),
        "{err}"
    );
    let two = format!("{PAYMENTS}---\n{CLUSTER}");
    assert_eq!(
        run_with(&publisher, "apply --base 1 -f -", &two).await.code,
        2
    );
}

#[tokio::test]
async fn permissions_and_guards_have_codes_of_their_own() {
    for (code, exit) in [
        (Code::PermissionDenied, 8),
        (Code::Unauthenticated, 8),
        (Code::FailedPrecondition, 9),
    ] {
        let publisher = Publisher::start().await;
        publisher.fail_edit_of("payments", Status::new(code, "no"));
        assert_eq!(
            run_with(&publisher, "apply -f -", PAYMENTS).await.code,
            exit,
            "{code:?}"
        );
    }
}

#[tokio::test]
async fn an_edit_with_an_unknown_outcome_is_repeated_under_its_id() {
    let publisher = Publisher::start().await;
    publisher.fail_edit_once("payments", Status::unavailable("no leader"));
    let Ran { code, out, .. } = run_with(&publisher, "apply -f -", PAYMENTS).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "clusterpolicy/payments@1 created\n")
    );
    assert_eq!(
        publisher.request_ids("payments").len(),
        1,
        "one id for all tries"
    );
}

#[tokio::test]
async fn json_of_an_apply_has_an_item_for_every_document() {
    let publisher = Publisher::start().await;
    let Ran { out, .. } = run_with(
        &publisher,
        "apply -o json -f -",
        &format!("{PAYMENTS}---\n{CLUSTER}"),
    )
    .await;
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&value["apiVersion"], &value["kind"]),
        (&"cli.writ.dev/v1alpha1".into(), &"EditList".into())
    );
    assert_eq!(value["items"][1]["name"], "payments");
    assert_eq!(value["items"][1]["outcome"], "created");
    assert_eq!(value["items"][1]["generation"], 1);
}

#[tokio::test]
async fn apply_can_wait_and_ends_as_the_clusters_do() {
    for (counts, exit, word) in [
        ((2, 0, 0, 0), 0, "applied: 2 of 2 applied"),
        ((1, 0, 1, 0), 5, "refused: 1 of 2 applied, 1 refused"),
        ((1, 0, 0, 1), 6, "incomplete: 1 of 2 applied, 1 silent"),
        ((1, 1, 0, 0), 4, "pending: 1 of 2 applied, 1 pending"),
    ] {
        let publisher = Publisher::start().await;
        publisher.set_counts(counts);
        let Ran { code, out, .. } =
            run_with(&publisher, "apply --wait --timeout 300ms -f -", PAYMENTS).await;
        assert_eq!(code, exit, "{out}");
        assert_eq!(
            out,
            format!("clusterpolicy/payments@1 created\nclusterpolicy/payments@1 {word}\n")
        );
    }
    let publisher = Publisher::start().await;
    publisher.set_counts((1, 0, 0, 1));
    assert_eq!(
        run_with(&publisher, "apply --wait --allow-silent -f -", PAYMENTS)
            .await
            .code,
        0
    );
}

#[tokio::test]
async fn get_shows_what_there_is_and_what_is_not() {
    let publisher = Publisher::start().await;
    let empty = run(&publisher, "get policies").await;
    assert_eq!(
        (empty.code, empty.out.as_str(), empty.err.as_str()),
        (0, "", "no policies found\n")
    );
    run_with(
        &publisher,
        "apply -f -",
        &format!("{PAYMENTS}---\n{CLUSTER}"),
    )
    .await;
    assert_eq!(
        run(&publisher, "get policies -o name").await.out,
        "clusterpolicy/payments@1\n"
    );
    assert_eq!(
        run(&publisher, "get clusters -o name").await.out,
        "cluster/eu-prod-1@1\n"
    );
    let Ran { code, out, err } = run(&publisher, "get policies payments nothing -o name").await;
    assert_eq!((code, out.as_str()), (1, "clusterpolicy/payments@1\n"));
    assert_eq!(
        err,
        "error: clusterpolicy/nothing: not found: no such policy\n"
    );
    assert_eq!(
        run(&publisher, "get policies cluster/eu-prod-1").await.code,
        2
    );
}

#[tokio::test]
async fn a_generation_that_is_not_there_yet_is_not_answered_from_an_older_state() {
    let publisher = Publisher::start().await;
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    let Ran { code, out, err } = run(&publisher, "get policies payments@2").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("unavailable: "), "{err}");
}

#[tokio::test]
async fn delete_says_the_generation_of_the_deletion() {
    let publisher = Publisher::start().await;
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    assert_eq!(run(&publisher, "delete policy payments@7").await.code, 7);
    let Ran { code, out, .. } = run(&publisher, "delete policy payments@1").await;
    assert_eq!(
        (code, out.as_str()),
        (0, "clusterpolicy/payments@2 deleted\n")
    );
    let Ran { code, err, .. } = run(&publisher, "delete policy payments").await;
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "error: clusterpolicy/payments cannot be deleted; nothing was: not found: no such policy\n"
    );
}

#[tokio::test]
async fn status_is_read_and_wait_judges() {
    let publisher = Publisher::start().await;
    publisher.set_counts((1, 0, 1, 0));
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    let status = run(&publisher, "status payments").await;
    assert_eq!(status.code, 0);
    assert!(
        status.out.starts_with("POLICY    GEN  TARGET  APPLIED"),
        "{}",
        status.out
    );
    let Ran { code, out, .. } = run(&publisher, "wait payments").await;
    assert_eq!(
        (code, out.as_str()),
        (
            5,
            "clusterpolicy/payments@1 refused: 1 of 2 applied, 1 refused\n"
        )
    );
    assert_eq!(
        run(&publisher, "wait payments --for deleted --timeout 50ms")
            .await
            .code,
        4
    );
}

#[tokio::test]
async fn events_are_a_line_each_and_none_is_said() {
    let publisher = Publisher::start().await;
    let said = run(&publisher, "events --last 2").await;
    assert_eq!(said.code, 0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(lines[0].starts_with("TIME ") && lines[2].contains("silent "));
    let said = run(&publisher, "events --last 2 -o json").await;
    assert!(said.out.lines().all(|line| line.starts_with('{')));
    let said = run(&publisher, "events --last 0").await;
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(said.err.contains("nothing has happened"), "{}", said.err);
}

#[tokio::test]
async fn wait_ends_with_the_code_of_what_the_clusters_said() {
    // Applied, pending, refused, silent; the exit, and with --allow-silent.
    for (counts, exit, allowing) in [
        ((2, 0, 0, 0), 0, 0),
        ((1, 1, 0, 0), 4, 4),
        ((1, 0, 1, 0), 5, 5),
        ((1, 0, 0, 1), 6, 0),
        // What waiting cannot mend comes first, then what it could, then silence.
        ((0, 0, 1, 1), 5, 5),
        ((0, 1, 0, 1), 4, 4),
    ] {
        let publisher = Publisher::start().await;
        run_with(&publisher, "apply -f -", PAYMENTS).await;
        publisher.set_counts(counts);
        let ran = run(&publisher, "wait payments --timeout 100ms").await;
        assert_eq!(ran.code, exit, "{counts:?}: {}{}", ran.out, ran.err);
        let ran = run(&publisher, "wait payments --timeout 100ms --allow-silent").await;
        assert_eq!(ran.code, allowing, "{counts:?}: {}{}", ran.out, ran.err);
    }
    let publisher = Publisher::start().await;
    assert_eq!(
        run(&publisher, "wait nothing --timeout 100ms").await.code,
        1
    );
    let grammar = run(&publisher, "wait cluster/eu-prod-1 --timeout 100ms").await;
    assert_eq!(grammar.code, 2);
}

#[tokio::test]
async fn of_many_edits_some_are_under_way_and_the_account_adds_up() {
    const POLICIES: usize = 300;
    let publisher = Publisher::start().await;
    let names: Vec<String> = (0..POLICIES).map(|number| format!("p{number}")).collect();
    let input: Vec<String> = names
        .iter()
        .map(|name| PAYMENTS.replace("payments", name))
        .chain([CLUSTER.to_owned()])
        .collect();
    let input = input.join("---\n");
    publisher.fail_edit_of("p150", Status::failed_precondition("claimed"));
    let Ran { code, out, err } = run_with(&publisher, "apply -f -", &input).await;
    assert_eq!(code, 9);
    let landed = out.lines().count();
    assert!(
        out.starts_with("cluster/eu-prod-1@1 created\n"),
        "clusters first: {out}"
    );
    let told = |word: &str| err.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(
        (told("landed:"), told("not landed:"), told("not known:")),
        (landed, 1, 0)
    );
    let not_sent = told("not sent:");
    assert!(
        not_sent > 0 && landed + 1 + not_sent == POLICIES + 1,
        "{err}"
    );
    let account = format!(
        "stopped: {landed} of {} documents landed, 1 did not, {not_sent} not sent",
        POLICIES + 1
    );
    assert!(err.contains(&account), "{err}");
    // Run again, it lands as a whole, and says of each whether it was there.
    publisher.fail_edit_once("p150", Status::unavailable("no leader"));
    let Ran { code, out, .. } = run_with(&publisher, "apply -f -", &input).await;
    assert_eq!((code, out.lines().count()), (0, POLICIES + 1));
    assert_eq!(out.matches(" unchanged").count(), landed);
    let order: Vec<&str> = out
        .lines()
        .skip(1)
        .map(|line| line.split('@').next().unwrap())
        .collect();
    let wanted: Vec<String> = names
        .iter()
        .map(|name| format!("clusterpolicy/{name}"))
        .collect();
    assert_eq!(order, wanted, "told in the order of the input");
}

/// A whole status of two clusters that have not applied it, and a change by which both have.
fn whole_and_change() -> (v1::PolicyStatus, v1::PolicyStatus) {
    let line = |cluster: &str, state: v1::AckState| v1::ClusterLine {
        cluster: cluster.into(),
        state: state.into(),
        membership: v1::Membership::Target.into(),
        ..Default::default()
    };
    let status = |applied, clusters| v1::PolicyStatus {
        policy: "payments".into(),
        generation: 1,
        latest_generation: 1,
        counts: Some(v1::Counts {
            target: 2,
            applied,
            pending: 2 - applied,
            ..Default::default()
        }),
        clusters,
        ..Default::default()
    };
    let (pending, applied) = (v1::AckState::Pending, v1::AckState::Applied);
    let whole = status(1, vec![line("a", applied), line("b", pending)]);
    let change = v1::PolicyStatus {
        is_change: true,
        ..status(2, vec![line("b", applied)])
    };
    (whole, change)
}

#[tokio::test]
async fn a_watched_status_is_shown_whole_although_only_what_changed_is_sent() {
    let publisher = Publisher::start().await;
    let (whole, change) = whole_and_change();
    // The first stream begins with a change: what that is a change of, nobody knows.
    publisher.next_changes(vec![change.clone(), change.clone()]);
    publisher.next_changes(vec![whole, change]);
    let Ran { code, out, err } = run(&publisher, "status payments --watch -o wide").await;
    assert_eq!(code, 0, "{err}");
    let said = out.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_cluster = ["a", "b"].contains(columns.first()?);
        is_cluster.then(|| format!("{} {}", columns[0], columns[3]))
    });
    let said: Vec<String> = said.collect();
    assert_eq!(said, ["a applied", "b pending", "a applied", "b applied"]);
    assert_eq!(
        err,
        "watching clusterpolicy/payments again: a change of the status of \"payments\" came, and no \
         whole one before it\nclusterpolicy/payments is gone\n"
    );
}

#[tokio::test]
async fn waiting_goes_by_changes_and_takes_none_for_the_whole() {
    let publisher = Publisher::start().await;
    let (whole, change) = whole_and_change();
    publisher.next_changes(vec![change.clone()]);
    publisher.next_changes(vec![whole.clone()]);
    // What the stream before told is no whole status for this one.
    publisher.next_changes(vec![change.clone()]);
    publisher.next_changes(vec![whole, change]);
    let Ran { code, out, err } = run(&publisher, "wait payments --timeout 60s").await;
    assert_eq!((code, publisher.changes_left()), (0, 0), "{err}");
    assert!(out.contains("payments@1 applied: 2 of 2"), "{out}");
}

#[tokio::test]
async fn of_several_publishers_one_that_answers_is_asked() {
    let publisher = Publisher::start().await;
    let (closed, open) = (support::closed_port().await, &publisher.address);
    for addresses in [format!("{closed},{open}"), format!("{open}, {closed}")] {
        let ran = support::run_at(&addresses, "apply -f -", PAYMENTS).await;
        assert_eq!(ran.code, 0, "{addresses}: {}", ran.err);
    }
    let nobody = format!("{closed},{}", support::closed_port().await);
    let ran = support::run_at(&nobody, "get policies", "").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains(&closed), "{}", ran.err);
}

#[tokio::test]
async fn ctrl_c_while_waiting_ends_with_130_and_the_edit_stands() {
    let publisher = Publisher::start().await;
    publisher.set_counts((0, 2, 0, 0));
    let interrupt = publisher.when_watched();
    let Ran { code, out, err } =
        support::run_interrupted("apply --wait -f -", &publisher.address, PAYMENTS, interrupt)
            .await;
    assert_eq!(
        (code, out.as_str()),
        (130, "clusterpolicy/payments@1 created\n")
    );
    assert_eq!(err, "interrupted; the edit stands\n");
}

#[tokio::test]
async fn without_a_publisher_the_way_out_is_named() {
    let nobody = support::run_at("", "get policies", "").await;
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("writ sandbox up"), "{}", nobody.err);
    let refused = support::run_at(&support::closed_port().await, "get policies", "").await;
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .err
            .contains("could not reach the publisher at 127.0.0.1:"),
        "{}",
        refused.err
    );
    refuse(&refused.err, "transport error: transport error");
}

#[tokio::test]
async fn explain_needs_no_publisher_and_an_unknown_word_fails_with_the_nearest() {
    let nobody = support::closed_port().await;
    let page = support::run_at(&nobody, "explain foreignobject", "").await;
    assert_eq!((page.code, page.err.as_str()), (0, ""));
    assert!(page.out.starts_with("# ForeignObject\n"), "{}", page.out);
    let field = support::run_at(&nobody, "explain ClusterPolicy.spec.grants", "").await;
    assert!(field.out.contains("FIELD:  spec.grants"), "{}", field.out);
    let unknown = support::run_at(&nobody, "explain CeilingExceded", "").await;
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
    assert_eq!(
        unknown.err,
        "error: `CeilingExceded` is neither a reason nor a field: did you mean `writ explain CeilingExceeded`?\n"
    );
}

#[tokio::test]
async fn why_of_a_policy_that_is_not_for_the_cluster_says_so() {
    let publisher = Publisher::start().await;
    run_with(&publisher, "apply -f -", PAYMENTS).await;
    let Ran { code, out, err } = run(&publisher, "why eu-prod-1 payments").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("policy payments is not for cluster eu-prod-1"),
        "{err}"
    );
    let wrong = run(&publisher, "why policy/payments").await;
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[tokio::test]
async fn every_edit_of_the_registry_names_its_trace() {
    let publisher = Publisher::start().await;
    for line in [
        "cluster add eu-prod-1 --region eu --stage prod",
        "cluster reenrol eu-prod-1",
        "cluster approve eu-prod-1 --fingerprint 0000-0000-0000-0000",
        "cluster cut-off eu-prod-1",
        "cluster remove eu-prod-1 --withdraw",
        "cluster remove eu-prod-1 --keep",
    ] {
        let said = run(&publisher, line).await;
        let traces = publisher.traces();
        assert!(
            traces.len() == 1 && traces[0].len() == 55,
            "{line}: {traces:?}; {}",
            said.err
        );
    }
    run(&publisher, "get clusters").await;
    assert!(publisher.traces().is_empty());
}

#[tokio::test]
async fn a_manifest_by_which_a_cluster_joins_has_one_secret_or_none() {
    let publisher = Publisher::start().await;
    let add = "cluster add eu-prod-1 --region eu --stage prod";
    let line = format!("{add} --image registry.example.com/writ:1");
    let said = run(&publisher, &line).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&said.out).unwrap();
    let named = |kind: &str, name: &str| {
        let mut found = objects
            .iter()
            .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.next().cloned()
    };
    let token = named("Secret", "writ-enrolment-token").unwrap();
    assert_eq!(token["stringData"]["token.jwt"], "enrol.jwt");
    assert_eq!(token["stringData"]["token"].as_str().unwrap().len(), 43);
    // The secret of the keys is empty: they are made in the cluster.
    let keys = named("Secret", "writ-keys").unwrap();
    assert!(keys.get("data").is_none() && keys.get("stringData").is_none());
    let deployment = named("Deployment", "writ-subscriber").unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/writ:1");
    let identity = named("ConfigMap", "writ-subscriber").unwrap();
    assert_eq!(identity["data"]["nats-url"], "nats://bus.example.com:4222");
    assert!(named("ClusterRole", "writ-subscriber").is_some());
    assert!(named("PolicyCeiling", "default").is_some());

    let said = run(&publisher, &format!("{add} --no-secret --observe")).await;
    assert!(!said.out.contains("stringData"));
    assert!(said.err.contains("writ cluster approve"), "{}", said.err);
    assert!(said.out.contains("name: writ-observer"));
    assert!(
        !said.out.contains("writ-ceiling-fence"),
        "an observer writes nothing"
    );
}

#[tokio::test]
async fn the_dashboard_is_for_this_machine_alone() {
    let publisher = Publisher::start().await;
    let ran = run(&publisher, "dashboard --listen 0.0.0.0:0").await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("not an address of loopback"),
        "{}",
        ran.err
    );
    assert_eq!(ran.out, "");
}
