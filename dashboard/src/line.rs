//! A line to the API that carries one credential, and what the API said of it last.
//!
//! Promises that whatever is asked over a line is asked with its credential and no other, and that no credential is
//! shown by a debug output.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use tokio::sync::watch;
use tonic::{
    Code, Status,
    body::Body,
    transport::{self, Channel},
};
use tower::Service;
use writ_proto::{VIA_DASHBOARD, VIA_HEADER, VISITOR_HEADER};

/// The call whose refusal says that somebody may read nothing at all.
const WHOLE_FLEET: &str = "/writ.v1.AckService/WatchFleet";

/// Why nothing is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The credential is not taken (any more); otherwise its bearer may read nothing.
    pub(crate) is_unknown: bool,
    /// The API's own words.
    pub(crate) message: String,
}

/// A channel, and whose calls go over it. Clones share what the API said.
#[derive(Clone)]
pub struct Line {
    channel: Channel,
    bearer: watch::Receiver<Option<HeaderValue>>,
    visitor: Option<HeaderValue>,
    refusal: Arc<watch::Sender<Option<Refusal>>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// A line whose calls show what `bearer` holds at that time: the value of the header `authorization`, or nothing
    /// where the channel itself says who calls.
    pub fn new(channel: Channel, bearer: watch::Receiver<Option<HeaderValue>>) -> Line {
        Line {
            channel,
            bearer,
            visitor: None,
            refusal: Arc::default(),
        }
    }

    /// The same, for somebody at an address.
    #[must_use]
    pub fn of_visitor(mut self, address: SocketAddr) -> Line {
        self.visitor = HeaderValue::try_from(address.to_string()).ok();
        self
    }

    /// A line of its own that shows another credential, for somebody at an address.
    pub(crate) fn with(&self, bearer: HeaderValue, address: SocketAddr) -> Line {
        let bearer = watch::channel(Some(bearer)).1;
        Line::new(self.channel.clone(), bearer).of_visitor(address)
    }

    /// Why nothing is shown, while that is so.
    pub(crate) fn refusal(&self) -> watch::Receiver<Option<Refusal>> {
        self.refusal.subscribe()
    }

    fn heard(&self, path: &str, answer: &Response<Body>) {
        let status = Status::from_header_map(answer.headers());
        let code = status.as_ref().map_or(Code::Ok, Status::code);
        let is_whole = path == WHOLE_FLEET;
        let refused = |is_unknown| {
            let message = status.as_ref().map_or("", |status| status.message());
            Some(Refusal {
                is_unknown,
                message: message.to_owned(),
            })
        };
        let said = match code {
            Code::Unauthenticated => refused(true),
            Code::PermissionDenied if is_whole => refused(false),
            // These say nothing of who asks.
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => return,
            _ => None,
        };
        self.refusal.send_if_modified(|refusal| {
            // That somebody is known does not say that they may read.
            let is_known = refusal.as_ref().is_some_and(|of| !of.is_unknown);
            if *refusal == said || (said.is_none() && !is_whole && is_known) {
                return false;
            }
            *refusal = said;
            true
        });
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let headers = request.headers_mut();
        headers.insert(VIA_HEADER, HeaderValue::from_static(VIA_DASHBOARD));
        if let Some(bearer) = &*self.bearer.borrow() {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(visitor) = &self.visitor {
            headers.insert(VISITOR_HEADER, visitor.clone());
        }
        let path = request.uri().path().to_owned();
        let (line, answer) = (self.clone(), self.channel.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            line.heard(&path, &answer);
            Ok(answer)
        })
    }
}
