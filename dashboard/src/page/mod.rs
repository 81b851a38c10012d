//! Pages. Each is a title and some parts; the frame around them is the same everywhere.

mod activity;
mod cluster;
mod edit;
mod fleet;
pub(crate) mod part;
mod policy;

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tonic::{Code, Status};

use crate::{
    feed::Fleet,
    page::part::Part,
    route::{self, Route},
    viewer::{About, Viewer},
    when,
};

/// A page: what stands in it, part by part, each under the name by which it is replaced.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    title: String,
    parts: Vec<Part>,
}

impl Page {
    fn new(title: impl Into<String>) -> Page {
        Page {
            status: StatusCode::OK,
            title: title.into(),
            parts: Vec::new(),
        }
    }

    fn with(mut self, id: &'static str, part: Markup) -> Page {
        self.parts.push(Part::of(id, &part));
        self
    }

    fn with_fixed(mut self, id: &'static str, part: Markup) -> Page {
        self.parts.push(Part {
            is_fixed: true,
            ..Part::of(id, &part)
        });
        self
    }
}

/// Makes a page of what is known now.
pub(crate) async fn make(route: &Route, viewer: &Viewer) -> Page {
    let fleet = viewer.now();
    let made = match route {
        Route::Fleet(filter) => Ok(fleet::page(&fleet, filter)),
        Route::Policies { search, page } => Ok(policy::list(&fleet, search, *page)),
        Route::Policy {
            name,
            compared,
            place,
        } => policy::page(&fleet, &viewer.source, name, *compared, *place).await,
        Route::Cluster(name) => cluster::page(&fleet, &viewer.source, name).await,
        Route::Edit {
            revision,
            policy,
            page,
        } => edit::page(&fleet, &viewer.source, *revision, policy.as_ref(), *page).await,
    };
    made.unwrap_or_else(|status| failed(&status))
}

/// A page that is not there.
pub(crate) fn missing(why: &str) -> Page {
    let mut page = Page::new("Not found").with(
        "content",
        html! { h1 { "Not found" } p { (why) } p { a href="/" { "To the fleet" } } },
    );
    page.status = StatusCode::NOT_FOUND;
    page
}

fn failed(status: &Status) -> Page {
    if status.code() == Code::NotFound {
        return missing(status.message());
    }
    let mut page = Page::new("Not to be had").with(
        "content",
        html! { h1 { "Not to be had now" } p { "The publisher says: " (status.message()) } },
    );
    page.status = StatusCode::BAD_GATEWAY;
    page
}

/// What a page shows of the fleet beside what all pages show: as long as that is the same, so is the page, but for
/// ages.
#[derive(Debug, PartialEq)]
pub(crate) enum Concern {
    /// Everything.
    Fleet(u64),
    Policy(Option<Box<writ_proto::v1::PolicyStatus>>),
    Cluster(u64),
}

impl Concern {
    /// `change`: a number that no two states of the fleet share.
    pub(crate) fn of(route: &Route, fleet: &Fleet, change: u64) -> Concern {
        let policy = |name: &str| Concern::Policy(fleet.policies.get(name).cloned().map(Box::new));
        match route {
            Route::Policy { name, .. } => policy(name),
            Route::Edit {
                policy: Some((name, _)),
                ..
            } => policy(name),
            Route::Cluster(name) => Concern::Cluster(fleet.clusters.place_of(name)),
            Route::Fleet(_) | Route::Policies { .. } | Route::Edit { .. } => Concern::Fleet(change),
        }
    }
}

/// Everything that may change: of the page where it was made anew, and what all pages have.
pub(crate) fn parts(page: Option<Page>, fleet: &Fleet, about: &About) -> Vec<Part> {
    let own = page.into_iter().flat_map(|page| page.parts);
    let shared = [
        Part::of("asof", &as_of(fleet)),
        Part::of("who", &about.line()),
        Part::of("refused", &about.alarm()),
        Part::of("activity", &activity::list(fleet)),
    ];
    own.filter(|part| !part.is_fixed).chain(shared).collect()
}

/// What every document begins with.
pub(crate) fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        title { (title) " · Writ" }
        link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
        link rel="stylesheet" href="/assets/style.css";
        link rel="stylesheet" href="/assets/who.css";
    }
}

/// The whole document.
pub(crate) fn frame(page: &Page, fleet: &Fleet, about: &About) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(&page.title))
                script src="/assets/map.js" defer {}
                script src="/assets/app.js" defer {}
            }
            body {
                a.skip href="#main" { "To the content" }
                header.top {
                    nav aria-label="Pages" {
                        a.brand href="/" { span.seal aria-hidden="true" {} "Writ" }
                        a href="/" { "Fleet" }
                        a href="/policies" { "Policies" }
                    }
                    form.search action="/" role="search" {
                        label.sr for="q" { "Search clusters" }
                        input #q name="q" type="search" placeholder="Search clusters" autocomplete="off";
                    }
                    div #asof aria-live="polite" { (as_of(fleet)) }
                }
                div #who { (about.line()) }
                div #refused { (about.alarm()) }
                p #cut role="alert" hidden {}
                main #main {
                    @for part in &page.parts {
                        section id=(part.id) { (PreEscaped(part.whole())) }
                    }
                }
                details.drawer {
                    summary { "Activity" }
                    div #activity { (PreEscaped(Part::of("activity", &activity::list(fleet)).whole())) }
                }
            }
        }
    }
}

/// As of when a page is, and whether that is now.
fn as_of(fleet: &Fleet) -> Markup {
    let Some(as_of) = &fleet.as_of else {
        return html! { span.asof.not-live { "not live: the publisher was not heard yet" } };
    };
    let revision = as_of.revision.unwrap_or_default();
    let time = as_of.time.as_ref().map_or(0, when::ms);
    html! {
        @match fleet.not_live_since() {
            Some(since) => { span.asof.not-live { "not live since " (when::clock(since)) } }
            None => { span.asof.is-live { span.pulse aria-hidden="true" {} "live" } }
        }
        span.asof-detail title={"by " (as_of.publisher) ", " (when::stamp(time))} {
            "revision " b { (route::said(&revision)) } time { " · " (when::clock(time)) " UTC" }
        }
        @if !as_of.edits_refused.is_empty() {
            span.asof-alarm { "takes no edits: " (as_of.edits_refused) }
        }
    }
}

/// The counts of a status as one bar and its words.
fn bar(counts: &writ_proto::v1::Counts) -> Markup {
    let parts = [
        ("applied", "s-applied", counts.applied),
        ("pending", "s-pending", counts.pending),
        ("refused", "s-refused", counts.refused),
        ("silent", "l-silent", counts.silent),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(_, _, count)| *count > 0)
        .map(|(word, _, count)| format!("{count} {word}"))
        .collect();
    let total = counts.target.max(1);
    html! {
        span.spread {
            svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect.bar-rest x="0" y="0" width="100" height="6" {}
                @for (place, (_, class, count)) in parts.iter().enumerate() {
                    @let before: u32 = parts[..place].iter().map(|part| part.2).sum();
                    rect.(class) x=(share(before, total)) y="0" width=(share(*count, total)) height="6" {}
                }
            }
            span.spread-words { @if said.is_empty() { "no targets" } @else { (said.join(", ")) } }
        }
    }
}

fn share(count: u32, of: u32) -> String {
    format!("{:.2}", f64::from(count) * 100.0 / f64::from(of))
}

/// The way through a list that has more than one page; pages count from 0.
fn pages(name: &str, page: usize, count: usize, address: impl Fn(usize) -> String) -> Markup {
    html! {
        @if count > 1 {
            nav.pages aria-label=(name) {
                @if page > 0 { a href=(address(page - 1)) { "Previous" } }
                span { (page + 1) " of " (count) }
                @if page + 1 < count { a href=(address(page + 1)) { "Next" } }
            }
        }
    }
}

/// A reason, with the page that explains it as its title.
fn reason(word: &str) -> Markup {
    html! { @if !word.is_empty() { code.reason title={"docs/errors/" (word) ".md"} { (word) } } }
}

#[cfg(test)]
mod tests;
