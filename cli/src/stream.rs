//! A stream of the API, read message by message.

use std::{future::Future, ops::ControlFlow, time::Duration};

use tonic::{Response, Status, Streaming};

use crate::error::Answer;

/// Between two tries to watch again.
pub(crate) const WATCH_AGAIN_DELAY: Duration = Duration::from_secs(1);

/// Hands out what a stream says until it ends or is cut, or `take` breaks it off because nobody reads any more.
pub(crate) async fn each<T>(
    opened: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    mut take: impl FnMut(T) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Answer> {
    let read = async {
        let mut stream = opened.await?.into_inner();
        while let Some(message) = stream.message().await? {
            if take(message).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    read.await.map_err(|cut: Status| Answer::from_status(&cut))
}
