//! The real parts: which programs a fleet needs, and where they are. What a developer already
//! has is used first; the rest is built once from pinned Go modules into a cache. Promises
//! that two processes never build at once and that no half-built program is seen. Never
//! downloads a prebuilt binary.

mod build;
mod locate;
mod recipe;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use recipe::{Part, Version};
use thiserror::Error;

use crate::progress::Progress;

/// What to do where parts can be neither found nor built.
const WAYS_OUT: &str = "do one of: install Go 1.26 or newer; set KUBEBUILDER_ASSETS to a folder \
                        that holds them; put them on PATH";

/// Why the parts are not there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Parts are missing and there is no Go to build them.
    #[error("{missing} not found, and no Go to build with; {WAYS_OUT}")]
    NoGo {
        /// The parts that are missing.
        missing: String,
        /// What starting `go` answered.
        source: std::io::Error,
    },
    /// The installed Go is too old.
    #[error("{missing} not found, and {found} is too old to build with; {WAYS_OUT}")]
    OldGo {
        /// The parts that are missing.
        missing: String,
        /// What `go version` said.
        found: String,
    },
    /// `go build` failed.
    #[error("building {part} failed ({status}); its log {log} ends with:\n{tail}", log = log.display())]
    Build {
        /// The part.
        part: Part,
        /// How the compiler ended.
        status: std::process::ExitStatus,
        /// Everything that it said.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The cache folder can't be used.
    #[error("the cache {path} can't be used; set WRIT_CACHE to another folder", path = path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// There is no place for a cache.
    #[error("no place for the built parts: set WRIT_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheFolder,
    /// The task that builds was cancelled.
    #[error("looking for the real parts was cancelled")]
    Cancelled,
}

/// Where each part is.
#[derive(Clone, Debug)]
pub struct Parts {
    programs: BTreeMap<Part, PathBuf>,
}

impl Parts {
    /// Finds or builds every part of a fleet. The first build takes minutes.
    pub async fn find(progress: &Progress) -> Result<Self, Error> {
        Self::find_some(&Part::ALL, progress).await
    }

    /// Finds or builds the named parts only.
    pub async fn find_some(wanted: &[Part], progress: &Progress) -> Result<Self, Error> {
        let (wanted, progress) = (wanted.to_vec(), progress.clone());
        // Files, locks and the compiler block.
        tokio::task::spawn_blocking(move || find(&wanted, &progress))
            .await
            .map_err(|_| Error::Cancelled)?
    }

    /// The executable of a part. It was asked for in `find_some`; a part that was not has no
    /// folder, and starting it fails with its bare name.
    pub fn path(&self, part: Part) -> &Path {
        self.programs
            .get(&part)
            .map_or(Path::new(part.file_name()), PathBuf::as_path)
    }
}

fn find(wanted: &[Part], progress: &Progress) -> Result<Parts, Error> {
    let mut programs = locate::installed(wanted);
    let missing: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|part| !programs.contains_key(part))
        .collect();
    if !missing.is_empty() {
        programs.extend(build::cached(&missing, progress)?);
    }
    Ok(Parts { programs })
}
