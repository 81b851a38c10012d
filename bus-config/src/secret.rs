//! Files that hold a secret: seeds and signing keys.
//!
//! Promises: one that others may read is refused before it is read, so that a key that lies open is
//! noticed; what was read is wiped from memory when it is dropped; one that is written is its owner's alone at any
//! moment, and whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use writ_core::secret_file::is_private;
use zeroize::Zeroizing;

/// Largest secret file: a NATS credentials file has about 1 KB.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why a secret is not taken from a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("can't read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not its owner's alone.
    #[error(
        "{} holds a secret and has mode {mode:04o}: others than its owner may use it; chmod 0600 it, and if anybody else could read it, replace the key", .path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no text of a reasonable size.
    #[error("{} is no key file", .0.display())]
    NotAKeyFile(PathBuf),
}

/// Reads a secret, without the white space around it.
///
/// # Errors
/// [`Error`]; one that group or others may read is never read.
pub fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // Of the file that was opened, so that nobody changes it in between.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    let own = rustix::process::geteuid().as_raw();
    if !is_private(mode, metadata.uid(), own) {
        let path = path.to_owned();
        return Err(Error::Open { path, mode });
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(Error::NotAKeyFile(path.to_owned()));
    }
    // Large enough from the start: a buffer that grows leaves copies behind.
    let size = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    let mut limited = file.take(SECRET_BYTES_MAX);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::NotAKeyFile(path.to_owned()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Writes a secret in the place of the one that is there, on the disk when this returns.
///
/// # Errors
/// It can't be written: the one before is still there.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.part"));
    // One that was left behind may have another mode.
    let _ = fs::remove_file(&part);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)
}

/// Makes a folder for secrets, where there is none.
///
/// # Errors
/// It can't be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        fs::write(&path, "secret\n").unwrap();
        for (mode, is_taken) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o644, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match read(&path) {
                Ok(text) => assert!(is_taken && text.as_str() == "secret", "{mode:o}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!is_taken && said.contains("chmod 0600"), "{mode:o}: {said}");
                    assert!(!said.contains("secret\n"), "{said}");
                }
            }
        }
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(Error::Read { .. })
        ));
    }
}
