//! One stream for a tab: whichever parts of its page changed, at most four times a second.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{page, route::Route, serve::Shared};

/// Changes within this time come as one.
const CHANGES_JOINED: Duration = Duration::from_millis(250);

/// How often a page is made anew if nothing changes: ages grow.
const REPEAT_PERIOD: Duration = Duration::from_secs(5);

/// Events that wait for a slow tab.
const EVENTS_WAITING_MAX: usize = 8;

/// Answers with the stream of the page that stands behind `/live`.
pub(crate) async fn tab(State(shared): State<Shared>, uri: Uri) -> Response {
    let path = uri.path().strip_prefix("/live").unwrap_or_default();
    let Some(route) = Route::of(path, uri.query().unwrap_or_default()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(place) = shared.tabs.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many tabs are open\n").into_response();
    };
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    tokio::spawn(async move {
        let _place = place;
        follow(shared, route, sender).await;
    });
    let stream = ReceiverStream::new(receiver);
    Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(REPEAT_PERIOD))
        .into_response()
}

async fn follow(shared: Shared, route: Route, sender: mpsc::Sender<Result<Event, Infallible>>) {
    let mut fleet = shared.fleet.clone();
    let mut told: Vec<(String, String)> = Vec::new();
    loop {
        let now: Arc<_> = fleet.borrow_and_update().clone();
        let page = page::make(&route, &shared).await;
        for (id, markup) in page::parts(&page, &now) {
            let known = told.iter_mut().find(|(known, _)| *known == id);
            match known {
                Some((_, text)) if *text == markup => continue,
                Some((_, text)) => *text = markup.clone(),
                None => told.push((id.clone(), markup.clone())),
            }
            let data = serde_json::json!({"id": id, "html": markup}).to_string();
            let event = Event::default().event("part").data(data);
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        // Said each time, so that a tab knows that it is live.
        if sender
            .send(Ok(Event::default().event("beat").data("·")))
            .await
            .is_err()
        {
            return;
        }
        sleep(CHANGES_JOINED).await;
        tokio::select! {
            // Out of time is the usual case.
            changed = timeout(REPEAT_PERIOD, fleet.changed()) => if let Ok(Err(_)) = changed { return },
            () = sender.closed() => return,
            () = shared.stop.cancelled() => return,
        }
    }
}
