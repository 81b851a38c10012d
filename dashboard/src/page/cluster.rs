//! One cluster: who it is, whether it is heard, every policy and every object that is meant for it, and its drift.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;
use tonic::Status;
use writ_proto::v1;

use super::{
    Page, bar,
    part::{row, rows},
    reason,
};
use crate::{
    feed::Fleet,
    route,
    source::Source,
    when,
    words::{Life, State},
};

pub(super) async fn page(fleet: &Fleet, source: &Source, name: &str) -> Result<Page, Status> {
    let status = source.cluster_status(name).await?;
    let rendered = source.rendered(name).await;
    let line = fleet.clusters.get(name).map(|seen| &seen.line);
    let is_stale = line.is_some_and(|line| line.stale);
    let heard = status.liveness.unwrap_or_default();
    let life = Life::of_parts(&heard, is_stale, &status.forked, &status.phase);
    Ok(Page::new(name)
        .with("head", head(&status, line, life))
        .with("identity", identity(&status, &heard))
        .with("policies", policies(&status, line, life, rendered))
        .with("drift", drift(&status)))
}

fn head(status: &v1::ClusterStatus, line: Option<&v1::FleetLine>, life: Life) -> Markup {
    let heard = status.liveness.unwrap_or_default();
    let age = heard
        .since
        .as_ref()
        .map(|since| when::age(when::now_ms() - when::ms(since)));
    let state = line.map_or(State::Unknown, State::of_cluster);
    html! {
        p.crumbs { a href={"/?region=" (route::encode(&status.region))} { (status.region) } " / " a href={"/?region=" (route::encode(&status.region)) "&stage=" (route::encode(&status.stage))} { (status.stage) } }
        h1 { (status.cluster) }
        div.axes.(life.class()) {
            div { span.axis { "policies" } (state.mark()) @if life == Life::Silent { " " small { "when last heard" } } }
            div { span.axis { "liveness" } (life.mark(age.as_deref())) }
            @if status.mode == "observe" { div { span.axis { "mode" } (State::Observing.mark()) } }
        }
        @if !status.forked.is_empty() { p.note { (reason("IdentityForked")) " " (status.forked) } }
        @if life != Life::Silent { (bar(&status.counts.unwrap_or_default())) }
    }
}

fn identity(status: &v1::ClusterStatus, heard: &v1::Liveness) -> Markup {
    let or_none = |text: &str| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text.to_owned()
        }
    };
    let at = |of: Option<&prost_types::Timestamp>| {
        of.map_or("–".to_owned(), |at| when::stamp(when::ms(at)))
    };
    html! {
        h2 { "Identity" }
        dl.facts {
            div { dt { "Subscriber" } dd { (or_none(&status.subscriber_version)) } }
            div { dt { "Kubernetes" } dd { (or_none(&status.kubernetes_version)) } }
            div { dt { "Clock skew" } dd { (status.clock_skew_ms) " ms" } }
            div { dt { "Last heard" } dd { (at(heard.last_heard.as_ref())) } }
            div { dt { "Last acknowledged" } dd { (at(status.acked_at.as_ref())) } }
            div { dt { "Revision" } dd { (status.revision.as_ref().map_or("–".to_owned(), route::said)) } }
            div { dt { "Ceiling" } dd { code.hash { (or_none(&status.ceiling)) } } }
            div { dt { "Boot" } dd { code.hash { (or_none(&status.boot_id)) } } }
        }
    }
}

/// A policy here: how it stands, and its objects with what is wrong with each.
fn policies(
    status: &v1::ClusterStatus,
    line: Option<&v1::FleetLine>,
    life: Life,
    rendered: Result<Vec<v1::RenderedPolicy>, Status>,
) -> Markup {
    let exceptions: BTreeMap<&str, &v1::PolicyLine> = status
        .exceptions
        .iter()
        .map(|one| (one.policy.as_str(), one))
        .collect();
    let (rendered, problem) = match rendered {
        Ok(rendered) => (rendered, None),
        Err(status) => (Vec::new(), Some(status)),
    };
    let known: Vec<&str> = rendered.iter().map(|one| one.name.as_str()).collect();
    let leaving = status
        .exceptions
        .iter()
        .filter(|one| !known.contains(&one.policy.as_str()));
    let last = line.map_or(State::Unknown, State::of_cluster);
    let told = rendered.iter().map(|policy| {
        let exception = exceptions.get(policy.name.as_str()).copied();
        let unsaid = if life == Life::Silent {
            last
        } else {
            State::Applied
        };
        let state = exception.map_or(unsaid, stands);
        let (name, objects) = (&policy.name, &policy.objects);
        row(
            name,
            block(name, policy.generation, state, exception, objects),
        )
    });
    let leaving = leaving.map(|one| {
        let name = &one.policy;
        row(
            name,
            block(name, one.generation, stands(one), Some(one), &[]),
        )
    });
    html! {
        h2 { "Policies" }
        @if let Some(problem) = problem { p.quiet { "What it was told is not to be had now: " (problem.message()) } }
        @if life == Life::Silent { p.note.l-silent { "Silent: what stands here is what was told to it, and how it stood when it was last heard. What holds now is not known." } }
        div data-rows="" { (rows(told.chain(leaving))) }
        @if rendered.is_empty() && status.exceptions.is_empty() { p.quiet { "No policy is for this cluster." } }
    }
}

fn stands(line: &v1::PolicyLine) -> State {
    State::of(
        line.state(),
        &line.reason,
        line.generation_held,
        line.generation,
    )
}

fn block(
    name: &str,
    generation: u64,
    state: State,
    exception: Option<&v1::PolicyLine>,
    objects: &[v1::RenderedObject],
) -> Markup {
    let failing = exception.map_or(&[][..], |line| &line.failing);
    let is_bad = exception.is_some();
    html! {
        details.policy open=[is_bad.then_some("")] {
            summary { (state.mark()) " " a href=(route::policy(name)) { (name) } " " small { "@" (generation) @if let Some(line) = exception { @if line.generation_held > 0 && line.generation_held != generation { ", holds @" (line.generation_held) } } } " " span.quiet { (objects.len()) " objects" } }
            @if let Some(line) = exception { @if !line.message.is_empty() || !line.reason.is_empty() { p.says { (reason(&line.reason)) " " (line.message) } } }
            div.scroll { table {
                thead { tr { th scope="col" { "Object" } th scope="col" { "Result" } th scope="col" { "Why, and what to do" } } }
                tbody {
                    @for object in objects.iter().map(|object| named(&object.manifest)) {
                        @let found = failing.iter().find(|one| one.object == object);
                        tr {
                            th scope="row" { code { (object) } }
                            td { @match found { Some(_) => { (State::Refused.mark()) } None => { (good(state).mark()) } } }
                            td { @if let Some(one) = found { (reason(&one.reason)) " " (one.message) } }
                        }
                    }
                    @let listed: Vec<String> = objects.iter().map(|object| named(&object.manifest)).collect();
                    @for one in failing.iter().filter(|one| !listed.contains(&one.object)) {
                        tr { th scope="row" { code { (one.object) } } td { (State::Refused.mark()) } td { (reason(&one.reason)) " " (one.message) } }
                    }
                }
            } }
        }
    }
}

/// How an object stands of which nothing bad was said.
fn good(of_policy: State) -> State {
    match of_policy {
        // The rest of a refused policy is applied.
        State::Refused | State::Drifted | State::Applied => State::Applied,
        other => other,
    }
}

/// `RoleBinding payments/readers`, as acks name it.
fn named(manifest: &str) -> String {
    let parsed: Value = serde_json::from_str(manifest).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (kind, name) = (text(&parsed["kind"]), text(&parsed["metadata"]["name"]));
    match parsed["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn drift(status: &v1::ClusterStatus) -> Markup {
    let lines = status.drift.iter().rev().map(|one| {
        let seen_ms = one.seen_at.as_ref().map(when::ms);
        let cells = html! {
            tr {
                td { (seen_ms.map_or("–".to_owned(), when::stamp)) }
                td { a href=(route::policy(&one.policy)) { (one.policy) } " " small { "@" (one.generation) } }
                td { ul.objects { @for object in &one.objects { li { code { (object.object) } " " (object.message) } } } }
                td { (one.repaired_at.as_ref().map_or("no".to_owned(), |at| when::clock(when::ms(at)))) }
            }
        };
        let key = format!("{} {} {}", one.policy, one.generation, seen_ms.unwrap_or_default());
        row(&key, cells)
    });
    html! {
        h2 { "Drift" }
        @if status.drift.is_empty() { p.quiet { "Nothing was changed by others lately." } } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Seen" } th scope="col" { "Policy" } th scope="col" { "What" } th scope="col" { "Put back" } } }
                tbody data-rows="" { (rows(lines)) }
            } }
        }
    }
}
