//! Answers that go on for long, and end with the credential with which they were asked.
//!
//! Promises that a stream whose caller's token or certificate has expired, or whose service token was revoked, ends
//! within seconds, with the reason. That an issuer dismissed somebody is not seen before their token ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::{Status, body::Body};
use writ_core::name::Name;

use super::{Shared, now_s};

/// How often the credential of an answer that goes on is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What a credential's being good depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// When it ends by itself.
    pub(super) until_s: Option<i64>,
    /// The service token that has to be there, and its SHA-256.
    pub(super) token: Option<(Name, Vec<u8>)>,
}

impl Standing {
    pub(super) fn until(until_s: i64) -> Standing {
        Standing {
            until_s: Some(until_s),
            token: None,
        }
    }

    pub(super) fn of_token(name: Name, hash: &[u8]) -> Standing {
        Standing {
            until_s: None,
            token: Some((name, hash.to_vec())),
        }
    }

    fn is_forever(&self) -> bool {
        self.until_s.is_none() && self.token.is_none()
    }
}

/// A body, and on what its going on depends.
pub(super) struct StandingBody {
    body: Body,
    shared: Arc<Shared>,
    standing: Standing,
    look: Pin<Box<Sleep>>,
}

impl StandingBody {
    pub(super) fn wrap(body: Body, shared: Arc<Shared>, standing: Standing) -> Body {
        if standing.is_forever() {
            return body;
        }
        Body::new(StandingBody {
            body,
            shared,
            standing,
            look: Box::pin(sleep(LOOK_PERIOD)),
        })
    }

    /// The last words, once the credential is not good any more.
    fn last_words(&mut self, context: &mut Context<'_>) -> Option<HeaderMap> {
        if self.look.as_mut().poll(context).is_pending() {
            return None;
        }
        self.look.as_mut().reset(Instant::now() + LOOK_PERIOD);
        // So that it wakes the reader again.
        let _ = self.look.as_mut().poll(context);
        let denied = self
            .shared
            .credentials
            .stand(&self.standing, now_s())
            .err()?;
        let mut trailers = HeaderMap::new();
        // It fails for texts that no header can hold, and these are this project's own.
        let _ = denied.status().add_header(&mut trailers);
        Some(trailers)
    }
}

impl HttpBody for StandingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(trailers) = self.last_words(context) {
            // Whoever makes the answer notices that nobody reads it.
            self.body = Body::empty();
            self.standing = Standing::default();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
