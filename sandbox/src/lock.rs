//! The lock of a state folder: a file that is locked as long as a sandbox runs there, and
//! that says which process this is. The system gives the lock back however that process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// Its name in the folder.
pub(crate) const FILE: &str = "lock";

/// Which field of `/proc/PID/stat` after the command's name is the start time: the 22nd of
/// all, and two stand before (proc(5)).
const START_FIELD: usize = 19;

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the lock and writes down who holds it; `None` where somebody else does.
    pub(crate) fn take(folder: &Path) -> Result<Option<Self>, files::Error> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            // Whoever holds it has written into it.
            .truncate(false)
            .open(&path)
            .map_err(|error| files::Error::new("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(files::Error::new("lock", &path, error));
            }
        }
        let written = Holder::of(std::process::id())
            .and_then(|holder| Ok(serde_json::to_vec(&holder)?))
            .and_then(|bytes| file.set_len(0).and_then(|()| file.write_all(&bytes)));
        written.map_err(|error| files::Error::new("write", &path, error))?;
        Ok(Some(Self(file)))
    }
}

/// A process, told from a later one with the same id by its start and its executable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: u32,
    executable: PathBuf,
    /// Clock ticks between the start of the machine and its own.
    start_ticks: u64,
}

impl Holder {
    /// What the system knows of a process now.
    pub(crate) fn of(pid: u32) -> std::io::Result<Self> {
        let executable = std::fs::read_link(format!("/proc/{pid}/exe"))?;
        // A rebuilt executable takes the old one's name away; the process is still the same.
        let executable = executable.to_string_lossy();
        let executable = PathBuf::from(executable.trim_end_matches(" (deleted)"));
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The command's name is in parentheses and may hold any character.
        let start_ticks = stat
            .rsplit_once(") ")
            .and_then(|(_, fields)| fields.split(' ').nth(START_FIELD)?.parse().ok())
            .ok_or_else(|| std::io::Error::other("unreadable process status"))?;
        Ok(Self {
            pid,
            executable,
            start_ticks,
        })
    }

    /// Who wrote itself into the lock file last.
    pub(crate) fn read(folder: &Path) -> Result<Self, files::Error> {
        let path = folder.join(FILE);
        std::fs::read(&path)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(|error| files::Error::new("read", &path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_its_holder_and_a_failed_attempt_leaves_that() {
        let folder = tempfile::tempdir().unwrap();
        let held = Lock::take(folder.path()).unwrap();
        assert!(held.is_some());
        assert!(Lock::take(folder.path()).unwrap().is_none());
        let holder = Holder::read(folder.path()).unwrap();
        assert_eq!(holder, Holder::of(std::process::id()).unwrap());
    }
}
