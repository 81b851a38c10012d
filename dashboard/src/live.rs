//! One stream for a tab: whatever changed of the parts of its page and of the squares of its map, at most four times a
//! second.
//!
//! A change of a cluster is sent as soon as there may be a frame (`pace.rs`), its square first; counts, ages and what
//! happened come with it, or when there is room.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    feed::{Fleet, News},
    login::{self, session::Session},
    pace::Pace,
    page::{self, Concern},
    route::Route,
    serve::{Asked, Shared, too_many},
    squares::Tab,
    told::Told,
    viewer::Viewer,
};

/// How many times as long as a frame took nothing is made.
const IDLE_SHARE: u32 = 3;

/// How often a page is made anew if nothing changes: ages grow.
const REPEAT_PERIOD: Duration = Duration::from_secs(5);

/// Events that wait for a slow tab.
const EVENTS_WAITING_MAX: usize = 8;

/// Answers with the stream of the page that stands behind `/live`.
pub(crate) async fn tab(State(shared): State<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    let path = uri.path().strip_prefix("/live").unwrap_or_default();
    let page: Uri = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
    .parse()
    .unwrap_or_default();
    let Some(route) = Route::of(path, uri.query().unwrap_or_default()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let way_in = login::way_in(&page);
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    match shared.viewer(&headers) {
        // Not an error, after which a browser would give up and the page would stay.
        Asked::Nobody => drop(sender.try_send(Ok(over(&way_in)))),
        Asked::TooMany => return too_many(),
        Asked::Viewer(viewer, session) => {
            let Ok(place) = shared.tabs.clone().try_acquire_owned() else {
                let full = (StatusCode::SERVICE_UNAVAILABLE, "too many tabs are open\n");
                return full.into_response();
            };
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    // What was made while it ended is not sent.
                    biased;
                    way = ended(session, way_in) => drop(sender.send(Ok(over(&way))).await),
                    () = shared.stop.cancelled() => {}
                    () = follow(&viewer, &route, &sender) => {}
                }
            });
        }
    }
    Sse::new(ReceiverStream::new(receiver))
        .keep_alive(KeepAlive::new().interval(REPEAT_PERIOD))
        .into_response()
}

/// Where to go once a session is over; never where there is none.
async fn ended(session: Option<Arc<Session>>, way_in: String) -> String {
    let Some(session) = session else {
        return std::future::pending().await;
    };
    session.over.cancelled().await;
    match session.is_signed_out() {
        true => login::WAY_OUT.to_owned(),
        false => way_in,
    }
}

/// The one who looks has to sign in again, there.
fn over(way_in: &str) -> Event {
    Event::default().event("over").data(way_in)
}

async fn follow(viewer: &Viewer, route: &Route, sender: &mpsc::Sender<Result<Event, Infallible>>) {
    let mut fleet = viewer.fleet.clone();
    let mut told = Told::default();
    let mut squares = Tab::default();
    let mut made: Option<(Concern, Instant)> = None;
    let mut change = 0;
    let mut pace = Pace::default();
    loop {
        let begun = Instant::now();
        pace.sent(begun);
        fleet.mark_unchanged();
        let now = viewer.now();
        let shown = now.news();
        // Numbers cost nothing to make, and are what is waited for.
        if let Route::Fleet(filter) = route
            && let Some(data) = squares.news(&now.clusters, filter)
        {
            let event = Event::default().event("squares").data(data);
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        change += 1;
        let concern = Concern::of(route, &now, change);
        // What is asked of the API for a page is asked again where that may be another answer now.
        let is_new = made
            .as_ref()
            .is_none_or(|(of, at)| *of != concern || at.elapsed() >= REPEAT_PERIOD);
        let page = match is_new {
            true => {
                made = Some((concern, begun));
                Some(page::make(route, viewer).await)
            }
            false => None,
        };
        let about = viewer.about().await;
        for part in page::parts(page, &now, &about) {
            let Some(change) = told.change(part) else {
                continue;
            };
            let data = serde_json::json!(change).to_string();
            let event = Event::default().event("part").data(data);
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        // Said each time, so that a tab knows that it is live.
        let beat = Event::default().event("beat").data("·");
        if sender.send(Ok(beat)).await.is_err() {
            return;
        }
        // A page that takes long to make takes no more than a share of the time.
        sleep(begun.elapsed() * IDLE_SHARE).await;
        tokio::select! {
            goes_on = due(&mut fleet, &pace, shown) => if !goes_on { return },
            () = sender.closed() => return,
        }
    }
}

/// Waits until there is something to send and it may be sent; false where nothing comes any more.
async fn due(fleet: &mut watch::Receiver<Arc<Fleet>>, pace: &Pace, shown: News) -> bool {
    let repeat = Instant::now() + REPEAT_PERIOD;
    // Out of time is the usual case.
    if let Ok(Err(_)) = timeout_at(repeat, fleet.changed()).await {
        return false;
    }
    loop {
        let is_urgent = fleet.borrow_and_update().news() != shown;
        tokio::select! {
            () = sleep_until(pace.next(is_urgent).unwrap_or_else(Instant::now)) => return true,
            changed = fleet.changed(), if !is_urgent => if changed.is_err() { return false },
        }
    }
}
