//! The state folder of a running sandbox: one lock for its life, which says who holds it, and
//! the rule for what may be overwritten. A temporary folder goes with a clean stop or an
//! interruption; after a failure it is kept.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use crate::files;
use crate::lock::{self, Lock};

/// What a sandbox makes anew at each start; anything else in the folder is left alone.
const OWN: [&str; 10] = [
    "bin",
    "clusters",
    "env",
    "etcd",
    "keys",
    "kubeconfig",
    "logs",
    "nats",
    "publisher",
    "ready",
];

/// A locked state folder.
#[derive(Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    temporary: bool,
    kept: AtomicBool,
    /// Given back when the folder is dropped, however the process ends.
    _lock: Lock,
}

impl StateFolder {
    /// Locks the folder and removes what an earlier sandbox left in it; none is a new
    /// temporary folder.
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, Error> {
        let path = match dir {
            Some(dir) => prepare(dir)?,
            None => tempfile::Builder::new()
                .prefix("writ-sandbox-")
                .tempdir()
                .map_err(|error| files::Error::new("make", &std::env::temp_dir(), error))?
                .keep(),
        };
        let lock = Lock::take(&path)?.ok_or_else(|| Error::InUse(path.clone()))?;
        for name in OWN {
            remove(&path.join(name))?;
        }
        Ok(Self {
            path,
            temporary: dir.is_none(),
            kept: AtomicBool::new(false),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on a temporary folder stays when this is dropped.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Removes a temporary folder after all.
    pub(super) fn remove_temporary(&self) -> Result<(), files::Error> {
        if self.temporary {
            remove(&self.path)
        } else {
            Ok(())
        }
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if !self.temporary || self.kept.load(Ordering::Relaxed) {
            return;
        }
        if std::thread::panicking() {
            // A failed test: nobody else can say where its logs are.
            eprintln!(
                "the state and logs of the fleet are kept in {}",
                self.path.display()
            );
        } else {
            // What can't be removed is a temporary file like others.
            let _ = self.remove_temporary();
        }
    }
}

/// Makes a folder, or accepts one that is empty or that a sandbox made before.
pub(crate) fn prepare(dir: &Path) -> Result<PathBuf, Error> {
    files::make_folder(dir)?;
    let read = |source| files::Error::new("read", dir, source);
    let path = dir.canonicalize().map_err(read)?;
    let empty = std::fs::read_dir(&path).map_err(read)?.next().is_none();
    if empty || path.join(lock::FILE).is_file() {
        Ok(path)
    } else {
        Err(Error::Foreign(path))
    }
}

fn remove(path: &Path) -> Result<(), files::Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(|source| files::Error::new("remove", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_sandbox_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateFolder::open(Some(folder.path())).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), "old").unwrap();
        std::fs::write(folder.path().join("notes"), "mine").unwrap();
        assert!(matches!(
            StateFolder::open(Some(folder.path())),
            Err(Error::InUse(_))
        ));
        drop(first);
        StateFolder::open(Some(folder.path())).unwrap();
        assert!(!folder.path().join("kubeconfig").exists());
        assert!(folder.path().join("notes").exists(), "not ours to remove");
    }

    #[test]
    fn a_folder_that_no_sandbox_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "…").unwrap();
        assert!(matches!(
            StateFolder::open(Some(folder.path())),
            Err(Error::Foreign(_))
        ));
    }

    #[test]
    fn a_temporary_folder_goes_unless_it_is_kept() {
        let kept = StateFolder::open(None).unwrap();
        let path = kept.path().to_owned();
        kept.keep();
        drop(kept);
        assert!(path.is_dir());
        std::fs::remove_dir_all(&path).unwrap();
        let gone = StateFolder::open(None).unwrap();
        let path = gone.path().to_owned();
        drop(gone);
        assert!(!path.exists());
    }
}
