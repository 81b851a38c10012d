//! Ctrl-C, as a future that many may wait for.
//!
//! Owns nothing but the wish to stop. Never ends the process: a command decides what it still has
//! to say.

use std::future::Future;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// Done when the person wants the command to stop.
pub type Interrupt = Shared<BoxFuture<'static, ()>>;

/// From the process's signals (SIGINT, and SIGTERM where there is one).
pub(crate) fn from_signals() -> Interrupt {
    async {
        if signalled().await.is_err() {
            // Without a handler the system's default stays: the signal ends the process.
            std::future::pending::<()>().await;
        }
    }
    .boxed()
    .shared()
}

#[cfg(unix)]
async fn signalled() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signalled() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
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
