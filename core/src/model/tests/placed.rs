//! Selectors and placement together: whatever matches must be reached.

use super::super::{ClusterIdentity, ClusterSelector};
use super::*;
use crate::name::{ClusterName, Region, Stage};
use crate::placement::{SCOPES_MAX, cluster_scopes, policy_scopes};
use crate::scope::Scope;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const STAGES: [&str; 3] = ["prod", "stage", "dev"];
const PROVIDERS: [Option<&str>; 3] = [Some("aws"), Some("gcp"), None];

fn select(clusters: Value) -> ClusterSelector {
    parse_policy(&policy_for(clusters)).clusters
}

fn scopes(clusters: Value) -> Vec<String> {
    policy_scopes(&select(clusters))
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn identity(region: &str, stage: &str, provider: Option<&str>) -> ClusterIdentity {
    let name = format!("{region}-{stage}-{}", provider.unwrap_or("none"));
    ClusterIdentity {
        name: ClusterName::parse(&name).unwrap(),
        region: Region::parse(region).unwrap(),
        stage: Stage::parse(stage).unwrap(),
        labels: provider
            .map(|provider| ("provider".to_owned(), provider.to_owned()))
            .into_iter()
            .collect(),
    }
}

fn fleet() -> Vec<ClusterIdentity> {
    let mut fleet = Vec::new();
    for region in REGIONS {
        for stage in STAGES {
            fleet.extend(PROVIDERS.map(|provider| identity(region, stage, provider)));
        }
    }
    fleet
}

/// Every combination of a few values of every criterion; each is a set of fields.
fn criteria() -> Vec<Value> {
    let options = [
        ("regions", vec![json!(["eu"]), json!(["eu", "us", "mars"])]),
        ("stages", vec![json!(["prod"]), json!(["prod", "stage"])]),
        (
            "names",
            vec![json!(["eu-prod-aws", "us-stage-none", "lost"])],
        ),
        ("matchLabels", vec![json!({"provider": "aws"})]),
        (
            "matchExpressions",
            vec![json!([{"key": "provider", "operator": "NotIn", "values": ["aws"]}])],
        ),
    ];
    let mut all = vec![json!({})];
    for (key, values) in options {
        let more: Vec<Value> = all
            .iter()
            .flat_map(|base| {
                values
                    .iter()
                    .map(move |value| set(base.clone(), &format!("/{key}"), value.clone()))
            })
            .collect();
        all.extend(more);
    }
    all
}

#[test]
fn every_cluster_that_matches_listens_to_a_scope_of_the_policy() {
    let fleet = fleet();
    let (mut selectors, mut matched, mut passed) = (0, 0, 0);
    for include in criteria() {
        for exclude in criteria() {
            let is_all = include == json!({});
            let mut clusters = if is_all {
                json!({"all": true})
            } else {
                include.clone()
            };
            if exclude != json!({}) {
                clusters["exclude"] = exclude.clone();
            }
            let Ok(parsed) = parse(&policy_for(clusters.clone())) else {
                // Refused only where regions and stages alone leave nothing.
                let left = fleet
                    .iter()
                    .any(|one| holds(&include, one) && !holds(&exclude, one));
                assert!(!left, "{clusters} was refused");
                continue;
            };
            let Document::Policy(policy) = parsed.document else {
                panic!("a policy")
            };
            let scopes = policy_scopes(&policy.clusters);
            selectors += 1;
            for cluster in &fleet {
                let wanted =
                    holds(&include, cluster) && (exclude == json!({}) || !holds(&exclude, cluster));
                assert_eq!(
                    policy.clusters.matches(cluster),
                    wanted,
                    "{clusters} {cluster:?}"
                );
                let listened = Scope::listened_by(&cluster.region, &cluster.stage);
                let reached = listened.iter().any(|scope| scopes.contains(scope));
                assert!(
                    reached || !wanted,
                    "{clusters} does not reach {}",
                    cluster.name
                );
                matched += usize::from(wanted);
                passed += usize::from(!reached);
            }
        }
    }
    assert!(selectors > 4_000 && matched > 4_000 && passed > 4_000);
}

/// The meaning of criteria, said a second time over the JSON.
fn holds(criteria: &Value, cluster: &ClusterIdentity) -> bool {
    let lists = |key: &str, value: &str| {
        criteria[key]
            .as_array()
            .is_none_or(|values| values.contains(&json!(value)))
    };
    let provider = cluster.labels.get("provider").map(String::as_str);
    lists("regions", cluster.region.as_str())
        && lists("stages", cluster.stage.as_str())
        && lists("names", cluster.name.as_str())
        && (criteria.get("matchLabels").is_none() || provider == Some("aws"))
        && (criteria.get("matchExpressions").is_none() || provider != Some("aws"))
}

#[test]
fn the_scopes_are_as_narrow_as_regions_and_stages_allow() {
    let prod = json!(["prod"]);
    let two = json!(["eu", "us"]);
    assert_eq!(scopes(json!({"all": true})), ["all.all"]);
    assert_eq!(
        scopes(json!({"regions": two, "stages": prod})),
        ["eu.prod", "us.prod"]
    );
    assert_eq!(scopes(json!({"regions": two})), ["eu.all", "us.all"]);
    assert_eq!(scopes(json!({"stages": prod})), ["all.prod"]);
    assert_eq!(scopes(json!({"names": ["eu-prod-1"]})), ["all.all"]);
    assert_eq!(
        scopes(json!({"names": ["eu-prod-1"], "regions": ["eu"]})),
        ["eu.all"]
    );
    assert_eq!(
        scopes(json!({"matchLabels": {"a": "b"}, "stages": prod})),
        ["all.prod"]
    );
}

#[test]
fn scopes_that_are_excluded_as_a_whole_are_left_out_and_others_stay() {
    let two = json!(["eu", "us"]);
    let exclude = |value: Value| scopes(json!({"regions": two, "exclude": value}));
    assert_eq!(exclude(json!({"regions": ["us"]})), ["eu.all"]);
    assert_eq!(
        exclude(json!({"regions": ["us"], "stages": ["prod"]})),
        ["eu.all", "us.all"]
    );
    assert_eq!(
        exclude(json!({"regions": ["us"], "names": ["a"]})),
        ["eu.all", "us.all"]
    );
}

#[test]
fn more_scopes_than_the_limit_fall_back_to_wider_ones() {
    let names = |prefix: &str, count: usize| -> Value {
        (0..count)
            .map(|index| Value::from(format!("{prefix}{index}")))
            .collect()
    };
    let placed = |regions: usize, stages: usize| {
        let clusters = json!({"regions": names("r", regions), "stages": names("s", stages)});
        scopes(clusters)
    };
    assert_eq!(placed(8, 8).len(), SCOPES_MAX);
    let whole_regions = placed(13, 5);
    assert_eq!(whole_regions.len(), 13);
    assert!(whole_regions.iter().all(|scope| scope.ends_with(".all")));
    let whole_stages = placed(65, 2);
    assert_eq!(whole_stages, ["all.s0", "all.s1"]);
    assert_eq!(placed(65, 65), ["all.all"]);
}

#[test]
fn a_registry_entry_goes_where_its_visibility_says_and_always_to_itself() {
    for (visibility, scope) in [
        ("fleet", "all.all"),
        ("stage", "all.prod"),
        ("scope", "eu.prod"),
    ] {
        let document = set(cluster_document(), "/spec/visibility", json!(visibility));
        let cluster = parse_cluster(&document);
        let scopes = cluster_scopes(&cluster);
        assert_eq!(
            scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [scope]
        );
        let listened = Scope::listened_by(&cluster.region, &cluster.stage);
        assert!(scopes.iter().all(|scope| listened.contains(scope)));
    }
}

#[test]
fn labels_are_needed_only_where_they_are_asked_for() {
    assert!(!select(json!({"regions": ["eu"], "names": ["a"]})).needs_labels());
    assert!(select(json!({"matchLabels": {"a": "b"}})).needs_labels());
    let exclude = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
    assert!(select(json!({"all": true, "exclude": exclude})).needs_labels());
}
