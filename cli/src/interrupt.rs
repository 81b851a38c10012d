//! Ctrl-C, as a future that many may wait for.
//!
//! Owns nothing but the wish to stop. Never ends the process: a command decides what it still has
//! to say.

use std::future::Future;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// Done when the person wants the command to stop.
pub type Interrupt = Shared<BoxFuture<'static, ()>>;

/// From the process's signals (SIGINT, and SIGTERM where there is one), which are caught from this call on:
/// not only once somebody waits, when a request may be on its way. In a runtime.
#[cfg(unix)]
pub(crate) fn from_signals() -> Interrupt {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        .boxed()
        .shared(),
        // Without a handler the system's default stays: the signal ends the process.
        _ => never(),
    }
}

/// From the process's signals.
#[cfg(not(unix))]
pub(crate) fn from_signals() -> Interrupt {
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    .boxed()
    .shared()
}

/// Never.
pub fn never() -> Interrupt {
    std::future::pending().boxed().shared()
}

/// The future's outcome, or `None` when the person interrupted it first.
pub(crate) async fn unless<T>(interrupt: &Interrupt, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // What is done is not called interrupted.
        biased;
        outcome = work => Some(outcome),
        () = interrupt.clone() => None,
    }
}
