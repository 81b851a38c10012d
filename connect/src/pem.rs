//! Certificates and keys out of files.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _,
};

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
    /// Everybody on the machine can read it.
    #[error("{} holds a secret and everybody can read it: chmod 600 it", .0.display())]
    Open(PathBuf),
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

/// Reads a file that holds a secret; one that everybody can read is refused.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    // The group may read: a mounted Secret belongs to the group of its pod.
    const OTHERS: u32 = 0o007;
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    if metadata.permissions().mode() & OTHERS != 0 {
        return Err(Error::Open(path.to_owned()));
    }
    read(path)
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
    use super::*;

    #[test]
    fn a_secret_that_everybody_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for (mode, is_read) in [(0o600, true), (0o440, true), (0o604, false), (0o666, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(&path).is_ok(), is_read, "{mode:o}");
        }
    }
}
