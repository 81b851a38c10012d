//! Certificates and keys out of files.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _,
};
use writ_core::secret_file::is_private;

/// Largest file that is read: a bundle of authorities has some hundred KiB.
const FILE_SIZE_MAX_BYTES: u64 = 1 << 20;

/// Why a file is of no use.
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
    /// It is not what it should be.
    #[error("{} holds no {what}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// It is not its owner's alone.
    #[error("{} holds a secret and has mode {mode:04o}: others than its owner may use it; chmod 0600 it", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a file of a limited size.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_SIZE_MAX_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(failed)
}

/// Reads a file that holds a secret; one that is not its owner's alone is refused ([`is_private`]).
pub fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // Of the file that was opened, so that nobody changes it in between.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if !is_private(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        let path = path.to_owned();
        return Err(Error::Open { path, mode });
    }
    if metadata.len() > FILE_SIZE_MAX_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_SIZE_MAX_BYTES);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads certificates in PEM, one or more.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::Content {
            path: path.to_owned(),
            what: "certificates in PEM",
        }),
    }
}

/// Reads a private key in PEM.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&read_secret(path)?).map_err(|_| Error::Content {
        path: path.to_owned(),
        what: "private key in PEM",
    })
}

/// Reads lists of revoked certificates in PEM.
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::Content {
            path: path.to_owned(),
            what: "lists of revoked certificates in PEM",
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_is_not_its_owners_alone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for (mode, is_read) in [
            (0o600, true),
            (0o400, true),
            (0o440, false),
            (0o604, false),
            (0o666, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(&path).is_ok(), is_read, "{mode:o}");
        }
    }
}
