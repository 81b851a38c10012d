//! A request's body that must have come within a time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

/// A body, and until when it may go on.
pub(super) struct TimedBody {
    body: Body,
    patience: Pin<Box<Sleep>>,
}

impl TimedBody {
    /// Gives a body so much time.
    pub(super) fn limit(body: Body, time: Duration) -> Body {
        let patience = Box::pin(sleep(time));
        Body::new(TimedBody { body, patience })
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.patience.as_mut().poll(context));
        let late = Status::deadline_exceeded("the request did not come in time");
        Poll::Ready(Some(Err(late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
