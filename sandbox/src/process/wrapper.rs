//! The wrapper that every child starts through: it sets the parent-death signal on itself
//! and then becomes the program, so that nothing outlives a sandbox that was killed.
//! It promises that the program never runs unless the tie holds. It never forks.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use thiserror::Error;

/// Carries the parent's process id to the wrapper, which removes it before it becomes the
/// program.
pub(super) const PARENT_VARIABLE: &str = "WRIT_EXEC_PARENT";

/// As first argument: start a session of its own instead of following the parent.
pub(crate) const SESSION_FLAG: &str = "--session";

/// Why the wrapper did not become the program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No program was named.
    #[error("no program to start: usage is [--session] PROGRAM ARGS…")]
    NoProgram,
    /// The kernel refused the parent-death signal or the session.
    #[error("could not prepare the process: {0}")]
    Prepare(rustix::io::Errno),
    /// The parent ended before the signal was set, so nobody waits for this program.
    #[error("the parent process is gone")]
    Orphaned,
    /// The program could not be executed.
    #[error("could not execute {program}: {reason}")]
    Execute {
        /// The program that was asked for.
        program: String,
        /// What the system answered.
        reason: std::io::Error,
    },
}

/// Becomes the program that `args` names; returns only where that failed.
///
/// `args` are what follows `writ __exec`: `[--session] PROGRAM ARGS…`.
pub fn run(args: impl Iterator<Item = OsString>) -> Error {
    let mut args = args.peekable();
    let session = args.next_if(|arg| arg == SESSION_FLAG).is_some();
    let Some(program) = args.next() else {
        return Error::NoProgram;
    };
    if let Err(error) = if session {
        start_session()
    } else {
        follow_parent()
    } {
        return error;
    }
    let reason = Command::new(&program)
        .args(args)
        .env_remove(PARENT_VARIABLE)
        .exec();
    Error::Execute {
        program: program.to_string_lossy().into_owned(),
        reason,
    }
}

fn start_session() -> Result<(), Error> {
    rustix::process::setsid().map(drop).map_err(Error::Prepare)
}

/// The signal is sent when the parent *thread* ends; children are therefore all started by
/// one thread that lives as long as the process.
fn follow_parent() -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(Error::Prepare)?;
    // A parent that died before the line above sends no signal any more.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    match std::env::var(PARENT_VARIABLE) {
        Ok(expected) if parent.as_ref() != Some(&expected) => Err(Error::Orphaned),
        _ => Ok(()),
    }
}
