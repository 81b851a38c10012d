//! What happened lately, newest first: the drawer on every page.

use maud::{Markup, html};

use writ_proto::v1::{self, HappeningKind as Kind};

use crate::{
    activity::Entry,
    feed::Fleet,
    page::{
        part::{row, rows},
        reason,
    },
    route, when,
    words::{Life, State},
};

/// Entries that are shown.
const SHOWN_MAX: usize = 60;

pub(super) fn list(fleet: &Fleet) -> Markup {
    let activity = &fleet.activity;
    if activity.entries.is_empty() {
        let said = match activity.is_read {
            true => "Nothing has happened since this publisher was started.",
            false => "What happened is being read …",
        };
        return html! { p.quiet { (said) } };
    }
    html! {
        ol.activity data-rows="" { (rows(activity.entries.iter().take(SHOWN_MAX).map(item))) }
    }
}

fn item(one: &Entry) -> Markup {
    let item = html! {
        li {
            time { (when::clock(one.at_ms)) }
            span { (said(one)) }
        }
    };
    row(&one.number.to_string(), item)
}

fn said(entry: &Entry) -> Markup {
    let what = &entry.what;
    let is_many = entry.count > 1;
    let who = match (is_many, what.cluster.as_str()) {
        (true, _) => html! { b { (entry.count) } " clusters" },
        (false, "") => html! {},
        (false, name) => html! { a href=(route::cluster(name)) { (name) } },
    };
    let (has, is) = match is_many {
        true => (" have ", " are "),
        false => (" has ", " is "),
    };
    let edit = || edit(what);
    match what.kind() {
        Kind::Edited => html! { (edit()) " was committed" },
        Kind::Deleted => html! { (edit()) " was deleted" },
        Kind::Applied => html! { (who) (has) (State::Applied.mark()) " " (edit()) (after(entry)) },
        Kind::Removed => html! { (who) (has) " nothing of " (edit()) " any more" (after(entry)) },
        Kind::Refused => {
            html! { (who) (has) (State::Refused.mark()) " " (edit()) " " (reason(&what.reason)) }
        }
        Kind::Drifted => {
            html! { (who) (has) (State::Drifted.mark()) " from " (edit()) (objects(what)) }
        }
        Kind::Repaired => {
            html! { (who) (has) " what was changed by others put back, of " (edit()) (objects(what)) }
        }
        Kind::PulsesLost => html! { (who) ": " (what.count) " pulses did not come" },
        Kind::Silent => html! { (who) (is) (Life::Silent.mark(None)) },
        Kind::Heard | Kind::NotStale => html! { (who) (is) (Life::Live.mark(None)) },
        Kind::Stale => html! { (who) (is) (Life::Stale.mark(None)) },
        Kind::Forked => html! { (who) (is) (Life::TwoVoices.mark(None)) },
        Kind::Registered => html! { (who) (is) " registered, " (what.message) },
        Kind::Unregistered => html! { (who) (has) " left the registry" },
        Kind::Received | Kind::Unspecified => html! { (who) },
    }
}

fn edit(what: &v1::Happening) -> Markup {
    let revision = what.revision.unwrap_or_default();
    html! {
        a href=(route::edit(&revision, &what.policy, what.generation)) { (what.policy) "@" (what.generation) }
    }
}

/// Of many it would be the first one's alone.
fn after(entry: &Entry) -> Markup {
    let after_ms = entry.what.after_ms.filter(|_| entry.count == 1);
    html! { @if let Some(ms) = after_ms { span.quiet { " after " (when::took(i64::try_from(ms).unwrap_or(i64::MAX))) } } }
}

fn objects(what: &v1::Happening) -> Markup {
    html! { @if let Some(first) = what.objects.first() { span.quiet { ": " (first.object) } } }
}
