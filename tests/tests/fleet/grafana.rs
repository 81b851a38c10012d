//! The dashboard and the alert rules of deploy/grafana: what they name is there.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/grafana")
        .join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// Every word in a query that begins like a metric of ours.
fn named(query: &str) -> impl Iterator<Item = &str> {
    let is_part = |at: char| at.is_ascii_alphanumeric() || at == '_';
    query
        .split(move |at| !is_part(at))
        .filter(|word| word.starts_with("writ_"))
}

fn declared() -> BTreeSet<String> {
    let mut all = writ_publisher::metric_names();
    all.extend(writ_subscriber::metric_names());
    all
}

fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn every_metric_that_dashboard_and_alerts_name_is_declared() {
    let board: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let of_board = targets.flatten().map(|target| target["expr"].as_str());
    let mut queries: Vec<String> = of_board.flatten().map(str::to_owned).collect();
    assert!(queries.len() > 20);
    for rule in rules() {
        queries.push(rule["expr"].as_str().unwrap().to_owned());
    }
    let declared = declared();
    for query in &queries {
        let names: Vec<&str> = named(query).collect();
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(declared.contains(name), "{name} in {query}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let rules = rules();
    for about in [
        "Silent",
        "Refusals",
        "Stale",
        "SpreadSlow",
        "NotDurable",
        "RevisionsBehind",
    ] {
        let found = rules
            .iter()
            .any(|rule| rule["alert"].as_str().unwrap().contains(about));
        assert!(found, "{about}");
    }
    for rule in rules {
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{rule}");
        assert!(
            rule["annotations"]["description"].as_str().is_some(),
            "{rule}"
        );
    }
}

/// Prometheus' own tool reads the rules.
#[test]
fn promtool_takes_the_rules() {
    let tool = std::env::var_os("WRIT_PROMTOOL").unwrap_or("promtool".into());
    for line in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts_test.yaml"],
    ] {
        let ran = Command::new(&tool)
            .args(line)
            .current_dir(file(""))
            .output()
            .expect("no promtool on PATH or in WRIT_PROMTOOL (Debian: apt-get install prometheus)");
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
    }
}
