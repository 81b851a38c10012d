//! What happened lately, newest first: the drawer on every page.

use maud::{Markup, html};

use crate::{
    feed::{Fleet, What},
    page::reason,
    route, when,
};

/// Happenings that are shown.
const SHOWN_MAX: usize = 60;

pub(super) fn list(fleet: &Fleet) -> Markup {
    if fleet.activity.is_empty() {
        return html! { p.quiet { "Nothing has happened since this dashboard was started." } };
    }
    html! {
        ol.activity {
            @for one in fleet.activity.iter().take(SHOWN_MAX) {
                li {
                    time { (when::clock(one.at_ms)) }
                    span { (said(&one.what)) }
                }
            }
        }
    }
}

fn said(what: &What) -> Markup {
    match what {
        What::Edited {
            policy,
            generation,
            revision,
            deleted,
        } => html! {
            a href=(route::edit(revision, policy, *generation)) { (policy) "@" (generation) }
            @if *deleted { " was deleted" } @else { " was committed" }
        },
        What::Heard { cluster, life } => html! {
            a href=(route::cluster(cluster)) { (cluster) } " is " (life.mark(None))
        },
        What::Stands {
            cluster,
            state,
            reason: why,
        } => html! {
            a href=(route::cluster(cluster)) { (cluster) } " has " (state.mark()) " " (reason(why))
        },
        What::Many { count, what } => {
            let what = match what.as_ref() {
                What::Heard { life, .. } => html! { " are " (life.mark(None)) },
                What::Stands { state, .. } => html! { " have " (state.mark()) },
                What::Registered { is_there: true, .. } => html! { " joined the registry" },
                _ => html! { " left the registry" },
            };
            html! { b { (count) } " clusters" (what) }
        }
        What::Registered { cluster, is_there } => html! {
            a href=(route::cluster(cluster)) { (cluster) }
            @if *is_there { " joined the registry" } @else { " left the registry" }
        },
    }
}
