//! A running child. One task owns it, sees its end and alone signals it, so that a process id
//! is never signalled after it was reaped. Dropping a `Process` kills it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Error, POLL_PERIOD_MAX, POLL_PERIOD_MIN, POLL_SHARE, Spec, log};

/// Signals that may wait for the task that owns the child: more than anybody sends.
const SIGNALS_MAX: usize = 8;

/// A child of this process.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    pid: u32,
    log_offset: u64,
    signals: mpsc::Sender<Signal>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    pub(super) fn watch(spec: Spec, log_offset: u64, child: tokio::process::Child) -> Self {
        // A child that was just started has an id until it is waited for.
        let pid = child.id().unwrap_or_default();
        let (signals, commands) = mpsc::channel(SIGNALS_MAX);
        let (end, ended) = watch::channel(None);
        tokio::spawn(own(spec.name.clone(), child, commands, end));
        Self {
            spec,
            pid,
            log_offset,
            signals,
            ended,
        }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The process id; of the program itself, as the wrapper becomes it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that it logs to.
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// How it ended, where it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Asks it to read its configuration again (SIGHUP).
    pub async fn hang_up(&self) {
        self.signal(Signal::HUP).await;
    }

    /// Stops its time (SIGSTOP): it is there, and does nothing.
    pub async fn pause(&self) {
        self.signal(Signal::STOP).await;
    }

    /// Lets it go on (SIGCONT).
    pub async fn resume(&self) {
        self.signal(Signal::CONT).await;
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        self.signal(Signal::KILL).await;
        self.wait().await;
    }

    /// Asks it to end (SIGTERM), and kills it when `limit` has passed.
    pub async fn stop(&self, limit: Duration) {
        self.signal(Signal::TERM).await;
        if tokio::time::timeout(limit, self.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Waits until it has ended.
    pub async fn wait(&self) {
        // An error means that the owning task is gone, and the child with it.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }

    /// Waits until `check` gives a value; fails when the child ends or `limit` passes first.
    /// `what` completes "ended before …".
    pub async fn ready<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl AsyncFn() -> Option<T>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let deadline = begun + limit;
        let name = self.spec.name.clone();
        loop {
            // A check that hangs must not outlast the deadline.
            if let Ok(Some(value)) = tokio::time::timeout_at(deadline, check()).await {
                return Ok(value);
            }
            let (log, what) = (self.spec.log.clone(), what.to_owned());
            let tail = || log::tail(&self.spec.log, self.log_offset);
            if let Some(status) = self.ended() {
                return Err(Error::Ended {
                    name,
                    status,
                    what,
                    log,
                    tail: tail(),
                });
            }
            if Instant::now() >= deadline {
                let limit_s = limit.as_secs();
                return Err(Error::Late {
                    name,
                    what,
                    limit_s,
                    log,
                    tail: tail(),
                });
            }
            let delay = begun.elapsed() / POLL_SHARE;
            tokio::time::sleep(delay.clamp(POLL_PERIOD_MIN, POLL_PERIOD_MAX)).await;
        }
    }

    /// The log path by value, for messages that outlive the process.
    pub fn log_path(&self) -> PathBuf {
        self.spec.log.clone()
    }

    async fn signal(&self, signal: Signal) {
        // Nobody to signal any more is what was wanted.
        let _ = self.signals.send(signal).await;
    }
}

/// Owns the child until it ends. When every handle is gone, it is killed.
async fn own(
    name: String,
    mut child: tokio::process::Child,
    mut signals: mpsc::Receiver<Signal>,
    end: watch::Sender<Option<ExitStatus>>,
) {
    let mut asked = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            signal = signals.recv() => {
                let signal = signal.unwrap_or(Signal::KILL);
                asked |= [Signal::TERM, Signal::KILL].contains(&signal);
                send(&child, signal);
                if signal == Signal::KILL {
                    break child.wait().await;
                }
            }
        }
    };
    match status {
        Ok(status) => {
            if !asked {
                tracing::warn!(process = name, %status, "a child ended by itself");
            }
            end.send_replace(Some(status));
        }
        Err(error) => tracing::warn!(process = name, %error, "could not wait for a child"),
    }
}

fn send(child: &tokio::process::Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // The id is still ours: it is freed by `wait`, which this task alone calls.
        let _ = rustix::process::kill_process(pid, signal);
    }
}
