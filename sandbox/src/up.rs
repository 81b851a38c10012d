//! A sandbox that runs until it is told to end: in the foreground, or detached in a session of
//! its own; and the way to end one from another process. Never signals a process unless it
//! holds the folder's lock and is the one that wrote itself into it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::files;
use crate::fleet::{self, Fleet, FleetOptions, Summary};
use crate::lock::{self, Holder, Lock};
use crate::process::{Launcher, log};

/// Written when a sandbox is ready: its `Summary` as JSON.
const READY_FILE: &str = "ready";
/// What a detached sandbox says.
const LOG_FILE: &str = "sandbox.log";

/// How long a sandbox may take to end before it is killed, children and all: they have half
/// a minute in the worst case, one after the other.
const DOWN_LIMIT: Duration = Duration::from_secs(60);

/// How often a file or lock is looked at: what is waited for takes seconds.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// Why a sandbox could not be run, detached or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The fleet did not start.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Signals could not be waited for.
    #[error("could not wait for signals")]
    Signals(#[source] std::io::Error),
    /// It was told to end before it was ready.
    #[error("interrupted while the fleet was starting; all of it was ended")]
    Interrupted,
    /// The launcher does not know the executable to start again.
    #[error("a detached sandbox needs the writ executable: make the launcher with Launcher::writ")]
    NoWrit,
    /// The detached process could not be started.
    #[error("could not start the sandbox in the background")]
    Spawn(#[source] std::io::Error),
    /// The detached process ended before it was ready.
    #[error("the sandbox ended ({status}) before it was ready; its log {log} ends with:\n{tail}", log = log.display())]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        log: PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// The folder is none of a sandbox.
    #[error("{} is not the folder of a sandbox", .0.display())]
    NotASandbox(PathBuf),
    /// The lock is held, but not by the process that wrote itself into it.
    #[error("the lock of {} is held by a process that is not its sandbox; nothing was ended", .0.display())]
    NotOurs(PathBuf),
    /// The process could not be signalled.
    #[error("could not end process {pid}")]
    Kill {
        /// The process.
        pid: u32,
        /// What the system answered.
        source: std::io::Error,
    },
    /// It did not end.
    #[error("process {pid} has not ended within {limit_s} s")]
    Stuck {
        /// The process.
        pid: u32,
        /// The limit, in seconds.
        limit_s: u64,
    },
}

/// Runs a fleet until Ctrl-C, SIGTERM or the end of the terminal, then ends it in order.
/// `ready` is called once it is.
pub async fn run(options: FleetOptions, ready: impl FnOnce(&Summary)) -> Result<(), Error> {
    let mut end = Ends::listen().map_err(Error::Signals)?;
    let fleet = tokio::select! {
        fleet = Fleet::start(options) => fleet?,
        () = end.next() => return Err(Error::Interrupted),
    };
    let summary = fleet.summary();
    let ready_file = summary.dir.join(READY_FILE);
    let text = serde_json::to_vec_pretty(&summary)
        .map_err(|error| files::Error::new("write", &ready_file, error.into()))?;
    files::write(&ready_file, text)?;
    ready(&summary);
    end.next().await;
    files::remove(&ready_file)?;
    Ok(fleet.stop().await?)
}

/// Starts `writ ARGS…` in a session of its own, with everything that it says in a log, and
/// returns when its fleet in `dir` is ready. `args` make it call `run` with that folder.
/// Dropping the future ends what was started.
pub async fn detach(
    launcher: &Launcher,
    dir: &Path,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Summary, Error> {
    let dir = fleet::prepare(dir)?;
    // Held for a moment only: it says whether somebody runs there, and marks a new folder.
    drop(Lock::take(&dir)?.ok_or_else(|| fleet::Error::InUse(dir.clone()))?);
    let (ready_file, log) = (dir.join(READY_FILE), dir.join(LOG_FILE));
    // One of an earlier sandbox would be taken for this one's.
    files::remove(&ready_file)?;
    let output = File::create(&log).map_err(|error| files::Error::new("write", &log, error))?;
    let errors = output.try_clone().map_err(Error::Spawn)?;
    let writ = launcher.writ_executable().ok_or(Error::NoWrit)?;
    let mut command = launcher.session_command(writ);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    let mut started = Started(Some(command.spawn().map_err(Error::Spawn)?));
    loop {
        if let Some(summary) = read_summary(&ready_file) {
            started.0 = None;
            return Ok(summary);
        }
        if let Some(status) = started.ended().map_err(Error::Spawn)? {
            return Err(Error::Ended {
                status,
                tail: log::tail(&log, 0),
                log,
            });
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

/// Ends the sandbox of a folder and waits until it is gone; false where none ran. The folder
/// is kept.
pub async fn down(dir: &Path) -> Result<bool, Error> {
    if !dir.join(lock::FILE).is_file() {
        return Err(Error::NotASandbox(dir.to_owned()));
    }
    if Lock::take(dir)?.is_some() {
        return Ok(false);
    }
    let holder = Holder::read(dir)?;
    let pid = holder.pid;
    let failed = |error: rustix::io::Errno| Error::Kill {
        pid,
        source: error.into(),
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.ok_or_else(|| Error::NotOurs(dir.to_owned()))?;
    // From here on the descriptor means one process, whatever becomes of its id.
    let process = pidfd_open(raw, PidfdFlags::empty()).map_err(failed)?;
    if Holder::of(pid).ok().as_ref() != Some(&holder) {
        return Err(Error::NotOurs(dir.to_owned()));
    }
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&process, signal) {
            // It ended meanwhile.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(failed(error)),
        }
        if is_free_within(dir, DOWN_LIMIT).await? {
            return Ok(true);
        }
    }
    Err(Error::Stuck {
        pid,
        limit_s: DOWN_LIMIT.as_secs(),
    })
}

async fn is_free_within(dir: &Path, limit: Duration) -> Result<bool, Error> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if Lock::take(dir)?.is_some() {
            return Ok(true);
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
    Ok(false)
}

fn read_summary(path: &Path) -> Option<Summary> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What tells a sandbox to end.
struct Ends([tokio::signal::unix::Signal; 3]);

impl Ends {
    fn listen() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// A detached process that is killed unless it got ready.
struct Started(Option<std::process::Child>);

impl Started {
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.0
            .as_mut()
            .map_or(Ok(None), std::process::Child::try_wait)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Its own children go with it. One that has ended needs no signal.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
