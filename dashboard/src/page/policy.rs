//! One policy: who has it and who lacks it, its generations, and what changed between two of them.

use maud::{Markup, html};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use tonic::Status;
use writ_proto::v1::{self, AckState};

use super::{
    Page, bar,
    edit::line_table,
    pages,
    part::{alone, row, rows},
    reason,
};
use crate::{
    feed::Fleet,
    route::{self, Place},
    source::Source,
    when,
};

/// Policies, or clusters that lack one, on one page of a list.
const ROWS_MAX: usize = 100;

/// Clusters that have it, by name alone.
const NAMED_MAX: usize = 300;

/// Lines around a change.
const AROUND: usize = 3;

/// All policies, as a list.
pub(super) fn list(fleet: &Fleet, search: &str, page: usize) -> Page {
    let newest = fleet.newest().into_iter();
    let fitting: Vec<_> = newest
        .filter(|status| status.policy.contains(search))
        .collect();
    let count = fitting.len().div_ceil(ROWS_MAX).max(1);
    let page = page.min(count - 1);
    let fitting = fitting.into_iter().skip(page * ROWS_MAX).take(ROWS_MAX);
    let part = html! {
        h1 { "Policies" }
        div.scroll { table {
            thead { tr { th scope="col" { "Policy" } th scope="col" { "Clusters" } th scope="col" { "How far" } th scope="col" { "By, and why" } th.num scope="col" { "Ago" } } }
            tbody data-rows="" { (rows(fitting.map(|status| list_row(fleet, status)))) }
        } }
        (pages("Pages of policies", page, count, |page| route::policies(search, page)))
    };
    Page::new("Policies").with("list", part)
}

fn list_row(fleet: &Fleet, status: &v1::PolicyStatus) -> Markup {
    let head = fleet.heads.get(&status.policy);
    let cells = html! {
        tr {
            th scope="row" { a href=(route::policy(&status.policy)) { (status.policy) } " " small { "@" (status.generation) @if status.deleted { ", deleted" } } }
            td { @if let Some(head) = head { (head.clusters) } }
            td { (bar(&status.counts.unwrap_or_default())) }
            td.why { @if let Some(head) = head { span { (head.author) } @if !head.reason.is_empty() { " " q { (head.reason) } } } }
            td.num { (status.committed_at.as_ref().map_or("–".to_owned(), |at| when::age(when::now_ms() - when::ms(at)))) }
        }
    };
    row(&status.policy, cells)
}

pub(super) async fn page(
    fleet: &Fleet,
    source: &Source,
    name: &str,
    compared: Option<(u64, u64)>,
    place: Place,
) -> Result<Page, Status> {
    let status = source.policy_status(name, 0).await?;
    let edits = source.edits(name).await?;
    let head = fleet.heads.get(name);
    let newest = status.generation;
    let (from, to) = compared.unwrap_or((newest.saturating_sub(1), newest));
    Ok(Page::new(name)
        .with("head", heading(name, &status, head))
        .with("lacks", lacks(&status, place))
        .with("generations", generations(name, &edits, (from, to)))
        .with("difference", compare(source, name, from, to).await)
        .with("has", has(&status, place)))
}

fn heading(name: &str, status: &v1::PolicyStatus, head: Option<&v1::Policy>) -> Markup {
    html! {
        p.crumbs { a href="/policies" { "Policies" } }
        h1 { (name) " " small { "@" (status.generation) @if status.deleted { ", deleted" } } }
        @if let Some(head) = head {
            dl.facts {
                div { dt { "Clusters" } dd { (head.clusters) } }
                div { dt { "Objects" } dd { (head.object_count) } }
                div { dt { "Grants" } dd { (head.grant_count) } }
                div { dt { "Last edit by" } dd { (head.author) } }
                @if !head.reason.is_empty() { div { dt { "Why" } dd { (head.reason) } } }
            }
        }
        (bar(&status.counts.unwrap_or_default()))
    }
}

/// Refusals by reason, then who lacks it otherwise.
fn lacks(status: &v1::PolicyStatus, place: Place) -> Markup {
    let lacking: Vec<&v1::ClusterLine> = status
        .clusters
        .iter()
        .filter(|line| {
            line.state() != AckState::Applied && line.membership() != v1::Membership::Left
        })
        .collect();
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for line in lacking
        .iter()
        .filter(|line| line.state() == AckState::Refused)
    {
        match reasons.iter_mut().find(|(known, _)| *known == line.reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((&line.reason, 1)),
        }
    }
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let reasons = reasons.into_iter().map(|(word, count)| {
        let said = html! { span { (reason(word)) " " b { (count) } " " } };
        row(word, said)
    });
    html! {
        h2 { "Who lacks it" }
        @if lacking.is_empty() { p.good { "Nobody that it is for." } } @else {
            @if reasons.len() > 0 { p.reasons { "Refused: " span data-rows="" { (rows(reasons)) } } }
            @let count = lacking.len().div_ceil(ROWS_MAX);
            @let page = place.lacking.min(count - 1);
            (line_table(lacking.iter().skip(page * ROWS_MAX).take(ROWS_MAX).copied(), status.generation))
            (pages("Pages of those that lack it", page, count, |lacking| route::policy_at(&status.policy, Place { lacking, ..place })))
        }
    }
}

fn has(status: &v1::PolicyStatus, place: Place) -> Markup {
    let having: Vec<&v1::ClusterLine> = status
        .clusters
        .iter()
        .filter(|line| line.state() == AckState::Applied)
        .collect();
    let count = having.len().div_ceil(NAMED_MAX).max(1);
    let page = place.having.min(count - 1);
    let names = having.iter().skip(page * NAMED_MAX).take(NAMED_MAX);
    let names = names.map(|line| {
        let name =
            html! { span.name { a href=(route::cluster(&line.cluster)) { (line.cluster) } } };
        row(&line.cluster, name)
    });
    html! {
        h2 { "Who has it" }
        @if having.is_empty() { p.quiet { "Nobody, as far as is known." } } @else {
            details open=[(place.having > 0).then_some("")] { summary { span data-rows="" { (alone(html! { b { (having.len()) } })) } " clusters" }
                p.names data-rows="" { (rows(names)) }
                (pages("Pages of those that have it", page, count, |having| route::policy_at(&status.policy, Place { having, ..place })))
            }
        }
    }
}

fn generations(name: &str, edits: &v1::ListEditsResponse, (from, to): (u64, u64)) -> Markup {
    let lines = edits.edits.iter().rev().map(|edit| {
        let revision = edit.revision.unwrap_or_default();
        let is_compared = edit.generation == from || edit.generation == to;
        let other = to.max(edit.generation);
        let cells = html! {
            tr aria-current=[is_compared.then_some("true")] {
                th scope="row" { a href=(route::edit(&revision, name, edit.generation)) { "@" (edit.generation) } }
                td { (kind(edit.kind())) }
                td.why { span { (edit.author) } @if !edit.reason.is_empty() { " " q { (edit.reason) } } }
                td.num { (edit.targets.len()) }
                td { (edit.committed_at.as_ref().map_or("–".to_owned(), |at| when::stamp(when::ms(at)))) }
                td { a href={ (route::policy(name)) "?from=" (edit.generation) "&to=" (other) "#difference" } { "with @" (other) } }
            }
        };
        row(&edit.generation.to_string(), cells)
    });
    html! {
        h2 { "Generations" }
        div.scroll { table {
            thead { tr { th scope="col" { "Generation" } th scope="col" { "What" } th scope="col" { "By, and why" } th.num scope="col" { "Targets" } th scope="col" { "When" } th scope="col" { "Compare" } } }
            tbody data-rows="" { (rows(lines)) }
        } }
        @if edits.oldest_generation > 1 { p.quiet { "Generations before @" (edits.oldest_generation) " are not kept." } }
    }
}

fn kind(of: v1::EditKind) -> &'static str {
    match of {
        v1::EditKind::Created => "created",
        v1::EditKind::Changed => "changed",
        v1::EditKind::Moved => "moved",
        v1::EditKind::Deleted => "deleted",
        v1::EditKind::Recreated => "created again",
        v1::EditKind::Put | v1::EditKind::Unspecified => "put in place",
    }
}

async fn compare(source: &Source, name: &str, from: u64, to: u64) -> Markup {
    let read = async |generation: u64| match generation {
        0 => Ok(String::new()),
        _ => source
            .edit(name, generation)
            .await
            .map(|edit| edit.manifest),
    };
    let both = (read(from).await, read(to).await);
    html! {
        h2 { "What changed from @" (from) " to @" (to) }
        @match both {
            (Ok(old), Ok(new)) => { (difference(&old, &new)) }
            (Err(status), _) | (_, Err(status)) => { p.quiet { (status.message()) } }
        }
    }
}

/// Two documents, line by line.
pub(super) fn difference(old: &str, new: &str) -> Markup {
    let (old, new) = (pretty(old), pretty(new));
    if old == new {
        return html! { p.quiet { "Nothing." } };
    }
    let diff = TextDiff::from_lines(&old, &new);
    html! {
        div.diff role="region" tabindex="0" aria-label="Changes, line by line" {
            @for group in diff.grouped_ops(AROUND) {
                pre { @for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                    @match change.tag() {
                        ChangeTag::Delete => { del { "- " (change.value()) } }
                        ChangeTag::Insert => { ins { "+ " (change.value()) } }
                        ChangeTag::Equal => { span { "  " (change.value()) } }
                    }
                } }
            }
        }
    }
}

fn pretty(manifest: &str) -> String {
    let parsed: Result<Value, _> = serde_json::from_str(manifest);
    parsed.map_or_else(|_| manifest.to_owned(), |parsed| format!("{parsed:#}\n"))
}
