//! Markup without a browser.

use writ_proto::v1::{self, liveness::State as Heard};

use super::*;
use crate::{clusters::Clusters, route::Filter, told::Told};

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
    let mut clusters = Clusters::default();
    for line in lines {
        clusters.put(line);
    }
    Fleet {
        clusters,
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

#[test]
fn nothing_is_called_good_before_everybody_was_heard() {
    let said = |heard| {
        let mut clusters = Clusters::default();
        clusters.put(line("eu-prod-1", Heard::Live, 2, 0));
        clusters.put(line("eu-prod-2", heard, 2, 0));
        let fleet = Fleet {
            clusters,
            ..Fleet::default()
        };
        let page = fleet::page(&fleet, &Filter::default());
        frame(&page, &fleet, &About::default()).into_string()
    };
    assert!(said(Heard::Live).contains("every cluster is heard"));
    let unheard = said(Heard::Unspecified);
    assert!(!unheard.contains("every cluster is heard"), "{unheard}");
    assert!(unheard.contains("not heard yet"), "{unheard}");
}

#[test]
fn a_silent_cluster_has_its_age_and_its_last_state_is_said_to_be_its_last() {
    let html = frame(
        &fleet::page(&fleet(), &Filter::default()),
        &fleet(),
        &About::default(),
    )
    .into_string();
    assert!(
        html.contains("silent for 12 min") && html.contains("when last heard"),
        "{html}"
    );
    // Hatched where it is marked, and in no colour of a state.
    let style = include_str!("../../assets/style.css");
    let rule = style.split("tr.l-silent th, ").nth(1).unwrap();
    assert!(
        rule.split('}')
            .next()
            .unwrap()
            .contains("repeating-linear-gradient")
    );
    assert!(
        style.contains(
            "tr.l-silent .s-applied, .axes.l-silent .s-applied { color: var(--silent); }"
        )
    );
    let script = include_str!("../../assets/map.js");
    assert!(script.contains(r#"if (name !== "applied") fill(ink[name], 0.35);"#));
}

#[test]
fn what_is_worst_comes_first_with_its_reason_and_nothing_is_taken_for_markup() {
    let page = fleet::page(&fleet(), &Filter::default());
    let html = frame(&page, &fleet(), &About::default()).into_string();
    let table = markup_of(&page, "table");
    let at = |name: &str| {
        let text = format!("href=\"/clusters/{name}\"");
        table
            .find(&text)
            .unwrap_or_else(|| panic!("no {name} in {table}"))
    };
    let rows = ["eu-prod-2", "eu-prod-3", "eu-prod-1"].map(at);
    assert!(rows.is_sorted(), "{rows:?}");
    assert!(html.contains("ForeignObject"));
    assert!(html.contains("somebody else's &lt;role&gt;"), "{html}");
    assert!(!html.contains("style="));
    assert!(!html.contains("<script>"));
}

#[test]
fn without_the_script_the_map_is_a_table_and_with_it_no_part_that_is_replaced_holds_a_square() {
    let page = fleet::page(&fleet(), &Filter::default());
    let boxes = markup_of(&page, "boxes");
    assert!(boxes.contains("/?region=eu&amp;stage=prod"), "{boxes}");
    let html = frame(&page, &fleet(), &About::default()).into_string();
    assert!(html.contains("<figure class=\"map\" hidden>"), "{html}");
    let replaced = parts(Some(page), &fleet(), &About::default());
    assert!(replaced.iter().all(|part| part.id != "map"));
    let all: String = replaced.iter().map(Part::whole).collect();
    assert!(!all.contains("canvas"), "{all}");
}

#[test]
fn a_list_of_any_length_is_sent_a_page_at_a_time() {
    let mut fleet = fleet();
    for number in 0..10_000 {
        fleet
            .clusters
            .put(line(&format!("c-{number:05}"), Heard::Live, 1, 0));
    }
    let bytes = |page: usize| {
        let filter = Filter {
            page,
            ..Filter::default()
        };
        let page = fleet::page(&fleet, &filter);
        frame(&page, &fleet, &About::default()).into_string().len()
    };
    assert!(bytes(0) < 64 * 1024, "{}", bytes(0));
    assert!(bytes(199) < 64 * 1024, "{}", bytes(199));
    let last = Filter {
        page: 200,
        ..Filter::default()
    };
    let table = markup_of(&fleet::page(&fleet, &last), "table");
    assert!(
        table.contains("c-09999") && table.contains("/?page=199"),
        "{table}"
    );
}

fn markup_of(page: &Page, id: &str) -> String {
    let part = page.parts.iter().find(|part| part.id == id).unwrap();
    part.whole()
}

#[test]
fn a_change_of_one_cluster_is_sent_as_its_rows_and_the_script_finds_every_list() {
    let mut fleet = fleet();
    for number in 0..1_000 {
        fleet
            .clusters
            .put(line(&format!("c-{number:04}"), Heard::Live, 1, 0));
    }
    let all = |fleet: &Fleet| {
        let page = fleet::page(fleet, &Filter::default());
        parts(Some(page), fleet, &About::default())
    };
    let mut told = Told::default();
    for part in all(&fleet) {
        assert_eq!(
            part.whole().matches(" data-rows").count(),
            part.lists.len(),
            "{part:?}"
        );
        assert!(told.change(part).is_some());
    }
    assert!(
        all(&fleet)
            .into_iter()
            .all(|part| told.change(part).is_none())
    );
    // Within the first page, and it stays where it is.
    let mut other = line("eu-prod-3", Heard::Live, 1, 1);
    other.counts.as_mut().unwrap().target = 3;
    fleet.clusters.put(other);
    let changes = all(&fleet).into_iter().filter_map(|part| told.change(part));
    let changes: Vec<_> = changes.map(|change| serde_json::json!(change)).collect();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    let lists = changes[0]["lists"].as_array().unwrap();
    assert_eq!((&changes[0]["id"], lists.len()), (&"table".into(), 1));
    let html = lists[0]["html"].as_str().unwrap();
    assert!(html.starts_with("<tr data-key=\"eu-prod-3\" "), "{html}");
    assert_eq!(html.matches("<tr").count(), 1, "{html}");
    assert!(lists[0].get("order").is_none());
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
    let table = markup_of(&page, "table");
    assert!(
        table.contains("eu-prod-2") && !table.contains("eu-prod-1"),
        "{table}"
    );
    let counts = markup_of(&page, "counts");
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
