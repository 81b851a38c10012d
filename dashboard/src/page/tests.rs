//! Markup without a browser.

use writ_proto::v1::{self, liveness::State as Heard};

use super::*;
use crate::route::Filter;

fn line(name: &str, heard: Heard, applied: u32, refused: u32) -> v1::FleetLine {
    let exceptions = (0..refused).map(|_| v1::PolicyLine {
        policy: "payments".into(),
        generation: 3,
        state: v1::AckState::Refused.into(),
        reason: "ForeignObject".into(),
        message: "somebody else's <role>".into(),
        ..Default::default()
    });
    let counts = v1::Counts {
        target: applied + refused,
        applied,
        refused,
        ..Default::default()
    };
    v1::FleetLine {
        cluster: name.into(),
        region: "eu".into(),
        stage: "prod".into(),
        mode: "enforce".into(),
        liveness: Some(v1::Liveness {
            state: heard.into(),
            since: Some(prost_types::Timestamp {
                seconds: when::now_ms() / 1_000 - 720,
                nanos: 0,
            }),
            last_heard: None,
        }),
        counts: Some(counts),
        said_applied: applied,
        said_refused: refused,
        exceptions: exceptions.collect(),
        ..Default::default()
    }
}

fn fleet() -> Fleet {
    let lines = [
        line("eu-prod-1", Heard::Live, 2, 0),
        line("eu-prod-2", Heard::Silent, 2, 0),
        line("eu-prod-3", Heard::Live, 1, 1),
    ];
    Fleet {
        clusters: lines
            .into_iter()
            .map(|line| (line.cluster.clone(), line))
            .collect(),
        as_of: Some(v1::AsOf {
            publisher: "publisher-1".into(),
            revision: Some(v1::Revision {
                epoch: 1,
                number: 10_211,
            }),
            ..Default::default()
        }),
        ..Fleet::default()
    }
}

/// The element that carries a label.
fn square<'a>(html: &'a str, cluster: &str) -> &'a str {
    let at = html.find(&format!("aria-label=\"{cluster}:")).unwrap();
    let from = html[..at].rfind('<').unwrap();
    &html[from..from + html[from..].find('>').unwrap()]
}

#[test]
fn a_silent_cluster_is_hatched_with_its_age_and_its_last_state_is_said_to_be_its_last() {
    let html = frame(
        &fleet::page(&fleet(), &Filter::default()),
        &fleet(),
        &About::default(),
    )
    .into_string();
    let silent = square(&html, "eu-prod-2");
    assert!(
        silent.contains("l-silent") && silent.contains("silent for 12 min"),
        "{silent}"
    );
    assert!(!square(&html, "eu-prod-1").contains("l-silent"));
    assert!(html.contains("when last heard"));
    // Hatched by the style sheet, and in no colour of a state.
    let style = include_str!("../../assets/style.css");
    let rule = style
        .split(".square.l-silent, ")
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    assert!(
        rule.contains("repeating-linear-gradient") && !rule.contains("applied"),
        "{rule}"
    );
}

#[test]
fn what_is_worst_comes_first_with_its_reason_and_nothing_is_taken_for_markup() {
    let html = frame(
        &fleet::page(&fleet(), &Filter::default()),
        &fleet(),
        &About::default(),
    )
    .into_string();
    let at = |text: &str| {
        html.find(text)
            .unwrap_or_else(|| panic!("no {text} in {html}"))
    };
    let squares =
        ["eu-prod-2", "eu-prod-3", "eu-prod-1"].map(|name| at(&format!("aria-label=\"{name}:")));
    assert!(squares.is_sorted(), "{squares:?}");
    assert!(html.contains("ForeignObject"));
    assert!(html.contains("somebody else's &lt;role&gt;"), "{html}");
    assert!(!html.contains("style="));
    assert!(!html.contains("<script>"));
}

#[test]
fn every_page_says_its_revision_and_since_when_it_is_not_live() {
    let cut = as_of(&fleet()).into_string();
    assert!(cut.contains("10211") && cut.contains("live"), "{cut}");
    let never = as_of(&Fleet::default()).into_string();
    assert!(never.contains("not live"), "{never}");
}

#[test]
fn a_filter_is_a_link_that_shows_what_it_counts() {
    let filter = Filter {
        life: "silent".into(),
        ..Filter::default()
    };
    let page = fleet::page(&fleet(), &filter);
    let table = page.parts.iter().find(|(id, _)| *id == "table").unwrap();
    let table = table.1.clone().into_string();
    assert!(
        table.contains("eu-prod-2") && !table.contains("eu-prod-1"),
        "{table}"
    );
    let counts = page.parts[0].1.clone().into_string();
    assert!(
        counts.contains("/?state=refused&amp;life=silent"),
        "{counts}"
    );
    // The one that is on takes itself off.
    assert!(
        counts.contains("aria-current=\"true\" href=\"/\""),
        "{counts}"
    );
}
