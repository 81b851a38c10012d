//! The fleet: counts that filter, what needs attention, the last edits, the map, and the same as a table.

use std::collections::BTreeMap;

use maud::{Markup, html};
use writ_proto::v1::{self, AckState};

use crate::{
    feed::{Fleet, LAST_EDITS},
    page::{Page, bar, reason},
    route::{self, Filter, encode},
    when,
    words::{Life, State},
};

/// Clusters on one page of the table.
const ROWS_MAX: usize = 100;

/// Clusters that a line of attention names.
const NAMED_MAX: usize = 6;

/// Squares of one box; what is worst comes first.
const SQUARES_MAX: usize = 400;

/// A cluster as this page sees it.
struct Seen<'a> {
    line: &'a v1::FleetLine,
    state: State,
    life: Life,
}

impl Seen<'_> {
    /// Worst first; then by name.
    fn rank(&self) -> (Life, State, &str) {
        let worst_life = match self.life {
            // Nobody was heard yet right after a start, and what somebody decided is no alarm.
            Life::Unheard | Life::CutOff | Life::Draining => Life::Live,
            life => life,
        };
        (worst_life, self.state, &self.line.cluster)
    }

    fn needs_attention(&self) -> bool {
        matches!(
            self.life,
            Life::TwoVoices | Life::Silent | Life::Stale | Life::Waiting
        ) || matches!(self.state, State::Refused | State::Drifted)
    }
}

pub(super) fn page(fleet: &Fleet, filter: &Filter) -> Page {
    let mut all: Vec<Seen<'_>> = fleet
        .clusters
        .values()
        .map(|line| Seen {
            line,
            state: State::of_cluster(line),
            life: Life::of(line),
        })
        .collect();
    all.sort_by(|one, other| one.rank().cmp(&other.rank()));
    let shown: Vec<&Seen<'_>> = all.iter().filter(|one| fits(one, filter)).collect();
    Page::new("Fleet")
        .with("counts", counts(fleet, &all, filter))
        .with("attention", attention(&all))
        .with("edits", edits(fleet))
        .with("map", map(&shown))
        .with("table", table(&shown, filter))
}

fn fits(one: &Seen<'_>, filter: &Filter) -> bool {
    let is = |wanted: &str, word: &str| wanted.is_empty() || wanted == word;
    is(&filter.state, one.state.word())
        && is(&filter.life, one.life.word())
        && is(&filter.region, &one.line.region)
        && is(&filter.stage, &one.line.stage)
        && one.line.cluster.contains(&filter.search)
}

/// The address of this page with one word of the filter changed.
fn with(filter: &Filter, change: impl FnOnce(&mut Filter)) -> String {
    let mut filter = filter.clone();
    filter.page = 0;
    change(&mut filter);
    let page = filter.page.to_string();
    let parts = [
        ("state", filter.state.as_str()),
        ("life", &filter.life),
        ("region", &filter.region),
        ("stage", &filter.stage),
        ("q", &filter.search),
        ("page", if filter.page == 0 { "" } else { &page }),
    ];
    let set = parts.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = set
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    match query.is_empty() {
        true => "/".to_owned(),
        false => format!("/?{}", query.join("&")),
    }
}

/// One line of counts on each axis, each a filter that a second look takes off.
fn counts(fleet: &Fleet, all: &[Seen<'_>], filter: &Filter) -> Markup {
    let of_state = |state| all.iter().filter(|one| one.state == state).count();
    let of_life = |life| all.iter().filter(|one| one.life == life).count();
    html! {
        div.headline {
            h1 { b { (all.len()) } (plural(all.len(), " cluster")) }
            p.quiet { b { (fleet.policies.len()) } @if fleet.policies.len() == 1 { " policy" } @else { " policies" } }
            @if *filter != Filter::default() { a.clear href="/" { "Clear the filter" } }
        }
        @if !fleet.is_whole() { p.quiet { "The fleet is being read …" } }
        ul.filters aria-label="By how their policies stand" {
            li.axis { "policies" }
            @for state in State::ALL {
                @let count = of_state(state);
                @if count > 0 || filter.state == state.word() {
                    @let is_on = filter.state == state.word();
                    li { a.chip aria-current=[is_on.then_some("true")]
                        href=(with(filter, |one| one.state = if is_on { String::new() } else { state.word().to_owned() })) {
                        (state.mark()) b { (count) }
                    } }
                }
            }
        }
        ul.filters aria-label="By whether they are heard" {
            li.axis { "liveness" }
            @for life in Life::ALL {
                @let count = of_life(life);
                @if count > 0 || filter.life == life.word() {
                    @let is_on = filter.life == life.word();
                    li { a.chip aria-current=[is_on.then_some("true")]
                        href=(with(filter, |one| one.life = if is_on { String::new() } else { life.word().to_owned() })) {
                        (life.mark(None)) b { (count) }
                    } }
                }
            }
        }
    }
}

/// What a person should look at, grouped by reason, worst first.
fn attention(all: &[Seen<'_>]) -> Markup {
    let mut by_life: BTreeMap<Life, Vec<&Seen<'_>>> = BTreeMap::new();
    let mut by_reason: BTreeMap<(State, &str), Vec<(&Seen<'_>, &v1::PolicyLine)>> = BTreeMap::new();
    for one in all.iter().filter(|one| one.needs_attention()) {
        if matches!(
            one.life,
            Life::TwoVoices | Life::Silent | Life::Stale | Life::Waiting
        ) {
            by_life.entry(one.life).or_default().push(one);
        }
        for line in &one.line.exceptions {
            let state = State::of(
                line.state(),
                &line.reason,
                line.generation_held,
                line.generation,
            );
            if line.state() == AckState::Refused {
                by_reason
                    .entry((state, line.reason.as_str()))
                    .or_default()
                    .push((one, line));
            }
        }
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|((state, _), of)| (*state, std::cmp::Reverse(of.len())));
    html! {
        h2 { "Needs attention" }
        @if by_life.is_empty() && by_reason.is_empty() {
            p.good { "Nothing: every cluster is heard, and none refuses anything." }
        }
        ul.attention {
            @for (life, of) in &by_life {
                li {
                    (life.mark(None)) " " b { (of.len()) } (plural(of.len(), " cluster"))
                    p.names { (names(of.iter().map(|one| (one.line, silent_for(one.line))))) }
                }
            }
            @for ((state, why), of) in &by_reason {
                li {
                    (state.mark()) " " (reason(why)) " " b { (of.len()) } (plural(of.len(), " time"))
                    p.names { (names(of.iter().map(|(one, line)| (one.line, format!("{}@{}", line.policy, line.generation))))) }
                    @if let Some((_, line)) = of.first() { p.says { (line.message) } }
                }
            }
        }
    }
}

fn names<'a>(of: impl ExactSizeIterator<Item = (&'a v1::FleetLine, String)>) -> Markup {
    let more = of.len().saturating_sub(NAMED_MAX);
    html! {
        @for (line, beside) in of.take(NAMED_MAX) {
            span.name { a href=(route::cluster(&line.cluster)) { (line.cluster) } @if !beside.is_empty() { " " small { (beside) } } }
        }
        @if more > 0 { span.quiet { "and " (more) " more" } }
    }
}

fn plural(count: usize, word: &str) -> String {
    match count {
        1 => word.to_owned(),
        _ => format!("{word}s"),
    }
}

/// For how long a cluster has been silent.
pub(super) fn silent_for(line: &v1::FleetLine) -> String {
    let since = line.liveness.as_ref().and_then(|of| of.since.as_ref());
    since.map_or_else(String::new, |since| {
        when::age(when::now_ms() - when::ms(since))
    })
}

fn edits(fleet: &Fleet) -> Markup {
    let last: Vec<&v1::PolicyStatus> = fleet.newest().into_iter().take(LAST_EDITS).collect();
    html! {
        h2 { "Last edits" }
        @if last.is_empty() { p.quiet { "No policy is in force." } } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Edit" } th scope="col" { "How far" } th.num scope="col" { "p50" } th.num scope="col" { "Last" } th scope="col" { "By, and why" } th.num scope="col" { "Ago" } } }
                tbody { @for status in last {
                    @let revision = status.revision.unwrap_or_default();
                    @let reached = fleet.reached.get(&status.policy);
                    @let head = fleet.heads.get(&status.policy).filter(|head| head.generation == status.generation);
                    tr {
                        th scope="row" {
                            a href=(route::edit(&revision, &status.policy, status.generation)) { (status.policy) "@" (status.generation) }
                            @if status.deleted { " " small { "deleted" } }
                        }
                        td { (bar(&status.counts.unwrap_or_default())) }
                        td.num { (reached.and_then(|of| of.p50_ms).map_or("–".to_owned(), when::took)) }
                        td.num { (reached.and_then(|of| of.last_ms).map_or("–".to_owned(), when::took)) }
                        td.why { @if let Some(head) = head { span { (head.author) } @if !head.reason.is_empty() { " " q { (head.reason) } } } }
                        td.num { (status.committed_at.as_ref().map_or("–".to_owned(), |at| when::age(when::now_ms() - when::ms(at)))) }
                    }
                } }
            } }
        }
    }
}

/// Boxes by region and stage, a square for each cluster.
fn map(shown: &[&Seen<'_>]) -> Markup {
    let mut boxes: BTreeMap<(&str, &str), Vec<&Seen<'_>>> = BTreeMap::new();
    for one in shown {
        let place = (one.line.region.as_str(), one.line.stage.as_str());
        boxes.entry(place).or_default().push(one);
    }
    html! {
        h2 { "Map" }
        @if boxes.is_empty() { p.quiet { "No cluster fits." } }
        div.map { @for ((region, stage), of) in &boxes {
            @let bad = of.iter().filter(|one| one.needs_attention()).count();
            div.box {
                h3 { (region) " " span.stage { (stage) }
                    span.tally { (of.len()) @if bad > 0 { " · " span.bad { (bad) " to look at" } } } }
                div.squares { @for one in of.iter().take(SQUARES_MAX) {
                    @let label = label(one);
                    a.square.(one.state.class()).(one.life.class()) href=(route::cluster(&one.line.cluster)) title=(label) aria-label=(label) { span aria-hidden="true" { (one.state.glyph()) } }
                } }
                @if of.len() > SQUARES_MAX { p.quiet { "and " (of.len() - SQUARES_MAX) " that are better" } }
            }
        } }
    }
}

fn label(one: &Seen<'_>) -> String {
    let silent = silent_for(one.line);
    let age = match one.life {
        Life::Silent => format!(" for {silent}"),
        _ => String::new(),
    };
    format!(
        "{}: {}; {}{age}",
        one.line.cluster,
        one.state.word(),
        one.life.word()
    )
}

fn table(shown: &[&Seen<'_>], filter: &Filter) -> Markup {
    let pages = shown.len().div_ceil(ROWS_MAX).max(1);
    let page = filter.page.min(pages - 1);
    html! {
        h2 { "Clusters" }
        div.scroll { table.clusters {
            thead { tr { th scope="col" { "Cluster" } th scope="col" { "Policies" } th scope="col" { "Liveness" } th.num scope="col" { "Applied" } th.num scope="col" { "Revision" } th scope="col" { "Why" } } }
            tbody { @for one in shown.iter().skip(page * ROWS_MAX).take(ROWS_MAX) {
                @let line = one.line;
                @let counts = line.counts.unwrap_or_default();
                @let age = silent_for(line);
                tr.(one.life.class()) {
                    th scope="row" { a href=(route::cluster(&line.cluster)) { (line.cluster) } }
                    td { (one.state.mark()) @if one.life == Life::Silent { " " small { "when last heard" } } }
                    td { (one.life.mark(Some(&age))) }
                    td.num { @if one.life == Life::Silent { (line.said_applied) } @else { (counts.applied) "/" (counts.target) } }
                    td.num { (line.revision.as_ref().map_or("–".to_owned(), route::said)) }
                    td { @if let Some(first) = line.exceptions.first() { (reason(&first.reason)) " " a href=(route::policy(&first.policy)) { (first.policy) } } }
                }
            } }
        } }
        @if pages > 1 {
            nav.pages aria-label="Pages of clusters" {
                @if page > 0 { a href=(with(filter, |one| one.page = page - 1)) { "Previous" } }
                span { (page + 1) " of " (pages) }
                @if page + 1 < pages { a href=(with(filter, |one| one.page = page + 1)) { "Next" } }
            }
        }
    }
}
