//! The fleet: counts that filter, what needs attention, the last edits, the map, and the same as tables.

use std::sync::Arc;

use maud::{Markup, html};
use writ_proto::v1;

use crate::{
    clusters::{Boxes, Digest, Group, Seen, Sums, boxes},
    feed::Fleet,
    page::{
        Page, bar, pages,
        part::{row, rows},
        reason,
    },
    route::{self, Filter},
    squares::{fitting, words},
    when,
    words::{Life, State},
};

/// Clusters on one page of the table.
const ROWS_MAX: usize = 50;

/// Edits that the first page names.
const LAST_EDITS: usize = 8;

/// Boxes that the table beside the map lists; more are narrowed down by a filter.
const BOXES_MAX: usize = 200;

pub(super) fn page(fleet: &Fleet, filter: &Filter) -> Page {
    let digest = fleet.clusters.digest();
    let shown: Vec<&Arc<Seen>> = fitting(&digest.order, filter).collect();
    let all_are_shown = shown.len() == digest.order.len();
    let own_boxes = (!all_are_shown).then(|| boxes(shown.iter().copied()));
    let boxes = own_boxes.as_ref().unwrap_or(&digest.boxes);
    Page::new("Fleet")
        .with("counts", counts(fleet, &digest, filter))
        .with("attention", attention(&digest))
        .with("edits", edits(fleet))
        .with_fixed("map", map())
        .with("boxes", box_table(boxes, filter))
        .with("table", table(&shown, filter))
}

/// The address of this page with one word of the filter changed.
fn with(filter: &Filter, change: impl FnOnce(&mut Filter)) -> String {
    let mut filter = filter.clone();
    filter.page = 0;
    change(&mut filter);
    route::fleet(&filter)
}

/// One line of counts on each axis, each a filter that a second look takes off.
fn counts(fleet: &Fleet, digest: &Digest, filter: &Filter) -> Markup {
    let all = digest.sums.count;
    html! {
        div.headline {
            h1 { b { (all) } (plural(all, " cluster")) }
            p.quiet { b { (fleet.policies.len()) } @if fleet.policies.len() == 1 { " policy" } @else { " policies" } }
            @if *filter != Filter::default() { a.clear href="/" { "Clear the filter" } }
        }
        @if !fleet.is_whole() { p.quiet { "The fleet is being read …" } }
        ul.filters aria-label="By how their policies stand" data-rows="" { (rows(state_chips(digest, filter))) }
        ul.filters aria-label="By whether they are heard" data-rows="" { (rows(life_chips(digest, filter))) }
    }
}

fn state_chips(digest: &Digest, filter: &Filter) -> Vec<Markup> {
    let counted = State::ALL.map(|state| {
        let count = digest.sums.states[state as usize];
        (state.word(), state.mark(), count)
    });
    let address = |wanted: &str| with(filter, |one| one.state = wanted.to_owned());
    chips("policies", counted, &filter.state, address)
}

fn life_chips(digest: &Digest, filter: &Filter) -> Vec<Markup> {
    let counted = Life::ALL.map(|life| {
        let count = digest.sums.lives[life as usize];
        (life.word(), life.mark(None), count)
    });
    let address = |wanted: &str| with(filter, |one| one.life = wanted.to_owned());
    chips("liveness", counted, &filter.life, address)
}

/// The words of one axis that there are clusters of, with their marks and counts, and the one that is chosen.
fn chips(
    axis: &str,
    counted: impl IntoIterator<Item = (&'static str, Markup, usize)>,
    chosen: &str,
    address: impl Fn(&str) -> String,
) -> Vec<Markup> {
    let mut chips = vec![row("axis", html! { li.axis { (axis) } })];
    for (word, mark, count) in counted {
        let is_on = chosen == word;
        if count > 0 || is_on {
            let address = address(if is_on { "" } else { word });
            chips.push(row(word, chip(&address, is_on, &mark, count)));
        }
    }
    chips
}

fn chip(address: &str, is_on: bool, mark: &Markup, count: usize) -> Markup {
    html! { li { a.chip aria-current=[is_on.then_some("true")] href=(address) { (mark) b { (count) } } } }
}

/// What a person should look at, grouped by reason, worst first.
fn attention(digest: &Digest) -> Markup {
    let lives = digest.lives.iter().map(|(life, of)| quiet_ones(*life, of));
    let reasons = digest.reasons.iter();
    let reasons = reasons.map(|((state, why), of)| refusals(*state, why, of));
    html! {
        h2 { "Needs attention" }
        @if digest.lives.is_empty() && digest.reasons.is_empty() {
            @match digest.sums.lives[Life::Unheard as usize] {
                0 => p.good { "Nothing: every cluster is heard, and none refuses anything." },
                count => p.quiet { "Nothing so far: " b { (count) } (plural(count, " cluster")) " not heard yet." },
            }
        }
        ul.attention data-rows="" { (rows(lives.chain(reasons))) }
    }
}

/// Those that are not heard as usual, in one way.
fn quiet_ones(life: Life, of: &Group<Arc<Seen>>) -> Markup {
    let all = with(&Filter::default(), |one| one.life = life.word().to_owned());
    let entry = html! {
        li {
            (life.mark(None)) " " b { (of.count) } (plural(of.count, " cluster"))
            p.names { (names(of, |one| (&one.line, silent_for(&one.line)), &all)) }
        }
    };
    row(life.word(), entry)
}

/// What is refused for one reason.
fn refusals(state: State, why: &str, of: &Group<(Arc<Seen>, usize)>) -> Markup {
    let all = with(&Filter::default(), |one| {
        one.state = state.word().to_owned()
    });
    let entry = html! {
        li {
            (state.mark()) " " (reason(why)) " " b { (of.count) } (plural(of.count, " time"))
            p.names { (names(of, |(one, place)| (&one.line, policy_of(one, *place)), &all)) }
            @if let Some((one, place)) = of.first.first() { p.says { (one.line.exceptions[*place].message) } }
        }
    };
    row(&format!("{} {why}", state.word()), entry)
}

fn policy_of(one: &Seen, place: usize) -> String {
    let line = &one.line.exceptions[place];
    format!("{}@{}", line.policy, line.generation)
}

/// The first of a group by name, and a way to the others.
fn names<T>(of: &Group<T>, said: impl Fn(&T) -> (&v1::FleetLine, String), all: &str) -> Markup {
    let more = of.count.saturating_sub(of.first.len());
    html! {
        @for (line, beside) in of.first.iter().map(said) {
            span.name { a href=(route::cluster(&line.cluster)) { (line.cluster) } @if !beside.is_empty() { " " small { (beside) } } }
        }
        @if more > 0 { a.quiet href=(all) { "and " (more) " more" } }
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
                tbody data-rows="" { (rows(last.into_iter().map(|status| edit_row(fleet, status)))) }
            } }
        }
    }
}

fn edit_row(fleet: &Fleet, status: &v1::PolicyStatus) -> Markup {
    let revision = status.revision.unwrap_or_default();
    let spread = status.spread.unwrap_or_default();
    let head = fleet.heads.get(&status.policy);
    let head = head.filter(|head| head.generation == status.generation);
    let took = |ms: Option<u64>| {
        let ms = ms.and_then(|ms| i64::try_from(ms).ok());
        ms.map_or("–".to_owned(), when::took)
    };
    let cells = html! {
        tr {
            th scope="row" {
                a href=(route::edit(&revision, &status.policy, status.generation)) { (status.policy) "@" (status.generation) }
                @if status.deleted { " " small { "deleted" } }
            }
            td { (bar(&status.counts.unwrap_or_default())) }
            td.num { (took(spread.p50_ms)) }
            td.num { (took(spread.last_ms)) }
            td.why { @if let Some(head) = head { span { (head.author) } @if !head.reason.is_empty() { " " q { (head.reason) } } } }
            td.num { (status.committed_at.as_ref().map_or("–".to_owned(), |at| when::age(when::now_ms() - when::ms(at)))) }
        }
    };
    row(&status.policy, cells)
}

/// Where the script draws: a square for each cluster, in the box of its region and stage. Without it the table says
/// the same in numbers.
fn map() -> Markup {
    html! {
        h2 { "Map" }
        figure.map hidden {
            canvas #squares role="img" aria-label="Map: a square for each cluster, by region and stage, worst first. The tables below say the same." data-words=(words()) {}
            figcaption #square data-rest="Each square is a cluster, worst first; hatched ones are silent." {}
        }
    }
}

/// The boxes of the map in numbers.
fn box_table(boxes: &Boxes, filter: &Filter) -> Markup {
    let lines = boxes.iter().take(BOXES_MAX);
    let lines = lines.map(|(place, of)| box_row(place, of, filter));
    html! {
        @if boxes.is_empty() { p.quiet { "No cluster fits." } } @else {
            div.scroll { table.boxes {
                thead { tr { th scope="col" { "Region and stage" } th.num scope="col" { "Clusters" } th.num scope="col" { "To look at" } th scope="col" { "Policies, where heard" } th scope="col" { "Liveness" } } }
                tbody data-rows="" { (rows(lines)) }
            } }
            @if boxes.len() > BOXES_MAX { p.quiet { "and " (boxes.len() - BOXES_MAX) " more: narrow them down by a filter" } }
        }
    }
}

fn box_row((region, stage): &(String, String), of: &Sums, filter: &Filter) -> Markup {
    let narrowed = with(filter, |one| {
        one.region.clone_from(region);
        one.stage.clone_from(stage);
    });
    let cells = html! {
        tr {
            th scope="row" { a href=(narrowed) { (region) " " span.stage { (stage) } } }
            td.num { (of.count) }
            td.num { @if of.to_look_at > 0 { b.bad { (of.to_look_at) } } @else { "–" } }
            td { (states_of(of)) }
            td { (lives_of(of)) }
        }
    };
    row(&format!("{region} {stage}"), cells)
}

fn states_of(of: &Sums) -> Markup {
    html! { @for state in State::ALL { @let count = of.heard[state as usize]; @if count > 0 { span.sum { (state.mark()) " " b { (count) } } } } }
}

fn lives_of(of: &Sums) -> Markup {
    html! { @for life in Life::ALL { @let count = of.lives[life as usize]; @if count > 0 { span.sum { (life.mark(None)) " " b { (count) } } } } }
}

fn table(shown: &[&Arc<Seen>], filter: &Filter) -> Markup {
    let count = shown.len().div_ceil(ROWS_MAX).max(1);
    let page = filter.page.min(count - 1);
    let lines = shown.iter().skip(page * ROWS_MAX).take(ROWS_MAX);
    html! {
        h2 { "Clusters" }
        div.scroll { table.clusters {
            thead { tr { th scope="col" { "Cluster" } th scope="col" { "Policies" } th scope="col" { "Liveness" } th.num scope="col" { "Applied" } th.num scope="col" { "Revision" } th scope="col" { "Why" } } }
            tbody data-rows="" { (rows(lines.map(|one| cluster_row(one)))) }
        } }
        (pages("Pages of clusters", page, count, |page| with(filter, |one| one.page = page)))
    }
}

fn cluster_row(one: &Seen) -> Markup {
    let line = &one.line;
    let counts = line.counts.unwrap_or_default();
    let age = silent_for(line);
    let cells = html! {
        tr.(one.life.class()) {
            th scope="row" { a href=(route::cluster(&line.cluster)) { (line.cluster) } }
            td { (one.state.mark()) @if one.life == Life::Silent { " " small { "when last heard" } } }
            td { (one.life.mark(Some(&age))) }
            td.num { @if one.life == Life::Silent { (line.said_applied) } @else { (counts.applied) "/" (counts.target) } }
            td.num { (line.revision.as_ref().map_or("–".to_owned(), route::said)) }
            td { @if let Some(first) = line.exceptions.first() { (reason(&first.reason)) " " a href=(route::policy(&first.policy)) { (first.policy) } } }
        }
    };
    row(&line.cluster, cells)
}
