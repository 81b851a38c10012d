//! One edit: how it spread, who is missing, and what it changed.

use maud::{Markup, html};
use tonic::Status;
use writ_proto::v1::{self, AckState, Membership};

use super::{
    Page, bar, pages,
    part::{alone, row, rows},
    policy::difference,
    reason,
};
use crate::{
    feed::Fleet,
    plot::{self, Line},
    route,
    source::Source,
    spread::{Region, Spread, percentile},
    when,
    words::{Life, State},
};

/// Stragglers on one page of their list.
const ROWS_MAX: usize = 100;

/// Regions that have a line of their own in the plot where there are more than lines: the slowest.
const SLOWEST: usize = 3;

/// Lines of the bundle of all others, and rows of the table of regions.
const REGIONS_MAX: usize = 100;

/// Policies whose kept edits are looked through for a revision.
const LOOKED_THROUGH_MAX: usize = 200;

pub(super) async fn page(
    fleet: &Fleet,
    source: &Source,
    revision: v1::Revision,
    policy: Option<&(String, u64)>,
    turned: usize,
) -> Result<Page, Status> {
    let (name, generation) = match policy {
        Some((name, generation)) => (name.clone(), *generation),
        None => find(fleet, source, revision).await?,
    };
    let made = source.edit(&name, generation).await?;
    let edit = made.edit.unwrap_or_default();
    let title = format!("{name}@{generation}");
    // An edit that is long past is known by what it said alone.
    let status = source.policy_status(&name, generation).await.ok();
    let before = match generation {
        0 | 1 => None,
        _ => source.edit(&name, generation - 1).await.ok(),
    };
    let head = head(&name, &edit, status.as_ref());
    let page = Page::new(title).with("head", head);
    let page = match &status {
        Some(status) => page
            .with("spread", spread(status))
            .with("stragglers", stragglers(status, turned)),
        None => page.with("spread", html! { p.quiet { "How it spread is not known any more: publishers keep the last 16 edits of each policy, since they were started." } }),
    };
    let old = before.map(|before| before.manifest).unwrap_or_default();
    Ok(page.with(
        "changed",
        html! { h2 { "What changed" } (difference(&old, &made.manifest)) },
    ))
}

/// Which edit a revision is.
async fn find(
    fleet: &Fleet,
    source: &Source,
    revision: v1::Revision,
) -> Result<(String, u64), Status> {
    let mut statuses = fleet.policies.values();
    if let Some(status) = statuses.find(|status| status.revision == Some(revision)) {
        return Ok((status.policy.clone(), status.generation));
    }
    for name in fleet.policies.keys().take(LOOKED_THROUGH_MAX) {
        let edits = source.edits(name).await?.edits;
        if let Some(edit) = edits.iter().find(|edit| edit.revision == Some(revision)) {
            return Ok((name.clone(), edit.generation));
        }
    }
    let said = route::said(&revision);
    Err(Status::not_found(format!(
        "Revision {said} is no edit of a policy that is kept."
    )))
}

fn head(name: &str, edit: &v1::Edit, status: Option<&v1::PolicyStatus>) -> Markup {
    let revision = edit.revision.unwrap_or_default();
    let latest = status.map_or(0, |status| status.latest_generation);
    html! {
        p.crumbs { a href=(route::policy(name)) { (name) } }
        h1 { (name) "@" (edit.generation) @if edit.kind() == v1::EditKind::Deleted { " " small { "deleted" } } }
        dl.facts {
            div { dt { "Revision" } dd { (route::said(&revision)) } }
            div { dt { "Committed" } dd { (edit.committed_at.as_ref().map_or("–".to_owned(), |at| when::stamp(when::ms(at)))) } }
            div { dt { "By" } dd { (edit.author) } }
            @if !edit.reason.is_empty() { div { dt { "Why" } dd { (edit.reason) } } }
            div { dt { "Targets, fixed then" } dd { (edit.targets.len()) } }
            div { dt { "Scopes" } dd { @if edit.scopes.is_empty() { "–" } @else { (edit.scopes.join(", ")) } } }
        }
        @if latest > edit.generation { p.note { "A later generation is in force: " a href=(route::policy(name)) { (name) "@" (latest) } ". Clusters that hold it count as applied." } }
        @if let Some(status) = status { (bar(&status.counts.unwrap_or_default())) }
    }
}

fn spread(status: &v1::PolicyStatus) -> Markup {
    let counts = status.counts.unwrap_or_default();
    let regions = Region::all(status);
    let all = Spread::of(&regions);
    let told = |percent| percentile(&all.applied_ms, percent).map_or("–".to_owned(), when::took);
    let received = percentile(&all.received_ms, 50).map_or("–".to_owned(), when::took);
    let applied = format!("{} of {}", counts.applied, counts.target);
    let figure = |name: &str, said: &str| row(name, html! { div { dt { (name) } dd { (said) } } });
    let mut figures = [("p50", 50), ("p90", 90), ("p99", 99), ("last", 100)]
        .map(|(name, percent)| figure(name, &told(percent)))
        .to_vec();
    figures.extend([
        figure("received, p50", &received),
        figure("applied", &applied),
    ]);
    let fewer = [
        ("joined later", counts.later),
        ("left since", counts.left),
        ("only observe", counts.observing),
    ];
    let fewer = fewer.into_iter().filter(|(_, count)| *count > 0);
    figures.extend(fewer.map(|(name, count)| figure(name, &count.to_string())));
    let plot = plot::spread(
        &lines(&regions, &all),
        "Share of the targets that had received and applied the edit, over the time since its commit",
    );
    html! {
        h2 { "How it spread" }
        dl.figures data-rows="" { (rows(figures)) }
        div data-rows="" { (alone(plot)) }
        p.quiet { "From the publisher's clock at the commit to each cluster's own. Of clusters that did not say when, only that." }
        @if regions.len() > 1 { (region_table(&regions)) }
    }
}

/// Received by all, and applied by region: where there are more regions than lines, the slowest by name and all
/// others as one bundle.
fn lines(regions: &[Region], all: &Spread) -> Vec<Line> {
    let own = match regions.len() <= plot::OWN {
        true => regions.len(),
        false => SLOWEST,
    };
    let (slowest, rest) = regions.split_at(own);
    let mut lines = vec![Line {
        name: "received, all regions".to_owned(),
        class: plot::CLASSES[0],
        times_ms: all.received_ms.clone(),
        of: regions.iter().map(|region| region.targets).sum(),
        is_named: true,
    }];
    let bundle = rest.iter().take(REGIONS_MAX).enumerate();
    lines.extend(bundle.map(|(place, region)| Line {
        name: format!("applied, {} other regions", rest.len()),
        class: plot::CLASSES[1],
        times_ms: region.spread.applied_ms.clone(),
        of: region.targets,
        is_named: place == 0,
    }));
    let named = slowest.iter().zip(&plot::CLASSES[2..]);
    lines.extend(named.map(|(region, class)| Line {
        name: match rest.is_empty() {
            true => format!("applied, {}", region.name),
            false => format!("applied, {} (among the slowest)", region.name),
        },
        class,
        times_ms: region.spread.applied_ms.clone(),
        of: region.targets,
        is_named: true,
    }));
    lines
}

/// Every region, slowest first.
fn region_table(regions: &[Region]) -> Markup {
    let told = |region: &Region, percent| {
        let ms = percentile(&region.spread.applied_ms, percent);
        ms.map_or("–".to_owned(), when::took)
    };
    let lines = regions.iter().take(REGIONS_MAX).map(|region| {
        let cells = html! {
            tr {
                th scope="row" { (region.name) }
                td.num { (region.applied) "/" (region.targets) }
                @for percent in [50, 90, 99, 100] { td.num { (told(region, percent)) } }
            }
        };
        row(&region.name, cells)
    });
    html! {
        div.scroll { table.regions {
            thead { tr { th scope="col" { "Region" } th.num scope="col" { "Applied" } th.num scope="col" { "p50" } th.num scope="col" { "p90" } th.num scope="col" { "p99" } th.num scope="col" { "Last" } } }
            tbody data-rows="" { (rows(lines)) }
        } }
        @if regions.len() > REGIONS_MAX { p.quiet { "and " (regions.len() - REGIONS_MAX) " faster ones" } }
    }
}

fn stragglers(status: &v1::PolicyStatus, turned: usize) -> Markup {
    let mut late: Vec<&v1::ClusterLine> = status
        .clusters
        .iter()
        .filter(|line| line.membership() == Membership::Target && line.state() != AckState::Applied)
        .collect();
    late.sort_by(|one, other| {
        let worse = other.state.cmp(&one.state);
        worse.then_with(|| one.cluster.cmp(&other.cluster))
    });
    let count = late.len().div_ceil(ROWS_MAX).max(1);
    let page = turned.min(count - 1);
    let revision = status.revision.unwrap_or_default();
    let address = |page: usize| {
        let edit = route::edit(&revision, &status.policy, status.generation);
        format!("{edit}&page={page}")
    };
    html! {
        h2 { "Stragglers" }
        @if late.is_empty() { p.good { "None: every target has applied it." } } @else {
            @if count > 1 { p.quiet { span data-rows="" { (alone(html! { b { (late.len()) } })) } " clusters, worst first" } }
            (line_table(late.iter().skip(page * ROWS_MAX).take(ROWS_MAX).copied(), status.generation))
            (pages("Pages of stragglers", page, count, address))
        }
    }
}

/// Whether the cluster of a line is heard, or what was decided about it.
fn lives(line: &v1::ClusterLine) -> Life {
    let phase = match line.membership() {
        Membership::Unenrolled => "pending",
        Membership::Draining => "draining",
        Membership::CutOff => "cutOff",
        _ => "active",
    };
    Life::of_parts(&line.liveness.unwrap_or_default(), false, "", phase)
}

/// Lines of one policy, cluster by cluster.
pub(super) fn line_table<'a>(
    lines: impl Iterator<Item = &'a v1::ClusterLine>,
    generation: u64,
) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "Cluster" } th scope="col" { "Policy" } th scope="col" { "Liveness" } th.num scope="col" { "Holds" } th scope="col" { "Why" } } }
            tbody data-rows="" { (rows(lines.map(|line| line_row(line, generation)))) }
        } }
    }
}

fn line_row(line: &v1::ClusterLine, generation: u64) -> Markup {
    let heard = line.liveness.unwrap_or_default();
    let life = lives(line);
    let since = heard.since.as_ref();
    let age = since.map(|since| when::age(when::now_ms() - when::ms(since)));
    let cells = html! {
        tr.(life.class()) {
            th scope="row" { a href=(route::cluster(&line.cluster)) { (line.cluster) } }
            td { (State::of(line.state(), &line.reason, line.last_applied_generation, generation).mark()) }
            td { (life.mark(age.as_deref())) }
            td.num { @if line.generation_held > 0 { "@" (line.generation_held) } @else { "–" } }
            td { @if line.failing.is_empty() { (reason(&line.reason)) " " (line.message) }
                @if !line.failing.is_empty() { ul.objects { @for one in &line.failing { li { code { (one.object) } " " (reason(&one.reason)) " " (one.message) } } } } }
        }
    };
    row(&line.cluster, cells)
}
