//! Selectors that are refused: one row for each reason.

use super::*;

#[test]
fn selectors_are_refused() {
    let whole = "the whole fleet is said as {all: true}";
    let row = |clusters, field, message| (policy_for(clusters), field, message);
    let mut missing = policy_for(Value::Null);
    missing["spec"].as_object_mut().unwrap().remove("clusters");
    assert_refused(vec![
        (missing, "spec.clusters", whole),
        row(Value::Null, "spec.clusters", whole),
        row(json!({}), "spec.clusters", whole),
        row(json!({"all": false}), "spec.clusters", whole),
        row(json!({"exclude": {"names": ["a"]}}), "spec.clusters", whole),
        row(json!("all"), "spec.clusters", "must be a map"),
        row(
            json!({"all": "true"}),
            "spec.clusters.all",
            "must be true or false",
        ),
        row(
            json!({"all": true, "stages": ["a"]}),
            "spec.clusters.all",
            "narrowed by exclude",
        ),
        row(
            json!({"regions": ["all"]}),
            "spec.clusters.regions[0]",
            "reserved",
        ),
        row(
            json!({"stages": ["a", "all"]}),
            "spec.clusters.stages[1]",
            "reserved",
        ),
        row(
            json!({"regions": ["a", "a"]}),
            "spec.clusters.regions[1]",
            "listed twice",
        ),
        row(
            json!({"regions": "eu"}),
            "spec.clusters.regions",
            "must be a list, not a text",
        ),
        row(
            json!({"regions": [], "stages": ["a"]}),
            "spec.clusters.regions",
            "must not be empty",
        ),
        row(
            json!({"regions": null, "stages": ["a"]}),
            "spec.clusters.regions",
            "not be empty",
        ),
        row(
            json!({"matchLabels": {}, "stages": ["a"]}),
            "spec.clusters.matchLabels",
            "not be empty",
        ),
        row(
            json!({"names": ["a", 1]}),
            "spec.clusters.names[1]",
            "a number, quote it",
        ),
        row(
            json!({"names": vec!["a"; 1_001]}),
            "spec.clusters.names",
            "the limit is 1000",
        ),
        row(
            json!({"region": ["eu"]}),
            "spec.clusters.region",
            "did you mean \"regions\"?",
        ),
        row(
            json!({"matchLabels": {"a": "-"}}),
            "spec.clusters.matchLabels.a",
            "may hold",
        ),
        row(
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "spec.clusters.matchExpressions[0].values",
            "needs values",
        ),
        row(
            json!({"all": true, "exclude": {}}),
            "spec.clusters.exclude",
            "must not be empty",
        ),
        row(
            json!({"all": true, "exclude": null}),
            "spec.clusters.exclude",
            "must not be empty",
        ),
        row(
            json!({"all": true, "exclude": {"all": true}}),
            "spec.clusters.exclude.all",
            "unknown field",
        ),
        row(
            json!({"regions": ["eu"], "exclude": {"regions": ["eu"]}}),
            "spec.clusters.exclude",
            "takes out every cluster",
        ),
    ]);
}
